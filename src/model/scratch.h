/* SPDX-License-Identifier: Apache-2.0 */
/* The working memory of the forward pass (forward.h), seen by its parts: forward.c, product.c, attention.c. */
#ifndef CRIA_MODEL_SCRATCH_H
#define CRIA_MODEL_SCRATCH_H

#include "base/pool.h"
#include "model/forward.h"

static inline size_t cria_round_up(size_t n, size_t m) { return (n + m - 1) / m * m; }

struct cria_scratch {
    cria_ctx *ctx;
    const struct cria_kernels *kernels;
    struct cria_pool *pool;
    cria_activations activations;
    uint32_t max_rows;
    /* [max_rows][…] */
    float *x;          /* [d]    residual stream */
    float *normed;     /* [d] */
    float *q;          /* [h·e] */
    float *k, *v;      /* [hk·e] */
    float *mixed;      /* [h·e]  attention's output */
    float *gate, *up;  /* [f] */
    float *rope_cos[2], *rope_sin[2]; /* [rotary/2], for each rope that the model has */
    uint32_t n_ropes;
    uint32_t *wanted_pos; /* rows that want logits, together: forward.c */
    const cria_kv_seq **wanted_seq;
    /* Where there are experts (experts.c): */
    float *mixed_experts;     /* [d] */
    float *router;            /* [n_experts] logits, then probabilities */
    uint32_t *chosen;         /* [n_experts_used] in ascending order */
    float *chosen_weight;     /* [n_experts_used] */
    uint32_t *place;          /* [n_experts_used] where in the order of experts a row meets each that it chose */
    uint32_t *placed_row;     /* [n_experts_used] in that order: the row in the batch */
    float *gathered;          /* [d] rows of some experts, in that order; then their outputs */
    uint8_t *activation_memory; /* the quantized inputs of products that are under way, up to max(d, h·e, f) wide */
    size_t activation_bytes;
    uint32_t *expert_end; /* [n_experts] experts.c: where in its order the rows of each expert end */
    uint32_t *tiles;   /* [max_rows + 1] attention.c */
    /* per worker */
    uint8_t *product_scratch;   /* CRIA_MATMUL_SCRATCH each */
    uint8_t *attend_scratch;    /* attend_bytes each */
    size_t attend_bytes;
    uint8_t *attend_states;     /* [cria_attention_states] of cria_attention_state_bytes each, of all workers */
    cria_observe_fn *observe; /* NULL: nobody */
    void *observe_user;
};

/* ---- product.c: y = x·Wᵀ for matrices that share an input ---- */

/* What a product is there for. By default its activations' precision goes by that (product.c). */
enum cria_role {
    CRIA_ROLE_QUERIES,
    CRIA_ROLE_KEYS,
    CRIA_ROLE_VALUES,
    CRIA_ROLE_ATTENTION_OUT,
    CRIA_ROLE_FFN, /* experts', too */
    CRIA_ROLE_LAST_FFN,
    CRIA_ROLE_ROUTER,
    CRIA_ROLE_OUTPUT
};

static inline enum cria_role cria_ffn_role(const cria_config *c, uint32_t layer) {
    return layer + 1 == c->n_layers ? CRIA_ROLE_LAST_FFN : CRIA_ROLE_FFN;
}

struct cria_product {
    const cria_matrix *w;
    float *y; /* [n][w->spec.rows] */
    enum cria_role role;
    uint32_t row0, n; /* rows of the input: n from row0 on */
};

/* Rows that products take in: there already, or made when a product comes to them, so that it finds them in the cache
 * of the core that made them. */
struct cria_input {
    const float *x; /* [n][k], dense */
    uint32_t k;
    cria_pool_fn *make; /* makes rows [begin, end) of x; NULL: they are there */
    const void *arg;    /* of make */
};

enum { CRIA_PRODUCTS_AT_ONCE = 32 }; /* more are several loops */

/* y_i[t] = x[row0_i + t]·W_iᵀ for every item and t < n_i. The first item's rows begin at 0; any other takes the rows of
 * the item before or those that follow. Afterwards all these rows of x are there. */
void cria_products(struct cria_scratch *s, struct cria_input in, const struct cria_product *items, uint32_t n_items);

/* What a row of k activations takes of activation_memory at most, however a product wants it. */
size_t cria_activation_bytes(uint32_t k);

/* 0: the product is one of floats. Otherwise how many int8 products it is made of. */
uint32_t cria_product_planes(const cria_matrix *w, cria_activations activations, enum cria_role role);

/* ---- what forward.c and experts.c have in common ---- */

/* fn over rows [0, n). */
static inline void cria_for_rows(const struct cria_scratch *s, uint32_t n, cria_pool_fn *fn, const void *arg) {
    cria_pool_for(s->pool, n, SIZE_MAX, fn, (void *)(uintptr_t)arg);
}

/* gate_i = act(gate_i)·up_i */
static inline void cria_gate(const struct cria_scratch *s, const cria_config *c, float *gate, const float *up,
                             size_t n) {
    (c->gelu ? s->kernels->gelu_mul : s->kernels->silu_mul)(gate, gate, up, n);
}

/* ---- experts.c: y[t] = Σ over the experts e that the router chooses for x[t] of weight_e·ffn_e(x[t]) ---- */

/* x (in, see there) and y are [n][d], dense, and apart. role: of the experts' products. Uses gate, up. */
void cria_experts(struct cria_scratch *s, const cria_config *c, const struct cria_layer *l, struct cria_input in,
                  uint32_t n, enum cria_role role, float *y);

/* ---- attention.c ---- */

/* Bytes of one worker's attend_scratch; states that segments are kept in, and bytes of one. */
size_t cria_attention_scratch_bytes(const cria_config *c);
size_t cria_attention_states(uint32_t threads);
size_t cria_attention_state_bytes(const cria_config *c);
/* s->mixed = softmax(q·Kᵀ/√e)·V over the KV of layer `layer`, for all rows of the batch. */
void cria_attention(struct cria_scratch *s, const cria_config *c, const cria_batch *b, uint32_t layer);

#endif
