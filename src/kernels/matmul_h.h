/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the vector kernels of the product of half and 8-bit floats with whole integers (matmul_h of kernels.h) share:
 * the loops around their tiles.
 *
 * A tile is an exact integer sum per output in a register lane, which is added to a float one group by group. For few
 * tokens it is two row blocks of floats that become integers as they are read, half of a part apart: so memory is read
 * as two streams, each from end to end, at what a plain loop reaches. For many tokens floats are turned into integers
 * in the scratch memory first, a piece of the columns of some row blocks at a time; between pieces floats rest in y.
 */
#ifndef CRIA_KERNELS_MATMUL_H_H
#define CRIA_KERNELS_MATMUL_H_H

#include "kernels/inline.h"
#include "kernels/kernels.h"

enum {
    CRIA_TILE_H_BLOCKS = 4, /* at most, as all here */
    CRIA_TILE_H_TOKENS = 8,
    CRIA_TILE_H_INTEGERS = 6 /* tokens of a tile of integers */
};

/* How many bytes before floats are read they are asked for, into the first cache and into the second. 0: not. */
struct cria_asking {
    size_t near, far;
};

struct cria_tile_h {
    const uint8_t *w; /* n_k inputs of a row block, or integers as convert leaves them; 64-byte aligned */
    size_t w_stride;  /* bytes from one row block to the next */
    const uint8_t *steps; /* [groups][16]; E4M3: scales */
    size_t steps_stride;
    uint32_t n_k;     /* inputs */
    const int16_t *x; /* token t at x + t·ldx; with an odd n_k whatever follows is read, too */
    size_t ldx;
    const float *d; /* of 128 inputs j of token t at d + t·ldd + j */
    size_t ldd;
    float *y; /* token t, row r at y + t·ldy + r */
    size_t ldy;
    uint32_t y_stride; /* rows from one row block to the next */
    uint32_t rows;     /* that there are from the first on, those between row blocks included; to be written are at most
                        * 16 of each row block */
    bool first;        /* sums start at 0, not at y */
    struct cria_asking asking;
};
typedef void (*cria_tile_h_fn)(const struct cria_tile_h *s);

/* [row blocks][tokens] */
typedef cria_tile_h_fn cria_tiles_h[CRIA_TILE_H_BLOCKS + 1][CRIA_TILE_H_TOKENS + 1];

/* The parts that depend on the instruction set. */
struct cria_matmul_h_ops {
    const cria_tiles_h *f16, *bf16, *e4m3; /* of floats: one and two row blocks, any number of tokens up to at_once */
    uint32_t at_once, few;                 /* few: tokens that are better off with these tiles */
    const cria_tiles_h *integers, *integers_e4m3; /* one row block, and four where they pay */
    /* n_k inputs of a row block to integers: 32 bytes for each, an odd number of inputs rounded up. */
    void (*convert)(enum cria_matrix_kind kind, const uint8_t *w, const uint8_t *steps, uint32_t n_k, int16_t *out);
};

void cria_matmul_h_run(const struct cria_matmul_h_ops *ops, struct cria_asking asking, const cria_matrix *w,
                       const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);

#endif
