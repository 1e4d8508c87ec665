/* SPDX-License-Identifier: Apache-2.0 */
/* What the NEON files share: sums in the fixed tree, units, exp, half floats. Inline; included by *_neon.c only. */
#ifndef CRIA_KERNELS_ARM_NEON_H
#define CRIA_KERNELS_ARM_NEON_H

#include "kernels/poly.h"
#include <arm_neon.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The sum of 16 virtual lanes, 4i..4i+3 in v[i], by the tree of kernels.h. */
static inline float neon_tree(const float32x4_t v[4]) {
    const float32x4_t s4 = vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]));
    const float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}

/* A unit (struct cria_act) whose largest magnitude, as bits, is among the lanes of top: x·inv rounded gives the
 * integers, except that all are 0 where d is NaN. */
struct neon_unit {
    float inv, d;
};
static inline struct neon_unit neon_unit(uint32x4_t top, float max) {
    const uint32_t bits = vmaxvq_u32(top);
    const float t = vgetq_lane_f32(vreinterpretq_f32_u32(vdupq_n_u32(bits)), 0);
    struct neon_unit u = {0.0f, __builtin_nanf("")};
    if (bits >= 0x7f800000u) return u;
    u.d = 0.0f;
    if (t < 0x1p-112f) return u; /* CRIA_QUANTIZE_MIN */
    u.inv = max / t;
    u.d = t / max;
    return u;
}

static inline uint32x4_t neon_magnitude(float32x4_t x) {
    return vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x7fffffffu));
}

/* x[0..4), or n < 4 of them and zeros. */
static inline float32x4_t neon_load(const float *x, size_t n) {
    if (n >= 4) return vld1q_f32(x);
    float last[4] = {0};
    memcpy(last, x, n * sizeof *x);
    return vld1q_f32(last);
}

/* Of x[0..n). */
static inline struct neon_unit neon_unit_of(const float *x, size_t n, float max) {
    uint32x4_t top = vdupq_n_u32(0);
    for (size_t i = 0; i < n; i += 4) top = vmaxq_u32(top, neon_magnitude(neon_load(x + i, n - i)));
    return neon_unit(top, max);
}

/* The integers of x[0..4), or of n < 4 of them and zeros; nearest, ties to even. */
static inline int16x4_t neon_integers(const float *x, size_t n, const struct neon_unit *u) {
    if (isnan(u->d)) return vdup_n_s16(0);
    return vmovn_s32(vcvtnq_s32_f32(vmulq_f32(neon_load(x, n), vdupq_n_f32(u->inv))));
}

/* A unit of x[0..n), whose integers fit into 16 bits. Returns its d. */
static inline float neon_quantize(int16_t *a, const float *x, size_t n, float max) {
    const struct neon_unit u = neon_unit_of(x, n, max);
    for (size_t i = 0; i < n; i += 4) {
        int16_t w[4];
        vst1_s16(w, neon_integers(x + i, n - i, &u));
        memcpy(a + i, w, (n - i < 4 ? n - i : 4) * sizeof *a);
    }
    return u.d;
}

/* cria_expf (poly.h). vfmaq_f32(c, a, b) is fma(a, b, c). */
static inline float32x4_t neon_exp(float32x4_t x) {
    const uint32x4_t in_range = vcleq_f32(x, vdupq_n_f32(CRIA_EXP_HI)); /* false for NaN */
    const uint32x4_t under = vcltq_f32(x, vdupq_n_f32(CRIA_EXP_LO));
    const float32x4_t one = vdupq_n_f32(1.0f), round = vdupq_n_f32(CRIA_EXP_ROUND);
    const float32x4_t t = vfmaq_f32(round, x, vdupq_n_f32(CRIA_EXP_LOG2E));
    const float32x4_t n = vsubq_f32(t, round);
    float32x4_t r = vfmaq_f32(x, n, vdupq_n_f32(-CRIA_EXP_LN2_HI));
    r = vfmaq_f32(r, n, vdupq_n_f32(-CRIA_EXP_LN2_LO));
    float32x4_t p = vfmaq_f32(vdupq_n_f32(CRIA_EXP_C5), vdupq_n_f32(CRIA_EXP_C6), r);
    p = vfmaq_f32(vdupq_n_f32(CRIA_EXP_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(CRIA_EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(CRIA_EXP_C2), p, r);
    p = vfmaq_f32(one, p, r);
    p = vfmaq_f32(one, p, r);
    const uint32x4_t bits = vaddq_u32(vreinterpretq_u32_f32(p), vshlq_n_u32(vreinterpretq_u32_f32(t), 23));
    const float32x4_t y = vreinterpretq_f32_u32(vbicq_u32(bits, under));
    return vbslq_f32(in_range, y, vaddq_f32(x, vdupq_n_f32(__builtin_inff())));
}

static inline float32x4_t neon_load_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

#endif
