/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in, logits out: reserves KV, cuts a call into batches, undoes everything when something fails. See
 * engine.h. */
#include "engine/engine.h"

#include "base/ctx.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/status.h"

#include <inttypes.h>
#include <math.h>

/* What kv_bytes 0 asks for: a sequence of the model's whole context, as far as memory goes (the rest of it is left to
 * the system and to others; contexts of 10^5 tokens would take what no laptop has). */
static uint64_t default_bytes(const cria_model *m, const cria_kv_pool *pool) {
    const uint64_t blocks = m->config.context / CRIA_KV_BLOCK + (m->config.context % CRIA_KV_BLOCK != 0);
    const uint64_t whole = blocks * pool->block_bytes, available = cria_memory_available("") / 4 * 3;
    if (available == 0 || whole <= available) return whole;
    return available > pool->block_bytes ? available : pool->block_bytes;
}

static cria_status init_kv(cria_engine *e, const cria_engine_opts *opts, cria_error *err) {
    const enum cria_kv_elem elem = cria_engine_kv_elem(opts->kv);
    cria_status st = cria_kv_pool_init(&e->kv, e->ctx, &e->model->config, elem, opts->kv_bytes, err);
    if (!st && opts->kv_bytes == 0 && e->model->config.context != 0)
        st = cria_kv_pool_init(&e->kv, e->ctx, &e->model->config, elem, default_bytes(e->model, &e->kv), err);
    return st;
}

cria_status cria_engine_make(cria_model *model, const cria_engine_opts *opts, cria_engine **out,
                             cria_error *err) {
    cria_ctx *ctx = model->ctx;
    cria_engine *e = cria_calloc(ctx, 1, sizeof *e);
    if (e == NULL) return cria_fail_nomem(err, "the engine", sizeof *e);
    e->ctx = ctx;
    e->model = cria_model_ref(model);
    e->refs = 1;
    e->max_rows = opts->batch_rows ? opts->batch_rows : 512;
    cria_status st = init_kv(e, opts, err);
    e->token = cria_calloc(ctx, e->max_rows, sizeof *e->token);
    e->pos = cria_calloc(ctx, e->max_rows, sizeof *e->pos);
    e->seq = cria_calloc(ctx, e->max_rows, sizeof *e->seq);
    e->want_logits = cria_calloc(ctx, e->max_rows, sizeof *e->want_logits);
    if (!st && (!e->token || !e->pos || !e->seq || !e->want_logits))
        st = cria_fail_nomem(err, "a batch of rows", e->max_rows * sizeof *e->seq);
    if (!st) st = cria_scratch_new(ctx, &model->config, model->activations, e->max_rows, &e->scratch, err);
    if (st)
        cria_engine_unref(e);
    else
        *out = e;
    return st;
}

void cria_engine_unref(cria_engine *e) {
    if (e == NULL || --e->refs != 0) return;
    cria_ctx *ctx = e->ctx;
    cria_model *model = e->model;
    cria_scratch_free(e->scratch);
    cria_free(ctx, e->want_logits);
    cria_free(ctx, e->seq);
    cria_free(ctx, e->pos);
    cria_free(ctx, e->token);
    cria_kv_pool_fini(&e->kv);
    cria_free(ctx, e);
    cria_model_unref(model); /* last: the context may go with it */
}

uint32_t cria_engine_positions(const cria_engine *e) {
    const uint32_t context = e->model->config.context ? e->model->config.context : CRIA_POSITIONS_MAX;
    return e->kv.max_blocks < context / CRIA_KV_BLOCK ? (uint32_t)e->kv.max_blocks * CRIA_KV_BLOCK : context;
}

/* ---- eval ---- */

/* Makes room for all rows before anything is computed. */
static cria_status reserve(cria_engine *e, const cria_row *rows, size_t n, cria_error *err) {
    const uint32_t context = e->model->config.context ? e->model->config.context : CRIA_POSITIONS_MAX;
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < n && !st; i++)
        if (rows[i].sequence->next++ == context)
            st = cria_fail(err, CRIA_EFULL, i, "The model's context of %u tokens is full.", context);
    for (size_t i = 0; i < n && !st; i++)
        st = cria_sequence_reserve(rows[i].sequence, err);
    for (size_t i = 0; i < n; i++) rows[i].sequence->next = rows[i].sequence->length;
    return st;
}

/* Turns n <= max_rows rows into a batch. Returns how many of them want logits. */
static size_t fill_batch(cria_engine *e, const cria_row *rows, uint32_t n) {
    size_t wanted = 0;
    for (uint32_t t = 0; t < n; t++) {
        cria_sequence *s = rows[t].sequence;
        s->tokens[s->next] = rows[t].token;
        e->token[t] = rows[t].token;
        e->pos[t] = (uint32_t)s->next++;
        e->seq[t] = &s->kv;
        e->want_logits[t] = rows[t].want_logits;
        wanted += rows[t].want_logits;
    }
    return wanted;
}

static cria_status check_finite(const float *logits, size_t n, size_t V, cria_error *err) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < V; j++)
            if (!isfinite(logits[i * V + j]))
                return cria_fail(
                    err, CRIA_ENUMERIC, i,
                    "The model's output for token %zu is not a finite number; its weights are damaged or too "
                    "large for float32.",
                    j);
    return CRIA_OK;
}

static cria_status run_batches(cria_engine *e, const cria_row *rows, size_t n, float *logits,
                               cria_error *err) {
    const size_t V = e->model->config.V;
    for (size_t at = 0; at < n;) {
        const uint32_t part = n - at < e->max_rows ? (uint32_t)(n - at) : e->max_rows;
        const size_t wanted = fill_batch(e, rows + at, part);
        const cria_batch batch = {.n = part,
                                  .token = e->token,
                                  .pos = e->pos,
                                  .seq = e->seq,
                                  .want_logits = e->want_logits,
                                  .logits = logits};
        cria_forward(&e->model->config, &e->model->weights, &batch, e->scratch);
        cria_status st = check_finite(logits, wanted, V, err);
        if (st) return st;
        if (wanted) logits += wanted * V;
        at += part;
    }
    return CRIA_OK;
}

cria_status cria_engine_run(cria_engine *e, const cria_row *rows, size_t n, float *logits, cria_error *err) {
    cria_status st = reserve(e, rows, n, err);
    if (!st) st = run_batches(e, rows, n, logits, err);
    for (size_t i = 0; i < n; i++) {
        cria_sequence *s = rows[i].sequence;
        if (!st) {
            s->length = s->next;
        } else {
            s->next = s->length;
            cria_kv_seq_truncate(&s->kv, s->length);
        }
    }
    return st;
}
