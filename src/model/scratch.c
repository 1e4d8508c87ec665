/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates the working memory of the forward pass as one block. See scratch.h. */
#include "model/scratch.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"

/* Walks the list of arrays twice: first to add up sizes (base NULL), then to hand out places. */
struct arena {
    uint8_t *base;
    size_t used;
    bool overflow;
};

static void *take(struct arena *a, size_t count, size_t width, size_t item) {
    size_t bytes, end;
    if (!cria_mul_ok(count, width, &bytes) || !cria_mul_ok(bytes, item, &bytes) ||
        !cria_add_ok(bytes, CRIA_ALIGN - 1, &bytes) ||
        !cria_add_ok(a->used, bytes / CRIA_ALIGN * CRIA_ALIGN, &end)) {
        a->overflow = true;
        return NULL;
    }
    void *p = a->base ? a->base + a->used : NULL;
    a->used = end;
    return p;
}

static void lay_out(struct arena *a, struct cria_scratch *s, const cria_config *c) {
    const size_t rows = s->max_rows, threads = cria_pool_threads(s->pool), f4 = sizeof(float);
    const size_t qw = (size_t)c->h * c->e, kvw = (size_t)c->hk * c->e;
    size_t widest = c->d > c->f ? c->d : c->f;
    if (qw > widest) widest = qw;
    const size_t f = c->n_experts && c->f_expert > c->f ? c->f_expert : c->f;
    if (f > widest) widest = f;
    s->x = take(a, rows, c->d, f4);
    s->normed = take(a, rows, c->d, f4);
    s->q = take(a, rows, qw, f4);
    s->k = take(a, rows, kvw, f4);
    s->v = take(a, rows, kvw, f4);
    s->mixed = take(a, rows, qw, f4);
    s->gate = take(a, rows, f, f4);
    s->up = take(a, rows, f, f4);
    s->n_ropes = 1;
    for (uint32_t i = 0; i < c->n_layers; i++)
        if (c->layer[i] & CRIA_LAYER_LOCAL_ROPE) s->n_ropes = 2;
    for (uint32_t i = 0; i < s->n_ropes; i++) {
        s->rope_cos[i] = take(a, rows, c->rotary / 2, f4);
        s->rope_sin[i] = take(a, rows, c->rotary / 2, f4);
    }
    s->wanted_pos = take(a, rows, 1, sizeof *s->wanted_pos);
    s->wanted_seq = take(a, rows, 1, sizeof *s->wanted_seq);
    if (c->n_experts) {
        s->mixed_experts = take(a, rows, c->d, f4);
        s->router = take(a, rows, c->n_experts, f4);
        s->chosen = take(a, rows, c->n_experts_used, sizeof(uint32_t));
        s->chosen_weight = take(a, rows, c->n_experts_used, f4);
        s->place = take(a, rows, c->n_experts_used, sizeof(uint32_t));
        s->placed_row = take(a, rows, c->n_experts_used, sizeof(uint32_t));
        s->expert_end = take(a, c->n_experts, 1, sizeof(uint32_t));
        s->gathered = take(a, rows, c->d, f4);
    }
    const size_t activations = cria_activation_bytes((uint32_t)widest);
    s->activation_bytes = rows * activations;
    s->activation_memory = take(a, rows, activations, 1);
    s->tiles = take(a, rows + 1, 1, sizeof(uint32_t));
    s->product_scratch = take(a, threads, CRIA_MATMUL_SCRATCH, 1);
    s->attend_bytes = cria_attention_scratch_bytes(c);
    s->attend_scratch = take(a, threads, s->attend_bytes, 1);
    s->attend_states = take(a, cria_attention_states((uint32_t)threads), cria_attention_state_bytes(c), 1);
}

cria_status cria_scratch_new(cria_ctx *ctx, const cria_config *config, cria_activations activations, uint32_t max_rows,
                             cria_scratch **out, cria_error *err) {
    struct cria_scratch s = {.ctx = ctx, .kernels = ctx->kernels, .pool = ctx->pool, .activations = activations,
                             .max_rows = max_rows};
    struct arena a = {0};
    const size_t head = cria_round_up(sizeof s, CRIA_ALIGN);
    lay_out(&a, &s, config);
    size_t total = 0;
    uint8_t *block = NULL;
    if (!a.overflow && cria_add_ok(head, a.used, &total)) block = cria_malloc(ctx, total);
    if (block == NULL) return cria_fail_nomem(err, "the working memory of the forward pass", total);

    a = (struct arena){.base = block + head};
    lay_out(&a, &s, config);
    *(struct cria_scratch *)(void *)block = s;
    *out = (struct cria_scratch *)(void *)block;
    return CRIA_OK;
}

void cria_scratch_free(cria_scratch *s) {
    if (s != NULL) cria_free(s->ctx, s);
}

float *cria_scratch_rows(cria_scratch *s) { return s->x; }

void cria_scratch_observe(cria_scratch *s, cria_observe_fn *fn, void *user) {
    s->observe = fn;
    s->observe_user = user;
}
