/* SPDX-License-Identifier: Apache-2.0 */
/* cria_ctx: what others make global. Created once, then read-only but for its reference count, the allocation
 * counter and the pool's own state. Passed first everywhere. base does not know the kernel table's type. */
#ifndef CRIA_BASE_CTX_H
#define CRIA_BASE_CTX_H

#include "cria/cria.h"
#include "base/cpu.h"
#include <stdatomic.h>

struct cria_kernels; /* kernels/kernels.h */
struct cria_pool;    /* base/pool.h */

struct cria_ctx {
    cria_allocator allocator;
    atomic_uint_fast64_t n_allocs;
    atomic_uint refs;
    cria_log_fn *log;
    void *log_user;
    struct cria_cpu cpu;                /* what the processor and the OS allow */
    const struct cria_kernels *kernels; /* the table in use; set by api.c, never NULL afterwards */
    struct cria_pool *pool;
};

/* Everything but .kernels, which the caller (api.c, tests) sets. threads as in cria_ctx_opts. */
cria_status cria_ctx_base_new(const cria_ctx_opts *opts, cria_ctx **out, cria_error *err);
cria_ctx *cria_ctx_ref(cria_ctx *ctx);
/* Drops one reference; the last one frees. NULL is legal. */
void cria_ctx_unref(cria_ctx *ctx);

/* Formats one line for the context's logger; nothing when there is none. */
void cria_log(const cria_ctx *ctx, cria_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
