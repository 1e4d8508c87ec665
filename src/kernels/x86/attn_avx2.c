/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend for AVX2. Queries go in tiles of up to 6, so that one load (and conversion) of K or V serves all of
 * a tile. A tile is rows × columns of accumulators, a column being 8 positions (scores) or 8 dimensions
 * (values); the shapes below keep them in the 16 registers with at least 8 independent chains.
 */
#include "kernels/inline.h"
#include "kernels/x86/avx2.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

enum { MAX_ROWS = 6, MAX_COLUMNS = 8 };

CRIA_INLINE int columns_for(int rows) { return rows == 1 ? 8 : rows <= 3 ? 4 : 2; }

CRIA_INLINE __m256 load8(const void *p, size_t i, bool f16) {
    if (f16) return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)p + i)));
    return _mm256_loadu_ps((const float *)p + i);
}

/* A sum of products over i: x[r][i] at x + r·ldx + i, and columns of 8 of y, in pairs that are pair apart:
 * column c of row i at y + i·step + (c/2)·pair + (c%2)·8. */
struct operands {
    const float *x;
    size_t ldx;
    const void *y;
    size_t step, pair;
};

CRIA_INLINE __m256 load_x(const struct operands *s, int r, size_t i) {
    return _mm256_broadcast_ss(s->x + (size_t)r * s->ldx + i);
}
CRIA_INLINE __m256 load_y(const struct operands *s, int c, size_t i, bool f16) {
    return load8(s->y, i * s->step + (size_t)(c / 2) * s->pair + (size_t)(c % 2) * 8, f16);
}

/* acc[r][c] = fma chain over i in [from, to). The order of the loads decides what must be in registers at
 * once beside acc: all columns of y and one x, or all x and one column. */
CRIA_INLINE void products(__m256 (*acc)[MAX_COLUMNS], const struct operands *s, size_t from, size_t to,
                          int rows, int columns, bool f16) {
    for (size_t i = from; i < to; i++) {
        if (rows > columns) {
            __m256 y[MAX_COLUMNS];
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) y[c] = load_y(s, c, i, f16);
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) {
                const __m256 x = load_x(s, r, i);
                CRIA_UNROLL
                for (int c = 0; c < columns; c++) acc[r][c] = _mm256_fmadd_ps(x, y[c], acc[r][c]);
            }
        } else {
            __m256 x[MAX_ROWS];
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) x[r] = load_x(s, r, i);
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) {
                const __m256 y = load_y(s, c, i, f16);
                CRIA_UNROLL
                for (int r = 0; r < rows; r++) acc[r][c] = _mm256_fmadd_ps(x[r], y, acc[r][c]);
            }
        }
    }
}

/* w[r] = scores of all positions below most, in whole passes of columns. */
CRIA_INLINE void scores(const cria_attend *a, uint32_t row, uint32_t most, float (*w)[CRIA_KV_BLOCK],
                        int rows, bool f16) {
    const int columns = columns_for(rows);
    const size_t e = a->e, block = e * 16;
    struct operands s = {a->q + row * a->ldq, a->ldq, a->k, 16, block};
    for (uint32_t p = 0; p < most; p += 8 * (uint32_t)columns) {
        s.y = (const char *)a->k + p / 16 * block * (f16 ? 2 : 4);
        __m256 acc[MAX_ROWS][MAX_COLUMNS];
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) acc[r][c] = _mm256_setzero_ps();
        }
        products(acc, &s, 0, e, rows, columns, f16);
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) _mm256_storeu_ps(w[r] + p + 8 * c, acc[r][c]);
        }
    }
}

static inline float max_of_lanes(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* One row's scores into weights; m and l. Lanes from n on become −inf, so their weights are 0. */
static void softmax(float *w, uint32_t n, float *c, float *m, float *l) {
    const uint32_t columns = (n + 7) / 8;
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 top = _mm256_set1_ps(*m);
    float *last = w + 8 * (columns - 1);
    _mm256_storeu_ps(last, _mm256_blendv_ps(lowest, _mm256_loadu_ps(last),
                                            _mm256_castsi256_ps(avx2_mask(n - 8 * (columns - 1)))));
    for (uint32_t i = 0; i < columns; i++) top = _mm256_max_ps(top, _mm256_loadu_ps(w + 8 * i));
    const float max = max_of_lanes(top) + 0.0f;
    const __m256 vmax = _mm256_set1_ps(max);
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (uint32_t i = 0; i < columns; i++) {
        const __m256 e = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(w + 8 * i), vmax));
        sum[i % 2] = _mm256_add_ps(sum[i % 2], e);
        _mm256_storeu_ps(w + 8 * i, e);
    }
    *c = _mm256_cvtss_f32(avx2_exp(_mm256_sub_ps(_mm256_set1_ps(*m), vmax)));
    *l = fmaf(*l, *c, avx2_tree(sum[0], sum[1]));
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

/* 8·columns dimensions from i on. */
CRIA_INLINE void mix(const struct pass *s, size_t i, int rows, int columns, bool f16) {
    const struct operands operands = {s->w, CRIA_KV_BLOCK, (const char *)s->v + i * (f16 ? 2 : 4), s->e, 16};
    __m256 acc[MAX_ROWS][MAX_COLUMNS];
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        const __m256 c = _mm256_broadcast_ss(s->c + r);
        CRIA_UNROLL
        for (int j = 0; j < columns; j++)
            acc[r][j] = _mm256_mul_ps(_mm256_loadu_ps(s->o + (size_t)r * s->ldo + i + 8 * (size_t)j), c);
    }
    products(acc, &operands, s->from, s->to, rows, columns, f16);
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int j = 0; j < columns; j++)
            _mm256_storeu_ps(s->o + (size_t)r * s->ldo + i + 8 * (size_t)j, acc[r][j]);
    }
}

/* The last dims < 8 dimensions, from i on, of one row. Heads are multiples of 8 wide in all known models:
 * this is right, not fast. */
static void mix_tail(const struct pass *s, size_t i, size_t dims, size_t row, bool f16) {
    const __m256i tail = avx2_mask(dims);
    float *o = s->o + row * s->ldo + i;
    __m256 acc = _mm256_mul_ps(_mm256_maskload_ps(o, tail), _mm256_broadcast_ss(s->c + row));
    for (size_t p = s->from; p < s->to; p++) {
        float v[8] = {0};
        uint16_t h[8] = {0};
        if (f16)
            memcpy(h, (const uint16_t *)s->v + p * s->e + i, dims * sizeof *h);
        else
            memcpy(v, (const float *)s->v + p * s->e + i, dims * sizeof *v);
        acc = _mm256_fmadd_ps(_mm256_broadcast_ss(s->w + row * CRIA_KV_BLOCK + p),
                              f16 ? load8(h, 0, true) : load8(v, 0, false), acc);
    }
    _mm256_maskstore_ps(o, tail, acc);
}

CRIA_INLINE void values(const struct pass *s, int rows, bool f16) {
    const int columns = columns_for(rows);
    const size_t e = s->e, step = 8 * (size_t)columns;
    size_t i = 0;
    for (; i + step <= e; i += step) mix(s, i, rows, columns, f16);
    for (; i + 8 <= e; i += 8) mix(s, i, rows, 1, f16);
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
    scores(a, row, most, w, rows, f16);
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
void cria_attend_avx2(const cria_attend *a) {
    uint32_t row = 0;
    for (uint32_t left = (a->n_q + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
        const uint32_t rows = (a->n_q - row + left - 1) / left;
        tiles[a->kv == CRIA_KV_ELEM_F16][rows - 1](a, row);
        row += rows;
    }
}
