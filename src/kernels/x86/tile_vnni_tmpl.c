/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tiles of the quantized product (matmul_q.h) for processors with VNNI, and which of them a product takes.
 * Included, after matmul_q_avx512.h or matmul_q_avx2.h, by the files that define
 *     add_four(sum, levels, a)    vpdpbusd
 *     MATVEC_PLAN                 the plan for one token
 *     TWO_PLANES_AS_WORDS         1 or 0, and if 1
 *     add_two(sum, levels, a)     vpdpwssd
 *     BROADCASTS                  1 or 0, and if 1
 *     add_four_at(sum, levels, p) vpdpbusd, which broadcasts the four activations at p itself
 *     PORTS_TO_SPARE              whether the processor unpacks codes beside its products, or in place of some
 *
 * A tile is two registers of rows, two row blocks or one, against up to six tokens: twelve integer sums, two weights
 * and an activation, with twelve float sums if they fit. vpdpbusd adds four products of an unsigned level and a signed
 * activation to 32 bits, exactly for every level. Two planes of activations are two products, 256·hi + lo; with many
 * tokens it may pay to have levels and activations as 16-bit numbers instead: vpdpwssd adds two products, which spares
 * joining the planes. The zero of a symmetric matrix enters as the sum's start, −zero·Σa.
 */
#include "kernels/matmul_q.h"
#include "kernels/x86/kinds.h"

enum {
    MAX_TOKENS = CRIA_TILE_TOKENS,
    REGISTERS = 2,
    BLOCKS = REGISTERS / PER_BLOCK,
    SUMS_FIT = LANES == 16, /* thirty-two registers: those of integers and of floats of six tokens */
    WORDS = 16,       /* in place of bits: levels and activations are 16-bit numbers */
    /* Of activations, for which it does not pay to unpack codes in a pass of its own: */
    FEW_VECTORS = 36, /* Emerald Rapids: 1.4 times with 10, 1.1 with 24, so none by 45 */
    FEW_WITH_PORTS = 64,
    MANY_TOKENS = 48 /* for which it pays to unpack them to words */
};

/* The sums of a tile: y, which rests in memory unless a compiler sees that it need not, and t. */
struct sums {
    float (*acc)[REGISTERS][LANES];
    floats group[MAX_TOKENS][REGISTERS];
};

/* Where a register's row block begins, blocks being `stride` apart, and its rows within the block. */
INLINE size_t block_at(int r, size_t stride) { return BLOCKS == 2 ? (size_t)r * stride : 0; }
INLINE size_t row_at(int r) { return (size_t)(r % PER_BLOCK * LANES); }

/* Whether a tile's sums are (CRIA_BIAS): of all plans and of their tiles, which have more than one token if the product
 * does. */
INLINE bool biased(struct kind k, int n) { return k.planes == 1 && n > 1 && (k.affine || k.single); }

/* Integer sums of a token. */
INLINE int vectors(struct kind k) { return k.bits == WORDS ? 1 : k.planes; }

/* Whether products of token t broadcast its activations themselves. A broadcast of its own is an instruction for two
 * products, without it there is a load more: half of an affine tile's tokens, and all of another's, can have that in
 * the time that their products take. Groups of several units, or of half a one, have loads enough. */
INLINE bool broadcasts(struct kind k, int t) {
    return k.bits == 8 && k.planes == 1 && k.single && !k.halves && (!k.affine || t % 2 == 1);
}

/* a: four bytes, or two words, of token t. */
INLINE ints add_products(struct kind k, int t, ints sum, ints levels, const int8_t *a) {
#if TWO_PLANES_AS_WORDS
    if (k.bits == WORDS) return add_two(sum, levels, broadcast4(a));
#endif
#if BROADCASTS
    if (broadcasts(k, t)) return add_four_at(sum, levels, a);
#endif
    (void)k, (void)t, (void)broadcasts;
    return add_four(sum, levels, broadcast4(a));
}

/* Whatever is in memory stays there, and is not kept in registers that others need more. */
INLINE void keep_in_memory(struct sums *sums) { __asm__("" : "+r"(sums->acc) : : "memory"); }

/* The sums of token t go on with a group. n is the tile's number of tokens; t and n are constants, as are all ints and
 * bools below that are no part of s. */
INLINE void add_group(const struct cria_tile *s, size_t g, struct kind k, int n, int t, struct sums *sums) {
    UNROLL for (int r = 0; r < REGISTERS; r++) {
        const size_t at = block_at(r, s->scales_stride) + CRIA_ROWS * g + row_at(r);
        floats acc = V(load_ps)(sums->acc[t][r]);
        acc = V(fmadd_ps)(V(loadu_ps)(s->scales + at), sums->group[t][r], acc);
        if (k.affine)
            acc = V(fmadd_ps)(V(loadu_ps)(s->biases + at), V(set1_ps)(s->u[g * (size_t)n + (size_t)t]), acc);
        V(store_ps)(sums->acc[t][r], acc);
    }
}

/* What a unit's integer sums of token t do to the group's. */
INLINE void add_unit(const struct cria_tile *s, struct unit u, struct kind k, bool first, int n, int t,
                     const ints dot[REGISTERS], struct sums *sums) {
    const size_t at = u.chunk * (size_t)n + (size_t)t;
    const floats d = V(set1_ps)(s->d[at]);
    UNROLL for (int r = 0; r < REGISTERS; r++) {
        floats *sum = &sums->group[t][r];
        if (first && biased(k, n))
            *sum = V(fmadd_ps)(as_floats(dot[r]), d, V(set1_ps)(s->minus[at]));
        else if (first)
            *sum = V(mul_ps)(V(cvtepi32_ps)(dot[r]), d);
        else
            *sum = V(fmadd_ps)(V(cvtepi32_ps)(dot[r]), d, *sum);
    }
}

/* What the integer sums of a unit start at. */
INLINE void start_unit(const struct cria_tile *s, struct unit u, struct kind k, bool first, int n,
                       ints dot[][REGISTERS]) {
    UNROLL for (int t = 0; t < n; t++) {
        const int32_t start = !k.affine                ? s->start[u.index * (size_t)n + (size_t)t]
                              : first && biased(k, n) ? CRIA_BIAS_BITS
                                                      : 0;
        UNROLL for (int r = 0; r < REGISTERS; r++) {
            dot[vectors(k) * t][r] = V(set1_epi32)(start);
            if (vectors(k) == 2) dot[2 * t + 1][r] = V(set1_epi32)(0);
        }
    }
}

/* One unit, of group g. A token is finished with the last step's products: that leaves the processor enough to do on
 * both sides of a unit's end. */
INLINE void unit(const struct cria_tile *s, struct unit u, size_t g, struct kind k, bool first, int n,
                 struct sums *sums) {
    const uint8_t *codes = s->codes + u.chunk * 64 * (size_t)k.bits;
    const int8_t *q = k.bits == WORDS ? (const int8_t *)(s->pairs + CRIA_CHUNK * u.chunk * (size_t)n)
                                      : s->q + CRIA_CHUNK * u.chunk * (size_t)n;
    const int steps = k.bits == WORDS ? 2 * u.steps : u.steps; /* half as many inputs at a time */
    const ints table = k.levels ? load_levels(s->levels) : V(set1_epi32)(0);
    ints dot[MAX_TOKENS][REGISTERS]; /* of tokens' planes */
    start_unit(s, u, k, first, n, dot);
    UNROLL for (int i = 0; i < steps; i++) {
        const int step = k.bits == WORDS ? 2 * u.from + i
                         : k.bits == 8   ? u.from + i
                                         : cria_nth_step(i, u.from, u.steps);
        ints w[REGISTERS];
        if (k.bits < 8 || (k.bits == 8 && n * k.planes <= 4))
            UNROLL for (int b = 0; b < BLOCKS; b++)
                cria_ask(&s->stream, u.chunk, k.bits, u.from, i, i + 1, (size_t)b * s->codes_stride);
        UNROLL for (int r = 0; r < REGISTERS; r++) {
            const int bits = k.bits == WORDS ? 8 : k.bits; /* 64 bytes a step are read alike */
            w[r] = step_codes(codes + block_at(r, s->codes_stride), bits, r % PER_BLOCK, step);
            if (k.levels) w[r] = V(shuffle_epi8)(table, w[r]);
        }
        UNROLL for (int t = 0; t < n; t++) {
            UNROLL for (int p = 0; p < vectors(k); p++) {
                const int8_t *a = q + (size_t)p * s->plane + 4 * ((size_t)step * (size_t)n + (size_t)t);
                ints *d = dot[vectors(k) * t + p];
                UNROLL for (int r = 0; r < REGISTERS; r++) d[r] = add_products(k, t, d[r], w[r], a);
            }
            if (i != steps - 1) continue;
            if (vectors(k) == 2) {
                UNROLL for (int r = 0; r < REGISTERS; r++) dot[2 * t][r] =
                    V(add_epi32)(dot[2 * t][r], V(slli_epi32)(dot[2 * t + 1][r], 8));
            }
            add_unit(s, u, k, first, n, t, dot[vectors(k) * t], sums);
            if (k.single) add_group(s, g, k, n, t, sums);
        }
    }
    if (k.single && !SUMS_FIT) keep_in_memory(sums);
}

INLINE void tile(const struct cria_tile *given, struct kind k, int n) {
    struct cria_tile own = *given; /* which no store can change */
    const struct cria_tile *const s = &own;
    _Alignas(64) float acc[MAX_TOKENS][REGISTERS][LANES];
    struct sums sums = {.acc = acc};
    if (s->rows <= CRIA_ROWS) own.codes_stride = own.scales_stride = 0; /* the second of one block is the first */
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int r = 0; r < REGISTERS; r++)
            V(store_ps)(acc[t][r], s->first ? V(setzero_ps)() : load_rows(s->sums + CRIA_TILE_ROWS * t, s->rows, r));
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
        keep_in_memory(&sums);
        UNROLL for (int t = 0; t < n; t++) add_group(s, g, k, n, t, &sums);
    }
    UNROLL for (int t = 0; t < n; t++) {
        UNROLL for (int r = 0; r < REGISTERS; r++)
            store_rows(s->y + (size_t)t * s->ldy, s->rows, r, V(load_ps)(sums.acc[t][r]));
    }
}

/* ---- Choosing ---- */

#define TILE(name, n, ...)                                                                                           \
    static void name(const struct cria_tile *s) { tile(s, (struct kind){__VA_ARGS__}, n); }

/* Codes unpacked in registers: [planes − 1][tokens − 1] of two tokens or more, up to six vectors of activations. */
#define DIRECT(name, ...)                                                                                            \
    TILE(name##_p1t2, 2, __VA_ARGS__, 1)                                                                             \
    TILE(name##_p1t3, 3, __VA_ARGS__, 1)                                                                             \
    TILE(name##_p1t4, 4, __VA_ARGS__, 1)                                                                             \
    TILE(name##_p1t5, 5, __VA_ARGS__, 1)                                                                             \
    TILE(name##_p1t6, 6, __VA_ARGS__, 1)                                                                             \
    TILE(name##_p2t2, 2, __VA_ARGS__, 2)                                                                             \
    TILE(name##_p2t3, 3, __VA_ARGS__, 2)                                                                             \
    static const cria_tile_fn name[2][6] = {{NULL, name##_p1t2, name##_p1t3, name##_p1t4, name##_p1t5, name##_p1t6}, \
                                            {NULL, name##_p2t2, name##_p2t3}};

KINDS(DIRECT)

/* NULL for what no file format has. */
static const cria_tile_fn *direct_tiles(const cria_matrix_spec *s, uint32_t planes) {
    const cria_tile_fn *found = NULL;
#define FIND(name, ...)                                                                                              \
    if (is_better(s, (struct kind){__VA_ARGS__, 1}, found)) found = name[planes - 1];
    KINDS(FIND)
    return found;
}

/* Levels as bytes, [planes − 1][tokens − 1] up to six vectors, and as words, [tokens − 1] of two planes. */
#if TWO_PLANES_AS_WORDS
#define WORD_TILES(name, ...)                                                                                        \
    TILE(name##_w2, 2, WORDS, false, __VA_ARGS__, 2)                                                                 \
    TILE(name##_w3, 3, WORDS, false, __VA_ARGS__, 2)                                                                 \
    TILE(name##_w4, 4, WORDS, false, __VA_ARGS__, 2)                                                                 \
    TILE(name##_w5, 5, WORDS, false, __VA_ARGS__, 2)                                                                 \
    TILE(name##_w6, 6, WORDS, false, __VA_ARGS__, 2)
#define WORD_ROW(name) {NULL, name##_w2, name##_w3, name##_w4, name##_w5, name##_w6}
#else
#define WORD_TILES(name, ...)
#define WORD_ROW(name) {NULL}
#endif
#define UNPACKED(name, ...)                                                                                          \
    TILE(name##_p1t1, 1, 8, false, __VA_ARGS__, 1)                                                                   \
    TILE(name##_p1t2, 2, 8, false, __VA_ARGS__, 1)                                                                   \
    TILE(name##_p1t3, 3, 8, false, __VA_ARGS__, 1)                                                                   \
    TILE(name##_p1t4, 4, 8, false, __VA_ARGS__, 1)                                                                   \
    TILE(name##_p1t5, 5, 8, false, __VA_ARGS__, 1)                                                                   \
    TILE(name##_p1t6, 6, 8, false, __VA_ARGS__, 1)                                                                   \
    TILE(name##_p2t1, 1, 8, false, __VA_ARGS__, 2)                                                                   \
    TILE(name##_p2t2, 2, 8, false, __VA_ARGS__, 2)                                                                   \
    TILE(name##_p2t3, 3, 8, false, __VA_ARGS__, 2)                                                                   \
    WORD_TILES(name, __VA_ARGS__)                                                                                    \
    static const struct unpacked_tiles name = {                                                                      \
        {{name##_p1t1, name##_p1t2, name##_p1t3, name##_p1t4, name##_p1t5, name##_p1t6},                             \
         {name##_p2t1, name##_p2t2, name##_p2t3}},                                                                   \
        WORD_ROW(name)};

struct unpacked_tiles {
    cria_tile_fn bytes[2][MAX_TOKENS], words[MAX_TOKENS];
};

/*                         halves affine single */
UNPACKED(affine,           false, true,  false)
UNPACKED(affine_single,    false, true,  true)
UNPACKED(affine_halves,    true,  true,  true)
UNPACKED(symmetric,        false, false, false)
UNPACKED(symmetric_single, false, false, true)
UNPACKED(symmetric_halves, true,  false, true)

static const struct unpacked_tiles *unpacked_tiles(const cria_matrix_spec *s) {
    if (s->group < CRIA_CHUNK) return s->affine ? &affine_halves : &symmetric_halves;
    if (s->group == CRIA_CHUNK) return s->affine ? &affine_single : &symmetric_single;
    return s->affine ? &affine : &symmetric;
}

/* Whether tiles of n tokens unpack codes themselves. With ports to spare (Zen 4) 4 bits are never worth a pass of its
 * own: without it 512 tokens are up to 1.06 times as fast, 48 tokens 1.2 times. */
static bool are_few(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    if (!PORTS_TO_SPARE) return n * planes <= FEW_VECTORS;
    return n * planes <= FEW_WITH_PORTS || (s->bits == 4 && planes == 1);
}

static struct cria_tile_plan make_plan(const cria_matrix_spec *s, uint32_t n, uint32_t planes) {
    struct cria_tile_plan plan;
    if (n == 1 && MATVEC_PLAN(s, planes, &plan)) return plan;
    const cria_tile_fn *direct = n > 1 && are_few(s, n, planes) ? direct_tiles(s, planes) : NULL, *tiles = direct;
    const struct kind k = {.affine = s->affine, .single = s->group <= CRIA_CHUNK, .planes = (int)planes};
    plan = (struct cria_tile_plan){.max_tokens = MAX_TOKENS / planes, .biased = biased(k, (int)n)};
    if (TWO_PLANES_AS_WORDS && !direct && planes == 2 && n >= MANY_TOKENS) {
        tiles = unpacked_tiles(s)->words;
        plan.max_tokens = MAX_TOKENS;
        plan.unpack = unpack_words;
        plan.wide = plan.words = true;
    } else if (!direct) {
        tiles = unpacked_tiles(s)->bytes[planes - 1];
        plan.unpack = s->bits == 8 ? NULL : unpack_chunks;
    }
    plan.one = tiles;
    plan.two = BLOCKS == 2 ? tiles : NULL;
    return plan;
}

static const struct cria_matmul_q_ops ops = {make_plan, unpack_scales};
