/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much work an evaluation is at least: what the forward pass (model/forward.c) multiplies and reads,
 * counted. Nothing here is measured.
 */
#include "engine/engine.h"
#include "model/scratch.h"

static void add_product(cria_work *work, const cria_model *m, const cria_matrix *w, enum cria_role role,
                        uint64_t rows) {
    if (rows == 0) return;
    const uint64_t n = (uint64_t)w->spec.rows * w->spec.cols * rows;
    const uint32_t planes = cria_product_planes(w, m->activations, role);
    if (planes == 0)
        work->f32_multiply_adds += n;
    else
        work->int8_multiply_adds += n * planes;
    work->read_bytes += cria_matrix_bytes(w);
}

static void add_ffn(cria_work *work, const cria_model *m, const struct cria_ffn *ffn, enum cria_role role,
                    uint64_t rows) {
    add_product(work, m, &ffn->w1, role, rows);
    add_product(work, m, &ffn->w3, role, rows);
    add_product(work, m, &ffn->w2, role, rows);
}

/* As if all rows chose the same experts, which is the least that has to be read. */
static void add_experts(cria_work *work, const cria_model *m, const struct cria_layer *l, enum cria_role role,
                        uint64_t rows) {
    for (uint32_t i = 0; i < m->config.n_experts_used; i++) add_ffn(work, m, &l->experts[i], role, rows);
}

/* All layers for a batch of this many rows, without attention over earlier positions. Of rows that want no logits the
 * last layer computes keys and values only. */
static void add_layers(cria_work *work, const cria_model *m, uint64_t rows, uint64_t wanted) {
    const cria_config *c = &m->config;
    for (uint32_t i = 0; i < c->n_layers; i++) {
        const struct cria_layer *l = &m->weights.layers[i];
        const enum cria_role ffn = cria_ffn_role(c, i);
        const uint64_t out = i + 1 == c->n_layers ? wanted : rows;
        add_product(work, m, &l->wq, CRIA_ROLE_QUERIES, out);
        add_product(work, m, &l->wk, CRIA_ROLE_KEYS, rows);
        add_product(work, m, &l->wv, CRIA_ROLE_VALUES, rows);
        add_product(work, m, &l->wo, CRIA_ROLE_ATTENTION_OUT, out);
        if (c->layer[i] & CRIA_LAYER_EXPERTS) {
            add_product(work, m, &l->router, CRIA_ROLE_ROUTER, out);
            add_experts(work, m, l, ffn, out);
        } else {
            add_ffn(work, m, &l->ffn, ffn, out);
        }
        work->read_bytes += (out > 0 ? 2 : 1) * (uint64_t)c->d * sizeof(float); /* norms */
    }
}

/* Rows at positions [from, to) of one sequence, neighbours in one batch: each sees the positions up to its
 * own, and those before `from` are read once. In the last layer only the last row sees anything, if it is wanted. */
static void add_attention(cria_work *work, const cria_engine *e, uint64_t from, uint64_t to, bool wanted) {
    const cria_config *c = &e->model->config;
    for (uint32_t i = 0; i < c->n_layers; i++) {
        const bool last = i + 1 == c->n_layers;
        if (last && !wanted) continue;
        const uint64_t window = c->layer[i] & CRIA_LAYER_WINDOW ? c->window : UINT64_MAX;
        const uint64_t first = last ? to - 1 : from, rows = to - first, all = rows * (first + to + 1) / 2; /* Σ p + 1 */
        const uint64_t most = window < to ? rows * window : all; /* at least nearly so many */
        const uint64_t n = 2 * (most < all ? most : all) * c->h * c->e;
        if (cria_kv_is_whole(e->kv.elem))
            work->int8_multiply_adds += 2 * n; /* 16-bit queries and weights, as two planes */
        else
            work->f32_multiply_adds += n;
        work->read_bytes += (from < window ? from : window) * (e->kv.block_bytes / c->n_layers) / CRIA_KV_BLOCK;
    }
}

cria_work cria_engine_work(const cria_engine *e, uint64_t sequences, uint64_t depth, uint64_t tokens) {
    const cria_weights *w = &e->model->weights;
    cria_work work = {0};
    const uint64_t rows = sequences * tokens;
    /* One sequence behind the other, cut into batches. */
    for (uint64_t at = 0; at < rows;) {
        const uint64_t n = rows - at < e->max_rows ? rows - at : e->max_rows;
        uint64_t wanted = 0;
        for (uint64_t left = n, row = at; left > 0;) {
            const uint64_t from = row % tokens, to = from + left < tokens ? from + left : tokens;
            add_attention(&work, e, depth + from, depth + to, to == tokens);
            wanted += to == tokens;
            left -= to - from;
            row += to - from;
        }
        add_layers(&work, e->model, n, wanted);
        work.read_bytes += n * w->tok_embeddings.block_bytes / CRIA_ROWS;
        if (wanted > 0) add_product(&work, e->model, &w->output, CRIA_ROLE_OUTPUT, wanted);
        at += n;
    }
    return work;
}

uint64_t cria_model_work_bytes(const cria_model *m) {
    const cria_weights *w = &m->weights;
    cria_work work = {0};
    add_layers(&work, m, 1, 1);
    add_product(&work, m, &w->output, CRIA_ROLE_OUTPUT, 1);
    return work.read_bytes + w->tok_embeddings.block_bytes / CRIA_ROWS;
}
