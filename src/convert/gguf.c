/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GGUF file: its tensors under Hugging Face's (or Meta's) names, and its metadata as the configuration that it was
 * made from. What is written of the configuration is read back by the loader's own reader and compared, so that
 * nothing is lost without a word.
 */
#include "base/mem.h"
#include "base/status.h"
#include "convert/write.h"
#include "model/families.h"
#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the configuration ---- */

/* GGUF has the divisors that llama3's rule gave, not the numbers of the rule. Those of all published models have
 * low_freq_factor 1 and high_freq_factor 4; the factor is the largest divisor, and each divisor between gives the
 * original length. False when not all of them follow from the numbers found. */
static bool find_llama3(struct cria_rope *r, uint32_t rotary) {
    const double low = 1, high = 4, factor = (double)r->long_factors[rotary / 2 - 1];
    double original = 8192;
    for (int verify = 0; verify < 2; verify++) {
        for (uint32_t i = 0; i < rotary / 2; i++) {
            const double length = 2 * 3.14159265358979323846 * pow((double)r->theta, 2.0 * i / rotary);
            const double given = (double)r->long_factors[i], part = (1 / given - 1 / factor) / (1 - 1 / factor);
            if (!verify && part > 1e-3 && part < 1 - 1e-3) original = rint(length * (low + part * (high - low)));
            if (!verify) continue;
            const double smooth = (original / length - low) / (high - low);
            const double divisor = smooth > 1 ? 1 : smooth < 0 ? factor : 1 / ((1 - smooth) / factor + smooth);
            if (!(fabs(given / divisor - 1) < 1e-5)) return false;
        }
        if (!(factor > 1 && original >= 1 && original <= INT32_MAX)) return false;
    }
    *r = (struct cria_rope){.theta = r->theta,
                            .scaling = CRIA_ROPE_LLAMA3,
                            .factor = factor,
                            .low = low,
                            .high = high,
                            .original = (uint32_t)original,
                            .amplitude = 1};
    return true;
}

/* The same model in Hugging Face's terms. */
static void as_hugging_face(const cria_config *gguf, cria_config *c) {
    bool windows = false;
    *c = *gguf;
    c->naming = CRIA_NAMING_HF;
    for (uint32_t i = 0; i < c->n_layers; i++) windows = windows || c->layer[i] & CRIA_LAYER_WINDOW;
    if (strcmp(c->family, "llama") == 0 && c->n_experts != 0)
        c->family = "mixtral";
    else if (strcmp(c->family, "llama") == 0 && windows)
        c->family = "mistral";
    if (!windows) c->window = 0;
    c->norm_offset = cria_family_named(c->family)->norm_offset ? 1.0f : 0.0f;
    /* Others with such divisors have no words in a config.json. */
    if (c->rope[0].scaling == CRIA_ROPE_FACTORS && c->rope[0].original == 0)
        (void)find_llama3(&c->rope[0], c->rotary);
}

static bool same_rope(const struct cria_rope *a, const struct cria_rope *b, uint32_t pairs) {
    if (a->theta != b->theta || a->scaling != b->scaling) return false;
    if (a->scaling == CRIA_ROPE_PLAIN) return true;
    if (a->original != b->original || a->amplitude != b->amplitude) return false;
    if (a->scaling == CRIA_ROPE_FACTORS)
        return memcmp(a->short_factors, b->short_factors, pairs * sizeof(float)) == 0 &&
               memcmp(a->long_factors, b->long_factors, pairs * sizeof(float)) == 0;
    return a->factor == b->factor && (a->scaling == CRIA_ROPE_LINEAR || (a->low == b->low && a->high == b->high));
}

/* In what two configurations do not mean the same model; NULL: they do. */
static const char *difference(const cria_config *a, const cria_config *b) {
    if (a->d != b->d || a->n_layers != b->n_layers || a->h != b->h || a->hk != b->hk || a->e != b->e ||
        a->f != b->f || a->V != b->V || a->tied != b->tied)
        return "its sizes";
    if (memcmp(a->layer, b->layer, a->n_layers) != 0 || a->window != b->window)
        return "which layers have a window, experts or no rope";
    if (a->rotary != b->rotary || !same_rope(&a->rope[0], &b->rope[0], a->rotary / 2) ||
        !same_rope(&a->rope[1], &b->rope[1], a->rotary / 2))
        return "the scaling of its rope";
    if (a->qkv_bias != b->qkv_bias || a->o_bias != b->o_bias || a->ffn_bias != b->ffn_bias) return "its biases";
    if (a->n_experts != b->n_experts || a->n_experts_used != b->n_experts_used || a->f_expert != b->f_expert ||
        a->experts_normalized != b->experts_normalized)
        return "its experts";
    if (a->norm_eps != b->norm_eps || a->norm_offset != b->norm_offset || a->pre_norm != b->pre_norm ||
        a->post_norm != b->post_norm || a->qk_norm != b->qk_norm || a->gelu != b->gelu)
        return "its norms or its activation";
    if (a->embedding_scale != b->embedding_scale || a->residual_scale != b->residual_scale ||
        a->logit_scale != b->logit_scale || a->logit_cap != b->logit_cap ||
        a->attention_scale != b->attention_scale || a->score_cap != b->score_cap)
        return "its factors and caps";
    return NULL;
}

static cria_status cannot_say(const struct cria_convert_source *s, const char *what, cria_error *err) {
    return cria_fail(
        err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
        "%s: %s of this model (%s) cannot be told from a .gguf in the words of a config.json; convert its "
        "Hugging Face folder instead.",
        s->path, what, s->model.family);
}

/* Writes the configuration and reads it again. */
static cria_status check_config(const struct cria_convert_source *s, cria_error *err) {
    cria_buf b;
    cria_config back;
    cria_error why;
    if (s->model.rope[0].scaling == CRIA_ROPE_FACTORS && s->model.rope[0].original == 0)
        return cannot_say(s, "the scaling of its rope", err);
    cria_buf_init(&b, s->ctx, CRIA_CONVERT_TEXT_MAX);
    cria_status st = cria_buf_append(&b, "{", 1, err);
    if (!st) st = cria_convert_put_hf(&b, &s->model, -1, -1, "float32", err);
    if (!st) st = cria_buf_append(&b, "}", 1, err);
    if (!st) {
        st = cria_config_from_json((const char *)b.data, b.len, s->path, s->container, &back, &why);
        const char *what = st ? "something" : difference(&s->model, &back);
        if (st == CRIA_ENOMEM)
            cria_fail(err, st, why.where, "%s", why.msg);
        else if (what != NULL)
            st = cannot_say(s, what, err);
    }
    cria_buf_fini(&b);
    return st;
}

/* ---- tensors ---- */

/* What the floats of a file of blocks are to be: bfloat16 where some are, float32 where all are, else
 * float16. */
static const char *dtype_of(const cria_container *c) {
    bool all_f32 = true;
    for (size_t i = 0; i < cria_container_count(c); i++) {
        const cria_tensor *t = cria_container_at(c, i);
        if (t->dtype == CRIA_DTYPE_BF16) return "bfloat16";
        all_f32 = all_f32 && t->dtype == CRIA_DTYPE_F32;
    }
    return all_f32 ? "float32" : "float16";
}

static bool is_norm(enum cria_slot slot) {
    switch (slot) {
    case CRIA_SLOT_NORM:
    case CRIA_SLOT_ATTENTION_NORM:
    case CRIA_SLOT_Q_NORM:
    case CRIA_SLOT_K_NORM:
    case CRIA_SLOT_POST_ATTENTION_NORM:
    case CRIA_SLOT_FFN_NORM:
    case CRIA_SLOT_POST_FFN_NORM:
        return true;
    default:
        return false;
    }
}

/* gate and up in one matrix have up's name. */
static bool is_fused(const struct cria_convert_source *s, const cria_config *gguf, uint32_t layer) {
    char stem[CRIA_NAME_MAX], name[CRIA_NAME_MAX + 8];
    cria_slot_name(gguf, CRIA_SLOT_W1, layer, 0, stem);
    snprintf(name, sizeof name, "%s.weight", stem);
    return cria_container_find(s->container, name) == NULL;
}

static cria_status add(struct cria_convert_source *s, const cria_config *gguf, const cria_tensor *t,
                       cria_error *err) {
    char name[CRIA_NAME_MAX + 8];
    enum cria_slot slot;
    uint32_t layer, expert;
    const char *suffix = strrchr(t->name, '.');
    const bool known = cria_slot_of(gguf, t->name, &slot, &layer, &expert) &&
                       (strcmp(suffix, ".weight") == 0 || strcmp(suffix, ".bias") == 0);
    if (known && slot == CRIA_SLOT_W3 && is_fused(s, gguf, layer)) slot = CRIA_SLOT_W13;
    if (!known || !cria_slot_name(&s->model, slot, layer, expert, name))
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: the tensor %.120s has no name in what is to be written.", s->path, t->name);
    memcpy(name + strlen(name), suffix, strlen(suffix) + 1); /* of at most 7 characters */
    const bool head_rows = slot == CRIA_SLOT_WQ || slot == CRIA_SLOT_WK;
    const bool paired = head_rows && s->model.rope_traditional && s->names == CRIA_NAMING_HF;
    const cria_status st = cria_convert_add(s, name, paired ? s->model.e : 0, &t, 1, 0, err);
    if (!st && is_norm(slot)) s->tensors[s->n - 1].offset = -s->model.norm_offset;
    return st;
}

/* The tensors are those of the model, no more and no fewer, as when it is loaded: others might get the same name. */
static cria_status check_tensors(const struct cria_convert_source *s, const cria_config *gguf, cria_error *err) {
    cria_weights outline;
    cria_tensor_info *tensors;
    size_t n;
    const cria_status st = cria_weights_outline(s->ctx, s->container, gguf, &outline, &tensors, &n, err);
    if (st) return st;
    cria_free(s->ctx, tensors);
    cria_weights_free(&outline);
    return CRIA_OK;
}

/* The example has no tied embeddings: the output is a tensor of its own. */
static cria_status add_output(struct cria_convert_source *s, cria_error *err) {
    const cria_tensor *t = cria_container_find(s->container, "token_embd.weight");
    return t ? cria_convert_add(s, "output.weight", 0, &t, 1, 0, err) : CRIA_OK;
}

static int64_t token_id(const cria_container *c, const char *key) {
    uint64_t id;
    return cria_meta_u64(c, key, &id) && id <= INT32_MAX ? (int64_t)id : -1;
}

cria_status cria_convert_open_gguf(struct cria_convert_source *s, cria_error *err) {
    const cria_container *c = s->container;
    cria_config gguf;
    cria_status st = cria_config_from_gguf(c, &gguf, err);
    if (!st) st = check_tensors(s, &gguf, err);
    if (st) return st;
    as_hugging_face(&gguf, &s->model);
    s->bos = token_id(c, "tokenizer.ggml.bos_token_id");
    s->eos = token_id(c, "tokenizer.ggml.eos_token_id");
    s->folder = NULL; /* all is in the file */
    s->dtype = dtype_of(c);
    st = s->names == CRIA_NAMING_META ? cria_convert_check_plain(s->path, &s->model, err) : check_config(s, err);
    s->model.naming = s->names;
    if (!st) st = cria_convert_reserve(s, cria_container_count(c) + 1, err);
    for (size_t i = 0; i < cria_container_count(c) && !st; i++) {
        const cria_tensor *t = cria_container_at(c, i);
        if (!cria_name_is_derived(&gguf, t->name)) st = add(s, &gguf, t, err);
    }
    if (!st && s->model.tied && s->names == CRIA_NAMING_META) st = add_output(s, err);
    return st;
}
