/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/machine.h"
#include "scratch.h"

static struct cria_cpu cpu; /* large for a stack */

static cria_machine read_machine(const struct scratch *s) {
    cria_machine m;
    memset(&m, 0x55, sizeof m);
    cria_machine_read(s->root, &cpu, &m);
    return m;
}

static void nothing_is_known_of_a_silent_system(void **state) {
    (void)state;
    struct scratch s;
    scratch_new(&s);
    memset(&cpu, 0, sizeof cpu);
    cpu.quota = UINT32_MAX;
    cpu.threads = 3;
    cpu.topology.n_cpus = 6;
    cpu.topology.n_cores = 3;
    cpu.topology.n_slow = 1;
    cpu.topology.n_nodes = 2;
    cria_machine m = read_machine(&s);
    assert_string_equal(m.processor, "");
    assert_string_equal(m.features, "");
    assert_int_equal(m.huge_pages, CRIA_HUGE_PAGES_UNKNOWN);
    assert_true(m.memory_bytes == 0 && m.memory_available_bytes == 0);
    assert_int_equal(m.cpus_online, 6);
    assert_int_equal(m.cpus, 6);
    assert_int_equal(m.cores, 3);
    assert_int_equal(m.slow_cores, 1);
    assert_int_equal(m.nodes, 2);
    assert_int_equal(m.quota, 0);
    assert_int_equal(m.default_threads, 3);
    cpu.quota = 2;
    cpu.flags = 0; /* lowered; what is told is what was detected */
    cpu.detected = CRIA_CPU_AVX2 | CRIA_CPU_AVX512VNNI | CRIA_CPU_I8MM;
    m = read_machine(&s);
    assert_int_equal(m.quota, 2);
    assert_string_equal(m.features, "avx2 avx512_vnni i8mm");
    scratch_free(&s);
}

static void files_of_the_system_are_read(void **state) {
    (void)state;
    struct scratch s;
    scratch_new(&s);
    scratch_text(&s, "sys/devices/system/cpu/online", "0-3,8\n");
    scratch_text(&s, "proc/meminfo", "MemTotal:       24555404 kB\nMemFree: 1 kB\nMemAvailable:   19836368 kB\n");
    scratch_text(&s, "proc/cpuinfo", "processor\t: 0\nvendor_id\t: X\nmodel\t\t: 97\n"
                                     "model name\t: A CPU \x1b[31m @ 2 GHz  \nstepping\t: 2\n");
    scratch_text(&s, "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    cria_machine m = read_machine(&s);
    assert_int_equal(m.cpus_online, 5);
    assert_true(m.memory_bytes == UINT64_C(24555404) * 1024);
    assert_true(m.memory_available_bytes == UINT64_C(19836368) * 1024);
    assert_string_equal(m.processor, "A CPU ?[31m @ 2 GHz");
    assert_int_equal(m.huge_pages, CRIA_HUGE_PAGES_ON_REQUEST);
    static const struct {
        const char *text;
        cria_huge_pages is;
    } huge[] = {{"[always] madvise never\n", CRIA_HUGE_PAGES_ALWAYS},
                {"always madvise [never]\n", CRIA_HUGE_PAGES_NEVER},
                {"always\n", CRIA_HUGE_PAGES_UNKNOWN},
                {"", CRIA_HUGE_PAGES_UNKNOWN}};
    for (size_t i = 0; i < N_ITEMS(huge); i++) {
        scratch_text(&s, "sys/kernel/mm/transparent_hugepage/enabled", huge[i].text);
        assert_int_equal(read_machine(&s).huge_pages, huge[i].is);
    }
    /* Arm boards; names without a value, or too long. */
    scratch_text(&s, "proc/cpuinfo", "processor : 0\nCPU part : 0xd08\n\nHardware : B\nModel : Board 4\n");
    assert_string_equal(read_machine(&s).processor, "Board 4");
    static const char *const odd[] = {"model name", "model name\t:", "model name\t: \n", "\n\n\n", ": x\n"};
    for (size_t i = 0; i < N_ITEMS(odd); i++) {
        scratch_text(&s, "proc/cpuinfo", odd[i]);
        assert_string_equal(read_machine(&s).processor, "");
    }
    char text[400] = "model name : ";
    memset(text + 13, 'x', sizeof text - 14);
    scratch_text(&s, "proc/cpuinfo", text);
    m = read_machine(&s);
    assert_int_equal(strlen(m.processor), sizeof m.processor - 1);
    scratch_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_of_a_silent_system),
        cmocka_unit_test(files_of_the_system_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
