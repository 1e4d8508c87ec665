/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llama2.c's checkpoints, version 0 (karpathy/llama2.c, export.py's legacy_export and run.c's
 * memory_map_weights): seven int32, then float32 tensors in a fixed order, those of all layers together. It
 * has no magic number, but the header says how long the file is. What the format leaves out is what run.c
 * computes with: norm_eps 1e-5, theta 10000.
 */
#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "convert/source.h"

#include <stdio.h>
#include <string.h>

enum { HEADER_BYTES = 28, N_TENSORS = 12 };

struct header {
    uint64_t dim, hidden, layers, heads, kv_heads, vocab, context;
    bool shared; /* the embedding is the output, too */
};

static bool read_header(const uint8_t *data, size_t len, struct header *h) {
    uint64_t *const fields[7] = {&h->dim,      &h->hidden, &h->layers, &h->heads,
                                 &h->kv_heads, &h->vocab,  &h->context};
    if (len < HEADER_BYTES) return false;
    h->shared = true;
    for (unsigned i = 0; i < 7; i++) {
        const uint32_t u = cria_load_u32(data + 4 * i);
        const bool negative = u >> 31;
        if (negative && i != 5) return false;
        if (negative) h->shared = false; /* a negative vocabulary */
        *fields[i] = negative ? UINT64_C(0x100000000) - u : u;
        if (*fields[i] < 1 || *fields[i] > 1u << 24) return false;
    }
    return h->layers <= 1024 && h->heads <= 1024 && h->kv_heads <= h->heads && h->heads % h->kv_heads == 0 &&
           h->dim % h->heads == 0 && h->dim / h->heads % 2 == 0;
}

/* One of the tensors of the file: a name, and [layers][rows][cols] (rows 0: vectors, layers 0: once). */
struct span {
    const char *name;
    uint64_t layers, rows, cols;
};

static void list_spans(const struct header *h, struct span out[N_TENSORS + 1]) {
    const uint64_t head = h->dim / h->heads, kv = h->kv_heads * head;
    const struct span spans[N_TENSORS + 1] = {
        {"tok_embeddings", 0, h->vocab, h->dim},
        {"attention_norm", h->layers, 0, h->dim},
        {"attention.wq", h->layers, h->dim, h->dim},
        {"attention.wk", h->layers, kv, h->dim},
        {"attention.wv", h->layers, kv, h->dim},
        {"attention.wo", h->layers, h->dim, h->dim},
        {"ffn_norm", h->layers, 0, h->dim},
        {"feed_forward.w1", h->layers, h->hidden, h->dim},
        {"feed_forward.w2", h->layers, h->dim, h->hidden},
        {"feed_forward.w3", h->layers, h->hidden, h->dim},
        {"norm", 0, 0, h->dim},
        {NULL, 2, h->context, head / 2}, /* cosines and sines, which everybody computes */
        {h->shared ? NULL : "output", 0, h->shared ? 0 : h->vocab, h->shared ? 0 : h->dim}};
    memcpy(out, spans, sizeof spans);
}

/* Numbers of a span; the factors are at most 2^24, 2^24 and 2^10. */
static uint64_t span_items(const struct span *s) {
    return (s->layers ? s->layers : 1) * (s->rows ? s->rows : 1) * s->cols;
}

bool cria_convert_is_llama2c(const uint8_t *data, size_t len) {
    struct header h;
    struct span spans[N_TENSORS + 1];
    if (!read_header(data, len, &h)) return false;
    list_spans(&h, spans);
    uint64_t left = (len - HEADER_BYTES) / 4;
    if (len % 4 != 0) return false;
    for (unsigned i = 0; i < N_TENSORS + 1; i++) {
        const uint64_t n = span_items(&spans[i]);
        if (n > left) return false;
        left -= n;
    }
    return left == 0;
}

static cria_status add(struct cria_convert_source *s, const struct span *span, uint32_t layer,
                       const uint8_t *data, cria_error *err) {
    char name[CRIA_NAME_MAX], renamed[CRIA_NAME_MAX];
    uint32_t paired;
    if (span->layers != 0)
        snprintf(name, sizeof name, "layers.%u.%s.weight", (unsigned)layer, span->name);
    else
        snprintf(name, sizeof name, "%s.weight", span->name);
    cria_tensor *t = cria_convert_alloc(s, sizeof *t);
    if (t == NULL) return cria_fail_nomem(err, "the list of tensors", sizeof *t);
    *t = (cria_tensor){.dtype = CRIA_DTYPE_F32, .ndim = span->rows ? 2 : 1, .data = data};
    t->name = cria_convert_string(s, name, strlen(name));
    if (t->name == NULL) return cria_fail_nomem(err, "a tensor's name", strlen(name));
    if (span->rows) t->shape[0] = span->rows;
    t->shape[t->ndim - 1] = span->cols;
    t->nbytes = 4 * span->cols * (span->rows ? span->rows : 1);
    cria_status st = cria_convert_rename(s, CRIA_NAMING_META, t, renamed, &paired, err);
    const cria_tensor *const parts[] = {t};
    if (!st) st = cria_convert_add(s, renamed, paired, parts, 1, 0, err);
    if (!st && strcmp(name, "tok_embeddings.weight") == 0 && s->names == CRIA_NAMING_META && s->model.tied)
        st = cria_convert_add(s, "output.weight", 0, parts, 1, 0, err);
    return st;
}

cria_status cria_convert_open_llama2c(struct cria_convert_source *s, cria_error *err) {
    struct header h;
    struct span spans[N_TENSORS + 1];
    read_header(s->map.data, s->map.len, &h); /* it is right: that is how it was told */
    list_spans(&h, spans);
    s->dtype = "float32";
    cria_config *c = &s->model;
    c->d = (uint32_t)h.dim;
    c->n_layers = (uint32_t)h.layers;
    c->h = (uint32_t)h.heads;
    c->hk = (uint32_t)h.kv_heads;
    c->e = c->rotary = (uint32_t)(h.dim / h.heads);
    c->f = (uint32_t)h.hidden;
    c->V = (uint32_t)h.vocab;
    c->context = (uint32_t)h.context;
    c->norm_eps = 1e-5f;
    c->rope[0].theta = 10000.0f;
    c->rope_traditional = true;
    c->tied = h.shared;
    s->bos = 1;
    s->eos = 2;
    cria_status st = cria_convert_reserve(s, (size_t)h.layers * 9 + 4, err);
    const uint8_t *at = s->map.data + HEADER_BYTES;
    for (unsigned i = 0; i < N_TENSORS + 1 && !st; i++) {
        const struct span *span = &spans[i];
        const uint64_t n = span_items(span), copies = span->layers ? span->layers : 1;
        for (uint32_t layer = 0; span->name != NULL && layer < copies && !st; layer++)
            st = add(s, span, layer, at + 4 * (n / copies) * layer, err);
        at += 4 * n;
    }
    return st;
}
