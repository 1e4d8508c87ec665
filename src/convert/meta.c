/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Meta's own files: consolidated.NN.pth, of which each has a slice of every matrix, and params.json. Put
 * together as the MLX example's convert.py does (llms/llama/convert.py of ml-explore/mlx-examples), but for
 * Llama 3, whose embedding is sliced by tokens: the shapes tell.
 */
#include "base/mem.h"
#include "base/status.h"
#include "convert/source.h"
#include "model/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static cria_status open_shards(struct cria_convert_source *s, cria_error *err) {
    char **names;
    size_t n;
    cria_status st = cria_folder_list(s->ctx, s->path, "consolidated.", ".pth", &names, &n, err);
    if (st) return st;
    if (n < 1 || n > CRIA_CONVERT_SHARDS_MAX)
        st = cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                       "%s: has params.json and %zu files consolidated.*.pth; there must be 1 to %u.",
                       s->path, n, CRIA_CONVERT_SHARDS_MAX);
    if (!st) s->pth = cria_convert_alloc(s, n * sizeof *s->pth);
    if (!st && s->pth == NULL) st = cria_fail_nomem(err, "the list of shards", n * sizeof *s->pth);
    for (size_t i = 0; i < n && !st; i++) {
        const char *path = cria_convert_join(s, s->path, names[i]);
        if (path == NULL)
            st = cria_fail_nomem(err, "a path", strlen(names[i]));
        else
            st = cria_pth_open(s->ctx, path, &s->pth[i], err);
        if (!st) s->n_pth++;
    }
    cria_free(s->ctx, names);
    return st;
}

/* ---- params.json ---- */

static uint32_t rows_of(const struct cria_convert_source *s, const char *name) {
    const cria_tensor *t = cria_pth_find(&s->pth[0], name);
    return t != NULL && t->ndim == 2 && t->shape[0] <= 1 << 24 ? (uint32_t)t->shape[0] : 0;
}

static cria_status read_params(struct cria_convert_source *s, const cria_json *json, cria_error *err) {
    struct cria_fields f = {json, s->config_path, err, CRIA_OK};
    cria_config *c = &s->model;
    bool scaled = false;
    cria_need_u32(&f, "dim", 1, CRIA_DIM_MAX, &c->d);
    cria_need_u32(&f, "n_layers", 1, CRIA_LAYERS_MAX, &c->n_layers);
    cria_need_u32(&f, "n_heads", 1, CRIA_HEADS_MAX, &c->h);
    c->hk = c->h;
    c->norm_eps = 1e-5f;
    c->rope[0].theta = 10000.0f;
    cria_field_u32(&f, "n_kv_heads", 1, CRIA_HEADS_MAX, &c->hk);
    cria_field_f32(&f, "norm_eps", &c->norm_eps);
    cria_field_f32(&f, "rope_theta", &c->rope[0].theta);
    cria_field_bool(&f, "use_scaled_rope", &scaled);
    if (f.st) return f.st;
    if (scaled || cria_field(&f, "moe") != NULL)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: \"%s\" is set, but it does not say all that is needed of it; convert the "
                         "Hugging Face folder of this model instead.",
                         s->config_path, scaled ? "use_scaled_rope" : "moe");
    if (c->d % c->h != 0 || c->d / c->h % 2 != 0 || c->h % c->hk != 0 || !(c->norm_eps >= 0 && c->norm_eps <= 1) ||
        !(c->rope[0].theta >= 1 && c->rope[0].theta <= 1e18f))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: its numbers do not fit together (dim %" PRIu32 ", n_layers %" PRIu32
                         ", n_heads %" PRIu32 ", n_kv_heads %" PRIu32 ", norm_eps %g, rope_theta %g).",
                         s->config_path, c->d, c->n_layers, c->h, c->hk, (double)c->norm_eps, (double)c->rope[0].theta);
    c->e = c->rotary = c->d / c->h;
    return CRIA_OK;
}

/* ---- tensors ---- */

static bool has_stem(const char *name, const char *const *stems) {
    for (; *stems; stems++) {
        const char *at = strstr(name, *stems);
        if (at != NULL && strcmp(at + strlen(*stems), ".weight") == 0 && (at == name || at[-1] == '.'))
            return true;
    }
    return false;
}

/* Along which axis the shards of a tensor follow each other; -1: all have the same. */
static int axis_of(const struct cria_convert_source *s, const cria_tensor *t) {
    static const char *const by_rows[] = {"wq", "wk", "wv", "w1", "w3", "output", NULL};
    static const char *const by_cols[] = {"tok_embeddings", "wo", "w2", NULL};
    if (has_stem(t->name, by_rows)) return 0;
    if (!has_stem(t->name, by_cols)) return -1;
    const bool embedding = strstr(t->name, "tok_embeddings") != NULL;
    return embedding && t->ndim == 2 && t->shape[1] == s->model.d ? 0 : 1;
}

static cria_status add(struct cria_convert_source *s, const cria_tensor *t, cria_error *err) {
    const cria_tensor *parts[CRIA_CONVERT_SHARDS_MAX] = {t};
    char name[CRIA_NAME_MAX];
    uint32_t paired;
    cria_status st = cria_convert_rename(s, CRIA_NAMING_META, t, name, &paired, err);
    const int axis = axis_of(s, t);
    const size_t n = axis < 0 ? 1 : s->n_pth;
    for (size_t i = 1; i < n && !st; i++) {
        parts[i] = cria_pth_find(&s->pth[i], t->name);
        if (parts[i] == NULL)
            st = cria_fail(err, CRIA_EFORMAT, i, "%s: has no tensor %.80s, but %s has.", s->pth[i].path,
                           t->name, s->pth[0].path);
    }
    return st ? st
              : cria_convert_add(s, name, paired, parts, (uint32_t)n, axis < 0 ? 0 : (uint32_t)axis, err);
}

cria_status cria_convert_open_pth(struct cria_convert_source *s, cria_error *err) {
    cria_json *json = NULL;
    cria_status st = cria_convert_read_config(s, "params.json", err);
    if (!st)
        st = cria_json_parse((const char *)s->config_map.data, s->config_map.len, s->config_path, &json, err);
    if (!st) st = read_params(s, json, err);
    if (json != NULL) cria_json_free(json);
    if (!st) st = open_shards(s, err);
    if (st) return st;
    s->model.rope_traditional = true;
    const cria_pth *first = &s->pth[0];
    st = cria_convert_reserve(s, first->n, err);
    for (size_t i = 0; i < first->n && !st; i++)
        if (!cria_name_is_computed(first->tensors[i].name)) st = add(s, &first->tensors[i], err);
    if (st) return st;
    const uint64_t shards = s->n_pth;
    s->model.f = (uint32_t)(rows_of(s, "layers.0.feed_forward.w1.weight") * shards);
    s->model.V = (uint32_t)(rows_of(s, "output.weight") * shards);
    return CRIA_OK;
}
