/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of safetensors with Hugging Face's config.json, unquantized or as mlx-lm writes it, of any
 * architecture: names and configuration are kept. Two things are done as mlx-lm's model classes do them when
 * they load (sanitize): the output matrix of a model with tied embeddings is left out, and the experts of a
 * layer become one tensor.
 *
 * Only a plain Llama can be written with Meta's names.
 */
#include "base/mem.h"
#include "base/status.h"
#include "convert/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool flag(const cria_json *json, const char *key) {
    bool value = false;
    const cria_json *v = cria_json_get(json, key);
    return v != NULL && cria_json_bool(v, &value) && value;
}

static bool skip_output(const struct cria_convert_source *s, const char *name) {
    return s->model.tied && strcmp(name, "lm_head.weight") == 0;
}

/* torch_dtype, or dtype as newer files have it. */
static const char *dtype_of(const cria_json *json) {
    static const char *const known[] = {"float16", "bfloat16", "float32"};
    const cria_json *v = cria_json_get(json, "torch_dtype");
    if (v == NULL) v = cria_json_get(json, "dtype");
    const char *name = v != NULL ? cria_json_string(v, NULL) : NULL;
    for (size_t i = 0; name != NULL && i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i]) == 0) return known[i];
    return NULL;
}

/* ---- for Meta's names ---- */

static bool set(const cria_json *json, const char *key) {
    const cria_json *v = cria_json_get(json, key);
    return v != NULL && cria_json_type(v) != CRIA_JSON_NULL;
}

/* The numbers as the model itself is loaded with, so that nothing that changes it is overlooked. */
static cria_status read_llama(struct cria_convert_source *s, cria_error *err) {
    cria_config c;
    cria_status st = cria_config_from_json((const char *)s->config_map.data, s->config_map.len, s->config_path,
                                           s->container, &c, err);
    if (!st) st = cria_convert_check_plain(s->config_path, &c, err);
    if (st) return st;
    c.tied = s->model.tied;
    s->model = c;
    return st;
}

/* ---- experts ---- */

/* "…experts.N.w1.weight" of expert 0 begins a stack under a new name. */
static const struct {
    const char *from, *to; /* what stands for ".experts.N.w1" */
} expert_names[] = {{"w1", "gate_proj"},        {"w2", "down_proj"},        {"w3", "up_proj"},
                    {"gate_proj", "gate_proj"}, {"down_proj", "down_proj"}, {"up_proj", "up_proj"}};

/* Splits "A.experts.12.B.weight"; false for other names. */
static bool split_expert(const char *name, size_t *prefix, unsigned *expert, size_t *row) {
    static const char mark[] = ".experts.";
    const char *at = strstr(name, mark);
    if (at == NULL) return false;
    *prefix = (size_t)(at - name);
    at += sizeof mark - 1;
    unsigned n = 0;
    const char *digits = at;
    for (; *at >= '0' && *at <= '9' && n < 100000; at++) n = n * 10 + (unsigned)(*at - '0');
    if (at == digits || *at++ != '.') return false;
    *expert = n;
    for (size_t i = 0; i < sizeof expert_names / sizeof *expert_names; i++) {
        const size_t len = strlen(expert_names[i].from);
        if (strncmp(at, expert_names[i].from, len) != 0 || strcmp(at + len, ".weight") != 0) continue;
        *row = i;
        return true;
    }
    return false;
}

static bool is_expert(const struct cria_convert_source *s, const char *name) {
    size_t prefix, row;
    unsigned expert;
    return skip_output(s, name) || split_expert(name, &prefix, &expert, &row);
}

/* t is the part of expert 0. */
static cria_status add_stack(struct cria_convert_source *s, const cria_tensor *t, size_t prefix, size_t row,
                             cria_error *err) {
    const cria_tensor *parts[CRIA_CONVERT_EXPERTS_MAX];
    char name[512];
    uint32_t n = 0;
    for (; n < CRIA_CONVERT_EXPERTS_MAX; n++) {
        snprintf(name, sizeof name, "%.*s.experts.%u.%s.weight", (int)prefix, t->name, (unsigned)n,
                 expert_names[row].from);
        parts[n] = cria_container_find(s->container, name);
        if (parts[n] == NULL) break;
    }
    snprintf(name, sizeof name, "%.*s.switch_mlp.%s.weight", (int)prefix, t->name, expert_names[row].to);
    cria_status st = n == CRIA_CONVERT_EXPERTS_MAX ? cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                                                               "%s: there are more than %u experts.", s->path,
                                                               CRIA_CONVERT_EXPERTS_MAX - 1)
                                                   : cria_convert_add(s, name, 0, parts, n, 0, err);
    if (st) return st;
    struct cria_convert_tensor *stack =
        &s->tensors[s->n - 1]; /* rows behind each other are a stack already */
    if (stack->ndim != 2)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE, "%s: %s is no matrix.", s->path, t->name);
    stack->shape[2] = stack->shape[1];
    stack->shape[1] = stack->shape[0] / n;
    stack->shape[0] = n;
    stack->ndim = 3;
    return CRIA_OK;
}

static cria_status add_experts(struct cria_convert_source *s, cria_error *err) {
    size_t found = 0, stacked = 0;
    for (size_t i = 0; i < cria_container_count(s->container); i++) {
        const cria_tensor *t = cria_container_at(s->container, i);
        size_t prefix, row;
        unsigned expert;
        if (!split_expert(t->name, &prefix, &expert, &row)) continue;
        found++;
        if (expert != 0) continue;
        const cria_status st = add_stack(s, t, prefix, row, err);
        if (st) return st;
        stacked += (size_t)s->tensors[s->n - 1].shape[0];
    }
    if (found == stacked) return CRIA_OK;
    return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                     "%s: of %zu parts of experts only %zu are numbered from 0 without gaps.", s->path, found,
                     stacked);
}

/* ---- all ---- */

static bool any_scale_inv(const cria_container *c) {
    for (size_t i = 0; i < cria_container_count(c); i++)
        if (strstr(cria_container_at(c, i)->name, "_scale") != NULL) return true;
    return false;
}

static cria_status add(struct cria_convert_source *s, const cria_json *json, cria_error *err) {
    s->model.tied = flag(json, "tie_word_embeddings");
    s->dtype = dtype_of(json);
    s->keep_config = s->names == CRIA_NAMING_HF;
    if (any_scale_inv(s->container) || (set(json, "quantization_config") && !set(json, "quantization")))
        return cria_fail(
            err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s: the weights are quantized by something other than MLX; convert the unquantized model.",
            s->config_path);
    cria_status st = cria_convert_reserve(s, cria_container_count(s->container) + 1, err);
    if (!st && s->names == CRIA_NAMING_META) st = read_llama(s, err);
    if (!st) st = cria_convert_add_all(s, CRIA_NAMING_HF, json, is_expert, err);
    if (!st) st = add_experts(s, err);
    const cria_tensor *embedding = cria_container_find(s->container, "model.embed_tokens.weight");
    if (!st && s->model.tied && s->names == CRIA_NAMING_META && embedding != NULL)
        st = cria_convert_add(s, "output.weight", 0, &embedding, 1, 0, err);
    return st;
}

cria_status cria_convert_open_hf(struct cria_convert_source *s, cria_error *err) {
    cria_json *json;
    cria_status st = cria_convert_read_config(s, "config.json", err);
    if (!st)
        st = cria_json_parse((const char *)s->config_map.data, s->config_map.len, s->config_path, &json, err);
    if (st) return st;
    if (cria_json_type(json) != CRIA_JSON_OBJECT)
        st = cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the file holds %s, but must hold an object.",
                       s->config_path, cria_json_type_name(json));
    else if (cria_json_get(json, "dim") != NULL && cria_json_get(json, "hidden_size") == NULL)
        st = cria_convert_open_npz(s, err); /* the example's configuration beside safetensors */
    else
        st = add(s, json, err);
    cria_json_free(json);
    return st;
}
