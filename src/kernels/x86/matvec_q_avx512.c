/* SPDX-License-Identifier: Apache-2.0 */
/* The quantized product with one token (matvec_tmpl.c) for AVX-512 without VNNI: vpmaddubsw, whose 16-bit sums of two
 * products hold levels of up to 127, and vpmaddwd. */
#include "kernels/x86/matmul_q_avx512.h"

enum { MOST_LEVEL = 127 };
#define MATVEC_PLAN cria_matvec_plan_avx512

INLINE ints add_four(ints sum, ints levels, ints a) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(levels, a), _mm512_set1_epi16(1)));
}

#include "kernels/x86/matvec_four_tmpl.c"
