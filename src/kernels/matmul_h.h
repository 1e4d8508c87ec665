/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the vector kernels of the product of half floats with whole integers (matmul_h of kernels.h) share: the loops
 * around their tiles.
 *
 * A tile is one to four row blocks against some tokens, an exact integer sum per output in a register lane; sums of
 * groups of 128 inputs meet in y. For few tokens a tile turns half floats into integers as it reads them. For many they
 * are turned into integers in the scratch memory first, a piece of the columns of some row blocks at a time.
 */
#ifndef CRIA_KERNELS_MATMUL_H_H
#define CRIA_KERNELS_MATMUL_H_H

#include "kernels/inline.h"
#include "kernels/kernels.h"

enum {
    CRIA_TILE_H_BLOCKS = 4,
    CRIA_TILE_H_TOKENS = 6, /* of a tile of integers */
    CRIA_TILE_H_DIRECT = 3  /* of one of half floats */
};

struct cria_tile_h {
    const uint8_t *w; /* [n_k][16] half floats, or integers as convert leaves them; 64-byte aligned */
    size_t w_stride;  /* bytes from one row block to the next */
    const uint8_t *steps; /* [groups][16] */
    size_t steps_stride;
    uint32_t n_k;     /* inputs */
    const int16_t *x; /* token t at x + t·ldx; with an odd n_k whatever follows is read, too */
    size_t ldx;
    const float *d; /* group j of token t at d + t·ldd + j */
    size_t ldd;
    float *y; /* token t, row r at y + t·ldy + r */
    size_t ldy;
    uint32_t y_stride; /* rows from one row block to the next */
    uint32_t rows;     /* that there are from the first on, those between row blocks included; to be written are at most
                        * 16 of each row block */
    bool first;        /* sums start at 0, not at y */
};
typedef void (*cria_tile_h_fn)(const struct cria_tile_h *s);

/* [row blocks][tokens]; those of one block exist for all numbers of tokens, others where they pay. */
typedef cria_tile_h_fn cria_tiles_h[CRIA_TILE_H_BLOCKS + 1][CRIA_TILE_H_TOKENS + 1];

/* One token: half floats are asked for ahead. Four neighbouring row blocks as in matmul_f.h, two that are half of a part
 * apart as in matmul_q.h. Called for every other input k. */
CRIA_INLINE void cria_ask_h(const struct cria_tile_h *s, int n_blocks, size_t k) {
    const size_t near = n_blocks == 2 ? 256 : 512, far = n_blocks == 2 ? 1536 : 2560;
    CRIA_UNROLL
    for (int b = 0; b < n_blocks; b++) {
        const uint8_t *p = s->w + (size_t)b * s->w_stride + 32 * k;
        __builtin_prefetch(p + near);
        __builtin_prefetch(p + far, 0, 2);
    }
}

/* The parts that depend on the instruction set. */
struct cria_matmul_h_ops {
    const cria_tiles_h *f16, *bf16; /* of half floats, up to CRIA_TILE_H_DIRECT tokens */
    const cria_tiles_h *integers;
    /* n_k inputs of a row block to integers: 32 bytes for each, an odd number of inputs rounded up. */
    void (*convert)(enum cria_matrix_kind kind, const uint8_t *w, const uint8_t *steps, uint32_t n_k, int16_t *out);
};

/* apart: with few tokens a tile is two row blocks half of the part apart, so that memory is read as two streams. */
void cria_matmul_h_run(const struct cria_matmul_h_ops *ops, bool apart, const cria_matrix *w, const cria_act *x,
                       float *y, size_t ldy, cria_rect part, void *scratch);

#endif
