/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AArch64 with the dot product instructions (matmul_q of kernels.h; the loops
 * around: matmul_q.h).
 *
 * sdot adds four products of signed bytes to 32 bits, the activations being one lane of a register of 16 of
 * them for all rows. Levels are unsigned: where they may pass 127 they are taken as L − 128, and 128·Σa is in
 * the sum's start, next to the zero of a symmetric matrix, −zero·Σa. Unpacked levels are always L − 128,
 * since it costs nothing there. Six vectors take 24 sums, six activations and two weights of the 32
 * registers; the float sums rest in memory meanwhile.
 */
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/tile_neon.h"

INLINE int32x4_t dot_lane(int32x4_t sum, int8x16_t w, int8x16_t a, int lane) {
    switch (lane) {
    case 0:
        return vdotq_laneq_s32(sum, w, a, 0);
    case 1:
        return vdotq_laneq_s32(sum, w, a, 1);
    case 2:
        return vdotq_laneq_s32(sum, w, a, 2);
    default:
        return vdotq_laneq_s32(sum, w, a, 3);
    }
}

/* bits 0: unpacked levels. Steps of nibbles are taken in an order that uses a loaded vector up before the
 * next one. */
INLINE void dots(const struct cria_tile *s, const uint8_t *codes, const int8_t *q, int bits, bool levels,
                 int steps, int planes, int n, const int32_t start[], int32x4_t dot[][4]) {
    const uint8x16_t sign = vdupq_n_u8(128);
    const uint8x16_t table = levels ? veorq_u8(vld1q_u8(s->levels), sign) : sign;
    UNROLL for (int v = 0; v < n * planes; v++) {
        UNROLL for (int i = 0; i < 4; i++) dot[v][i] = vdupq_n_s32(start[v]);
    }
    UNROLL for (int k = 0; k < steps; k++) {
        const int step = bits % 8 == 0 ? k : k % 2 * 4 + k / 2;
        UNROLL for (int i = 0; i < 4; i++) {
            uint8x16_t w = step_codes(codes, bits == 0 ? 8 : bits, i, step);
            if (levels) w = vqtbl1q_u8(table, w);
            if (bits == 8) w = veorq_u8(w, sign);
            UNROLL for (int v = 0; v < n * planes; v++) {
                const int at = step * n + v / planes; /* a lane's four inputs */
                const int8x16_t a = vld1q_s8(q + (size_t)(v % planes) * s->plane + 16 * (at / 4));
                dot[v][i] = dot_lane(dot[v][i], vreinterpretq_s8_u8(w), a, at % 4);
            }
        }
        if (n * planes > 2 && (bits % 8 == 0 || k % 2)) KEEP_ORDER();
    }
}

#define TILE(name, bits, levels, steps, planes, n)                                                           \
    static void name(const struct cria_tile *s) { tile(s, dots, bits, levels, steps, planes, n); }

/* Packed codes, units of 32: [planes − 1][tokens − 1] up to four vectors. */
#define DIRECT(name, bits, levels)                                                                           \
    TILE(name##_11, bits, levels, 8, 1, 1)                                                                   \
    TILE(name##_12, bits, levels, 8, 1, 2)                                                                   \
    TILE(name##_13, bits, levels, 8, 1, 3)                                                                   \
    TILE(name##_14, bits, levels, 8, 1, 4)                                                                   \
    TILE(name##_21, bits, levels, 8, 2, 1)                                                                   \
    TILE(name##_22, bits, levels, 8, 2, 2)                                                                   \
    static const cria_tile_fn name[2][4] = {{name##_11, name##_12, name##_13, name##_14},                    \
                                            {name##_21, name##_22}};

DIRECT(direct2, 2, false)
DIRECT(direct3, 3, false)
DIRECT(direct4, 4, false)
DIRECT(direct4_levels, 4, true)
DIRECT(direct5, 5, false)
DIRECT(direct6, 6, false)
DIRECT(direct8, 8, false)

/* Unpacked levels: [planes − 1][tokens − 1] up to six vectors. */
#define UNPACKED(name, steps)                                                                                \
    TILE(name##_11, 0, false, steps, 1, 1)                                                                   \
    TILE(name##_12, 0, false, steps, 1, 2)                                                                   \
    TILE(name##_13, 0, false, steps, 1, 3)                                                                   \
    TILE(name##_14, 0, false, steps, 1, 4)                                                                   \
    TILE(name##_15, 0, false, steps, 1, 5)                                                                   \
    TILE(name##_16, 0, false, steps, 1, 6)                                                                   \
    TILE(name##_21, 0, false, steps, 2, 1)                                                                   \
    TILE(name##_22, 0, false, steps, 2, 2)                                                                   \
    TILE(name##_23, 0, false, steps, 2, 3)                                                                   \
    static const cria_tile_fn name[2][6] = {                                                                 \
        {name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                                  \
        {name##_21, name##_22, name##_23}};

UNPACKED(unpacked, 8)
UNPACKED(unpacked_halves, 4) /* units of 16 */

static const cria_tile_fn *direct_tiles(const cria_matrix_spec *s, uint32_t planes) {
    if (s->levels) return s->bits == 4 ? direct4_levels[planes - 1] : NULL;
    switch (s->bits) {
    case 2:
        return direct2[planes - 1];
    case 3:
        return direct3[planes - 1];
    case 4:
        return direct4[planes - 1];
    case 5:
        return direct5[planes - 1];
    case 6:
        return direct6[planes - 1];
    default:
        return direct8[planes - 1];
    }
}

static void unpack_signed(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst) {
    unpack_chunks(m, src, n, dst);
    for (size_t i = 0; i < (size_t)n * CRIA_BYTES_CHUNK; i += 16)
        vst1q_u8(dst + i, veorq_u8(vld1q_u8(dst + i), vdupq_n_u8(128)));
}

static struct cria_tile_plan make_plan(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    const bool halves = s->group < CRIA_CHUNK;
    const cria_tile_fn *direct = direct_tiles(s, planes);
    if (!halves && n * planes <= 4 && direct)
        return (struct cria_tile_plan){
            .one = direct, .max_tokens = 4 / planes, .shift = s->levels || s->bits == 8 ? 128 : 0};
    return (struct cria_tile_plan){.one = (halves ? unpacked_halves : unpacked)[planes - 1],
                                   .max_tokens = MAX_VECTORS / planes,
                                   .unpack = unpack_signed,
                                   .shift = 128};
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales};

CRIA_MATMUL_Q(dotprod, ops)

/* Sixteen sums: up to four operations a clock with a latency of four clocks. */
uint64_t cria_probe_int8_dotprod(uint32_t n) {
    enum { SUMS = 16 };
    const int8x16_t w = vdupq_n_s8(15);
    const int8x16_t a = vdupq_n_s8(1);
    int32x4_t sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = vdupq_n_s32(0);
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            sum[i] = vdotq_laneq_s32(sum[i], w, a, 0);
            __asm__ volatile("" : "+w"(sum[i]));
        }
    }
    return (uint64_t)n * SUMS * 16;
}
