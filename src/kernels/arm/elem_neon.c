/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise kernels, rmsnorm and rope for NEON. The ends of rows are done one by one, in the
 * same order and with the same operations; for exp, as a register with zeros in the missing lanes. */
#include "base/half.h"
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/neon.h"
#include "kernels/inline.h"
#include <math.h>
#include <string.h>

void cria_rmsnorm_neon(float *y, const float *x, const float *w, float eps, size_t n) {
    float32x4_t sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (int j = 0; j < 4; j++) {
            const float32x4_t v = vld1q_f32(x + i + 4 * j);
            sum[j] = vfmaq_f32(sum[j], v, v);
        }
    }
    float last[16] = {0}; /* lanes without an element: fma(0, 0, sum) is sum */
    memcpy(last, x + i, (n - i) * sizeof *x);
    for (int j = 0; j < 4; j++) {
        const float32x4_t v = vld1q_f32(last + 4 * j);
        sum[j] = vfmaq_f32(sum[j], v, v);
    }
    const float r = 1.0f / sqrtf(neon_tree(sum) / (float)n + eps);
    for (i = 0; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vmulq_f32(vmulq_f32(vld1q_f32(x + i), vdupq_n_f32(r)), vld1q_f32(w + i)));
    for (; i < n; i++) y[i] = x[i] * r * w[i];
}

void cria_add_neon(float *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, vaddq_f32(vld1q_f32(y + i), vld1q_f32(x + i)));
    for (; i < n; i++) y[i] += x[i];
}

void cria_scale_neon(float *y, const float *x, float a, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, vmulq_f32(vld1q_f32(x + i), vdupq_n_f32(a)));
    for (; i < n; i++) y[i] = x[i] * a;
}

void cria_add_scaled_neon(float *y, const float *x, float a, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, vfmaq_f32(vld1q_f32(y + i), vdupq_n_f32(a), vld1q_f32(x + i)));
    for (; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

void cria_widen_neon(float *y, const uint16_t *x, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, neon_load_f16(x + i));
    for (; i < n; i++) y[i] = cria_f16_to_f32(x[i]);
}

/* silu(g)·u or gelu(g)·u: both are g/(1 + exp(z))·u. */
CRIA_INLINE float32x4_t gated(float32x4_t g, float32x4_t u, bool gelu) {
    const float32x4_t a = vdupq_n_f32(CRIA_GELU_A), b = vdupq_n_f32(CRIA_GELU_B);
    const float32x4_t z = gelu ? vmulq_f32(g, vfmaq_f32(b, vmulq_f32(g, g), a)) : vnegq_f32(g);
    return vmulq_f32(vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0f), neon_exp(z))), u);
}

CRIA_INLINE void gate(float *y, const float *g, const float *u, size_t n, bool gelu) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, gated(vld1q_f32(g + i), vld1q_f32(u + i), gelu));
    float last[2][4] = {{0}};
    memcpy(last[0], g + i, (n - i) * sizeof *g);
    memcpy(last[1], u + i, (n - i) * sizeof *u);
    vst1q_f32(last[0], gated(vld1q_f32(last[0]), vld1q_f32(last[1]), gelu));
    memcpy(y + i, last[0], (n - i) * sizeof *y);
}

void cria_silu_mul_neon(float *y, const float *g, const float *u, size_t n) { gate(y, g, u, n, false); }
void cria_gelu_mul_neon(float *y, const float *g, const float *u, size_t n) { gate(y, g, u, n, true); }

static inline float32x4_t softcap(float32x4_t x, float cap) {
    const float32x4_t e = neon_exp(vmulq_f32(x, vdupq_n_f32(2.0f / cap)));
    return vsubq_f32(vdupq_n_f32(cap), vdivq_f32(vdupq_n_f32(2.0f * cap), vaddq_f32(e, vdupq_n_f32(1.0f))));
}

void cria_softcap_neon(float *x, float cap, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(x + i, softcap(vld1q_f32(x + i), cap));
    float last[4] = {0};
    memcpy(last, x + i, (n - i) * sizeof *x);
    vst1q_f32(last, softcap(vld1q_f32(last), cap));
    memcpy(x + i, last, (n - i) * sizeof *x);
}

/* The pair of vectors (x0, x1) turned. */
static inline float32x4x2_t turn(float32x4x2_t x, const float *cos, const float *sin) {
    const float32x4_t c = vld1q_f32(cos), s = vld1q_f32(sin);
    const float32x4x2_t y = {{vfmaq_f32(vnegq_f32(vmulq_f32(x.val[1], s)), x.val[0], c),
                              vfmaq_f32(vmulq_f32(x.val[0], s), x.val[1], c)}};
    return y;
}

/* One head: (i, i + half). */
static void rope_head(float *x, uint32_t half, const float *cos, const float *sin) {
    uint32_t i = 0;
    for (; i + 4 <= half; i += 4) {
        const float32x4x2_t v = {{vld1q_f32(x + i), vld1q_f32(x + half + i)}}, t = turn(v, cos + i, sin + i);
        vst1q_f32(x + i, t.val[0]);
        vst1q_f32(x + half + i, t.val[1]);
    }
    for (; i < half; i++) {
        const float x0 = x[i], x1 = x[half + i];
        x[i] = fmaf(x0, cos[i], -(x1 * sin[i]));
        x[half + i] = fmaf(x1, cos[i], x0 * sin[i]);
    }
}

void cria_rope_neon(float *x, uint32_t n_heads, uint32_t e, uint32_t rot, const float *cos, const float *sin) {
    for (uint32_t h = 0; h < n_heads; h++) rope_head(x + (size_t)h * e, rot / 2, cos, sin);
}
