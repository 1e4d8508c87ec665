/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tile of the quantized product (matmul_q.h) on AArch64 with dot product instructions: one row block,
 * four registers of four rows, against up to six vectors of 8-bit activations, which are tokens or the two
 * planes of tokens. Included by the files that have the integer products of a unit.
 */
#ifndef CRIA_KERNELS_ARM_TILE_NEON_H
#define CRIA_KERNELS_ARM_TILE_NEON_H

#include "kernels/arm/unpack_neon.h"
#include "kernels/matmul_q.h"

enum { MAX_VECTORS = CRIA_TILE_TOKENS };

/* Nothing is read earlier than written here: where sums take most registers, GCC reads weights long before
 * their use and has to put them aside again. */
#define KEEP_ORDER() __asm__ volatile("" ::: "memory")

/* dot[v][i] = start[v] + the products of vector v, plane v % planes of token v / planes, with the rows
 * 4i..4i+3 of a unit of 4·steps inputs; q is where its activations begin. All arguments but s, codes, q and
 * start are constants. */
typedef void dots_fn(const struct cria_tile *s, const uint8_t *codes, const int8_t *q, int bits, bool levels,
                     int steps, int planes, int n, const int32_t start[], int32x4_t dot[][4]);

/* All arguments but s are constants. */
INLINE void tile(const struct cria_tile *s, dots_fn *dots, int bits, bool levels, int steps, int planes,
                 int n) {
    float32x4_t acc[MAX_VECTORS][4], sum[MAX_VECTORS][4];
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
            int32_t start[MAX_VECTORS] = {0};
            int32x4_t dot[MAX_VECTORS][4];
            if (bits != 8 || n * planes <= 2)
                cria_ask(&s->stream, chunk, bits, 4 * (int)half, 0, steps, 0);
            UNROLL for (int t = 0; t < n; t++) {
                start[planes * t] = s->start ? s->start[unit * (size_t)n + (size_t)t] : 0;
            }
            dots(s, codes, s->q + (32 * chunk + 16 * half) * (size_t)n, bits, levels, steps, planes, n, start,
                 dot);
            UNROLL for (int t = 0; t < n; t++) {
                const float32x4_t d = vdupq_n_f32(s->d[chunk * (size_t)n + (size_t)t]);
                UNROLL for (int i = 0; i < 4; i++) {
                    int32x4_t whole = dot[planes * t][i];
                    if (planes == 2) whole = vaddq_s32(whole, vshlq_n_s32(dot[2 * t + 1][i], 8));
                    sum[t][i] = vfmaq_f32(sum[t][i], vcvtq_f32_s32(whole), d);
                }
            }
        }
        UNROLL for (int i = 0; i < 4; i++) {
            const float32x4_t scale = vld1q_f32(s->scales + 16 * g + 4 * i);
            UNROLL for (int t = 0; t < n; t++) acc[t][i] = vfmaq_f32(acc[t][i], scale, sum[t][i]);
        }
        if (!s->affine) continue;
        UNROLL for (int i = 0; i < 4; i++) {
            const float32x4_t bias = vld1q_f32(s->biases + 16 * g + 4 * i);
            UNROLL for (int t = 0; t < n; t++) {
                acc[t][i] = vfmaq_f32(acc[t][i], bias, vdupq_n_f32(s->u[g * (size_t)n + (size_t)t]));
            }
        }
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int i = 0; i < 4; i++) store_rows(s->y + (size_t)t * s->ldy, s->rows, i, acc[t][i]);
    }
}

#endif
