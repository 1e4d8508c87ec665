/* SPDX-License-Identifier: Apache-2.0 */
/* Where names are looked up: the scopes outwards, then the variables of the rendering, then the functions. */
#include "template/tree.h"

#include <string.h>

jinja_scope *cria_jinja_scope(jinja_state *s, jinja_scope *parent) {
    jinja_scope *scope = s->free_scopes;
    if (scope) {
        s->free_scopes = scope->parent;
    } else {
        if (!(scope = cria_jinja_alloc(s, sizeof *scope))) return NULL;
        *scope = (jinja_scope){0};
    }
    scope->parent = parent;
    scope->n = 0;
    scope->kept = false;
    return scope;
}

void cria_jinja_leave(jinja_state *s, jinja_scope *scope) {
    if (scope->kept) return;
    scope->parent = s->free_scopes;
    s->free_scopes = scope;
}

void cria_jinja_keep(jinja_scope *scope) {
    for (; scope && !scope->kept; scope = scope->parent) scope->kept = true;
}

static bool same(const jinja_text *a, const jinja_text *b) {
    return a == b || (a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
}

bool cria_jinja_look(jinja_state *s, jinja_scope *scope, const jinja_text *name, jinja_value *out) {
    for (; scope; scope = scope->parent) {
        if (!cria_jinja_steps(s, 1 + scope->n / 8)) return false;
        for (size_t i = 0; i < scope->n; i++)
            if (same(scope->variables[i].name, name)) {
                *out = scope->variables[i].value;
                return true;
            }
    }
    jinja_value *v;
    if (!cria_jinja_dict_find(s, s->variables, name, &v)) return false;
    if (v) {
        *out = *v;
        return true;
    }
    const struct jinja_function *f = cria_jinja_find_function(name);
    if (f && (s->now || strcmp(f->name, "strftime_now") != 0)) {
        *out = (jinja_value){.type = JINJA_FUNCTION, .function = f};
        return true;
    }
    return cria_jinja_undefined(s, (jinja_value){0}, (jinja_value){.type = JINJA_TEXT, .text = name}, out);
}

bool cria_jinja_declare(jinja_state *s, jinja_scope *scope, const jinja_text *name, jinja_value v) {
    if (!cria_jinja_steps(s, scope->n / 8)) return false;
    for (size_t i = 0; i < scope->n; i++)
        if (same(scope->variables[i].name, name)) {
            scope->variables[i].value = v;
            return true;
        }
    void *variables = scope->variables;
    if (!cria_jinja_grow(s, &variables, scope->n, &scope->cap, sizeof *scope->variables)) return false;
    scope->variables = variables;
    scope->variables[scope->n++] = (struct jinja_variable){name, v};
    return true;
}

static bool assign_attribute(jinja_state *s, jinja_scope *scope, const jinja_node *target, jinja_value v) {
    jinja_value space;
    const jinja_text *name = target->text;
    if (!cria_jinja_look(s, scope, target->a->text, &space)) return false;
    if (space.type != JINJA_NAMESPACE)
        return cria_jinja_fail(s, CRIA_EFORMAT, "cannot assign attribute on non-namespace object");
    if (name->len && name->data[0] == '_')
        return cria_jinja_fail(s, CRIA_EFORMAT,
                               "Chat templates cannot store underscore-prefixed attributes on a namespace");
    return cria_jinja_dict_set(s, space.dict, (jinja_value){.type = JINJA_TEXT, .text = name}, v);
}

bool cria_jinja_assign(jinja_state *s, jinja_scope *scope, const jinja_node *target, jinja_value v) {
    if (target->kind == NODE_NAME) return cria_jinja_declare(s, scope, target->text, v);
    if (target->kind == NODE_ATTRIBUTE) return assign_attribute(s, scope, target, v);
    jinja_list *l;
    if (!cria_jinja_iterate(s, v, &l)) return false;
    if (l->n - l->pos != target->n)
        return cria_jinja_fail(s, CRIA_EFORMAT, "%s values to unpack (expected %zu, got %zu)",
                               l->n - l->pos < target->n ? "not enough" : "too many", target->n, l->n - l->pos);
    for (size_t i = 0; i < target->n; i++)
        if (!cria_jinja_assign(s, scope, target->items[i], l->items[l->pos + i])) return false;
    l->pos = l->n;
    return true;
}
