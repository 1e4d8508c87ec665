/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model from any source into an MLX folder: open (source.h), decide (plan.h), lay out the files
 * (format/write.h), and fill them tensor by tensor, rows in parallel. A tensor's rows go from the mapped
 * source through a few kilobytes of a worker into the mapped file, so that nothing is in memory twice.
 */
#include "convert/convert.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/outfolder.h"
#include "base/pool.h"
#include "base/status.h"
#include "convert/write.h"
#include "kernels/quantize.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Of one file: mlx-lm's limit for safetensors, the example's for npz. */
#define SHARD_BYTES ((uint64_t)5 << 30)
#define NPZ_SHARD_BYTES ((uint64_t)15 << 30)
#define SLICE_BYTES ((uint64_t)32 << 20) /* between two looks at whether to go on */

struct run {
    cria_ctx *ctx;
    struct cria_convert_source s;
    struct cria_convert_plan plan;
    const cria_convert_opts *opts;
    cria_outfolder folder;
    uint64_t done;
    uint32_t n_files;
    cria_error *err;
};

/* ---- one tensor ---- */

struct fill {
    const struct cria_convert_item *item;
    uint64_t first_block;
    uint8_t *scratch;                /* [workers][scratch_bytes] */
    size_t scratch_bytes, row_bytes; /* of a worker; of a row of floats */
    atomic_uint_fast64_t bad_row;    /* the first with a number that is not finite; UINT64_MAX: none */
};

static void note_bad(struct fill *f, uint64_t row) {
    uint_fast64_t seen = atomic_load_explicit(&f->bad_row, memory_order_relaxed);
    while (row < seen && !atomic_compare_exchange_weak_explicit(&f->bad_row, &seen, row, memory_order_relaxed,
                                                                memory_order_relaxed))
        continue;
}

static bool all_finite(enum cria_source_kind type, const uint8_t *p, size_t n) {
    uint32_t bad = 0;
    if (type == CRIA_SOURCE_F32) {
        for (size_t i = 0; i < n; i++) {
            uint32_t u;
            memcpy(&u, p + 4 * i, 4);
            bad |= (u & 0x7f800000u) == 0x7f800000u;
        }
        return !bad;
    }
    const uint16_t exponent = type == CRIA_SOURCE_F16 ? 0x7c00 : 0x7f80;
    for (size_t i = 0; i < n; i++) {
        uint16_t u;
        memcpy(&u, p + 2 * i, 2);
        bad |= (u & exponent) == exponent;
    }
    return !bad;
}

/* A block is 16 rows. */
static void fill_blocks(void *arg, size_t begin, size_t end, uint32_t worker) {
    struct fill *f = arg;
    const struct cria_convert_item *item = f->item;
    const uint64_t rows = cria_convert_rows(item->tensor), cols = cria_convert_cols(item->tensor);
    uint8_t *scratch = f->scratch + worker * f->scratch_bytes,
            *floats = scratch + f->scratch_bytes - CRIA_ROWS * f->row_bytes;
    for (size_t b = begin; b < end; b++) {
        const uint64_t row = (f->first_block + b) * CRIA_ROWS;
        const uint32_t n = rows - row < CRIA_ROWS ? (uint32_t)(rows - row) : CRIA_ROWS;
        const bool quantize = item->how == CRIA_CONVERT_QUANTIZE;
        uint8_t *to = quantize ? floats : item->out[0].data + row * f->row_bytes;
        cria_convert_read(item->tensor, row, n, item->type, to, scratch);
        for (uint32_t r = 0; r < n; r++)
            if (!all_finite(item->type, to + r * f->row_bytes, (size_t)cols)) note_bad(f, row + r);
        if (!quantize) continue;
        const size_t codes = cria_source_row_bytes(CRIA_SOURCE_MLX, &item->spec),
                     scales = cria_quantize_scale_bytes(&item->spec);
        cria_quantize(&item->spec, item->type, to, n, item->out[0].data + row * codes,
                      item->out[1].data + row * scales,
                      item->spec.affine ? item->out[2].data + row * scales : NULL);
    }
}

/* Codes and scales as they are; the rows of pairs brought into halves. */
static void copy_quantized(const struct cria_convert_item *item) {
    const struct cria_convert_tensor *t = item->tensor;
    const cria_tensor *const from[] = {t->parts[0], t->scales, t->biases};
    const uint64_t rows = cria_convert_rows(t), half = t->paired / 2;
    for (uint32_t i = 0; i < item->n_out; i++) {
        const size_t from_bytes = (size_t)(from[i]->nbytes / rows),
                     to_bytes = (size_t)(item->out[i].n_bytes / rows);
        for (uint64_t r = 0; r < rows; r++) {
            const uint64_t k = t->paired ? r % t->paired : 0;
            const uint64_t row = t->paired ? r - k + (k < half ? 2 * k : 2 * (k - half) + 1) : r;
            const uint8_t *p = from[i]->data + row * from_bytes;
            uint8_t *to = item->out[i].data + r * to_bytes;
            if (from[i]->dtype == item->out[i].dtype) {
                memcpy(to, p, to_bytes);
                continue;
            }
            const enum cria_source_kind type = from[i]->dtype == CRIA_DTYPE_F32   ? CRIA_SOURCE_F32
                                               : from[i]->dtype == CRIA_DTYPE_F16 ? CRIA_SOURCE_F16
                                                                                  : CRIA_SOURCE_BF16;
            for (uint64_t g = 0; g < item->out[i].shape[t->ndim - 1]; g++) {
                float x;
                cria_floats_load(type, p + g * (type == CRIA_SOURCE_F32 ? 4 : 2), 1, &x);
                cria_floats_store(item->type, &x, 1, to + g * (item->type == CRIA_SOURCE_F32 ? 4 : 2));
            }
        }
    }
}

static cria_status check_progress(struct run *r) {
    if (r->opts->progress == NULL || r->opts->progress(r->opts->progress_user, r->done, r->plan.n_params))
        return CRIA_OK;
    return cria_fail(r->err, CRIA_ECANCELLED, CRIA_NOWHERE, "Converting %s was cancelled.", r->s.path);
}

static cria_status not_finite(const struct run *r, const struct cria_convert_item *item, uint64_t row) {
    return cria_fail(
        r->err, CRIA_EFORMAT, row, "%s: row %" PRIu64 " of the tensor %s has a number that is not finite%s.",
        r->s.path, row, item->tensor->name,
        item->type == CRIA_SOURCE_F16 ? ", or too large for float16; --dtype bfloat16 has room for it" : "");
}

static cria_status fill_item(struct run *r, const struct cria_convert_item *item) {
    const struct cria_convert_tensor *t = item->tensor;
    const uint64_t rows = cria_convert_rows(t), cols = cria_convert_cols(t),
                   blocks = (rows + CRIA_ROWS - 1) / CRIA_ROWS;
    if (item->how == CRIA_CONVERT_COPY) {
        copy_quantized(item);
        r->done += rows * cols;
        return check_progress(r);
    }
    struct fill f = {.item = item, .row_bytes = (size_t)cols * (item->type == CRIA_SOURCE_F32 ? 4 : 2)};
    const uint32_t workers = cria_pool_threads(r->ctx->pool);
    f.scratch_bytes = (cria_convert_scratch_bytes(t) + CRIA_ROWS * f.row_bytes + 127) / 64 * 64;
    f.scratch = cria_malloc_array(r->ctx, workers, f.scratch_bytes);
    if (f.scratch == NULL) return cria_fail_nomem(r->err, "rows to convert", f.scratch_bytes);
    atomic_init(&f.bad_row, UINT64_MAX);
    const uint64_t slice = SLICE_BYTES / (CRIA_ROWS * cols * 4) + workers;
    cria_status st = CRIA_OK;
    for (uint64_t at = 0; at < blocks && !st; at += slice) {
        const uint64_t n = blocks - at < slice ? blocks - at : slice;
        f.first_block = at;
        cria_pool_for(r->ctx->pool, (size_t)n, 1, fill_blocks, &f);
        const uint64_t bad = atomic_load(&f.bad_row);
        if (bad != UINT64_MAX) st = not_finite(r, item, bad);
        r->done += (n * CRIA_ROWS < rows - at * CRIA_ROWS ? n * CRIA_ROWS : rows - at * CRIA_ROWS) * cols;
        if (!st) st = check_progress(r);
    }
    cria_free(r->ctx, f.scratch);
    return st;
}

/* The source's pages are not needed again, and the file's can go to the disk. */
static void let_go(const struct cria_convert_item *item, const cria_outfile *file) {
    const struct cria_convert_tensor *t = item->tensor;
    for (uint32_t i = 0; i < t->n_parts; i++)
        cria_mapfile_dontneed(t->parts[i]->data, (size_t)t->parts[i]->nbytes);
    for (uint32_t i = 0; i < item->n_out; i++) {
        cria_outfile_flush(file, item->out[i].data, item->out[i].n_bytes);
        cria_mapfile_dontneed(item->out[i].data,
                              item->out[i].n_bytes); /* of this mapping: the file keeps them */
    }
}

/* ---- files ---- */

/* Items [from, to) in one file. */
static cria_status write_shard(struct run *r, const char *name, size_t from, size_t to) {
    size_t n = 0, k = 0;
    for (size_t i = from; i < to; i++) n += r->plan.items[i].n_out;
    cria_write_tensor *t = cria_malloc_array(r->ctx, n, sizeof *t);
    if (t == NULL) return cria_fail_nomem(r->err, "the list of tensors", n * sizeof *t);
    for (size_t i = from; i < to; i++)
        for (uint32_t j = 0; j < r->plan.items[i].n_out; j++) t[k++] = r->plan.items[i].out[j];
    cria_outfile file;
    const bool npz = r->s.names == CRIA_NAMING_META;
    cria_status st = npz ? cria_npz_create(r->ctx, r->folder.part, name, t, n, &file, r->err)
                         : cria_safetensors_create(r->ctx, r->folder.part, name, t, n, &file, r->err);
    if (st) {
        cria_free(r->ctx, t);
        return st;
    }
    k = 0;
    for (size_t i = from; i < to && !st; i++) {
        struct cria_convert_item *item = &r->plan.items[i];
        for (uint32_t j = 0; j < item->n_out; j++) item->out[j].data = t[k++].data;
        st = fill_item(r, item);
        if (!st) let_go(item, &file);
    }
    cria_mapfile map;
    if (!st && npz) cria_npz_seal(&file, t, n);
    if (st)
        cria_outfile_discard(&file);
    else if (!(st = cria_outfile_commit(&file, &map, r->err)))
        cria_mapfile_close(&map);
    cria_free(r->ctx, t);
    return st;
}

/* Where the shard that begins at item `from` ends. */
static size_t shard_end(const struct cria_convert_plan *plan, size_t from, uint64_t limit) {
    uint64_t bytes = plan->items[from].n_bytes;
    size_t to = from + 1;
    while (to < plan->n && bytes + plan->items[to].n_bytes <= limit) bytes += plan->items[to++].n_bytes;
    return to;
}

static void shard_name(const struct run *r, uint32_t i, uint32_t n, char out[64]) {
    if (r->s.names == CRIA_NAMING_META)
        snprintf(out, 64, n == 1 ? "weights.npz" : "weights.%02u.npz", (unsigned)i);
    else if (n == 1)
        snprintf(out, 64, "model.safetensors");
    else
        snprintf(out, 64, "model-%05u-of-%05u.safetensors", (unsigned)(i + 1), (unsigned)n);
}

static cria_status put_index(struct run *r, cria_buf *b, uint64_t limit, uint32_t n_shards) {
    cria_status st =
        cria_convert_print(b, r->err,
                           "{\n    \"metadata\": {\n        \"total_size\": %" PRIu64
                           ",\n        \"total_parameters\": %" PRIu64 "\n    },\n    \"weight_map\": {",
                           r->plan.n_bytes, r->plan.n_params);
    uint32_t shard = 0;
    bool first = true;
    for (size_t from = 0; from < r->plan.n && !st; shard++) {
        char file[64];
        const size_t to = shard_end(&r->plan, from, limit);
        shard_name(r, shard, n_shards, file);
        for (; from < to; from++)
            for (uint32_t j = 0; j < r->plan.items[from].n_out && !st; j++) {
                const char *name = r->plan.items[from].out[j].name;
                st = cria_convert_print(b, r->err, "%s\n        ", first ? "" : ",");
                if (!st) st = cria_write_json_string(b, name, strlen(name), r->err);
                if (!st) st = cria_convert_print(b, r->err, ": \"%s\"", file);
                first = false;
            }
    }
    return st ? st : cria_convert_print(b, r->err, "\n    }\n}\n");
}

static cria_status write_index(struct run *r, uint64_t limit, uint32_t n_shards) {
    cria_buf b;
    cria_buf_init(&b, r->ctx, CRIA_CONVERT_TEXT_MAX);
    cria_status st = put_index(r, &b, limit, n_shards);
    if (!st)
        st = cria_convert_write_file(r->ctx, r->folder.part, "model.safetensors.index.json", b.data, b.len,
                                     r->err);
    cria_buf_fini(&b);
    return st;
}

static cria_status write_tensors(struct run *r) {
    const bool npz = r->s.names == CRIA_NAMING_META;
    uint64_t limit = npz ? NPZ_SHARD_BYTES : SHARD_BYTES;
    if (r->opts->shard_bytes != 0) limit = r->opts->shard_bytes;
    for (size_t from = 0; from < r->plan.n; r->n_files++) from = shard_end(&r->plan, from, limit);
    cria_status st = check_progress(r);
    size_t from = 0;
    for (uint32_t i = 0; i < r->n_files && !st; i++) {
        char name[64];
        const size_t to = shard_end(&r->plan, from, limit);
        shard_name(r, i, r->n_files, name);
        st = write_shard(r, name, from, to);
        from = to;
    }
    return st || npz ? st : write_index(r, limit, r->n_files);
}

cria_status cria_convert_write_file(cria_ctx *ctx, const char *folder, const char *name, const void *data,
                                    size_t len, cria_error *err) {
    cria_outfile file;
    cria_mapfile map;
    if (len == 0) return CRIA_OK; /* nobody misses an empty file, and none can be mapped */
    cria_status st = cria_outfile_create(ctx, folder, name, len, CRIA_FILE_COMMON, &file, err);
    if (st) return st;
    memcpy(file.data, data, len);
    st = cria_outfile_commit(&file, &map, err);
    if (!st) cria_mapfile_close(&map);
    return st;
}

/* ---- all ---- */

static cria_status write_all(struct run *r) {
    cria_status st =
        cria_convert_write_tokenizer(&r->s, r->folder.part, r->err); /* first: it may not be possible */
    if (!st) st = cria_convert_write_config(&r->s, &r->plan, r->folder.part, r->err);
    return st ? st : write_tensors(r);
}

static cria_status convert(struct run *r, const char *dst) {
    cria_status st = cria_convert_make_plan(&r->s, r->opts, &r->plan, r->err);
    if (st) return st;
    const uint64_t small =
        cria_convert_tokenizer_bytes(&r->s) + r->s.config_map.len + ((uint64_t)r->plan.n << 10);
    st = cria_outfolder_create(r->ctx, dst, r->plan.n_bytes + small, &r->folder, r->err);
    if (st) return st;
    st = write_all(r);
    if (!st) return cria_outfolder_commit(&r->folder, r->err);
    cria_outfolder_discard(&r->folder);
    return st;
}

cria_status cria_convert_run(cria_ctx *ctx, const char *src, const char *dst, const cria_convert_opts *opts,
                             cria_convert_info *out, cria_error *err) {
    struct run r = {.ctx = ctx, .opts = opts, .err = err};
    cria_status st =
        cria_convert_open(ctx, src, opts->npz ? CRIA_NAMING_META : CRIA_NAMING_HF, opts->tokenizer, &r.s, err);
    if (st) return st;
    st = convert(&r, dst);
    if (!st && out != NULL)
        *out =
            (cria_convert_info){.n_params = r.plan.n_params, .n_bytes = r.plan.n_bytes, .n_files = r.n_files};
    cria_convert_close(&r.s);
    return st;
}
