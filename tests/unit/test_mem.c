/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/ctx.h"
#include "base/mem.h"
#include "counting_alloc.h"

/* A context is no more than its allocator here. */
static void init(cria_ctx *ctx, struct counting_alloc *c, long fail_at) {
    memset(ctx, 0, sizeof *ctx);
    counting_alloc_init(c, fail_at);
    ctx->allocator = counting_alloc_hook(c);
}

static void checked_arithmetic(void **state) {
    (void)state;
    size_t r = 7;
    assert_true(cria_mul_ok(3, 5, &r));
    assert_int_equal(r, 15);
    assert_false(cria_mul_ok(SIZE_MAX / 2 + 1, 2, &r));
    assert_false(cria_add_ok(SIZE_MAX, 1, &r));
    assert_int_equal(r, 15);
    assert_true(cria_mul_ok(SIZE_MAX, 1, &r));
    assert_true(r == SIZE_MAX);
    assert_true(cria_add_ok(SIZE_MAX - 1, 1, &r));
    assert_true(r == SIZE_MAX);
}

static void blocks_are_aligned_counted_and_given_back(void **state) {
    (void)state;
    cria_ctx ctx;
    struct counting_alloc c;
    init(&ctx, &c, -1);
    void *p[40];
    for (size_t i = 0; i < N_ITEMS(p); i++) {
        p[i] = cria_malloc(&ctx, i * i);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % CRIA_ALIGN, 0);
        memset(p[i], 0xff, i * i);
    }
    assert_int_equal(cria_mem_count(&ctx), N_ITEMS(p));
    for (size_t i = 0; i < N_ITEMS(p); i++) cria_free(&ctx, p[i]);
    cria_free(&ctx, NULL);
    assert_int_equal(c.live, 0);
}

static void arrays_do_not_overflow(void **state) {
    (void)state;
    cria_ctx ctx;
    struct counting_alloc c;
    init(&ctx, &c, -1);
    assert_null(cria_malloc_array(&ctx, SIZE_MAX / 8 + 1, 8));
    assert_null(cria_calloc(&ctx, SIZE_MAX / 2, 3));
    assert_int_equal(c.calls, 0);
    uint8_t *zeros = cria_calloc(&ctx, 33, 3);
    assert_non_null(zeros);
    for (size_t i = 0; i < 99; i++) assert_int_equal(zeros[i], 0);
    cria_free(&ctx, zeros);
}

static void realloc_keeps_the_old_block_on_failure(void **state) {
    (void)state;
    cria_ctx ctx;
    struct counting_alloc c;
    init(&ctx, &c, 2);
    char *p = cria_realloc(&ctx, NULL, 0, 4);
    assert_non_null(p);
    memcpy(p, "abc", 4);
    char *q = cria_realloc(&ctx, p, 4, 100);
    assert_non_null(q);
    assert_string_equal(q, "abc");
    assert_null(cria_realloc(&ctx, q, 100, 200));
    assert_string_equal(q, "abc");
    assert_int_equal(cria_mem_count(&ctx), 2);
    c.fail_at = -1;
    q = cria_realloc(&ctx, q, 100, 2);
    assert_memory_equal(q, "ab", 2);
    cria_free(&ctx, q);
    assert_int_equal(c.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checked_arithmetic),
        cmocka_unit_test(blocks_are_aligned_counted_and_given_back),
        cmocka_unit_test(arrays_do_not_overflow),
        cmocka_unit_test(realloc_keeps_the_old_block_on_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
