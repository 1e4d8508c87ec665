/* SPDX-License-Identifier: Apache-2.0 */
/* The classes of characters that the regular expressions of byte-level BPE tell apart, as PyPI tokenizers
 * 0.23 does (its regex engine is at Unicode 16, its "individual digits" at Unicode 17). Constant tables; any
 * thread. */
#ifndef CRIA_TEXT_UNICODE_H
#define CRIA_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum cria_char_class {
    CRIA_CHAR_OTHER = 0,
    CRIA_CHAR_LETTER = 1,   /* \p{L} */
    CRIA_CHAR_NUMBER = 2,   /* \p{N} */
    CRIA_CHAR_SPACE = 3,    /* \s */
    CRIA_CHAR_NEW_DIGIT = 4 /* an individual digit that \p{N} does not know yet: OTHER to the expressions */
};

enum cria_char_class cria_char_class(uint32_t cp); /* any number; OTHER beyond U+10FFFF */

/* unicode_table.c, for unicode.c: where the class changes, ascending; the first entry is that of U+0000. */
extern const size_t cria_unicode_n_breaks;
extern const uint32_t cria_unicode_breaks[];

#endif
