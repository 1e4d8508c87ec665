# SPDX-License-Identifier: Apache-2.0
# What the thread pool costs, and that more threads than processors do not cost much more.
add_executable(pooltime ${PROJECT_SOURCE_DIR}/tests/tools/pooltime.c)
target_link_libraries(pooltime PRIVATE cria_base)
if(NOT CRIA_SANITIZE)
    add_test(NAME tools/pooltime COMMAND pooltime --check)
    set_tests_properties(tools/pooltime PROPERTIES LABELS quick)
endif()
