/* SPDX-License-Identifier: Apache-2.0 */
/* Values: making them, and what every type has: a name, a length, a truth. Dicts are in dict.c, order is in
 * compare.c. */
#include "template/value.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

static size_t count_chars(const char *data, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) n += ((uint8_t)data[i] & 0xc0) != 0x80;
    return n;
}

bool cria_jinja_text_view(jinja_state *s, const char *data, size_t len, jinja_value *out) {
    jinja_text *t = cria_jinja_alloc(s, sizeof *t);
    if (!t) return false;
    *t = (jinja_text){data, len, count_chars(data, len)};
    *out = (jinja_value){.type = JINJA_TEXT, .text = t};
    return cria_jinja_steps(s, len / 256);
}

bool cria_jinja_text(jinja_state *s, const char *data, size_t len, jinja_value *out) {
    char *copy = cria_jinja_alloc(s, len);
    if (!copy) return false;
    if (len) memcpy(copy, data, len);
    return cria_jinja_text_view(s, copy, len, out);
}

bool cria_jinja_text_is(const jinja_text *t, const char *word) {
    return strlen(word) == t->len && memcmp(t->data, word, t->len) == 0;
}

size_t cria_jinja_offset(const jinja_text *t, size_t chars) {
    if (t->len == t->chars) return chars;
    if (chars >= t->chars) return t->len;
    size_t at = 0;
    for (; chars > 0; chars--) do
            at++;
        while (at < t->len && ((uint8_t)t->data[at] & 0xc0) == 0x80);
    return at;
}

jinja_list *cria_jinja_list(jinja_state *s, size_t cap) {
    jinja_list *l = cria_jinja_alloc(s, sizeof *l);
    if (!l) return NULL;
    *l = (jinja_list){.cap = cap};
    if (cap && !(l->items = cria_jinja_alloc_array(s, cap, sizeof *l->items))) return NULL;
    return l;
}

bool cria_jinja_push(jinja_state *s, jinja_list *l, jinja_value v) {
    void *items = l->items;
    if (!cria_jinja_grow(s, &items, l->n, &l->cap, sizeof v)) return false;
    l->items = items;
    l->items[l->n++] = v;
    return true;
}

bool cria_jinja_pair(jinja_state *s, jinja_value a, jinja_value b, jinja_value *out) {
    jinja_list *l = cria_jinja_list(s, 2);
    if (!l || !cria_jinja_push(s, l, a) || !cria_jinja_push(s, l, b)) return false;
    *out = jinja_listed(JINJA_TUPLE, l);
    return true;
}

bool cria_jinja_undefined(jinja_state *s, jinja_value owner, jinja_value name, jinja_value *out) {
    struct jinja_undefined *u = cria_jinja_alloc(s, sizeof *u);
    if (!u) return false;
    *u = (struct jinja_undefined){NULL, owner, name};
    *out = (jinja_value){.type = JINJA_UNDEFINED, .undefined = u};
    return true;
}

bool cria_jinja_undefined_hint(jinja_state *s, const char *hint, jinja_value *out) {
    if (!cria_jinja_undefined(s, (jinja_value){0}, jinja_none(), out)) return false;
    out->undefined->hint = hint;
    return true;
}

bool cria_jinja_fail_undefined(jinja_state *s, jinja_value v) {
    const struct jinja_undefined *u = v.undefined;
    if (u->hint) return cria_jinja_fail(s, CRIA_EFORMAT, "%s", u->hint);
    cria_buf b;
    cria_jinja_scratch(s, &b);
    jinja_value name = jinja_none();
    if (!cria_jinja_take(s, &b, cria_jinja_repr(s, &b, u->name), &name)) return false;
    const int len = (int)(name.text->len < 300 ? name.text->len : 300);
    if (u->owner.type == JINJA_MISSING)
        return cria_jinja_fail(s, CRIA_EFORMAT, "%.*s is undefined", len, name.text->data);
    const char *type = cria_jinja_type_name(u->owner), *object = u->owner.type == JINJA_NONE ? "" : " object";
    if (u->owner.type == JINJA_NONE) type = "None";
    if (u->name.type != JINJA_TEXT)
        return cria_jinja_fail(s, CRIA_EFORMAT, "%s%s has no element %.*s", type, object, len, name.text->data);
    return cria_jinja_fail(s, CRIA_EFORMAT, "'%s%s' has no attribute %.*s", type, object, len, name.text->data);
}

const char *cria_jinja_type_name(jinja_value v) {
    switch ((enum jinja_type)v.type) {
    case JINJA_MISSING: return "missing";
    case JINJA_UNDEFINED: return "Undefined";
    case JINJA_NONE: return "NoneType";
    case JINJA_BOOL: return "bool";
    case JINJA_INT: return "int";
    case JINJA_FLOAT: return "float";
    case JINJA_TEXT: return v.safe ? "Markup" : "str";
    case JINJA_LIST: return "list";
    case JINJA_TUPLE: return "tuple";
    case JINJA_RANGE: return "range";
    case JINJA_VIEW: return v.list->name;
    case JINJA_ITERATOR: return "generator";
    case JINJA_DICT: return "dict";
    case JINJA_NAMESPACE: return "Namespace";
    case JINJA_MACRO: return "Macro";
    case JINJA_FUNCTION: return "function";
    case JINJA_METHOD: return "builtin_function_or_method";
    case JINJA_LOOP: return "LoopContext";
    case JINJA_CYCLER: return "Cycler";
    case JINJA_JOINER: return "Joiner";
    }
    return "object";
}

bool cria_jinja_truth(jinja_value v) {
    switch ((enum jinja_type)v.type) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return v.flag;
    case JINJA_INT: return v.integer != 0;
    case JINJA_FLOAT: return v.real != 0;
    case JINJA_TEXT: return v.text->len != 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW: return v.list->n != 0;
    case JINJA_DICT: return v.dict->n != 0;
    default: return true;
    }
}

bool cria_jinja_length(jinja_state *s, jinja_value v, size_t *out) {
    switch ((enum jinja_type)v.type) {
    case JINJA_UNDEFINED: *out = 0; return true;
    case JINJA_TEXT: *out = v.text->chars; return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW: *out = v.list->n; return true;
    case JINJA_DICT: *out = v.dict->n; return true;
    default: return cria_jinja_fail(s, CRIA_EFORMAT, "object of type '%s' has no len()", cria_jinja_type_name(v));
    }
}

static bool characters(jinja_state *s, const jinja_text *t, jinja_list **out) {
    jinja_list *l = cria_jinja_list(s, t->chars);
    if (!l) return false;
    for (size_t at = 0; at < t->len;) {
        uint32_t cp;
        size_t n = cria_utf8_decode((const uint8_t *)t->data + at, t->len - at, &cp);
        if (n == 0) n = 1;
        jinja_value c = jinja_none();
        if (!cria_jinja_text_view(s, t->data + at, n, &c) || !cria_jinja_push(s, l, c)) return false;
        at += n;
    }
    *out = l;
    return true;
}

bool cria_jinja_iterate(jinja_state *s, jinja_value v, jinja_list **out) {
    jinja_list *l;
    switch ((enum jinja_type)v.type) {
    case JINJA_TEXT: return characters(s, v.text, out);
    case JINJA_ITERATOR: *out = v.list; return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW: /* the same items, a position of its own */
        if (!(l = cria_jinja_list(s, 0))) return false;
        *l = *v.list;
        l->pos = 0;
        *out = l;
        return true;
    case JINJA_UNDEFINED: return (*out = cria_jinja_list(s, 0)) != NULL;
    case JINJA_DICT:
        if (!(l = cria_jinja_list(s, v.dict->n))) return false;
        for (size_t i = 0; i < v.dict->n; i++)
            if (!cria_jinja_push(s, l, v.dict->entries[i].key)) return false;
        *out = l;
        return true;
    default: return cria_jinja_fail(s, CRIA_EFORMAT, "'%s' object is not iterable", cria_jinja_type_name(v));
    }
}
