/* SPDX-License-Identifier: Apache-2.0 */
/* For kernels whose accumulators are arrays of registers: functions that are always inlined, so that their
 * counts become constants, and loops of at most 16 constant iterations (CRIA_UNROLL for …) that are always
 * unrolled, so that the arrays need no memory. */
#ifndef CRIA_KERNELS_INLINE_H
#define CRIA_KERNELS_INLINE_H

#include <stdint.h>

#if defined(CRIA_SANITIZED) /* cmake/layers.cmake: instrumented copies of all this take compilers many       \
                               minutes */
#define CRIA_INLINE static inline
#define CRIA_UNROLL
#elif defined(__clang__)
#define CRIA_INLINE static inline __attribute__((always_inline))
#define CRIA_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CRIA_INLINE static inline __attribute__((always_inline))
#define CRIA_UNROLL _Pragma("GCC unroll 16")
#endif

/* Asks for `bytes` bytes that will be read some chunks of codes from now. A product with one token is as fast
 * as memory; on Zen 3 it read at 65 % of the speed of a plain sequential read without this, 80–90 % with it;
 * 1, 2 and 8 KiB were worse. */
CRIA_INLINE void cria_prefetch(const void *codes, int bytes) {
    CRIA_UNROLL
    for (int i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)((uintptr_t)codes + 4096 + (uintptr_t)i));
}

#endif
