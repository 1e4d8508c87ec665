/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights of no meaning, for measuring models of any shape without their files. The first rows of a matrix
 * are random; the others repeat them, which takes a tenth of the time and makes no difference to the speed of
 * anything: they lie in memory of their own.
 */
#include "model/weights.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include "kernels/forms.h"

#include <string.h>

/* Row blocks of a matrix that differ. */
#define PATTERN_BLOCKS 16u

struct maker {
    cria_ctx *ctx;
    const cria_config *c;
    const char *form;
    uint64_t seed;
    cria_weights *w;
    size_t total;     /* bytes placed so far */
    uint8_t *scratch; /* per worker */
    size_t scratch_bytes;
    cria_error *err;
};

/* ---- place ---- */

/* Where data lies is an offset until there is memory. */
static cria_status place_matrix(struct maker *k, uint32_t rows, uint32_t cols, cria_matrix *out) {
    cria_matrix_spec spec;
    if (!cria_form_spec(k->form, rows, cols, &spec) || !cria_matrix_init(&spec, out))
        return cria_fail(k->err, CRIA_EINVAL, CRIA_NOWHERE,
                         "There is no quantization \"%s\", or it is not for matrices of %u x %u.", k->form,
                         rows, cols);
    out->data = (const uint8_t *)(uintptr_t)k->total;
    if (!cria_add_ok(k->total, cria_matrix_bytes(out), &k->total))
        return cria_fail(k->err, CRIA_EINVAL, CRIA_NOWHERE, "The weights are too large for this machine.");
    k->w->n_params += (uint64_t)rows * cols;
    return CRIA_OK;
}

static cria_status place_all(struct maker *k) {
    const cria_config *c = k->c;
    const uint32_t q = c->h * c->e, kv = c->hk * c->e;
    cria_status st = place_matrix(k, c->V, c->d, &k->w->tok_embeddings);
    for (uint32_t i = 0; i < c->n_layers && !st; i++) {
        struct cria_layer *y = &k->w->layers[i];
        st = place_matrix(k, q, c->d, &y->wq);
        if (!st) st = place_matrix(k, kv, c->d, &y->wk);
        if (!st) st = place_matrix(k, kv, c->d, &y->wv);
        if (!st) st = place_matrix(k, c->d, q, &y->wo);
        if (!st) st = place_matrix(k, c->f, c->d, &y->ffn.w1);
        if (!st) st = place_matrix(k, c->d, c->f, &y->ffn.w2);
        if (!st) st = place_matrix(k, c->f, c->d, &y->ffn.w3);
    }
    if (!st) st = place_matrix(k, c->V, c->d, &k->w->output);
    if (!st && !cria_add_ok(k->total, c->d * sizeof(float), &k->total)) /* one vector of ones for all norms */
        st = cria_fail(k->err, CRIA_EINVAL, CRIA_NOWHERE, "The weights are too large for this machine.");
    k->w->n_params += (2 * (uint64_t)c->n_layers + 1) * c->d;
    k->w->n_bytes = k->total;
    return st;
}

/* ---- fill ---- */

struct fill {
    const struct maker *k;
    cria_matrix *m;
    uint8_t *data;
    uint64_t seed;
};

static void fill_pattern(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct fill *f = arg;
    uint8_t *scratch = f->k->scratch + worker * f->k->scratch_bytes;
    for (size_t b = begin; b < end; b++)
        cria_form_random(f->k->form, f->m, f->seed, f->data, (uint32_t)b, scratch);
}

static void repeat_pattern(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct fill *f = arg;
    const size_t n = f->m->block_bytes;
    (void)worker;
    for (size_t b = begin + PATTERN_BLOCKS; b < end + PATTERN_BLOCKS; b++)
        memcpy(f->data + b * n, f->data + b % PATTERN_BLOCKS * n, n);
}

/* The last block may lack rows, so that it is none of those that are repeated. */
static void fill_matrix(const struct maker *k, cria_matrix *m, uint64_t index) {
    struct fill f = {k, m, k->w->memory + (uintptr_t)m->data, k->seed + (index << 32)};
    const uint32_t whole = m->spec.rows / CRIA_ROWS,
                   pattern = whole < PATTERN_BLOCKS ? whole : PATTERN_BLOCKS;
    cria_pool_for(k->ctx->pool, pattern, 1, fill_pattern, &f);
    if (whole > pattern) cria_pool_for(k->ctx->pool, whole - pattern, 4, repeat_pattern, &f);
    if (m->n_blocks > whole) cria_form_random(k->form, m, f.seed, f.data, whole, k->scratch);
    m->data = f.data;
}

static void fill_all(const struct maker *k) {
    cria_weights *w = k->w;
    uint64_t index = 0;
    fill_matrix(k, &w->tok_embeddings, index++);
    float *ones = (float *)(void *)(w->memory + k->total - k->c->d * sizeof(float));
    for (uint32_t i = 0; i < k->c->d; i++) ones[i] = 1.0f;
    for (uint32_t i = 0; i < k->c->n_layers; i++) {
        struct cria_layer *y = &w->layers[i];
        cria_matrix *const matrices[] = {&y->wq, &y->wk, &y->wv, &y->wo, &y->ffn.w1, &y->ffn.w2, &y->ffn.w3};
        for (size_t j = 0; j < sizeof matrices / sizeof *matrices; j++) fill_matrix(k, matrices[j], index++);
        y->attention_norm = y->ffn_norm = ones;
    }
    fill_matrix(k, &w->output, index);
    w->norm = ones;
}

/* ---- make ---- */

static cria_status make(struct maker *k) {
    const cria_config *c = k->c;
    cria_weights *w = k->w;
    cria_status st = cria_weights_init(w, c, k->err);
    if (!st) st = place_all(k);
    if (st) return st;
    const uint32_t widest = c->d > c->f ? c->d : c->f, q = c->h * c->e;
    k->scratch_bytes = cria_form_scratch_bytes(widest > q ? widest : q);
    k->scratch = cria_malloc_array(k->ctx, cria_pool_threads(k->ctx->pool), k->scratch_bytes);
    w->memory = cria_malloc(k->ctx, k->total);
    if (k->scratch == NULL || w->memory == NULL) return cria_fail_nomem(k->err, "random weights", k->total);
    cria_mem_prefer_huge(w->memory, k->total);
    fill_all(k);
    return CRIA_OK;
}

cria_status cria_weights_random(cria_ctx *ctx, const cria_config *config, const char *form, uint64_t seed,
                                cria_weights *out, cria_error *err) {
    cria_weights w = {.ctx = ctx};
    struct maker k = {.ctx = ctx, .c = config, .form = form, .seed = seed, .w = &w, .err = err};
    const cria_status st = make(&k);
    cria_free(ctx, k.scratch);
    if (st)
        cria_weights_free(&w);
    else
        *out = w;
    return st;
}
