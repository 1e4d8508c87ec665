/* SPDX-License-Identifier: Apache-2.0 */
/* What a template is compiled to, and what evaluating it needs: scopes, macros, loops, arguments, and the tables of
 * what may be called. The tree is in the arena of the template and does not change. */
#ifndef CRIA_TEMPLATE_TREE_H
#define CRIA_TEMPLATE_TREE_H

#include "template/value.h"

enum jinja_kind {
    /* expressions */
    NODE_CONST, /* value */
    NODE_NAME,  /* text */
    NODE_LIST,  /* items */
    NODE_TUPLE,
    NODE_DICT,      /* items: key, value, key, value … */
    NODE_ATTRIBUTE, /* a.text; as a target: the attribute of a namespace */
    NODE_ITEM,      /* a[b] */
    NODE_SLICE,     /* a : b : c, NULL where absent; only as b of NODE_ITEM */
    NODE_CALL,      /* a(args) */
    NODE_FILTER,    /* a|filter(args); a NULL: what the block or set captured */
    NODE_TEST,      /* a is test(args) */
    NODE_NOT,
    NODE_NEGATIVE,
    NODE_POSITIVE,
    NODE_AND,
    NODE_OR,
    NODE_BINARY,  /* a op b, op one of enum jinja_operator */
    NODE_CONCAT,  /* items */
    NODE_COMPARE, /* a, then items each a NODE_OPERAND */
    NODE_OPERAND, /* op a */
    NODE_EITHER,  /* b if a else c (NULL: undefined) */
    /* statements */
    NODE_BODY,         /* items */
    NODE_DATA,         /* text */
    NODE_PRINT,        /* a */
    NODE_SET,          /* a = b */
    NODE_CAPTURE,      /* a = body items, through filters b (NULL: none) */
    NODE_FOR,          /* for a in b if c; body, otherwise */
    NODE_IF,           /* a; body; otherwise */
    NODE_MACRO,        /* text: name; signature in items (names) and args->items (defaults of the last ones); body */
    NODE_CALL_BLOCK,   /* a: the call; b: a NODE_MACRO, the caller */
    NODE_FILTER_BLOCK, /* b: filters; body */
    NODE_WITH,         /* items: target, value, target, value …; body */
    NODE_GENERATION,   /* body */
    NODE_BREAK,
    NODE_CONTINUE
};

enum jinja_operator {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN
};

typedef struct jinja_node {
    uint8_t kind, op;
    bool recursive;                              /* for */
    bool uses_caller, uses_kwargs, uses_varargs; /* macro */
    uint32_t line;
    jinja_value value;
    const jinja_text *text;
    struct jinja_node *a, *b, *c, *body, *otherwise;
    struct jinja_node **items;
    size_t n;
    struct jinja_call *args;
    const struct jinja_filter *filter;
    const struct jinja_test *test;
} jinja_node;

/* Arguments as written. */
typedef struct jinja_call {
    jinja_node **items; /* by position */
    size_t n;
    const jinja_text **names;
    jinja_node **named;
    size_t n_named;
    jinja_node *star, *star_star; /* NULL: none */
} jinja_call;

/* Arguments evaluated. */
typedef struct jinja_arguments {
    jinja_value *items;
    size_t n;
    const jinja_text **names;
    jinja_value *named;
    size_t n_named;
} jinja_arguments;

struct jinja_variable {
    const jinja_text *name; /* interned: equal names are one pointer */
    jinja_value value;
};

typedef struct jinja_scope {
    struct jinja_scope *parent;
    struct jinja_variable *variables;
    size_t n, cap;
    bool kept; /* a macro made in it may still look */
} jinja_scope;

struct jinja_macro {
    const jinja_node *node;
    jinja_scope *scope; /* where it was defined */
};

struct jinja_loop {
    const jinja_node *node;
    jinja_scope *scope; /* around the loop */
    jinja_list *source;
    size_t fetched; /* items that came through the test so far */
    size_t index0, depth0;
    bool peeked, ended, sized;
    size_t length;
    jinja_value before, current, after, changed;
};

struct jinja_method {
    jinja_value self;
    const struct jinja_method_entry *entry;
};

/* names: of the parameters, separated by spaces; those before "/" cannot be left out. Arguments land in given[0..n),
 * with JINJA_MISSING where absent. "*": any arguments, only in a->items and a->named. */
enum { JINJA_MAX_PARAMETERS = 8 };
typedef bool jinja_filter_fn(jinja_state *s, jinja_value v, const jinja_value *given, const jinja_arguments *a,
                             jinja_value *out);
typedef bool jinja_test_fn(jinja_state *s, jinja_value v, const jinja_value *given, bool *out);
typedef bool jinja_function_fn(jinja_state *s, const jinja_value *given, const jinja_arguments *a, jinja_value *out);

struct jinja_filter {
    const char *name, *parameters;
    jinja_filter_fn *call;
};
struct jinja_test {
    const char *name, *parameters;
    jinja_test_fn *call;
};
struct jinja_method_entry {
    const char *name, *parameters;
    jinja_filter_fn *call; /* NULL: Python has it, but the sandbox refuses it */
};
struct jinja_function {
    const char *name, *parameters;
    jinja_function_fn *call;
};

/* NULL where there is none. */
const struct jinja_filter *cria_jinja_find_filter(const jinja_text *name);
const struct jinja_test *cria_jinja_find_test(const jinja_text *name);
const struct jinja_function *cria_jinja_find_function(const jinja_text *name);
const struct jinja_method_entry *cria_jinja_find_method(jinja_value v, const jinja_text *name);

/* ---- arguments.c ---- */
bool cria_jinja_bind(jinja_state *s, const char *what, const char *name, const char *parameters,
                     const jinja_arguments *a, jinja_value given[JINJA_MAX_PARAMETERS]);
bool cria_jinja_filter(jinja_state *s, const struct jinja_filter *f, jinja_value v, const jinja_arguments *a,
                       jinja_value *out);
bool cria_jinja_test(jinja_state *s, const struct jinja_test *t, jinja_value v, const jinja_arguments *a, bool *out);
/* Arguments of a table's function: a default where absent, an error where of another type. */
bool cria_jinja_int_argument(jinja_state *s, jinja_value v, int64_t otherwise, int64_t *out);
bool cria_jinja_text_argument(jinja_state *s, jinja_value v, const jinja_text **out); /* must be a text */

/* ---- lex.c, parse.c ---- */
bool cria_jinja_parse(jinja_state *s, const char *text, size_t len, jinja_node **out);

/* ---- evaluate.c, loop.c, run.c ---- */
bool cria_jinja_evaluate(jinja_state *s, jinja_scope *scope, const jinja_node *n, jinja_value *out);
bool cria_jinja_arguments(jinja_state *s, jinja_scope *scope, const jinja_call *call, jinja_arguments *out);
bool cria_jinja_call(jinja_state *s, jinja_value f, const jinja_arguments *a, jinja_value *out);
bool cria_jinja_filters(jinja_state *s, jinja_scope *scope, const jinja_node *filters, jinja_value captured,
                        jinja_value *out);

jinja_scope *cria_jinja_scope(jinja_state *s, jinja_scope *parent);
void cria_jinja_leave(jinja_state *s, jinja_scope *scope); /* for another use, unless it is kept */
void cria_jinja_keep(jinja_scope *scope);
bool cria_jinja_look(jinja_state *s, jinja_scope *scope, const jinja_text *name, jinja_value *out);
bool cria_jinja_declare(jinja_state *s, jinja_scope *scope, const jinja_text *name, jinja_value v);
bool cria_jinja_assign(jinja_state *s, jinja_scope *scope, const jinja_node *target, jinja_value v);

enum jinja_flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };
bool cria_jinja_run(jinja_state *s, jinja_scope *scope, const jinja_node *body, enum jinja_flow *flow);
bool cria_jinja_run_for(jinja_state *s, jinja_scope *scope, const jinja_node *n, enum jinja_flow *flow);
/* What body writes, as a text. */
bool cria_jinja_capture(jinja_state *s, jinja_scope *scope, const jinja_node *body, enum jinja_flow *flow,
                        jinja_value *out);
bool cria_jinja_call_macro(jinja_state *s, const struct jinja_macro *m, const jinja_arguments *a, jinja_value *out);
bool cria_jinja_call_loop(jinja_state *s, struct jinja_loop *l, jinja_value items, jinja_value *out);
bool cria_jinja_loop_attribute(jinja_state *s, jinja_value loop, const jinja_text *name, bool *found,
                               jinja_value *out);

#endif
