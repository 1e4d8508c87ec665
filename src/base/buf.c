/* SPDX-License-Identifier: Apache-2.0 */
/* Growable bytes. The block always has one byte more than cap, so that take can end it with a NUL without
 * moving it. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"
#include <string.h>

enum { CRIA_BUF_FIRST = 64 };

void cria_buf_init(cria_buf *b, cria_ctx *ctx, size_t max) {
    const cria_buf empty = {ctx, NULL, 0, 0, max};
    *b = empty;
}

void cria_buf_fini(cria_buf *b) {
    if (b->data) cria_free(b->ctx, b->data);
    cria_buf_init(b, b->ctx, b->max);
}

cria_status cria_buf_reserve(cria_buf *b, size_t extra, cria_error *err) {
    if (extra <= b->cap - b->len) return CRIA_OK;
    size_t need, bytes;
    if (extra > b->max - b->len || !cria_add_ok(b->len, extra, &need) || !cria_add_ok(need, 1, &bytes))
        return cria_fail(err, CRIA_EFULL, b->len,
                         "A buffer of at most %zu bytes holds %zu and cannot take %zu more.", b->max, b->len,
                         extra);
    size_t cap = b->cap < CRIA_BUF_FIRST ? CRIA_BUF_FIRST : b->cap;
    while (cap < need)
        cap = cap <= b->max / 2 ? cap * 2 : b->max; /* doubling keeps appends amortized constant */
    if (cap > b->max) cap = b->max;
    if (!cria_add_ok(cap, 1, &bytes)) cap = need, bytes = need + 1;
    uint8_t *data = cria_realloc(b->ctx, b->data, b->len, bytes);
    if (!data) return cria_fail_nomem(err, "a growing buffer", bytes);
    b->data = data;
    b->cap = cap;
    return CRIA_OK;
}

cria_status cria_buf_append(cria_buf *b, const void *data, size_t len, cria_error *err) {
    const cria_status status = cria_buf_reserve(b, len, err);
    if (status != CRIA_OK || len == 0) return status;
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return CRIA_OK;
}

cria_status cria_buf_push(cria_buf *b, uint8_t byte, cria_error *err) {
    return cria_buf_append(b, &byte, 1, err);
}

cria_status cria_buf_take(cria_buf *b, uint8_t **data, size_t *len, cria_error *err) {
    uint8_t *p = b->data;
    if (!p) p = cria_malloc(b->ctx, 1);
    if (!p) return cria_fail_nomem(err, "an empty string", 1);
    p[b->len] = '\0';
    *data = p;
    *len = b->len;
    cria_buf_init(b, b->ctx, b->max);
    return CRIA_OK;
}
