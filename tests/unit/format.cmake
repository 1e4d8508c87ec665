# SPDX-License-Identifier: Apache-2.0
foreach(name order tensor npy zip npz safetensors gguf container identity write)
    cria_unit_test(${name} LAYERS base format)
endforeach()
