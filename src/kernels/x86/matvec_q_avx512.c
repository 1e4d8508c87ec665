/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized matrix product for AVX-512 with a single token (matmul_q of kernels.h), compiled once for processors with
 * VNNI and once for those without. As in matvec_q_avx2.c, where the reasons are, a tile is one or two row blocks side
 * by side, and all sums are in registers. A register is a row block.
 *
 * Four products of levels and activations are added to 32 bits: by vpdpbusd, exactly for every level; without VNNI by
 * vpmaddubsw and vpmaddwd, for levels of up to 127.
 */
#include "kernels/x86/matmul_q_avx512.h"

#include "kernels/x86/kinds.h"

#ifndef MATVEC_PLAN
#define MATVEC_PLAN cria_matvec_plan_avx512
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
    _Alignas(64) float scale_floats[BLOCKS][GROUPS * CRIA_ROWS], bias_floats[BLOCKS][GROUPS * CRIA_ROWS];
    size_t first;
};

struct sums {
    __m512 acc[BLOCKS], group[BLOCKS]; /* y; t */
};

/* sum + four products in each lane */
INLINE __m512i add_four(__m512i sum, __m512i levels, __m512i a) {
#if MATVEC_VNNI
    return _mm512_dpbusd_epi32(sum, levels, a);
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(levels, a), _mm512_set1_epi16(1)));
#endif
}

/* The integer sums of a unit. */
INLINE void dot_unit(const struct rows *r, struct unit u, struct kind k, __m512i dot[BLOCKS]) {
    const int8_t *q = r->s->q + CRIA_CHUNK * u.chunk;
    const __m512i table = k.levels ? load_levels(r->s->levels) : _mm512_setzero_si512();
    const __m512i start = k.affine ? _mm512_setzero_si512() : broadcast4(r->s->start + u.index);
    __m512i high[BLOCKS];
    UNROLL for (int b = 0; b < BLOCKS; b++) {
        dot[b] = start;
        high[b] = _mm512_setzero_si512();
    }
    UNROLL for (int i = 0; i < u.steps; i++) {
        const int step = cria_nth_step(i, u.from, u.steps);
        const __m512i a = broadcast4(q + 4 * step);
        UNROLL for (int b = 0; b < BLOCKS; b++) {
            cria_ask(&r->s->stream, u.chunk, k.bits, u.from, i, i + 1, (size_t)b * r->s->block_bytes);
            __m512i w = step_codes(r->codes[b] + u.chunk * 64 * (size_t)k.bits, k.bits, step);
            if (k.levels) w = _mm512_shuffle_epi8(table, w);
            dot[b] = add_four(dot[b], w, a);
            if (k.planes == 2) high[b] = add_four(high[b], w, broadcast4(q + r->s->plane + 4 * step));
        }
    }
    if (k.planes == 2)
        UNROLL for (int b = 0; b < BLOCKS; b++) dot[b] = _mm512_add_epi32(dot[b], _mm512_slli_epi32(high[b], 8));
}

/* t of the group at hand goes on with a unit. */
INLINE void add_unit(const struct rows *r, struct unit u, struct kind k, int b, __m512i dot, struct sums *sums) {
    const __m512 d = _mm512_set1_ps(r->s->d[u.chunk]), f = _mm512_cvtepi32_ps(dot);
    sums->group[b] = k.single ? _mm512_mul_ps(f, d) : _mm512_fmadd_ps(f, d, sums->group[b]);
}

/* The scales (or biases) of group g: as they are stored where that is in 16 bits, else as float32 by now. */
INLINE __m512 group_floats(const struct rows *r, bool f16, size_t g, const uint8_t *stored, const float *floats) {
    if (f16) return f16_floats((const uint16_t *)(const void *)stored + CRIA_ROWS * g);
    return _mm512_load_ps(floats + CRIA_ROWS * (g - r->first));
}

/* y goes on with a group. */
INLINE void add_group(const struct rows *r, size_t g, struct kind k, bool f16, int b, struct sums *sums) {
    __m512 *acc = &sums->acc[b];
    *acc = _mm512_fmadd_ps(group_floats(r, f16, g, r->scales[b], r->scale_floats[b]), sums->group[b], *acc);
    if (k.affine)
        *acc = _mm512_fmadd_ps(group_floats(r, f16, g, r->biases[b], r->bias_floats[b]), _mm512_set1_ps(r->s->u[g]),
                               *acc);
}

/* Group g: its units with indexes first .. end−1. */
INLINE void group(const struct rows *r, size_t g, size_t first, size_t end, struct kind k, int from, bool f16,
                  struct sums *sums) {
    __m512i dot[BLOCKS];
    if (!k.single) /* −0 + a·b is a·b rounded, whatever its sign */
        UNROLL for (int b = 0; b < BLOCKS; b++) sums->group[b] = _mm512_set1_ps(-0.0f);
    for (size_t i = first; i < end; i++) {
        const struct unit u = {k.halves ? i / 2 : i, i, from, k.halves ? 4 : 8};
        dot_unit(r, u, k, dot);
        UNROLL for (int b = 0; b < BLOCKS; b++) add_unit(r, u, k, b, dot[b], sums);
        if (k.single) break;
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

INLINE void multiply(struct rows *r, struct kind k, bool f16) {
    const struct cria_tile *s = r->s;
    struct sums sums;
    UNROLL for (int b = 0; b < BLOCKS; b++) sums.acc[b] =
        s->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(row_mask(s->rows, b), s->y + 16 * b);
    for (size_t end; r->first < s->n_groups; r->first = end) {
        end = f16 || s->n_groups - r->first < GROUPS ? s->n_groups : r->first + GROUPS;
        if (!f16) unpack_group_scales(r, end - r->first);
        for (size_t g = r->first; g < end; g++) {
            const size_t first = k.single ? g : g * s->units;
            group(r, g, first, k.single ? g + 1 : first + s->units, k, 0, f16, &sums);
            if (!k.halves) continue;
            g++;
            group(r, g, g, g + 1, k, 4, f16, &sums);
        }
    }
    UNROLL for (int b = 0; b < BLOCKS; b++)
        _mm512_mask_storeu_ps(s->y + 16 * b, row_mask(s->rows, b), sums.acc[b]);
}

INLINE void tile(const struct cria_tile *s, struct kind k) {
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
        multiply(&r, k, true);
    else
        multiply(&r, k, false);
}

#define TILES(name, ...)                                                                                             \
    static void name##_1(const struct cria_tile *s) { tile(s, (struct kind){__VA_ARGS__, 1}); }                      \
    static void name##_2(const struct cria_tile *s) { tile(s, (struct kind){__VA_ARGS__, 2}); }                      \
    static const cria_tile_fn name[2] = {name##_1, name##_2}; /* [planes − 1] */

KINDS(TILES)

/* NULL for what no file format has. */
static const cria_tile_fn *tiles_for(const cria_matrix_spec *s) {
#define FIND(name, ...)                                                                                              \
    if (is_kind(s, (struct kind){__VA_ARGS__, 1})) return name;
    KINDS(FIND)
    return NULL;
}

bool MATVEC_PLAN(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan) {
    const cria_tile_fn *found = tiles_for(s);
    if (!found || (!MATVEC_VNNI && cria_max_level(s) > 127)) return false;
    const cria_tile_fn *tile = &found[planes - 1];
    *plan = (struct cria_tile_plan){.one = tile, .two = tile, .max_tokens = 1, .stored = true};
    return true;
}
