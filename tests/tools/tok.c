/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the tokenizer from a test in another language: tok PATH reads requests on stdin and answers on
 * stdout. request   u32 operation, u32 flags, u32 bytes, then that many bytes answer    i32 status, u32
 * bytes, then that many bytes: the result, or the error's sentence Operations: 0 encode (flags: enum
 * cria_encode_flags; text → i32 ids), 1 decode (i32 ids → text), 2 decode as a stream (the parts joined; each
 * is checked to end on a character border), 3 info (→ i32 vocabulary size, bos, eos). Numbers are in the
 * machine's own order. A tokenizer that does not load is answered with one such answer.
 */
#include "base/buf.h"
#include "base/ctx.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "cria/cria.h"

#include <stdio.h>
#include <string.h>

static bool answer(cria_status st, const void *data, size_t len) {
    const int32_t code = st;
    const uint32_t n = (uint32_t)len;
    return fwrite(&code, 4, 1, stdout) == 1 && fwrite(&n, 4, 1, stdout) == 1 &&
           (len == 0 || fwrite(data, len, 1, stdout) == 1);
}

static cria_status add_part(cria_buf *out, const char *text, size_t len, cria_error *err) {
    if (!cria_utf8_valid((const uint8_t *)text, len))
        return cria_fail(err, CRIA_EFORMAT, out->len, "A part of the stream is not whole characters.");
    return cria_buf_append(out, text, len, err);
}

static cria_status stream(const cria_tokenizer *t, const int32_t *ids, size_t n, cria_buf *out,
                          cria_error *err) {
    cria_detok *d;
    const char *text;
    size_t len;
    cria_status st = cria_detok_new(t, &d, err);
    if (st != CRIA_OK) return st;
    for (size_t i = 0; i < n && st == CRIA_OK; i++) {
        st = cria_detok_push(d, ids[i], &text, &len, err);
        if (st == CRIA_OK) st = add_part(out, text, len, err);
    }
    if (st == CRIA_OK) st = cria_detok_finish(d, &text, &len, err);
    if (st == CRIA_OK) st = add_part(out, text, len, err);
    cria_detok_free(d);
    return st;
}

static bool serve(cria_ctx *ctx, const cria_tokenizer *t, const uint32_t head[3], const void *data) {
    cria_error err = {0};
    cria_status st = CRIA_OK;
    int32_t *ids = NULL;
    char *text = NULL;
    size_t n = 0;
    cria_buf parts;
    cria_buf_init(&parts, ctx, SIZE_MAX / 2);
    const int32_t info[3] = {(int32_t)cria_tokenizer_vocab_size(t), cria_tokenizer_bos(t),
                             cria_tokenizer_eos(t)};
    const void *result = info;
    switch (head[0]) {
    case 0:
        st = cria_encode(t, data, head[2], head[1], &ids, &n, &err);
        result = ids;
        n *= sizeof *ids;
        break;
    case 1:
        st = cria_decode(t, data, head[2] / 4, &text, &n, &err);
        result = text;
        break;
    case 2:
        st = stream(t, data, head[2] / 4, &parts, &err);
        result = parts.data;
        n = parts.len;
        break;
    default: n = sizeof info; break;
    }
    const bool ok = st == CRIA_OK ? answer(st, result, n) : answer(st, err.msg, strlen(err.msg));
    if (ids) cria_ids_free(t, ids);
    if (text) cria_text_free(t, text);
    cria_buf_fini(&parts);
    return ok;
}

int main(int argc, char **argv) {
    cria_ctx *ctx;
    cria_tokenizer *t;
    cria_error err = {0};
    if (argc != 2 || cria_ctx_base_new(NULL, &ctx, &err) != CRIA_OK) return 2;
    const cria_status st = cria_tokenizer_open(ctx, argv[1], &t, &err);
    if (st != CRIA_OK) {
        const bool told = answer(st, err.msg, strlen(err.msg));
        cria_ctx_unref(ctx);
        return told ? 0 : 1;
    }
    uint32_t head[3];
    int rc = 0;
    while (rc == 0 && fread(head, sizeof head, 1, stdin) == 1) {
        void *data = cria_malloc(ctx, head[2]);
        rc = data && (head[2] == 0 || fread(data, head[2], 1, stdin) == 1) && serve(ctx, t, head, data) ? 0
                                                                                                        : 1;
        cria_free(ctx, data);
    }
    cria_tokenizer_free(t);
    cria_ctx_unref(ctx);
    return fflush(stdout) == 0 ? rc : 1;
}
