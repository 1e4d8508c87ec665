/* SPDX-License-Identifier: Apache-2.0 */
/* For kernels whose accumulators are arrays of registers: functions that are always inlined, so that their
 * counts become constants, and loops of at most 16 constant iterations (CRIA_UNROLL for …) that are always
 * unrolled, so that the arrays need no memory. */
#ifndef CRIA_KERNELS_INLINE_H
#define CRIA_KERNELS_INLINE_H

#include <stddef.h>
#include <stdint.h>

/* Copies of all this that are instrumented or emulated (CRIA_PLAIN_LOOPS), or inlined without being optimized, take
 * compilers minutes and gigabytes. */
#if defined(CRIA_PLAIN_LOOPS) || !defined(__OPTIMIZE__)
#define CRIA_INLINE static inline
#define CRIA_UNROLL
#elif defined(__clang__)
#define CRIA_INLINE static inline __attribute__((always_inline))
#define CRIA_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CRIA_INLINE static inline __attribute__((always_inline))
#define CRIA_UNROLL _Pragma("GCC unroll 16")
#endif

/* Scores of positions that a sliding window has left behind: their weights become +0. */
static inline void cria_hide(float *scores, uint32_t n) {
    for (uint32_t p = 0; p < n; p++) scores[p] = -__builtin_inff();
}

/* Memory that is asked for piece by piece, into the second cache, while a kernel is at work on something else. */
struct cria_ahead {
    const char *at;
    size_t lines, lines_at_once; /* of 64 bytes */
};

CRIA_INLINE struct cria_ahead cria_ahead_over(const void *p, size_t bytes, size_t times) {
    const size_t lines = p ? (bytes + 63) / 64 : 0;
    return (struct cria_ahead){p, lines, (lines + times - 1) / times};
}

CRIA_INLINE void cria_ahead_ask(struct cria_ahead *a) {
    const size_t n = a->lines < a->lines_at_once ? a->lines : a->lines_at_once;
    if (n == 0) return;
    for (size_t i = 0; i < n; i++) __builtin_prefetch(a->at + 64 * i, 0, 2);
    a->at += 64 * n;
    a->lines -= n;
}

#endif
