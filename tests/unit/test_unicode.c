/* SPDX-License-Identifier: Apache-2.0 */
/* What characters are. That the table is the library's is checked by tests/tools/unicode_tables.py --check. */
#include "unit.h"
#include "text/unicode.h"

static void table_is_ordered(void **state) {
    (void)state;
    assert_int_equal(cria_unicode_breaks[0] >> 11, 0);
    for (size_t i = 1; i < cria_unicode_n_breaks; i++) {
        assert_true(cria_unicode_breaks[i] >> 11 > cria_unicode_breaks[i - 1] >> 11);
        assert_int_not_equal(cria_unicode_breaks[i] & 0x7ff, cria_unicode_breaks[i - 1] & 0x7ff);
        assert_true(cria_unicode_breaks[i] >> 11 <= 0x10ffff);
    }
}

/* The search finds the entry, everywhere. */
static void lookup_is_table(void **state) {
    (void)state;
    size_t k = 0;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (k + 1 < cria_unicode_n_breaks && cria_unicode_breaks[k + 1] >> 11 == cp) k++;
        if (cria_char_props(cp) != (cria_unicode_breaks[k] & 0x7ff)) fail_msg("U+%04X", cp);
    }
    assert_int_equal(cria_char_props(0x110000), CRIA_CHAR_CN);
    assert_int_equal(cria_char_props(UINT32_MAX), CRIA_CHAR_CN);
}

static void known_characters(void **state) {
    (void)state;
    const uint32_t word = CRIA_CHAR_WORD | CRIA_CHAR_WORD_RUST;
    const struct {
        uint32_t cp, want;
    } known[] = {
        {'a', CRIA_CHAR_LL | word},
        {'Z', CRIA_CHAR_LU | word},
        {'0', CRIA_CHAR_ND | word | CRIA_CHAR_NUMERIC},
        {' ', CRIA_CHAR_ZS | CRIA_CHAR_SPACE},
        {'!', CRIA_CHAR_PO | CRIA_CHAR_PUNCTUATION},
        {'+', CRIA_CHAR_SM | CRIA_CHAR_PUNCTUATION}, /* ASCII signs are punctuation to the library */
        {0x1c, CRIA_CHAR_CC},
        {0x85, CRIA_CHAR_CC | CRIA_CHAR_SPACE},
        {0xb2, CRIA_CHAR_NO | CRIA_CHAR_NUMERIC},
        {0x301, CRIA_CHAR_MN | word},
        {0x3000, CRIA_CHAR_ZS | CRIA_CHAR_SPACE},
        {0x200b, CRIA_CHAR_CF},
        {0x4e00, CRIA_CHAR_LO | word | CRIA_CHAR_HAN},
        {0xac00, CRIA_CHAR_LO | word},
        {0x1f600, CRIA_CHAR_SO},
        {0x11de0, CRIA_CHAR_NUMERIC}, /* newer than the regular expressions */
    };
    for (size_t i = 0; i < N_ITEMS(known); i++)
        if (cria_char_props(known[i].cp) != known[i].want)
            fail_msg("U+%04X is %x", known[i].cp, cria_char_props(known[i].cp));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_ordered),
        cmocka_unit_test(lookup_is_table),
        cmocka_unit_test(known_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
