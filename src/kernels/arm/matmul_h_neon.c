/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Half and 8-bit floats times whole integers for AArch64 (matmul_h of kernels.h; the loops around: matmul_h.h).
 *
 * smlal multiplies as many integers at once as fmla multiplies floats, so this is no faster than float32; it is here
 * for the same bits. Integers in the scratch memory are [inputs][16 rows]. One row block, four registers of sums,
 * against up to six tokens.
 */
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/unpack_neon.h"
#include "kernels/matmul_h.h"

/* In place of a kind: what convert makes of half floats, and of 8-bit ones. */
enum { PER_BLOCK = 4, INTEGERS = CRIA_MATRIX_F32, INTEGERS_E4M3 = CRIA_MATRIX_CODES };

INLINE bool is_converted(enum cria_matrix_kind kind) {
    return kind == (enum cria_matrix_kind)INTEGERS || kind == (enum cria_matrix_kind)INTEGERS_E4M3;
}
INLINE bool is_of_e4m3(enum cria_matrix_kind kind) {
    return kind == CRIA_MATRIX_E4M3 || kind == (enum cria_matrix_kind)INTEGERS_E4M3;
}

INLINE float32x4_t half_floats(enum cria_matrix_kind kind, const uint8_t *w, size_t i) {
    const uint16_t *p = (const uint16_t *)(const void *)w + i;
    return kind == CRIA_MATRIX_F16 ? f16_floats(p) : bf16_floats(p);
}

/* E << 23 of the rows of register r: s. */
INLINE uint32x4_t step_bits(enum cria_matrix_kind kind, const uint8_t *steps, int r) {
    uint32_t four;
    memcpy(&four, steps + 4 * r, 4);
    uint8x8_t bytes = vreinterpret_u8_u32(vdup_n_u32(four));
    if (is_of_e4m3(kind)) bytes = vqsub_u8(bytes, vdup_n_u8(CRIA_E4M3_SHIFT));
    return vshlq_n_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))), 23);
}

INLINE float32x4_t inverse_of(enum cria_matrix_kind kind, const uint8_t *steps, int r) {
    return vreinterpretq_f32_u32(vsubq_u32(vdupq_n_u32((uint32_t)254 << 23), step_bits(kind, steps, r)));
}

/* The integers (cria_e4m3_integer) of input k: srshl rounds ±(8 + m)·2^(e−5), which is below 1/2 where e is 0. */
INLINE int16x4_t e4m3_integers(const uint8_t *w, size_t k, int r) {
    const uint8_t *step = w + CRIA_ROWS * (k & ~(size_t)3);
    const uint32x4_t four = vreinterpretq_u32_u8(vld1q_u8(step + 16 * r)); /* inputs 0, 2, 1, 3 */
    const uint16x4_t two = k % 2 == 0 ? vmovn_u32(four) : vshrn_n_u32(four, 16);
    const uint16x4_t code = k % 4 < 2 ? vand_u16(two, vdup_n_u16(255)) : vshr_n_u16(two, 8);
    const int16x4_t m = vreinterpret_s16_u16(vorr_u16(vand_u16(code, vdup_n_u16(7)), vdup_n_u16(8)));
    const int16x4_t e = vreinterpret_s16_u16(vand_u16(vshr_n_u16(code, 3), vdup_n_u16(15)));
    const uint16x4_t negative = vtst_u16(code, vdup_n_u16(0x80));
    return vrshl_s16(vbsl_s16(negative, vneg_s16(m), m), vsub_s16(e, vdup_n_s16(5)));
}

/* Input k of the rows of register r. Added to 1.5·2^23, w/s becomes an integer that is rounded once, in the lowest bits
 * of the sum. */
INLINE int16x4_t integers_of(enum cria_matrix_kind kind, const uint8_t *w, size_t k, int r, float32x4_t inverse) {
    if (kind == CRIA_MATRIX_E4M3) return e4m3_integers(w, k, r);
    const float32x4_t v = half_floats(kind, w, CRIA_ROWS * k + 4 * (size_t)r);
    return vmovn_s32(vreinterpretq_s32_f32(vfmaq_f32(vdupq_n_f32(0x1.8p23f), v, inverse)));
}

static void convert(enum cria_matrix_kind kind, const uint8_t *w, const uint8_t *steps, uint32_t n_k, int16_t *out) {
    for (uint32_t k = 0; k < n_k; k++) {
        const uint8_t *p = steps + k / CRIA_STEP_GROUP * CRIA_ROWS;
        for (int r = 0; r < PER_BLOCK; r++) {
            int16_t *to = out + CRIA_ROWS * k + 4 * r;
            if (kind == CRIA_MATRIX_F16)
                vst1_s16(to, integers_of(CRIA_MATRIX_F16, w, k, r, inverse_of(kind, p, r)));
            else if (kind == CRIA_MATRIX_BF16)
                vst1_s16(to, integers_of(CRIA_MATRIX_BF16, w, k, r, inverse_of(kind, p, r)));
            else
                vst1_s16(to, e4m3_integers(w, k, r));
        }
    }
}

/* All arguments but s are constants. */
INLINE void tile(const struct cria_tile_h *s, enum cria_matrix_kind kind, int n_blocks, int n) {
    enum { MOST = 2 * PER_BLOCK };
    const size_t group = is_of_e4m3(kind) ? CRIA_CHUNK : CRIA_STEP_GROUP;
    for (size_t k0 = 0, j = 0; k0 < s->n_k; k0 += group, j++) {
        const size_t end = s->n_k - k0 < group ? s->n_k : k0 + group;
        float32x4_t inverse[MOST];
        int32x4_t sum[CRIA_TILE_H_TOKENS][MOST];
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
            const uint8_t *steps = s->steps + (size_t)(i / PER_BLOCK) * s->steps_stride + j * CRIA_ROWS;
            inverse[i] = inverse_of(kind, steps, i % PER_BLOCK);
            UNROLL for (int t = 0; t < n; t++) sum[t][i] = vdupq_n_s32(0);
        }
        for (size_t k = k0; k < end; k++) {
            UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
                const uint8_t *w = s->w + (size_t)(i / PER_BLOCK) * s->w_stride;
                const int r = i % PER_BLOCK;
                const int16x4_t v = is_converted(kind)
                                        ? vld1_s16((const int16_t *)(const void *)w + CRIA_ROWS * k + 4 * r)
                                        : integers_of(kind, w, k, r, inverse[i]);
                UNROLL for (int t = 0; t < n; t++) {
                    sum[t][i] = vmlal_n_s16(sum[t][i], v, s->x[(size_t)t * s->ldx + k]);
                }
            }
        }
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
            const uint32_t skip = (uint32_t)(i / PER_BLOCK) * s->y_stride;
            const uint8_t *steps = s->steps + (size_t)(i / PER_BLOCK) * s->steps_stride + j * CRIA_ROWS;
            const float32x4_t step = vreinterpretq_f32_u32(step_bits(kind, steps, i % PER_BLOCK));
            UNROLL for (int t = 0; t < n; t++) {
                float *y = s->y + (size_t)t * s->ldy + skip;
                const float32x4_t scale = vmulq_n_f32(step, s->d[(size_t)t * s->ldd + k0 / CRIA_STEP_GROUP]);
                const float32x4_t before =
                    s->first && j == 0 ? vdupq_n_f32(0) : load_rows(y, s->rows - skip, i % PER_BLOCK);
                store_rows(y, s->rows - skip, i % PER_BLOCK, vfmaq_f32(before, vcvtq_f32_s32(sum[t][i]), scale));
            }
        }
    }
}

#define TILE(name, kind, n_blocks, n)                                                                                \
    static void name(const struct cria_tile_h *s) { tile(s, (enum cria_matrix_kind)(kind), n_blocks, n); }

#define DIRECT_TILES(name, kind)                                                                                     \
    TILE(name##_11, kind, 1, 1)                                                                                      \
    TILE(name##_12, kind, 1, 2)                                                                                      \
    TILE(name##_13, kind, 1, 3)                                                                                      \
    TILE(name##_21, kind, 2, 1)                                                                                      \
    TILE(name##_22, kind, 2, 2)                                                                                      \
    TILE(name##_23, kind, 2, 3)                                                                                      \
    static const cria_tiles_h name = {                                                                               \
        [1] = {NULL, name##_11, name##_12, name##_13},                                                               \
        [2] = {NULL, name##_21, name##_22, name##_23},                                                               \
    };

DIRECT_TILES(f16_tiles, CRIA_MATRIX_F16)
DIRECT_TILES(bf16_tiles, CRIA_MATRIX_BF16)
DIRECT_TILES(e4m3_tiles, CRIA_MATRIX_E4M3)

#define INTEGER_TILES(name, kind)                                                                                    \
    TILE(name##_1, kind, 1, 1)                                                                                       \
    TILE(name##_2, kind, 1, 2)                                                                                       \
    TILE(name##_3, kind, 1, 3)                                                                                       \
    TILE(name##_4, kind, 1, 4)                                                                                       \
    TILE(name##_5, kind, 1, 5)                                                                                       \
    TILE(name##_6, kind, 1, 6)                                                                                       \
    static const cria_tiles_h name = {[1] = {NULL, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6}};

INTEGER_TILES(integer_tiles, INTEGERS)
INTEGER_TILES(integer_e4m3_tiles, INTEGERS_E4M3)

static const struct cria_matmul_h_ops ops = {.f16 = &f16_tiles,
                                             .bf16 = &bf16_tiles,
                                             .e4m3 = &e4m3_tiles,
                                             .at_once = 3,
                                             .few = 3,
                                             .integers = &integer_tiles,
                                             .integers_e4m3 = &integer_e4m3_tiles,
                                             .convert = convert};

void cria_matmul_h_neon(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch) {
    cria_matmul_h_run(&ops, (struct cria_asking){0}, w, x, y, ldy, part, scratch);
}
