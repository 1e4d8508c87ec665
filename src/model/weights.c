/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading weights in three passes over the same list of slots: bind (find each tensor, check type and shape,
 * decide its packed form), place (sum the sizes with overflow checks), pack (in parallel over row blocks,
 * dropping each source's pages as it is done, so that file and packed copy are never both resident in whole).
 * Packed is into memory or, for a model that is worth it, straight into a new entry of the cache; where there
 * is an entry already it is mapped instead.
 */
#include "model/weights.h"

#include "base/ctx.h"
#include "base/dmath.h"
#include "base/half.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/reader.h"
#include "base/status.h"
#include "model/cache.h"
#include "model/names.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* One weight to load: where it comes from and where it goes. */
struct binding {
    const cria_tensor *tensor;
    const cria_tensor *scales, *biases; /* MLX-quantized; NULL otherwise */
    cria_matrix *matrix;                /* a matrix … */
    const float **vector;               /* … or a vector; never both */
    cria_source source;
    uint64_t offset; /* within the data */
};

struct loader {
    cria_ctx *ctx;
    const cria_container *file;
    const cria_config *config;
    const cria_model_opts *opts;
    cria_weights *w;
    struct binding *bindings;
    size_t n_bindings;
    const cria_tensor *rope_factors; /* NULL: none */
    size_t n_used;                   /* tensors of the file that are accounted for */
    uint64_t n_source_bytes;
    cria_error *err;
};

/* ---- bind ---- */

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
    char name[CRIA_NAME_MAX + 16];
    snprintf(name, sizeof name, "%s%s", stem, suffix);
    return cria_container_find(l->file, name);
}

static bool is_matrix(const cria_tensor *t, uint64_t rows, uint64_t cols) {
    return t->ndim == 2 && t->shape[0] == rows && t->shape[1] == cols;
}

static bool scale_type_of(cria_dtype dtype, enum cria_scale_type *out) {
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

/* MLX: codes in X.weight (uint32), X.scales, and X.biases in affine mode. */
static cria_status bind_mlx_quantized(struct loader *l, const char *stem, const cria_tensor *t,
                                      const cria_tensor *scales, uint32_t rows, uint32_t cols,
                                      struct binding *b, cria_matrix_spec *spec) {
    const struct cria_mlx_quantization *q = &l->config->quantization;
    const char *path = cria_container_path(l->file);
    if (!q->present)
        return cria_fail(
            l->err, CRIA_EFORMAT, CRIA_NOWHERE,
            "%s: there is a tensor %s, so %s is quantized, but config.json has no \"quantization\".", path,
            scales->name, t->name);
    if (t->dtype != CRIA_DTYPE_U32) return wrong_dtype(l, t, "uint32 (packed codes), since it has scales");

    const bool affine = strcmp(q->mode, "affine") == 0;
    enum cria_scale_type type = CRIA_SCALE_F32;
    bool known;
    if (affine) {
        if (!scale_type_of(scales->dtype, &type))
            return wrong_dtype(l, scales, "float32, float16 or bfloat16");
        known = cria_matrix_spec_mlx_affine(rows, cols, q->bits, q->group, type, spec);
    } else {
        if (scales->dtype != CRIA_DTYPE_U8) return wrong_dtype(l, scales, "uint8");
        known = cria_matrix_spec_mlx_fp(q->mode, rows, cols, spec) && spec->bits == q->bits &&
                spec->group == q->group;
    }
    if (!known)
        return cria_fail(
            l->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s: %s with %u columns cannot be quantized as mode %s, %u bits, group size %u says; affine "
            "knows 2, 3, 4, 5, 6, 8 bits and groups of 32, 64, 128 that divide the columns; mxfp4, nvfp4 "
            "and mxfp8 have one size each.",
            path, t->name, cols, q->mode, q->bits, q->group);

    const uint64_t words = (uint64_t)cols * q->bits / 32;
    if (!is_matrix(t, rows, words)) return wrong_shape(l, t, rows, words);
    const uint64_t groups = cols / q->group;
    if (!is_matrix(scales, rows, groups)) return wrong_shape(l, scales, rows, groups);
    l->n_used++;
    b->scales = scales;
    b->source = (cria_source){
        .kind = CRIA_SOURCE_MLX, .data = t->data, .row_bytes = (size_t)words * 4, .scales = scales->data};
    l->n_source_bytes += scales->nbytes;
    if (affine) {
        const cria_tensor *biases = find(l, stem, ".biases");
        if (biases == NULL) {
            char name[CRIA_NAME_MAX + 16];
            snprintf(name, sizeof name, "%s.biases", stem);
            return no_tensor(l, name);
        }
        if (biases->dtype != scales->dtype)
            return wrong_dtype(l, biases, cria_dtype_info(scales->dtype)->text);
        if (!is_matrix(biases, rows, groups)) return wrong_shape(l, biases, rows, groups);
        l->n_used++;
        l->n_source_bytes += biases->nbytes;
        b->biases = biases;
        b->source.biases = biases->data;
    }
    return CRIA_OK;
}

static cria_status bind_plain(struct loader *l, const cria_tensor *t, uint32_t rows, uint32_t cols,
                              struct binding *b, cria_matrix_spec *spec) {
    static const struct {
        cria_dtype dtype;
        enum cria_source_kind kind;
    } kinds[] = {{CRIA_DTYPE_F32, CRIA_SOURCE_F32},   {CRIA_DTYPE_F16, CRIA_SOURCE_F16},
                 {CRIA_DTYPE_BF16, CRIA_SOURCE_BF16}, {CRIA_DTYPE_Q4_0, CRIA_SOURCE_Q4_0},
                 {CRIA_DTYPE_Q4_1, CRIA_SOURCE_Q4_1}, {CRIA_DTYPE_Q5_0, CRIA_SOURCE_Q5_0},
                 {CRIA_DTYPE_Q5_1, CRIA_SOURCE_Q5_1}, {CRIA_DTYPE_Q8_0, CRIA_SOURCE_Q8_0},
                 {CRIA_DTYPE_Q2_K, CRIA_SOURCE_Q2_K}, {CRIA_DTYPE_Q3_K, CRIA_SOURCE_Q3_K},
                 {CRIA_DTYPE_Q4_K, CRIA_SOURCE_Q4_K}, {CRIA_DTYPE_Q5_K, CRIA_SOURCE_Q5_K},
                 {CRIA_DTYPE_Q6_K, CRIA_SOURCE_Q6_K}};
    if (!is_matrix(t, rows, cols)) return wrong_shape(l, t, rows, cols);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (t->dtype != kinds[i].dtype) continue;
        if (!cria_matrix_spec_for(kinds[i].kind, rows, cols, spec) ||
            !cria_dtype_row_bytes(t->dtype, cols, &b->source.row_bytes))
            break;
        b->source.kind = kinds[i].kind;
        b->source.data = t->data;
        return CRIA_OK;
    }
    return wrong_dtype(l, t,
                       "a type of weights (float32, float16, bfloat16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K to "
                       "Q6_K)");
}

static cria_status bind_matrix(struct loader *l, enum cria_slot slot, uint32_t layer, uint32_t rows,
                               uint32_t cols, cria_matrix *out) {
    char stem[CRIA_NAME_MAX], name[CRIA_NAME_MAX + 16];
    cria_slot_name(cria_container_kind(l->file), slot, layer, stem);
    snprintf(name, sizeof name, "%s.weight", stem);
    const cria_tensor *t = cria_container_find(l->file, name);
    if (t == NULL) return no_tensor(l, name);
    l->n_used++;

    struct binding *b = &l->bindings[l->n_bindings];
    *b = (struct binding){.tensor = t, .matrix = out};
    cria_matrix_spec spec;
    const cria_tensor *scales =
        cria_container_kind(l->file) != CRIA_CONTAINER_GGUF ? find(l, stem, ".scales") : NULL;
    cria_status st = scales != NULL ? bind_mlx_quantized(l, stem, t, scales, rows, cols, b, &spec)
                                    : bind_plain(l, t, rows, cols, b, &spec);
    if (st) return st;
    if (!cria_matrix_init(&spec, out))
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the tensor %s (%u x %u) is too large.",
                         cria_container_path(l->file), t->name, rows, cols);
    if (l->config->rope_traditional && (slot == CRIA_SLOT_WQ || slot == CRIA_SLOT_WK)) b->source.paired = l->config->e;
    l->n_bindings++;
    l->n_source_bytes += t->nbytes;
    l->w->n_params += (uint64_t)rows * cols;
    return CRIA_OK;
}

static cria_status bind_vector(struct loader *l, enum cria_slot slot, uint32_t layer, uint32_t n,
                               const float **out) {
    char stem[CRIA_NAME_MAX], name[CRIA_NAME_MAX + 16];
    cria_slot_name(cria_container_kind(l->file), slot, layer, stem);
    snprintf(name, sizeof name, "%s.weight", stem);
    const cria_tensor *t = cria_container_find(l->file, name);
    enum cria_scale_type type;
    if (t == NULL) return no_tensor(l, name);
    if (t->ndim != 1 || t->shape[0] != n) return wrong_shape(l, t, 0, n);
    if (!scale_type_of(t->dtype, &type)) return wrong_dtype(l, t, "float32, float16 or bfloat16");
    l->bindings[l->n_bindings++] = (struct binding){.tensor = t, .vector = out};
    l->n_used++;
    l->n_source_bytes += t->nbytes;
    l->w->n_params += n;
    return CRIA_OK;
}

static cria_status bind_layer(struct loader *l, uint32_t i) {
    const cria_config *c = l->config;
    struct cria_layer *y = &l->w->layers[i];
    const uint32_t q = c->h * c->e, kv = c->hk * c->e; /* at most 2^20 each */
    cria_status st = bind_vector(l, CRIA_SLOT_ATTENTION_NORM, i, c->d, &y->attention_norm);
    if (!st) st = bind_matrix(l, CRIA_SLOT_WQ, i, q, c->d, &y->wq);
    if (!st) st = bind_matrix(l, CRIA_SLOT_WK, i, kv, c->d, &y->wk);
    if (!st) st = bind_matrix(l, CRIA_SLOT_WV, i, kv, c->d, &y->wv);
    if (!st) st = bind_matrix(l, CRIA_SLOT_WO, i, c->d, q, &y->wo);
    if (!st) st = bind_vector(l, CRIA_SLOT_FFN_NORM, i, c->d, &y->ffn_norm);
    if (!st) st = bind_matrix(l, CRIA_SLOT_W1, i, c->f, c->d, &y->w1);
    if (!st) st = bind_matrix(l, CRIA_SLOT_W2, i, c->d, c->f, &y->w2);
    if (!st) st = bind_matrix(l, CRIA_SLOT_W3, i, c->f, c->d, &y->w3);
    return st;
}

/* A tensor that nothing has asked for would change the model if it were understood (a bias, an adapter):
 * refuse it. */
static cria_status check_all_used(const struct loader *l, bool tied) {
    const size_t n = cria_container_count(l->file);
    size_t derived = 0;
    for (size_t i = 0; i < n; i++) derived += cria_name_is_derived(cria_container_at(l->file, i)->name);
    if (l->n_used + derived == n) return CRIA_OK;

    for (size_t i = 0; i < n; i++) {
        const cria_tensor *t = cria_container_at(l->file, i);
        bool used = t == l->rope_factors || cria_name_is_derived(t->name);
        for (size_t j = 0; j < l->n_bindings && !used; j++) {
            const struct binding *b = &l->bindings[j];
            used = t == b->tensor || t == b->scales || t == b->biases;
        }
        if (!used)
            return cria_fail(
                l->err, CRIA_EUNSUPPORTED, i,
                "%s: the tensor %s is not part of a Llama model of %u layers%s; this version does not know "
                "what to do with it.",
                cria_container_path(l->file), t->name, l->config->n_layers,
                tied ? " with tied embeddings" : "");
    }
    return CRIA_OK;
}

/* ---- rope ---- */

double cria_inv_freq(const cria_config *c, uint32_t i) {
    return cria_exp_f64(-2.0 * i / c->e * cria_log_f64((double)c->rope_theta));
}

/* inv_freq[i] = theta^(−2i/e), divided by the factors that a GGUF of Llama 3.1 and later carries in
 * rope_freqs. */
static cria_status read_rope(struct loader *l) {
    const cria_config *c = l->config;
    const uint32_t half = c->e / 2;
    char stem[CRIA_NAME_MAX];
    const cria_tensor *t = NULL;
    if (cria_slot_name(cria_container_kind(l->file), CRIA_SLOT_ROPE_FACTORS, 0, stem))
        t = find(l, stem, ".weight");
    if (t != NULL) {
        if (t->dtype != CRIA_DTYPE_F32) return wrong_dtype(l, t, "float32");
        if (t->ndim != 1 || t->shape[0] != half) return wrong_shape(l, t, 0, half);
        l->rope_factors = t;
        l->n_used++;
    }
    l->w->inv_freq = cria_malloc_array(l->ctx, half, sizeof *l->w->inv_freq);
    if (l->w->inv_freq == NULL) return cria_fail_nomem(l->err, "rotary frequencies", half * sizeof(double));
    for (uint32_t i = 0; i < half; i++) {
        double factor = 1.0;
        if (t != NULL) factor = (double)cria_f32_from_bits(cria_load_u32(t->data + 4 * (size_t)i));
        if (!(factor > 0.0 && factor <= 1e9))
            return cria_fail(l->err, CRIA_EFORMAT, i,
                             "%s: item %u of the tensor %s is %g, but must be a positive number.",
                             cria_container_path(l->file), i, t->name, factor);
        l->w->inv_freq[i] = cria_inv_freq(c, i) / factor;
    }
    return CRIA_OK;
}

/* ---- place and pack ---- */

static size_t binding_bytes(const struct binding *b) {
    const size_t n = b->matrix ? cria_matrix_bytes(b->matrix) : (size_t)b->tensor->shape[0] * sizeof(float);
    return (n + CRIA_ALIGN - 1) / CRIA_ALIGN *
           CRIA_ALIGN; /* n is far below SIZE_MAX: the tensor lies in a file */
}

static cria_status place(struct loader *l) {
    size_t total = 0;
    for (size_t i = 0; i < l->n_bindings; i++) {
        l->bindings[i].offset = total;
        if (!cria_add_ok(total, binding_bytes(&l->bindings[i]), &total))
            return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                             "%s: the weights are too large for this machine.", cria_container_path(l->file));
    }
    l->w->n_bytes = total;
    return CRIA_OK;
}

static cria_status not_finite(const struct loader *l, const struct binding *b, size_t row) {
    return cria_fail(
        l->err, CRIA_EFORMAT, row,
        "%s: row %zu of the tensor %s holds a weight, scale or bias that is not a finite number.",
        cria_container_path(l->file), row, b->tensor->name);
}

struct pack_job {
    const struct binding *b;
    uint8_t *dst;
    atomic_size_t bad_row; /* the lowest, so that the message is the same however the work was split */
};

static void pack_blocks(void *arg, size_t begin, size_t end, uint32_t worker) {
    struct pack_job *job = arg;
    (void)worker;
    const size_t bad =
        cria_matrix_pack(job->b->matrix, &job->b->source, job->dst, (uint32_t)begin, (uint32_t)end);
    size_t seen = atomic_load_explicit(&job->bad_row, memory_order_relaxed);
    while (bad < seen && !atomic_compare_exchange_weak_explicit(&job->bad_row, &seen, bad,
                                                                memory_order_relaxed, memory_order_relaxed)) {
    }
}

static cria_status pack_matrix(struct loader *l, const struct binding *b, uint8_t *dst) {
    struct pack_job job = {.b = b, .dst = dst};
    atomic_init(&job.bad_row, SIZE_MAX);
    const uint32_t blocks = b->matrix->n_blocks;
    const uint32_t grain = blocks / (8 * cria_pool_threads(l->ctx->pool)) + 1;
    cria_pool_for(l->ctx->pool, blocks, grain, pack_blocks, &job);
    const size_t bad = atomic_load_explicit(&job.bad_row, memory_order_relaxed);
    if (bad != SIZE_MAX) return not_finite(l, b, bad);
    return CRIA_OK;
}

static cria_status pack_vector(struct loader *l, const struct binding *b, uint8_t *dst) {
    float *out = (float *)(void *)dst;
    for (size_t i = 0; i < b->tensor->shape[0]; i++) {
        if (b->tensor->dtype == CRIA_DTYPE_F32)
            out[i] = cria_f32_from_bits(cria_load_u32(b->tensor->data + 4 * i));
        else if (b->tensor->dtype == CRIA_DTYPE_F16)
            out[i] = cria_f16_to_f32(cria_load_u16(b->tensor->data + 2 * i));
        else
            out[i] = cria_bf16_to_f32(cria_load_u16(b->tensor->data + 2 * i));
        if (!isfinite(out[i])) return not_finite(l, b, i);
    }
    return CRIA_OK;
}

/* Lets the matrices and vectors point to where they were packed. */
static void point_to(struct loader *l, const uint8_t *data) {
    for (size_t i = 0; i < l->n_bindings; i++) {
        const struct binding *b = &l->bindings[i];
        if (b->matrix)
            b->matrix->data = data + b->offset;
        else
            *b->vector = (const float *)(const void *)(data + b->offset);
    }
}

/* entry: the file that data lies in, or NULL. */
static cria_status pack_all(struct loader *l, uint8_t *data, const cria_outfile *entry) {
    cria_progress_fn *progress = l->opts->progress;
    void *user = l->opts->progress_user;
    uint64_t done = 0;
    for (size_t i = 0; i < l->n_bindings; i++) {
        const struct binding *b = &l->bindings[i];
        if (progress != NULL && !progress(user, done, l->n_source_bytes))
            return cria_fail(l->err, CRIA_ECANCELLED, CRIA_NOWHERE, "%s: loading was cancelled.",
                             cria_container_path(l->file));
        uint8_t *dst = data + b->offset;
        cria_status st = b->matrix ? pack_matrix(l, b, dst) : pack_vector(l, b, dst);
        if (st) return st;
        if (entry != NULL) cria_outfile_flush(entry, dst, binding_bytes(b));
        const cria_tensor *const read[] = {b->tensor, b->scales, b->biases};
        for (size_t j = 0; j < 3; j++) {
            if (read[j] == NULL) continue;
            cria_mapfile_dontneed(read[j]->data, (size_t)read[j]->nbytes);
            done += read[j]->nbytes;
        }
    }
    point_to(l, data);
    if (progress != NULL) progress(user, l->n_source_bytes, l->n_source_bytes);
    return CRIA_OK;
}

static cria_status pack_in_memory(struct loader *l) {
    l->w->memory = cria_malloc(l->ctx, (size_t)l->w->n_bytes);
    if (l->w->memory == NULL) return cria_fail_nomem(l->err, "the packed weights", (size_t)l->w->n_bytes);
    cria_mem_prefer_huge(l->w->memory, (size_t)l->w->n_bytes);
    return pack_all(l, l->w->memory, NULL);
}

/* ---- cache ---- */

/* What is smaller is packed in half a second (97 MB took 0.2 s on two cores), less than a file is worth. */
#define CACHE_LEAST_BYTES (256u << 20)

static cria_status init_cache(struct loader *l, cria_cache *k, cria_error *why) {
    cria_identity source;
    cria_status st = cria_container_identify(l->file, &source, why);
    if (st) return st;
    cria_cache_piece *pieces = cria_malloc_array(l->ctx, l->n_bindings, sizeof *pieces);
    if (pieces == NULL)
        return cria_fail_nomem(why, "the list of packed weights", l->n_bindings * sizeof *pieces);
    for (size_t i = 0; i < l->n_bindings; i++) {
        const struct binding *b = &l->bindings[i];
        const cria_matrix_spec *spec = b->matrix ? &b->matrix->spec : NULL;
        pieces[i] = (cria_cache_piece){b->tensor->name, spec, b->offset, binding_bytes(b)};
    }
    st = cria_cache_init(k, l->ctx, l->opts->cache_folder, &source, pieces, l->n_bindings,
                         (size_t)l->w->n_bytes, why);
    cria_free(l->ctx, pieces);
    return st;
}

/* Has the disk read what begins_alike will look at, all at once: one after the other would wait once a
 * matrix. */
static void fetch_beginnings(const struct loader *l, const uint8_t *data) {
    for (size_t i = 0; i < l->n_bindings; i++) {
        const struct binding *b = &l->bindings[i];
        const size_t all = (size_t)b->tensor->nbytes,
                     rows = CRIA_ROWS * b->source.row_bytes; /* at most 2^30 */
        cria_mapfile_willneed(data + b->offset, b->matrix ? b->matrix->block_bytes : binding_bytes(b));
        cria_mapfile_willneed(b->tensor->data, b->matrix && rows < all ? rows : all);
    }
}

/* The first rows of every matrix, and every vector, packed anew and compared: an entry of other files, of
 * another layout or full of zeros does not pass, and it costs a few pages of each. scratch: room for the
 * largest. */
static bool begins_alike(struct loader *l, const uint8_t *data, uint8_t *scratch) {
    fetch_beginnings(l, data);
    for (size_t i = 0; i < l->n_bindings; i++) {
        const struct binding *b = &l->bindings[i];
        const size_t n = b->matrix ? b->matrix->block_bytes : (size_t)b->tensor->shape[0] * sizeof(float);
        const bool finite = b->matrix ? cria_matrix_pack(b->matrix, &b->source, scratch, 0, 1) == SIZE_MAX
                                      : pack_vector(l, b, scratch) == CRIA_OK;
        if (!finite || memcmp(scratch, data + b->offset, n) != 0) return false;
    }
    return true;
}

/* Whether the cache has the weights; then they are in use. */
static cria_status use_entry(struct loader *l, const cria_cache *k, bool *used, cria_error *why) {
    size_t largest = 0;
    for (size_t i = 0; i < l->n_bindings; i++) {
        const struct binding *b = &l->bindings[i];
        const size_t n = b->matrix ? b->matrix->block_bytes : binding_bytes(b);
        if (n > largest) largest = n;
    }
    cria_mapfile map = {.len = 0};
    cria_status st = cria_cache_find(k, &map, why);
    if (st || map.data == NULL) return st;
    uint8_t *scratch = cria_malloc(l->ctx, largest);
    if (scratch == NULL) {
        st = cria_fail_nomem(why, "the first rows of a matrix", largest);
    } else if (begins_alike(l, map.data + k->data_offset, scratch)) {
        *used = true;
    } else {
        cria_log(l->ctx, CRIA_LOG_INFO, "%s/%s holds other weights or another layout; it is not used.",
                 k->folder, k->name);
    }
    cria_free(l->ctx, scratch);
    if (!*used) {
        cria_mapfile_close(&map);
        return st;
    }
    point_to(l, map.data + k->data_offset);
    l->w->map = map;
    if (l->opts->progress != NULL)
        l->opts->progress(l->opts->progress_user, l->n_source_bytes, l->n_source_bytes);
    cria_log(l->ctx, CRIA_LOG_INFO, "The packed weights are mapped from %s/%s.", k->folder, k->name);
    return CRIA_OK;
}

/* Packs into a new entry. What is wrong with the model itself goes to *packed, and what with the cache is
 * returned. */
static cria_status make_entry(struct loader *l, const cria_cache *k, cria_status *packed, cria_error *why) {
    cria_outfile entry;
    cria_status st = cria_cache_create(k, &entry, why);
    if (st) return st;
    *packed = pack_all(l, entry.data + k->data_offset, &entry);
    if (*packed) {
        cria_outfile_discard(&entry);
        return CRIA_OK;
    }
    st = cria_outfile_commit(&entry, &l->w->map, why);
    if (!st)
        cria_log(l->ctx, CRIA_LOG_INFO, "The packed weights are kept in %s/%s (%zu bytes).", k->folder,
                 k->name, k->total);
    return st;
}

/* From the cache, or into it. A cache that cannot be used is no reason to fail, unless it was asked for. */
static cria_status provide(struct loader *l) {
    if (l->opts->cache_folder == NULL) return pack_in_memory(l);
    const uint64_t least = l->opts->cache_least_bytes != 0 ? l->opts->cache_least_bytes : CACHE_LEAST_BYTES;
    const bool worth = l->w->n_bytes >= least;
    cria_cache cache;
    cria_error why;
    cria_status packed = CRIA_OK;
    bool used = false;
    cria_status st = init_cache(l, &cache, &why);
    if (!st) {
        st = use_entry(l, &cache, &used, &why);
        if (!st && !used && worth) st = make_entry(l, &cache, &packed, &why);
        cria_cache_fini(&cache);
    }
    if (!st) return used || worth ? packed : pack_in_memory(l);
    if (l->opts->cache_required) return cria_fail(l->err, st, why.where, "%s", why.msg);
    cria_log(l->ctx, CRIA_LOG_WARN, "%s Going on without a cache.", why.msg);
    return pack_in_memory(l);
}

/* ---- load ---- */

static cria_status load(struct loader *l) {
    const cria_config *c = l->config;
    cria_weights *w = l->w;
    /* A layer has tensors of its own, so their number bounds the layers before anything is allocated for
     * them. */
    if (c->n_layers > cria_container_count(l->file))
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the model has %u layers, but the file only %zu tensors.",
                         cria_container_path(l->file), c->n_layers, cria_container_count(l->file));
    const size_t slots =
        (size_t)c->n_layers * (CRIA_SLOT_COUNT - CRIA_SLOT_FIRST_OF_LAYER) + CRIA_SLOT_FIRST_OF_LAYER;
    w->layers = cria_calloc(l->ctx, c->n_layers, sizeof *w->layers);
    l->bindings = cria_calloc(l->ctx, slots, sizeof *l->bindings);
    if (w->layers == NULL || l->bindings == NULL)
        return cria_fail_nomem(l->err, "the list of tensors", slots * sizeof *l->bindings);

    const bool tied =
        cria_container_kind(l->file) == CRIA_CONTAINER_GGUF && find(l, "output", ".weight") == NULL;
    cria_status st = bind_matrix(l, CRIA_SLOT_TOK_EMBEDDINGS, 0, c->V, c->d, &w->tok_embeddings);
    for (uint32_t i = 0; i < c->n_layers && !st; i++) st = bind_layer(l, i);
    if (!st) st = bind_vector(l, CRIA_SLOT_NORM, 0, c->d, &w->norm);
    if (!st && !tied) st = bind_matrix(l, CRIA_SLOT_OUTPUT, 0, c->V, c->d, &w->output);
    if (!st) st = read_rope(l);
    if (!st) st = check_all_used(l, tied);
    if (!st) st = place(l);
    if (!st) st = provide(l);
    if (!st && tied) w->output = w->tok_embeddings;
    return st;
}

cria_status cria_weights_load(cria_ctx *ctx, const cria_container *file, const cria_config *config,
                              const cria_model_opts *opts, cria_weights *out, cria_error *err) {
    cria_weights w = {.ctx = ctx};
    struct loader l = {.ctx = ctx, .file = file, .config = config, .opts = opts, .w = &w, .err = err};
    cria_status st = load(&l);
    cria_free(ctx, l.bindings);
    if (st)
        cria_weights_free(&w);
    else
        *out = w;
    return st;
}

void cria_weights_free(cria_weights *w) {
    if (w->ctx == NULL) return;
    cria_free(w->ctx, w->layers);
    cria_free(w->ctx, w->inv_freq);
    cria_free(w->ctx, w->memory);
    cria_mapfile_close(&w->map);
    *w = (cria_weights){0};
}
