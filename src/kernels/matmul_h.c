/* SPDX-License-Identifier: Apache-2.0 */
/* The loops around the tiles of the product of half floats with whole integers (matmul_h.h). */
#include "kernels/matmul_h.h"

enum {
    PIECE = 512, /* columns of integers in the scratch memory */
    PIECE_BYTES = PIECE * CRIA_ROWS * sizeof(int16_t)
};

/* n_blocks row blocks, of which s is the first, against tokens t0 .. t1−1, at most `most` at once. */
static void panel_product(const struct cria_tile_h *panel, const cria_tiles_h *tiles, uint32_t most, uint32_t n_blocks,
                          uint32_t t0, uint32_t t1) {
    for (uint32_t t = t0, take; t < t1; t += take) {
        take = t1 - t < most ? t1 - t : most;
        const uint32_t blocks = n_blocks == CRIA_TILE_H_BLOCKS && (*tiles)[n_blocks][take] ? n_blocks : 1;
        for (uint32_t b = 0; b < n_blocks; b += blocks) {
            const uint32_t rows = panel->rows - b * CRIA_ROWS;
            struct cria_tile_h s = *panel;
            s.w += b * s.w_stride;
            s.steps += b * s.steps_stride;
            s.rows = rows < blocks * CRIA_ROWS ? rows : blocks * CRIA_ROWS;
            s.x += t * s.ldx;
            s.d += t * s.ldd;
            s.y += t * s.ldy + b * CRIA_ROWS;
            (*tiles)[blocks][take](&s);
        }
    }
}

void cria_matmul_h_run(const struct cria_matmul_h_ops *ops, const cria_matrix *w, const cria_act *x, float *y,
                       size_t ldy, cria_rect part, void *scratch) {
    _Static_assert(PIECE_BYTES * CRIA_TILE_H_BLOCKS <= CRIA_MATMUL_SCRATCH, "scratch is too small");
    _Static_assert(PIECE % CRIA_STEP_GROUP == 0, "a piece is whole groups");
    if (part.tile0 == part.tile1) return;
    const enum cria_matrix_kind kind = w->spec.kind;
    const uint32_t cols = w->spec.cols;
    const bool direct = part.tile1 - part.tile0 <= CRIA_TILE_H_DIRECT;
    const cria_tiles_h *tiles = !direct ? ops->integers : kind == CRIA_MATRIX_F16 ? ops->f16 : ops->bf16;
    const uint32_t piece = direct ? cols : PIECE, most = direct ? CRIA_TILE_H_DIRECT : CRIA_TILE_H_TOKENS;
    for (uint32_t b = part.block0, n_blocks; b < part.block1; b += n_blocks) {
        n_blocks = part.block1 - b < CRIA_TILE_H_BLOCKS ? part.block1 - b : CRIA_TILE_H_BLOCKS;
        const uint8_t *block = w->data + b * w->block_bytes;
        for (uint32_t k = 0; k < cols; k += piece) {
            const uint32_t group = k / CRIA_STEP_GROUP;
            struct cria_tile_h s = {.w = block + w->codes_offset,
                                    .w_stride = w->block_bytes,
                                    .steps = block + group * CRIA_ROWS,
                                    .steps_stride = w->block_bytes,
                                    .n_k = cols - k < piece ? cols - k : piece,
                                    .x = (const int16_t *)(const void *)x->q + k,
                                    .ldx = x->ldq,
                                    .d = x->d + group,
                                    .ldd = x->ldd,
                                    .y = y + (size_t)b * CRIA_ROWS,
                                    .ldy = ldy,
                                    .rows = w->spec.rows - b * CRIA_ROWS,
                                    .first = k == 0};
            if (!direct) {
                for (uint32_t i = 0; i < n_blocks; i++)
                    ops->convert(kind, s.w + i * w->block_bytes + (size_t)k * CRIA_ROWS * sizeof(uint16_t),
                                 s.steps + i * w->block_bytes, s.n_k,
                                 (int16_t *)scratch + (size_t)i * PIECE * CRIA_ROWS);
                s.w = scratch;
                s.w_stride = PIECE_BYTES;
            }
            panel_product(&s, tiles, most, n_blocks, part.tile0, part.tile1);
        }
    }
}
