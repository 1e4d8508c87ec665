/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hyperparameters of a model, from any container. Letters as in MODEL.md. Every field is range-checked here;
 * products of two dimensions fit in size_t and a dimension never exceeds 2^24. What a file says and this
 * version does not understand is an error that names it, never a guess.
 */
#ifndef CRIA_MODEL_CONFIG_H
#define CRIA_MODEL_CONFIG_H

#include "format/container.h"

#define CRIA_DIM_MAX (1u << 24)
#define CRIA_LAYERS_MAX 1024u
#define CRIA_HEADS_MAX 1024u
#define CRIA_HEAD_DIM_MAX 1024u
#define CRIA_POSITIONS_MAX (1u << 24) /* rope angles are exact up to here (base/dmath.h) */

/* How MLX quantized the tensors that have .scales beside them. */
struct cria_mlx_quantization {
    bool present;
    uint32_t group, bits;
    char mode[8]; /* "affine", "mxfp4", "nvfp4", "mxfp8" */
};

typedef struct cria_config {
    uint32_t d;        /* model dimension */
    uint32_t n_layers; /* L */
    uint32_t h, hk;    /* query heads, key-value heads; h is a multiple of hk */
    uint32_t e;        /* head dimension, even */
    uint32_t f;        /* feed-forward dimension */
    uint32_t V;        /* vocabulary */
    uint32_t context;  /* trained length; 0 when the file does not say */
    float norm_eps;
    float rope_theta;
    bool rope_traditional; /* the file has rotary pairs (2i, 2i+1), not (i, i + e/2): rows of wq and wk are
                            * brought into the second order when they are packed, so that the order in a file
                            * changes no bit of what the model computes */
    struct cria_mlx_quantization quantization;
} cria_config;

/* Whether the numbers are in their ranges and fit together; name is for the message. CRIA_EFORMAT. */
cria_status cria_config_check(const char *name, const cria_config *c, cria_error *err);

/* config.json of an MLX folder, as sanitize_config and ModelArgs of the MLX example read it; what it leaves
 * out is taken from the tensors. text is untrusted; name is for messages. */
cria_status cria_config_from_mlx(const char *text, size_t len, const char *name,
                                 const cria_container *tensors, cria_config *out, cria_error *err);
/* Metadata of a GGUF file of architecture llama. */
cria_status cria_config_from_gguf(const cria_container *file, cria_config *out, cria_error *err);

#endif
