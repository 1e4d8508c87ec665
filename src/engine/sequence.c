/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences: tokens and the KV blocks that belong to them. See engine.h. */
#include "engine/engine.h"

#include "base/mem.h"
#include "base/status.h"

#include <string.h>

cria_status cria_sequence_make(cria_engine *engine, cria_sequence **out, cria_error *err) {
    cria_sequence *s = cria_calloc(engine->ctx, 1, sizeof *s);
    if (s == NULL) return cria_fail_nomem(err, "a sequence", sizeof *s);
    s->engine = engine;
    engine->refs++;
    cria_kv_seq_init(&s->kv, &engine->kv);
    *out = s;
    return CRIA_OK;
}

cria_status cria_sequence_reserve_tokens(cria_sequence *s, size_t n, cria_error *err) {
    if (n <= s->cap) return CRIA_OK;
    /* Whole KV blocks, at least doubled: within a block nothing is allocated. */
    const size_t cap = (n + s->cap + CRIA_KV_BLOCK - 1) / CRIA_KV_BLOCK * CRIA_KV_BLOCK;
    int32_t *tokens =
        cria_realloc(s->engine->ctx, s->tokens, s->length * sizeof *tokens, cap * sizeof *tokens);
    if (tokens == NULL) return cria_fail_nomem(err, "the tokens of a sequence", cap * sizeof *tokens);
    s->tokens = tokens;
    s->cap = cap;
    return CRIA_OK;
}

cria_status cria_sequence_reserve(cria_sequence *s, cria_error *err) {
    const cria_status st = cria_sequence_reserve_tokens(s, s->next, err);
    return st ? st : cria_kv_seq_reserve(&s->kv, s->length, s->next, err);
}

void cria_sequence_free(cria_sequence *s) {
    if (s == NULL) return;
    cria_engine *engine = s->engine;
    cria_kv_seq_fini(&s->kv);
    cria_free(engine->ctx, s->tokens);
    cria_free(engine->ctx, s);
    cria_engine_unref(engine);
}

size_t cria_sequence_length(const cria_sequence *s) { return s->length; }

const int32_t *cria_sequence_tokens(const cria_sequence *s) { return s->tokens; }

void cria_sequence_truncate(cria_sequence *s, size_t n) {
    if (n >= s->length) return;
    s->length = s->next = n;
    cria_kv_seq_truncate(&s->kv, n);
}

cria_status cria_sequence_fork(const cria_sequence *from, cria_sequence **out, cria_error *err) {
    if (from == NULL || out == NULL) return cria_fail_null(err, "cria_sequence_fork");
    cria_sequence *s = NULL;
    cria_status st = cria_sequence_make(from->engine, &s, err);
    if (st) return st;
    st = cria_sequence_reserve_tokens(s, from->length, err);
    if (!st) st = cria_kv_seq_share(&from->kv, &s->kv, err);
    if (st) {
        cria_sequence_free(s);
        return st;
    }
    if (from->length) memcpy(s->tokens, from->tokens, from->length * sizeof *s->tokens);
    s->length = s->next = from->length;
    *out = s;
    return CRIA_OK;
}
