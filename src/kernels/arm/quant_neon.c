/* SPDX-License-Identifier: Apache-2.0 */
/* The activation quantizers for NEON: one unit of 32 inputs in eight registers, or whole integers. */
#include "base/half.h"
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/neon.h"
#include <math.h>
#include <string.h>

enum { REGISTERS = 8 };

struct unit {
    int32x4_t a[REGISTERS]; /* inputs 4i..4i+3 */
    float d;
};

/* x[0..32). Magnitudes are compared as integers, where NaN is above all numbers. */
static inline struct unit quantize_unit(const float *x, float max) {
    struct unit u;
    float32x4_t v[REGISTERS];
    uint32x4_t top = vdupq_n_u32(0);
    for (int i = 0; i < REGISTERS; i++) {
        v[i] = vld1q_f32(x + 4 * i);
        top = vmaxq_u32(top, vandq_u32(vreinterpretq_u32_f32(v[i]), vdupq_n_u32(0x7fffffffu)));
    }
    const uint32_t bits = vmaxvq_u32(top);
    const float t = cria_f32_from_bits(bits);
    const bool none = bits >= 0x7f800000u || t < CRIA_QUANTIZE_MIN;
    const float32x4_t inv = vdupq_n_f32(none ? 0.0f : max / t);
    for (int i = 0; i < REGISTERS; i++)
        u.a[i] = none ? vdupq_n_s32(0) : vcvtnq_s32_f32(vmulq_f32(v[i], inv)); /* nearest, ties to even */
    u.d = bits >= 0x7f800000u ? NAN : none ? 0.0f : cria_act_scale(t / max);
    return u;
}

/* 16 int32 that fit into int8. */
static inline int8x16_t narrow(const int32x4_t a[4]) {
    const int16x8_t low = vcombine_s16(vmovn_s32(a[0]), vmovn_s32(a[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(a[2]), vmovn_s32(a[3]));
    return vcombine_s8(vmovn_s16(low), vmovn_s16(high));
}

/* The low plane of int16 is a modulo 256, which narrowing gives by itself. */
static inline void store_unit(const struct unit *u, int8_t *q, size_t ldq, uint32_t planes) {
    for (int i = 0; i < REGISTERS; i += 4) {
        vst1q_s8(q + 4 * i, narrow(u->a + i));
        if (planes == 1) continue;
        int32x4_t hi[4];
        for (int j = 0; j < 4; j++) hi[j] = vshrq_n_s32(vaddq_s32(u->a[i + j], vdupq_n_s32(128)), 8);
        vst1q_s8(q + ldq + 4 * i, narrow(hi));
    }
}

static inline int32_t sum_of_half(const int32x4_t a[4]) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(a[0], a[1]), vaddq_s32(a[2], a[3])));
}

void cria_quantize_h_neon(const cria_act *act, uint32_t t, const float *x) {
    int16_t *q = (int16_t *)(void *)act->q + (size_t)t * act->ldq;
    float *d = act->d + (size_t)t * act->ldd;
    for (uint32_t k = 0, n; k < act->k; k += n) {
        n = act->k - k < CRIA_STEP_GROUP ? act->k - k : CRIA_STEP_GROUP;
        d[k / CRIA_STEP_GROUP] = neon_quantize(q + k, x + k, n, CRIA_WHOLE_MAX);
    }
}

void cria_quantize_neon(const cria_act *act, uint32_t t, const float *x) {
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
        const int32_t sum0 = sum_of_half(unit.a), sum1 = sum_of_half(unit.a + 4);
        d[j] = unit.d;
        sum[j] = sum0 + sum1;
        if (group == 16) {
            u[2 * j] = (float)sum0 * unit.d;
            if (left > 16) u[2 * j + 1] = (float)sum1 * unit.d;
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
