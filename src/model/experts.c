/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mixtures of experts (arXiv 2101.03961, as Mixtral and Qwen3-MoE have them): a router scores all experts for a row,
 * the n_experts_used best compute, and their outputs are added up, weighted by the softmax of the scores (over all
 * experts; where experts_normalized, divided by the sum over the chosen, which is the softmax over those).
 *
 * An expert is run once for all rows of the batch that chose it. A row's sum goes over its experts in ascending order
 * of their numbers, from +0, one fused multiply-add each, so that it does not depend on the rest of the batch. Of equal
 * scores the lower number is chosen.
 */
#include "model/scratch.h"

#include <math.h>
#include <string.h>

struct experts {
    struct cria_scratch *s;
    const cria_config *c;
    const float *x;
    float *y;
    uint32_t n; /* rows gathered for the expert at work */
};

/* ---- choosing ---- */

/* scores become their softmax. */
static void soften(float *scores, uint32_t n) {
    float max = scores[0], sum = 0;
    for (uint32_t i = 1; i < n; i++) max = scores[i] > max ? scores[i] : max;
    for (uint32_t i = 0; i < n; i++) {
        scores[i] = cria_expf(scores[i] - max);
        sum += scores[i];
    }
    for (uint32_t i = 0; i < n; i++) scores[i] /= sum;
}

static void choose_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct experts *m = arg;
    const uint32_t all = m->c->n_experts, used = m->c->n_experts_used;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        float *p = m->s->router + t * all, *weight = m->s->chosen_weight + t * used, sum = 0;
        uint32_t *chosen = m->s->chosen + t * used, n = 0;
        bool taken[CRIA_EXPERTS_MAX] = {false};
        soften(p, all);
        for (uint32_t k = 0; k < used; k++) {
            uint32_t best = all;
            for (uint32_t i = 0; i < all; i++)
                if (!taken[i] && (best == all || p[i] > p[best])) best = i;
            taken[best] = true;
        }
        for (uint32_t i = 0; i < all; i++) {
            if (!taken[i]) continue;
            chosen[n] = i;
            weight[n++] = p[i];
            sum += p[i];
        }
        for (uint32_t k = 0; k < used && m->c->experts_normalized; k++) weight[k] /= sum;
    }
}

/* ---- one expert ---- */

/* The rows that chose the expert. */
static void gather(struct experts *m, uint32_t n, uint32_t expert) {
    const uint32_t used = m->c->n_experts_used;
    const size_t d = m->c->d;
    m->n = 0;
    for (uint32_t t = 0; t < n; t++) {
        for (uint32_t k = 0; k < used; k++) {
            if (m->s->chosen[(size_t)t * used + k] != expert) continue;
            memcpy(m->s->gathered + m->n * d, m->x + t * d, d * sizeof(float));
            m->s->gathered_row[m->n] = t;
            m->s->gathered_weight[m->n++] = m->s->chosen_weight[(size_t)t * used + k];
        }
    }
}

static void gate_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct experts *m = arg;
    const size_t f = m->c->f_expert;
    (void)worker;
    cria_gate(m->s, m->c, m->s->gate + begin * f, m->s->up + begin * f, (end - begin) * f);
}

static void scatter_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct experts *m = arg;
    const size_t d = m->c->d;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        float *y = m->y + m->s->gathered_row[i] * d;
        const float *out = m->s->gathered + i * d, weight = m->s->gathered_weight[i];
        for (size_t j = 0; j < d; j++) y[j] = fmaf(weight, out[j], y[j]);
    }
}

void cria_experts(struct cria_scratch *s, const cria_config *c, const struct cria_layer *l, struct cria_input in,
                  uint32_t n, enum cria_role role, float *y) {
    struct experts m = {s, c, in.x, y, 0};
    const struct cria_input gathered = {s->gathered, c->d, NULL, NULL}, gated = {s->gate, c->f_expert, gate_rows, &m};
    cria_products(s, in, n, &(struct cria_product){&l->router, s->router, CRIA_ROLE_ROUTER}, 1);
    cria_for_rows(s, n, choose_rows, &m);
    memset(y, 0, (size_t)n * c->d * sizeof *y);
    for (uint32_t e = 0; e < c->n_experts; e++) {
        const struct cria_ffn *ffn = &l->experts[e];
        gather(&m, n, e);
        if (m.n == 0) continue;
        cria_products(s, gathered, m.n,
                      (struct cria_product[]){{&ffn->w1, s->gate, role}, {&ffn->w3, s->up, role}}, 2);
        cria_products(s, gated, m.n, &(struct cria_product){&ffn->w2, s->gathered, role}, 1);
        cria_for_rows(s, m.n, scatter_rows, &m);
    }
}
