/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up and walking metadata that gguf.c has validated. */
#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "format/gguf.h"
#include "format/order.h"
#include "format/parse.h"
#include <string.h>

static int compare_strings(cria_str a, cria_str b) {
    const int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int compare_keys(const void *items, uint32_t a, uint32_t b) {
    const cria_meta *m = items;
    return compare_strings(m[a].key, m[b].key);
}

cria_status cria_metas_index(cria_ctx *ctx, struct cria_metas *m, const char *path, cria_error *err) {
    m->by_key = cria_malloc_array(ctx, m->n, sizeof *m->by_key);
    if (m->by_key == NULL) return cria_fail_nomem(err, "the index of metadata", m->n * sizeof *m->by_key);
    cria_order_sort(m->by_key, m->n, compare_keys, m->at);
    for (size_t i = 1; i < m->n; i++) {
        const cria_str key = m->at[m->by_key[i]].key;
        if (compare_strings(m->at[m->by_key[i - 1]].key, key) == 0)
            return cria_fail(err, CRIA_EFORMAT, m->by_key[i],
                             "%s: the metadata key \"%.*s\" is there twice; the file is damaged.", path,
                             cria_name_shown(key.data, key.len), key.data);
    }
    return CRIA_OK;
}

void cria_metas_fini(cria_ctx *ctx, struct cria_metas *m) {
    cria_free(ctx, m->by_key);
    cria_free(ctx, m->at);
    *m = (struct cria_metas){NULL, 0, NULL};
}

size_t cria_meta_count(const cria_container *c) { return c->metas.n; }
const cria_meta *cria_meta_at(const cria_container *c, size_t i) { return &c->metas.at[i]; }
const cria_meta *cria_meta_find(const cria_container *c, const char *key) { return cria_metas_find(&c->metas, key); }

const cria_meta *cria_metas_find(const struct cria_metas *metas, const char *key) {
    const cria_str wanted = {key, strlen(key)};
    size_t lo = 0, hi = metas->n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const cria_meta *m = &metas->at[metas->by_key[mid]];
        const int order = compare_strings(wanted, m->key);
        if (order == 0) return m;
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

bool cria_meta_u64(const cria_container *c, const char *key, uint64_t *out) {
    return cria_metas_u64(&c->metas, key, out);
}

bool cria_metas_u64(const struct cria_metas *metas, const char *key, uint64_t *out) {
    const cria_meta *m = cria_metas_find(metas, key);
    if (m == NULL) return false;
    if (m->type == CRIA_META_UINT)
        *out = m->v.u;
    else if (m->type == CRIA_META_INT && m->v.i >= 0)
        *out = (uint64_t)m->v.i;
    else
        return false;
    return true;
}

bool cria_meta_f64(const cria_container *c, const char *key, double *out) {
    const cria_meta *m = cria_meta_find(c, key);
    if (m == NULL) return false;
    if (m->type == CRIA_META_FLOAT)
        *out = m->v.f;
    else if (m->type == CRIA_META_UINT)
        *out = (double)m->v.u;
    else if (m->type == CRIA_META_INT)
        *out = (double)m->v.i;
    else
        return false;
    return true;
}

bool cria_meta_bool(const cria_container *c, const char *key, bool *out) {
    const cria_meta *m = cria_meta_find(c, key);
    if (m == NULL || m->type != CRIA_META_BOOL) return false;
    *out = m->v.b;
    return true;
}

bool cria_meta_str(const cria_container *c, const char *key, cria_str *out) {
    const cria_meta *m = cria_meta_find(c, key);
    if (m == NULL || m->type != CRIA_META_STRING) return false;
    *out = m->v.s;
    return true;
}

/* ---- arrays ------------------------------------------------------------------------------ */

cria_meta_iter cria_meta_begin(const cria_meta *m) {
    cria_meta_iter it = {NULL, NULL, 0, 0};
    if (m->type == CRIA_META_ARRAY)
        it = (cria_meta_iter){m->v.a.data, m->v.a.end, m->v.a.n, m->v.a.gguf_type};
    return it;
}

/* Reads the next item when it is a scalar. */
static bool next_scalar(cria_meta_iter *it, cria_meta *out) {
    if (it->left == 0) return false;
    cria_reader r = cria_reader_init(it->p, (size_t)(it->end - it->p));
    if (!cria_gguf_read_scalar(&r, it->gguf_type, out)) return false;
    it->p += r.pos;
    it->left--;
    return true;
}

bool cria_meta_next_str(cria_meta_iter *it, cria_str *out) {
    if (it->left == 0 || it->gguf_type != CRIA_GGUF_STRING) return false;
    cria_reader r = cria_reader_init(it->p, (size_t)(it->end - it->p));
    uint64_t len;
    const uint8_t *s;
    if (!cria_read_u64(&r, &len) || !cria_read_bytes(&r, len, &s)) return false;
    *out = (cria_str){(const char *)s, (size_t)len};
    it->p += r.pos;
    it->left--;
    return true;
}

bool cria_meta_next_f64(cria_meta_iter *it, double *out) {
    cria_meta_iter next = *it;
    cria_meta item;
    if (!next_scalar(&next, &item)) return false;
    if (item.type == CRIA_META_FLOAT)
        *out = item.v.f;
    else if (item.type == CRIA_META_UINT)
        *out = (double)item.v.u;
    else if (item.type == CRIA_META_INT)
        *out = (double)item.v.i;
    else
        return false;
    *it = next;
    return true;
}

bool cria_meta_next_i64(cria_meta_iter *it, int64_t *out) {
    cria_meta_iter next = *it;
    cria_meta item;
    if (!next_scalar(&next, &item)) return false;
    if (item.type == CRIA_META_INT)
        *out = item.v.i;
    else if (item.type == CRIA_META_UINT && item.v.u <= INT64_MAX)
        *out = (int64_t)item.v.u;
    else
        return false;
    *it = next;
    return true;
}
