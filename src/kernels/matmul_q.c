/* SPDX-License-Identifier: Apache-2.0 */
/* The loops around the tiles of the quantized product (matmul_q.h). */
#include "kernels/matmul_q.h"

enum { WORD_TOKENS = 4, CHUNKS = CRIA_PIECE / CRIA_CHUNK };

/* What a worker keeps in its scratch memory. */
struct scratch {
    int16_t pairs[WORD_TOKENS][CRIA_PIECE];
    int32_t half_sums[CRIA_TILE_TOKENS][2 * CHUNKS];
    /* Per row block of a panel: scales, biases, levels as bytes. A block of a whole piece in groups of 16
     * takes 80 KiB, one in affine groups of 32, 80 KiB too, one in affine groups of 16 96 KiB. */
    uint8_t blocks[384u << 10];
};
_Static_assert(sizeof(struct scratch) <= CRIA_MATMUL_SCRATCH, "the scratch memory is too small");

/* The product at hand: what does not change while its loops run. */
struct job {
    const struct cria_matmul_q_ops *ops;
    struct cria_tile_plan plan;
    const cria_matrix *w;
    const cria_act *x;
    float *y;
    size_t ldy;
    struct scratch *scratch;
    /* the piece of the columns */
    uint32_t chunk0, n_chunks, n_groups;
    /* a row block in scratch->blocks */
    size_t bias_offset, codes_offset, block_bytes;
    uint32_t panel_blocks;
};

/* ---- Activations of a tile ---- */

static void make_pairs(const cria_act *x, uint32_t t, size_t k, uint32_t n_chunks, int16_t *pairs) {
    const int8_t *lo = x->q + (size_t)t * x->planes * x->ldq + k;
    const int8_t *hi = lo + x->ldq;
    for (size_t c = 0; c < n_chunks; c++, lo += 32, hi += 32, pairs += 32) {
        if (x->planes == 1) {
            for (int i = 0; i < 16; i++) pairs[i] = lo[2 * i], pairs[16 + i] = lo[2 * i + 1];
        } else {
            for (int i = 0; i < 16; i++) {
                pairs[i] = (int16_t)(256 * hi[2 * i] + lo[2 * i]);
                pairs[16 + i] = (int16_t)(256 * hi[2 * i + 1] + lo[2 * i + 1]);
            }
        }
    }
}

/* Sums of 16 inputs each. */
static void make_half_sums(const cria_act *x, uint32_t t, size_t k, uint32_t n_chunks, int32_t *sums) {
    const int8_t *lo = x->q + (size_t)t * x->planes * x->ldq + k;
    const int8_t *hi = lo + x->ldq;
    for (uint32_t i = 0; i < 2 * n_chunks; i++, lo += 16, hi += 16) {
        int32_t sum = 0, high = 0;
        for (int j = 0; j < 16; j++) sum += lo[j];
        if (x->planes == 2)
            for (int j = 0; j < 16; j++) high += hi[j];
        sums[i] = sum + 256 * high;
    }
}

/* Everything of a tile that depends on its tokens t0 .. t0+n−1 alone. */
static struct cria_tile tokens_tile(const struct job *j, uint32_t t0, uint32_t n) {
    const cria_act *x = j->x;
    const cria_matrix_spec *spec = &j->w->spec;
    const size_t k = (size_t)j->chunk0 * CRIA_CHUNK;
    const bool halves = spec->group < CRIA_CHUNK;
    struct cria_tile s = {.n_groups = j->n_groups,
                          .units = halves ? 1 : spec->group / CRIA_CHUNK,
                          .zero = spec->zero,
                          .levels = spec->levels,
                          .q = x->q + (size_t)t0 * x->planes * x->ldq + k,
                          .ldq = x->ldq,
                          .pairs = j->scratch->pairs[0],
                          .ldp = CRIA_PIECE,
                          .d = x->d + t0 * x->ldd + j->chunk0,
                          .ldd = x->ldd,
                          .sums = x->sum + t0 * x->ldd + j->chunk0,
                          .lds = x->ldd,
                          .ldy = j->ldy,
                          .first = j->chunk0 == 0};
    if (spec->affine) {
        s.u = x->u + t0 * x->ldu + k / spec->group;
        s.ldu = x->ldu;
    }
    if (halves) {
        for (uint32_t t = 0; t < n; t++) make_half_sums(x, t0 + t, k, j->n_chunks, j->scratch->half_sums[t]);
        s.sums = j->scratch->half_sums[0];
        s.lds = (size_t)2 * CHUNKS;
    }
    if (j->plan.words)
        for (uint32_t t = 0; t < n; t++) make_pairs(x, t0 + t, k, j->n_chunks, j->scratch->pairs[t]);
    return s;
}

/* ---- Row blocks of a panel ---- */

static void start_piece(struct job *j, uint32_t chunk0, uint32_t n_chunks) {
    const cria_matrix_spec *spec = &j->w->spec;
    j->chunk0 = chunk0;
    j->n_chunks = n_chunks;
    j->n_groups = n_chunks * CRIA_CHUNK / spec->group;
    j->bias_offset = (size_t)j->n_groups * CRIA_ROWS * sizeof(float);
    j->codes_offset = j->bias_offset * (spec->affine ? 2 : 1);
    j->block_bytes = j->codes_offset + (j->plan.unpack ? (size_t)n_chunks * CRIA_BYTES_CHUNK : 0);
    /* Where a tile reads packed codes and its activations need no preparing, there is nothing to share among
     * blocks. */
    const size_t fit = sizeof j->scratch->blocks / j->block_bytes;
    const size_t most = j->plan.unpack || j->plan.words ? CRIA_PANEL_BLOCKS : j->plan.two ? 2 : 1;
    j->panel_blocks = (uint32_t)(fit < most ? fit : most);
}

static void unpack_block(const struct job *j, uint32_t block, uint8_t *dst) {
    const cria_matrix *w = j->w;
    const cria_matrix_spec *s = &w->spec;
    const uint8_t *src = w->data + block * w->block_bytes;
    const uint8_t *scales = src + (size_t)j->chunk0 * CRIA_CHUNK / s->group * (w->bias_offset / w->n_groups);
    const size_t n = (size_t)j->n_groups * CRIA_ROWS;
    j->ops->unpack_scales(s->scale_type, scales, n, s->scale_factor, (float *)dst);
    if (s->affine)
        j->ops->unpack_scales(s->scale_type, scales + w->bias_offset, n, 1.0f,
                              (float *)(dst + j->bias_offset));
    if (j->plan.unpack)
        j->ops->unpack_chunks(w, src + w->codes_offset + j->chunk0 * w->chunk_bytes, j->n_chunks,
                              dst + j->codes_offset);
}

/* Blocks b0 .. b0+n_blocks−1, unpacked, against n tokens. */
static void panel_tiles(const struct job *j, struct cria_tile s, uint32_t b0, uint32_t n_blocks, uint32_t t0,
                        uint32_t n) {
    const cria_matrix *w = j->w;
    s.chunk_bytes = j->plan.unpack ? CRIA_BYTES_CHUNK : w->chunk_bytes;
    s.codes_stride = j->plan.unpack ? j->block_bytes : w->block_bytes;
    s.scales_stride = j->block_bytes / sizeof(float);
    for (uint32_t i = 0, take; i < n_blocks; i += take) {
        take = j->plan.two && n_blocks - i >= 2 ? 2 : 1;
        const uint8_t *unpacked = j->scratch->blocks + i * j->block_bytes;
        const uint32_t row = (b0 + i) * CRIA_ROWS, rows = w->spec.rows - row;
        s.scales = (const float *)unpacked;
        s.biases = w->spec.affine ? (const float *)(unpacked + j->bias_offset) : NULL;
        s.codes = j->plan.unpack
                      ? unpacked + j->codes_offset
                      : w->data + (b0 + i) * w->block_bytes + w->codes_offset + j->chunk0 * w->chunk_bytes;
        s.rows = rows < take * CRIA_ROWS ? rows : take * CRIA_ROWS;
        s.y = j->y + t0 * j->ldy + row;
        (take == 2 ? j->plan.two : j->plan.one)[n - 1](&s);
    }
}

static void piece_product(const struct job *j, uint32_t block0, uint32_t block1) {
    for (uint32_t b0 = block0, n_blocks; b0 < block1; b0 += n_blocks) {
        n_blocks = block1 - b0 < j->panel_blocks ? block1 - b0 : j->panel_blocks;
        for (uint32_t i = 0; i < n_blocks; i++)
            unpack_block(j, b0 + i, j->scratch->blocks + i * j->block_bytes);
        for (uint32_t t0 = 0, n; t0 < j->x->n; t0 += n) {
            n = j->x->n - t0 < j->plan.max_tokens ? j->x->n - t0 : j->plan.max_tokens;
            panel_tiles(j, tokens_tile(j, t0, n), b0, n_blocks, t0, n);
        }
    }
}

void cria_matmul_q_run(const struct cria_matmul_q_ops *ops, const cria_matrix *w, const cria_act *x, float *y,
                       size_t ldy, uint32_t block0, uint32_t block1, void *scratch) {
    if (x->n == 0) return;
    struct job j = {.ops = ops,
                    .plan = ops->plan(&w->spec, x->n, x->planes),
                    .w = w,
                    .x = x,
                    .y = y,
                    .ldy = ldy,
                    .scratch = scratch};
    /* Pieces of about the same size; eight chunks are whole groups of any size, and a super-block. */
    const uint32_t n_pieces = (w->n_chunks + CHUNKS - 1) / CHUNKS;
    const uint32_t piece = ((w->n_chunks + n_pieces - 1) / n_pieces + 7) & ~7u;
    for (uint32_t c = 0; c < w->n_chunks; c += piece) {
        start_piece(&j, c, w->n_chunks - c < piece ? w->n_chunks - c : piece);
        piece_product(&j, block0, block1);
    }
}
