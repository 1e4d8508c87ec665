/* SPDX-License-Identifier: Apache-2.0 */
/* How each pre-tokenizer cuts text into words. The expected words are what PyPI tokenizers 0.23.3 makes of the regular
 * expressions; equality on much more text: tests/oracle/test_bpe.py. */
#include "unit.h"
#include "text/pretok.h"
#include <time.h>

/* words: the expected ones, each followed by '|' (which itself is in no text here). */
static void check(enum cria_pretok kind, const char *words) {
    char text[256];
    size_t len = 0, pos = 0;
    for (const char *p = words; *p; p++)
        if (*p != '|') text[len++] = *p;
    for (const char *p = words; *p;) {
        const size_t want = strcspn(p, "|");
        const size_t n = cria_pretok_next(kind, (const uint8_t *)text + pos, len - pos);
        if (n != want) fail_msg("\"%s\": the word at \"%s\" has %zu bytes", words, p, n);
        pos += n;
        p += want + 1;
    }
    assert_int_equal(pos, len);
}

static void gpt2(void **state) {
    (void)state;
    static const char *const cases[] = {
        "Hello| world|!|", "I|'m| it|'s| '|S| you|'ll| '|rea| '|x|", "''|ll| '|re|'s|",
        "I|'|M| WE|'|LL| O|'|Re| '|V|", "'|\305\277|'|\305\277a|", "12|.|345| abc|1234567|", " | x|",
        "\t|x|", "   |", "\n| x|", "a| \n|\n|b|", " \r\n\r\n | x|", " | ...!|", "!!|\n\n|\n|x|",
        " ?|\r|\n|y|", "x|\n|", "e|\314\201| \344\270\255\346\226\207|\357\274\214|", "\302\240|x|",
        "\343\200\200|\343\200\200|a|", "a|\342\200\213|b|", "\034|\302\205|a|", "a| | '|sb|", " | 12345|",
        "\t|\t|1|", "3|.|14| 4\302\275|", " | \340\245\247\340\245\250|",
        "$\360\221\267\241\360\221\267\241$|", " | \360\221\267\241|", " _|x|",
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) check(CRIA_PRETOK_GPT2, cases[i]);
}

static void smollm(void **state) {
    (void)state;
    static const char *const cases[] = {
        "Hello| world|!|", "I|'m| it|'s| '|S| you|'ll| '|rea| '|x|", "''|ll| '|re|'s|",
        "I|'|M| WE|'|LL| O|'|Re| '|V|", "'|\305\277|'|\305\277a|", "1|2|.|3|4|5| abc|1|2|3|4|5|6|7|",
        " | x|", "\t|x|", "   |", "\n| x|", "a| \n|\n|b|", " \r\n\r\n | x|", " | ...!|", "!!|\n\n|\n|x|",
        " ?|\r|\n|y|", "x|\n|", "e|\314\201| \344\270\255\346\226\207|\357\274\214|", "\302\240|x|",
        "\343\200\200|\343\200\200|a|", "a|\342\200\213|b|", "\034|\302\205|a|", "a| | '|sb|",
        "  |1|2|3|4|5|", "\t\t|1|", "3|.|1|4| |4|\302\275|", "  |\340\245\247|\340\245\250|",
        "$|\360\221\267\241|\360\221\267\241|$|", "  |\360\221\267\241|", " _|x|",
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) check(CRIA_PRETOK_SMOLLM, cases[i]);
}

static void llama3(void **state) {
    (void)state;
    static const char *const cases[] = {
        "Hello| world|!|", "I|'m| it|'s| '|S| you|'ll| '|rea| '|x|", "''|ll| '|re|'s|",
        "I|'M| WE|'LL| O|'Re| '|V|", "'\305\277|'\305\277|a|", "12|.|345| abc|123|456|7|", " | x|", "\tx|",
        "   |", "\n| x|", "a| \n\n|b|", " \r\n\r\n| | x|", " | ...!|", "!!\n\n\n|x|", " ?\r\n|y|", "x|\n|",
        "e|\314\201| \344\270\255\346\226\207|\357\274\214|", "\302\240x|", "\343\200\200|\343\200\200a|",
        "a|\342\200\213b|", "\034|\302\205a|", "a| | '|sb|", " | |123|45|", "\t|\t|1|",
        "3|.|14| |4\302\275|", " | |\340\245\247\340\245\250|", "$\360\221\267\241\360\221\267\241$|",
        " | \360\221\267\241|", " _|x|",
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) check(CRIA_PRETOK_LLAMA3, cases[i]);
}

static void qwen2(void **state) {
    (void)state;
    static const char *const cases[] = {
        "Hello| world|!|", "I|'m| it|'s| '|S| you|'ll| '|rea| '|x|", "''|ll| '|re|'s|",
        "I|'M| WE|'LL| O|'Re| '|V|", "'\305\277|'\305\277|a|", "1|2|.|3|4|5| abc|1|2|3|4|5|6|7|", " | x|",
        "\tx|", "   |", "\n| x|", "a| \n\n|b|", " \r\n\r\n| | x|", " | ...!|", "!!\n\n\n|x|", " ?\r\n|y|",
        "x|\n|", "e|\314\201| \344\270\255\346\226\207|\357\274\214|", "\302\240x|",
        "\343\200\200|\343\200\200a|", "a|\342\200\213b|", "\034|\302\205a|", "a| | '|sb|",
        " | |1|2|3|4|5|", "\t|\t|1|", "3|.|1|4| |4|\302\275|", " | |\340\245\247|\340\245\250|",
        "$\360\221\267\241\360\221\267\241$|", " | \360\221\267\241|", " _|x|",
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) check(CRIA_PRETOK_QWEN2, cases[i]);
}

/* Words follow each other without a gap and end on character borders; a megabyte of one character is linear. */
static void words_of_anything(void **state) {
    (void)state;
    static const char *const units[] = {"a", " ", "\n", "7", "!", "'", " \n", "\302\240", "\344\270\255", " a", "'l"};
    enum { SIZE = 1 << 20 };
    static uint8_t text[SIZE];
    const clock_t start = clock();
    for (size_t u = 0; u < N_ITEMS(units); u++) {
        const size_t n = strlen(units[u]), len = SIZE / n * n;
        for (size_t i = 0; i < len; i++) text[i] = (uint8_t)units[u][i % n];
        for (int kind = CRIA_PRETOK_GPT2; kind <= CRIA_PRETOK_QWEN2; kind++) {
            for (size_t pos = 0; pos < len;) {
                const size_t word = cria_pretok_next((enum cria_pretok)kind, text + pos, len - pos);
                assert_true(word > 0 && word <= len - pos);
                pos += word;
                assert_true(pos == len || (text[pos] & 0xc0) != 0x80);
            }
        }
    }
    assert_true((clock() - start) / CLOCKS_PER_SEC < 30); /* quadratic would be hours */
}

static void names(void **state) {
    (void)state;
    enum cria_pretok kind;
    assert_true(cria_pretok_find("gpt-2", 5, &kind) && kind == CRIA_PRETOK_GPT2);
    assert_true(cria_pretok_find("smollm", 6, &kind) && kind == CRIA_PRETOK_SMOLLM);
    assert_true(cria_pretok_find("llama-bpe", 9, &kind) && kind == CRIA_PRETOK_LLAMA3);
    assert_true(cria_pretok_find("qwen2", 5, &kind) && kind == CRIA_PRETOK_QWEN2);
    assert_false(cria_pretok_find("qwen2", 4, &kind));
    assert_false(cria_pretok_find("default", 7, &kind));
    assert_false(cria_pretok_find("", 0, &kind));
    assert_true(cria_pretok_whole_words(CRIA_PRETOK_LLAMA3) && !cria_pretok_whole_words(CRIA_PRETOK_GPT2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),  cmocka_unit_test(smollm),            cmocka_unit_test(llama3),
        cmocka_unit_test(qwen2), cmocka_unit_test(words_of_anything), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
