/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chat templates: the Jinja that tokenizer_config.json and GGUF files bring along, interpreted. The language is that
 * of Jinja2 3.1 as transformers sets it up: an immutable sandbox with trim_blocks, lstrip_blocks, break and continue,
 * {% generation %}, tojson as Python's json.dumps writes it, raise_exception and strftime_now. There is no loading of
 * other templates (include, import, extends, block) and no autoescape; a tag, filter, test or method that is not here
 * is refused by its name and never passed over. Not here are also the filters pprint, random, striptags, urlize,
 * wordwrap and xmlattr, lipsum(), some methods of str (casefold, encode, expandtabs, format_map, istitle, translate …)
 * and those of numbers; integers have 64 bits, and more is an error.
 *
 * Templates and variables are hostile: what one may cost is bounded by the numbers below, and an error names the one
 * that was passed. A template is immutable once compiled and may be rendered by several threads at once.
 *
 *   lex.c → parse.c, parse_expression.c → the tree of tree.h → run.c (statements), evaluate.c (expressions), with
 * values as in value.h; filters*.c, tests.c, methods*.c and functions.c hold the tables of what templates may call.
 */
#ifndef CRIA_TEMPLATE_TEMPLATE_H
#define CRIA_TEMPLATE_TEMPLATE_H

#include "base/buf.h"
#include "cria/cria.h"

enum {
    CRIA_TEMPLATE_MAX_SOURCE = 1 << 20,         /* bytes of a template; the longest real ones have 40 thousand */
    CRIA_TEMPLATE_MAX_TREE = 64 << 20,          /* bytes of what is compiled from it */
    CRIA_TEMPLATE_MAX_NESTING = 100,            /* blocks and brackets within each other */
    CRIA_TEMPLATE_MAX_DEPTH = 700,              /* expressions, statements and macro calls being evaluated at once */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* libFuzzer's: the same, sooner */
    CRIA_TEMPLATE_MAX_STEPS = 50000,
    CRIA_TEMPLATE_MAX_OUTPUT = 1 << 20,
    CRIA_TEMPLATE_MAX_VALUES = 4 << 20,
#else
    CRIA_TEMPLATE_MAX_STEPS = 10 * 1000000, /* expressions, statements and items gone through */
    CRIA_TEMPLATE_MAX_OUTPUT = 16 << 20,    /* bytes of the text rendered */
    CRIA_TEMPLATE_MAX_VALUES = 128 << 20,   /* bytes of all values made while rendering, the variables included */
#endif
    CRIA_TEMPLATE_MAX_RANGE = 100000 /* items of a range(), as in the sandbox */
};

typedef struct cria_template cria_template;

/* text is copied. CRIA_EFORMAT with the line (also in err->where) and what is wrong there, CRIA_EUNSUPPORTED for what
 * is not known, CRIA_EFULL where a limit is passed. */
cria_status cria_template_compile(cria_ctx *ctx, const char *text, size_t len, cria_template **out, cria_error *err);
void cria_template_free(cria_template *t);

/* Appends the text to out, which stays as it was on failure. json: the variables (messages, tools,
 * add_generation_prompt, bos_token …) as an object. now: NULL leaves strftime_now undefined. CRIA_EINVAL with the
 * template's own words where it calls raise_exception; else CRIA_EFORMAT with the line, CRIA_EUNSUPPORTED, CRIA_EFULL
 * as above. */
cria_status cria_template_render(const cria_template *t, const char *json, size_t len, const cria_template_time *now,
                                 cria_buf *out, cria_error *err);

#endif
