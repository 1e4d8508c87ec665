/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AVX2 (matmul_q of kernels.h).
 *
 * A tile is one row block (two registers of eight rows) against up to six tokens: twelve accumulators, two
 * weights and an activation fill the sixteen registers. The largest level of the matrix tells how I_j is had
 * exactly.
 *
 * Up to 63: vpmaddubsw, unsigned levels by signed activations. Its 16-bit sums of two products may be added
 * up over `depth` steps without overflow, since 2·128·15·8, 2·128·31·4 and 2·128·63·2 are below 2^15. Two
 * planes of activations are two products, 256·hi + lo.
 *
 * Above: vpmaddwd, with levels and activations (both planes at once) as 16-bit numbers, the even inputs of a
 * lane and then the odd ones.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/matmul_q.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/unpack_avx2.h"

enum { MAX_TOKENS = CRIA_TILE_TOKENS, WORD_TOKENS = 4 };

/* ---- One unit: I_j of 16 rows and T tokens ---- */

INLINE __m256i broadcast4(const void *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}

/* Steps are taken in an order that uses a loaded vector of nibbles up before the next one. */
INLINE int nth_step(int i, int steps) { return steps == 8 ? i % 2 * 4 + i / 2 : i; }

/* dot[v][h] of n vectors q of 8-bit activations (tokens' planes) against the levels of the first `steps`
 * steps. */
INLINE void dot_bytes(const struct cria_tile *s, const uint8_t *chunk, const int8_t *q, int bits, bool levels,
                      int depth, int steps, int n, __m256i dot[][2]) {
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i table = levels ? load_levels(s->levels) : ones;
    UNROLL for (int from = 0; from < steps; from += depth) {
        __m256i sum[MAX_TOKENS][2];
        UNROLL for (int i = from; i < from + depth; i++) {
            const int step = nth_step(i, steps);
            __m256i w[2];
            UNROLL for (int h = 0; h < 2; h++) {
                w[h] = step_codes(chunk, bits, h, step);
                if (levels) w[h] = _mm256_shuffle_epi8(table, w[h]);
            }
            UNROLL for (int v = 0; v < n; v++) {
                const __m256i a = broadcast4(q + (size_t)v * s->ldq + 4 * step);
                UNROLL for (int h = 0; h < 2; h++) {
                    const __m256i product = _mm256_maddubs_epi16(w[h], a);
                    sum[v][h] = i == from ? product : _mm256_add_epi16(sum[v][h], product);
                    hold(&sum[v][h]);
                }
            }
        }
        UNROLL for (int v = 0; v < n; v++) {
            UNROLL for (int h = 0; h < 2; h++) {
                const __m256i part = _mm256_madd_epi16(sum[v][h], ones);
                dot[v][h] = from == 0 ? part : _mm256_add_epi32(dot[v][h], part);
            }
        }
    }
}

/* The same with levels up to 255 and 16-bit activations, as pairs. */
INLINE void dot_words(const struct cria_tile *s, const uint8_t *chunk, const int16_t *pairs, int steps, int n,
                      __m256i dot[][2]) {
    UNROLL for (int i = 0; i < steps; i++) {
        UNROLL for (int h = 0; h < 2; h++) {
            const __m256i w = load256(chunk + 64 * i + 32 * h);
            const __m256i even = _mm256_and_si256(w, _mm256_set1_epi16(255)), odd = _mm256_srli_epi16(w, 8);
            UNROLL for (int v = 0; v < n; v++) {
                const int16_t *a = pairs + (size_t)v * s->ldp + 2 * i;
                const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(even, broadcast4(a)),
                                                     _mm256_madd_epi16(odd, broadcast4(a + 16)));
                dot[v][h] = i == 0 ? sum : _mm256_add_epi32(dot[v][h], sum);
                hold(&dot[v][h]);
            }
        }
    }
}

/* ---- Tiles ---- */

INLINE void store_y(const struct cria_tile *s, int n, __m256 acc[][2]) {
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int h = 0; h < 2; h++) {
            float *y = s->y + (size_t)t * s->ldy + 8 * h;
            if (s->rows == CRIA_ROWS)
                _mm256_storeu_ps(y, acc[t][h]);
            else
                _mm256_maskstore_ps(y, row_mask(s->rows, h), acc[t][h]);
        }
    }
}

INLINE void load_y(const struct cria_tile *s, int n, __m256 acc[][2]) {
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int h = 0; h < 2; h++) {
            const float *y = s->y + (size_t)t * s->ldy + 8 * h;
            acc[t][h] = s->first ? _mm256_setzero_ps() : _mm256_maskload_ps(y, row_mask(s->rows, h));
        }
    }
}

/* I_j of the chosen unit of n tokens as floats. All arguments but s, chunk and half are constants. */
INLINE void unit_dots(const struct cria_tile *s, size_t chunk, size_t half, int bits, bool levels, int depth,
                      int steps, int planes, int n, __m256 f[][2]) {
    const uint8_t *codes = s->codes + chunk * s->chunk_bytes + half * 256;
    __m256i dot[MAX_TOKENS][2];
    if (bits != 8) cria_prefetch(codes, 64 * (bits == 0 ? 8 : bits));
    if (bits == 0)
        dot_words(s, codes, s->pairs + 32 * chunk + 8 * half, steps, n, dot);
    else
        dot_bytes(s, codes, s->q + 32 * chunk + 16 * half, bits, levels, depth, steps, n * planes, dot);
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int h = 0; h < 2; h++) {
            __m256i whole = dot[planes * t][h];
            if (planes == 2) whole = _mm256_add_epi32(whole, _mm256_slli_epi32(dot[2 * t + 1][h], 8));
            if (!s->biases) {
                const __m256i sum =
                    broadcast4(s->sums + (size_t)t * s->lds + chunk * 8 / (size_t)steps + half);
                whole = _mm256_sub_epi32(whole, _mm256_mullo_epi32(sum, _mm256_set1_epi32(s->zero)));
            }
            f[t][h] = _mm256_cvtepi32_ps(whole);
        }
    }
}

/* All arguments but s are constants. bits 0: 16-bit activations and 8-bit levels. */
INLINE void tile(const struct cria_tile *s, int bits, bool levels, int depth, int steps, int planes, int n) {
    __m256 acc[MAX_TOKENS][2], sum[MAX_TOKENS][2], f[MAX_TOKENS][2];
    load_y(s, n, acc);
    size_t unit = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        UNROLL for (int t = 0; t < n; t++) /* −0 + a·b is a·b rounded, whatever its sign */
            sum[t][0] = sum[t][1] = _mm256_set1_ps(-0.0f);
        for (uint32_t j = 0; j < s->units; j++, unit++) {
            /* Only bytes come in units of half a chunk. */
            const size_t chunk = unit * (size_t)steps / 8, half = unit * (size_t)steps % 8 / 4;
            unit_dots(s, chunk, half, bits, levels, depth, steps, planes, n, f);
            UNROLL for (int t = 0; t < n; t++) {
                const __m256 d = _mm256_broadcast_ss(s->d + (size_t)t * s->ldd + chunk);
                UNROLL for (int h = 0; h < 2; h++) sum[t][h] = _mm256_fmadd_ps(f[t][h], d, sum[t][h]);
            }
        }
        UNROLL for (int h = 0; h < 2; h++) {
            const __m256 scale = _mm256_load_ps(s->scales + 16 * g + 8 * h);
            UNROLL for (int t = 0; t < n; t++) acc[t][h] = _mm256_fmadd_ps(scale, sum[t][h], acc[t][h]);
        }
        if (!s->biases) continue;
        UNROLL for (int t = 0; t < n; t++) {
            const __m256 u = _mm256_broadcast_ss(s->u + (size_t)t * s->ldu + g);
            UNROLL for (int h = 0; h < 2; h++) {
                const __m256 bias = _mm256_load_ps(s->biases + 16 * g + 8 * h);
                acc[t][h] = _mm256_fmadd_ps(bias, u, acc[t][h]);
            }
        }
    }
    store_y(s, n, acc);
}

#define TILE(name, bits, levels, depth, steps, planes, n)                                                    \
    static void name(const struct cria_tile *s) { tile(s, bits, levels, depth, steps, planes, n); }

/* Codes unpacked in registers, units of 32: [planes − 1][tokens − 1] up to four vectors. */
#define DIRECT(name, bits, levels, depth)                                                                    \
    TILE(name##_11, bits, levels, depth, 8, 1, 1)                                                            \
    TILE(name##_12, bits, levels, depth, 8, 1, 2)                                                            \
    TILE(name##_13, bits, levels, depth, 8, 1, 3)                                                            \
    TILE(name##_14, bits, levels, depth, 8, 1, 4)                                                            \
    TILE(name##_21, bits, levels, depth, 8, 2, 1)                                                            \
    TILE(name##_22, bits, levels, depth, 8, 2, 2)                                                            \
    static const cria_tile_fn name[2][4] = {{name##_11, name##_12, name##_13, name##_14},                    \
                                            {name##_21, name##_22}};

DIRECT(direct2, 2, false, 8)
DIRECT(direct3, 3, false, 8)
DIRECT(direct4, 4, false, 8)
DIRECT(direct4_levels, 4, true, 4)
DIRECT(direct5, 5, false, 4)
DIRECT(direct6, 6, false, 2)

/* Levels as bytes: [planes − 1][tokens − 1] up to six vectors. */
#define BYTES(name, depth, steps)                                                                            \
    TILE(name##_11, 8, false, depth, steps, 1, 1)                                                            \
    TILE(name##_12, 8, false, depth, steps, 1, 2)                                                            \
    TILE(name##_13, 8, false, depth, steps, 1, 3)                                                            \
    TILE(name##_14, 8, false, depth, steps, 1, 4)                                                            \
    TILE(name##_15, 8, false, depth, steps, 1, 5)                                                            \
    TILE(name##_16, 8, false, depth, steps, 1, 6)                                                            \
    TILE(name##_21, 8, false, depth, steps, 2, 1)                                                            \
    TILE(name##_22, 8, false, depth, steps, 2, 2)                                                            \
    TILE(name##_23, 8, false, depth, steps, 2, 3)                                                            \
    static const cria_tile_fn name[2][6] = {                                                                 \
        {name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                                  \
        {name##_21, name##_22, name##_23}};

BYTES(bytes_depth8, 8, 8)
BYTES(bytes_depth4, 4, 8)
BYTES(bytes_depth2, 2, 8)
BYTES(halves_depth4, 4, 4) /* units of 16 */
BYTES(halves_depth2, 2, 4)

/* 16-bit activations and levels: [tokens − 1]. */
#define WORDS(name, steps)                                                                                   \
    TILE(name##_1, 0, false, 0, steps, 1, 1)                                                                 \
    TILE(name##_2, 0, false, 0, steps, 1, 2)                                                                 \
    TILE(name##_3, 0, false, 0, steps, 1, 3)                                                                 \
    TILE(name##_4, 0, false, 0, steps, 1, 4)                                                                 \
    static const cria_tile_fn name[WORD_TOKENS] = {name##_1, name##_2, name##_3, name##_4};

WORDS(words, 8)
WORDS(halves_words, 4)

/* ---- Choosing ---- */

static const cria_tile_fn *direct_tiles(const cria_matrix_spec *s, uint32_t top, uint32_t planes) {
    if (s->levels) return s->bits == 4 && top <= 31 ? direct4_levels[planes - 1] : NULL;
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
    const uint32_t top = cria_max_level(s);
    const bool halves = s->group < CRIA_CHUNK;
    if (top > 63) {
        const cria_tile_fn *tiles = halves ? halves_words : words;
        return (struct cria_tile_plan){tiles, NULL, WORD_TOKENS, .words = true, .unpack = s->bits != 8};
    }
    const cria_tile_fn *direct = direct_tiles(s, top, planes);
    if (!halves && n * planes <= 4 && direct)
        return (struct cria_tile_plan){direct, NULL, 4 / planes, false, false};
    const cria_tile_fn *tiles = halves      ? (top <= 31 ? halves_depth4 : halves_depth2)[planes - 1]
                                : top <= 15 ? bytes_depth8[planes - 1]
                                : top <= 31 ? bytes_depth4[planes - 1]
                                            : bytes_depth2[planes - 1];
    return (struct cria_tile_plan){tiles, NULL, MAX_TOKENS / planes, false, .unpack = true};
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales, unpack_chunks};

void cria_matmul_q_avx2(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, uint32_t block0,
                        uint32_t block1, void *scratch) {
    cria_matmul_q_run(&ops, w, x, y, ldy, block0, block1, scratch);
}
