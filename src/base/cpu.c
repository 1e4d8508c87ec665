/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Detection by hand: compilers differ in the names that __builtin_cpu_supports knows, and none of them asks
 * for the cgroup. Sources: Intel SDM vol. 1 ch. 14 (XGETBV before AVX), vol. 2 CPUID; the kernel's documents
 * on arm64 hwcaps, cgroup-v2 (cpu.max) and sched-bwc (cpu.cfs_quota_us).
 */
#include "base/cpu.h"
#include "base/status.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* ---- instruction sets ---------------------------------------------------------------------- */

#if defined(__x86_64__)
static uint64_t xgetbv0(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool bit(uint32_t word, int i) { return word >> i & 1u; }

static uint32_t detect_flags(void) {
    uint32_t a, b, c, d, flags = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const bool osxsave = bit(c, 27), fma = bit(c, 12), avx = bit(c, 28), f16c = bit(c, 29);
    if (!osxsave || !avx) return 0;
    const uint64_t state = xgetbv0();
    const bool os_ymm = (state & 0x06) == 0x06; /* XMM, upper halves of YMM */
    const bool os_zmm = (state & 0xe6) == 0xe6; /* those, opmask, upper ZMM, ZMM16–31 */
    uint32_t b7, c7, d7, a71 = 0;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
    if (a >= 1) {
        uint32_t b71, c71, d71;
        __get_cpuid_count(7, 1, &a71, &b71, &c71, &d71);
    }
    if (!os_ymm || !fma || !f16c || !bit(b7, 5)) return 0;
    flags |= CRIA_CPU_AVX2;
    if (bit(a71, 4)) flags |= CRIA_CPU_AVXVNNI;
    const bool f = bit(b7, 16), dq = bit(b7, 17), cd = bit(b7, 28), bw = bit(b7, 30), vl = bit(b7, 31);
    if (!os_zmm || !f || !dq || !cd || !bw || !vl) return flags;
    flags |= CRIA_CPU_AVX512;
    if (bit(c7, 11)) flags |= CRIA_CPU_AVX512VNNI;
    if (bit(a71, 5)) flags |= CRIA_CPU_AVX512BF16;
    return flags;
}
#elif defined(__aarch64__)
static uint32_t detect_flags(void) {
    /* Bit numbers of the kernel's ABI; older headers lack the names. */
    enum { HWCAP_BIT_ASIMD = 1, HWCAP_BIT_ASIMDDP = 20, HWCAP2_BIT_I8MM = 13 };
    const unsigned long cap = getauxval(AT_HWCAP), cap2 = getauxval(AT_HWCAP2);
    uint32_t flags = 0;
    if (!(cap >> HWCAP_BIT_ASIMD & 1)) return 0;
    flags |= CRIA_CPU_NEON;
    if (cap >> HWCAP_BIT_ASIMDDP & 1) flags |= CRIA_CPU_DOTPROD;
    if (cap2 >> HWCAP2_BIT_I8MM & 1) flags |= CRIA_CPU_I8MM;
    return flags;
}
#else
static uint32_t detect_flags(void) { return 0; }
#endif

/* A name stands for one kernel table (kernels/kernels.c), and leaves the flags that this table needs:
 * "avx2" is plain AVX2 on every processor, also where "avxvnni" or more would do. */
static const struct isa {
    const char *name;
    uint32_t flags;
} isas[] = {
    {"scalar", 0},
    {"avx2", CRIA_CPU_AVX2},
    {"avxvnni", CRIA_CPU_AVX2 | CRIA_CPU_AVXVNNI},
    {"avx512", CRIA_CPU_AVX2 | CRIA_CPU_AVX512},
    {"avx512vnni", CRIA_CPU_AVX2 | CRIA_CPU_AVX512 | CRIA_CPU_AVX512VNNI},
    {"neon", CRIA_CPU_NEON},
    {"dotprod", CRIA_CPU_NEON | CRIA_CPU_DOTPROD},
    {"i8mm", CRIA_CPU_NEON | CRIA_CPU_DOTPROD | CRIA_CPU_I8MM},
};
enum { N_ISAS = sizeof isas / sizeof isas[0] };

/* "scalar, avx2": the names that this processor satisfies. */
static void available(uint32_t flags, char *text, size_t size) {
    text[0] = '\0';
    for (size_t i = 0, n = 0; i < N_ISAS; i++)
        if ((isas[i].flags & flags) == isas[i].flags && n < size)
            n += (size_t)snprintf(text + n, size - n, "%s%s", n ? ", " : "", isas[i].name);
}

cria_status cria_cpu_lower(uint32_t flags, const char *isa, uint32_t *out, cria_error *err) {
    const char *origin = "The instruction set";
    if (!isa) {
        isa = getenv("CRIA_ISA");
        origin = "CRIA_ISA: the instruction set";
    }
    if (!isa || !*isa || strcmp(isa, "auto") == 0) {
        *out = flags;
        return CRIA_OK;
    }
    for (size_t i = 0; i < N_ISAS; i++) {
        if (strcmp(isa, isas[i].name) != 0 || (isas[i].flags & flags) != isas[i].flags) continue;
        *out = isas[i].flags;
        return CRIA_OK;
    }
    char names[64];
    available(flags, names, sizeof names);
    return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                     "%s \"%s\" is unknown or not available on this processor; choose auto or one of: %s.",
                     origin, isa, names);
}

/* ---- quota --------------------------------------------------------------------------------- */

static uint32_t ceil_quota(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return UINT32_MAX; /* −1 or "max": no limit */
    const long long n = quota / period + (quota % period != 0);
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint32_t quota_v2(const char *folder) {
    char path[1200], text[64];
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (!cria_read_text(path, text, sizeof text)) return UINT32_MAX;
    char *end;
    const long long quota = strtoll(text, &end, 10); /* 0 for "max" */
    return ceil_quota(quota, strtoll(end, NULL, 10));
}

static uint32_t quota_v1(const char *folder) {
    char path[1200], quota[64], period[64];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (!cria_read_text(path, quota, sizeof quota)) return UINT32_MAX;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (!cria_read_text(path, period, sizeof period)) return UINT32_MAX;
    return ceil_quota(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The lowest quota of mount/group and of all groups above it: a limit holds for everything below. */
static uint32_t quota_upwards(const char *mount, const char *group, uint32_t quota(const char *folder)) {
    char folder[1100];
    const int n = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (n < 0 || (size_t)n >= sizeof folder) return UINT32_MAX;
    uint32_t lowest = UINT32_MAX;
    for (char *end = folder + n; end;) {
        const uint32_t q = quota(folder);
        if (q < lowest) lowest = q;
        end = strrchr(folder + strlen(mount), '/');
        if (end) *end = '\0';
    }
    return lowest;
}

/* Is "cpu" in a list like "cpu,cpuacct"? */
static bool has_cpu(const char *list, size_t len) {
    for (size_t i = 0; i < len;) {
        const char *comma = memchr(list + i, ',', len - i);
        const size_t n = comma ? (size_t)(comma - list) - i : len - i;
        if (n == 3 && memcmp(list + i, "cpu", 3) == 0) return true;
        i += n + 1;
    }
    return false;
}

/* One line of /proc/self/cgroup: "number:controllers:/group". No controllers: version 2. */
static uint32_t quota_of_line(const char *root, char *line) {
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) return UINT32_MAX;
    const size_t len = (size_t)(group - ++controllers);
    group++;
    char mount[300];
    if (len == 0) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
        return quota_upwards(mount, group, quota_v2);
    }
    if (!has_cpu(controllers, len)) return UINT32_MAX;
    /* Mounted under the list of its controllers; "cpu" alone is a link to that on all common systems. */
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/cpu", root);
    return quota_upwards(mount, group, quota_v1);
}

uint32_t cria_cpu_quota(const char *root) {
    char path[300], text[8192];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!cria_read_text(path, text, sizeof text)) return UINT32_MAX;
    uint32_t lowest = UINT32_MAX;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        const uint32_t q = quota_of_line(root, line);
        if (q < lowest) lowest = q;
    }
    return lowest;
}

void cria_cpu_detect(struct cria_cpu *out) {
    out->flags = out->detected = detect_flags();
    cria_topology_detect(&out->topology);
    out->quota = cria_cpu_quota("");
    out->threads = out->topology.n_cores < out->quota ? out->topology.n_cores : out->quota;
}
