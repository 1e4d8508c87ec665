/* SPDX-License-Identifier: Apache-2.0 */
/* For kernels whose accumulators are arrays of registers: functions that are always inlined, so that their counts become
 * constants, and loops of at most 16 constant iterations (CRIA_UNROLL for …) that are always unrolled, so that the arrays
 * need no memory. */
#ifndef CRIA_KERNELS_INLINE_H
#define CRIA_KERNELS_INLINE_H

#if defined(CRIA_SANITIZED) /* cmake/layers.cmake: instrumented copies of all this take compilers many minutes */
#define CRIA_INLINE static inline
#define CRIA_UNROLL
#elif defined(__clang__)
#define CRIA_INLINE static inline __attribute__((always_inline))
#define CRIA_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CRIA_INLINE static inline __attribute__((always_inline))
#define CRIA_UNROLL _Pragma("GCC unroll 16")
#endif

#endif
