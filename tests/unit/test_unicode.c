/* SPDX-License-Identifier: Apache-2.0 */
/* The classes of characters. That the table is the library's is checked by tests/tools/unicode_tables.py --check. */
#include "unit.h"
#include "text/unicode.h"

static void table_is_ordered(void **state) {
    (void)state;
    assert_int_equal(cria_unicode_breaks[0] >> 3, 0);
    for (size_t i = 1; i < cria_unicode_n_breaks; i++) {
        assert_true(cria_unicode_breaks[i] >> 3 > cria_unicode_breaks[i - 1] >> 3);
        assert_int_not_equal(cria_unicode_breaks[i] & 7, cria_unicode_breaks[i - 1] & 7);
        assert_true(cria_unicode_breaks[i] >> 3 <= 0x10ffff);
    }
}

/* The shortcuts for ASCII and Han say what the table says; so does the search, everywhere. */
static void lookup_is_table(void **state) {
    (void)state;
    size_t k = 0;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (k + 1 < cria_unicode_n_breaks && cria_unicode_breaks[k + 1] >> 3 == cp) k++;
        if ((uint32_t)cria_char_class(cp) != (cria_unicode_breaks[k] & 7)) fail_msg("U+%04X", cp);
    }
    assert_int_equal(cria_char_class(0x110000), CRIA_CHAR_OTHER);
    assert_int_equal(cria_char_class(UINT32_MAX), CRIA_CHAR_OTHER);
}

static void known_characters(void **state) {
    (void)state;
    static const struct {
        uint32_t cp;
        enum cria_char_class want;
    } known[] = {
        {'a', CRIA_CHAR_LETTER},      {'Z', CRIA_CHAR_LETTER},       {'0', CRIA_CHAR_NUMBER},
        {' ', CRIA_CHAR_SPACE},       {0x1c, CRIA_CHAR_OTHER},       {0x85, CRIA_CHAR_SPACE},
        {0xa0, CRIA_CHAR_SPACE},      {0xaa, CRIA_CHAR_LETTER},      {0xb2, CRIA_CHAR_NUMBER},
        {0x301, CRIA_CHAR_OTHER},     {0x3000, CRIA_CHAR_SPACE},     {0x200b, CRIA_CHAR_OTHER},
        {0x4e00, CRIA_CHAR_LETTER},   {0xac00, CRIA_CHAR_LETTER},    {0xd800, CRIA_CHAR_OTHER},
        {0x1f600, CRIA_CHAR_OTHER},   {0x1c89, CRIA_CHAR_LETTER},    {0x11de0, CRIA_CHAR_NEW_DIGIT},
    };
    for (size_t i = 0; i < N_ITEMS(known); i++) assert_int_equal(cria_char_class(known[i].cp), known[i].want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_ordered),
        cmocka_unit_test(lookup_is_table),
        cmocka_unit_test(known_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
