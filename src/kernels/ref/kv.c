/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of what fills the KV cache and of I8 queries (kernels.h). */
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

static void store_i8(int8_t *k_block, int8_t *v_block, uint32_t e, uint32_t p, const float *k, const float *v) {
    int32_t a[1024];
    float rotated[1024];
    rotate(rotated, k, e);
    float *scales = (float *)(void *)(k_block + (size_t)CRIA_KV_BLOCK * e);
    scales[p] = cria_quantize_unit_ref(rotated, e, 127.0f, a);
    for (uint32_t i = 0; i < e; i++)
        k_block[(size_t)(p / 16) * e * 16 + i / 2 * 32 + p % 16 * 2 + i % 2] = (int8_t)a[i];
    scales = (float *)(void *)(v_block + (size_t)CRIA_KV_BLOCK * e);
    scales[p] = cria_quantize_unit_ref(v, e, 127.0f, a);
    for (uint32_t i = 0; i < e; i++) v_block[(size_t)(p / 2) * e * 2 + i * 2 + p % 2] = (int8_t)a[i];
}

void cria_kv_store_ref(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                       const float *k, const float *v) {
    if (kv == CRIA_KV_ELEM_I8) {
        store_i8(k_block, v_block, e, p, k, v);
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

void cria_quantize_query_ref(int16_t *a, float *d, const float *x, size_t n) {
    int32_t whole[1024];
    float rotated[1024];
    const uint32_t h = rotate(rotated, x, (uint32_t)n);
    *d = cria_quantize_unit_ref(rotated, n, CRIA_ATTEND_MAX, whole) * (1.0f / (float)h);
    for (size_t i = 0; i < n; i++) a[i] = (int16_t)whole[i];
}
