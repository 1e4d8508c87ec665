/* SPDX-License-Identifier: Apache-2.0 */
/* See fill.h. Rows in parallel: they go from the mapped source through a few kilobytes of a worker into the mapped
 * file, so that nothing is in memory twice; only what is calibrated is floats in between. */
#include "convert/fill.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include "convert/gptq.h"
#include "kernels/quantize.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#define SLICE_BYTES ((uint64_t)32 << 20) /* between two looks at whether to go on */

/* ---- rows ---- */

struct fill {
    const struct cria_convert_item *item;
    uint64_t first_block;
    uint8_t *rows;                   /* as float32 for who quantizes them himself; NULL: where they belong */
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
    const enum cria_source_kind type = f->rows ? CRIA_SOURCE_F32 : item->type;
    const bool quantize = item->how == CRIA_CONVERT_QUANTIZE && f->rows == NULL;
    uint8_t *scratch = f->scratch + worker * f->scratch_bytes,
            *floats = scratch + f->scratch_bytes - CRIA_ROWS * f->row_bytes;
    for (size_t b = begin; b < end; b++) {
        const uint64_t row = (f->first_block + b) * CRIA_ROWS;
        const uint32_t n = rows - row < CRIA_ROWS ? (uint32_t)(rows - row) : CRIA_ROWS;
        uint8_t *to = f->rows ? f->rows + b * CRIA_ROWS * f->row_bytes
                      : quantize ? floats : item->out[0].data + row * f->row_bytes;
        cria_convert_read(item->tensor, row, n, type, to, scratch);
        for (uint32_t r = 0; r < n; r++)
            if (!all_finite(type, to + r * f->row_bytes, (size_t)cols)) note_bad(f, row + r);
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

cria_status cria_convert_tick(const struct cria_convert_filler *r, cria_error *err) {
    const struct cria_calibration_watch *w = &r->watch;
    if (w->progress == NULL || w->progress(w->user, w->done, w->total)) return CRIA_OK;
    return cria_fail(err, CRIA_ECANCELLED, CRIA_NOWHERE, "Converting %s was cancelled.", r->path);
}

static cria_status not_finite(const struct cria_convert_filler *r, const struct cria_convert_item *item, uint64_t row,
                              cria_error *err) {
    return cria_fail(
        err, CRIA_EFORMAT, row, "%s: row %" PRIu64 " of the tensor %s has a number that is not finite%s.",
        r->path, row, item->tensor->name,
        item->type == CRIA_SOURCE_F16 ? ", or too large for float16; --dtype bfloat16 has room for it" : "");
}

static cria_status fill_init(const struct cria_convert_filler *r, const struct cria_convert_item *item,
                             enum cria_source_kind type, struct fill *out, cria_error *err) {
    const uint32_t workers = cria_pool_threads(r->ctx->pool);
    *out = (struct fill){.item = item,
                         .row_bytes = (size_t)cria_convert_cols(item->tensor) * (type == CRIA_SOURCE_F32 ? 4 : 2)};
    out->scratch_bytes = (cria_convert_scratch_bytes(item->tensor) + CRIA_ROWS * out->row_bytes + 127) / 64 * 64;
    out->scratch = cria_malloc_array(r->ctx, workers, out->scratch_bytes);
    if (out->scratch == NULL) return cria_fail_nomem(err, "rows to convert", out->scratch_bytes);
    atomic_init(&out->bad_row, UINT64_MAX);
    return CRIA_OK;
}

static cria_status fill_some(const struct cria_convert_filler *r, struct fill *f, uint64_t first_block, uint64_t n,
                             cria_error *err) {
    f->first_block = first_block;
    cria_pool_for(r->ctx->pool, (size_t)n, 1, fill_blocks, f);
    const uint64_t bad = atomic_load(&f->bad_row);
    return bad == UINT64_MAX ? CRIA_OK : not_finite(r, f->item, bad, err);
}

/* ---- with a calibration ---- */

/* Rows [row, end) of an item. w: room for CRIA_GPTQ_ROWS rows and two blocks. */
static cria_status fill_calibrated_rows(struct cria_convert_filler *r, struct fill *f, cria_gptq *g, uint64_t row,
                                        uint64_t end, cria_error *err) {
    const struct cria_convert_item *item = f->item;
    const uint64_t cols = cria_convert_cols(item->tensor);
    const size_t codes = cria_source_row_bytes(CRIA_SOURCE_MLX, &item->spec),
                 scales = cria_quantize_scale_bytes(&item->spec);
    cria_status st = CRIA_OK;
    while (row < end && !st) {
        const uint32_t n = end - row < CRIA_GPTQ_ROWS ? (uint32_t)(end - row) : CRIA_GPTQ_ROWS;
        const uint64_t first = row / CRIA_ROWS, last = (row + n + CRIA_ROWS - 1) / CRIA_ROWS;
        st = fill_some(r, f, first, last - first, err);
        if (st) break;
        const float *w = (const float *)(void *)f->rows + (row - first * CRIA_ROWS) * cols;
        cria_gptq_rows(g, &item->spec, item->type, w, n, item->out[0].data + row * codes,
                       item->out[1].data + row * scales, item->out[2].data + row * scales);
        row += n;
        r->watch.done += n * cols;
        st = cria_convert_tick(r, err);
    }
    return st;
}

static cria_status fill_calibrated(struct cria_convert_filler *r, const struct cria_convert_item *item,
                                   cria_error *err) {
    const struct cria_convert_tensor *t = item->tensor;
    const uint32_t experts = t->ndim == 3 ? (uint32_t)t->shape[0] : 1, cols = (uint32_t)cria_convert_cols(t);
    const uint64_t rows = cria_convert_rows(t) / experts;
    struct fill f;
    const uint32_t layer = cria_calibration_layer(r->calibration, t->name);
    cria_status st = cria_calibration_observe(r->calibration, layer, &r->watch, err);
    if (!st) st = fill_init(r, item, CRIA_SOURCE_F32, &f, err);
    if (st) return st;
    cria_gptq *g = NULL;
    const float *known = NULL; /* that g is made from */
    f.rows = cria_malloc_array(r->ctx, CRIA_GPTQ_ROWS + 2 * CRIA_ROWS, f.row_bytes);
    if (f.rows == NULL) st = cria_fail_nomem(err, "rows to convert", CRIA_GPTQ_ROWS * f.row_bytes);
    for (uint32_t e = 0; e < experts && !st; e++) {
        const float *moments = cria_calibration_moments(r->calibration, t->name, e, cols);
        if (g == NULL || moments != known) {
            cria_gptq_free(g);
            g = NULL;
            st = cria_gptq_new(r->ctx, moments, cols, &g, err);
            known = moments;
        }
        if (!st) st = fill_calibrated_rows(r, &f, g, e * rows, (e + 1) * rows, err);
    }
    cria_gptq_free(g);
    cria_free(r->ctx, f.rows);
    cria_free(r->ctx, f.scratch);
    return st;
}

/* ---- any tensor ---- */

cria_status cria_convert_fill(struct cria_convert_filler *r, const struct cria_convert_item *item, cria_error *err) {
    const struct cria_convert_tensor *t = item->tensor;
    const uint64_t rows = cria_convert_rows(t), cols = cria_convert_cols(t),
                   blocks = (rows + CRIA_ROWS - 1) / CRIA_ROWS;
    if (item->how == CRIA_CONVERT_COPY) {
        copy_quantized(item);
        r->watch.done += rows * cols;
        return cria_convert_tick(r, err);
    }
    if (r->calibration != NULL && item->how == CRIA_CONVERT_QUANTIZE && item->spec.affine)
        return fill_calibrated(r, item, err);
    struct fill f;
    cria_status st = fill_init(r, item, item->type, &f, err);
    if (st) return st;
    const uint64_t slice = SLICE_BYTES / (CRIA_ROWS * cols * 4) + cria_pool_threads(r->ctx->pool);
    for (uint64_t at = 0; at < blocks && !st; at += slice) {
        const uint64_t n = blocks - at < slice ? blocks - at : slice;
        st = fill_some(r, &f, at, n, err);
        r->watch.done += (n * CRIA_ROWS < rows - at * CRIA_ROWS ? n * CRIA_ROWS : rows - at * CRIA_ROWS) * cols;
        if (!st) st = cria_convert_tick(r, err);
    }
    cria_free(r->ctx, f.scratch);
    return st;
}
