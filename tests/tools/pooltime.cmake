# SPDX-License-Identifier: Apache-2.0
# What the thread pool costs; a tool, not a test.
add_executable(pooltime ${PROJECT_SOURCE_DIR}/tests/tools/pooltime.c)
target_link_libraries(pooltime PRIVATE cria_base)
