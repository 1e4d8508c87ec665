/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over KV blocks. Neighbouring rows of one sequence form a tile; a work item is a tile and a KV
 * head. It reads each KV block once for all query heads that share the head and all rows of the tile, in
 * ascending order of blocks, keeping a running softmax (kernels.h, cria_attend). How rows fall into tiles
 * does not change a bit of the result.
 */
#include "model/scratch.h"

#include "base/pool.h"

#include <math.h>
#include <string.h>

/* Query vectors of an item: 64 of them times 64 keys keep a core busy on each block and fit in its cache. */
#define ITEM_QUERIES 64u
/* From so many on f16 keys and values become float32 once for all of them: kernels take queries some at a time, and
 * would convert for each few. */
#define WIDE_QUERIES 13u

static uint32_t tile_rows(const cria_config *c) {
    const uint32_t shared = c->h / c->hk;
    return shared >= ITEM_QUERIES ? 1 : ITEM_QUERIES / shared;
}

static size_t item_queries(const cria_config *c) { return (size_t)tile_rows(c) * (c->h / c->hk); }

size_t cria_attention_scratch_bytes(const cria_config *c) {
    const size_t n = item_queries(c);
    const size_t bytes = n * c->e * (2 * sizeof(float) + sizeof(int16_t)) + 3 * n * sizeof(float) + 2 * n;
    return cria_kv_array_bytes(CRIA_KV_ELEM_F32, c->e) * 2 + (bytes + 63) / 64 * 64;
}

struct attention {
    struct cria_scratch *s;
    const cria_config *c;
    const cria_batch *b;
    uint32_t layer;
};

/* The first position that a position sees. */
static uint32_t first_seen(uint32_t pos, uint32_t window) { return pos >= window ? pos - window + 1 : 0; }

/* How many positions of the block at `base` lie before `pos`. */
static uint32_t within_block(uint32_t pos, uint32_t base) {
    return pos <= base ? 0 : pos - base < CRIA_KV_BLOCK ? pos - base : CRIA_KV_BLOCK;
}

/* Rows [t0, t1) of one sequence against KV head `head`. */
static void attend_tile(const struct attention *a, uint32_t t0, uint32_t t1, uint32_t head,
                        uint8_t *scratch) {
    const cria_config *c = a->c;
    const struct cria_kernels *kern = a->s->kernels;
    const uint32_t shared = c->h / c->hk, n_q = (t1 - t0) * shared;
    const size_t width = (size_t)c->h * c->e;
    const cria_kv_seq *seq = a->b->seq[t0];
    const cria_kv_pool *kv = seq->pool;

    const size_t array = (size_t)CRIA_KV_BLOCK * c->e; /* numbers */
    float *wide = (float *)(void *)scratch;
    float *q = wide + 2 * array, *o = q + (size_t)n_q * c->e, *m = o + (size_t)n_q * c->e, *l = m + n_q, *qd = l + n_q;
    int16_t *qi = (int16_t *)(void *)(qd + n_q);
    uint8_t *visible = (uint8_t *)(qi + (size_t)n_q * c->e), *hidden = visible + n_q;
    const float scale = c->attention_scale;
    const uint32_t window = c->layer[a->layer] & CRIA_LAYER_WINDOW ? c->window : UINT32_MAX;
    for (uint32_t t = t0; t < t1; t++)
        kern->scale(q + (size_t)(t - t0) * shared * c->e, a->s->q + t * width + (size_t)head * shared * c->e,
                    scale, (size_t)shared * c->e);
    for (uint32_t i = 0; kv->elem == CRIA_KV_ELEM_I8 && i < n_q; i++)
        kern->quantize_query(qi + (size_t)i * c->e, qd + i, q + (size_t)i * c->e, c->e);
    memset(o, 0, (size_t)n_q * c->e * sizeof *o);
    memset(l, 0, n_q * sizeof *l);
    for (uint32_t i = 0; i < n_q; i++) m[i] = -INFINITY;

    const uint32_t last = a->b->pos[t1 - 1], first = first_seen(a->b->pos[t0], window) / CRIA_KV_BLOCK * CRIA_KV_BLOCK;
    for (uint32_t base = first; base <= last; base += CRIA_KV_BLOCK) {
        for (uint32_t t = t0; t < t1; t++) {
            const uint32_t pos = a->b->pos[t], before = within_block(first_seen(pos, window), base),
                           seen = within_block(pos + 1, base);
            memset(visible + (size_t)(t - t0) * shared, before < seen ? (int)seen : 0, shared);
            memset(hidden + (size_t)(t - t0) * shared, (int)before, shared);
        }
        const uint8_t *keys = cria_kv_at(kv, seq->blocks[base / CRIA_KV_BLOCK], a->layer, head);
        const uint8_t *next =
            last - base >= CRIA_KV_BLOCK ? cria_kv_at(kv, seq->blocks[base / CRIA_KV_BLOCK + 1], a->layer, head)
                                         : NULL;
        const bool widen = kv->elem == CRIA_KV_ELEM_F16 && n_q >= WIDE_QUERIES;
        if (widen) {
            kern->widen(wide, (const uint16_t *)(const void *)keys, array);
            kern->widen(wide + array, (const uint16_t *)(const void *)(keys + kv->half_bytes), array);
        }
        kern->attend(&(cria_attend){.n_q = n_q,
                                    .e = c->e,
                                    .kv = widen ? CRIA_KV_ELEM_F32 : kv->elem,
                                    .k = widen ? (const void *)wide : keys,
                                    .v = widen ? (const void *)(wide + array) : keys + kv->half_bytes,
                                    .q = q,
                                    .qi = qi,
                                    .qd = qd,
                                    .ldq = c->e,
                                    .visible = visible,
                                    .hidden = window == UINT32_MAX ? NULL : hidden,
                                    .cap = c->score_cap,
                                    .m = m,
                                    .l = l,
                                    .o = o,
                                    .ldo = c->e,
                                    .ahead = next,
                                    .ahead_bytes = 2 * kv->half_bytes});
    }
    for (uint32_t i = 0; i < n_q; i++) {
        const uint32_t t = t0 + i / shared;
        kern->scale(a->s->mixed + t * width + ((size_t)head * shared + i % shared) * c->e,
                    o + (size_t)i * c->e, 1.0f / l[i], c->e);
    }
}

static void attend_items(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct attention *a = arg;
    uint8_t *scratch = a->s->attend_scratch + (size_t)worker * a->s->attend_bytes;
    for (size_t item = begin; item < end; item++) {
        const uint32_t *tile = a->s->tiles + item / a->c->hk;
        attend_tile(a, tile[0], tile[1], (uint32_t)(item % a->c->hk), scratch);
    }
}

/* s->tiles[i]..s->tiles[i + 1] = the rows of tile i: neighbours of one sequence, at most tile_rows of them.
 */
static uint32_t cut_tiles(struct cria_scratch *s, const cria_config *c, const cria_batch *b) {
    const uint32_t rows = tile_rows(c);
    uint32_t n = 0;
    for (uint32_t t = 0; t < b->n; t++)
        if (t == 0 || b->seq[t] != b->seq[t - 1] || t - s->tiles[n - 1] == rows) s->tiles[n++] = t;
    s->tiles[n] = b->n;
    return n;
}

void cria_attention(struct cria_scratch *s, const cria_config *c, const cria_batch *b, uint32_t layer) {
    struct attention a = {.s = s, .c = c, .b = b, .layer = layer};
    cria_pool_for(s->pool, (size_t)cut_tiles(s, c, b) * c->hk, 1, attend_items, &a);
}
