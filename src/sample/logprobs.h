/* SPDX-License-Identifier: Apache-2.0 */
/* Probabilities as the model has them, before a sampler changes anything. */
#ifndef CRIA_SAMPLE_LOGPROBS_H
#define CRIA_SAMPLE_LOGPROBS_H

#include "cria/cria.h"

/* top[0..n) becomes the n <= vocab likeliest tokens, the likeliest first, of equal ones the lower id; *chosen the
 * logarithm of the probability of token id. logits[0..vocab) are finite or -INFINITY, not all of the latter. */
void cria_logprobs(const float *logits, size_t vocab, int32_t id, cria_logprob *top, size_t n, float *chosen);

#endif
