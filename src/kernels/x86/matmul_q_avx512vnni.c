/* SPDX-License-Identifier: Apache-2.0 */
/* Quantized matrix product (matmul_q of kernels.h) for AVX-512 with VNNI: the tiles of tile_vnni_tmpl.c. */
#include "kernels/x86/matmul_q_avx512.h"

#include "kernels/x86/kernels_x86.h"

#define MATVEC_PLAN cria_matvec_plan_avx512vnni
#define TWO_PLANES_AS_WORDS 1
#define BROADCASTS 1
#define PORTS_TO_SPARE ON_AMD /* of 512 bits, Intel's products share the two that there are with everything */

INLINE ints add_four(ints sum, ints levels, ints a) { return _mm512_dpbusd_epi32(sum, levels, a); }
INLINE ints add_two(ints sum, ints levels, ints a) { return _mm512_dpwssd_epi32(sum, levels, a); }
/* gcc never makes this of add_four and broadcast4, clang not where two products have the same activations. */
INLINE ints add_four_at(ints sum, ints levels, const int8_t *p) {
#ifdef __AVX512VNNI__
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(levels), "m"(*(const int8_t(*)[4])p));
    return sum;
#else /* emulated */
    return add_four(sum, levels, broadcast4(p));
#endif
}

#include "kernels/x86/tile_vnni_tmpl.c"

CRIA_MATMUL_Q(avx512vnni, ops)

/* Twelve sums, as a tile has. */
uint64_t cria_probe_int8_avx512vnni(uint32_t n) {
    enum { SUMS = 12 };
    const __m512i level = _mm512_set1_epi8(15), a = _mm512_set1_epi8(1);
    __m512i sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_si512();
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], level, a);
            __asm__ volatile("" : "+" IN_REGISTER(sum[i]));
        }
    }
    return (uint64_t)n * SUMS * 64;
}
