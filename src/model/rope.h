/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary frequencies and how they are scaled to longer contexts. */
#ifndef CRIA_MODEL_ROPE_H
#define CRIA_MODEL_ROPE_H

#include "model/config.h"

/* out[0..c->rotary/2) = radians per position of each pair, for rope[which] and c->context positions; *amplitude is
 * what cosines and sines are to be multiplied with. */
void cria_rope_frequencies(const cria_config *c, uint32_t which, double *out, float *amplitude);

#endif
