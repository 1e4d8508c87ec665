/* SPDX-License-Identifier: Apache-2.0 */
/* Reads hyperparameters from config.json (the MLX example's) and from GGUF metadata. See config.h. */
#include "model/config.h"

#include "base/json.h"
#include "base/status.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- what both formats must satisfy ---- */

static cria_status check_range(const char *name, const char *field, uint64_t value, uint64_t low,
                               uint64_t high, cria_error *err) {
    if (value >= low && value <= high) return CRIA_OK;
    return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                     "%s: %s is %" PRIu64 ", but must be between %" PRIu64 " and %" PRIu64 ".", name, field,
                     value, low, high);
}

cria_status cria_config_check(const char *name, const cria_config *c, cria_error *err) {
    const struct {
        const char *field;
        uint64_t value, high;
    } sizes[] = {{"the model dimension", c->d, CRIA_DIM_MAX},
                 {"the number of layers", c->n_layers, CRIA_LAYERS_MAX},
                 {"the number of heads", c->h, CRIA_HEADS_MAX},
                 {"the number of key-value heads", c->hk, CRIA_HEADS_MAX},
                 {"the head dimension", c->e, CRIA_HEAD_DIM_MAX},
                 {"the feed-forward dimension", c->f, CRIA_DIM_MAX},
                 {"the vocabulary size", c->V, CRIA_DIM_MAX}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cria_status s = check_range(name, sizes[i].field, sizes[i].value, 1, sizes[i].high, err);
        if (s) return s;
    }
    if (c->h % c->hk != 0)
        return cria_fail(
            err, CRIA_EFORMAT, CRIA_NOWHERE,
            "%s: %u heads cannot share %u key-value heads evenly; the first must be a multiple of the "
            "second.",
            name, c->h, c->hk);
    if (c->e % 2 != 0)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the head dimension is %u, but rotary embeddings need an even one.", name, c->e);
    if (!(c->norm_eps >= 0.0f && c->norm_eps <= 1.0f))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: norm_eps is %g, but must be between 0 and 1.",
                         name, (double)c->norm_eps);
    if (!(c->rope_theta >= 1.0f && c->rope_theta <= 1e18f))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the rope base (rope_theta) is %g, but must be between 1 and 1e18.", name,
                         (double)c->rope_theta);
    return CRIA_OK;
}

/* ---- config.json ---- */

struct json_source {
    const cria_json *root;
    const char *name;
    cria_error *err;
};

static cria_status wrong_type(const struct json_source *s, const char *key, const cria_json *v,
                              const char *want) {
    return cria_fail(s->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: \"%s\" is %s, but must be %s.", s->name, key,
                     cria_json_type_name(v), want);
}

/* *found says whether the key is there (null counts as absent, as Python writers use it). */
static cria_status get_int(const struct json_source *s, const char *key, int64_t *out, bool *found) {
    const cria_json *v = cria_json_get(s->root, key);
    *found = v != NULL && cria_json_type(v) != CRIA_JSON_NULL;
    if (!*found) return CRIA_OK;
    if (!cria_json_int(v, out)) return wrong_type(s, key, v, "a whole number");
    return CRIA_OK;
}

static cria_status get_dim(const struct json_source *s, const char *key, uint32_t *out, bool *found) {
    int64_t value = 0;
    cria_status st = get_int(s, key, &value, found);
    if (st || !*found) return st;
    if (value < 1 || value > CRIA_DIM_MAX)
        return cria_fail(s->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: \"%s\" is %" PRId64 ", but must be between 1 and %u.", s->name, key, value,
                         CRIA_DIM_MAX);
    *out = (uint32_t)value;
    return CRIA_OK;
}

static cria_status need_dim(const struct json_source *s, const char *key, uint32_t *out) {
    bool found;
    cria_status st = get_dim(s, key, out, &found);
    if (st || found) return st;
    return cria_fail(s->err, CRIA_EFORMAT, CRIA_NOWHERE,
                     "%s: the field \"%s\" is missing; the model needs it.", s->name, key);
}

static cria_status get_real(const struct json_source *s, const char *key, float *out, bool *found) {
    const cria_json *v = cria_json_get(s->root, key);
    double value;
    *found = v != NULL && cria_json_type(v) != CRIA_JSON_NULL;
    if (!*found) return CRIA_OK;
    if (!cria_json_real(v, &value)) return wrong_type(s, key, v, "a number");
    *out = (float)value;
    return CRIA_OK;
}

/* First dimension of a matrix: the number of outputs. Quantized tensors keep it; their last axis is packed,
 * which is where the example goes wrong when it takes vocab_size from shape[-1]. */
static cria_status rows_of(const cria_container *tensors, const char *tensor, const char *name,
                           const char *field, uint32_t *out, cria_error *err) {
    const cria_tensor *t = cria_container_find(tensors, tensor);
    if (t == NULL || t->ndim != 2)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: \"%s\" is not given, and there is no matrix %s in %s to take it from.", name,
                         field, tensor, cria_container_path(tensors));
    cria_status st = check_range(name, field, t->shape[0], 1, CRIA_DIM_MAX, err);
    if (st) return st;
    *out = (uint32_t)t->shape[0];
    return CRIA_OK;
}

static cria_status read_quantization(const struct json_source *parent, struct cria_mlx_quantization *q) {
    const cria_json *v = cria_json_get(parent->root, "quantization");
    if (v == NULL || cria_json_type(v) == CRIA_JSON_NULL) return CRIA_OK;
    if (cria_json_type(v) != CRIA_JSON_OBJECT) return wrong_type(parent, "quantization", v, "an object");
    const struct json_source s = {v, parent->name, parent->err};
    const char *key;
    const cria_json *member;
    for (size_t i = 0; cria_json_member(v, i, &key, &member); i++)
        if (strcmp(key, "group_size") != 0 && strcmp(key, "bits") != 0 && strcmp(key, "mode") != 0)
            return cria_fail(s.err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                             "%s: \"quantization\" has a field \"%s\" that this version does not know.",
                             s.name, key);

    const char *mode = "affine";
    const cria_json *m = cria_json_get(v, "mode");
    if (m != NULL && cria_json_type(m) != CRIA_JSON_NULL) {
        mode = cria_json_string(m, NULL);
        if (mode == NULL) return wrong_type(&s, "mode", m, "a string");
    }
    /* Defaults of mx.quantize for each mode. */
    static const struct {
        const char *mode;
        uint32_t group, bits;
    } modes[] = {{"affine", 64, 4}, {"mxfp4", 32, 4}, {"nvfp4", 16, 4}, {"mxfp8", 32, 8}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(mode, modes[i].mode) != 0) continue;
        bool found;
        q->present = true;
        q->group = modes[i].group;
        q->bits = modes[i].bits;
        snprintf(q->mode, sizeof q->mode, "%s", mode);
        cria_status st = get_dim(&s, "group_size", &q->group, &found);
        if (!st) st = get_dim(&s, "bits", &q->bits, &found);
        return st;
    }
    return cria_fail(
        s.err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
        "%s: the quantization mode \"%.40s\" is not known; it must be affine, mxfp4, nvfp4 or mxfp8.", s.name,
        mode);
}

/* Every key that ModelArgs and sanitize_config know; the example refuses others too (ModelArgs(**config)). */
static cria_status check_keys(const struct json_source *s) {
    static const char *const known[] = {
        "dim",         "n_layers",           "head_dim",     "hidden_dim",      "n_heads",
        "n_kv_heads",  "norm_eps",           "vocab_size",   "rope_theta",      "model_type",
        "multiple_of", "ffn_dim_multiplier", "quantization", "rope_traditional"};
    const char *key;
    const cria_json *value;
    for (size_t i = 0; cria_json_member(s->root, i, &key, &value); i++) {
        bool ok = false;
        for (size_t j = 0; j < sizeof known / sizeof *known; j++) ok |= strcmp(key, known[j]) == 0;
        if (!ok)
            return cria_fail(
                s->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                "%s: the field \"%.60s\" is not one that this version knows, and it might change what "
                "the model computes; remove it if it does not.",
                s->name, key);
    }
    return CRIA_OK;
}

static cria_status read_mlx(const struct json_source *s, const cria_container *tensors, cria_config *c) {
    bool found;
    int64_t vocab = -1;
    cria_status st = check_keys(s);
    if (!st) st = need_dim(s, "dim", &c->d);
    if (!st) st = need_dim(s, "n_layers", &c->n_layers);
    if (!st) st = need_dim(s, "n_heads", &c->h);
    if (st) return st;

    c->hk = c->h;
    if ((st = get_dim(s, "n_kv_heads", &c->hk, &found))) return st;

    if ((st = get_dim(s, "head_dim", &c->e, &found))) return st;
    if (!found) {
        if (c->d % c->h != 0)
            return cria_fail(s->err, CRIA_EFORMAT, CRIA_NOWHERE,
                             "%s: dim %u is no multiple of n_heads %u, and \"head_dim\" is not given.",
                             s->name, c->d, c->h);
        c->e = c->d / c->h;
    }

    if ((st = get_dim(s, "hidden_dim", &c->f, &found))) return st;
    if (!found)
        st = rows_of(tensors, "layers.0.feed_forward.w1.weight", s->name, "hidden_dim", &c->f, s->err);
    if (!st) st = get_int(s, "vocab_size", &vocab, &found);
    if (st) return st;
    if (!found || vocab < 0)
        st = rows_of(tensors, "output.weight", s->name, "vocab_size", &c->V, s->err);
    else
        st = get_dim(s, "vocab_size", &c->V, &found);
    if (st) return st;

    if ((st = get_real(s, "norm_eps", &c->norm_eps, &found))) return st;
    if (!found)
        return cria_fail(s->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the field \"norm_eps\" is missing; the model needs it.", s->name);
    c->rope_theta = 10000.0f;
    if ((st = get_real(s, "rope_theta", &c->rope_theta, &found))) return st;

    c->rope_traditional = true;
    const cria_json *v = cria_json_get(s->root, "rope_traditional");
    if (v != NULL && cria_json_type(v) != CRIA_JSON_NULL && !cria_json_bool(v, &c->rope_traditional))
        return wrong_type(s, "rope_traditional", v, "true or false");
    v = cria_json_get(s->root, "model_type");
    if (v != NULL && cria_json_type(v) != CRIA_JSON_NULL && cria_json_string(v, NULL) == NULL)
        return wrong_type(s, "model_type", v, "a string");

    if ((st = read_quantization(s, &c->quantization))) return st;
    return cria_config_check(s->name, c, s->err);
}

cria_status cria_config_from_mlx(const char *text, size_t len, const char *name,
                                 const cria_container *tensors, cria_config *out, cria_error *err) {
    cria_json *root;
    cria_config c = {0};
    cria_status st = cria_json_parse(text, len, name, &root, err);
    if (st) return st;
    if (cria_json_type(root) != CRIA_JSON_OBJECT)
        st = cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the file holds %s, but must hold an object.",
                       name, cria_json_type_name(root));
    else
        st = read_mlx(&(struct json_source){root, name, err}, tensors, &c);
    cria_json_free(root);
    if (!st) *out = c;
    return st;
}

/* ---- GGUF ---- */

static cria_status gguf_u32(const cria_container *file, const char *key, bool needed, uint32_t high,
                            uint32_t *out, cria_error *err) {
    uint64_t value;
    const char *path = cria_container_path(file);
    if (cria_meta_find(file, key) == NULL) {
        if (!needed) return CRIA_OK;
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the metadata key %s is missing; the model needs it.", path, key);
    }
    if (!cria_meta_u64(file, key, &value))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the metadata key %s is not a whole number of 0 or more.", path, key);
    cria_status st = check_range(path, key, value, 1, high, err);
    if (!st) *out = (uint32_t)value;
    return st;
}

static cria_status gguf_f32(const cria_container *file, const char *key, bool needed, float *out,
                            cria_error *err) {
    double value;
    if (cria_meta_find(file, key) == NULL && !needed) return CRIA_OK;
    if (!cria_meta_f64(file, key, &value))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the metadata key %s is missing or not a number.", cria_container_path(file),
                         key);
    *out = (float)value;
    return CRIA_OK;
}

/* Keys that change the computation in ways this version does not know, unless they hold the value that
 * changes nothing. */
static cria_status gguf_refuse(const cria_container *file, const cria_config *c, cria_error *err) {
    const char *path = cria_container_path(file);
    uint64_t value;
    cria_str s;
    if (cria_meta_u64(file, "llama.expert_count", &value) && value != 0)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: llama.expert_count is %" PRIu64 "; mixtures of experts are not supported yet.",
                         path, value);
    if (cria_meta_str(file, "llama.rope.scaling.type", &s) && !(s.len == 4 && memcmp(s.data, "none", 4) == 0))
        return cria_fail(
            err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s: llama.rope.scaling.type is \"%.*s\"; scaled rotary embeddings are not supported yet.", path,
            (int)(s.len > 40 ? 40 : s.len), s.data);
    static const char *const head_dims[] = {"llama.rope.dimension_count", "llama.attention.key_length",
                                            "llama.attention.value_length"};
    for (size_t i = 0; i < 3; i++) {
        uint32_t e = c->e;
        const cria_status st = gguf_u32(file, head_dims[i], false, UINT32_MAX, &e, err);
        if (st) return st;
        if (e != c->e)
            return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                             "%s: %s is %u where the head dimension is %u; differing ones are not supported.",
                             path, head_dims[i], e, c->e);
    }
    static const char *const unknown[] = {"llama.attention.sliding_window", "llama.logit_scale",
                                          "llama.residual_scale",           "llama.embedding_scale",
                                          "llama.attention.scale",          "llama.attention.clamp_kqv",
                                          "llama.rope.scale_linear"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (cria_meta_find(file, unknown[i]) != NULL)
            return cria_fail(
                err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                "%s: the metadata key %s changes what the model computes and is not supported yet.", path,
                unknown[i]);
    return CRIA_OK;
}

cria_status cria_config_from_gguf(const cria_container *file, cria_config *out, cria_error *err) {
    const char *path = cria_container_path(file);
    cria_config c = {.rope_theta = 10000.0f, .rope_traditional = true};
    cria_str arch;
    if (!cria_meta_str(file, "general.architecture", &arch))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the metadata key general.architecture is missing, so it is not a model.", path);
    if (arch.len != 5 || memcmp(arch.data, "llama", 5) != 0)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: the architecture is \"%.*s\"; this version runs \"llama\" only.", path,
                         (int)(arch.len > 60 ? 60 : arch.len), arch.data);

    cria_status st = gguf_u32(file, "llama.embedding_length", true, CRIA_DIM_MAX, &c.d, err);
    if (!st) st = gguf_u32(file, "llama.block_count", true, CRIA_LAYERS_MAX, &c.n_layers, err);
    if (!st) st = gguf_u32(file, "llama.attention.head_count", true, CRIA_HEADS_MAX, &c.h, err);
    if (!st) st = gguf_u32(file, "llama.feed_forward_length", true, CRIA_DIM_MAX, &c.f, err);
    if (!st) st = gguf_u32(file, "llama.context_length", false, UINT32_MAX, &c.context, err);
    if (!st) st = gguf_f32(file, "llama.attention.layer_norm_rms_epsilon", true, &c.norm_eps, err);
    if (!st) st = gguf_f32(file, "llama.rope.freq_base", false, &c.rope_theta, err);
    if (st) return st;

    c.hk = c.h;
    if ((st = gguf_u32(file, "llama.attention.head_count_kv", false, CRIA_HEADS_MAX, &c.hk, err))) return st;
    st = gguf_u32(file, "llama.attention.key_length", false, CRIA_HEAD_DIM_MAX, &c.e, err);
    if (st) return st;
    if (c.e == 0) {
        if (c.d % c.h != 0)
            return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                             "%s: the embedding length %u is no multiple of the head count %u, and "
                             "llama.attention.key_length is not given.",
                             path, c.d, c.h);
        c.e = c.d / c.h;
    }

    /* The vocabulary is what the embedding table holds; the tokenizer must agree with it (checked where both
     * are known). */
    const cria_tensor *t = cria_container_find(file, "token_embd.weight");
    if (t == NULL || t->ndim != 2)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: there is no matrix token_embd.weight.", path);
    if ((st = check_range(path, "the vocabulary size", t->shape[0], 1, CRIA_DIM_MAX, err))) return st;
    c.V = (uint32_t)t->shape[0];

    if ((st = cria_config_check(path, &c, err))) return st;
    if ((st = gguf_refuse(file, &c, err))) return st;
    if (c.context > CRIA_POSITIONS_MAX) c.context = CRIA_POSITIONS_MAX;
    *out = c;
    return CRIA_OK;
}
