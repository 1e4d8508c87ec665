/* SPDX-License-Identifier: Apache-2.0 */
/* The loops around the tiles of the quantized product (matmul_q.h). */
#include <string.h>

#include "kernels/inline.h"
#include "kernels/matmul_q.h"

enum {
    /* Columns taken at once at most (most_chunks): */
    PIECE_LEVELS = 1024,
    PIECE_CODES = 4096,
    FEW_TOKENS = 4,
    BATCH_BYTES = 192 << 10, /* activations that a row block meets in a row: a part of the second cache */
    BATCH_TILES = 96,        /* and tiles, at most */
    BLOCKS = CRIA_TILE_ROWS / CRIA_ROWS,
    /* Of a tile's rows and a token: that rest between pieces, in another part of the second cache. */
    SUMS = (192 << 10) / (CRIA_TILE_ROWS * sizeof(float)),
    /* How far ahead memory is asked for what will be read. */
    AHEAD_BYTES = 2048,          /* in row blocks read from end to end, */
    AHEAD_CODES = 1024,          /* within the codes of larger ones, */
    WHOLE_BLOCK_MOST = 12 << 10, /* of more than this, */
    AHEAD_OF_TWO = 1536, /* and of two side by side: 2048 where memory is fast, 512 where others slow it down; */
    AHEAD_FAR = 2048,    /* so much further into the second cache first: memory reads 4 to 10 % slower without; */
    AHEAD_FAR_OF_SOME = 6144, /* with more tokens than one: 2048 is 4 % slower from memory (Zen 4) */
    APART_NEAR = 256, /* And of row blocks apart, into either cache; farther is slower, nearer is as good. */
    APART_FAR = 1536
};

/* A tile as far as its tokens tell; what its row blocks tell is filled in block by block. */
struct token_tile {
    struct cria_tile tile;
    uint32_t t0, n; /* its first token, how many */
};

/* What a worker keeps in its scratch memory. */
struct scratch {
    struct token_tile tiles[BATCH_TILES];
    /* Per row block of a tile: scales, biases, levels as bytes. Enough for PIECE_CODES columns with all three in groups
     * of 16, and for a good deal more without levels. */
    _Alignas(64) uint8_t blocks[BLOCKS][PIECE_CODES * (2 * sizeof(float) + CRIA_ROWS)];
    _Alignas(64) float sums[SUMS][CRIA_TILE_ROWS]; /* [row blocks / BLOCKS][tokens] of the part */
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
    cria_layout layout;
    cria_rect part;         /* what is at work: as much as there is room for sums */
    uint32_t row0, n_rows;  /* its tokens */
    /* the piece of the columns */
    uint32_t chunk0, n_chunks, n_groups;
    bool last;
    size_t scales_at, codes_at;       /* of the piece, within a row block of the matrix */
    size_t bias_offset, codes_offset; /* within one of scratch->blocks */
    struct cria_stream streams[BLOCKS]; /* for tiles of one and of two row blocks, from the first one's beginning */
};

/* ---- Tokens ---- */

static size_t round_up(size_t n) { return (n + 63) / 64 * 64; }

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

/* Tiles need starts for all but affine matrices without a shift. */
static bool has_starts(const struct cria_tile_plan *plan, const cria_matrix_spec *w) {
    return !w->affine || plan->shift != 0;
}

/* Where the activations of a tile that begins at row t0 lie in what was laid out, all columns of them: an array for all
 * rows after the other, in each tile after tile. */
struct laid_out {
    int8_t *q;      /* bytes [plane][step][n][4], or words */
    float *d;       /* [chunk][n] */
    float *minus;   /* [chunk][n] */
    float *u;       /* [group][n] */
    int32_t *start; /* [unit][n] */
};

static size_t units_of(const cria_matrix *w) { return w->spec.group < CRIA_CHUNK ? w->n_groups : w->n_chunks; }

static size_t bytes_of(const struct cria_tile_plan *plan, uint32_t planes) { return plan->words ? 2 : planes; }

static struct laid_out laid_out(const struct cria_tile_plan *plan, const cria_matrix *w, const cria_act *x,
                                uint32_t t0) {
    const size_t cols = (size_t)w->n_chunks * CRIA_CHUNK, n = x->n;
    uint8_t *p = x->laid_out;
    struct laid_out at;
    at.q = (int8_t *)p + t0 * cols * bytes_of(plan, x->planes);
    p += round_up(n * cols * bytes_of(plan, x->planes));
    at.d = (float *)(void *)p + t0 * (size_t)w->n_chunks;
    p += round_up(n * w->n_chunks * sizeof *at.d);
    at.minus = (float *)(void *)p + t0 * (size_t)w->n_chunks;
    p += plan->biased ? round_up(n * w->n_chunks * sizeof *at.minus) : 0;
    at.u = (float *)(void *)p + t0 * (size_t)w->n_groups;
    p += w->spec.affine ? round_up(n * w->n_groups * sizeof *at.u) : 0;
    at.start = (int32_t *)(void *)p + t0 * units_of(w);
    return at;
}

/* start[unit][n] */
static void lay_out_starts(const struct cria_tile_plan *plan, const cria_matrix *w, const cria_act *x, uint32_t t0,
                           uint32_t n, int32_t *start) {
    const size_t units = units_of(w);
    const int32_t factor = plan->shift - w->spec.zero, from = plan->biased ? CRIA_BIAS_BITS : 0;
    for (uint32_t t = 0; t < n; t++) {
        const int32_t *sum = x->sum + (t0 + t) * x->ldd;
        const int8_t *lo = x->q + (size_t)(t0 + t) * x->planes * x->ldq;
        const int8_t *hi = x->planes == 2 ? lo + x->ldq : NULL;
        if (w->spec.group >= CRIA_CHUNK)
            for (size_t i = 0; i < units; i++) start[i * n + t] = from + factor * sum[i];
        else
            for (size_t i = 0; i < units; i++)
                start[i * n + t] = from + factor * half_sum(lo + 16 * i, hi ? hi + 16 * i : NULL);
    }
}

static void lay_out_floats(const float *src, size_t ld, uint32_t n, uint32_t count, float *dst) {
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t i = 0; i < count; i++) dst[i * n + t] = src[t * ld + i];
}

/* The tile of rows t0 .. t0+n−1. Most of a single row can be used where it is. */
static void lay_out_tile(const struct cria_tile_plan *plan, const cria_matrix *w, const cria_act *x, uint32_t t0,
                         uint32_t n) {
    const struct laid_out at = laid_out(plan, w, x, t0);
    const size_t cols = (size_t)w->n_chunks * CRIA_CHUNK;
    const uint32_t n_steps = w->n_chunks * (CRIA_CHUNK / 4);
    const int8_t *src = x->q + (size_t)t0 * x->planes * x->ldq;
    if (plan->words)
        lay_out_words(src, x->ldq, x->planes, n, n_steps, (int16_t *)(void *)at.q);
    else if (n > 1)
        for (uint32_t p = 0; p < x->planes; p++)
            lay_out_bytes(src + p * x->ldq, x->planes * x->ldq, n, n_steps, at.q + (size_t)p * n * cols);
    if (n > 1) lay_out_floats(x->d + t0 * x->ldd, x->ldd, n, w->n_chunks, at.d);
    if (n > 1 && w->spec.affine) lay_out_floats(x->u + t0 * x->ldu, x->ldu, n, w->n_groups, at.u);
    if (n > 1 && plan->biased)
        for (size_t i = 0; i < (size_t)n * w->n_chunks; i++) at.minus[i] = -CRIA_BIAS * at.d[i];
    if (has_starts(plan, &w->spec)) lay_out_starts(plan, w, x, t0, n, at.start);
}

static cria_layout layout_of(const struct cria_tile_plan *plan, const cria_matrix_spec *w, uint32_t n) {
    const uint32_t factor = has_starts(plan, w) ? 256u + (uint32_t)(plan->shift - w->zero) : 0; /* below 2^10 */
    return (cria_layout){.tiles = (n + plan->max_tokens - 1) / plan->max_tokens,
                         .id = factor | (uint32_t)plan->words << 10 | (uint32_t)w->affine << 11 |
                               plan->max_tokens << 12 | w->group << 16 | (uint32_t)plan->biased << 24};
}

cria_layout cria_matmul_q_layout(const struct cria_matmul_q_ops *ops, const cria_matrix_spec *w, uint32_t n,
                                 uint32_t planes) {
    const struct cria_tile_plan plan = ops->plan(w, n, planes);
    return layout_of(&plan, w, n);
}

void cria_matmul_q_lay_out(const struct cria_matmul_q_ops *ops, const cria_matrix *w, const cria_act *x,
                           uint32_t tile0, uint32_t tile1) {
    const struct cria_tile_plan plan = ops->plan(&w->spec, x->n, x->planes);
    const cria_layout layout = layout_of(&plan, &w->spec, x->n);
    for (uint32_t i = tile0; i < tile1; i++) {
        const uint32_t t0 = cria_layout_row(layout, x->n, i);
        lay_out_tile(&plan, w, x, t0, cria_layout_row(layout, x->n, i + 1) - t0);
    }
}

/* Rows t0 .. t0+n−1 of the piece, without row blocks. */
static void describe_tile(const struct job *j, uint32_t t0, uint32_t n, struct token_tile *out) {
    const struct scratch *scratch = j->scratch;
    const cria_act *x = j->x;
    const cria_matrix *w = j->w;
    const struct laid_out at = laid_out(&j->plan, w, x, t0);
    const size_t k = (size_t)j->chunk0 * CRIA_CHUNK, group0 = k / w->spec.group;
    const size_t unit0 = w->spec.group < CRIA_CHUNK ? group0 : j->chunk0;
    const bool in_place = n == 1, affine = w->spec.affine;
    out->t0 = t0;
    out->n = n;
    out->tile = (struct cria_tile){
        .n_groups = j->n_groups,
        .units = w->spec.group < CRIA_CHUNK ? 1 : w->spec.group / CRIA_CHUNK,
        .levels = j->plan.unpack ? NULL : w->spec.levels,
        .q = in_place ? x->q + (size_t)t0 * x->planes * x->ldq + k : at.q + k * n,
        .plane = in_place ? x->ldq : (size_t)n * w->n_chunks * CRIA_CHUNK,
        .pairs = (const int16_t *)(const void *)at.q + k * n,
        .d = in_place ? x->d + t0 * x->ldd + j->chunk0 : at.d + (size_t)j->chunk0 * n,
        .minus = at.minus + (size_t)j->chunk0 * n,
        .start = has_starts(&j->plan, &w->spec) ? at.start + unit0 * n : NULL,
        .affine = affine,
        .u = !affine    ? NULL
             : in_place ? x->u + t0 * x->ldu + group0
                        : at.u + group0 * n,
        .ldy = j->last ? j->ldy : CRIA_TILE_ROWS,
        .first = j->chunk0 == 0,
        .scales_stride = sizeof scratch->blocks[0] / sizeof(float),
        .codes_stride = j->plan.unpack ? sizeof scratch->blocks[0] : w->block_bytes,
        .chunk_bytes = !j->plan.unpack ? w->chunk_bytes : j->plan.wide ? CRIA_WORDS_CHUNK : CRIA_BYTES_CHUNK,
        .scale_type = w->spec.scale_type,
        .block_bytes = w->block_bytes,
        .group_scale_bytes = w->bias_offset / w->n_groups,
        .scale_factor = w->spec.scale_factor,
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
    if (j->plan.unpack) j->plan.unpack(w, data + j->codes_at, j->n_chunks, dst + j->codes_offset);
}

/* What is asked of memory while `take` row blocks are read, as distances from the first one's first byte. A small row
 * block is asked for from that byte to its last, in the order of its addresses, which memory likes best. In a large one
 * that would ask for scales long before they are read and for codes too late: there codes are asked for at a constant
 * distance, and with them, line by line, the scales of the next block. */
static struct cria_stream stream_of(const struct job *j, uint32_t take) {
    const cria_matrix *w = j->w;
    if (j->plan.apart) /* what comes behind a row block is the next one: always so much further on */
        return (struct cria_stream){.codes = j->codes_at + APART_NEAR,
                                    .codes_step = w->chunk_bytes,
                                    .turn = SIZE_MAX,
                                    .far = APART_FAR - APART_NEAR,
                                    .far_turn = SIZE_MAX,
                                    .line = j->codes_at, /* which is there: scales need none */
                                    .line_step = w->chunk_bytes};
    const size_t ahead_far = j->x->n == 1 ? AHEAD_FAR : AHEAD_FAR_OF_SOME;
    if (take == 1 && j->n_chunks == w->n_chunks && w->block_bytes <= WHOLE_BLOCK_MOST) {
        const size_t share = w->block_bytes / w->n_chunks;
        return (struct cria_stream){.codes = AHEAD_BYTES,
                                    .codes_step = share,
                                    .turn = SIZE_MAX,
                                    .far = ahead_far,
                                    .far_turn = SIZE_MAX,
                                    .line = AHEAD_BYTES + ahead_far + share - 1,
                                    .line_step = share};
    }
    const size_t ahead = take == 2 ? AHEAD_OF_TWO : AHEAD_CODES, chunk = w->chunk_bytes;
    const size_t lead = (ahead + chunk - 1) / chunk, far = (ahead_far + chunk - 1) / chunk;
    const size_t next = take * w->block_bytes;
    const size_t scales = (size_t)j->n_groups * (w->bias_offset / w->n_groups) * (w->spec.affine ? 2 : 1);
    return (struct cria_stream){.codes = j->codes_at + lead * chunk,
                                .codes_step = chunk,
                                .turn = j->n_chunks > lead ? j->n_chunks - lead : 0,
                                .jump = next - j->n_chunks * chunk,
                                .far = far * chunk,
                                .far_turn = j->n_chunks > lead + far ? j->n_chunks - lead - far : 0,
                                .line = j->scales_at + next,
                                .line_step = scales / j->n_chunks};
}

/* Where the sums of a tile from row block b and token t0 on rest between pieces: not in y, whose rows lie so far apart
 * that no processor looks ahead there by itself, and each on another page. */
static float *sums_of(const struct job *j, uint32_t b, uint32_t t0) {
    const size_t i = b - j->part.block0;
    return j->scratch->sums[i / BLOCKS * j->n_rows + (t0 - j->row0)] + i % BLOCKS * CRIA_ROWS;
}

/* Row block b, and the one that comes `second` behind it if that is not 0, unpacked, against a tile. */
static void multiply_tile(const struct job *j, uint32_t b, uint32_t second, struct token_tile *t) {
    const cria_matrix *w = j->w;
    struct cria_tile *s = &t->tile;
    const uint8_t *data = w->data + b * w->block_bytes, *unpacked = j->scratch->blocks[0];
    const uint32_t row = b * CRIA_ROWS, take = second ? 2 : 1, rows_of_last = w->spec.rows - row - second * CRIA_ROWS;
    if (j->plan.stored) {
        s->stored_scales = data + j->scales_at;
        s->stored_biases = data + j->scales_at + w->bias_offset;
    } else {
        s->scales = (const float *)(const void *)unpacked;
        s->biases = (const float *)(const void *)(unpacked + j->bias_offset);
    }
    s->codes = j->plan.unpack ? unpacked + j->codes_offset : data + j->codes_at;
    s->rows = (take - 1) * CRIA_ROWS + (rows_of_last < CRIA_ROWS ? rows_of_last : CRIA_ROWS);
    s->second = second;
    /* In one piece nothing rests, and there need not be room for it. */
    s->sums = j->n_chunks == w->n_chunks ? NULL : sums_of(j, b, t->t0);
    s->y = j->last ? j->y + t->t0 * j->ldy + row : s->sums;
    s->stream = j->streams[take - 1];
    s->stream.codes += (uintptr_t)data;
    s->stream.line += (uintptr_t)data;
    (take == 2 ? j->plan.two : j->plan.one)[t->n - 1](s);
}

/* ---- Loops ---- */

/* Tiles tile0 .. tile1−1, at most BATCH_TILES. */
static void batch_product(const struct job *j, uint32_t tile0, uint32_t tile1) {
    struct token_tile *tiles = j->scratch->tiles;
    const uint32_t n_tiles = tile1 - tile0;
    for (uint32_t i = 0; i < n_tiles; i++) {
        const uint32_t t0 = cria_layout_row(j->layout, j->x->n, tile0 + i);
        describe_tile(j, t0, cria_layout_row(j->layout, j->x->n, tile0 + i + 1) - t0, &tiles[i]);
    }
    for (uint32_t b = j->part.block0, take; b < j->part.block1; b += take) {
        take = j->plan.two && j->part.block1 - b >= 2 ? 2 : 1;
        for (uint32_t i = 0; i < take; i++) unpack_block(j, b + i, j->scratch->blocks[i]);
        for (uint32_t i = 0; i < n_tiles; i++) multiply_tile(j, b, take - 1, &tiles[i]);
    }
}

/* The same for row blocks as they are stored, those of a tile half of the part apart. So memory is read as two streams,
 * each from end to end: by processors that look ahead well by themselves up to 1.3 times as fast as neighbours are. */
static void apart_product(const struct job *j) {
    const uint32_t block0 = j->part.block0, n = j->part.block1 - block0;
    struct token_tile *tile = j->scratch->tiles;
    describe_tile(j, j->row0, 1, tile);
    for (uint32_t i = 0; i < n / 2; i++) multiply_tile(j, block0 + i, n / 2, tile);
    if (n % 2) multiply_tile(j, block0 + n - 1, 0, tile);
}

static void piece_product(struct job *j, uint32_t chunk0, uint32_t n_chunks) {
    const cria_matrix_spec *spec = &j->w->spec;
    j->chunk0 = chunk0;
    j->n_chunks = n_chunks;
    j->last = chunk0 + n_chunks == j->w->n_chunks;
    j->n_groups = n_chunks * CRIA_CHUNK / spec->group;
    j->bias_offset = (size_t)j->n_groups * CRIA_ROWS * sizeof(float);
    j->codes_offset = j->bias_offset * (spec->affine ? 2 : 1);
    j->scales_at = (size_t)chunk0 * CRIA_CHUNK / spec->group * (j->w->bias_offset / j->w->n_groups);
    j->codes_at = j->w->codes_offset + chunk0 * j->w->chunk_bytes;
    for (uint32_t take = 1; take <= BLOCKS; take++) j->streams[take - 1] = stream_of(j, take);
    if (j->plan.apart) {
        apart_product(j);
        return;
    }
    /* Batches of about the same size. */
    const size_t tile_bytes = j->plan.max_tokens * n_chunks * CRIA_CHUNK * bytes_of(&j->plan, j->x->planes);
    const uint32_t fit = tile_bytes < BATCH_BYTES ? (uint32_t)(BATCH_BYTES / tile_bytes) : 1;
    const uint32_t most = fit < BATCH_TILES ? fit : BATCH_TILES;
    const uint64_t tile0 = j->part.tile0, tiles = j->part.tile1 - tile0, batches = (tiles + most - 1) / most;
    for (uint64_t i = 0; i < batches; i++)
        batch_product(j, (uint32_t)(tile0 + tiles * i / batches), (uint32_t)(tile0 + tiles * (i + 1) / batches));
}

/* A part that there is room for sums for; `piece` chunks at a time. */
static void part_product(struct job *j, cria_rect part, uint32_t piece) {
    const uint32_t n_chunks = j->w->n_chunks;
    j->part = part;
    j->row0 = cria_layout_row(j->layout, j->x->n, part.tile0);
    j->n_rows = cria_layout_row(j->layout, j->x->n, part.tile1) - j->row0;
    for (uint32_t c = 0; c < n_chunks; c += piece) piece_product(j, c, n_chunks - c < piece ? n_chunks - c : piece);
}

/* Chunks taken at once at most: a multiple of eight, which are whole groups of any size, and a super-block. Levels that
 * were unpacked share the first cache with the activations of a tile; for few tokens, which read them once, there are
 * more. Where tiles take codes, pieces are longer, since each costs a tile its beginning and end, and with some tokens
 * as long as lets these be one batch: then memory is read once, in long runs. What needs no scratch memory at all is
 * read from end to end. */
static uint32_t most_chunks(const struct job *j) {
    const cria_matrix_spec *s = &j->w->spec;
    const uint32_t eight = 8 * CRIA_CHUNK;
    if (j->plan.stored) return (j->w->n_chunks + 7) / 8 * 8;
    if (j->plan.wide) return PIECE_LEVELS / 2 / CRIA_CHUNK;
    if (j->plan.unpack) return (j->x->n <= FEW_TOKENS ? PIECE_CODES : PIECE_LEVELS) / CRIA_CHUNK;
    const size_t tokens = (size_t)j->layout.tiles * j->plan.max_tokens;
    const size_t batch = BATCH_BYTES / (tokens * bytes_of(&j->plan, j->x->planes));
    const size_t room = sizeof j->scratch->blocks[0] / (CRIA_ROWS * sizeof(float) * (s->affine ? 2 : 1)) * s->group;
    const size_t most = batch < PIECE_CODES ? PIECE_CODES : batch;
    return (uint32_t)((most < room ? most : room) / eight * 8);
}

void cria_matmul_q_run(const struct cria_matmul_q_ops *ops, const cria_matrix *w, const cria_act *x, float *y,
                       size_t ldy, cria_rect part, void *scratch) {
    if (part.tile0 == part.tile1) return;
    struct job j = {.ops = ops,
                    .plan = ops->plan(&w->spec, x->n, x->planes),
                    .w = w,
                    .x = x,
                    .y = y,
                    .ldy = ldy,
                    .scratch = scratch};
    j.layout = layout_of(&j.plan, &w->spec, x->n);
    const uint32_t most = most_chunks(&j), n_pieces = (w->n_chunks + most - 1) / most; /* of about the same size */
    const uint32_t piece = ((w->n_chunks + n_pieces - 1) / n_pieces + 7) & ~7u;
    uint32_t tiles = part.tile1 - part.tile0, blocks = part.block1 - part.block0;
    if (n_pieces > 1) {
        const uint32_t most_tiles = SUMS / j.plan.max_tokens;
        if (tiles > most_tiles) tiles = most_tiles;
        const uint32_t most_blocks = SUMS / (tiles * j.plan.max_tokens) * BLOCKS;
        if (blocks > most_blocks) blocks = most_blocks;
    }
    cria_rect next = part;
    for (; next.tile0 < part.tile1; next.tile0 = next.tile1) {
        next.tile1 = part.tile1 - next.tile0 < tiles ? part.tile1 : next.tile0 + tiles;
        for (next.block0 = part.block0; next.block0 < part.block1; next.block0 = next.block1) {
            next.block1 = part.block1 - next.block0 < blocks ? part.block1 : next.block0 + blocks;
            part_product(&j, next, piece);
        }
    }
}
