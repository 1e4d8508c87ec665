/* SPDX-License-Identifier: Apache-2.0 */
/* How each pre-tokenizer cuts text into words. The expected words are what PyPI tokenizers 0.23.3 makes of the regular
 * expressions; equality on much more text: tests/oracle/test_bpe.py. */
#include "unit.h"
#include "text/pretok.h"
#include "base/ctx.h"
#include <time.h>

struct splitter {
    cria_ctx *ctx;
    cria_pipeline p;
    struct cria_splitter s;
    size_t sizes[256], n; /* of the words, the first ones; all of them */
    size_t total;
};

static cria_status word(void *user, const uint8_t *text, size_t len, cria_error *err) {
    struct splitter *s = user;
    (void)err;
    assert_true(len > 0 && (text[0] & 0xc0) != 0x80);
    if (s->n < N_ITEMS(s->sizes)) s->sizes[s->n] = len;
    s->n++;
    s->total += len;
    return CRIA_OK;
}

static void start(struct splitter *s, const char *kind) {
    struct cria_pretok_traits traits;
    assert_int_equal(cria_ctx_base_new(NULL, &s->ctx, NULL), CRIA_OK);
    cria_pipeline_init(&s->p, s->ctx);
    assert_int_equal(cria_pretok_build(kind, strlen(kind), &s->p, &traits, NULL), CRIA_OK);
    cria_splitter_init(&s->s, &s->p, word, s, 1 << 16);
}

static void split(struct splitter *s, const void *text, size_t len) {
    s->n = s->total = 0;
    assert_int_equal(cria_splitter_run(&s->s, text, len, true, NULL), CRIA_OK);
    assert_int_equal(s->total, len);
}

static void stop(struct splitter *s) {
    cria_splitter_fini(&s->s);
    cria_pipeline_fini(&s->p);
    cria_ctx_unref(s->ctx);
}

/* words: the expected ones, each followed by '|' (which itself is in no text here). */
static void check(struct splitter *s, const char *words) {
    char text[256];
    size_t len = 0, k = 0;
    for (const char *p = words; *p; p++)
        if (*p != '|') text[len++] = *p;
    split(s, text, len);
    for (const char *p = words; *p; k++) {
        const size_t want = strcspn(p, "|");
        if (k >= s->n || s->sizes[k] != want) fail_msg("\"%s\": the word at \"%s\" is another one", words, p);
        p += want + 1;
    }
    assert_int_equal(k, s->n);
}

static void check_all(const char *kind, const char *const *cases, size_t n) {
    struct splitter s;
    start(&s, kind);
    for (size_t i = 0; i < n; i++) check(&s, cases[i]);
    stop(&s);
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
    check_all("gpt-2", cases, N_ITEMS(cases));
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
    check_all("smollm", cases, N_ITEMS(cases));
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
    check_all("llama-bpe", cases, N_ITEMS(cases));
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
    check_all("qwen2", cases, N_ITEMS(cases));
}

/* Words follow each other without a gap and end on character borders; a long run of one character is linear (a
 * megabyte: tests/oracle). */
static void words_of_anything(void **state) {
    (void)state;
    static const char *const units[] = {"a", " ", "\n", "7", "!", "'", " \n", "\302\240", "\344\270\255", " a", "'l"};
    enum { SIZE = 1 << 15 };
    static uint8_t text[SIZE];
    const clock_t begin = clock();
    for (size_t i = 0; cria_pretok_name(i); i++) {
        struct splitter s;
        start(&s, cria_pretok_name(i));
        for (size_t u = 0; u < N_ITEMS(units); u++) {
            const size_t n = strlen(units[u]), len = SIZE / n * n;
            for (size_t k = 0; k < len; k++) text[k] = (uint8_t)units[u][k % n];
            split(&s, text, len);
        }
        stop(&s);
    }
    assert_true((clock() - begin) / CLOCKS_PER_SEC < 20); /* quadratic would be minutes */
}

static void names(void **state) {
    (void)state;
    cria_ctx *ctx;
    cria_error err;
    struct cria_pretok_traits traits;
    assert_int_equal(cria_ctx_base_new(NULL, &ctx, NULL), CRIA_OK);
    cria_pipeline p;
    cria_pipeline_init(&p, ctx);
    static const char *const unknown[] = {"qwen", "jais-2", "", "gpt-2x"};
    for (size_t i = 0; i < N_ITEMS(unknown); i++)
        assert_int_equal(cria_pretok_build(unknown[i], strlen(unknown[i]), &p, &traits, &err), CRIA_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "\"gpt-2x\""));
    assert_int_equal(cria_pretok_build("tekken", 6, &p, &traits, &err), CRIA_OK);
    assert_true(traits.whole_words && traits.adds_bos && p.bytes && p.split.n == 1 && p.decode.n == 1);
    cria_pipeline_fini(&p);
    cria_ctx_unref(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),  cmocka_unit_test(smollm),            cmocka_unit_test(llama3),
        cmocka_unit_test(qwen2), cmocka_unit_test(words_of_anything), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
