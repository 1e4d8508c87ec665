/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forward pass of a Llama, in the words of MODEL.md:
 *
 *     x = embed(token)
 *     for each layer:  x += attention(rmsnorm(x));  x += swiglu(rmsnorm(x))
 *     logits = rmsnorm(x)·outputᵀ
 *
 * Knows nothing of weight formats or processors: products are in product.c, attention over the KV blocks in
 * attention.c, arithmetic in the kernel table. Every step is one parallel loop over rows or row blocks.
 */
#include "model/forward.h"

#include "base/ctx.h"
#include "base/dmath.h"
#include "base/pool.h"
#include "model/scratch.h"

/* What a row-wise loop needs; each loop below uses some of it. */
struct rows {
    struct cria_scratch *s;
    const cria_config *c;
    const cria_weights *w;
    const cria_batch *b;
    uint32_t layer;
    const float *x;    /* input [n][d] */
    const float *norm; /* [d] */
    float *y;
};

static void for_rows(const struct rows *r, uint32_t n, cria_pool_fn *fn) {
    const uint32_t grain = n / (4 * cria_pool_threads(r->s->pool)) + 1;
    cria_pool_for(r->s->pool, n, grain, fn, (void *)(uintptr_t)r);
}

/* ---- rows ---- */

/* x = the embedding of the token, and the rotation of its position: angle_i = pos·inv_freq_i. */
static void embed_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    const size_t half = r->c->e / 2;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        cria_matrix_row(&r->w->tok_embeddings, (uint32_t)r->b->token[t], r->s->x + t * r->c->d);
        for (size_t i = 0; i < half; i++) {
            double sine, cosine;
            cria_sincos_f64((double)r->b->pos[t] * r->w->inv_freq[i], &sine, &cosine);
            r->s->rope_sin[t * half + i] = (float)sine;
            r->s->rope_cos[t * half + i] = (float)cosine;
        }
    }
}

static void norm_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    (void)worker;
    for (size_t t = begin; t < end; t++)
        r->s->kernels->rmsnorm(r->y + t * r->c->d, r->x + t * r->c->d, r->norm, r->c->norm_eps, r->c->d);
}

/* Rotates queries and keys, and puts keys and values where attention finds them. */
static void rope_and_store_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    const cria_config *c = r->c;
    const struct cria_kernels *kern = r->s->kernels;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        const float *cosine = r->s->rope_cos + t * (c->e / 2), *sine = r->s->rope_sin + t * (c->e / 2);
        float *k = r->s->k + t * c->hk * c->e;
        const float *v = r->s->v + t * c->hk * c->e;
        kern->rope(r->s->q + t * c->h * c->e, c->h, c->e, c->e, cosine, sine);
        kern->rope(k, c->hk, c->e, c->e, cosine, sine);

        const cria_kv_pool *kv = r->b->seq[t]->pool;
        const struct cria_kv_block *block = r->b->seq[t]->blocks[r->b->pos[t] / CRIA_KV_BLOCK];
        for (uint32_t head = 0; head < c->hk; head++) {
            uint8_t *keys = cria_kv_at(kv, block, r->layer, head);
            kern->kv_store(keys, keys + kv->half_bytes, kv->elem, c->e, r->b->pos[t] % CRIA_KV_BLOCK,
                           k + (size_t)head * c->e, v + (size_t)head * c->e);
        }
    }
}

static void add_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    (void)worker;
    r->s->kernels->add(r->s->x + begin * r->c->d, r->x + begin * r->c->d, (end - begin) * r->c->d);
}

static void silu_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    const size_t f = r->c->f;
    (void)worker;
    r->s->kernels->silu_mul(r->s->gate + begin * f, r->s->gate + begin * f, r->s->up + begin * f, (end - begin) * f);
}

/* ---- steps ---- */

static void rmsnorm(const struct rows *r, uint32_t n, const float *x, const float *norm, float *y) {
    struct rows step = *r;
    step.x = x;
    step.norm = norm;
    step.y = y;
    for_rows(&step, n, norm_rows);
}

static void add_to_residual(const struct rows *r, uint32_t n, const float *x) {
    struct rows step = *r;
    step.x = x;
    for_rows(&step, n, add_rows);
}

static void attention_block(const struct rows *r, uint32_t n) {
    struct cria_scratch *s = r->s;
    const cria_config *c = r->c;
    const struct cria_layer *l = &r->w->layers[r->layer];
    rmsnorm(r, n, s->x, l->attention_norm, s->normed);
    cria_products(s, CRIA_ROLE_QKV, s->normed, n, c->d,
                  (struct cria_product[]){{&l->wq, s->q}, {&l->wk, s->k}, {&l->wv, s->v}}, 3);
    for_rows(r, n, rope_and_store_rows);
    cria_attention(s, c, r->b, r->layer);
    cria_products(s, CRIA_ROLE_OTHER, s->mixed, n, c->h * c->e, &(struct cria_product){&l->wo, s->normed}, 1);
    add_to_residual(r, n, s->normed);
}

static void feed_forward_block(const struct rows *r, uint32_t n) {
    struct cria_scratch *s = r->s;
    const cria_config *c = r->c;
    const struct cria_layer *l = &r->w->layers[r->layer];
    rmsnorm(r, n, s->x, l->ffn_norm, s->normed);
    cria_products(s, CRIA_ROLE_OTHER, s->normed, n, c->d,
                  (struct cria_product[]){{&l->w1, s->gate}, {&l->w3, s->up}}, 2);
    for_rows(r, n, silu_rows);
    cria_products(s, CRIA_ROLE_OTHER, s->gate, n, c->f, &(struct cria_product){&l->w2, s->normed}, 1);
    add_to_residual(r, n, s->normed);
}

/* Only rows that want logits meet the output matrix, the largest of all. */
static void logits_block(const struct rows *r, uint32_t n) {
    struct cria_scratch *s = r->s;
    const cria_config *c = r->c;
    uint32_t wanted = 0;
    for (uint32_t t = 0; t < n; t++) {
        if (!r->b->want_logits[t]) continue;
        const float *x = s->x + (size_t)t * c->d;
        s->kernels->rmsnorm(s->normed + (size_t)wanted * c->d, x, r->w->norm, c->norm_eps, c->d);
        wanted++;
    }
    if (wanted > 0)
        cria_products(s, CRIA_ROLE_OUTPUT, s->normed, wanted, c->d,
                      &(struct cria_product){&r->w->output, r->b->logits}, 1);
}

void cria_forward(const cria_config *config, const cria_weights *weights, const cria_batch *batch, cria_scratch *s) {
    struct rows r = {.s = s, .c = config, .w = weights, .b = batch};
    for_rows(&r, batch->n, embed_rows);
    for (r.layer = 0; r.layer < config->n_layers; r.layer++) {
        attention_block(&r, batch->n);
        feed_forward_block(&r, batch->n);
    }
    logits_block(&r, batch->n);
}
