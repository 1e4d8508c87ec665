/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that are there without being variables. */
#include "template/tree.h"
#include "base/status.h"

#include <string.h>

#define FUNCTION(name)                                                                                               \
    static bool name(jinja_state *s, const jinja_value *given, const jinja_arguments *a, jinja_value *out)

FUNCTION(g_range) {
    (void)a;
    int64_t start = 0, stop, step;
    if (!cria_jinja_int_argument(s, given[0], 0, &stop) || !cria_jinja_int_argument(s, given[2], 1, &step))
        return false;
    if (given[1].type != JINJA_MISSING) {
        start = stop;
        if (!cria_jinja_int_argument(s, given[1], 0, &stop)) return false;
    }
    if (step == 0) return cria_jinja_fail(s, CRIA_EFORMAT, "range() arg 3 must not be zero");
    const uint64_t span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    const uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    const bool none = step > 0 ? stop <= start : stop >= start;
    const uint64_t n = none ? 0 : (span - 1) / stride + 1;
    if (n > CRIA_TEMPLATE_MAX_RANGE)
        return cria_jinja_fail(s, CRIA_EFULL, "Range too big: more than %d items", CRIA_TEMPLATE_MAX_RANGE);
    jinja_list *l = cria_jinja_list(s, (size_t)n);
    if (!l || !cria_jinja_steps(s, (size_t)n)) return false;
    l->start = start;
    l->stop = stop;
    l->step = step;
    for (; l->n < n; l->n++) l->items[l->n] = jinja_int((int64_t)((uint64_t)start + l->n * (uint64_t)step));
    *out = jinja_listed(JINJA_RANGE, l);
    return true;
}

/* dict() and namespace(): of a dict or pairs, then of names. */
static bool members(jinja_state *s, const jinja_arguments *a, bool space, jinja_dict **out) {
    jinja_dict *d = cria_jinja_dict(s);
    jinja_list *l;
    if (!d) return false;
    if (a->n > 1) return cria_jinja_fail(s, CRIA_EFORMAT, "dict expected at most 1 argument, got %zu", a->n);
    if (a->n == 1 && a->items[0].type == JINJA_DICT) {
        const jinja_dict *from = a->items[0].dict;
        for (size_t i = 0; i < from->n; i++)
            if (!cria_jinja_steps(s, 1) || !cria_jinja_dict_set(s, d, from->entries[i].key, from->entries[i].value))
                return false;
    } else if (a->n == 1) {
        if (!cria_jinja_iterate(s, a->items[0], &l)) return false;
        for (; l->pos < l->n; l->pos++) {
            jinja_list *pair;
            if (!cria_jinja_steps(s, 1) || !cria_jinja_iterate(s, l->items[l->pos], &pair)) return false;
            if (pair->n - pair->pos != 2)
                return cria_jinja_fail(s, CRIA_EFORMAT,
                                       "dictionary update sequence element has length %zu; 2 is required",
                                       pair->n - pair->pos);
            if (!cria_jinja_dict_set(s, d, pair->items[pair->pos], pair->items[pair->pos + 1])) return false;
        }
    }
    for (size_t i = 0; i < a->n_named; i++)
        if (!cria_jinja_dict_set(s, d, (jinja_value){.type = JINJA_TEXT, .text = a->names[i]}, a->named[i]))
            return false;
    for (size_t i = 0; space && i < d->n; i++)
        if (d->entries[i].key.type == JINJA_TEXT && d->entries[i].key.text->len &&
            d->entries[i].key.text->data[0] == '_')
            return cria_jinja_fail(s, CRIA_EFORMAT,
                                   "Chat templates cannot store underscore-prefixed attributes on a namespace");
    *out = d;
    return true;
}

FUNCTION(g_dict) {
    (void)given;
    jinja_dict *d;
    if (!members(s, a, false, &d)) return false;
    *out = (jinja_value){.type = JINJA_DICT, .dict = d};
    return true;
}

FUNCTION(g_namespace) {
    (void)given;
    jinja_dict *d;
    if (!members(s, a, true, &d)) return false;
    *out = (jinja_value){.type = JINJA_NAMESPACE, .dict = d};
    return true;
}

FUNCTION(g_raise_exception) {
    (void)a, (void)out;
    jinja_value v;
    if (!cria_jinja_to_text(s, given[0], &v) || s->status != CRIA_OK) return false;
    const int len = (int)(v.text->len < sizeof s->err->msg ? v.text->len : sizeof s->err->msg);
    s->status = cria_fail(s->err, CRIA_EINVAL, s->line, "%.*s", len, v.text->data);
    return false;
}

FUNCTION(g_strftime_now) {
    (void)a;
    const jinja_text *format;
    return cria_jinja_text_argument(s, given[0], &format) && cria_jinja_strftime(s, format, out);
}

FUNCTION(g_cycler) {
    (void)given;
    if (a->n_named || a->n == 0) return cria_jinja_fail(s, CRIA_EFORMAT, "at least one item has to be provided");
    jinja_list *l = cria_jinja_list(s, 0);
    if (!l) return false;
    l->items = a->items;
    l->n = a->n;
    *out = jinja_listed(JINJA_CYCLER, l);
    return true;
}

FUNCTION(g_joiner) {
    (void)a;
    struct jinja_joiner *j = cria_jinja_alloc(s, sizeof *j);
    if (!j) return false;
    *j = (struct jinja_joiner){given[0], false};
    if (given[0].type == JINJA_MISSING && !cria_jinja_text_view(s, ", ", 2, &j->separator)) return false;
    *out = (jinja_value){.type = JINJA_JOINER, .joiner = j};
    return true;
}

FUNCTION(g_lipsum) {
    (void)given, (void)a, (void)out;
    return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "lipsum() is not supported");
}

static const struct jinja_function functions[] = {
    {"cycler", "*", g_cycler},
    {"dict", "*", g_dict},
    {"joiner", "sep", g_joiner},
    {"lipsum", "*", g_lipsum},
    {"namespace", "*", g_namespace},
    {"raise_exception", "message /", g_raise_exception},
    {"range", "start / stop step", g_range},
    {"strftime_now", "format /", g_strftime_now},
};

const struct jinja_function *cria_jinja_find_function(const jinja_text *name) {
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (cria_jinja_text_is(name, functions[i].name)) return &functions[i];
    return NULL;
}
