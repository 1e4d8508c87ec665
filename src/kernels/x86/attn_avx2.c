/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend for AVX2. Queries go in tiles of up to 6, so that one load (and conversion) of K or V serves all of
 * a tile. A tile is rows × columns of accumulators, a column being 8 positions (scores) or 8 dimensions
 * (values); the shapes below keep them in the 16 registers with at least 8 independent chains, I8 with fewer
 * (its chains are of vpaddd, which takes a cycle) since the products need registers too.
 *
 * I8 walks over pairs of dimensions (scores) or of positions (values): a lane's 32 bits of x are two int16, y's two
 * int8 are widened to that, and one vpmaddwd and one vpaddd do the work of two vfmadd.
 */
#include "kernels/inline.h"
#include "kernels/x86/avx2.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

enum { MAX_ROWS = 6, MAX_COLUMNS = 8, ASK_EVERY = 4 };
enum { F16 = CRIA_KV_ELEM_F16, F32 = CRIA_KV_ELEM_F32, I8 = CRIA_KV_ELEM_I8 };

CRIA_INLINE int columns_for(int rows, int kv) {
    if (kv == I8) return rows <= 2 ? 4 : 2;
    return rows == 1 ? 8 : rows <= 3 ? 4 : 2;
}
CRIA_INLINE uint32_t most_rows(int kv) { return kv == I8 ? 4 : MAX_ROWS; }

/* Bytes of one lane's number or pair, and of a column of 8. */
CRIA_INLINE size_t lane_bytes(int kv) { return kv == F32 ? 4 : 2; }
CRIA_INLINE size_t column_bytes(int kv) { return 8 * lane_bytes(kv); }

/* A sum of products over i: 32 bits x[r][i] at x + r·ldx + 4i, and columns of y, in twos that are `two` apart:
 * column c of row i at y + i·step + (c/2)·two + (c%2)·column_bytes. All in bytes. */
struct operands {
    const char *x;
    size_t ldx;
    const char *y;
    size_t step, two;
};

CRIA_INLINE __m256 load_x(const struct operands *s, int r, size_t i) {
    float x;
    memcpy(&x, s->x + (size_t)r * s->ldx + 4 * i, sizeof x);
    return _mm256_set1_ps(x);
}

CRIA_INLINE __m256 load_y(const struct operands *s, int c, size_t i, int kv) {
    const char *y = s->y + i * s->step + (size_t)(c / 2) * s->two + (size_t)(c % 2) * column_bytes(kv);
    if (kv == F32) return _mm256_loadu_ps((const float *)(const void *)y);
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)y);
    return kv == F16 ? _mm256_cvtph_ps(half) : _mm256_castsi256_ps(_mm256_cvtepi8_epi16(half));
}

CRIA_INLINE __m256 multiply_add(__m256 x, __m256 y, __m256 acc, int kv) {
    if (kv != I8) return _mm256_fmadd_ps(x, y, acc);
    const __m256i product = _mm256_madd_epi16(_mm256_castps_si256(x), _mm256_castps_si256(y));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(acc), product));
}

/* acc[r][c] grows by the products of i in [from, to), ascending. The order of the loads decides what must be in
 * registers at once beside acc: all columns of y and one x, or all x and one column. */
CRIA_INLINE void products(__m256 (*acc)[MAX_COLUMNS], const struct operands *s, size_t from, size_t to,
                          int rows, int columns, int kv, struct cria_ahead *ahead) {
    for (size_t i = from; i < to; i++) {
        if (i % ASK_EVERY == 0) cria_ahead_ask(ahead);
        if (rows > columns) {
            __m256 y[MAX_COLUMNS];
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) y[c] = load_y(s, c, i, kv);
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) {
                const __m256 x = load_x(s, r, i);
                CRIA_UNROLL
                for (int c = 0; c < columns; c++) acc[r][c] = multiply_add(x, y[c], acc[r][c], kv);
            }
        } else {
            __m256 x[MAX_ROWS];
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) x[r] = load_x(s, r, i);
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) {
                const __m256 y = load_y(s, c, i, kv);
                CRIA_UNROLL
                for (int r = 0; r < rows; r++) acc[r][c] = multiply_add(x[r], y, acc[r][c], kv);
            }
        }
    }
}

CRIA_INLINE void clear(__m256 (*acc)[MAX_COLUMNS], int rows, int columns) {
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) acc[r][c] = _mm256_setzero_ps();
    }
}

/* The scales behind the integers of an I8 array. */
static inline const float *scales(const void *array, size_t e) {
    return (const float *)(const void *)((const char *)array + CRIA_KV_BLOCK * e);
}

/* w[r] = scores of all positions below most, in whole passes of columns, at least 16 positions. */
CRIA_INLINE void scores(const cria_attend *a, uint32_t row, uint32_t most, float (*w)[CRIA_KV_BLOCK],
                        struct cria_ahead *ahead, int rows, int kv) {
    const int columns = columns_for(rows, kv);
    const size_t e = a->e, sixteen = kv == I8 ? 16 * e : 16 * e * lane_bytes(kv);
    struct operands s = {.step = 2 * column_bytes(kv), .two = sixteen};
    s.x = kv == I8 ? (const char *)(a->qi + row * a->ldq) : (const char *)(a->q + row * a->ldq);
    s.ldx = a->ldq * (kv == I8 ? sizeof *a->qi : sizeof *a->q);
    for (uint32_t p = 0; p < most; p += 8 * (uint32_t)columns) {
        s.y = (const char *)a->k + p / 16 * sixteen;
        __m256 acc[MAX_ROWS][MAX_COLUMNS];
        clear(acc, rows, columns);
        products(acc, &s, 0, kv == I8 ? e / 2 : e, rows, columns, kv, ahead);
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) {
                if (kv == I8) {
                    const __m256 d = _mm256_mul_ps(_mm256_broadcast_ss(a->qd + row + r),
                                                   _mm256_loadu_ps(scales(a->k, e) + p + 8 * c));
                    acc[r][c] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_castps_si256(acc[r][c])), d);
                }
                _mm256_storeu_ps(w[r] + p + 8 * c, acc[r][c]);
            }
        }
    }
}

static inline float max_of_lanes(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* All ones in the lanes of positions p..p+7 that are below n. */
static inline __m256 below(uint32_t n, uint32_t p) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - (int)p), lane));
}

/* The new maximum of a row with n scores. Lanes from n on become −inf, up to a multiple of 16. */
static inline float maximum(float *w, uint32_t n, float m) {
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    const uint32_t last = (n - 1) / 16 * 16;
    __m256 top[2] = {_mm256_set1_ps(m), _mm256_set1_ps(m)};
    for (uint32_t p = last; p < last + 16; p += 8)
        _mm256_storeu_ps(w + p, _mm256_blendv_ps(lowest, _mm256_loadu_ps(w + p), below(n, p)));
    for (uint32_t p = 0; p < n; p += 16) {
        top[0] = _mm256_max_ps(top[0], _mm256_loadu_ps(w + p));
        top[1] = _mm256_max_ps(top[1], _mm256_loadu_ps(w + p + 8));
    }
    return max_of_lanes(_mm256_max_ps(top[0], top[1])) + 0.0f;
}

/* A row's scores become weights; returns their sum. */
static inline float weights(float *w, uint32_t n, float max) {
    const __m256 vmax = _mm256_set1_ps(max);
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (uint32_t p = 0; p < n; p += 16) {
        const __m256 w0 = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(w + p), vmax));
        const __m256 w1 = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(w + p + 8), vmax));
        sum[0] = _mm256_add_ps(sum[0], w0);
        sum[1] = _mm256_add_ps(sum[1], w1);
        _mm256_storeu_ps(w + p, w0);
        _mm256_storeu_ps(w + p + 8, w1);
    }
    return avx2_tree(sum[0], sum[1]);
}

/* A row's weights times the scales of the values become int16, 0 from n on, in the same place; returns their
 * scale. */
static inline float whole_weights(float *w, uint32_t n, const float *vd) {
    __m256i top = _mm256_setzero_si256();
    for (uint32_t p = 0; p < n; p += 8) {
        const __m256 x = _mm256_mul_ps(_mm256_loadu_ps(w + p), _mm256_loadu_ps(vd + p));
        const __m256 seen = _mm256_and_ps(x, below(n, p));
        top = _mm256_max_epi32(top, avx2_magnitude(seen));
        _mm256_storeu_ps(w + p, seen);
    }
    const struct avx2_unit u = avx2_unit(top, CRIA_ATTEND_MAX);
    const __m256 inv = _mm256_set1_ps(u.inv);
    __m256i *out = (__m256i *)(void *)w;
    uint32_t p = 0;
    for (; p < n; p += 16) {
        const __m256i w0 = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(w + p), inv));
        const __m256i w1 = p + 8 < n ? _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(w + p + 8), inv))
                                     : _mm256_setzero_si256();
        _mm256_storeu_si256(out + p / 16, _mm256_permute4x64_epi64(_mm256_packs_epi32(w0, w1), 0xd8));
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

/* 8·columns dimensions from i on. */
CRIA_INLINE void mix(const struct pass *s, size_t i, int rows, int columns, int kv) {
    const struct operands operands = {s->w, CRIA_KV_BLOCK * 4, s->v + i * lane_bytes(kv), s->e * lane_bytes(kv),
                                      2 * column_bytes(kv)};
    __m256 acc[MAX_ROWS][MAX_COLUMNS];
    float *o = s->o + i;
    if (kv == I8) {
        clear(acc, rows, columns);
        products(acc, &operands, 0, (s->to + 1) / 2, rows, columns, kv, s->ahead);
    } else {
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m256 c = _mm256_broadcast_ss(s->c + r);
            CRIA_UNROLL
            for (int j = 0; j < columns; j++)
                acc[r][j] = _mm256_mul_ps(_mm256_loadu_ps(o + (size_t)r * s->ldo + 8 * (size_t)j), c);
        }
        products(acc, &operands, s->from, s->to, rows, columns, kv, s->ahead);
    }
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int j = 0; j < columns; j++) {
            float *out = o + (size_t)r * s->ldo + 8 * (size_t)j;
            if (kv == I8)
                acc[r][j] =
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_castps_si256(acc[r][j])),
                                    _mm256_broadcast_ss(s->d + r),
                                    _mm256_mul_ps(_mm256_loadu_ps(out), _mm256_broadcast_ss(s->c + r)));
            _mm256_storeu_ps(out, acc[r][j]);
        }
    }
}

/* The last dimensions, fewer than 8, from i on, of one row. Heads are multiples of 8 wide in all known models:
 * this is right, not fast. */
static void mix_tail(const struct pass *s, size_t i, size_t row, int kv) {
    const size_t dims = s->e - i;
    const __m256i tail = avx2_mask(dims);
    float *o = s->o + row * s->ldo + i;
    __m256 acc = _mm256_mul_ps(_mm256_maskload_ps(o, tail), _mm256_broadcast_ss(s->c + row));
    __m256i sum = _mm256_setzero_si256();
    const size_t from = kv == I8 ? 0 : s->from, to = kv == I8 ? (s->to + 1) / 2 : s->to;
    for (size_t p = from; p < to; p++) {
        float last[8] = {0};
        memcpy(last, s->v + (p * s->e + i) * lane_bytes(kv), dims * lane_bytes(kv));
        const struct operands one = {s->w + row * CRIA_KV_BLOCK * 4, 0, (const char *)last, 0, 0};
        if (kv == I8)
            sum = _mm256_castps_si256(
                multiply_add(load_x(&one, 0, p), load_y(&one, 0, 0, kv), _mm256_castsi256_ps(sum), kv));
        else
            acc = multiply_add(load_x(&one, 0, p), load_y(&one, 0, 0, kv), acc, kv);
    }
    if (kv == I8) acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_broadcast_ss(s->d + row), acc);
    _mm256_maskstore_ps(o, tail, acc);
}

CRIA_INLINE void values(const struct pass *s, int rows, int kv) {
    const int columns = columns_for(rows, kv);
    const size_t e = s->e, step = 8 * (size_t)columns;
    size_t i = 0;
    for (; i + step <= e; i += step) mix(s, i, rows, columns, kv);
    for (; i + 8 <= e; i += 8) mix(s, i, rows, 1, kv);
    for (size_t r = 0; i < e && r < (size_t)rows; r++) mix_tail(s, i, r, kv);
}

static void values_f16(const struct pass *s) { values(s, 1, F16); }
static void values_f32(const struct pass *s) { values(s, 1, F32); }

/* Every row sees something. Where the mask is causal they see different numbers of positions: floats go together
 * as far as all see, then each; integers all the way, with weights of 0. */
CRIA_INLINE void attend_tile(const cria_attend *a, uint32_t row, struct cria_ahead *ahead, int rows, int kv) {
    static const float one = 1.0f;
    float w[MAX_ROWS][CRIA_KV_BLOCK], max[MAX_ROWS], c[MAX_ROWS], d[MAX_ROWS];
    uint32_t least = CRIA_KV_BLOCK, most = 0;
    for (int r = 0; r < rows; r++) {
        const uint32_t n = a->visible[row + (uint32_t)r];
        if (n < least) least = n;
        if (n > most) most = n;
    }
    scores(a, row, most, w, ahead, rows, kv);
    for (int r = 0; r < rows; r++) {
        const uint32_t at = row + (uint32_t)r;
        if (a->cap != 0) cria_softcap_avx2(w[r], a->cap, a->visible[at]);
        if (a->hidden) cria_hide(w[r], a->hidden[at]);
        max[r] = maximum(w[r], a->visible[at], a->m[at]);
    }
    for (int r = 0; r < rows; r++) {
        const uint32_t at = row + (uint32_t)r, n = a->visible[at];
        const float sum = weights(w[r], n, max[r]);
        if (kv == I8) d[r] = whole_weights(w[r], n, scales(a->v, a->e));
        c[r] = _mm256_cvtss_f32(avx2_exp(_mm256_set1_ps(a->m[at] - max[r])));
        a->l[at] = fmaf(a->l[at], c[r], sum);
        a->m[at] = max[r];
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
#define TILES_I8(X) X(1, I8) X(2, I8) X(3, I8) X(4, I8)
#define TILE(rows, kv)                                                                                       \
    static void tile_##kv##_##rows(const cria_attend *a, uint32_t row, struct cria_ahead *ahead) {            \
        attend_tile(a, row, ahead, rows, kv);                                                                \
    }
TILES(TILE, F16)
TILES(TILE, F32)
TILES_I8(TILE)
#define TILE_NAME(rows, kv) tile_##kv##_##rows,
static tile_fn *const tiles[3][MAX_ROWS] = {
    [F16] = {TILES(TILE_NAME, F16)}, [F32] = {TILES(TILE_NAME, F32)}, [I8] = {TILES_I8(TILE_NAME)}};

/* How many of the n rows from `row` on see something, before one that does not. */
static uint32_t seeing(const cria_attend *a, uint32_t row, uint32_t n) {
    uint32_t i = 0;
    while (i < n && a->visible[row + i] > 0) i++;
    return i;
}

/* Tiles as even as can be: 7 queries are 4 and 3. What comes next is asked for little by little during all of it:
 * then reading and computing overlap. On two cores of a Zen 3 server, blocks that lie in memory are read at 75-90 % of
 * the speed of a plain read by 3 or 8 queries, without it at 40-60 % (when 16 lines at a time were asked for into the
 * first cache; a few lines and the second cache were measured on Intel's only, at 100 to 105 % of that). One query of
 * floats has so little to compute that the hardware reads at 85-100 % by itself, and asking costs it a tenth. */
void cria_attend_avx2(const cria_attend *a) {
    if (a->n_q == 0) return;
    const bool i8 = a->kv == CRIA_KV_ELEM_I8;
    const uint32_t most = most_rows((int)a->kv), all = (a->n_q + most - 1) / most,
                   columns = (uint32_t)columns_for((int)(a->n_q / all), (int)a->kv),
                   steps = 2 * CRIA_KV_BLOCK * a->e / (8 * columns) / (i8 ? 2 : 1);
    struct cria_ahead ahead = cria_ahead_over(a->n_q > 1 || i8 ? a->ahead : NULL, a->ahead_bytes,
                                              all * (steps / ASK_EVERY + 1));
    for (uint32_t row = 0; row < a->n_q; row++) {
        const uint32_t end = row + seeing(a, row, a->n_q - row);
        for (uint32_t left = (end - row + most - 1) / most; left > 0; left--) {
            const uint32_t rows = (end - row + left - 1) / left;
            tiles[a->kv][rows - 1](a, row, &ahead);
            row += rows;
        }
    }
}
