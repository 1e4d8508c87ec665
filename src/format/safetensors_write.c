/* SPDX-License-Identifier: Apache-2.0 */
/* Writing safetensors; see write.h. Source: the format's README (github.com/huggingface/safetensors): u64
 * length of the header, the header in JSON, the tensors without gaps. */
#include "format/write.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_MAX = 100000000 }; /* what readers accept */

static cria_status put(cria_buf *b, const char *text, cria_error *err) {
    return cria_buf_append(b, text, strlen(text), err);
}

cria_status cria_write_json_string(cria_buf *b, const char *text, size_t len, cria_error *err) {
    if (!cria_utf8_valid((const uint8_t *)text, len))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "A text of %zu bytes is not UTF-8 and cannot be put into JSON.", len);
    cria_status st = cria_buf_push(b, '"', err);
    for (size_t i = 0; i < len && !st; i++) {
        const unsigned char c = (unsigned char)text[i];
        char escape[8];
        if (c == '"' || c == '\\') {
            snprintf(escape, sizeof escape, "\\%c", c);
            st = put(b, escape, err);
        } else if (c < 0x20 || c == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", c);
            st = put(b, escape, err);
        } else {
            st = cria_buf_push(b, c, err);
        }
    }
    return st ? st : cria_buf_push(b, '"', err);
}

static cria_status put_tensor(cria_buf *b, const cria_write_tensor *t, uint64_t at, cria_error *err) {
    char text[256];
    cria_status st = put(b, ",", err);
    if (!st) st = cria_write_json_string(b, t->name, strlen(t->name), err);
    int n = snprintf(text, sizeof text, ":{\"dtype\":\"%s\",\"shape\":[", cria_dtype_info(t->dtype)->name);
    for (uint32_t i = 0; i < t->ndim; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%" PRIu64, i ? "," : "", t->shape[i]);
    snprintf(text + n, sizeof text - (size_t)n, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at,
             at + t->n_bytes);
    return st ? st : put(b, text, err);
}

static cria_status put_header(cria_buf *b, const cria_write_tensor *t, size_t n, size_t *total,
                              cria_error *err) {
    uint64_t at = 0;
    cria_status st = put(b, "{\"__metadata__\":{\"format\":\"mlx\"}", err);
    for (size_t i = 0; i < n && !st; i++) {
        st = put_tensor(b, &t[i], at, err);
        at += t[i].n_bytes;
    }
    if (!st) st = put(b, "}", err);
    while (!st && b->len % 8 != 0) st = cria_buf_push(b, ' ', err);
    *total = 8 + b->len + at;
    return st;
}

/* Whether the sum of all sizes fits, so that nobody need look again. */
static bool sizes_fit(const cria_write_tensor *t, size_t n) {
    size_t sum = 2 * (size_t)HEADER_MAX;
    for (size_t i = 0; i < n; i++)
        if (!cria_add_ok(sum, t[i].n_bytes, &sum)) return false;
    return sum <= INT64_MAX;
}

cria_status cria_safetensors_create(cria_ctx *ctx, const char *folder, const char *file, cria_write_tensor *t,
                                    size_t n, cria_outfile *out, cria_error *err) {
    if (!sizes_fit(t, n))
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "%s would be too large for a file.", file);
    cria_buf b;
    cria_buf_init(&b, ctx, HEADER_MAX);
    size_t total;
    cria_status st = put_header(&b, t, n, &total, err);
    if (!st) st = cria_outfile_create(ctx, folder, file, total, CRIA_FILE_COMMON, out, err);
    if (!st) {
        for (unsigned i = 0; i < 8; i++) out->data[i] = (uint8_t)((uint64_t)b.len >> 8 * i);
        memcpy(out->data + 8, b.data, b.len);
        uint8_t *at = out->data + 8 + b.len;
        for (size_t i = 0; i < n; i++) {
            t[i].data = at;
            at += t[i].n_bytes;
        }
    }
    cria_buf_fini(&b);
    return st;
}
