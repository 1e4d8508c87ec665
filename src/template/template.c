/* SPDX-License-Identifier: Apache-2.0 */
#include "template/template.h"
#include "template/tree.h"
#include "base/ctx.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"

struct cria_template {
    jinja_state state; /* whose arena the tree is in */
    const jinja_node *body;
};

cria_status cria_template_compile(cria_ctx *ctx, const char *text, size_t len, cria_template **out, cria_error *err) {
    if (len > CRIA_TEMPLATE_MAX_SOURCE)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE,
                         "The chat template has %zu bytes; at most %d (CRIA_TEMPLATE_MAX_SOURCE) are allowed.", len,
                         CRIA_TEMPLATE_MAX_SOURCE);
    if (!cria_utf8_valid((const uint8_t *)text, len))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "The chat template is not valid UTF-8.");
    cria_template *t = cria_malloc(ctx, sizeof *t);
    if (!t) return cria_fail_nomem(err, "a chat template", sizeof *t);
    jinja_node *body = NULL;
    cria_jinja_init(&t->state, ctx, CRIA_TEMPLATE_MAX_TREE, "CRIA_TEMPLATE_MAX_TREE", err);
    cria_jinja_parse(&t->state, text, len, &body);
    const cria_status st = t->state.status;
    t->state.err = NULL;
    t->body = body;
    if (st == CRIA_OK)
        *out = t;
    else
        cria_template_free(t);
    return st;
}

void cria_template_free(cria_template *t) {
    if (!t) return;
    cria_ctx *ctx = t->state.ctx;
    cria_jinja_fini(&t->state);
    cria_free(ctx, t);
}

cria_status cria_template_render(const cria_template *t, const char *json, size_t len, const cria_template_time *now,
                                 cria_buf *out, cria_error *err) {
    jinja_state s;
    cria_error own;
    cria_jinja_init(&s, t->state.ctx, CRIA_TEMPLATE_MAX_VALUES, "CRIA_TEMPLATE_MAX_VALUES", err ? err : &own);
    s.now = now;
    enum jinja_flow flow = FLOW_ON;
    if (cria_jinja_read_variables(&s, json, len)) {
        jinja_scope *scope = cria_jinja_scope(&s, NULL);
        if (scope) cria_jinja_run(&s, scope, t->body, &flow);
    }
    cria_status st = s.status;
    if (st == CRIA_OK && s.out.len) st = cria_buf_append(out, s.out.data, s.out.len, err);
    cria_jinja_fini(&s);
    return st;
}
