/* SPDX-License-Identifier: Apache-2.0 */
/* The filters of one sampler in their order: checks the options, keeps those filters that do something, runs them. */
#ifndef CRIA_SAMPLE_CHAIN_H
#define CRIA_SAMPLE_CHAIN_H

#include "cria/cria.h"
#include "sample/candidates.h"
#include "sample/penalties.h"
#include "sample/threefry.h"

enum { CRIA_CHAIN_MOST = 10 };

typedef struct cria_chain {
    cria_sampler_opts o;    /* bias and dry_breakers are owned, order is NULL */
    unsigned char filters[CRIA_CHAIN_MOST]; /* [n] places in the table of chain.c */
    size_t n;
    bool remembers; /* the history is looked at */
    double bound;   /* of mirostat */
    cria_softmax left; /* what mirostat left in the last run */
} cria_chain;

/* On failure there is nothing to free. */
cria_status cria_chain_init(cria_chain *chain, cria_ctx *ctx, const cria_sampler_opts *o, cria_error *err);
void cria_chain_fini(cria_chain *chain, cria_ctx *ctx);
void cria_chain_reset(cria_chain *chain);

/* How many tokens of the history are looked at; SIZE_MAX: all. */
size_t cria_chain_lookback(const cria_chain *chain);
/* False when the logits could as well be drawn from as they are, at the temperature. */
bool cria_chain_acts(const cria_chain *chain);
/* Whether what is left is drawn from; else its largest is taken. */
bool cria_chain_draws(const cria_chain *chain);

/* Thins c out; the logits that stay are divided by the temperature. key: XTC takes its random number from it. */
cria_status cria_chain_run(cria_chain *chain, cria_candidates *c, const cria_history *h, cria_key *key,
                           cria_error *err);
/* The token with logit x of what cria_chain_run left was chosen. */
void cria_chain_chose(cria_chain *chain, float x);

#endif
