/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the vector kernels of the quantized product (matmul_q of kernels.h) share: the loops around their
 * tiles.
 *
 * A tile is one or two row blocks against a few tokens over a run of columns, with its sums in registers. Few
 * tokens: tiles unpack codes themselves, the matrix is read once. Many: the codes of some row blocks (a
 * panel) are unpacked to bytes in the scratch memory, where all tokens use them. Scales are turned into
 * float32 there in both cases. Columns are taken in pieces; between pieces the running sums rest in y.
 *
 * Everything here is the same on every instruction set; a file per instruction set has the tiles and the
 * unpacking.
 */
#ifndef CRIA_KERNELS_MATMUL_Q_H
#define CRIA_KERNELS_MATMUL_Q_H

#include "kernels/kernels.h"

enum {
    CRIA_PIECE = 4096,     /* columns taken at once at most; whole groups */
    CRIA_TILE_TOKENS = 6,  /* of a tile at most */
    CRIA_PANEL_BLOCKS = 8, /* row blocks unpacked at once at most */
    CRIA_BYTES_CHUNK = 512 /* a chunk of levels as bytes: laid out as 8-bit codes are */
};

/* What a tile works on. A unit is what one I_j sums: 32 inputs, or 16 where groups are that small. The second
 * row block of a tile of two lies one stride further. */
struct cria_tile {
    const uint8_t *codes; /* packed codes, or levels as bytes */
    size_t codes_stride, chunk_bytes;
    uint32_t n_groups, units;     /* units per group */
    const float *scales, *biases; /* [n_groups][16], 64-byte aligned; biases NULL when symmetric */
    size_t scales_stride;         /* of both, in floats */
    int32_t zero;
    const uint8_t *levels; /* [16], NULL when there are none or codes are unpacked already */
    const int8_t *q;       /* plane p of token t at q + (t·planes + p)·ldq */
    size_t ldq;
    const int16_t *pairs; /* where the plan asks for words: unit of 32 inputs j of token t at pairs + t·ldp +
                           * 32·j, first the 16 inputs 0, 2, 4, …, then 1, 3, 5, …; 64-byte aligned */
    size_t ldp;
    const float *d; /* 32 inputs j of token t at d + t·ldd + j */
    size_t ldd;
    const int32_t *sums; /* unit j of token t at sums + t·lds + j */
    size_t lds;
    const float *u; /* group g of token t at u + t·ldu + g; affine only */
    size_t ldu;
    float *y; /* token t, row r at y + t·ldy + r */
    size_t ldy;
    uint32_t rows; /* rows to write: of the blocks of the tile together */
    bool first;    /* sums start at 0, not at y */
};
typedef void (*cria_tile_fn)(const struct cria_tile *s);

/* How a product is done. */
struct cria_tile_plan {
    const cria_tile_fn *one, *two; /* tiles of one and of two row blocks, [tokens − 1]; two may be NULL */
    uint32_t max_tokens;           /* of a tile */
    bool words;                    /* activations as 16-bit numbers, for up to 4 tokens */
    bool unpack;                   /* codes to levels as bytes first */
};

/* The parts that depend on the instruction set. */
struct cria_matmul_q_ops {
    struct cria_tile_plan (*plan)(const cria_matrix_spec *spec, uint32_t n_tokens, uint32_t planes);
    /* n (a multiple of 16, whole super-blocks where there are two levels) scales or biases as float32, times
     * factor; dst 64-byte aligned */
    void (*unpack_scales)(enum cria_scale_type type, const uint8_t *src, size_t n, float factor, float *dst);
    /* n chunks of codes to levels (codes, where there are no levels) as bytes; dst 64-byte aligned */
    void (*unpack_chunks)(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst);
};

void cria_matmul_q_run(const struct cria_matmul_q_ops *ops, const cria_matrix *w, const cria_act *x, float *y,
                       size_t ldy, uint32_t block0, uint32_t block1, void *scratch);

#endif
