# SPDX-License-Identifier: Apache-2.0
# Some files of the kernels, not the layer: its tables take a minute to compile, and these need none.
set(kernels ${PROJECT_SOURCE_DIR}/src/kernels)
add_executable(cria_quantize tools/quantize.c ${kernels}/pack.c ${kernels}/pack_rows.c ${kernels}/quantize.c)
target_link_libraries(cria_quantize PRIVATE cria_base m)
