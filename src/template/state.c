/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a compilation or a rendering, its limits, and its one error. */
#include "template/value.h"
#include "base/mem.h"
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Blocks the arena is made of; the next ones are twice as large, so that there are few. */
struct jinja_chunk {
    struct jinja_chunk *next;
    size_t bytes;
};
enum { HEAD = 64, FIRST_CHUNK = 16384, MAX_CHUNK = 4 << 20, ALIGN = 16 };

void cria_jinja_init(jinja_state *s, cria_ctx *ctx, size_t max_bytes, const char *bytes_name, cria_error *err) {
    *s = (jinja_state){.ctx = ctx, .max_bytes = max_bytes, .bytes_name = bytes_name, .err = err};
    cria_buf_init(&s->out, ctx, CRIA_TEMPLATE_MAX_OUTPUT);
}

void cria_jinja_fini(jinja_state *s) {
    cria_buf_fini(&s->out);
    while (s->chunks) {
        struct jinja_chunk *next = s->chunks->next;
        cria_free(s->ctx, s->chunks);
        s->chunks = next;
    }
}

bool cria_jinja_fail(jinja_state *s, cria_status code, const char *fmt, ...) {
    if (s->status != CRIA_OK) return false;
    s->status = code;
    if (!s->err) return false;
    char what[sizeof s->err->msg];
    va_list args;
    va_start(args, fmt);
    cria_message(what, sizeof what, fmt, args);
    va_end(args);
    cria_fail(s->err, code, s->line ? s->line : CRIA_NOWHERE, "%s (line %u of the chat template).", what, s->line);
    return false;
}

void *cria_jinja_alloc(jinja_state *s, size_t bytes) {
    if (bytes > s->max_bytes - s->bytes) {
        cria_jinja_fail(s, CRIA_EFULL, "The chat template takes more than %zu bytes of memory (%s)", s->max_bytes,
                        s->bytes_name);
        return NULL;
    }
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (bytes > s->free_bytes) {
        size_t size = s->chunks ? s->chunks->bytes * 2 : FIRST_CHUNK;
        if (size > MAX_CHUNK) size = MAX_CHUNK;
        if (size < bytes + HEAD) size = bytes + HEAD;
        struct jinja_chunk *chunk = cria_malloc(s->ctx, size);
        if (!chunk) {
            if (s->status == CRIA_OK) s->status = cria_fail_nomem(s->err, "a chat template", size);
            return NULL;
        }
        chunk->next = s->chunks;
        chunk->bytes = size < MAX_CHUNK ? size : MAX_CHUNK;
        s->chunks = chunk;
        s->free_at = (uint8_t *)chunk + HEAD;
        s->free_bytes = size - HEAD;
    }
    void *p = s->free_at;
    s->free_at += bytes;
    s->free_bytes -= bytes;
    s->bytes += bytes < s->max_bytes - s->bytes ? bytes : s->max_bytes - s->bytes;
    return p;
}

void *cria_jinja_alloc_array(jinja_state *s, size_t n, size_t size) {
    size_t bytes;
    return cria_jinja_alloc(s, cria_mul_ok(n, size, &bytes) ? bytes : SIZE_MAX);
}

bool cria_jinja_grow(jinja_state *s, void **items, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return true;
    const size_t more = *cap ? *cap * 2 : 4;
    void *p = cria_jinja_alloc_array(s, more, size);
    if (!p) return false;
    if (n) memcpy(p, *items, n * size);
    *items = p;
    *cap = more;
    return true;
}

bool cria_jinja_steps(jinja_state *s, size_t n) {
    s->steps += n;
    return s->steps <= CRIA_TEMPLATE_MAX_STEPS ||
           cria_jinja_fail(s, CRIA_EFULL, "The chat template takes more than %d steps", CRIA_TEMPLATE_MAX_STEPS);
}

bool cria_jinja_enter(jinja_state *s) {
    if (s->depth >= CRIA_TEMPLATE_MAX_DEPTH)
        return cria_jinja_fail(s, CRIA_EFULL, "The chat template goes more than %d levels deep",
                               CRIA_TEMPLATE_MAX_DEPTH);
    s->depth++;
    return true;
}
