/* SPDX-License-Identifier: Apache-2.0 */
/* An allocator that counts what is alive and fails from the n-th allocation on (sticky), for sweeps over
 * every allocation of an operation: run it with fail_at = 0, 1, 2 … until it succeeds, and see live at 0
 * after each. */
#ifndef CRIA_TESTS_COUNTING_ALLOC_H
#define CRIA_TESTS_COUNTING_ALLOC_H

#include "base/mem.h"
#include <stdatomic.h>

struct counting_alloc {
    atomic_long live;  /* blocks given out and not taken back */
    atomic_long calls; /* allocations asked for */
    long fail_at;      /* the first call, from 0, that fails; negative: none */
};

static inline void *counting_alloc_alloc(void *user, size_t bytes) {
    struct counting_alloc *c = user;
    const long call = atomic_fetch_add(&c->calls, 1);
    if (c->fail_at >= 0 && call >= c->fail_at) return NULL;
    void *p = cria_allocator_libc().alloc(NULL, bytes);
    if (p) atomic_fetch_add(&c->live, 1);
    return p;
}

static inline void counting_alloc_free(void *user, void *p) {
    struct counting_alloc *c = user;
    atomic_fetch_sub(&c->live, 1);
    cria_allocator_libc().free(NULL, p);
}

static inline void counting_alloc_init(struct counting_alloc *c, long fail_at) {
    atomic_init(&c->live, 0);
    atomic_init(&c->calls, 0);
    c->fail_at = fail_at;
}

static inline cria_allocator counting_alloc_hook(struct counting_alloc *c) {
    const cria_allocator a = {counting_alloc_alloc, counting_alloc_free, c};
    return a;
}

#endif
