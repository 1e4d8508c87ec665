/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of arrays: what becomes a tensor. The ZIP and .npy layers have tests of their own. */
#include "format_unit.h"

static struct out array(const char *dict, size_t n_data) {
    struct out o = {NULL, 0, 0};
    put_npy(&o, 1, dict, n_data);
    return o;
}

static void stored_and_deflated(void **state) {
    (void)state;
    struct out a = array(DICT("<f4", "False", "(2, 3)"), 24), b = array(DICT("<V2", "False", "(5,)"), 10);
    struct zip_out z = {.n = 0};
    zip_add(&z, "layers/", "", 0, 0); /* a folder's own entry is no tensor */
    zip_add(&z, "layers/0.wq.npy", a.p, a.len, 0);
    zip_add(&z, "norm.npy", b.p, b.len, 8);
    zip_finish(&z, "");
    struct opened x;
    open_bytes(&x, z.o.p, z.o.len, -1);
    assert_int_equal(x.status, CRIA_OK);
    assert_modest(&x, z.o.len);
    assert_int_equal(cria_container_kind(x.c), CRIA_CONTAINER_NPZ);
    assert_string_equal(cria_container_path(x.c), "file");
    assert_int_equal(cria_container_count(x.c), 2);
    assert_int_equal(cria_meta_count(x.c), 0);
    assert_null(cria_meta_find(x.c, "a"));

    const cria_tensor *t = cria_container_find(x.c, "layers/0.wq");
    assert_ptr_equal(t, cria_container_at(x.c, 0));
    assert_true(t->dtype == CRIA_DTYPE_F32 && t->ndim == 2 && t->shape[0] == 2 && t->shape[1] == 3);
    assert_ptr_equal(t->data, x.block + z.m[1].data + a.len - 24); /* a view, not a copy */
    t = cria_container_find(x.c, "norm");
    assert_true(t->dtype == CRIA_DTYPE_BF16 && t->ndim == 1 && t->shape[0] == 5 && t->nbytes == 10);
    assert_true(t->data[0] == 1 && t->data[9] == 10);
    assert_true(t->data < x.block || t->data >= x.block + z.o.len);
    assert_null(cria_container_find(x.c, "norm.npy"));
    assert_null(cria_container_find(x.c, ""));
    shut(&x);

    assert_robust(&z.o, true);
    out_free(&z.o);
    out_free(&a);
    out_free(&b);
}

static void members_that_are_no_arrays(void **state) {
    (void)state;
    struct out a = array(DICT("<f4", "False", "(3,)"), 12);
    const char *names[] = {"README.txt", "a", ".npy", "a.npy/", "a.npy.gz", "a.NPY"};
    for (size_t i = 0; i < N_ITEMS(names); i++) {
        struct zip_out z = {.n = 0};
        zip_add(&z, names[i], a.p, a.len, 0);
        zip_finish(&z, "");
        assert_refused(&z.o, CRIA_EFORMAT, "is no array");
        out_free(&z.o);
    }
    struct zip_out z = {.n = 0};
    zip_add(&z, "a.npy", "PK", 2, 0);
    zip_finish(&z, "");
    assert_refused(&z.o, CRIA_EFORMAT, "does not begin as a .npy array");
    out_free(&z.o);
    out_free(&a);
}

static void the_same_name_twice(void **state) {
    (void)state;
    struct out a = array(DICT("<f4", "False", "(3,)"), 12);
    struct zip_out z = {.n = 0};
    zip_add(&z, "b.npy", a.p, a.len, 0);
    zip_add(&z, "a.npy", a.p, a.len, 0);
    zip_add(&z, "c.npy", a.p, a.len, 0);
    zip_add(&z, "a.npy", a.p, a.len, 8);
    zip_finish(&z, "");
    assert_refused(&z.o, CRIA_EFORMAT, "tensor \"a\" is there twice");
    out_free(&z.o);
    out_free(&a);
}

/* Messages show a long name cut at a character, and stay one sentence. */
static void long_names(void **state) {
    (void)state;
    char name[1024];
    for (size_t i = 0; i < 1000; i += 2) memcpy(name + i, "\xc3\xa9", 2);
    memcpy(name + 1000, ".npy", 5);
    name[1] = 'x'; /* no UTF-8 */
    struct out a = array(DICT("<f4", "False", "(4,)"), 12);
    struct zip_out z = {.n = 0};
    zip_add(&z, name, a.p, a.len, 0);
    zip_finish(&z, "");
    assert_refused(&z.o, CRIA_EFORMAT, "no UTF-8");
    out_free(&z.o);
    name[0] = 'x';
    z.n = 0;
    zip_add(&z, name, a.p, a.len, 0);
    zip_finish(&z, "");
    assert_refused(&z.o, CRIA_EFORMAT, "\xc3\xa9\" should have 16 bytes");
    out_free(&z.o);
    out_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_and_deflated),
        cmocka_unit_test(members_that_are_no_arrays),
        cmocka_unit_test(the_same_name_twice),
        cmocka_unit_test(long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
