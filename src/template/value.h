/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of a template, which are Python's as far as templates can tell, and the state that making them needs.
 * All memory is of the state's arena and goes when the state does; nothing is freed singly. Lists, tuples and dicts
 * do not change once made (the sandbox forbids it), so values share them; namespaces, iterators, loops, cyclers and
 * joiners do. Functions that can fail return false and have told the state why; the first failure is the one that is
 * reported.
 */
#ifndef CRIA_TEMPLATE_VALUE_H
#define CRIA_TEMPLATE_VALUE_H

#include "template/template.h"

enum jinja_type {
    JINJA_MISSING, /* an argument that was not given; never seen by templates */
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_TEXT,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_RANGE,
    JINJA_VIEW,     /* dict.keys(), values(), items() */
    JINJA_ITERATOR, /* what filters yield: can be gone through once */
    JINJA_DICT,
    JINJA_NAMESPACE,
    JINJA_MACRO,
    JINJA_FUNCTION,
    JINJA_METHOD,
    JINJA_LOOP,
    JINJA_CYCLER,
    JINJA_JOINER
};

/* UTF-8, valid. chars: code points, which is what templates count; equal to len for ASCII. */
typedef struct jinja_text {
    const char *data;
    size_t len, chars;
} jinja_text;

typedef struct jinja_value {
    uint8_t type; /* enum jinja_type */
    bool safe;    /* a text that |safe or |escape made: adding to it escapes the other */
    union {
        bool flag;
        int64_t integer;
        double real;
        const jinja_text *text;
        struct jinja_list *list; /* list, tuple, range, view, iterator, cycler */
        struct jinja_dict *dict; /* dict, namespace */
        struct jinja_undefined *undefined;
        struct jinja_macro *macro;
        struct jinja_loop *loop;
        struct jinja_method *method;
        struct jinja_joiner *joiner;
        const struct jinja_function *function;
    };
} jinja_value;

typedef struct jinja_list {
    jinja_value *items;
    size_t n, cap;
    size_t pos;       /* iterator: the next; cycler: the current */
    const char *name; /* view: "dict_keys"; a tuple with names: "grouper" for the first item, "list" for the second */
    int64_t start, stop, step; /* range */
} jinja_list;

typedef struct jinja_entry {
    jinja_value key, value;
    uint64_t hash;
} jinja_entry;

typedef struct jinja_dict {
    jinja_entry *entries; /* in the order of insertion */
    size_t n, cap;
    uint32_t *slots; /* open addressing, index + 1 into entries; NULL while there are few */
    size_t n_slots;  /* a power of two */
} jinja_dict;

/* Why it is undefined: hint, or name within owner (JINJA_MISSING for a variable). */
struct jinja_undefined {
    const char *hint;
    jinja_value owner, name;
};

struct jinja_joiner {
    jinja_value separator;
    bool used;
};

typedef struct jinja_state {
    cria_ctx *ctx;
    struct jinja_chunk *chunks;
    uint8_t *free_at;
    size_t free_bytes, bytes, max_bytes;
    const char *bytes_name; /* the limit's name, for the message */
    cria_error *err;
    cria_status status;
    uint64_t steps;
    unsigned depth;
    uint32_t line; /* being evaluated, for messages */
    /* rendering only */
    cria_buf out;
    const cria_template_time *now;
    jinja_dict *variables;
    struct jinja_scope *free_scopes;
} jinja_state;

/* ---- state.c ---- */
void cria_jinja_init(jinja_state *s, cria_ctx *ctx, size_t max_bytes, const char *bytes_name, cria_error *err);
void cria_jinja_fini(jinja_state *s);
/* Aligned for any value; NULL (and told) past the limit or without memory. */
void *cria_jinja_alloc(jinja_state *s, size_t bytes);
void *cria_jinja_alloc_array(jinja_state *s, size_t n, size_t size);
/* Room for one more of n items in an array of *cap: it may move. */
bool cria_jinja_grow(jinja_state *s, void **items, size_t n, size_t *cap, size_t size);
/* Adds the line to what is said. Returns false. */
bool cria_jinja_fail(jinja_state *s, cria_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool cria_jinja_steps(jinja_state *s, size_t n);
bool cria_jinja_enter(jinja_state *s); /* one level deeper; leave with s->depth-- */

/* ---- value.c ---- */
static inline jinja_value jinja_none(void) { return (jinja_value){.type = JINJA_NONE}; }
static inline jinja_value jinja_bool(bool b) { return (jinja_value){.type = JINJA_BOOL, .flag = b}; }
static inline jinja_value jinja_int(int64_t i) { return (jinja_value){.type = JINJA_INT, .integer = i}; }
static inline jinja_value jinja_float(double f) { return (jinja_value){.type = JINJA_FLOAT, .real = f}; }
static inline jinja_value jinja_listed(enum jinja_type type, jinja_list *l) {
    return (jinja_value){.type = (uint8_t)type, .list = l};
}
static inline bool jinja_is(jinja_value v, enum jinja_type type) { return v.type == type; }
static inline bool jinja_has_items(jinja_value v) {
    return v.type == JINJA_LIST || v.type == JINJA_TUPLE || v.type == JINJA_RANGE;
}
/* bool and int, as Python has it; *out its number */
static inline bool jinja_whole(jinja_value v, int64_t *out) {
    if (v.type == JINJA_INT) *out = v.integer;
    if (v.type == JINJA_BOOL) *out = v.flag;
    return v.type == JINJA_INT || v.type == JINJA_BOOL;
}
static inline bool jinja_number(jinja_value v, double *out) {
    int64_t i = 0;
    if (v.type == JINJA_FLOAT) *out = v.real;
    if (!jinja_whole(v, &i)) return v.type == JINJA_FLOAT;
    *out = (double)i;
    return true;
}

/* Texts: a copy of the bytes, or a view of bytes that live as long as the state. */
bool cria_jinja_text(jinja_state *s, const char *data, size_t len, jinja_value *out);
bool cria_jinja_text_view(jinja_state *s, const char *data, size_t len, jinja_value *out);
bool cria_jinja_text_is(const jinja_text *t, const char *word);
/* Byte offset of a character; chars may be t->chars. */
size_t cria_jinja_offset(const jinja_text *t, size_t chars);

jinja_list *cria_jinja_list(jinja_state *s, size_t cap);
bool cria_jinja_push(jinja_state *s, jinja_list *l, jinja_value v);
bool cria_jinja_pair(jinja_state *s, jinja_value a, jinja_value b, jinja_value *out); /* a tuple */
jinja_dict *cria_jinja_dict(jinja_state *s);
/* *out NULL where there is none; false for keys that cannot be hashed. */
bool cria_jinja_dict_get(jinja_state *s, const jinja_dict *d, jinja_value key, jinja_value **out);
bool cria_jinja_dict_set(jinja_state *s, jinja_dict *d, jinja_value key, jinja_value value);
bool cria_jinja_dict_find(jinja_state *s, const jinja_dict *d, const jinja_text *key, jinja_value **out);

bool cria_jinja_undefined(jinja_state *s, jinja_value owner, jinja_value name, jinja_value *out);
bool cria_jinja_undefined_hint(jinja_state *s, const char *hint, jinja_value *out);
/* Fails with what the undefined value stands for. */
bool cria_jinja_fail_undefined(jinja_state *s, jinja_value v);

const char *cria_jinja_type_name(jinja_value v); /* as type(v).__name__ */
bool cria_jinja_hashable(jinja_value v);
/* False also for what has no length. */
bool cria_jinja_length(jinja_state *s, jinja_value v, size_t *out);
bool cria_jinja_truth(jinja_value v);
bool cria_jinja_equal(jinja_state *s, jinja_value a, jinja_value b, bool *out);
/* *out < 0, 0, > 0; fails where Python raises TypeError. nan: comparing gives false whatever the order. */
bool cria_jinja_order(jinja_state *s, jinja_value a, jinja_value b, int *out, bool *nan);
bool cria_jinja_contains(jinja_state *s, jinja_value item, jinja_value container, bool *out);
/* The items to go through from list->pos on; an iterator's own list, whose pos the caller moves on. */
bool cria_jinja_iterate(jinja_state *s, jinja_value v, jinja_list **out);
/* Stable; keys[i] belongs to items[i]. */
bool cria_jinja_sort(jinja_state *s, jinja_value *items, jinja_value *keys, size_t n, bool reverse);

/* ---- print.c: str() and repr() ---- */
bool cria_jinja_write(jinja_state *s, cria_buf *b, const void *data, size_t len);
bool cria_jinja_str(jinja_state *s, cria_buf *b, jinja_value v);
bool cria_jinja_repr(jinja_state *s, cria_buf *b, jinja_value v);
bool cria_jinja_to_text(jinja_state *s, jinja_value v, jinja_value *out); /* v itself where it is a text */
void cria_jinja_scratch(jinja_state *s, cria_buf *b);                     /* init; end with take or cria_buf_fini */
bool cria_jinja_take(jinja_state *s, cria_buf *b, bool ok, jinja_value *out); /* the text in b; frees b in any case */
/* As repr(float) writes it. Returns the length. */
enum { JINJA_FLOAT_BYTES = 40 };
size_t cria_jinja_float_text(double x, char out[JINJA_FLOAT_BYTES]);
bool cria_jinja_parse_float(const char *text, size_t len, double *out);
/* Keeps the integer part within 64 bits; false and told where it does not fit. */
bool cria_jinja_float_to_int(jinja_state *s, double x, int64_t *out);

/* ---- operators.c ---- */
bool cria_jinja_binary(jinja_state *s, int op, jinja_value a, jinja_value b, jinja_value *out);
bool cria_jinja_attribute(jinja_state *s, jinja_value v, const jinja_text *name, jinja_value *out); /* v.name */
bool cria_jinja_item(jinja_state *s, jinja_value v, jinja_value key, jinja_value *out);             /* v[key] */
bool cria_jinja_slice(jinja_state *s, jinja_value v, const jinja_value range[3], jinja_value *out);
bool cria_jinja_substring(jinja_state *s, jinja_value v, size_t first, size_t end, jinja_value *out); /* characters */
bool cria_jinja_escape(jinja_state *s, jinja_value v, jinja_value *out);

/* ---- format.c, tojson.c, variables.c, strftime.c ---- */
struct jinja_arguments;
bool cria_jinja_percent(jinja_state *s, jinja_value format, jinja_value args, jinja_value *out);
bool cria_jinja_format(jinja_state *s, const jinja_text *format, const struct jinja_arguments *a, jinja_value *out);
bool cria_jinja_tojson(jinja_state *s, const struct jinja_arguments *a, jinja_value v, jinja_value *out);
bool cria_jinja_read_variables(jinja_state *s, const char *json, size_t len);
bool cria_jinja_strftime(jinja_state *s, const jinja_text *format, jinja_value *out);

#endif
