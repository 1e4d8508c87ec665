/* SPDX-License-Identifier: Apache-2.0 */
/* Probes for AVX-512 with VNNI: see kernels.h. Empty assembly makes the compiler take a register for changed,
 * so that no step of a loop can be left out or moved before it. */
#include <string.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/unpack_avx512.h"

/* Twelve chains: two operations a clock with a latency of four or five clocks, and some to spare. */
enum { CHAINS = 12, STREAMS = 4 };

#if defined(__AVX512F__)
#define IN_REGISTER "v"
#else
#define IN_REGISTER "m" /* emulated (tests/checkkern/simde) */
#endif

INLINE void hold_ps(__m512 *v) { __asm__ volatile("" : "+" IN_REGISTER(*v)); }
INLINE void hold(__m512i *v) { __asm__ volatile("" : "+" IN_REGISTER(*v)); }

uint64_t cria_probe_f32_avx512(uint32_t n) {
    const __m512 half = _mm512_set1_ps(0.5f), one = _mm512_set1_ps(1.0f); /* sums go towards 2 */
    __m512 sum[CHAINS];
    UNROLL for (int i = 0; i < CHAINS; i++) {
        sum[i] = one;
        hold_ps(&sum[i]);
    }
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_fmadd_ps(sum[i], half, one);
    }
    UNROLL for (int i = 0; i < CHAINS; i++) hold_ps(&sum[i]);
    return (uint64_t)n * CHAINS * 16;
}

/* vpdpbusd, as in matmul_q_avx512.c. */
uint64_t cria_probe_int8_avx512(uint32_t n) {
    const __m512i level = _mm512_set1_epi8(15), a = _mm512_set1_epi8(1);
    __m512i sum[CHAINS];
    UNROLL for (int i = 0; i < CHAINS; i++) {
        sum[i] = _mm512_setzero_si512();
        hold(&sum[i]);
    }
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], level, a);
            hold(&sum[i]);
        }
    }
    return (uint64_t)n * CHAINS * 64;
}

/* Four places at once, as in probe_avx2.c. */
uint64_t cria_probe_read_avx512(const void *p, size_t bytes) {
    const uint8_t *from = p;
    const size_t stream = bytes / STREAMS;
    __m512i all[4];
    UNROLL for (int i = 0; i < 4; i++) all[i] = _mm512_setzero_si512();
    for (size_t at = 0; at < stream; at += 256) {
        UNROLL for (int s = 0; s < STREAMS; s++) {
            UNROLL for (int i = 0; i < 4; i++) all[i] =
                _mm512_xor_si512(all[i], _mm512_loadu_si512(from + (size_t)s * stream + at + 64 * i));
        }
    }
    UNROLL for (int i = 1; i < 4; i++) all[0] = _mm512_xor_si512(all[0], all[i]);
    uint64_t v[8], x = 0;
    memcpy(v, &all[0], sizeof v);
    for (int i = 0; i < 8; i++) x ^= v[i];
    return x;
}
