/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quantized product with a single token (matmul_q of kernels.h): what generating is made of, bound by how fast
 * memory is read. Here is what is alike for all instruction sets of x86-64, after matmul_q_avx2.h or matmul_q_avx512.h;
 * how the integer products of a unit are had, matvec_four_tmpl.c and matvec_q_avx2.c have.
 *
 * A tile is one or two row blocks. Two are read side by side: memory gives a core more from two places than from one,
 * and an activation that is loaded serves both. A processor overlaps reading with arithmetic only as far as its window
 * of some hundred instructions goes, so most of what the arithmetic takes is added to what the memory takes: all sums
 * stay in registers, nothing is unpacked in a pass of its own, and what is constant is a constant.
 */
#include "kernels/x86/kinds.h"

enum {
    BLOCKS = 2,
    REGISTERS = BLOCKS * PER_BLOCK, /* of a tile's rows: register r is part r % PER_BLOCK of block r / PER_BLOCK */
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
    floats acc[REGISTERS], group[REGISTERS]; /* y; t */
};

/* The I_j of a unit, in the registers of row blocks b0 .. b1−1. All ints are constants here and below. */
typedef void dots_fn(const struct rows *r, struct unit u, struct kind k, int b0, int b1, ints dot[REGISTERS]);

/* Keeps v in a register, and what comes before and behind it in the order of the code. */
INLINE void keep_order(ints *v) { __asm__ volatile("" : "+" IN_REGISTER(*v)); }

/* Steps i0 .. i1−1 of a unit ask for their share of row block b. */
INLINE void ask(const struct rows *r, struct unit u, int bits, int i0, int i1, int b) {
    cria_ask(&r->s->stream, u.chunk, bits, u.from, i0, i1, (size_t)(r->codes[b] - r->codes[0]));
}

/* Brings scales, which lie before the codes, into the first cache, and asks for what comes next as for codes. Read one
 * by one between codes they would be two more streams, and processors that look ahead at what is read would lose sight
 * of the others. */
INLINE void read_scales(const struct rows *r) {
    const size_t near = r->s->stream.codes - (uintptr_t)r->codes[0], far = near + r->s->stream.far;
    for (size_t i = 0, n = (size_t)(r->codes[0] - r->scales[0]); i < n; i += 64) {
        UNROLL for (int b = 0; b < BLOCKS; b++) {
            const uint8_t *p = r->scales[b] + i;
            (void)*(const volatile uint8_t *)p;
            __builtin_prefetch(p + near);
            __builtin_prefetch(p + far, 0, 2);
        }
    }
}

/* The chunk of a unit, in row block b. */
INLINE const uint8_t *chunk_of(const struct rows *r, struct unit u, int bits, int b) {
    return r->codes[b] + u.chunk * 64 * (size_t)bits;
}

/* t of the group at hand goes on with a unit. */
INLINE void add_unit(const struct rows *r, struct unit u, struct kind k, int b, const ints dot[REGISTERS],
                     struct sums *sums) {
    const floats d = V(set1_ps)(r->s->d[u.chunk]);
    UNROLL for (int i = b * PER_BLOCK; i < (b + 1) * PER_BLOCK; i++) {
        const floats f = V(cvtepi32_ps)(dot[i]);
        sums->group[i] = k.single ? V(mul_ps)(f, d) : V(fmadd_ps)(f, d, sums->group[i]);
    }
}

/* The scales (or biases) of group g, register i: as they are stored where that is in 16 bits, else as float32 by
 * now. */
INLINE floats group_floats(const struct rows *r, bool f16, size_t g, int i, const uint8_t *stored,
                           const float *unpacked) {
    const size_t row = (size_t)(i % PER_BLOCK * LANES);
    if (f16) return f16_floats((const uint16_t *)(const void *)stored + CRIA_ROWS * g + row);
    return V(load_ps)(unpacked + CRIA_ROWS * (g - r->first) + row);
}

/* y goes on with a group. */
INLINE void add_group(const struct rows *r, size_t g, struct kind k, bool f16, int b, struct sums *sums) {
    UNROLL for (int i = b * PER_BLOCK; i < (b + 1) * PER_BLOCK; i++) {
        floats *acc = &sums->acc[i];
        *acc = V(fmadd_ps)(group_floats(r, f16, g, i, r->scales[b], r->scale_floats[b]), sums->group[i], *acc);
        if (k.affine)
            *acc = V(fmadd_ps)(group_floats(r, f16, g, i, r->biases[b], r->bias_floats[b]), V(set1_ps)(r->s->u[g]),
                               *acc);
    }
}

/* Group g: its units with indexes first .. end−1. */
INLINE void group(const struct rows *r, size_t g, size_t first, size_t end, struct kind k, dots_fn *dots, bool f16,
                  int from, struct sums *sums) {
    /* With two planes there are more sums than sixteen registers hold for both row blocks. */
    const int at_once = PER_BLOCK == 1 || k.planes == 1 ? BLOCKS : 1;
    ints dot[REGISTERS];
    if (!k.single) /* −0 + a·b is a·b rounded, whatever its sign */
        UNROLL for (int i = 0; i < REGISTERS; i++) sums->group[i] = V(set1_ps)(-0.0f);
    for (size_t i = first; i < end; i++) {
        const struct unit u = {k.halves ? i / 2 : i, i, from, k.halves ? 4 : 8};
        UNROLL for (int b0 = 0; b0 < BLOCKS; b0 += at_once) {
            dots(r, u, k, b0, b0 + at_once, dot);
            UNROLL for (int b = b0; b < b0 + at_once; b++) {
                add_unit(r, u, k, b, dot, sums);
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

INLINE void multiply(struct rows *r, struct kind k, dots_fn *dots, bool f16) {
    const struct cria_tile *s = r->s;
    struct sums sums;
    UNROLL for (int i = 0; i < REGISTERS; i++) sums.acc[i] =
        s->first ? V(setzero_ps)() : load_rows(s->sums, s->rows, i);
    for (size_t end; r->first < s->n_groups; r->first = end) {
        end = f16 || s->n_groups - r->first < GROUPS ? s->n_groups : r->first + GROUPS;
        if (!f16) unpack_group_scales(r, end - r->first);
        for (size_t g = r->first; g < end; g++) {
            const size_t first = k.single ? g : g * s->units;
            group(r, g, first, k.single ? g + 1 : first + s->units, k, dots, f16, 0, &sums);
            if (!k.halves) continue;
            g++;
            group(r, g, g, g + 1, k, dots, f16, 4, &sums);
        }
    }
    UNROLL for (int i = 0; i < REGISTERS; i++) {
        if (i == PER_BLOCK && s->rows <= CRIA_ROWS) return;
        const uint32_t b = (uint32_t)(i / PER_BLOCK);
        store_rows(s->y + b * s->second * CRIA_ROWS, s->rows - b * CRIA_ROWS, i % PER_BLOCK, sums.acc[i]);
    }
}

/* The tile; k and dots are constants. */
INLINE void one_token(const struct cria_tile *s, struct kind k, dots_fn *dots) {
    const bool common = !k.levels && !k.halves && (k.bits == 4 || k.bits == 8); /* f16 is worth code of its own */
    struct rows r; /* no initializer: that would write all of it */
    r.s = s;
    r.first = 0;
    for (size_t b = 0; b < BLOCKS; b++) { /* the second of a tile of one is the first once more */
        const size_t at = b * s->second * s->block_bytes;
        r.codes[b] = s->codes + at;
        r.scales[b] = s->stored_scales + at;
        r.biases[b] = s->stored_biases + at;
    }
    if (s->second > 1) read_scales(&r);
    if (common && s->scale_type == CRIA_SCALE_F16 && s->scale_factor == 1.0f)
        multiply(&r, k, dots, true);
    else
        multiply(&r, k, dots, false);
}

/* The tile of a kind (a constant): one_token with the integer products that it takes. For includers to define. */
INLINE void run(const struct cria_tile *s, struct kind k);

#define TILES(name, ...)                                                                                             \
    static void name##_1(const struct cria_tile *s) { run(s, (struct kind){__VA_ARGS__, 1}); }                       \
    static void name##_2(const struct cria_tile *s) { run(s, (struct kind){__VA_ARGS__, 2}); }                       \
    static const cria_tile_fn name[2] = {name##_1, name##_2}; /* [planes − 1] */

KINDS(TILES)

/* NULL for what no file format has. */
static const cria_tile_fn *tiles_for(const cria_matrix_spec *s) {
    const cria_tile_fn *found = NULL;
#define FIND(name, ...)                                                                                              \
    if (is_better(s, (struct kind){__VA_ARGS__, 1}, found)) found = name;
    KINDS(FIND)
    return found;
}
