/* SPDX-License-Identifier: Apache-2.0 */
/* Probes for baseline AArch64: see kernels.h. Empty assembly makes the compiler take a register for changed,
 * so that no step of a loop can be left out or moved before it. */
#include <arm_neon.h>

#include "kernels/arm/kernels_arm.h"
#include "kernels/inline.h"

#define UNROLL CRIA_UNROLL

/* Sixteen chains: up to four multiply-adds a clock with a latency of four clocks. */
enum { CHAINS = 16, STREAMS = 4 };

uint64_t cria_probe_f32_neon(uint32_t n) {
    float32x4_t half = vdupq_n_f32(0.5f), one = vdupq_n_f32(1.0f); /* sums grow until a half rounds away */
    __asm__ volatile("" : "+w"(half), "+w"(one));                  /* or a product of them would be no fma */
    float32x4_t sum[CHAINS];
    UNROLL for (int i = 0; i < CHAINS; i++) {
        sum[i] = one;
        __asm__ volatile("" : "+w"(sum[i]));
    }
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = vfmaq_f32(sum[i], half, one);
    }
    UNROLL for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : "+w"(sum[i]));
    return (uint64_t)n * CHAINS * 4;
}

/* Widening multiply-adds of 16-bit numbers, low and high halves in turn, as in matmul_q_neon.c. */
uint64_t cria_probe_int8_neon(uint32_t n) {
    int16x8_t level = vdupq_n_s16(15), a = vdupq_n_s16(1);
    __asm__ volatile("" : "+w"(level), "+w"(a));
    int32x4_t sum[CHAINS];
    UNROLL for (int i = 0; i < CHAINS; i++) {
        sum[i] = vdupq_n_s32(0);
        __asm__ volatile("" : "+w"(sum[i]));
    }
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < CHAINS; i++) {
            sum[i] = i % 2 ? vmlal_high_s16(sum[i], level, a)
                           : vmlal_s16(sum[i], vget_low_s16(level), vget_low_s16(a));
            __asm__ volatile("" : "+w"(sum[i]));
        }
    }
    return (uint64_t)n * CHAINS * 4;
}

uint64_t cria_probe_read_neon(const void *p, size_t bytes) {
    const uint8_t *from = p;
    const size_t stream = bytes / STREAMS;
    uint8x16_t all[16];
    UNROLL for (int i = 0; i < 16; i++) all[i] = vdupq_n_u8(0);
    for (size_t at = 0; at < stream; at += 256) {
        UNROLL for (int s = 0; s < STREAMS; s++) {
            UNROLL for (int i = 0; i < 16; i++) all[i] =
                veorq_u8(all[i], vld1q_u8(from + (size_t)s * stream + at + 16 * (size_t)i));
        }
    }
    UNROLL for (int i = 1; i < 16; i++) all[0] = veorq_u8(all[0], all[i]);
    const uint64x2_t v = vreinterpretq_u64_u8(all[0]);
    return vgetq_lane_u64(v, 0) ^ vgetq_lane_u64(v, 1);
}
