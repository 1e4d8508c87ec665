/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend for NEON. Queries go in tiles of up to 6, so that one load (and conversion) of K or V serves all of
 * a tile. A tile is rows × columns of accumulators, a column being 4 positions (scores) or 4 dimensions
 * (values): at most 24 of them, with 4 columns of K or V and one query's number within the 32 registers.
 *
 * I8 and I16 walk over pairs of dimensions (scores) or of positions (values): of x two int16 are taken, of y 4 pairs
 * (I8 widened). A column then has two accumulators, in which the products of a pair lie side by side; they
 * are added up at the end.
 */
#include "base/half.h"
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/neon.h"
#include "kernels/inline.h"
#include <math.h>
#include <string.h>

enum { MAX_ROWS = 6, MAX_COLUMNS = 16 };
enum { F16 = CRIA_KV_ELEM_F16, F32 = CRIA_KV_ELEM_F32, I8 = CRIA_KV_ELEM_I8, I16 = CRIA_KV_ELEM_I16 };

CRIA_INLINE int columns_for(int rows, int kv) {
    const int floats = rows == 1 ? 16 : rows == 2 ? 8 : 4;
    return cria_kv_is_whole(kv) ? (rows <= 2 ? 4 : 2) : floats;
}

/* Bytes of one lane's number or pair. */
CRIA_INLINE size_t lane_bytes(int kv) { return kv == F32 || kv == I16 ? 4 : 2; }

/* A sum of products over i: 32 bits x[r][i] at x + r·ldx + 4i, and columns of y, in fours that are `apart`: column c
 * of row i at y + i·step + (c/4)·apart + (c%4)·4·lane_bytes. All in bytes. */
struct operands {
    const char *x;
    size_t ldx;
    const char *y;
    size_t step, apart;
};

CRIA_INLINE const void *y_at(const struct operands *s, int c, size_t i, int kv) {
    return s->y + i * s->step + (size_t)(c / 4) * s->apart + (size_t)(c % 4) * 4 * lane_bytes(kv);
}

/* acc[r][c] = fma chain over i in [from, to). */
CRIA_INLINE void products(float32x4_t (*acc)[MAX_COLUMNS], const struct operands *s, size_t from, size_t to,
                          int rows, int columns, int kv) {
    for (size_t i = from; i < to; i++) {
        CRIA_UNROLL
        for (int four = 0; four < columns; four += 4) {
            float32x4_t y[4];
            CRIA_UNROLL
            for (int c = 0; c < 4 && c < columns; c++) {
                const void *at = y_at(s, four + c, i, kv);
                y[c] = kv == F16 ? neon_load_f16(at) : vld1q_f32(at);
            }
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) {
                const float32x4_t x = vld1q_dup_f32((const float *)(const void *)(s->x + (size_t)r * s->ldx + 4 * i));
                CRIA_UNROLL
                for (int c = 0; c < 4 && c < columns; c++)
                    acc[r][four + c] = vfmaq_f32(acc[r][four + c], x, y[c]);
            }
        }
    }
}

/* out[r][c] = the integer sums over i < to. */
CRIA_INLINE void whole_products(int32x4_t (*out)[MAX_COLUMNS], const struct operands *s, size_t to, int rows,
                                int columns, int kv) {
    int32x4_t acc[MAX_ROWS][4][2];
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) acc[r][c][0] = acc[r][c][1] = vdupq_n_s32(0);
    }
    for (size_t i = 0; i < to; i++) {
        int16x8_t y[4];
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) {
            const void *at = y_at(s, c, i, kv);
            y[c] = kv == I8 ? vmovl_s8(vld1_s8(at)) : vld1q_s16(at);
        }
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            const int16x8_t x = vreinterpretq_s16_s32(
                vld1q_dup_s32((const int32_t *)(const void *)(s->x + (size_t)r * s->ldx + 4 * i)));
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) {
                acc[r][c][0] = vmlal_s16(acc[r][c][0], vget_low_s16(x), vget_low_s16(y[c]));
                acc[r][c][1] = vmlal_high_s16(acc[r][c][1], x, y[c]);
            }
        }
    }
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int c = 0; c < columns; c++) out[r][c] = vpaddq_s32(acc[r][c][0], acc[r][c][1]);
    }
}

/* w[r] = scores of all positions below most, in whole passes of columns (of integers, where they are fewer than 16
 * positions: in whole sixteens). */
CRIA_INLINE void scores(const cria_attend *a, uint32_t row, uint32_t most, float (*w)[CRIA_KV_BLOCK],
                        int rows, int kv) {
    const int columns = columns_for(rows, kv);
    const uint32_t positions = 4 * (uint32_t)columns;
    const size_t e = a->e, sixteen = 16 * e * lane_bytes(kv) / (cria_kv_is_whole(kv) ? 2 : 1);
    struct operands s = {.step = 16 * lane_bytes(kv), .apart = sixteen};
    s.x = cria_kv_is_whole(kv) ? (const char *)(a->qi + row * a->ldq) : (const char *)(a->q + row * a->ldq);
    s.ldx = a->ldq * (cria_kv_is_whole(kv) ? sizeof *a->qi : sizeof *a->q);
    const uint32_t end = cria_kv_is_whole(kv) ? (most + 15) / 16 * 16 : most;
    for (uint32_t p = 0; p < end; p += positions) {
        s.y = (const char *)a->k + p / 16 * sixteen + p % 16 * lane_bytes(kv);
        float32x4_t acc[MAX_ROWS][MAX_COLUMNS];
        if (cria_kv_is_whole(kv)) {
            int32x4_t whole[MAX_ROWS][MAX_COLUMNS];
            whole_products(whole, &s, e / 2, rows, columns, kv);
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) {
                CRIA_UNROLL
                for (int c = 0; c < columns; c++) {
                    const float32x4_t d =
                        vmulq_n_f32(vld1q_f32(cria_kv_scales(a->k, kv, a->e) + p + 4 * c), a->qd[row + (uint32_t)r]);
                    acc[r][c] = vmulq_f32(vcvtq_f32_s32(whole[r][c]), d);
                }
            }
        } else {
            CRIA_UNROLL
            for (int r = 0; r < rows; r++) {
                CRIA_UNROLL
                for (int c = 0; c < columns; c++) acc[r][c] = vdupq_n_f32(0);
            }
            products(acc, &s, 0, e, rows, columns, kv);
        }
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int c = 0; c < columns; c++) vst1q_f32(w[r] + p + 4 * c, acc[r][c]);
        }
    }
}

/* The new maximum of a row with n scores. Lanes from n on become −inf, up to a multiple of 16. */
static inline float maximum(float *w, uint32_t n, float m) {
    float32x4_t top = vdupq_n_f32(m);
    for (uint32_t p = n; p % 16 != 0; p++) w[p] = -INFINITY;
    for (uint32_t p = 0; p < n; p += 4) top = vmaxq_f32(top, vld1q_f32(w + p));
    return vmaxvq_f32(top) + 0.0f;
}

/* A row's scores become weights; returns their sum. */
static inline float weights(float *w, uint32_t n, float max) {
    const float32x4_t vmax = vdupq_n_f32(max);
    float32x4_t sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    for (uint32_t p = 0; p < n; p += 16) {
        CRIA_UNROLL
        for (int j = 0; j < 4; j++) {
            const float32x4_t e = neon_exp(vsubq_f32(vld1q_f32(w + p + 4 * j), vmax));
            sum[j] = vaddq_f32(sum[j], e);
            vst1q_f32(w + p + 4 * j, e);
        }
    }
    return neon_tree(sum);
}

/* A row's weights times the scales of the values become int16, 0 from n on, in the same place; returns their
 * scale. */
static inline float whole_weights(float *w, uint32_t n, const float *vd, float most) {
    uint32x4_t top = vdupq_n_u32(0);
    for (uint32_t p = 0; p < n; p += 4) {
        vst1q_f32(w + p, vmulq_f32(vld1q_f32(w + p), vmulq_n_f32(vld1q_f32(vd + p), CRIA_KV_LIFT)));
        for (uint32_t i = n; i < p + 4; i++) w[i] = 0.0f;
        top = vmaxq_u32(top, neon_magnitude(vld1q_f32(w + p)));
    }
    const struct neon_unit u = neon_unit(top, most);
    for (uint32_t p = 0; p < CRIA_KV_BLOCK; p += 4) {
        int16_t whole[4] = {0};
        if (p < n) vst1_s16(whole, vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(w + p), u.inv))));
        memcpy((char *)w + p * sizeof *whole, whole, sizeof whole);
    }
    return u.d * (1 / CRIA_KV_LIFT);
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
};

/* 4·columns dimensions from i on. */
CRIA_INLINE void mix(const struct pass *s, size_t i, int rows, int columns, int kv) {
    const struct operands operands = {s->w, CRIA_KV_BLOCK * 4, s->v + i * lane_bytes(kv), s->e * lane_bytes(kv),
                                      16 * lane_bytes(kv)};
    float32x4_t acc[MAX_ROWS][MAX_COLUMNS];
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int j = 0; j < columns; j++)
            acc[r][j] = vmulq_n_f32(vld1q_f32(s->o + (size_t)r * s->ldo + i + 4 * (size_t)j), s->c[r]);
    }
    if (cria_kv_is_whole(kv)) {
        int32x4_t whole[MAX_ROWS][MAX_COLUMNS];
        whole_products(whole, &operands, (s->to + 1) / 2, rows, columns, kv);
        CRIA_UNROLL
        for (int r = 0; r < rows; r++) {
            CRIA_UNROLL
            for (int j = 0; j < columns; j++)
                acc[r][j] = vfmaq_f32(acc[r][j], vcvtq_f32_s32(whole[r][j]), vdupq_n_f32(s->d[r]));
        }
    } else {
        products(acc, &operands, s->from, s->to, rows, columns, kv);
    }
    CRIA_UNROLL
    for (int r = 0; r < rows; r++) {
        CRIA_UNROLL
        for (int j = 0; j < columns; j++) vst1q_f32(s->o + (size_t)r * s->ldo + i + 4 * (size_t)j, acc[r][j]);
    }
}

/* One dimension j of one row. */
static void mix_one(const struct pass *s, size_t j, size_t row, int kv) {
    float *o = s->o + row * s->ldo + j;
    const char *w = s->w + row * CRIA_KV_BLOCK * 4;
    float acc = *o * s->c[row];
    int32_t sum = 0;
    for (size_t p = cria_kv_is_whole(kv) ? 0 : s->from; p < s->to; p++) {
        const size_t pair = p / 2 * 2 * s->e + 2 * j + p % 2;
        int16_t whole;
        float weight;
        memcpy(&whole, w + p * sizeof whole, sizeof whole);
        memcpy(&weight, w + p * sizeof weight, sizeof weight);
        if (kv == I8)
            sum += whole * ((const int8_t *)s->v)[pair];
        else if (kv == I16)
            sum += whole * ((const int16_t *)(const void *)s->v)[pair];
        else if (kv == F16)
            acc = fmaf(weight, cria_f16_to_f32(((const uint16_t *)(const void *)s->v)[p * s->e + j]), acc);
        else
            acc = fmaf(weight, ((const float *)(const void *)s->v)[p * s->e + j], acc);
    }
    *o = cria_kv_is_whole(kv) ? fmaf((float)sum, s->d[row], acc) : acc;
}

CRIA_INLINE void values(const struct pass *s, int rows, int kv) {
    const int columns = columns_for(rows, kv);
    const size_t e = s->e, step = 4 * (size_t)columns;
    size_t i = 0;
    for (; i + step <= e; i += step) mix(s, i, rows, columns, kv);
    for (; i + 4 <= e; i += 4) mix(s, i, rows, 1, kv);
    for (; i < e; i++)
        for (size_t r = 0; r < (size_t)rows; r++) mix_one(s, i, r, kv);
}

static void values_f16(const struct pass *s) { values(s, 1, F16); }
static void values_f32(const struct pass *s) { values(s, 1, F32); }

/* Every row sees something. Where the mask is causal they see different numbers of positions: floats go together
 * as far as all see, then each; integers all the way, with weights of 0. */
CRIA_INLINE void attend_tile(const cria_attend *a, uint32_t row, int rows, int kv) {
    static const float one = 1.0f;
    float w[MAX_ROWS][CRIA_KV_BLOCK], max[MAX_ROWS], c[MAX_ROWS], d[MAX_ROWS];
    uint32_t least = CRIA_KV_BLOCK, most = 0;
    for (int r = 0; r < rows; r++) {
        const uint32_t n = a->visible[row + (uint32_t)r];
        if (n < least) least = n;
        if (n > most) most = n;
    }
    scores(a, row, most, w, rows, kv);
    for (int r = 0; r < rows; r++) {
        const uint32_t at = row + (uint32_t)r;
        if (a->cap != 0) cria_softcap_neon(w[r], a->cap, a->visible[at]);
        if (a->hidden) cria_hide(w[r], a->hidden[at]);
        max[r] = maximum(w[r], a->visible[at], a->m[at]);
    }
    for (int r = 0; r < rows; r++) {
        const uint32_t at = row + (uint32_t)r, n = a->visible[at];
        const float sum = weights(w[r], n, max[r]);
        if (cria_kv_is_whole(kv))
            d[r] = whole_weights(w[r], n, cria_kv_scales(a->v, kv, a->e), cria_kv_limits(kv, a->e).weight);
        c[r] = vgetq_lane_f32(neon_exp(vdupq_n_f32(a->m[at] - max[r])), 0);
        a->l[at] = fmaf(a->l[at], c[r], sum);
        a->m[at] = max[r];
    }
    const uint32_t together = cria_kv_is_whole(kv) ? most : least;
    struct pass s = {a->v, a->e, (const char *)w, c, d, 0, together, a->o + row * a->ldo, a->ldo};
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
typedef void tile_fn(const cria_attend *a, uint32_t row);
#define TILES(X, kv) X(1, kv) X(2, kv) X(3, kv) X(4, kv) X(5, kv) X(6, kv)
#define TILE(rows, kv)                                                                                       \
    static void tile_##kv##_##rows(const cria_attend *a, uint32_t row) { attend_tile(a, row, rows, kv); }
TILES(TILE, F16)
TILES(TILE, F32)
TILES(TILE, I8)
TILES(TILE, I16)
#define TILE_NAME(rows, kv) tile_##kv##_##rows,
static tile_fn *const tiles[4][MAX_ROWS] = {[F16] = {TILES(TILE_NAME, F16)},
                                            [F32] = {TILES(TILE_NAME, F32)},
                                            [I8] = {TILES(TILE_NAME, I8)},
                                            [I16] = {TILES(TILE_NAME, I16)}};

/* How many of the n rows from `row` on see something, before one that does not. */
static uint32_t seeing(const cria_attend *a, uint32_t row, uint32_t n) {
    uint32_t i = 0;
    while (i < n && a->visible[row + i] > 0) i++;
    return i;
}

/* Tiles as even as can be: 7 queries are 4 and 3. */
void cria_attend_neon(const cria_attend *a) {
    for (uint32_t row = 0; row < a->n_q; row++) {
        const uint32_t end = row + seeing(a, row, a->n_q - row);
        for (uint32_t left = (end - row + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
            const uint32_t rows = (end - row + left - 1) / left;
            tiles[a->kv][rows - 1](a, row);
            row += rows;
        }
    }
}
