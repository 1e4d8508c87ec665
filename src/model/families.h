/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families of models: a row each, with what distinguishes it that its files do not say. What a row and the file
 * say becomes switches of cria_config, which is all that the forward pass sees. To add a family is to add a row here
 * and, where its tensors have names of their own, to names.c.
 *
 * Sources: the modeling files of transformers (the published code) and mlx-lm; for GGUF, llama.cpp. Where they differ
 * docs/models.md says which is followed and why.
 */
#ifndef CRIA_MODEL_FAMILIES_H
#define CRIA_MODEL_FAMILIES_H

#include "model/config.h"

/* Which layers have the sliding window when the file does not say. */
enum cria_window_layers {
    CRIA_WINDOW_NONE,       /* the published code has no window, whatever the configuration carries */
    CRIA_WINDOW_ALL,        /* if the file gives a window at all */
    CRIA_WINDOW_ALTERNATE,  /* the first, third, … */
    CRIA_WINDOW_FIVE_OF_SIX /* all but each sixth */
};

struct cria_family {
    const char *hf, *gguf; /* "model_type" of config.json, general.architecture; NULL: none */
    const char *name;      /* as shown */
    const char *hf_class;  /* in "architectures" of config.json */
    enum cria_qk_norm qk_norm;
    enum cria_window_layers windows;
    float default_theta;   /* 0: the file must say */
    float default_local_theta;
    float default_score_cap, default_logit_cap, default_query_scalar; /* of Hugging Face's; 0: none */
    uint32_t default_window;
    bool qkv_bias;         /* always; in others as the file says */
    bool gguf_pairs;       /* GGUF has rotary pairs side by side */
    bool gelu;
    bool post_norm, no_pre_norm;
    bool norm_offset;      /* Hugging Face's files have the norms' weights less 1 */
    bool embedding_root;   /* embeddings times √d */
    bool round_root;       /* … as a bfloat16 */
    bool window_off;       /* unless "use_sliding_window" says otherwise */
    bool experts;
    bool gguf_experts;     /* in GGUF's files of that architecture too, where "experts" is of another row */
    bool experts_normalized; /* unless "norm_topk_prob" says otherwise */
    bool multipliers;      /* embedding_multiplier and the like are read */
    bool no_rope_layers;   /* each fourth layer is not rotated unless the file says otherwise */
};

const struct cria_family *cria_family_of_hf(const char *model_type, size_t len);  /* NULL: none */
const struct cria_family *cria_family_of_gguf(const char *architecture, size_t len);
const struct cria_family *cria_family_named(const char *name); /* of cria_config.family: there is one */
/* "llama, mistral, …" for messages; the names of one kind, cut to out_size. */
void cria_family_list(bool gguf, char *out, size_t out_size);

/* Switches of a configuration that follow from the family alone. */
void cria_family_apply(const struct cria_family *family, cria_config *c);
/* Marks the layers with the window as the family has them; c->window and c->n_layers are set. */
void cria_family_windows(const struct cria_family *family, cria_config *c);

#endif
