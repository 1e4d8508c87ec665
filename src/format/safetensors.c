/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors: the header's length (u64), a JSON header that gives each tensor a type, a shape and its place
 * in the bytes that follow, those bytes.
 *
 * Source: https://github.com/huggingface/safetensors, README.md ("Format") and what safetensors/src/tensor.rs
 * checks: the header has at most 100 MB, places are what shape and type need, and the tensors in order of
 * their places fill the rest of the file without gaps or overlaps. Stricter than that library: names are not
 * empty, a tensor has no field besides the three, and its header begins with {, as the README asks.
 */
#include "base/json.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "format/order.h"
#include "format/parse.h"

#define MAX_HEADER 100000000u
#define METADATA "__metadata__"

/* One file being read. */
struct safetensors {
    cria_container *c;
    const struct cria_source *src;
    const uint8_t *data; /* what follows the header */
    size_t n_data;
    cria_error *err;
};

/* ---- metadata ---------------------------------------------------------------------------- */

static bool keep_string(cria_container *c, const char *s, size_t len, cria_str *out) {
    *out = (cria_str){cria_container_string(c, s, len), len};
    return out->data != NULL;
}

/* An object of strings. Of several shards, which say the same, only the first one's is kept. */
static cria_status read_metadata(const struct safetensors *s, const cria_json *v) {
    cria_container *c = s->c;
    const size_t n = cria_json_size(v);
    const bool keep = s->src == c->sources;
    if (cria_json_type(v) == CRIA_JSON_NULL) return CRIA_OK;
    if (cria_json_type(v) != CRIA_JSON_OBJECT)
        return cria_fail(s->err, CRIA_EFORMAT, 8, "%s: " METADATA " is %s, but must be an object of strings.",
                         s->src->path, cria_json_type_name(v));
    if (keep && n != 0) {
        c->metas.at = cria_calloc(c->ctx, n, sizeof *c->metas.at);
        if (c->metas.at == NULL) return cria_fail_nomem(s->err, "the metadata", n * sizeof *c->metas.at);
    }
    const char *key;
    const cria_json *value;
    cria_json_iter it = cria_json_begin(v);
    while (cria_json_next(&it, &key, &value)) {
        size_t len;
        const char *text = cria_json_string(value, &len);
        if (text == NULL)
            return cria_fail(s->err, CRIA_EFORMAT, 8,
                             "%s: \"%.*s\" of " METADATA " is %s, but must be a string; the file is damaged.",
                             s->src->path, cria_name_shown(key, strlen(key)), key,
                             cria_json_type_name(value));
        if (!keep) continue;
        cria_meta *m = &c->metas.at[c->metas.n];
        m->type = CRIA_META_STRING;
        if (!keep_string(c, key, strlen(key), &m->key) || !keep_string(c, text, len, &m->v.s))
            return cria_fail_nomem(s->err, "the metadata", strlen(key) + len);
        c->metas.n++;
    }
    return keep && n != 0 ? cria_metas_index(c->ctx, &c->metas, s->src->path, s->err) : CRIA_OK;
}

/* ---- tensors ----------------------------------------------------------------------------- */

/* Says of a tensor that it is not as it should be. */
static cria_status bad_tensor(const struct safetensors *s, const char *name, const char *what) {
    return cria_fail(s->err, CRIA_EFORMAT, 8, "%s: tensor \"%.*s\" %s; the file is damaged.", s->src->path,
                     cria_name_shown(name, strlen(name)), name, what);
}

static bool natural(const cria_json *v, uint64_t *out) {
    int64_t i;
    if (v == NULL || cria_json_type(v) != CRIA_JSON_INT || !cria_json_int(v, &i) || i < 0) return false;
    *out = (uint64_t)i;
    return true;
}

static cria_status read_dtype(const struct safetensors *s, const cria_json *v, cria_tensor *t) {
    const char *text = v != NULL ? cria_json_string(v, NULL) : NULL;
    if (text == NULL) return bad_tensor(s, t->name, "has no \"dtype\" that is a string");
    for (int i = 0; i < CRIA_DTYPE_COUNT; i++) {
        const struct cria_dtype_info *info = cria_dtype_info((cria_dtype)i);
        if (info->items == 1 && strcmp(info->name, text) == 0) {
            t->dtype = (cria_dtype)i;
            return CRIA_OK;
        }
    }
    return cria_fail(
        s->err, CRIA_EUNSUPPORTED, 8,
        "%s: tensor \"%.*s\" has type %.*s, which this version does not know; take the model in BF16, "
        "F16 or F32.",
        s->src->path, cria_name_shown(t->name, strlen(t->name)), t->name, cria_name_shown(text, strlen(text)),
        text);
}

static cria_status read_shape(const struct safetensors *s, const cria_json *v, cria_tensor *t) {
    if (v == NULL || cria_json_type(v) != CRIA_JSON_ARRAY)
        return bad_tensor(s, t->name, "has no \"shape\" that is an array");
    if (cria_json_size(v) > CRIA_MAX_DIMS)
        return cria_fail(s->err, CRIA_EUNSUPPORTED, 8,
                         "%s: tensor \"%.*s\" has %zu dimensions, but at most %d are known.", s->src->path,
                         cria_name_shown(t->name, strlen(t->name)), t->name, cria_json_size(v),
                         CRIA_MAX_DIMS);
    t->ndim = (uint32_t)cria_json_size(v);
    for (uint32_t i = 0; i < t->ndim; i++)
        if (!natural(cria_json_at(v, i), &t->shape[i]))
            return bad_tensor(s, t->name, "has a dimension that is no whole number from 0 up");
    if (!cria_tensor_nbytes(t->dtype, t->ndim, t->shape, &t->nbytes))
        return bad_tensor(s, t->name, "has dimensions that multiply to more bytes than memory can hold");
    return CRIA_OK;
}

static cria_status read_place(const struct safetensors *s, const cria_json *v, cria_tensor *t) {
    uint64_t begin, end;
    if (v == NULL || cria_json_size(v) != 2 || !natural(cria_json_at(v, 0), &begin) ||
        !natural(cria_json_at(v, 1), &end))
        return bad_tensor(s, t->name, "has no \"data_offsets\" that are two whole numbers");
    const int shown = cria_name_shown(t->name, strlen(t->name));
    if (begin > end || end > s->n_data)
        return cria_fail(
            s->err, CRIA_EFORMAT, 8,
            "%s: tensor \"%.*s\" lies at bytes %llu to %llu, but there are only %zu bytes of tensors; the "
            "file is cut off or damaged, get it again.",
            s->src->path, shown, t->name, (unsigned long long)begin, (unsigned long long)end, s->n_data);
    if (end - begin != t->nbytes)
        return cria_fail(
            s->err, CRIA_EFORMAT, 8,
            "%s: tensor \"%.*s\" should have %llu bytes by its shape, but has %llu; the file is damaged.",
            s->src->path, shown, t->name, (unsigned long long)t->nbytes, (unsigned long long)(end - begin));
    t->data = s->data + begin;
    return CRIA_OK;
}

static cria_status read_tensor(const struct safetensors *s, const char *name, const cria_json *v) {
    cria_tensor *t = &s->c->tensors[s->c->n_tensors];
    if (!cria_name_ok(name, strlen(name)))
        return cria_fail(s->err, CRIA_EFORMAT, 8, "%s: a tensor has an empty name; the file is damaged.",
                         s->src->path);
    *t = (cria_tensor){.name = cria_container_string(s->c, name, strlen(name))};
    if (t->name == NULL) return cria_fail_nomem(s->err, "the name of a tensor", strlen(name) + 1);
    if (cria_json_type(v) != CRIA_JSON_OBJECT || cria_json_size(v) != 3)
        return bad_tensor(s, t->name,
                          "is not described by exactly \"dtype\", \"shape\" and \"data_offsets\"");
    cria_status st = read_dtype(s, cria_json_get(v, "dtype"), t);
    if (st == CRIA_OK) st = read_shape(s, cria_json_get(v, "shape"), t);
    if (st == CRIA_OK) st = read_place(s, cria_json_get(v, "data_offsets"), t);
    if (st == CRIA_OK) s->c->n_tensors++;
    return st;
}

/* Empty tensors come before the one that begins where they lie. */
static int by_place(const void *items, uint32_t a, uint32_t b) {
    const cria_tensor *t = items;
    if (t[a].data != t[b].data) return t[a].data < t[b].data ? -1 : 1;
    return (t[a].nbytes > t[b].nbytes) - (t[a].nbytes < t[b].nbytes);
}

/* Every tensor begins where the one before it ends, and the last one ends the file. order: room for n
 * numbers. */
static cria_status check_places(const struct safetensors *s, uint32_t *order, const cria_tensor *tensors,
                                size_t n) {
    size_t end = 0;
    cria_order_sort(order, n, by_place, tensors);
    for (size_t i = 0; i < n; i++) {
        const cria_tensor *t = &tensors[order[i]];
        const size_t begin = (size_t)(t->data - s->data);
        if (begin != end)
            return cria_fail(
                s->err, CRIA_EFORMAT, (uint64_t)(t->data - s->src->data),
                "%s: tensor \"%.*s\" begins at byte %zu, but the tensors before it end at %zu, and there "
                "may be neither gaps nor overlaps; the file is damaged.",
                s->src->path, cria_name_shown(t->name, strlen(t->name)), t->name, begin, end);
        end = begin + (size_t)t->nbytes;
    }
    if (end != s->n_data)
        return cria_fail(
            s->err, CRIA_EFORMAT, s->src->len - s->n_data + end,
            "%s: its tensors end at byte %zu, but %zu bytes follow the header; the file is damaged.",
            s->src->path, end, s->n_data);
    return CRIA_OK;
}

static cria_status read_tensors(const struct safetensors *s, const cria_json *root) {
    cria_container *c = s->c;
    const size_t first = c->n_tensors;
    cria_status st = cria_container_reserve(c, cria_json_size(root), s->err);
    const char *name;
    const cria_json *value;
    cria_json_iter it = cria_json_begin(root);
    while (st == CRIA_OK && cria_json_next(&it, &name, &value))
        st = strcmp(name, METADATA) == 0 ? read_metadata(s, value) : read_tensor(s, name, value);
    if (st != CRIA_OK) return st;
    const size_t n = c->n_tensors - first;
    uint32_t *order = cria_malloc_array(c->ctx, n, sizeof *order);
    if (order == NULL) return cria_fail_nomem(s->err, "the order of the tensors", n * sizeof *order);
    st = check_places(s, order, n != 0 ? c->tensors + first : NULL, n);
    cria_free(c->ctx, order);
    return st;
}

/* ---- the file ---------------------------------------------------------------------------- */

cria_status cria_safetensors_read(cria_container *c, const struct cria_source *src, cria_error *err) {
    cria_reader r = cria_reader_init(src->data, src->len);
    uint64_t len = 0;
    const uint8_t *header;
    if (!cria_read_u64(&r, &len) || len > MAX_HEADER)
        return cria_fail(err, CRIA_EFORMAT, 0,
                         "%s: its header should have %llu bytes, but safetensors allows at most %u; the file is "
                         "damaged.",
                         src->path, (unsigned long long)len, MAX_HEADER);
    if (len > cria_reader_left(&r))
        return cria_fail(err, CRIA_EFORMAT, 0,
                         "%s: its header should have %llu bytes, but only %zu follow; the file is cut off or "
                         "damaged, get it again.",
                         src->path, (unsigned long long)len, cria_reader_left(&r));
    if (!cria_read_bytes(&r, len, &header) || len == 0 || header[0] != '{')
        return cria_fail(err, CRIA_EFORMAT, 8, "%s: its header does not begin with {; the file is damaged.",
                         src->path);
    cria_json *root = NULL; /* the compiler cannot know that cria_fail never returns CRIA_OK */
    cria_status st = cria_json_parse((const char *)header, (size_t)len, "the header", &root, err);
    if (st != CRIA_OK) return cria_fail_in(err, st, src->path);
    const struct safetensors s = {c, src, src->data + r.pos, cria_reader_left(&r), err};
    st = read_tensors(&s, root);
    cria_json_free(root);
    return st;
}
