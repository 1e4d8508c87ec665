/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens that a chain of filters has left over, what is known of their softmax, and the ways to thin them out. A
 * filter decides what goes and calls one of the cria_keep functions; none sorts.
 *
 * Everything here is IEEE arithmetic in a fixed order, so what stays is the same on every machine. Probabilities are
 * held in double: where a sum of 128k of them crosses a bound, float32 would be off by whole tokens. Memory is the
 * caller's; nothing can fail.
 */
#ifndef CRIA_SAMPLE_CANDIDATES_H
#define CRIA_SAMPLE_CANDIDATES_H

#include <stddef.h>
#include <stdint.h>

typedef struct cria_candidates {
    float *x;      /* [n] logits, finite; room for vocab */
    int32_t *id;   /* [n] ascending. While n == vocab, token i is i and this is not filled in */
    size_t n;      /* 1 or more */
    size_t vocab;
    uint32_t *mark; /* [vocab] zeros between calls, for whoever counts tokens */
} cria_candidates;

static inline int32_t cria_candidate_id(const cria_candidates *c, size_t i) {
    return c->n == c->vocab ? (int32_t)i : c->id[i];
}

/* Where id is among ids[0..n), which ascend; n: nowhere. */
size_t cria_ids_find(const int32_t *ids, size_t n, int32_t id);
/* The logit of a token, or NULL when it has been left out. 0 <= id < vocab. */
float *cria_candidate_find(const cria_candidates *c, int32_t id);

/* Largest logit. */
float cria_candidates_top(const cria_candidates *c);

typedef struct cria_softmax {
    float top;   /* largest logit */
    double mass; /* sum of weights e^(x - top), at least 1; a token's probability is weight / mass */
    double mean; /* of x - top by these probabilities, so that the entropy is ln(mass) - mean */
} cria_softmax;

/* Weights of tokens 88 or more below the top are 0, as MLX's exp has it for float32. */
cria_softmax cria_candidates_softmax(const cria_candidates *c);

/* Smallest logit of the tokens whose weight is above the bound; +INFINITY when there is none. */
float cria_candidates_least_above(const cria_candidates *c, float top, double weight);

/* Keeps lo <= x <= hi. */
void cria_keep_between(cria_candidates *c, float lo, float hi);
/* Keeps the k largest, k >= 1; of equal ones those with lower ids. */
void cria_keep_largest(cria_candidates *c, size_t k);
/* Keeps the fewest likeliest that together have the share of the mass, and those equal to the last of them. */
void cria_keep_likeliest(cria_candidates *c, double share);
/* The same with those first whose surprise is nearest to the entropy. */
void cria_keep_typical(cria_candidates *c, double share);
/* Keeps one: the lowest id of the largest. */
void cria_keep_top(cria_candidates *c);

#endif
