/* SPDX-License-Identifier: Apache-2.0 */
/* Filters on lists. Where Jinja makes a generator these make an iterator of what the generator would yield: it can be
 * gone through once, and has no length. */
#include "template/filters.h"
#include "template/texts.h"

#include <string.h>

#define FILTER(name)                                                                                                 \
    bool name(jinja_state *s, jinja_value v, const jinja_value *given, const jinja_arguments *a, jinja_value *out)
#define UNUSED(x) ((void)(x))

static bool is_given(jinja_value v) { return v.type != JINJA_MISSING && v.type != JINJA_NONE; }

static bool all_digits(const jinja_text *t) {
    for (size_t i = 0; i < t->len; i++)
        if (t->data[i] < '0' || t->data[i] > '9') return false;
    return t->len > 0 && t->len < 18;
}

bool cria_jinja_path(jinja_state *s, jinja_value v, jinja_value path, jinja_value otherwise, bool fold,
                     jinja_value *out) {
    if (path.type == JINJA_TEXT) {
        jinja_value dot, parts;
        if (!cria_jinja_text_view(s, ".", 1, &dot) || !cria_jinja_split(s, path, dot, -1, false, &parts))
            return false;
        for (size_t i = 0; i < parts.list->n; i++) {
            jinja_value part = parts.list->items[i];
            int64_t n = 0;
            bool huge;
            if (all_digits(part.text) && cria_jinja_read_int(part.text, 10, &n, &huge)) part = jinja_int(n);
            if (!cria_jinja_item(s, v, part, &v)) return false;
            if (v.type == JINJA_UNDEFINED && is_given(otherwise)) v = otherwise;
        }
    } else if (is_given(path)) {
        if (!cria_jinja_item(s, v, path, &v)) return false;
        if (v.type == JINJA_UNDEFINED && is_given(otherwise)) v = otherwise;
    }
    *out = v;
    return !fold || v.type != JINJA_TEXT || cria_jinja_change_case(s, v, CASE_LOWER, out);
}

/* What is left to go through, as a list of its own, with an iterator used up. */
static bool gather(jinja_state *s, jinja_value v, jinja_list **out) {
    jinja_list *l, *all;
    if (!cria_jinja_iterate(s, v, &l)) return false;
    const size_t n = l->n - l->pos;
    if (!cria_jinja_steps(s, n) || !(all = cria_jinja_list(s, n))) return false;
    if (n) memcpy(all->items, l->items + l->pos, n * sizeof *all->items);
    all->n = n;
    l->pos = l->n;
    *out = all;
    return true;
}

static bool as(enum jinja_type type, jinja_list *l, jinja_value *out) {
    *out = jinja_listed(type, l);
    return l != NULL;
}

FILTER(cria_jinja_f_list) {
    UNUSED(given), UNUSED(a);
    jinja_list *l;
    return gather(s, v, &l) && as(JINJA_LIST, l, out);
}

FILTER(cria_jinja_f_first) {
    UNUSED(given), UNUSED(a);
    jinja_list *l;
    if (!cria_jinja_iterate(s, v, &l)) return false;
    if (l->pos == l->n) return cria_jinja_undefined_hint(s, "No first item, sequence was empty.", out);
    *out = l->items[l->pos++];
    return true;
}

FILTER(cria_jinja_f_last) {
    UNUSED(given), UNUSED(a);
    jinja_list *l;
    if (v.type == JINJA_ITERATOR)
        return cria_jinja_fail(s, CRIA_EFORMAT, "'%s' object is not reversible", cria_jinja_type_name(v));
    if (!cria_jinja_iterate(s, v, &l)) return false;
    if (l->n == 0) return cria_jinja_undefined_hint(s, "No last item, sequence was empty.", out);
    *out = l->items[l->n - 1];
    return true;
}

static bool pairs(jinja_state *s, const jinja_dict *d, jinja_list **out) {
    jinja_list *l = cria_jinja_list(s, d->n);
    if (!l || !cria_jinja_steps(s, d->n)) return false;
    for (; l->n < d->n; l->n++)
        if (!cria_jinja_pair(s, d->entries[l->n].key, d->entries[l->n].value, &l->items[l->n])) return false;
    *out = l;
    return true;
}

FILTER(cria_jinja_f_items) {
    UNUSED(given), UNUSED(a);
    jinja_list *l = NULL;
    if (v.type == JINJA_UNDEFINED) return as(JINJA_ITERATOR, cria_jinja_list(s, 0), out);
    if (v.type != JINJA_DICT) return cria_jinja_fail(s, CRIA_EFORMAT, "Can only get item pairs from a mapping.");
    return pairs(s, v.dict, &l) && as(JINJA_ITERATOR, l, out);
}

FILTER(cria_jinja_f_join) {
    UNUSED(a);
    jinja_list *l;
    jinja_value separator = given[0];
    if (!gather(s, v, &l)) return false;
    for (size_t i = 0; is_given(given[1]) && i < l->n; i++)
        if (!cria_jinja_path(s, l->items[i], given[1], jinja_none(), false, &l->items[i])) return false;
    if (separator.type == JINJA_MISSING && !cria_jinja_text_view(s, "", 0, &separator)) return false;
    return cria_jinja_join(s, separator, l, out);
}

FILTER(cria_jinja_f_reverse) {
    UNUSED(given), UNUSED(a);
    static const jinja_value back[3] = {
        {.type = JINJA_NONE}, {.type = JINJA_NONE}, {.type = JINJA_INT, .integer = -1}};
    if (v.type == JINJA_TEXT) return cria_jinja_slice(s, v, back, out);
    jinja_list *l;
    if (!gather(s, v, &l)) return false;
    for (size_t i = 0; i < l->n / 2; i++) {
        const jinja_value item = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = item;
    }
    return as(v.type == JINJA_ITERATOR ? JINJA_LIST : JINJA_ITERATOR, l, out);
}

/* ---- sorting ---- */

/* The keys to sort by: of an attribute "a,b" lists of both. */
static bool keys(jinja_state *s, const jinja_list *l, jinja_value attribute, bool fold, jinja_value **out) {
    jinja_value *k = cria_jinja_alloc_array(s, l->n, sizeof *k), comma, parts = jinja_none();
    if (!k) return false;
    if (attribute.type == JINJA_TEXT &&
        (!cria_jinja_text_view(s, ",", 1, &comma) || !cria_jinja_split(s, attribute, comma, -1, false, &parts)))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        const size_t n = parts.type == JINJA_LIST ? parts.list->n : 1;
        jinja_list *key = cria_jinja_list(s, n);
        if (!key) return false;
        for (; key->n < n; key->n++)
            if (!cria_jinja_path(s, l->items[i], n == 1 ? attribute : parts.list->items[key->n], jinja_none(), fold,
                                 &key->items[key->n]))
                return false;
        k[i] = jinja_listed(JINJA_LIST, key);
    }
    *out = k;
    return true;
}

FILTER(cria_jinja_f_sort) {
    UNUSED(a);
    jinja_list *l;
    jinja_value *k;
    return gather(s, v, &l) && keys(s, l, given[2], !cria_jinja_truth(given[1]), &k) &&
           cria_jinja_sort(s, l->items, k, l->n, cria_jinja_truth(given[0])) && as(JINJA_LIST, l, out);
}

FILTER(cria_jinja_f_dictsort) {
    UNUSED(a);
    int64_t by = 0;
    if (given[1].type != JINJA_MISSING) {
        const bool text = given[1].type == JINJA_TEXT;
        by = text && cria_jinja_text_is(given[1].text, "value");
        if (!by && !(text && cria_jinja_text_is(given[1].text, "key")))
            return cria_jinja_fail(s, CRIA_EFORMAT, "You can only sort by either \"key\" or \"value\"");
    }
    if (v.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, v);
    if (v.type != JINJA_DICT)
        return cria_jinja_fail(s, CRIA_EFORMAT, "'%s' object has no attribute 'items'", cria_jinja_type_name(v));
    jinja_list *l;
    jinja_value *k;
    return pairs(s, v.dict, &l) && keys(s, l, jinja_int(by), !cria_jinja_truth(given[0]), &k) &&
           cria_jinja_sort(s, l->items, k, l->n, cria_jinja_truth(given[2])) && as(JINJA_LIST, l, out);
}

static bool extreme(jinja_state *s, jinja_value v, const jinja_value *given, int sign, jinja_value *out) {
    jinja_list *l;
    jinja_value best = jinja_none(), key;
    if (!gather(s, v, &l)) return false;
    if (l->n == 0) return cria_jinja_undefined_hint(s, "No aggregated item, sequence was empty.", out);
    for (size_t i = 0; i < l->n; i++) {
        int order = 0;
        bool nan = false;
        if (!cria_jinja_path(s, l->items[i], given[1], jinja_none(), !cria_jinja_truth(given[0]), &key)) return false;
        if (i && !cria_jinja_order(s, key, best, &order, &nan)) return false;
        if (i && (nan || order * sign <= 0)) continue;
        best = key;
        *out = l->items[i];
    }
    return true;
}
FILTER(cria_jinja_f_min) {
    UNUSED(a);
    return extreme(s, v, given, -1, out);
}
FILTER(cria_jinja_f_max) {
    UNUSED(a);
    return extreme(s, v, given, 1, out);
}

FILTER(cria_jinja_f_groupby) {
    UNUSED(a);
    jinja_list *l, *groups = cria_jinja_list(s, 4);
    const bool fold = !cria_jinja_truth(given[2]);
    if (!groups || !gather(s, v, &l)) return false;
    jinja_value *k = cria_jinja_alloc_array(s, l->n, sizeof *k);
    if (!k) return false;
    for (size_t i = 0; i < l->n; i++)
        if (!cria_jinja_path(s, l->items[i], given[0], given[1], fold, &k[i])) return false;
    if (!cria_jinja_sort(s, l->items, k, l->n, false)) return false;
    for (size_t i = 0, end; i < l->n; i = end) {
        jinja_list *members = cria_jinja_list(s, 1);
        bool same = true;
        for (end = i; members && end < l->n && same;) {
            if (!cria_jinja_push(s, members, l->items[end++])) return false;
            if (end < l->n && !cria_jinja_equal(s, k[i], k[end], &same)) return false;
        }
        jinja_value key = k[i], group;
        if (!members || (fold && !cria_jinja_path(s, l->items[i], given[0], given[1], false, &key))) return false;
        if (!cria_jinja_pair(s, key, jinja_listed(JINJA_LIST, members), &group)) return false;
        group.list->name = "grouper";
        if (!cria_jinja_push(s, groups, group)) return false;
    }
    return as(JINJA_LIST, groups, out);
}

/* ---- the rest ---- */

FILTER(cria_jinja_f_unique) {
    UNUSED(a);
    jinja_list *l, *kept = cria_jinja_list(s, 4);
    jinja_dict *seen = cria_jinja_dict(s);
    if (!kept || !seen || !gather(s, v, &l)) return false;
    for (size_t i = 0; i < l->n; i++) {
        jinja_value key, *known;
        if (!cria_jinja_path(s, l->items[i], given[1], jinja_none(), !cria_jinja_truth(given[0]), &key) ||
            !cria_jinja_dict_get(s, seen, key, &known))
            return false;
        if (!known && (!cria_jinja_dict_set(s, seen, key, key) || !cria_jinja_push(s, kept, l->items[i])))
            return false;
    }
    return as(JINJA_ITERATOR, kept, out);
}

FILTER(cria_jinja_f_sum) {
    UNUSED(a);
    jinja_list *l;
    jinja_value total = given[1].type == JINJA_MISSING ? jinja_int(0) : given[1];
    if (total.type == JINJA_TEXT) return cria_jinja_fail(s, CRIA_EFORMAT, "sum() can't sum strings");
    if (!gather(s, v, &l)) return false;
    for (size_t i = 0; i < l->n; i++) {
        jinja_value item;
        if (!cria_jinja_path(s, l->items[i], given[0], jinja_none(), false, &item) ||
            !cria_jinja_binary(s, OP_ADD, total, item, &total))
            return false;
    }
    *out = total;
    return true;
}

FILTER(cria_jinja_f_batch) {
    UNUSED(a);
    int64_t n;
    jinja_list *l, *batches = cria_jinja_list(s, 4), *batch = NULL;
    if (!batches || !cria_jinja_int_argument(s, given[0], 0, &n) || !gather(s, v, &l)) return false;
    for (size_t i = 0; i < l->n; i++) {
        if (!batch || (int64_t)batch->n == n) {
            if (i == 0 && n == 0 && !cria_jinja_push(s, batches, jinja_listed(JINJA_LIST, cria_jinja_list(s, 0))))
                return false;
            if (!(batch = cria_jinja_list(s, 0)) || !cria_jinja_push(s, batches, jinja_listed(JINJA_LIST, batch)))
                return false;
        }
        if (!cria_jinja_push(s, batch, l->items[i])) return false;
    }
    while (batch && is_given(given[1]) && (int64_t)batch->n < n)
        if (!cria_jinja_steps(s, 1) || !cria_jinja_push(s, batch, given[1])) return false;
    return as(JINJA_ITERATOR, batches, out);
}

FILTER(cria_jinja_f_slice) {
    UNUSED(a);
    int64_t n;
    jinja_list *l, *parts = cria_jinja_list(s, 4);
    if (!parts || !cria_jinja_int_argument(s, given[0], 0, &n) || !gather(s, v, &l)) return false;
    if (n == 0) return cria_jinja_fail(s, CRIA_EFORMAT, "integer division or modulo by zero");
    const size_t each = n > 0 ? l->n / (size_t)n : 0, more = n > 0 ? l->n % (size_t)n : 0;
    for (size_t i = 0, at = 0; (int64_t)i < n; i++) {
        jinja_list *part = cria_jinja_list(s, 0);
        if (!part || !cria_jinja_steps(s, 1)) return false;
        for (size_t k = 0; k < each + (i < more); k++)
            if (!cria_jinja_push(s, part, l->items[at++])) return false;
        if (is_given(given[1]) && i >= more && !cria_jinja_push(s, part, given[1])) return false;
        if (!cria_jinja_push(s, parts, jinja_listed(JINJA_LIST, part))) return false;
    }
    return as(JINJA_ITERATOR, parts, out);
}

static jinja_value named(const jinja_arguments *a, const char *name) {
    for (size_t i = 0; i < a->n_named; i++)
        if (cria_jinja_text_is(a->names[i], name)) return a->named[i];
    return (jinja_value){0};
}

FILTER(cria_jinja_f_map) {
    UNUSED(given);
    jinja_list *l, *mapped;
    if (!cria_jinja_truth(v)) return as(JINJA_ITERATOR, cria_jinja_list(s, 0), out);
    const jinja_value attribute = named(a, "attribute"), otherwise = named(a, "default");
    const struct jinja_filter *f = NULL;
    jinja_arguments rest = *a;
    if (a->n || attribute.type == JINJA_MISSING) {
        if (a->n == 0) return cria_jinja_fail(s, CRIA_EFORMAT, "map requires a filter argument");
        if (a->items[0].type == JINJA_TEXT) f = cria_jinja_find_filter(a->items[0].text);
        if (!f) return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "No filter of the name that map was given");
        rest.items++;
        rest.n--;
    } else if (a->n_named > 1 + (size_t)(otherwise.type != JINJA_MISSING))
        return cria_jinja_fail(s, CRIA_EFORMAT, "map got an unexpected keyword argument");
    if (!gather(s, v, &l) || !(mapped = cria_jinja_list(s, l->n))) return false;
    for (; mapped->n < l->n; mapped->n++) {
        jinja_value *item = &mapped->items[mapped->n];
        if (f ? !cria_jinja_filter(s, f, l->items[mapped->n], &rest, item)
              : !cria_jinja_path(s, l->items[mapped->n], attribute, otherwise, false, item))
            return false;
    }
    return as(JINJA_ITERATOR, mapped, out);
}

static bool choose(jinja_state *s, jinja_value v, const jinja_arguments *a, bool of_attribute, bool wanted,
                   jinja_value *out) {
    jinja_list *l, *kept = cria_jinja_list(s, 4);
    const size_t off = of_attribute;
    const struct jinja_test *test = NULL;
    jinja_arguments rest = *a;
    if (!kept) return false;
    if (!cria_jinja_truth(v)) return as(JINJA_ITERATOR, kept, out);
    if (a->n < off) return cria_jinja_fail(s, CRIA_EFORMAT, "Missing parameter for attribute name");
    if (a->n > off) {
        if (a->items[off].type == JINJA_TEXT) test = cria_jinja_find_test(a->items[off].text);
        if (!test) return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "No test of the name that the filter was given");
        rest.items += off + 1;
        rest.n -= off + 1;
    }
    if (!gather(s, v, &l)) return false;
    for (size_t i = 0; i < l->n; i++) {
        jinja_value item = l->items[i];
        bool holds;
        if (of_attribute && !cria_jinja_path(s, item, a->items[0], jinja_none(), false, &item)) return false;
        holds = cria_jinja_truth(item);
        if (test && !cria_jinja_test(s, test, item, &rest, &holds)) return false;
        if (holds == wanted && !cria_jinja_push(s, kept, l->items[i])) return false;
    }
    return as(JINJA_ITERATOR, kept, out);
}

FILTER(cria_jinja_f_select) {
    UNUSED(given);
    return choose(s, v, a, false, true, out);
}
FILTER(cria_jinja_f_reject) {
    UNUSED(given);
    return choose(s, v, a, false, false, out);
}
FILTER(cria_jinja_f_selectattr) {
    UNUSED(given);
    return choose(s, v, a, true, true, out);
}
FILTER(cria_jinja_f_rejectattr) {
    UNUSED(given);
    return choose(s, v, a, true, false, out);
}
