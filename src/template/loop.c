/* SPDX-License-Identifier: Apache-2.0 */
/* {% for %} and the loop variable (LoopContext in runtime.py). The test of a loop is made when an item is fetched and
 * not before, as a body may change what it depends on. */
#include "template/tree.h"

#include <string.h>

static const jinja_text loop_name = {"loop", 4, 4};

/* The next item that passes the test; *found false at the end. */
static bool fetch(jinja_state *s, struct jinja_loop *l, jinja_value *item, bool *found) {
    *found = false;
    while (l->source->pos < l->source->n) {
        if (!cria_jinja_steps(s, 1)) return false;
        *item = l->source->items[l->source->pos++];
        *found = true;
        if (!l->node->c || l->sized) return true; /* what length has gone through is tested */
        jinja_scope *scope = cria_jinja_scope(s, l->scope);
        jinja_value v = jinja_none();
        if (!scope) return false;
        const bool ok =
            cria_jinja_assign(s, scope, l->node->a, *item) && cria_jinja_evaluate(s, scope, l->node->c, &v);
        cria_jinja_leave(s, scope);
        if (!ok) return false;
        *found = cria_jinja_truth(v);
        if (*found) return true;
    }
    return true;
}

static bool peek(jinja_state *s, struct jinja_loop *l) {
    bool found;
    if (l->peeked) return true;
    if (!fetch(s, l, &l->after, &found)) return false;
    l->peeked = true;
    l->ended = !found;
    return true;
}

static bool length(jinja_state *s, struct jinja_loop *l) {
    if (l->sized) return true;
    jinja_list *rest = cria_jinja_list(s, 0);
    if (!rest) return false;
    for (bool found = true; found;) {
        jinja_value v;
        if (!fetch(s, l, &v, &found) || (found && !cria_jinja_push(s, rest, v))) return false;
    }
    l->length = rest->n + l->index0 + 1 + (l->peeked && !l->ended);
    l->source = rest;
    l->sized = true;
    return true;
}

static bool count(jinja_state *s, struct jinja_loop *l, const jinja_text *name, jinja_value *out) {
    if (!length(s, l)) return false;
    const size_t n = l->length;
    *out = jinja_int((int64_t)(cria_jinja_text_is(name, "length")     ? n
                               : cria_jinja_text_is(name, "revindex") ? n - l->index0
                                                                      : n - l->index0 - 1));
    return true;
}

bool cria_jinja_loop_attribute(jinja_state *s, jinja_value loop, const jinja_text *name, bool *found,
                               jinja_value *out) {
    struct jinja_loop *l = loop.loop;
    *found = true;
    if (cria_jinja_text_is(name, "index0"))
        *out = jinja_int((int64_t)l->index0);
    else if (cria_jinja_text_is(name, "index"))
        *out = jinja_int((int64_t)l->index0 + 1);
    else if (cria_jinja_text_is(name, "first"))
        *out = jinja_bool(l->index0 == 0);
    else if (cria_jinja_text_is(name, "depth0"))
        *out = jinja_int((int64_t)l->depth0);
    else if (cria_jinja_text_is(name, "depth"))
        *out = jinja_int((int64_t)l->depth0 + 1);
    else if (cria_jinja_text_is(name, "last")) {
        if (!peek(s, l)) return false;
        *out = jinja_bool(l->ended);
    } else if (cria_jinja_text_is(name, "previtem")) {
        if (l->index0 == 0) return cria_jinja_undefined_hint(s, "there is no previous item", out);
        *out = l->before;
    } else if (cria_jinja_text_is(name, "nextitem")) {
        if (!peek(s, l)) return false;
        if (l->ended) return cria_jinja_undefined_hint(s, "there is no next item", out);
        *out = l->after;
    } else if (cria_jinja_text_is(name, "length") || cria_jinja_text_is(name, "revindex") ||
               cria_jinja_text_is(name, "revindex0"))
        return count(s, l, name, out);
    else
        *found = false;
    return true;
}

static bool next(jinja_state *s, struct jinja_loop *l, bool *found) {
    l->before = l->current;
    if (l->peeked) {
        l->peeked = false;
        l->current = l->after;
        *found = !l->ended;
        return true;
    }
    return fetch(s, l, &l->current, found);
}

static bool run_loop(jinja_state *s, jinja_scope *outer, const jinja_node *n, jinja_value items, size_t depth0,
                     enum jinja_flow *flow) {
    struct jinja_loop *l = cria_jinja_alloc(s, sizeof *l);
    if (!l) return false;
    *l = (struct jinja_loop){.node = n, .scope = outer, .depth0 = depth0};
    if (!cria_jinja_iterate(s, items, &l->source)) return false;
    if (!n->c && items.type != JINJA_ITERATOR) {
        l->length = l->source->n;
        l->sized = true;
    }
    bool completed = false; /* a body was run to its end: as in Jinja, one that a break left does not count */
    for (bool first = true;; first = false) {
        bool found;
        if (!next(s, l, &found)) return false;
        if (!found) break;
        l->index0 += !first;
        jinja_scope *scope = cria_jinja_scope(s, outer);
        if (!scope) return false;
        const jinja_value loop = {.type = JINJA_LOOP, .loop = l};
        const bool ok = cria_jinja_declare(s, scope, &loop_name, loop) &&
                        cria_jinja_assign(s, scope, n->a, l->current) && cria_jinja_run(s, scope, n->body, flow);
        cria_jinja_leave(s, scope);
        if (!ok) return false;
        completed = completed || *flow == FLOW_ON;
        const bool stop = *flow == FLOW_BREAK;
        *flow = FLOW_ON;
        if (stop) break;
    }
    if (completed || !n->otherwise) return true;
    jinja_scope *scope = cria_jinja_scope(s, outer);
    if (!scope) return false;
    const bool ok = cria_jinja_run(s, scope, n->otherwise, flow);
    cria_jinja_leave(s, scope);
    return ok;
}

bool cria_jinja_run_for(jinja_state *s, jinja_scope *scope, const jinja_node *n, enum jinja_flow *flow) {
    jinja_value items;
    if (!cria_jinja_evaluate(s, scope, n->b, &items)) return false;
    if (n->recursive || n->c) cria_jinja_keep(scope); /* a loop kept elsewhere may still fetch */
    return run_loop(s, scope, n, items, 0, flow);
}

bool cria_jinja_call_loop(jinja_state *s, struct jinja_loop *l, jinja_value items, jinja_value *out) {
    if (!l->node->recursive)
        return cria_jinja_fail(s, CRIA_EFORMAT,
                               "The loop must have the 'recursive' marker to be called recursively.");
    const size_t from = s->out.len;
    enum jinja_flow flow = FLOW_ON;
    if (!run_loop(s, l->scope, l->node, items, l->depth0 + 1, &flow)) return false;
    if (!cria_jinja_text(s, s->out.len > from ? (const char *)s->out.data + from : "", s->out.len - from, out))
        return false;
    s->out.len = from;
    return true;
}
