/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The weights of a model, bound by name, checked against the configuration and packed, or mapped as packed before
 * (cache.h). Owns its memory; the container may be closed after cria_weights_load. Immutable afterwards.
 */
#ifndef CRIA_MODEL_WEIGHTS_H
#define CRIA_MODEL_WEIGHTS_H

#include "base/mapfile.h"
#include "kernels/matrix.h"
#include "model/config.h"

struct cria_layer {
    const float *attention_norm; /* [d] */
    cria_matrix wq;              /* [h·e][d] */
    cria_matrix wk, wv;          /* [hk·e][d] */
    cria_matrix wo;              /* [d][h·e] */
    const float *ffn_norm;       /* [d] */
    cria_matrix w1, w3;          /* [f][d]: gate, up */
    cria_matrix w2;              /* [d][f]: down */
};

typedef struct cria_weights {
    cria_ctx *ctx;
    cria_matrix tok_embeddings; /* [V][d] */
    cria_matrix output;         /* [V][d]; the same data as tok_embeddings when tied */
    const float *norm;          /* [d] */
    double *inv_freq;           /* [e/2] rotary frequencies in radians per position */
    struct cria_layer *layers;  /* [L] */
    uint8_t *memory;            /* what the matrices and norms point to … */
    cria_mapfile map;           /* … or the cache's entry that they point into */
    uint64_t n_params, n_bytes; /* logical weights; bytes of them packed */
} cria_weights;

/* Of the options, progress (in bytes packed) and the cache's count here. */
cria_status cria_weights_load(cria_ctx *ctx, const cria_container *file, const cria_config *config,
                              const cria_model_opts *opts, cria_weights *out, cria_error *err);
/* Weights of no meaning, every matrix of the named form (kernels/forms.h); the same for the same seed. CRIA_EINVAL when
 * the form does not exist or does not fit the dimensions. */
cria_status cria_weights_random(cria_ctx *ctx, const cria_config *config, const char *form, uint64_t seed,
                                cria_weights *out, cria_error *err);
void cria_weights_free(cria_weights *w); /* a zeroed one is legal */

/* theta^(−2i/e): the rotary frequency of pair i, in radians per position. */
double cria_inv_freq(const cria_config *c, uint32_t i);

#endif
