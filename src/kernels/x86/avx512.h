/* SPDX-License-Identifier: Apache-2.0 */
/* What the AVX-512 files share: tails, sums in the fixed tree, exp. Inline; included by *_avx512.c only. */
#ifndef CRIA_KERNELS_X86_AVX512_H
#define CRIA_KERNELS_X86_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/poly.h"

/* An operand of inline assembly; emulated (tests/checkkern/simde) the registers live in memory anyway. */
#if defined(__AVX512F__)
#define AVX512_REGISTER "v"
#else
#define AVX512_REGISTER "m"
#endif

/* Keeps a running sum in its register: GCC copies those of vpdpwssd and runs out of registers (as in
 * unpack_avx2.h). */
static inline void avx512_hold(__m512i *sum) { __asm__("" : "+" AVX512_REGISTER(*sum)); }

/* Lanes 0..n−1, n in 0..16. */
static inline __mmask16 avx512_mask(size_t n) { return (__mmask16)((1u << n) - 1); }

static inline __m256 avx512_high(__m512 v) {
    return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
}

/* The sum of the 16 virtual lanes by the tree of kernels.h. */
static inline float avx512_tree(__m512 v) {
    const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(v), avx512_high(v));
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/* cria_expf (poly.h) */
static inline __m512 avx512_exp(__m512 x) {
    const __mmask16 over = _mm512_cmp_ps_mask(x, _mm512_set1_ps(CRIA_EXP_HI), _CMP_NLE_UQ);
    const __mmask16 under = _mm512_cmp_ps_mask(x, _mm512_set1_ps(CRIA_EXP_LO), _CMP_LT_OQ);
    const __m512 one = _mm512_set1_ps(1.0f), round = _mm512_set1_ps(CRIA_EXP_ROUND);
    const __m512 t = _mm512_fmadd_ps(x, _mm512_set1_ps(CRIA_EXP_LOG2E), round);
    const __m512 n = _mm512_sub_ps(t, round);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-CRIA_EXP_LN2_HI), x);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(-CRIA_EXP_LN2_LO), r);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(CRIA_EXP_C6), r, _mm512_set1_ps(CRIA_EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(CRIA_EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(CRIA_EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(CRIA_EXP_C2));
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_fmadd_ps(p, r, one);
    const __m512i bits =
        _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(t), 23));
    const __m512 y = _mm512_maskz_mov_ps((__mmask16)~under, _mm512_castsi512_ps(bits));
    return _mm512_mask_add_ps(y, over, x, _mm512_set1_ps(__builtin_inff()));
}

#endif
