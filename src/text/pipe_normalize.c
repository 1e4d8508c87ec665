/* SPDX-License-Identifier: Apache-2.0 */
/* The steps that make another text of a text. Each appends to a buffer; where a step changes nothing, which
 * is the rule, nothing is copied. */
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/compose.h"
#include "text/pipeline.h"
#include "text/unicode.h"

#include <stdint.h>
#include <string.h>

static bool begins_with(const struct cria_step *s, const uint8_t *text, size_t len) {
    return len >= s->len && memcmp(text, s->text, s->len) == 0;
}

static cria_status prepend(const struct cria_step *s, const uint8_t *text, size_t len, bool first,
                           cria_buf *out, bool *changed, cria_error *err) {
    if (len == 0 || (s->first && !first) || (s->unless && begins_with(s, text, len))) return CRIA_OK;
    *changed = true;
    const cria_status st = cria_buf_append(out, s->text, s->len, err);
    return st == CRIA_OK ? cria_buf_append(out, text, len, err) : st;
}

static size_t char_length(const uint8_t *s) {
    return s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
}

static cria_status replace(const struct cria_step *s, const uint8_t *text, size_t len, bool *first,
                           cria_buf *out, bool *changed, cria_error *err) {
    cria_regex_scan scan;
    bool found = true;
    size_t done = 0, from = 0, to = 0;
    cria_regex_begin(&scan, s->regex, text, len);
    cria_status st = CRIA_OK;
    while (st == CRIA_OK && found) {
        st = cria_regex_next(&scan, &found, &from, &to, err);
        if (st != CRIA_OK || !found) break;
        /* A character that stands for several, or for none, is at the place of the last of them. */
        if (from == 0 && (s->len == 0 || to > char_length(text))) *first = false;
        st = cria_buf_append(out, text + done, from - done, err);
        if (st == CRIA_OK) st = cria_buf_append(out, s->text, s->len, err);
        done = to;
        *changed = true;
    }
    if (st == CRIA_OK && *changed) st = cria_buf_append(out, text + done, len - done, err);
    cria_regex_finish(&scan);
    return st;
}

static bool is_space(const uint8_t *s, size_t n) {
    uint32_t cp = 0;
    cria_utf8_decode(s, n, &cp);
    return (cria_char_props(cp) & CRIA_CHAR_SPACE) != 0;
}

static cria_status trim(const struct cria_step *s, const uint8_t *text, size_t len, bool *first,
                        cria_buf *out, bool *changed, cria_error *err) {
    size_t from = 0, to = len;
    while (s->left && from < to && is_space(text + from, to - from)) from += char_length(text + from);
    while (s->right && to > from) {
        size_t at = to - 1;
        while (at > from && (text[at] & 0xc0) == 0x80) at--;
        if (!is_space(text + at, to - at)) break;
        to = at;
    }
    if (from > 0) *first = false;
    if (from == 0 && to == len) return CRIA_OK;
    *changed = true;
    return cria_buf_append(out, text + from, to - from, err);
}

static cria_status alphabet(const uint8_t *text, size_t len, cria_buf *out, bool *changed, cria_error *err) {
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < len && st == CRIA_OK; i++) {
        uint8_t c[4];
        st = cria_buf_append(out, c, cria_utf8_encode(cria_byte_to_char(text[i]), c), err);
    }
    *changed = len > 0;
    return st;
}

cria_status cria_step_rewrite(const struct cria_step *s, const uint8_t *text, size_t len, bool *first,
                              cria_buf *out, bool *changed, cria_error *err) {
    *changed = false;
    switch (s->kind) {
    case CRIA_STEP_PREPEND:
        return prepend(s, text, len, *first, out, changed, err);
    case CRIA_STEP_REPLACE:
        return replace(s, text, len, first, out, changed, err);
    case CRIA_STEP_TRIM:
        return trim(s, text, len, first, out, changed, err);
    case CRIA_STEP_ALPHABET:
        return alphabet(text, len, out, changed, err);
    case CRIA_STEP_NFC:
        return cria_compose(CRIA_FORM_C, text, len, out, changed, err);
    case CRIA_STEP_NFD:
        return cria_compose(CRIA_FORM_D, text, len, out, changed, err);
    case CRIA_STEP_NFKC:
        return cria_compose(CRIA_FORM_KC, text, len, out, changed, err);
    case CRIA_STEP_NFKD:
        return cria_compose(CRIA_FORM_KD, text, len, out, changed, err);
    default:
        return CRIA_OK;
    }
}

void cria_normalize_work_init(struct cria_normalize_work *w, cria_ctx *ctx, size_t text_len) {
    for (int i = 0; i < 2; i++) cria_buf_init(&w->buf[i], ctx, cria_pipeline_text_max(text_len));
}

void cria_normalize_work_fini(struct cria_normalize_work *w) {
    for (int i = 0; i < 2; i++) cria_buf_fini(&w->buf[i]);
}

cria_status cria_pipeline_normalize(const cria_pipeline *p, struct cria_normalize_work *w,
                                    const uint8_t **text, size_t *len, bool *first, cria_error *err) {
    unsigned turn = 0;
    for (unsigned i = 0; i < p->normalize.n; i++) {
        cria_buf *out = &w->buf[turn];
        bool changed;
        out->len = 0;
        const cria_status st =
            cria_step_rewrite(&p->normalize.step[i], *text, *len, first, out, &changed, err);
        if (st != CRIA_OK) return st;
        if (!changed) continue;
        *text = out->data;
        *len = out->len;
        turn ^= 1;
    }
    return CRIA_OK;
}
