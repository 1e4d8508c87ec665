/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renders chat templates for a test in another language: cria_template < requests. A request is two lines of JSON:
 * the template as a string, and the variables as an object. The answer is one line: the text as a JSON string, or
 * {"error": "…", "status": -3, "compiling": false}. Option: --now SECONDS for strftime_now.
 */
#include "base/buf.h"
#include "base/ctx.h"
#include "base/jsonread.h"
#include "base/mem.h"
#include "template/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quoted(const char *text, size_t len) {
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void answer(cria_ctx *ctx, const char *source, size_t source_len, const char *json, size_t len,
                   const cria_template_time *now) {
    cria_template *t = NULL;
    cria_error err = {0};
    cria_buf out;
    cria_buf_init(&out, ctx, SIZE_MAX / 2);
    cria_status st = cria_template_compile(ctx, source, source_len, &t, &err);
    if (st == CRIA_OK) st = cria_template_render(t, json, len, now, &out, &err);
    if (st == CRIA_OK) {
        quoted((const char *)out.data, out.len);
    } else {
        fputs("{\"error\": ", stdout);
        quoted(err.msg, strlen(err.msg));
        printf(", \"status\": %d, \"compiling\": %s}", st, t ? "false" : "true");
    }
    putchar('\n');
    cria_template_free(t);
    cria_buf_fini(&out);
}

int main(int argc, char **argv) {
    cria_ctx *ctx;
    cria_template_time now = {0, 0};
    const bool timed = argc == 3 && strcmp(argv[1], "--now") == 0;
    if (timed) now.seconds = strtoll(argv[2], NULL, 10);
    if (cria_ctx_base_new(NULL, &ctx, NULL) != CRIA_OK) return 2;
    char *lines[2] = {NULL, NULL};
    size_t room[2] = {0, 0};
    int rc = 0;
    for (;;) {
        const ssize_t n = getline(&lines[0], &room[0], stdin), m = n > 0 ? getline(&lines[1], &room[1], stdin) : 0;
        if (n <= 0 || m <= 0) break;
        cria_jsonread r;
        cria_jsontext source;
        cria_jsonread_init(&r, ctx, lines[0], (size_t)n, "template", NULL);
        char *copy = NULL;
        if (cria_jsonread_string(&r, &source) && (copy = cria_malloc(ctx, source.len))) {
            const size_t len = source.len;
            memcpy(copy, source.data, len);
            answer(ctx, copy, len, lines[1], (size_t)m, timed ? &now : NULL);
        } else
            rc = 1;
        cria_free(ctx, copy);
        cria_jsonread_end(&r);
    }
    free(lines[0]);
    free(lines[1]);
    cria_ctx_unref(ctx);
    return fflush(stdout) == 0 ? rc : 1;
}
