/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mixtures of experts (arXiv 2101.03961, as Mixtral and Qwen3-MoE have them): a router scores all experts for a row,
 * the n_experts_used best compute, and their outputs are added up, weighted by the softmax of the scores (over all
 * experts; where experts_normalized, divided by the sum over the chosen, which is the softmax over those).
 *
 * An expert is run once for all rows of the batch that chose it, and several experts at a time: a product of theirs is
 * one loop over all their weights, since with a few rows that of a single expert is over before all threads have begun.
 * A row's sum goes over its experts in ascending order of their numbers, from +0, one fused multiply-add each, so that
 * it does not depend on the rest of the batch. Of equal scores the lower number is chosen.
 */
#include "model/scratch.h"

#include <math.h>
#include <string.h>

struct experts {
    struct cria_scratch *s;
    const cria_config *c;
    const struct cria_layer *l;
    enum cria_role role;
    const float *x;
    float *y;
    uint32_t from, to; /* of the order of experts, what is at work */
};

enum { MOST_AT_ONCE = CRIA_PRODUCTS_AT_ONCE / 2 }; /* experts: gate and up of all are one loop */

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
        memset(m->y + t * m->c->d, 0, m->c->d * sizeof *m->y);
    }
}

/* The order of experts: rows that chose the first, in ascending order, rows that chose the second, … */
static void put_in_order(const struct experts *m, uint32_t n) {
    const uint32_t used = m->c->n_experts_used, *chosen = m->s->chosen;
    uint32_t *next = m->s->expert_end, at = 0;
    memset(next, 0, m->c->n_experts * sizeof *next);
    for (size_t i = 0; i < (size_t)n * used; i++) next[chosen[i]]++;
    for (uint32_t e = 0; e < m->c->n_experts; e++) {
        const uint32_t count = next[e];
        next[e] = at;
        at += count;
    }
    for (uint32_t t = 0; t < n; t++) {
        for (size_t i = (size_t)t * used; i < (size_t)(t + 1) * used; i++) {
            m->s->place[i] = next[chosen[i]]++;
            m->s->placed_row[m->s->place[i]] = t;
        }
    }
}

/* ---- some experts ---- */

static void gather_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct experts *m = arg;
    const size_t d = m->c->d;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        memcpy(m->s->gathered + i * d, m->x + m->s->placed_row[m->from + i] * d, d * sizeof *m->x);
}

static void gate_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct experts *m = arg;
    const size_t f = m->c->f_expert;
    (void)worker;
    cria_gate(m->s, m->c, m->s->gate + begin * f, m->s->up + begin * f, (end - begin) * f);
}

/* What these experts say of rows [begin, end) of the batch. */
static void add_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct experts *m = arg;
    const uint32_t used = m->c->n_experts_used;
    const size_t d = m->c->d;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        for (size_t i = t * used; i < (t + 1) * used; i++) {
            const uint32_t at = m->s->place[i];
            if (at < m->from || at >= m->to) continue;
            m->s->kernels->add_scaled(m->y + t * d, m->s->gathered + (at - m->from) * d, m->s->chosen_weight[i], d);
        }
    }
}

/* From expert `first` on as many as there is room for; returns the next one. Moves on in the order of experts. */
static uint32_t some_experts(struct experts *m, uint32_t first, uint32_t n) {
    struct cria_scratch *s = m->s;
    const cria_config *c = m->c;
    struct cria_product in[MOST_AT_ONCE][2], out[MOST_AT_ONCE];
    uint32_t e = first, count = 0;
    m->from = m->to;
    for (; e < c->n_experts && count < MOST_AT_ONCE && s->expert_end[e] - m->from <= s->max_rows; e++) {
        const struct cria_ffn *ffn = &m->l->experts[e];
        const uint32_t row0 = m->to - m->from, rows = s->expert_end[e] - m->to;
        if (rows == 0) continue;
        in[count][0] = (struct cria_product){&ffn->w1, s->gate + (size_t)row0 * c->f_expert, m->role, row0, rows};
        in[count][1] = (struct cria_product){&ffn->w3, s->up + (size_t)row0 * c->f_expert, m->role, row0, rows};
        out[count++] = (struct cria_product){&ffn->w2, s->gathered + (size_t)row0 * c->d, m->role, row0, rows};
        m->to += rows;
    }
    if (count == 0) return e;
    cria_products(s, (struct cria_input){s->gathered, c->d, gather_rows, m}, in[0], 2 * count);
    cria_products(s, (struct cria_input){s->gate, c->f_expert, gate_rows, m}, out, count);
    cria_for_rows(s, n, add_rows, m);
    return e;
}

void cria_experts(struct cria_scratch *s, const cria_config *c, const struct cria_layer *l, struct cria_input in,
                  uint32_t n, enum cria_role role, float *y) {
    struct experts m = {s, c, l, role, in.x, y, 0, 0};
    cria_products(s, in, &(struct cria_product){&l->router, s->router, CRIA_ROLE_ROUTER, 0, n}, 1);
    cria_for_rows(s, n, choose_rows, &m);
    put_in_order(&m, n);
    for (uint32_t e = 0; e < c->n_experts;) e = some_experts(&m, e, n);
}
