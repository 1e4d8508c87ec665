/* SPDX-License-Identifier: Apache-2.0 */
/* Packed codes and scales (matrix.h) in NEON registers. Quarter i (0..3) of a 64-byte vector is the rows
 * 4i..4i+3. */
#ifndef CRIA_KERNELS_ARM_UNPACK_NEON_H
#define CRIA_KERNELS_ARM_UNPACK_NEON_H

#include <arm_neon.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/inline.h"
#include "kernels/matrix.h"

#define UNROLL CRIA_UNROLL
#define INLINE CRIA_INLINE

/* Bits [from, from + w) of each byte, moved to bit `to`. */
INLINE uint8x16_t byte_bits(uint8x16_t v, int from, int w, int to) {
    const uint8x16_t moved = vshlq_u8(v, vdupq_n_s8((int8_t)(to - from)));
    return vandq_u8(moved, vdupq_n_u8((uint8_t)(((1 << w) - 1) << to)));
}

/* The codes of step s, quarter i of a chunk, a byte each. */
INLINE uint8x16_t step_codes(const uint8_t *chunk, int bits, int i, int s) {
    const uint8_t *p = chunk + 16 * i;
    uint8x16_t low, high;
    switch (bits) {
    case 8:
        return vld1q_u8(p + 64 * s);
    case 2:
    case 3:
        low = byte_bits(vld1q_u8(p + 64 * (s % 2)), 2 * (s / 2), 2, 0);
        break;
    default:
        low = byte_bits(vld1q_u8(p + 64 * (s % 4)), 4 * (s / 4), 4, 0);
        break;
    }
    switch (bits) {
    case 3:
        high = byte_bits(vld1q_u8(p + 128), s, 1, 2);
        break;
    case 5:
        high = byte_bits(vld1q_u8(p + 256), s, 1, 4);
        break;
    case 6:
        high = byte_bits(vld1q_u8(p + 256 + 64 * (s % 2)), 2 * (s / 2), 2, 4);
        break;
    default:
        return low;
    }
    return vorrq_u8(low, high);
}

INLINE void unpack_chunks_bits(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst, int bits) {
    const uint8x16_t levels = m->spec.levels ? vld1q_u8(m->spec.levels) : vdupq_n_u8(0);
    for (uint32_t c = 0; c < n; c++, src += m->chunk_bytes, dst += 512) {
        UNROLL for (int s = 0; s < 8; s++) {
            UNROLL for (int i = 0; i < 4; i++) {
                uint8x16_t v = step_codes(src, bits, i, s);
                if (m->spec.levels) v = vqtbl1q_u8(levels, v);
                vst1q_u8(dst + 64 * s + 16 * i, v);
            }
        }
    }
}

/* unpack_chunks of matmul_q.h */
static inline void unpack_chunks(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst) {
    switch (m->spec.bits) {
    case 2:
        unpack_chunks_bits(m, src, n, dst, 2);
        break;
    case 3:
        unpack_chunks_bits(m, src, n, dst, 3);
        break;
    case 4:
        unpack_chunks_bits(m, src, n, dst, 4);
        break;
    case 5:
        unpack_chunks_bits(m, src, n, dst, 5);
        break;
    case 6:
        unpack_chunks_bits(m, src, n, dst, 6);
        break;
    default:
        memcpy(dst, src, (size_t)n * 512);
        break;
    }
}

/* 8-bit floats in 32-bit lanes, zero-extended, to float32: the value bits moved to where float32 has them
 * make a number 2^120 too small (half.h). */
INLINE float32x4_t e4m3_floats(uint32x4_t v) {
    const uint32x4_t sign = vshlq_n_u32(vandq_u32(v, vdupq_n_u32(0x80)), 24);
    const uint32x4_t mag = vshlq_n_u32(vandq_u32(v, vdupq_n_u32(0x7f)), 20);
    const float32x4_t f = vmulq_f32(vreinterpretq_f32_u32(mag), vdupq_n_f32(0x1p120f));
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(f), sign));
}

/* 2^(e−127), e = 0 being the subnormal 2^−127. */
INLINE float32x4_t e8m0_floats(uint32x4_t v) {
    const uint32x4_t subnormal = vandq_u32(vceqq_u32(v, vdupq_n_u32(0)), vdupq_n_u32(0x00400000));
    return vreinterpretq_f32_u32(vorrq_u32(vshlq_n_u32(v, 23), subnormal));
}

INLINE float32x4_t f16_floats(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
INLINE float32x4_t bf16_floats(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(p)), 16));
}

INLINE uint32x4_t bytes_to_lanes(const uint8_t *p) {
    uint32_t four;
    memcpy(&four, p, 4);
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four))));
}

INLINE float32x4_t four_floats(enum cria_scale_type type, const uint8_t *p, size_t i) {
    switch (type) {
    case CRIA_SCALE_F32:
        return vld1q_f32((const float *)p + i);
    case CRIA_SCALE_F16:
        return f16_floats((const uint16_t *)p + i);
    case CRIA_SCALE_BF16:
        return bf16_floats((const uint16_t *)p + i);
    case CRIA_SCALE_E8M0:
        return e8m0_floats(bytes_to_lanes(p + i));
    default:
        return e4m3_floats(bytes_to_lanes(p + i));
    }
}

INLINE void scales_of_type(enum cria_scale_type type, const uint8_t *src, size_t n, float factor,
                           float *dst) {
    for (size_t i = 0; i < n; i += 4) vst1q_f32(dst + i, vmulq_n_f32(four_floats(type, src, i), factor));
}

/* Group i (0..7) of a plane of second levels: a byte for each of 16 rows. bits and i are constants. */
INLINE uint8x16_t second_levels(const uint8_t *planes, int bits, int i) {
    switch (bits) {
    case 8:
        return vld1q_u8(planes + 16 * i);
    case 4:
        return byte_bits(vld1q_u8(planes + 16 * (i % 4)), 4 * (i / 4), 4, 0);
    default:
        return vorrq_u8(byte_bits(vld1q_u8(planes + 16 * (i % 4)), 4 * (i / 4), 4, 0),
                        byte_bits(vld1q_u8(planes + 64 + 16 * (i % 2)), 2 * (i / 2), 2, 4));
    }
}

/* Scales of two levels; type is a constant. */
INLINE void scales_of_supers(enum cria_scale_type type, const uint8_t *src, size_t n, float factor,
                             float *dst) {
    const struct cria_two_levels t = cria_two_levels(type);
    const int16x8_t zero = vdupq_n_s16((int16_t)t.zero);
    for (size_t i = 0; i < n; i += 16 * t.groups) {
        float32x4_t d[4];
        UNROLL for (int j = 0; j < 4; j++)
            d[j] = vmulq_n_f32(f16_floats((const uint16_t *)(const void *)src + 4 * j), factor);
        src += 32;
        for (uint32_t eight = 0; eight < t.groups; eight += 8, src += 16 * t.bits, dst += 128) {
            UNROLL for (int g = 0; g < 8; g++) {
                const uint8x16_t s = second_levels(src, (int)t.bits, g);
                const int16x8_t s0 = vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(s))), zero);
                const int16x8_t s1 = vsubq_s16(vreinterpretq_s16_u16(vmovl_high_u8(s)), zero);
                float *to = dst + 16 * g;
                vst1q_f32(to, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(s0))), d[0]));
                vst1q_f32(to + 4, vmulq_f32(vcvtq_f32_s32(vmovl_high_s16(s0)), d[1]));
                vst1q_f32(to + 8, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(s1))), d[2]));
                vst1q_f32(to + 12, vmulq_f32(vcvtq_f32_s32(vmovl_high_s16(s1)), d[3]));
            }
        }
    }
}

/* unpack_scales of matmul_q.h */
static inline void unpack_scales(enum cria_scale_type type, const uint8_t *src, size_t n, float factor,
                                 float *dst) {
    switch (type) {
    case CRIA_SCALE_F32:
        scales_of_type(CRIA_SCALE_F32, src, n, factor, dst);
        break;
    case CRIA_SCALE_F16:
        scales_of_type(CRIA_SCALE_F16, src, n, factor, dst);
        break;
    case CRIA_SCALE_BF16:
        scales_of_type(CRIA_SCALE_BF16, src, n, factor, dst);
        break;
    case CRIA_SCALE_E8M0:
        scales_of_type(CRIA_SCALE_E8M0, src, n, factor, dst);
        break;
    case CRIA_SCALE_Q2_K:
        scales_of_supers(CRIA_SCALE_Q2_K, src, n, factor, dst);
        break;
    case CRIA_SCALE_Q3_K:
        scales_of_supers(CRIA_SCALE_Q3_K, src, n, factor, dst);
        break;
    case CRIA_SCALE_Q4_K:
        scales_of_supers(CRIA_SCALE_Q4_K, src, n, factor, dst);
        break;
    case CRIA_SCALE_Q6_K:
        scales_of_supers(CRIA_SCALE_Q6_K, src, n, factor, dst);
        break;
    case CRIA_SCALE_IQ4_XS:
        scales_of_supers(CRIA_SCALE_IQ4_XS, src, n, factor, dst);
        break;
    default:
        scales_of_type(CRIA_SCALE_E4M3, src, n, factor, dst);
        break;
    }
}

/* Quarter i of 16 running sums at y, of which the first `rows` rows exist. */
INLINE float32x4_t load_rows(const float *y, uint32_t rows, int i) {
    float part[4] = {0};
    if (rows >= 4 * ((uint32_t)i + 1)) return vld1q_f32(y + 4 * i);
    for (uint32_t r = 4 * (uint32_t)i; r < rows; r++) part[r % 4] = y[r];
    return vld1q_f32(part);
}

INLINE void store_rows(float *y, uint32_t rows, int i, float32x4_t v) {
    float part[4];
    if (rows >= 4 * ((uint32_t)i + 1)) {
        vst1q_f32(y + 4 * i, v);
        return;
    }
    vst1q_f32(part, v);
    for (uint32_t r = 4 * (uint32_t)i; r < rows; r++) y[r] = part[r % 4];
}

#endif
