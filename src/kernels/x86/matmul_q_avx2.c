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
 * Above, and where more than a few tokens have two planes: vpmaddwd, with levels and activations (both planes at once)
 * as 16-bit numbers, inputs 0 and 2 of a lane and then 1 and 3. Against two planes of bytes that is 31 operations for
 * 256 products in place of 33.
 */
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/matmul_q_avx2.h"

enum {
    MAX_TOKENS = CRIA_TILE_TOKENS,
    /* For which it does not pay to unpack codes in a pass of its own: */
    FEW_TOKENS = 16,
    FEW_OF_WHOLE_CODES = 32, /* of 4 or 8 bits */
    FEW_OF_TWO_PLANES = 9
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

/* Whether a tile's sums are (CRIA_BIAS): of all plans and of their tiles, which have more than one token if the product
 * does. */
INLINE bool biased(enum form form, int planes, int n) { return form != FORM_ANY && planes == 1 && n > 1; }

/* What a unit's integer sums of token t do to the token's sums. n is the tile's number of tokens; t, n and form
 * are constants, as are all ints and bools below that are no part of s or u. */
INLINE void finish_token(const struct cria_tile *s, const struct unit *u, enum form form, int planes, int n, int t,
                         const __m256i dot[2], struct sums *sums) {
    const bool affine = form == FORM_ANY ? s->affine : form & FORM_AFFINE;
    const bool alone = form & FORM_ALONE;
    const bool from_bias = u->first && biased(form, planes, n);
    const __m256 d = _mm256_broadcast_ss(s->d + u->chunk * (size_t)n + t);
    UNROLL for (int h = 0; h < 2; h++) {
        __m256i whole = dot[h];
        if (!affine)
            whole = _mm256_add_epi32(whole, broadcast4(s->start + u->index * (size_t)n + t));
        else if (from_bias)
            whole = _mm256_add_epi32(whole, _mm256_set1_epi32(CRIA_BIAS_BITS));
        __m256 f;
        if (from_bias)
            f = _mm256_fmadd_ps(as_floats(whole), d, _mm256_broadcast_ss(s->minus + u->chunk * (size_t)n + t));
        else if (alone)
            f = _mm256_mul_ps(_mm256_cvtepi32_ps(whole), d);
        else
            f = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), d,
                                _mm256_load_ps((u->first ? minus_zeros[t] : sums->group[t]) + 8 * h));
        if (!u->last) {
            _mm256_store_ps(sums->group[t] + 8 * h, f);
            continue;
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
    const __m256i weight[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(256)}; /* of planes */
    const __m256i table = levels ? load_levels(s->levels) : weight[0];
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
                    const __m256i part = _mm256_madd_epi16(sum[v][h], weight[p]);
                    dot[v][h] = i < depth ? part : _mm256_add_epi32(dot[v][h], part);
                }
            }
            if (i != u.steps - 1) continue;
            if (planes == 2) {
                UNROLL for (int h = 0; h < 2; h++) dot[2 * t][h] =
                    _mm256_add_epi32(dot[2 * t][h], dot[2 * t + 1][h]);
            }
            finish_token(s, &u, form, planes, n, t, dot[planes * t], sums);
        }
    }
}

/* Levels of up to 255, 16-bit activations; levels as they are unpacked (`wide`), or codes of eight bits. */
INLINE void unit_words(const struct cria_tile *s, struct unit u, bool wide, enum form form, int planes, int n,
                       struct sums *sums) {
    const uint8_t *codes = s->codes + u.chunk * (wide ? CRIA_WORDS_CHUNK : CRIA_BYTES_CHUNK);
    const int16_t *pairs = s->pairs + CRIA_CHUNK * u.chunk * (size_t)n;
    __m256i dot[MAX_TOKENS][2];
    if (n == 1 && !wide) cria_ask(&s->stream, u.chunk, 8, u.from, 0, u.steps, 0);
    UNROLL for (int i = 0; i < 2 * u.steps; i++) {
        const int step = u.from + i / 2, odd = i % 2;
        __m256i w[2];
        UNROLL for (int h = 0; h < 2; h++) {
            w[h] = load256(codes + (wide ? 128 * step + 64 * odd : 64 * step) + 32 * h);
            if (!wide) w[h] = odd ? _mm256_srli_epi16(w[h], 8) : _mm256_and_si256(w[h], _mm256_set1_epi16(255));
        }
        UNROLL for (int t = 0; t < n; t++) {
            const __m256i a = broadcast4(pairs + 2 * ((size_t)(2 * step + odd) * (size_t)n + (size_t)t));
            UNROLL for (int h = 0; h < 2; h++) {
                const __m256i product = _mm256_madd_epi16(w[h], a);
                dot[t][h] = i == 0 ? product : _mm256_add_epi32(dot[t][h], product);
                hold(&dot[t][h]);
            }
            if (i == 2 * u.steps - 1) finish_token(s, &u, form, planes, n, t, dot[t], sums);
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

INLINE void load_sums(const struct cria_tile *s, int n, struct sums *sums) {
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int h = 0; h < 2; h++) {
            _mm256_store_ps(sums->acc[t] + 8 * h,
                            s->first ? _mm256_setzero_ps()
                                     : _mm256_maskload_ps(s->sums + CRIA_TILE_ROWS * t + 8 * h, row_mask(s->rows, h)));
        }
    }
}

enum { CODES_TO_WORDS = 0, WORDS = 16 }; /* in place of bits: activations as words, levels codes of 8 bits or words */

INLINE void unit(const struct cria_tile *s, struct unit u, int bits, bool levels, int depth, enum form form,
                 int planes, int n, struct sums *sums) {
    if (bits == CODES_TO_WORDS || bits == WORDS)
        unit_words(s, u, bits == WORDS, form, planes, n, sums);
    else
        unit_bytes(s, u, bits, levels, depth, form, planes, n, sums);
}

INLINE void tile(const struct cria_tile *s, int bits, bool levels, int depth, bool halves, enum form form,
                 int planes, int n) {
    struct sums sums;
    load_sums(s, n, &sums);
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

/* Tiles of a kind. */
struct tiles {
    cria_tile_fn of[2][MAX_TOKENS]; /* [planes − 1][tokens − 1] */
    enum form form;
};

/* Codes unpacked in registers: up to four vectors. */
#define DIRECT(name, bits, levels, depth, halves, form)                                                      \
    TILE(name##_12, bits, levels, depth, halves, form, 1, 2)                                                 \
    TILE(name##_13, bits, levels, depth, halves, form, 1, 3)                                                 \
    TILE(name##_14, bits, levels, depth, halves, form, 1, 4)                                                 \
    TILE(name##_22, bits, levels, depth, halves, form, 2, 2)                                                 \
    TILE(name##_23, bits, levels, depth, halves, form, 2, 3)                                                 \
    static const struct tiles name = {{{NULL, name##_12, name##_13, name##_14},                              \
                                       {NULL, name##_22, name##_23}},                                        \
                                      form};

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
static const struct tiles *const direct4[FORMS] = {&direct4_0, &direct4_1, &direct4_2, &direct4_3};

/* Levels as bytes: more vectors than that, up to six. */
#define BYTES(name, depth, halves, form)                                                                     \
    TILE(name##_13, 8, false, depth, halves, form, 1, 3)                                                     \
    TILE(name##_14, 8, false, depth, halves, form, 1, 4)                                                     \
    TILE(name##_15, 8, false, depth, halves, form, 1, 5)                                                     \
    TILE(name##_16, 8, false, depth, halves, form, 1, 6)                                                     \
    static const struct tiles name = {{{NULL, NULL, name##_13, name##_14, name##_15, name##_16}}, form};

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
static const struct tiles *const bytes_depth8[FORMS] = {&bytes_depth8_0, &bytes_depth8_1,
                                                        &bytes_depth8_2, &bytes_depth8_3};
static const struct tiles *const bytes_depth4[FORMS] = {&bytes_depth4_0, &bytes_depth4_1,
                                                        &bytes_depth4_2, &bytes_depth4_3};
static const struct tiles *const bytes_depth2[FORMS] = {&bytes_depth2_0, &bytes_depth2_1,
                                                        &bytes_depth2_0, &bytes_depth2_0};

/* 16-bit activations. */
#define WORD_TILES(name, bits, halves, form)                                                                 \
    TILE(name##_11, bits, false, 0, halves, form, 1, 1)                                                      \
    TILE(name##_12, bits, false, 0, halves, form, 1, 2)                                                      \
    TILE(name##_13, bits, false, 0, halves, form, 1, 3)                                                      \
    TILE(name##_14, bits, false, 0, halves, form, 1, 4)                                                      \
    TILE(name##_15, bits, false, 0, halves, form, 1, 5)                                                      \
    TILE(name##_16, bits, false, 0, halves, form, 1, 6)                                                      \
    TILE(name##_22, bits, false, 0, halves, form, 2, 2)                                                      \
    TILE(name##_23, bits, false, 0, halves, form, 2, 3)                                                      \
    TILE(name##_24, bits, false, 0, halves, form, 2, 4)                                                      \
    TILE(name##_25, bits, false, 0, halves, form, 2, 5)                                                      \
    TILE(name##_26, bits, false, 0, halves, form, 2, 6)                                                      \
    static const struct tiles name = {{{name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},   \
                                       {name##_11, name##_22, name##_23, name##_24, name##_25, name##_26}},  \
                                      form};

WORD_TILES(codes_to_words_0, CODES_TO_WORDS, false, 0)
WORD_TILES(codes_to_words_1, CODES_TO_WORDS, false, 1)
WORD_TILES(codes_to_words_2, CODES_TO_WORDS, false, 2)
WORD_TILES(words_0, WORDS, false, 0)
WORD_TILES(words_1, WORDS, false, 1)
WORD_TILES(words_2, WORDS, false, 2)
WORD_TILES(words_3, WORDS, false, 3)
WORD_TILES(halves_words, WORDS, true, 0)
static const struct tiles *const codes_to_words[FORMS] = {&codes_to_words_0, &codes_to_words_1,
                                                          &codes_to_words_2, &codes_to_words_0};
static const struct tiles *const words[FORMS] = {&words_0, &words_1, &words_2, &words_3};

/* ---- Choosing ---- */

static enum form form_of(const cria_matrix_spec *s) {
    return (enum form)((s->affine ? FORM_AFFINE : 0) | (s->group == CRIA_CHUNK ? FORM_ALONE : 0));
}

/* NULL where few tokens, too, take levels as bytes. */
static const struct tiles *direct_tiles(const cria_matrix_spec *s, uint32_t top) {
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
    const enum form form = form_of(s);
    const uint32_t few = s->bits == 4 || s->bits == 8 ? FEW_OF_WHOLE_CODES : FEW_TOKENS;
    const struct tiles *direct = n > 1 ? direct_tiles(s, top) : NULL, *tiles;
    struct cria_tile_plan plan = {.max_tokens = MAX_TOKENS};
    if (n == 1 && cria_matvec_plan_avx2(s, planes, &plan)) return plan;
    if (direct && n <= (planes == 1 ? few : FEW_OF_TWO_PLANES)) {
        tiles = direct;
        plan.max_tokens = planes == 1 ? 4 : 3;
    } else if (top <= 63 && planes == 1 && n > 4) { /* tiles of bytes have three tokens or more */
        tiles = halves      ? (top <= 31 ? &halves_depth4 : &halves_depth2)
                : top <= 15 ? bytes_depth8[form]
                : top <= 31 ? bytes_depth4[form]
                            : bytes_depth2[form];
        plan.unpack = unpack_chunks;
    } else if (s->bits == 8 && !halves && n <= few) {
        tiles = codes_to_words[form];
        plan.words = true;
    } else {
        tiles = halves ? &halves_words : words[form];
        plan.words = true;
        plan.unpack = unpack_words;
        plan.wide = true;
    }
    plan.one = tiles->of[planes - 1];
    plan.biased = biased(tiles->form, (int)planes, (int)n);
    return plan;
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales};

CRIA_MATMUL_Q(avx2, ops)
