/* SPDX-License-Identifier: Apache-2.0 */
/* kv_store and quantize_query for NEON. Where neighbours in memory belong to other positions, which other
 * threads may be storing, elements are stored one by one. */
#include "base/half.h"
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/neon.h"
#include "kernels/kv_store.h"
#include <math.h>
#include <string.h>

static void store_f16(uint16_t *k_out, uint16_t *v_out, uint32_t e, const float *k, const float *v) {
    uint32_t i = 0;
    for (; i + 4 <= e; i += 4) {
        uint16_t column[4];
        vst1_u16(column, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(k + i))));
        vst1_u16(v_out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(v + i))));
        for (uint32_t j = 0; j < 4; j++) k_out[(size_t)(i + j) * 16] = column[j];
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

/* y = x rotated (kernels.h); returns H. */
static uint32_t rotate(float *y, const float *x, uint32_t n) {
    const uint32_t h = n & (0u - n);
    memcpy(y, x, n * sizeof *y);
    for (uint32_t s = h / 2; s >= 4; s /= 2) {
        for (uint32_t i = 0; i < n; i += 2 * s) {
            for (uint32_t j = i; j < i + s; j += 4) {
                const float32x4_t a = vld1q_f32(y + j), b = vld1q_f32(y + j + s);
                vst1q_f32(y + j, vaddq_f32(a, b));
                vst1q_f32(y + j + s, vsubq_f32(a, b));
            }
        }
    }
    for (uint32_t s = h >= 4 ? 2 : h / 2; s > 0; s /= 2) {
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
    const struct neon_unit u = neon_unit_of(x, n, max);
    for (uint32_t i = 0; i < n; i += 4) {
        int16_t a[4];
        vst1_s16(a, neon_integers(x + i, n - i, &u));
        for (uint32_t j = 0; j < 4 && i + j < n; j++) {
            const size_t at = (i + j) / 2 * pair + j % 2 * one;
            if (bytes == 1)
                ((int8_t *)out)[at] = (int8_t)a[j];
            else
                ((int16_t *)out)[at] = a[j];
        }
    }
    return u.d;
}

void cria_kv_store_neon(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
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

void cria_quantize_query_neon(int16_t *a, float *d, const float *x, size_t n, float max) {
    float rotated[1024];
    const uint32_t h = rotate(rotated, x, (uint32_t)n);
    *d = neon_quantize(a, rotated, n, max) * (1.0f / (float)h);
}
