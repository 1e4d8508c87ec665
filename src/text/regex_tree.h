/* SPDX-License-Identifier: Apache-2.0 */
/* A parsed regular expression: between regex_parse.c and regex.c. */
#ifndef CRIA_TEXT_REGEX_TREE_H
#define CRIA_TEXT_REGEX_TREE_H

#include "text/charset.h"
#include "text/regex.h"

enum cria_regex_node_kind {
    CRIA_REGEX_SEQUENCE, /* children one after the other; none: empty */
    CRIA_REGEX_CHOICE,   /* the first child that leads to a match */
    CRIA_REGEX_REPEAT,   /* its only child min to max times */
    CRIA_REGEX_CHAR,     /* one character of the set */
    CRIA_REGEX_LOOK      /* the next character is one of the set, or the text's end where at_end */
};

#define CRIA_REGEX_NONE UINT32_MAX /* no node; no upper bound */

struct cria_regex_node {
    enum cria_regex_node_kind kind;
    uint32_t child, next; /* first child; next sibling */
    uint32_t set;
    uint32_t min, max;
    bool lazy, at_end;
};

struct cria_regex_tree {
    cria_ctx *ctx;
    struct cria_regex_node *node;
    uint32_t n_nodes, cap_nodes;
    cria_charset *set;
    uint32_t n_sets, cap_sets;
    uint32_t root;
};

/* Nesting is bounded, so whoever walks the tree may recurse. Fini in any case. */
cria_status cria_regex_parse(cria_ctx *ctx, const char *pattern, size_t len, enum cria_regex_syntax syntax,
                             struct cria_regex_tree *out, cria_error *err);
void cria_regex_tree_fini(struct cria_regex_tree *t);

#endif
