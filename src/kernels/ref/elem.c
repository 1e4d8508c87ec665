/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of the element-wise kernels, of rmsnorm and rope, and exp itself. Written to be read,
 * not to be fast: fmaf is a call where the compiler may not assume an fma instruction. */
#include "base/half.h"
#include "kernels/poly.h"
#include "kernels/ref/ref.h"
#include <math.h>

float cria_expf(float x) {
    if (!(x <= CRIA_EXP_HI)) return x + INFINITY;
    if (x < CRIA_EXP_LO) return 0.0f;
    const float t = fmaf(x, CRIA_EXP_LOG2E, CRIA_EXP_ROUND);
    const float n = t - CRIA_EXP_ROUND;
    const float r = fmaf(n, -CRIA_EXP_LN2_LO, fmaf(n, -CRIA_EXP_LN2_HI, x));
    float p = fmaf(CRIA_EXP_C6, r, CRIA_EXP_C5);
    p = fmaf(p, r, CRIA_EXP_C4);
    p = fmaf(p, r, CRIA_EXP_C3);
    p = fmaf(p, r, CRIA_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return cria_f32_from_bits(cria_f32_to_bits(p) + (cria_f32_to_bits(t) << 23));
}

void cria_rmsnorm_ref(float *y, const float *x, const float *w, float eps, size_t n) {
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++) lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t j = 0; j < half; j++) lane[j] += lane[j + half];
    const float r = 1.0f / sqrtf(lane[0] / (float)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * r * w[i];
}

void cria_add_ref(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void cria_silu_mul_ref(float *y, const float *g, const float *u, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = g[i] / (1.0f + cria_expf(-g[i])) * u[i];
}

void cria_gelu_mul_ref(float *y, const float *g, const float *u, size_t n) {
    for (size_t i = 0; i < n; i++)
        y[i] = g[i] / (1.0f + cria_expf(g[i] * fmaf(g[i] * g[i], CRIA_GELU_A, CRIA_GELU_B))) * u[i];
}

void cria_softcap_ref(float *x, float cap, size_t n) {
    const float a = 2.0f / cap, twice = 2.0f * cap;
    for (size_t i = 0; i < n; i++) x[i] = cap - twice / (cria_expf(x[i] * a) + 1.0f);
}

void cria_rope_ref(float *x, uint32_t n_heads, uint32_t e, uint32_t rot, const float *cos, const float *sin) {
    const uint32_t half = rot / 2;
    for (uint32_t h = 0; h < n_heads; h++) {
        float *head = x + (size_t)h * e;
        for (uint32_t i = 0; i < half; i++) {
            float *a = head + i, *b = a + half;
            const float x0 = *a, x1 = *b;
            *a = fmaf(x0, cos[i], -(x1 * sin[i]));
            *b = fmaf(x1, cos[i], x0 * sin[i]);
        }
    }
}

void cria_scale_ref(float *y, const float *x, float a, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = x[i] * a;
}

void cria_add_scaled_ref(float *y, const float *x, float a, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

void cria_widen_ref(float *y, const uint16_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = cria_f16_to_f32(x[i]);
}
