/* SPDX-License-Identifier: Apache-2.0 */
/* See bind.h. */
#include "model/bind.h"

#include "base/mem.h"
#include "base/status.h"
#include "model/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct loader {
    cria_ctx *ctx;
    const cria_container *file;
    const cria_config *config;
    cria_weights *w;
    struct cria_bindings *b;
    size_t n_used; /* tensors of the file that are accounted for */
    cria_error *err;
};

/* The weight wanted of a tensor. */
struct want {
    enum cria_slot slot;
    uint32_t layer, expert;
    uint32_t rows, cols; /* of the weight */
    uint32_t all, first; /* rows of the tensor, and which of them is the weight's first; 0, 0: just the weight's */
    bool stacked;        /* the tensor is [all/rows][rows][cols] */
    uint32_t paired;     /* as in cria_source */
};

/* ---- messages ---- */

static cria_status no_tensor(const struct loader *l, const char *name) {
    return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the tensor %s is missing.",
                     cria_container_path(l->file), name);
}

static cria_status wrong_shape(const struct loader *l, const cria_tensor *t, uint64_t rows, uint64_t cols) {
    char got[CRIA_MAX_DIMS * 24] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < t->ndim; i++)
        at += (size_t)snprintf(got + at, sizeof got - at, "%s%" PRIu64, i ? " x " : "", t->shape[i]);
    if (rows == 0)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the tensor %s has the shape (%s), but the configuration asks for (%" PRIu64
                         ").",
                         cria_container_path(l->file), t->name, got, cols);
    return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                     "%s: the tensor %s has the shape (%s), but the configuration asks for (%" PRIu64
                     " x %" PRIu64 ").",
                     cria_container_path(l->file), t->name, got, rows, cols);
}

static cria_status wrong_dtype(const struct loader *l, const cria_tensor *t, const char *want) {
    return cria_fail(l->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                     "%s: the tensor %s is of type %s, but must be %s.", cria_container_path(l->file),
                     t->name, cria_dtype_info(t->dtype)->text, want);
}

static const cria_tensor *find(struct loader *l, const char *stem, const char *suffix) {
    char name[CRIA_NAME_MAX + 32];
    snprintf(name, sizeof name, "%s%s", stem, suffix);
    return cria_container_find(l->file, name);
}

/* ---- matrices ---- */

/* Rows of a tensor with as many columns; of a stack of matrices, those of all. */
static bool is_matrix(const cria_tensor *t, const struct want *want, uint64_t cols) {
    if (want->stacked)
        return t->ndim == 3 && t->shape[0] * want->rows == want->all && t->shape[1] == want->rows &&
               t->shape[2] == cols;
    return t->ndim == 2 && t->shape[0] == want->all && t->shape[1] == cols;
}

/* A tensor counts when its first rows are asked for. */
static void used(struct loader *l, const struct want *want) { l->n_used += want->first == 0; }

bool cria_scale_type_of(cria_dtype dtype, enum cria_scale_type *out) {
    switch (dtype) {
    case CRIA_DTYPE_F32:
        *out = CRIA_SCALE_F32;
        return true;
    case CRIA_DTYPE_F16:
        *out = CRIA_SCALE_F16;
        return true;
    case CRIA_DTYPE_BF16:
        *out = CRIA_SCALE_BF16;
        return true;
    default:
        return false;
    }
}

/* What the shapes of codes and scales say: bits and group. False where they are of no mode. */
static bool mlx_sizes(const struct want *want, const cria_tensor *t, const cria_tensor *scales, uint32_t *bits,
                      uint32_t *group) {
    const uint64_t words = t->ndim ? t->shape[t->ndim - 1] : 0;
    const uint64_t groups = scales->ndim ? scales->shape[scales->ndim - 1] : 0;
    if (groups == 0 || groups > want->cols || want->cols % groups != 0 || words > want->cols ||
        words * 32 % want->cols != 0)
        return false;
    *bits = (uint32_t)(words * 32 / want->cols);
    *group = (uint32_t)(want->cols / groups);
    return true;
}

/* MLX: codes in X.weight (uint32), X.scales, and X.biases in affine mode. Bits, group and mode are told by the tensors;
 * config.json has to agree unless it makes exceptions. */
static cria_status bind_mlx_quantized(struct loader *l, const char *stem, const cria_tensor *t,
                                      const cria_tensor *scales, const struct want *want,
                                      struct cria_binding *b, cria_matrix_spec *spec) {
    const struct cria_mlx_quantization *q = &l->config->quantization;
    const char *path = cria_container_path(l->file);
    if (!q->present)
        return cria_fail(
            l->err, CRIA_EFORMAT, CRIA_NOWHERE,
            "%s: there is a tensor %s, so %s is quantized, but config.json has no \"quantization\".", path,
            scales->name, t->name);
    if (t->dtype != CRIA_DTYPE_U32) return wrong_dtype(l, t, "uint32 (packed codes), since it has scales");

    cria_mlx_mode m = {q->mode, q->bits, q->group};
    const cria_tensor *biases = find(l, stem, ".biases");
    if (q->exceptions && mlx_sizes(want, t, scales, &m.bits, &m.group))
        m.mode = cria_mlx_mode_of(biases != NULL, m.bits, m.group);
    const bool affine = strcmp(m.mode, "affine") == 0;
    enum cria_scale_type type = CRIA_SCALE_F32;
    if (affine && !cria_scale_type_of(scales->dtype, &type))
        return wrong_dtype(l, scales, "float32, float16 or bfloat16");
    if (!affine && scales->dtype != CRIA_DTYPE_U8) return wrong_dtype(l, scales, "uint8");
    if (!cria_matrix_spec_mlx(&m, want->rows, want->cols, type, spec))
        return cria_fail(
            l->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s: %s with %u columns cannot be quantized as mode %s, %u bits, group size %u says; affine "
            "knows 2, 3, 4, 5, 6, 8 bits and groups of 32, 64, 128 that divide the columns; mxfp4, nvfp4 "
            "and mxfp8 have one size each.",
            path, t->name, want->cols, m.mode, m.bits, m.group);

    const uint64_t words = (uint64_t)want->cols * m.bits / 32;
    if (!is_matrix(t, want, words)) return wrong_shape(l, t, want->all, words);
    const uint64_t groups = want->cols / m.group;
    if (!is_matrix(scales, want, groups)) return wrong_shape(l, scales, want->all, groups);
    used(l, want);
    const size_t scale_row = (size_t)(scales->nbytes / want->all), before = want->first * scale_row;
    b->scales = scales;
    b->source = (cria_source){.kind = CRIA_SOURCE_MLX, .data = t->data, .row_bytes = (size_t)words * 4,
                              .scales = scales->data + before};
    b->source_bytes += want->rows * scale_row;
    if (affine) {
        if (biases == NULL) {
            char name[CRIA_NAME_MAX + 32];
            snprintf(name, sizeof name, "%s.biases", stem);
            return no_tensor(l, name);
        }
        if (biases->dtype != scales->dtype)
            return wrong_dtype(l, biases, cria_dtype_info(scales->dtype)->text);
        if (!is_matrix(biases, want, groups)) return wrong_shape(l, biases, want->all, groups);
        used(l, want);
        b->source_bytes += want->rows * scale_row;
        b->biases = biases;
        b->source.biases = biases->data + before;
    }
    return CRIA_OK;
}

bool cria_source_kind_of(cria_dtype dtype, enum cria_source_kind *out) {
    static const struct {
        cria_dtype dtype;
        enum cria_source_kind kind;
    } kinds[] = {{CRIA_DTYPE_F32, CRIA_SOURCE_F32},       {CRIA_DTYPE_F16, CRIA_SOURCE_F16},
                 {CRIA_DTYPE_BF16, CRIA_SOURCE_BF16},     {CRIA_DTYPE_F8_E4M3, CRIA_SOURCE_E4M3},
                 {CRIA_DTYPE_Q4_0, CRIA_SOURCE_Q4_0},     {CRIA_DTYPE_Q4_1, CRIA_SOURCE_Q4_1},
                 {CRIA_DTYPE_Q5_0, CRIA_SOURCE_Q5_0},     {CRIA_DTYPE_Q5_1, CRIA_SOURCE_Q5_1},
                 {CRIA_DTYPE_Q8_0, CRIA_SOURCE_Q8_0},     {CRIA_DTYPE_Q2_K, CRIA_SOURCE_Q2_K},
                 {CRIA_DTYPE_Q3_K, CRIA_SOURCE_Q3_K},     {CRIA_DTYPE_Q4_K, CRIA_SOURCE_Q4_K},
                 {CRIA_DTYPE_Q5_K, CRIA_SOURCE_Q5_K},     {CRIA_DTYPE_Q6_K, CRIA_SOURCE_Q6_K},
                 {CRIA_DTYPE_IQ4_NL, CRIA_SOURCE_IQ4_NL}, {CRIA_DTYPE_IQ4_XS, CRIA_SOURCE_IQ4_XS},
                 {CRIA_DTYPE_MXFP4, CRIA_SOURCE_MXFP4}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (dtype != kinds[i].dtype) continue;
        *out = kinds[i].kind;
        return true;
    }
    return false;
}

static cria_status bind_plain(struct loader *l, const cria_tensor *t, const struct want *want,
                              struct cria_binding *b, cria_matrix_spec *spec) {
    if (!is_matrix(t, want, want->cols)) return wrong_shape(l, t, want->all, want->cols);
    if (cria_source_kind_of(t->dtype, &b->source.kind) &&
        cria_matrix_spec_for(b->source.kind, want->rows, want->cols, spec) &&
        cria_dtype_row_bytes(t->dtype, want->cols, &b->source.row_bytes)) {
        b->source.data = t->data;
        return CRIA_OK;
    }
    return wrong_dtype(l, t,
                       "a type of weights (float32, float16, bfloat16, float8_e4m3, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, "
                       "Q2_K to Q6_K, IQ4_NL, IQ4_XS or MXFP4)");
}

static struct cria_binding *add(struct loader *l) {
    struct cria_bindings *b = l->b;
    if (b->n == b->cap) {
        const size_t cap = b->cap ? 2 * b->cap : 64;
        struct cria_binding *items = cria_realloc(l->ctx, b->items, b->cap * sizeof *items, cap * sizeof *items);
        if (items == NULL) return NULL;
        b->items = items;
        b->cap = cap;
    }
    return &b->items[b->n++];
}

static cria_status no_memory(const struct loader *l) {
    return cria_fail_nomem(l->err, "the list of tensors", 2 * l->b->cap * sizeof *l->b->items);
}

static void name_of(const struct loader *l, const struct want *want, const char *suffix,
                    char out[CRIA_NAME_MAX + 16]) {
    char stem[CRIA_NAME_MAX] = "";
    cria_slot_name(l->config, want->slot, want->layer, want->expert, stem);
    snprintf(out, CRIA_NAME_MAX + 16, "%s%s", stem, suffix);
}

static bool there(struct loader *l, enum cria_slot slot, uint32_t layer, uint32_t expert) {
    char stem[CRIA_NAME_MAX];
    return cria_slot_name(l->config, slot, layer, expert, stem) && find(l, stem, ".weight") != NULL;
}

static cria_status bind_matrix(struct loader *l, struct want want, cria_matrix *out) {
    char stem[CRIA_NAME_MAX + 16], name[CRIA_NAME_MAX + 16];
    if (want.all == 0) want.all = want.rows;
    name_of(l, &want, "", stem);
    name_of(l, &want, ".weight", name);
    const cria_tensor *t = cria_container_find(l->file, name);
    if (t == NULL) return no_tensor(l, name);
    used(l, &want);

    struct cria_binding b = {.tensor = t, .matrix = out};
    cria_matrix_spec spec;
    const cria_tensor *scales = l->config->naming != CRIA_NAMING_GGUF ? find(l, stem, ".scales") : NULL;
    cria_status st = scales != NULL ? bind_mlx_quantized(l, stem, t, scales, &want, &b, &spec)
                                    : bind_plain(l, t, &want, &b, &spec);
    if (st) return st;
    if (!cria_matrix_init(&spec, out))
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the tensor %s (%u x %u) is too large.",
                         cria_container_path(l->file), t->name, want.rows, want.cols);
    b.source.data += want.first * b.source.row_bytes;
    b.first = want.first;
    b.source.paired = want.paired;
    b.source_bytes += want.rows * b.source.row_bytes;
    struct cria_binding *item = add(l);
    if (item == NULL) return no_memory(l);
    *item = b;
    l->b->source_bytes += b.source_bytes;
    l->b->n_params += (uint64_t)want.rows * want.cols;
    return CRIA_OK;
}

/* ---- vectors ---- */

/* suffix: ".weight", or ".bias" of the matrix's rows. */
static cria_status bind_vector(struct loader *l, struct want want, const char *suffix, float offset_by,
                               const float **out) {
    char name[CRIA_NAME_MAX + 16];
    if (want.all == 0) want.all = want.rows;
    name_of(l, &want, suffix, name);
    const cria_tensor *t = cria_container_find(l->file, name);
    enum cria_scale_type type;
    if (t == NULL) return no_tensor(l, name);
    if (t->ndim != 1 || t->shape[0] != want.all) return wrong_shape(l, t, 0, want.all);
    if (!cria_scale_type_of(t->dtype, &type)) return wrong_dtype(l, t, "float32, float16 or bfloat16");
    used(l, &want);
    struct cria_binding *item = add(l);
    if (item == NULL) return no_memory(l);
    *item = (struct cria_binding){.tensor = t,
                                  .vector = out,
                                  .n = want.rows,
                                  .first = want.first,
                                  .source = {.paired = want.paired},
                                  .offset_by = offset_by,
                                  .source_bytes = t->nbytes / want.all * want.rows};
    l->b->source_bytes += item->source_bytes;
    l->b->n_params += want.rows;
    return CRIA_OK;
}

static cria_status bind_norm(struct loader *l, enum cria_slot slot, uint32_t layer, uint32_t n, const float **out) {
    return bind_vector(l, (struct want){.slot = slot, .layer = layer, .rows = n}, ".weight", l->config->norm_offset,
                       out);
}

/* A matrix and, where there is one, its bias. */
static cria_status bind_linear(struct loader *l, struct want want, cria_matrix *out, bool has_bias,
                               const float **bias) {
    cria_status st = bind_matrix(l, want, out);
    if (!st && has_bias) st = bind_vector(l, want, ".bias", 0, bias);
    return st;
}

/* ---- layers ---- */

static cria_status bind_attention(struct loader *l, uint32_t i, struct cria_layer *y) {
    const cria_config *c = l->config;
    const uint32_t q = c->h * c->e, kv = c->hk * c->e, all = q + 2 * kv; /* at most 3·2^20 */
    const uint32_t paired = c->rope_traditional ? c->e : 0; /* of layers without rope, too: for the same sums */
    struct want wq = {.slot = CRIA_SLOT_WQ, .layer = i, .rows = q, .cols = c->d, .paired = paired};
    struct want wk = {.slot = CRIA_SLOT_WK, .layer = i, .rows = kv, .cols = c->d, .paired = paired};
    struct want wv = {.slot = CRIA_SLOT_WV, .layer = i, .rows = kv, .cols = c->d};
    if (there(l, CRIA_SLOT_WQKV, i, 0)) {
        wq.slot = wk.slot = wv.slot = CRIA_SLOT_WQKV;
        wq.all = wk.all = wv.all = all;
        wk.first = q;
        wv.first = q + kv;
    }
    cria_status st = c->pre_norm ? bind_norm(l, CRIA_SLOT_ATTENTION_NORM, i, c->d, &y->attention_norm) : CRIA_OK;
    if (!st) st = bind_linear(l, wq, &y->wq, c->qkv_bias, &y->bq);
    if (!st) st = bind_linear(l, wk, &y->wk, c->qkv_bias, &y->bk);
    if (!st) st = bind_linear(l, wv, &y->wv, c->qkv_bias, &y->bv);
    if (!st && c->qk_norm != CRIA_QK_NORM_NONE) {
        const bool each = c->qk_norm == CRIA_QK_NORM_HEAD;
        struct want qn = {.slot = CRIA_SLOT_Q_NORM, .layer = i, .rows = each ? c->e : q, .paired = paired};
        struct want kn = {.slot = CRIA_SLOT_K_NORM, .layer = i, .rows = each ? c->e : kv, .paired = paired};
        st = bind_vector(l, qn, ".weight", c->norm_offset, &y->q_norm);
        if (!st) st = bind_vector(l, kn, ".weight", c->norm_offset, &y->k_norm);
    }
    const struct want wo = {.slot = CRIA_SLOT_WO, .layer = i, .rows = c->d, .cols = q};
    if (!st) st = bind_linear(l, wo, &y->wo, c->o_bias, &y->bo);
    if (!st && c->post_norm) st = bind_norm(l, CRIA_SLOT_POST_ATTENTION_NORM, i, c->d, &y->post_attention_norm);
    return st;
}

static cria_status bind_ffn(struct loader *l, uint32_t i, struct cria_layer *y) {
    const cria_config *c = l->config;
    struct want w1 = {.slot = CRIA_SLOT_W1, .layer = i, .rows = c->f, .cols = c->d};
    struct want w3 = {.slot = CRIA_SLOT_W3, .layer = i, .rows = c->f, .cols = c->d};
    const struct want w2 = {.slot = CRIA_SLOT_W2, .layer = i, .rows = c->d, .cols = c->f};
    if (!there(l, CRIA_SLOT_W1, i, 0) && there(l, CRIA_SLOT_W13, i, 0)) {
        w1.slot = w3.slot = CRIA_SLOT_W13;
        w1.all = w3.all = 2 * c->f;
        w3.first = c->f;
    }
    cria_status st = bind_linear(l, w1, &y->ffn.w1, c->ffn_bias, &y->b1);
    if (!st) st = bind_linear(l, w3, &y->ffn.w3, c->ffn_bias, &y->b3);
    if (!st) st = bind_linear(l, w2, &y->ffn.w2, c->ffn_bias, &y->b2);
    return st;
}

static cria_status bind_experts(struct loader *l, uint32_t i, struct cria_layer *y) {
    const cria_config *c = l->config;
    const uint32_t n = c->n_experts, f = c->f_expert;
    const bool stacked = there(l, CRIA_SLOT_EXPERTS_W1, i, 0);
    if ((uint64_t)n * f > UINT32_MAX || (uint64_t)n * c->d > UINT32_MAX)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: %u experts of %u x %u are too large.",
                         cria_container_path(l->file), n, f, c->d);
    cria_status st = bind_matrix(
        l, (struct want){.slot = CRIA_SLOT_ROUTER, .layer = i, .rows = n, .cols = c->d}, &y->router);
    for (uint32_t e = 0; e < n && !st; e++) {
        struct want w1 = {.slot = CRIA_SLOT_EXPERT_W1, .layer = i, .expert = e, .rows = f, .cols = c->d};
        struct want w2 = {.slot = CRIA_SLOT_EXPERT_W2, .layer = i, .expert = e, .rows = c->d, .cols = f};
        if (stacked) {
            w1.slot = CRIA_SLOT_EXPERTS_W1, w1.stacked = true, w1.all = n * f, w1.first = e * f;
            w2.slot = CRIA_SLOT_EXPERTS_W2, w2.stacked = true, w2.all = n * c->d, w2.first = e * c->d;
        }
        struct want w3 = w1;
        w3.slot = stacked ? CRIA_SLOT_EXPERTS_W3 : CRIA_SLOT_EXPERT_W3;
        st = bind_matrix(l, w1, &y->experts[e].w1);
        if (!st) st = bind_matrix(l, w3, &y->experts[e].w3);
        if (!st) st = bind_matrix(l, w2, &y->experts[e].w2);
    }
    return st;
}

static cria_status bind_layer(struct loader *l, uint32_t i) {
    const cria_config *c = l->config;
    struct cria_layer *y = &l->w->layers[i];
    cria_status st = bind_attention(l, i, y);
    if (!st && c->pre_norm) st = bind_norm(l, CRIA_SLOT_FFN_NORM, i, c->d, &y->ffn_norm);
    if (!st) st = (c->layer[i] & CRIA_LAYER_EXPERTS ? bind_experts : bind_ffn)(l, i, y);
    if (!st && c->post_norm) st = bind_norm(l, CRIA_SLOT_POST_FFN_NORM, i, c->d, &y->post_ffn_norm);
    return st;
}

/* ---- the whole ---- */

static cria_status check_all_used(const struct loader *l) {
    const size_t n = cria_container_count(l->file);
    size_t derived = 0;
    for (size_t i = 0; i < n; i++) derived += cria_name_is_derived(l->config, cria_container_at(l->file, i)->name);
    if (l->n_used + derived == n) return CRIA_OK;

    for (size_t i = 0; i < n; i++) {
        const cria_tensor *t = cria_container_at(l->file, i);
        bool is_used = cria_name_is_derived(l->config, t->name);
        for (size_t j = 0; j < l->b->n && !is_used; j++) {
            const struct cria_binding *b = &l->b->items[j];
            is_used = t == b->tensor || t == b->scales || t == b->biases;
        }
        if (!is_used)
            return cria_fail(
                l->err, CRIA_EUNSUPPORTED, i,
                "%s: the tensor %s is not part of a %s model of %u layers%s; this version does not know "
                "what to do with it.",
                cria_container_path(l->file), t->name, l->config->family, l->config->n_layers,
                l->config->tied ? " with tied embeddings" : "");
    }
    return CRIA_OK;
}

static cria_status bind(struct loader *l) {
    const cria_config *c = l->config;
    cria_weights *w = l->w;
    cria_status st =
        bind_matrix(l, (struct want){.slot = CRIA_SLOT_TOK_EMBEDDINGS, .rows = c->V, .cols = c->d}, &w->tok_embeddings);
    for (uint32_t i = 0; i < c->n_layers && !st; i++) st = bind_layer(l, i);
    if (!st) st = bind_norm(l, CRIA_SLOT_NORM, 0, c->d, &w->norm);
    if (!st && !c->tied)
        st = bind_matrix(l, (struct want){.slot = CRIA_SLOT_OUTPUT, .rows = c->V, .cols = c->d}, &w->output);
    if (!st) st = check_all_used(l);
    return st;
}

cria_status cria_bind(cria_ctx *ctx, const cria_container *file, const cria_config *config, cria_weights *w,
                      struct cria_bindings *out, cria_error *err) {
    *out = (struct cria_bindings){.ctx = ctx};
    struct loader l = {.ctx = ctx, .file = file, .config = config, .w = w, .b = out, .err = err};
    const cria_status st = bind(&l);
    if (st) cria_bindings_fini(out);
    return st;
}

void cria_bindings_fini(struct cria_bindings *b) {
    cria_free(b->ctx, b->items);
    *b = (struct cria_bindings){.ctx = b->ctx};
}
