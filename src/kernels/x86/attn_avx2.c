/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend for AVX2. Queries go in tiles of up to 6, so that one load (and conversion) of K or V serves all of a tile. A tile
 * is rows × columns of accumulators, a column being 8 positions (scores) or 8 dimensions (values); the shapes below keep
 * them in the 16 registers with at least 8 independent chains.
 */
#include "kernels/x86/avx2.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

enum { MAX_ROWS = 6, MAX_COLUMNS = 8 };

AVX2_INLINE int columns_for(int rows) { return rows == 1 ? 8 : rows <= 3 ? 4 : 2; }

AVX2_INLINE __m256 load8(const void *p, size_t i, bool f16) {
    if (f16) return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)p + i)));
    return _mm256_loadu_ps((const float *)p + i);
}

/* The first n < 8 elements, zeros after them. */
AVX2_INLINE __m256 load_tail(const void *p, size_t i, size_t n, bool f16) {
    if (!f16) return _mm256_maskload_ps((const float *)p + i, avx2_mask(n));
    uint16_t h[8] = {0};
    memcpy(h, (const uint16_t *)p + i, n * sizeof *h);
    return load8(h, 0, true);
}

/* w[r] = scores of all positions below most, in whole passes of columns. */
AVX2_INLINE void scores(const cria_attend *a, uint32_t row, int rows, uint32_t most,
                        float (*w)[CRIA_KV_BLOCK], bool f16) {
    const int columns = columns_for(rows);
    const size_t e = a->e, ldq = a->ldq;
    for (uint32_t p = 0; p < most; p += 8 * (uint32_t)columns) {
        const float *q = a->q + row * ldq;
        const size_t k0 = p / 16 * e * 16;
        __m256 acc[MAX_ROWS][MAX_COLUMNS];
        AVX2_UNROLL
        for (int r = 0; r < rows; r++) {
            AVX2_UNROLL
            for (int c = 0; c < columns; c++) acc[r][c] = _mm256_setzero_ps();
        }
        for (size_t i = 0; i < e; i++) {
            AVX2_UNROLL
            for (int c = 0; c < columns; c++) {
                const __m256 k = load8(a->k, k0 + (size_t)(c / 2) * e * 16 + i * 16 + (size_t)(c % 2) * 8, f16);
                AVX2_UNROLL
                for (int r = 0; r < rows; r++)
                    acc[r][c] = _mm256_fmadd_ps(_mm256_broadcast_ss(q + (size_t)r * ldq + i), k, acc[r][c]);
            }
        }
        AVX2_UNROLL
        for (int r = 0; r < rows; r++) {
            AVX2_UNROLL
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

/* What one pass over the values does: o = o·c, then positions [from, to), for as many rows as w, c and o have. */
struct pass {
    const void *v;
    size_t e;
    const float (*w)[CRIA_KV_BLOCK];
    const float *c;
    uint32_t from, to;
    float *o;
    size_t ldo;
};

/* 8·columns dimensions from i on; or, with columns 1, the last dims < 8. */
AVX2_INLINE void mix(const struct pass *s, int rows, int columns, size_t i, size_t dims, bool f16) {
    const bool whole = dims == 8;
    const __m256i tail = avx2_mask(dims);
    const float *w = s->w[0];
    float *o = s->o + i;
    const size_t e = s->e, ldo = s->ldo;
    __m256 acc[MAX_ROWS][MAX_COLUMNS];
    AVX2_UNROLL
    for (int r = 0; r < rows; r++) {
        AVX2_UNROLL
        for (int j = 0; j < columns; j++) {
            const float *at = o + (size_t)r * ldo + 8 * j;
            const __m256 old = whole ? _mm256_loadu_ps(at) : _mm256_maskload_ps(at, tail);
            acc[r][j] = _mm256_mul_ps(old, _mm256_broadcast_ss(s->c + r));
        }
    }
    for (size_t p = s->from; p < s->to; p++) {
        AVX2_UNROLL
        for (int j = 0; j < columns; j++) {
            const size_t at = p * e + i + 8 * (size_t)j;
            const __m256 v = whole ? load8(s->v, at, f16) : load_tail(s->v, at, dims, f16);
            AVX2_UNROLL
            for (int r = 0; r < rows; r++)
                acc[r][j] = _mm256_fmadd_ps(_mm256_broadcast_ss(w + (size_t)r * CRIA_KV_BLOCK + p), v, acc[r][j]);
        }
    }
    AVX2_UNROLL
    for (int r = 0; r < rows; r++) {
        AVX2_UNROLL
        for (int j = 0; j < columns; j++) {
            float *at = o + (size_t)r * ldo + 8 * j;
            if (whole)
                _mm256_storeu_ps(at, acc[r][j]);
            else
                _mm256_maskstore_ps(at, tail, acc[r][j]);
        }
    }
}

AVX2_INLINE void values(const struct pass *s, int rows, bool f16) {
    const int columns = columns_for(rows);
    const size_t e = s->e, step = 8 * (size_t)columns;
    size_t i = 0;
    for (; i + step <= e; i += step) mix(s, rows, columns, i, 8, f16);
    for (; i + 8 <= e; i += 8) mix(s, rows, 1, i, 8, f16);
    if (i < e) mix(s, rows, 1, i, e - i, f16);
}

/* Rows of a tile see different numbers of positions where the mask is causal: together as far as all see, then each. */
AVX2_INLINE void attend_tile(const cria_attend *a, uint32_t row, int rows, bool f16) {
    static const float one = 1.0f;
    float w[MAX_ROWS][CRIA_KV_BLOCK], c[MAX_ROWS];
    uint32_t least = CRIA_KV_BLOCK, most = 0;
    for (int r = 0; r < rows; r++) {
        const uint32_t n = a->visible[row + (uint32_t)r];
        if (n < least) least = n;
        if (n > most) most = n;
    }
    scores(a, row, rows, most, w, f16);
    for (uint32_t r = 0; r < (uint32_t)rows; r++)
        if (a->visible[row + r]) softmax(w[r], a->visible[row + r], &c[r], &a->m[row + r], &a->l[row + r]);
    struct pass s = {a->v, a->e, (const float(*)[CRIA_KV_BLOCK])w, c, 0, least, a->o + row * a->ldo, a->ldo};
    if (least > 0) values(&s, rows, f16);
    if (least == most) return;
    s.from = least;
    for (uint32_t r = 0; r < (uint32_t)rows; r++) {
        s.to = a->visible[row + r];
        s.w = (const float(*)[CRIA_KV_BLOCK])&w[r];
        s.c = least > 0 ? &one : &c[r];
        s.o = a->o + (row + r) * a->ldo;
        if (s.to > s.from) values(&s, 1, f16);
    }
}

AVX2_INLINE void attend_rows(const cria_attend *a, uint32_t row, uint32_t rows, bool f16) {
    switch (rows) {
    case 1: attend_tile(a, row, 1, f16); break;
    case 2: attend_tile(a, row, 2, f16); break;
    case 3: attend_tile(a, row, 3, f16); break;
    case 4: attend_tile(a, row, 4, f16); break;
    case 5: attend_tile(a, row, 5, f16); break;
    default: attend_tile(a, row, 6, f16); break;
    }
}

/* Tiles as even as can be: 7 queries are 4 and 3. */
void cria_attend_avx2(const cria_attend *a) {
    uint32_t row = 0;
    for (uint32_t tiles = (a->n_q + MAX_ROWS - 1) / MAX_ROWS; tiles > 0; tiles--) {
        const uint32_t rows = (a->n_q - row + tiles - 1) / tiles;
        if (a->kv == CRIA_KV_ELEM_F16)
            attend_rows(a, row, rows, true);
        else
            attend_rows(a, row, rows, false);
        row += rows;
    }
}
