/* SPDX-License-Identifier: Apache-2.0 */
/* ==, <, in and sorting, as Python has them for the types there are. */
#include "template/value.h"

#include <math.h>
#include <string.h>

/* Exact also where the integer is none that a double can be. */
static int compare_int_float(int64_t i, double f) {
    if (f >= 0x1p63) return -1;
    if (f < -0x1p63) return 1;
    const double whole = floor(f);
    const int64_t w = (int64_t)whole;
    if (i != w) return i < w ? -1 : 1;
    return f > whole ? -1 : 0;
}

/* 2 for NaN */
static int compare_numbers(jinja_value a, jinja_value b) {
    int64_t i = 0, k = 0;
    const bool whole_a = jinja_whole(a, &i), whole_b = jinja_whole(b, &k);
    if (whole_a && whole_b) return (i > k) - (i < k);
    if (whole_a) return isnan(b.real) ? 2 : compare_int_float(i, b.real);
    if (whole_b) return isnan(a.real) ? 2 : -compare_int_float(k, a.real);
    if (isnan(a.real) || isnan(b.real)) return 2;
    return (a.real > b.real) - (a.real < b.real);
}

static int compare_texts(const jinja_text *a, const jinja_text *b) { /* UTF-8 sorts as its code points do */
    const size_t n = a->len < b->len ? a->len : b->len;
    const int c = n ? memcmp(a->data, b->data, n) : 0;
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

static bool equal_lists(jinja_state *s, const jinja_list *a, const jinja_list *b, bool *out) {
    *out = a->n == b->n;
    for (size_t i = 0; *out && a->items != b->items && i < a->n; i++)
        if (!cria_jinja_steps(s, 1) || !cria_jinja_equal(s, a->items[i], b->items[i], out)) return false;
    return true;
}

static bool equal_dicts(jinja_state *s, const jinja_dict *a, const jinja_dict *b, bool *out) {
    *out = a->n == b->n;
    for (size_t i = 0; *out && a != b && i < a->n; i++) {
        jinja_value *other;
        if (!cria_jinja_steps(s, 1) || !cria_jinja_dict_get(s, b, a->entries[i].key, &other)) return false;
        *out = other != NULL;
        if (other && !cria_jinja_equal(s, a->entries[i].value, *other, out)) return false;
    }
    return true;
}

bool cria_jinja_equal(jinja_state *s, jinja_value a, jinja_value b, bool *out) {
    double x;
    *out = false;
    if (jinja_number(a, &x)) {
        *out = jinja_number(b, &x) && compare_numbers(a, b) == 0;
        return true;
    }
    if (a.type != b.type) return true;
    bool ok = true;
    switch ((enum jinja_type)a.type) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE: *out = true; return true;
    case JINJA_TEXT:
        *out =
            a.text->len == b.text->len && (a.text == b.text || memcmp(a.text->data, b.text->data, a.text->len) == 0);
        return cria_jinja_steps(s, *out ? a.text->len / 64 : 0);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW:
        if (!cria_jinja_enter(s)) return false;
        ok = equal_lists(s, a.list, b.list, out);
        s->depth--;
        return ok;
    case JINJA_DICT:
        if (!cria_jinja_enter(s)) return false;
        ok = equal_dicts(s, a.dict, b.dict, out);
        s->depth--;
        return ok;
    default: *out = a.list == b.list; return true;
    }
}

bool cria_jinja_order(jinja_state *s, jinja_value a, jinja_value b, int *out, bool *nan) {
    double x;
    *nan = false;
    if (a.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, a);
    if (b.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, b);
    if (jinja_number(a, &x) && jinja_number(b, &x)) {
        const int c = compare_numbers(a, b);
        *nan = c == 2;
        *out = c;
        return true;
    }
    if (a.type == JINJA_TEXT && b.type == JINJA_TEXT) {
        *out = compare_texts(a.text, b.text);
        return cria_jinja_steps(s, a.text->len / 64);
    }
    if (a.type != b.type || (a.type != JINJA_LIST && a.type != JINJA_TUPLE))
        return cria_jinja_fail(s, CRIA_EFORMAT, "'<' not supported between instances of '%s' and '%s'",
                               cria_jinja_type_name(a), cria_jinja_type_name(b));
    if (!cria_jinja_enter(s)) return false;
    bool ok = true, found = false;
    for (size_t i = 0; ok && !found && i < a.list->n && i < b.list->n; i++) {
        bool same = false;
        ok = cria_jinja_steps(s, 1) && cria_jinja_equal(s, a.list->items[i], b.list->items[i], &same);
        found = !same;
        if (ok && found) ok = cria_jinja_order(s, a.list->items[i], b.list->items[i], out, nan);
    }
    if (!found) *out = (a.list->n > b.list->n) - (a.list->n < b.list->n);
    s->depth--;
    return ok;
}

bool cria_jinja_contains(jinja_state *s, jinja_value item, jinja_value container, bool *out) {
    jinja_value *found;
    jinja_list *l;
    *out = false;
    switch ((enum jinja_type)container.type) {
    case JINJA_TEXT:
        if (item.type != JINJA_TEXT)
            return cria_jinja_fail(s, CRIA_EFORMAT, "'in <string>' requires string as left operand, not %s",
                                   cria_jinja_type_name(item));
        *out = item.text->len == 0 ||
               memmem(container.text->data, container.text->len, item.text->data, item.text->len) != NULL;
        return cria_jinja_steps(s, container.text->len / 64);
    case JINJA_DICT:
        if (!cria_jinja_dict_get(s, container.dict, item, &found)) return false;
        *out = found != NULL;
        return true;
    case JINJA_UNDEFINED: return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW:
    case JINJA_ITERATOR:
        if (!cria_jinja_iterate(s, container, &l)) return false;
        while (!*out && l->pos < l->n)
            if (!cria_jinja_steps(s, 1) || !cria_jinja_equal(s, l->items[l->pos++], item, out)) return false;
        return true;
    default:
        return cria_jinja_fail(s, CRIA_EFORMAT, "argument of type '%s' is not iterable",
                               cria_jinja_type_name(container));
    }
}

/* Merges two runs of order[] into to[]. A key that is less wins, with reverse one that is greater; else the earlier.
 */
static bool merge(jinja_state *s, const jinja_value *keys, const uint32_t *from, uint32_t *to, size_t a, size_t b,
                  size_t end, bool reverse) {
    size_t i = a, k = b;
    for (size_t at = a; at < end; at++) {
        bool second = i == b;
        if (i < b && k < end) {
            int c = 0;
            bool nan;
            if (!cria_jinja_steps(s, 1) || !cria_jinja_order(s, keys[from[k]], keys[from[i]], &c, &nan)) return false;
            second = !nan && (reverse ? c > 0 : c < 0);
        }
        to[at] = from[second ? k++ : i++];
    }
    return true;
}

bool cria_jinja_sort(jinja_state *s, jinja_value *items, jinja_value *keys, size_t n, bool reverse) {
    if (n < 2) return true;
    uint32_t *order = cria_jinja_alloc_array(s, n, sizeof *order), *next = cria_jinja_alloc_array(s, n, sizeof *next);
    jinja_value *sorted = cria_jinja_alloc_array(s, 2 * n, sizeof *sorted);
    if (!order || !next || !sorted) return false;
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t a = 0; a < n; a += 2 * width) {
            const size_t b = a + width < n ? a + width : n, end = a + 2 * width < n ? a + 2 * width : n;
            if (!merge(s, keys, order, next, a, b, end, reverse)) return false;
        }
        uint32_t *const was = order;
        order = next;
        next = was;
    }
    for (size_t i = 0; i < n; i++) {
        sorted[i] = items[order[i]];
        sorted[n + i] = keys[order[i]];
    }
    memcpy(items, sorted, n * sizeof *items);
    memcpy(keys, sorted + n, n * sizeof *keys);
    return true;
}
