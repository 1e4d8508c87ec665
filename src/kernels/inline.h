/* SPDX-License-Identifier: Apache-2.0 */
/* For kernels whose accumulators are arrays of registers: functions that are always inlined, so that their counts become
 * constants, and loops of a few constant iterations that are always unrolled, so that the arrays need no memory. */
#ifndef CRIA_KERNELS_INLINE_H
#define CRIA_KERNELS_INLINE_H

#define CRIA_INLINE static inline __attribute__((always_inline))
/* Before a for statement of at most 16 iterations. */
#if defined(__clang__)
#define CRIA_UNROLL _Pragma("unroll")
#else
#define CRIA_UNROLL _Pragma("GCC unroll 16")
#endif

#endif
