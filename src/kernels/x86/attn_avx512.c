/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend for AVX-512. Queries go in tiles of up to 6, so that one load (and conversion) of K or V serves all
 * of a tile. A tile is rows × columns of accumulators, a column being 16 positions (scores) or 16 dimensions
 * (values): 6 × 4 of them, 4 columns of K or V and one query's number fit into the 32 registers.
 */
#include "kernels/inline.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>

enum { MAX_ROWS = 6, COLUMNS = 4 };

CRIA_INLINE __m512 load16(const void *p, size_t i, bool f16) {
    if (f16) return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)((const uint16_t *)p + i)));
    return _mm512_loadu_ps((const float *)p + i);
}

/* A sum of products over i: x[r][i] at x + r·ldx + i, and columns of 16 of y: column c of row i at y + i·step
 * + c·apart. */
struct operands {
    const float *x;
    size_t ldx;
    const void *y;
    size_t step, apart;
};

/* acc[r][c] = fma chain over i in [from, to). */
CRIA_INLINE void products(__m512 (*acc)[COLUMNS], const struct operands *s, size_t from, size_t to, int rows,
                          int columns, bool f16) {
    for (size_t i = from; i < to; i++) {
        __m512 y[COLUMNS];
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) y[c] = load16(s->y, i * s->step + (size_t)c * s->apart, f16);
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(s->x[(size_t)r * s->ldx + i]);
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) acc[r][c] = _mm512_fmadd_ps(x, y[c], acc[r][c]);
        }
    }
}

/* w[r] = the scores of all positions of the block. */
CRIA_INLINE void scores(const cria_attend *a, uint32_t row, float (*w)[CRIA_KV_BLOCK], int rows, bool f16) {
    const struct operands s = {a->q + row * a->ldq, a->ldq, a->k, 16, (size_t)a->e * 16};
    __m512 acc[MAX_ROWS][COLUMNS];
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int c = 0; c < COLUMNS; c++) acc[r][c] = _mm512_setzero_ps();
    }
    products(acc, &s, 0, a->e, rows, COLUMNS, f16);
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int c = 0; c < COLUMNS; c++) _mm512_storeu_ps(w[r] + 16 * c, acc[r][c]);
    }
}

static inline float max_of_lanes(__m512 v) {
    const __m256 m8 = _mm256_max_ps(_mm512_castps512_ps256(v), avx512_high(v));
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* One row's scores into weights; m and l. Lanes from n on become −inf, so their weights are 0. */
static void softmax(float *w, uint32_t n, float *c, float *m, float *l) {
    const uint32_t columns = (n + 15) / 16;
    __m512 top = _mm512_set1_ps(*m), sum = _mm512_setzero_ps();
    float *last = w + 16 * (columns - 1);
    _mm512_storeu_ps(last, _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), avx512_mask(n - 16 * (columns - 1)),
                                              _mm512_loadu_ps(last)));
    for (uint32_t i = 0; i < columns; i++) top = _mm512_max_ps(top, _mm512_loadu_ps(w + 16 * i));
    const float max = max_of_lanes(top) + 0.0f;
    const __m512 vmax = _mm512_set1_ps(max);
    for (uint32_t i = 0; i < columns; i++) {
        const __m512 e = avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(w + 16 * i), vmax));
        sum = _mm512_add_ps(sum, e);
        _mm512_storeu_ps(w + 16 * i, e);
    }
    *c = _mm_cvtss_f32(_mm512_castps512_ps128(avx512_exp(_mm512_sub_ps(_mm512_set1_ps(*m), vmax))));
    *l = fmaf(*l, *c, avx512_tree(sum));
    *m = max;
}

/* What one pass over the values does: o = o·c, then positions [from, to), for as many rows as w, c and o
 * have. */
struct pass {
    const void *v;
    size_t e;
    const float *w; /* [rows][CRIA_KV_BLOCK] */
    const float *c;
    size_t from, to;
    float *o;
    size_t ldo;
};

/* 16·columns dimensions from i on. */
CRIA_INLINE void mix(const struct pass *s, size_t i, int rows, int columns, bool f16) {
    const struct operands operands = {s->w, CRIA_KV_BLOCK, (const char *)s->v + i * (f16 ? 2 : 4), s->e, 16};
    __m512 acc[MAX_ROWS][COLUMNS];
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        const __m512 c = _mm512_set1_ps(s->c[r]);
        CRIA_UNROLL
        for (int j = 0; j < columns; j++)
            acc[r][j] = _mm512_mul_ps(_mm512_loadu_ps(s->o + (size_t)r * s->ldo + i + 16 * (size_t)j), c);
    }
    products(acc, &operands, s->from, s->to, rows, columns, f16);
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int j = 0; j < columns; j++)
            _mm512_storeu_ps(s->o + (size_t)r * s->ldo + i + 16 * (size_t)j, acc[r][j]);
    }
}

/* The last dims < 16 dimensions, from i on, of one row. */
static void mix_tail(const struct pass *s, size_t i, size_t dims, size_t row, bool f16) {
    const __mmask16 k = avx512_mask(dims);
    float *o = s->o + row * s->ldo + i;
    __m512 acc = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, o), _mm512_set1_ps(s->c[row]));
    for (size_t p = s->from; p < s->to; p++) {
        const size_t at = p * s->e + i;
        const __m512 v = f16 ? _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(k, (const uint16_t *)s->v + at))
                             : _mm512_maskz_loadu_ps(k, (const float *)s->v + at);
        acc = _mm512_fmadd_ps(_mm512_set1_ps(s->w[row * CRIA_KV_BLOCK + p]), v, acc);
    }
    _mm512_mask_storeu_ps(o, k, acc);
}

CRIA_INLINE void values(const struct pass *s, int rows, bool f16) {
    const size_t e = s->e;
    size_t i = 0;
    for (; i + 16 * COLUMNS <= e; i += 16 * COLUMNS) mix(s, i, rows, COLUMNS, f16);
    for (; i + 16 <= e; i += 16) mix(s, i, rows, 1, f16);
    for (size_t r = 0; i < e && r < (size_t)rows; r++) mix_tail(s, i, e - i, r, f16);
}

static void values_f16(const struct pass *s) { values(s, 1, true); }
static void values_f32(const struct pass *s) { values(s, 1, false); }

/* Rows of a tile see different numbers of positions where the mask is causal: together as far as all see,
 * then each. */
CRIA_INLINE void attend_tile(const cria_attend *a, uint32_t row, int rows, bool f16) {
    static const float one = 1.0f;
    float w[MAX_ROWS][CRIA_KV_BLOCK], c[MAX_ROWS];
    uint32_t least = CRIA_KV_BLOCK, most = 0;
    for (int r = 0; r < rows; r++) {
        const uint32_t n = a->visible[row + (uint32_t)r];
        if (n < least) least = n;
        if (n > most) most = n;
    }
    scores(a, row, w, rows, f16);
    for (uint32_t r = 0; r < (uint32_t)rows; r++)
        if (a->visible[row + r]) softmax(w[r], a->visible[row + r], &c[r], &a->m[row + r], &a->l[row + r]);
    struct pass s = {a->v, a->e, w[0], c, 0, least, a->o + row * a->ldo, a->ldo};
    if (least > 0) values(&s, rows, f16);
    if (least == most) return;
    s.from = least;
    for (uint32_t r = 0; r < (uint32_t)rows; r++) {
        s.to = a->visible[row + r];
        s.w = w[r];
        s.c = least > 0 ? &one : &c[r];
        s.o = a->o + (row + r) * a->ldo;
        if (s.to > s.from) (f16 ? values_f16 : values_f32)(&s);
    }
}

/* Functions of their own, not cases of a switch: there compilers merge what should stay constant. */
#define TILES(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define TILE(rows)                                                                                           \
    static void tile_f32_##rows(const cria_attend *a, uint32_t row) { attend_tile(a, row, rows, false); }    \
    static void tile_f16_##rows(const cria_attend *a, uint32_t row) { attend_tile(a, row, rows, true); }
TILES(TILE)
#define TILE_F32(rows) tile_f32_##rows,
#define TILE_F16(rows) tile_f16_##rows,
static void (*const tiles[2][MAX_ROWS])(const cria_attend *, uint32_t) = {{TILES(TILE_F32)},
                                                                          {TILES(TILE_F16)}};

/* Tiles as even as can be: 7 queries are 4 and 3. */
void cria_attend_avx512(const cria_attend *a) {
    uint32_t row = 0;
    for (uint32_t left = (a->n_q + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
        const uint32_t rows = (a->n_q - row + left - 1) / left;
        tiles[a->kv == CRIA_KV_ELEM_F16][rows - 1](a, row);
        row += rows;
    }
}
