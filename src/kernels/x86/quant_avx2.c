/* SPDX-License-Identifier: Apache-2.0 */
/* The activation quantizers for AVX2: one unit of 32 inputs in four registers, or whole integers. */
#include "kernels/x86/avx2.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

struct unit {
    __m256i a[4]; /* inputs 8i..8i+7 */
    float d;
};

static inline uint32_t max_of_lanes(__m256i v) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

static inline int32_t sum_of_lanes(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

static inline float as_float(uint32_t bits) {
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)bits)));
}

/* x[0..32). Magnitudes are compared as integers, where NaN is above all numbers. */
static inline struct unit quantize_unit(const float *x, float max) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    struct unit u;
    __m256 v[4];
    __m256i top = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + 8 * i);
        top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
    }
    const uint32_t bits = max_of_lanes(top);
    const float t = as_float(bits);
    if (bits >= 0x7f800000u || t < CRIA_QUANTIZE_MIN) {
        for (int i = 0; i < 4; i++) u.a[i] = _mm256_setzero_si256();
        u.d = bits >= 0x7f800000u ? NAN : 0.0f;
        return u;
    }
    const __m256 inv = _mm256_set1_ps(max / t);
    for (int i = 0; i < 4; i++) u.a[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inv));
    u.d = cria_act_scale(t / max);
    return u;
}

/* 32 int32 that fit into int8, in order. */
static inline __m256i narrow(const __m256i a[4]) {
    const __m256i p = _mm256_packs_epi16(_mm256_packs_epi32(a[0], a[1]), _mm256_packs_epi32(a[2], a[3]));
    return _mm256_permutevar8x32_epi32(p, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static inline void store_unit(const struct unit *u, int8_t *q, size_t ldq, uint32_t planes) {
    if (planes == 1) {
        _mm256_storeu_si256((__m256i *)q, narrow(u->a));
        return;
    }
    __m256i hi[4], lo[4];
    for (int i = 0; i < 4; i++) {
        hi[i] = _mm256_srai_epi32(_mm256_add_epi32(u->a[i], _mm256_set1_epi32(128)), 8);
        lo[i] = _mm256_sub_epi32(u->a[i], _mm256_slli_epi32(hi[i], 8));
    }
    _mm256_storeu_si256((__m256i *)q, narrow(lo));
    _mm256_storeu_si256((__m256i *)(q + ldq), narrow(hi));
}

void cria_quantize_h_avx2(const cria_act *act, uint32_t t, const float *x) {
    int16_t *q = (int16_t *)(void *)act->q + (size_t)t * act->ldq;
    float *d = act->d + (size_t)t * act->ldd;
    for (uint32_t k = 0, n; k < act->k; k += n) {
        n = act->k - k < CRIA_STEP_GROUP ? act->k - k : CRIA_STEP_GROUP;
        d[k / CRIA_STEP_GROUP] = avx2_quantize(q + k, x + k, n, CRIA_WHOLE_MAX);
    }
}

void cria_quantize_avx2(const cria_act *act, uint32_t t, const float *x) {
    const uint32_t k = act->k, units = (k + 31) / 32, group = act->group, planes = act->planes;
    const float max = planes == 1 ? 127.0f : 32639.0f;
    int8_t *q = act->q + (size_t)t * planes * act->ldq;
    float *d = act->d + (size_t)t * act->ldd, *u = group ? act->u + (size_t)t * act->ldu : NULL;
    int32_t *sum = act->sum + (size_t)t * act->ldd;
    for (uint32_t j = 0; j < units; j++) {
        float last[32] = {0};
        const uint32_t left = k - j * 32;
        if (left < 32) memcpy(last, x + (size_t)j * 32, left * sizeof *x);
        const struct unit unit = quantize_unit(left < 32 ? last : x + (size_t)j * 32, max);
        store_unit(&unit, q + (size_t)j * 32, act->ldq, planes);
        const __m256i sum0 = _mm256_add_epi32(unit.a[0], unit.a[1]),
                      sum1 = _mm256_add_epi32(unit.a[2], unit.a[3]);
        d[j] = unit.d;
        sum[j] = sum_of_lanes(_mm256_add_epi32(sum0, sum1));
        if (group == 16) {
            u[2 * j] = (float)sum_of_lanes(sum0) * unit.d;
            if (left > 16) u[2 * j + 1] = (float)sum_of_lanes(sum1) * unit.d;
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
