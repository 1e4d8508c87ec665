/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend for AVX2. Queries go in tiles of up to 6, so that one load (and conversion) of K or V serves all of
 * a tile. A tile is rows × columns of accumulators, a column being 8 positions (scores) or 8 dimensions
 * (values); the shapes below keep them in the 16 registers with at least 8 independent chains, integers with fewer
 * (their chains are of vpaddd, which takes a cycle) since the products need registers too.
 *
 * I8 and I16 walk over pairs of dimensions (scores) or of positions (values): a lane's 32 bits of x are two int16, y's
 * are too (I8 widened), and one vpmaddwd and one vpaddd do the work of two vfmadd; with AVX-VNNI one vpdpwssd.
 * attn_avxvnni.c includes this file with ATTEND and ATTEND_VNNI defined.
 */
#include "kernels/inline.h"
#include "kernels/x86/avx2.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

#if !defined(ATTEND)
#define ATTEND cria_attend_avx2
#define ATTEND_VNNI 0
#endif

enum { MAX_ROWS = 6, MAX_COLUMNS = 8, ASK_EVERY = 4, WHOLE_ASK_EVERY = 2 /* pairs */ };
enum { F16 = CRIA_KV_ELEM_F16, F32 = CRIA_KV_ELEM_F32, I8 = CRIA_KV_ELEM_I8, I16 = CRIA_KV_ELEM_I16 };

CRIA_INLINE int columns_for(int rows, int kv) {
    if (cria_kv_is_whole(kv)) return rows <= 2 ? 4 : 2;
    return rows == 1 ? 8 : rows <= 3 ? 4 : 2;
}

/* Bytes of one lane's number or pair, and of a column of 8. */
CRIA_INLINE size_t lane_bytes(int kv) { return kv == F32 || kv == I16 ? 4 : 2; }
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

CRIA_INLINE const void *y_at(const struct operands *s, int c, size_t i, int kv) {
    return s->y + i * s->step + (size_t)(c / 2) * s->two + (size_t)(c % 2) * column_bytes(kv);
}

CRIA_INLINE __m256 load_y(const struct operands *s, int c, size_t i, int kv) {
    const void *at = y_at(s, c, i, kv);
    return kv == F16 ? _mm256_cvtph_ps(_mm_loadu_si128(at)) : _mm256_loadu_ps(at);
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
                for (int c = 0; c < columns; c++) acc[r][c] = _mm256_fmadd_ps(x, y[c], acc[r][c]);
            }
        } else {
            __m256 x[MAX_ROWS];
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) x[r] = load_x(s, r, i);
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) {
                const __m256 y = load_y(s, c, i, kv);
                CRIA_UNROLL
                for (int r = 0; r < rows; r++) acc[r][c] = _mm256_fmadd_ps(x[r], y, acc[r][c]);
            }
        }
    }
}

CRIA_INLINE __m256i pairs(__m256i sum, __m256i x, __m256i y) {
#if ATTEND_VNNI
    return _mm256_dpwssd_avx_epi32(sum, x, y);
#else
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, y));
#endif
}

CRIA_INLINE __m256i load_pairs(const void *at, int kv) {
    return kv == I8 ? _mm256_cvtepi8_epi16(_mm_loadu_si128(at)) : _mm256_loadu_si256(at);
}

/* The same of integers, for i < to. ldx is a constant: then one register addresses all of x. */
CRIA_INLINE void whole_products(__m256i (*acc)[MAX_COLUMNS], const struct operands *s, size_t to, int rows, int columns,
                                int kv, struct cria_ahead *ahead) {
    for (size_t i = 0; i < to; i++) {
        if (i % WHOLE_ASK_EVERY == 0) cria_ahead_ask(ahead);
        __m256i y[MAX_COLUMNS];
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) y[c] = load_pairs(y_at(s, c, i, kv), kv);
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m256i x = _mm256_castps_si256(load_x(s, r, i));
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) {
                acc[r][c] = pairs(acc[r][c], x, y[c]);
                __asm__("" : "+x"(acc[r][c])); /* or GCC takes sums apart, and runs out of registers */
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

CRIA_INLINE void whole_clear(__m256i (*acc)[MAX_COLUMNS], int rows, int columns) {
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) acc[r][c] = _mm256_setzero_si256();
    }
}

/* w[r] = scores of all positions below most, in whole passes of columns, at least 16 positions. */
CRIA_INLINE void scores(const cria_attend *a, uint32_t row, uint32_t most, float (*w)[CRIA_KV_BLOCK],
                        struct cria_ahead *ahead, int rows, int kv) {
    const int columns = columns_for(rows, kv);
    const size_t e = a->e, sixteen = 2 * e * column_bytes(kv);
    struct operands s = {.x = (const char *)(a->q + row * a->ldq), .ldx = a->ldq * sizeof *a->q,
                         .step = 2 * column_bytes(kv), .two = sixteen};
    for (uint32_t p = 0; p < most; p += 8 * (uint32_t)columns) {
        s.y = (const char *)a->k + p / 16 * sixteen;
        __m256 acc[MAX_ROWS][MAX_COLUMNS];
        clear(acc, rows, columns);
        products(acc, &s, 0, e, rows, columns, kv, ahead);
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) _mm256_storeu_ps(w[r] + p + 8 * c, acc[r][c]);
        }
    }
}

/* Dimensions of queries that lie side by side at a time. */
#define SOME_DIMS 128u

CRIA_INLINE void whole_scores(const cria_attend *a, uint32_t row, uint32_t most, float (*w)[CRIA_KV_BLOCK],
                              struct cria_ahead *ahead, int rows, int kv) {
    _Alignas(32) int16_t q[MAX_ROWS][SOME_DIMS];
    const int columns = columns_for(rows, kv);
    const size_t e = a->e, sixteen = e * column_bytes(kv);
    for (uint32_t p = 0; p < most; p += 8 * (uint32_t)columns) {
        __m256i acc[MAX_ROWS][MAX_COLUMNS];
        whole_clear(acc, rows, columns);
        for (size_t at = 0; at < e; at += SOME_DIMS) {
            const size_t n = e - at < SOME_DIMS ? e - at : SOME_DIMS;
            for (int r = 0; (p == 0 || e > SOME_DIMS) && r < rows; r++)
                memcpy(q[r], a->qi + (row + (uint32_t)r) * a->ldq + at, n * sizeof *q[r]);
            const struct operands s = {(const char *)q, sizeof q[0],
                                       (const char *)a->k + p / 16 * sixteen + at * column_bytes(kv),
                                       2 * column_bytes(kv), sixteen};
            whole_products(acc, &s, n / 2, rows, columns, kv, ahead);
        }
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) {
            const __m256 kd = _mm256_loadu_ps(cria_kv_scales(a->k, kv, a->e) + p + 8 * c);
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) {
                const __m256 d = _mm256_mul_ps(_mm256_broadcast_ss(a->qd + row + r), kd);
                _mm256_storeu_ps(w[r] + p + 8 * c, _mm256_mul_ps(_mm256_cvtepi32_ps(acc[r][c]), d));
            }
        }
    }
}

/* The largest lane, in all lanes. */
static inline __m256 largest(__m256 v) {
    v = _mm256_max_ps(v, _mm256_permute2f128_ps(v, v, 1));
    v = _mm256_max_ps(v, _mm256_permute_ps(v, 0x4e));
    return _mm256_max_ps(v, _mm256_permute_ps(v, 0xb1));
}

static inline __m256i largest_whole(__m256i v) {
    v = _mm256_max_epi32(v, _mm256_permute2x128_si256(v, v, 1));
    v = _mm256_max_epi32(v, _mm256_shuffle_epi32(v, 0x4e));
    return _mm256_max_epi32(v, _mm256_shuffle_epi32(v, 0xb1));
}

/* All ones in the lanes of positions p..p+7 that are below n. */
static inline __m256 below(uint32_t n, uint32_t p) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - (int)p), lane));
}

/* A row's scores of n positions become weights, 0 from n on. */
struct soft {
    __m256 max;  /* the new maximum, in all lanes */
    __m256i top; /* of integers: the bits of the largest magnitude, in all lanes */
    float sum;
};

/* vd: of integers, the lifted scales of the values, which weights are multiplied by when they have been added up. */
CRIA_INLINE struct soft soften(float *w, uint32_t n, __m256 old_max, const float *vd) {
    __m256 max[2] = {old_max, old_max}, sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    struct soft soft = {.top = _mm256_setzero_si256()};
    CRIA_UNROLL
    for (uint32_t i = 0; i < CRIA_KV_BLOCK / 8; i++) {
        const __m256 s = _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), _mm256_loadu_ps(w + 8 * i), below(n, 8 * i));
        _mm256_storeu_ps(w + 8 * i, s);
        max[i % 2] = _mm256_max_ps(max[i % 2], s);
    }
    soft.max = _mm256_add_ps(largest(_mm256_max_ps(max[0], max[1])), _mm256_setzero_ps());
    CRIA_UNROLL
    for (uint32_t i = 0; i < CRIA_KV_BLOCK / 8; i++) {
        __m256 s = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(w + 8 * i), soft.max));
        sum[i % 2] = _mm256_add_ps(sum[i % 2], s);
        if (vd) {
            s = _mm256_and_ps(_mm256_mul_ps(s, _mm256_loadu_ps(vd + 8 * i)), below(n, 8 * i));
            soft.top = _mm256_max_epi32(soft.top, avx2_magnitude(s));
        }
        _mm256_storeu_ps(w + 8 * i, s);
    }
    soft.sum = avx2_tree(sum[0], sum[1]);
    if (vd) soft.top = largest_whole(soft.top);
    return soft;
}

/* Weights become int16, in the same place. */
CRIA_INLINE void whole_weights(float *w, float inv) {
    const __m256 v = _mm256_set1_ps(inv);
    CRIA_UNROLL
    for (uint32_t i = 0; i < CRIA_KV_BLOCK / 16; i++) {
        const __m256i w0 = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(w + 16 * i), v)),
                      w1 = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(w + 16 * i + 8), v));
        _mm256_storeu_si256((__m256i *)(void *)w + i, _mm256_permute4x64_epi64(_mm256_packs_epi32(w0, w1), 0xd8));
    }
}

/* inv, and d without the lift, of units (struct cria_act) whose largest magnitudes' bits are the lanes of top. Where d
 * is NaN, integers mean nothing. */
static inline void units(__m256i top, float max, float *d, float *inv) {
    const __m256 t = _mm256_castsi256_ps(top), m = _mm256_set1_ps(max);
    const __m256 finite = _mm256_cmp_ps(t, _mm256_set1_ps(INFINITY), _CMP_LT_OQ),
                 some = _mm256_cmp_ps(t, _mm256_set1_ps(CRIA_QUANTIZE_MIN), _CMP_NLT_UQ);
    const __m256 all = _mm256_blendv_ps(_mm256_set1_ps(NAN), _mm256_and_ps(_mm256_div_ps(t, m), some), finite);
    _mm256_storeu_ps(d, _mm256_mul_ps(all, _mm256_set1_ps(1 / CRIA_KV_LIFT)));
    _mm256_storeu_ps(inv, _mm256_and_ps(_mm256_div_ps(m, t), _mm256_and_ps(some, finite)));
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
                             2 * column_bytes(kv)};
}

/* 8·columns dimensions from i on. */
CRIA_INLINE void mix(const struct pass *s, size_t i, int rows, int columns, int kv) {
    const struct operands operands = mixed(s, i, kv);
    __m256 acc[MAX_ROWS][MAX_COLUMNS];
    float *o = s->o + i;
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        const __m256 c = _mm256_broadcast_ss(s->c + r);
        CRIA_UNROLL
        for (int j = 0; j < columns; j++)
            acc[r][j] = _mm256_mul_ps(_mm256_loadu_ps(o + (size_t)r * s->ldo + 8 * (size_t)j), c);
    }
    products(acc, &operands, s->from, s->to, rows, columns, kv, s->ahead);
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int j = 0; j < columns; j++) _mm256_storeu_ps(o + (size_t)r * s->ldo + 8 * (size_t)j, acc[r][j]);
    }
}

CRIA_INLINE void whole_mix(const struct pass *s, size_t i, int rows, int columns, int kv) {
    const struct operands operands = mixed(s, i, kv);
    __m256i acc[MAX_ROWS][MAX_COLUMNS];
    whole_clear(acc, rows, columns);
    whole_products(acc, &operands, (s->to + 1) / 2, rows, columns, kv, s->ahead);
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        const __m256 c = _mm256_broadcast_ss(s->c + r), d = _mm256_broadcast_ss(s->d + r);
        CRIA_UNROLL
        for (int j = 0; j < columns; j++) {
            float *o = s->o + i + (size_t)r * s->ldo + 8 * (size_t)j;
            const __m256 before = _mm256_mul_ps(_mm256_loadu_ps(o), c);
            _mm256_storeu_ps(o, _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[r][j]), d, before));
        }
    }
}

/* The last dimensions, fewer than 8, from i on, of one row. Heads are multiples of 8 wide in all known models:
 * this is right, not fast. */
static void mix_tail(const struct pass *s, size_t i, size_t row, int kv) {
    const size_t dims = s->e - i;
    const __m256i tail = avx2_mask(dims);
    float *o = s->o + row * s->ldo + i;
    struct operands operands = mixed(s, i, kv);
    operands.x += row * operands.ldx;
    __m256 acc = _mm256_mul_ps(_mm256_maskload_ps(o, tail), _mm256_broadcast_ss(s->c + row));
    __m256i sum = _mm256_setzero_si256();
    const size_t from = cria_kv_is_whole(kv) ? 0 : s->from, to = cria_kv_is_whole(kv) ? (s->to + 1) / 2 : s->to;
    for (size_t p = from; p < to; p++) {
        float last[8] = {0};
        memcpy(last, y_at(&operands, 0, p, kv), dims * lane_bytes(kv));
        const struct operands one = {.y = (const char *)last};
        const __m256 x = load_x(&operands, 0, p);
        if (cria_kv_is_whole(kv))
            sum = pairs(sum, _mm256_castps_si256(x), load_pairs(last, kv));
        else
            acc = _mm256_fmadd_ps(x, load_y(&one, 0, 0, kv), acc);
    }
    if (cria_kv_is_whole(kv)) acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_broadcast_ss(s->d + row), acc);
    _mm256_maskstore_ps(o, tail, acc);
}

CRIA_INLINE void mix_some(const struct pass *s, size_t i, int rows, int columns, int kv) {
    if (cria_kv_is_whole(kv))
        whole_mix(s, i, rows, columns, kv);
    else
        mix(s, i, rows, columns, kv);
}

CRIA_INLINE void values(const struct pass *s, int rows, int kv) {
    const int columns = columns_for(rows, kv);
    const size_t e = s->e, step = 8 * (size_t)columns;
    size_t i = 0;
    for (; i + step <= e; i += step) mix_some(s, i, rows, columns, kv);
    for (; i + 8 <= e; i += 8) mix_some(s, i, rows, 1, kv);
    for (size_t r = 0; i < e && r < (size_t)rows; r++) mix_tail(s, i, r, kv);
}

static void values_f16(const struct pass *s) { values(s, 1, F16); }
static void values_f32(const struct pass *s) { values(s, 1, F32); }

/* Every row sees something. Where the mask is causal they see different numbers of positions: floats go together
 * as far as all see, then each; integers all the way, with weights of 0. */
CRIA_INLINE void attend_tile(const cria_attend *a, uint32_t row, struct cria_ahead *ahead, int rows, int kv) {
    static const float one = 1.0f;
    float w[MAX_ROWS][CRIA_KV_BLOCK], m[8], c[8], d[8], inv[8], sum[MAX_ROWS];
    float lifted[CRIA_KV_BLOCK];
    uint32_t least = CRIA_KV_BLOCK, most = 0;
    for (int r = 0; r < rows; r++) {
        const uint32_t n = a->visible[row + (uint32_t)r];
        if (n < least) least = n;
        if (n > most) most = n;
    }
    if (cria_kv_is_whole(kv))
        whole_scores(a, row, most, w, ahead, rows, kv);
    else
        scores(a, row, most, w, ahead, rows, kv);
    for (int i = 0; cria_kv_is_whole(kv) && i < (int)CRIA_KV_BLOCK; i += 8)
        _mm256_storeu_ps(lifted + i, _mm256_mul_ps(_mm256_loadu_ps(cria_kv_scales(a->v, kv, a->e) + i),
                                                   _mm256_set1_ps(CRIA_KV_LIFT)));
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256 before = _mm256_setzero_ps(), after = before, top = before;
    for (int r = 0; r < rows; r++) {
        const uint32_t at = row + (uint32_t)r, n = a->visible[at];
        const __m256 lane = _mm256_castsi256_ps(_mm256_cmpeq_epi32(lanes, _mm256_set1_epi32(r)));
        if (a->cap != 0) cria_softcap_avx2(w[r], a->cap, n);
        if (a->hidden) cria_hide(w[r], a->hidden[at]);
        const __m256 old = _mm256_broadcast_ss(a->m + at);
        const struct soft soft = soften(w[r], n, old, cria_kv_is_whole(kv) ? lifted : NULL);
        before = _mm256_blendv_ps(before, old, lane);
        after = _mm256_blendv_ps(after, soft.max, lane);
        top = _mm256_blendv_ps(top, _mm256_castsi256_ps(soft.top), lane);
        sum[r] = soft.sum;
    }
    _mm256_storeu_ps(m, after);
    _mm256_storeu_ps(c, avx2_exp(_mm256_sub_ps(before, after)));
    for (int r = 0; r < rows; r++) {
        a->m[row + (uint32_t)r] = m[r];
        a->l[row + (uint32_t)r] = fmaf(a->l[row + (uint32_t)r], c[r], sum[r]);
    }
    if (cria_kv_is_whole(kv)) {
        units(_mm256_castps_si256(top), cria_kv_limits(kv, a->e).weight, d, inv);
        for (int r = 0; r < rows; r++) whole_weights(w[r], inv[r]);
    }
    const uint32_t together = cria_kv_is_whole(kv) ? most : least;
    struct pass s = {a->v, a->e, (const char *)w, c, d, 0, together, a->o + row * a->ldo, a->ldo, ahead};
    values(&s, rows, kv);
    if (cria_kv_is_whole(kv) || least == most) return;
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
#define TILE(rows, kv)                                                                                       \
    static void tile_##kv##_##rows(const cria_attend *a, uint32_t row, struct cria_ahead *ahead) {            \
        attend_tile(a, row, ahead, rows, kv);                                                                \
    }
TILES(TILE, F16)
TILES(TILE, F32)
TILES(TILE, I8)
TILES(TILE, I16)
#define TILE_NAME(rows, kv) tile_##kv##_##rows,
static tile_fn *const tiles[4][MAX_ROWS] = {
    [F16] = {TILES(TILE_NAME, F16)},
    [F32] = {TILES(TILE_NAME, F32)},
    [I8] = {TILES(TILE_NAME, I8)},
    [I16] = {TILES(TILE_NAME, I16)}};

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
void ATTEND(const cria_attend *a) {
    if (a->n_q == 0) return;
    const bool whole = cria_kv_is_whole(a->kv);
    const uint32_t all = (a->n_q + MAX_ROWS - 1) / MAX_ROWS,
                   columns = (uint32_t)columns_for((int)(a->n_q / all), (int)a->kv),
                   steps = 2 * CRIA_KV_BLOCK * a->e / (8 * columns) / (whole ? 2 : 1);
    struct cria_ahead ahead = cria_ahead_over(a->n_q > 1 || whole ? a->ahead : NULL, a->ahead_bytes,
                                              all * (steps / (whole ? WHOLE_ASK_EVERY : ASK_EVERY) + 1));
    for (uint32_t row = 0; row < a->n_q; row++) {
        const uint32_t end = row + seeing(a, row, a->n_q - row);
        for (uint32_t left = (end - row + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
            const uint32_t rows = (end - row + left - 1) / left;
            tiles[a->kv][rows - 1](a, row, &ahead);
            row += rows;
        }
    }
}
