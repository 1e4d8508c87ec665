/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AVX-512 without VNNI, Skylake's servers (matmul_q of kernels.h; the loops
 * around: matmul_q.h).
 *
 * I_j is had exactly as in matmul_q_avx2.c, with registers twice as wide. Levels up to 63: vpmaddubsw, whose
 * 16-bit sums of two products may be added up over `depth` steps without overflow, since 2·128·15·8,
 * 2·128·31·4 and 2·128·63·2 are below 2^15. Above: vpmaddwd (depth 0), with levels and activations (both
 * planes at once) as 16-bit numbers, the even inputs of a lane and then the odd ones.
 */
#include "kernels/x86/matmul_q_avx512.h"

#include "kernels/x86/kernels_x86.h"

enum {
    MAX_TOKENS = CRIA_TILE_TOKENS,
    MAX_BLOCKS = 2,
    WORD_TOKENS = 4,
    FEW_VECTORS = 36 /* of activations, for which it does not pay to unpack codes to bytes in a pass of its own */
};

/* How a tile has the integer products of a unit; constants where it is called. */
struct dots_kind {
    int bits;    /* packed codes that are unpacked in registers; 8: levels as bytes */
    bool levels; /* codes stand for levels of a table */
    int depth;   /* steps added up in 16 bits; 0: 16-bit activations and levels */
    int steps;   /* of a unit: 8, or 4 where groups are 16 inputs */
};

INLINE const uint8_t *codes_of(const struct cria_tile *s, size_t chunk, size_t half) {
    return s->codes + chunk * s->chunk_bytes +
           half * 256; /* only bytes come in halves: 4 steps of 64 bytes */
}

/* dot[v][b] += the products of vector v of activations, plane v % planes of token v / planes, with row block
 * b in inputs 32·chunk + 16·half and up. All arguments but s, chunk and half are constants. */
INLINE void dot_bytes(const struct cria_tile *s, size_t chunk, size_t half, struct dots_kind kind, int planes,
                      int n_blocks, int n, __m512i dot[][MAX_BLOCKS]) {
    const uint8_t *codes = codes_of(s, chunk, half);
    const int8_t *q = s->q + (32 * chunk + 16 * half) * (size_t)n;
    const __m512i ones = _mm512_set1_epi16(1);
    const __m512i table = kind.levels ? load_levels(s->levels) : ones;
    UNROLL for (int from = 0; from < kind.steps; from += kind.depth) {
        __m512i sum[MAX_TOKENS][MAX_BLOCKS];
        UNROLL for (int i = from; i < from + kind.depth; i++) {
            const int step = cria_nth_step(i, 0, kind.steps);
            __m512i w[MAX_BLOCKS];
            UNROLL for (int b = 0; b < n_blocks; b++) {
                w[b] = step_codes(codes + (size_t)b * s->codes_stride, kind.bits, 0, step);
                if (kind.levels) w[b] = _mm512_shuffle_epi8(table, w[b]);
            }
            UNROLL for (int v = 0; v < n * planes; v++) {
                const __m512i a =
                    broadcast4(q + (size_t)(v % planes) * s->plane + 4 * (step * n + v / planes));
                UNROLL for (int b = 0; b < n_blocks; b++) {
                    const __m512i product = _mm512_maddubs_epi16(w[b], a);
                    sum[v][b] = i == from ? product : _mm512_add_epi16(sum[v][b], product);
                    hold(&sum[v][b]);
                }
            }
        }
        UNROLL for (int v = 0; v < n * planes; v++) {
            UNROLL for (int b = 0; b < n_blocks; b++) dot[v][b] =
                _mm512_add_epi32(dot[v][b], _mm512_madd_epi16(sum[v][b], ones));
        }
    }
}

INLINE void dot_words(const struct cria_tile *s, size_t chunk, size_t half, struct dots_kind kind,
                      int n_blocks, int n, __m512i dot[][MAX_BLOCKS]) {
    const uint8_t *codes = codes_of(s, chunk, half);
    const int16_t *pairs = s->pairs + (32 * chunk + 16 * half) * (size_t)n;
    UNROLL for (int i = 0; i < kind.steps; i++) {
        UNROLL for (int b = 0; b < n_blocks; b++) {
            const __m512i w = _mm512_loadu_si512(codes + (size_t)b * s->codes_stride + 64 * i);
            const __m512i even = _mm512_and_si512(w, _mm512_set1_epi16(255)), odd = _mm512_srli_epi16(w, 8);
            UNROLL for (int v = 0; v < n; v++) {
                const int16_t *a = pairs + 2 * (2 * i * n + v);
                const __m512i sum = _mm512_add_epi32(_mm512_madd_epi16(even, broadcast4(a)),
                                                     _mm512_madd_epi16(odd, broadcast4(a + 2 * n)));
                dot[v][b] = _mm512_add_epi32(dot[v][b], sum);
                hold(&dot[v][b]);
            }
        }
    }
}

/* What the sums of a unit start at. */
INLINE void start_dot(const struct cria_tile *s, size_t unit, int planes, int n_blocks, int n,
                      __m512i dot[][MAX_BLOCKS]) {
    UNROLL for (int t = 0; t < n; t++) {
        const int32_t zero_part = s->affine ? 0 : s->start[unit * (size_t)n + (size_t)t];
        UNROLL for (int b = 0; b < n_blocks; b++) {
            dot[planes * t][b] = _mm512_set1_epi32(zero_part);
            if (planes == 2) dot[2 * t + 1][b] = _mm512_setzero_si512();
        }
    }
}

/* All arguments but s are constants. */
INLINE void tile(const struct cria_tile *s, struct dots_kind kind, int planes, int n_blocks, int n) {
    __m512 acc[MAX_TOKENS][MAX_BLOCKS], sum[MAX_TOKENS][MAX_BLOCKS];
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < n_blocks; b++) {
            acc[t][b] = s->first ? _mm512_setzero_ps()
                                 : _mm512_maskz_loadu_ps(row_mask(s->rows, b), s->sums + CRIA_TILE_ROWS * t + 16 * b);
        }
    }
    size_t unit = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        UNROLL for (int t = 0; t < n; t++) {
            UNROLL for (int b = 0; b < n_blocks; b++) sum[t][b] =
                _mm512_set1_ps(-0.0f); /* −0 + a·b is a·b rounded */
        }
        for (uint32_t j = 0; j < s->units; j++, unit++) {
            const size_t chunk = unit * (size_t)kind.steps / 8, half = unit * (size_t)kind.steps % 8 / 4;
            __m512i dot[MAX_TOKENS][MAX_BLOCKS];
            if (kind.bits != 8 || n * planes <= 2) {
                UNROLL for (int b = 0; b < n_blocks; b++)
                    cria_ask(&s->stream, chunk, kind.bits, 4 * (int)half, 0, kind.steps, (size_t)b * s->codes_stride);
            }
            start_dot(s, unit, planes, n_blocks, n, dot);
            if (kind.depth)
                dot_bytes(s, chunk, half, kind, planes, n_blocks, n, dot);
            else
                dot_words(s, chunk, half, kind, n_blocks, n, dot);
            UNROLL for (int t = 0; t < n; t++) {
                const __m512 d = _mm512_set1_ps(s->d[chunk * (size_t)n + (size_t)t]);
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
        if (!s->affine) continue;
        UNROLL for (int b = 0; b < n_blocks; b++) {
            const __m512 bias = _mm512_loadu_ps(s->biases + (size_t)b * s->scales_stride + 16 * g);
            UNROLL for (int t = 0; t < n; t++) {
                acc[t][b] = _mm512_fmadd_ps(bias, _mm512_set1_ps(s->u[g * (size_t)n + (size_t)t]), acc[t][b]);
            }
        }
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < n_blocks; b++)
            _mm512_mask_storeu_ps(s->y + (size_t)t * s->ldy + 16 * b, row_mask(s->rows, b), acc[t][b]);
    }
}

#define TILE(name, bits, levels, depth, steps, planes, n_blocks, n)                                          \
    static void name(const struct cria_tile *s) {                                                            \
        tile(s, (struct dots_kind){bits, levels, depth, steps}, planes, n_blocks, n);                        \
    }

/* One row block, codes unpacked in registers, units of 32: [planes − 1][tokens − 1] up to four vectors. */
#define DIRECT(name, bits, levels, depth)                                                                    \
    TILE(name##_11, bits, levels, depth, 8, 1, 1, 1)                                                         \
    TILE(name##_12, bits, levels, depth, 8, 1, 1, 2)                                                         \
    TILE(name##_13, bits, levels, depth, 8, 1, 1, 3)                                                         \
    TILE(name##_14, bits, levels, depth, 8, 1, 1, 4)                                                         \
    TILE(name##_21, bits, levels, depth, 8, 2, 1, 1)                                                         \
    TILE(name##_22, bits, levels, depth, 8, 2, 1, 2)                                                         \
    static const cria_tile_fn name[2][4] = {{name##_11, name##_12, name##_13, name##_14},                    \
                                            {name##_21, name##_22}};

DIRECT(direct2, 2, false, 8)
DIRECT(direct3, 3, false, 8)
DIRECT(direct4, 4, false, 8)
DIRECT(direct4_levels, 4, true, 4)
DIRECT(direct5, 5, false, 4)
DIRECT(direct6, 6, false, 2)

/* Levels as bytes: [planes − 1][tokens − 1] up to six vectors. */
#define BYTES(name, depth, steps, n_blocks)                                                                  \
    TILE(name##_11, 8, false, depth, steps, 1, n_blocks, 1)                                                  \
    TILE(name##_12, 8, false, depth, steps, 1, n_blocks, 2)                                                  \
    TILE(name##_13, 8, false, depth, steps, 1, n_blocks, 3)                                                  \
    TILE(name##_14, 8, false, depth, steps, 1, n_blocks, 4)                                                  \
    TILE(name##_15, 8, false, depth, steps, 1, n_blocks, 5)                                                  \
    TILE(name##_16, 8, false, depth, steps, 1, n_blocks, 6)                                                  \
    TILE(name##_21, 8, false, depth, steps, 2, n_blocks, 1)                                                  \
    TILE(name##_22, 8, false, depth, steps, 2, n_blocks, 2)                                                  \
    TILE(name##_23, 8, false, depth, steps, 2, n_blocks, 3)                                                  \
    static const cria_tile_fn name[2][6] = {                                                                 \
        {name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                                  \
        {name##_21, name##_22, name##_23}};

BYTES(bytes8_one, 8, 8, 1)
BYTES(bytes8_two, 8, 8, 2)
BYTES(bytes4_one, 4, 8, 1)
BYTES(bytes4_two, 4, 8, 2)
BYTES(bytes2_one, 2, 8, 1)
BYTES(bytes2_two, 2, 8, 2)
BYTES(halves4_one, 4, 4, 1) /* units of 16 */
BYTES(halves4_two, 4, 4, 2)
BYTES(halves2_one, 2, 4, 1)
BYTES(halves2_two, 2, 4, 2)

/* 16-bit activations and levels: [tokens − 1]. */
#define WORDS(name, steps, n_blocks)                                                                         \
    TILE(name##_1, 8, false, 0, steps, 1, n_blocks, 1)                                                       \
    TILE(name##_2, 8, false, 0, steps, 1, n_blocks, 2)                                                       \
    TILE(name##_3, 8, false, 0, steps, 1, n_blocks, 3)                                                       \
    TILE(name##_4, 8, false, 0, steps, 1, n_blocks, 4)                                                       \
    static const cria_tile_fn name[WORD_TOKENS] = {name##_1, name##_2, name##_3, name##_4};

WORDS(words_one, 8, 1)
WORDS(words_two, 8, 2)
WORDS(halves_words_one, 4, 1)
WORDS(halves_words_two, 4, 2)

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
    const uint32_t top = cria_max_level(s), p = planes - 1;
    const bool halves = s->group < CRIA_CHUNK;
    struct cria_tile_plan plan = {.max_tokens = MAX_TOKENS / planes, .unpack = unpack_chunks};
    if (n == 1 && cria_matvec_plan_avx512(s, planes, &plan)) return plan;
    if (top > 63) {
        plan.one = halves ? halves_words_one : words_one;
        plan.two = halves ? halves_words_two : words_two;
        plan.max_tokens = WORD_TOKENS;
        plan.words = true;
        if (s->bits == 8) plan.unpack = NULL;
    } else if (halves) {
        plan.one = top <= 31 ? halves4_one[p] : halves2_one[p];
        plan.two = top <= 31 ? halves4_two[p] : halves2_two[p];
    } else if (n * planes <= FEW_VECTORS && direct_tiles(s, top, planes)) {
        plan.one = direct_tiles(s, top, planes);
        plan.max_tokens = 4 / planes;
        plan.unpack = NULL;
    } else {
        plan.one = top <= 15 ? bytes8_one[p] : top <= 31 ? bytes4_one[p] : bytes2_one[p];
        plan.two = top <= 15 ? bytes8_two[p] : top <= 31 ? bytes4_two[p] : bytes2_two[p];
    }
    return plan;
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales};

CRIA_MATMUL_Q(avx512, ops)
