/* SPDX-License-Identifier: Apache-2.0 */
/* What the AVX2 files share: tails, sums in the fixed tree, units, exp. Inline; included by *_avx2.c only. */
#ifndef CRIA_KERNELS_X86_AVX2_H
#define CRIA_KERNELS_X86_AVX2_H

#include "kernels/poly.h"
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Lanes 0..n−1 all ones, n in 0..8. */
static inline __m256i avx2_mask(size_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

/* The sum of 16 virtual lanes, 0–7 in a and 8–15 in b, by the tree of kernels.h. */
static inline float avx2_tree(__m256 a, __m256 b) {
    const __m256 s8 = _mm256_add_ps(a, b);
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/* A unit (struct cria_act) whose largest magnitude, as bits, is among the lanes of top: x·inv rounded gives the
 * integers, except that all are 0 where d is NaN. */
struct avx2_unit {
    float inv, d;
};
static inline struct avx2_unit avx2_unit(__m256i top, float max) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    const float t = _mm_cvtss_f32(_mm_castsi128_ps(m));
    struct avx2_unit u = {0.0f, __builtin_nanf("")};
    if (_mm_cvtsi128_si32(m) >= 0x7f800000) return u;
    u.d = 0.0f;
    if (t < 0x1p-112f) return u; /* CRIA_QUANTIZE_MIN */
    u.inv = max / t;
    u.d = t / max;
    return u;
}

static inline __m256i avx2_magnitude(__m256 x) {
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}

/* Of x[0..n). */
static inline struct avx2_unit avx2_unit_of(const float *x, size_t n, float max) {
    __m256i top = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) top = _mm256_max_epi32(top, avx2_magnitude(_mm256_loadu_ps(x + i)));
    if (i < n) top = _mm256_max_epi32(top, avx2_magnitude(_mm256_maskload_ps(x + i, avx2_mask(n - i))));
    return avx2_unit(top, max);
}

/* The integers of x[0..8), or of n < 8 of them and zeros. */
static inline __m256i avx2_integers(const float *x, size_t n, const struct avx2_unit *u) {
    if (isnan(u->d)) return _mm256_setzero_si256();
    const __m256 v = n >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, avx2_mask(n));
    return _mm256_cvtps_epi32(_mm256_mul_ps(v, _mm256_set1_ps(u->inv)));
}

/* A unit of x[0..n), whose integers fit into 16 bits. Returns its d. */
static inline float avx2_quantize(int16_t *a, const float *x, size_t n, float max) {
    const struct avx2_unit u = avx2_unit_of(x, n, max);
    for (size_t i = 0; i < n; i += 8) {
        const size_t left = n - i < 8 ? n - i : 8;
        const __m256i w = avx2_integers(x + i, left, &u);
        const __m128i w16 = _mm_packs_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
        int16_t last[8];
        _mm_storeu_si128((__m128i *)(void *)(left == 8 ? a + i : last), w16);
        if (left < 8) memcpy(a + i, last, left * sizeof *a);
    }
    return u.d;
}

/* cria_expf (poly.h) */
static inline __m256 avx2_exp(__m256 x) {
    const __m256 over = _mm256_cmp_ps(x, _mm256_set1_ps(CRIA_EXP_HI), _CMP_NLE_UQ);
    const __m256 under = _mm256_cmp_ps(x, _mm256_set1_ps(CRIA_EXP_LO), _CMP_LT_OQ);
    const __m256 one = _mm256_set1_ps(1.0f), round = _mm256_set1_ps(CRIA_EXP_ROUND);
    const __m256 t = _mm256_fmadd_ps(x, _mm256_set1_ps(CRIA_EXP_LOG2E), round);
    const __m256 n = _mm256_sub_ps(t, round);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(CRIA_EXP_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(CRIA_EXP_LN2_LO), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(CRIA_EXP_C6), r, _mm256_set1_ps(CRIA_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(CRIA_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(CRIA_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(CRIA_EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    const __m256i bits =
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23));
    const __m256 y = _mm256_andnot_ps(under, _mm256_castsi256_ps(bits));
    return _mm256_blendv_ps(y, _mm256_add_ps(x, _mm256_set1_ps(__builtin_inff())), over);
}

#endif
