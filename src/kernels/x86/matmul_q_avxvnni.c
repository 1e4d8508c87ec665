/* SPDX-License-Identifier: Apache-2.0 */
/* Quantized matrix product (matmul_q of kernels.h) for AVX2 with AVX-VNNI, the processors that have the dot products of
 * AVX-512 VNNI in 256 bits only: the tiles of tile_vnni_tmpl.c. */
#include "kernels/x86/matmul_q_avx2.h"

#include "kernels/x86/kernels_x86.h"

#define MATVEC_PLAN cria_matvec_plan_avxvnni
#define TWO_PLANES_AS_WORDS 0 /* a tenth slower */
#define BROADCASTS 0          /* no instruction of 256 bits does */
#define PORTS_TO_SPARE 0      /* not measured */

INLINE ints add_four(ints sum, ints levels, ints a) { return _mm256_dpbusd_avx_epi32(sum, levels, a); }

#include "kernels/x86/tile_vnni_tmpl.c"

CRIA_MATMUL_Q(avxvnni, ops)

/* Twelve sums, as a tile has. */
uint64_t cria_probe_int8_avxvnni(uint32_t n) {
    enum { SUMS = 12 };
    const __m256i level = _mm256_set1_epi8(15), a = _mm256_set1_epi8(1);
    __m256i sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm256_setzero_si256();
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            sum[i] = _mm256_dpbusd_avx_epi32(sum[i], level, a);
            __asm__ volatile("" : "+x"(sum[i]));
        }
    }
    return (uint64_t)n * SUMS * 32;
}
