# SPDX-License-Identifier: Apache-2.0
add_executable(cria_quantize ${PROJECT_SOURCE_DIR}/tests/tools/quantize.c)
target_link_libraries(cria_quantize PRIVATE cria_base cria_kernels m)
