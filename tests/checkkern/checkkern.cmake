# SPDX-License-Identifier: Apache-2.0
# checkkern needs the kernels, their cases (src/kernels/check) and the processor detection, nothing else:
# tests/checkkern/CMakeLists.txt builds it alone for other processors.
set(here ${CMAKE_CURRENT_LIST_DIR})
set(src ${here}/../../src)
add_executable(checkkern ${here}/checkkern.c
    ${src}/base/cpu.c ${src}/base/status.c ${src}/base/topology.c ${src}/base/utf8.c)
target_link_libraries(checkkern PRIVATE cria_kernels m)

set(isas scalar)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    list(APPEND isas avx2 avxvnni avx512 avx512vnni)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    list(APPEND isas neon dotprod i8mm)
endif()

# The AVX-VNNI and AVX-512 kernels once more, emulated with AVX2, as tables that machines without them can run.
# simde/immintrin.h takes the place of the compiler's. Neither with much optimization nor with sanitizers: that takes
# compilers many minutes.
find_path(SIMDE_INCLUDE simde/x86/avx512.h)
if(SIMDE_INCLUDE AND NOT CRIA_SANITIZE AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    get_property(emulated_sources GLOBAL PROPERTY CRIA_EMULATED_SOURCES)
    add_library(checkkern_simde OBJECT ${here}/simde/tables.c ${emulated_sources})
    target_link_libraries(checkkern_simde PRIVATE cria_flags)
    target_compile_definitions(checkkern_simde PRIVATE CRIA_PLAIN_LOOPS)
    target_include_directories(checkkern_simde BEFORE PRIVATE ${here}/simde)
    target_include_directories(checkkern_simde SYSTEM PRIVATE ${SIMDE_INCLUDE})
    target_compile_options(checkkern_simde PRIVATE -mavx2 -mfma -mf16c -Wno-psabi -O1)
    foreach(slot matmul_f matmul_h matmul_q matvec_plan layout lay_out quantize rmsnorm add silu_mul gelu_mul softcap rope scale
            add_scaled widen attend probe_f32 probe_int8 probe_read)
        target_compile_definitions(checkkern_simde PRIVATE cria_${slot}_avx512=cria_${slot}_avx512_simde)
    endforeach()
    foreach(name matmul_h_avxvnni matmul_h_avx512vnni matmul_q_avxvnni matvec_plan_avxvnni layout_avxvnni lay_out_avxvnni
            attend_avxvnni probe_int8_avxvnni
            matmul_q_avx512vnni matvec_plan_avx512vnni layout_avx512vnni lay_out_avx512vnni attend_avx512vnni probe_int8_avx512vnni)
        target_compile_definitions(checkkern_simde PRIVATE cria_${name}=cria_${name}_simde)
    endforeach()
    target_link_libraries(checkkern PRIVATE checkkern_simde)
    target_compile_definitions(checkkern PRIVATE CHECKKERN_SIMDE)
    list(APPEND isas avxvnni-simde avx512-simde avx512vnni-simde)
else()
    message(STATUS "SIMDe not found: AVX-VNNI and AVX-512 kernels are not tested on machines without them")
endif()

foreach(isa ${isas})
    add_test(NAME checkkern/${isa} COMMAND checkkern --isa ${isa})
    set_tests_properties(checkkern/${isa} PROPERTIES LABELS quick SKIP_RETURN_CODE 77)
endforeach()

# Whole models with all these tables.
if(TARGET test_tables AND TARGET checkkern_simde)
    target_link_libraries(test_tables PRIVATE checkkern_simde)
    target_compile_definitions(test_tables PRIVATE CHECKKERN_SIMDE)
endif()

# A build within the build, which must not start another.
if(NOT CMAKE_CROSSCOMPILING AND PROJECT_NAME STREQUAL "cria")
    add_test(NAME checkkern/qemu COMMAND ${here}/qemu.sh ${CMAKE_CURRENT_BINARY_DIR}/qemu
        $<TARGET_FILE:checkkern>)
    set_tests_properties(checkkern/qemu PROPERTIES LABELS qemu SKIP_RETURN_CODE 77)
endif()
