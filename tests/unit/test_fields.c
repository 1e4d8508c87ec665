/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of config.json: what is read of each type, what is said of what does not fit, and that the first failure
 * stays. */
#include "unit.h"
#include "base/json.h"
#include "model/fields.h"

static cria_json *root;
static cria_error err;

static struct cria_fields fields_of(const char *text) {
    assert_int_equal(cria_json_parse(text, strlen(text), "c.json", &root, &err), CRIA_OK);
    memset(&err, 0, sizeof err);
    return (struct cria_fields){root, "c.json", &err, CRIA_OK};
}

/* The reader has failed with this. */
static void failed(struct cria_fields *f, cria_status want, const char *text) {
    if (f->st != want || strcmp(err.msg, text) != 0) fail_msg("status %d, \"%s\"; wanted \"%s\"", f->st, err.msg, text);
    assert_int_equal(err.code, want);
    cria_json_free(root);
}

static void reads_each_type(void **unused) {
    (void)unused;
    struct cria_fields f = fields_of("{\"i\": 7, \"whole\": 8.0, \"r\": 0.5, \"b\": true, \"s\": \"x\", \"n\": null}");
    uint32_t u = 1;
    int64_t i = 0;
    double d = 0;
    float single = 0;
    bool b = false;
    const char *s = NULL;
    assert_true(cria_field_u32(&f, "i", 7, 7, &u) && u == 7);
    assert_true(cria_field_u32(&f, "whole", 0, 8, &u) && u == 8);
    assert_true(cria_field_int(&f, "i", &i) && i == 7);
    assert_true(cria_field_real(&f, "r", &d) && d == 0.5);
    assert_true(cria_field_real(&f, "i", &d) && d == 7.0);
    assert_true(cria_field_f32(&f, "r", &single) && single == 0.5f);
    assert_true(cria_field_bool(&f, "b", &b) && b);
    assert_true(cria_field_string(&f, "s", &s));
    assert_string_equal(s, "x");
    cria_need_u32(&f, "i", 0, 9, &u);
    cria_need_f32(&f, "r", &single);
    assert_int_equal(f.st, CRIA_OK);

    /* Not there, or null: no failure, and nothing is written. */
    u = 99;
    assert_null(cria_field(&f, "n"));
    assert_false(cria_field_u32(&f, "n", 0, 9, &u) || cria_field_u32(&f, "none", 0, 9, &u));
    assert_false(cria_field_bool(&f, "n", &b) || cria_field_string(&f, "none", &s) || cria_field_real(&f, "n", &d));
    assert_true(u == 99 && f.st == CRIA_OK);
    cria_json_free(root);
}

static void says_what_is_wrong(void **unused) {
    (void)unused;
    uint32_t u = 99;
    float single = 9;
    double d;
    int64_t i;
    bool b;
    const char *s;
    struct cria_fields f = fields_of("{\"x\": \"7\"}");
    assert_false(cria_field_u32(&f, "x", 0, 9, &u));
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is a string, but must be a whole number.");
    f = fields_of("{\"x\": 7.5}");
    assert_false(cria_field_int(&f, "x", &i));
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is a real number, but must be a whole number.");
    f = fields_of("{\"x\": []}");
    assert_false(cria_field_f32(&f, "x", &single));
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is an array, but must be a number.");
    f = fields_of("{\"x\": true}");
    assert_false(cria_field_real(&f, "x", &d));
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is a boolean, but must be a number.");
    f = fields_of("{\"x\": 1}");
    assert_false(cria_field_bool(&f, "x", &b));
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is an integer, but must be true or false.");
    f = fields_of("{\"x\": {}}");
    assert_false(cria_field_string(&f, "x", &s));
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is an object, but must be a string.");

    f = fields_of("{\"x\": -1}");
    assert_false(cria_field_u32(&f, "x", 0, 9, &u));
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is -1, but must be between 0 and 9.");
    f = fields_of("{\"x\": 4294967303}"); /* 7 in 32 bits */
    assert_false(cria_field_u32(&f, "x", 0, 9, &u));
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is 4294967303, but must be between 0 and 9.");
    f = fields_of("{\"x\": 1e300}");
    assert_false(cria_field_u32(&f, "x", 0, 9, &u));
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is a real number, but must be a whole number.");

    f = fields_of("{\"x\": null}");
    cria_need_u32(&f, "x", 0, 9, &u);
    failed(&f, CRIA_EFORMAT, "c.json: the field \"x\" is missing; the model needs it.");
    f = fields_of("{}");
    cria_need_f32(&f, "y", &single);
    failed(&f, CRIA_EFORMAT, "c.json: the field \"y\" is missing; the model needs it.");
    f = fields_of("{}");
    cria_field_unknown(&f, "z\n");
    failed(&f, CRIA_EUNSUPPORTED,
           "c.json: the field \"z?\" is not one that this version knows, and it might change what the model computes; "
           "remove it if it does not.");
    f = fields_of("[]");
    cria_field_wrong_type(&f, "x", cria_json_at(root, 3), "an array"); /* what is not there, too */
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is null, but must be an array.");
    assert_true(u == 99 && single == 9);
}

static void the_first_failure_stays(void **unused) {
    (void)unused;
    struct cria_fields f = fields_of("{\"x\": \"7\", \"y\": 3}");
    uint32_t u = 99;
    double d;
    bool b;
    const char *s;
    assert_false(cria_field_u32(&f, "x", 0, 9, &u));
    assert_null(cria_field(&f, "y"));
    assert_false(cria_field_u32(&f, "y", 0, 9, &u) || cria_field_bool(&f, "y", &b) || cria_field_string(&f, "y", &s) ||
                 cria_field_real(&f, "y", &d));
    cria_need_u32(&f, "none", 0, 9, &u);
    cria_field_missing(&f, "other");
    cria_field_unknown(&f, "another");
    assert_int_equal(u, 99);
    failed(&f, CRIA_EFORMAT, "c.json: \"x\" is a string, but must be a whole number.");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_each_type), cmocka_unit_test(says_what_is_wrong),
                                       cmocka_unit_test(the_first_failure_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
