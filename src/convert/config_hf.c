/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration in Hugging Face's words: the counterpart of model/config_hf.c, whose fields these are. Where a
 * field has another default in transformers or mlx-lm than in cria it is written out, so that all three mean the same
 * model.
 */
#include "base/status.h"
#include "convert/write.h"
#include "model/families.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Members of an object, one a line; keeps the first error. */
struct out {
    cria_buf *b;
    cria_error *err;
    cria_status st;
    bool inner; /* in an object within */
    size_t n;   /* members so far */
};

static void key(struct out *o, const char *name) {
    if (!o->st)
        o->st = cria_convert_print(o->b, o->err, "%s\n%s\"%s\": ", o->n++ ? "," : "", o->inner ? "        " : "    ",
                                   name);
}

static void put(struct out *o, const char *text) {
    if (!o->st) o->st = cria_buf_append(o->b, text, strlen(text), o->err);
}

static void put_text(struct out *o, const char *name, const char *value) {
    key(o, name);
    if (!o->st) o->st = cria_convert_print(o->b, o->err, "\"%s\"", value);
}

static void put_whole(struct out *o, const char *name, int64_t value) {
    key(o, name);
    if (!o->st) o->st = cria_convert_print(o->b, o->err, "%" PRId64, value);
}

static void put_bool(struct out *o, const char *name, bool value) {
    key(o, name);
    put(o, value ? "true" : "false");
}

static void put_float(struct out *o, const char *name, float value) {
    char text[32];
    cria_convert_float_text(value, text);
    key(o, name);
    put(o, text);
}

/* A number of which the model uses all that a double has. */
static void put_real(struct out *o, const char *name, double value) {
    char text[32];
    cria_convert_real_text(value, text);
    key(o, name);
    put(o, text);
}

static void put_factors(struct out *o, const char *name, const float *values, uint32_t n) {
    char text[32];
    key(o, name);
    for (uint32_t i = 0; i < n; i++) {
        cria_convert_float_text(values[i], text);
        put(o, i ? ", " : "[");
        put(o, text);
    }
    put(o, "]");
}

/* One word for each layer: `yes` where it has the flag. */
static void put_layers(struct out *o, const char *name, const cria_config *c, uint8_t flag, const char *yes,
                       const char *no) {
    key(o, name);
    for (uint32_t i = 0; i < c->n_layers; i++) {
        put(o, i ? ", " : "[");
        put(o, c->layer[i] & flag ? yes : no);
    }
    put(o, "]");
}

static uint32_t layers_with(const cria_config *c, uint8_t flag) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_layers; i++) n += (c->layer[i] & flag) != 0;
    return n;
}

/* ---- parts ---- */

static void put_scaling(struct out *o, const cria_config *c, const struct cria_rope *r) {
    static const char *const names[] = {[CRIA_ROPE_LINEAR] = "linear",
                                        [CRIA_ROPE_DYNAMIC] = "dynamic",
                                        [CRIA_ROPE_YARN] = "yarn",
                                        [CRIA_ROPE_LLAMA3] = "llama3",
                                        [CRIA_ROPE_FACTORS] = "longrope"};
    if (r->scaling == CRIA_ROPE_PLAIN) return;
    struct out s = {.b = o->b, .err = o->err, .st = o->st, .inner = true};
    key(o, "rope_scaling");
    put(o, "{");
    s.st = o->st;
    put_text(&s, "rope_type", names[r->scaling]);
    put_text(&s, "type", names[r->scaling]);
    if (r->scaling == CRIA_ROPE_FACTORS) {
        put_factors(&s, "short_factor", r->short_factors, c->rotary / 2);
        put_factors(&s, "long_factor", r->long_factors, c->rotary / 2);
        put_real(&s, "attention_factor", r->amplitude);
    } else {
        put_real(&s, "factor", r->factor);
    }
    if (r->original != 0 && r->scaling != CRIA_ROPE_DYNAMIC)
        put_whole(&s, "original_max_position_embeddings", r->original);
    if (r->scaling == CRIA_ROPE_LLAMA3) {
        put_real(&s, "low_freq_factor", r->low);
        put_real(&s, "high_freq_factor", r->high);
    }
    if (r->scaling == CRIA_ROPE_YARN) {
        put_real(&s, "beta_slow", r->low);
        put_real(&s, "beta_fast", r->high);
        put_real(&s, "attention_factor", r->amplitude);
    }
    put(&s, "\n    }");
    o->st = s.st;
    if (r->scaling == CRIA_ROPE_FACTORS) put_whole(o, "original_max_position_embeddings", r->original);
}

static void put_rope(struct out *o, const cria_config *c) {
    put_float(o, "rope_theta", c->rope[0].theta);
    if (c->rope[1].theta != 0) put_float(o, "rope_local_base_freq", c->rope[1].theta);
    if (c->rotary != c->e) put_real(o, "partial_rotary_factor", (double)c->rotary / c->e);
    put_scaling(o, c, &c->rope[0]);
}

static void put_windows(struct out *o, const cria_config *c, const struct cria_family *family) {
    const uint32_t n = c->window != 0 ? layers_with(c, CRIA_LAYER_WINDOW) : 0;
    if (family->window_off) put_bool(o, "use_sliding_window", n != 0);
    if (n == 0) return;
    put_whole(o, "sliding_window", c->window);
    if (family->window_off) put_whole(o, "max_window_layers", 0);
    if (n != c->n_layers)
        put_layers(o, "layer_types", c, CRIA_LAYER_WINDOW, "\"sliding_attention\"", "\"full_attention\"");
    if (family->windows == CRIA_WINDOW_FIVE_OF_SIX) put_whole(o, "sliding_window_pattern", 6);
}

static void put_experts(struct out *o, const cria_config *c, const struct cria_family *family) {
    if (c->n_experts == 0) return;
    put_whole(o, "num_experts_per_tok", c->n_experts_used);
    if (family->experts_normalized) { /* Mixtral */
        put_whole(o, "num_local_experts", c->n_experts);
        return;
    }
    put_whole(o, "num_experts", c->n_experts);
    put_whole(o, "moe_intermediate_size", c->f_expert);
    put_bool(o, "norm_topk_prob", c->experts_normalized);
    put_whole(o, "decoder_sparse_step", 1);
    key(o, "mlp_only_layers");
    put(o, "[");
    for (uint32_t i = 0, n = 0; i < c->n_layers && !o->st; i++)
        if (!(c->layer[i] & CRIA_LAYER_EXPERTS))
            o->st = cria_convert_print(o->b, o->err, "%s%" PRIu32, n++ ? ", " : "", i);
    put(o, "]");
}

/* What scale is the root of the inverse of: a whole number in all published models. */
static float query_scalar(float scale) {
    const float exact = 1 / (scale * scale), whole = rintf(exact);
    return 1 / sqrtf(whole) == scale ? whole : exact;
}

static void put_cap(struct out *o, const char *name, float cap) {
    if (cap != 0) {
        put_float(o, name, cap);
        return;
    }
    key(o, name);
    put(o, "null");
}

static void put_scales(struct out *o, const cria_config *c, const struct cria_family *family) {
    if (family->default_query_scalar != 0) {
        put_float(o, "query_pre_attn_scalar", query_scalar(c->attention_scale));
        put_cap(o, "attn_logit_softcapping", c->score_cap);
        put_cap(o, "final_logit_softcapping", c->logit_cap);
    }
    if (!family->multipliers) return;
    put_float(o, "embedding_multiplier", c->embedding_scale);
    put_float(o, "residual_multiplier", c->residual_scale);
    put_float(o, "attention_multiplier", c->attention_scale);
    put_float(o, "logits_scaling", 1 / c->logit_scale);
}

/* ---- the whole ---- */

cria_status cria_convert_put_hf(cria_buf *b, const cria_config *c, int64_t bos, int64_t eos, const char *dtype,
                                cria_error *err) {
    const struct cria_family *family = cria_family_named(c->family);
    struct out o = {.b = b, .err = err};
    const char *activation = c->gelu ? "gelu_pytorch_tanh" : "silu";
    key(&o, "architectures");
    put(&o, "[\n        \"");
    put(&o, family->hf_class);
    put(&o, "\"\n    ]");
    if (!family->qkv_bias) put_bool(&o, "attention_bias", c->qkv_bias || c->o_bias);
    put_whole(&o, "head_dim", c->e);
    put_text(&o, "hidden_act", activation);
    if (c->gelu) put_text(&o, "hidden_activation", activation);
    put_whole(&o, "hidden_size", c->d);
    put_whole(&o, "intermediate_size", c->f);
    if (c->context != 0) put_whole(&o, "max_position_embeddings", c->context);
    if (bos >= 0) put_whole(&o, "bos_token_id", bos);
    if (eos >= 0) put_whole(&o, "eos_token_id", eos);
    put_bool(&o, "mlp_bias", c->ffn_bias);
    put_text(&o, "model_type", family->hf);
    put_whole(&o, "num_attention_heads", c->h);
    put_whole(&o, "num_hidden_layers", c->n_layers);
    put_whole(&o, "num_key_value_heads", c->hk);
    put_float(&o, "rms_norm_eps", c->norm_eps);
    put_rope(&o, c);
    put_windows(&o, c, family);
    if (family->no_rope_layers) { /* the name notwithstanding, 1 is with rope */
        put_layers(&o, "no_rope_layers", c, CRIA_LAYER_NO_ROPE, "0", "1");
        put_whole(&o, "no_rope_layer_interval", 4);
    }
    put_experts(&o, c, family);
    put_scales(&o, c, family);
    put_bool(&o, "tie_word_embeddings", c->tied);
    put_text(&o, "torch_dtype", dtype);
    put_whole(&o, "vocab_size", c->V);
    return o.st;
}
