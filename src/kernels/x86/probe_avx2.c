/* SPDX-License-Identifier: Apache-2.0 */
/* Probes for AVX2: see kernels.h. Empty assembly makes the compiler take a register for changed, so that no
 * step of a loop can be left out or moved before it. */
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/unpack_avx2.h"

/* Twelve chains: two multiply-adds a clock with a latency of four or five clocks, and some to spare. */
enum { CHAINS = 12, STEPS = 8, SUMS = 4, STREAMS = 4 };

INLINE void hold_ps(__m256 *v) { __asm__ volatile("" : "+x"(*v)); }

uint64_t cria_probe_f32_avx2(uint32_t n) {
    const __m256 half = _mm256_set1_ps(0.5f), one = _mm256_set1_ps(1.0f); /* sums go towards 2 */
    __m256 sum[CHAINS];
    UNROLL for (int i = 0; i < CHAINS; i++) {
        sum[i] = one;
        hold_ps(&sum[i]);
    }
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = _mm256_fmadd_ps(sum[i], half, one);
    }
    UNROLL for (int i = 0; i < CHAINS; i++) hold_ps(&sum[i]);
    return (uint64_t)n * CHAINS * 8;
}

/* Eight steps of vpmaddubsw added up in 16 bits, then vpmaddwd to 32 bits, as matmul_q_avx2.c does for levels
 * up to 15. */
uint64_t cria_probe_int8_avx2(uint32_t n) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i level = _mm256_set1_epi8(15), a = _mm256_set1_epi8(-127), sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm256_setzero_si256();
    for (uint32_t round = 0; round < n; round++) {
        __m256i words[SUMS];
        UNROLL for (int step = 0; step < STEPS; step++) {
            UNROLL for (int i = 0; i < SUMS; i++) {
                hold(&level);
                hold(&a);
                const __m256i product = _mm256_maddubs_epi16(level, a);
                words[i] = step == 0 ? product : _mm256_add_epi16(words[i], product);
                hold(&words[i]);
            }
        }
        UNROLL for (int i = 0; i < SUMS; i++) sum[i] =
            _mm256_add_epi32(sum[i], _mm256_madd_epi16(words[i], ones));
    }
    UNROLL for (int i = 0; i < SUMS; i++) __asm__ volatile("" : : "x"(sum[i]));
    return (uint64_t)n * STEPS * SUMS * 32;
}

/* Four places at once: on Zen 3 that reads up to twice as fast as one after the other, and prefetching adds
 * nothing. */
uint64_t cria_probe_read_avx2(const void *p, size_t bytes) {
    const uint8_t *from = p;
    const size_t stream = bytes / STREAMS;
    __m256i all[8];
    UNROLL for (int i = 0; i < 8; i++) all[i] = _mm256_setzero_si256();
    for (size_t at = 0; at < stream; at += 256) {
        UNROLL for (int s = 0; s < STREAMS; s++) {
            UNROLL for (int i = 0; i < 8; i++) all[i] =
                _mm256_xor_si256(all[i], load256(from + (size_t)s * stream + at + 32 * i));
        }
    }
    UNROLL for (int i = 1; i < 8; i++) all[0] = _mm256_xor_si256(all[0], all[i]);
    uint64_t v[4];
    memcpy(v, &all[0], sizeof v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
