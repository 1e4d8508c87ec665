/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every fuzz target wraps its work in. The input is copied into a heap block of exactly its length, so
 * that AddressSanitizer sees the first byte read too far. The context's allocator has a budget: to ask for
 * more than the input justifies is a finding like a crash, and so is a block that is not given back. Then the
 * work is done once more with one allocation failing, chosen by the input.
 */
#ifndef CRIA_FUZZ_GUARD_H
#define CRIA_FUZZ_GUARD_H

#include "base/ctx.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct guard {
    cria_ctx ctx;         /* an allocator and nothing else: no logger, no kernels, no pool */
    size_t asked, budget; /* bytes of all allocations together */
    size_t live;          /* blocks */
    size_t calls, fail_at;
};

/* For what must hold whatever the input is. */
#define GUARD_CHECK(condition)                                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static inline void *guard_alloc(void *user, size_t bytes) {
    struct guard *g = user;
    if (g->calls++ == g->fail_at) return NULL;
    GUARD_CHECK(bytes <= g->budget - g->asked);
    g->asked += bytes;
    void *p = cria_allocator_libc().alloc(NULL, bytes);
    if (p != NULL) g->live++;
    return p;
}

static inline void guard_free(void *user, void *p) {
    struct guard *g = user;
    g->live--;
    cria_allocator_libc().free(NULL, p);
}

typedef void guard_body(cria_ctx *ctx, const uint8_t *data, size_t len);

/* Returns the number of allocations. */
static inline size_t guard_once(guard_body *body, const uint8_t *data, size_t len, size_t budget,
                                size_t fail_at) {
    struct guard g = {.budget = budget, .fail_at = fail_at};
    g.ctx.allocator = (cria_allocator){guard_alloc, guard_free, &g};
    uint8_t *exact = malloc(len != 0 ? len : 1);
    if (exact == NULL) return 0;
    if (len != 0) memcpy(exact, data, len);
    body(&g.ctx, exact, len);
    free(exact);
    GUARD_CHECK(g.live == 0);
    return g.calls;
}

/* Runs body on data with at most base + factor·len bytes of memory, then with one failing allocation. */
static inline int guard_run_from(guard_body *body, const uint8_t *data, size_t len, size_t base, size_t factor) {
    const size_t budget = base + factor * len;
    const size_t calls = guard_once(body, data, len, budget, SIZE_MAX);
    size_t pick = len; /* FNV-1a */
    for (size_t i = 0; i < len; i++) pick = (pick ^ data[i]) * 16777619u;
    if (calls != 0) guard_once(body, data, len, budget, pick % calls);
    return 0;
}

static inline int guard_run(guard_body *body, const uint8_t *data, size_t len, size_t factor) {
    return guard_run_from(body, data, len, 65536, factor);
}

#endif
