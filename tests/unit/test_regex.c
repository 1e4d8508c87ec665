/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions: what matches, what is refused by name, and that nothing takes long. Equality with
 * Oniguruma on much more text: tests/oracle/test_hf_tokenizer.py. */
#include "unit.h"
#include "base/ctx.h"
#include "counting_alloc.h"
#include "text/charset.h"
#include "text/regex.h"
#include "text/unicode.h"
#include <stdlib.h>
#include <time.h>

static cria_ctx *make_ctx(void) {
    cria_ctx *ctx;
    assert_int_equal(cria_ctx_base_new(NULL, &ctx, NULL), CRIA_OK);
    return ctx;
}

/* marked: the text with each match in <…>. */
static void check(cria_ctx *ctx, const char *pattern, const char *marked) {
    char text[256], got[512];
    size_t len = 0, n = 0;
    for (const char *p = marked; *p; p++)
        if (*p != '<' && *p != '>') text[len++] = *p;
    cria_regex *re;
    cria_error err;
    if (cria_regex_new(ctx, pattern, strlen(pattern), CRIA_REGEX_RUBY, &re, &err) != CRIA_OK)
        fail_msg("%s", err.msg);
    cria_regex_scan scan;
    bool found = true;
    size_t done = 0, start = 0, end = 0;
    cria_regex_begin(&scan, re, (const uint8_t *)text, len);
    while (assert_int_equal(cria_regex_next(&scan, &found, &start, &end, NULL), CRIA_OK), found) {
        memcpy(got + n, text + done, start - done);
        n += start - done;
        got[n++] = '<';
        memcpy(got + n, text + start, end - start);
        n += end - start;
        got[n++] = '>';
        done = end;
    }
    memcpy(got + n, text + done, len - done);
    got[n + len - done] = '\0';
    if (strcmp(got, marked) != 0) fail_msg("%s: %s, not %s", pattern, got, marked);
    cria_regex_finish(&scan);
    cria_regex_free(re);
}

static void matches(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *marked;
    } cases[] = {
        {"a|ab", "<a>b<a>"}, /* the first that matches, not the longest */
        {"ab|a", "<ab><a>"},
        {"(a|ab)(c|bcd)", "<abcd>"}, /* but with what it takes */
        {"a+?b??", "<a><a>b"},
        {"a{2}|a{2,3}b", "<aa><aa>b"},
        {"x{,2}y", "x<xxy>"},
        {"a{1,2}+", "<aaaaa>"}, /* a repetition of a repetition, in Ruby */
        {"a++ab|a", "<a><a>b"}, /* nothing is given back */
        {"a?+ab", "<aab>"},
        {"(?>\\d+)5|\\d", "<1><5>"},
        {"\\s+(?!\\S)|\\s+", "<  >< >x< >"},
        {"\\s+$|x", " <x>< >\ny< \n\n>"},
        {".+", "<ab>\n<c>"},
        {"(?m:.+)", "<ab\nc>"},
        {"(?i:'s)|(?i)k", "<'S><'\305\277><\342\204\252>s"},
        {"(?i:a(?-i:b))", "<Ab>AB"},
        {"[^a-c]+", "ab<de>c<\303\251>"},
        {"[a-z&&[^aeiou]]+", "a<bcd>e"},
        {"[[ab]x-]", "<a><x><->y"},
        {"\\p{Lu}\\p{Ll}*|\\p{^L}", "<Ab><\303\204\303\266x><1>"},
        {"\\h{2}\\x41\\u00e9", "g<0fA\303\251>"},
        {"x*", "<>a<xx>b<>"}, /* an empty match, but not right behind another */
        {"(?:a|b)*c|d", "<abac>ab<d>"},
        {"a(?=b|$)", "<a>bac<a>"},
        {"\\z|a", "<a>b<>"},
        {"[\\p{Han}]+", "a<\344\270\255\346\226\207>\343\201\202"},
        {"\\w", "<\302\275>"}, /* outside of brackets also signs that are no word characters */
        {"[\\w]", "\302\275<a>"},
        {"{a|}", "<{a><}>"},
        {"\\+\\\\", "<+\\>"},
    };
    cria_ctx *ctx = make_ctx();
    for (size_t i = 0; i < N_ITEMS(cases); i++) check(ctx, cases[i].pattern, cases[i].marked);
    cria_ctx_unref(ctx);
}

static void refuses(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *words;
        cria_status status;
    } cases[] = {
        {"^a", "'^'", CRIA_EUNSUPPORTED},
        {"a\\b", "an escape", CRIA_EUNSUPPORTED},
        {"(a)\\1", "an escape", CRIA_EUNSUPPORTED},
        {"(?<=a)b", "lookbehind", CRIA_EUNSUPPORTED},
        {"(?=ab)a", "lookahead at more than one", CRIA_EUNSUPPORTED},
        {"(?>ab)+", "possessive", CRIA_EUNSUPPORTED},
        {"(?:ab)++", "possessive", CRIA_EUNSUPPORTED},
        {"(a*)*", "what can be empty", CRIA_EUNSUPPORTED},
        {"\\p{Klingon}", "a property of this name", CRIA_EUNSUPPORTED},
        {"\\p{rust_word}", "a property of this name", CRIA_EUNSUPPORTED}, /* ours only */
        {"(?i:ss)", "fold to one", CRIA_EUNSUPPORTED},
        {"(?i:\303\251)", "beyond ASCII", CRIA_EUNSUPPORTED},
        {"(?i)\\p{Lu}", "one case", CRIA_EUNSUPPORTED},
        {"[[:alpha:]]", "POSIX", CRIA_EUNSUPPORTED},
        {"[]a]", "begins with ']'", CRIA_EUNSUPPORTED},
        {"a{1001}", "so many", CRIA_EUNSUPPORTED},
        {"(?x) a", "comments", CRIA_EUNSUPPORTED},
        {"(a", "does not end", CRIA_EFORMAT},
        {"a)", "without '('", CRIA_EFORMAT},
        {"[a", "does not end", CRIA_EFORMAT},
        {"[b-a]", "before it begins", CRIA_EFORMAT},
        {"*a", "nothing before it", CRIA_EFORMAT},
        {"a\\", "nothing behind it", CRIA_EFORMAT},
        {"\\p{L", "does not end", CRIA_EFORMAT},
        {"\\x{110000}", "no character", CRIA_EFORMAT},
        {"\\ud800", "no character", CRIA_EFORMAT},
        {"\xff", "not valid UTF-8", CRIA_EFORMAT},
    };
    cria_ctx *ctx = make_ctx();
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        cria_regex *re = NULL;
        cria_error err = {0};
        const char *pattern = cases[i].pattern;
        const cria_status st = cria_regex_new(ctx, pattern, strlen(pattern), CRIA_REGEX_RUBY, &re, &err);
        if (st != cases[i].status || !strstr(err.msg, cases[i].words))
            fail_msg("%s: %d, %s", pattern, (int)st, err.msg);
        assert_null(re);
    }
    cria_ctx_unref(ctx);
}

/* Patterns that grow without bounds are refused before they take time or memory: nesting, repetitions of
 * repetitions, states. */
static void bounded(void **state) {
    (void)state;
    cria_ctx *ctx = make_ctx();
    static char pattern[CRIA_REGEX_PATTERN_MAX + 2];
    const char *const hard[] = {"(?:(?:(?:a{1000}){1000}){1000}){1000}", "(?:a|b)*a(?:a|b){40}",
                                "(?:\\p{L}{1,1000}|a){500}"};
    const clock_t begin = clock();
    cria_regex *re;
    for (size_t i = 0; i < N_ITEMS(hard); i++)
        assert_int_equal(cria_regex_new(ctx, hard[i], strlen(hard[i]), CRIA_REGEX_RUBY, &re, NULL),
                         CRIA_EUNSUPPORTED);
    memset(pattern, '(', 4000);
    assert_int_equal(cria_regex_new(ctx, pattern, 4000, CRIA_REGEX_RUBY, &re, NULL), CRIA_EUNSUPPORTED);
    memset(pattern, '[', 4000);
    assert_int_equal(cria_regex_new(ctx, pattern, 4000, CRIA_REGEX_RUBY, &re, NULL), CRIA_EUNSUPPORTED);
    memset(pattern, 'a', sizeof pattern);
    assert_int_equal(cria_regex_new(ctx, pattern, sizeof pattern, CRIA_REGEX_RUBY, &re, NULL),
                     CRIA_EUNSUPPORTED);
    assert_true((clock() - begin) / CLOCKS_PER_SEC < 20);
    cria_ctx_unref(ctx);
}

/* What is looked for in vain again and again costs no more than the text. */
static void linear(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    static const char *const patterns[] = {"\\s+$", "a*b|a", "(?:aa)*c", "[a ]+?[^a ]"};
    cria_ctx *ctx = make_ctx();
    uint8_t *text = malloc(SIZE);
    assert_non_null(text);
    const clock_t begin = clock();
    for (size_t i = 0; i < N_ITEMS(patterns); i++) {
        cria_regex *re;
        assert_int_equal(cria_regex_new(ctx, patterns[i], strlen(patterns[i]), CRIA_REGEX_RUBY, &re, NULL),
                         CRIA_OK);
        for (int c = 0; c < 2; c++) {
            memset(text, c ? 'a' : ' ', SIZE);
            text[SIZE - 1] = 'x';
            cria_regex_scan scan;
            bool found = true;
            size_t start, end;
            cria_status st = CRIA_OK;
            cria_regex_begin(&scan, re, text, SIZE);
            while (st == CRIA_OK && found) st = cria_regex_next(&scan, &found, &start, &end, NULL);
            assert_true(st == CRIA_OK || st == CRIA_EUNSUPPORTED);
            assert_true(scan.steps < (uint64_t)SIZE * 100);
            cria_regex_finish(&scan);
        }
        cria_regex_free(re);
    }
    assert_true((clock() - begin) / CLOCKS_PER_SEC < 30); /* quadratic would be hours */
    free(text);
    cria_ctx_unref(ctx);
}

static void out_of_memory(void **state) {
    (void)state;
    static const char pattern[] = "(?i:'s|'t)|[^\\r\\n\\p{L}]?\\p{L}{1,3}|\\s+(?!\\S)";
    bool done = false;
    for (long fail_at = 0; !done; fail_at++) {
        struct counting_alloc alloc;
        cria_ctx ctx;
        cria_regex *re = NULL;
        memset(&ctx, 0, sizeof ctx);
        counting_alloc_init(&alloc, fail_at);
        ctx.allocator = counting_alloc_hook(&alloc);
        const cria_status st = cria_regex_new(&ctx, pattern, sizeof pattern - 1, CRIA_REGEX_RUBY, &re, NULL);
        done = st == CRIA_OK;
        if (!done) assert_int_equal(st, CRIA_ENOMEM);
        cria_regex_free(re);
        assert_int_equal(atomic_load(&alloc.live), 0);
        assert_true(fail_at < 1000);
    }
}

/* Sets against the definition. */
static void charsets(void **state) {
    (void)state;
    cria_ctx *ctx = make_ctx();
    uint32_t rng = 5;
    for (int round = 0; round < 200; round++) {
        cria_charset a, b;
        bool in_a[64] = {false}, in_b[64] = {false};
        cria_charset_init(&a, ctx);
        cria_charset_init(&b, ctx);
        for (int i = 0; i < 12; i++) {
            rng = rng * 1664525u + 1013904223u;
            const uint32_t low = rng >> 26, high = low + (rng >> 20 & 7) < 63 ? low + (rng >> 20 & 7) : 63;
            assert_int_equal(cria_charset_add(i % 2 ? &a : &b, low, high, NULL), CRIA_OK);
            for (uint32_t c = low; c <= high; c++) (i % 2 ? in_a : in_b)[c] = true;
        }
        assert_int_equal(cria_charset_intersect(&a, &b, NULL), CRIA_OK);
        assert_int_equal(cria_charset_invert(&b, NULL), CRIA_OK);
        for (uint32_t c = 0; c < 64; c++) {
            assert_int_equal(cria_charset_has(&a, c), in_a[c] && in_b[c]);
            assert_int_equal(cria_charset_has(&b, c), !in_b[c]);
        }
        assert_true(cria_charset_has(&b, CRIA_CHAR_LAST) && !cria_charset_has(&a, CRIA_CHAR_LAST));
        for (size_t i = 1; i < a.n; i++) assert_true(a.range[i].low > a.range[i - 1].high + 1);
        cria_charset_fini(&a);
        cria_charset_fini(&b);
    }
    cria_charset spaces;
    cria_charset_init(&spaces, ctx);
    assert_int_equal(cria_charset_add_props(&spaces, 1u << CRIA_CHAR_ZS, CRIA_CHAR_SPACE, NULL), CRIA_OK);
    assert_true(cria_charset_has(&spaces, 0x3000) && cria_charset_has(&spaces, '\n') &&
                !cria_charset_has(&spaces, 0x200b));
    cria_charset_fini(&spaces);
    cria_ctx_unref(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches), cmocka_unit_test(refuses),       cmocka_unit_test(bounded),
        cmocka_unit_test(linear),  cmocka_unit_test(out_of_memory), cmocka_unit_test(charsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
