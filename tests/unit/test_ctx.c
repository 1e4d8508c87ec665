/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/ctx.h"
#include "base/pool.h"
#include "counting_alloc.h"

static cria_ctx_opts opts_with(struct counting_alloc *c, uint32_t threads) {
    const cria_ctx_opts o = {.size = sizeof o, .threads = threads, .allocator = counting_alloc_hook(c)};
    return o;
}

static void defaults(void **state) {
    (void)state;
    cria_ctx *ctx;
    cria_error err;
    assert_int_equal(cria_ctx_base_new(NULL, &ctx, &err), CRIA_OK);
    assert_int_equal(cria_pool_threads(ctx->pool), ctx->cpu.threads);
    assert_null(ctx->kernels);
    assert_true(cria_mem_count(ctx) >= 1);
    assert_ptr_equal(cria_ctx_ref(ctx), ctx);
    cria_ctx_unref(ctx);
    cria_log(ctx, CRIA_LOG_INFO, "nobody listens to %d", 1);
    cria_ctx_unref(ctx);
    cria_ctx_unref(NULL);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    cria_ctx *ctx = NULL;
    cria_error err;
    struct counting_alloc c;
    counting_alloc_init(&c, -1);
    cria_ctx_opts o = opts_with(&c, 1);
    o.size = 8;
    assert_int_equal(cria_ctx_base_new(&o, &ctx, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "is 8"));
    o = opts_with(&c, 1025);
    assert_int_equal(cria_ctx_base_new(&o, &ctx, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "1025"));
    o = opts_with(&c, 1);
    o.allocator.free = NULL;
    assert_int_equal(cria_ctx_base_new(&o, &ctx, &err), CRIA_EINVAL);
    o = opts_with(&c, 1);
    o.isa = "mmx";
    assert_int_equal(cria_ctx_base_new(&o, &ctx, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "mmx"));
    assert_null(ctx);
    assert_int_equal(c.live, 0);
}

static void *crooked_alloc(void *user, size_t bytes) {
    char *p = counting_alloc_alloc(user, bytes + CRIA_ALIGN);
    return p ? p + 8 : NULL;
}

static void crooked_free(void *user, void *p) { counting_alloc_free(user, (char *)p - 8); }

static void an_allocator_that_does_not_align_is_refused(void **state) {
    (void)state;
    cria_ctx *ctx = NULL;
    cria_error err;
    struct counting_alloc c;
    counting_alloc_init(&c, -1);
    cria_ctx_opts o = opts_with(&c, 1);
    o.allocator.alloc = crooked_alloc;
    o.allocator.free = crooked_free;
    assert_int_equal(cria_ctx_base_new(&o, &ctx, &err), CRIA_EINVAL);
    assert_int_equal(c.live, 0);
}

static void isa_lowers_the_flags(void **state) {
    (void)state;
    const cria_ctx_opts o = {.size = sizeof o, .threads = 1, .isa = "scalar"};
    cria_ctx *ctx;
    assert_int_equal(cria_ctx_base_new(&o, &ctx, NULL), CRIA_OK);
    assert_int_equal(ctx->cpu.flags, 0);
    cria_ctx_unref(ctx);
}

static void every_failing_allocation_is_survived(void **state) {
    (void)state;
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        long fail_at = 0;
        for (cria_status status = CRIA_ENOMEM; status != CRIA_OK; fail_at++) {
            struct counting_alloc c;
            counting_alloc_init(&c, fail_at);
            const cria_ctx_opts o = opts_with(&c, threads);
            cria_ctx *ctx = NULL;
            cria_error err;
            status = cria_ctx_base_new(&o, &ctx, &err);
            assert_true(status == CRIA_OK || (status == CRIA_ENOMEM && err.code == CRIA_ENOMEM && !ctx));
            cria_ctx_unref(ctx);
            assert_int_equal(c.live, 0);
        }
        assert_in_range(fail_at, 3, 10); /* the context, the pool, its workers */
    }
}

static void keep_line(void *user, cria_log_level level, const char *text) {
    assert_int_equal(level, CRIA_LOG_WARN);
    strncpy(user, text, 99);
}

static void log_lines_reach_the_caller(void **state) {
    (void)state;
    char line[100] = {0};
    const cria_ctx_opts o = {.size = sizeof o, .threads = 1, .log = keep_line, .log_user = line};
    cria_ctx *ctx;
    assert_int_equal(cria_ctx_base_new(&o, &ctx, NULL), CRIA_OK);
    cria_log(ctx, CRIA_LOG_WARN, "%d of %s", 3, "them");
    assert_string_equal(line, "3 of them");
    cria_ctx_unref(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(an_allocator_that_does_not_align_is_refused),
        cmocka_unit_test(isa_lowers_the_flags),
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(log_lines_reach_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
