/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend for NEON. Queries go in tiles of up to 6, so that one load (and conversion) of K or V serves all of
 * a tile. A tile is rows × columns of accumulators, a column being 4 positions (scores) or 4 dimensions
 * (values): at most 24 of them, with 4 columns of K or V and one query's number within the 32 registers.
 */
#include "base/half.h"
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/neon.h"
#include "kernels/inline.h"
#include <math.h>

enum { MAX_ROWS = 6, MAX_COLUMNS = 16 };

CRIA_INLINE int columns_for(int rows) { return rows == 1 ? 16 : rows == 2 ? 8 : 4; }

CRIA_INLINE float32x4_t load4(const void *p, size_t i, bool f16) {
    return f16 ? neon_load_f16((const uint16_t *)p + i) : vld1q_f32((const float *)p + i);
}

/* A sum of products over i: x[r][i] at x + r·ldx + i, and columns of 4 of y, in fours that are `apart`:
 * column c of row i at y + i·step + (c/4)·apart + (c%4)·4. */
struct operands {
    const float *x;
    size_t ldx;
    const void *y;
    size_t step, apart;
};

/* acc[r][c] = fma chain over i in [from, to). */
CRIA_INLINE void products(float32x4_t (*acc)[MAX_COLUMNS], const struct operands *s, size_t from, size_t to,
                          int rows, int columns, bool f16) {
    for (size_t i = from; i < to; i++) {
        CRIA_UNROLL
        for (int four = 0; four < columns; four += 4) {
            float32x4_t y[4];
            CRIA_UNROLL
            for (int c = 0; c < 4 && c < columns; c++)
                y[c] = load4(s->y, i * s->step + (size_t)(four / 4) * s->apart + (size_t)c * 4, f16);
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) {
                const float32x4_t x = vdupq_n_f32(s->x[(size_t)r * s->ldx + i]);
                CRIA_UNROLL
                for (int c = 0; c < 4 && c < columns; c++)
                    acc[r][four + c] = vfmaq_f32(acc[r][four + c], x, y[c]);
            }
        }
    }
}

/* w[r] = scores of all positions below most, in whole passes of columns. */
CRIA_INLINE void scores(const cria_attend *a, uint32_t row, uint32_t most, float (*w)[CRIA_KV_BLOCK],
                        int rows, bool f16) {
    const int columns = columns_for(rows);
    const size_t e = a->e, sixteen = e * 16;
    struct operands s = {a->q + row * a->ldq, a->ldq, a->k, 16, sixteen};
    for (uint32_t p = 0; p < most; p += 4 * (uint32_t)columns) {
        s.y = (const char *)a->k + p / 16 * sixteen * (f16 ? 2 : 4);
        float32x4_t acc[MAX_ROWS][MAX_COLUMNS];
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) acc[r][c] = vdupq_n_f32(0);
        }
        products(acc, &s, 0, e, rows, columns, f16);
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) vst1q_f32(w[r] + p + 4 * c, acc[r][c]);
        }
    }
}

/* One row's scores into weights; m and l. Lanes from n on become −inf, so their weights are 0. */
static void softmax(float *w, uint32_t n, float *c, float *m, float *l) {
    const uint32_t columns = (n + 3) / 4;
    float32x4_t top = vdupq_n_f32(*m),
                sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    for (uint32_t i = n; i < 4 * columns; i++) w[i] = -INFINITY;
    for (uint32_t i = 0; i < columns; i++) top = vmaxq_f32(top, vld1q_f32(w + 4 * i));
    const float max = vmaxvq_f32(top) + 0.0f;
    const float32x4_t vmax = vdupq_n_f32(max);
    for (uint32_t i = 0; i < columns; i++) {
        const float32x4_t e = neon_exp(vsubq_f32(vld1q_f32(w + 4 * i), vmax));
        sum[i % 4] = vaddq_f32(sum[i % 4], e);
        vst1q_f32(w + 4 * i, e);
    }
    *c = vgetq_lane_f32(neon_exp(vsubq_f32(vdupq_n_f32(*m), vmax)), 0);
    *l = fmaf(*l, *c, neon_tree(sum));
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

/* 4·columns dimensions from i on. */
CRIA_INLINE void mix(const struct pass *s, size_t i, int rows, int columns, bool f16) {
    const struct operands operands = {s->w, CRIA_KV_BLOCK, (const char *)s->v + i * (f16 ? 2 : 4), s->e, 16};
    float32x4_t acc[MAX_ROWS][MAX_COLUMNS];
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        const float32x4_t c = vdupq_n_f32(s->c[r]);
        CRIA_UNROLL
        for (int j = 0; j < columns; j++)
            acc[r][j] = vmulq_f32(vld1q_f32(s->o + (size_t)r * s->ldo + i + 4 * (size_t)j), c);
    }
    products(acc, &operands, s->from, s->to, rows, columns, f16);
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int j = 0; j < columns; j++) vst1q_f32(s->o + (size_t)r * s->ldo + i + 4 * (size_t)j, acc[r][j]);
    }
}

/* The last dims < 4 dimensions, from i on, of one row. */
static void mix_tail(const struct pass *s, size_t i, size_t dims, size_t row, bool f16) {
    for (size_t j = i; j < i + dims; j++) {
        float *o = s->o + row * s->ldo + j, acc = *o * s->c[row];
        for (size_t p = s->from; p < s->to; p++) {
            const size_t at = p * s->e + j;
            const float v = f16 ? cria_f16_to_f32(((const uint16_t *)s->v)[at]) : ((const float *)s->v)[at];
            acc = fmaf(s->w[row * CRIA_KV_BLOCK + p], v, acc);
        }
        *o = acc;
    }
}

CRIA_INLINE void values(const struct pass *s, int rows, bool f16) {
    const int columns = columns_for(rows);
    const size_t e = s->e, step = 4 * (size_t)columns;
    size_t i = 0;
    for (; i + step <= e; i += step) mix(s, i, rows, columns, f16);
    for (; i + 4 <= e; i += 4) mix(s, i, rows, 1, f16);
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
void cria_attend_neon(const cria_attend *a) {
    uint32_t row = 0;
    for (uint32_t left = (a->n_q + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
        const uint32_t rows = (a->n_q - row + left - 1) / left;
        tiles[a->kv == CRIA_KV_ELEM_F16][rows - 1](a, row);
        row += rows;
    }
}
