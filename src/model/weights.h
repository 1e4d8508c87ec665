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

/* A feed-forward network; f is f_expert for experts. */
struct cria_ffn {
    cria_matrix w1, w3; /* [f][d]: gate, up */
    cria_matrix w2;     /* [d][f]: down */
};

/* Vectors and matrices that the configuration has no use for are NULL or zero. */
struct cria_layer {
    const float *attention_norm, *post_attention_norm; /* [d] */
    cria_matrix wq;                                    /* [h·e][d] */
    cria_matrix wk, wv;                                /* [hk·e][d] */
    cria_matrix wo;                                    /* [d][h·e] */
    const float *bq, *bk, *bv, *bo;                    /* as many as rows */
    const float *q_norm, *k_norm; /* [e], or [h·e] and [hk·e] */
    const float *ffn_norm, *post_ffn_norm;             /* [d] */
    struct cria_ffn ffn;
    const float *b1, *b2, *b3;
    cria_matrix router;        /* [n_experts][d] */
    struct cria_ffn *experts;  /* [n_experts] */
};

typedef struct cria_weights {
    cria_ctx *ctx;
    cria_matrix tok_embeddings; /* [V][d] */
    cria_matrix output;         /* [V][d]; the same data as tok_embeddings when tied */
    const float *norm;          /* [d] */
    double *inv_freq[2];        /* [rotary/2] frequencies in radians per position, for rope[0] and rope[1]; zeros
                                 * where there is no such rope */
    float amplitude[2];         /* of cosines and sines */
    struct cria_layer *layers;  /* [L] */
    struct cria_ffn *experts;   /* of all layers; NULL: none */
    uint8_t *memory;            /* what the matrices and norms point to … */
    cria_mapfile map;           /* … or the cache's entry that they point into */
    uint64_t n_params, n_bytes; /* logical weights; bytes of them packed */
} cria_weights;

/* Of the options, progress (in bytes packed) and the cache's count here. */
cria_status cria_weights_load(cria_ctx *ctx, const cria_container *file, const cria_config *config,
                              const cria_model_opts *opts, cria_weights *out, cria_error *err);
/* The same without the weights: matrices have no data and vectors are NULL. *tensors, *n: the tensors that they are in,
 * each once, one allocation that borrows names from file; free with cria_free. Nothing but the headers of the file is
 * looked at. */
cria_status cria_weights_outline(cria_ctx *ctx, const cria_container *file, const cria_config *config,
                                 cria_weights *out, cria_tensor_info **tensors, size_t *n, cria_error *err);
/* Weights of no meaning, every matrix of the named form (kernels/forms.h); the same for the same seed. CRIA_EINVAL when
 * the form does not exist or does not fit the dimensions. */
cria_status cria_weights_random(cria_ctx *ctx, const cria_config *config, const char *form, uint64_t seed,
                                cria_weights *out, cria_error *err);
void cria_weights_free(cria_weights *w); /* a zeroed one is legal */

/* Allocates layers, experts and the tables of frequencies, and fills the last. For the two above. */
cria_status cria_weights_init(cria_weights *w, const cria_config *config, cria_error *err);

#endif
