/* SPDX-License-Identifier: Apache-2.0 */
/* The loops around the tiles of the quantized product (matmul_q.h). */
#include <string.h>

#include "kernels/inline.h"
#include "kernels/matmul_q.h"

enum {
    /* Columns taken at once at most: for many tokens as many as let the levels of a row block and the
     * activations of a tile share the first cache; for few, the codes are read once, best in long runs. */
    PIECE_MANY = 1024,
    PIECE_FEW = 4096,
    FEW_TOKENS = 4,
    BATCH_BYTES = 192 << 10, /* activations laid out at once: a part of the second cache */
    BATCH_TOKENS = 192,      /* at most; a multiple of tiles of 4 and 6 */
    UNITS = 2 * BATCH_TOKENS * PIECE_MANY / CRIA_CHUNK, /* groups of 16 have two units to a chunk */
    BLOCKS = 2,
    /* How far ahead memory is asked for what will be read. */
    AHEAD_BYTES = 2048,          /* in row blocks read from end to end, */
    AHEAD_CODES = 1024,          /* within the codes of larger ones, */
    WHOLE_BLOCK_MOST = 12 << 10, /* of more than this, */
    AHEAD_OF_TWO = 1536          /* and of two side by side: 2048 where memory is fast, 512 where others slow it down */
};
_Static_assert(FEW_TOKENS * PIECE_FEW <= BATCH_TOKENS * PIECE_MANY, "few tokens need no more room than many");

/* A tile as far as its tokens tell; what its row blocks tell is filled in block by block. */
struct token_tile {
    struct cria_tile tile;
    float *y;   /* of its first token */
    uint32_t n; /* tokens */
};

/* What a worker keeps in its scratch memory. */
struct scratch {
    struct token_tile tiles[BATCH_TOKENS / 2]; /* of a batch: those cut from many tokens have two or more */
    _Alignas(64) int8_t q[BATCH_BYTES];
    _Alignas(64) float d[UNITS / 2];
    _Alignas(64) float u[UNITS];
    _Alignas(64) int32_t start[UNITS];
    /* Per row block of a tile: scales, biases, levels as bytes. Most: PIECE_FEW columns, affine, in groups of 16. */
    _Alignas(64) uint8_t blocks[BLOCKS][PIECE_FEW * (2 * sizeof(float) + CRIA_ROWS)];
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
    uint32_t block0, block1;
    /* the piece of the columns */
    uint32_t chunk0, n_chunks, n_groups, n_units;
    size_t scales_at, codes_at;       /* of the piece, within a row block of the matrix */
    size_t bias_offset, codes_offset; /* within one of scratch->blocks */
    struct cria_stream streams[BLOCKS]; /* for tiles of one and of two row blocks, from the first one's beginning */
};

/* ---- Tokens ---- */

/* src: one plane of n tokens, ld apart; dst [step][n][4 inputs]. n is a constant. */
CRIA_INLINE void lay_out_n(const int8_t *src, size_t ld, uint32_t n, uint32_t n_steps, int8_t *dst) {
    for (size_t i = 0; i < n_steps; i++) {
        CRIA_UNROLL
        for (uint32_t t = 0; t < n; t++) memcpy(dst + 4 * (i * n + t), src + t * ld + 4 * i, 4);
    }
}

static void lay_out_bytes(const int8_t *src, size_t ld, uint32_t n, uint32_t n_steps, int8_t *dst) {
    switch (n) {
    case 2:
        lay_out_n(src, ld, 2, n_steps, dst);
        break;
    case 3:
        lay_out_n(src, ld, 3, n_steps, dst);
        break;
    case 4:
        lay_out_n(src, ld, 4, n_steps, dst);
        break;
    case 5:
        lay_out_n(src, ld, 5, n_steps, dst);
        break;
    default:
        lay_out_n(src, ld, CRIA_TILE_TOKENS, n_steps, dst);
        break;
    }
}

/* Likewise, whole integers of one or two planes; dst [step][2][n][2]. */
static void lay_out_words(const int8_t *src, size_t ld, uint32_t planes, uint32_t n, uint32_t n_steps,
                          int16_t *dst) {
    for (size_t t = 0; t < n; t++) {
        const int8_t *lo = src + t * planes * ld, *hi = lo + ld;
        for (size_t i = 0; i < n_steps; i += CRIA_CHUNK / 4) { /* a chunk at a time: these loops become vectors */
            int16_t a[CRIA_CHUNK];
            uint32_t even[CRIA_CHUNK / 4], odd[CRIA_CHUNK / 4];
            for (size_t j = 0; j < CRIA_CHUNK; j++) a[j] = lo[4 * i + j];
            if (planes == 2)
                for (size_t j = 0; j < CRIA_CHUNK; j++) a[j] = (int16_t)(a[j] + 256 * hi[4 * i + j]);
            for (size_t j = 0; j < CRIA_CHUNK / 4; j++) {
                uint32_t ab, cd; /* inputs 4j, 4j + 1 and 4j + 2, 4j + 3 */
                memcpy(&ab, a + 4 * j, 4);
                memcpy(&cd, a + 4 * j + 2, 4);
                even[j] = (ab & 0xffff) | cd << 16;
                odd[j] = ab >> 16 | (cd & 0xffff0000);
            }
            for (size_t j = 0; j < CRIA_CHUNK / 4; j++) {
                memcpy(dst + 2 * (2 * (i + j) * n + t), &even[j], 4);
                memcpy(dst + 2 * ((2 * (i + j) + 1) * n + t), &odd[j], 4);
            }
        }
    }
}

/* Σa of 16 inputs. */
static int32_t half_sum(const int8_t *lo, const int8_t *hi) {
    int32_t sum = 0, high = 0;
    for (int i = 0; i < 16; i++) sum += lo[i];
    for (int i = 0; hi && i < 16; i++) high += hi[i];
    return sum + 256 * high;
}

static bool has_starts(const struct job *j) { return !j->w->spec.affine || j->plan.shift != 0; }

/* start[unit][n] */
static void lay_out_starts(const struct job *j, uint32_t t0, uint32_t n, int32_t *start) {
    const cria_act *x = j->x;
    const int32_t factor = j->plan.shift - j->w->spec.zero;
    for (uint32_t t = 0; t < n; t++) {
        const int32_t *sum = x->sum + (t0 + t) * x->ldd + j->chunk0;
        const int8_t *lo = x->q + (size_t)(t0 + t) * x->planes * x->ldq + (size_t)j->chunk0 * CRIA_CHUNK;
        const int8_t *hi = x->planes == 2 ? lo + x->ldq : NULL;
        if (j->n_units == j->n_chunks)
            for (uint32_t i = 0; i < j->n_units; i++) start[i * n + t] = factor * sum[i];
        else
            for (size_t i = 0; i < j->n_units; i++)
                start[i * n + t] = factor * half_sum(lo + 16 * i, hi ? hi + 16 * i : NULL);
    }
}

static void lay_out_floats(const float *src, size_t ld, uint32_t n, uint32_t count, float *dst) {
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t i = 0; i < count; i++) dst[i * n + t] = src[t * ld + i];
}

/* Tokens t0 .. t0+n−1, a tile. In a batch that begins at token `batch` every token has its share of each array
 * of the scratch memory; a single token's activations can be used where they are. */
static void lay_out_tile(const struct job *j, uint32_t batch, uint32_t t0, uint32_t n) {
    struct scratch *scratch = j->scratch;
    const cria_act *x = j->x;
    const cria_matrix_spec *spec = &j->w->spec;
    const size_t at = t0 - batch, cols = (size_t)j->n_chunks * CRIA_CHUNK, k = (size_t)j->chunk0 * CRIA_CHUNK;
    const uint32_t n_steps = j->n_chunks * (CRIA_CHUNK / 4);
    const int8_t *src = x->q + (size_t)t0 * x->planes * x->ldq + k;
    if (j->plan.words)
        lay_out_words(src, x->ldq, x->planes, n, n_steps, (int16_t *)(void *)scratch->q + at * cols);
    else if (n > 1)
        for (uint32_t p = 0; p < x->planes; p++)
            lay_out_bytes(src + p * x->ldq, x->planes * x->ldq, n, n_steps,
                          scratch->q + (at * x->planes + (size_t)p * n) * cols);
    if (n > 1)
        lay_out_floats(x->d + t0 * x->ldd + j->chunk0, x->ldd, n, j->n_chunks, scratch->d + at * j->n_chunks);
    if (n > 1 && spec->affine)
        lay_out_floats(x->u + t0 * x->ldu + k / spec->group, x->ldu, n, j->n_groups,
                       scratch->u + at * j->n_groups);
    if (has_starts(j))
        lay_out_starts(j, t0, n, scratch->start + at * j->n_units);
}

static void ask_for(const void *p, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)p + i);
}

/* What another thread has quantized lies in its caches, in short rows far apart. */
static void ask_for_tokens(const struct job *j, uint32_t t0, uint32_t n) {
    const cria_act *x = j->x;
    const size_t k = (size_t)j->chunk0 * CRIA_CHUNK;
    for (size_t t = t0; t < t0 + n; t++) {
        ask_for(x->d + t * x->ldd + j->chunk0, j->n_chunks * sizeof *x->d);
        if (has_starts(j)) ask_for(x->sum + t * x->ldd + j->chunk0, j->n_chunks * sizeof *x->sum);
        if (j->w->spec.affine) ask_for(x->u + t * x->ldu + k / j->w->spec.group, j->n_groups * sizeof *x->u);
        for (size_t p = 0; p < x->planes; p++) ask_for(x->q + (t * x->planes + p) * x->ldq + k, 256);
    }
}

/* The same tile, without its row blocks. */
static void describe_tile(const struct job *j, uint32_t batch, uint32_t t0, uint32_t n, struct token_tile *out) {
    const struct scratch *scratch = j->scratch;
    const cria_act *x = j->x;
    const size_t at = t0 - batch, cols = (size_t)j->n_chunks * CRIA_CHUNK, k = (size_t)j->chunk0 * CRIA_CHUNK;
    const uint32_t group = j->w->spec.group;
    const bool in_place = n == 1, affine = j->w->spec.affine;
    out->y = j->y + t0 * j->ldy;
    out->n = n;
    out->tile = (struct cria_tile){
        .n_groups = j->n_groups,
        .units = group < CRIA_CHUNK ? 1 : group / CRIA_CHUNK,
        .levels = j->plan.unpack ? NULL : j->w->spec.levels,
        .q = in_place ? x->q + (size_t)t0 * x->planes * x->ldq + k : scratch->q + at * x->planes * cols,
        .plane = in_place ? x->ldq : n * cols,
        .pairs = (const int16_t *)(const void *)scratch->q + at * cols,
        .d = in_place ? x->d + t0 * x->ldd + j->chunk0 : scratch->d + at * j->n_chunks,
        .start = has_starts(j) ? scratch->start + at * j->n_units : NULL,
        .affine = affine,
        .u = !affine    ? NULL
             : in_place ? x->u + t0 * x->ldu + k / group
                        : scratch->u + at * j->n_groups,
        .ldy = j->ldy,
        .first = j->chunk0 == 0,
        .scales_stride = sizeof scratch->blocks[0] / sizeof(float),
        .codes_stride = j->plan.unpack ? sizeof scratch->blocks[0] : j->w->block_bytes,
        .chunk_bytes = j->plan.unpack ? CRIA_BYTES_CHUNK : j->w->chunk_bytes,
        .scale_type = j->w->spec.scale_type,
        .block_bytes = j->w->block_bytes,
        .group_scale_bytes = j->w->bias_offset / j->w->n_groups,
        .scale_factor = j->w->spec.scale_factor,
    };
}

/* ---- Row blocks ---- */

static void unpack_block(const struct job *j, uint32_t block, uint8_t *dst) {
    const cria_matrix *w = j->w;
    const cria_matrix_spec *s = &w->spec;
    const uint8_t *data = w->data + block * w->block_bytes, *scales = data + j->scales_at;
    const size_t n = (size_t)j->n_groups * CRIA_ROWS;
    if (!j->plan.stored) j->ops->unpack_scales(s->scale_type, scales, n, s->scale_factor, (float *)(void *)dst);
    if (!j->plan.stored && s->affine)
        j->ops->unpack_scales(s->scale_type, scales + w->bias_offset, n, 1.0f,
                              (float *)(void *)(dst + j->bias_offset));
    if (j->plan.unpack) j->ops->unpack_chunks(w, data + j->codes_at, j->n_chunks, dst + j->codes_offset);
}

/* What is asked of memory while `take` row blocks are read, as distances from the first one's first byte. A small row
 * block is asked for from that byte to its last, in the order of its addresses, which memory likes best. In a large one
 * that would ask for scales long before they are read and for codes too late: there codes are asked for at a constant
 * distance, and with them, line by line, the scales of the next block. */
static struct cria_stream stream_of(const struct job *j, uint32_t take) {
    const cria_matrix *w = j->w;
    if (take == 1 && j->n_chunks == w->n_chunks && w->block_bytes <= WHOLE_BLOCK_MOST) {
        const size_t share = w->block_bytes / w->n_chunks;
        return (struct cria_stream){AHEAD_BYTES, share, SIZE_MAX, 0, AHEAD_BYTES + share - 1, share};
    }
    const size_t ahead = take == 2 ? AHEAD_OF_TWO : AHEAD_CODES, chunk = w->chunk_bytes;
    const size_t lead = (ahead + chunk - 1) / chunk, next = take * w->block_bytes;
    const size_t scales = (size_t)j->n_groups * (w->bias_offset / w->n_groups) * (w->spec.affine ? 2 : 1);
    return (struct cria_stream){.codes = j->codes_at + lead * chunk,
                                .codes_step = chunk,
                                .turn = j->n_chunks > lead ? j->n_chunks - lead : 0,
                                .jump = next - j->n_chunks * chunk,
                                .line = j->scales_at + next,
                                .line_step = scales / j->n_chunks};
}

/* Row blocks b .. b+take−1, unpacked, against a tile. */
static void multiply_tile(const struct job *j, uint32_t b, uint32_t take, struct token_tile *t) {
    const cria_matrix *w = j->w;
    struct cria_tile *s = &t->tile;
    const uint8_t *data = w->data + b * w->block_bytes, *unpacked = j->scratch->blocks[0];
    const uint32_t row = b * CRIA_ROWS, rows = w->spec.rows - row;
    if (j->plan.stored) {
        s->stored_scales = data + j->scales_at;
        s->stored_biases = data + j->scales_at + w->bias_offset;
    } else {
        s->scales = (const float *)(const void *)unpacked;
        s->biases = (const float *)(const void *)(unpacked + j->bias_offset);
    }
    s->codes = j->plan.unpack ? unpacked + j->codes_offset : data + j->codes_at;
    s->rows = rows < take * CRIA_ROWS ? rows : take * CRIA_ROWS;
    s->y = t->y + row;
    s->stream = j->streams[take - 1];
    s->stream.codes += (uintptr_t)data;
    s->stream.line += (uintptr_t)data;
    (take == 2 ? j->plan.two : j->plan.one)[t->n - 1](s);
}

/* The sums of a tile lie a row of y apart, where no processor looks ahead by itself. */
static void ask_for_sums(const struct job *j, uint32_t b, const struct token_tile *t) {
    const float *y = t->y + (size_t)b * CRIA_ROWS;
    for (uint32_t i = 0; i < t->n; i++) __builtin_prefetch(y + i * j->ldy, 1);
}

/* ---- Loops ---- */

/* Where part i ends when n are cut into parts of at most `most`, as even as can be: seven tokens are a tile of
 * three and one of four. */
static uint32_t part_end(uint32_t n, uint32_t most, uint32_t i) {
    return (uint32_t)((uint64_t)n * (i + 1) / ((n + most - 1) / most));
}

static void batch_product(const struct job *j, uint32_t t0, uint32_t n) {
    struct token_tile *tiles = j->scratch->tiles;
    uint32_t n_tiles = 0;
    for (uint32_t t = 0, end; t < n; t = end) {
        end = part_end(n, j->plan.max_tokens, n_tiles);
        if (end < n) ask_for_tokens(j, t0 + end, part_end(n, j->plan.max_tokens, n_tiles + 1) - end);
        lay_out_tile(j, t0, t0 + t, end - t);
        describe_tile(j, t0, t0 + t, end - t, &tiles[n_tiles++]);
    }
    for (uint32_t b = j->block0, take; b < j->block1; b += take) {
        take = j->plan.two && j->block1 - b >= 2 ? 2 : 1;
        for (uint32_t i = 0; i < take; i++) unpack_block(j, b + i, j->scratch->blocks[i]);
        for (uint32_t i = 0; i < n_tiles; i++) {
            if (i + 1 < n_tiles) ask_for_sums(j, b, &tiles[i + 1]);
            multiply_tile(j, b, take, &tiles[i]);
        }
    }
}

static void piece_product(struct job *j, uint32_t chunk0, uint32_t n_chunks) {
    const cria_matrix_spec *spec = &j->w->spec;
    j->chunk0 = chunk0;
    j->n_chunks = n_chunks;
    j->n_groups = n_chunks * CRIA_CHUNK / spec->group;
    j->n_units = spec->group < CRIA_CHUNK ? j->n_groups : n_chunks;
    j->bias_offset = (size_t)j->n_groups * CRIA_ROWS * sizeof(float);
    j->codes_offset = j->bias_offset * (spec->affine ? 2 : 1);
    j->scales_at = (size_t)chunk0 * CRIA_CHUNK / spec->group * (j->w->bias_offset / j->w->n_groups);
    j->codes_at = j->w->codes_offset + chunk0 * j->w->chunk_bytes;
    for (uint32_t take = 1; take <= BLOCKS; take++) j->streams[take - 1] = stream_of(j, take);
    const uint32_t most = BATCH_BYTES / (n_chunks * CRIA_CHUNK * (j->plan.words ? 2 : j->x->planes));
    for (uint32_t i = 0, t = 0, end; t < j->x->n; i++, t = end) {
        end = part_end(j->x->n, most < BATCH_TOKENS ? most : BATCH_TOKENS, i);
        batch_product(j, t, end - t);
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
                    .scratch = scratch,
                    .block0 = block0,
                    .block1 = block1};
    /* Pieces of about the same size; eight chunks are whole groups of any size, and a super-block. */
    const uint32_t most = (x->n <= FEW_TOKENS ? PIECE_FEW : PIECE_MANY) / CRIA_CHUNK;
    const uint32_t n_pieces = (w->n_chunks + most - 1) / most;
    const uint32_t piece = ((w->n_chunks + n_pieces - 1) / n_pieces + 7) & ~7u;
    for (uint32_t c = 0; c < w->n_chunks; c += piece)
        piece_product(&j, c, w->n_chunks - c < piece ? w->n_chunks - c : piece);
}
