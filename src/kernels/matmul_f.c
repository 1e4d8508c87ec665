/* SPDX-License-Identifier: Apache-2.0 */
/* The loops around the tiles of the product with float32 activations (matmul_f.h). */
#include "kernels/matmul_f.h"

enum {
    PANEL_BLOCKS = CRIA_TILE_F_BLOCKS,
    PIECE = 1024 /* columns of codes in the scratch memory */
};

/* Chunks chunk0 .. chunk0+n−1 of a row block to out[32·n][16]. */
static void dequantize(const struct cria_matmul_f_ops *ops, const cria_matrix *m, const uint8_t *block,
                       uint32_t chunk0, uint32_t n, float *out) {
    const cria_matrix_spec *s = &m->spec;
    const uint8_t *codes = block + m->codes_offset + chunk0 * m->chunk_bytes;
    const size_t group0 = (size_t)chunk0 * CRIA_CHUNK / s->group;
    const uint8_t *from = block + group0 * (m->bias_offset / m->n_groups);
    const size_t n_scales = (size_t)n * CRIA_CHUNK / s->group * CRIA_ROWS; /* a piece is whole groups */
    _Alignas(64) uint8_t levels[CRIA_CHUNK * CRIA_ROWS];
    _Alignas(64) float scales[PIECE / 16 * CRIA_ROWS], biases[PIECE / 16 * CRIA_ROWS] = {0};
    ops->unpack_scales(s->scale_type, from, n_scales, s->scale_factor, scales);
    if (s->affine) ops->unpack_scales(s->scale_type, from + m->bias_offset, n_scales, 1.0f, biases);
    for (uint32_t i = 0; i < 8 * n; i++, out += 4 * CRIA_ROWS) {
        const size_t g = 4 * i / s->group * CRIA_ROWS;
        if (i % 8 == 0) ops->unpack_chunks(m, codes + i / 8 * m->chunk_bytes, 1, levels);
        ops->dequantize_step(s, levels + 64 * (i % 8), scales + g, biases + g, out);
    }
}

/* The row blocks of a panel against tokens t0 .. t1−1. */
static void panel_product(const struct cria_tile_f *panel, const cria_tiles_f *tiles, uint32_t n_blocks,
                          uint32_t t0, uint32_t t1) {
    for (uint32_t t = t0, take; t < t1; t += take) {
        take = t1 - t < CRIA_TILE_F_TOKENS ? t1 - t : CRIA_TILE_F_TOKENS;
        for (uint32_t b = 0, blocks; b < n_blocks; b += blocks) {
            blocks = CRIA_TILE_F_BLOCKS;
            while (blocks > n_blocks - b || !(*tiles)[blocks][take]) blocks--;
            const uint32_t rows = panel->rows - b * CRIA_ROWS;
            struct cria_tile_f s = *panel;
            s.w += b * s.block_stride;
            s.rows = rows < blocks * CRIA_ROWS ? rows : blocks * CRIA_ROWS;
            s.x += t * s.ldx;
            s.y += t * s.ldy + b * CRIA_ROWS;
            (*tiles)[blocks][take](&s);
        }
    }
}

void cria_matmul_f_run(const struct cria_matmul_f_ops *ops, const cria_matrix *w, const cria_act *x, float *y,
                       size_t ldy, cria_rect part, void *scratch) {
    _Static_assert(sizeof(float) * CRIA_ROWS * PIECE * PANEL_BLOCKS <= CRIA_MATMUL_SCRATCH,
                   "scratch is too small");
    if (part.tile0 == part.tile1) return;
    const bool codes = w->n_chunks != 0;
    const cria_tiles_f *tiles = w->spec.kind == CRIA_MATRIX_F16    ? ops->f16
                                : w->spec.kind == CRIA_MATRIX_BF16 ? ops->bf16
                                                                   : ops->f32;
    const uint32_t cols = w->spec.cols, piece = codes ? PIECE : cols;
    for (uint32_t b = part.block0, n_blocks; b < part.block1; b += n_blocks) {
        n_blocks = part.block1 - b < PANEL_BLOCKS ? part.block1 - b : PANEL_BLOCKS;
        for (uint32_t k = 0; k < cols; k += piece) {
            struct cria_tile_f s = {.w = w->data + b * w->block_bytes + w->codes_offset,
                                    .block_stride = w->block_bytes,
                                    .n_k = cols - k < piece ? cols - k : piece,
                                    .x = x->x + k,
                                    .ldx = x->ldx,
                                    .y = y + (size_t)b * CRIA_ROWS,
                                    .ldy = ldy,
                                    .rows = w->spec.rows - b * CRIA_ROWS,
                                    .first = k == 0};
            if (codes) {
                const uint32_t n_chunks = (s.n_k + CRIA_CHUNK - 1) / CRIA_CHUNK;
                for (uint32_t i = 0; i < n_blocks; i++)
                    dequantize(ops, w, w->data + (b + i) * w->block_bytes, k / CRIA_CHUNK, n_chunks,
                               (float *)scratch + (size_t)i * CRIA_ROWS * PIECE);
                s.w = scratch;
                s.block_stride = sizeof(float) * CRIA_ROWS * PIECE;
            }
            panel_product(&s, tiles, n_blocks, part.tile0, part.tile1);
        }
    }
}
