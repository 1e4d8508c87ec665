/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/json.h"

static cria_status parse(const char *text, cria_json **out, cria_error *err) {
    return cria_json_parse(text, strlen(text), "a.json", out, err);
}

static cria_json *must_parse(const char *text) {
    cria_json *v = NULL;
    cria_error err;
    if (parse(text, &v, &err) != CRIA_OK) fail_msg("%s", err.msg);
    return v;
}

static void must_fail(const char *text, size_t len) {
    cria_json *v = NULL;
    cria_error err = {CRIA_OK, 0, ""};
    const cria_status status = cria_json_parse(text, len, "a.json", &v, &err);
    if (status != CRIA_EFORMAT) fail_msg("accepted: %.*s", (int)len, text);
    assert_null(v);
    assert_int_equal(err.code, CRIA_EFORMAT);
    assert_memory_equal(err.msg, "a.json ", 7);
}

static const char config[] =
    "{\"zeta\": 1, \"dim\": 4096, \"eps\": 1e-05, \"tied\": true, \"name\": \"\\u00e4\\ud83d\\ude00\","
    " \"list\": [1, -2.5, null, {}], \"alpha\": {\"b\": 2, \"a\": 1}}";

static void reads_all_types(void **state) {
    (void)state;
    cria_json *v = must_parse(config);
    int64_t i = 0;
    double r = 0;
    bool b = false;
    size_t len = 0;
    assert_int_equal(cria_json_type(v), CRIA_JSON_OBJECT);
    assert_int_equal(cria_json_size(v), 7);
    assert_true(cria_json_int(cria_json_get(v, "dim"), &i) && i == 4096);
    assert_true(cria_json_real(cria_json_get(v, "dim"), &r) && r == 4096.0);
    assert_true(cria_json_real(cria_json_get(v, "eps"), &r) && r == 1e-05);
    assert_true(cria_json_bool(cria_json_get(v, "tied"), &b) && b);
    assert_string_equal(cria_json_string(cria_json_get(v, "name"), &len), "\xc3\xa4\xf0\x9f\x98\x80");
    assert_int_equal(len, 6);
    assert_null(cria_json_get(v, "missing"));

    const cria_json *list = cria_json_get(v, "list");
    assert_int_equal(cria_json_size(list), 4);
    assert_true(cria_json_real(cria_json_at(list, 1), &r) && r == -2.5);
    assert_int_equal(cria_json_type(cria_json_at(list, 2)), CRIA_JSON_NULL);
    assert_null(cria_json_at(list, 4));
    assert_int_equal(cria_json_type(cria_json_at(list, 4)), CRIA_JSON_NULL); /* once a crash in a message */
    assert_string_equal(cria_json_type_name(NULL), "null");
    assert_null(cria_json_get(list, "dim"));
    assert_null(cria_json_at(v, 0));
    assert_int_equal(cria_json_size(cria_json_at(list, 0)), 0);

    i = 77;
    assert_false(cria_json_int(cria_json_get(v, "eps"), &i) || cria_json_int(cria_json_get(v, "tied"), &i));
    assert_false(cria_json_bool(cria_json_get(v, "dim"), &b) || cria_json_real(list, &r));
    assert_null(cria_json_string(list, &len));
    assert_int_equal(i, 77);
    assert_string_equal(cria_json_type_name(list), "an array");
    assert_string_equal(cria_json_type_name(cria_json_get(v, "eps")), "a real number");
    cria_json_free(v);
    cria_json_free(NULL);
}

static void members_come_in_file_order(void **state) {
    (void)state;
    cria_json *v = must_parse(config);
    static const char *const wanted[] = {"zeta", "dim", "eps", "tied", "name", "list", "alpha"};
    const char *key;
    const cria_json *value;
    cria_json_iter it = cria_json_begin(v);
    for (size_t i = 0; i < N_ITEMS(wanted); i++) {
        assert_true(cria_json_next(&it, &key, &value));
        assert_string_equal(key, wanted[i]);
        assert_ptr_equal(value, cria_json_get(v, key));
    }
    assert_false(cria_json_next(&it, &key, &value));
    it = cria_json_begin(cria_json_get(v, "list"));
    assert_false(cria_json_next(&it, &key, &value));
    cria_json_free(v);
}

static void numbers_are_exact_or_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } reals[] = {
        {"0.1", 0.1},
        {"1e-45", 1e-45},
        {"5e-324", 5e-324},
        {"2.2250738585072011e-308", 2.2250738585072011e-308},
        {"1.7976931348623157e308", 1.7976931348623157e308},
        {"-0.0", -0.0},
        {"9007199254740993.0", 9007199254740992.0},
        {"123456789012345678901234567890e-10", 123456789012345678901234567890e-10},
    };
    for (size_t i = 0; i < N_ITEMS(reals); i++) {
        cria_json *v = must_parse(reals[i].text);
        double r;
        assert_true(cria_json_real(v, &r));
        assert_memory_equal(&r, &reals[i].value, sizeof r);
        cria_json_free(v);
    }
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } ints[] = {
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"1e3", true, 1000},
        {"9007199254740992.0", true, INT64_C(1) << 53},
        {"-4.0", true, -4},
        {"1.5", false, 0},
        {"1e16", false, 0},
        {"1e300", false, 0},
        {"-1e-300", false, 0},
    };
    for (size_t i = 0; i < N_ITEMS(ints); i++) {
        cria_json *v = must_parse(ints[i].text);
        int64_t n = 0;
        assert_int_equal(cria_json_int(v, &n), ints[i].ok);
        assert_true(n == ints[i].value);
        cria_json_free(v);
    }
}

static void malformed_documents_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "NaN",
        "[NaN]",
        "[Infinity]",
        "[-Infinity]",
        "[1e400]",
        "[-1e400]",
        "[9223372036854775808]",
        "[99999999999999999999999999]",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[1e]",
        "[0x10]",
        "[-]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "[tru]",
        "[True]",
        "[nul]",
        "[\"\\x41\"]",
        "[\"\\u12\"]",
        "[\"\\ud800\"]",
        "[\"\\udc00\"]",
        "[\"\\u0000\"]",
        "{\"\\u0000\":1}",
        "[\"a\nb\"]",
        "[\"\t\"]",
        "[\"\xff\"]",
        "[\"\xc0\x80\"]",
        "[\"\xed\xa0\x80\"]",
        "[1] x",
        "[1][2]",
        "]",
        "}",
        "[}",
        "{]",
        "// c\n[1]",
        "[1] /* c */",
        "\xef\xbb\xbf[1]",
    };
    for (size_t i = 0; i < N_ITEMS(bad); i++) must_fail(bad[i], strlen(bad[i]));
    must_fail("[1]\0", 4);
    must_fail("[\"a\0b\"]", 7);
}

/* Every beginning is refused, and memory after it is not looked at (each is a block of its own, for ASan). */
static void truncation_at_every_byte(void **state) {
    (void)state;
    for (size_t len = 0; len + 1 < sizeof config; len++) {
        char *copy = test_malloc(len + 1);
        memcpy(copy, config, len);
        must_fail(copy, len);
        test_free(copy);
    }
}

/* Flipping any byte gives an error or a document, never anything worse. */
static void any_damaged_byte_is_survived(void **state) {
    (void)state;
    char text[sizeof config];
    for (size_t at = 0; at + 1 < sizeof config; at++)
        for (unsigned b = 0; b < 256; b++) {
            memcpy(text, config, sizeof config);
            text[at] = (char)b;
            cria_json *v = NULL;
            if (cria_json_parse(text, sizeof config - 1, "a.json", &v, NULL) == CRIA_OK) cria_json_free(v);
        }
}

static void errors_name_the_line(void **state) {
    (void)state;
    cria_json *v = NULL;
    cria_error err;
    assert_int_equal(parse("{\n \"a\": 1,\n \"b\": x\n}", &v, &err), CRIA_EFORMAT);
    assert_int_equal(err.where, 3);
    assert_non_null(strstr(err.msg, "line 3"));
}

static void depth_is_limited(void **state) {
    (void)state;
    char text[5000];
    for (size_t depth = 1; depth < 2500; depth = depth < 70 ? depth + 1 : depth * 3) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        if (depth > 64) {
            must_fail(text, 2 * depth);
            must_fail(text, depth);
            continue;
        }
        cria_json *v = NULL;
        assert_int_equal(cria_json_parse(text, 2 * depth, "a.json", &v, NULL), CRIA_OK);
        cria_json_free(v);
    }
    /* Brackets in strings are no depth, wherever the quotes are escaped. */
    memset(text, '[', sizeof text);
    memcpy(text, "[\"\\\\\\\"", 6);
    memcpy(text + sizeof text - 2, "\"]", 2);
    cria_json *v = NULL;
    assert_int_equal(cria_json_parse(text, sizeof text, "a.json", &v, NULL), CRIA_OK);
    cria_json_free(v);
}

static void size_and_number_of_values_are_limited(void **state) {
    (void)state;
    cria_json *v = NULL;
    cria_error err;
    assert_int_equal(cria_json_parse("", (size_t)100000000 + 1, "a.json", &v, &err), CRIA_EFORMAT);
    const size_t len = 9u << 20;
    char *text = test_malloc(len);
    for (size_t i = 0; i < len; i += 2) memcpy(text + i, "0,", 2);
    text[0] = '[';
    text[1] = '0';
    text[len - 1] = ']';
    assert_int_equal(cria_json_parse(text, len, "a.json", &v, &err), CRIA_EFORMAT);
    assert_non_null(strstr(err.msg, "JSON values"));
    test_free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_types),
        cmocka_unit_test(members_come_in_file_order),
        cmocka_unit_test(numbers_are_exact_or_refused),
        cmocka_unit_test(malformed_documents_are_refused),
        cmocka_unit_test(truncation_at_every_byte),
        cmocka_unit_test(any_damaged_byte_is_survived),
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(size_and_number_of_values_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
