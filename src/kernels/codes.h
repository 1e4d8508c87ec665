/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed layout of matrix.h, one element at a time: scales, codes, levels. Shared by the packer and the
 * reference kernels; nothing here is fast.
 */
#ifndef CRIA_KERNELS_CODES_H
#define CRIA_KERNELS_CODES_H

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
    }
    return 0;
}

/* Element i of an array of scales, any alignment. */
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
    }
    return 0;
}

/* Width of the plane that holds bit `low` and up of a code: the largest power of two in what is left. */
static inline uint32_t cria_plane_width(uint32_t bits, uint32_t low) {
    const uint32_t left = bits - low;
    return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* The code of input i (0..31) of a row (0..15) of a chunk. */
static inline uint32_t cria_code_at(const uint8_t *chunk, uint32_t bits, uint32_t row, uint32_t i) {
    const uint32_t step = i / 4;
    uint32_t code = 0;
    for (uint32_t low = 0, w; low < bits; low += w) {
        w = cria_plane_width(bits, low);
        const uint32_t byte = chunk[64 * (size_t)(low + step % w) + 4 * row + i % 4];
        code |= (byte >> w * (step / w) & ((1u << w) - 1)) << low;
    }
    return code;
}

static inline uint32_t cria_level_of(const cria_matrix_spec *s, uint32_t code) {
    return s->levels ? s->levels[code] : code;
}

/* The largest level that a code can stand for. */
static inline uint32_t cria_max_level(const cria_matrix_spec *s) {
    uint32_t max = 0;
    for (uint32_t c = 0; c < 1u << s->bits; c++) max = cria_level_of(s, c) > max ? cria_level_of(s, c) : max;
    return max;
}

#endif
