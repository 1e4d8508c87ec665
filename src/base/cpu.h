/* SPDX-License-Identifier: Apache-2.0 */
/* What this processor can do, what the operating system lets us use of it, and how many threads are sensible: one a
 * physical core (a second hardware thread of a core adds nothing to kernels that keep its units busy).
 * Only detection and policy; the kernel tables are filled in kernels/. */
#ifndef CRIA_BASE_CPU_H
#define CRIA_BASE_CPU_H

#include "base/topology.h"
#include "cria/cria.h"

enum cria_cpu_flags {
    /* x86; each includes the OS-state check (XGETBV) */
    CRIA_CPU_AVX2 = 1 << 0,       /* AVX2 + FMA + F16C */
    CRIA_CPU_AVXVNNI = 1 << 1,
    CRIA_CPU_AVX512 = 1 << 2,     /* F, BW, DQ, VL, CD */
    CRIA_CPU_AVX512VNNI = 1 << 3,
    CRIA_CPU_AVX512BF16 = 1 << 4, /* no kernel uses it: see matmul_f in kernels/kernels.h */
    /* aarch64 */
    CRIA_CPU_NEON = 1 << 8,
    CRIA_CPU_DOTPROD = 1 << 9,
    CRIA_CPU_I8MM = 1 << 10
};

struct cria_cpu {
    uint32_t flags;    /* enum cria_cpu_flags, to be used */
    uint32_t detected; /* the same before cria_cpu_lower */
    uint32_t quota;    /* cria_cpu_quota */
    uint32_t threads;  /* min(physical cores in the affinity mask, quota), at least 1 */
    struct cria_topology topology;
};

void cria_cpu_detect(struct cria_cpu *out);

/* The flags left when isa lowers the choice: all for "auto" or NULL, else those that the table of that name
 * needs ("scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "dotprod", "i8mm"). CRIA_EINVAL with a
 * sentence naming what the processor has when isa is unknown or not available. With isa NULL the environment
 * variable CRIA_ISA takes its place where it is set; "auto" ignores it. */
cria_status cria_cpu_lower(uint32_t flags, const char *isa, uint32_t *out, cria_error *err);

/* The cgroup's CPU quota rounded up to whole processors, UINT32_MAX when there is none. By the files under root ("" in
 * earnest; tests make their own /proc and /sys). */
uint32_t cria_cpu_quota(const char *root);

#endif
