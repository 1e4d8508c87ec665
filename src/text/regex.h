/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions as tokenizer.json uses them: what Oniguruma (Ruby syntax, UTF-8) makes of a pattern,
 * for the part of its language that can be run by a deterministic automaton.
 *
 * The language: literals and escapes, classes with ranges, \p{…}, \s \d \w \h, [^…], nested classes and &&;
 * groups of any kind (captured text is not kept), (?i:…) for ASCII letters, alternation (the first that
 * matches, as in Perl), the quantifiers ? * + {n,m}, lazy ones, possessive ones over one character, lookahead
 * at one character and at the end
 * ((?!\S), (?=…), $, \z). Anything else — ^, \b, lookbehind, back-references, longer lookahead — is
 * CRIA_EUNSUPPORTED with a message that names the pattern and what in it is meant; what is no pattern at all,
 * CRIA_EFORMAT.
 *
 * An expression is compiled once into a table of states (regex.c says how), so that matching costs one
 * look-up per character, and is linear in the text also where a match is looked for in vain again and again:
 * what a run has found out about the text behind is remembered in the scan. An expression and a text made to
 * defeat that end in an error after 64 steps per byte.
 *
 * A cria_regex is immutable; any thread may scan with it. A scan belongs to one thread.
 */
#ifndef CRIA_TEXT_REGEX_H
#define CRIA_TEXT_REGEX_H

#include "cria/cria.h"

#define CRIA_REGEX_PATTERN_MAX 8192u /* bytes */

typedef struct cria_regex cria_regex;

enum cria_regex_syntax {
    CRIA_REGEX_LITERAL, /* the pattern is text to be found as it is */
    CRIA_REGEX_RUBY,    /* a pattern from a file */
    /* one of ours: besides, \p{rust_numeric}, \p{rust_word}, \p{rust_punct} for what the library's fixed
     * pre-tokenizers split at */
    CRIA_REGEX_OWN
};

/* The message of a failure names the pattern but no file. */
cria_status cria_regex_new(cria_ctx *ctx, const char *pattern, size_t len, enum cria_regex_syntax syntax,
                           cria_regex **out, cria_error *err);
void cria_regex_free(cria_regex *re); /* NULL is legal */

typedef struct cria_regex_scan {
    const cria_regex *re;
    const uint8_t *text; /* valid UTF-8 */
    size_t len;
    size_t at;                     /* where the next search begins */
    size_t last_end;               /* of the last match; SIZE_MAX: none yet */
    uint64_t steps;                /* taken so far */
    struct cria_regex_fact *facts; /* [len / 64 + 1], or NULL while there are none */
} cria_regex_scan;

void cria_regex_begin(cria_regex_scan *scan, const cria_regex *re, const uint8_t *text, size_t len);
void cria_regex_finish(cria_regex_scan *scan);
/* The next match, as Oniguruma's find_iter: left-most, none overlap, an empty one not right behind the last.
 * *found false at the end. */
cria_status cria_regex_next(cria_regex_scan *scan, bool *found, size_t *start, size_t *end, cria_error *err);

#endif
