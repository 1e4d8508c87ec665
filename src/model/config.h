/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hyperparameters of a model, from any container: sizes (letters as in MODEL.md) and the switches by which the
 * families differ. The forward pass reads this and knows no family; families.h has a row for each. Every field is
 * range-checked here; products of two dimensions fit in size_t and a dimension never exceeds 2^24. What a file says
 * and this version does not understand is an error that names it, never a guess.
 */
#ifndef CRIA_MODEL_CONFIG_H
#define CRIA_MODEL_CONFIG_H

#include "format/container.h"

#define CRIA_DIM_MAX (1u << 24)
#define CRIA_LAYERS_MAX 1024u
#define CRIA_HEADS_MAX 1024u
#define CRIA_HEAD_DIM_MAX 1024u
#define CRIA_EXPERTS_MAX 1024u
#define CRIA_EXPERTS_USED_MAX 64u     /* of one token */
#define CRIA_POSITIONS_MAX (1u << 24)
/* Of what rotary frequencies are divided by: so angles stay where sines are exact (base/dmath.h), 1.5·2^24. */
#define CRIA_ROPE_FACTOR_MIN (1 / 1.5)

/* How MLX quantized the tensors that have .scales beside them. What a tensor's bits and group are is seen from its
 * shapes; this is what config.json says of them all, and must agree unless it names exceptions. */
struct cria_mlx_quantization {
    bool present;
    bool exceptions; /* some layers are named with numbers of their own (each checked against its tensors) */
    uint32_t group, bits;
    char mode[8]; /* "affine", "mxfp4", "nvfp4", "mxfp8" */
};

/* Names of tensors: names.h. */
enum cria_naming { CRIA_NAMING_META, CRIA_NAMING_HF, CRIA_NAMING_GGUF };

/* How rotary frequencies become those of a longer context; formulas in rope.c. */
enum cria_rope_scaling {
    CRIA_ROPE_PLAIN,
    CRIA_ROPE_LINEAR,  /* all divided by factor */
    CRIA_ROPE_DYNAMIC, /* the base grows with the context */
    CRIA_ROPE_YARN,
    CRIA_ROPE_LLAMA3,
    CRIA_ROPE_FACTORS /* a divisor for each: longrope, and GGUF's rope_freqs */
};

struct cria_rope {
    float theta;
    enum cria_rope_scaling scaling;
    double factor;
    uint32_t original;   /* trained length before it was extended; 0 where the scaling needs none */
    double low, high;    /* LLAMA3: low_freq_factor, high_freq_factor; YARN: beta_slow, beta_fast */
    double amplitude;    /* times cosines and sines: 1 but for YARN and longrope */
    /* FACTORS: [rotary/2]; the long ones where the context is longer than the original. */
    float short_factors[CRIA_HEAD_DIM_MAX / 2], long_factors[CRIA_HEAD_DIM_MAX / 2];
};

/* What a layer is, as bits. */
enum {
    CRIA_LAYER_WINDOW = 1,     /* attention sees the last `window` positions only */
    CRIA_LAYER_LOCAL_ROPE = 2, /* rotary frequencies of rope[1], not of rope[0] */
    CRIA_LAYER_NO_ROPE = 4,
    CRIA_LAYER_EXPERTS = 8 /* a mixture of experts in place of one feed-forward network */
};

enum cria_qk_norm {
    CRIA_QK_NORM_NONE,
    CRIA_QK_NORM_HEAD, /* each head by itself, one weight vector [e] for all */
    CRIA_QK_NORM_ALL   /* all heads as one vector */
};

typedef struct cria_config {
    const char *family; /* its name, static: "llama", "qwen2" … */
    uint32_t d;         /* model dimension */
    uint32_t n_layers;  /* L */
    uint32_t h, hk;     /* query heads, key-value heads; h is a multiple of hk */
    uint32_t e;         /* head dimension, even */
    uint32_t f;         /* feed-forward dimension */
    uint32_t V;         /* vocabulary */
    uint32_t context;   /* positions that the model is used with; from a file: what it was made for, 0 when it does
                         * not say */
    uint8_t layer[CRIA_LAYERS_MAX]; /* CRIA_LAYER_… of each */

    float norm_eps;
    float norm_offset; /* added to the weights of all norms: 1 where the file has them less 1 */
    bool pre_norm;     /* rmsnorm of what attention and feed-forward take in … */
    bool post_norm;    /* … and of what they give out, before it is added */

    float embedding_scale; /* 1 in most, as the next two */
    float residual_scale;
    float logit_scale;
    float logit_cap; /* cap·tanh(logit/cap); 0: none, as score_cap */

    float attention_scale; /* e^−1/2 in most */
    float score_cap;
    enum cria_qk_norm qk_norm;
    bool qkv_bias, o_bias, ffn_bias;
    uint32_t window;
    uint32_t rotary; /* leading dimensions of a head that are rotated; even */
    struct cria_rope rope[2];
    bool rope_traditional; /* the file has rotary pairs (2i, 2i+1), not (i, i + rotary/2): rows of wq and wk are
                            * brought into the second order when they are packed, so that the order in a file
                            * changes no bit of what the model computes */

    bool gelu; /* gelu (tanh form) in place of silu */
    uint32_t n_experts, n_experts_used, f_expert; /* of layers with experts */
    bool experts_normalized; /* the weights of a token's experts sum to 1 */

    /* How the file stores it. */
    enum cria_naming naming;
    const char *prefix; /* before every name of a tensor; static, "" for most */
    bool tied;          /* no output matrix: the embedding is used */
    struct cria_mlx_quantization quantization;
} cria_config;

/* A plain Llama without sizes: switches off, scales 1. */
cria_config cria_config_plain(void);

/* Experts of all layers together. */
static inline uint64_t cria_config_experts(const cria_config *c) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < c->n_layers; i++) n += c->layer[i] & CRIA_LAYER_EXPERTS ? c->n_experts : 0;
    return n;
}

/* Whether the numbers are in their ranges and fit together; name is for the message. CRIA_EFORMAT. */
cria_status cria_config_check(const char *name, const cria_config *c, cria_error *err);

/* config.json beside npz or safetensors: Hugging Face's (config_hf.c; told by "hidden_size" or a model type of a
 * family) or the MLX example's (config_mlx.c). What it leaves out is taken from the tensors. text is untrusted; name
 * is for messages. */
cria_status cria_config_from_json(const char *text, size_t len, const char *name, const cria_container *tensors,
                                  cria_config *out, cria_error *err);
/* Metadata of a GGUF file of the architecture of a family. */
cria_status cria_config_from_gguf(const cria_container *file, cria_config *out, cria_error *err);

#endif
