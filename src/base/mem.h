/* SPDX-License-Identifier: Apache-2.0 */
/* All memory of the library. Every allocation goes through the context's allocator (the only place that calls
 * malloc or free), is aligned to CRIA_ALIGN bytes and is given back with cria_free. NULL means out of memory.
 * Thread-safe as far as the allocator is. */
#ifndef CRIA_BASE_MEM_H
#define CRIA_BASE_MEM_H

#include "cria/cria.h"

#define CRIA_ALIGN 64u

/* *out = a·b (a+b); false, with *out untouched, when it does not fit. */
static inline bool cria_mul_ok(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool cria_add_ok(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* bytes 0 is allocated as 1, so NULL always means failure. Contents undefined. */
void *cria_malloc(cria_ctx *ctx, size_t bytes);
/* n·size bytes of zeros; NULL also when the product overflows. */
void *cria_calloc(cria_ctx *ctx, size_t n, size_t size);
/* n·size bytes, contents undefined; NULL also when the product overflows. */
void *cria_malloc_array(cria_ctx *ctx, size_t n, size_t size);
/* New block of new_bytes holding the first min(old, new) bytes; frees p. On NULL p is untouched. */
void *cria_realloc(cria_ctx *ctx, void *p, size_t old_bytes, size_t new_bytes);
void cria_free(cria_ctx *ctx, void *p); /* NULL is legal */
/* Asks the system for huge pages there: worth it for memory that is large and read often. Changes no bytes and never
 * fails. */
void cria_mem_prefer_huge(void *p, size_t bytes);
/* Number of successful allocations so far (for tests: "eval allocates nothing"). */
uint64_t cria_mem_count(const cria_ctx *ctx);

/* The C library's allocator in the shape of the hook. */
cria_allocator cria_allocator_libc(void);

#endif
