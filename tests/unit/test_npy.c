/* SPDX-License-Identifier: Apache-2.0 */
#include "format_unit.h"
#include "format/npy.h"

static cria_status parse(int version, const char *dict, size_t n_data, cria_tensor *t, cria_error *err) {
    struct out o = {NULL, 0, 0};
    put_npy(&o, version, dict, n_data);
    uint8_t *exact = malloc(o.len);
    assert_non_null(exact);
    memcpy(exact, o.p, o.len);
    *t = (cria_tensor){.name = "w"};
    const cria_status status = cria_npy_parse(exact, o.len, "file", "w", t, err);
    if (status == CRIA_OK) {
        assert_int_equal(t->nbytes, n_data);
        if (n_data != 0) assert_true(t->data[0] == 1 && t->data == exact + o.len - n_data);
    }
    free(exact);
    out_free(&o);
    return status;
}

static void assert_bad(int version, const char *dict, size_t n_data, cria_status want, const char *text) {
    cria_tensor t;
    cria_error err;
    const cria_status status = parse(version, dict, n_data, &t, &err);
    if (status != want || strstr(err.msg, text) == NULL)
        fail_msg("%s: status %d, \"%s\"; wanted %d, \"%s\"", dict, (int)status, status ? err.msg : "",
                 (int)want, text);
}

static void element_types(void **state) {
    (void)state;
    const struct {
        const char *dict;
        cria_dtype dtype;
        size_t bytes;
    } good[] = {
        {DICT("<f4", "False", "(3,)"), CRIA_DTYPE_F32, 12},
        {DICT("<f2", "False", "(3,)"), CRIA_DTYPE_F16, 6},
        {DICT("<V2", "False", "(3,)"), CRIA_DTYPE_BF16, 6},
        {DICT("|V2", "False", "(3,)"), CRIA_DTYPE_BF16, 6},
        {DICT("<f8", "False", "(3,)"), CRIA_DTYPE_F64, 24},
        {DICT("|u1", "False", "(3,)"), CRIA_DTYPE_U8, 3},
        {DICT("|i1", "False", "(3,)"), CRIA_DTYPE_I8, 3},
        {DICT("<u1", "False", "(3,)"), CRIA_DTYPE_U8, 3},
        {DICT("<u2", "False", "(3,)"), CRIA_DTYPE_U16, 6},
        {DICT("<i2", "False", "(3,)"), CRIA_DTYPE_I16, 6},
        {DICT("<u4", "False", "(3,)"), CRIA_DTYPE_U32, 12},
        {DICT("<i4", "False", "(3,)"), CRIA_DTYPE_I32, 12},
        {DICT("<u8", "False", "(3,)"), CRIA_DTYPE_U64, 24},
        {DICT("<i8", "False", "(3,)"), CRIA_DTYPE_I64, 24},
    };
    for (size_t i = 0; i < N_ITEMS(good); i++) {
        cria_tensor t;
        cria_error err;
        assert_int_equal(parse(1, good[i].dict, good[i].bytes, &t, &err), CRIA_OK);
        assert_int_equal(t.dtype, good[i].dtype);
        assert_true(t.ndim == 1 && t.shape[0] == 3);
    }
    assert_bad(1, DICT(">f4", "False", "(3,)"), 12, CRIA_EUNSUPPORTED, "big-endian");
    assert_bad(1, DICT("|O", "False", "(3,)"), 12, CRIA_EUNSUPPORTED, "pickle");
    assert_bad(1, DICT("|f4", "False", "(3,)"), 12, CRIA_EUNSUPPORTED, "|f4");
    assert_bad(1, DICT("=f4", "False", "(3,)"), 12, CRIA_EUNSUPPORTED, "=f4");
    assert_bad(1, DICT("<c8", "False", "(3,)"), 24, CRIA_EUNSUPPORTED, "<c8");
    assert_bad(1, DICT("|b1", "False", "(3,)"), 3, CRIA_EUNSUPPORTED, "|b1");
    assert_bad(1, DICT("<U4", "False", "(3,)"), 48, CRIA_EUNSUPPORTED, "<U4");
    assert_bad(1, DICT("", "False", "(3,)"), 3, CRIA_EUNSUPPORTED, "''");
    assert_bad(1, DICT("<", "False", "(3,)"), 3, CRIA_EUNSUPPORTED, "'<'");
    assert_bad(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}\n", 12, CRIA_EUNSUPPORTED,
               "records");
}

static void spellings(void **state) {
    (void)state;
    const char *good[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, )}      \n", /* MLX */
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      \n", /* NumPy */
        "{\"shape\":(2,3),\"descr\":\"<f4\",\"fortran_order\":False}\n",
        " { 'shape' : ( 2 , 3 ) , 'fortran_order' : False , 'descr' : '<f4' } \n",
    };
    cria_tensor t;
    cria_error err;
    for (int version = 1; version <= 3; version++)
        for (size_t i = 0; i < N_ITEMS(good); i++) {
            assert_int_equal(parse(version, good[i], 24, &t, &err), CRIA_OK);
            assert_true(t.dtype == CRIA_DTYPE_F32 && t.ndim == 2 && t.shape[0] == 2 && t.shape[1] == 3);
        }
    assert_int_equal(parse(1, DICT("<f4", "False", "()"), 4, &t, &err), CRIA_OK);
    assert_int_equal(t.ndim, 0);
    assert_int_equal(parse(1, DICT("<f4", "False", "(0, 3)"), 0, &t, &err), CRIA_OK);
    assert_int_equal(parse(1, DICT("|u1", "False", "(1, 2, 3, 4)"), 24, &t, &err), CRIA_OK);
    assert_true(t.ndim == 4 && t.shape[3] == 4);
}

static void bad_dicts(void **state) {
    (void)state;
    const char *bad[] = {
        "",
        "\n",
        "{}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",     /* no newline */
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} x\n", /* text behind */
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)\n",    /* not closed */
        "{'descr': '<f4', 'fortran_order': False}\n",                  /* key missing */
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x': 1}\n",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}\n",
        "{'descr': <f4, 'fortran_order': False, 'shape': (3,)}\n",
        "{'fortran_order': False, 'shape': (3,), 'descr': '<f4}\n",
        "{'descr': '\\x3cf4', 'fortran_order': False, 'shape': (3,)}\n",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}\n",
        "{'descr' '<f4', 'fortran_order': False, 'shape': (3,)}\n",
        "{, 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 3}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3)}\n", /* in Python that is no tuple */
        "{'descr': '<f4', 'fortran_order': False, 'shape': [3,]}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 3)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (03,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3.0,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3L,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,",
    };
    for (size_t i = 0; i < N_ITEMS(bad); i++) assert_bad(1, bad[i], 12, CRIA_EFORMAT, "\"w\"");
    assert_bad(1, DICT("<f4", "False", "(1, 1, 1, 1, 3)"), 12, CRIA_EUNSUPPORTED, "more than 4 dimensions");
}

/* Shapes that do not match the bytes; MLX read beyond the end here (CVE-2025-62608), NumPy allocated
 * terabytes. */
static void bad_sizes(void **state) {
    (void)state;
    assert_bad(1, DICT("<f4", "False", "(3,)"), 11, CRIA_EFORMAT, "12 bytes by its shape, but has 11");
    assert_bad(1, DICT("<f4", "False", "(3,)"), 13, CRIA_EFORMAT, "12 bytes by its shape, but has 13");
    assert_bad(1, DICT("<f4", "False", "(1099511627776,)"), 12, CRIA_EFORMAT, "4398046511104 bytes");
    assert_bad(1, DICT("<f4", "False", "(18446744073709551615,)"), 12, CRIA_EFORMAT, "multiply");
    assert_bad(1, DICT("<f4", "False", "(4294967296, 4294967296)"), 0, CRIA_EFORMAT, "multiply");
    assert_bad(1, DICT("<f4", "False", "(4294967296, 1073741824)"), 0, CRIA_EFORMAT, "multiply");
    assert_bad(1, DICT("<f4", "False", "(0, 4294967296, 4294967296)"), 0, CRIA_EFORMAT, "multiply");
}

static void orders(void **state) {
    (void)state;
    cria_tensor t;
    cria_error err;
    /* One run of numbers is the same in both orders; MLX marks these as Fortran's. */
    const char *good[] = {DICT("<f4", "True", "(3,)"), DICT("<f4", "True", "(1, 3)"),
                          DICT("<f4", "True", "(3, 1, 1)")};
    for (size_t i = 0; i < N_ITEMS(good); i++) assert_int_equal(parse(1, good[i], 12, &t, &err), CRIA_OK);
    assert_int_equal(parse(1, DICT("<f4", "True", "()"), 4, &t, &err), CRIA_OK);
    assert_int_equal(parse(1, DICT("<f4", "True", "(0, 5, 5)"), 0, &t, &err), CRIA_OK);
    assert_bad(1, DICT("<f4", "True", "(2, 3)"), 24, CRIA_EUNSUPPORTED, "fortran_order");
    assert_bad(1, DICT("<f4", "True", "(2, 1, 3)"), 24, CRIA_EUNSUPPORTED, "fortran_order");
}

static void magic_version_and_length(void **state) {
    (void)state;
    struct out o = {NULL, 0, 0};
    put_npy(&o, 1, DICT("<f4", "False", "(3,)"), 12);
    cria_tensor t;
    cria_error err;
    for (size_t len = 0; len < o.len; len++) {
        uint8_t *exact = malloc(len != 0 ? len : 1);
        assert_non_null(exact);
        memcpy(exact, o.p, len);
        t = (cria_tensor){.name = "w"};
        assert_int_equal(cria_npy_parse(exact, len, "file", "w", &t, &err), CRIA_EFORMAT);
        free(exact);
    }
    set(&o, 8, 0xffff, 2);
    t = (cria_tensor){.name = "w"};
    assert_int_equal(cria_npy_parse(o.p, o.len, "file", "w", &t, &err), CRIA_EFORMAT);
    assert_non_null(strstr(err.msg, "claims 65535 bytes"));
    set(&o, 6, 2, 1); /* now the length has four bytes */
    t = (cria_tensor){.name = "w"};
    assert_int_equal(cria_npy_parse(o.p, o.len, "file", "w", &t, &err), CRIA_EFORMAT);
    for (unsigned version = 0; version < 65536; version++) {
        if (version >= 1 && version <= 3) continue;
        set(&o, 6, version, 2);
        assert_int_equal(cria_npy_parse(o.p, o.len, "file", "w", &t, &err), CRIA_EUNSUPPORTED);
    }
    o.p[1] = 'n';
    assert_int_equal(cria_npy_parse(o.p, o.len, "file", "w", &t, &err), CRIA_EFORMAT);
    out_free(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(element_types), cmocka_unit_test(spellings),
        cmocka_unit_test(bad_dicts),     cmocka_unit_test(bad_sizes),
        cmocka_unit_test(orders),        cmocka_unit_test(magic_version_and_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
