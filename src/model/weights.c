/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading weights in three passes over the same list: bind (bind.c: find each tensor, check type and shape,
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
#include "kernels/forms.h"
#include "model/bind.h"
#include "model/cache.h"
#include "model/rope.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct loader {
    cria_ctx *ctx;
    const cria_container *file;
    const cria_config *config;
    const cria_model_opts *opts;
    cria_weights *w;
    struct cria_bindings b;
    cria_error *err;
};

/* ---- place and pack ---- */

static size_t binding_bytes(const struct cria_binding *b) {
    const size_t n = b->matrix ? cria_matrix_bytes(b->matrix) : (size_t)b->n * sizeof(float);
    return (n + CRIA_ALIGN - 1) / CRIA_ALIGN *
           CRIA_ALIGN; /* n is far below SIZE_MAX: the tensor lies in a file */
}

static cria_status place(struct loader *l) {
    size_t total = 0;
    for (size_t i = 0; i < l->b.n; i++) {
        l->b.items[i].offset = total;
        if (!cria_add_ok(total, binding_bytes(&l->b.items[i]), &total))
            return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                             "%s: the weights are too large for this machine.", cria_container_path(l->file));
    }
    l->w->n_bytes = total;
    return CRIA_OK;
}

static cria_status not_finite(const struct loader *l, const struct cria_binding *b, size_t row) {
    return cria_fail(
        l->err, CRIA_EFORMAT, row,
        "%s: row %zu of the tensor %s holds a weight, scale or bias that is not a finite number.",
        cria_container_path(l->file), row, b->tensor->name);
}

struct pack_job {
    const struct cria_binding *b;
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

static cria_status pack_matrix(struct loader *l, const struct cria_binding *b, uint8_t *dst) {
    struct pack_job job = {.b = b, .dst = dst};
    atomic_init(&job.bad_row, SIZE_MAX);
    cria_pool_for(l->ctx->pool, b->matrix->n_blocks, SIZE_MAX, pack_blocks, &job);
    const size_t bad = atomic_load_explicit(&job.bad_row, memory_order_relaxed);
    if (bad != SIZE_MAX) return not_finite(l, b, b->first + bad);
    return CRIA_OK;
}

static float number_at(const cria_tensor *t, size_t i) {
    if (t->dtype == CRIA_DTYPE_F32) return cria_f32_from_bits(cria_load_u32(t->data + 4 * i));
    if (t->dtype == CRIA_DTYPE_F16) return cria_f16_to_f32(cria_load_u16(t->data + 2 * i));
    return cria_bf16_to_f32(cria_load_u16(t->data + 2 * i));
}

static cria_status pack_vector(struct loader *l, const struct cria_binding *b, uint8_t *dst) {
    float *out = (float *)(void *)dst;
    for (uint32_t i = 0; i < b->n; i++) {
        const size_t from = b->first + cria_source_row(&b->source, i);
        out[i] = number_at(b->tensor, from) + b->offset_by;
        if (!isfinite(out[i])) return not_finite(l, b, from);
    }
    return CRIA_OK;
}

/* Lets the matrices and vectors point to where they were packed. */
static void point_to(struct loader *l, const uint8_t *data) {
    for (size_t i = 0; i < l->b.n; i++) {
        const struct cria_binding *b = &l->b.items[i];
        if (b->matrix)
            b->matrix->data = data + b->offset;
        else
            *b->vector = (const float *)(const void *)(data + b->offset);
    }
}

/* Whether binding i is the last that reads the tensor; those of one tensor are near each other. */
static bool last_of_tensor(const struct loader *l, size_t i, const cria_tensor *t) {
    for (size_t j = i + 1; j < l->b.n && j < i + 4; j++)
        if (l->b.items[j].tensor == t || l->b.items[j].scales == t || l->b.items[j].biases == t) return false;
    return true;
}

/* entry: the file that data lies in, or NULL. */
static cria_status pack_all(struct loader *l, uint8_t *data, const cria_outfile *entry) {
    cria_progress_fn *progress = l->opts->progress;
    void *user = l->opts->progress_user;
    uint64_t done = 0;
    for (size_t i = 0; i < l->b.n; i++) {
        const struct cria_binding *b = &l->b.items[i];
        if (progress != NULL && !progress(user, done, l->b.source_bytes))
            return cria_fail(l->err, CRIA_ECANCELLED, CRIA_NOWHERE, "%s: loading was cancelled.",
                             cria_container_path(l->file));
        uint8_t *dst = data + b->offset;
        cria_status st = b->matrix ? pack_matrix(l, b, dst) : pack_vector(l, b, dst);
        if (st) return st;
        if (entry != NULL) cria_outfile_flush(entry, dst, binding_bytes(b));
        const cria_tensor *const read[] = {b->tensor, b->scales, b->biases};
        for (size_t j = 0; j < 3; j++) {
            if (read[j] == NULL) continue;
            if (last_of_tensor(l, i, read[j])) cria_mapfile_dontneed(read[j]->data, (size_t)read[j]->nbytes);
        }
        done += b->source_bytes;
    }
    point_to(l, data);
    if (progress != NULL) progress(user, l->b.source_bytes, l->b.source_bytes);
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
    cria_cache_piece *pieces = cria_malloc_array(l->ctx, l->b.n, sizeof *pieces);
    if (pieces == NULL)
        return cria_fail_nomem(why, "the list of packed weights", l->b.n * sizeof *pieces);
    for (size_t i = 0; i < l->b.n; i++) {
        const struct cria_binding *b = &l->b.items[i];
        const cria_matrix_spec *spec = b->matrix ? &b->matrix->spec : NULL;
        pieces[i] = (cria_cache_piece){b->tensor->name, spec, b->offset, binding_bytes(b)};
    }
    st = cria_cache_init(k, l->ctx, l->opts->cache_folder, &source, pieces, l->b.n,
                         (size_t)l->w->n_bytes, why);
    cria_free(l->ctx, pieces);
    return st;
}

/* Has the disk read what begins_alike will look at of the source, all at once: one after the other would wait once a
 * matrix. Not of the entry: what is asked for in advance comes in small pages, and then all around stays in small
 * pages, which every token pays for (a fifth of the time to a first token, even with nothing in memory). */
static void fetch_beginnings(const struct loader *l) {
    for (size_t i = 0; i < l->b.n; i++) {
        const struct cria_binding *b = &l->b.items[i];
        const size_t all = (size_t)b->tensor->nbytes,
                     rows = CRIA_ROWS * b->source.row_bytes; /* at most 2^30 */
        cria_mapfile_willneed(b->tensor->data, b->matrix && rows < all ? rows : all);
    }
}

/* The first rows of every matrix, and every vector, packed anew and compared: an entry of other files, of
 * another layout or full of zeros does not pass, and it costs a page of each, a huge one. scratch: room for the
 * largest. */
static bool begins_alike(struct loader *l, const uint8_t *data, uint8_t *scratch) {
    fetch_beginnings(l);
    for (size_t i = 0; i < l->b.n; i++) {
        const struct cria_binding *b = &l->b.items[i];
        const size_t n = b->matrix ? b->matrix->block_bytes : b->n * sizeof(float);
        const bool finite = b->matrix ? cria_matrix_pack(b->matrix, &b->source, scratch, 0, 1) == SIZE_MAX
                                      : pack_vector(l, b, scratch) == CRIA_OK;
        if (!finite || memcmp(scratch, data + b->offset, n) != 0) return false;
    }
    return true;
}

/* Whether the cache has the weights; then they are in use. */
static cria_status use_entry(struct loader *l, const cria_cache *k, bool *used, cria_error *why) {
    size_t largest = 0;
    for (size_t i = 0; i < l->b.n; i++) {
        const struct cria_binding *b = &l->b.items[i];
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
        l->opts->progress(l->opts->progress_user, l->b.source_bytes, l->b.source_bytes);
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

cria_status cria_weights_init(cria_weights *w, const cria_config *c, cria_error *err) {
    const size_t n_experts = (size_t)cria_config_experts(c); /* at most 2^20 */
    size_t used = 0;
    w->layers = cria_calloc(w->ctx, c->n_layers, sizeof *w->layers);
    w->experts = n_experts ? cria_calloc(w->ctx, n_experts, sizeof *w->experts) : NULL;
    for (uint32_t i = 0; i < 2; i++) w->inv_freq[i] = cria_calloc(w->ctx, c->rotary / 2, sizeof(double));
    if (w->layers == NULL || (n_experts && w->experts == NULL) || w->inv_freq[0] == NULL || w->inv_freq[1] == NULL)
        return cria_fail_nomem(err, "the list of layers",
                               c->n_layers * sizeof *w->layers + n_experts * sizeof *w->experts);
    for (uint32_t i = 0; i < c->n_layers; i++) {
        if (!(c->layer[i] & CRIA_LAYER_EXPERTS)) continue;
        w->layers[i].experts = w->experts + used;
        used += c->n_experts;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const bool there = c->rope[i].theta >= 1.0f; /* the second is of few models */
        if (there) cria_rope_frequencies(c, i, w->inv_freq[i], &w->amplitude[i]);
    }
    return CRIA_OK;
}

#define LEAST_EXPERT_BYTES 64u /* three matrices, however small and however quantized */

/* All but the packing. */
static cria_status outline(struct loader *l) {
    const cria_config *c = l->config;
    cria_weights *w = l->w;
    /* A layer has tensors of its own, and an expert at least parts of some, so the file bounds both before anything is
     * allocated for them. */
    if (c->n_layers > cria_container_count(l->file))
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the model has %u layers, but the file only %zu tensors.",
                         cria_container_path(l->file), c->n_layers, cria_container_count(l->file));
    const uint64_t n_experts = cria_config_experts(c);
    uint64_t bytes = 0;
    for (size_t i = 0; i < cria_container_count(l->file); i++) bytes += cria_container_at(l->file, i)->nbytes;
    if (n_experts > bytes / LEAST_EXPERT_BYTES)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the configuration asks for %" PRIu64 " experts, more than the file has room for.",
                         cria_container_path(l->file), n_experts);
    cria_status st = cria_weights_init(w, c, l->err);
    if (!st) st = cria_bind(l->ctx, l->file, c, w, &l->b, l->err);
    if (!st) w->n_params = l->b.n_params;
    return st ? st : place(l);
}

static void tie(struct loader *l) {
    if (l->config->tied) l->w->output = l->w->tok_embeddings;
}

cria_status cria_weights_load(cria_ctx *ctx, const cria_container *file, const cria_config *config,
                              const cria_model_opts *opts, cria_weights *out, cria_error *err) {
    cria_weights w = {.ctx = ctx};
    struct loader l = {
        .ctx = ctx, .file = file, .config = config, .opts = opts, .w = &w, .b = {.ctx = ctx}, .err = err};
    cria_status st = outline(&l);
    if (!st) st = provide(&l);
    if (!st) tie(&l);
    cria_bindings_fini(&l.b);
    if (st)
        cria_weights_free(&w);
    else
        *out = w;
    return st;
}

/* ---- the outline ---- */

static cria_tensor_info describe(const struct cria_binding *b) {
    const cria_tensor *t = b->tensor;
    cria_tensor_info info = {.name = t->name, .rows = 1, .cols = 1, .n_bytes = t->nbytes};
    for (uint32_t i = 0; i + 1 < t->ndim; i++) info.rows *= t->shape[i];
    info.cols = b->matrix ? b->matrix->spec.cols : t->ndim ? t->shape[t->ndim - 1] : 1;
    if (b->matrix)
        info.type = cria_form_of(b->source.kind, &b->matrix->spec);
    else
        info.type = t->dtype == CRIA_DTYPE_F32 ? "f32" : t->dtype == CRIA_DTYPE_F16 ? "f16" : "bf16";
    if (b->scales) info.n_bytes += b->scales->nbytes;
    if (b->biases) info.n_bytes += b->biases->nbytes;
    return info;
}

/* Every tensor once, though rows of it may be bound several times (fused matrices, experts). */
static cria_status describe_all(struct loader *l, cria_tensor_info **out, size_t *n_out) {
    const size_t n_tensors = cria_container_count(l->file);
    cria_tensor_info *tensors = cria_malloc_array(l->ctx, n_tensors, sizeof *tensors);
    bool *seen = cria_calloc(l->ctx, n_tensors, sizeof *seen);
    size_t n = 0;
    for (size_t i = 0; i < l->b.n && tensors && seen; i++) {
        bool *at = &seen[l->b.items[i].tensor - cria_container_at(l->file, 0)];
        if (!*at) tensors[n++] = describe(&l->b.items[i]);
        *at = true;
    }
    const bool done = tensors && seen;
    cria_free(l->ctx, seen);
    if (!done) {
        cria_free(l->ctx, tensors);
        return cria_fail_nomem(l->err, "the list of tensors", n_tensors * sizeof *tensors);
    }
    *out = tensors;
    *n_out = n;
    return CRIA_OK;
}

cria_status cria_weights_outline(cria_ctx *ctx, const cria_container *file, const cria_config *config,
                                 cria_weights *out, cria_tensor_info **tensors, size_t *n, cria_error *err) {
    cria_weights w = {.ctx = ctx};
    struct loader l = {.ctx = ctx, .file = file, .config = config, .w = &w, .b = {.ctx = ctx}, .err = err};
    cria_status st = outline(&l);
    if (!st) st = describe_all(&l, tensors, n);
    if (!st) tie(&l);
    cria_bindings_fini(&l.b);
    if (st)
        cria_weights_free(&w);
    else
        *out = w;
    return st;
}

void cria_weights_free(cria_weights *w) {
    if (w->ctx == NULL) return;
    cria_free(w->ctx, w->layers);
    cria_free(w->ctx, w->experts);
    cria_free(w->ctx, w->inv_freq[0]);
    cria_free(w->ctx, w->inv_freq[1]);
    cria_free(w->ctx, w->memory);
    cria_mapfile_close(&w->map);
    *w = (cria_weights){0};
}
