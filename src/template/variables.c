/* SPDX-License-Identifier: Apache-2.0 */
/* The variables of a rendering, out of JSON. Names that occur twice: the last counts, as in Python. */
#include "template/value.h"
#include "base/jsonread.h"

#include <string.h>

/* The reader allows 64 levels, which bounds the recursion. */
static bool value(jinja_state *s, cria_jsonread *r, jinja_value *out);

static bool text(jinja_state *s, cria_jsontext t, jinja_value *out) { return cria_jinja_text(s, t.data, t.len, out); }

static bool object(jinja_state *s, cria_jsonread *r, jinja_dict **out) {
    jinja_dict *d = cria_jinja_dict(s);
    cria_jsontext name;
    if (!d || !cria_jsonread_object(r)) return false;
    while (cria_jsonread_key(r, &name)) {
        jinja_value k, v;
        if (!text(s, name, &k) || !value(s, r, &v) || !cria_jinja_dict_set(s, d, k, v)) return false;
    }
    *out = d;
    return r->status == CRIA_OK;
}

static bool array(jinja_state *s, cria_jsonread *r, jinja_value *out) {
    jinja_list *l = cria_jinja_list(s, 0);
    if (!l || !cria_jsonread_array(r)) return false;
    while (cria_jsonread_item(r)) {
        jinja_value v;
        if (!value(s, r, &v) || !cria_jinja_push(s, l, v)) return false;
    }
    *out = jinja_listed(JINJA_LIST, l);
    return r->status == CRIA_OK;
}

static bool number(jinja_state *s, cria_jsonread *r, jinja_value *out) {
    cria_jsontext raw;
    double x;
    if (!cria_jsonread_raw(r, &raw)) return false;
    if (memchr(raw.data, '.', raw.len) || memchr(raw.data, 'e', raw.len) || memchr(raw.data, 'E', raw.len)) {
        if (!cria_jinja_parse_float(raw.data, raw.len, &x))
            return cria_jsonread_fail(r, CRIA_EFORMAT, "too large a number");
        *out = jinja_float(x);
        return true;
    }
    int64_t i = 0;
    const bool negative = raw.data[0] == '-';
    for (size_t k = negative; k < raw.len; k++) {
        const int digit = raw.data[k] - '0';
        if (__builtin_mul_overflow(i, 10, &i) ||
            (negative ? __builtin_sub_overflow(i, digit, &i) : __builtin_add_overflow(i, digit, &i)))
            return cria_jsonread_fail(r, CRIA_EFORMAT, "an integer of more than 64 bits");
    }
    *out = jinja_int(i);
    return cria_jinja_steps(s, 1);
}

static bool value(jinja_state *s, cria_jsonread *r, jinja_value *out) {
    cria_jsontext t;
    bool flag = false;
    switch (cria_jsonread_peek(r)) {
    case CRIA_JSON_OBJECT: *out = (jinja_value){.type = JINJA_DICT}; return object(s, r, &out->dict);
    case CRIA_JSON_ARRAY: return array(s, r, out);
    case CRIA_JSON_STRING: return cria_jsonread_string(r, &t) && text(s, t, out);
    case CRIA_JSON_BOOL:
        if (!cria_jsonread_bool(r, &flag)) return false;
        *out = jinja_bool(flag);
        return true;
    case CRIA_JSON_NULL: *out = jinja_none(); return cria_jsonread_skip(r);
    default: return number(s, r, out);
    }
}

bool cria_jinja_read_variables(jinja_state *s, const char *json, size_t len) {
    cria_jsonread r;
    cria_error err;
    cria_jsonread_init(&r, s->ctx, json, len, "the variables of the chat template", &err);
    const bool ok = object(s, &r, &s->variables);
    const cria_status st = cria_jsonread_end(&r);
    if (s->status == CRIA_OK && st != CRIA_OK) {
        s->status = st;
        if (s->err) *s->err = err;
    }
    return ok && s->status == CRIA_OK;
}
