/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of plain C: what the reference's products (matmul.c) are made of. */
#include "kernels/ref/ref.h"

#include <math.h>
#include <string.h>

enum { SUMS = 8, TERMS = 16 };

uint64_t cria_probe_f32_ref(uint32_t n) {
    float sum[SUMS];
    for (int i = 0; i < SUMS; i++) sum[i] = (float)i;
    for (uint32_t round = 0; round < n; round++)
        for (int i = 0; i < SUMS; i++) sum[i] = fmaf(sum[i], 0.5f, 1.0f);
    __asm__ volatile("" : : "g"(sum) : "memory"); /* somebody may look at the sums */
    return (uint64_t)n * SUMS;
}

uint64_t cria_probe_int8_ref(uint32_t n) {
    uint8_t level[TERMS];
    int8_t a[TERMS];
    for (int i = 0; i < TERMS; i++) {
        level[i] = (uint8_t)i;
        a[i] = (int8_t)(7 * i - 60);
    }
    uint32_t sum = 0; /* unsigned: it may wrap around */
    for (uint32_t round = 0; round < n; round++) {
        __asm__ volatile("" : : "g"(level), "g"(a) : "memory"); /* somebody may have changed them */
        int32_t dot = 0;
        for (int i = 0; i < TERMS; i++) dot += a[i] * level[i];
        sum += (uint32_t)dot;
    }
    __asm__ volatile("" : : "r"(sum));
    return (uint64_t)n * TERMS;
}

uint64_t cria_probe_read_ref(const void *p, size_t bytes) {
    const uint8_t *from = p;
    uint64_t all[8] = {0};
    for (size_t at = 0; at < bytes; at += sizeof all) {
        uint64_t line[8];
        memcpy(line, from + at, sizeof line);
        for (int i = 0; i < 8; i++) all[i] ^= line[i];
    }
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v ^= all[i];
    return v;
}
