/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for baseline AArch64 (matmul_q of kernels.h; the loops around: matmul_q.h).
 *
 * Without the dot product instructions: levels as bytes, split into the even and odd inputs of each row as
 * 16-bit numbers, times 16-bit activations (both planes at once), added up in 32 bits. A row's sum is in two
 * lanes until the end of a unit.
 */
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/unpack_neon.h"
#include "kernels/matmul_q.h"

enum { MAX_TOKENS = 4 };

INLINE int16x8_t broadcast_pair(const int16_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return vreinterpretq_s16_s32(vdupq_n_s32(v));
}

/* I_j of four rows and n tokens, from the given steps' codes and activations. steps and n are constants. */
INLINE void dot_words(const uint8_t *codes, const int16_t *pairs, int steps, int n,
                      int32x4_t dot[]) {
    int32x4_t low[MAX_TOKENS], high[MAX_TOKENS]; /* rows 0 and 1, rows 2 and 3 */
    UNROLL for (int t = 0; t < n; t++) low[t] = high[t] = vdupq_n_s32(0);
    UNROLL for (int i = 0; i < steps; i++) {
        const uint16x8_t w = vreinterpretq_u16_u8(vld1q_u8(codes + 64 * i));
        const int16x8_t even = vreinterpretq_s16_u16(vandq_u16(w, vdupq_n_u16(255)));
        const int16x8_t odd = vreinterpretq_s16_u16(vshrq_n_u16(w, 8));
        UNROLL for (int t = 0; t < n; t++) {
            const int16_t *p = pairs + 2 * (2 * i * n + t);
            const int16x8_t a = broadcast_pair(p), b = broadcast_pair(p + 2 * n);
            low[t] = vmlal_s16(low[t], vget_low_s16(even), vget_low_s16(a));
            high[t] = vmlal_high_s16(high[t], even, a);
            low[t] = vmlal_s16(low[t], vget_low_s16(odd), vget_low_s16(b));
            high[t] = vmlal_high_s16(high[t], odd, b);
        }
    }
    UNROLL for (int t = 0; t < n; t++) dot[t] = vpaddq_s32(low[t], high[t]);
}

/* steps and n are constants. */
INLINE void tile(const struct cria_tile *s, int steps, int n) {
    float32x4_t acc[MAX_TOKENS][4], sum[MAX_TOKENS][4];
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < 4; i++) {
            acc[t][i] = s->first ? vdupq_n_f32(0) : load_rows(s->sums + CRIA_TILE_ROWS * t, s->rows, i);
        }
    }
    size_t unit = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        UNROLL for (int t = 0; t < n; t++) {
            UNROLL for (int i = 0; i < 4; i++) sum[t][i] = vdupq_n_f32(-0.0f); /* −0 + a·b is a·b rounded */
        }
        for (uint32_t j = 0; j < s->units; j++, unit++) {
            const size_t chunk = unit * (size_t)steps / 8, half = unit * (size_t)steps % 8 / 4;
            const uint8_t *codes = s->codes + chunk * s->chunk_bytes + half * 256;
            UNROLL for (int i = 0; i < 4; i++) {
                int32x4_t dot[MAX_TOKENS];
                dot_words(codes + 16 * i, s->pairs + 4 * (size_t)steps * unit * (size_t)n, steps, n, dot);
                UNROLL for (int t = 0; t < n; t++) {
                    if (!s->affine)
                        dot[t] = vaddq_s32(dot[t], vdupq_n_s32(s->start[unit * (size_t)n + (size_t)t]));
                    sum[t][i] =
                        vfmaq_n_f32(sum[t][i], vcvtq_f32_s32(dot[t]), s->d[chunk * (size_t)n + (size_t)t]);
                }
            }
        }
        UNROLL for (int t = 0; t < n; t++) {
            UNROLL for (int i = 0; i < 4; i++) {
                acc[t][i] = vfmaq_f32(acc[t][i], vld1q_f32(s->scales + 16 * g + 4 * i), sum[t][i]);
                if (s->affine)
                    acc[t][i] = vfmaq_n_f32(acc[t][i], vld1q_f32(s->biases + 16 * g + 4 * i),
                                            s->u[g * (size_t)n + (size_t)t]);
            }
        }
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < 4; i++) store_rows(s->y + (size_t)t * s->ldy, s->rows, i, acc[t][i]);
    }
}

#define TILE(name, steps, n)                                                                                 \
    static void name(const struct cria_tile *s) { tile(s, steps, n); }

#define TILES(name, steps)                                                                                   \
    TILE(name##_1, steps, 1)                                                                                 \
    TILE(name##_2, steps, 2)                                                                                 \
    TILE(name##_3, steps, 3)                                                                                 \
    TILE(name##_4, steps, 4)                                                                                 \
    static const cria_tile_fn name[MAX_TOKENS] = {name##_1, name##_2, name##_3, name##_4};

TILES(units_of_32, 8)
TILES(units_of_16, 4)

static struct cria_tile_plan make_plan(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    (void)n;
    (void)planes;
    return (struct cria_tile_plan){.one = s->group < CRIA_CHUNK ? units_of_16 : units_of_32,
                                   .max_tokens = MAX_TOKENS,
                                   .words = true,
                                   .unpack = s->bits == 8 ? NULL : unpack_chunks};
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales};

CRIA_MATMUL_Q(neon, ops)
