/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of KV blocks and the block tables of sequences. See kv.h. */
#include "model/kv.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/status.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define SLAB_BYTES ((size_t)16 << 20)

/* Keys (or values) of one head and layer: at most 64 · 2^10 · 4 bytes. */
static size_t half_bytes(const cria_config *config, enum cria_kv_elem elem) {
    return (cria_kv_array_bytes(elem, config->e) + CRIA_ALIGN - 1) / CRIA_ALIGN * CRIA_ALIGN;
}

size_t cria_kv_block_bytes(const cria_config *config, enum cria_kv_elem elem) {
    return 2 * half_bytes(config, elem) * config->hk * config->n_layers;
}

cria_status cria_kv_pool_init(cria_kv_pool *pool, cria_ctx *ctx, const cria_config *config,
                              enum cria_kv_elem elem, uint64_t budget_bytes, cria_error *err) {
    *pool = (cria_kv_pool){
        .ctx = ctx, .elem = elem, .n_layers = config->n_layers, .hk = config->hk, .e = config->e};
    pool->half_bytes = half_bytes(config, elem);
    pool->block_bytes = cria_kv_block_bytes(config, elem);
    pool->max_blocks = budget_bytes == 0 ? SIZE_MAX : (size_t)(budget_bytes / pool->block_bytes);
    if (pool->max_blocks == 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "A KV budget of %" PRIu64
                         " bytes does not hold one block of %u positions, which is %zu bytes.",
                         budget_bytes, CRIA_KV_BLOCK, pool->block_bytes);
    return CRIA_OK;
}

void cria_kv_pool_fini(cria_kv_pool *pool) {
    while (pool->free != NULL) {
        struct cria_kv_block *b = pool->free;
        pool->free = b->next;
        cria_free(pool->ctx, b);
    }
    while (pool->slabs != NULL) {
        struct cria_kv_slab *slab = pool->slabs;
        pool->slabs = slab->next;
        cria_free(pool->ctx, slab->memory);
        cria_free(pool->ctx, slab);
    }
}

/* A block without data, counted against the budget. */
static cria_status new_block(cria_kv_pool *pool, struct cria_kv_block **out, cria_error *err) {
    if (pool->n_blocks == pool->max_blocks)
        return cria_fail(
            err, CRIA_EFULL, CRIA_NOWHERE,
            "The KV budget of %zu blocks of %u positions (%zu bytes each) is used up; free a sequence or ask "
            "for more with kv_bytes.",
            pool->max_blocks, CRIA_KV_BLOCK, pool->block_bytes);
    struct cria_kv_block *b = cria_calloc(pool->ctx, 1, sizeof *b);
    if (b == NULL) return cria_fail_nomem(err, "a KV block", sizeof *b);
    pool->n_blocks++;
    b->refs = 1;
    *out = b;
    return CRIA_OK;
}

static void forget_block(cria_kv_pool *pool, struct cria_kv_block *b) {
    pool->n_blocks--;
    cria_free(pool->ctx, b);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* For a block that is counted already. As many blocks as there were before, up to SLAB_BYTES: who needs few is not made
 * to ask for much. */
static cria_status new_slab(cria_kv_pool *pool, cria_error *err) {
    struct cria_kv_slab *slab = cria_calloc(pool->ctx, 1, sizeof *slab);
    if (slab == NULL) return cria_fail_nomem(err, "KV blocks", sizeof *slab);
    size_t n = least(SLAB_BYTES / pool->block_bytes, least(pool->n_blocks - 1, pool->max_blocks - pool->n_blocks + 1));
    if (n == 0) n = 1;
    /* Whole huge pages where it is as large as one. */
    size_t align = n * pool->block_bytes < HUGE_PAGE ? 1 : HUGE_PAGE;
    slab->memory = cria_malloc(pool->ctx, n * pool->block_bytes + align - 1);
    if (slab->memory == NULL) {
        n = align = 1;
        slab->memory = cria_malloc(pool->ctx, pool->block_bytes);
    }
    if (slab->memory == NULL) {
        cria_free(pool->ctx, slab);
        return cria_fail_nomem(err, "a KV block", pool->block_bytes);
    }
    pool->unused = (uint8_t *)slab->memory + (align - (uintptr_t)slab->memory % align) % align;
    pool->n_unused = n;
    if (align == HUGE_PAGE) cria_mem_prefer_huge(pool->unused, n * pool->block_bytes);
    slab->next = pool->slabs;
    pool->slabs = slab;
    return CRIA_OK;
}

static cria_status take_block(cria_kv_pool *pool, struct cria_kv_block **out, cria_error *err) {
    struct cria_kv_block *b = pool->free;
    if (b != NULL) {
        pool->free = b->next;
        b->refs = 1;
        *out = b;
        return CRIA_OK;
    }
    cria_status st = new_block(pool, &b, err);
    if (st) return st;
    if (pool->n_unused == 0 && (st = new_slab(pool, err)) != CRIA_OK) {
        forget_block(pool, b);
        return st;
    }
    b->data = pool->unused;
    pool->unused += pool->block_bytes;
    pool->n_unused--;
    *out = b;
    return CRIA_OK;
}

static void give_block(cria_kv_pool *pool, struct cria_kv_block *b) {
    if (--b->refs != 0) return;
    if (b->map == NULL) {
        b->next = pool->free;
        pool->free = b;
        return;
    }
    if (--b->map->refs == 0) {
        cria_mapfile_close(&b->map->file);
        cria_free(pool->ctx, b->map);
    }
    forget_block(pool, b);
}

void cria_kv_seq_init(cria_kv_seq *seq, cria_kv_pool *pool) { *seq = (cria_kv_seq){.pool = pool}; }

void cria_kv_seq_fini(cria_kv_seq *seq) {
    cria_kv_seq_truncate(seq, 0);
    cria_free(seq->pool->ctx, seq->blocks);
}

static cria_status grow_list(cria_kv_seq *seq, size_t want, cria_error *err) {
    if (want <= seq->cap) return CRIA_OK;
    const size_t cap = want + seq->cap; /* at least doubled, or what is asked */
    struct cria_kv_block **blocks =
        cria_realloc(seq->pool->ctx, seq->blocks, seq->n_blocks * sizeof *blocks, cap * sizeof *blocks);
    if (blocks == NULL) return cria_fail_nomem(err, "a list of KV blocks", cap * sizeof *blocks);
    seq->blocks = blocks;
    seq->cap = cap;
    return CRIA_OK;
}

cria_status cria_kv_seq_reserve(cria_kv_seq *seq, size_t from, size_t n, cria_error *err) {
    const size_t want = n / CRIA_KV_BLOCK + (n % CRIA_KV_BLOCK != 0);
    cria_status st = grow_list(seq, want, err);
    for (size_t i = from / CRIA_KV_BLOCK; i < seq->n_blocks && i < want && !st; i++) {
        struct cria_kv_block *shared = seq->blocks[i];
        if (shared->refs == 1 && shared->map == NULL) continue;
        st = take_block(seq->pool, &seq->blocks[i], err);
        if (st) break;
        memcpy(seq->blocks[i]->data, shared->data, seq->pool->block_bytes);
        give_block(seq->pool, shared);
    }
    while (seq->n_blocks < want && !st) {
        st = take_block(seq->pool, &seq->blocks[seq->n_blocks], err);
        if (!st) seq->n_blocks++;
    }
    return st;
}

cria_status cria_kv_seq_share(const cria_kv_seq *seq, cria_kv_seq *out, cria_error *err) {
    const cria_status st = grow_list(out, seq->n_blocks, err);
    if (st) return st;
    for (size_t i = 0; i < seq->n_blocks; i++) {
        out->blocks[i] = seq->blocks[i];
        out->blocks[i]->refs++;
    }
    out->n_blocks = seq->n_blocks;
    return CRIA_OK;
}

cria_status cria_kv_seq_map(cria_kv_seq *seq, cria_mapfile *file, size_t offset, size_t n, cria_error *err) {
    cria_ctx *ctx = seq->pool->ctx;
    cria_status st = grow_list(seq, n, err);
    if (st) return st;
    struct cria_kv_map *map = cria_malloc(ctx, sizeof *map);
    if (map == NULL) return cria_fail_nomem(err, "mapped KV blocks", sizeof *map);
    for (; seq->n_blocks < n && !st; seq->n_blocks += !st)
        st = new_block(seq->pool, &seq->blocks[seq->n_blocks], err);
    if (st) {
        while (seq->n_blocks > 0) forget_block(seq->pool, seq->blocks[--seq->n_blocks]);
        cria_free(ctx, map);
        return st;
    }
    *map = (struct cria_kv_map){.file = *file, .refs = n};
    *file = (cria_mapfile){0};
    for (size_t i = 0; i < n; i++) {
        seq->blocks[i]->map = map;
        seq->blocks[i]->data = (uint8_t *)map->file.data + offset + i * seq->pool->block_bytes;
    }
    return CRIA_OK;
}

void cria_kv_seq_truncate(cria_kv_seq *seq, size_t n) {
    const size_t keep = n / CRIA_KV_BLOCK + (n % CRIA_KV_BLOCK != 0);
    while (seq->n_blocks > keep) give_block(seq->pool, seq->blocks[--seq->n_blocks]);
}
