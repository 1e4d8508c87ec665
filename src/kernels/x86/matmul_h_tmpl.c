/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product of half and 8-bit floats with whole integers (matmul_h of kernels.h; the loops around: matmul_h.h) for
 * x86-64.
 * Included by files that define, after matmul_q_avx2.h or matmul_q_avx512.h,
 *     add_pairs(sum, w, a)    adds the products of two neighbouring 16-bit integers to each 32-bit lane
 *     MANY_REGISTERS          32 of them, so that sums of four row blocks and six tokens have room
 *
 * A lane of a register is a row, its halves are inputs 2i and 2i + 1. 24 sums of AVX-512 (12 of AVX2) are more than
 * what it takes to keep the units busy, and of six tokens and 64 (16) rows a load of either serves many products. Sums
 * become floats once in 64 products (8-bit floats: 16), so these may as well wait in memory.
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

/* In place of a kind: what convert makes of half floats, and of 8-bit ones. */
enum { INTEGERS = CRIA_MATRIX_F32, INTEGERS_E4M3 = CRIA_MATRIX_CODES };

INLINE bool is_converted(enum cria_matrix_kind kind) {
    return kind == (enum cria_matrix_kind)INTEGERS || kind == (enum cria_matrix_kind)INTEGERS_E4M3;
}
INLINE bool is_of_e4m3(enum cria_matrix_kind kind) {
    return kind == CRIA_MATRIX_E4M3 || kind == (enum cria_matrix_kind)INTEGERS_E4M3;
}

/* s of the rows of register r. */
INLINE floats step_of(enum cria_matrix_kind kind, const uint8_t *steps, int r) {
    ints e = bytes_to_lanes(steps + LANES * r);
    const ints shift = V(set1_epi32)(CRIA_E4M3_SHIFT);
    if (is_of_e4m3(kind)) e = V(sub_epi32)(V(max_epi32)(e, shift), shift);
    return as_floats(V(slli_epi32)(e, 23));
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

/* Of 8-bit floats inputs k and k + 1, or k + 2 and k + 3; k is a multiple of four. */
INLINE ints step_integers(const uint8_t *w, size_t k, int r, bool upper) {
    return e4m3_integers(load_ints(w + CRIA_ROWS * k + 4 * LANES * (size_t)r), upper);
}

static void convert_e4m3(const uint8_t *w, uint32_t n_k, int16_t *out) {
    for (size_t k = 0; k < n_k; k += 4) {
        UNROLL for (int r = 0; r < PER_BLOCK; r++) {
            store_ints(out + CRIA_ROWS * k + 2 * LANES * (size_t)r, step_integers(w, k, r, false));
            store_ints(out + CRIA_ROWS * (k + 2) + 2 * LANES * (size_t)r, step_integers(w, k, r, true));
        }
    }
}

static void convert(enum cria_matrix_kind kind, const uint8_t *w, const uint8_t *steps, uint32_t n_k, int16_t *out) {
    if (kind == CRIA_MATRIX_E4M3) {
        convert_e4m3(w, n_k, out);
        return;
    }
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

enum { MOST = PER_BLOCK * CRIA_TILE_H_BLOCKS };

/* Inputs k and k + 1 of a group; upper: of 8-bit floats k + 2 and k + 3. All arguments but s, k, inverse and sum are
 * constants, here and below. */
INLINE void add_inputs(const struct cria_tile_h *s, size_t k, enum cria_matrix_kind kind, int n_blocks, int n,
                       bool upper, bool alone, const floats inverse[MOST], ints sum[CRIA_TILE_H_TOKENS][MOST]) {
    ints w[MOST];
    UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
        const uint8_t *block = s->w + (size_t)(i / PER_BLOCK) * s->w_stride;
        const int r = i % PER_BLOCK;
        w[i] = is_converted(kind)
                   ? load_ints(block + sizeof(int16_t) * (CRIA_ROWS * k + 2 * LANES * (size_t)r))
               : kind == CRIA_MATRIX_E4M3
                   ? step_integers(block, k, r, upper)
                   : integers_of(kind, block, k, r, inverse[i], alone);
    }
    UNROLL for (int t = 0; t < n; t++) {
        const ints a = broadcast4(s->x + (size_t)t * s->ldx + k + 2 * upper);
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) sum[t][i] = add_pairs(sum[t][i], w[i], a);
    }
}

/* Inputs k and k + 1 of a row block, of 8-bit floats k to k + 3, are a cache line. */
INLINE void ask(const struct cria_tile_h *s, enum cria_matrix_kind kind, size_t k, int n_blocks) {
    UNROLL for (int b = 0; b < n_blocks; b++) {
        const uint8_t *p = s->w + (size_t)b * s->w_stride + (is_of_e4m3(kind) ? 1 : sizeof(uint16_t)) * CRIA_ROWS * k;
        __builtin_prefetch(p + s->asking.near);
        __builtin_prefetch(p + s->asking.far, 0, 2);
    }
}

/* The float sums of a tile wait in memory where registers are wanted for the integers': a compiler sees no better. */
INLINE void keep_in_memory(float (**acc)[MOST][LANES], int n_sums) {
    if (2 * n_sums > (MANY_REGISTERS ? 24 : 8)) __asm__("" : "+r"(*acc) : : "memory");
}

/* What the sums of group j, of inputs k and up, add. */
INLINE void add_group(const struct cria_tile_h *s, size_t j, size_t k, enum cria_matrix_kind kind, int n_blocks, int n,
                      const ints sum[CRIA_TILE_H_TOKENS][MOST], float (*acc)[MOST][LANES]) {
    floats step[MOST];
    UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) step[i] =
        step_of(kind, s->steps + (size_t)(i / PER_BLOCK) * s->steps_stride + j * CRIA_ROWS, i % PER_BLOCK);
    UNROLL for (int t = 0; t < n; t++) {
        const floats d = V(set1_ps)(s->d[(size_t)t * s->ldd + k / CRIA_STEP_GROUP]);
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
            const floats scale = V(mul_ps)(step[i], d);
            V(store_ps)(acc[t][i], V(fmadd_ps)(V(cvtepi32_ps)(sum[t][i]), scale, V(load_ps)(acc[t][i])));
        }
    }
}

INLINE void tile(const struct cria_tile_h *given, enum cria_matrix_kind kind, int n_blocks, int n) {
    const struct cria_tile_h own = *given, *const s = &own; /* which no store can change */
    const bool integers = is_converted(kind), half = !integers && kind != CRIA_MATRIX_E4M3; /* others are whole pairs */
    const size_t group = is_of_e4m3(kind) ? CRIA_CHUNK : CRIA_STEP_GROUP;
    _Alignas(64) float in_memory[CRIA_TILE_H_TOKENS][MOST][LANES];
    float(*acc)[MOST][LANES] = in_memory;
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
            const uint32_t skip = (uint32_t)(i / PER_BLOCK) * s->y_stride;
            const float *y = s->y + (size_t)t * s->ldy + skip;
            V(store_ps)(acc[t][i], s->first ? V(setzero_ps)() : load_rows(y, s->rows - skip, i % PER_BLOCK));
        }
    }
    for (size_t k0 = 0, j = 0; k0 < s->n_k; k0 += group, j++) {
        const size_t end = s->n_k - k0 < group ? s->n_k : k0 + group;
        floats inverse[MOST] = {0};
        ints sum[CRIA_TILE_H_TOKENS][MOST];
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
            if (half)
                inverse[i] = inverse_of(s->steps + (size_t)(i / PER_BLOCK) * s->steps_stride + j * CRIA_ROWS,
                                        i % PER_BLOCK);
            UNROLL for (int t = 0; t < n; t++) sum[t][i] = V(set1_epi32)(0);
        }
        for (size_t k = k0; k < (half ? end & ~(size_t)1 : end); k += kind == CRIA_MATRIX_E4M3 ? 4 : 2) {
            if (!integers) ask(s, kind, k, n_blocks);
            add_inputs(s, k, kind, n_blocks, n, false, false, inverse, sum);
            if (kind == CRIA_MATRIX_E4M3) add_inputs(s, k, kind, n_blocks, n, true, false, inverse, sum);
        }
        if (half && end % 2 != 0) add_inputs(s, end - 1, kind, n_blocks, n, false, true, inverse, sum);
        add_group(s, j, k0, kind, n_blocks, n, sum, acc);
        keep_in_memory(&acc, n * n_blocks * PER_BLOCK);
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < n_blocks * PER_BLOCK; i++) {
            const uint32_t skip = (uint32_t)(i / PER_BLOCK) * s->y_stride;
            store_rows(s->y + (size_t)t * s->ldy + skip, s->rows - skip, i % PER_BLOCK, V(load_ps)(acc[t][i]));
        }
    }
}

#define TILE(name, kind, n_blocks, n)                                                                                \
    static void name(const struct cria_tile_h *s) { tile(s, (enum cria_matrix_kind)(kind), n_blocks, n); }

#define DIRECT_TILES(name, kind, n)                                                                                  \
    TILE(name##_1##n, kind, 1, n)                                                                                    \
    TILE(name##_2##n, kind, 2, n)

#define FEW_TILES(name, kind)   \
    DIRECT_TILES(name, kind, 1) \
    DIRECT_TILES(name, kind, 2) \
    DIRECT_TILES(name, kind, 3)
#if MANY_REGISTERS
#define ALL_TILES(name, kind)   \
    FEW_TILES(name, kind)       \
    DIRECT_TILES(name, kind, 4) \
    DIRECT_TILES(name, kind, 5) \
    DIRECT_TILES(name, kind, 6) \
    DIRECT_TILES(name, kind, 7) \
    DIRECT_TILES(name, kind, 8)
#define DIRECT_ROW(name) {NULL, name##1, name##2, name##3, name##4, name##5, name##6, name##7, name##8}
#else
#define ALL_TILES FEW_TILES
#define DIRECT_ROW(name) {NULL, name##1, name##2, name##3}
#endif
ALL_TILES(f16, CRIA_MATRIX_F16)
ALL_TILES(bf16, CRIA_MATRIX_BF16)
ALL_TILES(e4m3, CRIA_MATRIX_E4M3)
static const cria_tiles_h f16_tiles = {[1] = DIRECT_ROW(f16_1), [2] = DIRECT_ROW(f16_2)};
static const cria_tiles_h bf16_tiles = {[1] = DIRECT_ROW(bf16_1), [2] = DIRECT_ROW(bf16_2)};
static const cria_tiles_h e4m3_tiles = {[1] = DIRECT_ROW(e4m3_1), [2] = DIRECT_ROW(e4m3_2)};

#define INTEGER_TILES(name, kind, n_blocks)      \
    TILE(name##_##n_blocks##1, kind, n_blocks, 1) \
    TILE(name##_##n_blocks##2, kind, n_blocks, 2) \
    TILE(name##_##n_blocks##3, kind, n_blocks, 3) \
    TILE(name##_##n_blocks##4, kind, n_blocks, 4) \
    TILE(name##_##n_blocks##5, kind, n_blocks, 5) \
    TILE(name##_##n_blocks##6, kind, n_blocks, 6)
#define INTEGER_ROW(name) {NULL, name##1, name##2, name##3, name##4, name##5, name##6}
INTEGER_TILES(integers, INTEGERS, 1)
INTEGER_TILES(integers_e4m3, INTEGERS_E4M3, 1)
#if MANY_REGISTERS
INTEGER_TILES(integers, INTEGERS, 4)
INTEGER_TILES(integers_e4m3, INTEGERS_E4M3, 4)
#define INTEGER_ROWS(name) {[1] = INTEGER_ROW(name##_1), [4] = INTEGER_ROW(name##_4)}
#else
#define INTEGER_ROWS(name) {[1] = INTEGER_ROW(name##_1)}
#endif
static const cria_tiles_h integer_tiles = INTEGER_ROWS(integers);
static const cria_tiles_h integer_e4m3_tiles = INTEGER_ROWS(integers_e4m3);

static const struct cria_matmul_h_ops ops = {.f16 = &f16_tiles,
                                             .bf16 = &bf16_tiles,
                                             .e4m3 = &e4m3_tiles,
                                             .at_once = MANY_REGISTERS ? 8 : 3,
                                             .few = MANY_REGISTERS ? 32 : 12,
                                             .integers = &integer_tiles,
                                             .integers_e4m3 = &integer_e4m3_tiles,
                                             .convert = convert};

/* Half floats: with the other's numbers Zen 4 reads at 0.75 to 0.84, Emerald Rapids at 0.86. Four neighbouring row
 * blocks, asked for 512 and 2560 bytes before, are 0.93 to 0.95 there, and 0.85 to 0.95 on Zen 4. A byte of
 * 8-bit floats takes more work: 1.05 (two threads) to 1.15 times as fast on Zen 4 with numbers of their own. */
static struct cria_asking asking(const cria_matrix *w) {
    if (!__builtin_cpu_is("amd")) return (struct cria_asking){1536, 3584};
    return w->spec.kind == CRIA_MATRIX_E4M3 ? (struct cria_asking){1024, 4096} : (struct cria_asking){256, 1536};
}
