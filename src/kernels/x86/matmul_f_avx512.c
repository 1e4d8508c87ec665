/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product with float32 activations for AVX-512 (matmul_f of kernels.h; the loops around: matmul_f.h).
 *
 * Eight chains of fused multiply-adds are the least that keep the units busy: four row blocks for one token
 * come near, being bound by memory; two blocks and six tokens for many. F16 and BF16 weights are widened as
 * they are loaded.
 */
#include <immintrin.h>

#include "kernels/matmul_f.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/unpack_avx512.h"

INLINE __m512 sixteen_weights(enum cria_matrix_kind kind, const uint8_t *p, size_t k) {
    if (kind == CRIA_MATRIX_F16) return f16_floats((const uint16_t *)p + 16 * k);
    if (kind == CRIA_MATRIX_BF16) return bf16_floats((const uint16_t *)p + 16 * k);
    return _mm512_loadu_ps((const float *)p + 16 * k);
}

/* All arguments but s are constants. */
INLINE void tile(const struct cria_tile_f *s, enum cria_matrix_kind kind, int n_blocks, int n) {
    __m512 acc[CRIA_TILE_F_TOKENS][CRIA_TILE_F_BLOCKS];
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < n_blocks; b++) {
            const float *y = s->y + (size_t)t * s->ldy + 16 * b;
            acc[t][b] = s->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(row_mask(s->rows, b), y);
        }
    }
    for (size_t k = 0; k < s->n_k; k++) {
        __m512 w[CRIA_TILE_F_BLOCKS];
        if (n == 1 && n_blocks == CRIA_TILE_F_BLOCKS) cria_ask_f(s, kind, k);
        UNROLL for (int b = 0; b < n_blocks; b++) {
            w[b] = sixteen_weights(kind, s->w + (size_t)b * s->block_stride, k);
        }
        UNROLL for (int t = 0; t < n; t++) {
            const __m512 x = _mm512_set1_ps(s->x[(size_t)t * s->ldx + k]);
            UNROLL for (int b = 0; b < n_blocks; b++) acc[t][b] = _mm512_fmadd_ps(x, w[b], acc[t][b]);
        }
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < n_blocks; b++)
            _mm512_mask_storeu_ps(s->y + (size_t)t * s->ldy + 16 * b, row_mask(s->rows, b), acc[t][b]);
    }
}

#define TILE(name, kind, n_blocks, n)                                                                        \
    static void name(const struct cria_tile_f *s) { tile(s, kind, n_blocks, n); }

#define TILES(name, kind)                                                                                    \
    TILE(name##_11, kind, 1, 1)                                                                              \
    TILE(name##_12, kind, 1, 2)                                                                              \
    TILE(name##_13, kind, 1, 3)                                                                              \
    TILE(name##_14, kind, 1, 4)                                                                              \
    TILE(name##_15, kind, 1, 5)                                                                              \
    TILE(name##_16, kind, 1, 6)                                                                              \
    TILE(name##_24, kind, 2, 4)                                                                              \
    TILE(name##_25, kind, 2, 5)                                                                              \
    TILE(name##_26, kind, 2, 6)                                                                              \
    TILE(name##_41, kind, 4, 1)                                                                              \
    TILE(name##_42, kind, 4, 2)                                                                              \
    TILE(name##_43, kind, 4, 3)                                                                              \
    static const cria_tiles_f name = {                                                                       \
        [1] = {NULL, name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                      \
        [2] = {NULL, NULL, NULL, NULL, name##_24, name##_25, name##_26},                                     \
        [4] = {NULL, name##_41, name##_42, name##_43},                                                       \
    };

TILES(tiles_f32, CRIA_MATRIX_F32)
TILES(tiles_f16, CRIA_MATRIX_F16)
TILES(tiles_bf16, CRIA_MATRIX_BF16)

/* One input of 16 rows, a lane each. */
INLINE __m512 weights_of(const cria_matrix_spec *s, __m512i level, __m512 scale, __m512 bias) {
    if (s->kind == CRIA_MATRIX_E4M3) return _mm512_mul_ps(e4m3_floats(level), scale);
    if (s->affine) return _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(level), bias);
    return _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_sub_epi32(level, _mm512_set1_epi32(s->zero))));
}

static void dequantize_step(const cria_matrix_spec *s, const uint8_t *levels, const float *scales,
                            const float *biases, float *out) {
    const __m512i four = _mm512_loadu_si512(levels), low = _mm512_set1_epi32(255);
    const __m512 scale = _mm512_loadu_ps(scales), bias = _mm512_loadu_ps(biases);
    const uint32_t second = cria_step_order(s->kind, 1), third = cria_step_order(s->kind, 2);
    _mm512_storeu_ps(out, weights_of(s, _mm512_and_si512(four, low), scale, bias));
    _mm512_storeu_ps(out + 16 * second, weights_of(s, _mm512_and_si512(_mm512_srli_epi32(four, 8), low), scale, bias));
    _mm512_storeu_ps(out + 16 * third,
                     weights_of(s, _mm512_and_si512(_mm512_srli_epi32(four, 16), low), scale, bias));
    _mm512_storeu_ps(out + 48, weights_of(s, _mm512_srli_epi32(four, 24), scale, bias));
}

static const struct cria_matmul_f_ops ops = {&tiles_f32,    &tiles_f16,    &tiles_bf16,
                                             unpack_scales, unpack_chunks, dequantize_step};

void cria_matmul_f_avx512(const cria_matrix *w, const cria_act *x, float *y, size_t ldy,
                          cria_rect part, void *scratch) {
    cria_matmul_f_run(&ops, w, x, y, ldy, part, scratch);
}
