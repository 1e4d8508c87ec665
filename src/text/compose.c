/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normal forms by the book (Unicode 3.11, D108 to D117; Hangul by arithmetic, 3.12), but only where something
 * may change: a character that is the same in the form and never meets what stands before it passes. From the
 * last such character to the next one everything is taken apart, put in canonical order and put together
 * again.
 */
#include "text/compose.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"

#include <string.h>

enum {
    S_BASE = 0xac00,
    L_BASE = 0x1100,
    V_BASE = 0x1161,
    T_BASE = 0x11a7,
    L_COUNT = 19,
    V_COUNT = 21,
    T_COUNT = 28
};
#define S_COUNT (L_COUNT * V_COUNT * T_COUNT)

/* The characters of a stretch, taken apart. */
struct letters {
    cria_ctx *ctx;
    uint32_t *cp; /* class << 24 | code point; the second half is for sorting */
    size_t n, cap;
};

static uint32_t entry_of(uint32_t cp) {
    const uint32_t key = cp << 11 | 0x7ff;
    size_t low = 0, high = cria_compose_n_breaks;
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (cria_compose_breaks[mid] <= key)
            low = mid;
        else
            high = mid;
    }
    return cria_compose_breaks[low] & 0x7ff;
}

static uint32_t class_of(uint32_t cp) { return cria_compose_class[entry_of(cp) >> 4]; }

static bool passes(enum cria_form form, uint32_t cp) { return cp < 0x80 || (entry_of(cp) >> form & 1) == 0; }

static cria_status add(struct letters *l, uint32_t cp, cria_error *err) {
    if (l->n == l->cap) {
        const size_t cap = l->cap ? l->cap * 2 : 64;
        uint32_t *more = cria_malloc_array(l->ctx, cap, 2 * sizeof *more);
        if (!more) return cria_fail_nomem(err, "normalizing the text", cap * 2 * sizeof *more);
        if (l->n) memcpy(more, l->cp, l->n * sizeof *more);
        cria_free(l->ctx, l->cp);
        l->cp = more;
        l->cap = cap;
    }
    l->cp[l->n++] = class_of(cp) << 24 | cp;
    return CRIA_OK;
}

/* The decomposition's place in the pool << 6 | units, 0 for none. */
static uint32_t find_parts(uint32_t key) {
    size_t low = 0, high = cria_compose_n_parts;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (cria_compose_parts[mid][0] < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low < cria_compose_n_parts && cria_compose_parts[low][0] == key ? cria_compose_parts[low][1] : 0;
}

static cria_status take_apart(struct letters *l, enum cria_form form, uint32_t cp, cria_error *err) {
    cria_status st;
    if (cp - S_BASE < S_COUNT) {
        const uint32_t s = cp - S_BASE, t = s % T_COUNT;
        st = add(l, L_BASE + s / (V_COUNT * T_COUNT), err);
        if (st == CRIA_OK) st = add(l, V_BASE + s % (V_COUNT * T_COUNT) / T_COUNT, err);
        return st == CRIA_OK && t ? add(l, T_BASE + t, err) : st;
    }
    uint32_t parts = form == CRIA_FORM_KC || form == CRIA_FORM_KD ? find_parts(cp << 1 | 1) : 0;
    if (parts == 0) parts = find_parts(cp << 1);
    if (parts == 0) return add(l, cp, err);
    const uint16_t *unit = cria_compose_pool + (parts >> 6), *end = unit + (parts & 63);
    st = CRIA_OK;
    while (unit < end && st == CRIA_OK) {
        uint32_t c = *unit++;
        if (c >= 0xd800 && c < 0xdc00) c = 0x10000 + (c - 0xd800) * 0x400 + (*unit++ - 0xdc00u);
        st = add(l, c, err);
    }
    return st;
}

/* Marks between two starters, by class, those of one class as they came: counted, so that a long run stays
 * linear. */
static void order(struct letters *l) {
    uint32_t *sorted = l->cp + l->cap;
    for (size_t from = 0; from < l->n;) {
        size_t count[256] = {0}, to = from;
        bool sort = false;
        for (; to < l->n && l->cp[to] >> 24; to++) {
            sort = sort || (to > from && l->cp[to] >> 24 < l->cp[to - 1] >> 24);
            count[l->cp[to] >> 24]++;
        }
        if (sort) {
            size_t at = 0;
            for (size_t k = 0; k < 256; k++) {
                const size_t n = count[k];
                count[k] = at;
                at += n;
            }
            for (size_t i = from; i < to; i++) sorted[count[l->cp[i] >> 24]++] = l->cp[i];
            memcpy(l->cp + from, sorted, (to - from) * sizeof *sorted);
        }
        while (to < l->n && l->cp[to] >> 24 == 0) to++;
        from = to;
    }
}

/* What the two compose to, 0 for nothing. */
static uint32_t pair_of(uint32_t a, uint32_t b) {
    if (a - L_BASE < L_COUNT && b - V_BASE < V_COUNT)
        return S_BASE + ((a - L_BASE) * V_COUNT + (b - V_BASE)) * T_COUNT;
    if (a - S_BASE < S_COUNT && (a - S_BASE) % T_COUNT == 0 && b - T_BASE - 1 < T_COUNT - 1)
        return a + (b - T_BASE);
    size_t low = 0, high = cria_compose_n_pairs;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const uint32_t *p = cria_compose_pairs[mid];
        if (p[0] < a || (p[0] == a && p[1] < b))
            low = mid + 1;
        else
            high = mid;
    }
    if (low == cria_compose_n_pairs) return 0;
    const uint32_t *p = cria_compose_pairs[low];
    return p[0] == a && p[1] == b ? p[2] : 0;
}

static void put_together(struct letters *l) {
    size_t starter = SIZE_MAX, n = 0;
    uint32_t before = 0; /* class of the last character kept behind the starter */
    for (size_t i = 0; i < l->n; i++) {
        const uint32_t class = l->cp[i] >> 24, cp = l->cp[i] & 0xffffff;
        if (starter != SIZE_MAX && (n == starter + 1 || before < class)) {
            const uint32_t both = pair_of(l->cp[starter] & 0xffffff, cp);
            if (both) {
                l->cp[starter] = both;
                continue;
            }
        }
        if (class == 0) starter = n;
        before = class;
        l->cp[n++] = l->cp[i];
    }
    l->n = n;
}

static cria_status stretch(struct letters *l, enum cria_form form, const uint8_t *text, size_t len,
                           cria_buf *out, cria_error *err) {
    cria_status st = CRIA_OK;
    l->n = 0;
    for (size_t i = 0; i < len && st == CRIA_OK;) {
        uint32_t cp;
        i += cria_utf8_decode(text + i, len - i, &cp);
        st = take_apart(l, form, cp, err);
    }
    if (st != CRIA_OK) return st;
    order(l);
    if (form == CRIA_FORM_C || form == CRIA_FORM_KC) put_together(l);
    for (size_t i = 0; i < l->n && st == CRIA_OK; i++) {
        uint8_t c[4];
        st = cria_buf_append(out, c, cria_utf8_encode(l->cp[i] & 0xffffff, c), err);
    }
    return st;
}

cria_status cria_compose(enum cria_form form, const uint8_t *text, size_t len, cria_buf *out, bool *changed,
                         cria_error *err) {
    struct letters l = {.ctx = out->ctx};
    const size_t before = out->len;
    size_t done = 0, last = 0; /* the last character that passes; what is before it may have been written */
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < len && st == CRIA_OK;) {
        uint32_t cp = text[i];
        size_t n = 1;
        if (cp >= 0x80) n = cria_utf8_decode(text + i, len - i, &cp);
        if (passes(form, cp)) {
            last = i;
            i += n;
            continue;
        }
        do {
            i += n;
            if (i == len) break;
            n = cria_utf8_decode(text + i, len - i, &cp);
        } while (!passes(form, cp));
        if (last < done) last = done; /* the text begins with such a character */
        st = cria_buf_append(out, text + done, last - done, err);
        if (st == CRIA_OK) st = stretch(&l, form, text + last, i - last, out, err);
        done = last = i;
    }
    if (st == CRIA_OK && done > 0) st = cria_buf_append(out, text + done, len - done, err);
    cria_free(l.ctx, l.cp);
    *changed =
        st == CRIA_OK && done > 0 && (out->len - before != len || memcmp(out->data + before, text, len) != 0);
    if (!*changed) out->len = before;
    return st;
}
