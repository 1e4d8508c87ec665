/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of the cache of packed weights; see cache.h. */
#include "model/cache.h"

#include "base/ctx.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "CRIAPK03" /* the last two: version of the head and of what packed matrices look like */
#define MAGIC_LEN 8u
#define HEAD_MAX (64u << 20) /* a thousand layers need 1 MiB */
#define DATA_ALIGN 4096u

/* ---- the head ---- */

/* Appends integers; keeps the first error. */
struct writer {
    cria_buf *to;
    cria_status status;
    cria_error *err;
};

static void put(struct writer *w, const void *data, size_t len) {
    if (w->status == CRIA_OK) w->status = cria_buf_append(w->to, data, len, w->err);
}

static void put_number(struct writer *w, uint64_t n) {
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) bytes[i] = (uint8_t)(n >> 8 * i);
    put(w, bytes, sizeof bytes);
}

static void put_spec(struct writer *w, const cria_matrix_spec *s) {
    static const uint8_t no_levels[16];
    put_number(w, s->rows);
    put_number(w, s->cols);
    put_number(w, s->kind);
    put_number(w, s->bits);
    put_number(w, s->group);
    put_number(w, s->scale_type);
    put_number(w, s->affine);
    put_number(w, (uint32_t)s->zero);
    put_number(w, cria_f32_to_bits(s->scale_factor));
    put_number(w, s->levels != NULL);
    put(w, s->levels != NULL ? s->levels : no_levels, sizeof no_levels);
}

static void put_piece(struct writer *w, const cria_cache_piece *p) {
    const size_t len = strlen(p->name);
    put_number(w, len);
    put(w, p->name, len);
    put_number(w, p->offset);
    put_number(w, p->n_bytes);
    put_number(w, p->spec != NULL);
    if (p->spec != NULL) put_spec(w, p->spec);
}

/* total and data_offset come before the pieces but depend on the length of the head: they are filled in at the end. */
static cria_status write_head(cria_cache *k, const cria_identity *source, const cria_cache_piece *pieces, size_t n,
                              size_t n_bytes, cria_error *err) {
    struct writer w = {&k->head, CRIA_OK, err};
    put(&w, MAGIC, MAGIC_LEN);
    const size_t lengths = k->head.len;
    put_number(&w, 0);
    put_number(&w, 0);
    put_number(&w, n);
    put_number(&w, source->content);
    put_number(&w, source->stamp);
    for (size_t i = 0; i < n; i++) put_piece(&w, &pieces[i]);
    if (w.status != CRIA_OK) return w.status;
    k->data_offset = (k->head.len + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN; /* at most HEAD_MAX */
    if (!cria_add_ok(k->data_offset, n_bytes, &k->total) || k->total > INT64_MAX)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "%zu bytes of packed weights are too many for a file.",
                         n_bytes);
    for (unsigned i = 0; i < 8; i++) {
        k->head.data[lengths + i] = (uint8_t)((uint64_t)k->total >> 8 * i);
        k->head.data[lengths + 8 + i] = (uint8_t)((uint64_t)k->data_offset >> 8 * i);
    }
    return CRIA_OK;
}

cria_status cria_cache_init(cria_cache *k, cria_ctx *ctx, const char *folder, const cria_identity *source,
                            const cria_cache_piece *pieces, size_t n, size_t n_bytes, cria_error *err) {
    *k = (cria_cache){.ctx = ctx, .folder = folder};
    snprintf(k->name, sizeof k->name, "%016" PRIx64 ".cria", source->content);
    cria_buf_init(&k->head, ctx, HEAD_MAX);
    const cria_status st = write_head(k, source, pieces, n, n_bytes, err);
    if (st) cria_buf_fini(&k->head);
    return st;
}

void cria_cache_fini(cria_cache *k) { cria_buf_fini(&k->head); }

/* ---- the file ---- */

/* Why a mapped entry is not this one; NULL when it is. */
static const char *misfit(const cria_cache *k, const cria_mapfile *map) {
    if (map->len < MAGIC_LEN || memcmp(map->data, MAGIC, MAGIC_LEN) != 0) return "is not of this version";
    if (map->len != k->total) return "has another length";
    if (memcmp(map->data, k->head.data, k->head.len) != 0) return "was made from other files";
    return NULL;
}

cria_status cria_cache_find(const cria_cache *k, cria_mapfile *out, cria_error *err) {
    char *path = cria_path_join(k->ctx, k->folder, k->name);
    if (path == NULL) return cria_fail_nomem(err, "a path", strlen(k->folder) + sizeof k->name);
    cria_status st = CRIA_OK;
    if (cria_path_kind(path) != CRIA_PATH_MISSING) {
        cria_mapfile map;
        st = cria_mapfile_open_own(path, &map, err);
        const char *why = st == CRIA_OK ? misfit(k, &map) : NULL;
        if (why != NULL) {
            cria_log(k->ctx, CRIA_LOG_INFO, "%s %s; it is not used.", path, why);
            cria_mapfile_close(&map);
        } else if (st == CRIA_OK) {
            *out = map;
        }
    }
    cria_free(k->ctx, path);
    return st;
}

cria_status cria_cache_create(const cria_cache *k, cria_outfile *out, cria_error *err) {
    const cria_status st = cria_outfile_create(k->ctx, k->folder, k->name, k->total, CRIA_FILE_MINE, out, err);
    if (st == CRIA_OK) memcpy(out->data, k->head.data, k->head.len);
    return st;
}
