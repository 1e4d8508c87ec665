/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AVX2 (matmul_q of kernels.h).
 *
 * A tile is one row block (two registers of eight rows) against up to six tokens: twelve accumulators, two weights and
 * an activation fill the sixteen registers. Three ways to an exact I_j, told by the largest level of the matrix:
 *
 *     up to 63   vpmaddubsw, levels unsigned by activations signed. Its 16-bit sums of two products may be added up
 *                over `depth` steps without overflow: 2·128·15·8, 2·128·31·4 and 2·128·63·2 stay below 2^15. Two planes
 *                of activations are two products, 256·hi + lo.
 *     above      vpmaddwd, with levels and (both planes of) activations as 16-bit numbers: even inputs of a lane, then
 *                odd ones.
 *
 * Few tokens: codes are unpacked in registers, the matrix is read once. Many: codes of some row blocks are unpacked to
 * bytes in the scratch memory, where all tokens use them. Columns are taken in pieces of at most PIECE; between pieces
 * the running sums rest in y.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/unpack_avx2.h"

enum {
    PIECE = 4096,    /* columns; whole groups */
    MAX_TOKENS = 6,  /* of a tile */
    WIDE_TOKENS = 4, /* of a tile with 16-bit levels */
    MAX_BLOCKS = 8   /* unpacked at once */
};

/* A run of columns of one row block against the tokens of a tile. A unit is what one I_j sums: 32 inputs, or 16. */
struct span {
    const uint8_t *codes; /* packed, or levels as bytes */
    size_t chunk_bytes;
    uint32_t n_groups, units; /* units per group */
    const float *scales, *biases; /* [n_groups][16]; biases NULL when symmetric */
    int32_t zero;
    const uint8_t *levels; /* [16], where the tile unpacks codes that have them */
    const int8_t *q;       /* plane p of token t at q + (t·planes + p)·ldq */
    size_t ldq;
    const int16_t *pairs;  /* 16-bit activations: see make_pairs */
    size_t ldp;
    const float *d;        /* of 32 inputs */
    size_t ldd;
    const int32_t *sums;   /* of units */
    size_t lds;
    const float *u;        /* of groups, affine only */
    size_t ldu;
    float *y;
    size_t ldy;
    uint32_t rows; /* of the block, 1..16 */
    bool first;    /* sums start at 0, not at y */
};

typedef void (*tile_fn)(const struct span *s);

/* ---- One unit: I_j of 16 rows and T tokens ---------------------------------------------------------------------- */

INLINE __m256i broadcast4(const void *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}

/* Steps are taken in an order that uses a loaded vector of nibbles up before the next one. */
INLINE int nth_step(int i, int steps) { return steps == 8 ? i % 2 * 4 + i / 2 : i; }

/* dot[v][h] of n vectors q of 8-bit activations (tokens' planes) against the levels of the first `steps` steps. */
INLINE void dot_bytes(const struct span *s, const uint8_t *chunk, const int8_t *q, int bits, bool levels, int depth,
                      int steps, int n, __m256i dot[][2]) {
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
INLINE void dot_words(const struct span *s, const uint8_t *chunk, const int16_t *pairs, int steps, int n,
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
            }
        }
    }
}

/* ---- Tiles ------------------------------------------------------------------------------------------------------ */

INLINE __m256i row_mask(uint32_t rows, int h) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)rows - 8 * h), lane);
}

INLINE void store_y(const struct span *s, int n, __m256 acc[][2]) {
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

INLINE void load_y(const struct span *s, int n, __m256 acc[][2]) {
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int h = 0; h < 2; h++) {
            const float *y = s->y + (size_t)t * s->ldy + 8 * h;
            acc[t][h] = s->first ? _mm256_setzero_ps() : _mm256_maskload_ps(y, row_mask(s->rows, h));
        }
    }
}

/* All arguments but s are constants. bits 0: 16-bit activations and 8-bit levels. */
INLINE void tile(const struct span *s, int bits, bool levels, int depth, int steps, int planes, int n) {
    __m256 acc[MAX_TOKENS][2], t[MAX_TOKENS][2];
    load_y(s, n, acc);
    size_t unit = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        uint32_t j = 0;
        do {
            /* Only bytes come in units of half a chunk: 4 steps of 64 bytes. */
            const size_t chunk = unit * (size_t)steps / 8, half = unit * (size_t)steps % 8 / 4;
            const uint8_t *codes = s->codes + chunk * s->chunk_bytes + half * 256;
            __m256i dot[MAX_TOKENS][2];
            if (bits == 0)
                dot_words(s, codes, s->pairs + 32 * chunk + 8 * half, steps, n, dot);
            else
                dot_bytes(s, codes, s->q + 32 * chunk + 16 * half, bits, levels, depth, steps, n * planes, dot);
            UNROLL for (int v = 0; v < n; v++) {
                const __m256 d = _mm256_broadcast_ss(s->d + (size_t)v * s->ldd + chunk);
                UNROLL for (int h = 0; h < 2; h++) {
                    __m256i sum = dot[planes * v][h];
                    if (planes == 2) sum = _mm256_add_epi32(sum, _mm256_slli_epi32(dot[2 * v + 1][h], 8));
                    if (!s->biases) {
                        const __m256i a = broadcast4(s->sums + (size_t)v * s->lds + unit);
                        sum = _mm256_sub_epi32(sum, _mm256_mullo_epi32(a, _mm256_set1_epi32(s->zero)));
                    }
                    const __m256 f = _mm256_cvtepi32_ps(sum);
                    t[v][h] = j == 0 ? _mm256_mul_ps(f, d) : _mm256_fmadd_ps(f, d, t[v][h]);
                }
            }
            unit++;
        } while (++j < s->units);
        const __m256 scale[2] = {_mm256_load_ps(s->scales + 16 * g), _mm256_load_ps(s->scales + 16 * g + 8)};
        UNROLL for (int v = 0; v < n; v++)
            UNROLL for (int h = 0; h < 2; h++) acc[v][h] = _mm256_fmadd_ps(scale[h], t[v][h], acc[v][h]);
        if (!s->biases) continue;
        const __m256 bias[2] = {_mm256_load_ps(s->biases + 16 * g), _mm256_load_ps(s->biases + 16 * g + 8)};
        UNROLL for (int v = 0; v < n; v++) {
            const __m256 u = _mm256_broadcast_ss(s->u + (size_t)v * s->ldu + g);
            UNROLL for (int h = 0; h < 2; h++) acc[v][h] = _mm256_fmadd_ps(bias[h], u, acc[v][h]);
        }
    }
    store_y(s, n, acc);
}

#define TILE(name, bits, levels, depth, steps, planes, n)                                                              \
    static void name(const struct span *s) { tile(s, bits, levels, depth, steps, planes, n); }

/* Codes unpacked in registers, units of 32: [planes − 1][tokens − 1] up to four vectors. */
#define DIRECT(name, bits, levels, depth)                                                                              \
    TILE(name##_11, bits, levels, depth, 8, 1, 1)                                                                      \
    TILE(name##_12, bits, levels, depth, 8, 1, 2)                                                                      \
    TILE(name##_13, bits, levels, depth, 8, 1, 3)                                                                      \
    TILE(name##_14, bits, levels, depth, 8, 1, 4)                                                                      \
    TILE(name##_21, bits, levels, depth, 8, 2, 1)                                                                      \
    TILE(name##_22, bits, levels, depth, 8, 2, 2)                                                                      \
    static const tile_fn name[2][4] = {{name##_11, name##_12, name##_13, name##_14}, {name##_21, name##_22}};

DIRECT(direct2, 2, false, 8)
DIRECT(direct3, 3, false, 8)
DIRECT(direct4, 4, false, 8)
DIRECT(direct4_levels, 4, true, 4)
DIRECT(direct5, 5, false, 4)
DIRECT(direct6, 6, false, 2)

/* Levels as bytes: [planes − 1][tokens − 1] up to six vectors. */
#define BYTES(name, depth, steps)                                                                                      \
    TILE(name##_11, 8, false, depth, steps, 1, 1)                                                                      \
    TILE(name##_12, 8, false, depth, steps, 1, 2)                                                                      \
    TILE(name##_13, 8, false, depth, steps, 1, 3)                                                                      \
    TILE(name##_14, 8, false, depth, steps, 1, 4)                                                                      \
    TILE(name##_15, 8, false, depth, steps, 1, 5)                                                                      \
    TILE(name##_16, 8, false, depth, steps, 1, 6)                                                                      \
    TILE(name##_21, 8, false, depth, steps, 2, 1)                                                                      \
    TILE(name##_22, 8, false, depth, steps, 2, 2)                                                                      \
    TILE(name##_23, 8, false, depth, steps, 2, 3)                                                                      \
    static const tile_fn name[2][6] = {{name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},             \
                                       {name##_21, name##_22, name##_23}};

BYTES(bytes_depth8, 8, 8)
BYTES(bytes_depth4, 4, 8)
BYTES(bytes_depth2, 2, 8)
BYTES(halves_depth4, 4, 4) /* units of 16 */
BYTES(halves_depth2, 2, 4)

/* 16-bit activations and levels: [tokens − 1]. */
#define WORDS(name, steps)                                                                                             \
    TILE(name##_1, 0, false, 0, steps, 1, 1)                                                                           \
    TILE(name##_2, 0, false, 0, steps, 1, 2)                                                                           \
    TILE(name##_3, 0, false, 0, steps, 1, 3)                                                                           \
    TILE(name##_4, 0, false, 0, steps, 1, 4)                                                                           \
    static const tile_fn name[WIDE_TOKENS] = {name##_1, name##_2, name##_3, name##_4};

WORDS(words, 8)
WORDS(halves_words, 4)

/* ---- Choosing --------------------------------------------------------------------------------------------------- */

/* How a call goes about it. */
struct plan {
    const tile_fn *tiles; /* [tokens − 1] */
    uint32_t max_tokens;  /* of a tile */
    bool words;           /* activations as 16-bit pairs */
    bool unpack;          /* codes to bytes first */
};

static uint32_t max_level(const cria_matrix_spec *s) {
    uint32_t max = 0;
    if (!s->levels) return (1u << s->bits) - 1;
    for (uint32_t c = 0; c < 1u << s->bits; c++) max = s->levels[c] > max ? s->levels[c] : max;
    return max;
}

static const tile_fn *direct_tiles(const cria_matrix_spec *s, uint32_t top, uint32_t planes) {
    if (s->levels) return s->bits == 4 && top <= 31 ? direct4_levels[planes - 1] : NULL;
    switch (s->bits) {
    case 2: return direct2[planes - 1];
    case 3: return direct3[planes - 1];
    case 4: return direct4[planes - 1];
    case 5: return direct5[planes - 1];
    case 6: return direct6[planes - 1];
    default: return NULL;
    }
}

static struct plan make_plan(const cria_matrix_spec *s, const cria_act *x) {
    const uint32_t top = max_level(s);
    const bool halves = s->group < CRIA_CHUNK;
    if (top > 63) {
        const tile_fn *tiles = halves ? halves_words : words;
        return (struct plan){tiles, WIDE_TOKENS, true, s->bits != 8};
    }
    const tile_fn *direct = direct_tiles(s, top, x->planes);
    if (!halves && x->n * x->planes <= 4 && direct) return (struct plan){direct, 4 / x->planes, false, false};
    const tile_fn *tiles = halves      ? (top <= 31 ? halves_depth4 : halves_depth2)[x->planes - 1]
                           : top <= 15 ? bytes_depth8[x->planes - 1]
                           : top <= 31 ? bytes_depth4[x->planes - 1]
                                       : bytes_depth2[x->planes - 1];
    return (struct plan){tiles, MAX_TOKENS / x->planes, false, true};
}

/* ---- Activations ------------------------------------------------------------------------------------------------ */

/* 32 inputs (columns 4s..4s+3 in 32-bit lane s) as 16-bit numbers: inputs 4s and 4s+2 of lane s to pairs[2s], then
 * inputs 4s+1 and 4s+3 to pairs[16 + 2s]. */
static void make_pairs(const cria_act *x, uint32_t t, size_t k, uint32_t n_chunks, int16_t *pairs) {
    const int8_t *lo = x->q + (size_t)t * x->planes * x->ldq + k;
    for (uint32_t c = 0; c < n_chunks; c++, lo += 32, pairs += 32) {
        const __m256i v = load256(lo);
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8), odd = _mm256_srai_epi16(v, 8);
        if (x->planes == 2) {
            const __m256i hi = load256(lo + x->ldq);
            even = _mm256_add_epi16(even, _mm256_slli_epi16(hi, 8));
            odd = _mm256_add_epi16(odd, _mm256_and_si256(hi, _mm256_set1_epi16((short)0xff00)));
        }
        _mm256_store_si256((__m256i *)pairs, even);
        _mm256_store_si256((__m256i *)(pairs + 16), odd);
    }
}

/* Sums of 16 inputs each. */
static void make_half_sums(const cria_act *x, uint32_t t, size_t k, uint32_t n_chunks, int32_t *sums) {
    const int8_t *lo = x->q + (size_t)t * x->planes * x->ldq + k;
    for (uint32_t i = 0; i < 2 * n_chunks; i++, lo += 16) {
        int32_t sum = 0, high = 0;
        for (int j = 0; j < 16; j++) sum += lo[j];
        if (x->planes == 2)
            for (int j = 0; j < 16; j++) high += lo[x->ldq + (size_t)j];
        sums[i] = sum + 256 * high;
    }
}

/* ---- The product ------------------------------------------------------------------------------------------------ */

/* What a worker keeps in its scratch memory. */
struct scratch {
    int32_t half_sums[MAX_TOKENS][PIECE / 16];
    int16_t pairs[WIDE_TOKENS][PIECE];
    uint8_t blocks[(384u << 10)]; /* per row block: scales, biases, levels as bytes */
};
_Static_assert(sizeof(struct scratch) <= CRIA_MATMUL_SCRATCH, "the scratch memory is too small");

/* Row blocks that are unpacked together, and where their parts lie. */
struct panel {
    uint32_t n_chunks, n_groups; /* of the piece */
    size_t bias_offset, codes_offset, block_bytes;
    uint32_t max_blocks;
};

static struct panel make_panel(const cria_matrix *w, const struct plan *plan, uint32_t n_chunks) {
    struct panel p = {.n_chunks = n_chunks, .n_groups = n_chunks * CRIA_CHUNK / w->spec.group};
    p.bias_offset = (size_t)p.n_groups * CRIA_ROWS * sizeof(float);
    p.codes_offset = p.bias_offset * (w->spec.affine ? 2 : 1);
    p.block_bytes = p.codes_offset + (plan->unpack ? (size_t)n_chunks * 512 : 0);
    const size_t fit = sizeof(((struct scratch *)0)->blocks) / p.block_bytes;
    const uint32_t most = plan->unpack || plan->words ? MAX_BLOCKS : 1;
    p.max_blocks = fit < most ? (uint32_t)fit : most;
    return p;
}

static void unpack_block(const cria_matrix *w, const struct plan *plan, const struct panel *p, uint32_t block,
                         uint32_t chunk0, uint8_t *dst) {
    const cria_matrix_spec *s = &w->spec;
    const uint8_t *src = w->data + block * w->block_bytes;
    const size_t n = (size_t)p->n_groups * CRIA_ROWS;
    const size_t skip = (size_t)chunk0 * CRIA_CHUNK / s->group * (w->bias_offset / w->n_groups);
    unpack_scales(s->scale_type, src + skip, n, s->scale_factor, (float *)dst);
    if (s->affine) unpack_scales(s->scale_type, src + w->bias_offset + skip, n, 1.0f, (float *)(dst + p->bias_offset));
    if (plan->unpack)
        unpack_chunks(w, src + w->codes_offset + chunk0 * w->chunk_bytes, p->n_chunks, dst + p->codes_offset);
}

/* Everything of a span that depends on the tokens t0.. alone. */
static struct span token_span(const cria_matrix *w, const cria_act *x, const struct plan *plan, const struct panel *p,
                              uint32_t t0, uint32_t n, uint32_t chunk0, struct scratch *scratch) {
    const size_t k = (size_t)chunk0 * CRIA_CHUNK;
    struct span s = {.n_groups = p->n_groups,
                     .units = w->spec.group < CRIA_CHUNK ? 1 : w->spec.group / CRIA_CHUNK,
                     .zero = w->spec.zero,
                     .levels = w->spec.levels,
                     .q = x->q + (size_t)t0 * x->planes * x->ldq + k,
                     .ldq = x->ldq,
                     .pairs = scratch->pairs[0],
                     .ldp = PIECE,
                     .d = x->d + t0 * x->ldd + chunk0,
                     .ldd = x->ldd,
                     .sums = x->sum + t0 * x->ldd + chunk0,
                     .lds = x->ldd,
                     .first = chunk0 == 0};
    if (w->spec.affine) {
        s.u = x->u + t0 * x->ldu + k / w->spec.group;
        s.ldu = x->ldu;
    }
    if (plan->words)
        for (uint32_t t = 0; t < n; t++) make_pairs(x, t0 + t, k, p->n_chunks, scratch->pairs[t]);
    if (w->spec.group < CRIA_CHUNK) {
        for (uint32_t t = 0; t < n; t++) make_half_sums(x, t0 + t, k, p->n_chunks, scratch->half_sums[t]);
        s.sums = scratch->half_sums[0];
        s.lds = PIECE / 16;
    }
    return s;
}

/* Columns of n_chunks chunks from chunk0: adds to y, or starts it. */
static void piece_product(const cria_matrix *w, const cria_act *x, const struct plan *plan, float *y, size_t ldy,
                          uint32_t block0, uint32_t block1, uint32_t chunk0, uint32_t n_chunks,
                          struct scratch *scratch) {
    const struct panel panel = make_panel(w, plan, n_chunks);
    for (uint32_t b0 = block0, n_blocks; b0 < block1; b0 += n_blocks) {
        n_blocks = block1 - b0 < panel.max_blocks ? block1 - b0 : panel.max_blocks;
        for (uint32_t i = 0; i < n_blocks; i++)
            unpack_block(w, plan, &panel, b0 + i, chunk0, scratch->blocks + i * panel.block_bytes);
        for (uint32_t t0 = 0, n; t0 < x->n; t0 += n) {
            n = x->n - t0 < plan->max_tokens ? x->n - t0 : plan->max_tokens;
            struct span s = token_span(w, x, plan, &panel, t0, n, chunk0, scratch);
            for (uint32_t i = 0; i < n_blocks; i++) {
                const uint8_t *unpacked = scratch->blocks + i * panel.block_bytes;
                const uint32_t row = (b0 + i) * CRIA_ROWS;
                s.scales = (const float *)unpacked;
                s.biases = w->spec.affine ? (const float *)(unpacked + panel.bias_offset) : NULL;
                s.codes = plan->unpack ? unpacked + panel.codes_offset
                                       : w->data + (b0 + i) * w->block_bytes + w->codes_offset + chunk0 * w->chunk_bytes;
                s.chunk_bytes = plan->unpack ? 512 : w->chunk_bytes;
                s.rows = w->spec.rows - row < CRIA_ROWS ? w->spec.rows - row : CRIA_ROWS;
                s.y = y + t0 * ldy + row;
                s.ldy = ldy;
                plan->tiles[n - 1](&s);
            }
        }
    }
}

void cria_matmul_q_avx2(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, uint32_t block0, uint32_t block1,
                        void *scratch) {
    if (x->n == 0) return;
    const struct plan plan = make_plan(&w->spec, x);
    const uint32_t all = w->n_chunks, most = PIECE / CRIA_CHUNK;
    const uint32_t n_pieces = (all + most - 1) / most;
    const uint32_t piece = ((all + n_pieces - 1) / n_pieces + 3) & ~3u; /* four chunks are whole groups of any size */
    for (uint32_t c = 0; c < all; c += piece)
        piece_product(w, x, &plan, y, ldy, block0, block1, c, all - c < piece ? all - c : piece, scratch);
}
