/* SPDX-License-Identifier: Apache-2.0 */
/* XXH64 (Yann Collet, "xxHash fast digest algorithm", XXH64 algorithm description, 2012–2023): 64 bits that tell files
 * apart. Fast (bytes by the eight, four chains), well tested, the same on every machine; not for adversaries: who can
 * choose the bytes can make two inputs meet, so nothing that must be safe may rest on it. */
#ifndef CRIA_BASE_HASH_H
#define CRIA_BASE_HASH_H

#include "base/reader.h"

#define CRIA_XXH_P1 0x9e3779b185ebca87u
#define CRIA_XXH_P2 0xc2b2ae3d27d4eb4fu
#define CRIA_XXH_P3 0x165667b19e3779f9u
#define CRIA_XXH_P4 0x85ebca77c2b2ae63u
#define CRIA_XXH_P5 0x27d4eb2f165667c5u

static inline uint64_t cria_xxh_turn(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }
static inline uint64_t cria_xxh_round(uint64_t acc, uint64_t word) {
    return cria_xxh_turn(acc + word * CRIA_XXH_P2, 31) * CRIA_XXH_P1;
}
static inline uint64_t cria_xxh_merge(uint64_t h, uint64_t acc) {
    return (h ^ cria_xxh_round(0, acc)) * CRIA_XXH_P1 + CRIA_XXH_P4;
}

/* data may be NULL when len is 0. To hash several pieces, give each the hash of those before it as the seed. */
static inline uint64_t cria_hash64(const void *data, size_t len, uint64_t seed) {
    const uint8_t *p = (const uint8_t *)data;
    size_t left = len;
    uint64_t h = seed + CRIA_XXH_P5;
    if (left >= 32) {
        uint64_t a = seed + CRIA_XXH_P1 + CRIA_XXH_P2, b = seed + CRIA_XXH_P2, c = seed, d = seed - CRIA_XXH_P1;
        for (; left >= 32; left -= 32, p += 32) {
            a = cria_xxh_round(a, cria_load_u64(p));
            b = cria_xxh_round(b, cria_load_u64(p + 8));
            c = cria_xxh_round(c, cria_load_u64(p + 16));
            d = cria_xxh_round(d, cria_load_u64(p + 24));
        }
        h = cria_xxh_turn(a, 1) + cria_xxh_turn(b, 7) + cria_xxh_turn(c, 12) + cria_xxh_turn(d, 18);
        h = cria_xxh_merge(cria_xxh_merge(cria_xxh_merge(cria_xxh_merge(h, a), b), c), d);
    }
    h += len;
    for (; left >= 8; left -= 8, p += 8)
        h = cria_xxh_turn(h ^ cria_xxh_round(0, cria_load_u64(p)), 27) * CRIA_XXH_P1 + CRIA_XXH_P4;
    if (left >= 4) {
        h = cria_xxh_turn(h ^ cria_load_u32(p) * CRIA_XXH_P1, 23) * CRIA_XXH_P2 + CRIA_XXH_P3;
        left -= 4, p += 4;
    }
    for (; left > 0; left--, p++) h = cria_xxh_turn(h ^ *p * CRIA_XXH_P5, 11) * CRIA_XXH_P1;
    h = (h ^ h >> 33) * CRIA_XXH_P2;
    h = (h ^ h >> 29) * CRIA_XXH_P3;
    return h ^ h >> 32;
}

#endif
