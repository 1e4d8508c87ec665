/* SPDX-License-Identifier: Apache-2.0 */
#include "template/parse.h"
#include "base/status.h"

#include <stdarg.h>
#include <string.h>

static bool body(struct jinja_parser *p, const char *const *ends, jinja_node **out);

bool cria_jinja_refuse(struct jinja_parser *p, cria_status code, uint32_t line, const char *fmt, ...) {
    char what[300];
    va_list args;
    va_start(args, fmt);
    cria_message(what, sizeof what, fmt, args);
    va_end(args);
    p->s->line = line;
    return cria_jinja_fail(p->s, code, "%s", what);
}

bool cria_jinja_expected(struct jinja_parser *p, const char *what) {
    char got[64];
    return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "expected %s, got '%s'", what,
                             cria_jinja_token_text(p->at, got));
}

bool cria_jinja_nest(struct jinja_parser *p) {
    if (p->nesting >= CRIA_TEMPLATE_MAX_NESTING)
        return cria_jinja_refuse(p, CRIA_EFULL, p->at->line, "More than %d levels of nesting",
                                 CRIA_TEMPLATE_MAX_NESTING);
    p->nesting++;
    return true;
}

jinja_node *cria_jinja_node(struct jinja_parser *p, int kind, uint32_t line) {
    jinja_node *n = cria_jinja_alloc(p->s, sizeof *n);
    if (!n) return NULL;
    memset(n, 0, sizeof *n);
    n->kind = (uint8_t)kind;
    n->line = line;
    return n;
}

bool cria_jinja_append(struct jinja_parser *p, jinja_node *list, size_t *cap, jinja_node *item) {
    void *items = list->items;
    if (!cria_jinja_grow(p->s, &items, list->n, cap, sizeof item)) return false;
    list->items = items;
    list->items[list->n++] = item;
    return true;
}

/* Parses up to a tag of ends (NULL-terminated), at whose name it then stands. */
static bool block(struct jinja_parser *p, const char *const *ends, jinja_node **out) {
    jinja_skip(p, TOKEN_COLON);
    if (!jinja_skip(p, TOKEN_BLOCK_END)) return cria_jinja_expected(p, "end of statement block");
    return body(p, ends, out);
}

static bool block_to(struct jinja_parser *p, const char *end, jinja_node **out) { /* and passes over its name */
    const char *const ends[] = {end, NULL};
    if (!block(p, ends, out)) return false;
    p->at++;
    return true;
}

static bool parse_for(struct jinja_parser *p, jinja_node *n) {
    static const char *const ends[] = {"endfor", "else", NULL};
    n->kind = NODE_FOR;
    p->fors++;
    if (!cria_jinja_parse_target(p, false, &n->a)) return false;
    if (!jinja_skip_name(p, "in")) return cria_jinja_expected(p, "'in'");
    if (!cria_jinja_parse_tuple(p, false, false, &n->b)) return false;
    if (jinja_skip_name(p, "if") && !cria_jinja_parse_expression(p, true, &n->c)) return false;
    n->recursive = jinja_skip_name(p, "recursive");
    p->loops++;
    const bool ok = block(p, ends, &n->body);
    p->loops--;
    if (!ok) return false;
    const bool otherwise = !jinja_skip_name(p, "endfor");
    if (otherwise) {
        p->at++;
        if (!block_to(p, "endfor", &n->otherwise)) return false;
    }
    p->fors--;
    return true;
}

static bool parse_if(struct jinja_parser *p, jinja_node *n) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    for (;;) { /* an elif is the else of the one before, without nesting */
        n->kind = NODE_IF;
        if (!cria_jinja_parse_tuple(p, false, false, &n->a) || !block(p, ends, &n->body)) return false;
        if (jinja_skip_name(p, "endif")) return true;
        if (jinja_skip_name(p, "else")) return block_to(p, "endif", &n->otherwise);
        p->at++;
        if (!(n->otherwise = cria_jinja_node(p, NODE_IF, p->at->line))) return false;
        n = n->otherwise;
    }
}

static bool parse_set(struct jinja_parser *p, jinja_node *n) {
    n->kind = NODE_SET;
    if (!cria_jinja_parse_target(p, true, &n->a)) return false;
    if (jinja_skip(p, TOKEN_ASSIGN)) return cria_jinja_parse_tuple(p, true, false, &n->b);
    n->kind = NODE_CAPTURE;
    return cria_jinja_parse_filters(p, NULL, false, &n->b) && block_to(p, "endset", &n->body);
}

static bool signature(struct jinja_parser *p, jinja_node *n) {
    size_t names = 0, defaults = 0;
    jinja_node *value;
    if (!(n->args = cria_jinja_alloc(p->s, sizeof *n->args))) return false;
    *n->args = (jinja_call){0};
    if (!jinja_skip(p, TOKEN_LPAREN)) return cria_jinja_expected(p, "'('");
    while (!jinja_at(p, TOKEN_RPAREN)) {
        if (n->n && !jinja_skip(p, TOKEN_COMMA)) return cria_jinja_expected(p, "','");
        jinja_node *name = cria_jinja_node(p, NODE_NAME, p->at->line);
        if (!name || !cria_jinja_parse_name(p, &name->text)) return false;
        for (size_t i = 0; i < n->n; i++)
            if (n->items[i]->text == name->text)
                return cria_jinja_refuse(p, CRIA_EFORMAT, name->line, "duplicate argument '%.*s'",
                                         (int)(name->text->len < 100 ? name->text->len : 100), name->text->data);
        if (n->n >= 100) return cria_jinja_refuse(p, CRIA_EFULL, name->line, "A macro of more than 100 parameters");
        if (!cria_jinja_append(p, n, &names, name)) return false;
        if (!jinja_skip(p, TOKEN_ASSIGN)) {
            if (n->args->n)
                return cria_jinja_refuse(p, CRIA_EFORMAT, name->line,
                                         "non-default argument follows default argument");
            continue;
        }
        void *items = n->args->items;
        if (!cria_jinja_parse_expression(p, true, &value) ||
            !cria_jinja_grow(p->s, &items, n->args->n, &defaults, sizeof value))
            return false;
        n->args->items = items;
        n->args->items[n->args->n++] = value;
    }
    p->at++;
    return true;
}

/* A function of its own: break and continue do not reach out of it. */
static bool macro_body(struct jinja_parser *p, jinja_node *n, const char *end) {
    struct jinja_around around = {n, p->macros};
    const unsigned loops = p->loops;
    p->macros = &around;
    p->loops = 0;
    const bool ok = block_to(p, end, &n->body);
    p->loops = loops;
    p->macros = around.next;
    return ok;
}

static bool parse_macro(struct jinja_parser *p, jinja_node *n) {
    n->kind = NODE_MACRO;
    return cria_jinja_parse_name(p, &n->text) && signature(p, n) && macro_body(p, n, "endmacro");
}

static bool parse_call(struct jinja_parser *p, jinja_node *n) {
    n->kind = NODE_CALL_BLOCK;
    if (!(n->b = cria_jinja_node(p, NODE_MACRO, n->line))) return false;
    if (!(n->b->args = cria_jinja_alloc(p->s, sizeof *n->b->args))) return false;
    *n->b->args = (jinja_call){0};
    if (jinja_at(p, TOKEN_LPAREN) && !signature(p, n->b)) return false;
    if (!cria_jinja_parse_expression(p, true, &n->a)) return false;
    if (n->a->kind != NODE_CALL) return cria_jinja_refuse(p, CRIA_EFORMAT, n->line, "expected call");
    return macro_body(p, n->b, "endcall");
}

static bool parse_with(struct jinja_parser *p, jinja_node *n) {
    n->kind = NODE_WITH;
    size_t cap = 0;
    jinja_node *target, *value;
    while (!jinja_at(p, TOKEN_BLOCK_END)) {
        if (n->n && !jinja_skip(p, TOKEN_COMMA)) return cria_jinja_expected(p, "','");
        if (!cria_jinja_parse_target(p, false, &target)) return false;
        if (!jinja_skip(p, TOKEN_ASSIGN)) return cria_jinja_expected(p, "'='");
        if (!cria_jinja_parse_expression(p, true, &value) || !cria_jinja_append(p, n, &cap, target) ||
            !cria_jinja_append(p, n, &cap, value))
            return false;
    }
    return block_to(p, "endwith", &n->body);
}

static bool parse_filter(struct jinja_parser *p, jinja_node *n) {
    n->kind = NODE_FILTER_BLOCK;
    return cria_jinja_parse_filters(p, NULL, true, &n->b) && block_to(p, "endfilter", &n->body);
}

static bool parse_generation(struct jinja_parser *p, jinja_node *n) {
    n->kind = NODE_GENERATION;
    const unsigned loops = p->loops;
    p->loops = 0;
    const bool ok = block_to(p, "endgeneration", &n->body);
    p->loops = loops;
    return ok;
}

static bool parse_print(struct jinja_parser *p, jinja_node *n) {
    n->kind = NODE_BODY;
    size_t cap = 0;
    while (!jinja_at(p, TOKEN_BLOCK_END)) {
        if (n->n && !jinja_skip(p, TOKEN_COMMA)) return cria_jinja_expected(p, "','");
        jinja_node *print = cria_jinja_node(p, NODE_PRINT, p->at->line);
        if (!print || !cria_jinja_parse_expression(p, true, &print->a) || !cria_jinja_append(p, n, &cap, print))
            return false;
    }
    return true;
}

static bool leave_loop(struct jinja_parser *p, jinja_node *n, int kind) {
    n->kind = (uint8_t)kind;
    return p->loops || cria_jinja_refuse(p, CRIA_EFORMAT, n->line, "'%s' outside loop",
                                         kind == NODE_BREAK ? "break" : "continue");
}
static bool parse_break(struct jinja_parser *p, jinja_node *n) { return leave_loop(p, n, NODE_BREAK); }
static bool parse_continue(struct jinja_parser *p, jinja_node *n) { return leave_loop(p, n, NODE_CONTINUE); }

static const struct {
    const char *name;
    bool (*parse)(struct jinja_parser *p, jinja_node *n); /* NULL: Jinja has it, we refuse it */
} statements[] = {
    {"for", parse_for},
    {"if", parse_if},
    {"set", parse_set},
    {"macro", parse_macro},
    {"call", parse_call},
    {"with", parse_with},
    {"filter", parse_filter},
    {"generation", parse_generation},
    {"print", parse_print},
    {"break", parse_break},
    {"continue", parse_continue},
    {"include", NULL},
    {"import", NULL},
    {"from", NULL},
    {"extends", NULL},
    {"block", NULL},
    {"autoescape", NULL},
};

static bool statement(struct jinja_parser *p, jinja_node **out) {
    if (!jinja_at(p, TOKEN_NAME)) return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "tag name expected");
    const jinja_text *name = p->at->value.text;
    const uint32_t line = p->at->line;
    const int len = (int)(name->len < 100 ? name->len : 100);
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        if (!cria_jinja_text_is(name, statements[i].name)) continue;
        if (!statements[i].parse)
            return cria_jinja_refuse(p, CRIA_EUNSUPPORTED, line, "The tag '%s' is not supported", statements[i].name);
        p->at++;
        if (!(*out = cria_jinja_node(p, NODE_BODY, line)) || !cria_jinja_nest(p)) return false;
        const bool ok = statements[i].parse(p, *out);
        p->nesting--;
        return ok && (jinja_skip(p, TOKEN_BLOCK_END) || cria_jinja_expected(p, "end of statement block"));
    }
    return cria_jinja_refuse(p, CRIA_EUNSUPPORTED, line, "Encountered unknown tag '%.*s'", len, name->data);
}

/* Up to a tag of ends, or the end of the template where ends is NULL. */
static bool body(struct jinja_parser *p, const char *const *ends, jinja_node **out) {
    jinja_node *n = cria_jinja_node(p, NODE_BODY, p->at->line), *item = NULL;
    if (!n) return false;
    size_t cap = 0;
    *out = n;
    for (;;) {
        const uint32_t line = p->at->line;
        if (jinja_at(p, TOKEN_DATA)) {
            if (!(item = cria_jinja_node(p, NODE_DATA, line))) return false;
            item->text = p->at->value.text;
            p->at++;
        } else if (jinja_skip(p, TOKEN_PRINT_BEGIN)) {
            if (!(item = cria_jinja_node(p, NODE_PRINT, line)) || !cria_jinja_parse_tuple(p, true, false, &item->a))
                return false;
            if (!jinja_skip(p, TOKEN_PRINT_END)) return cria_jinja_expected(p, "end of print statement");
        } else if (jinja_skip(p, TOKEN_BLOCK_BEGIN)) {
            for (const char *const *end = ends; end && *end; end++)
                if (jinja_at_name(p, *end)) return true;
            if (!statement(p, &item)) return false;
        } else if (ends) {
            return cria_jinja_refuse(p, CRIA_EFORMAT, line, "Unexpected end of template: '%s' is missing", ends[0]);
        } else
            return true;
        if (!cria_jinja_append(p, n, &cap, item)) return false;
    }
}

bool cria_jinja_parse(jinja_state *s, const char *text, size_t len, jinja_node **out) {
    jinja_token *tokens;
    if (!cria_jinja_lex(s, text, len, &tokens)) return false;
    struct jinja_parser p = {.s = s, .at = tokens};
    return body(&p, NULL, out);
}
