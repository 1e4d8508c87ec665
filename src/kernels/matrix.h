/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed weight matrices: W[rows][cols], rows = outputs, cols = inputs, so y = x·Wᵀ.
 *
 * A lane is an output row. Rows are taken in blocks of 16; every block is self-contained, block_bytes long,
 * 64-byte aligned; the last one is filled up with zero rows. The layout is the same on every processor, so
 * packed weights can be kept on disk and mapped.
 *
 * Float kinds (F32, F16, BF16)
 *     block = steps of F16 and BF16 ‖ padding to 64 ‖ [cols][16 rows] elements, padded to 64 bytes.
 *     Steps are [ceil(cols/128)][16] bytes E. Each stands for the power of two s = 2^(E − 127) that turns 128 weights
 *     of a row (the last ones may be fewer) into integers of 13 bits, w/s rounded to the nearest, ties to even: the
 *     least s from 2^−100 on with |w/s| ≤ 4096 for all of them.
 * Code kind (CODES: 2-, 3-, 4-, 5-, 6-, 8-bit codes with a scale per group, and optionally a bias per group)
 *     block = scales  ‖  biases when affine  ‖ padding to 64  ‖  [chunks] codes
 *     Scales and biases alike are [groups][16] numbers, or of two levels, below (groups padded up to a whole
 *     number of chunks: only a group of 16 has such padding; its scales are zero bytes and so are its codes
 *     and those of padding rows).
 *     A chunk is 32 inputs. Its codes are cut into bit planes, lowest bits first: 8 → 8, 6 → 4+2, 5 → 4+1,
 *     4 → 4, 3 → 2+1, 2 → 2. Step s (0..7) of a chunk is its inputs 4s..4s+3; in a 64-byte vector, byte
 *     4·row + i is input 4s+i of the row. A plane of w bits puts 8/w steps into each vector:
 *         w = 8: vector v = step v
 *         w = 4: vector v (0..3) = step v in bits 0–3, step v+4 in bits 4–7
 *         w = 2: vector v (0..1) = steps v, v+2, v+4, v+6 from bit 0 up
 *         w = 1: the vector = step s in bit s
 *     The planes of a chunk follow each other, low bits first.
 *     Code c stands for level L = levels ? levels[c] : c (unsigned, 0..255), and the weight is
 *         w = scale·(L − zero)                  (symmetric; exact product, one rounding)
 *         w = fma(scale, L, bias)               (affine; zero = 0)
 * Scales of two levels (CODES in groups of 16 or 32; GGUF's K-quants)
 *     A super-block is 256 inputs. A group's scale (or bias) is d·s, with an f16 d per super-block and an
 *     integer s of few bits per group; the product is exact in float32. The type fixes the rest:
 *         type    group   s                   bytes per super-block of 16 rows   bits per weight
 *         Q2_K      16    4 bits, 0..15               32 + 2·64  = 160               0.3125
 *         Q3_K      16    6 bits, less 32             32 + 2·96  = 224               0.4375
 *         Q4_K      32    6 bits, 0..63               32 + 96    = 128               0.25
 *         Q6_K      16    8 bits, less 128            32 + 2·128 = 288               0.5625
 *         IQ4_XS    32    6 bits, less 32             32 + 96    = 128               0.25
 *     Per super-block: [16] d, then eight groups at a time their s in bit planes, laid out as a chunk of codes
 *     is, with vectors of 16 bytes: a group for a step, byte `row` for bytes 4·row + i.
 * FP8 kind (E4M3: 8-bit floats with an E8M0 scale per group of 32, MLX's mxfp8; plain ones have none in files)
 *     laid out as 8-bit codes, but for the order of a step's inputs, which is 4s, 4s+2, 4s+1, 4s+3 (so the even bytes
 *     are two neighbours, and the odd ones); w = e4m3(code)·scale. Each group is packed with the least scale that has a
 *     code for all of its weights, so the largest of them is 240 to 448: then 32·e4m3(code), rounded to the nearest
 *     integer (halves up), is one of 14 bits that is as good as the weight, with s = scale/32 (+0 for the six least
 *     scales).
 *
 * Which source formats become what: MODEL.md, "Packed weights".
 */
#ifndef CRIA_KERNELS_MATRIX_H
#define CRIA_KERNELS_MATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRIA_ROWS 16u  /* output rows per block */
#define CRIA_CHUNK 32u /* inputs per chunk of codes, and per activation scale */
#define CRIA_SUPER 256u /* inputs per super-block of scales of two levels */
#define CRIA_STEP_GROUP 128u /* inputs per step of F16 and BF16, and per scale of the activations that meet these */

enum cria_matrix_kind {
    CRIA_MATRIX_F32,
    CRIA_MATRIX_F16,
    CRIA_MATRIX_BF16,
    CRIA_MATRIX_CODES,
    CRIA_MATRIX_E4M3
};
enum cria_scale_type {
    CRIA_SCALE_F32,
    CRIA_SCALE_F16,
    CRIA_SCALE_BF16,
    CRIA_SCALE_E8M0,
    CRIA_SCALE_E4M3,
    /* of two levels */
    CRIA_SCALE_Q2_K,
    CRIA_SCALE_Q3_K,
    CRIA_SCALE_Q4_K, /* Q5_K's too */
    CRIA_SCALE_Q6_K,
    CRIA_SCALE_IQ4_XS
};

/* What a matrix is, without its data. */
typedef struct cria_matrix_spec {
    uint32_t rows, cols; /* each 1..2^24 */
    enum cria_matrix_kind kind;
    /* CODES and E4M3 only */
    uint32_t bits;                   /* 2, 3, 4, 5, 6, 8 */
    uint32_t group;                  /* inputs per scale: 16, 32, 64, 128; divides cols */
    enum cria_scale_type scale_type; /* of scales and biases, as stored; E8M0 and E4M3 are never affine. Two
                                      * levels: with the group of its type, and 256 divides cols */
    bool affine;
    int32_t zero;          /* symmetric: subtracted from the level; 0..255 */
    const uint8_t *levels; /* [16], static; NULL: the code itself. Only with bits <= 4 */
    float scale_factor;    /* a power of two; times the stored scale (fp4 levels are doubled: 0.5) */
} cria_matrix_spec;

typedef struct cria_matrix {
    cria_matrix_spec spec;
    uint32_t n_blocks;  /* ceil(rows / 16) */
    uint32_t n_chunks;  /* ceil(cols / 32); CODES and E4M3 */
    uint32_t n_groups;  /* stored per row, padding included: n_chunks · 32 / group, rounded up; of F16 and BF16 the
                         * steps; of F32 0 */
    size_t bias_offset; /* within a block, bytes; n_groups times what a group's 16 scales take, the first
                         * level's share included (a whole number in every type) */
    size_t codes_offset; /* of elements, where these are no codes */
    size_t chunk_bytes; /* 64 · bits */
    size_t block_bytes;
    const uint8_t *data; /* n_blocks · block_bytes, 64-byte aligned, borrowed */
} cria_matrix;

/* Fills everything but data. False when a number is outside what the comments above allow or a size
 * overflows. */
bool cria_matrix_init(const cria_matrix_spec *spec, cria_matrix *out);
/* n_blocks · block_bytes */
size_t cria_matrix_bytes(const cria_matrix *m);

/* Rows as they are stored in files. Knows block formats, not containers. */
enum cria_source_kind {
    CRIA_SOURCE_F32,
    CRIA_SOURCE_F16,
    CRIA_SOURCE_BF16,
    CRIA_SOURCE_E4M3, /* one 8-bit float a weight, no scales */
    CRIA_SOURCE_MLX, /* codes of spec.bits bits, a little-endian bit stream per row; scales, biases separate
                      * (affine, mxfp4, nvfp4, mxfp8 alike; the spec tells them apart) */
    CRIA_SOURCE_Q4_0,
    CRIA_SOURCE_Q4_1,
    CRIA_SOURCE_Q5_0,
    CRIA_SOURCE_Q5_1,
    CRIA_SOURCE_Q8_0,
    CRIA_SOURCE_IQ4_NL,
    CRIA_SOURCE_MXFP4, /* GGUF blocks of 32 */
    CRIA_SOURCE_Q2_K,
    CRIA_SOURCE_Q3_K,
    CRIA_SOURCE_Q4_K,
    CRIA_SOURCE_Q5_K,
    CRIA_SOURCE_Q6_K,
    CRIA_SOURCE_IQ4_XS /* GGUF super-blocks of 256 */
};
typedef struct cria_source {
    enum cria_source_kind kind;
    const uint8_t *data; /* rows, dense, any alignment */
    size_t row_bytes;
    const uint8_t *scales; /* CRIA_SOURCE_MLX: [rows][cols/group] of spec.scale_type, dense, any alignment */
    const uint8_t *biases; /* likewise, when affine */
    uint32_t paired; /* each `paired` rows (even; divides the rows) are a head whose rotary pairs are neighbours, rows
                      * 2i and 2i+1; packed as rows i and i + paired/2, what the rope kernel turns. 0: as they are */
} cria_source;

/* Which row of the source row `row` of the matrix is. */
static inline uint32_t cria_source_row(const cria_source *src, uint32_t row) {
    if (src->paired == 0) return row;
    const uint32_t half = src->paired / 2, i = row % src->paired;
    return row - i + (i < half ? 2 * i : 2 * (i - half) + 1);
}

/* The spec that holds a source of this kind exactly at its own size. False when the combination is not known;
 * MLX has functions of its own, its sources do not tell by themselves. */
bool cria_matrix_spec_for(enum cria_source_kind kind, uint32_t rows, uint32_t cols, cria_matrix_spec *out);
/* MLX's quantization modes. */
typedef struct cria_mlx_mode {
    const char *mode; /* "affine", "mxfp4", "nvfp4", "mxfp8"; static */
    uint32_t bits, group;
} cria_mlx_mode;
/* With mx.quantize's bits and group for it; NULL when there is none of that name. */
const cria_mlx_mode *cria_mlx_mode_named(const char *name);
/* What a matrix with such codes is of; affine when it has biases. */
const char *cria_mlx_mode_of(bool affine, uint32_t bits, uint32_t group);
/* False when the mode has no such numbers or does not divide the columns. scale_type: of affine. */
bool cria_matrix_spec_mlx(const cria_mlx_mode *mode, uint32_t rows, uint32_t cols, enum cria_scale_type scale_type,
                          cria_matrix_spec *out);
bool cria_matrix_spec_mlx_affine(uint32_t rows, uint32_t cols, uint32_t bits, uint32_t group,
                                 enum cria_scale_type scale_type, cria_matrix_spec *out);
/* "mxfp4", "nvfp4" (without a global scale, as mx.quantize writes it by default), "mxfp8" */
bool cria_matrix_spec_mlx_fp(const char *mode, uint32_t rows, uint32_t cols, cria_matrix_spec *out);

/* Bytes of one row of such a source (without the separate scales and biases of CRIA_SOURCE_MLX); spec as made
 * by one of the functions above. Cannot overflow. */
size_t cria_source_row_bytes(enum cria_source_kind kind, const cria_matrix_spec *spec);

/* Packs row blocks [block0, block1) of m into dst (the start of the whole matrix, m->data's future place).
 * Rows are independent: call with disjoint ranges from several threads. src must be of the kind that m's spec
 * was made for. Returns SIZE_MAX, or the index, in the source, of the first row of the range with a weight,
 * scale or bias that is not finite, or scales so large that a weight is not finite for some code (the block is
 * packed all the same; the caller refuses the file). */
size_t cria_matrix_pack(const cria_matrix *m, const cria_source *src, uint8_t *dst, uint32_t block0,
                        uint32_t block1);

/* out[0..cols) = row `row` as float32: the weights exactly as defined above. For embeddings, and the
 * definition of the float path. */
void cria_matrix_row(const cria_matrix *m, uint32_t row, float *out);

#endif
