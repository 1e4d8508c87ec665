# SPDX-License-Identifier: Apache-2.0
# The compiler flags of the whole project, and what a layer is. Of its own because tests/checkkern is also a project of its
# own. Needs Threads::Threads; uses CRIA_WERROR and CRIA_SANITIZE where set.

# Same bits everywhere: no contraction, no reassociation. _GNU_SOURCE is for the OS code in src/base.
add_library(cria_flags INTERFACE)
target_include_directories(cria_flags INTERFACE ${CMAKE_CURRENT_LIST_DIR}/../include ${CMAKE_CURRENT_LIST_DIR}/../src)
target_compile_definitions(cria_flags INTERFACE _GNU_SOURCE)
target_compile_options(cria_flags INTERFACE
    -Wall -Wextra -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes
    -ffp-contract=off -fno-math-errno
    $<$<BOOL:${CRIA_WERROR}>:-Werror>)
if(CRIA_SANITIZE)
    target_compile_definitions(cria_flags INTERFACE CRIA_PLAIN_LOOPS)
    target_compile_options(cria_flags INTERFACE -fsanitize=${CRIA_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    target_link_options(cria_flags INTERFACE -fsanitize=${CRIA_SANITIZE})
endif()

# A layer is an object library; tests link only the layers they need (cria_layers_* below).
function(cria_layer name)
    cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
    add_library(cria_${name} OBJECT ${A_SOURCES})
    target_link_libraries(cria_${name} PUBLIC cria_flags Threads::Threads ${A_LINK})
endfunction()
