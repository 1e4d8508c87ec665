/* SPDX-License-Identifier: Apache-2.0 */
/* See calibrate.h. The forward pass shows its products' inputs (cria_scratch_observe); nothing of it is repeated
 * here. */
#include "convert/calibrate.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include "convert/dense.h"
#include "engine/model.h"
#include "kernels/kernels.h"
#include "model/forward.h"
#include "model/names.h"

#include <string.h>

enum { WINDOW = 512, WINDOWS_MAX = 64, NO_LAYER = UINT32_MAX };

/* Part of an identity in the sums of an output that is also the embedding, whose rows go into the first layer as they
 * are. Of the mean of the diagonal; a tenth to a thirtieth do equally well on SmolLM2. */
#define TIED_PART 0.1f

/* Inputs of products. */
enum input { ATTENTION_IN, ATTENTION_OUT, FFN_IN, FFN_HIDDEN, EXPERT_HIDDEN, OUTPUT_IN, N_INPUTS };

struct cria_calibration {
    cria_ctx *ctx;
    cria_model *model;
    cria_config names; /* the model's, but for how its tensors are called */
    cria_scratch *scratch;
    cria_kv_pool kv;
    cria_kv_seq seq;
    cria_dense *dense;
    uint32_t window, n_windows, last; /* tokens of a window, of the last one */
    int32_t *tokens;                  /* [n_windows][window] */
    float *x;                         /* [n_windows][window][d] residual stream before the next layer */
    float *transposed;                /* [most inputs][window] */
    uint32_t *pos;                    /* [window] */
    const cria_kv_seq **seqs;         /* [window] */
    bool *want_logits;                /* [window] all false */
    uint32_t next, current;           /* layer to be run; whose sums these are, or NO_LAYER */
    uint32_t width[N_INPUTS];
    float *sums[N_INPUTS]; /* [width][width]; of experts one after the other */
};

/* ---- what is observed ---- */

struct transposing {
    const float *x;
    float *to;
    uint32_t n, k;
};

static void transpose(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct transposing *t = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        for (uint32_t r = 0; r < t->n; r++) t->to[i * t->n + r] = t->x[(size_t)r * t->k + i];
}

/* sums += xᵀ·x */
static void add_moments(cria_calibration *c, float *sums, const float *x, uint32_t n, uint32_t k) {
    cria_pool_for(c->ctx->pool, k, 16, transpose, &(struct transposing){x, c->transposed, n, k});
    cria_dense_run(c->dense, &(struct cria_dense_args){.a = c->transposed,
                                                       .lda = n,
                                                       .n = k,
                                                       .k = n,
                                                       .b = x,
                                                       .ldb = k,
                                                       .m = k,
                                                       .c = sums,
                                                       .ldc = k,
                                                       .sign = CRIA_DENSE_ADD,
                                                       .lower = true});
}

static float *sums_of(const cria_calibration *c, enum input input, uint32_t expert) {
    return c->sums[input] + (size_t)expert * c->width[input] * c->width[input];
}

static void see(void *user, const cria_matrix *w, const float *x, uint32_t n, uint32_t k) {
    cria_calibration *c = user;
    const struct cria_layer *l = &c->model->weights.layers[c->next];
    enum input input = N_INPUTS;
    uint32_t expert = 0;
    if (w == &l->wq)
        input = ATTENTION_IN;
    else if (w == &l->wo)
        input = ATTENTION_OUT;
    else if (w == &l->ffn.w1 || w == &l->router)
        input = FFN_IN;
    else if (w == &l->ffn.w2)
        input = FFN_HIDDEN;
    for (uint32_t i = 0; l->experts && i < c->names.n_experts; i++)
        if (w == &l->experts[i].w2) {
            input = EXPERT_HIDDEN;
            expert = i;
        }
    if (input != N_INPUTS) add_moments(c, sums_of(c, input, expert), x, n, k);
}

/* Which input a tensor's matrix has; N_INPUTS: none that is observed. */
static enum input input_of(const cria_calibration *c, const char *tensor, uint32_t *layer, uint32_t *expert) {
    enum cria_slot slot;
    *layer = *expert = 0;
    if (!cria_slot_of(&c->names, tensor, &slot, layer, expert)) return N_INPUTS;
    switch (slot) {
    case CRIA_SLOT_WQ:
    case CRIA_SLOT_WK:
    case CRIA_SLOT_WV:
    case CRIA_SLOT_WQKV:
        return ATTENTION_IN;
    case CRIA_SLOT_WO:
        return ATTENTION_OUT;
    case CRIA_SLOT_W1:
    case CRIA_SLOT_W3:
    case CRIA_SLOT_W13:
    case CRIA_SLOT_ROUTER:
    case CRIA_SLOT_EXPERTS_W1:
    case CRIA_SLOT_EXPERTS_W3:
    case CRIA_SLOT_EXPERT_W1:
    case CRIA_SLOT_EXPERT_W3:
        return FFN_IN; /* of all rows: those that choose one expert may be few */
    case CRIA_SLOT_W2:
        return FFN_HIDDEN;
    case CRIA_SLOT_EXPERTS_W2:
    case CRIA_SLOT_EXPERT_W2:
        return EXPERT_HIDDEN;
    case CRIA_SLOT_TOK_EMBEDDINGS:
    case CRIA_SLOT_OUTPUT:
        *layer = c->names.n_layers;
        return slot == CRIA_SLOT_OUTPUT || c->names.tied ? OUTPUT_IN : N_INPUTS;
    default:
        return N_INPUTS;
    }
}

uint32_t cria_calibration_layer(const cria_calibration *c, const char *tensor) {
    uint32_t layer, expert;
    (void)input_of(c, tensor, &layer, &expert);
    return layer;
}

const float *cria_calibration_moments(const cria_calibration *c, const char *tensor, uint32_t expert, uint32_t k) {
    uint32_t layer, named;
    const enum input input = input_of(c, tensor, &layer, &named);
    if (input == N_INPUTS || layer != c->current || k != c->width[input]) return NULL;
    return sums_of(c, input, input == EXPERT_HIDDEN ? expert + named : 0);
}

/* ---- layers ---- */

static size_t rows_of(const cria_calibration *c, uint32_t i) { return i + 1 < c->n_windows ? c->window : c->last; }

static cria_batch batch_of(const cria_calibration *c, uint32_t i) {
    return (cria_batch){.n = (uint32_t)rows_of(c, i),
                        .token = c->tokens + (size_t)i * c->window,
                        .pos = c->pos,
                        .seq = c->seqs,
                        .want_logits = c->want_logits};
}

/* Layer c->next for one window. */
static void run_window(cria_calibration *c, uint32_t i) {
    const cria_batch batch = batch_of(c, i);
    const cria_weights *w = &c->model->weights;
    const size_t d = c->names.d, n = batch.n * d;
    float *x = c->x + (size_t)i * c->window * d, *rows = cria_scratch_rows(c->scratch);
    if (c->next == c->names.n_layers) {
        for (uint32_t t = 0; t < batch.n; t++)
            c->ctx->kernels->rmsnorm(rows + t * d, x + t * d, w->norm, c->names.norm_eps, d);
        add_moments(c, c->sums[OUTPUT_IN], rows, batch.n, c->names.d);
        return;
    }
    memcpy(rows, x, n * sizeof *x);
    cria_forward_layer(&c->model->config, w, &batch, c->next, c->scratch);
    memcpy(x, rows, n * sizeof *x);
}

static size_t sums_count(const cria_calibration *c, enum input input) {
    return (size_t)c->width[input] * c->width[input] * (input == EXPERT_HIDDEN ? c->names.n_experts : 1);
}

/* The other use of an output that is the embedding, too. */
static void add_embedding(cria_calibration *c) {
    const size_t d = c->names.d;
    double sum = 0;
    for (size_t i = 0; i < d; i++) sum += c->sums[OUTPUT_IN][i * d + i];
    for (size_t i = 0; i < d; i++) c->sums[OUTPUT_IN][i * d + i] += (float)(sum / (double)d) * TIED_PART;
}

cria_status cria_calibration_observe(cria_calibration *c, uint32_t layer, const struct cria_calibration_watch *watch,
                                     cria_error *err) {
    for (; c->next <= layer; c->next++) {
        c->current = c->next;
        for (enum input i = 0; i < N_INPUTS; i++) memset(c->sums[i], 0, sums_count(c, i) * sizeof(float));
        for (uint32_t i = 0; i < c->n_windows; i++) {
            run_window(c, i);
            if (watch->progress != NULL && !watch->progress(watch->user, watch->done, watch->total))
                return cria_fail(err, CRIA_ECANCELLED, CRIA_NOWHERE, "Calibrating was cancelled.");
        }
        if (c->next == c->names.n_layers && c->names.tied) add_embedding(c);
    }
    return CRIA_OK;
}

/* ---- text ---- */

/* Cuts the text into windows; bos begins each where the model's texts begin with it. */
static cria_status take_text(cria_calibration *c, const char *text, size_t len, cria_error *err) {
    const cria_tokenizer *t = c->model->tokenizer;
    const bool has_bos = cria_tokenizer_add_bos(t) && cria_tokenizer_bos(t) >= 0;
    const size_t most = c->window - has_bos;
    int32_t *ids = NULL;
    size_t n = 0;
    cria_status st = cria_encode(t, text, len, CRIA_ENCODE_PLAIN, &ids, &n, err);
    if (st) return st;
    const size_t windows = (n + most - 1) / most;
    c->n_windows = windows < WINDOWS_MAX ? (uint32_t)windows : WINDOWS_MAX;
    c->tokens = cria_malloc_array(c->ctx, c->n_windows, c->window * sizeof *c->tokens);
    if (n == 0)
        st = cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "The text to calibrate with is empty.");
    else if (c->tokens == NULL)
        st = cria_fail_nomem(err, "the text to calibrate with", n * sizeof *ids);
    for (uint32_t i = 0; i < c->n_windows && !st; i++) {
        const size_t from = (uint64_t)i * windows / c->n_windows * most, rest = n - from,
                     take = rest < most ? rest : most;
        int32_t *to = c->tokens + (size_t)i * c->window;
        if (has_bos) to[0] = cria_tokenizer_bos(t);
        memcpy(to + has_bos, ids + from, take * sizeof *ids);
        c->last = (uint32_t)(take + has_bos);
    }
    cria_ids_free(t, ids);
    return st;
}

uint32_t cria_calibration_tokens(const cria_calibration *c) { return (c->n_windows - 1) * c->window + c->last; }

/* ---- life ---- */

static cria_status allocate(cria_calibration *c, cria_error *err) {
    const cria_config *m = &c->names;
    const uint32_t width[N_INPUTS] = {m->d, m->h * m->e, m->d, m->f, m->f_expert, m->d};
    uint32_t most = 0;
    for (enum input i = 0; i < N_INPUTS; i++) {
        c->width[i] = width[i];
        most = width[i] > most ? width[i] : most;
        c->sums[i] = cria_malloc_array(c->ctx, sums_count(c, i), sizeof(float));
        if (c->sums[i] == NULL)
            return cria_fail_nomem(err, "what is observed of a layer", sums_count(c, i) * sizeof(float));
    }
    const size_t rows = (size_t)c->n_windows * c->window;
    c->x = cria_malloc_array(c->ctx, rows, m->d * sizeof *c->x);
    c->transposed = cria_malloc_array(c->ctx, most, c->window * sizeof *c->transposed);
    c->pos = cria_malloc_array(c->ctx, c->window, sizeof *c->pos);
    c->seqs = cria_malloc_array(c->ctx, c->window, sizeof *c->seqs);
    c->want_logits = cria_calloc(c->ctx, c->window, sizeof *c->want_logits);
    if (!c->x || !c->transposed || !c->pos || !c->seqs || !c->want_logits)
        return cria_fail_nomem(err, "the text to calibrate with", rows * m->d * sizeof *c->x);
    for (uint32_t i = 0; i < c->window; i++) {
        c->pos[i] = i;
        c->seqs[i] = &c->seq;
    }
    cria_status st = cria_dense_new(c->ctx, c->window, most, &c->dense, err);
    if (!st) st = cria_scratch_new(c->ctx, m, CRIA_ACTIVATIONS_F32, c->window, &c->scratch, err);
    if (!st) st = cria_kv_pool_init(&c->kv, c->ctx, m, CRIA_KV_ELEM_F32, 0, err);
    if (st) return st;
    cria_kv_seq_init(&c->seq, &c->kv);
    return cria_kv_seq_reserve(&c->seq, 0, c->window, err);
}

static cria_status start(cria_calibration *c, const char *path, const char *text, size_t len, enum cria_naming names,
                         cria_error *err) {
    cria_model_opts opts = cria_model_opts_default();
    opts.activations = CRIA_ACTIVATIONS_F32;
    cria_status st = cria_model_load(c->ctx, path, &opts, &c->model, err);
    if (st) return st;
    c->names = c->model->config;
    c->names.naming = names;
    c->window = c->names.context != 0 && c->names.context < WINDOW ? c->names.context : WINDOW;
    if (c->window < 2) c->window = 2;
    st = take_text(c, text, len, err);
    if (!st) st = allocate(c, err);
    if (st) return st;
    for (uint32_t i = 0; i < c->n_windows; i++) {
        const cria_batch batch = batch_of(c, i);
        cria_forward_begin(&c->model->config, &c->model->weights, &batch, c->scratch);
        memcpy(c->x + (size_t)i * c->window * c->names.d, cria_scratch_rows(c->scratch),
               (size_t)batch.n * c->names.d * sizeof *c->x);
    }
    if (c->last < c->window) { /* the rotations of all positions again */
        const cria_batch batch = batch_of(c, 0);
        cria_forward_begin(&c->model->config, &c->model->weights, &batch, c->scratch);
    }
    cria_scratch_observe(c->scratch, see, c);
    return CRIA_OK;
}

cria_status cria_calibration_new(cria_ctx *ctx, const char *path, const char *text, size_t len,
                                 enum cria_naming names, cria_calibration **out, cria_error *err) {
    cria_calibration *c = cria_calloc(ctx, 1, sizeof *c);
    if (c == NULL) return cria_fail_nomem(err, "calibrating", sizeof *c);
    c->ctx = ctx;
    c->current = NO_LAYER;
    const cria_status st = start(c, path, text, len, names, err);
    if (st)
        cria_calibration_free(c);
    else
        *out = c;
    return st;
}

void cria_calibration_free(cria_calibration *c) {
    if (c == NULL) return;
    if (c->kv.ctx != NULL) {
        cria_kv_seq_fini(&c->seq);
        cria_kv_pool_fini(&c->kv);
    }
    cria_scratch_free(c->scratch);
    cria_dense_free(c->dense);
    cria_model_unref(c->model);
    void *const blocks[] = {c->tokens, c->x, c->transposed, c->pos, c->seqs, c->want_logits};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) cria_free(c->ctx, blocks[i]);
    for (enum input i = 0; i < N_INPUTS; i++) cria_free(c->ctx, c->sums[i]);
    cria_free(c->ctx, c);
}
