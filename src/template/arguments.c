/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments to what the tables hold. */
#include "template/tree.h"

#include <string.h>

/* The place of a parameter in "a b / c", or -1. */
static int place(const char *parameters, const jinja_text *name) {
    int at = 0;
    for (const char *p = parameters; *p;) {
        const size_t n = strcspn(p, " ");
        if (*p != '/') {
            if (n == name->len && memcmp(p, name->data, n) == 0) return at;
            at++;
        }
        p += n;
        p += *p == ' ';
    }
    return -1;
}

bool cria_jinja_bind(jinja_state *s, const char *what, const char *name, const char *parameters,
                     const jinja_arguments *a, jinja_value given[JINJA_MAX_PARAMETERS]) {
    memset(given, 0, JINJA_MAX_PARAMETERS * sizeof *given);
    if (parameters[0] == '*') return true;
    size_t n = 0, required = 0;
    bool optional = strchr(parameters, '/') != NULL;
    if (!optional) required = 0;
    for (const char *p = parameters; *p;) {
        const size_t len = strcspn(p, " ");
        if (*p == '/')
            required = n;
        else
            n++;
        p += len;
        p += *p == ' ';
    }
    if (a->n > n)
        return cria_jinja_fail(s, CRIA_EFORMAT, "%s%s() takes at most %zu arguments, got %zu", what, name, n, a->n);
    for (size_t i = 0; i < a->n; i++) given[i] = a->items[i];
    for (size_t i = 0; i < a->n_named; i++) {
        const jinja_text *t = a->names[i];
        const int at = place(parameters, t);
        if (at < 0 || given[at].type != JINJA_MISSING)
            return cria_jinja_fail(s, CRIA_EFORMAT, "%s%s() got %s argument '%.*s'", what, name,
                                   at < 0 ? "an unexpected keyword" : "multiple values for",
                                   (int)(t->len < 100 ? t->len : 100), t->data);
        given[at] = a->named[i];
    }
    for (size_t i = 0; i < required; i++)
        if (given[i].type == JINJA_MISSING)
            return cria_jinja_fail(s, CRIA_EFORMAT, "%s%s() is missing argument %zu", what, name, i + 1);
    return true;
}

bool cria_jinja_filter(jinja_state *s, const struct jinja_filter *f, jinja_value v, const jinja_arguments *a,
                       jinja_value *out) {
    jinja_value given[JINJA_MAX_PARAMETERS];
    return cria_jinja_bind(s, "filter ", f->name, f->parameters, a, given) && f->call(s, v, given, a, out);
}

bool cria_jinja_test(jinja_state *s, const struct jinja_test *t, jinja_value v, const jinja_arguments *a, bool *out) {
    jinja_value given[JINJA_MAX_PARAMETERS];
    return cria_jinja_bind(s, "test ", t->name, t->parameters, a, given) && t->call(s, v, given, out);
}

bool cria_jinja_int_argument(jinja_state *s, jinja_value v, int64_t otherwise, int64_t *out) {
    *out = otherwise;
    return v.type == JINJA_MISSING || jinja_whole(v, out) ||
           cria_jinja_fail(s, CRIA_EFORMAT, "'%s' object cannot be interpreted as an integer",
                           cria_jinja_type_name(v));
}

bool cria_jinja_text_argument(jinja_state *s, jinja_value v, const jinja_text **out) {
    if (v.type != JINJA_TEXT) return cria_jinja_fail(s, CRIA_EFORMAT, "must be str, not %s", cria_jinja_type_name(v));
    *out = v.text;
    return true;
}
