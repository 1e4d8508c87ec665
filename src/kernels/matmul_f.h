/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the vector kernels of the product with float32 activations (matmul_f of kernels.h) share: the loops
 * around their tiles.
 *
 * A tile is one to four row blocks against some tokens, a chain of fused multiply-adds per output in a
 * register lane. Codes are turned into float32 weights in the scratch memory, a piece of the columns of some
 * row blocks at a time; between pieces the running sums rest in y.
 */
#ifndef CRIA_KERNELS_MATMUL_F_H
#define CRIA_KERNELS_MATMUL_F_H

#include "kernels/inline.h"
#include "kernels/kernels.h"

enum { CRIA_TILE_F_BLOCKS = 4, CRIA_TILE_F_TOKENS = 6 };

struct cria_tile_f {
    const uint8_t *w;    /* [n_k][16] elements of the tile's kind, 64-byte aligned */
    size_t block_stride; /* bytes from one row block to the next */
    uint32_t n_k;
    const float *x; /* token t at x + t·ldx */
    size_t ldx;
    float *y; /* token t, row r at y + t·ldy + r */
    size_t ldy;
    uint32_t rows; /* rows to write: of the blocks of the tile together */
    bool first;    /* sums start at 0, not at y */
};
typedef void (*cria_tile_f_fn)(const struct cria_tile_f *s);

/* A product with one token is as fast as memory: four row blocks side by side are read at up to all of its speed when
 * they are asked for so many bytes before, and up to a tenth slower with 2 KiB, or without. Half floats are asked for
 * further ahead into the second cache, too, which is 8 % faster still (as in matmul_q.h; float32 loses 2 %). Called for
 * every input k of a tile of four row blocks. */
enum { CRIA_AHEAD_F = 512, CRIA_AHEAD_FAR_F = CRIA_AHEAD_F + 2048 };
CRIA_INLINE void cria_ask_f(const struct cria_tile_f *s, enum cria_matrix_kind kind, size_t k) {
    const bool wide = kind == CRIA_MATRIX_F32; /* an input of a row block is a cache line; else half of one */
    const uint8_t *p = s->w + (wide ? 64 * k : 32 * k + k % 2 * 2 * s->block_stride);
    const int blocks = wide ? CRIA_TILE_F_BLOCKS : CRIA_TILE_F_BLOCKS / 2;
    CRIA_UNROLL
    for (int b = 0; b < blocks; b++) {
        const uint8_t *block = p + (size_t)b * s->block_stride;
        __builtin_prefetch(block + CRIA_AHEAD_F);
        if (!wide) __builtin_prefetch(block + CRIA_AHEAD_FAR_F, 0, 2);
    }
}

/* [row blocks][tokens]; those of one block exist for 1..6 tokens, others where they pay. */
typedef cria_tile_f_fn cria_tiles_f[CRIA_TILE_F_BLOCKS + 1][CRIA_TILE_F_TOKENS + 1];

/* The parts that depend on the instruction set. */
struct cria_matmul_f_ops {
    const cria_tiles_f *f32, *f16, *bf16;
    /* As in matmul_q.h. */
    void (*unpack_scales)(enum cria_scale_type type, const uint8_t *src, size_t n, float factor, float *dst);
    void (*unpack_chunks)(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst);
    /* Four inputs of 16 rows, a step of levels as bytes, with 16 scales and biases to weights out[4][16]; all
     * 64-byte aligned. */
    void (*dequantize_step)(const cria_matrix_spec *s, const uint8_t *levels, const float *scales,
                            const float *biases, float *out);
};

void cria_matmul_f_run(const struct cria_matmul_f_ops *ops, const cria_matrix *w, const cria_act *x, float *y,
                       size_t ldy, cria_rect part, void *scratch);

#endif
