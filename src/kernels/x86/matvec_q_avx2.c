/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quantized product with one token (matvec_tmpl.c) for AVX2. How I_j is had exactly: matmul_q_avx2.c. A register is
 * half h of a row block.
 */
#include "kernels/x86/matmul_q_avx2.h"

#include "kernels/x86/matvec_tmpl.c"

/* How many products are summed up in 16 bits; 0: levels above 63, 16-bit activations. */
INLINE int depth_of(struct kind k) {
    if (k.levels) return 4;
    return k.bits == 8 ? 0 : k.bits == 6 ? 2 : k.bits == 5 || k.halves ? 4 : 8;
}

/* The levels of two steps, half h. Nibbles are loaded once: compilers would do it twice. */
INLINE void two_steps(const struct rows *r, struct unit u, struct kind k, int b, int h, const int step[2],
                      __m256i table, __m256i w[2]) {
    const uint8_t *chunk = chunk_of(r, u, k.bits, b);
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

/* The zero's part of a unit. */
INLINE void add_start(const struct rows *r, struct unit u, struct kind k, int b0, int b1, ints dot[REGISTERS]) {
    if (k.affine) return;
    const ints start = broadcast4(r->s->start + u.index);
    UNROLL for (int i = 2 * b0; i < 2 * b1; i++) dot[i] = _mm256_add_epi32(dot[i], start);
}

/* Levels of up to 63. */
INLINE void dot_bytes(const struct rows *r, struct unit u, struct kind k, int b0, int b1, ints dot[REGISTERS]) {
    const int depth = depth_of(k);
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
                if (k.planes == 1) /* faster; slower with two */
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
        dot[bh] = all[b][h][0];
        if (k.planes == 2) dot[bh] = _mm256_add_epi32(dot[bh], _mm256_slli_epi32(all[b][h][1], 8));
    }
    add_start(r, u, k, b0, b1, dot);
}

/* Levels of up to 255, 16-bit activations. */
INLINE void dot_words(const struct rows *r, struct unit u, struct kind k, int b0, int b1, ints dot[REGISTERS]) {
    const int16_t *pairs = r->s->pairs + CRIA_CHUNK * u.chunk;
    const __m256i low = _mm256_set1_epi16(255), table = k.levels ? load_levels(r->s->levels) : low;
    UNROLL for (int i = 0; i < u.steps; i += 2) {
        const int step[2] = {u.from + i, u.from + i + 1};
        UNROLL for (int b = b0; b < b1; b++) ask(r, u, k.bits, i, i + 2, b);
        UNROLL for (int j = 0; j < 2; j++) {
            const int16_t *p = pairs + 4 * step[j];
            const __m256i even = broadcast4(p), odd = broadcast4(p + 2);
            UNROLL for (int bh = 2 * b0; bh < 2 * b1; bh++) {
                const uint8_t *chunk = chunk_of(r, u, k.bits, bh / 2);
                __m256i w = step_codes(chunk, k.bits, bh % 2, step[j]), *sum = &dot[bh];
                if (k.levels) w = _mm256_shuffle_epi8(table, w);
                const __m256i first = _mm256_madd_epi16(_mm256_and_si256(w, low), even);
                *sum = i + j == 0 ? first : _mm256_add_epi32(*sum, first);
                keep_order(sum);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_srli_epi16(w, 8), odd));
                keep_order(sum);
            }
        }
    }
    add_start(r, u, k, b0, b1, dot);
}

/* 16-bit activations are both planes at once. */
INLINE void run(const struct cria_tile *s, struct kind k) {
    if (depth_of(k) == 0) {
        k.planes = 1;
        one_token(s, k, dot_words);
    } else {
        one_token(s, k, dot_bytes);
    }
}

/* IQ4_NL and IQ4_XS, whose levels go up to 240. */
static void high_levels(const struct cria_tile *s) {
    one_token(s, (struct kind){4, true, false, false, true, 1}, dot_words);
}
static const cria_tile_fn high_levels_tile = high_levels;

bool cria_matvec_plan_avx2(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan) {
    const cria_tile_fn *tiles = tiles_for(s), *tile = tiles ? &tiles[planes - 1] : NULL;
    const bool words = cria_max_level(s) > (s->levels ? 31u : 63u); /* of levels four products are added up */
    if (tile && words && s->levels) tile = s->group == CRIA_CHUNK ? &high_levels_tile : NULL;
    if (!tile) return false;
    *plan = (struct cria_tile_plan){.one = tile, .two = tile, .max_tokens = 1, .words = words, .stored = true};
    return true;
}
