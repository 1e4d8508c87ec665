/* SPDX-License-Identifier: Apache-2.0 */
/* The product with one token (matvec_tmpl.c) where four products of levels and activations are added to 32 bits at
 * once. Included by files that define
 *     add_four(sum, levels, a)    exact for levels up to MOST_LEVEL
 *     MATVEC_PLAN                 the name of the plan
 *     APART                       whether row blocks are far apart (struct cria_tile_plan)
 * after matmul_q_avx2.h or matmul_q_avx512.h. */
#include "kernels/x86/matvec_tmpl.c"

INLINE void dot_unit(const struct rows *r, struct unit u, struct kind k, int b0, int b1, ints dot[REGISTERS]) {
    const int8_t *q = r->s->q + CRIA_CHUNK * u.chunk;
    const ints table = k.levels ? load_levels(r->s->levels) : V(set1_epi32)(0);
    const ints start = k.affine ? V(set1_epi32)(0) : broadcast4(r->s->start + u.index);
    /* High nibbles can stay where they are, 16 times their codes, in sums of their own, which also makes the chains of
     * sums half as long. With sixteen registers that is too many sums. */
    const bool two_sums = MOST_LEVEL >= 240 && PER_BLOCK == 1 && k.bits == 4 && !k.levels && k.planes == 1 &&
                          u.steps == 8;
    ints high[REGISTERS]; /* of the high plane, or of the high nibbles */
    UNROLL for (int i = b0 * PER_BLOCK; i < b1 * PER_BLOCK; i++) {
        dot[i] = start;
        high[i] = V(set1_epi32)(0);
    }
    UNROLL for (int i = 0; i < u.steps; i++) {
        const int step = k.bits == 8 ? u.from + i : cria_nth_step(i, u.from, u.steps);
        const ints a = broadcast4(q + 4 * step);
        UNROLL for (int b = b0; b < b1; b++) ask(r, u, k.bits, i, i + 1, b);
        UNROLL for (int j = b0 * PER_BLOCK; j < b1 * PER_BLOCK; j++) {
            const uint8_t *chunk = chunk_of(r, u, k.bits, j / PER_BLOCK);
            const bool stays = two_sums && step >= 4;
            ints w = stays ? high_nibbles(chunk, j % PER_BLOCK, step - 4)
                           : step_codes(chunk, k.bits, j % PER_BLOCK, step);
            /* Compilers put requests for all of a chunk before its first load, where those for 512 bytes gain
             * nothing. */
            if (k.bits == 8 && j == b0 * PER_BLOCK) keep_order(&w);
            if (stays) {
                high[j] = add_four(high[j], w, a);
                continue;
            }
            if (k.levels) w = V(shuffle_epi8)(table, w);
            dot[j] = add_four(dot[j], w, a);
            if (k.planes == 2) high[j] = add_four(high[j], w, broadcast4(q + r->s->plane + 4 * step));
        }
    }
    if (two_sums)
        UNROLL for (int i = b0 * PER_BLOCK; i < b1 * PER_BLOCK; i++) dot[i] =
            V(add_epi32)(dot[i], V(srai_epi32)(high[i], 4));
    if (k.planes == 2)
        UNROLL for (int i = b0 * PER_BLOCK; i < b1 * PER_BLOCK; i++) dot[i] =
            V(add_epi32)(dot[i], V(slli_epi32)(high[i], 8));
}

INLINE void run(const struct cria_tile *s, struct kind k) { one_token(s, k, dot_unit); }

bool MATVEC_PLAN(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan) {
    const cria_tile_fn *tiles = cria_max_level(s) <= MOST_LEVEL ? tiles_for(s) : NULL;
    if (!tiles) return false;
    const cria_tile_fn *tile = &tiles[planes - 1];
    *plan = (struct cria_tile_plan){.one = tile, .two = tile, .max_tokens = 1, .stored = true, .apart = APART};
    return true;
}
