# SPDX-License-Identifier: Apache-2.0
# checkkern needs the kernels and the processor detection, nothing else: tests/checkkern/CMakeLists.txt builds it alone for
# other processors.
set(root ${CMAKE_CURRENT_LIST_DIR}/../..)
add_executable(checkkern
    ${root}/tests/checkkern/attn.c ${root}/tests/checkkern/checkkern.c ${root}/tests/checkkern/elem.c
    ${root}/tests/checkkern/matmul.c ${root}/tests/checkkern/quant.c
    ${root}/src/base/cpu.c ${root}/src/base/status.c ${root}/src/base/utf8.c)
target_link_libraries(checkkern PRIVATE cria_kernels m)

set(isas scalar)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    list(APPEND isas avx2 avx512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    list(APPEND isas neon)
endif()
foreach(isa ${isas})
    add_test(NAME checkkern/${isa} COMMAND checkkern --isa ${isa})
    set_tests_properties(checkkern/${isa} PROPERTIES LABELS quick SKIP_RETURN_CODE 77)
endforeach()
