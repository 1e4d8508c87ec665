/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model from any source into an MLX folder: open (source.h), decide (plan.h), lay out the files
 * (format/write.h), and fill them tensor by tensor (fill.h).
 */
#include "convert/convert.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/outfolder.h"
#include "base/status.h"
#include "convert/fill.h"
#include "convert/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one file: mlx-lm's limit for safetensors, the example's for npz. */
#define SHARD_BYTES ((uint64_t)5 << 30)
#define NPZ_SHARD_BYTES ((uint64_t)15 << 30)

struct run {
    cria_ctx *ctx;
    struct cria_convert_source s;
    struct cria_convert_plan plan;
    const cria_convert_opts *opts;
    cria_outfolder folder;
    struct cria_convert_filler filler;
    uint32_t n_files;
    cria_error *err;
};

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
        st = cria_convert_fill(&r->filler, item, r->err);
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
    cria_status st = cria_convert_tick(&r->filler, r->err);
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

static int by_layer(const void *a, const void *b, void *calibration) {
    const struct cria_convert_item *x = a, *y = b;
    const uint32_t i = cria_calibration_layer(calibration, x->tensor->name),
                   j = cria_calibration_layer(calibration, y->tensor->name);
    if (i != j) return i < j ? -1 : 1;
    return x->tensor < y->tensor ? -1 : 1; /* as they were */
}

/* Observing goes layer by layer, and so must the files then. */
static cria_status calibrate(struct run *r, const char *src) {
    const cria_status st = cria_calibration_new(r->ctx, src, r->opts->calibration, r->opts->calibration_len, r->s.names,
                                                &r->filler.calibration, r->err);
    if (st) return st;
    qsort_r(r->plan.items, r->plan.n, sizeof *r->plan.items, by_layer, r->filler.calibration);
    cria_log(r->ctx, CRIA_LOG_INFO, "Calibrating with %" PRIu32 " tokens.",
             cria_calibration_tokens(r->filler.calibration));
    return CRIA_OK;
}

static cria_status convert(struct run *r, const char *src, const char *dst) {
    cria_status st = cria_convert_make_plan(&r->s, r->opts, &r->plan, r->err);
    if (st) return st;
    r->filler.ctx = r->ctx;
    r->filler.path = r->s.path;
    r->filler.watch =
        (struct cria_calibration_watch){r->opts->progress, r->opts->progress_user, 0, r->plan.n_params};
    const uint64_t small =
        cria_convert_tokenizer_bytes(&r->s) + r->s.config_map.len + ((uint64_t)r->plan.n << 10);
    st = cria_outfolder_create(r->ctx, dst, r->plan.n_bytes + small, &r->folder, r->err);
    if (st) return st;
    if (r->opts->calibration != NULL) st = calibrate(r, src); /* after dst is seen to be free: it takes a while */
    if (!st) st = write_all(r);
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
    st = convert(&r, src, dst);
    cria_calibration_free(r.filler.calibration);
    if (!st && out != NULL)
        *out =
            (cria_convert_info){.n_params = r.plan.n_params, .n_bytes = r.plan.n_bytes, .n_files = r.n_files};
    cria_convert_close(&r.s);
    return st;
}
