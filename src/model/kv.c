/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of KV blocks and the block tables of sequences. See kv.h. */
#include "model/kv.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/status.h"

#include <inttypes.h>
#include <string.h>

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
        cria_free(pool->ctx, b->data);
        cria_free(pool->ctx, b);
    }
}

static cria_status take_block(cria_kv_pool *pool, struct cria_kv_block **out, cria_error *err) {
    struct cria_kv_block *b = pool->free;
    if (b != NULL) {
        pool->free = b->next;
        *out = b;
        return CRIA_OK;
    }
    if (pool->n_blocks == pool->max_blocks)
        return cria_fail(
            err, CRIA_EFULL, CRIA_NOWHERE,
            "The KV budget of %zu blocks of %u positions (%zu bytes each) is used up; free a sequence or ask "
            "for more with kv_bytes.",
            pool->max_blocks, CRIA_KV_BLOCK, pool->block_bytes);
    b = cria_malloc(pool->ctx, sizeof *b);
    if (b == NULL) return cria_fail_nomem(err, "a KV block", sizeof *b);
    b->data = cria_malloc(pool->ctx, pool->block_bytes);
    if (b->data == NULL) {
        cria_free(pool->ctx, b);
        return cria_fail_nomem(err, "a KV block", pool->block_bytes);
    }
    pool->n_blocks++;
    *out = b;
    return CRIA_OK;
}

static void give_block(cria_kv_pool *pool, struct cria_kv_block *b) {
    b->next = pool->free;
    pool->free = b;
}

void cria_kv_seq_init(cria_kv_seq *seq, cria_kv_pool *pool) { *seq = (cria_kv_seq){.pool = pool}; }

void cria_kv_seq_fini(cria_kv_seq *seq) {
    cria_kv_seq_truncate(seq, 0);
    cria_free(seq->pool->ctx, seq->blocks);
}

cria_status cria_kv_seq_reserve(cria_kv_seq *seq, size_t n, cria_error *err) {
    cria_ctx *ctx = seq->pool->ctx;
    const size_t want = n / CRIA_KV_BLOCK + (n % CRIA_KV_BLOCK != 0);
    if (want > seq->cap) {
        const size_t cap = want + seq->cap; /* at least doubled, or what is asked */
        struct cria_kv_block **blocks =
            cria_realloc(ctx, seq->blocks, seq->n_blocks * sizeof *blocks, cap * sizeof *blocks);
        if (blocks == NULL) return cria_fail_nomem(err, "a list of KV blocks", cap * sizeof *blocks);
        seq->blocks = blocks;
        seq->cap = cap;
    }
    while (seq->n_blocks < want) {
        cria_status st = take_block(seq->pool, &seq->blocks[seq->n_blocks], err);
        if (st) return st;
        seq->n_blocks++;
    }
    return CRIA_OK;
}

void cria_kv_seq_truncate(cria_kv_seq *seq, size_t n) {
    const size_t keep = n / CRIA_KV_BLOCK + (n % CRIA_KV_BLOCK != 0);
    while (seq->n_blocks > keep) give_block(seq->pool, seq->blocks[--seq->n_blocks]);
}
