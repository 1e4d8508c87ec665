/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/cpu.h"
#include "scratch.h"

static void detection_is_sane(void **state) {
    (void)state;
    struct cria_cpu cpu;
    cria_cpu_detect(&cpu);
    assert_in_range(cpu.threads, 1, 8192);
    if (cpu.flags & CRIA_CPU_AVX512) assert_true(cpu.flags & CRIA_CPU_AVX2);
    if (cpu.flags & CRIA_CPU_AVX512VNNI) assert_true(cpu.flags & CRIA_CPU_AVX512);
    if (cpu.flags & (CRIA_CPU_DOTPROD | CRIA_CPU_I8MM)) assert_true(cpu.flags & CRIA_CPU_NEON);
#if defined(__x86_64__)
    /* The compilers' own detection, for the names that all of them know. */
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    assert_int_equal(!!(cpu.flags & CRIA_CPU_AVX2), avx2);
    assert_int_equal(!!(cpu.flags & CRIA_CPU_AVX512VNNI), !!__builtin_cpu_supports("avx512vnni"));
#endif
}

static void names_lower_the_flags(void **state) {
    (void)state;
    const uint32_t big = CRIA_CPU_AVX2 | CRIA_CPU_AVXVNNI | CRIA_CPU_AVX512 | CRIA_CPU_AVX512VNNI;
    const uint32_t arm = CRIA_CPU_NEON | CRIA_CPU_DOTPROD | CRIA_CPU_I8MM;
    static const struct {
        const char *name;
        uint32_t flags;
    } x86[] = {{"scalar", 0},
               {"avx2", CRIA_CPU_AVX2},
               {"avxvnni", CRIA_CPU_AVX2 | CRIA_CPU_AVXVNNI},
               {"avx512", CRIA_CPU_AVX2 | CRIA_CPU_AVX512},
               {"avx512vnni", CRIA_CPU_AVX2 | CRIA_CPU_AVX512 | CRIA_CPU_AVX512VNNI}};
    uint32_t out = 99;
    cria_error err;
    assert_int_equal(cria_cpu_lower(big, "auto", &out, &err), CRIA_OK);
    assert_int_equal(out, big);
    for (size_t i = 0; i < N_ITEMS(x86); i++) { /* nothing above the name is left */
        assert_int_equal(cria_cpu_lower(big, x86[i].name, &out, &err), CRIA_OK);
        assert_int_equal(out, x86[i].flags);
    }
    assert_int_equal(cria_cpu_lower(arm, "neon", &out, &err), CRIA_OK);
    assert_int_equal(out, CRIA_CPU_NEON);
    assert_int_equal(cria_cpu_lower(arm, "dotprod", &out, &err), CRIA_OK);
    assert_int_equal(out, CRIA_CPU_NEON | CRIA_CPU_DOTPROD);
    assert_int_equal(cria_cpu_lower(arm, "i8mm", &out, &err), CRIA_OK);
    assert_int_equal(out, arm);
    /* A processor with AVX-512 but not the one VNNI, and one with the other. */
    assert_int_equal(cria_cpu_lower(CRIA_CPU_AVX2 | CRIA_CPU_AVX512, "avx512vnni", &out, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "scalar, avx2, avx512."));
    assert_int_equal(cria_cpu_lower(CRIA_CPU_AVX2 | CRIA_CPU_AVXVNNI, "avx512", &out, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "scalar, avx2, avxvnni."));
    out = 99;
    assert_int_equal(cria_cpu_lower(CRIA_CPU_AVX2, "avx512", &out, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "scalar, avx2."));
    assert_int_equal(cria_cpu_lower(big, "neon", &out, &err), CRIA_EINVAL);
    assert_int_equal(cria_cpu_lower(big, "AVX2", &out, &err), CRIA_EINVAL);
    assert_int_equal(out, 99);
}

static void environment_counts_only_without_a_name(void **state) {
    (void)state;
    uint32_t out;
    cria_error err;
    setenv("CRIA_ISA", "scalar", 1);
    assert_int_equal(cria_cpu_lower(CRIA_CPU_AVX2, NULL, &out, &err), CRIA_OK);
    assert_int_equal(out, 0);
    assert_int_equal(cria_cpu_lower(CRIA_CPU_AVX2, "auto", &out, &err), CRIA_OK);
    assert_int_equal(out, CRIA_CPU_AVX2);
    setenv("CRIA_ISA", "pentium", 1);
    assert_int_equal(cria_cpu_lower(CRIA_CPU_AVX2, NULL, &out, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "CRIA_ISA"));
    setenv("CRIA_ISA", "", 1);
    assert_int_equal(cria_cpu_lower(CRIA_CPU_AVX2, NULL, &out, &err), CRIA_OK);
    assert_int_equal(out, CRIA_CPU_AVX2);
    unsetenv("CRIA_ISA");
    assert_int_equal(cria_cpu_lower(CRIA_CPU_AVX2, NULL, &out, &err), CRIA_OK);
    assert_int_equal(out, CRIA_CPU_AVX2);
}

static void quota_of_the_cgroup_and_all_above(void **state) {
    (void)state;
    struct scratch s;
    scratch_new(&s);
    assert_true(cria_cpu_quota(s.root) == UINT32_MAX);
    scratch_text(&s, "proc/self/cgroup", "0::/a/b\n");
    assert_true(cria_cpu_quota(s.root) == UINT32_MAX);
    scratch_text(&s, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_true(cria_cpu_quota(s.root) == UINT32_MAX);
    scratch_text(&s, "sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    assert_int_equal(cria_cpu_quota(s.root), 3);
    scratch_text(&s, "sys/fs/cgroup/cpu.max", "150000 100000\n");
    assert_int_equal(cria_cpu_quota(s.root), 2);
    scratch_text(&s, "sys/fs/cgroup/a/b/cpu.max", "1000 100000\n");
    assert_int_equal(cria_cpu_quota(s.root), 1);
    /* A group that is not visible here, as in a container: what is mounted counts. */
    scratch_text(&s, "proc/self/cgroup", "0::/docker/xyz\n");
    assert_int_equal(cria_cpu_quota(s.root), 2);
    scratch_text(&s, "proc/self/cgroup", "0::/\n");
    assert_int_equal(cria_cpu_quota(s.root), 2);
    scratch_free(&s);
}

static void quota_of_version_1(void **state) {
    (void)state;
    struct scratch s;
    scratch_new(&s);
    scratch_text(&s, "proc/self/cgroup", "5:cpuset:/x\n4:cpuacct,cpu:/a\n0::/\n");
    scratch_text(&s, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
    scratch_text(&s, "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    assert_true(cria_cpu_quota(s.root) == UINT32_MAX);
    scratch_text(&s, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "400000\n");
    assert_int_equal(cria_cpu_quota(s.root), 4);
    scratch_text(&s, "proc/self/cgroup", "4:cpuset,cpuacct:/a\nnonsense\n:\n::\n");
    assert_true(cria_cpu_quota(s.root) == UINT32_MAX);
    scratch_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detection_is_sane),
        cmocka_unit_test(names_lower_the_flags),
        cmocka_unit_test(environment_counts_only_without_a_name),
        cmocka_unit_test(quota_of_the_cgroup_and_all_above),
        cmocka_unit_test(quota_of_version_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
