/* SPDX-License-Identifier: Apache-2.0 */
/* What Python's str methods know about characters. The tables (character_table.c) are of the Unicode version that is
 * named there; characters that are younger have no case and are no letters. */
#ifndef CRIA_TEMPLATE_CHARACTERS_H
#define CRIA_TEMPLATE_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum jinja_class_bit { JINJA_ALPHA = 1, JINJA_DECIMAL = 2, JINJA_DIGIT = 4, JINJA_NUMERIC = 8, JINJA_PRINTABLE = 16 };
struct jinja_class {
    uint32_t first, last;
    uint8_t bits;
};
struct jinja_case { /* first, first + step … last become themselves + delta */
    uint32_t first, last;
    uint8_t step;
    int32_t delta;
};
struct jinja_special {
    uint32_t from, to[3]; /* 0 where there are fewer */
};

extern const struct jinja_class cria_jinja_classes[];
extern const struct jinja_case cria_jinja_to_upper[], cria_jinja_to_lower[], cria_jinja_to_title[],
    cria_jinja_upper[], cria_jinja_lower[];
extern const struct jinja_special cria_jinja_upper_many[], cria_jinja_lower_many[], cria_jinja_title_many[];
extern const size_t cria_jinja_n_classes, cria_jinja_n_to_upper, cria_jinja_n_to_lower, cria_jinja_n_to_title,
    cria_jinja_n_upper, cria_jinja_n_lower, cria_jinja_n_upper_many, cria_jinja_n_lower_many, cria_jinja_n_title_many;

unsigned cria_jinja_class_of(uint32_t c); /* bits of enum jinja_class_bit */
bool cria_jinja_is_space(uint32_t c);
bool cria_jinja_is_upper(uint32_t c);
bool cria_jinja_is_lower(uint32_t c);
/* 1 to 3 characters into out; the number. */
size_t cria_jinja_to_upper_of(uint32_t c, uint32_t out[3]);
size_t cria_jinja_to_lower_of(uint32_t c, uint32_t out[3]);
size_t cria_jinja_to_title_of(uint32_t c, uint32_t out[3]);

#endif
