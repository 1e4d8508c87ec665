/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator hook. Nothing is kept per block: sizes are the callers' knowledge. */
#include "base/mem.h"
#include "base/ctx.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *libc_alloc(void *user, size_t bytes) {
    (void)user;
    void *p = NULL;
    /* Not aligned_alloc: it wants a rounded-up size, which would hide short overruns from AddressSanitizer. */
    return posix_memalign(&p, CRIA_ALIGN, bytes) == 0 ? p : NULL;
}

static void libc_free(void *user, void *p) {
    (void)user;
    free(p);
}

cria_allocator cria_allocator_libc(void) {
    const cria_allocator a = {libc_alloc, libc_free, NULL};
    return a;
}

void *cria_malloc(cria_ctx *ctx, size_t bytes) {
    void *p = ctx->allocator.alloc(ctx->allocator.user, bytes ? bytes : 1);
    if (p) atomic_fetch_add_explicit(&ctx->n_allocs, 1, memory_order_relaxed);
    return p;
}

void *cria_malloc_array(cria_ctx *ctx, size_t n, size_t size) {
    size_t bytes;
    return cria_mul_ok(n, size, &bytes) ? cria_malloc(ctx, bytes) : NULL;
}

void *cria_calloc(cria_ctx *ctx, size_t n, size_t size) {
    void *p = cria_malloc_array(ctx, n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

void *cria_realloc(cria_ctx *ctx, void *p, size_t old_bytes, size_t new_bytes) {
    void *q = cria_malloc(ctx, new_bytes);
    if (!q) return NULL;
    const size_t kept = old_bytes < new_bytes ? old_bytes : new_bytes;
    if (p && kept) memcpy(q, p, kept);
    cria_free(ctx, p);
    return q;
}

void cria_free(cria_ctx *ctx, void *p) {
    if (p) ctx->allocator.free(ctx->allocator.user, p);
}

void cria_mem_prefer_huge(void *p, size_t bytes) {
#if defined(MADV_HUGEPAGE)
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)p + page - 1) / page * page, end = ((uintptr_t)p + bytes) / page * page;
    if (begin < end) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)p;
    (void)bytes;
#endif
}

uint64_t cria_mem_count(const cria_ctx *ctx) {
    return atomic_load_explicit(&ctx->n_allocs, memory_order_relaxed);
}
