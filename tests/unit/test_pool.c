/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/ctx.h"
#include "base/pool.h"
#include "counting_alloc.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* gcc says it with a macro, clang with __has_feature. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CRIA_TEST_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CRIA_TEST_SANITIZED
#endif

enum { MAX_ITEMS = 1000, MAX_WORKERS = 8 };

/* With as many threads, all running, whatever the number of processors. */
static cria_ctx *context(uint32_t threads) {
    const cria_ctx_opts o = {.size = sizeof o, .threads = 1};
    cria_ctx *ctx = NULL;
    assert_int_equal(cria_ctx_base_new(&o, &ctx, NULL), CRIA_OK);
    ctx->cpu.topology.n_cpus = 1000;
    cria_pool_free(ctx, ctx->pool);
    ctx->pool = NULL;
    assert_int_equal(cria_pool_new(ctx, threads, &ctx->pool, NULL), CRIA_OK);
    return ctx;
}

/* Plain, not atomic: a race between two workers is the thread sanitizer's to see. */
struct job {
    uint32_t n_threads;
    size_t n, most;
    unsigned visits[MAX_ITEMS];
    unsigned by_worker[MAX_WORKERS];
    atomic_uint bad;
};

/* The largest piece of a part of n items: a quarter of it. */
static size_t quarter(size_t n) { return (n + 3) / 4; }

static void visit(void *arg, size_t begin, size_t end, uint32_t worker) {
    struct job *job = arg;
    const bool alone = job->n == 1 || job->n_threads == 1;
    const size_t part = (job->n + job->n_threads - 1) / job->n_threads;
    if (begin >= end || end > job->n || end - begin > job->most || (!alone && end - begin > quarter(part)) ||
        worker >= job->n_threads) {
        atomic_fetch_add(&job->bad, 1);
        return;
    }
    job->by_worker[worker]++;
    for (size_t i = begin; i < end; i++) job->visits[i]++;
}

/* How many pieces a loop is made of, whoever takes them. */
static size_t pieces_of(size_t n, uint32_t threads, size_t most) {
    size_t pieces = 0;
    if (n == 1 || threads == 1) return n / most + (n % most != 0);
    for (uint32_t k = 0; k < threads; k++)
        for (size_t left = n * (k + 1) / threads - n * k / threads; left > 0; pieces++)
            left -= quarter(left) < most ? quarter(left) : most;
    return pieces;
}

static void every_item_is_visited_once(void **state) {
    (void)state;
    static const uint32_t threads[] = {1, 2, 3, 5};
    static const size_t sizes[] = {0, 1, 2, 3, 7, 64, 999, MAX_ITEMS};
    static const size_t most[] = {1, 2, 3, 64, MAX_ITEMS, SIZE_MAX};
    for (size_t t = 0; t < N_ITEMS(threads); t++) {
        cria_ctx *ctx = context(threads[t]);
        assert_int_equal(cria_pool_threads(ctx->pool), threads[t]);
        for (size_t s = 0; s < N_ITEMS(sizes); s++)
            for (size_t g = 0; g < N_ITEMS(most); g++) {
                struct job job = {.n_threads = threads[t], .n = sizes[s], .most = most[g]};
                cria_pool_for(ctx->pool, job.n, job.most, visit, &job);
                assert_int_equal(job.bad, 0);
                for (size_t i = 0; i < MAX_ITEMS; i++) assert_int_equal(job.visits[i], i < job.n);
                unsigned pieces = 0;
                for (size_t w = 0; w < MAX_WORKERS; w++) pieces += job.by_worker[w];
                assert_int_equal(pieces, pieces_of(job.n, threads[t], job.most));
            }
        cria_ctx_unref(ctx);
    }
}

/* A chain: loop k + 1 reads what any thread wrote in loop k. */
struct chain {
    size_t n;
    uint32_t cells[2][64];
    unsigned from;
};

static void add_neighbour(void *arg, size_t begin, size_t end, uint32_t worker) {
    struct chain *c = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        c->cells[!c->from][i] = c->cells[c->from][i] + c->cells[c->from][(i + 1) % c->n];
}

static void many_small_loops_see_each_others_results(void **state) {
    (void)state;
    static const uint32_t threads[] = {1, 2, 3, 5};
    uint32_t expected = 0;
    for (size_t t = 0; t < N_ITEMS(threads); t++) {
        cria_ctx *ctx = context(threads[t]);
        struct chain c = {.n = 7};
        for (size_t i = 0; i < c.n; i++) c.cells[0][i] = (uint32_t)i;
        for (int k = 0; k < 4000; k++) {
            cria_pool_for(ctx->pool, c.n, 1, add_neighbour, &c);
            c.from = !c.from;
            if (k % 1000 == 999) usleep(2000); /* long enough for the workers to fall asleep */
        }
        if (t == 0) expected = c.cells[0][0];
        assert_int_equal(c.cells[0][0], expected);
        cria_ctx_unref(ctx);
    }
}

struct caller {
    cria_pool *pool;
    uint64_t sum;
    bool ok;
};

static void add(void *arg, size_t begin, size_t end, uint32_t worker) {
    uint64_t *sums = arg;
    for (size_t i = begin; i < end; i++) sums[worker] += i;
}

static void *call(void *arg) {
    struct caller *c = arg;
    for (size_t n = 0; n < 700; n++) {
        uint64_t sums[MAX_WORKERS] = {0}, sum = 0;
        cria_pool_for(c->pool, n % 50, 1 + n % 3, add, sums);
        for (size_t w = 0; w < MAX_WORKERS; w++) sum += sums[w];
        if (sum != (n % 50 ? (n % 50) * (n % 50 - 1) / 2 : 0)) c->ok = false;
    }
    return NULL;
}

static void concurrent_callers_take_turns(void **state) {
    (void)state;
    static const uint32_t threads[] = {1, 2, 3, 5};
    for (size_t t = 0; t < N_ITEMS(threads); t++) {
        cria_ctx *ctx = context(threads[t]);
        struct caller callers[4];
        pthread_t ids[4];
        for (size_t i = 0; i < 4; i++) {
            const struct caller c = {.pool = ctx->pool, .ok = true};
            callers[i] = c;
            assert_int_equal(pthread_create(&ids[i], NULL, call, &callers[i]), 0);
        }
        for (size_t i = 0; i < 4; i++) {
            pthread_join(ids[i], NULL);
            assert_true(callers[i].ok);
        }
        cria_ctx_unref(ctx);
    }
}

static void slow_piece(void *arg, size_t begin, size_t end, uint32_t worker) {
    atomic_uint *done = arg;
    (void)begin;
    (void)end;
    (void)worker;
    usleep(1000);
    atomic_fetch_add(done, 1);
}

/* The caller runs out of work long before a worker is done, so it sleeps on the gate. */
static void waits_for_slow_workers(void **state) {
    (void)state;
    cria_ctx *ctx = context(3);
    for (int i = 0; i < 30; i++) {
        atomic_uint done = 0;
        cria_pool_for(ctx->pool, 4, 1, slow_piece, &done);
        assert_int_equal(done, 4);
    }
    cria_ctx_unref(ctx);
}

static void pools_come_and_go(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) {
        cria_ctx *ctx = context(1 + (uint32_t)i % 5);
        struct job job = {.n_threads = 5, .n = 10, .most = 1};
        if (i % 2) cria_pool_for(ctx->pool, job.n, job.most, visit, &job);
        assert_int_equal(job.bad, 0);
        cria_ctx_unref(ctx);
    }
}

static void loops_allocate_nothing(void **state) {
    (void)state;
    cria_ctx *ctx = context(3);
    const uint64_t before = cria_mem_count(ctx);
    struct job job = {.n_threads = 3, .n = MAX_ITEMS, .most = 1};
    cria_pool_for(ctx->pool, job.n, job.most, visit, &job);
    assert_int_equal(cria_mem_count(ctx), before);
    cria_ctx_unref(ctx);
}

/* ---- several nodes, simulated ---- */

static void threads_are_spread_as_the_cores_are(void **state) {
    (void)state;
    static const struct {
        uint32_t nodes, cores[4], threads;
        const char *node_of_thread;
    } cases[] = {
        {1, {8}, 3, "000"},        {2, {8, 8}, 1, "0"},           {2, {8, 8}, 2, "01"},
        {2, {8, 8}, 5, "00011"},   {2, {2, 6}, 4, "0111"},        {2, {2, 6}, 8, "00111111"},
        {2, {1, 1}, 6, "000111"},  {4, {1, 1, 1, 1}, 3, "012"},   {3, {4, 0, 4}, 4, "0022"},
        {4, {3, 1, 1, 1}, 6, "000123"},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        struct cria_topology t = {.n_nodes = cases[i].nodes};
        memcpy(t.node_cores, cases[i].cores, sizeof cases[i].cores);
        uint8_t node[8] = {0};
        cria_pool_spread(&t, cases[i].threads, node);
        for (uint32_t k = 0; k < cases[i].threads; k++) assert_int_equal(node[k], cases[i].node_of_thread[k] - '0');
    }
}

/* All processors are in node 0; the other nodes' do not exist, so that pinning to them is refused. */
static void pretend_nodes(cria_ctx *ctx, uint32_t n) {
    struct cria_topology *t = &ctx->cpu.topology;
    for (size_t i = 0; i < CRIA_MAX_CPUS; i++)
        if (t->node_of[i] != CRIA_CPU_ABSENT) t->node_of[i] = 0;
    t->n_nodes = n;
    for (uint32_t k = 0; k < n; k++) t->node_cores[k] = 1;
}

static void every_item_is_visited_once_on_several_nodes(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 7, 64, 999};
    for (uint32_t nodes = 2; nodes <= 5; nodes++) {
        for (uint32_t threads = 1; threads <= 5; threads += 2) {
            cria_ctx *ctx = context(1);
            pretend_nodes(ctx, nodes);
            cria_pool *pool = NULL;
            assert_int_equal(cria_pool_new(ctx, threads, &pool, NULL), CRIA_OK);
            for (size_t s = 0; s < N_ITEMS(sizes); s++) {
                struct job job = {.n_threads = threads, .n = sizes[s], .most = 1 + s % 3};
                cria_pool_for(pool, job.n, job.most, visit, &job);
                assert_int_equal(job.bad, 0);
                for (size_t i = 0; i < MAX_ITEMS; i++) assert_int_equal(job.visits[i], i < job.n);
            }
            cria_pool_free(ctx, pool);
            cria_ctx_unref(ctx);
        }
    }
}

struct firsts {
    size_t first[2]; /* item + 1 where each thread began; 0: not yet */
};

static void note_first(void *arg, size_t begin, size_t end, uint32_t worker) {
    struct firsts *f = arg;
    (void)end;
    if (f->first[worker] == 0) f->first[worker] = begin + 1;
    usleep(2000);
}

/* The worker begins in the second half, its own and its node's, while the caller does the first; both help then. */
static void threads_begin_with_their_part(void **state) {
    (void)state;
    for (uint32_t nodes = 1; nodes <= 2; nodes++) {
        cria_ctx *ctx = context(1);
        pretend_nodes(ctx, nodes);
        ctx->cpu.topology.n_cpus = 2;
        cria_pool *pool = NULL;
        assert_int_equal(cria_pool_new(ctx, 2, &pool, NULL), CRIA_OK);
        struct firsts f = {{0, 0}};
        cria_pool_for(pool, 40, 1, note_first, &f);
        assert_int_equal(f.first[0], 1);
        /* 40 ms to show up in; a machine that gives a thread no time for longer tells nothing. */
        if (f.first[1] != 0) assert_true(f.first[1] > 20);
        cria_pool_free(ctx, pool);
        cria_ctx_unref(ctx);
    }
}

static void note_affinity(void *arg, size_t begin, size_t end, uint32_t worker) {
    cpu_set_t *sets = arg; /* [2], for each thread */
    (void)begin;
    (void)end;
    pthread_getaffinity_np(pthread_self(), sizeof *sets, &sets[worker]);
    usleep(1000);
}

/* Affinity of the caller and of the worker of a pool of two; false where the worker has not shown up. */
static bool affinities(cria_ctx *ctx, cpu_set_t sets[2]) {
    cria_pool *pool = NULL;
    memset(sets, 0, 2 * sizeof *sets);
    assert_int_equal(cria_pool_new(ctx, 2, &pool, NULL), CRIA_OK);
    for (int i = 0; i < 100 && CPU_COUNT(&sets[1]) == 0; i++) cria_pool_for(pool, 8, 1, note_affinity, sets);
    cria_pool_free(ctx, pool);
    return CPU_COUNT(&sets[1]) > 0;
}

static void workers_are_pinned_on_several_nodes_only(void **state) {
    (void)state;
    cria_ctx *ctx = context(1);
    struct cria_topology *t = &ctx->cpu.topology;
    cpu_set_t before, sets[2];
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0); /* fails beyond 1024 processors */
    if (t->n_nodes == 1) {
        assert_true(affinities(ctx, sets));
        assert_true(CPU_EQUAL(&sets[1], &before));
    }
    /* The second node: one processor. */
    int last = 0;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before)) last = i;
    pretend_nodes(ctx, 2);
    t->node_of[last] = 1;
    assert_true(affinities(ctx, sets));
    assert_true(CPU_EQUAL(&sets[0], &before)); /* the caller's thread is not ours */
    assert_int_equal(CPU_COUNT(&sets[1]), 1);
    assert_true(CPU_ISSET(last, &sets[1]));
    cria_ctx_unref(ctx);
}

static void count_threads(void *arg, size_t begin, size_t end, uint32_t worker) {
    (void)end;
    atomic_uint *seen = arg; /* [threads] */
    if (begin == 0) usleep(2000); /* long enough for all to come */
    atomic_fetch_add(&seen[worker], 1);
}

/* Twice as many threads as processors lost a fifth of the speed when all of them were started. */
static void no_more_threads_run_than_processors(void **state) {
    (void)state;
    cria_ctx *ctx = context(1);
    ctx->cpu.topology.n_cpus = 3;
    cria_pool *pool = NULL;
    assert_int_equal(cria_pool_new(ctx, 8, &pool, NULL), CRIA_OK);
    assert_int_equal(cria_pool_threads(pool), 8); /* what was asked for: room for each */
    atomic_uint seen[8] = {0};
    unsigned all = 0;
    for (int i = 0; i < 200; i++) cria_pool_for(pool, 20, 1, count_threads, seen);
    for (size_t i = 0; i < 8; i++) {
        all += seen[i];
        if (i >= 3) assert_int_equal(seen[i], 0);
    }
    assert_int_equal(all, 200 * 20);
    assert_true(seen[1] + seen[2] > 0);
    cria_pool_free(ctx, pool);
    cria_ctx_unref(ctx);
}

static void impossible_sizes_are_refused(void **state) {
    (void)state;
    cria_ctx *ctx = context(1);
    cria_pool *pool = NULL;
    cria_error err;
    assert_int_equal(cria_pool_new(ctx, 0, &pool, &err), CRIA_EINVAL);
    assert_int_equal(cria_pool_new(ctx, UINT32_MAX, &pool, &err), CRIA_EINVAL);
    assert_null(pool);
    cria_pool_free(ctx, NULL);
    cria_ctx_unref(ctx);
}

/* With room for the stacks of some threads only. In a child, because limits stay; sanitizers need the room.
 */
static void failing_thread_creation_is_cleaned_up(void **state) {
    (void)state;
#if defined(CRIA_TEST_SANITIZED)
    skip();
#endif
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit limit = {400 << 20, 400 << 20};
        struct counting_alloc c;
        counting_alloc_init(&c, -1);
        const cria_ctx_opts o = {.size = sizeof o, .threads = 1, .allocator = counting_alloc_hook(&c)};
        cria_ctx *ctx = NULL;
        cria_error err = {CRIA_OK, 0, ""};
        if (cria_ctx_base_new(&o, &ctx, &err) != CRIA_OK) _exit(2);
        ctx->cpu.topology.n_cpus = 1000;
        const long live = c.live;
        cria_pool *pool = NULL;
        const bool ok = setrlimit(RLIMIT_AS, &limit) == 0 && cria_pool_new(ctx, 1000, &pool, &err) == CRIA_ENOMEM &&
                        !pool && c.live == live && strstr(err.msg, "of 1000");
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_visited_once),
        cmocka_unit_test(many_small_loops_see_each_others_results),
        cmocka_unit_test(concurrent_callers_take_turns),
        cmocka_unit_test(waits_for_slow_workers),
        cmocka_unit_test(pools_come_and_go),
        cmocka_unit_test(loops_allocate_nothing),
        cmocka_unit_test(threads_are_spread_as_the_cores_are),
        cmocka_unit_test(every_item_is_visited_once_on_several_nodes),
        cmocka_unit_test(threads_begin_with_their_part),
        cmocka_unit_test(workers_are_pinned_on_several_nodes_only),
        cmocka_unit_test(no_more_threads_run_than_processors),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(failing_thread_creation_is_cleaned_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
