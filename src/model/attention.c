/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over KV blocks. Neighbouring rows of one sequence form a tile; a work item is a tile and a KV
 * head. It reads each KV block once for all query heads that share the head and all rows of the tile, in
 * ascending order of blocks, keeping a running softmax (kernels.h, cria_attend). How rows fall into tiles
 * does not change a bit of the result.
 *
 * Positions are cut into segments, always at the same places. A running softmax goes through one segment, and those of
 * segments are joined in ascending order. So where there are few items, one sequence with few KV heads, its segments
 * can go to different threads, and again no bit depends on it.
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

/* Positions of a segment: KV blocks enough that joining costs nothing beside them. */
#define SEGMENT 1024u

static uint32_t tile_rows(const cria_config *c) {
    const uint32_t shared = c->h / c->hk;
    return shared >= ITEM_QUERIES ? 1 : ITEM_QUERIES / shared;
}

static size_t item_queries(const cria_config *c) { return (size_t)tile_rows(c) * (c->h / c->hk); }

size_t cria_attention_state_bytes(const cria_config *c) {
    return cria_round_up(item_queries(c) * (c->e + 2) * sizeof(float), 64);
}

size_t cria_attention_scratch_bytes(const cria_config *c) {
    const size_t n = item_queries(c);
    return cria_kv_array_bytes(CRIA_KV_ELEM_F32, c->e) * 2 + cria_attention_state_bytes(c) * 2 +
           cria_round_up(n * c->e * (sizeof(float) + sizeof(int16_t)) + n * sizeof(float) + 2 * n, 64);
}

struct attention {
    struct cria_scratch *s;
    const cria_config *c;
    const cria_batch *b;
    uint32_t layer;
    /* where segments go to different threads: all that any row sees, and those of a wave */
    uint32_t first, end, segment0, n_segments;
    size_t kept; /* states of an item: the joined one, then the wave's */
};

/* Running softmaxes of an item's queries (kernels.h, cria_attend). */
struct state {
    float *m, *l; /* [n_q] */
    float *o;     /* [n_q][e] */
};

/* Rows [t0, t1) of one sequence and a KV head. */
struct item {
    uint32_t t0, t1, head;
    uint32_t n_q;
    uint32_t first, last; /* positions: of the first block that the first row sees, and the last row's */
};

/* A worker's memory. */
struct memory {
    float *wide; /* keys, then values of a block */
    struct state all, part;
    float *q, *qd;
    int16_t *qi;
    uint8_t *visible, *hidden;
};

/* The first position that a position sees. */
static uint32_t first_seen(uint32_t pos, uint32_t window) { return pos >= window ? pos - window + 1 : 0; }

/* How many positions of the block at `base` lie before `pos`. */
static uint32_t within_block(uint32_t pos, uint32_t base) {
    return pos <= base ? 0 : pos - base < CRIA_KV_BLOCK ? pos - base : CRIA_KV_BLOCK;
}

static uint32_t window_of(const struct attention *a) {
    return a->c->layer[a->layer] & CRIA_LAYER_WINDOW ? a->c->window : UINT32_MAX;
}

static struct item item_at(const struct attention *a, size_t i) {
    const uint32_t *tile = a->s->tiles + i / a->c->hk;
    struct item item = {.t0 = tile[0], .t1 = tile[1], .head = (uint32_t)(i % a->c->hk)};
    item.n_q = (item.t1 - item.t0) * (a->c->h / a->c->hk);
    item.first = first_seen(a->b->pos[item.t0], window_of(a)) / CRIA_KV_BLOCK * CRIA_KV_BLOCK;
    item.last = a->b->pos[item.t1 - 1];
    return item;
}

static struct state state_at(const cria_config *c, uint8_t *p) {
    struct state s = {.o = (float *)(void *)p};
    s.m = s.o + item_queries(c) * c->e;
    s.l = s.m + item_queries(c);
    return s;
}

static struct memory memory_of(const struct attention *a, uint32_t worker) {
    const cria_config *c = a->c;
    const size_t n = item_queries(c), state = cria_attention_state_bytes(c);
    uint8_t *p = a->s->attend_scratch + (size_t)worker * a->s->attend_bytes;
    struct memory m = {.wide = (float *)(void *)p};
    p += cria_kv_array_bytes(CRIA_KV_ELEM_F32, c->e) * 2;
    m.all = state_at(c, p);
    m.part = state_at(c, p + state);
    m.q = (float *)(void *)(p + 2 * state);
    m.qd = m.q + n * c->e;
    m.qi = (int16_t *)(void *)(m.qd + n);
    m.visible = (uint8_t *)(m.qi + n * c->e);
    m.hidden = m.visible + n;
    return m;
}

static void clear(const struct state *s, uint32_t n_q, uint32_t e) {
    memset(s->o, 0, (size_t)n_q * e * sizeof *s->o);
    memset(s->l, 0, n_q * sizeof *s->l);
    for (uint32_t i = 0; i < n_q; i++) s->m[i] = -INFINITY;
}

/* all becomes the softmax over what both went through; the second one's contents are used up. For a query:
 *     m' = max(m_1, m_2),  c_k = exp(m_k − m'),  l' = l_1·c_1 + l_2·c_2,  o' = o_1·c_1 + o_2·c_2
 * where the larger one's c is 1, and who saw nothing changes nothing. */
static void join(const struct attention *a, const struct state *all, const struct state *part, uint32_t n_q) {
    const struct cria_kernels *kern = a->s->kernels;
    const uint32_t e = a->c->e;
    for (uint32_t i = 0; i < n_q; i++) {
        float *o = all->o + (size_t)i * e, *more = part->o + (size_t)i * e;
        if (part->l[i] == 0) continue;
        if (all->l[i] == 0) {
            memcpy(o, more, e * sizeof *o);
            all->l[i] = part->l[i];
            all->m[i] = part->m[i];
        } else if (part->m[i] > all->m[i]) {
            const float c = cria_expf(all->m[i] - part->m[i]);
            kern->scale(o, o, c, e);
            kern->add(o, more, e);
            all->l[i] = all->l[i] * c + part->l[i];
            all->m[i] = part->m[i];
        } else {
            const float c = cria_expf(part->m[i] - all->m[i]);
            kern->scale(more, more, c, e);
            kern->add(o, more, e);
            all->l[i] += part->l[i] * c;
        }
    }
}

/* The item's queries, as they meet keys. */
static void take_queries(const struct attention *a, const struct item *item, const struct memory *m) {
    const cria_config *c = a->c;
    const struct cria_kernels *kern = a->s->kernels;
    const size_t rows = (size_t)(c->h / c->hk) * c->e, width = (size_t)c->h * c->e;
    for (uint32_t t = item->t0; t < item->t1; t++)
        kern->scale(m->q + (t - item->t0) * rows, a->s->q + t * width + item->head * rows, c->attention_scale, rows);
    const enum cria_kv_elem kv = a->b->seq[item->t0]->pool->elem;
    const float max = cria_kv_limits(kv, c->e).query;
    for (uint32_t i = 0; cria_kv_is_whole(kv) && i < item->n_q; i++)
        kern->quantize_query(m->qi + (size_t)i * c->e, m->qd + i, m->q + (size_t)i * c->e, c->e, max);
}

/* The queries against the KV blocks of a segment, from nothing. `until`: the last position that will be read next. */
static void attend_segment(const struct attention *a, const struct item *item, const struct memory *mem,
                           uint32_t segment, uint32_t until, const struct state *out) {
    const cria_config *c = a->c;
    const struct cria_kernels *kern = a->s->kernels;
    const uint32_t shared = c->h / c->hk, window = window_of(a), begin = segment * SEGMENT;
    const cria_kv_seq *seq = a->b->seq[item->t0];
    const cria_kv_pool *kv = seq->pool;
    const size_t array = (size_t)CRIA_KV_BLOCK * c->e; /* numbers */
    const bool widen = kv->elem == CRIA_KV_ELEM_F16 && item->n_q >= WIDE_QUERIES;
    clear(out, item->n_q, c->e);
    for (uint32_t base = item->first > begin ? item->first : begin; base <= item->last && base < begin + SEGMENT;
         base += CRIA_KV_BLOCK) {
        for (uint32_t t = item->t0; t < item->t1; t++) {
            const uint32_t pos = a->b->pos[t], before = within_block(first_seen(pos, window), base),
                           seen = within_block(pos + 1, base);
            memset(mem->visible + (size_t)(t - item->t0) * shared, before < seen ? (int)seen : 0, shared);
            memset(mem->hidden + (size_t)(t - item->t0) * shared, (int)before, shared);
        }
        const uint8_t *keys = cria_kv_at(kv, seq->blocks[base / CRIA_KV_BLOCK], a->layer, item->head);
        const uint8_t *next =
            until >= base && until - base >= CRIA_KV_BLOCK
                ? cria_kv_at(kv, seq->blocks[base / CRIA_KV_BLOCK + 1], a->layer, item->head)
                : NULL;
        if (widen) {
            kern->widen(mem->wide, (const uint16_t *)(const void *)keys, array);
            kern->widen(mem->wide + array, (const uint16_t *)(const void *)(keys + kv->half_bytes), array);
        }
        kern->attend(&(cria_attend){.n_q = item->n_q,
                                    .e = c->e,
                                    .kv = widen ? CRIA_KV_ELEM_F32 : kv->elem,
                                    .k = widen ? (const void *)mem->wide : keys,
                                    .v = widen ? (const void *)(mem->wide + array) : keys + kv->half_bytes,
                                    .q = mem->q,
                                    .qi = mem->qi,
                                    .qd = mem->qd,
                                    .ldq = c->e,
                                    .visible = mem->visible,
                                    .hidden = window == UINT32_MAX ? NULL : mem->hidden,
                                    .cap = c->score_cap,
                                    .m = out->m,
                                    .l = out->l,
                                    .o = out->o,
                                    .ldo = c->e,
                                    .ahead = next,
                                    .ahead_bytes = 2 * kv->half_bytes});
    }
}

/* Rows of s->mixed. */
static void put_out(const struct attention *a, const struct item *item, const struct state *all) {
    const cria_config *c = a->c;
    const uint32_t shared = c->h / c->hk;
    for (uint32_t i = 0; i < item->n_q; i++) {
        const size_t t = item->t0 + i / shared, head = (size_t)item->head * shared + i % shared;
        a->s->kernels->scale(a->s->mixed + (t * c->h + head) * c->e, all->o + (size_t)i * c->e, 1.0f / all->l[i], c->e);
    }
}

/* ---- an item on one thread ---- */

static void attend_items(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct attention *a = arg;
    const struct memory m = memory_of(a, worker);
    for (size_t i = begin; i < end; i++) {
        const struct item item = item_at(a, i);
        take_queries(a, &item, &m);
        const uint32_t first = item.first / SEGMENT, last = item.last / SEGMENT;
        attend_segment(a, &item, &m, first, item.last, &m.all);
        for (uint32_t segment = first + 1; segment <= last; segment++) {
            attend_segment(a, &item, &m, segment, item.last, &m.part);
            join(a, &m.all, &m.part, item.n_q);
        }
        put_out(a, &item, &m.all);
    }
}

/* ---- its segments on several, some of them at a time ---- */

static struct state kept_state(const struct attention *a, size_t item, size_t i) {
    return state_at(a->c, a->s->attend_states + (item * a->kept + i) * cria_attention_state_bytes(a->c));
}

static void attend_segments(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct attention *a = arg;
    const struct memory m = memory_of(a, worker);
    for (size_t i = begin; i < end; i++) {
        const struct item item = item_at(a, i / a->n_segments);
        const uint32_t n = (uint32_t)(i % a->n_segments), segment = a->segment0 + n;
        const struct state out = kept_state(a, i / a->n_segments, n + 1);
        take_queries(a, &item, &m);
        const uint32_t until = segment * SEGMENT + SEGMENT - 1;
        attend_segment(a, &item, &m, segment, until < item.last ? until : item.last, &out);
    }
}

static void join_segments(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct attention *a = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const struct item item = item_at(a, i);
        const struct state all = kept_state(a, i, 0);
        if (a->segment0 == a->first) clear(&all, item.n_q, a->c->e);
        for (uint32_t n = 1; n <= a->n_segments; n++) {
            const struct state part = kept_state(a, i, n);
            join(a, &all, &part, item.n_q);
        }
        if (a->segment0 + a->n_segments == a->end) put_out(a, &item, &all);
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

/* Fewer items than twice the threads' number are taken apart: at least two of their segments at a time. */
size_t cria_attention_states(uint32_t threads) { return threads == 1 ? 0 : 6 * (size_t)threads; }

void cria_attention(struct cria_scratch *s, const cria_config *c, const cria_batch *b, uint32_t layer) {
    struct attention a = {.s = s, .c = c, .b = b, .layer = layer};
    const uint32_t threads = cria_pool_threads(s->pool);
    const size_t items = (size_t)cut_tiles(s, c, b) * c->hk;
    a.first = UINT32_MAX;
    for (uint32_t t = 0; t < b->n; t++) {
        const uint32_t first = first_seen(b->pos[t], window_of(&a)) / SEGMENT, end = b->pos[t] / SEGMENT + 1;
        if (first < a.first) a.first = first;
        if (end > a.end) a.end = end;
    }
    if (threads == 1 || items >= 2 * (size_t)threads || a.end - a.first == 1) {
        cria_pool_for(s->pool, items, 1, attend_items, &a);
        return;
    }
    a.kept = cria_attention_states(threads) / items;
    for (a.segment0 = a.first; a.segment0 < a.end; a.segment0 += a.n_segments) {
        const uint32_t left = a.end - a.segment0;
        a.n_segments = left < a.kept ? left : (uint32_t)a.kept - 1;
        cria_pool_for(s->pool, items * a.n_segments, 1, attend_segments, &a);
        cria_pool_for(s->pool, items, 1, join_segments, &a);
    }
}
