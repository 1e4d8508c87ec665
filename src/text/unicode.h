/* SPDX-License-Identifier: Apache-2.0 */
/* What a character is to pre-tokenizers and normalizers, as PyPI tokenizers 0.23 has it (its parts are at
 * different versions of Unicode, see tests/tools/unicode_tables.py). Constant tables; any thread. */
#ifndef CRIA_TEXT_UNICODE_H
#define CRIA_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum cria_category { /* general categories; names without the prefix as in Unicode */
                     CRIA_CHAR_CN,
                     CRIA_CHAR_LU,
                     CRIA_CHAR_LL,
                     CRIA_CHAR_LT,
                     CRIA_CHAR_LM,
                     CRIA_CHAR_LO,
                     CRIA_CHAR_MN,
                     CRIA_CHAR_MC,
                     CRIA_CHAR_ME,
                     CRIA_CHAR_ND,
                     CRIA_CHAR_NL,
                     CRIA_CHAR_NO,
                     CRIA_CHAR_PC,
                     CRIA_CHAR_PD,
                     CRIA_CHAR_PS,
                     CRIA_CHAR_PE,
                     CRIA_CHAR_PI,
                     CRIA_CHAR_PF,
                     CRIA_CHAR_PO,
                     CRIA_CHAR_SM,
                     CRIA_CHAR_SC,
                     CRIA_CHAR_SK,
                     CRIA_CHAR_SO,
                     CRIA_CHAR_ZS,
                     CRIA_CHAR_ZL,
                     CRIA_CHAR_ZP,
                     CRIA_CHAR_CC,
                     CRIA_CHAR_CF,
                     CRIA_CHAR_CO
};

/* What cria_char_props gives: a category and flags. */
#define CRIA_CHAR_CATEGORY 0x1fu
#define CRIA_CHAR_SPACE 0x20u        /* white space, to everybody */
#define CRIA_CHAR_WORD 0x40u         /* \w of the expressions in a file (Oniguruma) */
#define CRIA_CHAR_NUMERIC 0x80u      /* a digit to the pre-tokenizer Digits */
#define CRIA_CHAR_WORD_RUST 0x100u   /* \w of the pre-tokenizer Whitespace and of "single_word" */
#define CRIA_CHAR_PUNCTUATION 0x200u /* to the pre-tokenizer Punctuation */
#define CRIA_CHAR_HAN 0x400u         /* script */

uint32_t cria_char_props(uint32_t cp); /* any number; beyond U+10FFFF: unassigned */

/* unicode_table.c: where the properties change, first code point << 11 | properties, ascending; the first
 * entry is that of U+0000. */
extern const size_t cria_unicode_n_breaks;
extern const uint32_t cria_unicode_breaks[];

#endif
