/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that change the logits of single tokens: bias, and what punishes repetition by the history of the text. They
 * leave every logit finite, but for tokens that a bias of -INFINITY takes out. */
#ifndef CRIA_SAMPLE_PENALTIES_H
#define CRIA_SAMPLE_PENALTIES_H

#include "cria/cria.h"
#include "sample/candidates.h"

/* Ids that were accepted, oldest first. Owned by a sampler. */
typedef struct cria_history {
    int32_t *id;      /* [n], room for capacity */
    uint32_t *repeat; /* [capacity] scratch of dry */
    size_t n, capacity;
    size_t keep; /* only the last so many are looked at; SIZE_MAX: all */
} cria_history;

/* Makes room for n more, forgetting those that nobody looks at any more. False when there is no memory: then nothing
 * has changed. */
bool cria_history_reserve(cria_ctx *ctx, cria_history *h, size_t n);
void cria_history_fini(cria_ctx *ctx, cria_history *h);

/* False when no token is left. The ids are in the vocabulary. */
bool cria_filter_bias(cria_candidates *c, const cria_logit_bias *bias, size_t n);
/* o: repeat_penalty, presence_penalty, frequency_penalty, penalty_last_n. */
void cria_filter_penalties(cria_candidates *c, const cria_history *h, const cria_sampler_opts *o);
/* o: all that begins with dry. */
void cria_filter_dry(cria_candidates *c, const cria_history *h, const cria_sampler_opts *o);

#endif
