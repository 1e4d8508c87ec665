/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product with float32 activations for AVX2 (matmul_f of kernels.h): a fused multiply-add chain per output.
 *
 * A tile is some row blocks (two registers of eight rows each) against some tokens, as many chains as registers allow:
 * a multiply-add takes four cycles and two can start in each, so eight chains are the least that keep the unit busy.
 * F16 and BF16 weights are widened as they are loaded. Codes are turned into float32 weights in the scratch memory, a
 * piece of the columns of some row blocks at a time; between pieces the running sums rest in y.
 */
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/unpack_avx2.h"

enum {
    MAX_BLOCKS = 4,   /* of a tile and of a panel */
    MAX_TOKENS = 6,   /* of a tile */
    PIECE = 1024      /* columns of codes in the scratch memory */
};

/* Row blocks against the tokens of a tile. */
struct span {
    const uint8_t *w;   /* [n_k][16] elements */
    size_t block_bytes; /* from one block to the next */
    uint32_t n_k;
    const float *x;
    size_t ldx;
    float *y;
    size_t ldy;
    uint32_t rows; /* of all blocks of the tile together */
    bool first;    /* sums start at 0, not at y */
};

typedef void (*tile_fn)(const struct span *s);

INLINE __m256 eight_weights(enum cria_matrix_kind kind, const uint8_t *p, size_t i) {
    if (kind == CRIA_MATRIX_F16) return f16_floats((const uint16_t *)p + i);
    if (kind == CRIA_MATRIX_BF16) return bf16_floats((const uint16_t *)p + i);
    return _mm256_loadu_ps((const float *)p + i);
}

INLINE __m256i row_mask(uint32_t rows, int i) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)rows - 8 * i), lane);
}

/* n_w: registers of eight rows. All arguments but s are constants. */
INLINE void tile(const struct span *s, enum cria_matrix_kind kind, int n_w, int n) {
    __m256 acc[MAX_TOKENS][2 * MAX_BLOCKS];
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < n_w; i++) {
            const float *y = s->y + (size_t)t * s->ldy + 8 * i;
            acc[t][i] = s->first ? _mm256_setzero_ps() : _mm256_maskload_ps(y, row_mask(s->rows, i));
        }
    }
    for (size_t k = 0; k < s->n_k; k++) {
        __m256 w[2 * MAX_BLOCKS];
        UNROLL for (int i = 0; i < n_w; i++)
            w[i] = eight_weights(kind, s->w + (size_t)(i / 2) * s->block_bytes, 16 * k + 8 * (size_t)(i % 2));
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

#define TILE(name, kind, n_w, n)                                                                                       \
    static void name(const struct span *s) { tile(s, kind, n_w, n); }

/* One block and 1..6 tokens; four blocks and one token; two blocks and two or three tokens. */
#define TILES(name, kind)                                                                                              \
    TILE(name##_11, kind, 2, 1)                                                                                        \
    TILE(name##_12, kind, 2, 2)                                                                                        \
    TILE(name##_13, kind, 2, 3)                                                                                        \
    TILE(name##_14, kind, 2, 4)                                                                                        \
    TILE(name##_15, kind, 2, 5)                                                                                        \
    TILE(name##_16, kind, 2, 6)                                                                                        \
    TILE(name##_22, kind, 4, 2)                                                                                        \
    TILE(name##_23, kind, 4, 3)                                                                                        \
    TILE(name##_41, kind, 8, 1)                                                                                        \
    static const tile_fn name[MAX_BLOCKS + 1][MAX_TOKENS + 1] = {                                                      \
        [1] = {NULL, name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                                \
        [2] = {NULL, NULL, name##_22, name##_23},                                                                      \
        [4] = {NULL, name##_41},                                                                                       \
    };

TILES(tiles_f32, CRIA_MATRIX_F32)
TILES(tiles_f16, CRIA_MATRIX_F16)
TILES(tiles_bf16, CRIA_MATRIX_BF16)

/* Up to MAX_BLOCKS row blocks at w, the first one's first row being `row`, against all tokens. */
static void panel_product(const struct span *panel, enum cria_matrix_kind kind, uint32_t n_blocks, uint32_t n) {
    const tile_fn(*tiles)[MAX_TOKENS + 1] = kind == CRIA_MATRIX_F16    ? tiles_f16
                                            : kind == CRIA_MATRIX_BF16 ? tiles_bf16
                                                                       : tiles_f32;
    for (uint32_t t = 0, take; t < n; t += take) {
        take = n - t < MAX_TOKENS ? n - t : MAX_TOKENS;
        for (uint32_t b = 0, blocks; b < n_blocks; b += blocks) {
            blocks = MAX_BLOCKS;
            while (blocks > n_blocks - b || !tiles[blocks][take]) blocks--;
            struct span s = *panel;
            s.w += b * s.block_bytes;
            s.rows = s.rows - b * CRIA_ROWS < blocks * CRIA_ROWS ? s.rows - b * CRIA_ROWS : blocks * CRIA_ROWS;
            s.x += t * s.ldx;
            s.y += t * s.ldy + b * CRIA_ROWS;
            tiles[blocks][take](&s);
        }
    }
}

/* ---- Codes to float32 ------------------------------------------------------------------------------------------- */

/* One 32-bit lane per row: the weights of one input. */
INLINE __m256 weights_of(const cria_matrix_spec *s, __m256i level, __m256 scale, __m256 bias) {
    if (s->kind == CRIA_MATRIX_E4M3) return _mm256_mul_ps(e4m3_floats(level), scale);
    if (s->affine) return _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(level), bias);
    return _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_sub_epi32(level, _mm256_set1_epi32(s->zero))));
}

/* Four inputs of 16 rows, a step of levels, to out[4][16]. */
static void dequantize_step(const cria_matrix_spec *s, const uint8_t *levels, const float *scales, const float *biases,
                            float *out) {
    for (int h = 0; h < 2; h++) {
        const __m256i four = load256(levels + 32 * h);
        const __m256 scale = _mm256_load_ps(scales + 8 * h), bias = _mm256_load_ps(biases + 8 * h);
        for (int i = 0; i < 4; i++) {
            const __m256i level = _mm256_and_si256(_mm256_srli_epi32(four, 8 * i), _mm256_set1_epi32(255));
            _mm256_store_ps(out + 16 * i + 8 * h, weights_of(s, level, scale, bias));
        }
    }
}

/* Chunks chunk0 .. chunk0+n−1 of a row block to out[32·n][16]. */
static void dequantize(const cria_matrix *m, const uint8_t *block, uint32_t chunk0, uint32_t n, float *out) {
    const cria_matrix_spec *s = &m->spec;
    const uint8_t *codes = block + m->codes_offset + chunk0 * m->chunk_bytes;
    const size_t group_bytes = m->bias_offset / m->n_groups;
    _Alignas(64) uint8_t levels[512];
    _Alignas(64) float scales[16] = {0}, biases[16] = {0};
    for (uint32_t i = 0; i < 8 * n; i++, out += 64) {
        const uint8_t *group = block + ((size_t)chunk0 * CRIA_CHUNK + 4 * i) / s->group * group_bytes;
        if (i % 8 == 0) unpack_chunks(m, codes + i / 8 * m->chunk_bytes, 1, levels);
        if (i % 4 == 0) { /* no group is smaller */
            unpack_scales(s->scale_type, group, 16, s->scale_factor, scales);
            if (s->affine) unpack_scales(s->scale_type, group + m->bias_offset, 16, 1.0f, biases);
        }
        dequantize_step(s, levels + 64 * (i % 8), scales, biases, out);
    }
}

/* ---- The product ------------------------------------------------------------------------------------------------ */

void cria_matmul_f_avx2(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, uint32_t block0, uint32_t block1,
                        void *scratch) {
    const bool codes = w->n_chunks != 0;
    const uint32_t cols = w->spec.cols, piece = codes ? PIECE : cols;
    _Static_assert(sizeof(float) * CRIA_ROWS * PIECE * MAX_BLOCKS <= CRIA_MATMUL_SCRATCH, "scratch is too small");
    for (uint32_t b = block0, n_blocks; b < block1; b += n_blocks) {
        n_blocks = block1 - b < MAX_BLOCKS ? block1 - b : MAX_BLOCKS;
        for (uint32_t k = 0; k < cols; k += piece) {
            struct span s = {.w = w->data + b * w->block_bytes,
                             .block_bytes = w->block_bytes,
                             .n_k = cols - k < piece ? cols - k : piece,
                             .x = x->x + k,
                             .ldx = x->ldx,
                             .y = y + (size_t)b * CRIA_ROWS,
                             .ldy = ldy,
                             .rows = w->spec.rows - b * CRIA_ROWS,
                             .first = k == 0};
            if (codes) {
                s.w = scratch;
                s.block_bytes = sizeof(float) * CRIA_ROWS * PIECE;
                for (uint32_t i = 0; i < n_blocks; i++)
                    dequantize(w, w->data + (b + i) * w->block_bytes, k / CRIA_CHUNK,
                               (s.n_k + CRIA_CHUNK - 1) / CRIA_CHUNK, (float *)scratch + i * (size_t)CRIA_ROWS * PIECE);
            }
            panel_product(&s, codes ? CRIA_MATRIX_F32 : w->spec.kind, n_blocks, x->n);
        }
    }
}
