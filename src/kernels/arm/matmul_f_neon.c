/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product with float32 activations for AArch64 (matmul_f of kernels.h; the loops around: matmul_f.h).
 *
 * One row block, four registers, against up to six tokens: 24 sums, four weights and an activation of 32
 * registers. For one token four blocks, so that enough chains of multiply-adds are under way.
 */
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/unpack_neon.h"
#include "kernels/matmul_f.h"

INLINE float32x4_t four_weights(enum cria_matrix_kind kind, const uint8_t *p, size_t i) {
    if (kind == CRIA_MATRIX_F16) return f16_floats((const uint16_t *)p + i);
    if (kind == CRIA_MATRIX_BF16) return bf16_floats((const uint16_t *)p + i);
    return vld1q_f32((const float *)p + i);
}

/* n_w: registers of four rows. All arguments but s are constants. */
INLINE void tile(const struct cria_tile_f *s, enum cria_matrix_kind kind, int n_w, int n) {
    float32x4_t acc[CRIA_TILE_F_TOKENS][4 * CRIA_TILE_F_BLOCKS];
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < n_w; i++) {
            acc[t][i] = s->first ? vdupq_n_f32(0) : load_rows(s->y + (size_t)t * s->ldy, s->rows, i);
        }
    }
    for (size_t k = 0; k < s->n_k; k++) {
        UNROLL for (int i = 0; i < n_w; i++) {
            const uint8_t *block = s->w + (size_t)(i / 4) * s->block_stride;
            const float32x4_t w = four_weights(kind, block, 16 * k + 4 * (size_t)(i % 4));
            UNROLL for (int t = 0; t < n; t++) {
                acc[t][i] = vfmaq_n_f32(acc[t][i], w, s->x[(size_t)t * s->ldx + k]);
            }
        }
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < n_w; i++) store_rows(s->y + (size_t)t * s->ldy, s->rows, i, acc[t][i]);
    }
}

#define TILE(name, kind, n_w, n)                                                                             \
    static void name(const struct cria_tile_f *s) { tile(s, kind, n_w, n); }

#define TILES(name, kind)                                                                                    \
    TILE(name##_11, kind, 4, 1)                                                                              \
    TILE(name##_12, kind, 4, 2)                                                                              \
    TILE(name##_13, kind, 4, 3)                                                                              \
    TILE(name##_14, kind, 4, 4)                                                                              \
    TILE(name##_15, kind, 4, 5)                                                                              \
    TILE(name##_16, kind, 4, 6)                                                                              \
    TILE(name##_41, kind, 16, 1)                                                                             \
    static const cria_tiles_f name = {                                                                       \
        [1] = {NULL, name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                      \
        [4] = {NULL, name##_41},                                                                             \
    };

TILES(tiles_f32, CRIA_MATRIX_F32)
TILES(tiles_f16, CRIA_MATRIX_F16)
TILES(tiles_bf16, CRIA_MATRIX_BF16)

/* One input of four rows, a lane each. */
INLINE float32x4_t weights_of(const cria_matrix_spec *s, uint32x4_t level, float32x4_t scale,
                              float32x4_t bias) {
    if (s->kind == CRIA_MATRIX_E4M3) return vmulq_f32(e4m3_floats(level), scale);
    if (s->affine) return vfmaq_f32(bias, scale, vcvtq_f32_u32(level));
    return vmulq_f32(scale, vcvtq_f32_s32(vsubq_s32(vreinterpretq_s32_u32(level), vdupq_n_s32(s->zero))));
}

static void dequantize_step(const cria_matrix_spec *s, const uint8_t *levels, const float *scales,
                            const float *biases, float *out) {
    for (int i = 0; i < 4; i++) {
        const uint32x4_t four = vreinterpretq_u32_u8(vld1q_u8(levels + 16 * i));
        const float32x4_t scale = vld1q_f32(scales + 4 * i), bias = vld1q_f32(biases + 4 * i);
        for (int k = 0; k < 4; k++) {
            const uint32x4_t level = vandq_u32(vshlq_u32(four, vdupq_n_s32(-8 * k)), vdupq_n_u32(255));
            float *to = out + 16 * cria_step_order(s->kind, (uint32_t)k) + 4 * i;
            vst1q_f32(to, weights_of(s, level, scale, bias));
        }
    }
}

static const struct cria_matmul_f_ops ops = {&tiles_f32,    &tiles_f16,    &tiles_bf16,
                                             unpack_scales, unpack_chunks, dequantize_step};

void cria_matmul_f_neon(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch) {
    cria_matmul_f_run(&ops, w, x, y, ldy, part, scratch);
}
