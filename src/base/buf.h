/* SPDX-License-Identifier: Apache-2.0 */
/* Growable bytes with a mandatory maximum. Zero-initialized by cria_buf_init; a failed append leaves it as it was. */
#ifndef CRIA_BASE_BUF_H
#define CRIA_BASE_BUF_H

#include "cria/cria.h"

typedef struct cria_buf {
    cria_ctx *ctx;
    uint8_t *data;      /* len bytes, then room up to cap; NULL while cap is 0 */
    size_t len, cap, max;
} cria_buf;

void cria_buf_init(cria_buf *b, cria_ctx *ctx, size_t max);
void cria_buf_fini(cria_buf *b);
/* Room for extra more bytes: CRIA_EFULL past max, CRIA_ENOMEM. */
cria_status cria_buf_reserve(cria_buf *b, size_t extra, cria_error *err);
cria_status cria_buf_append(cria_buf *b, const void *data, size_t len, cria_error *err);
cria_status cria_buf_push(cria_buf *b, uint8_t byte, cria_error *err);
/* Gives the bytes away (with a NUL after them, not counted) and leaves the buffer empty. */
cria_status cria_buf_take(cria_buf *b, uint8_t **data, size_t *len, cria_error *err);

#endif
