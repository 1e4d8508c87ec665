/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The weights of a model, bound by name, checked against the configuration and packed. Owns its memory; the container
 * may be closed after cria_weights_load. Immutable afterwards.
 */
#ifndef CRIA_MODEL_WEIGHTS_H
#define CRIA_MODEL_WEIGHTS_H

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
    uint8_t *data;              /* owns what the matrices and norms point to */
    uint64_t n_params, n_bytes; /* logical weights; bytes of data */
} cria_weights;

/* Progress in bytes packed; may be NULL. */
cria_status cria_weights_load(cria_ctx *ctx, const cria_container *file, const cria_config *config,
                              cria_progress_fn *progress, void *progress_user, cria_weights *out, cria_error *err);
void cria_weights_free(cria_weights *w); /* a zeroed one is legal */

#endif
