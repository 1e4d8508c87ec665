/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of what fills the KV cache and of the queries that meet integers (kernels.h). */
#include "base/half.h"
#include "kernels/kv_store.h"
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

/* cria_store_fn */
static float store_whole(void *out, size_t bytes, size_t pair, size_t one, const float *x, uint32_t n, float max) {
    int32_t a[1024];
    const float d = cria_quantize_unit_ref(x, n, max, a);
    for (uint32_t i = 0; i < n; i++) {
        const size_t at = i / 2 * pair + i % 2 * one;
        if (bytes == 1)
            ((int8_t *)out)[at] = (int8_t)a[i];
        else
            ((int16_t *)out)[at] = (int16_t)a[i];
    }
    return d;
}

void cria_kv_store_ref(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                       const float *k, const float *v) {
    if (cria_kv_is_whole(kv)) {
        float rotated[1024];
        rotate(rotated, k, e);
        cria_kv_store_whole(k_block, v_block, kv, e, p, rotated, v, store_whole);
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
