/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unicode's normal forms (UAX #15), as PyPI tokenizers 0.23 makes them: its tables are those of an older
 * Unicode, so ours are read off the library (tests/tools/unicode_tables.py). Linear in the text, whatever it
 * is.
 */
#ifndef CRIA_TEXT_COMPOSE_H
#define CRIA_TEXT_COMPOSE_H

#include "base/buf.h"

enum cria_form { CRIA_FORM_C, CRIA_FORM_D, CRIA_FORM_KC, CRIA_FORM_KD };

/* Appends the normal form of text (valid UTF-8) to out. *changed: false, and out left alone, where it is the
 * text. */
cria_status cria_compose(enum cria_form form, const uint8_t *text, size_t len, cria_buf *out, bool *changed,
                         cria_error *err);

/* compose_table.c */
/* First code point << 11 | index into class << 4 | a bit for each form in which the character may change, or
 * meet what stands before it; of it and of those up to the next entry. */
extern const size_t cria_compose_n_breaks;
extern const uint32_t cria_compose_breaks[];
extern const uint8_t cria_compose_class[]; /* canonical combining classes */
/* Full decompositions but for Hangul: code point << 1 | compatible (only where that is another one), then
 * place in pool
 * << 6 | UTF-16 units; ascending. */
extern const size_t cria_compose_n_parts;
extern const uint32_t cria_compose_parts[][2];
extern const uint16_t cria_compose_pool[];
/* First, second, what they compose to but for Hangul; ascending. */
extern const size_t cria_compose_n_pairs;
extern const uint32_t cria_compose_pairs[][3];

#endif
