/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AVX2 with a single token (matmul_q of kernels.h): what generating is made of, bound by
 * how fast memory is read. Compiled once more for processors with AVX-VNNI (matvec_q_avxvnni.c includes this file with
 * MATVEC_* defined), where vpdpbusd does the work of three instructions and takes every level.
 *
 * A tile is one or two row blocks. Two are read side by side: memory gives a core more from two places than from one,
 * and an activation that is loaded serves both. A processor overlaps reading with arithmetic only as far as its window
 * of some hundred instructions goes, so most of what the arithmetic takes is added to what the memory takes: all sums
 * stay in registers, nothing is unpacked in a pass of its own, and what is constant is a constant.
 *
 * How I_j is had exactly: matmul_q_avx2.c.
 */
#include "kernels/x86/matmul_q_avx2.h"

#include "kernels/x86/kinds.h"

#ifndef MATVEC_PLAN
#define MATVEC_PLAN cria_matvec_plan_avx2
#define MATVEC_VNNI 0
#endif

enum {
    BLOCKS = 2,
    GROUPS = 16 /* whose scales are turned into float32 at once; as many as the largest super-block has */
};

/* The row blocks of a tile, and the scales of groups first .. first+GROUPS−1. */
struct rows {
    const struct cria_tile *s;
    const uint8_t *codes[BLOCKS], *scales[BLOCKS], *biases[BLOCKS];
    _Alignas(32) float scale_floats[BLOCKS][GROUPS * CRIA_ROWS], bias_floats[BLOCKS][GROUPS * CRIA_ROWS];
    size_t first;
};

/* Half h is eight rows. */
struct sums {
    __m256 acc[BLOCKS][2], group[BLOCKS][2]; /* y; t */
};

/* As hold, and what is held stays in the order of the code: faster with one plane of activations, slower with two. */
INLINE void keep_order(__m256i *v) { __asm__ volatile("" : "+x"(*v)); }

/* Steps i0 .. i1−1 of a unit ask for their share of row block b. */
INLINE void ask(const struct rows *r, struct unit u, int bits, int i0, int i1, int b) {
    cria_ask(&r->s->stream, u.chunk, bits, u.from, i0, i1, (size_t)b * r->s->block_bytes);
}

/* The levels of two steps, half h. Nibbles are loaded once: compilers would do it twice. */
INLINE void two_steps(const struct rows *r, struct unit u, struct kind k, int b, int h, const int step[2],
                      __m256i table, __m256i w[2]) {
    const uint8_t *chunk = r->codes[b] + u.chunk * 64 * (size_t)k.bits;
    if (k.bits == 4 && u.steps == 8) {
        const __m256i nibble = _mm256_set1_epi8(15);
        __m256i v = load256(chunk + 32 * h + 64 * step[0]);
        keep_order(&v);
        w[0] = _mm256_and_si256(v, nibble);
        w[1] = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
    } else {
        UNROLL for (int j = 0; j < 2; j++) w[j] = step_codes(chunk, k.bits, h, step[j]);
    }
    if (k.levels)
        UNROLL for (int j = 0; j < 2; j++) w[j] = _mm256_shuffle_epi8(table, w[j]);
}

/* Without VNNI, how many products are summed up in 16 bits; 0: levels above 63, 16-bit activations. `high`: so are those
 * of a table. */
INLINE int depth_of(struct kind k, bool high) {
    if (k.levels) return high ? 0 : 4;
    return k.bits == 8 ? 0 : k.bits == 6 ? 2 : k.bits == 5 || k.halves ? 4 : 8;
}

#if MATVEC_VNNI
/* The sums of a unit for row blocks b0 .. b1−1. */
INLINE void dot_unit(const struct rows *r, struct unit u, struct kind k, bool high, int b0, int b1,
                     __m256i dot[BLOCKS][2]) {
    (void)high;
    const int8_t *q = r->s->q + CRIA_CHUNK * u.chunk;
    const __m256i table = k.levels ? load_levels(r->s->levels) : _mm256_setzero_si256();
    __m256i sum[2][BLOCKS][2]; /* [plane] */
    UNROLL for (int bh = 2 * b0; bh < 2 * b1; bh++) {
        sum[0][bh / 2][bh % 2] = k.affine ? _mm256_setzero_si256() : broadcast4(r->s->start + u.index);
        sum[1][bh / 2][bh % 2] = _mm256_setzero_si256();
    }
    UNROLL for (int i = 0; i < u.steps; i += 2) {
        const int step[2] = {cria_nth_step(i, u.from, u.steps), cria_nth_step(i + 1, u.from, u.steps)};
        UNROLL for (int b = b0; b < b1; b++) ask(r, u, k.bits, i, i + 2, b);
        UNROLL for (int bh = 2 * b0; bh < 2 * b1; bh++) {
            const int b = bh / 2, h = bh % 2;
            __m256i w[2];
            two_steps(r, u, k, b, h, step, table, w);
            UNROLL for (int jp = 0; jp < 2 * k.planes; jp++) {
                const int j = jp / k.planes, p = jp % k.planes;
                const __m256i a = broadcast4(q + (size_t)p * r->s->plane + 4 * (size_t)step[j]);
                sum[p][b][h] = _mm256_dpbusd_avx_epi32(sum[p][b][h], w[j], a);
            }
        }
    }
    UNROLL for (int bh = 2 * b0; bh < 2 * b1; bh++) {
        const int b = bh / 2, h = bh % 2;
        dot[b][h] = sum[0][b][h];
        if (k.planes == 2) dot[b][h] = _mm256_add_epi32(dot[b][h], _mm256_slli_epi32(sum[1][b][h], 8));
    }
}
#else
/* Levels of up to 63: the sums of a unit for row blocks b0 .. b1−1. */
INLINE void dot_bytes(const struct rows *r, struct unit u, struct kind k, int depth, int b0, int b1,
                      __m256i dot[BLOCKS][2]) {
    const int8_t *q = r->s->q + CRIA_CHUNK * u.chunk;
    const __m256i ones = _mm256_set1_epi16(1), table = k.levels ? load_levels(r->s->levels) : ones;
    __m256i sum[BLOCKS][2][2], all[BLOCKS][2][2]; /* [plane] */
    UNROLL for (int i = 0; i < u.steps; i += 2) {
        const int step[2] = {cria_nth_step(i, u.from, u.steps), cria_nth_step(i + 1, u.from, u.steps)};
        UNROLL for (int b = b0; b < b1; b++) ask(r, u, k.bits, i, i + 2, b);
        UNROLL for (int bh = 2 * b0; bh < 2 * b1; bh++) {
            const int b = bh / 2, h = bh % 2;
            __m256i w[2];
            two_steps(r, u, k, b, h, step, table, w);
            UNROLL for (int jp = 0; jp < 2 * k.planes; jp++) {
                const int j = jp / k.planes, p = jp % k.planes;
                const __m256i a = broadcast4(q + (size_t)p * r->s->plane + 4 * (size_t)step[j]);
                __m256i *run = &sum[b][h][p], product = _mm256_maddubs_epi16(w[j], a);
                *run = (i + j) % depth == 0 ? product : _mm256_add_epi16(*run, product);
                if (k.planes == 1)
                    keep_order(run);
                else
                    hold(run);
                if ((i + j) % depth != depth - 1) continue;
                product = _mm256_madd_epi16(*run, ones);
                all[b][h][p] = i < depth ? product : _mm256_add_epi32(all[b][h][p], product);
            }
        }
    }
    UNROLL for (int bh = 2 * b0; bh < 2 * b1; bh++) {
        const int b = bh / 2, h = bh % 2;
        dot[b][h] = all[b][h][0];
        if (k.planes == 2) dot[b][h] = _mm256_add_epi32(dot[b][h], _mm256_slli_epi32(all[b][h][1], 8));
    }
}

/* Levels of up to 255, 16-bit activations, all row blocks. */
INLINE void dot_words(const struct rows *r, struct unit u, struct kind k, __m256i dot[BLOCKS][2]) {
    const int16_t *pairs = r->s->pairs + CRIA_CHUNK * u.chunk;
    const __m256i low = _mm256_set1_epi16(255), table = k.levels ? load_levels(r->s->levels) : low;
    UNROLL for (int i = 0; i < u.steps; i += 2) {
        const int step[2] = {u.from + i, u.from + i + 1};
        UNROLL for (int b = 0; b < BLOCKS; b++) ask(r, u, k.bits, i, i + 2, b);
        UNROLL for (int j = 0; j < 2; j++) {
            const int16_t *p = pairs + 4 * step[j];
            const __m256i even = broadcast4(p), odd = broadcast4(p + 2);
            UNROLL for (int bh = 0; bh < 2 * BLOCKS; bh++) {
                const uint8_t *chunk = r->codes[bh / 2] + u.chunk * 64 * (size_t)k.bits;
                __m256i w = step_codes(chunk, k.bits, bh % 2, step[j]), *sum = &dot[bh / 2][bh % 2];
                if (k.levels) w = _mm256_shuffle_epi8(table, w);
                const __m256i first = _mm256_madd_epi16(_mm256_and_si256(w, low), even);
                *sum = i + j == 0 ? first : _mm256_add_epi32(*sum, first);
                keep_order(sum);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_srli_epi16(w, 8), odd));
                keep_order(sum);
            }
        }
    }
}

/* The sums of a unit for row blocks b0 .. b1−1. */
INLINE void dot_unit(const struct rows *r, struct unit u, struct kind k, bool high, int b0, int b1,
                     __m256i dot[BLOCKS][2]) {
    if (depth_of(k, high) == 0)
        dot_words(r, u, k, dot);
    else
        dot_bytes(r, u, k, depth_of(k, high), b0, b1, dot);
    if (k.affine) return;
    const __m256i start = broadcast4(r->s->start + u.index);
    UNROLL for (int bh = 2 * b0; bh < 2 * b1; bh++) dot[bh / 2][bh % 2] =
        _mm256_add_epi32(dot[bh / 2][bh % 2], start);
}
#endif

/* t of the group at hand goes on with a unit. */
INLINE void add_unit(const struct rows *r, struct unit u, struct kind k, int b, const __m256i dot[2],
                     struct sums *sums) {
    const __m256 d = _mm256_broadcast_ss(r->s->d + u.chunk);
    UNROLL for (int h = 0; h < 2; h++) {
        const __m256 f = _mm256_cvtepi32_ps(dot[h]);
        sums->group[b][h] = k.single ? _mm256_mul_ps(f, d) : _mm256_fmadd_ps(f, d, sums->group[b][h]);
    }
}

/* Eight scales (or biases) of group g, half h: as they are stored where that is in 16 bits, else as float32 by now. */
INLINE __m256 group_floats(const struct rows *r, bool f16, size_t g, int h, const uint8_t *stored,
                           const float *floats) {
    if (f16) return f16_floats((const uint16_t *)(const void *)stored + CRIA_ROWS * g + 8 * h);
    return _mm256_load_ps(floats + CRIA_ROWS * (g - r->first) + 8 * h);
}

/* y goes on with a group. */
INLINE void add_group(const struct rows *r, size_t g, struct kind k, bool f16, int b, struct sums *sums) {
    UNROLL for (int h = 0; h < 2; h++) {
        __m256 *acc = &sums->acc[b][h];
        *acc = _mm256_fmadd_ps(group_floats(r, f16, g, h, r->scales[b], r->scale_floats[b]), sums->group[b][h], *acc);
        if (k.affine)
            *acc = _mm256_fmadd_ps(group_floats(r, f16, g, h, r->biases[b], r->bias_floats[b]),
                                   _mm256_broadcast_ss(r->s->u + g), *acc);
    }
}

/* Group g: its units with indexes first .. end−1. */
INLINE void group(const struct rows *r, size_t g, size_t first, size_t end, struct kind k, bool high, bool f16,
                  int from, struct sums *sums) {
    /* Of two planes there are more sums than registers for both row blocks. */
    const int at_once = k.planes == 1 || (!MATVEC_VNNI && depth_of(k, high) == 0) ? BLOCKS : 1;
    __m256i dot[BLOCKS][2];
    if (!k.single) /* −0 + a·b is a·b rounded, whatever its sign */
        UNROLL for (int bh = 0; bh < 2 * BLOCKS; bh++) sums->group[bh / 2][bh % 2] = _mm256_set1_ps(-0.0f);
    for (size_t i = first; i < end; i++) {
        const struct unit u = {k.halves ? i / 2 : i, i, from, k.halves ? 4 : 8};
        UNROLL for (int b0 = 0; b0 < BLOCKS; b0 += at_once) {
            dot_unit(r, u, k, high, b0, b0 + at_once, dot);
            UNROLL for (int b = b0; b < b0 + at_once; b++) {
                add_unit(r, u, k, b, dot[b], sums);
                if (k.single) add_group(r, g, k, f16, b, sums);
            }
        }
        if (k.single) return;
    }
    UNROLL for (int b = 0; b < BLOCKS; b++) add_group(r, g, k, f16, b, sums);
}

static void unpack_group_scales(struct rows *r, size_t n) {
    const struct cria_tile *s = r->s;
    const size_t at = r->first * s->group_scale_bytes;
    for (size_t b = 0; b < BLOCKS; b++) {
        unpack_scales(s->scale_type, r->scales[b] + at, n * CRIA_ROWS, s->scale_factor, r->scale_floats[b]);
        if (s->affine) unpack_scales(s->scale_type, r->biases[b] + at, n * CRIA_ROWS, 1.0f, r->bias_floats[b]);
    }
}

INLINE void multiply(struct rows *r, struct kind k, bool high, bool f16) {
    const struct cria_tile *s = r->s;
    struct sums sums;
    UNROLL for (int i = 0; i < 2 * BLOCKS; i++) sums.acc[i / 2][i % 2] =
        s->first ? _mm256_setzero_ps() : _mm256_maskload_ps(s->y + 8 * i, row_mask(s->rows, i));
    for (size_t end; r->first < s->n_groups; r->first = end) {
        end = f16 || s->n_groups - r->first < GROUPS ? s->n_groups : r->first + GROUPS;
        if (!f16) unpack_group_scales(r, end - r->first);
        for (size_t g = r->first; g < end; g++) {
            const size_t first = k.single ? g : g * s->units;
            group(r, g, first, k.single ? g + 1 : first + s->units, k, high, f16, 0, &sums);
            if (!k.halves) continue;
            g++;
            group(r, g, g, g + 1, k, high, f16, 4, &sums);
        }
    }
    UNROLL for (int i = 0; i < 2 * BLOCKS; i++) {
        if (i >= 2 && s->rows <= CRIA_ROWS) break;
        if (s->rows % CRIA_ROWS == 0) /* masked, a store takes some processors a long time */
            _mm256_storeu_ps(s->y + 8 * i, sums.acc[i / 2][i % 2]);
        else
            _mm256_maskstore_ps(s->y + 8 * i, row_mask(s->rows, i), sums.acc[i / 2][i % 2]);
    }
}

INLINE void tile(const struct cria_tile *s, struct kind k, bool high) {
    const bool common = !k.levels && !k.halves && (k.bits == 4 || k.bits == 8); /* scales in f16: worth code of its own */
    struct rows r; /* no initializer: that would write all of it */
    r.s = s;
    r.first = 0;
    for (size_t b = 0; b < BLOCKS; b++) { /* the second of a tile of one is the first once more */
        const size_t at = s->rows > CRIA_ROWS ? b * s->block_bytes : 0;
        r.codes[b] = s->codes + at;
        r.scales[b] = s->stored_scales + at;
        r.biases[b] = s->stored_biases + at;
    }
    if (common && s->scale_type == CRIA_SCALE_F16 && s->scale_factor == 1.0f)
        multiply(&r, k, high, true);
    else
        multiply(&r, k, high, false);
}

#define TILES(name, ...)                                                                                             \
    static void name##_1(const struct cria_tile *s) { tile(s, (struct kind){__VA_ARGS__, 1}, false); }               \
    static void name##_2(const struct cria_tile *s) { tile(s, (struct kind){__VA_ARGS__, 2}, false); }               \
    static const cria_tile_fn name[2] = {name##_1, name##_2}; /* [planes − 1] */

KINDS(TILES)

/* NULL for what no file format has. */
static const cria_tile_fn *tiles_for(const cria_matrix_spec *s) {
#define FIND(name, ...)                                                                                              \
    if (is_kind(s, (struct kind){__VA_ARGS__, 1})) return name;
    KINDS(FIND)
    return NULL;
}

/* IQ4_NL and IQ4_XS, whose levels go up to 240, without VNNI. */
static void high_levels(const struct cria_tile *s) {
    tile(s, (struct kind){4, true, false, false, true, 1}, true);
}
static const cria_tile_fn high_levels_tile = high_levels;

bool MATVEC_PLAN(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan) {
    const cria_tile_fn *found = tiles_for(s), *tile = found ? &found[planes - 1] : NULL;
    const bool words = !MATVEC_VNNI && cria_max_level(s) > (s->levels ? 31u : 63u);
    if (!tile) return false;
    if (words && s->levels) {
        if (s->group < CRIA_CHUNK) return false;
        tile = &high_levels_tile;
    }
    *plan = (struct cria_tile_plan){.one = tile, .two = tile, .max_tokens = 1, .words = words, .stored = true};
    return true;
}
