/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AVX-512 with VNNI (matmul_q of kernels.h; the loops around: matmul_q.h).
 *
 * A tile is one or two row blocks, a register each, against up to six tokens: two blocks and six tokens take
 * twelve integer sums, twelve float sums, two weights and an activation of the thirty-two registers. vpdpbusd
 * adds four products of an unsigned level and a signed activation to 32 bits, exactly for every level. Two
 * planes of activations are two products, 256·hi + lo. The zero of a symmetric matrix enters as the sum's
 * start, −zero·Σa.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/matmul_q.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/unpack_avx512.h"

enum { MAX_TOKENS = CRIA_TILE_TOKENS, MAX_BLOCKS = 2 };

/* The sums of a tile: those of y rest in memory, where a group's end finds them. */
struct sums {
    _Alignas(64) float acc[MAX_TOKENS][MAX_BLOCKS][CRIA_ROWS];
    __m512 group[MAX_TOKENS][MAX_BLOCKS]; /* the t of the group */
};

/* One unit: steps from .. from+steps−1 (constants) of a chunk. */
struct unit {
    size_t chunk, index, group; /* index counts units */
    int from, steps;
    bool first, last; /* of its group */
};

/* What a unit's integer sums of token t do to the token's sums. n is the tile's number of tokens; t, n and
 * n_blocks are constants, as are all ints and bools below that are no part of s or u. */
INLINE void finish_token(const struct cria_tile *s, const struct unit *u, int n_blocks, int n, int t,
                         const __m512i dot[MAX_BLOCKS], struct sums *sums) {
    const __m512 d = _mm512_set1_ps(s->d[u->chunk * (size_t)n + (size_t)t]);
    UNROLL for (int b = 0; b < n_blocks; b++) {
        const __m512 f = _mm512_cvtepi32_ps(dot[b]);
        /* −0 + a·b is a·b rounded, whatever its sign. */
        const __m512 before = u->first ? _mm512_set1_ps(-0.0f) : sums->group[t][b];
        sums->group[t][b] = _mm512_fmadd_ps(f, d, before);
    }
    if (!u->last) return;
    UNROLL for (int b = 0; b < n_blocks; b++) {
        const size_t at = (size_t)b * s->scales_stride + CRIA_ROWS * u->group;
        __m512 acc = _mm512_load_ps(sums->acc[t][b]);
        acc = _mm512_fmadd_ps(_mm512_loadu_ps(s->scales + at), sums->group[t][b], acc);
        if (s->affine)
            acc = _mm512_fmadd_ps(_mm512_loadu_ps(s->biases + at),
                                  _mm512_set1_ps(s->u[u->group * (size_t)n + (size_t)t]), acc);
        _mm512_store_ps(sums->acc[t][b], acc);
    }
}

/* Steps are taken in an order that uses a loaded vector of nibbles up before the next one. */
INLINE int nth_step(int i, int from, int steps) { return steps == 8 ? i % 2 * 4 + i / 2 : from + i; }

/* A token is finished with the last step's products: that leaves the processor enough to do on both sides of a
 * unit's end. */
INLINE void unit(const struct cria_tile *s, struct unit u, int bits, bool levels, int planes, int n_blocks, int n,
                 struct sums *sums) {
    const uint8_t *codes = s->codes + u.chunk * s->chunk_bytes;
    const int8_t *q = s->q + CRIA_CHUNK * u.chunk * (size_t)n;
    const __m512i table = levels ? load_levels(s->levels) : _mm512_setzero_si512();
    __m512i dot[MAX_TOKENS][MAX_BLOCKS]; /* of tokens' planes */
    if (bits != 8 || n * planes <= 2) {
        UNROLL for (int b = 0; b < n_blocks; b++)
            cria_prefetch(&s->stream, u.chunk, bits, u.from, u.steps, (size_t)b * s->codes_stride);
    }
    UNROLL for (int t = 0; t < n; t++) {
        const int32_t start = s->affine ? 0 : s->start[u.index * (size_t)n + (size_t)t];
        UNROLL for (int b = 0; b < n_blocks; b++) {
            dot[planes * t][b] = _mm512_set1_epi32(start);
            if (planes == 2) dot[2 * t + 1][b] = _mm512_setzero_si512();
        }
    }
    UNROLL for (int i = 0; i < u.steps; i++) {
        const int step = nth_step(i, u.from, u.steps);
        __m512i w[MAX_BLOCKS];
        UNROLL for (int b = 0; b < n_blocks; b++) {
            w[b] = step_codes(codes + (size_t)b * s->codes_stride, bits, step);
            if (levels) w[b] = _mm512_shuffle_epi8(table, w[b]);
        }
        UNROLL for (int t = 0; t < n; t++) {
            UNROLL for (int p = 0; p < planes; p++) {
                int32_t four;
                memcpy(&four, q + (size_t)p * s->plane + 4 * ((size_t)step * (size_t)n + (size_t)t), 4);
                const __m512i a = _mm512_set1_epi32(four);
                __m512i *d = dot[planes * t + p];
                UNROLL for (int b = 0; b < n_blocks; b++) d[b] = _mm512_dpbusd_epi32(d[b], w[b], a);
            }
            if (i != u.steps - 1) continue;
            if (planes == 2) {
                UNROLL for (int b = 0; b < n_blocks; b++) dot[2 * t][b] =
                    _mm512_add_epi32(dot[2 * t][b], _mm512_slli_epi32(dot[2 * t + 1][b], 8));
            }
            finish_token(s, &u, n_blocks, n, t, dot[planes * t], sums);
        }
    }
}

INLINE void tile(const struct cria_tile *s, int bits, bool levels, bool halves, int planes, int n_blocks, int n) {
    struct sums sums;
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < n_blocks; b++) {
            const float *y = s->y + (size_t)t * s->ldy + CRIA_ROWS * (size_t)b;
            _mm512_store_ps(sums.acc[t][b],
                            s->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(row_mask(s->rows, b), y));
            sums.group[t][b] = _mm512_setzero_ps();
        }
    }
    size_t i = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        if (halves) { /* two groups are a chunk */
            const struct unit u = {g / 2, g, g, 0, 4, true, true}, v = {g / 2, g + 1, g + 1, 4, 4, true, true};
            unit(s, u, bits, levels, planes, n_blocks, n, &sums);
            unit(s, v, bits, levels, planes, n_blocks, n, &sums);
            g++;
            continue;
        }
        for (uint32_t j = 0; j < s->units; j++, i++) {
            const struct unit u = {i, i, g, 0, 8, j == 0, j + 1 == s->units};
            unit(s, u, bits, levels, planes, n_blocks, n, &sums);
        }
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < n_blocks; b++)
            _mm512_mask_storeu_ps(s->y + (size_t)t * s->ldy + CRIA_ROWS * (size_t)b, row_mask(s->rows, b),
                                  _mm512_load_ps(sums.acc[t][b]));
    }
}

#define TILE(name, bits, levels, halves, planes, n_blocks, n)                                                \
    static void name(const struct cria_tile *s) { tile(s, bits, levels, halves, planes, n_blocks, n); }

/* One row block, codes unpacked in registers, units of 32: [planes − 1][tokens − 1] up to four vectors. */
#define DIRECT(name, bits, levels, halves)                                                                           \
    TILE(name##_11, bits, levels, halves, 1, 1, 1)                                                           \
    TILE(name##_12, bits, levels, halves, 1, 1, 2)                                                           \
    TILE(name##_13, bits, levels, halves, 1, 1, 3)                                                           \
    TILE(name##_14, bits, levels, halves, 1, 1, 4)                                                           \
    TILE(name##_21, bits, levels, halves, 2, 1, 1)                                                           \
    TILE(name##_22, bits, levels, halves, 2, 1, 2)                                                           \
    static const cria_tile_fn name[2][4] = {{name##_11, name##_12, name##_13, name##_14},                    \
                                            {name##_21, name##_22}};

DIRECT(direct2, 2, false, false)
DIRECT(direct3, 3, false, false)
DIRECT(direct4, 4, false, false)
DIRECT(direct4_levels, 4, true, false)
DIRECT(direct5, 5, false, false)
DIRECT(direct6, 6, false, false)
DIRECT(halves2, 2, false, true)
DIRECT(halves3, 3, false, true)
DIRECT(halves4_levels, 4, true, true)
DIRECT(halves6, 6, false, true)

/* Levels as bytes: [planes − 1][tokens − 1] up to six vectors. */
#define BYTES(name, halves, n_blocks)                                                                         \
    TILE(name##_11, 8, false, halves, 1, n_blocks, 1)                                                         \
    TILE(name##_12, 8, false, halves, 1, n_blocks, 2)                                                         \
    TILE(name##_13, 8, false, halves, 1, n_blocks, 3)                                                         \
    TILE(name##_14, 8, false, halves, 1, n_blocks, 4)                                                         \
    TILE(name##_15, 8, false, halves, 1, n_blocks, 5)                                                         \
    TILE(name##_16, 8, false, halves, 1, n_blocks, 6)                                                         \
    TILE(name##_21, 8, false, halves, 2, n_blocks, 1)                                                         \
    TILE(name##_22, 8, false, halves, 2, n_blocks, 2)                                                         \
    TILE(name##_23, 8, false, halves, 2, n_blocks, 3)                                                         \
    static const cria_tile_fn name[2][6] = {                                                                 \
        {name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                                  \
        {name##_21, name##_22, name##_23}};

BYTES(bytes_one, false, 1)
BYTES(bytes_two, false, 2)
BYTES(halves_one, true, 1) /* units of 16 */
BYTES(halves_two, true, 2)

static const cria_tile_fn *direct_tiles(const cria_matrix_spec *s, uint32_t planes) {
    const bool halves = s->group < CRIA_CHUNK;
    if (s->levels) return s->bits != 4 ? NULL : (halves ? halves4_levels : direct4_levels)[planes - 1];
    switch (s->bits) {
    case 2:
        return (halves ? halves2 : direct2)[planes - 1];
    case 3:
        return (halves ? halves3 : direct3)[planes - 1];
    case 4:
        return halves ? NULL : direct4[planes - 1];
    case 5:
        return halves ? NULL : direct5[planes - 1];
    case 6:
        return (halves ? halves6 : direct6)[planes - 1];
    default:
        return NULL;
    }
}

static struct cria_tile_plan make_plan(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    const bool halves = s->group < CRIA_CHUNK;
    const cria_tile_fn *direct = direct_tiles(s, planes);
    struct cria_tile_plan plan = {.max_tokens = MAX_TOKENS / planes, .unpack = s->bits != 8};
    if (n * planes <= 4 && direct) {
        plan.one = direct;
        plan.max_tokens = 4 / planes;
        plan.unpack = false;
    } else {
        plan.one = (halves ? halves_one : bytes_one)[planes - 1];
        plan.two = (halves ? halves_two : bytes_two)[planes - 1];
    }
    return plan;
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales, unpack_chunks};

CRIA_MATMUL_Q(avx512vnni, ops)

/* Twelve sums, as a tile has. */
uint64_t cria_probe_int8_avx512vnni(uint32_t n) {
    enum { SUMS = 12 };
    const __m512i level = _mm512_set1_epi8(15), a = _mm512_set1_epi8(1);
    __m512i sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_si512();
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], level, a);
            __asm__ volatile("" : "+" IN_REGISTER(sum[i]));
        }
    }
    return (uint64_t)n * SUMS * 64;
}
