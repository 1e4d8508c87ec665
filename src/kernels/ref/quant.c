/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of the activation quantizer (struct cria_act in kernels.h). */
#include "base/half.h"
#include "kernels/ref/ref.h"
#include <math.h>
#include <string.h>

float cria_quantize_unit_ref(const float *x, size_t n, float max, int32_t *a) {
    memset(a, 0, n * sizeof *a);
    uint32_t bits = 0; /* the largest magnitude; as integers, so that NaN counts as largest */
    for (size_t i = 0; i < n; i++) {
        const uint32_t mag = cria_f32_to_bits(x[i]) & 0x7fffffffu;
        if (mag > bits) bits = mag;
    }
    const float top = cria_f32_from_bits(bits);
    if (bits >= 0x7f800000u) return NAN;
    if (top < CRIA_QUANTIZE_MIN) return 0.0f;
    const float inv = max / top;
    /* Adding and subtracting 1.5·2^23 rounds to the nearest integer, ties to even. */
    for (size_t i = 0; i < n; i++) a[i] = (int32_t)((x[i] * inv + 0x1.8p23f) - 0x1.8p23f);
    return top / max;
}

/* One unit of a into the planes. */
static void store_unit(const cria_act *act, uint32_t t, uint32_t unit, const int32_t a[32]) {
    int8_t *lo = act->q + (size_t)t * act->planes * act->ldq + (size_t)unit * 32, *hi = lo + act->ldq;
    for (uint32_t i = 0; i < 32; i++) {
        if (act->planes == 1) {
            lo[i] = (int8_t)a[i];
        } else {
            const int32_t h = (a[i] + 32768 + 128) / 256 - 128; /* floor((a + 128) / 256) */
            hi[i] = (int8_t)h;
            lo[i] = (int8_t)(a[i] - 256 * h);
        }
    }
}

static int32_t sum_of(const int32_t *a, uint32_t n) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += a[i];
    return sum;
}

void cria_quantize_h_ref(const cria_act *act, uint32_t t, const float *x) {
    int16_t *q = (int16_t *)(void *)act->q + (size_t)t * act->ldq;
    for (uint32_t j = 0, k = 0, n; k < act->k; j++, k += n) {
        int32_t a[CRIA_STEP_GROUP];
        n = act->k - k < CRIA_STEP_GROUP ? act->k - k : CRIA_STEP_GROUP;
        act->d[(size_t)t * act->ldd + j] = cria_quantize_unit_ref(x + k, n, CRIA_WHOLE_MAX, a);
        for (uint32_t i = 0; i < n; i++) q[k + i] = (int16_t)a[i];
    }
}

void cria_quantize_ref(const cria_act *act, uint32_t t, const float *x) {
    const uint32_t units = (act->k + 31) / 32, group = act->group;
    const float max = act->planes == 1 ? 127.0f : 32639.0f;
    float *d = act->d + (size_t)t * act->ldd, *u = group ? act->u + (size_t)t * act->ldu : NULL;
    int32_t *sum = act->sum + (size_t)t * act->ldd;
    memset(act->q + (size_t)t * act->planes * act->ldq, 0, act->planes * act->ldq);
    memset(d, 0, act->ldd * sizeof *d);
    memset(sum, 0, act->ldd * sizeof *sum);
    if (u) memset(u, 0, act->ldu * sizeof *u);
    for (uint32_t j = 0; j < units; j++) {
        int32_t a[32] = {0};
        const uint32_t left = act->k - j * 32;
        d[j] = cria_act_scale(cria_quantize_unit_ref(x + (size_t)j * 32, left < 32 ? left : 32, max, a));
        sum[j] = sum_of(a, 32);
        store_unit(act, t, j, a);
        if (group == 16) {
            u[2 * j] = (float)sum_of(a, 16) * d[j];
            if (left > 16) u[2 * j + 1] = (float)sum_of(a + 16, 16) * d[j];
        } else if (group) {
            float *g = &u[j * 32 / group];
            *g = j * 32 % group == 0 ? (float)sum[j] * d[j] : fmaf((float)sum[j], d[j], *g);
        }
    }
}
