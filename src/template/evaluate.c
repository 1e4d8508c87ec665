/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions. */
#include "template/tree.h"

#include <string.h>

static bool compare(jinja_state *s, int op, jinja_value a, jinja_value b, bool *out) {
    int order = 0;
    bool nan;
    switch (op) {
    case OP_EQ:
    case OP_NE:
        if (!cria_jinja_equal(s, a, b, out)) return false;
        *out = *out == (op == OP_EQ);
        return true;
    case OP_IN:
    case OP_NOT_IN:
        if (!cria_jinja_contains(s, a, b, out)) return false;
        *out = *out == (op == OP_IN);
        return true;
    default:
        if (!cria_jinja_order(s, a, b, &order, &nan)) return false;
        *out = !nan && (op == OP_LT ? order < 0 : op == OP_LE ? order <= 0 : op == OP_GT ? order > 0 : order >= 0);
        return true;
    }
}

static bool compare_chain(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value left, right;
    bool holds = true;
    if (!cria_jinja_evaluate(s, scope, n->a, &left)) return false;
    for (size_t i = 0; holds && i < n->n; i++) {
        if (!cria_jinja_evaluate(s, scope, n->items[i]->a, &right) ||
            !compare(s, n->items[i]->op, left, right, &holds))
            return false;
        left = right;
    }
    *out = jinja_bool(holds);
    return true;
}

static bool list(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_list *l = cria_jinja_list(s, n->n);
    if (!l) return false;
    for (size_t i = 0; i < n->n; i++) {
        if (!cria_jinja_evaluate(s, scope, n->items[i], &l->items[i])) return false;
        l->n++;
    }
    *out = jinja_listed(n->kind == NODE_LIST ? JINJA_LIST : JINJA_TUPLE, l);
    return true;
}

static bool dict(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_dict *d = cria_jinja_dict(s);
    if (!d) return false;
    for (size_t i = 0; i + 1 < n->n; i += 2) {
        jinja_value key, value;
        if (!cria_jinja_evaluate(s, scope, n->items[i], &key) ||
            !cria_jinja_evaluate(s, scope, n->items[i + 1], &value) || !cria_jinja_dict_set(s, d, key, value))
            return false;
    }
    *out = (jinja_value){.type = JINJA_DICT, .dict = d};
    return true;
}

static bool concat(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = true;
    for (size_t i = 0; ok && i < n->n; i++) {
        jinja_value v;
        ok = cria_jinja_evaluate(s, scope, n->items[i], &v) && cria_jinja_str(s, &b, v);
    }
    return cria_jinja_take(s, &b, ok, out);
}

static bool item(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value v, key, range[3];
    if (!cria_jinja_evaluate(s, scope, n->a, &v)) return false;
    if (n->b->kind != NODE_SLICE) return cria_jinja_evaluate(s, scope, n->b, &key) && cria_jinja_item(s, v, key, out);
    const jinja_node *const parts[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++) {
        range[i] = jinja_none();
        if (parts[i] && !cria_jinja_evaluate(s, scope, parts[i], &range[i])) return false;
    }
    return cria_jinja_slice(s, v, range, out);
}

static bool sign(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value v;
    int64_t i = 0;
    if (!cria_jinja_evaluate(s, scope, n->a, &v)) return false;
    const bool negative = n->kind == NODE_NEGATIVE;
    if (v.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, v);
    if (v.type == JINJA_FLOAT) {
        *out = jinja_float(negative ? -v.real : v.real);
        return true;
    }
    if (!jinja_whole(v, &i))
        return cria_jinja_fail(s, CRIA_EFORMAT, "bad operand type for unary %s: '%s'", negative ? "-" : "+",
                               cria_jinja_type_name(v));
    if (negative && i == INT64_MIN) return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "An integer of more than 64 bits");
    *out = jinja_int(negative ? -i : i);
    return true;
}

/* ---- calls ---- */

static bool add_named(jinja_state *s, jinja_arguments *a, size_t room, const jinja_text *name, jinja_value v) {
    if (a->n_named == room) return cria_jinja_fail(s, CRIA_EFULL, "More named arguments than there is room for");
    for (size_t i = 0; i < a->n_named; i++)
        if (a->names[i]->len == name->len && memcmp(a->names[i]->data, name->data, name->len) == 0)
            return cria_jinja_fail(s, CRIA_EFORMAT, "got multiple values for keyword argument '%.*s'",
                                   (int)(name->len < 100 ? name->len : 100), name->data);
    a->names[a->n_named] = name;
    a->named[a->n_named++] = v;
    return cria_jinja_steps(s, a->n_named / 8);
}

bool cria_jinja_arguments(jinja_state *s, jinja_scope *scope, const jinja_call *call, jinja_arguments *out) {
    *out = (jinja_arguments){0};
    if (!call) return true;
    jinja_value star = {0}, star_star = {0};
    jinja_list *l = cria_jinja_list(s, call->n), *more;
    if (!l) return false;
    for (size_t i = 0; i < call->n; i++) {
        jinja_value v;
        if (!cria_jinja_evaluate(s, scope, call->items[i], &v) || !cria_jinja_push(s, l, v)) return false;
    }
    if (call->star) {
        if (!cria_jinja_evaluate(s, scope, call->star, &star) || !cria_jinja_iterate(s, star, &more)) return false;
        while (more->pos < more->n)
            if (!cria_jinja_steps(s, 1) || !cria_jinja_push(s, l, more->items[more->pos++])) return false;
    }
    if (call->star_star) {
        if (!cria_jinja_evaluate(s, scope, call->star_star, &star_star)) return false;
        if (star_star.type != JINJA_DICT)
            return cria_jinja_fail(s, CRIA_EFORMAT, "argument after ** must be a mapping, not %s",
                                   cria_jinja_type_name(star_star));
    }
    const size_t room = call->n_named + (call->star_star ? star_star.dict->n : 0) + 1; /* and a caller */
    out->items = l->items;
    out->n = l->n;
    out->names = cria_jinja_alloc_array(s, room, sizeof *out->names);
    out->named = cria_jinja_alloc_array(s, room, sizeof *out->named);
    if (!out->names || !out->named) return false;
    for (size_t i = 0; i < call->n_named; i++) {
        jinja_value v;
        if (!cria_jinja_evaluate(s, scope, call->named[i], &v) || !add_named(s, out, room, call->names[i], v))
            return false;
    }
    for (size_t i = 0; call->star_star && i < star_star.dict->n; i++) {
        const jinja_entry *e = &star_star.dict->entries[i];
        if (e->key.type != JINJA_TEXT) return cria_jinja_fail(s, CRIA_EFORMAT, "keywords must be strings");
        if (!add_named(s, out, room, e->key.text, e->value)) return false;
    }
    return true;
}

bool cria_jinja_call(jinja_state *s, jinja_value f, const jinja_arguments *a, jinja_value *out) {
    jinja_value given[JINJA_MAX_PARAMETERS];
    if (!cria_jinja_enter(s)) return false;
    bool ok;
    switch ((enum jinja_type)f.type) {
    case JINJA_FUNCTION:
        ok = cria_jinja_bind(s, "", f.function->name, f.function->parameters, a, given) &&
             f.function->call(s, given, a, out);
        break;
    case JINJA_METHOD: {
        const struct jinja_method_entry *e = f.method->entry;
        ok = cria_jinja_bind(s, "", e->name, e->parameters, a, given) && e->call(s, f.method->self, given, a, out);
        break;
    }
    case JINJA_MACRO: ok = cria_jinja_call_macro(s, f.macro, a, out); break;
    case JINJA_LOOP:
        ok = (a->n == 1 && a->n_named == 0) || cria_jinja_fail(s, CRIA_EFORMAT, "loop() takes one argument");
        ok = ok && cria_jinja_call_loop(s, f.loop, a->items[0], out);
        break;
    case JINJA_JOINER:
        ok = f.joiner->used ? (*out = f.joiner->separator, true) : cria_jinja_text(s, "", 0, out);
        f.joiner->used = true;
        break;
    case JINJA_UNDEFINED: ok = cria_jinja_fail_undefined(s, f); break;
    default: ok = cria_jinja_fail(s, CRIA_EFORMAT, "'%s' object is not callable", cria_jinja_type_name(f)); break;
    }
    s->depth--;
    return ok;
}

static bool call(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value f;
    jinja_arguments a;
    if (!cria_jinja_evaluate(s, scope, n->a, &f) || !cria_jinja_arguments(s, scope, n->args, &a)) return false;
    s->line = n->line;
    return cria_jinja_call(s, f, &a, out);
}

static bool test(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value v;
    jinja_arguments a;
    bool holds;
    if (!cria_jinja_evaluate(s, scope, n->a, &v) || !cria_jinja_arguments(s, scope, n->args, &a) ||
        !cria_jinja_test(s, n->test, v, &a, &holds))
        return false;
    *out = jinja_bool(holds);
    return true;
}

bool cria_jinja_filters(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value captured,
                        jinja_value *out) {
    if (!n) {
        *out = captured;
        return true;
    }
    jinja_value v;
    jinja_arguments a;
    if (!cria_jinja_enter(s)) return false;
    const bool ok = cria_jinja_filters(s, scope, n->a, captured, &v) && cria_jinja_arguments(s, scope, n->args, &a) &&
                    cria_jinja_filter(s, n->filter, v, &a, out);
    s->depth--;
    return ok;
}

static bool filter(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value v;
    jinja_arguments a;
    return cria_jinja_evaluate(s, scope, n->a, &v) && cria_jinja_arguments(s, scope, n->args, &a) &&
           cria_jinja_filter(s, n->filter, v, &a, out);
}

static bool evaluate(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    jinja_value v, w;
    switch ((enum jinja_kind)n->kind) {
    case NODE_CONST: *out = n->value; return true;
    case NODE_NAME: return cria_jinja_look(s, scope, n->text, out);
    case NODE_LIST:
    case NODE_TUPLE: return list(s, scope, n, out);
    case NODE_DICT: return dict(s, scope, n, out);
    case NODE_ATTRIBUTE: return cria_jinja_evaluate(s, scope, n->a, &v) && cria_jinja_attribute(s, v, n->text, out);
    case NODE_ITEM: return item(s, scope, n, out);
    case NODE_CALL: return call(s, scope, n, out);
    case NODE_FILTER: return filter(s, scope, n, out);
    case NODE_TEST: return test(s, scope, n, out);
    case NODE_NOT:
        if (!cria_jinja_evaluate(s, scope, n->a, &v)) return false;
        *out = jinja_bool(!cria_jinja_truth(v));
        return true;
    case NODE_NEGATIVE:
    case NODE_POSITIVE: return sign(s, scope, n, out);
    case NODE_AND:
    case NODE_OR:
        if (!cria_jinja_evaluate(s, scope, n->a, out)) return false;
        return cria_jinja_truth(*out) == (n->kind == NODE_OR) || cria_jinja_evaluate(s, scope, n->b, out);
    case NODE_BINARY:
        return cria_jinja_evaluate(s, scope, n->a, &v) && cria_jinja_evaluate(s, scope, n->b, &w) &&
               cria_jinja_binary(s, n->op, v, w, out);
    case NODE_CONCAT: return concat(s, scope, n, out);
    case NODE_COMPARE: return compare_chain(s, scope, n, out);
    case NODE_EITHER:
        if (!cria_jinja_evaluate(s, scope, n->a, &v)) return false;
        if (cria_jinja_truth(v)) return cria_jinja_evaluate(s, scope, n->b, out);
        if (n->c) return cria_jinja_evaluate(s, scope, n->c, out);
        return cria_jinja_undefined_hint(
            s, "the inline if-expression evaluated to false and no else section was defined.", out);
    default: return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "A slice stands where none can be");
    }
}

bool cria_jinja_evaluate(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out) {
    if (!cria_jinja_steps(s, 1) || !cria_jinja_enter(s)) return false;
    s->line = n->line;
    jinja_value v;
    const bool ok = evaluate(s, scope, n, &v);
    s->depth--;
    if (ok) *out = v;
    return ok;
}
