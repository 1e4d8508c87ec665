/* SPDX-License-Identifier: Apache-2.0 */
/* Statements and macros. What is written goes to s->out; what a block captures is taken off its end again. */
#include "template/tree.h"
#include "base/status.h"

#include <string.h>

bool cria_jinja_capture(jinja_state *s, jinja_scope *scope, const jinja_node *body, enum jinja_flow *flow,
                        jinja_value *out) {
    const size_t from = s->out.len;
    if (!cria_jinja_run(s, scope, body, flow)) return false;
    if (s->out.len > from) {
        if (!cria_jinja_text(s, (const char *)s->out.data + from, s->out.len - from, out)) return false;
    } else if (!cria_jinja_text_view(s, "", 0, out))
        return false;
    s->out.len = from;
    return true;
}

static bool run_if(jinja_state *s, jinja_scope *scope, const jinja_node *n, enum jinja_flow *flow) {
    for (; n && n->kind == NODE_IF; n = n->otherwise) {
        jinja_value v;
        if (!cria_jinja_evaluate(s, scope, n->a, &v)) return false;
        if (cria_jinja_truth(v)) return cria_jinja_run(s, scope, n->body, flow);
    }
    return !n || cria_jinja_run(s, scope, n, flow);
}

static bool run_call_block(jinja_state *s, jinja_scope *scope, const jinja_node *n) {
    static const jinja_text caller = {"caller", 6, 6};
    struct jinja_macro *m = cria_jinja_alloc(s, sizeof *m);
    jinja_value f, result;
    jinja_arguments a;
    if (!m || !cria_jinja_evaluate(s, scope, n->a->a, &f) || !cria_jinja_arguments(s, scope, n->a->args, &a))
        return false;
    cria_jinja_keep(scope);
    *m = (struct jinja_macro){n->b, scope};
    a.names[a.n_named] = &caller;
    a.named[a.n_named++] = (jinja_value){.type = JINJA_MACRO, .macro = m};
    return cria_jinja_call(s, f, &a, &result) && cria_jinja_str(s, &s->out, result);
}

static bool run_with(jinja_state *s, jinja_scope *outer, jinja_scope *scope, const jinja_node *n,
                     enum jinja_flow *flow) {
    for (size_t i = 0; i + 1 < n->n; i += 2) {
        jinja_value v;
        if (!cria_jinja_evaluate(s, outer, n->items[i + 1], &v) || !cria_jinja_assign(s, scope, n->items[i], v))
            return false;
    }
    return cria_jinja_run(s, scope, n->body, flow);
}

static bool run_captured(jinja_state *s, jinja_scope *outer, jinja_scope *scope, const jinja_node *n,
                         enum jinja_flow *flow) {
    jinja_value v;
    if (!cria_jinja_capture(s, scope, n->body, flow, &v)) return false;
    if (*flow != FLOW_ON) return true; /* a break goes past what would be done with it */
    if (!cria_jinja_filters(s, outer, n->b, v, &v)) return false;
    return n->kind == NODE_CAPTURE ? cria_jinja_assign(s, outer, n->a, v) : cria_jinja_str(s, &s->out, v);
}

/* Statements whose body has a scope of its own. */
static bool run_scoped(jinja_state *s, jinja_scope *outer, const jinja_node *n, enum jinja_flow *flow) {
    jinja_scope *scope = cria_jinja_scope(s, outer);
    if (!scope) return false;
    bool ok;
    if (n->kind == NODE_WITH)
        ok = run_with(s, outer, scope, n, flow);
    else if (n->kind == NODE_GENERATION)
        ok = cria_jinja_run(s, scope, n->body, flow);
    else
        ok = run_captured(s, outer, scope, n, flow);
    cria_jinja_leave(s, scope);
    return ok;
}

static bool run_macro(jinja_state *s, jinja_scope *scope, const jinja_node *n) {
    struct jinja_macro *m = cria_jinja_alloc(s, sizeof *m);
    if (!m) return false;
    *m = (struct jinja_macro){n, scope};
    cria_jinja_keep(scope);
    return cria_jinja_declare(s, scope, n->text, (jinja_value){.type = JINJA_MACRO, .macro = m});
}

static bool statement(jinja_state *s, jinja_scope *scope, const jinja_node *n, enum jinja_flow *flow) {
    jinja_value v;
    switch ((enum jinja_kind)n->kind) {
    case NODE_BODY: return cria_jinja_run(s, scope, n, flow);
    case NODE_DATA: return cria_jinja_write(s, &s->out, n->text->data, n->text->len);
    case NODE_PRINT: return cria_jinja_evaluate(s, scope, n->a, &v) && cria_jinja_str(s, &s->out, v);
    case NODE_SET: return cria_jinja_evaluate(s, scope, n->b, &v) && cria_jinja_assign(s, scope, n->a, v);
    case NODE_FOR: return cria_jinja_run_for(s, scope, n, flow);
    case NODE_IF: return run_if(s, scope, n, flow);
    case NODE_MACRO: return run_macro(s, scope, n);
    case NODE_CALL_BLOCK: return run_call_block(s, scope, n);
    case NODE_BREAK: *flow = FLOW_BREAK; return true;
    case NODE_CONTINUE: *flow = FLOW_CONTINUE; return true;
    default: return run_scoped(s, scope, n, flow);
    }
}

bool cria_jinja_run(jinja_state *s, jinja_scope *scope, const jinja_node *body, enum jinja_flow *flow) {
    if (!cria_jinja_enter(s)) return false;
    bool ok = true;
    for (size_t i = 0; ok && *flow == FLOW_ON && i < body->n; i++) {
        s->line = body->items[i]->line;
        ok = cria_jinja_steps(s, 1) && statement(s, scope, body->items[i], flow);
    }
    s->depth--;
    return ok;
}

/* ---- macros ---- */

/* Takes a named argument off a; MISSING where there is none. */
static jinja_value pop_named(jinja_arguments *a, const jinja_text *name) {
    for (size_t i = 0; i < a->n_named; i++) {
        if (a->names[i]->len != name->len || memcmp(a->names[i]->data, name->data, name->len) != 0) continue;
        const jinja_value v = a->named[i];
        memmove(a->names + i, a->names + i + 1, (a->n_named - i - 1) * sizeof *a->names);
        memmove(a->named + i, a->named + i + 1, (a->n_named - i - 1) * sizeof *a->named);
        a->n_named--;
        return v;
    }
    return (jinja_value){0};
}

static bool not_provided(jinja_state *s, const jinja_text *name, jinja_value *out) {
    cria_buf b;
    cria_jinja_scratch(s, &b);
    const bool ok = cria_jinja_write(s, &b, "parameter '", 11) && cria_jinja_write(s, &b, name->data, name->len) &&
                    cria_jinja_write(s, &b, "' was not provided", 19); /* with its NUL */
    return cria_jinja_take(s, &b, ok, out) && cria_jinja_undefined_hint(s, out->text->data, out);
}

static bool parameter(jinja_state *s, jinja_scope *scope, const jinja_node *n, size_t i, jinja_value v) {
    const jinja_text *name = n->items[i]->text;
    const size_t required = n->n - n->args->n;
    if (v.type == JINJA_MISSING && i >= required && !cria_jinja_evaluate(s, scope, n->args->items[i - required], &v))
        return false;
    if (v.type == JINJA_MISSING && !not_provided(s, name, &v)) return false;
    return cria_jinja_declare(s, scope, name, v);
}

static bool rest(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_arguments *a) {
    static const jinja_text kwargs = {"kwargs", 6, 6}, varargs = {"varargs", 7, 7};
    const jinja_text *name = n->text;
    const int len = !name ? 6 : (int)(name->len < 100 ? name->len : 100);
    if (n->uses_kwargs) {
        jinja_dict *d = cria_jinja_dict(s);
        if (!d) return false;
        for (size_t i = 0; i < a->n_named; i++)
            if (!cria_jinja_dict_set(s, d, (jinja_value){.type = JINJA_TEXT, .text = a->names[i]}, a->named[i]))
                return false;
        if (!cria_jinja_declare(s, scope, &kwargs, (jinja_value){.type = JINJA_DICT, .dict = d})) return false;
    } else if (a->n_named)
        return cria_jinja_fail(s, CRIA_EFORMAT, "macro '%.*s' takes no keyword argument '%.*s'", len,
                               name ? name->data : "caller", (int)(a->names[0]->len < 100 ? a->names[0]->len : 100),
                               a->names[0]->data);
    const size_t used = a->n < n->n ? a->n : n->n;
    if (n->uses_varargs) {
        jinja_list *l = cria_jinja_list(s, a->n - used);
        if (!l) return false;
        for (size_t i = used; i < a->n; i++)
            if (!cria_jinja_push(s, l, a->items[i])) return false;
        return cria_jinja_declare(s, scope, &varargs, jinja_listed(JINJA_TUPLE, l));
    }
    return a->n <= n->n || cria_jinja_fail(s, CRIA_EFORMAT, "macro '%.*s' takes not more than %zu argument(s)", len,
                                           name ? name->data : "caller", n->n);
}

/* In the order of Macro.__call__ (runtime.py): by position, by name, the caller, the rest; then the defaults. */
static bool bind(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_arguments *a) {
    static const jinja_text caller = {"caller", 6, 6};
    jinja_value *values = cria_jinja_alloc_array(s, n->n, sizeof *values);
    if (!values) return false;
    bool own_caller = false;
    for (size_t i = 0; i < n->n; i++) {
        values[i] = i < a->n ? a->items[i] : pop_named(a, n->items[i]->text);
        own_caller = own_caller || cria_jinja_text_is(n->items[i]->text, "caller");
    }
    if (n->uses_caller && !own_caller) {
        jinja_value v = pop_named(a, &caller);
        if ((v.type == JINJA_MISSING || v.type == JINJA_NONE) &&
            !cria_jinja_undefined_hint(s, "No caller defined", &v))
            return false;
        if (!cria_jinja_declare(s, scope, &caller, v)) return false;
    }
    if (!rest(s, scope, n, a)) return false;
    for (size_t i = 0; i < n->n; i++)
        if (!parameter(s, scope, n, i, values[i])) return false;
    return true;
}

bool cria_jinja_call_macro(jinja_state *s, const struct jinja_macro *m, const jinja_arguments *a, jinja_value *out) {
    jinja_scope *scope = cria_jinja_scope(s, m->scope);
    jinja_arguments left = *a;
    enum jinja_flow flow = FLOW_ON;
    if (!scope) return false;
    const bool ok = bind(s, scope, m->node, &left) && cria_jinja_capture(s, scope, m->node->body, &flow, out);
    cria_jinja_leave(s, scope);
    return ok;
}
