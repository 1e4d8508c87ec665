/* SPDX-License-Identifier: Apache-2.0 */
/* The quantized product with one token (matvec_tmpl.c) for AVX-512 VNNI: vpdpbusd. */
#include "kernels/x86/matmul_q_avx512.h"

enum { MOST_LEVEL = 255 };
#define MATVEC_PLAN cria_matvec_plan_avx512vnni

INLINE ints add_four(ints sum, ints levels, ints a) { return _mm512_dpbusd_epi32(sum, levels, a); }

#include "kernels/x86/matvec_four_tmpl.c"
