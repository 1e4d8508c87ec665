/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend for AVX-512. Queries go in tiles, so that one load (and conversion) of K or V serves all of a tile. A tile
 * is rows × columns of accumulators, a column being 16 positions (scores) or 16 dimensions (values): 6 × 4 or 12 × 2
 * of them, as many columns of K or V and one query's number fit into the 32 registers. 12 × 2 need half as many
 * conversions and more loads; floats have no conversions.
 *
 * I8 walks over pairs of dimensions (scores) or of positions (values): a lane's 32 bits of x are two int16, y's two
 * int8 are widened to that, and one vpdpwssd does the work of two vfmadd; without VNNI, vpmaddwd and vpaddd do.
 * attn_avx512vnni.c includes this file with ATTEND and ATTEND_VNNI defined.
 */
#include "kernels/inline.h"
#include "kernels/x86/avx2.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

#if !defined(ATTEND)
#define ATTEND cria_attend_avx512
#define ATTEND_VNNI 0
#endif

enum { MAX_ROWS = 12, MAX_COLUMNS = 4, ASK_EVERY = 4 };
enum { F16 = CRIA_KV_ELEM_F16, F32 = CRIA_KV_ELEM_F32, I8 = CRIA_KV_ELEM_I8 };

/* Rows that a tile may have, and columns that it takes at once. */
CRIA_INLINE uint32_t most_rows(int kv) { return kv == F32 ? 6 : MAX_ROWS; }
CRIA_INLINE int columns_of(int rows) { return rows > 6 ? 2 : MAX_COLUMNS; }

/* Bytes of one lane's number or pair, and of a column of 16. */
CRIA_INLINE size_t lane_bytes(int kv) { return kv == F32 ? 4 : 2; }
CRIA_INLINE size_t column_bytes(int kv) { return 16 * lane_bytes(kv); }

/* A sum of products over i: 32 bits x[r][i] at x + r·ldx + 4i, and columns of y: column c of row i at y + i·step +
 * c·apart. All in bytes. */
struct operands {
    const char *x;
    size_t ldx;
    const char *y;
    size_t step, apart;
};

CRIA_INLINE __m512 load_x(const struct operands *s, int r, size_t i) {
    float x;
    memcpy(&x, s->x + (size_t)r * s->ldx + 4 * i, sizeof x);
    return _mm512_set1_ps(x);
}

CRIA_INLINE __m512 load_y(const struct operands *s, int c, size_t i, int kv) {
    const char *y = s->y + i * s->step + (size_t)c * s->apart;
    if (kv == F32) return _mm512_loadu_ps((const float *)(const void *)y);
    const __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)y);
    return kv == F16 ? _mm512_cvtph_ps(half) : _mm512_castsi512_ps(_mm512_cvtepi8_epi16(half));
}

CRIA_INLINE __m512 multiply_add(__m512 x, __m512 y, __m512 acc, int kv) {
    if (kv != I8) return _mm512_fmadd_ps(x, y, acc);
    const __m512i sum = _mm512_castps_si512(acc), a = _mm512_castps_si512(x), b = _mm512_castps_si512(y);
#if ATTEND_VNNI
    return _mm512_castsi512_ps(_mm512_dpwssd_epi32(sum, a, b));
#else
    return _mm512_castsi512_ps(_mm512_add_epi32(sum, _mm512_madd_epi16(a, b)));
#endif
}

/* acc[r][c] grows by the products of i in [from, to), ascending. */
CRIA_INLINE void products(__m512 (*acc)[MAX_COLUMNS], const struct operands *s, size_t from, size_t to, int rows,
                          int columns, int kv, struct cria_ahead *ahead) {
    for (size_t i = from; i < to; i++) {
        if (i % ASK_EVERY == 0) cria_ahead_ask(ahead);
        __m512 y[MAX_COLUMNS];
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) y[c] = load_y(s, c, i, kv);
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m512 x = load_x(s, r, i);
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) acc[r][c] = multiply_add(x, y[c], acc[r][c], kv);
        }
    }
}

CRIA_INLINE void clear(__m512 (*acc)[MAX_COLUMNS], int rows, int columns) {
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) acc[r][c] = _mm512_setzero_ps();
    }
}

/* The scales behind the integers of an I8 array. */
static inline const float *scales(const void *array, size_t e) {
    return (const float *)(const void *)((const char *)array + CRIA_KV_BLOCK * e);
}

/* w[r] = the scores of all positions of the block. */
CRIA_INLINE void scores(const cria_attend *a, uint32_t row, float (*w)[CRIA_KV_BLOCK],
                        struct cria_ahead *ahead, int rows, int kv) {
    const size_t e = a->e;
    const int columns = columns_of(rows);
    struct operands s = {.y = a->k, .step = column_bytes(kv), .apart = kv == I8 ? 16 * e : 16 * e * lane_bytes(kv)};
    s.x = kv == I8 ? (const char *)(a->qi + row * a->ldq) : (const char *)(a->q + row * a->ldq);
    s.ldx = a->ldq * (kv == I8 ? sizeof *a->qi : sizeof *a->q);
    CRIA_UNROLL
    for (int from = 0; from < MAX_COLUMNS; from += columns) {
        __m512 acc[MAX_ROWS][MAX_COLUMNS];
        clear(acc, rows, columns);
        products(acc, &s, 0, kv == I8 ? e / 2 : e, rows, columns, kv, ahead);
        s.y += (size_t)columns * s.apart;
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) {
                const int at = 16 * (from + c);
                if (kv == I8) {
                    const __m512 d = _mm512_mul_ps(_mm512_set1_ps(a->qd[row + (uint32_t)r]),
                                                   _mm512_loadu_ps(scales(a->k, e) + at));
                    acc[r][c] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_castps_si512(acc[r][c])), d);
                }
                _mm512_storeu_ps(w[r] + at, acc[r][c]);
            }
        }
    }
}

static inline float max_of_lanes(__m512 v) {
    const __m256 m8 = _mm256_max_ps(_mm512_castps512_ps256(v), avx512_high(v));
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* The positions p..p+15 that are below n > p. */
static inline __mmask16 below(uint32_t n, uint32_t p) { return avx512_mask(n - p < 16 ? n - p : 16); }

/* The new maximum of a row with n scores. Lanes from n on become −inf, up to a multiple of 16. */
static inline float maximum(float *w, uint32_t n, float m) {
    __m512 top = _mm512_set1_ps(m);
    float *last = w + (n - 1) / 16 * 16;
    _mm512_storeu_ps(last, _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), below(n, (n - 1) / 16 * 16),
                                              _mm512_loadu_ps(last)));
    for (uint32_t p = 0; p < n; p += 16) top = _mm512_max_ps(top, _mm512_loadu_ps(w + p));
    return max_of_lanes(top) + 0.0f;
}

/* A row's scores become weights; returns their sum. */
static inline float weights(float *w, uint32_t n, float max) {
    const __m512 vmax = _mm512_set1_ps(max);
    __m512 sum = _mm512_setzero_ps();
    for (uint32_t p = 0; p < n; p += 16) {
        const __m512 e = avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(w + p), vmax));
        sum = _mm512_add_ps(sum, e);
        _mm512_storeu_ps(w + p, e);
    }
    return avx512_tree(sum);
}

/* A row's weights times the scales of the values become int16, 0 from n on, in the same place; returns their
 * scale. */
static inline float whole_weights(float *w, uint32_t n, const float *vd) {
    __m512i top = _mm512_setzero_si512();
    for (uint32_t p = 0; p < n; p += 16) {
        const __m512 x = _mm512_mul_ps(_mm512_loadu_ps(w + p), _mm512_loadu_ps(vd + p));
        const __m512 seen = _mm512_maskz_mov_ps(below(n, p), x);
        top = _mm512_max_epi32(top, _mm512_and_si512(_mm512_castps_si512(seen), _mm512_set1_epi32(0x7fffffff)));
        _mm512_storeu_ps(w + p, seen);
    }
    const __m256i top8 = _mm256_max_epi32(_mm512_castsi512_si256(top), _mm512_extracti64x4_epi64(top, 1));
    const struct avx2_unit u = avx2_unit(top8, CRIA_ATTEND_MAX);
    __m256i *out = (__m256i *)(void *)w;
    uint32_t p = 0;
    for (; p < n; p += 16) {
        const __m512 x = _mm512_mul_ps(_mm512_loadu_ps(w + p), _mm512_set1_ps(u.inv));
        _mm256_storeu_si256(out + p / 16, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x)));
    }
    for (; p < CRIA_KV_BLOCK; p += 16) _mm256_storeu_si256(out + p / 16, _mm256_setzero_si256());
    return u.d;
}

/* What one pass over the values does: o = o·c, then positions [from, to), for as many rows as w, c, d and o
 * have. */
struct pass {
    const char *v;
    size_t e;
    const char *w; /* [rows][CRIA_KV_BLOCK] floats; I8: int16 at the start of each */
    const float *c, *d;
    size_t from, to;
    float *o;
    size_t ldo;
    struct cria_ahead *ahead;
};

/* 16·columns dimensions from i on. */
CRIA_INLINE void mix(const struct pass *s, size_t i, int rows, int columns, int kv) {
    const struct operands operands = {s->w, CRIA_KV_BLOCK * 4, s->v + i * lane_bytes(kv), s->e * lane_bytes(kv),
                                      column_bytes(kv)};
    __m512 acc[MAX_ROWS][MAX_COLUMNS];
    float *o = s->o + i;
    if (kv == I8) {
        clear(acc, rows, columns);
        products(acc, &operands, 0, (s->to + 1) / 2, rows, columns, kv, s->ahead);
    } else {
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m512 c = _mm512_set1_ps(s->c[r]);
            CRIA_UNROLL
            for (int j = 0; j < columns; j++)
                acc[r][j] = _mm512_mul_ps(_mm512_loadu_ps(o + (size_t)r * s->ldo + 16 * (size_t)j), c);
        }
        products(acc, &operands, s->from, s->to, rows, columns, kv, s->ahead);
    }
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int j = 0; j < columns; j++) {
            float *out = o + (size_t)r * s->ldo + 16 * (size_t)j;
            if (kv == I8)
                acc[r][j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_castps_si512(acc[r][j])),
                                            _mm512_set1_ps(s->d[r]),
                                            _mm512_mul_ps(_mm512_loadu_ps(out), _mm512_set1_ps(s->c[r])));
            _mm512_storeu_ps(out, acc[r][j]);
        }
    }
}

/* The last dimensions, fewer than 16, from i on, of one row. */
static void mix_tail(const struct pass *s, size_t i, size_t row, int kv) {
    const __mmask16 k = avx512_mask(s->e - i);
    float *o = s->o + row * s->ldo + i;
    const struct operands operands = {.x = s->w + row * CRIA_KV_BLOCK * 4};
    __m512 acc = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, o), _mm512_set1_ps(s->c[row])), sum = _mm512_setzero_ps();
    const size_t from = kv == I8 ? 0 : s->from, to = kv == I8 ? (s->to + 1) / 2 : s->to;
    for (size_t p = from; p < to; p++) {
        const char *at = s->v + (p * s->e + i) * lane_bytes(kv);
        const __m512 x = load_x(&operands, 0, p);
        if (kv == F32)
            acc = multiply_add(x, _mm512_maskz_loadu_ps(k, (const float *)(const void *)at), acc, kv);
        else if (kv == F16)
            acc = multiply_add(x, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(k, at)), acc, kv);
        else
            sum = multiply_add(
                x, _mm512_castsi512_ps(_mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi16(k, at))), sum, kv);
    }
    if (kv == I8)
        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_castps_si512(sum)), _mm512_set1_ps(s->d[row]), acc);
    _mm512_mask_storeu_ps(o, k, acc);
}

CRIA_INLINE void values(const struct pass *s, int rows, int kv) {
    const size_t e = s->e, columns = (size_t)columns_of(rows);
    size_t i = 0;
    for (; i + 16 * columns <= e; i += 16 * columns) mix(s, i, rows, (int)columns, kv);
    for (; i + 16 <= e; i += 16) mix(s, i, rows, 1, kv);
    for (size_t r = 0; i < e && r < (size_t)rows; r++) mix_tail(s, i, r, kv);
}

static void values_f16(const struct pass *s) { values(s, 1, F16); }
static void values_f32(const struct pass *s) { values(s, 1, F32); }

/* Every row sees something. Where the mask is causal they see different numbers of positions: floats go together
 * as far as all see, then each; integers all the way, with weights of 0. */
CRIA_INLINE void attend_tile(const cria_attend *a, uint32_t row, struct cria_ahead *ahead, int rows, int kv) {
    static const float one = 1.0f;
    _Alignas(64) float w[MAX_ROWS][CRIA_KV_BLOCK];
    float max[16], c[16], d[MAX_ROWS]; /* the first two are vectors */
    uint32_t least = CRIA_KV_BLOCK, most = 0;
    for (int r = 0; r < rows; r++) {
        const uint32_t n = a->visible[row + (uint32_t)r];
        if (n < least) least = n;
        if (n > most) most = n;
    }
    scores(a, row, w, ahead, rows, kv);
    for (int r = 0; r < rows; r++) {
        const uint32_t at = row + (uint32_t)r;
        if (a->cap != 0) cria_softcap_avx512(w[r], a->cap, a->visible[at]);
        if (a->hidden) cria_hide(w[r], a->hidden[at]);
        max[r] = maximum(w[r], a->visible[at], a->m[at]);
    }
    const __mmask16 all = avx512_mask((size_t)rows);
    const __m512 m = _mm512_maskz_loadu_ps(all, max), before = _mm512_maskz_loadu_ps(all, a->m + row);
    _mm512_storeu_ps(c, avx512_exp(_mm512_sub_ps(before, m)));
    _mm512_mask_storeu_ps(a->m + row, all, m);
    for (int r = 0; r < rows; r++) {
        const uint32_t at = row + (uint32_t)r, n = a->visible[at];
        const float sum = weights(w[r], n, max[r]);
        if (kv == I8) d[r] = whole_weights(w[r], n, scales(a->v, a->e));
        a->l[at] = fmaf(a->l[at], c[r], sum);
    }
    struct pass s = {a->v, a->e, (const char *)w, c, d, 0, kv == I8 ? most : least, a->o + row * a->ldo, a->ldo, ahead};
    values(&s, rows, kv);
    if (kv == I8 || least == most) return;
    s.from = least;
    s.c = &one;
    for (uint32_t r = 0; r < (uint32_t)rows; r++) {
        s.to = a->visible[row + r];
        s.w = (const char *)w[r];
        s.o = a->o + (row + r) * a->ldo;
        if (s.to > s.from) (kv == F16 ? values_f16 : values_f32)(&s);
    }
}

/* Functions of their own, not cases of a switch: there compilers merge what should stay constant. */
typedef void tile_fn(const cria_attend *a, uint32_t row, struct cria_ahead *ahead);
#define TILES(X, kv) X(1, kv) X(2, kv) X(3, kv) X(4, kv) X(5, kv) X(6, kv)
#define MORE_TILES(X, kv) X(7, kv) X(8, kv) X(9, kv) X(10, kv) X(11, kv) X(12, kv)
#define TILE(rows, kv)                                                                                       \
    static void tile_##kv##_##rows(const cria_attend *a, uint32_t row, struct cria_ahead *ahead) {            \
        attend_tile(a, row, ahead, rows, kv);                                                                \
    }
TILES(TILE, F16)
MORE_TILES(TILE, F16)
TILES(TILE, F32)
TILES(TILE, I8)
MORE_TILES(TILE, I8)
#define TILE_NAME(rows, kv) tile_##kv##_##rows,
static tile_fn *const tiles[3][MAX_ROWS] = {
    [F16] = {TILES(TILE_NAME, F16) MORE_TILES(TILE_NAME, F16)},
    [F32] = {TILES(TILE_NAME, F32)},
    [I8] = {TILES(TILE_NAME, I8) MORE_TILES(TILE_NAME, I8)}};

/* How many of the n rows from `row` on see something, before one that does not. */
static uint32_t seeing(const cria_attend *a, uint32_t row, uint32_t n) {
    uint32_t i = 0;
    while (i < n && a->visible[row + i] > 0) i++;
    return i;
}

/* Tiles as even as can be: 13 queries are 7 and 6. What comes next is asked for little by little during all of it, so
 * that reading and computing overlap: on two cores of an Emerald Rapids server blocks that lie in memory are read at
 * 75 % of the speed of a plain read by one query, at 53 % by 8, which without it is 30 %. A few lines at a time into
 * the second cache are 7 to 11 % better than 16 lines into the first. */
void ATTEND(const cria_attend *a) {
    if (a->n_q == 0) return;
    const uint32_t most = most_rows((int)a->kv), all = (a->n_q + most - 1) / most,
                   columns = (uint32_t)columns_of((int)(a->n_q / all)), /* of most tiles */
                   steps = 2 * CRIA_KV_BLOCK * a->e / (16 * columns) / (a->kv == CRIA_KV_ELEM_I8 ? 2 : 1);
    struct cria_ahead ahead = cria_ahead_over(a->ahead, a->ahead_bytes, all * (steps / ASK_EVERY + 1));
    for (uint32_t row = 0; row < a->n_q; row++) {
        const uint32_t end = row + seeing(a, row, a->n_q - row);
        for (uint32_t left = (end - row + most - 1) / most; left > 0; left--) {
            const uint32_t rows = (end - row + left - 1) / left;
            tiles[a->kv][rows - 1](a, row, &ahead);
            row += rows;
        }
    }
}
