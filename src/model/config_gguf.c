/* SPDX-License-Identifier: Apache-2.0 */
/* Hyperparameters from GGUF metadata: keys as in gguf-py's constants, what they mean as in llama.cpp. */
#include "base/dmath.h"
#include "base/half.h"
#include "base/reader.h"
#include "base/status.h"
#include "model/config_parts.h"
#include "model/families.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct gguf {
    const cria_container *file;
    const char *path;
    char arch[32];
    char key[96]; /* the last one asked for */
    cria_error *err;
    cria_status st; /* as in fields.h: the first failure stays */
};

static const char *key_of(struct gguf *g, const char *field) {
    snprintf(g->key, sizeof g->key, "%s.%s", g->arch, field);
    return g->key;
}

static bool has(struct gguf *g, const char *field) {
    return !g->st && cria_meta_find(g->file, key_of(g, field)) != NULL;
}

static bool get_u32(struct gguf *g, const char *field, uint32_t high, uint32_t *out) {
    uint64_t value;
    if (!has(g, field)) return false;
    if (!cria_meta_u64(g->file, g->key, &value)) {
        g->st = cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE,
                          "%s: the metadata key %s is not a whole number of 0 or more.", g->path, g->key);
        return false;
    }
    g->st = cria_config_check_range(g->path, g->key, value, 1, high, g->err);
    if (g->st) return false;
    *out = (uint32_t)value;
    return true;
}

static bool get_f32(struct gguf *g, const char *field, float *out) {
    double value;
    if (!has(g, field)) return false;
    if (!cria_meta_f64(g->file, g->key, &value)) {
        g->st = cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the metadata key %s is not a number.", g->path,
                          g->key);
        return false;
    }
    *out = (float)value;
    return true;
}

static bool get_f64(struct gguf *g, const char *field, double *out) {
    float value;
    if (!get_f32(g, field, &value)) return false;
    cria_meta_f64(g->file, g->key, out);
    return true;
}

static void missing(struct gguf *g, const char *field) {
    if (!g->st)
        g->st = cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the metadata key %s is missing; the model needs it.",
                          g->path, key_of(g, field));
}

static void need_u32(struct gguf *g, const char *field, uint32_t high, uint32_t *out) {
    if (!get_u32(g, field, high, out)) missing(g, field);
}

/* Keys that change the computation in ways this version does not know. */
static void refuse_unknown(struct gguf *g, const struct cria_family *family) {
    static const char *const unknown[] = {
        "attention.clamp_kqv",       "attention.max_alibi_bias",   "attention.temperature_length",
        "attention.temperature_scale", "attention.output_scale",   "attention.q_lora_rank",
        "attention.kv_lora_rank",    "attention.shared_kv_layers", "attention.indexer.head_count",
        "expert_shared_count",       "expert_group_count",         "expert_gating_func",
        "expert_weights_scale",      "leading_dense_block_count",  "interleave_moe_layer_step",
        "moe_every_n_layers",        "router_logit_softcapping",   "rope.scale_linear",
        "rope.scaling.alpha",        "use_parallel_residual",      "nextn_predict_layers"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (has(g, unknown[i]))
            g->st = cria_fail(g->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                              "%s: the metadata key %s changes what the model computes and is not supported yet.",
                              g->path, g->key);
    static const char *const multipliers[] = {"logit_scale", "residual_scale", "embedding_scale", "attention.scale"};
    for (size_t i = 0; !family->multipliers && i < sizeof multipliers / sizeof *multipliers; i++)
        if (has(g, multipliers[i]))
            g->st = cria_fail(g->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                              "%s: the metadata key %s changes what the model computes and is not supported for this "
                              "architecture.",
                              g->path, g->key);
}

static void read_heads(struct gguf *g, cria_config *c) {
    need_u32(g, "attention.head_count", CRIA_HEADS_MAX, &c->h);
    c->hk = c->h;
    get_u32(g, "attention.head_count_kv", CRIA_HEADS_MAX, &c->hk);
    get_u32(g, "attention.key_length", CRIA_HEAD_DIM_MAX, &c->e);
    if (g->st) return;
    if (c->e == 0) {
        if (c->d % c->h != 0) {
            g->st = cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE,
                              "%s: the embedding length %u is no multiple of the head count %u, and "
                              "%s.attention.key_length is not given.",
                              g->path, c->d, c->h, g->arch);
            return;
        }
        c->e = c->d / c->h;
    }
    uint32_t values = c->e;
    if (get_u32(g, "attention.value_length", UINT32_MAX, &values) && values != c->e)
        g->st = cria_fail(g->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                          "%s: %s is %u where the head dimension is %u; differing ones are not supported.", g->path,
                          g->key, values, c->e);
    c->rotary = c->e;
    get_u32(g, "rope.dimension_count", UINT32_MAX, &c->rotary);
}

/* A float32 vector of n numbers; false when there is no such tensor. */
static bool read_factors(struct gguf *g, const char *name, uint32_t n, float *out) {
    const cria_tensor *t = cria_container_find(g->file, name);
    if (g->st || t == NULL) return false;
    if (t->dtype != CRIA_DTYPE_F32 || t->ndim != 1 || t->shape[0] != n || n > CRIA_HEAD_DIM_MAX / 2) {
        g->st = cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE,
                          "%s: the tensor %s must be a float32 vector of %u numbers, one for each rotary pair.",
                          g->path, name, n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) out[i] = cria_f32_from_bits(cria_load_u32(t->data + 4 * (size_t)i));
    return true;
}

static void read_rope(struct gguf *g, const struct cria_family *family, cria_config *c) {
    struct cria_rope *r = &c->rope[0];
    const uint32_t pairs = c->rotary / 2;
    cria_str type = {"none", 4};
    float amplitude = 1;
    r->theta = 10000;
    c->rope[1].theta = family->default_local_theta;
    get_f32(g, "rope.freq_base", &r->theta);
    get_f32(g, "rope.freq_base_swa", &c->rope[1].theta);
    get_u32(g, "rope.scaling.original_context_length", INT32_MAX, &r->original);
    const bool scaled = get_f64(g, "rope.scaling.factor", &r->factor);
    get_f32(g, "rope.scaling.attn_factor", &amplitude);
    if (has(g, "rope.scaling.type") && !cria_meta_str(g->file, g->key, &type))
        g->st = cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the metadata key %s is not a string.", g->path,
                          g->key);
    if (g->st) return;
    if (read_factors(g, "rope_factors_long.weight", pairs, r->long_factors)) {
        r->scaling = CRIA_ROPE_FACTORS;
        if (!read_factors(g, "rope_factors_short.weight", pairs, r->short_factors) && !g->st)
            g->st = cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE,
                              "%s: there is a tensor rope_factors_long.weight, but no rope_factors_short.weight.",
                              g->path);
        r->amplitude = (double)amplitude;
    } else if (read_factors(g, "rope_freqs.weight", pairs, r->long_factors)) { /* Llama 3.1 and later */
        r->scaling = CRIA_ROPE_FACTORS;
        memcpy(r->short_factors, r->long_factors, pairs * sizeof *r->short_factors);
    } else if (type.len == 4 && memcmp(type.data, "yarn", 4) == 0) {
        r->scaling = CRIA_ROPE_YARN;
        r->low = 1, r->high = 32;
        if (r->original == 0) r->original = c->context;
        get_f64(g, "rope.scaling.yarn_beta_slow", &r->low);
        get_f64(g, "rope.scaling.yarn_beta_fast", &r->high);
        r->amplitude = (r->factor > 1 ? 0.1 * cria_log_f64(r->factor) + 1 : 1) * (double)amplitude;
    } else if (type.len == 6 && memcmp(type.data, "linear", 6) == 0) {
        if (scaled) r->scaling = CRIA_ROPE_LINEAR;
    } else if (type.len == 8 && memcmp(type.data, "longrope", 8) == 0) {
        g->st = cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE,
                          "%s: the tensors rope_factors_long.weight and rope_factors_short.weight are missing; the "
                          "scaled rope (longrope) needs them.",
                          g->path);
    } else if (!(type.len == 4 && memcmp(type.data, "none", 4) == 0)) {
        g->st = cria_fail(g->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                          "%s: %s.rope.scaling.type is \"%.*s\"; none, linear, yarn and longrope are known.", g->path,
                          g->arch, (int)(type.len > 40 ? 40 : type.len), type.data);
    }
}

static void read_layers(struct gguf *g, const struct cria_family *family, cria_config *c) {
    uint64_t n_experts;
    c->window = 0;
    get_u32(g, "attention.sliding_window", INT32_MAX, &c->window);
    cria_family_windows(family, c);
    for (uint32_t i = 0; i < c->n_layers; i++) {
        if (c->window > 0 && family->windows == CRIA_WINDOW_NONE) c->layer[i] |= CRIA_LAYER_WINDOW; /* a Mistral's */
        if (c->layer[i] & CRIA_LAYER_WINDOW && family->default_local_theta != 0) c->layer[i] |= CRIA_LAYER_LOCAL_ROPE;
        if (family->no_rope_layers && i % 4 == 3) c->layer[i] |= CRIA_LAYER_NO_ROPE;
    }
    if (!has(g, "expert_count") || (cria_meta_u64(g->file, g->key, &n_experts) && n_experts == 0)) return;
    if (!family->experts && !family->gguf_experts) {
        g->st = cria_fail(g->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                          "%s: %s: experts are not supported for this architecture.", g->path, g->key);
        return;
    }
    get_u32(g, "expert_count", CRIA_EXPERTS_MAX, &c->n_experts);
    need_u32(g, "expert_used_count", CRIA_EXPERTS_USED_MAX, &c->n_experts_used);
    c->f_expert = c->f;
    get_u32(g, "expert_feed_forward_length", CRIA_DIM_MAX, &c->f_expert);
    c->experts_normalized = true; /* as llama.cpp has it; no key says so */
    for (uint32_t i = 0; i < c->n_layers; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.ffn_gate_inp.weight", i);
        if (cria_container_find(g->file, name)) c->layer[i] |= CRIA_LAYER_EXPERTS;
    }
}

static void read_scales(struct gguf *g, const struct cria_family *family, cria_config *c) {
    float divisor = 1;
    c->attention_scale = 1.0f / sqrtf((float)c->e);
    /* The largest Gemmas have d/h in the place of the head dimension; GGUF does not say. */
    if ((strcmp(family->name, "gemma2") == 0 && c->n_layers == 46) ||
        (strcmp(family->name, "gemma3") == 0 && c->n_layers == 62))
        c->attention_scale = 1.0f / sqrtf((float)c->d / (float)c->h);
    if (family->default_score_cap != 0) {
        c->score_cap = family->default_score_cap;
        c->logit_cap = family->default_logit_cap;
    }
    get_f32(g, "attn_logit_softcapping", &c->score_cap);
    get_f32(g, "final_logit_softcapping", &c->logit_cap);
    if (!family->multipliers) return;
    get_f32(g, "embedding_scale", &c->embedding_scale);
    get_f32(g, "residual_scale", &c->residual_scale);
    get_f32(g, "attention.scale", &c->attention_scale);
    get_f32(g, "logit_scale", &divisor);
    c->logit_scale = 1.0f / divisor;
}

cria_status cria_config_from_gguf(const cria_container *file, cria_config *out, cria_error *err) {
    struct gguf g = {.file = file, .path = cria_container_path(file), .err = err};
    cria_config c = cria_config_plain();
    cria_str arch;
    if (!cria_meta_str(file, "general.architecture", &arch))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the metadata key general.architecture is missing, so it is not a model.", g.path);
    const struct cria_family *family = cria_family_of_gguf(arch.data, arch.len);
    char list[256];
    cria_family_list(true, list, sizeof list);
    if (family == NULL)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: the architecture is \"%.*s\"; this version runs %s.", g.path,
                         (int)(arch.len > 60 ? 60 : arch.len), arch.data, list);
    snprintf(g.arch, sizeof g.arch, "%s", family->gguf);

    need_u32(&g, "embedding_length", CRIA_DIM_MAX, &c.d);
    need_u32(&g, "block_count", CRIA_LAYERS_MAX, &c.n_layers);
    need_u32(&g, "feed_forward_length", CRIA_DIM_MAX, &c.f);
    get_u32(&g, "context_length", UINT32_MAX, &c.context);
    if (c.context > CRIA_POSITIONS_MAX) c.context = CRIA_POSITIONS_MAX;
    if (!get_f32(&g, "attention.layer_norm_rms_epsilon", &c.norm_eps)) missing(&g, "attention.layer_norm_rms_epsilon");
    read_heads(&g, &c);
    if (g.st) return g.st;
    cria_family_apply(family, &c);
    c.naming = CRIA_NAMING_GGUF;
    c.rope_traditional = family->gguf_pairs;
    c.tied = cria_container_find(file, "output.weight") == NULL;
    c.qkv_bias = cria_container_find(file, "blk.0.attn_q.bias") || cria_container_find(file, "blk.0.attn_qkv.bias");
    c.o_bias = cria_container_find(file, "blk.0.attn_output.bias") != NULL;
    c.ffn_bias = cria_container_find(file, "blk.0.ffn_up.bias") != NULL;
    read_rope(&g, family, &c);
    read_layers(&g, family, &c);
    read_scales(&g, family, &c);
    refuse_unknown(&g, family);
    if (g.st) return g.st;

    /* The vocabulary is what the embedding table holds; the tokenizer must agree with it (checked where both
     * are known). */
    const cria_tensor *t = cria_container_find(file, "token_embd.weight");
    if (t == NULL || t->ndim != 2)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: there is no matrix token_embd.weight.", g.path);
    cria_status st = cria_config_check_range(g.path, "the vocabulary size", t->shape[0], 1, CRIA_DIM_MAX, err);
    if (st) return st;
    c.V = (uint32_t)t->shape[0];
    if ((st = cria_config_check(g.path, &c, err))) return st;
    *out = c;
    return CRIA_OK;
}
