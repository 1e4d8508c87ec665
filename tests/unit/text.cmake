# SPDX-License-Identifier: Apache-2.0
foreach(name unicode regex compose pretok bpe vocab vocab_gguf vocab_hf detok)
    cria_unit_test(${name} LAYERS base format text)
endforeach()
foreach(name vocab_spm normalize spm tokenizer)
    cria_unit_test(${name} LAYERS base format text)
endforeach()
