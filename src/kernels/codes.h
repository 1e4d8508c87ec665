/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed layout of matrix.h, one element at a time: scales, codes, levels. Shared by the packer and the
 * reference kernels; nothing here is fast.
 */
#ifndef CRIA_KERNELS_CODES_H
#define CRIA_KERNELS_CODES_H

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/matrix.h"

static inline size_t cria_scale_bytes(enum cria_scale_type type) {
    switch (type) {
    case CRIA_SCALE_F32:
        return 4;
    case CRIA_SCALE_F16:
    case CRIA_SCALE_BF16:
        return 2;
    case CRIA_SCALE_E8M0:
    case CRIA_SCALE_E4M3:
        return 1;
    default: /* two levels: no number by itself */
        return 0;
    }
}

/* Element i of an array of scales of one level, any alignment. */
static inline float cria_scale_at(enum cria_scale_type type, const uint8_t *p, size_t i) {
    uint32_t u32;
    uint16_t u16;
    p += i * cria_scale_bytes(type);
    switch (type) {
    case CRIA_SCALE_F32:
        memcpy(&u32, p, 4);
        return cria_f32_from_bits(u32);
    case CRIA_SCALE_F16:
        memcpy(&u16, p, 2);
        return cria_f16_to_f32(u16);
    case CRIA_SCALE_BF16:
        memcpy(&u16, p, 2);
        return cria_bf16_to_f32(u16);
    case CRIA_SCALE_E8M0:
        return cria_e8m0_to_f32(*p);
    case CRIA_SCALE_E4M3:
        return cria_e4m3_to_f32(*p);
    default:
        return 0;
    }
}

/* The E of weights (matrix.h) of which top is the largest magnitude. Where top is not finite, it means nothing. */
static inline uint8_t cria_step_for(float top) {
    const uint32_t bits = cria_f32_to_bits(top), up = (bits >> 23) + ((bits & 0x7fffff) != 0); /* of 2^i >= top */
    return (uint8_t)(up < 27 + 12 ? 27 : up - 12);
}

/* The integer of a weight w with s = 2^(step − 127): added to 1.5·2^23 it is in the lowest bits. With a step that
 * packing never makes, from a damaged cache, it is some number of 16 bits. */
static inline int16_t cria_step_integer(float w, uint8_t step) {
    const float inv = cria_f32_from_bits((uint32_t)(254 - step) << 23); /* 1/s */
    return (int16_t)cria_f32_to_bits(fmaf(w, inv, 0x1.8p23f));
}

/* The integer that an 8-bit float is, 32 times its value, and the E of its s. Codes that are no number, of a damaged
 * cache, are the numbers that would come next. */
#define CRIA_E4M3_SHIFT 5
static inline int16_t cria_e4m3_integer(uint8_t code) {
    const int32_t e = code >> 3 & 15, m = e == 0 ? 0 : 8 + (code & 7); /* m·2^(e−5); subnormal ones are below 1/2 */
    const int32_t v = (code & 0x80 ? -m : m) * (1 << e);
    return (int16_t)((v + 16) >> CRIA_E4M3_SHIFT);
}
static inline uint8_t cria_e4m3_step(uint8_t scale) {
    return (uint8_t)(scale < CRIA_E4M3_SHIFT ? 0 : scale - CRIA_E4M3_SHIFT);
}
/* 2^(E − 127), or +0 for E = 0. */
static inline float cria_step_float(uint8_t step) { return cria_f32_from_bits((uint32_t)step << 23); }

/* Width of the plane that holds bit `low` and up of a code: the largest power of two in what is left. */
static inline uint32_t cria_plane_width(uint32_t bits, uint32_t low) {
    const uint32_t left = bits - low;
    return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* The code at byte `at` of step `step` (0..7) of bit planes made of vectors of `width` bytes. */
static inline uint32_t cria_plane_code(const uint8_t *planes, uint32_t bits, uint32_t width, uint32_t step,
                                       uint32_t at) {
    uint32_t code = 0;
    for (uint32_t low = 0, w; low < bits; low += w) {
        w = cria_plane_width(bits, low);
        const uint32_t byte = planes[(size_t)width * (low + step % w) + at];
        code |= (byte >> w * (step / w) & ((1u << w) - 1)) << low;
    }
    return code;
}

/* Which byte of a row's four a step's input i (0..3) is, and which input the byte i. */
static inline uint32_t cria_step_order(enum cria_matrix_kind kind, uint32_t i) {
    return kind == CRIA_MATRIX_E4M3 ? i % 2 * 2 + i / 2 : i;
}

/* The code of input i (0..31) of a row (0..15) of a chunk. */
static inline uint32_t cria_code_at(const cria_matrix_spec *s, const uint8_t *chunk, uint32_t row, uint32_t i) {
    return cria_plane_code(chunk, s->bits, 64, i / 4, 4 * row + cria_step_order(s->kind, i % 4));
}

/* What a type of two levels fixes; bits 0 for one of one level. */
struct cria_two_levels {
    uint32_t bits, groups; /* of s; per super-block */
    int32_t zero;          /* what s is less than stored */
};

static inline struct cria_two_levels cria_two_levels(enum cria_scale_type type) {
    switch (type) {
    case CRIA_SCALE_Q2_K:
        return (struct cria_two_levels){4, 16, 0};
    case CRIA_SCALE_Q3_K:
        return (struct cria_two_levels){6, 16, 32};
    case CRIA_SCALE_Q4_K:
        return (struct cria_two_levels){6, 8, 0};
    case CRIA_SCALE_Q6_K:
        return (struct cria_two_levels){8, 16, 128};
    case CRIA_SCALE_IQ4_XS:
        return (struct cria_two_levels){6, 8, 32};
    default:
        return (struct cria_two_levels){0, 0, 0};
    }
}

/* Bytes of a super-block of 16 rows: d, and 16 vectors of bits per eight groups. */
static inline size_t cria_super_bytes(struct cria_two_levels t) {
    return CRIA_ROWS * (2 + (size_t)t.groups * t.bits / 8);
}

/* Scale (or bias) g of a row (0..15), from all scales of a block. */
static inline float cria_scale_of(enum cria_scale_type type, const uint8_t *scales, size_t g, uint32_t row) {
    const struct cria_two_levels t = cria_two_levels(type);
    if (t.bits == 0) return cria_scale_at(type, scales, g * CRIA_ROWS + row);
    const uint8_t *super = scales + g / t.groups * cria_super_bytes(t);
    const uint32_t i = (uint32_t)(g % t.groups);
    const uint8_t *planes = super + CRIA_ROWS * (2 + (size_t)(i / 8 * t.bits));
    const int32_t s = (int32_t)cria_plane_code(planes, t.bits, CRIA_ROWS, i % 8, row) - t.zero;
    return cria_scale_at(CRIA_SCALE_F16, super, row) * (float)s;
}

static inline uint32_t cria_level_of(const cria_matrix_spec *s, uint32_t code) {
    return s->levels ? s->levels[code] : code;
}

/* The largest level that a code can stand for. */
static inline uint32_t cria_max_level(const cria_matrix_spec *s) {
    if (s->levels == NULL) return (1u << s->bits) - 1;
    uint32_t max = 0;
    for (uint32_t c = 0; c < 1u << s->bits; c++) max = cria_level_of(s, c) > max ? cria_level_of(s, c) : max;
    return max;
}

/* Bytes of a GGUF block of 32; 0 for other kinds. */
static inline size_t cria_block_source_bytes(enum cria_source_kind kind) {
    switch (kind) {
    case CRIA_SOURCE_Q4_0:
    case CRIA_SOURCE_IQ4_NL:
        return 18;
    case CRIA_SOURCE_Q4_1:
        return 20;
    case CRIA_SOURCE_Q5_0:
        return 22;
    case CRIA_SOURCE_Q5_1:
        return 24;
    case CRIA_SOURCE_Q8_0:
        return 34;
    case CRIA_SOURCE_MXFP4:
        return 17;
    default:
        return 0;
    }
}

/* Bytes of a GGUF super-block; 0 for other kinds. */
static inline size_t cria_super_source_bytes(enum cria_source_kind kind) {
    switch (kind) {
    case CRIA_SOURCE_Q2_K:
        return 84;
    case CRIA_SOURCE_Q3_K:
        return 110;
    case CRIA_SOURCE_Q4_K:
        return 144;
    case CRIA_SOURCE_Q5_K:
        return 176;
    case CRIA_SOURCE_Q6_K:
        return 210;
    case CRIA_SOURCE_IQ4_XS:
        return 136;
    default:
        return 0;
    }
}

#endif
