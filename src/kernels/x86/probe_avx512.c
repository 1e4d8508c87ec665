/* SPDX-License-Identifier: Apache-2.0 */
/* Probes for AVX-512: see kernels.h. Empty assembly makes the compiler take a register for changed,
 * so that no step of a loop can be left out or moved before it. */
#include <string.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/unpack_avx512.h"

/* Twelve chains: two operations a clock with a latency of four or five clocks, and some to spare. */
enum { CHAINS = 12, STEPS = 8, SUMS = 4, STREAMS = 4 };

INLINE void hold_ps(__m512 *v) { __asm__ volatile("" : "+" IN_REGISTER(*v)); }
INLINE void hold_epi32(__m512i *v) { __asm__ volatile("" : "+" IN_REGISTER(*v)); }

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

/* As in probe_avx2.c. */
uint64_t cria_probe_int8_avx512(uint32_t n) {
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i level = _mm512_set1_epi8(15), a = _mm512_set1_epi8(-127), sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_si512();
    for (uint32_t round = 0; round < n; round++) {
        __m512i words[SUMS];
        UNROLL for (int step = 0; step < STEPS; step++) {
            UNROLL for (int i = 0; i < SUMS; i++) {
                hold_epi32(&level);
                hold_epi32(&a);
                const __m512i product = _mm512_maddubs_epi16(level, a);
                words[i] = step == 0 ? product : _mm512_add_epi16(words[i], product);
                hold_epi32(&words[i]);
            }
        }
        UNROLL for (int i = 0; i < SUMS; i++) sum[i] =
            _mm512_add_epi32(sum[i], _mm512_madd_epi16(words[i], ones));
    }
    UNROLL for (int i = 0; i < SUMS; i++) hold_epi32(&sum[i]);
    return (uint64_t)n * STEPS * SUMS * 64;
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
