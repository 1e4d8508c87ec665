/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cria_ctx_measure of cria.h: the probes of the kernel table on all threads of the pool. A limit is the best
 * of several tries, since whatever else the machine does can only make one slower.
 */
#include "engine/limits.h"
#include "base/clock.h"
#include "base/ctx.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include "base/topology.h"
#include "kernels/kernels.h"

#include <stdatomic.h>
#include <string.h>

enum {
    TRY_NS = 1000000, /* waking the threads does not count, and some try falls between two interruptions */
    PIECES_PER_THREAD = 16 /* even out cores of unequal speed */
};

/* ---- multiply-adds ---- */

struct compute {
    uint64_t (*probe)(uint32_t n);
    uint32_t rounds; /* of a piece */
    atomic_uint_fast64_t done;
};

static void compute_pieces(void *arg, size_t begin, size_t end, uint32_t worker) {
    struct compute *c = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        atomic_fetch_add_explicit(&c->done, c->probe(c->rounds), memory_order_relaxed);
}

/* Operations a second. */
static double measure_compute(cria_ctx *ctx, uint64_t probe(uint32_t n), uint32_t tries) {
    struct compute c = {.probe = probe, .rounds = 64};
    double best = 0;
    for (uint32_t try = 0; try < tries;) {
        atomic_init(&c.done, 0);
        const uint64_t start = cria_clock_ns();
        cria_pool_for(ctx->pool, (size_t)PIECES_PER_THREAD * cria_pool_threads(ctx->pool), 1, compute_pieces,
                      &c);
        const uint64_t ns = cria_clock_ns() - start;
        if (ns < TRY_NS && c.rounds < 1u << 30) { /* also warms the processor up */
            c.rounds *= 2;
            continue;
        }
        const double rate = 2e9 * (double)atomic_load(&c.done) / (double)ns;
        if (rate > best) best = rate;
        try++;
    }
    return best;
}

/* ---- memory ---- */

#define MOST_BYTES ((size_t)4 << 30)
#define PIECE ((size_t)2 << 20) /* a huge page */

struct reading {
    const struct cria_kernels *kernels;
    uint8_t *p;
    atomic_uint_fast64_t sum; /* of what was read, so that it has to be */
};

static void touch_pieces(void *arg, size_t begin, size_t end, uint32_t worker) {
    struct reading *r = arg;
    (void)worker;
    memset(r->p + begin * PIECE, 1, (end - begin) * PIECE);
}

static void read_pieces(void *arg, size_t begin, size_t end, uint32_t worker) {
    struct reading *r = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        atomic_fetch_xor_explicit(&r->sum, r->kernels->probe_read(r->p + i * PIECE, PIECE),
                                  memory_order_relaxed);
}

static cria_status measure_read(cria_ctx *ctx, const struct cria_measure_effort *effort, double *out, cria_error *err) {
    size_t bytes = effort->thread_bytes * cria_pool_threads(ctx->pool);
    if (bytes < effort->least_bytes) bytes = effort->least_bytes;
    if (bytes > MOST_BYTES) bytes = MOST_BYTES;
    uint8_t *memory = cria_malloc(ctx, bytes + PIECE);
    if (memory == NULL) return cria_fail_nomem(err, "measuring how fast memory is", bytes + PIECE);
    struct reading r = {.kernels = ctx->kernels};
    r.p = memory + (PIECE - (uintptr_t)memory % PIECE) % PIECE;
    atomic_init(&r.sum, 0);
    cria_mem_prefer_huge(r.p, bytes);
    cria_pool_for(ctx->pool, bytes / PIECE, 1, touch_pieces, &r);
    double best = 0;
    for (uint32_t try = 0; try < effort->read_tries; try++) {
        const uint64_t start = cria_clock_ns();
        cria_pool_for(ctx->pool, bytes / PIECE, 1, read_pieces, &r);
        const double rate = 1e9 * (double)bytes / (double)(cria_clock_ns() - start);
        if (rate > best) best = rate;
    }
    cria_free(ctx, memory);
    *out = best;
    return CRIA_OK;
}

cria_status cria_measure(cria_ctx *ctx, const struct cria_measure_effort *effort, cria_limits *out, cria_error *err) {
    cria_limits limits;
    const cria_status st = measure_read(ctx, effort, &limits.read_bytes, err);
    if (st) return st;
    limits.f32_ops = measure_compute(ctx, ctx->kernels->probe_f32, effort->compute_tries);
    limits.int8_ops = measure_compute(ctx, ctx->kernels->probe_int8, effort->compute_tries);
    *out = limits;
    return CRIA_OK;
}

cria_status cria_ctx_measure(cria_ctx *ctx, cria_limits *out, cria_error *err) {
    if (ctx == NULL || out == NULL) return cria_fail_null(err, "cria_ctx_measure");
    const struct cria_measure_effort effort = {
        .compute_tries = 100, .read_tries = 20, .least_bytes = (size_t)256 << 20, .thread_bytes = (size_t)64 << 20};
    /* Several times what a cache keeps, as far as there is memory; read as often as fits in about the same time. */
    const uint64_t cached = cria_topology_cache("") * 4, spare = cria_memory_available("") / 4;
    const uint64_t bytes = cached < spare ? cached : spare;
    if (bytes > effort.least_bytes) {
        struct cria_measure_effort more = effort;
        more.read_tries = bytes > effort.least_bytes * 4 ? 4 : (uint32_t)(20 * effort.least_bytes / bytes);
        more.least_bytes = (size_t)bytes;
        const cria_status st = cria_measure(ctx, &more, out, err);
        if (st != CRIA_ENOMEM) return st; /* there may be limits that the system does not tell of */
    }
    return cria_measure(ctx, &effort, out, err);
}
