/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: KV pool, sequences and working memory of one caller; turns public rows into batches for the forward pass.
 * Owned by one thread at a time. A sequence keeps its engine alive.
 */
#ifndef CRIA_ENGINE_ENGINE_H
#define CRIA_ENGINE_ENGINE_H

#include "engine/model.h"
#include "model/forward.h"

struct cria_engine { /* the public opaque type */
    cria_ctx *ctx;
    cria_model *model; /* referenced */
    uint32_t refs;     /* the caller's and one per sequence */
    uint32_t max_rows;
    cria_kv_pool kv;
    cria_scratch *scratch;
    /* [max_rows] the batch in the making */
    int32_t *token;
    uint32_t *pos;
    const cria_kv_seq **seq;
    bool *want_logits;
};

struct cria_sequence { /* the public opaque type */
    cria_engine *engine; /* referenced */
    size_t length;       /* tokens evaluated */
    size_t next;         /* position of the next row of the call in progress; length between calls */
    int32_t *tokens;     /* [cap], of which length count */
    size_t cap;
    cria_kv_seq kv;
};

cria_status cria_sequence_make(cria_engine *engine, cria_sequence **out, cria_error *err);
cria_status cria_sequence_reserve_tokens(cria_sequence *sequence, size_t n, cria_error *err);
/* Room for tokens and KV up to position next. */
cria_status cria_sequence_reserve(cria_sequence *sequence, cria_error *err);

cria_status cria_engine_make(cria_model *model, const cria_engine_opts *opts, cria_engine **out, cria_error *err);
void cria_engine_unref(cria_engine *engine);
/* The public cria_engine_context. */
uint32_t cria_engine_positions(const cria_engine *engine);

static inline enum cria_kv_elem cria_engine_kv_elem(cria_kv_type kv) {
    switch (kv) {
    case CRIA_KV_F16: return CRIA_KV_ELEM_F16;
    case CRIA_KV_F32: return CRIA_KV_ELEM_F32;
    case CRIA_KV_INT8: return CRIA_KV_ELEM_I8;
    case CRIA_KV_INT16: break;
    }
    return CRIA_KV_ELEM_I16;
}

/* The public cria_engine_get_work. */
cria_work cria_engine_work(const cria_engine *engine, uint64_t sequences, uint64_t depth, uint64_t tokens);

/* The public cria_engine_eval with its arguments checked: tokens in range, sequences of this engine. */
cria_status cria_engine_run(cria_engine *engine, const cria_row *rows, size_t n, float *logits, cria_error *err);

#endif
