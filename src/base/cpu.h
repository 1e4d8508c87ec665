/* SPDX-License-Identifier: Apache-2.0 */
/* What this processor can do, what the operating system lets us use of it, and how many threads are sensible.
 * Only detection and policy; the kernel tables are filled in kernels/. */
#ifndef CRIA_BASE_CPU_H
#define CRIA_BASE_CPU_H

#include "cria/cria.h"

enum cria_cpu_flags {
    /* x86; each includes the OS-state check (XGETBV) */
    CRIA_CPU_AVX2 = 1 << 0,       /* AVX2 + FMA + F16C */
    CRIA_CPU_AVXVNNI = 1 << 1,
    CRIA_CPU_AVX512 = 1 << 2,     /* F, BW, DQ, VL, CD */
    CRIA_CPU_AVX512VNNI = 1 << 3,
    CRIA_CPU_AVX512BF16 = 1 << 4,
    /* aarch64 */
    CRIA_CPU_NEON = 1 << 8,
    CRIA_CPU_DOTPROD = 1 << 9,
    CRIA_CPU_I8MM = 1 << 10
};

struct cria_cpu {
    uint32_t flags;   /* enum cria_cpu_flags */
    uint32_t threads; /* min(physical cores in the affinity mask, ceil(cgroup cpu.max)), at least 1 */
};

void cria_cpu_detect(struct cria_cpu *out);

/* The flags left when isa ("auto"/NULL, "scalar", "avx2", "avx512", "neon") lowers the choice. CRIA_EINVAL with a
 * sentence naming what the processor has when isa is unknown or not available. With isa NULL the environment
 * variable CRIA_ISA takes its place where it is set; "auto" ignores it. */
cria_status cria_cpu_lower(uint32_t flags, const char *isa, uint32_t *out, cria_error *err);

/* The two parts of .threads, by the files under root ("" in earnest; tests make their own /proc and /sys).
 * Cores among the processors in mask (bit i of mask[0..n_words) is processor i), hardware threads of a core
 * counted once; at least 1. */
uint32_t cria_cpu_cores(const char *root, const uint64_t *mask, size_t n_words);
/* The cgroup's CPU quota rounded up to whole processors, UINT32_MAX when there is none. */
uint32_t cria_cpu_quota(const char *root);

#endif
