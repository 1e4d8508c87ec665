# SPDX-License-Identifier: Apache-2.0
# The rules that a machine can check, each a script that prints what offends and exits with 1.
set(style ${PROJECT_SOURCE_DIR}/tests/style)
foreach(check layers doors text)
    add_test(NAME style/${check} COMMAND ${style}/${check}.sh ${PROJECT_SOURCE_DIR})
endforeach()

# Headers must please both compilers, not only the one of this build.
file(REAL_PATH ${CMAKE_C_COMPILER} compilers)
foreach(name gcc clang)
    find_program(CRIA_STYLE_${name} ${name})
    if(CRIA_STYLE_${name})
        file(REAL_PATH ${CRIA_STYLE_${name}} compiler)
        list(APPEND compilers ${compiler})
    endif()
endforeach()
list(REMOVE_DUPLICATES compilers)
add_test(NAME style/headers COMMAND ${style}/headers.sh ${PROJECT_SOURCE_DIR} ${compilers})

set(style_tests style/layers style/doors style/text style/headers)
if(NOT CRIA_SANITIZE)
    add_test(NAME style/symbols COMMAND ${style}/symbols.sh ${PROJECT_BINARY_DIR})
    list(APPEND style_tests style/symbols)
endif()
set_tests_properties(${style_tests} PROPERTIES LABELS "quick;style")
