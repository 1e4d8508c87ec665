/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AVX-512 with VNNI (matmul_q of kernels.h; the loops around: matmul_q.h).
 *
 * A tile is one or two row blocks, a register each, against up to six tokens: two blocks and six tokens take
 * twelve integer sums, twelve float sums, two weights and an activation of the thirty-two registers. vpdpbusd
 * adds four products of an unsigned level and a signed activation to 32 bits, exactly for every level. Two
 * planes of activations are two products, 256·hi + lo. The zero of a symmetric matrix enters as the sum's
 * start, −zero·Σa.
 */
#include "kernels/x86/matmul_q_avx512.h"

#include "kernels/x86/kernels_x86.h"

enum { MAX_TOKENS = CRIA_TILE_TOKENS, BLOCKS = 2 };

/* The sums of a tile. There are registers for those of a unit and those of a group, t; those of y rest in memory. Where a
 * group is a unit they can stay in registers, which compilers see. */
struct sums {
    float (*acc)[BLOCKS][CRIA_ROWS];
    __m512 group[MAX_TOKENS][BLOCKS];
};

/* As plans are (struct cria_tile_plan). */
INLINE bool biased(struct kind k, int n) { return k.planes == 1 && n > 1 && (k.affine || k.single); }

/* The sums of token t go on with a group. n is the tile's number of tokens; t and n are constants, as are all ints and
 * bools below that are no part of s. */
INLINE void add_group(const struct cria_tile *s, size_t g, struct kind k, int n, int t, struct sums *sums) {
    UNROLL for (int b = 0; b < BLOCKS; b++) {
        const size_t at = (size_t)b * s->scales_stride + CRIA_ROWS * g;
        __m512 acc = _mm512_load_ps(sums->acc[t][b]);
        acc = _mm512_fmadd_ps(_mm512_loadu_ps(s->scales + at), sums->group[t][b], acc);
        if (k.affine)
            acc = _mm512_fmadd_ps(_mm512_loadu_ps(s->biases + at), _mm512_set1_ps(s->u[g * (size_t)n + (size_t)t]), acc);
        _mm512_store_ps(sums->acc[t][b], acc);
    }
}

/* What a unit's integer sums of token t do to the group's. */
INLINE void add_unit(const struct cria_tile *s, struct unit u, struct kind k, bool first, int n, int t,
                     const __m512i dot[BLOCKS], struct sums *sums) {
    const size_t at = u.chunk * (size_t)n + (size_t)t;
    const __m512 d = _mm512_set1_ps(s->d[at]);
    UNROLL for (int b = 0; b < BLOCKS; b++) {
        __m512 *sum = &sums->group[t][b];
        if (first && biased(k, n))
            *sum = _mm512_fmadd_ps(_mm512_castsi512_ps(dot[b]), d, _mm512_set1_ps(s->minus[at]));
        else if (first)
            *sum = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[b]), d);
        else
            *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[b]), d, *sum);
    }
}

/* One unit, of group g. A token is finished with the last step's products: that leaves the processor enough to do on
 * both sides of a unit's end. */
INLINE void unit(const struct cria_tile *s, struct unit u, size_t g, struct kind k, bool first, int n,
                 struct sums *sums) {
    const uint8_t *codes = s->codes + u.chunk * 64 * (size_t)k.bits;
    const int8_t *q = s->q + CRIA_CHUNK * u.chunk * (size_t)n;
    const __m512i table = k.levels ? load_levels(s->levels) : _mm512_setzero_si512();
    __m512i dot[MAX_TOKENS][BLOCKS]; /* of tokens' planes */
    UNROLL for (int t = 0; t < n; t++) {
        const int32_t start = k.affine ? (first && biased(k, n) ? CRIA_BIAS_BITS : 0) : s->start[u.index * (size_t)n + (size_t)t];
        UNROLL for (int b = 0; b < BLOCKS; b++) {
            dot[k.planes * t][b] = _mm512_set1_epi32(start);
            if (k.planes == 2) dot[2 * t + 1][b] = _mm512_setzero_si512();
        }
    }
    UNROLL for (int i = 0; i < u.steps; i++) {
        const int step = k.bits == 8 ? u.from + i : nth_step(i, u.from, u.steps);
        __m512i w[BLOCKS];
        UNROLL for (int b = 0; b < BLOCKS; b++) {
            if (k.bits != 8 || n * k.planes <= 4)
                cria_ask(&s->stream, u.chunk, k.bits, u.from, i, i + 1, (size_t)b * s->codes_stride);
            w[b] = step_codes(codes + (size_t)b * s->codes_stride, k.bits, step);
            if (k.levels) w[b] = _mm512_shuffle_epi8(table, w[b]);
        }
        UNROLL for (int t = 0; t < n; t++) {
            UNROLL for (int p = 0; p < k.planes; p++) {
                const __m512i a = broadcast4(q + (size_t)p * s->plane + 4 * ((size_t)step * (size_t)n + (size_t)t));
                __m512i *d = dot[k.planes * t + p];
                UNROLL for (int b = 0; b < BLOCKS; b++) d[b] = _mm512_dpbusd_epi32(d[b], w[b], a);
            }
            if (i != u.steps - 1) continue;
            if (k.planes == 2) {
                UNROLL for (int b = 0; b < BLOCKS; b++) dot[2 * t][b] =
                    _mm512_add_epi32(dot[2 * t][b], _mm512_slli_epi32(dot[2 * t + 1][b], 8));
            }
            add_unit(s, u, k, first, n, t, dot[k.planes * t], sums);
            if (k.single) add_group(s, g, k, n, t, sums);
        }
    }
}

INLINE void tile(const struct cria_tile *given, struct kind k, int n) {
    struct cria_tile own = *given; /* which no store can change */
    const struct cria_tile *const s = &own;
    _Alignas(64) float acc[MAX_TOKENS][BLOCKS][CRIA_ROWS];
    struct sums sums = {.acc = acc};
    if (s->rows <= CRIA_ROWS) own.codes_stride = own.scales_stride = 0; /* the second of one block is the first */
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < BLOCKS; b++) {
            const float *y = s->y + (size_t)t * s->ldy + CRIA_ROWS * (size_t)b;
            _mm512_store_ps(acc[t][b],
                            s->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(row_mask(s->rows, b), y));
        }
    }
    for (size_t g = 0, i = 0; g < s->n_groups; g++) {
        if (k.halves) { /* two groups are a chunk */
            unit(s, (struct unit){g / 2, g, 0, 4}, g, k, true, n, &sums);
            g++;
            unit(s, (struct unit){g / 2, g, 4, 4}, g, k, true, n, &sums);
            continue;
        }
        if (k.single) {
            unit(s, (struct unit){g, g, 0, 8}, g, k, true, n, &sums);
            continue;
        }
        unit(s, (struct unit){i, i, 0, 8}, g, k, true, n, &sums);
        for (const size_t end = i++ + s->units; i < end; i++)
            unit(s, (struct unit){i, i, 0, 8}, g, k, false, n, &sums);
        __asm__("" : "+r"(sums.acc) : : "memory"); /* no compiler keeps acc elsewhere */
        UNROLL for (int t = 0; t < n; t++) add_group(s, g, k, n, t, &sums);
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int b = 0; b < BLOCKS; b++)
            _mm512_mask_storeu_ps(s->y + (size_t)t * s->ldy + CRIA_ROWS * (size_t)b, row_mask(s->rows, b),
                                  _mm512_load_ps(sums.acc[t][b]));
    }
}

#define TILE(name, n, ...)                                                                                           \
    static void name(const struct cria_tile *s) { tile(s, (struct kind){__VA_ARGS__}, n); }

/* Codes unpacked in registers, up to four vectors of activations but more than one: [planes − 1][tokens − 1]. */
#define DIRECT(name, ...)                                                                                            \
    TILE(name##_12, 2, __VA_ARGS__, 1)                                                                               \
    TILE(name##_13, 3, __VA_ARGS__, 1)                                                                               \
    TILE(name##_14, 4, __VA_ARGS__, 1)                                                                               \
    TILE(name##_22, 2, __VA_ARGS__, 2)                                                                               \
    static const cria_tile_fn name[2][4] = {{NULL, name##_12, name##_13, name##_14}, {NULL, name##_22}};

KINDS(DIRECT)

/* NULL for what no file format has. */
static const cria_tile_fn *direct_tiles(const cria_matrix_spec *s, uint32_t planes) {
#define FIND(name, ...)                                                                                              \
    if (is_kind(s, (struct kind){__VA_ARGS__, 1})) return name[planes - 1];
    KINDS(FIND)
    return NULL;
}

/* Levels as bytes: [planes − 1][tokens − 1] up to six vectors. */
#define BYTES(name, ...)                                                                                             \
    TILE(name##_11, 1, 8, false, __VA_ARGS__, 1)                                                                     \
    TILE(name##_12, 2, 8, false, __VA_ARGS__, 1)                                                                     \
    TILE(name##_13, 3, 8, false, __VA_ARGS__, 1)                                                                     \
    TILE(name##_14, 4, 8, false, __VA_ARGS__, 1)                                                                     \
    TILE(name##_15, 5, 8, false, __VA_ARGS__, 1)                                                                     \
    TILE(name##_16, 6, 8, false, __VA_ARGS__, 1)                                                                     \
    TILE(name##_21, 1, 8, false, __VA_ARGS__, 2)                                                                     \
    TILE(name##_22, 2, 8, false, __VA_ARGS__, 2)                                                                     \
    TILE(name##_23, 3, 8, false, __VA_ARGS__, 2)                                                                     \
    static const cria_tile_fn name[2][6] = {{name##_11, name##_12, name##_13, name##_14, name##_15, name##_16},      \
                                            {name##_21, name##_22, name##_23}};

/*                      halves affine single */
BYTES(affine,           false, true,  false)
BYTES(affine_single,    false, true,  true)
BYTES(affine_halves,    true,  true,  true)
BYTES(symmetric,        false, false, false)
BYTES(symmetric_single, false, false, true)
BYTES(symmetric_halves, true,  false, true)

static const cria_tile_fn *byte_tiles(const cria_matrix_spec *s, uint32_t planes) {
    if (s->group < CRIA_CHUNK) return (s->affine ? affine_halves : symmetric_halves)[planes - 1];
    if (s->group == CRIA_CHUNK) return (s->affine ? affine_single : symmetric_single)[planes - 1];
    return (s->affine ? affine : symmetric)[planes - 1];
}

static struct cria_tile_plan make_plan(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    struct cria_tile_plan plan;
    if (n == 1 && cria_matvec_plan_avx512vnni(s, planes, &plan)) return plan;
    const cria_tile_fn *direct = n > 1 && n * planes <= 4 ? direct_tiles(s, planes) : NULL;
    const cria_tile_fn *tiles = direct ? direct : byte_tiles(s, planes);
    return (struct cria_tile_plan){.one = tiles,
                                   .two = tiles,
                                   .max_tokens = (direct ? 4 : MAX_TOKENS) / planes,
                                   .unpack = !direct && s->bits != 8,
                                   .biased = planes == 1 && n > 1 && (s->affine || s->group <= CRIA_CHUNK)};
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales, unpack_chunks};

CRIA_MATMUL_Q(avx512vnni, ops)

/* Twelve sums, as a tile has. */
uint64_t cria_probe_int8_avx512vnni(uint32_t n) {
    enum { SUMS = 12 };
    const __m512i level = _mm512_set1_epi8(15), a = _mm512_set1_epi8(1);
    __m512i sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_si512();
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], level, a);
            __asm__ volatile("" : "+" IN_REGISTER(sum[i]));
        }
    }
    return (uint64_t)n * SUMS * 64;
}
