/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise kernels, rmsnorm and rope for NEON. The ends of rows are done one by one, in the
 * same order and with the same operations; for exp, as a register with zeros in the missing lanes. */
#include "base/half.h"
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/neon.h"
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

static inline float32x4_t silu_mul(float32x4_t g, float32x4_t u) {
    const float32x4_t e = neon_exp(vnegq_f32(g));
    return vmulq_f32(vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0f), e)), u);
}

void cria_silu_mul_neon(float *y, const float *g, const float *u, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, silu_mul(vld1q_f32(g + i), vld1q_f32(u + i)));
    float last[2][4] = {{0}};
    memcpy(last[0], g + i, (n - i) * sizeof *g);
    memcpy(last[1], u + i, (n - i) * sizeof *u);
    vst1q_f32(last[0], silu_mul(vld1q_f32(last[0]), vld1q_f32(last[1])));
    memcpy(y + i, last[0], (n - i) * sizeof *y);
}

/* The pair of vectors (x0, x1) turned. */
static inline float32x4x2_t turn(float32x4x2_t x, const float *cos, const float *sin) {
    const float32x4_t c = vld1q_f32(cos), s = vld1q_f32(sin);
    const float32x4x2_t y = {{vfmaq_f32(vnegq_f32(vmulq_f32(x.val[1], s)), x.val[0], c),
                              vfmaq_f32(vmulq_f32(x.val[0], s), x.val[1], c)}};
    return y;
}

/* One head, in pairs (2i, 2i + 1) or halves (i, i + half). */
static void rope_head(float *x, uint32_t half, const float *cos, const float *sin, bool traditional) {
    uint32_t i = 0;
    for (; i + 4 <= half; i += 4) {
        if (traditional) {
            vst2q_f32(x + 2 * i, turn(vld2q_f32(x + 2 * i), cos + i, sin + i));
        } else {
            const float32x4x2_t v = {{vld1q_f32(x + i), vld1q_f32(x + half + i)}},
                                t = turn(v, cos + i, sin + i);
            vst1q_f32(x + i, t.val[0]);
            vst1q_f32(x + half + i, t.val[1]);
        }
    }
    for (; i < half; i++) {
        float *a = traditional ? x + 2 * i : x + i, *b = traditional ? a + 1 : a + half;
        const float x0 = *a, x1 = *b;
        *a = fmaf(x0, cos[i], -(x1 * sin[i]));
        *b = fmaf(x1, cos[i], x0 * sin[i]);
    }
}

void cria_rope_neon(float *x, uint32_t n_heads, uint32_t e, const float *cos, const float *sin,
                    bool traditional) {
    for (uint32_t h = 0; h < n_heads; h++) rope_head(x + (size_t)h * e, e / 2, cos, sin, traditional);
}
