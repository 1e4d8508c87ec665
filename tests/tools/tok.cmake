# SPDX-License-Identifier: Apache-2.0
add_executable(cria_tok ${PROJECT_SOURCE_DIR}/tests/tools/tok.c)
target_link_libraries(cria_tok PRIVATE cria_base cria_format cria_text m)
