/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/status.h"
#include "base/utf8.h"

static void every_status_has_a_text(void **state) {
    (void)state;
#define CHECK(name, value, text)                                                                             \
    assert_int_equal(name, value);                                                                           \
    assert_string_equal(cria_status_text(name), text);
    CRIA_STATUS_TABLE(CHECK)
#undef CHECK
    assert_string_equal(cria_status_text((cria_status)-1000), "unknown status");
}

static void fills_in_code_place_and_message(void **state) {
    (void)state;
    cria_error err;
    assert_int_equal(cria_fail(&err, CRIA_EFORMAT, 17, "%s has %d rows.", "wq", 3), CRIA_EFORMAT);
    assert_int_equal(err.code, CRIA_EFORMAT);
    assert_int_equal(err.where, 17);
    assert_string_equal(err.msg, "wq has 3 rows.");
    assert_int_equal(cria_fail_nomem(&err, "a thing", 12), CRIA_ENOMEM);
    assert_true(err.where == CRIA_NOWHERE);
    assert_string_equal(err.msg, "There is not enough memory for a thing (12 bytes); free some.");
    assert_int_equal(cria_fail(NULL, CRIA_EIO, 0, "%s", "nobody listens"), CRIA_EIO);
}

static void a_file_is_named_afterwards(void **state) {
    (void)state;
    cria_error err;
    cria_fail(&err, CRIA_EFORMAT, 17, "The map of %d bytes is 100%% wrong.", 3);
    assert_int_equal(cria_fail_in(&err, CRIA_EFORMAT, "a/b.model"), CRIA_EFORMAT);
    assert_int_equal(err.where, 17);
    assert_string_equal(err.msg, "a/b.model: The map of 3 bytes is 100% wrong.");
    assert_int_equal(cria_fail_in(NULL, CRIA_EIO, "a/b.model"), CRIA_EIO);
}

static void hostile_names_cannot_steer_a_terminal(void **state) {
    (void)state;
    cria_error err;
    cria_fail(&err, CRIA_EFORMAT, 0, "%s", "a\x1b[2Jb\nc\x7f \xc2\x9b \xff\xc3 \xe2\x82\xac");
    assert_string_equal(err.msg, "a?[2Jb?c? ?? ?? \xe2\x82\xac");
}

static void long_messages_are_cut_between_characters(void **state) {
    (void)state;
    char name[3000];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(name, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof name; i += 3) memcpy(name + i, "\xe2\x82\xac", 4);
        cria_error err;
        cria_fail(&err, CRIA_EFORMAT, 0, "%s", name);
        const size_t len = strlen(err.msg);
        assert_in_range(len, sizeof err.msg - 3, sizeof err.msg - 1);
        assert_true(cria_utf8_valid((const uint8_t *)err.msg, len));
        assert_null(strchr(err.msg, '?'));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_text),
        cmocka_unit_test(fills_in_code_place_and_message),
        cmocka_unit_test(a_file_is_named_afterwards),
        cmocka_unit_test(hostile_names_cannot_steer_a_terminal),
        cmocka_unit_test(long_messages_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
