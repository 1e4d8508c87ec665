/* SPDX-License-Identifier: Apache-2.0 */
/* The KV pool: budget, reuse of blocks, truncation, failing allocations. */
#include "unit.h"
#include "base/ctx.h"
#include "counting_alloc.h"
#include "model/kv.h"

static const cria_config config = {.n_layers = 2, .h = 4, .hk = 2, .e = 16};

struct fixture {
    struct counting_alloc alloc;
    cria_ctx ctx;
    cria_kv_pool pool;
    cria_error err;
};

static void start(struct fixture *f, enum cria_kv_elem elem, uint64_t budget, long fail_at) {
    memset(f, 0, sizeof *f);
    counting_alloc_init(&f->alloc, fail_at);
    f->ctx.allocator = (cria_allocator){counting_alloc_alloc, counting_alloc_free, &f->alloc};
    assert_int_equal(cria_kv_pool_init(&f->pool, &f->ctx, &config, elem, budget, &f->err), CRIA_OK);
}

static void finish(struct fixture *f) {
    cria_kv_pool_fini(&f->pool);
    assert_int_equal(atomic_load(&f->alloc.live), 0);
}

static void sizes(void **unused) {
    (void)unused;
    struct fixture f;
    start(&f, CRIA_KV_ELEM_F16, 0, -1);
    assert_int_equal(f.pool.half_bytes, 64 * 16 * 2);
    assert_int_equal(f.pool.block_bytes, 2 * 2 * 2 * 64 * 16 * 2);
    finish(&f);
    start(&f, CRIA_KV_ELEM_F32, 0, -1);
    assert_int_equal(f.pool.block_bytes, 2 * 2 * 2 * 64 * 16 * 4);
    finish(&f);
    start(&f, CRIA_KV_ELEM_I8, 0, -1);
    assert_int_equal(f.pool.half_bytes, 64 * 16 + 64 * sizeof(float));
    assert_int_equal(f.pool.block_bytes, 2 * 2 * 2 * (64 * 16 + 64 * sizeof(float)));
    finish(&f);
    start(&f, CRIA_KV_ELEM_I16, 0, -1);
    assert_int_equal(f.pool.half_bytes, 64 * 16 * 2 + 64 * sizeof(float));
    finish(&f);
}

static void budget_holds_and_blocks_come_back(void **unused) {
    (void)unused;
    struct fixture f;
    const uint64_t block = 2 * 2 * 2 * 64 * 16 * 2;
    start(&f, CRIA_KV_ELEM_F16, 3 * block + block / 2, -1);
    cria_kv_seq a, b;
    cria_kv_seq_init(&a, &f.pool);
    cria_kv_seq_init(&b, &f.pool);
    assert_int_equal(cria_kv_seq_reserve(&a, 0, 64, &f.err), CRIA_OK);
    assert_int_equal(a.n_blocks, 1);
    assert_int_equal(cria_kv_seq_reserve(&a, 0, 65, &f.err), CRIA_OK);
    assert_int_equal(a.n_blocks, 2);
    assert_int_equal(cria_kv_seq_reserve(&b, 0, 1, &f.err), CRIA_OK);
    assert_int_equal(cria_kv_seq_reserve(&b, 0, 65, &f.err), CRIA_EFULL);
    assert_non_null(strstr(f.err.msg, "budget of 3 blocks"));
    cria_kv_seq_truncate(&a, 64);
    assert_int_equal(a.n_blocks, 1);
    assert_int_equal(cria_kv_seq_reserve(&b, 0, 128, &f.err), CRIA_OK);
    assert_int_equal(f.pool.n_blocks, 3);
    assert_ptr_not_equal(b.blocks[1]->data, a.blocks[0]->data);
    cria_kv_seq_fini(&a);
    cria_kv_seq_fini(&b);
    finish(&f);
}

static void a_budget_below_one_block_is_refused(void **unused) {
    (void)unused;
    struct fixture f = {0};
    f.ctx.allocator = cria_allocator_libc();
    assert_int_equal(cria_kv_pool_init(&f.pool, &f.ctx, &config, CRIA_KV_ELEM_F16, 1000, &f.err), CRIA_EINVAL);
}

static void places_do_not_overlap(void **unused) {
    (void)unused;
    struct fixture f;
    start(&f, CRIA_KV_ELEM_F16, 0, -1);
    static uint8_t data[1 << 16];
    assert_in_range(f.pool.block_bytes, 1, sizeof data);
    const struct cria_kv_block b = {.data = data};
    const uint8_t *want = data;
    for (uint32_t l = 0; l < 2; l++)
        for (uint32_t head = 0; head < 2; head++, want += 2 * f.pool.half_bytes)
            assert_ptr_equal(cria_kv_at(&f.pool, &b, l, head), want);
    assert_int_equal(want - data, f.pool.block_bytes);
    finish(&f);
}

static void every_allocation_may_fail(void **unused) {
    (void)unused;
    for (long fail_at = 0;; fail_at++) {
        struct fixture f;
        start(&f, CRIA_KV_ELEM_F16, 0, fail_at);
        cria_kv_seq a;
        cria_kv_seq_init(&a, &f.pool);
        const cria_status st = cria_kv_seq_reserve(&a, 0, 200, &f.err);
        cria_kv_seq_fini(&a);
        finish(&f);
        if (st == CRIA_OK) break;
        assert_int_equal(st, CRIA_ENOMEM);
        assert_true(fail_at < 100);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes), cmocka_unit_test(budget_holds_and_blocks_come_back),
        cmocka_unit_test(a_budget_below_one_block_is_refused), cmocka_unit_test(places_do_not_overlap),
        cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
