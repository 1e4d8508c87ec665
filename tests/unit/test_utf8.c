/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/utf8.h"

/* Independent of the code under test: the definition by value instead of by Table 3-7. Returns the length of
 * the character at s, 0 when there is none. */
static size_t by_value(const uint8_t *s, size_t len, uint32_t *cp) {
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80             ? 1
               : (s[0] & 0xe0) == 0xc0 ? 2
               : (s[0] & 0xf0) == 0xe0 ? 3
               : (s[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0 || n > len) return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *cp = c;
    return n;
}

static bool is_scalar(uint32_t c) { return c < 0x110000 && (c < 0xd800 || c >= 0xe000); }

static void every_scalar_value_round_trips(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (!is_scalar(c)) continue;
        uint8_t s[4];
        const size_t n = cria_utf8_encode(c, s);
        uint32_t got, wanted;
        if (cria_utf8_decode(s, n, &got) != n || got != c) fail_msg("U+%04X", (unsigned)c);
        if (by_value(s, n, &wanted) != n || wanted != c) fail_msg("U+%04X", (unsigned)c);
        for (size_t cut = 1; cut < n && c % 7 == 0; cut++) {
            assert_int_equal(cria_utf8_decode(s, cut, &got), 0);
            assert_int_equal(got, CRIA_UTF8_REPLACEMENT);
            assert_int_equal(cria_utf8_partial_tail(s, cut), cut);
            assert_int_equal(cria_utf8_bad_length(s, cut), cut);
        }
        assert_int_equal(cria_utf8_partial_tail(s, n), 0);
    }
}

/* All first and second bytes; all third ones, and some fourth ones, where the first byte promises them. */
static void all_short_sequences_agree_with_the_definition(void **state) {
    (void)state;
    static const uint8_t fourth[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    for (uint32_t v = 0, step; v < 1u << 24; v += step) {
        uint8_t s[4] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v, 0};
        step = s[0] >= 0xe0 && s[0] <= 0xf4 ? 1 : 61; /* odd, so all values come up */
        const size_t tails = s[0] >= 0xf0 ? N_ITEMS(fourth) : 1;
        for (size_t t = 0; t < tails; t++) {
            s[3] = fourth[t];
            uint32_t got = 1, wanted = CRIA_UTF8_REPLACEMENT;
            const size_t n = by_value(s, 4, &wanted);
            if (cria_utf8_decode(s, 4, &got) != n || got != wanted)
                fail_msg("%02x %02x %02x %02x", s[0], s[1], s[2], s[3]);
        }
    }
}

/* Could s[0..n) be the beginning of a longer character? By trying every next byte; further ones do not
 * matter. */
static bool begins_character(const uint8_t *s, size_t n) {
    uint8_t t[4] = {0x80, 0x80, 0x80, 0x80};
    memcpy(t, s, n);
    for (unsigned next = 0x80; next < 0xc0; next++) {
        uint32_t cp;
        t[n] = (uint8_t)next;
        if (by_value(t, 4, &cp) > n) return true;
    }
    return false;
}

static void maximal_subparts_and_tails(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                    0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                    0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    for (size_t i = 0; i < N_ITEMS(bytes); i++)
        for (size_t j = 0; j < N_ITEMS(bytes); j++)
            for (size_t k = 0; k < N_ITEMS(bytes); k++) {
                const uint8_t s[3] = {bytes[i], bytes[j], bytes[k]};
                uint32_t cp;
                size_t tail = 0; /* the longest proper beginning of a character at the end */
                for (size_t n = 1; n <= 3 && tail == 0; n++)
                    if (begins_character(s + 3 - n, n)) tail = n;
                assert_int_equal(cria_utf8_partial_tail(s, 3), tail);
                if (cria_utf8_decode(s, 3, &cp) != 0) continue;
                size_t sub = 1;
                for (size_t n = 2; n <= 3; n++)
                    if (begins_character(s, n)) sub = n;
                assert_int_equal(cria_utf8_bad_length(s, 3), sub);
            }
}

/* The examples of the Unicode Standard 3.9, Tables 3-8 to 3-11, and Python's decoder: how many U+FFFD. */
static void replacement_as_in_the_standard(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t replaced;
    } cases[] = {
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", 8},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", 8},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", 7},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", 4},
        {"\xe2\x82", 1},
        {"\xf0\x9f\x98", 1},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        const uint8_t *s = (const uint8_t *)cases[i].text;
        const size_t len = strlen(cases[i].text);
        size_t replaced = 0;
        for (size_t at = 0; at < len;) {
            uint32_t cp;
            size_t n = cria_utf8_decode(s + at, len - at, &cp);
            if (n == 0) {
                n = cria_utf8_bad_length(s + at, len - at);
                replaced++;
            }
            at += n;
        }
        assert_int_equal(replaced, cases[i].replaced);
        assert_false(cria_utf8_valid(s, len));
    }
    assert_true(cria_utf8_valid((const uint8_t *)"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    assert_true(cria_utf8_valid(NULL, 0));
    assert_int_equal(cria_utf8_partial_tail(NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_round_trips),
        cmocka_unit_test(all_short_sequences_agree_with_the_definition),
        cmocka_unit_test(maximal_subparts_and_tails),
        cmocka_unit_test(replacement_as_in_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
