/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pooltime: what the thread pool costs. Prints the time of an empty parallel loop, and how fast loops as short as those
 * of a small model's token run (16 pieces of 2 µs, then 1 µs on the caller alone, as between kernels) with as many
 * threads as the machine lends, with twice as many, and both again while other processes keep the processors busy.
 * Compare figures of one run only, and on a machine that does nothing else: docs/threads.md has some. What follows from
 * them is tested without a clock in tests/unit/test_pool.c.
 */
#include "base/ctx.h"
#include "base/pool.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECES = 16, PIECE_NS = 2000, GAP_NS = 1000, ROUNDS = 12, MAX_HOGS = 256 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The same number of steps whatever the load: a chain of additions that the compiler must keep. */
static void steps(unsigned n) {
    atomic_uint x = 0;
    for (unsigned i = 0; i < n; i++) atomic_store_explicit(&x, i, memory_order_relaxed);
}

static unsigned steps_per_us(void) {
    double best = 1;
    for (int i = 0; i < 20; i++) {
        const double start = now();
        steps(1000000);
        const double t = now() - start;
        if (t < best) best = t;
    }
    return (unsigned)(1000000 / (best * 1e6));
}

static void nothing(void *arg, size_t begin, size_t end, uint32_t worker) {
    (void)arg;
    (void)begin;
    (void)end;
    (void)worker;
}

static void piece(void *arg, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    for (size_t i = begin; i < end; i++) steps(*(unsigned *)arg * PIECE_NS / 1000);
}

static double empty_ns(cria_pool *pool) {
    double best = 1;
    for (int round = 0; round < ROUNDS; round++) {
        const double start = now();
        for (int i = 0; i < 5000; i++) cria_pool_for(pool, 2 * cria_pool_threads(pool), 1, nothing, NULL);
        const double t = (now() - start) / 5000;
        if (t < best) best = t;
    }
    return best * 1e9;
}

/* Microseconds a loop, over about 20 ms. */
static double loop_us(cria_pool *pool, unsigned per_us) {
    enum { LOOPS = 1000 };
    const double start = now();
    for (int i = 0; i < LOOPS; i++) {
        cria_pool_for(pool, PIECES, 1, piece, &per_us);
        steps(per_us * GAP_NS / 1000);
    }
    return (now() - start) * 1e6 / LOOPS;
}

struct times {
    double best, median;
};

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The pools in turn, so that what else runs on the machine meets them alike. */
static void compare(cria_pool *const pools[2], unsigned per_us, struct times out[2]) {
    double t[2][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < 2; i++) t[i][round] = loop_us(pools[i], per_us);
    for (int i = 0; i < 2; i++) {
        qsort(t[i], ROUNDS, sizeof t[i][0], by_value);
        out[i] = (struct times){t[i][0], t[i][ROUNDS / 2]};
    }
}

static void report(const char *what, const struct times t[2], uint32_t threads) {
    for (int i = 0; i < 2; i++)
        printf("%-30s %3u threads  best %8.1f us, median %8.1f us a loop\n", what, threads << i, t[i].best,
               t[i].median);
}

int main(void) {
    cria_ctx *ctx[2] = {NULL, NULL};
    cria_pool *pools[2];
    uint32_t threads = 0;
    cria_error err;
    for (int i = 0; i < 2; i++) {
        const cria_ctx_opts o = {.size = sizeof o, .threads = 2 * threads};
        if (cria_ctx_base_new(&o, &ctx[i], &err) != CRIA_OK) {
            fprintf(stderr, "pooltime: %s\n", err.msg);
            return 2;
        }
        pools[i] = ctx[i]->pool;
        threads = cria_pool_threads(pools[i]);
    }
    threads /= 2;
    const unsigned per_us = steps_per_us();
    struct times t[2];
    for (int i = 0; i < 2; i++)
        printf("empty loop, %u threads: %.0f ns\n", cria_pool_threads(pools[i]), empty_ns(pools[i]));
    compare(pools, per_us, t);
    report("processors free", t, threads);
    const double ratio = t[1].best / t[0].best;

    pid_t hogs[MAX_HOGS];
    const uint32_t n = threads < MAX_HOGS ? threads : MAX_HOGS;
    for (uint32_t i = 0; i < n; i++) {
        hogs[i] = fork();
        while (hogs[i] == 0) steps(1000000);
    }
    compare(pools, per_us, t);
    report("a busy process a processor", t, threads);
    for (uint32_t i = 0; i < n; i++) {
        if (hogs[i] < 0) continue;
        kill(hogs[i], SIGKILL);
        waitpid(hogs[i], NULL, 0);
    }
    for (int i = 0; i < 2; i++) cria_ctx_unref(ctx[i]);
    printf("twice as many threads take %.2f times as long\n", ratio);
    return 0;
}
