/* SPDX-License-Identifier: Apache-2.0 */
/* The activation quantizer for AVX-512: one unit of 32 inputs in two registers. */
#include "kernels/x86/avx512.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

struct unit {
    __m512i a[2]; /* inputs 16i..16i+15 */
    float d;
};

static inline __m256i high(__m512i v) { return _mm512_extracti64x4_epi64(v, 1); }

static inline uint32_t max_of_lanes(__m512i v) {
    const __m256i m8 = _mm256_max_epi32(_mm512_castsi512_si256(v), high(v));
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(m8), _mm256_extracti128_si256(m8, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

static inline int32_t sum_of_lanes(__m512i v) {
    const __m256i s8 = _mm256_add_epi32(_mm512_castsi512_si256(v), high(v));
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(s8), _mm256_extracti128_si256(s8, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

static inline float as_float(uint32_t bits) {
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)bits)));
}

/* n <= 32 inputs, zeros after them. Magnitudes are compared as integers, where NaN is above all numbers. */
static inline struct unit quantize_unit(const float *x, uint32_t n, float max) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const __m512 v0 = _mm512_maskz_loadu_ps(avx512_mask(n < 16 ? n : 16), x);
    const __m512 v1 = _mm512_maskz_loadu_ps(avx512_mask(n < 16 ? 0 : n - 16), x + 16);
    const uint32_t bits =
        max_of_lanes(_mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(v0), magnitude),
                                      _mm512_and_si512(_mm512_castps_si512(v1), magnitude)));
    const float t = as_float(bits);
    struct unit u;
    if (bits >= 0x7f800000u || t < CRIA_QUANTIZE_MIN) {
        u.a[0] = u.a[1] = _mm512_setzero_si512();
        u.d = bits >= 0x7f800000u ? NAN : 0.0f;
        return u;
    }
    const __m512 inv = _mm512_set1_ps(max / t);
    u.a[0] = _mm512_cvtps_epi32(_mm512_mul_ps(v0, inv));
    u.a[1] = _mm512_cvtps_epi32(_mm512_mul_ps(v1, inv));
    u.d = cria_act_scale(t / max);
    return u;
}

/* Every number fits into int8: the saturation of the conversion is not used. */
static inline void store_unit(const struct unit *u, int8_t *q, size_t ldq, uint32_t planes) {
    for (int i = 0; i < 2; i++) {
        __m512i lo = u->a[i];
        if (planes == 2) {
            const __m512i hi = _mm512_srai_epi32(_mm512_add_epi32(lo, _mm512_set1_epi32(128)), 8);
            lo = _mm512_sub_epi32(lo, _mm512_slli_epi32(hi, 8));
            _mm_storeu_si128((__m128i *)(q + ldq + 16 * i), _mm512_cvtsepi32_epi8(hi));
        }
        _mm_storeu_si128((__m128i *)(q + 16 * i), _mm512_cvtsepi32_epi8(lo));
    }
}

void cria_quantize_avx512(const cria_act *act, uint32_t t, const float *x) {
    const uint32_t k = act->k, units = (k + 31) / 32, group = act->group, planes = act->planes;
    const float max = planes == 1 ? 127.0f : 32639.0f;
    int8_t *q = act->q + (size_t)t * planes * act->ldq;
    float *d = act->d + (size_t)t * act->ldd, *u = group ? act->u + (size_t)t * act->ldu : NULL;
    int32_t *sum = act->sum + (size_t)t * act->ldd;
    for (uint32_t j = 0; j < units; j++) {
        const uint32_t left = k - j * 32;
        const struct unit unit = quantize_unit(x + (size_t)j * 32, left < 32 ? left : 32, max);
        store_unit(&unit, q + (size_t)j * 32, act->ldq, planes);
        d[j] = unit.d;
        sum[j] = sum_of_lanes(_mm512_add_epi32(unit.a[0], unit.a[1]));
        if (group == 16) {
            u[2 * j] = (float)sum_of_lanes(unit.a[0]) * unit.d;
            if (left > 16) u[2 * j + 1] = (float)sum_of_lanes(unit.a[1]) * unit.d;
        } else if (group) {
            float *g = &u[j * 32 / group];
            *g = j * 32 % group == 0 ? (float)sum[j] * unit.d : fmaf((float)sum[j], unit.d, *g);
        }
    }
    const size_t done = (size_t)units * 32, groups = group ? (k + group - 1) / group : 0;
    for (uint32_t p = 0; p < planes; p++) memset(q + p * act->ldq + done, 0, act->ldq - done);
    memset(d + units, 0, (act->ldd - units) * sizeof *d);
    memset(sum + units, 0, (act->ldd - units) * sizeof *sum);
    if (group) memset(u + groups, 0, (act->ldu - groups) * sizeof *u);
}
