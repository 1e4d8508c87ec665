/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AArch64 with the 8-bit matrix instructions (matmul_q of kernels.h; the loops
 * around: matmul_q.h).
 *
 * usmmla multiplies two rows of eight unsigned levels by two vectors of eight signed activations: twice the
 * products of a dot product instruction, where there are two vectors. It wants eight inputs of a row side by
 * side, which two steps of the packed layout give with their 32-bit lanes interleaved; unpacking does that
 * once for all tokens. The sums, 2 rows by 2 vectors in a register, are sorted by vectors once per unit: from
 * there on a lane is a row, as everywhere.
 *
 * Up to four vectors, and so at the speed of the memory, the product is that of matmul_q_dotprod.c, since
 * interleaving and empty halves would take as long as usmmla saves there. usdot has no place: with as many
 * products as sdot, it would only save the sign flip of 8-bit levels, once for all vectors.
 */
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/tile_neon.h"

enum { MAX_PAIRS = MAX_VECTORS / 2 };

/* Vectors v and v+1 of a pair, eight inputs each, from step k. Two tokens lie side by side, two planes do
 * not. */
INLINE int8x16_t load_pair(const struct cria_tile *s, const int8_t *q, int k, int v, int planes, int n) {
    const int8_t *p = q + 4 * (k * n + v / planes);
    if (planes == 1) {
        const int32x2x2_t z =
            vzip_s32(vreinterpret_s32_s8(vld1_s8(p)), vreinterpret_s32_s8(vld1_s8(p + 4 * n)));
        return vreinterpretq_s8_s32(vcombine_s32(z.val[0], z.val[1]));
    }
    int32_t a[4];
    UNROLL for (int i = 0; i < 4; i++) memcpy(&a[i], p + (size_t)(i / 2) * s->plane + 4 * (i % 2) * n, 4);
    return vreinterpretq_s8_s32(vld1q_s32(a));
}

/* Levels unpacked by unpack_pairs. The last of an odd number of tokens is paired with what comes next. */
INLINE void dots(const struct cria_tile *s, const uint8_t *codes, const int8_t *q, int bits, bool levels,
                 int steps, int planes, int n, const int32_t start[], int32x4_t dot[][4]) {
    int32x4_t sums[MAX_PAIRS][8]; /* [pair][rows 2r, 2r+1] */
    (void)bits;
    (void)levels;
    UNROLL for (int v = 0; v < n * planes; v += 2) {
        UNROLL for (int r = 0; r < 8; r++) sums[v / 2][r] = vdupq_n_s32(0);
    }
    UNROLL for (int k = 0; k < steps; k += 2) {
        int8x16_t a[MAX_PAIRS];
        UNROLL for (int v = 0; v < n * planes; v += 2) a[v / 2] = load_pair(s, q, k, v, planes, n);
        UNROLL for (int r = 0; r < 8; r++) {
            const uint8x16_t w = vld1q_u8(codes + 64 * k + 16 * r);
            UNROLL for (int v = 0; v < n * planes; v += 2) {
                sums[v / 2][r] = vusmmlaq_s32(sums[v / 2][r], w, a[v / 2]);
            }
        }
        KEEP_ORDER();
    }
    UNROLL for (int v = 0; v < n * planes; v++) {
        UNROLL for (int i = 0; i < 4; i++) {
            const int32x4_t low = sums[v / 2][2 * i], high = sums[v / 2][2 * i + 1];
            dot[v][i] =
                vaddq_s32(vdupq_n_s32(start[v]), v % 2 ? vuzp2q_s32(low, high) : vuzp1q_s32(low, high));
        }
    }
}

#define TILE(name, steps, planes, n)                                                                         \
    static void name(const struct cria_tile *s) { tile(s, dots, 8, false, steps, planes, n); }

/* [planes − 1][tokens − 1] up to six vectors. */
#define TILES(name, steps)                                                                                   \
    TILE(name##_11, steps, 1, 1)                                                                             \
    TILE(name##_12, steps, 1, 2)                                                                             \
    TILE(name##_13, steps, 1, 3)                                                                             \
    TILE(name##_14, steps, 1, 4)                                                                             \
    TILE(name##_15, steps, 1, 5)                                                                             \
    TILE(name##_16, steps, 1, 6)                                                                             \
    TILE(name##_21, steps, 2, 1)                                                                             \
    TILE(name##_22, steps, 2, 2)                                                                             \
    TILE(name##_23, steps, 2, 3)                                                                             \
    static const cria_tile_fn name[2][6] = {                                                                 \
        {name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                                  \
        {name##_21, name##_22, name##_23}};

TILES(units_of_32, 8)
TILES(units_of_16, 4)

/* Steps k and k+1 of a chunk, each [16 rows][4 inputs], become [16 rows][8 inputs]. */
static void unpack_pairs(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst) {
    unpack_chunks(m, src, n, dst);
    for (uint8_t *p = dst; p < dst + (size_t)n * CRIA_BYTES_CHUNK; p += 128) {
        uint32x4_t even[4], odd[4];
        UNROLL for (int i = 0; i < 4; i++) {
            even[i] = vreinterpretq_u32_u8(vld1q_u8(p + 16 * i));
            odd[i] = vreinterpretq_u32_u8(vld1q_u8(p + 64 + 16 * i));
        }
        UNROLL for (int i = 0; i < 4; i++) {
            vst1q_u8(p + 32 * i, vreinterpretq_u8_u32(vzip1q_u32(even[i], odd[i])));
            vst1q_u8(p + 32 * i + 16, vreinterpretq_u8_u32(vzip2q_u32(even[i], odd[i])));
        }
    }
}

static struct cria_tile_plan make_plan(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    (void)n;
    return (struct cria_tile_plan){.one = (s->group < CRIA_CHUNK ? units_of_16 : units_of_32)[planes - 1],
                                   .max_tokens = MAX_VECTORS / planes,
                                   .unpack = unpack_pairs};
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales};

/* Few tokens do not fill the 2 × 2 products of these instructions. */
static bool few(uint32_t n, uint32_t planes) { return n * planes <= 4; }

void cria_matmul_q_i8mm(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch) {
    if (few(x->n, x->planes))
        cria_matmul_q_dotprod(w, x, y, ldy, part, scratch);
    else
        cria_matmul_q_run(&ops, w, x, y, ldy, part, scratch);
}

cria_layout cria_layout_i8mm(const cria_matrix_spec *w, uint32_t n, uint32_t planes) {
    return few(n, planes) ? cria_layout_dotprod(w, n, planes) : cria_matmul_q_layout(&ops, w, n, planes);
}

void cria_lay_out_i8mm(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1) {
    if (few(x->n, x->planes))
        cria_lay_out_dotprod(w, x, tile0, tile1);
    else
        cria_matmul_q_lay_out(&ops, w, x, tile0, tile1);
}

/* Sixteen sums: up to four operations a clock with a latency of four clocks. */
uint64_t cria_probe_int8_i8mm(uint32_t n) {
    enum { SUMS = 16 };
    const uint8x16_t w = vdupq_n_u8(15);
    const int8x16_t a = vdupq_n_s8(1);
    int32x4_t sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = vdupq_n_s32(0);
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            sum[i] = vusmmlaq_s32(sum[i], w, a);
            __asm__ volatile("" : "+w"(sum[i]));
        }
    }
    return (uint64_t)n * SUMS * 32;
}
