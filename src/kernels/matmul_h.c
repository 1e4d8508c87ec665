/* SPDX-License-Identifier: Apache-2.0 */
/* The loops around the tiles of the product of half and 8-bit floats with whole integers (matmul_h.h). */
#include "kernels/matmul_h.h"

enum {
    PIECE = 1024, /* columns of integers in the scratch memory */
    PIECE_BYTES = PIECE * CRIA_ROWS * sizeof(int16_t)
};

struct job {
    const struct cria_matmul_h_ops *ops;
    const cria_matrix *w;
    const cria_act *x;
    float *y;
    size_t ldy;
    cria_rect part;
};

/* Of row block b, as it is stored, and all columns from k on, against the first token. */
static struct cria_tile_h tile_at(const struct job *j, uint32_t b, uint32_t k) {
    const cria_matrix *w = j->w;
    const uint8_t *block = w->data + b * w->block_bytes;
    const bool fp8 = w->spec.kind == CRIA_MATRIX_E4M3;
    const uint32_t group = k / CRIA_STEP_GROUP;
    return (struct cria_tile_h){.w = block + w->codes_offset + (size_t)k * CRIA_ROWS * (fp8 ? 1 : sizeof(uint16_t)),
                                .w_stride = w->block_bytes,
                                .steps = block + (fp8 ? k / w->spec.group : group) * CRIA_ROWS,
                                .steps_stride = w->block_bytes,
                                .n_k = w->spec.cols - k,
                                .x = (const int16_t *)(const void *)j->x->q + k,
                                .ldx = j->x->ldq,
                                .d = j->x->d + group,
                                .ldd = j->x->ldd,
                                .y = j->y + (size_t)b * CRIA_ROWS,
                                .ldy = j->ldy,
                                .y_stride = CRIA_ROWS,
                                .rows = w->spec.rows - b * CRIA_ROWS,
                                .first = k == 0};
}

/* The tile, of so many row blocks, against the tokens of the part, at most `most` at once, as even as can be. */
static void against_tokens(const struct job *j, const cria_tiles_h *tiles, uint32_t most, uint32_t n_blocks,
                           const struct cria_tile_h *tile) {
    const uint32_t n = j->part.tile1 - j->part.tile0;
    const cria_layout l = {.tiles = (n + most - 1) / most};
    for (uint32_t i = 0; i < l.tiles; i++) {
        const uint32_t first = cria_layout_row(l, n, i), take = cria_layout_row(l, n, i + 1) - first;
        const size_t t = j->part.tile0 + first;
        struct cria_tile_h s = *tile;
        s.x += t * s.ldx;
        s.d += t * s.ldd;
        s.y += t * s.ldy;
        (*tiles)[n_blocks][take](&s);
    }
}

/* Few tokens: floats as they are stored, each row block with the one that is half of the part behind it. */
static void direct_product(const struct job *j, struct cria_asking asking) {
    const enum cria_matrix_kind kind = j->w->spec.kind;
    const cria_tiles_h *tiles = kind == CRIA_MATRIX_F16    ? j->ops->f16
                                : kind == CRIA_MATRIX_BF16 ? j->ops->bf16
                                                           : j->ops->e4m3;
    const uint32_t n = j->part.block1 - j->part.block0;
    for (uint32_t i = 0; i < (n + 1) / 2; i++) {
        const bool alone = i == n / 2; /* the last one of an odd number */
        struct cria_tile_h s = tile_at(j, j->part.block0 + (alone ? n - 1 : i), 0);
        s.w_stride *= n / 2;
        s.steps_stride *= n / 2;
        s.y_stride *= n / 2;
        s.asking = asking;
        against_tokens(j, tiles, j->ops->at_once, alone ? 1 : 2, &s);
    }
}

/* Row blocks b .. b+n−1 and a piece of the columns as integers in the scratch memory. */
static void piece_product(const struct job *j, uint32_t b, uint32_t n, uint32_t k, uint8_t *scratch) {
    const cria_tiles_h *tiles = j->w->spec.kind == CRIA_MATRIX_E4M3 ? j->ops->integers_e4m3 : j->ops->integers;
    struct cria_tile_h s = tile_at(j, b, k);
    if (s.n_k > PIECE) s.n_k = PIECE;
    for (size_t i = 0; i < n; i++)
        j->ops->convert(j->w->spec.kind, s.w + i * s.w_stride, s.steps + i * s.steps_stride, s.n_k,
                        (int16_t *)(void *)(scratch + i * PIECE_BYTES));
    s.w = scratch;
    s.w_stride = PIECE_BYTES;
    if (n == CRIA_TILE_H_BLOCKS && (*tiles)[n][1]) {
        against_tokens(j, tiles, CRIA_TILE_H_INTEGERS, n, &s);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        against_tokens(j, tiles, CRIA_TILE_H_INTEGERS, 1, &s);
        s.w += s.w_stride;
        s.steps += s.steps_stride;
        s.y += s.y_stride;
        s.rows -= s.y_stride;
    }
}

void cria_matmul_h_run(const struct cria_matmul_h_ops *ops, struct cria_asking asking, const cria_matrix *w,
                       const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch) {
    _Static_assert(PIECE_BYTES * CRIA_TILE_H_BLOCKS <= CRIA_MATMUL_SCRATCH, "scratch is too small");
    _Static_assert(PIECE % CRIA_STEP_GROUP == 0, "a piece is whole groups");
    const struct job j = {ops, w, x, y, ldy, part};
    if (part.tile0 == part.tile1) return;
    if (part.tile1 - part.tile0 <= ops->few) {
        direct_product(&j, asking);
        return;
    }
    for (uint32_t b = part.block0, n; b < part.block1; b += n) {
        n = part.block1 - b < CRIA_TILE_H_BLOCKS ? part.block1 - b : CRIA_TILE_H_BLOCKS;
        for (uint32_t k = 0; k < w->spec.cols; k += PIECE) piece_product(&j, b, n, k, scratch);
    }
}
