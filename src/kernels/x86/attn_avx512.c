/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend for AVX-512. Queries go in tiles, so that one load (and conversion) of K or V serves all of a tile. A tile
 * is rows × columns of accumulators, a column being 16 positions (scores) or 16 dimensions (values): 6 × 4 or 12 × 2
 * of them, as many columns of K or V and one query's number fit into the 32 registers. 12 × 2 need half as many
 * conversions and more loads; float32 has no conversions.
 *
 * I8 and I16 walk over pairs of dimensions (scores) or of positions (values): a lane's 32 bits of x are two int16, y's
 * are too (I8 widened), and one vpdpwssd does the work of two vfmadd; without VNNI, vpmaddwd and vpaddd do.
 * attn_avx512vnni.c includes this file with ATTEND and ATTEND_VNNI defined.
 */
#include "kernels/inline.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

#if !defined(ATTEND)
#define ATTEND cria_attend_avx512
#define ATTEND_VNNI 0
#endif

enum { MAX_ROWS = 12, MAX_COLUMNS = 4, ASK_EVERY = 4 };
enum { F16 = CRIA_KV_ELEM_F16, F32 = CRIA_KV_ELEM_F32, I8 = CRIA_KV_ELEM_I8, I16 = CRIA_KV_ELEM_I16 };

/* Rows that a tile may have, and columns that it takes at once. */
CRIA_INLINE uint32_t most_rows(int kv) { return kv == F32 ? 6 : MAX_ROWS; }
CRIA_INLINE int columns_of(int rows) { return rows > 6 ? 2 : MAX_COLUMNS; }

/* Bytes of one lane's number or pair, and of a column of 16. */
CRIA_INLINE size_t lane_bytes(int kv) { return kv == F32 || kv == I16 ? 4 : 2; }
CRIA_INLINE size_t column_bytes(int kv) { return 16 * lane_bytes(kv); }

/* A sum of products over i: 32 bits x[r][i] at x + r·ldx + 4i, and columns of y: column c of row i at y + i·step +
 * c·apart. All in bytes. */
struct operands {
    const char *x;
    size_t ldx;
    const char *y;
    size_t step, apart;
};

CRIA_INLINE const char *y_at(const struct operands *s, int c, size_t i) {
    return s->y + i * s->step + (size_t)c * s->apart;
}

CRIA_INLINE __m512 load_x(const struct operands *s, int r, size_t i) {
    float x;
    memcpy(&x, s->x + (size_t)r * s->ldx + 4 * i, sizeof x);
    return _mm512_set1_ps(x);
}

/* acc[r][c] grows by the products of i in [from, to), ascending. */
CRIA_INLINE void products(__m512 (*acc)[MAX_COLUMNS], const struct operands *s, size_t from, size_t to, int rows,
                          int columns, int kv, struct cria_ahead *ahead) {
    for (size_t i = from; i < to; i++) {
        if (i % ASK_EVERY == 0) cria_ahead_ask(ahead);
        __m512 y[MAX_COLUMNS];
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) {
            const void *at = y_at(s, c, i);
            y[c] = kv == F16 ? _mm512_cvtph_ps(_mm256_loadu_si256(at)) : _mm512_loadu_ps(at);
        }
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m512 x = load_x(s, r, i);
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) acc[r][c] = _mm512_fmadd_ps(x, y[c], acc[r][c]);
        }
    }
}

CRIA_INLINE __m512i pairs(__m512i sum, __m512i x, __m512i y) {
#if ATTEND_VNNI
    sum = _mm512_dpwssd_epi32(sum, x, y);
    avx512_hold(&sum);
    return sum;
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(x, y));
#endif
}

/* The same of integers, for i < to. ldx is a constant: then one register addresses all of x. */
CRIA_INLINE void whole_products(__m512i (*acc)[MAX_COLUMNS], const struct operands *s, size_t to, int rows, int columns,
                                int kv, struct cria_ahead *ahead) {
    for (size_t i = 0; i < to; i++) {
        cria_ahead_ask(ahead);
        __m512i y[MAX_COLUMNS];
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) {
            const void *at = y_at(s, c, i);
            y[c] = kv == I8 ? _mm512_cvtepi8_epi16(_mm256_loadu_si256(at)) : _mm512_loadu_si512(at);
        }
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m512i x = _mm512_castps_si512(load_x(s, r, i));
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) acc[r][c] = pairs(acc[r][c], x, y[c]);
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

CRIA_INLINE void whole_clear(__m512i (*acc)[MAX_COLUMNS], int rows, int columns) {
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) acc[r][c] = _mm512_setzero_si512();
    }
}

/* w[r] = the scores of all positions of the block. */
CRIA_INLINE void scores(const cria_attend *a, uint32_t row, float (*w)[CRIA_KV_BLOCK],
                        struct cria_ahead *ahead, int rows, int kv) {
    const size_t e = a->e;
    const int columns = columns_of(rows);
    struct operands s = {.x = (const char *)(a->q + row * a->ldq), .ldx = a->ldq * sizeof *a->q, .y = a->k,
                         .step = column_bytes(kv), .apart = e * column_bytes(kv)};
    CRIA_UNROLL
    for (int from = 0; from < MAX_COLUMNS; from += columns) {
        __m512 acc[MAX_ROWS][MAX_COLUMNS];
        clear(acc, rows, columns);
        products(acc, &s, 0, e, rows, columns, kv, ahead);
        s.y += (size_t)columns * s.apart;
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) _mm512_storeu_ps(w[r] + 16 * (from + c), acc[r][c]);
        }
    }
}

/* Dimensions of queries that lie side by side at a time. */
#define SOME_DIMS 128u

/* q[r] = the integers of SOME_DIMS dimensions from `at` on. */
CRIA_INLINE void take_queries(const cria_attend *a, uint32_t row, size_t at, int16_t (*q)[SOME_DIMS], int rows) {
    const size_t n = a->e - at < SOME_DIMS ? a->e - at : SOME_DIMS;
    for (int r = 0; r < rows; r++) {
        const int16_t *from = a->qi + (row + (uint32_t)r) * a->ldq + at;
        for (size_t i = 0; i < n; i += 32) {
            const __mmask16 pairs = avx512_mask(n - i < 32 ? (n - i) / 2 : 16);
            _mm512_storeu_si512(q[r] + i, _mm512_maskz_loadu_epi32(pairs, from + i));
        }
    }
}

CRIA_INLINE void whole_scores(const cria_attend *a, uint32_t row, float (*w)[CRIA_KV_BLOCK],
                              struct cria_ahead *ahead, int rows, int kv) {
    _Alignas(64) int16_t q[MAX_ROWS][SOME_DIMS];
    const size_t e = a->e, sixteen = e / 2 * column_bytes(kv);
    const int columns = columns_of(rows);
    CRIA_UNROLL
    for (int from = 0; from < MAX_COLUMNS; from += columns) {
        __m512i acc[MAX_ROWS][MAX_COLUMNS];
        whole_clear(acc, rows, columns);
        for (size_t at = 0; at < e; at += SOME_DIMS) {
            if (from == 0 || e > SOME_DIMS) take_queries(a, row, at, q, rows);
            const struct operands s = {(const char *)q, sizeof q[0],
                                       (const char *)a->k + (size_t)from * sixteen + at / 2 * column_bytes(kv),
                                       column_bytes(kv), sixteen};
            whole_products(acc, &s, (e - at < SOME_DIMS ? e - at : SOME_DIMS) / 2, rows, columns, kv, ahead);
        }
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) {
            const int at = 16 * (from + c);
            const __m512 kd = _mm512_loadu_ps(cria_kv_scales(a->k, kv, a->e) + at);
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) {
                const __m512 d = _mm512_mul_ps(_mm512_set1_ps(a->qd[row + (uint32_t)r]), kd);
                _mm512_storeu_ps(w[r] + at, _mm512_mul_ps(_mm512_cvtepi32_ps(acc[r][c]), d));
            }
        }
    }
}

/* The largest lane, in all lanes. */
static inline __m512i largest_whole(__m512i v) {
    v = _mm512_max_epi32(v, _mm512_shuffle_i32x4(v, v, 0x4e));
    v = _mm512_max_epi32(v, _mm512_shuffle_i32x4(v, v, 0xb1));
    v = _mm512_max_epi32(v, _mm512_shuffle_epi32(v, 0x4e));
    return _mm512_max_epi32(v, _mm512_shuffle_epi32(v, 0xb1));
}

static inline __m512 bits(__m512i v) { return _mm512_castsi512_ps(v); }

static inline __m512 largest(__m512 v) {
    v = _mm512_max_ps(v, bits(_mm512_shuffle_i32x4(_mm512_castps_si512(v), _mm512_castps_si512(v), 0x4e)));
    v = _mm512_max_ps(v, bits(_mm512_shuffle_i32x4(_mm512_castps_si512(v), _mm512_castps_si512(v), 0xb1)));
    v = _mm512_max_ps(v, bits(_mm512_shuffle_epi32(_mm512_castps_si512(v), 0x4e)));
    return _mm512_max_ps(v, bits(_mm512_shuffle_epi32(_mm512_castps_si512(v), 0xb1)));
}

/* A row's scores of n positions become weights, 0 from n on. */
struct soft {
    __m512 max;    /* the new maximum, in all lanes */
    __m512i top;   /* of integers: the bits of the largest magnitude, in all lanes */
    float sum;
};

/* vd: of integers, the lifted scales of the values, which weights are multiplied by when they have been added up. */
CRIA_INLINE struct soft soften(float *w, uint32_t n, __m512 old_max, const float *vd) {
    enum { N = CRIA_KV_BLOCK / 16 };
    __mmask16 seen[N];
    __m512 s[N], sum = _mm512_setzero_ps();
    struct soft soft = {.max = old_max, .top = _mm512_setzero_si512()};
    CRIA_UNROLL
    for (uint32_t i = 0; i < N; i++) {
        seen[i] = avx512_mask(n <= 16 * i ? 0 : n - 16 * i < 16 ? n - 16 * i : 16);
        s[i] = _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), seen[i], _mm512_loadu_ps(w + 16 * i));
        soft.max = _mm512_max_ps(soft.max, s[i]);
    }
    soft.max = _mm512_add_ps(largest(soft.max), _mm512_setzero_ps());
    CRIA_UNROLL
    for (uint32_t i = 0; i < N; i++) {
        s[i] = avx512_exp(_mm512_sub_ps(s[i], soft.max));
        sum = _mm512_add_ps(sum, s[i]);
        if (vd) {
            s[i] = _mm512_maskz_mul_ps(seen[i], s[i], _mm512_loadu_ps(vd + 16 * i));
            const __m512i magnitude = _mm512_and_si512(_mm512_castps_si512(s[i]), _mm512_set1_epi32(0x7fffffff));
            soft.top = _mm512_max_epi32(soft.top, magnitude);
        }
        _mm512_storeu_ps(w + 16 * i, s[i]);
    }
    soft.sum = avx512_tree(sum);
    if (vd) soft.top = largest_whole(soft.top);
    return soft;
}

/* Weights become int16, in the same place. */
CRIA_INLINE void whole_weights(float *w, float inv) {
    CRIA_UNROLL
    for (uint32_t i = 0; i < CRIA_KV_BLOCK / 16; i++) {
        const __m512 x = _mm512_mul_ps(_mm512_loadu_ps(w + 16 * i), _mm512_set1_ps(inv));
        _mm256_storeu_si256((__m256i *)(void *)w + i, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x)));
    }
}

/* inv, and d without the lift, of units (struct cria_act) whose largest magnitudes' bits are the lanes of top. Where d
 * is NaN, integers mean nothing. */
static inline void units(__m512i bits, float max, float *d, float *inv) {
    const __m512 top = _mm512_castsi512_ps(bits), m = _mm512_set1_ps(max);
    const __mmask16 finite = _mm512_cmp_ps_mask(top, _mm512_set1_ps(INFINITY), _CMP_LT_OQ);
    const __mmask16 some = _mm512_cmp_ps_mask(top, _mm512_set1_ps(CRIA_QUANTIZE_MIN), _CMP_NLT_UQ);
    const __m512 quotient = _mm512_maskz_div_ps(some, top, m);
    const __m512 all = _mm512_mask_mov_ps(_mm512_set1_ps(NAN), finite, quotient);
    _mm512_storeu_ps(d, _mm512_mul_ps(all, _mm512_set1_ps(1 / CRIA_KV_LIFT)));
    _mm512_storeu_ps(inv, _mm512_maskz_div_ps(some & finite, m, top));
}

/* What one pass over the values does: o = o·c, then positions [from, to), for as many rows as w, c, d and o
 * have. */
struct pass {
    const char *v;
    size_t e;
    const char *w; /* [rows][CRIA_KV_BLOCK] floats; of integers: int16 at the start of each */
    const float *c, *d;
    size_t from, to;
    float *o;
    size_t ldo;
    struct cria_ahead *ahead;
};

CRIA_INLINE struct operands mixed(const struct pass *s, size_t i, int kv) {
    return (struct operands){s->w, CRIA_KV_BLOCK * 4, s->v + i * lane_bytes(kv), s->e * lane_bytes(kv),
                             column_bytes(kv)};
}

/* 16·columns dimensions from i on. */
CRIA_INLINE void mix(const struct pass *s, size_t i, int rows, int columns, int kv) {
    const struct operands operands = mixed(s, i, kv);
    __m512 acc[MAX_ROWS][MAX_COLUMNS];
    float *o = s->o + i;
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        const __m512 c = _mm512_set1_ps(s->c[r]);
        CRIA_UNROLL
        for (int j = 0; j < columns; j++)
            acc[r][j] = _mm512_mul_ps(_mm512_loadu_ps(o + (size_t)r * s->ldo + 16 * (size_t)j), c);
    }
    products(acc, &operands, s->from, s->to, rows, columns, kv, s->ahead);
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int j = 0; j < columns; j++) _mm512_storeu_ps(o + (size_t)r * s->ldo + 16 * (size_t)j, acc[r][j]);
    }
}

CRIA_INLINE void whole_mix(const struct pass *s, size_t i, int rows, int columns, int kv) {
    const struct operands operands = mixed(s, i, kv);
    __m512i acc[MAX_ROWS][MAX_COLUMNS];
    whole_clear(acc, rows, columns);
    whole_products(acc, &operands, (s->to + 1) / 2, rows, columns, kv, s->ahead);
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        const __m512 c = _mm512_set1_ps(s->c[r]), d = _mm512_set1_ps(s->d[r]);
        CRIA_UNROLL
        for (int j = 0; j < columns; j++) {
            float *o = s->o + i + (size_t)r * s->ldo + 16 * (size_t)j;
            const __m512 before = _mm512_mul_ps(_mm512_loadu_ps(o), c);
            _mm512_storeu_ps(o, _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[r][j]), d, before));
        }
    }
}

/* The last dimensions, fewer than 16, from i on, of one row. */
static void mix_tail(const struct pass *s, size_t i, size_t row, int kv) {
    const __mmask16 k = avx512_mask(s->e - i);
    float *o = s->o + row * s->ldo + i;
    struct operands operands = mixed(s, i, kv);
    operands.x += row * operands.ldx;
    __m512 acc = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, o), _mm512_set1_ps(s->c[row]));
    __m512i sum = _mm512_setzero_si512();
    const size_t from = cria_kv_is_whole(kv) ? 0 : s->from, to = cria_kv_is_whole(kv) ? (s->to + 1) / 2 : s->to;
    for (size_t p = from; p < to; p++) {
        const void *at = y_at(&operands, 0, p);
        const __m512 x = load_x(&operands, 0, p);
        const __m512i whole_x = _mm512_castps_si512(x);
        if (kv == F32)
            acc = _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(k, at), acc);
        else if (kv == F16)
            acc = _mm512_fmadd_ps(x, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(k, at)), acc);
        else if (kv == I8)
            sum = pairs(sum, whole_x, _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi16(k, at)));
        else
            sum = pairs(sum, whole_x, _mm512_maskz_loadu_epi32(k, at));
    }
    if (cria_kv_is_whole(kv)) acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(s->d[row]), acc);
    _mm512_mask_storeu_ps(o, k, acc);
}

CRIA_INLINE void mix_some(const struct pass *s, size_t i, int rows, int columns, int kv) {
    if (cria_kv_is_whole(kv))
        whole_mix(s, i, rows, columns, kv);
    else
        mix(s, i, rows, columns, kv);
}

CRIA_INLINE void values(const struct pass *s, int rows, int kv) {
    const size_t e = s->e, columns = (size_t)columns_of(rows);
    size_t i = 0;
    for (; i + 16 * columns <= e; i += 16 * columns) mix_some(s, i, rows, (int)columns, kv);
    for (; i + 16 <= e; i += 16) mix_some(s, i, rows, 1, kv);
    for (size_t r = 0; i < e && r < (size_t)rows; r++) mix_tail(s, i, r, kv);
}

static void values_f16(const struct pass *s) { values(s, 1, F16); }
static void values_f32(const struct pass *s) { values(s, 1, F32); }

/* Every row sees something. Where the mask is causal they see different numbers of positions: floats go together
 * as far as all see, then each; integers all the way, with weights of 0. */
CRIA_INLINE void attend_tile(const cria_attend *a, uint32_t row, struct cria_ahead *ahead, int rows, int kv) {
    static const float one = 1.0f;
    _Alignas(64) float w[MAX_ROWS][CRIA_KV_BLOCK];
    float m[16], c[16], d[16], inv[16], sum[MAX_ROWS], lifted[CRIA_KV_BLOCK];
    const uint8_t *visible = a->visible + row;
    uint32_t least = CRIA_KV_BLOCK, most = 0;
    for (int r = 0; r < rows; r++) {
        if (visible[r] < least) least = visible[r];
        if (visible[r] > most) most = visible[r];
    }
    if (cria_kv_is_whole(kv))
        whole_scores(a, row, w, ahead, rows, kv);
    else
        scores(a, row, w, ahead, rows, kv);
    for (int i = 0; cria_kv_is_whole(kv) && i < (int)CRIA_KV_BLOCK; i += 16)
        _mm512_storeu_ps(lifted + i, _mm512_mul_ps(_mm512_loadu_ps(cria_kv_scales(a->v, kv, a->e) + i),
                                                   _mm512_set1_ps(CRIA_KV_LIFT)));
    __m512 before = _mm512_setzero_ps(), after = before;
    __m512i top = _mm512_setzero_si512();
    for (int r = 0; r < rows; r++) {
        const uint32_t at = row + (uint32_t)r, n = visible[r];
        const __mmask16 lane = (__mmask16)(1u << r);
        if (a->cap != 0) cria_softcap_avx512(w[r], a->cap, n);
        if (a->hidden) cria_hide(w[r], a->hidden[at]);
        const __m512 old = _mm512_set1_ps(a->m[at]);
        const struct soft soft = soften(w[r], n, old, cria_kv_is_whole(kv) ? lifted : NULL);
        before = _mm512_mask_mov_ps(before, lane, old);
        after = _mm512_mask_mov_ps(after, lane, soft.max);
        sum[r] = soft.sum;
        if (cria_kv_is_whole(kv)) top = _mm512_mask_mov_epi32(top, lane, soft.top);
    }
    _mm512_storeu_ps(m, after);
    _mm512_storeu_ps(c, avx512_exp(_mm512_sub_ps(before, after)));
    for (int r = 0; r < rows; r++) { /* not as vectors: what a mask has stored cannot be loaded again for a while */
        a->m[row + (uint32_t)r] = m[r];
        a->l[row + (uint32_t)r] = fmaf(a->l[row + (uint32_t)r], c[r], sum[r]);
    }
    if (cria_kv_is_whole(kv)) {
        units(top, cria_kv_limits(kv, a->e).weight, d, inv);
        for (int r = 0; r < rows; r++) whole_weights(w[r], inv[r]);
    }
    const uint32_t together = cria_kv_is_whole(kv) ? most : least;
    struct pass s = {a->v, a->e, (const char *)w, c, d, 0, together, a->o + row * a->ldo, a->ldo, ahead};
    values(&s, rows, kv);
    if (cria_kv_is_whole(kv) || least == most) return;
    s.from = least;
    s.c = &one;
    for (uint32_t r = 0; r < (uint32_t)rows; r++) {
        s.to = visible[r];
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
TILES(TILE, I16)
MORE_TILES(TILE, I16)
#define TILE_NAME(rows, kv) tile_##kv##_##rows,
static tile_fn *const tiles[4][MAX_ROWS] = {
    [F16] = {TILES(TILE_NAME, F16) MORE_TILES(TILE_NAME, F16)},
    [F32] = {TILES(TILE_NAME, F32)},
    [I8] = {TILES(TILE_NAME, I8) MORE_TILES(TILE_NAME, I8)},
    [I16] = {TILES(TILE_NAME, I16) MORE_TILES(TILE_NAME, I16)}};

/* How many of the n rows from `row` on see something, before one that does not. */
static uint32_t seeing(const cria_attend *a, uint32_t row, uint32_t n) {
    uint32_t i = 0;
    while (i < n && a->visible[row + i] > 0) i++;
    return i;
}

/* Tiles as even as can be: 13 queries are 7 and 6. What comes next is asked for little by little during all of it, so
 * that reading and computing overlap: on two cores of an Emerald Rapids server blocks that lie in memory are read at
 * 75 % of the speed of a plain read by one query, at 53 % by 8, which without it is 30 %. A few lines at a time into
 * the second cache are 7 to 11 % better than 16 lines into the first. Integers, which have half as many steps, ask in
 * each: on a Zen 4 server that is 12 to 18 % better than in every fourth (a query alone reads int16 at 23 GB/s, 8 of
 * them at 17). */
void ATTEND(const cria_attend *a) {
    if (a->n_q == 0) return;
    const uint32_t most = most_rows((int)a->kv), all = (a->n_q + most - 1) / most,
                   columns = (uint32_t)columns_of((int)(a->n_q / all)), /* of most tiles */
                   steps = 2 * CRIA_KV_BLOCK * a->e / (16 * columns),
                   asks = cria_kv_is_whole(a->kv) ? steps / 2 : steps / ASK_EVERY;
    struct cria_ahead ahead = cria_ahead_over(a->ahead, a->ahead_bytes, all * (asks + 1));
    for (uint32_t row = 0; row < a->n_q; row++) {
        const uint32_t end = row + seeing(a, row, a->n_q - row);
        for (uint32_t left = (end - row + most - 1) / most; left > 0; left--) {
            const uint32_t rows = (end - row + left - 1) / left;
            tiles[a->kv][rows - 1](a, row, &ahead);
            row += rows;
        }
    }
}
