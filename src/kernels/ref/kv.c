/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of what fills the KV cache and of the queries that meet integers (kernels.h). */
#include "base/half.h"
#include "kernels/ref/ref.h"
#include <string.h>

/* y = x rotated; returns H. */
static uint32_t rotate(float *y, const float *x, uint32_t n) {
    const uint32_t h = n & (0u - n);
    memcpy(y, x, n * sizeof *y);
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

/* The integers of x[0..n) become numbers of a block: i at out + i/2·pair + i%2·one. */
static float store_whole(void *out, enum cria_kv_elem kv, size_t pair, size_t one, const float *x, uint32_t n,
                         float max) {
    int32_t a[1024];
    const float d = cria_quantize_unit_ref(x, n, max, a);
    for (uint32_t i = 0; i < n; i++) {
        const size_t at = i / 2 * pair + i % 2 * one;
        if (kv == CRIA_KV_ELEM_I8)
            ((int8_t *)out)[at] = (int8_t)a[i];
        else
            ((int16_t *)out)[at] = (int16_t)a[i];
    }
    return d;
}

void cria_kv_store_ref(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                       const float *k, const float *v) {
    if (cria_kv_is_whole(kv)) {
        const size_t bytes = kv == CRIA_KV_ELEM_I8 ? 1 : 2, integers = CRIA_KV_BLOCK * e * bytes;
        const struct cria_kv_limits most = cria_kv_limits(kv, e);
        uint8_t *keys = k_block, *values = v_block;
        float rotated[1024];
        rotate(rotated, k, e);
        ((float *)(void *)(keys + integers))[p] =
            store_whole(keys + ((size_t)(p / 16) * e * 16 + p % 16 * 2) * bytes, kv, 32, 1, rotated, e, most.key);
        ((float *)(void *)(values + integers))[p] =
            store_whole(values + ((size_t)(p / 2) * e * 2 + p % 2) * bytes, kv, 4, 2, v, e, most.value);
        return;
    }
    const size_t k0 = (size_t)(p / 16) * e * 16 + p % 16, v0 = (size_t)p * e;
    for (uint32_t i = 0; i < e; i++) {
        const size_t at_k = k0 + (size_t)i * 16, at_v = v0 + i;
        if (kv == CRIA_KV_ELEM_F32) {
            ((float *)k_block)[at_k] = k[i];
            ((float *)v_block)[at_v] = v[i];
        } else {
            ((uint16_t *)k_block)[at_k] = cria_f32_to_f16(k[i]);
            ((uint16_t *)v_block)[at_v] = cria_f32_to_f16(v[i]);
        }
    }
}

void cria_quantize_query_ref(int16_t *a, float *d, const float *x, size_t n, float max) {
    int32_t whole[1024];
    float rotated[1024];
    const uint32_t h = rotate(rotated, x, (uint32_t)n);
    *d = cria_quantize_unit_ref(rotated, n, max, whole) * (1.0f / (float)h);
    for (size_t i = 0; i < n; i++) a[i] = (int16_t)whole[i];
}
