/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the parser share: statements (parse.c) and expressions (parse_expression.c). Recursive
 * descent as in Jinja2's parser.py, function by function; every level of nesting is counted. */
#ifndef CRIA_TEMPLATE_PARSE_H
#define CRIA_TEMPLATE_PARSE_H

#include "template/lex.h"
#include "template/tree.h"

/* The macros around what is being parsed: a name in the innermost is in all of them. */
struct jinja_around {
    jinja_node *macro;
    struct jinja_around *next;
};

struct jinja_parser {
    jinja_state *s;
    const jinja_token *at;
    struct jinja_around *macros;
    unsigned nesting;
    unsigned loops; /* that break and continue could mean */
    unsigned fors;  /* around it, whatever lies between: none may assign to "loop" */
};

static inline bool jinja_at(const struct jinja_parser *p, int kind) { return p->at->kind == kind; }
static inline bool jinja_at_name(const struct jinja_parser *p, const char *name) {
    return p->at->kind == TOKEN_NAME && cria_jinja_text_is(p->at->value.text, name);
}
static inline bool jinja_skip(struct jinja_parser *p, int kind) {
    if (p->at->kind != kind) return false;
    p->at++;
    return true;
}
static inline bool jinja_skip_name(struct jinja_parser *p, const char *name) {
    if (!jinja_at_name(p, name)) return false;
    p->at++;
    return true;
}

bool cria_jinja_expected(struct jinja_parser *p, const char *what); /* fails: "expected <what>, got <token>" */
bool cria_jinja_refuse(struct jinja_parser *p, cria_status code, uint32_t line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
bool cria_jinja_nest(struct jinja_parser *p); /* undo with p->nesting-- */
jinja_node *cria_jinja_node(struct jinja_parser *p, int kind, uint32_t line);
bool cria_jinja_append(struct jinja_parser *p, jinja_node *list, size_t *cap, jinja_node *item);

bool cria_jinja_parse_expression(struct jinja_parser *p, bool either, jinja_node **out);
/* Also "a, b". parentheses: it may be empty. */
bool cria_jinja_parse_tuple(struct jinja_parser *p, bool either, bool parentheses, jinja_node **out);
/* Filters, |name(args) again and again, onto first (NULL: what is captured). inline_first: the first has no |. */
bool cria_jinja_parse_filters(struct jinja_parser *p, jinja_node *first, bool inline_first, jinja_node **out);
bool cria_jinja_parse_target(struct jinja_parser *p, bool attributes, jinja_node **out);
bool cria_jinja_parse_name(struct jinja_parser *p, const jinja_text **out); /* to assign to */

#endif
