/* SPDX-License-Identifier: Apache-2.0 */
/* That the cases of kernels/check notice what they are for: tables with one kernel that is wrong in one way. */
#include "unit.h"
#include "base/half.h"
#include "counting_alloc.h"
#include "cria/cria.h"
#include "kernels/check/check.h"
#include <stdio.h>
#include <stdlib.h>

static const struct cria_kernels *ref;

/* ---- kernels with a fault each ---- */

static void add_last_bit(float *y, const float *x, size_t n) {
    ref->add(y, x, n);
    if (n > 70) y[70] = cria_f32_from_bits(cria_f32_to_bits(y[70]) ^ 1);
}
static void add_one_too_many(float *y, const float *x, size_t n) {
    ref->add(y, x, n);
    if (n % 4 == 3) y[n] = 0;
}

static void widen_without_subnormals(float *y, const uint16_t *x, size_t n) {
    ref->widen(y, x, n);
    for (size_t i = 0; i < n; i++)
        if ((x[i] & 0x7c00) == 0) y[i] = 0;
}

static void scale_before_the_start(float *y, const float *x, float a, size_t n) {
    ref->scale(y, x, a, n);
    if (n > 100) y[-1] = 0;
}
static void rmsnorm_fused(float *y, const float *x, const float *w, float eps, size_t n) {
    ref->rmsnorm(y, x, w, eps, n);
    for (size_t i = 0; i < n; i++) y[i] *= 1.0000001f;
}
static void quantize_truncates(const cria_act *a, uint32_t t, const float *x) {
    ref->quantize(a, t, x);
    for (uint32_t p = 0; p < a->planes; p++) a->q[(t * a->planes + p) * a->ldq] &= ~1;
}
static void matmul_q_skips_a_block(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part,
                                   void *scratch) {
    if (part.block1 > part.block0 + 2) part.block1--;
    ref->matmul_q(w, x, y, ldy, part, scratch);
}
static void matmul_q_takes_a_tile_more(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part,
                                       void *scratch) {
    if (part.tile1 < x->n) part.tile1++;
    ref->matmul_q(w, x, y, ldy, part, scratch);
}
static void matmul_f_ignores_the_first_block(const cria_matrix *w, const cria_act *x, float *y, size_t ldy,
                                             cria_rect part, void *scratch) {
    part.block0 = 0;
    ref->matmul_f(w, x, y, ldy, part, scratch);
}
static void attend_all_positions(const cria_attend *a) {
    uint8_t visible[128];
    cria_attend b = *a;
    memset(visible, CRIA_KV_BLOCK, sizeof visible);
    b.visible = visible;
    ref->attend(&b);
}
static void kv_store_next_position(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                                   const float *k, const float *v) {
    ref->kv_store(k_block, v_block, kv, e, p == 63 ? 62 : p, k, v);
}

/* ---- a runner ---- */

struct result {
    unsigned tests, failures;
    char text[600], test[32];
};

static void grow(struct check *c, struct check_buffer *b, size_t bytes) {
    (void)c;
    b->map_bytes = (bytes + 63) / 64 * 64;
    free(b->map);
    b->map = aligned_alloc(64, b->map_bytes);
    assert_non_null(b->map);
}
static void arm(struct check *c, bool armed) {
    (void)c;
    (void)armed;
}
static void failed(struct check *c, const char *text) {
    struct result *r = c->user;
    r->failures++;
    snprintf(r->text, sizeof r->text, "%s", text);
    snprintf(r->test, sizeof r->test, "%s", c->test->name);
}
static void print(struct check *c, const char *line) {
    (void)c;
    (void)line;
}
static const struct check_host host = {grow, arm, failed, print, 256, 2};

static struct result run(const struct cria_kernels *k) {
    struct result r = {0};
    struct check c = {.ref = ref, .k = k, .host = &host, .user = &r};
    for (const struct check_test *const *file = check_files; *file; file++) {
        for (const struct check_test *t = *file; t->name; t++) {
            if (!t->run || !check_applies(t, ref, k)) continue;
            check_begin(&c, t, 7);
            t->run(&c);
            r.tests++;
        }
    }
    for (size_t i = 0; i < CHECK_BUFFERS; i++) free(c.buffers[i].map);
    return r;
}

/* One slot of the reference replaced. */
#define WITH(slot, function)                                                                     \
    do {                                                                                         \
        struct cria_kernels k = *ref;                                                            \
        k.slot = function;                                                                       \
        const struct result r = run(&k);                                                         \
        if (r.failures == 0) fail_msg("%s was not noticed in %u tests", #function, r.tests);     \
        assert_true(r.tests >= 1 && r.failures <= r.tests); /* told once a test */               \
        print_message("%s: %s: %s\n", #function, r.test, r.text);                                \
    } while (0)

static void faults_are_noticed(void **state) {
    (void)state;
    WITH(add, add_last_bit);
    WITH(add, add_one_too_many);
    WITH(scale, scale_before_the_start);
    WITH(widen, widen_without_subnormals);
    WITH(rmsnorm, rmsnorm_fused);
    WITH(quantize, quantize_truncates);
    WITH(matmul_q, matmul_q_skips_a_block);
    WITH(matmul_q, matmul_q_takes_a_tile_more);
    WITH(matmul_f, matmul_f_ignores_the_first_block);
    WITH(attend, attend_all_positions);
    WITH(kv_store, kv_store_next_position);
}

static void add_again(float *y, const float *x, size_t n) { ref->add(y, x, n); }

static void right_kernels_pass_and_the_reference_is_left_out(void **state) {
    (void)state;
    assert_int_equal(run(ref).tests, 0);
    struct cria_kernels k = *ref;
    k.add = add_again;
    const struct result r = run(&k);
    assert_int_equal(r.tests, 1);
    assert_int_equal(r.failures, 0);
}

/* ---- cria_selftest, the public way ---- */

struct heard {
    unsigned started, done, failures;
    char table[32];
};

static void hear(void *user, const cria_selftest_event *e) {
    struct heard *h = user;
    h->started += !e->done;
    h->done += e->done;
    h->failures += e->failure != NULL;
    assert_string_equal(e->table, h->table);
    assert_true(h->started - h->done <= 1);
}

static void every_table_of_this_machine_passes(void **state) {
    (void)state;
    cria_ctx *ctx;
    cria_machine m;
    assert_int_equal(cria_ctx_new(NULL, &ctx, NULL), CRIA_OK);
    cria_ctx_machine(ctx, &m);
    assert_memory_equal(m.tables, "scalar", 6);
    char *save;
    for (char *name = strtok_r(m.tables, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
        struct heard h = {0};
        snprintf(h.table, sizeof h.table, "%s", name);
        assert_int_equal(cria_selftest(ctx, name, 3, hear, &h, NULL), CRIA_OK);
        assert_true(h.started >= 3);
        assert_int_equal(h.started, h.done);
        assert_int_equal(h.failures, 0);
    }
    cria_error err;
    assert_int_equal(cria_selftest(ctx, "avx9", 3, hear, NULL, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "avx9"));
    assert_int_equal(cria_selftest(ctx, NULL, 3, hear, NULL, &err), CRIA_EINVAL);
    assert_int_equal(cria_selftest(ctx, "scalar", 3, NULL, NULL, &err), CRIA_EINVAL);
    cria_ctx_free(ctx);
}

static void lack_of_memory_ends_it(void **state) {
    (void)state;
    for (long fail_at = 3; fail_at < 200; fail_at += 7) {
        struct counting_alloc c;
        counting_alloc_init(&c, fail_at);
        cria_ctx_opts o = cria_ctx_opts_default();
        o.threads = 1;
        o.allocator = counting_alloc_hook(&c);
        cria_ctx *ctx;
        cria_error err;
        if (cria_ctx_new(&o, &ctx, &err) != CRIA_OK) continue;
        struct heard h = {.table = "scalar"};
        const cria_status st = cria_selftest(ctx, "scalar", 3, hear, &h, &err);
        cria_ctx_free(ctx);
        assert_int_equal(c.live, 0);
        if (st == CRIA_OK) return;
        assert_int_equal(st, CRIA_ENOMEM);
    }
    fail_msg("200 allocations were not enough");
}

int main(void) {
    ref = cria_kernels_for(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_are_noticed),
        cmocka_unit_test(right_kernels_pass_and_the_reference_is_left_out),
        cmocka_unit_test(every_table_of_this_machine_passes),
        cmocka_unit_test(lack_of_memory_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
