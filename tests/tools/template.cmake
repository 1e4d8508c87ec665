# SPDX-License-Identifier: Apache-2.0
add_executable(cria_template_render ${PROJECT_SOURCE_DIR}/tests/tools/template.c)
set_target_properties(cria_template_render PROPERTIES OUTPUT_NAME cria_template)
target_link_libraries(cria_template_render PRIVATE cria_base cria_template m)
