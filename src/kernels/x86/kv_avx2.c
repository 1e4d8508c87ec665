/* SPDX-License-Identifier: Apache-2.0 */
/* kv_store and quantize_query for AVX2. Where neighbours in memory belong to other positions, which other
 * threads may be storing, elements are stored one by one. */
#include "base/half.h"
#include "kernels/kv_store.h"
#include "kernels/x86/avx2.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

static void store_f16(uint16_t *k_out, uint16_t *v_out, uint32_t e, const float *k, const float *v) {
    uint32_t i = 0;
    for (; i + 8 <= e; i += 8) {
        uint16_t column[8];
        _mm_storeu_si128((__m128i *)column,
                         _mm256_cvtps_ph(_mm256_loadu_ps(k + i), _MM_FROUND_TO_NEAREST_INT));
        _mm_storeu_si128((__m128i *)(v_out + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(v + i), _MM_FROUND_TO_NEAREST_INT));
        for (uint32_t j = 0; j < 8; j++) k_out[(size_t)(i + j) * 16] = column[j];
    }
    for (; i < e; i++) {
        k_out[(size_t)i * 16] = cria_f32_to_f16(k[i]);
        v_out[i] = cria_f32_to_f16(v[i]);
    }
}

static void store_f32(float *k_out, float *v_out, uint32_t e, const float *k, const float *v) {
    for (uint32_t i = 0; i < e; i++) k_out[(size_t)i * 16] = k[i];
    memcpy(v_out, v, e * sizeof *v);
}

/* One stage of the rotation within registers of 8: other has the lanes i ^ s, and those with i & s change sign. */
static inline __m256 stage(__m256 v, __m256 other, __m256 sign) {
    return _mm256_add_ps(_mm256_xor_ps(v, sign), other);
}

static inline __m256 signs(int s) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), bit = _mm256_set1_epi32(s);
    const __m256i on = _mm256_cmpeq_epi32(_mm256_and_si256(lane, bit), bit);
    return _mm256_castsi256_ps(_mm256_slli_epi32(on, 31));
}

/* y = x rotated (kernels.h); returns H. */
static uint32_t rotate(float *y, const float *x, uint32_t n) {
    const uint32_t h = n & (0u - n);
    memcpy(y, x, n * sizeof *y);
    for (uint32_t s = h / 2; s >= 8; s /= 2) {
        for (uint32_t i = 0; i < n; i += 2 * s) {
            for (uint32_t j = i; j < i + s; j += 8) {
                const __m256 a = _mm256_loadu_ps(y + j), b = _mm256_loadu_ps(y + j + s);
                _mm256_storeu_ps(y + j, _mm256_add_ps(a, b));
                _mm256_storeu_ps(y + j + s, _mm256_sub_ps(a, b));
            }
        }
    }
    if (h >= 8) {
        const __m256 sign4 = signs(4), sign2 = signs(2), sign1 = signs(1);
        for (uint32_t i = 0; i < n; i += 8) {
            __m256 v = _mm256_loadu_ps(y + i);
            v = stage(v, _mm256_permute2f128_ps(v, v, 1), sign4);
            v = stage(v, _mm256_permute_ps(v, 0x4e), sign2);
            v = stage(v, _mm256_permute_ps(v, 0xb1), sign1);
            _mm256_storeu_ps(y + i, v);
        }
        return h;
    }
    for (uint32_t s = h / 2; s > 0; s /= 2) {
        for (uint32_t i = 0; i < n; i++) {
            if (i & s) continue;
            const float a = y[i], b = y[i + s];
            y[i] = a + b;
            y[i + s] = a - b;
        }
    }
    return h;
}

/* cria_store_fn */
static float store_whole(void *out, size_t bytes, size_t pair, size_t one, const float *x, uint32_t n, float max) {
    const struct avx2_unit u = avx2_unit_of(x, n, max);
    for (uint32_t i = 0; i < n; i += 8) {
        const uint32_t left = n - i < 8 ? n - i : 8;
        const __m256i a = avx2_integers(x + i, left, &u);
        int16_t a16[8];
        _mm_storeu_si128((__m128i *)(void *)a16,
                         _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
        for (uint32_t j = 0; j < left; j++) {
            const size_t at = (i + j) / 2 * pair + j % 2 * one;
            if (bytes == 1)
                ((int8_t *)out)[at] = (int8_t)a16[j];
            else
                ((int16_t *)out)[at] = a16[j];
        }
    }
    return u.d;
}

void cria_kv_store_avx2(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                        const float *k, const float *v) {
    const size_t k0 = (size_t)(p / 16) * e * 16 + p % 16, v0 = (size_t)p * e;
    if (kv == CRIA_KV_ELEM_F16) {
        store_f16((uint16_t *)k_block + k0, (uint16_t *)v_block + v0, e, k, v);
    } else if (kv == CRIA_KV_ELEM_F32) {
        store_f32((float *)k_block + k0, (float *)v_block + v0, e, k, v);
    } else {
        float rotated[1024];
        rotate(rotated, k, e);
        cria_kv_store_whole(k_block, v_block, kv, e, p, rotated, v, store_whole);
    }
}

void cria_quantize_query_avx2(int16_t *a, float *d, const float *x, size_t n, float max) {
    float rotated[1024];
    const uint32_t h = rotate(rotated, x, (uint32_t)n);
    *d = avx2_quantize(a, rotated, n, max) * (1.0f / (float)h);
}
