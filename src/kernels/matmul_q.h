/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the vector kernels of the quantized product (matmul_q of kernels.h) share: the loops around their
 * tiles.
 *
 * A tile is one or two row blocks against a few tokens over a run of columns (a piece). The loops around it,
 * from the outside in: pieces of the columns, batches of tokens, row blocks, tiles of tokens. So the levels
 * of a row block, 16 KiB of bytes, are unpacked once a batch and then stay in the first cache while all tiles
 * of the batch pass by. With few tokens, and with any number where unpacking costs a tile nothing, tiles unpack
 * codes themselves, in longer pieces. Scales are turned into float32 in both cases, unless tiles do that
 * themselves. Between pieces the running sums rest in scratch memory, side by side, so outermost are parts that
 * there is room for.
 *
 * What a tile needs of its tokens is laid out for it once for all row blocks, token beside token: a tile then reads
 * one stream with constant distances, which on AVX2 is a tenth faster than six streams.
 *
 * Everything here is the same on every instruction set; a file per instruction set has the tiles and the
 * unpacking.
 */
#ifndef CRIA_KERNELS_MATMUL_Q_H
#define CRIA_KERNELS_MATMUL_Q_H

#include "kernels/inline.h"
#include "kernels/kernels.h"

enum {
    CRIA_TILE_TOKENS = 6,   /* of a tile at most */
    CRIA_TILE_ROWS = 32,    /* rows of weights, likewise: two row blocks */
    CRIA_BYTES_CHUNK = 512, /* a chunk of levels as bytes: laid out as 8-bit codes are */
    CRIA_WORDS_CHUNK = 1024 /* and as 16-bit numbers: [step][inputs 0 and 2, then 1 and 3][16 rows][2] */
};

/* Where a tile that reads codes from memory asks for what will be read next (cria_ask): a product with one token
 * is as fast as memory, and without this it reads a good deal slower. Addresses, for they may lie beyond the matrix. */
struct cria_stream {
    /* + chunk·codes_step, from chunk `turn` on + jump: as many bytes as the chunk's codes, into the first cache */
    uintptr_t codes;
    size_t codes_step, turn, jump;
    size_t far, far_turn; /* as many so much further, from chunk far_turn on + jump, into the second cache */
    uintptr_t line; /* + chunk·line_step: a cache line more, for the scales' share, into the second cache */
    size_t line_step;
};

/* What a tile of n tokens works on. A unit is what one I_j sums: 32 inputs, or 16 where groups are that
 * small; a step is four inputs. The second row block of a tile of two lies one stride further. */
struct cria_tile {
    const uint8_t *codes; /* packed codes, or levels as bytes */
    size_t codes_stride, chunk_bytes;
    uint32_t n_groups, units;     /* units per group; groups of 16 come in pairs, a chunk */
    bool affine;                  /* there are biases */
    const float *scales, *biases; /* [n_groups][16], 64-byte aligned */
    size_t scales_stride;         /* of both, in floats */
    const uint8_t *stored_scales, *stored_biases; /* instead, where the plan asks for them: as the matrix has them, */
    enum cria_scale_type scale_type;              /* of this type, */
    float scale_factor;                           /* scales to be multiplied by this, */
    size_t group_scale_bytes;                     /* as many bytes for a group, */
    size_t block_bytes;                           /* of a row block; */
    uint32_t second;                              /* how many row blocks behind the first one the second is; 0: none */
    const uint8_t *levels; /* [16], NULL when there are none or codes are unpacked already */
    const int8_t *q;       /* [plane][step][n][4 inputs], planes `plane` bytes apart; plane 0 = a or lo, 1 = hi */
    size_t plane;
    const int16_t *pairs; /* where the plan asks for words: [step][2][n][2], inputs 0 and 2, then 1 and 3, whole
                           * integers (256·hi + lo) */
    const float *d;       /* [chunk][n] */
    const float *minus;   /* [chunk][n]: −CRIA_BIAS·d, where the plan asks for it */
    const int32_t *start; /* [unit][n]: (shift − zero)·Σa, what the sums start at; NULL where there is no such number:
                           * for affine matrices without a shift */
    const float *u;       /* [group][n]; affine only */
    float *sums; /* [n][CRIA_TILE_ROWS] of the pieces before, where this is not the first; NULL: the only one */
    float *y;    /* where they go: token t, row r at y + t·ldy + r, of the second row block where there is a `second` at
                  * y + t·ldy + 16·second + r; may be sums */
    size_t ldy;
    uint32_t rows; /* rows to write: of the blocks of the tile together */
    bool first;    /* sums start at 0 */
    struct cria_stream stream;
};
typedef void (*cria_tile_fn)(const struct cria_tile *s);

/* A sum that starts at CRIA_BIAS's bits, read as a float, is CRIA_BIAS + I, if |I| < 2^22, which all sums of one plane
 * are. float(I)·d is then fma(CRIA_BIAS + I, d, −CRIA_BIAS·d), bit for bit, since CRIA_BIAS·d is exact
 * (cria_act_scale): one operation in place of two, where a unit is the first of its group. */
#define CRIA_BIAS 0x1.8p23f
#define CRIA_BIAS_BITS 0x4b400000

/* How a product is done. */
struct cria_tile_plan {
    const cria_tile_fn *one, *two; /* tiles of one and of two row blocks, [tokens − 1]; two may be NULL */
    uint32_t max_tokens;           /* of a tile */
    bool words;                    /* activations as 16-bit numbers */
    bool wide;                     /* and what is unpacked */
    /* Before tiles see them, n chunks of codes to levels (codes, where there are no levels), as bytes or `wide`; NULL:
     * tiles take codes. dst is 64-byte aligned. */
    void (*unpack)(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst);
    bool stored;                   /* tiles take scales as they are stored, and codes (unpack is NULL): with one token a
                                    * pass of its own over scales costs 3 % of the time */
    bool apart;                    /* and row blocks that are far apart, two streams that are read from end to end */
    bool biased;                   /* tiles take cria_tile.minus, and starts that count from CRIA_BIAS_BITS */
    int32_t shift;                 /* what the tiles leave out of every level they multiply by */
};

/* Of a unit of `steps` steps from `from` on, the i-th: in an order that uses a loaded vector of nibbles up before the
 * next one. Constants all. */
CRIA_INLINE int cria_nth_step(int i, int from, int steps) { return steps == 8 ? i % 2 * 4 + i / 2 : from + i; }

/* Steps i0 .. i1−1 of a unit, which is the chunk's steps from `from` on, ask for their share of what will be read, of
 * the row block that lies `offset` bytes beyond the tile's first. Spread over the steps this is 5 to 10 % faster with
 * one token than at once. All ints are constants. */
CRIA_INLINE void cria_ask(const struct cria_stream *s, size_t chunk, int bits, int from, int i0, int i1,
                          size_t offset) {
    const uintptr_t codes = s->codes + chunk * s->codes_step + offset + (uintptr_t)(8 * bits * from);
    const uintptr_t near = codes + (chunk >= s->turn ? s->jump : 0);
    const uintptr_t far = codes + s->far + (chunk >= s->far_turn ? s->jump : 0);
    if (i0 == 0 && from == 0) __builtin_prefetch((const char *)(s->line + offset + chunk * s->line_step), 0, 2);
    CRIA_UNROLL
    for (int line = (i0 * bits + 7) / 8; line < (i1 * bits + 7) / 8; line++) {
        __builtin_prefetch((const char *)(near + (uintptr_t)(64 * line)));
        __builtin_prefetch((const char *)(far + (uintptr_t)(64 * line)), 0, 2);
    }
}

/* The parts that depend on the instruction set. */
struct cria_matmul_q_ops {
    struct cria_tile_plan (*plan)(const cria_matrix_spec *spec, uint32_t n_tokens, uint32_t planes);
    /* n (a multiple of 16, whole super-blocks where there are two levels) scales or biases as float32, times
     * factor; dst 64-byte aligned */
    void (*unpack_scales)(enum cria_scale_type type, const uint8_t *src, size_t n, float factor, float *dst);
};

void cria_matmul_q_run(const struct cria_matmul_q_ops *ops, const cria_matrix *w, const cria_act *x, float *y,
                       size_t ldy, cria_rect part, void *scratch);
cria_layout cria_matmul_q_layout(const struct cria_matmul_q_ops *ops, const cria_matrix_spec *w, uint32_t n,
                                 uint32_t planes);
void cria_matmul_q_lay_out(const struct cria_matmul_q_ops *ops, const cria_matrix *w, const cria_act *x,
                           uint32_t tile0, uint32_t tile1);

/* The three functions of struct cria_kernels, of a table. */
#define CRIA_MATMUL_Q(table, ops)                                                                            \
    void cria_matmul_q_##table(const cria_matrix *w, const cria_act *x, float *y, size_t ldy,                \
                               cria_rect part, void *scratch) {                                              \
        cria_matmul_q_run(&(ops), w, x, y, ldy, part, scratch);                                              \
    }                                                                                                        \
    cria_layout cria_layout_##table(const cria_matrix_spec *w, uint32_t n, uint32_t planes) {                \
        return cria_matmul_q_layout(&(ops), w, n, planes);                                                   \
    }                                                                                                        \
    void cria_lay_out_##table(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1) {     \
        cria_matmul_q_lay_out(&(ops), w, x, tile0, tile1);                                                   \
    }

#endif
