/* SPDX-License-Identifier: Apache-2.0 */
#include "template/parse.h"

#include <string.h>

typedef bool parse_fn(struct jinja_parser *p, jinja_node **out);
static parse_fn parse_or, parse_and, parse_not, parse_compare, parse_sum, parse_concat, parse_product, parse_power;

static bool unary(struct jinja_parser *p, bool with_filter, jinja_node **out);

static bool two(struct jinja_parser *p, int kind, int op, jinja_node *a, jinja_node *b, jinja_node **out) {
    jinja_node *n = cria_jinja_node(p, kind, a->line);
    if (!n) return false;
    n->op = (uint8_t)op;
    n->a = a;
    n->b = b;
    *out = n;
    return true;
}

bool cria_jinja_parse_expression(struct jinja_parser *p, bool either, jinja_node **out) {
    if (!either) return parse_or(p, out);
    if (!cria_jinja_nest(p)) return false;
    bool ok = parse_or(p, out);
    while (ok && jinja_skip_name(p, "if")) {
        jinja_node *n = cria_jinja_node(p, NODE_EITHER, p->at->line);
        ok = n && parse_or(p, &n->a);
        if (!ok) break;
        n->b = *out;
        if (jinja_skip_name(p, "else")) ok = cria_jinja_parse_expression(p, true, &n->c);
        *out = n;
    }
    p->nesting--;
    return ok;
}

static bool parse_or(struct jinja_parser *p, jinja_node **out) {
    if (!parse_and(p, out)) return false;
    jinja_node *right;
    while (jinja_skip_name(p, "or"))
        if (!parse_and(p, &right) || !two(p, NODE_OR, 0, *out, right, out)) return false;
    return true;
}

static bool parse_and(struct jinja_parser *p, jinja_node **out) {
    if (!parse_not(p, out)) return false;
    jinja_node *right;
    while (jinja_skip_name(p, "and"))
        if (!parse_not(p, &right) || !two(p, NODE_AND, 0, *out, right, out)) return false;
    return true;
}

static bool parse_not(struct jinja_parser *p, jinja_node **out) {
    if (!jinja_at_name(p, "not")) return parse_compare(p, out);
    jinja_node *n = cria_jinja_node(p, NODE_NOT, p->at->line);
    if (!n || !cria_jinja_nest(p)) return false;
    p->at++;
    const bool ok = parse_not(p, &n->a);
    p->nesting--;
    *out = n;
    return ok;
}

static int compare_operator(struct jinja_parser *p) {
    switch (p->at->kind) {
    case TOKEN_EQ: return OP_EQ;
    case TOKEN_NE: return OP_NE;
    case TOKEN_LT: return OP_LT;
    case TOKEN_LE: return OP_LE;
    case TOKEN_GT: return OP_GT;
    case TOKEN_GE: return OP_GE;
    default: break;
    }
    if (jinja_at_name(p, "in")) return OP_IN;
    if (!jinja_at_name(p, "not") || p->at[1].kind != TOKEN_NAME || !cria_jinja_text_is(p->at[1].value.text, "in"))
        return -1;
    p->at++;
    return OP_NOT_IN;
}

static bool parse_compare(struct jinja_parser *p, jinja_node **out) {
    if (!parse_sum(p, out)) return false;
    jinja_node *chain = NULL;
    size_t cap = 0;
    for (int op; (op = compare_operator(p)) >= 0;) {
        jinja_node *operand = cria_jinja_node(p, NODE_OPERAND, p->at->line);
        p->at++;
        if (!operand || (!chain && !(chain = cria_jinja_node(p, NODE_COMPARE, operand->line)))) return false;
        operand->op = (uint8_t)op;
        if (!parse_sum(p, &operand->a) || !cria_jinja_append(p, chain, &cap, operand)) return false;
    }
    if (!chain) return true;
    chain->a = *out;
    *out = chain;
    return true;
}

/* One level of operators that bind to the left. */
static bool binary(struct jinja_parser *p, parse_fn *below, const int8_t table[][2], size_t n, jinja_node **out) {
    if (!below(p, out)) return false;
    for (;;) {
        int op = -1;
        for (size_t i = 0; i < n; i++)
            if (p->at->kind == table[i][0]) op = table[i][1];
        jinja_node *right;
        if (op < 0) return true;
        p->at++;
        if (!below(p, &right) || !two(p, NODE_BINARY, op, *out, right, out)) return false;
    }
}

static bool parse_sum(struct jinja_parser *p, jinja_node **out) {
    static const int8_t table[][2] = {{TOKEN_ADD, OP_ADD}, {TOKEN_SUB, OP_SUB}};
    return binary(p, parse_concat, table, 2, out);
}

static bool parse_concat(struct jinja_parser *p, jinja_node **out) {
    if (!parse_product(p, out)) return false;
    if (!jinja_at(p, TOKEN_TILDE)) return true;
    jinja_node *n = cria_jinja_node(p, NODE_CONCAT, p->at->line), *item;
    size_t cap = 0;
    if (!n || !cria_jinja_append(p, n, &cap, *out)) return false;
    while (jinja_skip(p, TOKEN_TILDE))
        if (!parse_product(p, &item) || !cria_jinja_append(p, n, &cap, item)) return false;
    *out = n;
    return true;
}

static bool parse_product(struct jinja_parser *p, jinja_node **out) {
    static const int8_t table[][2] = {
        {TOKEN_MUL, OP_MUL}, {TOKEN_DIV, OP_DIV}, {TOKEN_FLOORDIV, OP_FLOORDIV}, {TOKEN_MOD, OP_MOD}};
    return binary(p, parse_power, table, 4, out);
}

static bool filtered(struct jinja_parser *p, jinja_node **out) { return unary(p, true, out); }

static bool parse_power(struct jinja_parser *p, jinja_node **out) {
    static const int8_t table[][2] = {{TOKEN_POW, OP_POW}};
    return binary(p, filtered, table, 1, out);
}

/* ---- calls ---- */

static bool one_argument(struct jinja_parser *p, jinja_call *c, size_t caps[3]) {
    jinja_node *value;
    if (jinja_at(p, TOKEN_MUL) || jinja_at(p, TOKEN_POW)) {
        const bool twice = p->at->kind == TOKEN_POW;
        if (c->star_star || (!twice && c->star))
            return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "invalid syntax for function call expression");
        p->at++;
        return cria_jinja_parse_expression(p, true, twice ? &c->star_star : &c->star);
    }
    void *items;
    if (jinja_at(p, TOKEN_NAME) && p->at[1].kind == TOKEN_ASSIGN) {
        const jinja_text *name = p->at->value.text;
        if (c->star_star)
            return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "invalid syntax for function call expression");
        for (size_t i = 0; i < c->n_named; i++)
            if (c->names[i] == name)
                return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "keyword argument repeated: %.*s",
                                         (int)(name->len < 100 ? name->len : 100), name->data);
        if (c->n_named >= 100) return cria_jinja_refuse(p, CRIA_EFULL, p->at->line, "More than 100 named arguments");
        p->at += 2;
        if (!cria_jinja_parse_expression(p, true, &value)) return false;
        items = c->named;
        if (!cria_jinja_grow(p->s, &items, c->n_named, &caps[0], sizeof *c->named)) return false;
        c->named = items;
        items = c->names;
        if (!cria_jinja_grow(p->s, &items, c->n_named, &caps[1], sizeof *c->names)) return false;
        c->names = items;
        c->names[c->n_named] = name;
        c->named[c->n_named++] = value;
        return true;
    }
    if (c->star || c->star_star || c->n_named)
        return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "invalid syntax for function call expression");
    items = c->items;
    if (!cria_jinja_parse_expression(p, true, &value) || !cria_jinja_grow(p->s, &items, c->n, &caps[2], sizeof value))
        return false;
    c->items = items;
    c->items[c->n++] = value;
    return true;
}

static bool arguments(struct jinja_parser *p, jinja_call **out) {
    jinja_call *c = cria_jinja_alloc(p->s, sizeof *c);
    if (!c) return false;
    *c = (jinja_call){0};
    size_t caps[3] = {0};
    p->at++;
    for (bool first = true; !jinja_at(p, TOKEN_RPAREN); first = false) {
        if (!first && !jinja_skip(p, TOKEN_COMMA)) return cria_jinja_expected(p, "','");
        if (jinja_at(p, TOKEN_RPAREN) && !first) break;
        if (!one_argument(p, c, caps)) return false;
    }
    p->at++;
    *out = c;
    return true;
}

static bool call(struct jinja_parser *p, jinja_node **out) {
    jinja_node *n = cria_jinja_node(p, NODE_CALL, p->at->line);
    if (!n) return false;
    n->a = *out;
    *out = n;
    return arguments(p, &n->args);
}

static bool dotted_name(struct jinja_parser *p, const char *what, const jinja_text **out) {
    if (!jinja_at(p, TOKEN_NAME)) return cria_jinja_expected(p, what);
    *out = p->at->value.text;
    p->at++;
    if (jinja_at(p, TOKEN_DOT))
        return cria_jinja_refuse(p, CRIA_EUNSUPPORTED, p->at->line, "No %s with a dot in its name", what);
    return true;
}

bool cria_jinja_parse_filters(struct jinja_parser *p, jinja_node *first, bool inline_first, jinja_node **out) {
    *out = first;
    while (inline_first || jinja_skip(p, TOKEN_PIPE)) {
        inline_first = false;
        jinja_node *n = cria_jinja_node(p, NODE_FILTER, p->at->line);
        if (!n || !dotted_name(p, "filter", &n->text)) return false;
        n->a = *out;
        n->filter = cria_jinja_find_filter(n->text);
        if (!n->filter)
            return cria_jinja_refuse(p, CRIA_EUNSUPPORTED, n->line, "No filter named '%.*s'",
                                     (int)(n->text->len < 100 ? n->text->len : 100), n->text->data);
        if (jinja_at(p, TOKEN_LPAREN) && !arguments(p, &n->args)) return false;
        *out = n;
    }
    return true;
}

/* ---- primary and what follows it ---- */

static bool slice_part(struct jinja_parser *p, jinja_node **out) {
    if (jinja_at(p, TOKEN_RBRACKET) || jinja_at(p, TOKEN_COMMA) || jinja_at(p, TOKEN_COLON)) return true;
    return cria_jinja_parse_expression(p, true, out);
}

static bool subscript(struct jinja_parser *p, jinja_node **out) { /* of a slice, or an expression */
    jinja_node *slice = cria_jinja_node(p, NODE_SLICE, p->at->line);
    if (!slice || !slice_part(p, &slice->a)) return false;
    if (!jinja_skip(p, TOKEN_COLON)) {
        *out = slice->a;
        return slice->a || cria_jinja_expected(p, "an expression");
    }
    *out = slice;
    if (!slice_part(p, &slice->b)) return false;
    return !jinja_skip(p, TOKEN_COLON) || slice_part(p, &slice->c);
}

static bool item(struct jinja_parser *p, jinja_node **out) {
    const uint32_t line = p->at->line;
    if (jinja_skip(p, TOKEN_DOT)) {
        jinja_node *n = cria_jinja_node(p, jinja_at(p, TOKEN_NAME) ? NODE_ATTRIBUTE : NODE_ITEM, line);
        if (!n) return false;
        n->a = *out;
        if (jinja_at(p, TOKEN_NAME)) {
            n->text = p->at->value.text;
        } else {
            if (!jinja_at(p, TOKEN_INTEGER)) return cria_jinja_expected(p, "a name or number");
            if (!(n->b = cria_jinja_node(p, NODE_CONST, line))) return false;
            n->b->value = p->at->value;
        }
        p->at++;
        *out = n;
        return true;
    }
    jinja_node *n = cria_jinja_node(p, NODE_ITEM, line);
    if (!n) return false;
    n->a = *out;
    p->at++;
    if (!subscript(p, &n->b)) return false;
    if (jinja_at(p, TOKEN_COMMA)) { /* a tuple as key */
        jinja_node *tuple = cria_jinja_node(p, NODE_TUPLE, line), *next;
        size_t cap = 0;
        if (!tuple || !cria_jinja_append(p, tuple, &cap, n->b)) return false;
        while (jinja_skip(p, TOKEN_COMMA))
            if (!subscript(p, &next) || !cria_jinja_append(p, tuple, &cap, next)) return false;
        for (size_t i = 0; i < tuple->n; i++)
            if (tuple->items[i]->kind == NODE_SLICE)
                return cria_jinja_refuse(p, CRIA_EUNSUPPORTED, line, "A slice in a tuple is not supported");
        n->b = tuple;
    }
    if (!jinja_skip(p, TOKEN_RBRACKET)) return cria_jinja_expected(p, "']'");
    *out = n;
    return true;
}

static bool postfix(struct jinja_parser *p, jinja_node **out) {
    for (;;) {
        if (jinja_at(p, TOKEN_DOT) || jinja_at(p, TOKEN_LBRACKET)) {
            if (!item(p, out)) return false;
        } else if (jinja_at(p, TOKEN_LPAREN)) {
            if (!call(p, out)) return false;
        } else
            return true;
    }
}

static bool list_or_dict(struct jinja_parser *p, jinja_node **out) {
    const bool dict = jinja_at(p, TOKEN_LBRACE);
    const int close = dict ? TOKEN_RBRACE : TOKEN_RBRACKET;
    jinja_node *n = cria_jinja_node(p, dict ? NODE_DICT : NODE_LIST, p->at->line), *value;
    if (!n) return false;
    size_t cap = 0;
    p->at++;
    while (!jinja_at(p, close)) {
        if (n->n && !jinja_skip(p, TOKEN_COMMA)) return cria_jinja_expected(p, "','");
        if (jinja_at(p, close) && n->n) break;
        if (!cria_jinja_parse_expression(p, true, &value) || !cria_jinja_append(p, n, &cap, value)) return false;
        if (!dict) continue;
        if (!jinja_skip(p, TOKEN_COLON)) return cria_jinja_expected(p, "':'");
        if (!cria_jinja_parse_expression(p, true, &value) || !cria_jinja_append(p, n, &cap, value)) return false;
    }
    p->at++;
    *out = n;
    return true;
}

static bool constant(struct jinja_parser *p, jinja_value v, jinja_node **out) {
    jinja_node *n = cria_jinja_node(p, NODE_CONST, p->at->line);
    if (!n) return false;
    n->value = v;
    p->at++;
    *out = n;
    return true;
}

static bool texts(struct jinja_parser *p, jinja_node **out) { /* next to each other they are one */
    if (!constant(p, p->at->value, out)) return false;
    if (!jinja_at(p, TOKEN_TEXT)) return true;
    cria_buf b;
    cria_jinja_scratch(p->s, &b);
    bool ok = cria_jinja_str(p->s, &b, (*out)->value);
    for (; ok && jinja_at(p, TOKEN_TEXT); p->at++) ok = cria_jinja_str(p->s, &b, p->at->value);
    return cria_jinja_take(p->s, &b, ok, &(*out)->value);
}

static bool name(struct jinja_parser *p, jinja_node **out) {
    const jinja_text *text = p->at->value.text;
    if (cria_jinja_text_is(text, "true") || cria_jinja_text_is(text, "True"))
        return constant(p, jinja_bool(true), out);
    if (cria_jinja_text_is(text, "false") || cria_jinja_text_is(text, "False"))
        return constant(p, jinja_bool(false), out);
    if (cria_jinja_text_is(text, "none") || cria_jinja_text_is(text, "None")) return constant(p, jinja_none(), out);
    jinja_node *n = cria_jinja_node(p, NODE_NAME, p->at->line);
    if (!n) return false;
    n->text = text;
    for (struct jinja_around *m = p->macros; m; m = m->next) {
        m->macro->uses_caller |= cria_jinja_text_is(text, "caller");
        m->macro->uses_kwargs |= cria_jinja_text_is(text, "kwargs");
        m->macro->uses_varargs |= cria_jinja_text_is(text, "varargs");
    }
    p->at++;
    *out = n;
    return true;
}

static bool primary(struct jinja_parser *p, jinja_node **out) {
    char got[64];
    switch (p->at->kind) {
    case TOKEN_NAME: return name(p, out);
    case TOKEN_TEXT: return texts(p, out);
    case TOKEN_INTEGER:
    case TOKEN_FLOAT: return constant(p, p->at->value, out);
    case TOKEN_LPAREN:
        p->at++;
        if (!cria_jinja_parse_tuple(p, true, true, out)) return false;
        return jinja_skip(p, TOKEN_RPAREN) || cria_jinja_expected(p, "')'");
    case TOKEN_LBRACKET:
    case TOKEN_LBRACE: return list_or_dict(p, out);
    default:
        return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "unexpected '%s'", cria_jinja_token_text(p->at, got));
    }
}

static bool bare_argument(const struct jinja_parser *p) {
    switch (p->at->kind) {
    case TOKEN_NAME: return !jinja_at_name(p, "else") && !jinja_at_name(p, "or") && !jinja_at_name(p, "and");
    case TOKEN_TEXT:
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
    case TOKEN_LBRACKET:
    case TOKEN_LBRACE: return true;
    default: return false;
    }
}

static bool test(struct jinja_parser *p, jinja_node **out) {
    jinja_node *n = cria_jinja_node(p, NODE_TEST, p->at->line);
    if (!n) return false;
    p->at++;
    const bool negated = jinja_skip_name(p, "not");
    if (!dotted_name(p, "test", &n->text)) return false;
    n->a = *out;
    n->test = cria_jinja_find_test(n->text);
    if (!n->test)
        return cria_jinja_refuse(p, CRIA_EUNSUPPORTED, n->line, "No test named '%.*s'",
                                 (int)(n->text->len < 100 ? n->text->len : 100), n->text->data);
    if (jinja_at(p, TOKEN_LPAREN)) {
        if (!arguments(p, &n->args)) return false;
    } else if (bare_argument(p)) {
        if (jinja_at_name(p, "is"))
            return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "You cannot chain multiple tests with is");
        jinja_call *c = cria_jinja_alloc(p->s, sizeof *c);
        jinja_node **items = cria_jinja_alloc(p->s, sizeof *items);
        if (!c || !items || !primary(p, items) || !postfix(p, items)) return false;
        *c = (jinja_call){.items = items, .n = 1};
        n->args = c;
    }
    *out = n;
    if (!negated) return true;
    if (!(*out = cria_jinja_node(p, NODE_NOT, n->line))) return false;
    (*out)->a = n;
    return true;
}

static bool unary(struct jinja_parser *p, bool with_filter, jinja_node **out) {
    if (!cria_jinja_nest(p)) return false;
    bool ok;
    if (jinja_at(p, TOKEN_SUB) || jinja_at(p, TOKEN_ADD)) {
        jinja_node *n = cria_jinja_node(p, jinja_at(p, TOKEN_SUB) ? NODE_NEGATIVE : NODE_POSITIVE, p->at->line);
        p->at++;
        ok = n && unary(p, false, &n->a);
        *out = n;
    } else
        ok = primary(p, out);
    ok = ok && postfix(p, out);
    while (ok && with_filter) {
        if (jinja_at(p, TOKEN_PIPE))
            ok = cria_jinja_parse_filters(p, *out, false, out);
        else if (jinja_at_name(p, "is"))
            ok = test(p, out);
        else if (jinja_at(p, TOKEN_LPAREN))
            ok = call(p, out);
        else
            break;
    }
    p->nesting--;
    return ok;
}

/* ---- tuples and targets ---- */

bool cria_jinja_parse_tuple(struct jinja_parser *p, bool either, bool parentheses, jinja_node **out) {
    jinja_node *tuple = cria_jinja_node(p, NODE_TUPLE, p->at->line), *value;
    if (!tuple) return false;
    size_t cap = 0;
    bool comma = false;
    char got[64];
    for (;;) {
        if (jinja_at(p, TOKEN_PRINT_END) || jinja_at(p, TOKEN_BLOCK_END) || jinja_at(p, TOKEN_RPAREN)) break;
        if (!cria_jinja_parse_expression(p, either, &value) || !cria_jinja_append(p, tuple, &cap, value))
            return false;
        if (!jinja_skip(p, TOKEN_COMMA)) break;
        comma = true;
    }
    if (!comma && tuple->n == 0 && !parentheses)
        return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "Expected an expression, got '%s'",
                                 cria_jinja_token_text(p->at, got));
    *out = comma || tuple->n == 0 ? tuple : tuple->items[0];
    return true;
}

static bool is_word(const jinja_text *name) { /* that cannot be assigned to */
    static const char *const words[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (cria_jinja_text_is(name, words[i])) return true;
    return false;
}

bool cria_jinja_parse_name(struct jinja_parser *p, const jinja_text **out) {
    if (!jinja_at(p, TOKEN_NAME)) return cria_jinja_expected(p, "a name");
    *out = p->at->value.text;
    if (is_word(*out)) return cria_jinja_refuse(p, CRIA_EFORMAT, p->at->line, "can't assign to a constant");
    p->at++;
    return true;
}

static bool one_target(struct jinja_parser *p, bool attributes, jinja_node **out) {
    if (jinja_at(p, TOKEN_LPAREN)) {
        if (!cria_jinja_nest(p)) return false;
        p->at++;
        const bool ok = cria_jinja_parse_target(p, attributes, out);
        p->nesting--;
        return ok && (jinja_skip(p, TOKEN_RPAREN) || cria_jinja_expected(p, "')'"));
    }
    jinja_node *n = cria_jinja_node(p, NODE_NAME, p->at->line);
    if (!n) return false;
    *out = n;
    if (!cria_jinja_parse_name(p, &n->text)) return false;
    const bool whole = !attributes || !jinja_skip(p, TOKEN_DOT);
    if (whole && p->fors && cria_jinja_text_is(n->text, "loop"))
        return cria_jinja_refuse(p, CRIA_EFORMAT, n->line,
                                 "Can't assign to special loop variable in for-loop target");
    if (whole) return true;
    jinja_node *attribute = cria_jinja_node(p, NODE_ATTRIBUTE, n->line);
    if (!attribute) return false;
    if (!jinja_at(p, TOKEN_NAME)) return cria_jinja_expected(p, "a name");
    attribute->a = n;
    attribute->text = p->at->value.text;
    p->at++;
    *out = attribute;
    return true;
}

bool cria_jinja_parse_target(struct jinja_parser *p, bool attributes, jinja_node **out) {
    jinja_node *tuple = cria_jinja_node(p, NODE_TUPLE, p->at->line), *value;
    if (!tuple || !one_target(p, attributes, &value)) return false;
    if (!jinja_at(p, TOKEN_COMMA)) {
        *out = value;
        return true;
    }
    size_t cap = 0;
    if (!cria_jinja_append(p, tuple, &cap, value)) return false;
    while (jinja_skip(p, TOKEN_COMMA)) {
        if (jinja_at(p, TOKEN_RPAREN) || jinja_at(p, TOKEN_BLOCK_END)) break;
        if (!one_target(p, attributes, &value) || !cria_jinja_append(p, tuple, &cap, value)) return false;
    }
    *out = tuple;
    return true;
}
