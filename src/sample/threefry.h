/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threefry 2x32 with 20 rounds, the counter-based generator of JAX and MLX, and the key arithmetic that MLX's
 * mx.random builds on it. State is the caller's; nothing here can fail.
 *
 * Sources: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11), §3; the order in which
 * counters become outputs is MLX's RandomBits (mlx/backend/cpu/primitives.cpp).
 */
#ifndef CRIA_SAMPLE_THREEFRY_H
#define CRIA_SAMPLE_THREEFRY_H

#include <stdint.h>

typedef struct cria_key {
    uint32_t a, b;
} cria_key;

/* The two output words of counter (c0, c1) under key. */
static inline cria_key cria_threefry(cria_key key, uint32_t c0, uint32_t c1) {
    static const unsigned char rotation[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    const uint32_t ks[3] = {key.a, key.b, key.a ^ key.b ^ 0x1BD11BDAu};
    uint32_t x = c0 + ks[0], y = c1 + ks[1];
    for (uint32_t group = 0; group < 5; group++) {
        for (uint32_t i = 0; i < 4; i++) {
            const unsigned r = rotation[4 * (group % 2) + i];
            x += y;
            y = (y << r | y >> (32 - r)) ^ x;
        }
        x += ks[(group + 1) % 3];
        y += ks[(group + 2) % 3] + group + 1;
    }
    return (cria_key){x, y};
}

/* mx.random.seed(seed) */
static inline cria_key cria_key_seed(uint64_t seed) {
    return (cria_key){(uint32_t)(seed >> 32), (uint32_t)seed};
}

/* mx.random.split(key): *state becomes its first half, the second is returned. MLX fills the four words of the result
 * from two counters, (0,2) → words 0 and 2, (1,3) → words 1 and 3. */
static inline cria_key cria_key_next(cria_key *state) {
    const cria_key even = cria_threefry(*state, 0, 2), odd = cria_threefry(*state, 1, 3);
    *state = (cria_key){even.a, odd.a};
    return (cria_key){even.b, odd.b};
}

/* mx.random.uniform(shape=(1,), key=key): one float32 in [0, 1). The word is rounded to float32 before the division,
 * so the largest ones give 1 and are lowered to the float below it. */
static inline float cria_key_uniform(cria_key key) {
    const float below_one = 1.0f - 0x1p-24f;
    const float u = (float)cria_threefry(key, 0, 0).a * 0x1p-32f;
    return u < below_one ? u : below_one;
}

#endif
