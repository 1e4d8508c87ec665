/* SPDX-License-Identifier: Apache-2.0 */
/* Small float formats ↔ float32, scalar and exact; float32 → half rounds to nearest even. IEEE 754 binary16; bfloat16;
 * E8M0 and E4M3 as in the OCP Microscaling Formats specification 1.0 (E4M3 has no infinity, NaN is S.1111.111). */
#ifndef CRIA_BASE_HALF_H
#define CRIA_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float cria_f32_from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline uint32_t cria_f32_to_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static inline float cria_f16_to_f32(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t mag = h & 0x7fffu;
    if (mag >= 0x7c00u) /* infinity, or NaN made quiet as F16C and NEON do */
        return cria_f32_from_bits(sign | 0x7f800000u | (mag & 0x3ffu) << 13 | (mag > 0x7c00u ? 0x400000u : 0));
    /* Shifted into place the exponent is 112 too small; the product with 2^112 is exact, subnormals included. */
    return cria_f32_from_bits(sign | cria_f32_to_bits(cria_f32_from_bits(mag << 13) * 0x1p112f));
}

static inline uint16_t cria_f32_to_f16(float f) {
    const uint32_t u = cria_f32_to_bits(f);
    const uint32_t sign = u >> 16 & 0x8000u;
    uint32_t mag = u & 0x7fffffffu;
    if (mag > 0x7f800000u) /* NaN: quiet, upper payload bits kept */
        return (uint16_t)(sign | 0x7e00u | (mag >> 13 & 0x3ffu));
    if (mag >= 0x47800000u) /* 65536 and more, infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (mag < 0x38800000u) { /* below 2^-14: subnormal; the float add rounds at bit 2^-24, to even */
        const float r = cria_f32_from_bits(mag) + 0.5f;
        return (uint16_t)(sign | (cria_f32_to_bits(r) - 0x3f000000u));
    }
    mag += 0xfffu + (mag >> 13 & 1u); /* round to nearest even; may carry into the exponent, up to infinity */
    return (uint16_t)(sign | (mag - 0x38000000u) >> 13);
}

static inline float cria_bf16_to_f32(uint16_t h) { return cria_f32_from_bits((uint32_t)h << 16); }
static inline uint16_t cria_f32_to_bf16(float f) {
    const uint32_t u = cria_f32_to_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u); /* NaN: quiet */
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16); /* may carry up to infinity */
}

/* 2^(e−127); e = 0 gives the subnormal 2^−127, 255 gives NaN. */
static inline float cria_e8m0_to_f32(uint8_t e) {
    if (e == 255) return cria_f32_from_bits(0x7fc00000u);
    return cria_f32_from_bits(e == 0 ? 0x00400000u : (uint32_t)e << 23);
}

static inline float cria_e4m3_to_f32(uint8_t b) {
    const uint32_t sign = (uint32_t)(b & 0x80u) << 24;
    const uint32_t mag = b & 0x7fu;
    if (mag == 0x7fu) return cria_f32_from_bits(sign | 0x7fc00000u);
    return cria_f32_from_bits(sign | cria_f32_to_bits(cria_f32_from_bits(mag << 20) * 0x1p120f));
}
/* What is 448 or more, and NaN, becomes 448: there is no infinity to become. */
static inline uint8_t cria_f32_to_e4m3(float f) {
    const uint32_t u = cria_f32_to_bits(f), mag = u & 0x7fffffffu;
    const uint8_t sign = (uint8_t)(u >> 24 & 0x80u);
    if (mag >= 0x43e00000u) return (uint8_t)(sign | 0x7e);
    if (mag < 0x3c800000u) { /* below 2^-6: subnormal; the float add rounds at bit 2^-9, to even */
        const float r = cria_f32_from_bits(mag) + 0x1p14f;
        return (uint8_t)(sign | (cria_f32_to_bits(r) - 0x46800000u));
    }
    return (uint8_t)(sign | (mag + 0x7ffffu + (mag >> 20 & 1u) - (120u << 23)) >> 20);
}

#endif
