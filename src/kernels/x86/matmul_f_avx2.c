/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product with float32 activations for AVX2 (matmul_f of kernels.h; the loops around: matmul_f.h).
 *
 * A fused multiply-add takes four cycles and two can start in each, so eight chains are the least that keep
 * the units busy: four row blocks for one token, one block and up to six tokens for many. F16 and BF16
 * weights are widened as they are loaded.
 */
#include <immintrin.h>

#include "kernels/matmul_f.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/unpack_avx2.h"

INLINE __m256 eight_weights(enum cria_matrix_kind kind, const uint8_t *p, size_t i) {
    if (kind == CRIA_MATRIX_F16) return f16_floats((const uint16_t *)p + i);
    if (kind == CRIA_MATRIX_BF16) return bf16_floats((const uint16_t *)p + i);
    return _mm256_loadu_ps((const float *)p + i);
}

/* n_w: registers of eight rows. All arguments but s are constants. */
INLINE void tile(const struct cria_tile_f *s, enum cria_matrix_kind kind, int n_w, int n) {
    __m256 acc[CRIA_TILE_F_TOKENS][2 * CRIA_TILE_F_BLOCKS];
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < n_w; i++) {
            const float *y = s->y + (size_t)t * s->ldy + 8 * i;
            acc[t][i] = s->first ? _mm256_setzero_ps() : _mm256_maskload_ps(y, row_mask(s->rows, i));
        }
    }
    for (size_t k = 0; k < s->n_k; k++) {
        __m256 w[2 * CRIA_TILE_F_BLOCKS];
        if (n == 1 && n_w == 2 * CRIA_TILE_F_BLOCKS) cria_ask_f(s, kind, k);
        UNROLL for (int i = 0; i < n_w; i++) {
            w[i] =
                eight_weights(kind, s->w + (size_t)(i / 2) * s->block_stride, 16 * k + 8 * (size_t)(i % 2));
        }
        UNROLL for (int t = 0; t < n; t++) {
            const __m256 x = _mm256_broadcast_ss(s->x + (size_t)t * s->ldx + k);
            UNROLL for (int i = 0; i < n_w; i++) acc[t][i] = _mm256_fmadd_ps(x, w[i], acc[t][i]);
        }
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < n_w; i++) {
            float *y = s->y + (size_t)t * s->ldy + 8 * i;
            if (s->rows >= 8 * ((uint32_t)i + 1))
                _mm256_storeu_ps(y, acc[t][i]);
            else
                _mm256_maskstore_ps(y, row_mask(s->rows, i), acc[t][i]);
        }
    }
}

#define TILE(name, kind, n_w, n)                                                                             \
    static void name(const struct cria_tile_f *s) { tile(s, kind, n_w, n); }

#define TILES(name, kind)                                                                                    \
    TILE(name##_11, kind, 2, 1)                                                                              \
    TILE(name##_12, kind, 2, 2)                                                                              \
    TILE(name##_13, kind, 2, 3)                                                                              \
    TILE(name##_14, kind, 2, 4)                                                                              \
    TILE(name##_15, kind, 2, 5)                                                                              \
    TILE(name##_16, kind, 2, 6)                                                                              \
    TILE(name##_22, kind, 4, 2)                                                                              \
    TILE(name##_23, kind, 4, 3)                                                                              \
    TILE(name##_41, kind, 8, 1)                                                                              \
    static const cria_tiles_f name = {                                                                       \
        [1] = {NULL, name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                      \
        [2] = {NULL, NULL, name##_22, name##_23},                                                            \
        [4] = {NULL, name##_41},                                                                             \
    };

TILES(tiles_f32, CRIA_MATRIX_F32)
TILES(tiles_f16, CRIA_MATRIX_F16)
TILES(tiles_bf16, CRIA_MATRIX_BF16)

/* One input of eight rows, a lane each. */
INLINE __m256 weights_of(const cria_matrix_spec *s, __m256i level, __m256 scale, __m256 bias) {
    if (s->kind == CRIA_MATRIX_E4M3) return _mm256_mul_ps(e4m3_floats(level), scale);
    if (s->affine) return _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(level), bias);
    return _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_sub_epi32(level, _mm256_set1_epi32(s->zero))));
}

static void dequantize_step(const cria_matrix_spec *s, const uint8_t *levels, const float *scales,
                            const float *biases, float *out) {
    for (int h = 0; h < 2; h++) {
        const __m256i four = load256(levels + 32 * h);
        const __m256 scale = _mm256_load_ps(scales + 8 * h), bias = _mm256_load_ps(biases + 8 * h);
        for (int i = 0; i < 4; i++) {
            const __m256i level = _mm256_and_si256(_mm256_srli_epi32(four, 8 * i), _mm256_set1_epi32(255));
            float *to = out + 16 * cria_step_order(s->kind, (uint32_t)i) + 8 * h;
            _mm256_store_ps(to, weights_of(s, level, scale, bias));
        }
    }
}

static const struct cria_matmul_f_ops ops = {&tiles_f32,    &tiles_f16,    &tiles_bf16,
                                             unpack_scales, unpack_chunks, dequantize_step};

void cria_matmul_f_avx2(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch) {
    cria_matmul_f_run(&ops, w, x, y, ldy, part, scratch);
}
