/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AVX2 with AVX-VNNI, the processors that have the dot products of AVX-512 VNNI
 * in 256 bits only (matmul_q of kernels.h; the loops around: matmul_q.h).
 *
 * A tile is one row block (two registers of eight rows) against up to six tokens: twelve integer sums, two
 * weights and an activation of the sixteen registers; the float sums rest in memory meanwhile. vpdpbusd adds
 * four products of an unsigned level and a signed activation to 32 bits, exactly for every level. Two planes
 * of activations are two products, 256·hi + lo. The zero of a symmetric matrix enters as the sum's start,
 * −zero·Σa.
 */
#include "kernels/x86/matmul_q_avx2.h"

#include "kernels/x86/kernels_x86.h"

enum { MAX_TOKENS = CRIA_TILE_TOKENS };

/* dot[v][h] += vector v of activations, plane v % planes of token v / planes, times the levels of the first
 * `steps` steps, q being where they begin. Steps of nibbles are taken in an order that uses a loaded vector
 * up before the next one. */
INLINE void dot_bytes(const struct cria_tile *s, const uint8_t *codes, const int8_t *q, int bits, bool levels,
                      int steps, int planes, int n, __m256i dot[][2]) {
    const __m256i table = levels ? load_levels(s->levels) : _mm256_setzero_si256();
    UNROLL for (int i = 0; i < steps; i++) {
        const int step = bits == 8 ? i : nth_step(i, 0, steps);
        __m256i w[2];
        UNROLL for (int h = 0; h < 2; h++) {
            w[h] = step_codes(codes, bits, h, step);
            if (levels) w[h] = _mm256_shuffle_epi8(table, w[h]);
        }
        UNROLL for (int v = 0; v < n * planes; v++) {
            const __m256i a = broadcast4(q + (size_t)(v % planes) * s->plane + 4 * (step * n + v / planes));
            UNROLL for (int h = 0; h < 2; h++) dot[v][h] = _mm256_dpbusd_avx_epi32(dot[v][h], w[h], a);
        }
    }
}

/* What the sums of a unit start at. */
INLINE void start_dot(const struct cria_tile *s, size_t unit, int planes, int n, __m256i dot[][2]) {
    UNROLL for (int t = 0; t < n; t++) {
        const int32_t zero_part = s->affine ? 0 : s->start[unit * (size_t)n + (size_t)t];
        UNROLL for (int h = 0; h < 2; h++) {
            dot[planes * t][h] = _mm256_set1_epi32(zero_part);
            if (planes == 2) dot[2 * t + 1][h] = _mm256_setzero_si256();
        }
    }
}

INLINE void load_y(const struct cria_tile *s, int n, __m256 acc[][2]) {
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int h = 0; h < 2; h++) {
            const float *y = s->y + (size_t)t * s->ldy + 8 * h;
            acc[t][h] = s->first ? _mm256_setzero_ps() : _mm256_maskload_ps(y, row_mask(s->rows, h));
        }
    }
}

INLINE void store_y(const struct cria_tile *s, int n, __m256 acc[][2]) {
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int h = 0; h < 2; h++) {
            float *y = s->y + (size_t)t * s->ldy + 8 * h;
            if (s->rows == CRIA_ROWS)
                _mm256_storeu_ps(y, acc[t][h]);
            else
                _mm256_maskstore_ps(y, row_mask(s->rows, h), acc[t][h]);
        }
    }
}

/* All arguments but s are constants. */
INLINE void tile(const struct cria_tile *s, int bits, bool levels, int steps, int planes, int n) {
    __m256 acc[MAX_TOKENS][2], sum[MAX_TOKENS][2];
    load_y(s, n, acc);
    size_t unit = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        UNROLL for (int t = 0; t < n; t++) /* −0 + a·b is a·b rounded, whatever its sign */
            sum[t][0] = sum[t][1] = _mm256_set1_ps(-0.0f);
        for (uint32_t j = 0; j < s->units; j++, unit++) {
            /* Only bytes come in units of half a chunk: 4 steps of 64 bytes. */
            const size_t chunk = unit * (size_t)steps / 8, half = unit * (size_t)steps % 8 / 4;
            const uint8_t *codes = s->codes + chunk * s->chunk_bytes + half * 256;
            __m256i dot[MAX_TOKENS][2];
            if (bits != 8 || n * planes <= 2)
                cria_ask(&s->stream, chunk, bits, 4 * (int)half, 0, steps, 0);
            start_dot(s, unit, planes, n, dot);
            dot_bytes(s, codes, s->q + (32 * chunk + 16 * half) * (size_t)n, bits, levels, steps, planes, n,
                      dot);
            UNROLL for (int t = 0; t < n; t++) {
                const __m256 d = _mm256_broadcast_ss(s->d + chunk * (size_t)n + (size_t)t);
                UNROLL for (int h = 0; h < 2; h++) {
                    __m256i whole = dot[planes * t][h];
                    if (planes == 2) whole = _mm256_add_epi32(whole, _mm256_slli_epi32(dot[2 * t + 1][h], 8));
                    sum[t][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), d, sum[t][h]);
                }
            }
        }
        UNROLL for (int h = 0; h < 2; h++) {
            const __m256 scale = _mm256_load_ps(s->scales + 16 * g + 8 * h);
            UNROLL for (int t = 0; t < n; t++) acc[t][h] = _mm256_fmadd_ps(scale, sum[t][h], acc[t][h]);
        }
        if (!s->affine) continue;
        UNROLL for (int t = 0; t < n; t++) {
            const __m256 u = _mm256_broadcast_ss(s->u + g * (size_t)n + (size_t)t);
            UNROLL for (int h = 0; h < 2; h++) {
                const __m256 bias = _mm256_load_ps(s->biases + 16 * g + 8 * h);
                acc[t][h] = _mm256_fmadd_ps(bias, u, acc[t][h]);
            }
        }
    }
    store_y(s, n, acc);
}

#define TILE(name, bits, levels, steps, planes, n)                                                           \
    static void name(const struct cria_tile *s) { tile(s, bits, levels, steps, planes, n); }

/* Codes unpacked in registers, units of 32: [planes − 1][tokens − 1] up to four vectors. */
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

/* Levels as bytes: [planes − 1][tokens − 1] up to six vectors. */
#define BYTES(name, steps)                                                                                   \
    TILE(name##_11, 8, false, steps, 1, 1)                                                                   \
    TILE(name##_12, 8, false, steps, 1, 2)                                                                   \
    TILE(name##_13, 8, false, steps, 1, 3)                                                                   \
    TILE(name##_14, 8, false, steps, 1, 4)                                                                   \
    TILE(name##_15, 8, false, steps, 1, 5)                                                                   \
    TILE(name##_16, 8, false, steps, 1, 6)                                                                   \
    TILE(name##_21, 8, false, steps, 2, 1)                                                                   \
    TILE(name##_22, 8, false, steps, 2, 2)                                                                   \
    TILE(name##_23, 8, false, steps, 2, 3)                                                                   \
    static const cria_tile_fn name[2][6] = {                                                                 \
        {name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},                                  \
        {name##_21, name##_22, name##_23}};

BYTES(bytes, 8)
BYTES(halves, 4) /* units of 16 */

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
        return NULL;
    }
}

static struct cria_tile_plan make_plan(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    const bool halves_only = s->group < CRIA_CHUNK;
    const cria_tile_fn *direct = direct_tiles(s, planes);
    struct cria_tile_plan plan;
    if (n == 1 && cria_matvec_plan_avxvnni(s, planes, &plan)) return plan;
    if (!halves_only && n * planes <= 4 && direct)
        return (struct cria_tile_plan){.one = direct, .max_tokens = 4 / planes};
    return (struct cria_tile_plan){.one = (halves_only ? halves : bytes)[planes - 1],
                                   .max_tokens = MAX_TOKENS / planes,
                                   .unpack = s->bits != 8};
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales, unpack_chunks};

CRIA_MATMUL_Q(avxvnni, ops)

/* Twelve sums, as a tile has. */
uint64_t cria_probe_int8_avxvnni(uint32_t n) {
    enum { SUMS = 12 };
    const __m256i level = _mm256_set1_epi8(15), a = _mm256_set1_epi8(1);
    __m256i sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm256_setzero_si256();
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            sum[i] = _mm256_dpbusd_avx_epi32(sum[i], level, a);
            __asm__ volatile("" : "+x"(sum[i]));
        }
    }
    return (uint64_t)n * SUMS * 32;
}
