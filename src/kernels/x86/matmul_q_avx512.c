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

/* Steps are taken in an order that uses a loaded vector of nibbles up before the next one. */
INLINE int nth_step(int i, int steps) { return steps == 8 ? i % 2 * 4 + i / 2 : i; }

/* dot[v][b] += n vectors q of 8-bit activations (tokens' planes) times the levels of the first `steps` steps.
 */
INLINE void dot_bytes(const struct cria_tile *s, const uint8_t *codes, const int8_t *q, int bits, bool levels,
                      int steps, int n_blocks, int n, __m512i dot[][MAX_BLOCKS]) {
    const __m512i table = levels ? load_levels(s->levels) : _mm512_setzero_si512();
    UNROLL for (int i = 0; i < steps; i++) {
        const int step = nth_step(i, steps);
        __m512i w[MAX_BLOCKS];
        UNROLL for (int b = 0; b < n_blocks; b++) {
            w[b] = step_codes(codes + (size_t)b * s->codes_stride, bits, step);
            if (levels) w[b] = _mm512_shuffle_epi8(table, w[b]);
        }
        UNROLL for (int v = 0; v < n; v++) {
            int32_t four;
            memcpy(&four, q + (size_t)v * s->ldq + 4 * step, 4);
            const __m512i a = _mm512_set1_epi32(four);
            UNROLL for (int b = 0; b < n_blocks; b++) dot[v][b] = _mm512_dpbusd_epi32(dot[v][b], w[b], a);
        }
    }
}

/* What the sums of a unit start at. */
INLINE void start_dot(const struct cria_tile *s, size_t unit, int planes, int n_blocks, int n,
                      __m512i dot[][MAX_BLOCKS]) {
    UNROLL for (int t = 0; t < n; t++) {
        const int32_t zero_part = s->biases ? 0 : -s->zero * s->sums[(size_t)t * s->lds + unit];
        UNROLL for (int b = 0; b < n_blocks; b++) {
            dot[planes * t][b] = _mm512_set1_epi32(zero_part);
            if (planes == 2) dot[2 * t + 1][b] = _mm512_setzero_si512();
        }
    }
}

/* All arguments but s are constants. */
INLINE void tile(const struct cria_tile *s, int bits, bool levels, int steps, int planes, int n_blocks,
                 int n) {
    __m512 acc[MAX_TOKENS][MAX_BLOCKS], sum[MAX_TOKENS][MAX_BLOCKS];
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < n_blocks; b++) {
            const float *y = s->y + (size_t)t * s->ldy + 16 * b;
            acc[t][b] = s->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(row_mask(s->rows, b), y);
        }
    }
    size_t unit = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        UNROLL for (int t = 0; t < n; t++) {
            UNROLL for (int b = 0; b < n_blocks; b++) sum[t][b] =
                _mm512_set1_ps(-0.0f); /* −0 + a·b is a·b rounded */
        }
        for (uint32_t j = 0; j < s->units; j++, unit++) {
            /* Only bytes come in units of half a chunk: 4 steps of 64 bytes. */
            const size_t chunk = unit * (size_t)steps / 8, half = unit * (size_t)steps % 8 / 4;
            const uint8_t *codes = s->codes + chunk * s->chunk_bytes + half * 256;
            __m512i dot[MAX_TOKENS][MAX_BLOCKS];
            if (bits != 8 || n * planes <= 2) {
                UNROLL for (int b = 0; b < n_blocks; b++)
                    cria_prefetch(codes + (size_t)b * s->codes_stride, 64 * bits);
            }
            start_dot(s, unit, planes, n_blocks, n, dot);
            dot_bytes(s, codes, s->q + 32 * chunk + 16 * half, bits, levels, steps, n_blocks, n * planes,
                      dot);
            UNROLL for (int t = 0; t < n; t++) {
                const __m512 d = _mm512_set1_ps(s->d[(size_t)t * s->ldd + chunk]);
                UNROLL for (int b = 0; b < n_blocks; b++) {
                    __m512i whole = dot[planes * t][b];
                    if (planes == 2) whole = _mm512_add_epi32(whole, _mm512_slli_epi32(dot[2 * t + 1][b], 8));
                    const __m512 f = _mm512_cvtepi32_ps(whole);
                    sum[t][b] = _mm512_fmadd_ps(f, d, sum[t][b]);
                }
            }
        }
        UNROLL for (int b = 0; b < n_blocks; b++) {
            const __m512 scale = _mm512_loadu_ps(s->scales + (size_t)b * s->scales_stride + 16 * g);
            UNROLL for (int t = 0; t < n; t++) acc[t][b] = _mm512_fmadd_ps(scale, sum[t][b], acc[t][b]);
        }
        if (!s->biases) continue;
        UNROLL for (int b = 0; b < n_blocks; b++) {
            const __m512 bias = _mm512_loadu_ps(s->biases + (size_t)b * s->scales_stride + 16 * g);
            UNROLL for (int t = 0; t < n; t++) {
                acc[t][b] = _mm512_fmadd_ps(bias, _mm512_set1_ps(s->u[(size_t)t * s->ldu + g]), acc[t][b]);
            }
        }
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < n_blocks; b++)
            _mm512_mask_storeu_ps(s->y + (size_t)t * s->ldy + 16 * b, row_mask(s->rows, b), acc[t][b]);
    }
}

#define TILE(name, bits, levels, steps, planes, n_blocks, n)                                                 \
    static void name(const struct cria_tile *s) { tile(s, bits, levels, steps, planes, n_blocks, n); }

/* One row block, codes unpacked in registers, units of 32: [planes − 1][tokens − 1] up to four vectors. */
#define DIRECT(name, bits, levels)                                                                           \
    TILE(name##_11, bits, levels, 8, 1, 1, 1)                                                                \
    TILE(name##_12, bits, levels, 8, 1, 1, 2)                                                                \
    TILE(name##_13, bits, levels, 8, 1, 1, 3)                                                                \
    TILE(name##_14, bits, levels, 8, 1, 1, 4)                                                                \
    TILE(name##_21, bits, levels, 8, 2, 1, 1)                                                                \
    TILE(name##_22, bits, levels, 8, 2, 1, 2)                                                                \
    static const cria_tile_fn name[2][4] = {{name##_11, name##_12, name##_13, name##_14},                    \
                                            {name##_21, name##_22}};

DIRECT(direct2, 2, false)
DIRECT(direct3, 3, false)
DIRECT(direct4, 4, false)
DIRECT(direct4_levels, 4, true)
DIRECT(direct5, 5, false)
DIRECT(direct6, 6, false)

/* Levels as bytes: [planes − 1][tokens − 1] up to six vectors. */
#define BYTES(name, steps, n_blocks)                                                                         \
    TILE(name##_11, 8, false, steps, 1, n_blocks, 1)                                                         \
    TILE(name##_12, 8, false, steps, 1, n_blocks, 2)                                                         \
    TILE(name##_13, 8, false, steps, 1, n_blocks, 3)                                                         \
    TILE(name##_14, 8, false, steps, 1, n_blocks, 4)                                                         \
    TILE(name##_15, 8, false, steps, 1, n_blocks, 5)                                                         \
    TILE(name##_16, 8, false, steps, 1, n_blocks, 6)                                                         \
    TILE(name##_21, 8, false, steps, 2, n_blocks, 1)                                                         \
    TILE(name##_22, 8, false, steps, 2, n_blocks, 2)                                                         \
    TILE(name##_23, 8, false, steps, 2, n_blocks, 3)                                                         \
    static const cria_tile_fn name[2][6] = {                                                                 \
        {name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                                  \
        {name##_21, name##_22, name##_23}};

BYTES(bytes_one, 8, 1)
BYTES(bytes_two, 8, 2)
BYTES(halves_one, 4, 1) /* units of 16 */
BYTES(halves_two, 4, 2)

static const cria_tile_fn *direct_tiles(const cria_matrix_spec *s, uint32_t planes) {
    if (s->levels) return s->bits == 4 ? direct4_levels[planes - 1] : NULL;
    switch (s->bits) {
    case 2:
        return direct2[planes - 1];
    case 3:
        return direct3[planes - 1];
    case 4:
        return direct4[planes - 1];
    case 5:
        return direct5[planes - 1];
    case 6:
        return direct6[planes - 1];
    default:
        return NULL;
    }
}

static struct cria_tile_plan make_plan(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    const bool halves = s->group < CRIA_CHUNK;
    const cria_tile_fn *direct = direct_tiles(s, planes);
    struct cria_tile_plan plan = {.max_tokens = MAX_TOKENS / planes, .unpack = s->bits != 8};
    if (!halves && n * planes <= 4 && direct) {
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

void cria_matmul_q_avx512(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, uint32_t block0,
                          uint32_t block1, void *scratch) {
    cria_matmul_q_run(&ops, w, x, y, ldy, block0, block1, scratch);
}
