/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product of half floats with whole integers (matmul_h of kernels.h; the loops around: matmul_h.h) for x86-64.
 * Included by files that define, after matmul_q_avx2.h or matmul_q_avx512.h,
 *     add_pairs(sum, w, a)    adds the products of two neighbouring 16-bit integers to each 32-bit lane
 *     MANY_REGISTERS          32 of them, so that sums of four row blocks and six tokens have room
 *
 * A lane of a register is a row, its halves are inputs 2i and 2i + 1. 24 sums of AVX-512 (12 of AVX2) are more than
 * what it takes to keep the units busy, and of six tokens and 64 (16) rows a load of either serves many products. Sums
 * become floats once in 64 products, so these may as well wait in memory.
 */
#include "kernels/matmul_h.h"

INLINE floats half_floats(enum cria_matrix_kind kind, const uint8_t *w, size_t i) {
    const uint16_t *p = (const uint16_t *)(const void *)w + i;
    return kind == CRIA_MATRIX_F16 ? f16_floats(p) : bf16_floats(p);
}

/* 1/s of the rows of register r (of a block), in the exponents' place: s is E << 23. */
INLINE floats inverse_of(const uint8_t *steps, int r) {
    return as_floats(V(sub_epi32)(V(set1_epi32)(254 << 23), V(slli_epi32)(bytes_to_lanes(steps + LANES * r), 23)));
}

/* Inputs k and k + 1 (the last one may be alone) of the rows of register r. Added to 1.5·2^23, w/s becomes an integer
 * that is rounded once, in the lowest bits of the sum. */
INLINE ints integers_of(enum cria_matrix_kind kind, const uint8_t *w, size_t k, int r, floats inverse, bool alone) {
    const size_t i = CRIA_ROWS * k + (size_t)(LANES * r);
    const floats magic = V(set1_ps)(0x1.8p23f);
    const ints even = as_ints(V(fmadd_ps)(half_floats(kind, w, i), inverse, magic));
    if (alone) return low_and_high(even, V(set1_epi32)(0));
    const ints odd = as_ints(V(fmadd_ps)(half_floats(kind, w, i + CRIA_ROWS), inverse, magic));
    return low_and_high(even, V(slli_epi32)(odd, 16));
}

static void convert(enum cria_matrix_kind kind, const uint8_t *w, const uint8_t *steps, uint32_t n_k, int16_t *out) {
    for (uint32_t k = 0; k < n_k; k += CRIA_STEP_GROUP, steps += CRIA_ROWS) {
        const uint32_t end = n_k - k < CRIA_STEP_GROUP ? n_k : k + CRIA_STEP_GROUP;
        floats inverse[PER_BLOCK];
        UNROLL for (int r = 0; r < PER_BLOCK; r++) inverse[r] = inverse_of(steps, r);
        for (uint32_t i = k; i < end; i += 2) {
            UNROLL for (int r = 0; r < PER_BLOCK; r++) {
                const ints v = i + 1 == end             ? integers_of(kind, w, i, r, inverse[r], true)
                               : kind == CRIA_MATRIX_F16 ? integers_of(CRIA_MATRIX_F16, w, i, r, inverse[r], false)
                                                         : integers_of(CRIA_MATRIX_BF16, w, i, r, inverse[r], false);
                store_ints(out + CRIA_ROWS * i + 2 * LANES * (size_t)r, v);
            }
        }
    }
}

enum { INTEGERS = CRIA_MATRIX_F32 }; /* in place of a kind */
enum { MOST = PER_BLOCK * CRIA_TILE_H_BLOCKS };

/* Inputs k and k + 1 of a group. All arguments but s, k, inverse and sum are constants, here and below. */
INLINE void add_inputs(const struct cria_tile_h *s, size_t k, enum cria_matrix_kind kind, int n_blocks, int n,
                       bool alone, const floats inverse[MOST], ints sum[CRIA_TILE_H_TOKENS][MOST]) {
    ints w[MOST];
    UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
        const uint8_t *block = s->w + (size_t)(i / PER_BLOCK) * s->w_stride;
        const int r = i % PER_BLOCK;
        w[i] = kind == (enum cria_matrix_kind)INTEGERS
                   ? load_ints(block + sizeof(int16_t) * (CRIA_ROWS * k + 2 * LANES * (size_t)r))
                   : integers_of(kind, block, k, r, inverse[i], alone);
    }
    UNROLL for (int t = 0; t < n; t++) {
        const ints a = broadcast4(s->x + (size_t)t * s->ldx + k);
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) sum[t][i] = add_pairs(sum[t][i], w[i], a);
    }
}

/* Inputs k and k + 1 of a row block are a cache line. */
INLINE void ask(const struct cria_tile_h *s, size_t k, int n_blocks) {
    UNROLL for (int b = 0; b < n_blocks; b++) {
        const uint8_t *p = s->w + (size_t)b * s->w_stride + sizeof(uint16_t) * CRIA_ROWS * k;
        __builtin_prefetch(p + s->asking.near);
        __builtin_prefetch(p + s->asking.far, 0, 2);
    }
}

/* The sums of group j go on to y. whole: all rows are there. */
INLINE void add_to_y(const struct cria_tile_h *s, size_t j, int n_blocks, int n, bool whole,
                     const ints sum[CRIA_TILE_H_TOKENS][MOST]) {
    floats step[MOST];
    UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
        const uint8_t *p = s->steps + (size_t)(i / PER_BLOCK) * s->steps_stride + j * CRIA_ROWS;
        step[i] = as_floats(V(slli_epi32)(bytes_to_lanes(p + LANES * (i % PER_BLOCK)), 23));
    }
    UNROLL for (int t = 0; t < n; t++) {
        float *y = s->y + (size_t)t * s->ldy;
        const floats d = V(set1_ps)(s->d[(size_t)t * s->ldd + j]);
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
            const int r = i % PER_BLOCK;
            const uint32_t skip = (uint32_t)(i / PER_BLOCK) * s->y_stride;
            float *block = y + skip;
            const floats before = s->first && j == 0 ? V(setzero_ps)()
                                  : whole            ? V(loadu_ps)(block + LANES * r)
                                                     : load_rows(block, s->rows - skip, r);
            const floats v = V(fmadd_ps)(V(cvtepi32_ps)(sum[t][i]), V(mul_ps)(step[i], d), before);
            if (whole)
                V(storeu_ps)(block + LANES * r, v);
            else
                store_rows(block, s->rows - skip, r, v);
        }
    }
}

INLINE void tile(const struct cria_tile_h *s, enum cria_matrix_kind kind, int n_blocks, int n) {
    const bool integers = kind == (enum cria_matrix_kind)INTEGERS; /* which are whole pairs */
    for (size_t k0 = 0; k0 < s->n_k; k0 += CRIA_STEP_GROUP) {
        const size_t j = k0 / CRIA_STEP_GROUP, end = s->n_k - k0 < CRIA_STEP_GROUP ? s->n_k : k0 + CRIA_STEP_GROUP;
        floats inverse[MOST];
        ints sum[CRIA_TILE_H_TOKENS][MOST];
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
            if (!integers)
                inverse[i] = inverse_of(s->steps + (size_t)(i / PER_BLOCK) * s->steps_stride + j * CRIA_ROWS,
                                        i % PER_BLOCK);
            UNROLL for (int t = 0; t < n; t++) sum[t][i] = V(set1_epi32)(0);
        }
        for (size_t k = k0; k < (integers ? end : end & ~(size_t)1); k += 2) {
            if (!integers) ask(s, k, n_blocks);
            add_inputs(s, k, kind, n_blocks, n, false, inverse, sum);
        }
        if (!integers && end % 2 != 0) add_inputs(s, end - 1, kind, n_blocks, n, true, inverse, sum);
        if (s->rows >= (uint32_t)(n_blocks - 1) * s->y_stride + CRIA_ROWS)
            add_to_y(s, j, n_blocks, n, true, sum);
        else
            add_to_y(s, j, n_blocks, n, false, sum);
    }
}

#define TILE(name, kind, n_blocks, n)                                                                                \
    static void name(const struct cria_tile_h *s) { tile(s, (enum cria_matrix_kind)(kind), n_blocks, n); }

#define DIRECT_TILES(name, kind, n)                                                                                  \
    TILE(name##_1##n, kind, 1, n)                                                                                    \
    TILE(name##_2##n, kind, 2, n)

DIRECT_TILES(f16, CRIA_MATRIX_F16, 1)
DIRECT_TILES(f16, CRIA_MATRIX_F16, 2)
DIRECT_TILES(f16, CRIA_MATRIX_F16, 3)
DIRECT_TILES(bf16, CRIA_MATRIX_BF16, 1)
DIRECT_TILES(bf16, CRIA_MATRIX_BF16, 2)
DIRECT_TILES(bf16, CRIA_MATRIX_BF16, 3)
#if MANY_REGISTERS
DIRECT_TILES(f16, CRIA_MATRIX_F16, 4)
DIRECT_TILES(f16, CRIA_MATRIX_F16, 5)
DIRECT_TILES(f16, CRIA_MATRIX_F16, 6)
DIRECT_TILES(f16, CRIA_MATRIX_F16, 7)
DIRECT_TILES(f16, CRIA_MATRIX_F16, 8)
DIRECT_TILES(bf16, CRIA_MATRIX_BF16, 4)
DIRECT_TILES(bf16, CRIA_MATRIX_BF16, 5)
DIRECT_TILES(bf16, CRIA_MATRIX_BF16, 6)
DIRECT_TILES(bf16, CRIA_MATRIX_BF16, 7)
DIRECT_TILES(bf16, CRIA_MATRIX_BF16, 8)
#define DIRECT_ROW(name) {NULL, name##1, name##2, name##3, name##4, name##5, name##6, name##7, name##8}
#else
#define DIRECT_ROW(name) {NULL, name##1, name##2, name##3}
#endif
static const cria_tiles_h f16_tiles = {[1] = DIRECT_ROW(f16_1), [2] = DIRECT_ROW(f16_2)};
static const cria_tiles_h bf16_tiles = {[1] = DIRECT_ROW(bf16_1), [2] = DIRECT_ROW(bf16_2)};

TILE(tile_11, INTEGERS, 1, 1)
TILE(tile_12, INTEGERS, 1, 2)
TILE(tile_13, INTEGERS, 1, 3)
TILE(tile_14, INTEGERS, 1, 4)
TILE(tile_15, INTEGERS, 1, 5)
TILE(tile_16, INTEGERS, 1, 6)
#if MANY_REGISTERS
TILE(tile_41, INTEGERS, 4, 1)
TILE(tile_42, INTEGERS, 4, 2)
TILE(tile_43, INTEGERS, 4, 3)
TILE(tile_44, INTEGERS, 4, 4)
TILE(tile_45, INTEGERS, 4, 5)
TILE(tile_46, INTEGERS, 4, 6)
#endif
static const cria_tiles_h integer_tiles = {
    [1] = {NULL, tile_11, tile_12, tile_13, tile_14, tile_15, tile_16},
#if MANY_REGISTERS
    [4] = {NULL, tile_41, tile_42, tile_43, tile_44, tile_45, tile_46},
#endif
};

static const struct cria_matmul_h_ops ops = {
    &f16_tiles, &bf16_tiles, MANY_REGISTERS ? 8 : 3, MANY_REGISTERS ? 32 : 12, &integer_tiles, convert};

/* With the other's numbers Zen 4 reads at 0.75 to 0.84, Emerald Rapids at 0.86. Four neighbouring row blocks, asked for
 * 512 and 2560 bytes before, are 0.93 to 0.95 there, and 0.85 to 0.95 on Zen 4. */
static struct cria_asking asking(void) {
    return __builtin_cpu_is("amd") ? (struct cria_asking){256, 1536} : (struct cria_asking){1536, 3584};
}
