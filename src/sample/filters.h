/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that look at all logits, each with its option of cria_sampler_opts, in range and not off. */
#ifndef CRIA_SAMPLE_FILTERS_H
#define CRIA_SAMPLE_FILTERS_H

#include "sample/candidates.h"

void cria_filter_top_n_sigma(cria_candidates *c, double n);
void cria_filter_top_k(cria_candidates *c, uint32_t k);
void cria_filter_typical(cria_candidates *c, double p);
void cria_filter_top_p(cria_candidates *c, double p);
void cria_filter_min_p(cria_candidates *c, double p);
/* When it has been decided that the top choices go. */
void cria_filter_xtc(cria_candidates *c, double threshold);

/* x · float32(1/temp); temp 0, and one whose inverse is no float32, leaves only the likeliest. */
void cria_filter_temp(cria_candidates *c, double temp);
double cria_dynamic_temp(const cria_candidates *c, double temp, double range, double exponent);

/* bound: greatest surprise in bits that stays. Returns the softmax of what stays. */
cria_softmax cria_filter_mirostat(cria_candidates *c, double bound);
/* The surprise in bits of a token with logit x. */
double cria_surprise(const cria_softmax *s, float x);

#endif
