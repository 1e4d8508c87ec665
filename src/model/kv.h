/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KV cache: a pool of blocks of CRIA_KV_BLOCK positions. A block holds keys and values of all layers and
 * KV heads for its positions, [layer][kv head][keys ‖ values], in the layout that kernels.h gives
 * (cria_attend). The pool never holds more than its budget; blocks that sequences give back are kept for the
 * next one. Sequences may share blocks; who writes to one that is shared gets a copy.
 *
 * Owned by one engine, used by one thread.
 */
#ifndef CRIA_MODEL_KV_H
#define CRIA_MODEL_KV_H

#include "base/mapfile.h"
#include "kernels/kernels.h"
#include "model/config.h"

/* A file that blocks lie in; closed with the last of them. */
struct cria_kv_map {
    cria_mapfile file;
    size_t refs; /* blocks */
};

struct cria_kv_block {
    struct cria_kv_block *next; /* in the free list */
    struct cria_kv_map *map;    /* what data is part of, only to be read; NULL: data is the block's own */
    uint32_t refs;              /* sequences that have it; more than one only read it */
    uint8_t *data;
};

/* Memory of some blocks: attention reads it a sixth faster in huge pages, and a block alone is no multiple of one. */
struct cria_kv_slab {
    struct cria_kv_slab *next;
    void *memory;
};

typedef struct cria_kv_pool {
    cria_ctx *ctx;
    enum cria_kv_elem elem;
    uint32_t n_layers, hk, e;
    size_t half_bytes; /* keys (or values) of one head and layer in one block */
    size_t block_bytes;
    size_t n_blocks, max_blocks; /* allocated so far; the budget */
    struct cria_kv_block *free;
    struct cria_kv_slab *slabs;
    uint8_t *unused; /* blocks of the newest slab that nobody has had yet: memory that was not touched */
    size_t n_unused;
} cria_kv_pool;

/* The blocks of one sequence: position p lies in blocks[p / CRIA_KV_BLOCK]. */
typedef struct cria_kv_seq {
    cria_kv_pool *pool;
    struct cria_kv_block **blocks;
    size_t n_blocks, cap;
} cria_kv_seq;

/* Bytes of a block. At most 2^39, by the bounds in config.h. */
size_t cria_kv_block_bytes(const cria_config *config, enum cria_kv_elem elem);

/* budget_bytes 0: no bound but memory. CRIA_EINVAL when it does not hold a single block. */
cria_status cria_kv_pool_init(cria_kv_pool *pool, cria_ctx *ctx, const cria_config *config,
                              enum cria_kv_elem elem, uint64_t budget_bytes, cria_error *err);
/* All sequences must have been freed. */
void cria_kv_pool_fini(cria_kv_pool *pool);

void cria_kv_seq_init(cria_kv_seq *seq, cria_kv_pool *pool);
/* Gives all blocks back. */
void cria_kv_seq_fini(cria_kv_seq *seq);
/* Room for positions [0, n), those from `from` on to be written: a block of them that is shared is copied first.
 * CRIA_EFULL past the budget, CRIA_ENOMEM; what was there stays either way. */
cria_status cria_kv_seq_reserve(cria_kv_seq *seq, size_t from, size_t n, cria_error *err);
/* out, initialized and empty, shares all blocks of seq. CRIA_ENOMEM, with out still empty. */
cria_status cria_kv_seq_share(const cria_kv_seq *seq, cria_kv_seq *out, cria_error *err);
/* seq, initialized and empty, gets the n > 0 blocks that lie at `offset` (a multiple of 64) of the file one after the
 * other. Takes *file on success. CRIA_EFULL past the budget, CRIA_ENOMEM; then seq is still empty. */
cria_status cria_kv_seq_map(cria_kv_seq *seq, cria_mapfile *file, size_t offset, size_t n, cria_error *err);
/* Gives back the blocks that hold no position below n. */
void cria_kv_seq_truncate(cria_kv_seq *seq, size_t n);

/* Keys of one layer and head in a block; the values follow at + half_bytes. */
static inline uint8_t *cria_kv_at(const cria_kv_pool *pool, const struct cria_kv_block *b, uint32_t layer,
                                  uint32_t head) {
    return b->data + 2 * pool->half_bytes * ((size_t)layer * pool->hk + head);
}

#endif
