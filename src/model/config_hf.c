/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json as Hugging Face and mlx-lm write it. Field names and defaults are those of the configuration classes of
 * transformers (v4's "rope_theta" and "rope_scaling" as well as v5's "rope_parameters").
 */
#include "base/dmath.h"
#include "base/status.h"
#include "model/config_parts.h"
#include "model/families.h"
#include "model/names.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- fields that are read, and fields that change nothing ---- */

static bool among(const char *key, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(key, list[i]) == 0) return true;
    return false;
}
#define AMONG(key, list) among(key, list, sizeof(list) / sizeof *(list))

/* Neither training, nor how transformers runs a model, nor what it is called, changes what it computes here. */
static bool is_harmless(const char *key) {
    static const char *const list[] = {
        "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "transformers.js_config",
        "use_cache", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id",
        "boi_token_index", "eoi_token_index", "image_token_index", "mm_tokens_per_image", "vision_config",
        "attention_dropout", "hidden_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "resid_pdrop",
        "embd_pdrop", "attn_pdrop", "dropout", "initializer_range", "initializer_factor", "pretraining_tp", "auto_map",
        "output_attentions", "output_hidden_states", "output_router_logits", "router_aux_loss_coef",
        "router_jitter_noise", "return_dict", "return_dict_in_generate", "tokenizer_class", "cache_implementation",
        "id2label", "label2id", "problem_type", "chunk_size_feed_forward", "is_decoder", "finetuning_task",
        "gradient_checkpointing", "use_flash_attn", "attn_implementation", "max_sequence_length", "unsloth_version",
        "unsloth_fixed", "quantization_metadata", "torchscript", "use_bfloat16", "tf_legacy_loss", "pruned_heads",
        "prefix", "task_specific_params", "is_llama_config", "min_length", "max_length", "do_sample", "temperature",
        "top_k", "top_p", "repetition_penalty", "num_beams", "remove_invalid_values", "model_max_length", "language",
        "license", "name"};
    return key[0] == '_' || AMONG(key, list);
}

static bool is_read(const char *key) {
    static const char *const list[] = {
        "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
        "intermediate_size", "vocab_size", "max_position_embeddings", "original_max_position_embeddings",
        "rms_norm_eps", "hidden_act", "hidden_activation", "attention_bias", "mlp_bias", "use_qkv_bias",
        "rope_theta", "rope_scaling", "rope_parameters", "rope_local_base_freq", "rope_traditional",
        "rope_interleaved", "partial_rotary_factor", "tie_word_embeddings", "quantization", "quantization_config",
        "sliding_window", "use_sliding_window", "max_window_layers", "sliding_window_pattern",
        "_sliding_window_pattern", "layer_types", "query_pre_attn_scalar", "attn_logit_softcapping",
        "final_logit_softcapping", "no_rope_layers", "no_rope_layer_interval", "embedding_multiplier",
        "residual_multiplier", "attention_multiplier", "logits_scaling", "num_local_experts", "num_experts",
        "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob", "decoder_sparse_step", "mlp_only_layers",
        "use_bidirectional_attention", "is_encoder_decoder", "add_cross_attention"};
    return AMONG(key, list);
}

static void check_keys(struct cria_fields *f) {
    const char *key;
    const cria_json *value;
    cria_json_iter it = cria_json_begin(f->root);
    while (!f->st && cria_json_next(&it, &key, &value))
        if (cria_json_type(value) != CRIA_JSON_NULL && !is_read(key) && !is_harmless(key)) cria_field_unknown(f, key);
}

/* A switch that would change the computation must be off. */
static void must_be_off(struct cria_fields *f, const char *key) {
    bool on = false;
    if (cria_field_bool(f, key, &on) && on)
        f->st = cria_fail(f->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE, "%s: \"%s\" is true, which is not supported.",
                          f->name, key);
}

/* Fields that only some families have. */
static void refuse_fields(struct cria_fields *f, const char *const *keys, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (cria_field(f, keys[i]) != NULL) cria_field_unknown(f, keys[i]);
}

/* ---- parts ---- */

static void read_sizes(struct cria_fields *f, cria_config *c) {
    cria_need_u32(f, "hidden_size", 1, CRIA_DIM_MAX, &c->d);
    cria_need_u32(f, "num_hidden_layers", 1, CRIA_LAYERS_MAX, &c->n_layers);
    cria_need_u32(f, "num_attention_heads", 1, CRIA_HEADS_MAX, &c->h);
    c->hk = c->h;
    cria_field_u32(f, "num_key_value_heads", 1, CRIA_HEADS_MAX, &c->hk);
    cria_need_u32(f, "intermediate_size", 1, CRIA_DIM_MAX, &c->f);
    cria_field_u32(f, "max_position_embeddings", 1, INT32_MAX, &c->context);
    if (c->context > CRIA_POSITIONS_MAX) c->context = CRIA_POSITIONS_MAX;
    if (!cria_field_u32(f, "head_dim", 1, CRIA_DIM_MAX, &c->e) && !f->st) {
        if (c->d % c->h != 0)
            f->st = cria_fail(f->err, CRIA_EFORMAT, CRIA_NOWHERE,
                              "%s: hidden_size %u is no multiple of num_attention_heads %u, and \"head_dim\" is not "
                              "given.",
                              f->name, c->d, c->h);
        else
            c->e = c->d / c->h;
    }
    cria_need_f32(f, "rms_norm_eps", &c->norm_eps);
}

static void read_activation(struct cria_fields *f, const cria_config *c) {
    static const char *const silu[] = {"silu", "swish"},
                            *const gelu[] = {"gelu_pytorch_tanh", "gelu", "gelu_new", "gelu_approx"};
    const char *name = NULL;
    if (!cria_field_string(f, "hidden_activation", &name)) cria_field_string(f, "hidden_act", &name);
    if (name == NULL || (c->gelu ? AMONG(name, gelu) : AMONG(name, silu))) return;
    f->st = cria_fail(f->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                      "%s: the activation \"%.40s\" is not supported for models of the family %s.", f->name, name,
                      c->family);
}

/* [rotary/2] factors of longrope. */
static void read_factors(struct cria_fields *f, const char *key, uint32_t n, float *out) {
    const cria_json *v = cria_field(f, key);
    if (v == NULL) {
        cria_field_missing(f, key);
        return;
    }
    if (cria_json_type(v) != CRIA_JSON_ARRAY || cria_json_size(v) != n) {
        f->st = cria_fail(f->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: \"%s\" must be an array of %u numbers.", f->name,
                          key, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        double value;
        if (!cria_json_real(cria_json_at(v, i), &value)) {
            cria_field_wrong_type(f, key, cria_json_at(v, i), "an array of numbers");
            return;
        }
        out[i] = (float)value;
    }
}

static void check_scaling_keys(struct cria_fields *s) {
    static const char *const known[] = {
        "type", "rope_type", "rope_theta", "factor", "original_max_position_embeddings", "low_freq_factor",
        "high_freq_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "attention_factor", "short_factor",
        "long_factor", "short_mscale", "long_mscale", "partial_rotary_factor", "finetuned", "truncate"};
    const char *key;
    const cria_json *value;
    cria_json_iter it = cria_json_begin(s->root);
    while (!s->st && cria_json_next(&it, &key, &value))
        if (!AMONG(key, known)) cria_field_unknown(s, key);
}

static double yarn_mscale(double factor, double mscale) {
    return factor <= 1 ? 1.0 : 0.1 * mscale * cria_log_f64(factor) + 1.0;
}

static void read_yarn(struct cria_fields *s, struct cria_rope *r) {
    double mscale = 0, all = 0;
    bool truncate = true;
    r->scaling = CRIA_ROPE_YARN;
    r->low = 1, r->high = 32;
    cria_field_real(s, "beta_slow", &r->low);
    cria_field_real(s, "beta_fast", &r->high);
    cria_field_real(s, "mscale", &mscale);
    cria_field_real(s, "mscale_all_dim", &all);
    if (cria_field_bool(s, "truncate", &truncate) && !truncate)
        s->st = cria_fail(s->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                          "%s: yarn with \"truncate\": false is not supported.", s->name);
    r->amplitude = mscale != 0 && all != 0 ? yarn_mscale(r->factor, mscale) / yarn_mscale(r->factor, all)
                                           : yarn_mscale(r->factor, 1);
    cria_field_real(s, "attention_factor", &r->amplitude);
}

static void read_longrope(struct cria_fields *s, const cria_config *c, struct cria_rope *r) {
    r->scaling = CRIA_ROPE_FACTORS;
    if (r->original == 0) cria_field_missing(s, "original_max_position_embeddings");
    if (c->rotary > CRIA_HEAD_DIM_MAX) return; /* refused later */
    read_factors(s, "short_factor", c->rotary / 2, r->short_factors);
    read_factors(s, "long_factor", c->rotary / 2, r->long_factors);
    double factor = r->original > 0 ? (double)c->context / r->original : 1, mscale;
    cria_field_real(s, "factor", &factor);
    r->amplitude = factor > 1 && r->original > 1 ? sqrt(1 + cria_log_f64(factor) / cria_log_f64(r->original)) : 1;
    cria_field_real(s, "attention_factor", &r->amplitude);
    if (cria_field_real(s, "long_mscale", &mscale)) r->amplitude = mscale;
}

/* rope_scaling, or an object of rope_parameters. original: what the configuration says outside of it; 0: nothing. */
static void read_scaling(struct cria_fields *f, const cria_json *v, const char *key, uint32_t original,
                         const cria_config *c, struct cria_rope *r) {
    if (cria_json_type(v) != CRIA_JSON_OBJECT) {
        cria_field_wrong_type(f, key, v, "an object");
        return;
    }
    struct cria_fields s = {v, f->name, f->err, CRIA_OK};
    const char *type = "default";
    check_scaling_keys(&s);
    if (!cria_field_string(&s, "rope_type", &type)) cria_field_string(&s, "type", &type);
    cria_field_f32(&s, "rope_theta", &r->theta);
    r->original = original;
    cria_field_u32(&s, "original_max_position_embeddings", 1, INT32_MAX, &r->original);
    double part;
    if (cria_field_real(&s, "partial_rotary_factor", &part) && floor(c->e * part) != c->rotary)
        s.st = cria_fail(s.err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: \"partial_rotary_factor\" is %g in \"%s\" and something else outside of it.", s.name,
                         part, key);
    const bool longrope = strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0;
    if (strcmp(type, "default") == 0 || strcmp(type, "mrope") == 0) {
        r->original = 0;
    } else if (longrope) {
        read_longrope(&s, c, r);
    } else {
        const bool by_length = strcmp(type, "yarn") == 0 && r->original > 0 && c->context > 0;
        if (by_length) r->factor = (double)c->context / r->original;
        if (!cria_field_real(&s, "factor", &r->factor) && !by_length) cria_field_missing(&s, "factor");
        if (strcmp(type, "linear") == 0) {
            r->scaling = CRIA_ROPE_LINEAR;
        } else if (strcmp(type, "dynamic") == 0) {
            r->scaling = CRIA_ROPE_DYNAMIC;
            r->original = c->context; /* there it is the length before scaling */
        } else if (strcmp(type, "yarn") == 0) {
            if (r->original == 0) r->original = c->context;
            read_yarn(&s, r);
        } else if (strcmp(type, "llama3") == 0) {
            r->scaling = CRIA_ROPE_LLAMA3;
            r->low = 1, r->high = 4;
            if (r->original == 0) r->original = 8192;
            cria_field_real(&s, "low_freq_factor", &r->low);
            cria_field_real(&s, "high_freq_factor", &r->high);
        } else if (!s.st) {
            s.st = cria_fail(s.err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                             "%s: the rope scaling \"%.40s\" is not known; it must be linear, dynamic, yarn, llama3 or "
                             "longrope.",
                             s.name, type);
        }
    }
    f->st = s.st;
}

/* rope_parameters for the layers that see everything, and for those with the window. */
static void read_rope_by_layer(struct cria_fields *f, const cria_json *parameters, uint32_t original, cria_config *c) {
    static const char *const keys[] = {"full_attention", "sliding_attention"};
    const char *key;
    const cria_json *value;
    for (uint32_t i = 0; i < 2 && !f->st; i++) {
        const cria_json *v = cria_json_get(parameters, keys[i]);
        if (v != NULL) read_scaling(f, v, keys[i], original, c, &c->rope[i]);
        if (v != NULL && c->rope[i].theta == 0) cria_field_missing(f, "rope_theta");
    }
    cria_json_iter it = cria_json_begin(parameters);
    while (cria_json_next(&it, &key, &value))
        if (!AMONG(key, keys)) cria_field_unknown(f, key);
}

static void read_rope(struct cria_fields *f, const struct cria_family *family, cria_config *c) {
    uint32_t original = 0;
    c->rope[0].theta = family->default_theta;
    c->rope[1].theta = family->default_local_theta;
    cria_field_f32(f, "rope_theta", &c->rope[0].theta);
    cria_field_f32(f, "rope_local_base_freq", &c->rope[1].theta);
    cria_field_u32(f, "original_max_position_embeddings", 1, INT32_MAX, &original);
    cria_field_bool(f, "rope_traditional", &c->rope_traditional);
    must_be_off(f, "rope_interleaved");

    const cria_json *scaling = cria_field(f, "rope_scaling"), *parameters = cria_field(f, "rope_parameters");
    double part = 1;
    cria_field_real(f, "partial_rotary_factor", &part);
    struct cria_fields inner = {parameters, f->name, f->err, f->st};
    if (parameters != NULL) cria_field_real(&inner, "partial_rotary_factor", &part);
    f->st = inner.st;
    if (f->st) return;
    if (!(part > 0 && part <= 1)) {
        f->st = cria_fail(f->err, CRIA_EFORMAT, CRIA_NOWHERE,
                          "%s: \"partial_rotary_factor\" is %g, but must be above 0 and at most 1.", f->name, part);
        return;
    }
    c->rotary = (uint32_t)(c->e * part);
    if (cria_json_get(parameters, "full_attention") || cria_json_get(parameters, "sliding_attention"))
        read_rope_by_layer(f, parameters, original, c);
    else if (scaling != NULL)
        read_scaling(f, scaling, "rope_scaling", original, c, &c->rope[0]);
    else if (parameters != NULL)
        read_scaling(f, parameters, "rope_parameters", original, c, &c->rope[0]);
}

/* "layer_types", else by the family's pattern. */
static void read_layers(struct cria_fields *f, const struct cria_family *family, cria_config *c) {
    const cria_json *types = cria_field(f, "layer_types");
    bool use = !family->window_off;
    uint32_t from = 0, every = 0;
    c->window = cria_json_get(f->root, "sliding_window") ? 0 : family->default_window; /* null: none */
    cria_field_bool(f, "use_sliding_window", &use);
    if (use) cria_field_u32(f, "sliding_window", 1, INT32_MAX, &c->window);
    if (f->st) return;
    if (types != NULL) {
        if (cria_json_type(types) != CRIA_JSON_ARRAY || cria_json_size(types) != c->n_layers) {
            f->st = cria_fail(f->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: \"layer_types\" must be an array of %u names.",
                              f->name, c->n_layers);
            return;
        }
        for (uint32_t i = 0; i < c->n_layers; i++) {
            const char *type = cria_json_string(cria_json_at(types, i), NULL);
            const bool sliding = type != NULL && strcmp(type, "sliding_attention") == 0;
            if (!sliding && (type == NULL || strcmp(type, "full_attention") != 0)) {
                f->st = cria_fail(f->err, CRIA_EUNSUPPORTED, i,
                                  "%s: \"layer_types\" has \"%.40s\"; full_attention and sliding_attention are known.",
                                  f->name, type ? type : "something that is no string");
                return;
            }
            if (sliding) c->layer[i] |= CRIA_LAYER_WINDOW;
        }
        if (c->window == 0)
            for (uint32_t i = 0; i < c->n_layers; i++) c->layer[i] &= (uint8_t)~CRIA_LAYER_WINDOW;
    } else if (cria_field_u32(f, "sliding_window_pattern", 1, CRIA_LAYERS_MAX, &every) ||
               cria_field_u32(f, "_sliding_window_pattern", 1, CRIA_LAYERS_MAX, &every)) {
        for (uint32_t i = 0; i < c->n_layers && c->window > 0; i++)
            if ((i + 1) % every != 0) c->layer[i] |= CRIA_LAYER_WINDOW;
    } else if (cria_field_u32(f, "max_window_layers", 0, CRIA_DIM_MAX, &from) && use) {
        for (uint32_t i = from; i < c->n_layers && c->window > 0; i++) c->layer[i] |= CRIA_LAYER_WINDOW;
    } else {
        cria_family_windows(family, c);
    }
    const bool local = c->rope[1].theta != 0 || cria_field(f, "rope_local_base_freq") != NULL; /* 0 is refused later */
    for (uint32_t i = 0; i < c->n_layers && local; i++)
        if (c->layer[i] & CRIA_LAYER_WINDOW) c->layer[i] |= CRIA_LAYER_LOCAL_ROPE;
}

static void read_no_rope(struct cria_fields *f, const struct cria_family *family, cria_config *c) {
    const cria_json *list = cria_field(f, "no_rope_layers");
    uint32_t every = 4;
    if (!family->no_rope_layers) {
        refuse_fields(f, (const char *const[]){"no_rope_layers", "no_rope_layer_interval"}, 2);
        return;
    }
    cria_field_u32(f, "no_rope_layer_interval", 1, CRIA_LAYERS_MAX, &every);
    if (list != NULL && (cria_json_type(list) != CRIA_JSON_ARRAY || cria_json_size(list) != c->n_layers)) {
        f->st = cria_fail(f->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: \"no_rope_layers\" must be an array of %u numbers.",
                          f->name, c->n_layers);
        return;
    }
    for (uint32_t i = 0; i < c->n_layers && !f->st; i++) {
        int64_t rotated = (i + 1) % every != 0; /* the name notwithstanding, 1 is with rope */
        if (list != NULL && !cria_json_int(cria_json_at(list, i), &rotated))
            cria_field_wrong_type(f, "no_rope_layers", cria_json_at(list, i), "an array of numbers");
        if (!rotated) c->layer[i] |= CRIA_LAYER_NO_ROPE;
        if (rotated && !cria_field(f, "layer_types")) c->layer[i] &= (uint8_t)~CRIA_LAYER_WINDOW;
    }
}

static void read_experts(struct cria_fields *f, const struct cria_family *family, cria_config *c) {
    uint32_t n = 0, step = 1;
    const cria_json *dense = cria_field(f, "mlp_only_layers");
    if (!cria_field_u32(f, "num_local_experts", 0, CRIA_EXPERTS_MAX, &n))
        cria_field_u32(f, "num_experts", 0, CRIA_EXPERTS_MAX, &n);
    if (f->st || n == 0) {
        if (family->experts && !f->st) cria_field_missing(f, "num_experts");
        return;
    }
    if (!family->experts) {
        f->st = cria_fail(f->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                          "%s: models of the family %s with experts are not supported.", f->name, c->family);
        return;
    }
    c->n_experts = n;
    c->f_expert = c->f;
    c->experts_normalized = family->experts_normalized;
    cria_need_u32(f, "num_experts_per_tok", 1, CRIA_EXPERTS_USED_MAX, &c->n_experts_used);
    cria_field_u32(f, "moe_intermediate_size", 1, CRIA_DIM_MAX, &c->f_expert);
    cria_field_bool(f, "norm_topk_prob", &c->experts_normalized);
    cria_field_u32(f, "decoder_sparse_step", 1, CRIA_LAYERS_MAX, &step);
    for (uint32_t i = 0; i < c->n_layers; i++)
        if ((i + 1) % step == 0) c->layer[i] |= CRIA_LAYER_EXPERTS;
    if (dense != NULL && cria_json_type(dense) != CRIA_JSON_ARRAY)
        cria_field_wrong_type(f, "mlp_only_layers", dense, "an array of numbers");
    for (size_t i = 0; dense != NULL && i < cria_json_size(dense) && !f->st; i++) {
        int64_t layer;
        if (!cria_json_int(cria_json_at(dense, i), &layer))
            cria_field_wrong_type(f, "mlp_only_layers", cria_json_at(dense, i), "an array of numbers");
        else if (layer >= 0 && layer < c->n_layers)
            c->layer[layer] &= (uint8_t)~CRIA_LAYER_EXPERTS;
    }
}

static void read_scales(struct cria_fields *f, const struct cria_family *family, cria_config *c) {
    float scalar = family->default_query_scalar ? family->default_query_scalar : (float)c->e, divisor = 1;
    if (family->default_query_scalar) {
        cria_field_f32(f, "query_pre_attn_scalar", &scalar);
        c->score_cap = cria_json_get(f->root, "attn_logit_softcapping") ? 0 : family->default_score_cap;
        c->logit_cap = cria_json_get(f->root, "final_logit_softcapping") ? 0 : family->default_logit_cap;
        cria_field_f32(f, "attn_logit_softcapping", &c->score_cap); /* null: none */
        cria_field_f32(f, "final_logit_softcapping", &c->logit_cap);
    }
    c->attention_scale = 1.0f / sqrtf(scalar);
    if (family->multipliers) {
        cria_field_f32(f, "embedding_multiplier", &c->embedding_scale);
        cria_field_f32(f, "residual_multiplier", &c->residual_scale);
        cria_field_f32(f, "attention_multiplier", &c->attention_scale);
        cria_field_f32(f, "logits_scaling", &divisor);
        c->logit_scale = 1.0f / divisor;
    }
    static const char *const multipliers[] = {"embedding_multiplier", "residual_multiplier", "attention_multiplier",
                                              "logits_scaling"},
                            *const of_gemma[] = {"query_pre_attn_scalar", "attn_logit_softcapping",
                                                 "final_logit_softcapping"};
    if (!family->multipliers) refuse_fields(f, multipliers, sizeof multipliers / sizeof *multipliers);
    if (!family->default_query_scalar) refuse_fields(f, of_gemma, sizeof of_gemma / sizeof *of_gemma);
}

/* ---- the whole ---- */

static const struct cria_family *read_family(struct cria_fields *f) {
    const char *type = NULL;
    if (!cria_field_string(f, "model_type", &type)) {
        cria_field_missing(f, "model_type");
        return NULL;
    }
    const struct cria_family *family = cria_family_of_hf(type, strlen(type));
    char list[256];
    cria_family_list(false, list, sizeof list);
    if (family == NULL)
        f->st = cria_fail(f->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                          "%s: the model type is \"%.60s\"; this version runs %s.", f->name, type, list);
    return family;
}

static void name_of(const cria_config *c, enum cria_slot slot, char out[CRIA_NAME_MAX + 16]) {
    char stem[CRIA_NAME_MAX] = "";
    cria_slot_name(c, slot, 0, 0, stem);
    snprintf(out, CRIA_NAME_MAX + 16, "%s.weight", stem);
}

static void read_text(struct cria_fields *f, const cria_container *tensors, cria_config *c) {
    check_keys(f);
    const struct cria_family *family = read_family(f);
    if (family == NULL) return;
    must_be_off(f, "use_bidirectional_attention");
    must_be_off(f, "is_encoder_decoder");
    must_be_off(f, "add_cross_attention");
    read_sizes(f, c);
    if (f->st) return;
    cria_family_apply(family, c);
    c->norm_offset = family->norm_offset ? 1.0f : 0.0f;
    read_activation(f, c);
    bool bias = false;
    if (!c->qkv_bias && cria_field_bool(f, "attention_bias", &bias)) c->qkv_bias = c->o_bias = bias;
    cria_field_bool(f, "mlp_bias", &c->ffn_bias);
    read_rope(f, family, c);
    read_layers(f, family, c);
    read_no_rope(f, family, c);
    read_experts(f, family, c);
    read_scales(f, family, c);

    char name[CRIA_NAME_MAX + 16];
    name_of(c, CRIA_SLOT_TOK_EMBEDDINGS, name);
    if (!cria_field_u32(f, "vocab_size", 1, CRIA_DIM_MAX, &c->V) && !f->st)
        f->st = cria_config_rows_of(tensors, name, f->name, "vocab_size", &c->V, f->err);
    name_of(c, CRIA_SLOT_OUTPUT, name);
    const bool has_output = cria_container_find(tensors, name) != NULL;
    c->tied = !has_output;
    cria_field_bool(f, "tie_word_embeddings", &c->tied);
    if (c->tied && family->embedding_root) c->tied = !has_output; /* Gemma's do not say; mlx-lm goes by what is there */
}

void cria_config_read_hf(struct cria_fields *f, const cria_container *tensors, cria_config *c) {
    const cria_json *text = cria_field(f, "text_config");
    c->naming = CRIA_NAMING_HF;
    if (text == NULL) {
        read_text(f, tensors, c);
    } else if (cria_json_type(text) != CRIA_JSON_OBJECT) {
        cria_field_wrong_type(f, "text_config", text, "an object");
    } else { /* a model that sees, too: only what it does with text */
        struct cria_fields inner = {text, f->name, f->err, CRIA_OK};
        c->prefix = "language_model.";
        read_text(&inner, tensors, c);
        f->st = inner.st;
    }
    const bool mlx = cria_field(f, "quantization") != NULL;
    cria_config_read_quantization(f, mlx ? "quantization" : "quantization_config", tensors, true, &c->quantization);
}
