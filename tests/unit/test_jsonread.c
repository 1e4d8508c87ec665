/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/ctx.h"
#include "base/jsonread.h"
#include "base/mem.h"
#include <stdlib.h>

static cria_ctx *make_ctx(void) {
    cria_ctx *ctx = NULL;
    assert_int_equal(cria_ctx_base_new(NULL, &ctx, NULL), CRIA_OK);
    return ctx;
}

static bool text_is(cria_jsontext t, const char *s) { return cria_jsontext_is(t, s); }

static void reads_in_order(void **state) {
    (void)state;
    static const char text[] = " {\"a\" : [1, -2.5e1,true , null, {}], "
                               "\"b\\u00e4\\ud83d\\ude00\\n\":\"x\\\"y\", \"c\": {\"d\": [[]]}} ";
    cria_ctx *ctx = make_ctx();
    cria_jsonread r;
    cria_error err = {CRIA_OK, 0, ""};
    cria_jsontext t;
    int64_t i = 0;
    double x = 0;
    bool b = false;
    cria_jsonread_init(&r, ctx, text, sizeof text - 1, "t.json", &err);
    assert_int_equal(cria_jsonread_peek(&r), CRIA_JSON_OBJECT);
    assert_true(cria_jsonread_object(&r));
    assert_true(cria_jsonread_key(&r, &t) && text_is(t, "a"));
    assert_true(cria_jsonread_array(&r));
    assert_true(cria_jsonread_item(&r) && cria_jsonread_int(&r, &i) && i == 1);
    assert_true(cria_jsonread_item(&r) && cria_jsonread_real(&r, &x) && x == -25.0);
    assert_true(cria_jsonread_item(&r) && cria_jsonread_bool(&r, &b) && b);
    assert_true(cria_jsonread_item(&r) && cria_jsonread_peek(&r) == CRIA_JSON_NULL && cria_jsonread_skip(&r));
    assert_true(cria_jsonread_item(&r) && cria_jsonread_object(&r) && !cria_jsonread_key(&r, &t));
    assert_false(cria_jsonread_item(&r));
    assert_true(cria_jsonread_key(&r, &t) && text_is(t, "b\xc3\xa4\xf0\x9f\x98\x80\n"));
    assert_true(cria_jsonread_string(&r, &t) && text_is(t, "x\"y"));
    assert_true(cria_jsonread_key(&r, &t) && text_is(t, "c"));
    cria_jsontext raw;
    assert_true(cria_jsonread_raw(&r, &raw) && text_is(raw, "{\"d\": [[]]}"));
    assert_false(cria_jsonread_key(&r, &t));
    cria_jsonread sub;
    cria_jsonread_sub(&sub, &r, raw);
    assert_true(cria_jsonread_object(&sub) && cria_jsonread_key(&sub, &t) && text_is(t, "d"));
    assert_true(cria_jsonread_skip(&sub) && !cria_jsonread_key(&sub, &t));
    assert_int_equal(cria_jsonread_end(&sub), CRIA_OK);
    assert_int_equal(cria_jsonread_end(&r), CRIA_OK);
    cria_ctx_unref(ctx);
}

/* Everything that is no JSON is refused wherever it stands, also when it is only passed over. */
static void refuses(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":1",
        "nul",
        "tru",
        "truex",
        "01",
        "-",
        "1.",
        "1e",
        "1e+",
        ".5",
        "+1",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\x01\"",
        "\"\xff\"",
        "\"\xc3\"",
        "1 2",
        "[1}",
        "{\"a\":1]",
        "[\"a\" \"b\"]",
        "NaN",
        "\xef\xbb\xbf{}",
        "[1e]",
        "{\"a\" 1}",
        "{1:2}",
        "'a'",
        "\"\xed\xa0\x80\"",
        "]",
    };
    cria_ctx *ctx = make_ctx();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cria_jsonread r;
        cria_error err = {CRIA_OK, 0, ""};
        cria_jsonread_init(&r, ctx, bad[i], strlen(bad[i]), "t.json", &err);
        cria_jsonread_skip(&r);
        const cria_status st = cria_jsonread_end(&r);
        if (st != CRIA_EFORMAT) fail_msg("accepted: %s", bad[i]);
        assert_memory_equal(err.msg, "t.json: ", 8);
        assert_non_null(strstr(err.msg, "(line 1)."));
    }
    cria_ctx_unref(ctx);
}

static void depth_is_bounded(void **state) {
    (void)state;
    cria_ctx *ctx = make_ctx();
    enum { MANY = 100000 };
    char *text = malloc(MANY);
    for (int deep = 63; deep <= 65; deep++) {
        cria_jsonread r;
        cria_error err;
        memset(text, '[', (size_t)deep);
        memset(text + deep, ']', (size_t)deep);
        cria_jsonread_init(&r, ctx, text, 2 * (size_t)deep, "t.json", &err);
        assert_int_equal(cria_jsonread_skip(&r), deep <= 64);
        assert_int_equal(cria_jsonread_end(&r), deep <= 64 ? CRIA_OK : CRIA_EFORMAT);
    }
    memset(text, '[', MANY);
    cria_jsonread r;
    cria_jsonread_init(&r, ctx, text, MANY, "t.json", NULL);
    assert_false(cria_jsonread_skip(&r));
    assert_int_equal(cria_jsonread_end(&r), CRIA_EFORMAT);
    free(text);
    cria_ctx_unref(ctx);
}

static void numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } reals[] = {
        {"0", 0},           {"-0", 0},          {"1e3", 1000},
        {"1E-2", 0.01},     {"-9.5", -9.5},     {"1e400", -1},
        {"1e-400", 0},      {"0e999999999", 0}, {"123456789012345678901234567890", 1.2345678901234568e29},
        {"5e-324", 5e-324}, {"1e308", 1e308},   {"-11.0923423", -11.0923423},
        {"0.0000001", 1e-7}};
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } ints[] = {{"0", true, 0},
                {"-7", true, -7},
                {"9223372036854775807", true, INT64_MAX},
                {"9223372036854775808", false, 0},
                {"1.0", false, 0},
                {"1e2", false, 0},
                {"\"1\"", false, 0},
                {"99999999999999999999999", false, 0}};
    cria_ctx *ctx = make_ctx();
    cria_jsonread r;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        double x = 77;
        cria_jsonread_init(&r, ctx, reals[i].text, strlen(reals[i].text), "t.json", NULL);
        if (cria_jsonread_real(&r, &x) != (reals[i].value != -1)) fail_msg("%s", reals[i].text);
        if (reals[i].value != -1 && x != reals[i].value) fail_msg("%s is %.17g", reals[i].text, x);
        cria_jsonread_end(&r);
    }
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        int64_t x = 77;
        cria_jsonread_init(&r, ctx, ints[i].text, strlen(ints[i].text), "t.json", NULL);
        assert_int_equal(cria_jsonread_int(&r, &x), ints[i].ok);
        assert_true(x == (ints[i].ok ? ints[i].value : 77));
        cria_jsonread_end(&r);
    }
    cria_ctx_unref(ctx);
}

/* The first error stays, and every later call is a quiet no. */
static void errors_stick(void **state) {
    (void)state;
    cria_ctx *ctx = make_ctx();
    cria_jsonread r;
    cria_error err = {CRIA_OK, 0, ""};
    cria_jsontext t;
    int64_t i;
    static const char text[] = "{\n\"a\": x, \"b\": 1}";
    cria_jsonread_init(&r, ctx, text, sizeof text - 1, "t.json", &err);
    assert_true(cria_jsonread_object(&r) && cria_jsonread_key(&r, &t));
    assert_false(cria_jsonread_int(&r, &i));
    assert_false(cria_jsonread_key(&r, &t) || cria_jsonread_item(&r) || cria_jsonread_skip(&r));
    assert_false(cria_jsonread_fail(&r, CRIA_EFORMAT, "later"));
    assert_int_equal(cria_jsonread_end(&r), CRIA_EFORMAT);
    assert_string_equal(err.msg, "t.json: 'x' where a number should be (line 2).");
    cria_ctx_unref(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_in_order), cmocka_unit_test(refuses),      cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(numbers),        cmocka_unit_test(errors_stick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
