/* SPDX-License-Identifier: Apache-2.0 */
/* Normal forms: the cases of UAX #15, and that a long run of marks stays linear. Equality with the library on
 * every character is how the tables were made (tests/tools/unicode_tables.py --check). */
#include "unit.h"
#include "base/ctx.h"
#include "text/compose.h"
#include <stdlib.h>
#include <time.h>

static void check(cria_ctx *ctx, enum cria_form form, const char *text, const char *want) {
    cria_buf out;
    bool changed;
    cria_buf_init(&out, ctx, 1 << 16);
    assert_int_equal(cria_buf_append(&out, "x", 1, NULL), CRIA_OK); /* what stands there stays */
    assert_int_equal(cria_compose(form, (const uint8_t *)text, strlen(text), &out, &changed, NULL), CRIA_OK);
    assert_int_equal(changed, strcmp(text, want) != 0);
    assert_int_equal(out.len, 1 + (changed ? strlen(want) : 0));
    if (changed && memcmp(out.data + 1, want, out.len - 1) != 0) fail_msg("\"%s\" became another text", text);
    cria_buf_fini(&out);
}

static void forms(void **state) {
    (void)state;
    static const struct {
        const char *text, *c, *d, *kc, *kd;
    } cases[] = {
        {"", "", "", "", ""},
        {"abc", "abc", "abc", "abc", "abc"},
        {"\u00c5", "\u00c5", "A\u030a", "\u00c5", "A\u030a"},
        {"\u212b", "\u00c5", "A\u030a", "\u00c5", "A\u030a"}, /* a singleton is not made again */
        {"\u1e9b\u0323", "\u1e9b\u0323", "\u017f\u0323\u0307", "\u1e69", "s\u0323\u0307"},
        {"q\u0307\u0323y", "q\u0323\u0307y", "q\u0323\u0307y", "q\u0323\u0307y", "q\u0323\u0307y"},
        {"a\u0301\u0327", "\u00e1\u0327", "a\u0327\u0301", "\u00e1\u0327", "a\u0327\u0301"},
        {"\ufb01", "\ufb01", "\ufb01", "fi", "fi"},
        {"\uac01", "\uac01", "\u1100\u1161\u11a8", "\uac01", "\u1100\u1161\u11a8"},
        {"\u1100\u1161\u11a8x", "\uac01x", "\u1100\u1161\u11a8x", "\uac01x", "\u1100\u1161\u11a8x"},
        {"\uac00\u11a8", "\uac01", "\u1100\u1161\u11a8", "\uac01", "\u1100\u1161\u11a8"},
        {"\u0301a\u0301", "\u0301\u00e1", "\u0301a\u0301", "\u0301\u00e1", "\u0301a\u0301"},
        {"\u0958", "\u0915\u093c", "\u0915\u093c", "\u0915\u093c",
         "\u0915\u093c"}, /* excluded from composing */
        {"\u2126e\u0301", "\u03a9\u00e9", "\u03a9e\u0301", "\u03a9\u00e9", "\u03a9e\u0301"},
        {"a\u0315\u0300\u05ae\u0300b", "\u00e0\u05ae\u0300\u0315b", "a\u05ae\u0300\u0300\u0315b",
         "\u00e0\u05ae\u0300\u0315b", "a\u05ae\u0300\u0300\u0315b"},
    };
    cria_ctx *ctx;
    assert_int_equal(cria_ctx_base_new(NULL, &ctx, NULL), CRIA_OK);
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        check(ctx, CRIA_FORM_C, cases[i].text, cases[i].c);
        check(ctx, CRIA_FORM_D, cases[i].text, cases[i].d);
        check(ctx, CRIA_FORM_KC, cases[i].text, cases[i].kc);
        check(ctx, CRIA_FORM_KD, cases[i].text, cases[i].kd);
    }
    cria_ctx_unref(ctx);
}

static void long_runs(void **state) {
    (void)state;
    enum { PAIRS = 1 << 17 };
    cria_ctx *ctx;
    cria_buf out;
    bool changed;
    assert_int_equal(cria_ctx_base_new(NULL, &ctx, NULL), CRIA_OK);
    uint8_t *text = malloc(4 * PAIRS + 1);
    assert_non_null(text);
    text[0] = 'a';
    for (size_t i = 0; i < PAIRS; i++) memcpy(text + 1 + 4 * i, "\u0301\u0323", 4); /* above, below */
    const clock_t begin = clock();
    for (int form = 0; form < 4; form++) {
        cria_buf_init(&out, ctx, 1 << 24);
        assert_int_equal(cria_compose((enum cria_form)form, text, 4 * PAIRS + 1, &out, &changed, NULL),
                         CRIA_OK);
        assert_true(changed && out.len > 4 * PAIRS - 8);
        assert_memory_equal(out.data + out.len - 2, "\u0301", 2); /* those above come last */
        cria_buf_fini(&out);
    }
    assert_true((clock() - begin) / CLOCKS_PER_SEC < 20); /* quadratic would be minutes */
    free(text);
    cria_ctx_unref(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms), cmocka_unit_test(long_runs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
