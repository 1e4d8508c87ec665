/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread pool. One loop runs at a time; its caller works too and never depends on a worker showing up:
 *
 *   caller: write the loop, open the gate, count the epoch up, wake sleepers, take pieces until none is left,
 *           close the gate, wait until the workers inside have left.
 *   worker: wait until the epoch differs from the last one seen, enter if the gate is open, take pieces, leave.
 *
 * So a worker that the system keeps from running costs its share of the work but no waiting, and a worker
 * that misses an epoch does no harm. The loop's fields are written only while the gate is closed and empty,
 * and read only inside. Waiting is spinning for at most SPIN_NS, then a futex: workers sleep on the epoch,
 * the caller on the gate.
 */
#include "base/pool.h"
#include "base/clock.h"
#include "base/ctx.h"
#include "base/mem.h"
#include "base/status.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPIN_NS = 50000,       /* longer than the gaps within a forward pass, shorter than a scheduler tick */
    SPIN_NS_CROWDED = 500, /* more threads than the quota has time for: spinning is paid for with it */
    PAUSES_PER_CLOCK = 16
};

/* The gate: number of workers inside, and two flags. */
#define GATE_INSIDE 0xffffu
#define GATE_OPEN 0x10000u
#define GATE_CALLER_SLEEPS 0x20000u

struct worker {
    cria_pool *pool;
    pthread_t thread;
    uint32_t index; /* 1 … n_running − 1; 0 is the caller */
    uint32_t node;
};

/* A thread's part of the loop. Each on a cache line of its own: threads write to them all the time. */
struct part {
    _Alignas(64) atomic_size_t next; /* first of its items not handed out yet */
    size_t end;
};

struct cria_pool {
    pthread_mutex_t callers; /* held during a loop */
    struct worker *workers;  /* [n_running − 1] */
    uint32_t n_threads;      /* asked for */
    uint32_t n_running;      /* at most as many as there are processors */
    uint32_t n_started;      /* workers */
    uint32_t spin_ns;
    /* the loop */
    cria_pool_fn *fn;
    void *arg;
    size_t n, most;
    const struct cria_topology *topology; /* the context's */
    struct part *parts;                   /* [n_running], those of a node's threads side by side */
    uint32_t *first_part;                 /* [n_nodes + 1], of a node */
    uint32_t n_nodes;                     /* 1 where there is no choice */
    /* Each on a cache line of its own: they are written by different threads at different times. */
    _Alignas(64) atomic_uint gate;
    _Alignas(64) atomic_uint epoch; /* futex of the workers */
    atomic_uint sleepers;
    atomic_bool stop;
};

_Static_assert(sizeof(atomic_uint) == 4, "a futex is 32 bits");

static void futex_wait(atomic_uint *word, unsigned expected) {
    /* Returns early on signals and when *word differs; all callers check again. */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, uint32_t n) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* YIELD does nothing on most cores; ISB waits some tens of cycles */
#endif
}

/* Spins until ((*word & mask) == value) is wanted or the time is over; returns what it last saw in *word. */
static unsigned spin_until(const cria_pool *pool, atomic_uint *word, unsigned mask, unsigned value, bool wanted) {
    unsigned v = atomic_load_explicit(word, memory_order_acquire);
    if (((v & mask) == value) == wanted) return v;
    const uint64_t end = cria_clock_ns() + pool->spin_ns;
    do {
        for (int i = 0; i < PAUSES_PER_CLOCK; i++) {
            pause_cpu();
            v = atomic_load_explicit(word, memory_order_acquire);
            if (((v & mask) == value) == wanted) return v;
        }
    } while (cria_clock_ns() < end);
    return v;
}

/* The next piece of a part: a quarter of what is left. False when nothing is. */
static bool take(struct part *part, size_t most, size_t *begin, size_t *end) {
    size_t at = atomic_load_explicit(&part->next, memory_order_relaxed), n;
    do {
        if (at == part->end) return false;
        n = (part->end - at - 1) / 4 + 1;
        if (n > most) n = most;
    } while (!atomic_compare_exchange_weak_explicit(&part->next, &at, at + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    *begin = at;
    *end = at + n;
    return true;
}

static void work_at(cria_pool *pool, uint32_t worker, struct part *part) {
    for (size_t begin, end; take(part, pool->most, &begin, &end);) pool->fn(pool->arg, begin, end, worker);
}

/* Parts a .. b−1, `first` among them first, then those after it, then those before it. */
static void work_around(cria_pool *pool, uint32_t worker, uint32_t a, uint32_t b, uint32_t first) {
    for (uint32_t k = first; k < b; k++) work_at(pool, worker, &pool->parts[k]);
    for (uint32_t k = a; k < first; k++) work_at(pool, worker, &pool->parts[k]);
}

/* Its own part, then what is left of others': of its node, of the nodes after it, of those before it. */
static void work(cria_pool *pool, uint32_t worker, uint32_t node, uint32_t part) {
    const uint32_t a = pool->first_part[node], b = pool->first_part[node + 1];
    work_around(pool, worker, a, b, part);
    if (pool->n_nodes > 1) work_around(pool, worker, 0, pool->n_running, b % pool->n_running);
}

/* n·threads/n_running, without overflow: cuts n in proportion to the threads. */
static size_t proportion(const cria_pool *pool, size_t n, uint32_t threads) {
    return n / pool->n_running * threads + n % pool->n_running * threads / pool->n_running;
}

static void hand_out(cria_pool *pool) {
    for (uint32_t k = 0; k < pool->n_running; k++) {
        struct part *p = &pool->parts[k];
        atomic_store_explicit(&p->next, proportion(pool, pool->n, k), memory_order_relaxed);
        p->end = proportion(pool, pool->n, k + 1);
    }
}

/* Where the calling thread happens to be: it belongs to the program and is not pinned. */
static uint32_t node_of_caller(const cria_pool *pool) {
    if (pool->n_nodes == 1) return 0;
    const int cpu = sched_getcpu();
    const uint32_t node = cpu >= 0 && cpu < CRIA_MAX_CPUS ? pool->topology->node_of[cpu] : 0;
    return node < pool->n_nodes ? node : 0;
}

static bool enter(cria_pool *pool) {
    unsigned g = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    while (g & GATE_OPEN)
        if (atomic_compare_exchange_weak_explicit(&pool->gate, &g, g + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static void leave(cria_pool *pool) {
    /* release: our results are visible to whoever sees us gone. */
    const unsigned g = atomic_fetch_sub_explicit(&pool->gate, 1, memory_order_release);
    if (g == (GATE_CALLER_SLEEPS | 1)) futex_wake(&pool->gate, 1);
}

static void close_gate(cria_pool *pool) {
    atomic_fetch_and_explicit(&pool->gate, ~GATE_OPEN, memory_order_relaxed);
    for (;;) {
        unsigned g = spin_until(pool, &pool->gate, GATE_INSIDE, 0, true);
        if ((g & GATE_INSIDE) == 0) break;
        if (!(g & GATE_CALLER_SLEEPS) &&
            !atomic_compare_exchange_strong_explicit(&pool->gate, &g, g | GATE_CALLER_SLEEPS,
                                                     memory_order_acquire, memory_order_acquire))
            continue;
        futex_wait(&pool->gate, g | GATE_CALLER_SLEEPS);
    }
    atomic_store_explicit(&pool->gate, 0, memory_order_relaxed);
}

/* Sleeps while the epoch is seen. The sequentially consistent order of (sleepers, epoch) here and of (epoch,
 * sleepers) in announce is what makes lost wakeups impossible: one of the two sees the other's store. */
static void sleep_while(cria_pool *pool, unsigned seen) {
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->epoch) == seen) futex_wait(&pool->epoch, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void announce(cria_pool *pool, uint32_t wanted) {
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->sleepers) > 0) futex_wake(&pool->epoch, wanted);
}

static void *worker_main(void *arg) {
    const struct worker *w = arg;
    cria_pool *pool = w->pool;
    unsigned seen = 0; /* pool_new leaves the epoch at 0 */
    for (;;) {
        unsigned epoch = spin_until(pool, &pool->epoch, ~0u, seen, false);
        if (epoch == seen) {
            sleep_while(pool, seen);
            epoch = atomic_load_explicit(&pool->epoch, memory_order_acquire);
        }
        seen = epoch;
        if (atomic_load_explicit(&pool->stop, memory_order_relaxed)) return NULL;
        if (!enter(pool)) continue;
        work(pool, w->index, w->node, w->index);
        leave(pool);
    }
}

/* To all processors of its node. Should the system refuse, the thread runs where it likes. */
static void pin(const struct worker *w) {
    const struct cria_topology *t = w->pool->topology;
    cpu_set_t sets[CRIA_MAX_CPUS / CPU_SETSIZE];
    CPU_ZERO_S(sizeof sets, sets);
    for (size_t i = 0; i < CRIA_MAX_CPUS; i++)
        if (t->node_of[i] == w->node) CPU_SET_S(i, sizeof sets, sets);
    (void)pthread_setaffinity_np(w->thread, sizeof sets, sets);
}

static int start_worker(struct worker *w) {
    const int e = pthread_create(&w->thread, NULL, worker_main, w);
    if (e != 0) return e;
    if (w->pool->n_nodes > 1) pin(w);
    char name[16]; /* the system's limit */
    snprintf(name, sizeof name, "cria-%u", (unsigned)w->index);
    pthread_setname_np(w->thread, name);
    return 0;
}

void cria_pool_spread(const struct cria_topology *t, uint32_t n_threads, uint8_t *node_of_thread) {
    uint32_t given[CRIA_MAX_NODES] = {0};
    for (uint32_t i = 0; i < n_threads; i++) { /* the next goes where a core has fewest threads so far */
        uint32_t best = 0;
        for (uint32_t k = 1; k < t->n_nodes; k++)
            if ((uint64_t)given[k] * t->node_cores[best] < (uint64_t)given[best] * t->node_cores[k]) best = k;
        given[best]++;
    }
    for (uint32_t k = 0, i = 0; k < t->n_nodes; k++)
        for (uint32_t j = 0; j < given[k]; j++) node_of_thread[i++] = (uint8_t)k;
}

/* Parts, nodes and the workers' nodes. False without memory. */
static bool place(cria_pool *pool, cria_ctx *ctx) {
    const struct cria_topology *t = pool->topology = &ctx->cpu.topology;
    pool->n_nodes = t->n_nodes > 0 && pool->n_running > 1 ? t->n_nodes : 1;
    pool->parts = cria_calloc(ctx, pool->n_running, sizeof *pool->parts);
    pool->first_part = cria_calloc(ctx, pool->n_nodes + 1, sizeof *pool->first_part);
    uint8_t *node = cria_calloc(ctx, pool->n_running, 1);
    const bool ok = pool->parts && pool->first_part && node;
    if (ok) {
        if (pool->n_nodes > 1) cria_pool_spread(t, pool->n_running, node);
        for (uint32_t i = 0; i < pool->n_running; i++) {
            pool->first_part[node[i] + 1]++;
            if (i > 0) pool->workers[i - 1].node = node[i];
        }
        for (uint32_t k = 0; k < pool->n_nodes; k++) pool->first_part[k + 1] += pool->first_part[k];
    }
    cria_free(ctx, node);
    return ok;
}

/* Signals are for the program's own threads. */
static int start_workers(cria_pool *pool) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = 0;
    for (uint32_t i = 0; i + 1 < pool->n_running && e == 0; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i + 1;
        e = start_worker(&pool->workers[i]);
        if (e == 0) pool->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e;
}

cria_status cria_pool_new(cria_ctx *ctx, uint32_t n_threads, cria_pool **out, cria_error *err) {
    if (n_threads == 0 || n_threads > GATE_INSIDE)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "A pool of %u threads is not possible; 1 to %u are.",
                         (unsigned)n_threads, GATE_INSIDE);
    cria_pool *pool = cria_calloc(ctx, 1, sizeof *pool);
    if (!pool) return cria_fail_nomem(err, "a thread pool", sizeof *pool);
    pthread_mutex_init(&pool->callers, NULL);
    pool->n_threads = n_threads;
    /* Threads that no processor is left for would take turns with the others, and every loop would wait for them:
     * twice as many as processors cost a fifth of the speed, with other programs about much more. They are not
     * started. A quota is another matter: it grants time, in which any number may run. (No processor at all: a
     * context that never looked.) */
    const uint32_t cpus = ctx->cpu.topology.n_cpus;
    pool->n_running = cpus == 0 || n_threads < cpus ? n_threads : cpus;
    pool->spin_ns = pool->n_running > ctx->cpu.quota ? SPIN_NS_CROWDED : SPIN_NS;
    atomic_init(&pool->gate, 0);
    atomic_init(&pool->epoch, 0);
    atomic_init(&pool->sleepers, 0);
    atomic_init(&pool->stop, false);
    pool->workers = cria_calloc(ctx, pool->n_running - 1, sizeof *pool->workers);
    if (!pool->workers || !place(pool, ctx)) {
        const size_t bytes = pool->n_running * sizeof *pool->workers;
        cria_pool_free(ctx, pool);
        return cria_fail_nomem(err, "the threads of a pool", bytes);
    }
    const int e = start_workers(pool);
    if (e != 0) {
        const uint32_t started = pool->n_started, pool_threads = pool->n_running;
        cria_pool_free(ctx, pool);
        return cria_fail(err, CRIA_ENOMEM, CRIA_NOWHERE,
                         "The system refused thread %u of %u (error %d); ask for fewer or raise its limit.",
                         (unsigned)started + 2, (unsigned)pool_threads, e);
    }
    *out = pool;
    return CRIA_OK;
}

void cria_pool_free(cria_ctx *ctx, cria_pool *pool) {
    if (!pool) return;
    atomic_store_explicit(&pool->stop, true, memory_order_relaxed); /* published by the epoch */
    announce(pool, pool->n_started);
    for (uint32_t i = 0; i < pool->n_started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_mutex_destroy(&pool->callers);
    cria_free(ctx, pool->parts);
    cria_free(ctx, pool->first_part);
    cria_free(ctx, pool->workers);
    cria_free(ctx, pool);
}

uint32_t cria_pool_threads(const cria_pool *pool) { return pool->n_threads; }

uint32_t cria_pool_nodes(const cria_pool *pool) { return pool->n_nodes; }

size_t cria_pool_part(const cria_pool *pool, size_t n, uint32_t node) {
    return node < pool->n_nodes ? proportion(pool, n, pool->first_part[node]) : n;
}

static void run_alone(size_t n, size_t most, cria_pool_fn *fn, void *arg) {
    for (size_t begin = 0, end; begin < n; begin = end) {
        end = n - begin < most ? n : begin + most;
        fn(arg, begin, end, 0);
    }
}

void cria_pool_for(cria_pool *pool, size_t n, size_t most, cria_pool_fn *fn, void *arg) {
    if (n == 0) return;
    pthread_mutex_lock(&pool->callers);
    if (n == 1 || pool->n_running == 1) {
        run_alone(n, most, fn, arg);
    } else {
        pool->fn = fn;
        pool->arg = arg;
        pool->n = n;
        pool->most = most;
        hand_out(pool);
        atomic_store_explicit(&pool->gate, GATE_OPEN, memory_order_release); /* publishes the lines above */
        const size_t helpers = n - 1; /* more than that would find nothing to do */
        announce(pool, helpers < pool->n_started ? (uint32_t)helpers : pool->n_started);
        const uint32_t node = node_of_caller(pool);
        work(pool, 0, node, pool->first_part[node]); /* part 0, at home */
        close_gate(pool);
    }
    pthread_mutex_unlock(&pool->callers);
}
