/* SPDX-License-Identifier: Apache-2.0 */
/* The quantized product with one token (matvec_tmpl.c) for AVX-VNNI: vpdpbusd. */
#include "kernels/x86/matmul_q_avx2.h"

enum { MOST_LEVEL = 255 };
#define MATVEC_PLAN cria_matvec_plan_avxvnni
#define APART false

INLINE ints add_four(ints sum, ints levels, ints a) { return _mm256_dpbusd_avx_epi32(sum, levels, a); }

#include "kernels/x86/matvec_four_tmpl.c"
