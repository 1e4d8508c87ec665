/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mx.quantize; see quantize.h. Source: MLX's own CPU code, quantize() of mlx/backend/cpu/quantized.cpp for affine and
 * fp_quantize() of mlx/ops.cpp for the others, whose operations are followed one by one; what is written
 * differently here gives the same bits (said where it does). The exponent of mxfp4 and mxfp8 is rounded up so that
 * no weight is cut off, as MLX does since 0.32.3; before it went to the nearest.
 */
#include "kernels/quantize.h"

#include "base/half.h"
#include "kernels/codes.h"

#include <math.h>
#include <string.h>

enum { GROUP_MAX = 128 };

size_t cria_quantize_scale_bytes(const cria_matrix_spec *spec) {
    return spec->cols / spec->group * cria_scale_bytes(spec->scale_type);
}

/* ---- floats in files ---- */

void cria_floats_load(enum cria_source_kind type, const uint8_t *data, size_t n, float *out) {
    if (type == CRIA_SOURCE_F32) {
        memcpy(out, data, 4 * n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, data + 2 * i, 2);
        out[i] = type == CRIA_SOURCE_F16 ? cria_f16_to_f32(h) : cria_bf16_to_f32(h);
    }
}

void cria_floats_store(enum cria_source_kind type, const float *x, size_t n, uint8_t *out) {
    if (type == CRIA_SOURCE_F32) {
        memcpy(out, x, 4 * n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const uint16_t h = type == CRIA_SOURCE_F16 ? cria_f32_to_f16(x[i]) : cria_f32_to_bf16(x[i]);
        memcpy(out + 2 * i, &h, 2);
    }
}

/* x rounded to the type. */
static float rounded(enum cria_source_kind type, float x) {
    if (type == CRIA_SOURCE_F16) return cria_f16_to_f32(cria_f32_to_f16(x));
    if (type == CRIA_SOURCE_BF16) return cria_bf16_to_f32(cria_f32_to_bf16(x));
    return x;
}

/* ---- codes ---- */

static inline void put_codes(const uint8_t *codes, uint32_t bits, uint32_t n, uint8_t *out) {
    for (uint32_t i = 0; i < n; i += 8, out += bits) {
        uint64_t u = 0;
        for (uint32_t j = 0; j < 8; j++) u |= (uint64_t)codes[i + j] << bits * j;
        for (uint32_t b = 0; b < bits; b++) out[b] = (uint8_t)(u >> 8 * b);
    }
}

void cria_codes_store(const uint8_t *codes, uint32_t bits, uint32_t n, uint8_t *out) {
    switch (bits) { /* with the width a constant the loops unroll */
    case 2: put_codes(codes, 2, n, out); break;
    case 3: put_codes(codes, 3, n, out); break;
    case 4: put_codes(codes, 4, n, out); break;
    case 5: put_codes(codes, 5, n, out); break;
    case 6: put_codes(codes, 6, n, out); break;
    default: memcpy(out, codes, n); break;
    }
}

/* ---- affine ---- */

static void affine_group(uint32_t bits, uint32_t n, const float *w, uint8_t *codes, float *scale_out, float *bias_out) {
    const float top = (float)((1u << bits) - 1);
    float low = INFINITY, high = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        high = high < w[i] ? w[i] : high;
        low = w[i] < low ? w[i] : low;
    }
    /* The end of larger magnitude is to be hit exactly; the step comes from there. */
    const bool from_low = fabsf(low) > fabsf(high);
    const float step = (high - low) / top;
    float scale = step < 1e-7f ? 1e-7f : step;
    if (!from_low) scale = -scale;
    const float edge = from_low ? low : high;
    const float q0 = rintf(edge / scale);
    float bias = 0;
    if (q0 != 0) {
        scale = edge / q0;
        bias = edge;
    }
    /* MLX rounds and then clamps; to clamp first comes to the same, and leaves numbers small enough that adding 2^23
     * rounds them, to even. 0/0 becomes 0 as there. */
    for (uint32_t i = 0; i < n; i++) {
        float q = (w[i] - bias) / scale;
        q = q > 0 ? q : 0;
        q = q < top ? q : top;
        codes[i] = (uint8_t)cria_f32_to_bits(q + 0x1p23f);
    }
    *scale_out = scale;
    *bias_out = bias;
}

/* ---- mxfp4, nvfp4, mxfp8 ---- */

/* The nearest of 0, ½, 1, 1½, 2, 3, 4, 6 and their negatives, the one with the smaller code on a tie, which is the one
 * nearer to 0. MLX takes differences in the type of x and the first smallest of them: of what is below 64 the
 * differences of the two nearest are exact; further away they may be equal when rounded, and then the first wins. */
static uint8_t fp4_code(enum cria_source_kind type, float x) {
    static const float levels[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    const float a = fabsf(x);
    unsigned k = 0;
    if (a < 64.0f) {
        k = (a > 0.25f) + (a > 0.75f) + (a > 1.25f) + (a > 1.75f) + (a > 2.5f) + (a > 3.5f) + (a > 5.0f);
    } else {
        float best = a;
        for (unsigned i = 1; i < 8; i++) {
            const float distance = rounded(type, a - levels[i]);
            if (distance < best) best = distance, k = i;
        }
    }
    return (uint8_t)(k == 0 ? 0 : k | (x < 0 ? 8u : 0u));
}

/* The least e with 2^e >= x, for x > 0. */
static int log2_up(float x) {
    int e;
    return frexpf(x, &e) == 0.5f ? e - 1 : e;
}

/* One group: w → codes, and the scale's byte. */
static void fp_group(const cria_matrix_spec *s, enum cria_source_kind type, const float *w, uint8_t *codes,
                     uint8_t *scale_out) {
    float most = 0;
    for (uint32_t i = 0; i < s->group; i++) most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
    most = rounded(type, most / (s->bits == 4 ? 6.0f : 448.0f));
    float scale;
    if (s->scale_type == CRIA_SCALE_E4M3) {
        *scale_out = cria_f32_to_e4m3(most);
        scale = cria_e4m3_to_f32(*scale_out);
    } else {
        const int e = most == 0 ? 0 : log2_up(most);
        *scale_out = (uint8_t)(e + 127); /* below 2^-127 it wraps round, as MLX's does */
        scale = rounded(type, ldexpf(1.0f, e));
    }
    for (uint32_t i = 0; i < s->group; i++) {
        const float x = rounded(type, w[i] / scale); /* 0/0 where the scale is 0 */
        codes[i] = s->bits == 8 ? cria_f32_to_e4m3(x)
                                : fp4_code(s->scale_type == CRIA_SCALE_E4M3 ? CRIA_SOURCE_F32 : type, x);
    }
}

/* ---- rows ---- */

void cria_quantize(const cria_matrix_spec *s, enum cria_source_kind type, const uint8_t *w, uint32_t n_rows,
                   uint8_t *codes, uint8_t *scales, uint8_t *biases) {
    const size_t n_groups = (size_t)n_rows * (s->cols / s->group);
    const size_t w_bytes = (size_t)s->group * (type == CRIA_SOURCE_F32 ? 4 : 2);
    const size_t scale_bytes = cria_scale_bytes(s->scale_type);
    for (size_t g = 0; g < n_groups; g++) {
        float x[GROUP_MAX], scale, bias;
        uint8_t code[GROUP_MAX];
        cria_floats_load(type, w + g * w_bytes, s->group, x);
        if (s->affine) {
            affine_group(s->bits, s->group, x, code, &scale, &bias);
            cria_floats_store(type, &scale, 1, scales + g * scale_bytes);
            cria_floats_store(type, &bias, 1, biases + g * scale_bytes);
        } else {
            fp_group(s, type, x, code, scales + g);
        }
        cria_codes_store(code, s->bits, s->group, codes + g * (s->group / 8 * s->bits));
    }
}
