/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of a template: its text between tags, and what is in them. */
#ifndef CRIA_TEMPLATE_LEX_H
#define CRIA_TEMPLATE_LEX_H

#include "template/value.h"

enum jinja_token_kind {
    TOKEN_END,
    TOKEN_DATA,
    TOKEN_PRINT_BEGIN,
    TOKEN_PRINT_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_TEXT,
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    /* in the order of the operators' table in lex.c */
    TOKEN_FLOORDIV,
    TOKEN_POW,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_GE,
    TOKEN_LE,
    TOKEN_ADD,
    TOKEN_SUB,
    TOKEN_DIV,
    TOKEN_MUL,
    TOKEN_MOD,
    TOKEN_TILDE,
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_LBRACE,
    TOKEN_RBRACE,
    TOKEN_GT,
    TOKEN_LT,
    TOKEN_ASSIGN,
    TOKEN_DOT,
    TOKEN_COLON,
    TOKEN_PIPE,
    TOKEN_COMMA,
    TOKEN_SEMICOLON
};

typedef struct jinja_token {
    uint8_t kind; /* enum jinja_token_kind */
    uint32_t line;
    jinja_value value; /* name (interned), text, number, data */
} jinja_token;

/* All tokens, the last of them TOKEN_END. text must live as long as the state. */
bool cria_jinja_lex(jinja_state *s, const char *text, size_t len, jinja_token **out);
/* For messages: the token as it is written, or what it is. */
const char *cria_jinja_token_text(const jinja_token *t, char out[64]);

#endif
