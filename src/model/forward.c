/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forward pass, in the words of MODEL.md:
 *
 *     x = embed(token)
 *     for each layer:  x += attention(rmsnorm(x));  x += swiglu(rmsnorm(x))
 *     logits = rmsnorm(x)·outputᵀ
 *
 * and what the switches of cria_config put between: biases, norms of queries, keys and outputs, factors, caps, experts.
 * Knows nothing of families, weight formats or processors: products are in product.c, attention over the KV blocks in
 * attention.c, mixtures of experts in experts.c, arithmetic in the kernel table. Every step is one parallel loop over
 * rows or row blocks; norms and gates are taken in the loop that quantizes rows for the product behind them.
 */
#include "model/forward.h"

#include "base/ctx.h"
#include "base/dmath.h"
#include "model/scratch.h"

#include <string.h>

/* What a row-wise loop needs; each loop below uses some of it. */
struct rows {
    struct cria_scratch *s;
    const cria_config *c;
    const cria_weights *w;
    const cria_batch *b;
    uint32_t layer;
    const float *x;    /* input [n][d] */
    const float *norm, *bias; /* [d] */
    float *y;          /* output */
};

/* Over all rows of its batch. */
static void for_rows(const struct rows *r, cria_pool_fn *fn) { cria_for_rows(r->s, r->b->n, fn, r); }

/* ---- rows ---- */

/* The rotation of a position: angle_i = pos·inv_freq_i. */
static void rotation(const struct rows *r, size_t t, uint32_t which) {
    const size_t half = r->c->rotary / 2;
    const float amplitude = r->w->amplitude[which];
    for (size_t i = 0; i < half; i++) {
        double sine, cosine;
        cria_sincos_f64((double)r->b->pos[t] * r->w->inv_freq[which][i], &sine, &cosine);
        r->s->rope_sin[which][t * half + i] = (float)sine * amplitude;
        r->s->rope_cos[which][t * half + i] = (float)cosine * amplitude;
    }
}

/* x = the embedding of the token, and the rotations of its position. */
static void embed_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        float *x = r->s->x + t * r->c->d;
        cria_matrix_row(&r->w->tok_embeddings, (uint32_t)r->b->token[t], x);
        if (r->c->embedding_scale != 1.0f) r->s->kernels->scale(x, x, r->c->embedding_scale, r->c->d);
        for (uint32_t which = 0; which < r->s->n_ropes; which++) rotation(r, t, which);
    }
}

static void norm_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    (void)worker;
    for (size_t t = begin; t < end; t++)
        r->s->kernels->rmsnorm(r->y + t * r->c->d, r->x + t * r->c->d, r->norm, r->c->norm_eps, r->c->d);
}

/* Biases and norms of one row's queries or keys: x is [heads][e]. */
static void finish_heads(const struct rows *r, float *x, uint32_t heads, const float *bias, const float *norm) {
    const cria_config *c = r->c;
    const size_t all = (size_t)heads * c->e, e = c->qk_norm == CRIA_QK_NORM_HEAD ? c->e : all;
    if (bias) r->s->kernels->add(x, bias, all);
    for (size_t i = 0; norm && i < all; i += e) r->s->kernels->rmsnorm(x + i, x + i, norm, c->norm_eps, e);
}

static void rotate(const struct rows *r, size_t t, float *x, uint32_t heads) {
    const cria_config *c = r->c;
    if (c->layer[r->layer] & CRIA_LAYER_NO_ROPE) return;
    const size_t which = c->layer[r->layer] & CRIA_LAYER_LOCAL_ROPE ? 1 : 0, at = t * (c->rotary / 2);
    r->s->kernels->rope(x, heads, c->e, c->rotary, r->s->rope_cos[which] + at, r->s->rope_sin[which] + at);
}

/* Finishes queries. */
static void query_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    const cria_config *c = r->c;
    const struct cria_layer *l = &r->w->layers[r->layer];
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        float *q = r->s->q + t * c->h * c->e;
        finish_heads(r, q, c->h, l->bq, l->q_norm);
        rotate(r, t, q, c->h);
    }
}

/* Finishes keys and values, and puts them where attention finds them. */
static void store_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    const cria_config *c = r->c;
    const struct cria_kernels *kern = r->s->kernels;
    const struct cria_layer *l = &r->w->layers[r->layer];
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        float *k = r->s->k + t * c->hk * c->e, *v = r->s->v + t * c->hk * c->e;
        finish_heads(r, k, c->hk, l->bk, l->k_norm);
        if (l->bv) kern->add(v, l->bv, (size_t)c->hk * c->e);
        rotate(r, t, k, c->hk);

        const cria_kv_pool *kv = r->b->seq[t]->pool;
        const struct cria_kv_block *block = r->b->seq[t]->blocks[r->b->pos[t] / CRIA_KV_BLOCK];
        for (uint32_t head = 0; head < c->hk; head++) {
            uint8_t *keys = cria_kv_at(kv, block, r->layer, head);
            kern->kv_store(keys, keys + kv->half_bytes, kv->elem, c->e, r->b->pos[t] % CRIA_KV_BLOCK,
                           k + (size_t)head * c->e, v + (size_t)head * c->e);
        }
    }
}

static void query_and_store_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    query_rows(arg, begin, end, worker);
    store_rows(arg, begin, end, worker);
}

/* x += what a block gives out (in y): its bias, its norm and the factor first, where the model has them. */
static void add_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    const struct cria_kernels *kern = r->s->kernels;
    const size_t d = r->c->d, n = (end - begin) * d;
    float *y = r->y + begin * d;
    (void)worker;
    for (size_t i = 0; i < n && (r->bias || r->norm); i += d) {
        if (r->bias) kern->add(y + i, r->bias, d);
        if (r->norm) kern->rmsnorm(y + i, y + i, r->norm, r->c->norm_eps, d);
    }
    if (r->c->residual_scale != 1.0f) kern->scale(y, y, r->c->residual_scale, n);
    kern->add(r->s->x + begin * d, y, n);
}

static void gate_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    const struct cria_layer *l = &r->w->layers[r->layer];
    const size_t f = r->c->f, n = (end - begin) * f;
    float *gate = r->s->gate + begin * f, *up = r->s->up + begin * f;
    (void)worker;
    for (size_t i = 0; i < n && l->b1; i += f) {
        r->s->kernels->add(gate + i, l->b1, f);
        r->s->kernels->add(up + i, l->b3, f);
    }
    cria_gate(r->s, r->c, gate, up, n);
}

/* ---- steps ---- */

static void add_to_residual(const struct rows *r, float *y, const float *bias, const float *norm) {
    struct rows step = *r;
    step.y = y;
    step.bias = bias;
    step.norm = norm;
    for_rows(&step, add_rows);
}

/* What a block takes in: x, normed in most models. *step is what makes it, as long as it is wanted. */
static struct cria_input block_input(const struct rows *r, const float *norm, struct rows *step) {
    *step = *r;
    step->x = r->s->x;
    step->norm = norm;
    step->y = r->s->normed;
    if (norm == NULL) return (struct cria_input){step->x, r->c->d, NULL, NULL};
    return (struct cria_input){step->y, r->c->d, norm_rows, step};
}

/* What keys and values of earlier rows give to queries that are there, into x. */
static void attend(const struct rows *r) {
    struct cria_scratch *s = r->s;
    const cria_config *c = r->c;
    const struct cria_layer *l = &r->w->layers[r->layer];
    const uint32_t n = r->b->n;
    cria_attention(s, c, r->b, r->layer);
    const struct cria_input mixed = {s->mixed, c->h * c->e, NULL, NULL};
    cria_products(s, mixed, &(struct cria_product){&l->wo, s->normed, CRIA_ROLE_ATTENTION_OUT, 0, n}, 1);
    add_to_residual(r, s->normed, l->bo, l->post_attention_norm);
}

static void attention_block(const struct rows *r) {
    struct cria_scratch *s = r->s;
    const struct cria_layer *l = &r->w->layers[r->layer];
    const uint32_t n = r->b->n;
    struct rows step;
    cria_products(s, block_input(r, l->attention_norm, &step),
                  (struct cria_product[]){{&l->wq, s->q, CRIA_ROLE_QUERIES, 0, n},
                                          {&l->wk, s->k, CRIA_ROLE_KEYS, 0, n},
                                          {&l->wv, s->v, CRIA_ROLE_VALUES, 0, n}}, 3);
    for_rows(r, query_and_store_rows);
    attend(r);
}

static void feed_forward_block(const struct rows *r) {
    struct cria_scratch *s = r->s;
    const cria_config *c = r->c;
    const struct cria_layer *l = &r->w->layers[r->layer];
    const uint32_t n = r->b->n;
    struct rows step;
    const struct cria_input in = block_input(r, l->ffn_norm, &step), gated = {s->gate, c->f, gate_rows, r};
    const enum cria_role role = cria_ffn_role(c, r->layer);
    if (l->experts) {
        cria_experts(s, c, l, in, n, role, s->mixed_experts);
        add_to_residual(r, s->mixed_experts, NULL, l->post_ffn_norm);
        return;
    }
    cria_products(s, in,
                  (struct cria_product[]){{&l->ffn.w1, s->gate, role, 0, n}, {&l->ffn.w3, s->up, role, 0, n}}, 2);
    cria_products(s, gated, &(struct cria_product){&l->ffn.w2, s->normed, role, 0, n}, 1);
    add_to_residual(r, s->normed, l->b2, l->post_ffn_norm);
}

static void layer_block(const struct rows *r) {
    attention_block(r);
    feed_forward_block(r);
}

/* Rows that want logits move to the front, in their order; *wanted has what belongs to them. */
static void gather_wanted(const struct rows *r, cria_batch *wanted) {
    struct cria_scratch *s = r->s;
    const size_t d = r->c->d, half = r->c->rotary / 2;
    uint32_t n = 0;
    for (size_t t = 0; t < r->b->n; t++) {
        if (!r->b->want_logits[t]) continue;
        s->wanted_pos[n] = r->b->pos[t];
        s->wanted_seq[n] = r->b->seq[t];
        memmove(s->x + n * d, s->x + t * d, d * sizeof *s->x);
        for (uint32_t i = 0; i < s->n_ropes; i++) {
            memmove(s->rope_cos[i] + n * half, s->rope_cos[i] + t * half, half * sizeof *s->rope_cos[i]);
            memmove(s->rope_sin[i] + n * half, s->rope_sin[i] + t * half, half * sizeof *s->rope_sin[i]);
        }
        n++;
    }
    *wanted = (cria_batch){.n = n, .pos = s->wanted_pos, .seq = s->wanted_seq, .logits = r->b->logits};
}

/* The last layer, where not all rows want logits: nobody reads what comes out of the others, so of those only keys and
 * values are computed. A prompt of a model of n layers is over 1/n sooner. */
static void last_layer_block(const struct rows *r, cria_batch *wanted) {
    struct cria_scratch *s = r->s;
    const struct cria_layer *l = &r->w->layers[r->layer];
    const uint32_t n = r->b->n;
    struct rows step, few = *r;
    cria_products(s, block_input(r, l->attention_norm, &step),
                  (struct cria_product[]){{&l->wk, s->k, CRIA_ROLE_KEYS, 0, n},
                                          {&l->wv, s->v, CRIA_ROLE_VALUES, 0, n}}, 2);
    for_rows(r, store_rows);
    gather_wanted(r, wanted);
    if (wanted->n == 0) return;
    few.b = wanted;
    cria_products(s, block_input(&few, l->attention_norm, &step),
                  &(struct cria_product){&l->wq, s->q, CRIA_ROLE_QUERIES, 0, wanted->n}, 1);
    for_rows(&few, query_rows);
    attend(&few);
    feed_forward_block(&few);
}

/* What is done to logits, a row at a time. */
static void finish_logits(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct rows *r = arg;
    const cria_config *c = r->c;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        float *logits = r->y + t * c->V;
        if (c->logit_scale != 1.0f) r->s->kernels->scale(logits, logits, c->logit_scale, c->V);
        if (c->logit_cap != 0.0f) r->s->kernels->softcap(logits, c->logit_cap, c->V);
    }
}

/* All rows of the batch. */
static void logits_block(const struct rows *r) {
    const cria_config *c = r->c;
    const uint32_t n = r->b->n;
    struct rows step;
    cria_products(r->s, block_input(r, r->w->norm, &step),
                  &(struct cria_product){&r->w->output, r->b->logits, CRIA_ROLE_OUTPUT, 0, n}, 1);
    if (c->logit_scale == 1.0f && c->logit_cap == 0.0f) return;
    step = *r;
    step.y = r->b->logits;
    for_rows(&step, finish_logits);
}

/* ---- all ---- */

void cria_forward_begin(const cria_config *config, const cria_weights *weights, const cria_batch *batch,
                        cria_scratch *s) {
    for_rows(&(struct rows){.s = s, .c = config, .w = weights, .b = batch}, embed_rows);
}

void cria_forward_layer(const cria_config *config, const cria_weights *weights, const cria_batch *batch, uint32_t layer,
                        cria_scratch *s) {
    layer_block(&(struct rows){.s = s, .c = config, .w = weights, .b = batch, .layer = layer});
}

void cria_forward(const cria_config *config, const cria_weights *weights, const cria_batch *batch, cria_scratch *s) {
    struct rows r = {.s = s, .c = config, .w = weights, .b = batch};
    cria_batch wanted;
    bool all = true;
    for (uint32_t t = 0; t < batch->n; t++) all &= batch->want_logits[t];
    cria_forward_begin(config, weights, batch, s);
    for (; r.layer + 1 < config->n_layers; r.layer++) layer_block(&r);
    if (all) {
        layer_block(&r);
    } else {
        last_layer_block(&r, &wanted);
        r.b = &wanted;
    }
    if (r.b->n > 0) logits_block(&r);
}
