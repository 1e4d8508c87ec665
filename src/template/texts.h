/* SPDX-License-Identifier: Apache-2.0 */
/* What filters and methods do to texts. Results keep the mark of |safe where Python's Markup does. */
#ifndef CRIA_TEMPLATE_TEXTS_H
#define CRIA_TEMPLATE_TEXTS_H

#include "template/value.h"

enum jinja_case_change { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITALIZE, CASE_SWAP };
bool cria_jinja_change_case(jinja_state *s, jinja_value v, enum jinja_case_change change, jinja_value *out);
/* chars: MISSING or None for whitespace. sides: 1 left, 2 right, 3 both */
bool cria_jinja_strip(jinja_state *s, jinja_value v, jinja_value chars, int sides, jinja_value *out);
/* count < 0: all */
bool cria_jinja_replace(jinja_state *s, jinja_value v, jinja_value from, jinja_value to, int64_t count,
                        jinja_value *out);
/* separator: MISSING or None for runs of whitespace. from_right: rsplit. */
bool cria_jinja_split(jinja_state *s, jinja_value v, jinja_value separator, int64_t max, bool from_right,
                      jinja_value *out);
bool cria_jinja_split_lines(jinja_state *s, jinja_value v, bool keep_ends, jinja_list **out);
bool cria_jinja_join(jinja_state *s, jinja_value separator, const jinja_list *l,
                     jinja_value *out); /* str() of each */
/* side: -1 ljust, 0 center, 1 rjust */
bool cria_jinja_pad(jinja_state *s, jinja_value v, int64_t width, const jinja_text *fill, int side, jinja_value *out);
bool cria_jinja_is_cased(const jinja_text *t, bool upper); /* isupper, islower */
/* Decodes the character at *at and moves on. */
uint32_t cria_jinja_next_char(const jinja_text *t, size_t *at);
/* int(text) and float(text); false, without an error, for what is none. *huge: it is one of more than 64 bits. */
bool cria_jinja_read_int(const jinja_text *t, int64_t base, int64_t *out, bool *huge);
bool cria_jinja_read_float(const jinja_text *t, double *out);

#endif
