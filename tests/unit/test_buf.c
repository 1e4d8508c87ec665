/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/buf.h"
#include "base/ctx.h"
#include "counting_alloc.h"

struct fixture {
    struct counting_alloc alloc;
    cria_ctx ctx;
    cria_buf buf;
};

static void init(struct fixture *f, size_t max, long fail_at) {
    memset(f, 0, sizeof *f);
    counting_alloc_init(&f->alloc, fail_at);
    f->ctx.allocator = counting_alloc_hook(&f->alloc);
    cria_buf_init(&f->buf, &f->ctx, max);
}

static void grows_up_to_its_maximum_and_no_further(void **state) {
    (void)state;
    const size_t maxima[] = {0, 1, 63, 64, 65, 1000};
    for (size_t m = 0; m < N_ITEMS(maxima); m++) {
        struct fixture f;
        init(&f, maxima[m], -1);
        cria_error err;
        for (size_t i = 0; i < maxima[m]; i++)
            assert_int_equal(cria_buf_push(&f.buf, (uint8_t)i, &err), CRIA_OK);
        assert_int_equal(cria_buf_push(&f.buf, 0, &err), CRIA_EFULL);
        assert_int_equal(f.buf.len, maxima[m]);
        assert_true(f.buf.cap <= maxima[m]);
        for (size_t i = 0; i < maxima[m]; i++) assert_int_equal(f.buf.data[i], (uint8_t)i);
        cria_buf_fini(&f.buf);
        assert_int_equal(f.alloc.live, 0);
    }
}

static void sizes_near_the_end_of_size_t(void **state) {
    (void)state;
    struct fixture f;
    init(&f, SIZE_MAX, -1);
    cria_error err;
    assert_int_equal(cria_buf_append(&f.buf, "ab", 2, &err), CRIA_OK);
    assert_int_equal(cria_buf_reserve(&f.buf, SIZE_MAX, &err), CRIA_EFULL);
    assert_int_equal(cria_buf_reserve(&f.buf, SIZE_MAX - 2, &err), CRIA_EFULL); /* no room for the NUL */
    f.alloc.fail_at = f.alloc.calls; /* sanitizers stop the program where malloc would return NULL */
    assert_int_equal(cria_buf_reserve(&f.buf, SIZE_MAX - 3, &err), CRIA_ENOMEM);
    assert_memory_equal(f.buf.data, "ab", 2);
    cria_buf_fini(&f.buf);
}

static void appends_are_amortized(void **state) {
    (void)state;
    struct fixture f;
    init(&f, 1 << 20, -1);
    for (size_t i = 0; i < 1 << 20; i++) assert_int_equal(cria_buf_push(&f.buf, 'x', NULL), CRIA_OK);
    assert_true(f.alloc.calls < 20);
    cria_buf_fini(&f.buf);
}

static void take_ends_with_a_nul_and_empties(void **state) {
    (void)state;
    struct fixture f;
    init(&f, 64, -1);
    uint8_t *data;
    size_t len;
    for (size_t n = 0; n <= 64; n++) {
        for (size_t i = 0; i < n; i++) assert_int_equal(cria_buf_push(&f.buf, 'x', NULL), CRIA_OK);
        assert_int_equal(cria_buf_take(&f.buf, &data, &len, NULL), CRIA_OK);
        assert_int_equal(len, n);
        assert_int_equal(strlen((char *)data), n);
        assert_null(f.buf.data);
        assert_int_equal(f.buf.len, 0);
        assert_int_equal(f.buf.max, 64);
        cria_free(&f.ctx, data);
    }
    assert_int_equal(f.alloc.live, 0);
}

static void out_of_memory_leaves_it_as_it_was(void **state) {
    (void)state;
    struct fixture f;
    init(&f, 1000, 1);
    cria_error err;
    assert_int_equal(cria_buf_append(&f.buf, "abc", 3, &err), CRIA_OK);
    char big[500] = {0};
    assert_int_equal(cria_buf_append(&f.buf, big, sizeof big, &err), CRIA_ENOMEM);
    assert_int_equal(err.code, CRIA_ENOMEM);
    assert_int_equal(f.buf.len, 3);
    assert_memory_equal(f.buf.data, "abc", 3);
    cria_buf_fini(&f.buf);
    uint8_t *data = NULL;
    size_t len = 99;
    assert_int_equal(cria_buf_take(&f.buf, &data, &len, &err), CRIA_ENOMEM);
    assert_null(data);
    assert_int_equal(len, 99);
    assert_int_equal(f.alloc.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_up_to_its_maximum_and_no_further),
        cmocka_unit_test(sizes_near_the_end_of_size_t),
        cmocka_unit_test(appends_are_amortized),
        cmocka_unit_test(take_ends_with_a_nul_and_empties),
        cmocka_unit_test(out_of_memory_leaves_it_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
