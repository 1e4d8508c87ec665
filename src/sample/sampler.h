/* SPDX-License-Identifier: Apache-2.0 */
/* What the sampler is made of; the public functions (cria_sampler_*) are in cria.h and sampler.c. */
#ifndef CRIA_SAMPLE_SAMPLER_H
#define CRIA_SAMPLE_SAMPLER_H

#include "cria/cria.h"

/* Index of the largest of x[0..n), n >= 1; the lowest on a tie. No NaN. */
size_t cria_argmax(const float *x, size_t n);

/* exp(x) for x <= 0, with the very bits of MLX 0.32's CPU backend (not correctly rounded: up to 2 ulp and 0 below
 * -88). x may be -INFINITY. */
float cria_exp_mlx(float x);

/* w[i] = cria_exp_mlx(x[i] · scale - top), the same bits, for n <= CRIA_WEIGHTS_MOST and no x · scale above top, which
 * is finite. */
enum { CRIA_WEIGHTS_MOST = 64 };
void cria_exp_weights(const float *restrict x, size_t n, float scale, float top, float *restrict w);

/* mx.random.categorical(x · scale) for one distribution: the index chosen by u in [0, 1). x[0..n), n >= 1, without
 * NaN; scale is finite and positive. A product may overflow: then all infinite ones are equally likely, as in MLX. */
size_t cria_categorical(const float *x, size_t n, float scale, float u);

#endif
