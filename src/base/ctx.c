/* SPDX-License-Identifier: Apache-2.0 */
/* Making and counting contexts. The context lives in memory of its own allocator. It knows no kernel table:
 * whoever creates it for use (api.c, tests) sets .kernels before sharing it. */
#include "base/ctx.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include <stdarg.h>

enum { CRIA_MAX_THREADS = 1024 }; /* more processors than any one machine lends to one program today */

static cria_status check_opts(const cria_ctx_opts *o, cria_error *err) {
    if (o->size != sizeof *o)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_ctx_opts.size is %zu where this library's is %zu; use cria_ctx_opts_default().",
                         o->size, sizeof *o);
    if (o->threads > CRIA_MAX_THREADS)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%u threads were asked for; at most %d are possible.", (unsigned)o->threads,
                         CRIA_MAX_THREADS);
    if (!o->allocator.alloc != !o->allocator.free)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_ctx_opts.allocator has only one of alloc and free; set both or neither.");
    return CRIA_OK;
}

/* Memory for the context itself, before there is one to ask. */
static cria_status alloc_ctx(const cria_allocator *a, cria_ctx **out, cria_error *err) {
    void *p = a->alloc(a->user, sizeof(cria_ctx));
    if (!p) return cria_fail_nomem(err, "a context", sizeof(cria_ctx));
    if ((uintptr_t)p % CRIA_ALIGN != 0) {
        a->free(a->user, p);
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_ctx_opts.allocator.alloc returned memory that is not aligned to %u bytes.",
                         CRIA_ALIGN);
    }
    *out = p;
    return CRIA_OK;
}

cria_status cria_ctx_base_new(const cria_ctx_opts *opts, cria_ctx **out, cria_error *err) {
    const cria_ctx_opts defaults = {.size = sizeof defaults};
    const cria_ctx_opts *o = opts ? opts : &defaults;
    cria_status status = check_opts(o, err);
    if (status != CRIA_OK) return status;

    const cria_allocator allocator = o->allocator.alloc ? o->allocator : cria_allocator_libc();
    struct cria_cpu cpu;
    cria_cpu_detect(&cpu);
    uint32_t flags;
    status = cria_cpu_lower(cpu.flags, o->isa, &flags, err);
    if (status != CRIA_OK) return status;
    cpu.flags = flags;

    cria_ctx *ctx = NULL;
    status = alloc_ctx(&allocator, &ctx, err);
    if (status != CRIA_OK) return status;
    ctx->allocator = allocator;
    atomic_init(&ctx->n_allocs, 1);
    atomic_init(&ctx->refs, 1);
    ctx->log = o->log;
    ctx->log_user = o->log_user;
    ctx->cpu = cpu;
    ctx->kernels = NULL;
    ctx->pool = NULL;
    uint32_t threads = o->threads ? o->threads : cpu.threads;
    if (threads > CRIA_MAX_THREADS) threads = CRIA_MAX_THREADS;
    status = cria_pool_new(ctx, threads, &ctx->pool, err);
    if (status != CRIA_OK) {
        cria_ctx_unref(ctx);
        return status;
    }
    *out = ctx;
    return CRIA_OK;
}

cria_ctx *cria_ctx_ref(cria_ctx *ctx) {
    atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

void cria_ctx_unref(cria_ctx *ctx) {
    /* acq_rel: what other owners did happens before the last one frees. */
    if (!ctx || atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1) return;
    cria_pool_free(ctx, ctx->pool);
    const cria_allocator a = ctx->allocator;
    a.free(a.user, ctx);
}

void cria_log(const cria_ctx *ctx, cria_log_level level, const char *fmt, ...) {
    if (!ctx->log) return;
    char line[1000];
    va_list args;
    va_start(args, fmt);
    cria_message(line, sizeof line, fmt, args);
    va_end(args);
    ctx->log(ctx->log_user, level, line);
}
