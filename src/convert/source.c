/* SPDX-License-Identifier: Apache-2.0 */
/* Opening what is to be converted, and what all kinds of sources share; see source.h. */
#include "convert/source.h"

#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "model/bind.h"

#include <inttypes.h>
#include <string.h>

#define DIM_MAX (1u << 24)

/* ---- memory ---- */

struct cria_convert_block {
    struct cria_convert_block *next;
};

void *cria_convert_alloc(struct cria_convert_source *s, size_t bytes) {
    struct cria_convert_block *b = cria_malloc(s->ctx, CRIA_ALIGN + bytes);
    if (b == NULL) return NULL;
    b->next = s->blocks;
    s->blocks = b;
    return (uint8_t *)b + CRIA_ALIGN;
}

const char *cria_convert_string(struct cria_convert_source *s, const char *text, size_t len) {
    char *copy = cria_convert_alloc(s, len + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *cria_convert_join(struct cria_convert_source *s, const char *folder, const char *name) {
    char *joined = cria_path_join(s->ctx, folder, name);
    const char *kept = joined ? cria_convert_string(s, joined, strlen(joined)) : NULL;
    cria_free(s->ctx, joined);
    return (char *)(uintptr_t)kept;
}

cria_status cria_convert_reserve(struct cria_convert_source *s, size_t n, cria_error *err) {
    size_t bytes;
    if (!cria_mul_ok(n, sizeof *s->tensors, &bytes))
        return cria_fail_nomem(err, "the list of tensors", SIZE_MAX);
    s->tensors = cria_convert_alloc(s, bytes);
    return s->tensors ? CRIA_OK : cria_fail_nomem(err, "the list of tensors", bytes);
}

/* ---- tensors ---- */

static bool is_weight_type(cria_dtype type) {
    switch (type) {
    case CRIA_DTYPE_F32:
    case CRIA_DTYPE_F16:
    case CRIA_DTYPE_BF16:
    case CRIA_DTYPE_F8_E4M3:
        return true;
    default:
        return cria_dtype_info(type)->items > 1;
    }
}

static cria_status refuse(const struct cria_convert_source *s, const cria_tensor *t, const char *what,
                          cria_error *err) {
    return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                     "%s: the tensor %.120s (%s, %" PRIu32 " dimensions) %s.", s->path, t->name,
                     cria_dtype_info(t->dtype)->text, t->ndim, what);
}

/* Takes the parts' dimensions together. */
static cria_status join_shape(const struct cria_convert_source *s, struct cria_convert_tensor *t,
                              cria_error *err) {
    const cria_tensor *first = t->parts[0];
    if (first->ndim < 1 || first->ndim > 3) return refuse(s, first, "is no vector or matrix", err);
    if (t->n_parts > 1 && t->axis >= first->ndim)
        return refuse(s, first, "cannot be joined with its other parts", err);
    t->ndim = first->ndim;
    memcpy(t->shape, first->shape, sizeof t->shape);
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const cria_tensor *p = t->parts[i];
        if (!is_weight_type(p->dtype)) return refuse(s, p, "is not of a type of weights", err);
        bool alike = p->ndim == t->ndim && p->dtype == first->dtype;
        for (uint32_t d = 0; d < t->ndim && alike; d++)
            alike = p->shape[d] <= DIM_MAX && (p->shape[d] == first->shape[d] || d == t->axis);
        if (!alike) return refuse(s, p, "is too large or does not fit its other parts", err);
        if (i > 0) t->shape[t->axis] += p->shape[t->axis]; /* at most 64 · 2^24 */
    }
    uint64_t rows = 1;
    for (uint32_t d = 0; d < t->ndim; d++) {
        if (t->shape[d] < 1 || t->shape[d] > DIM_MAX)
            return refuse(s, first, "has a dimension of 0 or above 2^24", err);
        if (d + 1 < t->ndim) rows *= t->shape[d];
    }
    if (rows > UINT32_MAX) return refuse(s, first, "has too many rows", err);
    return CRIA_OK;
}

cria_status cria_convert_add(struct cria_convert_source *s, const char *name, uint32_t paired,
                             const cria_tensor *const *parts, uint32_t n_parts, uint32_t axis,
                             cria_error *err) {
    const cria_tensor **list = cria_convert_alloc(s, n_parts * sizeof *list);
    const char *kept = cria_convert_string(s, name, strlen(name));
    if (list == NULL || kept == NULL) return cria_fail_nomem(err, "a tensor's name", strlen(name));
    memcpy(list, parts, n_parts * sizeof *list);
    struct cria_convert_tensor t = {
        .name = kept, .parts = list, .n_parts = n_parts, .axis = axis, .paired = paired};
    const cria_status st = join_shape(s, &t, err);
    if (st) return st;
    t.matrix = t.ndim >= 2;
    if (paired != 0 && (t.ndim > 2 || t.shape[0] % paired != 0))
        return refuse(s, parts[0], "is not made of whole heads", err);
    s->tensors[s->n++] = t;
    return CRIA_OK;
}

cria_status cria_convert_rename(const struct cria_convert_source *s, enum cria_naming from,
                                const cria_tensor *t, char name[CRIA_NAME_MAX], uint32_t *paired,
                                cria_error *err) {
    enum cria_slot slot;
    if (!cria_slot_rename(from, s->names, t->name, name, &slot))
        return refuse(s, t, "is not part of a plain Llama, or has no name in what is to be written", err);
    const bool head_rows = slot == CRIA_SLOT_WQ || slot == CRIA_SLOT_WK;
    *paired = head_rows && s->model.rope_traditional && s->names == CRIA_NAMING_HF ? s->model.e : 0;
    return CRIA_OK;
}

/* ---- MLX's quantization ---- */

cria_status cria_convert_mode_read(const cria_json *q, const char *path, cria_mlx_mode *out,
                                   cria_error *err) {
    const cria_json *mode = cria_json_get(q, "mode"), *bits = cria_json_get(q, "bits"),
                    *group = cria_json_get(q, "group_size");
    const char *name = mode != NULL ? cria_json_string(mode, NULL) : "affine";
    const cria_mlx_mode *known = name != NULL ? cria_mlx_mode_named(name) : NULL;
    if (known == NULL)
        return cria_fail(
            err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s: \"quantization\" has a mode that is not known; it must be affine, mxfp4, nvfp4 or mxfp8.",
            path);
    int64_t n = known->bits, g = known->group;
    if ((bits != NULL && !cria_json_int(bits, &n)) || (group != NULL && !cria_json_int(group, &g)) || n < 1 ||
        n > 8 || g < 1 || g > 128)
        return cria_fail(
            err, CRIA_EFORMAT, CRIA_NOWHERE,
            "%s: the bits and group_size of \"quantization\" are no numbers that MLX quantizes with.", path);
    *out = (cria_mlx_mode){known->mode, (uint32_t)n, (uint32_t)g};
    return CRIA_OK;
}

bool cria_convert_mode_spec(const cria_mlx_mode *mode, uint64_t rows, uint64_t cols,
                            enum cria_scale_type scale_type, cria_matrix_spec *out) {
    if (rows > DIM_MAX) rows = 1; /* of experts taken together: nothing of a row depends on it */
    if (cols > DIM_MAX) return false;
    return cria_matrix_spec_mlx(mode, (uint32_t)rows, (uint32_t)cols, scale_type, out);
}

static bool same_shape(const cria_tensor *a, const cria_tensor *b, uint64_t last) {
    if (b == NULL || a->ndim != b->ndim || b->shape[b->ndim - 1] != last) return false;
    for (uint32_t i = 0; i + 1 < a->ndim; i++)
        if (a->shape[i] != b->shape[i]) return false;
    return true;
}

cria_status cria_convert_add_mlx(struct cria_convert_source *s, const char *name, uint32_t paired,
                                 const cria_tensor *codes, const cria_tensor *scales,
                                 const cria_tensor *biases, const cria_mlx_mode *mode,
                                 cria_error *err) {
    const uint64_t groups = scales->ndim ? scales->shape[scales->ndim - 1] : 0;
    const bool affine = strcmp(mode->mode, "affine") == 0;
    enum cria_scale_type type = CRIA_SCALE_E8M0; /* or what else the mode has */
    cria_matrix_spec spec;
    if (codes->dtype != CRIA_DTYPE_U32 || codes->ndim < 2 || groups > DIM_MAX ||
        (affine ? !cria_scale_type_of(scales->dtype, &type) : scales->dtype != CRIA_DTYPE_U8) ||
        !cria_convert_mode_spec(mode, codes->shape[0], groups * mode->group, type, &spec) ||
        !same_shape(codes, scales, groups) ||
        codes->shape[codes->ndim - 1] * 32 != groups * mode->group * mode->bits ||
        (affine ? !same_shape(codes, biases, groups) || biases->dtype != scales->dtype : biases != NULL))
        return refuse(s, codes, "is not quantized as config.json says", err);
    /* What the codes stand for: the shape of that is checked and kept. */
    cria_tensor whole = *codes;
    whole.dtype = CRIA_DTYPE_F16;
    whole.shape[whole.ndim - 1] = groups * mode->group;
    const cria_tensor *list[] = {&whole};
    const cria_status st = cria_convert_add(s, name, paired, list, 1, 0, err);
    if (st) return st;
    struct cria_convert_tensor *t = &s->tensors[s->n - 1];
    const cria_tensor **parts = cria_convert_alloc(s, sizeof *parts);
    if (parts == NULL) return cria_fail_nomem(err, "the list of tensors", sizeof *parts);
    parts[0] = codes;
    t->parts = parts;
    t->scales = scales;
    t->biases = biases;
    t->mlx = spec;
    return CRIA_OK;
}

/* How a layer was quantized: as is said of it, or of all. */
static cria_status mode_of(struct cria_convert_source *s, const cria_json *config, const char *weight,
                           cria_mlx_mode *out, cria_error *err) {
    const cria_json *q = config ? cria_json_get(config, "quantization") : NULL;
    if (q == NULL || cria_json_type(q) != CRIA_JSON_OBJECT)
        return cria_fail(
            err, CRIA_EFORMAT, CRIA_NOWHERE,
            "%s: %.120s has scales, so it is quantized, but config.json has no \"quantization\".", s->path,
            weight);
    const cria_status st = cria_convert_mode_read(q, s->config_path, &s->mode, err);
    if (st) return st;
    char stem[512];
    const size_t n = strlen(weight) - strlen(".weight");
    if (n < sizeof stem) {
        memcpy(stem, weight, n);
        stem[n] = '\0';
        const cria_json *own = cria_json_get(q, stem);
        if (own != NULL && cria_json_type(own) == CRIA_JSON_OBJECT) q = own;
    }
    return cria_convert_mode_read(q, s->config_path, out, err);
}

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* The tensor "X<new>" for "X<old>". */
static const cria_tensor *beside(const cria_container *c, const char *name, const char *old,
                                 const char *new) {
    char other[512];
    if (!ends_with(name, old)) return NULL;
    const size_t stem = strlen(name) - strlen(old);
    if (stem + strlen(new) >= sizeof other) return NULL;
    memcpy(other, name, stem);
    memcpy(other + stem, new, strlen(new) + 1);
    return cria_container_find(c, other);
}

static cria_status add_one(struct cria_convert_source *s, enum cria_naming from, const cria_tensor *t,
                           const cria_json *config, cria_error *err) {
    const cria_container *c = s->container;
    char name[CRIA_NAME_MAX];
    uint32_t paired = 0;
    cria_status st = from == s->names ? CRIA_OK : cria_convert_rename(s, from, t, name, &paired, err);
    if (st) return st;
    const char *new_name = from == s->names ? t->name : name;
    const cria_tensor *scales = beside(c, t->name, ".weight", ".scales");
    if (scales == NULL) return cria_convert_add(s, new_name, paired, &t, 1, 0, err);
    cria_mlx_mode mode;
    st = mode_of(s, config, t->name, &mode, err);
    if (st) return st;
    return cria_convert_add_mlx(s, new_name, paired, t, scales, beside(c, t->name, ".weight", ".biases"),
                                &mode, err);
}

cria_status cria_convert_add_all(struct cria_convert_source *s, enum cria_naming from, const cria_json *config,
                                 bool (*skip)(const struct cria_convert_source *s, const char *name),
                                 cria_error *err) {
    const cria_container *c = s->container;
    for (size_t i = 0; i < cria_container_count(c); i++) {
        const cria_tensor *t = cria_container_at(c, i);
        if (cria_name_is_computed(t->name) || (skip != NULL && skip(s, t->name))) continue;
        if (beside(c, t->name, ".scales", ".weight") || beside(c, t->name, ".biases", ".weight")) continue;
        const cria_status st = add_one(s, from, t, config, err);
        if (st) return st;
    }
    return CRIA_OK;
}

/* ---- configurations ---- */

cria_status cria_convert_read_config(struct cria_convert_source *s, const char *name, cria_error *err) {
    s->config_path = cria_convert_join(s, s->folder, name);
    if (s->config_path == NULL) return cria_fail_nomem(err, "a path", strlen(name));
    return cria_mapfile_open(s->config_path, &s->config_map, err);
}

/* What a model has that a plain Llama has not; NULL: nothing. */
static const char *beyond_llama(const cria_config *c) {
    if (strcmp(c->family, "llama") != 0) return "the model type is not llama";
    if (c->rope[0].scaling != CRIA_ROPE_PLAIN) return "the rotary embeddings are scaled";
    if (c->rotary != c->e) return "only a part of each head is rotated";
    if (c->qkv_bias || c->o_bias || c->ffn_bias) return "there are biases";
    for (uint32_t i = 0; i < c->n_layers; i++)
        if (c->layer[i] != 0) return "there are layers with experts or a sliding window";
    return NULL;
}

cria_status cria_convert_check_plain(const char *name, const cria_config *c, cria_error *err) {
    const char *what = beyond_llama(c);
    if (what == NULL) return CRIA_OK;
    return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                     "%s: %s, which the example's npz cannot say; only a plain Llama can be written as one. Leave out "
                     "--npz.",
                     name, what);
}

/* ---- open ---- */

static bool has(struct cria_convert_source *s, const char *name, bool *failed) {
    char *path = cria_path_join(s->ctx, s->path, name);
    const bool found = path != NULL && cria_path_kind(path) == CRIA_PATH_FILE;
    *failed |= path == NULL;
    cria_free(s->ctx, path);
    return found;
}

static cria_status open_container(struct cria_convert_source *s, cria_error *err) {
    cria_status st = cria_container_open(s->ctx, s->path, &s->container, err);
    if (st) return st;
    switch (cria_container_kind(s->container)) {
    case CRIA_CONTAINER_NPZ:
        return cria_convert_open_npz(s, err);
    case CRIA_CONTAINER_SAFETENSORS:
        return cria_convert_open_hf(s, err);
    case CRIA_CONTAINER_GGUF:
        break;
    }
    return cria_convert_open_gguf(s, err);
}

static cria_status open_folder(struct cria_convert_source *s, cria_error *err) {
    bool failed = false;
    const bool params = has(s, "params.json", &failed),
               npz = has(s, "weights.npz", &failed) || has(s, "weights.00.npz", &failed);
    if (failed) return cria_fail_nomem(err, "a path", strlen(s->path) + 32);
    s->folder = s->path;
    if (params && !npz) return cria_convert_open_pth(s, err);
    return open_container(s, err);
}

/* The folder of a file. */
static cria_status find_folder(struct cria_convert_source *s, cria_error *err) {
    const char *slash = strrchr(s->path, '/');
    s->folder =
        slash ? cria_convert_string(s, s->path, slash == s->path ? 1 : (size_t)(slash - s->path)) : ".";
    return s->folder ? CRIA_OK : cria_fail_nomem(err, "a path", strlen(s->path));
}

static cria_status open_file(struct cria_convert_source *s, cria_error *err) {
    cria_status st = find_folder(s, err);
    if (!st) st = cria_mapfile_open(s->path, &s->map, err);
    if (st) return st;
    if (cria_convert_is_llama2c(s->map.data, s->map.len)) return cria_convert_open_llama2c(s, err);
    cria_mapfile_close(&s->map);
    return open_container(s, err);
}

cria_status cria_convert_open(cria_ctx *ctx, const char *path, enum cria_naming want, const char *tokenizer,
                              struct cria_convert_source *out, cria_error *err) {
    struct cria_convert_source s = {.ctx = ctx, .path = path, .names = want, .tokenizer = tokenizer};
    s.model = cria_config_plain();
    s.bos = s.eos = -1;
    const cria_status st =
        cria_path_kind(path) == CRIA_PATH_FOLDER ? open_folder(&s, err) : open_file(&s, err);
    if (st)
        cria_convert_close(&s);
    else
        *out = s;
    return st;
}

void cria_convert_close(struct cria_convert_source *s) {
    if (s->ctx == NULL) return;
    for (size_t i = 0; i < s->n_pth; i++) cria_pth_close(&s->pth[i]);
    cria_container_close(s->container);
    cria_mapfile_close(&s->map);
    cria_mapfile_close(&s->config_map);
    while (s->blocks != NULL) {
        struct cria_convert_block *b = s->blocks;
        s->blocks = b->next;
        cria_free(s->ctx, b);
    }
    *s = (struct cria_convert_source){0};
}
