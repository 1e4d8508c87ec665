/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on a tiny model, through the public interface: the same bits however rows are cut, mixed and
 * threaded; failure leaves sequences as they were; budgets hold; every allocation of open and eval may fail.
 */
#include "tiny_model.h"

#include "base/ctx.h"
#include "base/pool.h"

#include <math.h>

struct machine {
    cria_ctx *ctx;
    cria_model *model;
    cria_engine *engine;
    cria_error err;
};

/* All threads running, whatever the number of processors, and as if there were as many memory nodes. */
static void simulate(cria_ctx *ctx, uint32_t nodes, uint32_t threads) {
    struct cria_topology *t = &ctx->cpu.topology;
    t->n_cpus = threads;
    t->n_nodes = nodes;
    for (uint32_t i = 0; i < nodes; i++) t->node_cores[i] = 1 + i;
    cria_pool_free(ctx, ctx->pool);
    ctx->pool = NULL;
    assert_int_equal(cria_pool_new(ctx, threads, &ctx->pool, NULL), CRIA_OK);
    assert_int_equal(cria_pool_nodes(ctx->pool), threads > 1 ? nodes : 1);
}

static void start_on_nodes(struct machine *m, uint32_t nodes, uint32_t threads, const char *isa,
                           cria_activations act, cria_kv_type kv, uint32_t batch_rows, uint64_t kv_bytes) {
    cria_ctx_opts co = cria_ctx_opts_default();
    co.isa = isa;
    assert_int_equal(cria_ctx_new(&co, &m->ctx, &m->err), CRIA_OK);
    simulate(m->ctx, nodes, threads);
    cria_model_opts mo = cria_model_opts_default();
    mo.activations = act;
    assert_int_equal(cria_model_open(m->ctx, tiny_model_path, &mo, &m->model, &m->err), CRIA_OK);
    cria_engine_opts eo = cria_engine_opts_default();
    eo.kv = kv;
    eo.batch_rows = batch_rows;
    eo.kv_bytes = kv_bytes;
    assert_int_equal(cria_engine_new(m->model, &eo, &m->engine, &m->err), CRIA_OK);
}

static void start(struct machine *m, uint32_t threads, const char *isa, cria_activations act, cria_kv_type kv,
                  uint32_t batch_rows, uint64_t kv_bytes) {
    start_on_nodes(m, 1, threads, isa, act, kv, batch_rows, kv_bytes);
}

/* Objects keep alive what they need: free from the bottom up on purpose. */
static void stop(struct machine *m) {
    cria_ctx_free(m->ctx);
    cria_model_free(m->model);
    cria_engine_free(m->engine);
}

static cria_sequence *sequence(struct machine *m) {
    cria_sequence *s;
    assert_int_equal(cria_sequence_new(m->engine, &s, &m->err), CRIA_OK);
    return s;
}

static int32_t token_at(size_t i) { return (int32_t)(i * i * 7 + i * 31 + 5) % TINY_V; }

enum { LONG = 150 };

/* Logits of all positions of one sequence, in pieces of `chunk` rows. */
static void run(struct machine *m, size_t chunk, float *logits) {
    cria_sequence *s = sequence(m);
    cria_row rows[LONG];
    for (size_t i = 0; i < LONG; i++) rows[i] = (cria_row){s, token_at(i), true};
    for (size_t at = 0; at < LONG; at += chunk) {
        const size_t n = LONG - at < chunk ? LONG - at : chunk;
        assert_int_equal(cria_engine_eval(m->engine, rows + at, n, logits + at * TINY_V, &m->err), CRIA_OK);
    }
    assert_int_equal(cria_sequence_length(s), LONG);
    cria_sequence_free(s);
}

static float want[LONG * TINY_V], got[LONG * TINY_V];

static void same_bits_however_it_is_run(void **unused) {
    (void)unused;
    const cria_activations acts[] = {CRIA_ACTIVATIONS_DEFAULT, CRIA_ACTIVATIONS_INT8, CRIA_ACTIVATIONS_INT16,
                                     CRIA_ACTIVATIONS_F32};
    for (size_t a = 0; a < N_ITEMS(acts); a++) {
        for (int kv = 0; kv < 3; kv++) {
            struct machine m;
            start(&m, 1, "scalar", acts[a], (cria_kv_type)kv, 0, 0);
            run(&m, LONG, want);
            for (size_t i = 0; i < N_ITEMS(want); i++) assert_true(isfinite(want[i]));
            assert_memory_not_equal(want, want + (LONG - 1) * TINY_V, TINY_V * sizeof *want);
            stop(&m);
            const struct {
                uint32_t threads, batch_rows;
                size_t chunk;
                uint32_t nodes;
            } ways[] = {{2, 0, LONG, 1}, {3, 0, 1, 1}, {5, 0, 7, 1},   {2, 64, LONG, 1},
                        {1, 13, 64, 1},  {3, 0, 7, 2}, {4, 0, LONG, 3}};
            for (size_t w = 0; w < N_ITEMS(ways); w++) {
                start_on_nodes(&m, ways[w].nodes, ways[w].threads, NULL, acts[a], (cria_kv_type)kv,
                               ways[w].batch_rows, 0);
                run(&m, ways[w].chunk, got);
                assert_memory_equal(got, want, sizeof want);
                stop(&m);
            }
        }
    }
}

static void same_bits_in_a_mixed_batch(void **unused) {
    (void)unused;
    struct machine m;
    start(&m, 2, NULL, CRIA_ACTIVATIONS_DEFAULT, CRIA_KV_F16, 0, 1 << 20);
    run(&m, LONG, want);
    /* Three sequences at different places, rows interleaved; the second is the one we know. */
    cria_sequence *s[3] = {sequence(&m), sequence(&m), sequence(&m)};
    cria_row rows[3 * LONG];
    size_t n = 0, wanted = 0;
    for (size_t i = 0; i < LONG; i++) {
        rows[n++] = (cria_row){s[1], token_at(i), i % 3 == 0};
        wanted += i % 3 == 0;
        if (i % 2) rows[n++] = (cria_row){s[0], token_at(i + 11), false};
        if (i % 5 == 0) rows[n++] = (cria_row){s[2], token_at(3 * i), false};
    }
    assert_int_equal(cria_engine_eval(m.engine, rows, n, got, &m.err), CRIA_OK);
    for (size_t i = 0; i < wanted; i++)
        assert_memory_equal(got + i * TINY_V, want + 3 * i * TINY_V, TINY_V * sizeof *got);
    for (int i = 0; i < 3; i++) cria_sequence_free(s[i]);
    stop(&m);
}

static void truncate_and_go_on(void **unused) {
    (void)unused;
    struct machine m;
    start(&m, 2, NULL, CRIA_ACTIVATIONS_DEFAULT, CRIA_KV_F16, 0, 0);
    run(&m, LONG, want);
    cria_sequence *s = sequence(&m);
    cria_row rows[LONG];
    for (size_t i = 0; i < LONG; i++) rows[i] = (cria_row){s, token_at(i < 70 ? i : i + 1), false};
    assert_int_equal(cria_engine_eval(m.engine, rows, LONG, NULL, &m.err), CRIA_OK);
    cria_sequence_truncate(s, 70);
    assert_int_equal(cria_sequence_length(s), 70);
    cria_sequence_truncate(s, 1000);
    assert_int_equal(cria_sequence_length(s), 70);
    for (size_t i = 70; i < LONG; i++) rows[i] = (cria_row){s, token_at(i), true};
    assert_int_equal(cria_engine_eval(m.engine, rows + 70, LONG - 70, got, &m.err), CRIA_OK);
    assert_memory_equal(got, want + 70 * TINY_V, (LONG - 70) * TINY_V * sizeof *got);
    cria_sequence_free(s);
    stop(&m);
}

static void bad_rows_change_nothing(void **unused) {
    (void)unused;
    struct machine m, other;
    start(&m, 1, NULL, CRIA_ACTIVATIONS_DEFAULT, CRIA_KV_F16, 0, 0);
    start(&other, 1, NULL, CRIA_ACTIVATIONS_DEFAULT, CRIA_KV_F16, 0, 0);
    cria_sequence *s = sequence(&m), *foreign = sequence(&other);
    float logits[TINY_V];
    const cria_row bad[][2] = {{{s, 1, false}, {s, TINY_V, false}},
                               {{s, 1, false}, {s, -1, false}},
                               {{s, 1, false}, {foreign, 1, false}},
                               {{s, 1, false}, {NULL, 1, false}}};
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        assert_int_equal(cria_engine_eval(m.engine, bad[i], 2, logits, &m.err), CRIA_EINVAL);
        assert_int_equal(cria_sequence_length(s), 0);
    }
    const cria_row wants = {s, 1, true};
    assert_int_equal(cria_engine_eval(m.engine, &wants, 1, NULL, &m.err), CRIA_EINVAL);
    assert_int_equal(cria_engine_eval(m.engine, NULL, 0, NULL, &m.err), CRIA_OK);
    cria_sequence_free(foreign);
    cria_sequence_free(s);
    stop(&other);
    stop(&m);
}

static void the_context_is_a_bound(void **unused) {
    (void)unused;
    struct machine m;
    start(&m, 1, NULL, CRIA_ACTIVATIONS_DEFAULT, CRIA_KV_F16, 0, 0);
    cria_sequence *s = sequence(&m);
    cria_row rows[TINY_CONTEXT + 1];
    for (size_t i = 0; i <= TINY_CONTEXT; i++) rows[i] = (cria_row){s, token_at(i), false};
    assert_int_equal(cria_engine_eval(m.engine, rows, TINY_CONTEXT + 1, NULL, &m.err), CRIA_EFULL);
    assert_non_null(strstr(m.err.msg, "200"));
    assert_int_equal(cria_sequence_length(s), 0);
    assert_int_equal(cria_engine_eval(m.engine, rows, TINY_CONTEXT, NULL, &m.err), CRIA_OK);
    assert_int_equal(cria_engine_eval(m.engine, rows, 1, NULL, &m.err), CRIA_EFULL);
    assert_int_equal(cria_sequence_length(s), TINY_CONTEXT);
    /* The default budget is one whole context: nothing is left for another sequence until this one shrinks.
     */
    cria_sequence *t = sequence(&m);
    rows[0].sequence = t;
    assert_int_equal(cria_engine_eval(m.engine, rows, 1, NULL, &m.err), CRIA_EFULL);
    cria_sequence_truncate(s, 100);
    assert_int_equal(cria_engine_eval(m.engine, rows, 1, NULL, &m.err), CRIA_OK);
    cria_sequence_free(t);
    cria_sequence_free(s);
    stop(&m);
}

static void eval_allocates_only_kv_blocks(void **unused) {
    (void)unused;
    struct machine m;
    start(&m, 2, NULL, CRIA_ACTIVATIONS_DEFAULT, CRIA_KV_F16, 0, 0);
    cria_sequence *s = sequence(&m);
    float logits[TINY_V];
    cria_row row = {s, 1, true};
    assert_int_equal(cria_engine_eval(m.engine, &row, 1, logits, &m.err), CRIA_OK);
    const uint64_t before = cria_mem_count(m.ctx);
    for (int i = 1; i < 64; i++)
        assert_int_equal(cria_engine_eval(m.engine, &row, 1, logits, &m.err), CRIA_OK);
    assert_int_equal(cria_mem_count(m.ctx), before);
    cria_sequence_free(s);
    stop(&m);
}

static void options_of_another_version_are_refused(void **unused) {
    (void)unused;
    cria_ctx *ctx = NULL;
    cria_error err;
    cria_ctx_opts co = cria_ctx_opts_default();
    co.size--;
    assert_int_equal(cria_ctx_new(&co, &ctx, &err), CRIA_EINVAL);
    assert_null(ctx);
    co = cria_ctx_opts_default();
    co.isa = "avx1024";
    assert_int_equal(cria_ctx_new(&co, &ctx, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "avx1024"));
}

/* From the first allocation to the last: fails cleanly, leaks nothing, leaves the sequence as it was. */
static void every_allocation_may_fail(void **unused) {
    (void)unused;
    for (long fail_at = 0;; fail_at++) {
        struct counting_alloc alloc;
        counting_alloc_init(&alloc, fail_at);
        cria_ctx_opts co = cria_ctx_opts_default();
        co.allocator = (cria_allocator){counting_alloc_alloc, counting_alloc_free, &alloc};
        co.threads = 2;
        cria_ctx *ctx = NULL;
        cria_model *model = NULL;
        cria_engine *engine = NULL;
        cria_sequence *s = NULL;
        cria_error err;
        float logits[TINY_V];
        cria_status st = cria_ctx_new(&co, &ctx, &err);
        if (!st) st = cria_model_open(ctx, tiny_model_path, NULL, &model, &err);
        if (!st) st = cria_engine_new(model, NULL, &engine, &err);
        if (!st) st = cria_sequence_new(engine, &s, &err);
        for (int i = 0; i < 65 && !st; i++) {
            const cria_row row = {s, i, true};
            st = cria_engine_eval(engine, &row, 1, logits, &err);
            assert_int_equal(cria_sequence_length(s), st ? i : i + 1);
        }
        cria_sequence_free(s);
        cria_engine_free(engine);
        cria_model_free(model);
        cria_ctx_free(ctx);
        assert_int_equal(atomic_load(&alloc.live), 0);
        if (st == CRIA_OK) break;
        assert_int_equal(st, CRIA_ENOMEM);
        assert_int_equal(err.code, CRIA_ENOMEM);
        assert_true(fail_at < 1000);
    }
}

static bool stop_halfway(void *user, uint64_t done, uint64_t total) {
    uint64_t *last = user;
    assert_true(done >= *last && done <= total);
    *last = done;
    return done < total / 2;
}

static void loading_can_be_cancelled(void **unused) {
    (void)unused;
    cria_ctx *ctx;
    cria_model *model = NULL;
    cria_error err;
    uint64_t last = 0;
    assert_int_equal(cria_ctx_new(NULL, &ctx, &err), CRIA_OK);
    cria_model_opts mo = cria_model_opts_default();
    mo.progress = stop_halfway;
    mo.progress_user = &last;
    assert_int_equal(cria_model_open(ctx, tiny_model_path, &mo, &model, &err), CRIA_ECANCELLED);
    assert_null(model);
    assert_true(last > 0);
    cria_ctx_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits_however_it_is_run),
                                       cmocka_unit_test(same_bits_in_a_mixed_batch),
                                       cmocka_unit_test(truncate_and_go_on),
                                       cmocka_unit_test(bad_rows_change_nothing),
                                       cmocka_unit_test(the_context_is_a_bound),
                                       cmocka_unit_test(eval_allocates_only_kv_blocks),
                                       cmocka_unit_test(options_of_another_version_are_refused),
                                       cmocka_unit_test(every_allocation_may_fail),
                                       cmocka_unit_test(loading_can_be_cancelled)};
    return cmocka_run_group_tests(tests, tiny_model_write, tiny_model_remove);
}
