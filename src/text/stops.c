/* SPDX-License-Identifier: Apache-2.0 */
#include "text/stops.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"

#include <string.h>

struct cria_stop {
    char *text;     /* [len + 1] */
    uint32_t *back; /* [len + 1] after so many matching bytes: the longest beginning that is also an end of them */
    uint32_t len;
    uint32_t matched;
};

static void fill_back(struct cria_stop *s) {
    s->back[0] = s->back[1] = 0;
    for (uint32_t i = 1, k = 0; i < s->len; i++) {
        while (k > 0 && s->text[i] != s->text[k]) k = s->back[k];
        k += s->text[i] == s->text[k];
        s->back[i + 1] = k;
    }
}

static cria_status stop_init(struct cria_stop *s, cria_ctx *ctx, const char *text, size_t i, cria_error *err) {
    const size_t len = text ? strlen(text) : 0;
    if (len == 0 || len > CRIA_STOP_LEN_MAX)
        return cria_fail(err, CRIA_EINVAL, i, "Stop text %zu has %zu bytes; it may have 1 to %d.", i + 1, len,
                         CRIA_STOP_LEN_MAX);
    if (!cria_utf8_valid((const uint8_t *)text, len))
        return cria_fail(err, CRIA_EINVAL, i, "Stop text %zu is not valid UTF-8, so it would never be found.", i + 1);
    s->len = (uint32_t)len;
    s->text = cria_malloc(ctx, len + 1);
    s->back = cria_malloc_array(ctx, len + 1, sizeof *s->back);
    if (!s->text || !s->back) return cria_fail_nomem(err, "a stop text", (len + 1) * (1 + sizeof *s->back));
    memcpy(s->text, text, len + 1);
    fill_back(s);
    return CRIA_OK;
}

cria_status cria_stops_init(cria_stops *s, cria_ctx *ctx, const char *const *texts, size_t n, cria_error *err) {
    *s = (cria_stops){.ctx = ctx};
    cria_buf_init(&s->text, ctx, SIZE_MAX);
    if (n > CRIA_STOPS_MAX)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "There are %zu stop texts; at most %d are looked for.", n,
                         CRIA_STOPS_MAX);
    if (n == 0) return CRIA_OK;
    s->stop = cria_calloc(ctx, n, sizeof *s->stop);
    if (!s->stop) return cria_fail_nomem(err, "the stop texts", n * sizeof *s->stop);
    cria_status st = CRIA_OK;
    for (; s->n < n && !st; s->n++) st = stop_init(&s->stop[s->n], ctx, texts[s->n], s->n, err);
    if (st) cria_stops_fini(s);
    return st;
}

void cria_stops_fini(cria_stops *s) {
    for (size_t i = 0; i < s->n; i++) {
        cria_free(s->ctx, s->stop[i].text);
        cria_free(s->ctx, s->stop[i].back);
    }
    cria_free(s->ctx, s->stop);
    cria_buf_fini(&s->text);
    *s = (cria_stops){.ctx = s->ctx};
}

void cria_stops_reset(cria_stops *s) {
    for (size_t i = 0; i < s->n; i++) s->stop[i].matched = 0;
    s->text.len = s->certain = 0;
    s->found = NULL;
}

void cria_stops_drop(cria_stops *s) {
    if (s->certain == 0) return;
    s->text.len -= s->certain;
    memmove(s->text.data, s->text.data + s->certain, s->text.len);
    s->certain = 0;
}

/* The bytes that have matched the longest, now that one more has come; *found where one is complete. */
static size_t step(cria_stops *s, char c, const struct cria_stop **found) {
    size_t most = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct cria_stop *t = &s->stop[i];
        while (t->matched > 0 && t->text[t->matched] != c) t->matched = t->back[t->matched];
        t->matched += t->text[t->matched] == c;
        if (t->matched == t->len && (!*found || t->len > (*found)->len)) *found = t;
        if (t->matched > most) most = t->matched;
    }
    return most;
}

cria_status cria_stops_push(cria_stops *s, const char *text, size_t len, cria_error *err) {
    if (s->found) return CRIA_OK;
    const size_t before = s->text.len;
    const cria_status st = cria_buf_append(&s->text, text, len, err);
    if (st) return st;
    size_t held = before - s->certain;
    for (size_t i = 0; i < len && s->n > 0; i++) {
        const struct cria_stop *found = NULL;
        held = step(s, text[i], &found);
        if (!found) continue;
        s->found = found->text;
        s->text.len = before + i + 1;
        held = found->len;
        break;
    }
    s->certain = s->text.len - held;
    if (s->found) s->text.len = s->certain;
    return CRIA_OK;
}

void cria_stops_end(cria_stops *s) { s->certain = s->text.len; }
