/* SPDX-License-Identifier: Apache-2.0 */
/* cria_ctx_measure: figures that a machine can have, with every table and one or two threads; never how fast
 * this one is. */
#include "counting_alloc.h"
#include "cria/cria.h"
#include "engine/limits.h"
#include "unit.h"

#include <string.h>

static cria_ctx *open_with(const char *isa, uint32_t threads, struct counting_alloc *alloc) {
    cria_ctx_opts o = cria_ctx_opts_default();
    o.isa = isa;
    o.threads = threads;
    if (alloc != NULL) o.allocator = counting_alloc_hook(alloc);
    cria_ctx *ctx = NULL;
    return cria_ctx_new(&o, &ctx, NULL) == CRIA_OK ? ctx : NULL;
}

/* Little of everything: what is measured matters here, not how well. */
static const struct cria_measure_effort little = {
    .compute_tries = 10, .read_tries = 2, .least_bytes = (size_t)4 << 20, .thread_bytes = (size_t)2 << 20};

/* An emulator on a busy machine is at the lower ends, no machine at the upper ones. */
static void check_sane(const cria_limits *l) {
    assert_true(l->read_bytes > 1e6 && l->read_bytes < 1e14);
    assert_true(l->f32_ops > 1e5 && l->f32_ops < 1e16);
    assert_true(l->int8_ops > 1e5 && l->int8_ops < 1e17);
}

static void every_table_with_one_and_two_threads(void **unused) {
    (void)unused;
    static const char *const isas[] = {"scalar", "avx2",    "avxvnni", "avx512", "avx512vnni",
                                       "neon",   "dotprod", "i8mm"};
    size_t measured = 0;
    for (size_t i = 0; i < N_ITEMS(isas); i++) {
        for (uint32_t threads = 1; threads <= 2; threads++) {
            cria_ctx *ctx = open_with(isas[i], threads, NULL);
            if (ctx == NULL) continue; /* this processor has no such table */
            cria_limits l;
            assert_int_equal(cria_measure(ctx, &little, &l, NULL), CRIA_OK);
            check_sane(&l);
            cria_ctx_free(ctx);
            measured++;
        }
    }
    assert_true(measured >= 2);
}

/* Vectors of eight and more beat plain C by far, with any compiler and on any machine. */
static void vectors_are_faster_than_plain_c(void **unused) {
    (void)unused;
    cria_ctx *plain = open_with("scalar", 1, NULL), *best = open_with("auto", 1, NULL);
    if (strcmp(cria_ctx_isa(best), "scalar") != 0) {
        cria_limits p, b;
        assert_int_equal(cria_measure(plain, &little, &p, NULL), CRIA_OK);
        assert_int_equal(cria_measure(best, &little, &b, NULL), CRIA_OK);
        assert_true(b.f32_ops > p.f32_ops);
        assert_true(b.int8_ops > p.int8_ops);
    }
    cria_ctx_free(plain);
    cria_ctx_free(best);
}

static void without_memory_it_says_so(void **unused) {
    (void)unused;
    struct counting_alloc alloc;
    counting_alloc_init(&alloc, -1);
    cria_ctx *ctx = open_with("auto", 1, &alloc);
    cria_limits l = {.read_bytes = -1};
    cria_error err;
    assert_int_equal(cria_ctx_measure(ctx, &l, &err), CRIA_OK);
    check_sane(&l);
    l.read_bytes = -1;
    alloc.fail_at = atomic_load(&alloc.calls);
    assert_int_equal(cria_ctx_measure(ctx, &l, &err), CRIA_ENOMEM);
    assert_non_null(strstr(err.msg, "memory"));
    assert_true(l.read_bytes == -1); /* untouched */
    assert_int_equal(cria_ctx_measure(NULL, &l, &err), CRIA_EINVAL);
    cria_ctx_free(ctx);
    assert_int_equal(alloc.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_with_one_and_two_threads),
        cmocka_unit_test(vectors_are_faster_than_plain_c),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
