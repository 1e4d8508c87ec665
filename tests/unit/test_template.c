/* SPDX-License-Identifier: Apache-2.0 */
/* Chat templates: what a caller sees of errors and limits, and that failing allocations leak nothing. Equality with
 * jinja2 on real templates and on every construct: tests/oracle/test_template.py. */
#include "unit.h"
#include "base/ctx.h"
#include "counting_alloc.h"
#include "template/template.h"

static cria_ctx *make_ctx(void) {
    cria_ctx *ctx;
    assert_int_equal(cria_ctx_base_new(NULL, &ctx, NULL), CRIA_OK);
    return ctx;
}

/* Compiles and renders; the text (NUL-terminated) is appended to out. */
static cria_status render(cria_ctx *ctx, const char *source, const char *json, const cria_template_time *now,
                          cria_buf *out, cria_error *err) {
    cria_template *t;
    cria_status st = cria_template_compile(ctx, source, strlen(source), &t, err);
    if (st != CRIA_OK) return st;
    st = cria_template_render(t, json, strlen(json), now, out, err);
    cria_template_free(t);
    return st == CRIA_OK ? cria_buf_push(out, 0, err) : st;
}

static void check(cria_ctx *ctx, const char *source, const char *json, const char *want) {
    cria_buf out;
    cria_error err;
    cria_buf_init(&out, ctx, 1 << 20);
    if (render(ctx, source, json, NULL, &out, &err) != CRIA_OK) fail_msg("%s: %s", source, err.msg);
    assert_string_equal((const char *)out.data, want);
    cria_buf_fini(&out);
}

static const char chat[] =
    "{%- if messages[0].role == 'system' %}\n"
    "    {%- set system = messages[0].content|trim %}\n"
    "    {%- set messages = messages[1:] %}\n"
    "{%- endif %}\n"
    "{%- macro head(role, n=0) -%}<|{{ role }}|>{% if n %}{{ n }}{% endif %}\n{%- endmacro %}\n"
    "{{- bos_token }}{% if system is defined %}{{ head('system') }}{{ system }}{% endif %}\n"
    "{%- for m in messages %}\n"
    "    {%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}\n"
    "        {{- raise_exception('Roles must alternate, not ' ~ m.role) }}\n"
    "    {%- endif %}\n"
    "    {{- head(m['role'], n=loop.index) }}{{ m.content.strip() }}{{ m.tool_calls|tojson if m.tool_calls }}\n"
    "{%- endfor %}\n"
    "{%- set ns = namespace(keys=[]) %}{% for k in tools|default({})|dictsort %}{% set ns.keys = ns.keys + "
    "[k[0]|upper] %}"
    "{% endfor %}{{ ns.keys|join(', ') }}{{ '%05.1f'|format(x) }}{{ 'x'.join(['a', 'b']) }}";
static const char variables[] = "{\"bos_token\": \"<s>\", \"x\": 2.25, \"tools\": {\"b\": 1, \"a\": [2]}, "
                                "\"messages\": [{\"role\": \"system\", \"content\": "
                                "\" Be kind. \"}, {\"role\": \"user\", \"content\": \"Gr\\u00fc\\u00df\"}, "
                                "{\"role\": \"assistant\", \"content\": \"\", "
                                "\"tool_calls\": [{\"name\": \"f\", \"n\": 1.5}]}]}";
static const char text[] =
    "<s><|system|>Be kind.<|user|>1Gr\xc3\xbc\xc3\x9f<|assistant|>2[{\"name\": \"f\", \"n\": 1.5}]A, B002.2axb";

static void renders(void **state) {
    (void)state;
    cria_ctx *ctx = make_ctx();
    check(ctx, chat, variables, text);
    check(ctx, "", "{}", "");
    check(ctx, "a{% if x %}b{% endif %}", "{\"x\": []}", "a");
    check(ctx, "{{ strftime_now is defined }}", "{}", "False"); /* without a time */
    cria_ctx_unref(ctx);
}

static void time_is_passed(void **state) {
    (void)state;
    static const struct {
        int64_t seconds;
        int32_t offset;
        const char *want;
    } cases[] = {{0, 0, "1970-01-01 00:00:00 Thu 001"},
                 {951782399, 0, "2000-02-28 23:59:59 Mon 059"},
                 {951782400, 0, "2000-02-29 00:00:00 Tue 060"},
                 {1735603200, -1, "2024-12-30 23:59:59 Mon 365"},
                 {1735603200, 86400, "2025-01-01 00:00:00 Wed 001"},
                 {253402300799, 0, "9999-12-31 23:59:59 Fri 365"}};
    cria_ctx *ctx = make_ctx();
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        const cria_template_time now = {cases[i].seconds, cases[i].offset};
        cria_buf out;
        cria_buf_init(&out, ctx, 1000);
        assert_int_equal(render(ctx, "{{ strftime_now('%Y-%m-%d %H:%M:%S %a %j') }}", "{}", &now, &out, NULL),
                         CRIA_OK);
        assert_string_equal((const char *)out.data, cases[i].want);
        cria_buf_fini(&out);
    }
    const cria_template_time late = {INT64_MAX, 1};
    cria_buf out;
    cria_buf_init(&out, ctx, 1000);
    assert_int_equal(render(ctx, "{{ strftime_now('%Y') }}", "{}", &late, &out, NULL), CRIA_EINVAL);
    cria_buf_fini(&out);
    cria_ctx_unref(ctx);
}

static void errors_say_what_and_where(void **state) {
    (void)state;
    static const struct {
        const char *source;
        cria_status status;
        uint64_t line;
        const char *word;
    } cases[] = {
        {"a\n{% nosuch %}", CRIA_EUNSUPPORTED, 2, "'nosuch'"},
        {"a\n\n{{ x|nosuch }}", CRIA_EUNSUPPORTED, 3, "No filter named 'nosuch'"},
        {"{{ x is nosuch }}", CRIA_EUNSUPPORTED, 1, "No test named 'nosuch'"},
        {"{% include 'x' %}", CRIA_EUNSUPPORTED, 1, "'include'"},
        {"{% import 'x' as y %}", CRIA_EUNSUPPORTED, 1, "'import'"},
        {"{% extends 'x' %}", CRIA_EUNSUPPORTED, 1, "'extends'"},
        {"{% block x %}{% endblock %}", CRIA_EUNSUPPORTED, 1, "'block'"},
        {"{{ 'a'.encode('utf8') }}", CRIA_EUNSUPPORTED, 1, "'encode'"},
        {"{{ 'a'.nosuch() }}", CRIA_EFORMAT, 1, "'str object' has no attribute 'nosuch'"},
        {"{{ x.pop(0) }}", CRIA_EFORMAT, 1, "access to attribute 'pop' of 'list' object is unsafe"},
        {"\r\n{% if x %}\r\n{{ x", CRIA_EFORMAT, 3, "expected end of print statement"},
        {"{% if x %}\n", CRIA_EFORMAT, 1, "'elif' is missing"},
        {"a\n{{ 1 / 0 }}", CRIA_EFORMAT, 2, "division by zero"},
        {"{{ raise_exception('Only user and\nassistant') }}", CRIA_EINVAL, 1, "Only user and?assistant"},
        {"{{ 1 ** 2 ** 99 }}{{ 3 ** 99 }}", CRIA_EUNSUPPORTED, 1, "64 bits"},
        {"{% for a in range(100001) %}{% endfor %}", CRIA_EFULL, 1, "100000"},
    };
    cria_ctx *ctx = make_ctx();
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        cria_error err;
        cria_buf out;
        cria_buf_init(&out, ctx, 1000);
        assert_int_equal(cria_buf_push(&out, 'x', NULL), CRIA_OK);
        const cria_status st = render(ctx, cases[i].source, "{\"x\": [1]}", NULL, &out, &err);
        if (st != cases[i].status || err.code != st || !strstr(err.msg, cases[i].word) || err.where != cases[i].line)
            fail_msg("%s: %d, line %d: %s", cases[i].source, st, (int)err.where, err.msg);
        assert_int_equal(out.len, 1); /* as it was */
        assert_int_equal(render(ctx, cases[i].source, "{\"x\": [1]}", NULL, &out, NULL), st);
        cria_buf_fini(&out);
    }
    cria_ctx_unref(ctx);
}

static void variables_are_checked(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",    "[]", "{", "{\"a\": }", "{} x", "{\"a\": 1e999}", "{\"a\": 9223372036854775808}", "{\"a\": \"\xff\"}",
        "null"};
    cria_ctx *ctx = make_ctx();
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        cria_error err;
        cria_buf out;
        cria_buf_init(&out, ctx, 1000);
        assert_int_equal(render(ctx, "x", bad[i], NULL, &out, &err), CRIA_EFORMAT);
        assert_non_null(strstr(err.msg, "the variables of the chat template"));
        cria_buf_fini(&out);
    }
    cria_error err;
    cria_template *t;
    assert_int_equal(cria_template_compile(ctx, "\xff", 1, &t, &err), CRIA_EFORMAT);
    cria_template_free(NULL);
    cria_ctx_unref(ctx);
}

static void limits_are_named(void **state) {
    (void)state;
    static const struct {
        const char *source, *word;
    } cases[] = {
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "levels deep"},
        {"{{ 'x' * 999999999 }}", "CRIA_TEMPLATE_MAX_VALUES"},
        {"{% for a in range(99999) %}{{ 'x' * 900 }}{% endfor %}", "CRIA_TEMPLATE_MAX_OUTPUT"},
        {"{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}", "steps"},
    };
    cria_ctx *ctx = make_ctx();
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        cria_error err;
        cria_buf out;
        cria_buf_init(&out, ctx, SIZE_MAX / 2);
        assert_int_equal(render(ctx, cases[i].source, "{}", NULL, &out, &err), CRIA_EFULL);
        if (!strstr(err.msg, cases[i].word)) fail_msg("%s: %s", cases[i].source, err.msg);
        cria_buf_fini(&out);
    }
    cria_ctx_unref(ctx);
}

static void failing_allocations(void **state) {
    (void)state;
    cria_status st = CRIA_ENOMEM;
    for (long fail_at = 0; st != CRIA_OK; fail_at++) {
        struct counting_alloc c;
        counting_alloc_init(&c, -1);
        cria_ctx_opts opts = {.size = sizeof opts, .threads = 1, .allocator = counting_alloc_hook(&c)};
        cria_ctx *ctx;
        assert_int_equal(cria_ctx_base_new(&opts, &ctx, NULL), CRIA_OK);
        const long before = atomic_load(&c.live);
        c.fail_at = atomic_load(&c.calls) + fail_at;
        cria_error err;
        cria_buf out;
        cria_buf_init(&out, ctx, 100000);
        st = render(ctx, chat, variables, NULL, &out, &err);
        assert_true(st == CRIA_OK || (st == CRIA_ENOMEM && err.code == CRIA_ENOMEM));
        if (st == CRIA_OK) assert_string_equal((const char *)out.data, text);
        cria_buf_fini(&out);
        assert_int_equal(atomic_load(&c.live), before);
        c.fail_at = -1;
        cria_ctx_unref(ctx);
        assert_int_equal(atomic_load(&c.live), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders),
        cmocka_unit_test(time_is_passed),
        cmocka_unit_test(errors_say_what_and_where),
        cmocka_unit_test(variables_are_checked),
        cmocka_unit_test(limits_are_named),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
