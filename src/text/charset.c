/* SPDX-License-Identifier: Apache-2.0 */
/* The sets of charset.h. Ranges mostly come in ascending order, so that adding is appending; otherwise the
 * place is searched and what now overlaps is drawn together. */
#include "text/charset.h"
#include "base/mem.h"
#include "base/status.h"
#include "text/unicode.h"

#include <string.h>

void cria_charset_init(cria_charset *s, cria_ctx *ctx) { *s = (cria_charset){.ctx = ctx}; }

void cria_charset_fini(cria_charset *s) {
    cria_free(s->ctx, s->range);
    cria_charset_init(s, s->ctx);
}

static cria_status reserve(cria_charset *s, cria_error *err) {
    if (s->n < s->cap) return CRIA_OK;
    const size_t cap = s->cap ? s->cap * 2 : 8;
    struct cria_range *range = cria_realloc(s->ctx, s->range, s->cap * sizeof *range, cap * sizeof *range);
    if (!range) return cria_fail_nomem(err, "a set of characters", cap * sizeof *range);
    s->range = range;
    s->cap = cap;
    return CRIA_OK;
}

/* The first range that ends at low − 1 or later. */
static size_t place_of(const cria_charset *s, uint32_t low) {
    size_t from = 0, to = s->n;
    while (from < to) {
        const size_t mid = from + (to - from) / 2;
        if (s->range[mid].high + 1 < low)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

cria_status cria_charset_add(cria_charset *s, uint32_t low, uint32_t high, cria_error *err) {
    const size_t at = place_of(s, low);
    size_t end = at;
    while (end < s->n && s->range[end].low <= high + 1) end++;
    if (end > at) { /* draws [at, end) together */
        if (s->range[at].low < low) low = s->range[at].low;
        if (s->range[end - 1].high > high) high = s->range[end - 1].high;
        memmove(s->range + at + 1, s->range + end, (s->n - end) * sizeof *s->range);
        s->n -= end - at - 1;
    } else {
        const cria_status st = reserve(s, err);
        if (st != CRIA_OK) return st;
        if (s->n > at) memmove(s->range + at + 1, s->range + at, (s->n - at) * sizeof *s->range);
        s->n++;
    }
    s->range[at] = (struct cria_range){low, high};
    return CRIA_OK;
}

cria_status cria_charset_add_set(cria_charset *s, const cria_charset *other, cria_error *err) {
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < other->n && st == CRIA_OK; i++)
        st = cria_charset_add(s, other->range[i].low, other->range[i].high, err);
    return st;
}

cria_status cria_charset_add_props(cria_charset *s, uint32_t categories, uint32_t flags, cria_error *err) {
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < cria_unicode_n_breaks && st == CRIA_OK; i++) {
        const uint32_t entry = cria_unicode_breaks[i];
        if ((categories >> (entry & CRIA_CHAR_CATEGORY) & 1) == 0 && (entry & flags) == 0) continue;
        const uint32_t end =
            i + 1 < cria_unicode_n_breaks ? cria_unicode_breaks[i + 1] >> 11 : CRIA_CHAR_LAST + 1;
        st = cria_charset_add(s, entry >> 11, end - 1, err);
    }
    return st;
}

cria_status cria_charset_invert(cria_charset *s, cria_error *err) {
    cria_charset out;
    cria_charset_init(&out, s->ctx);
    cria_status st = CRIA_OK;
    uint32_t from = 0;
    for (size_t i = 0; i < s->n && st == CRIA_OK; i++) {
        if (s->range[i].low > from) st = cria_charset_add(&out, from, s->range[i].low - 1, err);
        from = s->range[i].high + 1;
    }
    if (st == CRIA_OK && from <= CRIA_CHAR_LAST) st = cria_charset_add(&out, from, CRIA_CHAR_LAST, err);
    if (st != CRIA_OK) {
        cria_charset_fini(&out);
        return st;
    }
    cria_charset_fini(s);
    *s = out;
    return CRIA_OK;
}

/* Not (not a or not b). */
cria_status cria_charset_intersect(cria_charset *s, const cria_charset *other, cria_error *err) {
    cria_charset b;
    cria_charset_init(&b, s->ctx);
    cria_status st = cria_charset_add_set(&b, other, err);
    if (st == CRIA_OK) st = cria_charset_invert(&b, err);
    if (st == CRIA_OK) st = cria_charset_invert(s, err);
    if (st == CRIA_OK) st = cria_charset_add_set(s, &b, err);
    if (st == CRIA_OK) st = cria_charset_invert(s, err);
    cria_charset_fini(&b);
    return st;
}

bool cria_charset_has(const cria_charset *s, uint32_t cp) {
    size_t from = 0, to = s->n;
    while (from < to) {
        const size_t mid = from + (to - from) / 2;
        if (s->range[mid].high < cp)
            from = mid + 1;
        else
            to = mid;
    }
    return from < s->n && s->range[from].low <= cp;
}
