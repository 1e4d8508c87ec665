/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AVX2 (matmul_q of kernels.h); with a single token mostly in matvec_q_avx2.c.
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
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/matmul_q_avx2.h"

enum {
    MAX_TOKENS = CRIA_TILE_TOKENS,
    WORD_TOKENS = 4,
    FEW_VECTORS = 16 /* of activations, for which it does not pay to unpack codes to bytes in a pass of its own */
};

/* The sums of a tile rest in memory, those of a unit in registers. */
typedef float tile_sums[MAX_TOKENS][CRIA_ROWS];
struct sums {
    _Alignas(32) tile_sums acc, group; /* y; the t of a group of several units */
};

/* What a group's t starts at: −0 + a·b is a·b rounded, whatever its sign. */
#define ROW_OF_16(x) {x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}
_Alignas(32) static const tile_sums minus_zeros = {ROW_OF_16(-0.0f), ROW_OF_16(-0.0f), ROW_OF_16(-0.0f),
                                                   ROW_OF_16(-0.0f), ROW_OF_16(-0.0f), ROW_OF_16(-0.0f)};

/* What is known of a matrix when a tile is compiled: branches in a unit cost a fifth of the speed. */
enum form {
    FORM_ANY = 0,    /* nothing: for what is rare */
    FORM_AFFINE = 1, /* affine, groups of several units */
    FORM_ALONE = 2,  /* a group is a unit; symmetric, or affine when both are set */
    FORMS = 4
};

/* One unit: steps from .. from+steps−1 (constants) of a chunk. */
struct unit {
    size_t chunk, index, group; /* index counts units */
    int from, steps;
    bool first, last; /* of its group */
};

/* What a unit's integer sums of token t do to the token's sums. n is the tile's number of tokens; t, n and form
 * are constants, as are all ints and bools below that are no part of s or u. */
INLINE void finish_token(const struct cria_tile *s, const struct unit *u, enum form form, int n, int t,
                         const __m256i dot[2], struct sums *sums) {
    const bool affine = form == FORM_ANY ? s->affine : form & FORM_AFFINE;
    const bool alone = form & FORM_ALONE;
    const __m256 d = _mm256_broadcast_ss(s->d + u->chunk * (size_t)n + t);
    UNROLL for (int h = 0; h < 2; h++) {
        __m256i whole = dot[h];
        if (!affine) whole = _mm256_add_epi32(whole, broadcast4(s->start + u->index * (size_t)n + t));
        __m256 f = _mm256_cvtepi32_ps(whole);
        if (alone) {
            f = _mm256_mul_ps(f, d);
        } else {
            const float *before = u->first ? minus_zeros[t] : sums->group[t];
            f = _mm256_fmadd_ps(f, d, _mm256_load_ps(before + 8 * h));
            if (!u->last) {
                _mm256_store_ps(sums->group[t] + 8 * h, f);
                continue;
            }
        }
        const __m256 scales = _mm256_load_ps(s->scales + CRIA_ROWS * u->group + 8 * h);
        f = _mm256_fmadd_ps(scales, f, _mm256_load_ps(sums->acc[t] + 8 * h));
        if (affine) {
            const __m256 biases = _mm256_load_ps(s->biases + CRIA_ROWS * u->group + 8 * h);
            f = _mm256_fmadd_ps(biases, _mm256_broadcast_ss(s->u + u->group * (size_t)n + t), f);
        }
        _mm256_store_ps(sums->acc[t] + 8 * h, f);
    }
}

/* Levels of up to 63, 8-bit activations. A token is finished with the last step's products: that leaves the
 * processor enough to do on both sides of a unit's end (a third faster than all tokens together at the end). */
INLINE void unit_bytes(const struct cria_tile *s, struct unit u, int bits, bool levels, int depth, enum form form,
                       int planes, int n, struct sums *sums) {
    const uint8_t *codes = s->codes + u.chunk * s->chunk_bytes;
    const int8_t *q = s->q + CRIA_CHUNK * u.chunk * (size_t)n;
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i table = levels ? load_levels(s->levels) : ones;
    __m256i sum[MAX_TOKENS][2], dot[MAX_TOKENS][2]; /* of tokens' planes */
    if (bits != 8) cria_ask(&s->stream, u.chunk, bits, u.from, 0, u.steps, 0);
    UNROLL for (int i = 0; i < u.steps; i++) {
        const int step = cria_nth_step(i, u.from, u.steps);
        __m256i w[2];
        UNROLL for (int h = 0; h < 2; h++) {
            w[h] = step_codes(codes, bits, h, step);
            if (levels) w[h] = _mm256_shuffle_epi8(table, w[h]);
        }
        UNROLL for (int t = 0; t < n; t++) {
            UNROLL for (int p = 0; p < planes; p++) {
                const int v = t * planes + p;
                const __m256i a = broadcast4(q + (size_t)p * s->plane + 4 * ((size_t)step * (size_t)n + (size_t)t));
                UNROLL for (int h = 0; h < 2; h++) {
                    const __m256i product = _mm256_maddubs_epi16(w[h], a);
                    sum[v][h] = i % depth == 0 ? product : _mm256_add_epi16(sum[v][h], product);
                    hold(&sum[v][h]);
                    if (i % depth != depth - 1) continue;
                    const __m256i part = _mm256_madd_epi16(sum[v][h], ones);
                    dot[v][h] = i < depth ? part : _mm256_add_epi32(dot[v][h], part);
                }
            }
            if (i != u.steps - 1) continue;
            if (planes == 2) {
                UNROLL for (int h = 0; h < 2; h++) dot[2 * t][h] =
                    _mm256_add_epi32(dot[2 * t][h], _mm256_slli_epi32(dot[2 * t + 1][h], 8));
            }
            finish_token(s, &u, form, n, t, dot[planes * t], sums);
        }
    }
}

/* Levels of up to 255, 16-bit activations. */
INLINE void unit_words(const struct cria_tile *s, struct unit u, enum form form, int n, struct sums *sums) {
    const uint8_t *codes = s->codes + u.chunk * s->chunk_bytes;
    const int16_t *pairs = s->pairs + CRIA_CHUNK * u.chunk * (size_t)n;
    __m256i dot[WORD_TOKENS][2];
    if (n == 1) cria_ask(&s->stream, u.chunk, 8, u.from, 0, u.steps, 0);
    UNROLL for (int i = 0; i < u.steps; i++) {
        const int step = u.from + i;
        __m256i even[2], odd[2];
        UNROLL for (int h = 0; h < 2; h++) {
            const __m256i w = load256(codes + 64 * step + 32 * h);
            even[h] = _mm256_and_si256(w, _mm256_set1_epi16(255));
            odd[h] = _mm256_srli_epi16(w, 8);
        }
        UNROLL for (int t = 0; t < n; t++) {
            const int16_t *p = pairs + 2 * ((size_t)(2 * step) * (size_t)n + (size_t)t);
            const __m256i a = broadcast4(p), b = broadcast4(p + 2 * n);
            UNROLL for (int h = 0; h < 2; h++) {
                const __m256i first = _mm256_madd_epi16(even[h], a), second = _mm256_madd_epi16(odd[h], b);
                dot[t][h] = i == 0 ? first : _mm256_add_epi32(dot[t][h], first);
                dot[t][h] = _mm256_add_epi32(dot[t][h], second);
                hold(&dot[t][h]);
            }
            if (i == u.steps - 1) finish_token(s, &u, form, n, t, dot[t], sums);
        }
    }
}

/* ---- Tiles ---- */

INLINE void store_y(const struct cria_tile *s, int n, const struct sums *sums) {
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int h = 0; h < 2; h++) {
            float *y = s->y + (size_t)t * s->ldy + 8 * h;
            const __m256 acc = _mm256_load_ps(sums->acc[t] + 8 * h);
            if (s->rows == CRIA_ROWS)
                _mm256_storeu_ps(y, acc);
            else
                _mm256_maskstore_ps(y, row_mask(s->rows, h), acc);
        }
    }
}

INLINE void load_y(const struct cria_tile *s, int n, struct sums *sums) {
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int h = 0; h < 2; h++) {
            const float *y = s->y + (size_t)t * s->ldy + 8 * h;
            _mm256_store_ps(sums->acc[t] + 8 * h,
                            s->first ? _mm256_setzero_ps() : _mm256_maskload_ps(y, row_mask(s->rows, h)));
        }
    }
}

/* bits 0: words */
INLINE void unit(const struct cria_tile *s, struct unit u, int bits, bool levels, int depth, enum form form,
                 int planes, int n, struct sums *sums) {
    if (bits == 0)
        unit_words(s, u, form, n, sums);
    else
        unit_bytes(s, u, bits, levels, depth, form, planes, n, sums);
}

INLINE void tile(const struct cria_tile *s, int bits, bool levels, int depth, bool halves, enum form form,
                 int planes, int n) {
    struct sums sums;
    load_y(s, n, &sums);
    size_t i = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        if (halves) { /* two groups are a chunk */
            const struct unit a = {g / 2, g, g, 0, 4, true, true}, b = {g / 2, g + 1, g + 1, 4, 4, true, true};
            unit(s, a, bits, levels, depth, form, planes, n, &sums);
            unit(s, b, bits, levels, depth, form, planes, n, &sums);
            g++;
        } else if (form & FORM_ALONE) {
            unit(s, (struct unit){g, g, g, 0, 8, true, true}, bits, levels, depth, form, planes, n, &sums);
        } else if (form & FORM_AFFINE) {
            unit(s, (struct unit){i, i, g, 0, 8, true, false}, bits, levels, depth, form, planes, n, &sums);
            for (const size_t last = ++i + s->units - 2; i < last; i++)
                unit(s, (struct unit){i, i, g, 0, 8, false, false}, bits, levels, depth, form, planes, n, &sums);
            unit(s, (struct unit){i, i, g, 0, 8, false, true}, bits, levels, depth, form, planes, n, &sums);
            i++;
        } else {
            for (uint32_t j = 0; j < s->units; j++, i++) {
                const struct unit u = {i, i, g, 0, 8, j == 0, j + 1 == s->units};
                unit(s, u, bits, levels, depth, form, planes, n, &sums);
            }
        }
    }
    store_y(s, n, &sums);
}

#define TILE(name, bits, levels, depth, halves, form, planes, n)                                             \
    static void name(const struct cria_tile *s) { tile(s, bits, levels, depth, halves, form, planes, n); }

/* Tiles of a kind: [planes − 1][tokens − 1]. */
typedef cria_tile_fn tiles[2][MAX_TOKENS];

/* Codes unpacked in registers: up to four vectors. */
#define DIRECT(name, bits, levels, depth, halves, form)                                                      \
    TILE(name##_12, bits, levels, depth, halves, form, 1, 2)                                                 \
    TILE(name##_13, bits, levels, depth, halves, form, 1, 3)                                                 \
    TILE(name##_14, bits, levels, depth, halves, form, 1, 4)                                                 \
    TILE(name##_22, bits, levels, depth, halves, form, 2, 2)                                                 \
    static const tiles name = {{NULL, name##_12, name##_13, name##_14}, {NULL, name##_22}};

DIRECT(direct2, 2, false, 8, false, 0)
DIRECT(direct3, 3, false, 8, false, 0)
DIRECT(direct4_0, 4, false, 8, false, 0)
DIRECT(direct4_1, 4, false, 8, false, 1)
DIRECT(direct4_2, 4, false, 8, false, 2)
DIRECT(direct4_3, 4, false, 8, false, 3)
DIRECT(direct4_levels, 4, true, 4, false, 0)
DIRECT(direct5, 5, false, 4, false, 0)
DIRECT(direct6, 6, false, 2, false, 0)
DIRECT(halves2, 2, false, 4, true, 0)
DIRECT(halves3, 3, false, 4, true, 0)
DIRECT(halves4_levels, 4, true, 4, true, 0)
DIRECT(halves6, 6, false, 2, true, 0)
static const tiles *const direct4[FORMS] = {&direct4_0, &direct4_1, &direct4_2, &direct4_3};

/* Levels as bytes: more vectors than that, up to six. */
#define BYTES(name, depth, halves, form)                                                                     \
    TILE(name##_13, 8, false, depth, halves, form, 1, 3)                                                     \
    TILE(name##_14, 8, false, depth, halves, form, 1, 4)                                                     \
    TILE(name##_15, 8, false, depth, halves, form, 1, 5)                                                     \
    TILE(name##_16, 8, false, depth, halves, form, 1, 6)                                                     \
    TILE(name##_22, 8, false, depth, halves, form, 2, 2)                                                     \
    TILE(name##_23, 8, false, depth, halves, form, 2, 3)                                                     \
    static const tiles name = {{NULL, NULL, name##_13, name##_14, name##_15, name##_16},                     \
                               {NULL, name##_22, name##_23}};

BYTES(bytes_depth8_0, 8, false, 0)
BYTES(bytes_depth8_1, 8, false, 1)
BYTES(bytes_depth8_2, 8, false, 2)
BYTES(bytes_depth8_3, 8, false, 3)
BYTES(bytes_depth4_0, 4, false, 0)
BYTES(bytes_depth4_1, 4, false, 1)
BYTES(bytes_depth4_2, 4, false, 2)
BYTES(bytes_depth4_3, 4, false, 3)
BYTES(bytes_depth2_0, 2, false, 0)
BYTES(bytes_depth2_1, 2, false, 1)
BYTES(halves_depth4, 4, true, 0) /* units of 16 */
BYTES(halves_depth2, 2, true, 0)
static const tiles *const bytes_depth8[FORMS] = {&bytes_depth8_0, &bytes_depth8_1, &bytes_depth8_2,
                                                 &bytes_depth8_3};
static const tiles *const bytes_depth4[FORMS] = {&bytes_depth4_0, &bytes_depth4_1, &bytes_depth4_2,
                                                 &bytes_depth4_3};
static const tiles *const bytes_depth2[FORMS] = {&bytes_depth2_0, &bytes_depth2_1, &bytes_depth2_0,
                                                 &bytes_depth2_0};

/* 16-bit activations and levels. */
#define WORDS(name, halves, form)                                                                            \
    TILE(name##_1, 0, false, 0, halves, form, 1, 1)                                                          \
    TILE(name##_2, 0, false, 0, halves, form, 1, 2)                                                          \
    TILE(name##_3, 0, false, 0, halves, form, 1, 3)                                                          \
    TILE(name##_4, 0, false, 0, halves, form, 1, 4)                                                          \
    static const cria_tile_fn name[WORD_TOKENS] = {name##_1, name##_2, name##_3, name##_4};

WORDS(words_0, false, 0)
WORDS(words_1, false, 1)
WORDS(words_2, false, 2)
WORDS(halves_words, true, 0)
static const cria_tile_fn *const words[FORMS] = {words_0, words_1, words_2, words_0};

/* ---- Choosing ---- */

static enum form form_of(const cria_matrix_spec *s) {
    return (enum form)((s->affine ? FORM_AFFINE : 0) | (s->group == CRIA_CHUNK ? FORM_ALONE : 0));
}

/* NULL where few tokens, too, take levels as bytes. */
static const tiles *direct_tiles(const cria_matrix_spec *s, uint32_t top) {
    const bool halves = s->group < CRIA_CHUNK;
    if (s->levels) return s->bits != 4 || top > 31 ? NULL : halves ? &halves4_levels : &direct4_levels;
    switch (s->bits) {
    case 2:
        return halves ? &halves2 : &direct2;
    case 3:
        return halves ? &halves3 : &direct3;
    case 4:
        return halves ? NULL : direct4[form_of(s)];
    case 5:
        return halves ? NULL : &direct5;
    case 6:
        return halves ? &halves6 : &direct6;
    default:
        return NULL;
    }
}

static struct cria_tile_plan make_plan(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    const uint32_t top = cria_max_level(s);
    const bool halves = s->group < CRIA_CHUNK;
    const tiles *direct = n > 1 ? direct_tiles(s, top) : NULL;
    struct cria_tile_plan plan;
    if (n == 1 && cria_matvec_plan_avx2(s, planes, &plan)) return plan;
    const uint32_t max_tokens = MAX_TOKENS / planes;
    /* Tiles of bytes have three vectors or more. */
    if (top > 63 || (n * planes <= 4 && !direct)) {
        const cria_tile_fn *one = halves ? halves_words : words[form_of(s)];
        return (struct cria_tile_plan){.one = one, .max_tokens = WORD_TOKENS, .words = true, .unpack = s->bits != 8};
    }
    if (direct && n * planes <= (planes == 1 ? FEW_VECTORS : 4)) /* of two planes there is no tile for the odd token */
        return (struct cria_tile_plan){.one = (*direct)[planes - 1], .max_tokens = 4 / planes};
    const tiles *bytes = halves      ? (top <= 31 ? &halves_depth4 : &halves_depth2)
                         : top <= 15 ? bytes_depth8[form_of(s)]
                         : top <= 31 ? bytes_depth4[form_of(s)]
                                     : bytes_depth2[form_of(s)];
    return (struct cria_tile_plan){.one = (*bytes)[planes - 1], .max_tokens = max_tokens, .unpack = true};
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales, unpack_chunks};

CRIA_MATMUL_Q(avx2, ops)
