/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp, log, sin and cos in double precision from plain additions and multiplications, so that they give the
 * same bits with every compiler, C library and processor (libm's differ). For tables and other places where
 * speed does not matter. Errors stay below 4 ulp over the stated domains, far below the float32 results made
 * from them.
 */
#ifndef CRIA_BASE_DMATH_H
#define CRIA_BASE_DMATH_H

#include <stdint.h>
#include <string.h>

static inline double cria_f64_from_bits(uint64_t u) {
    double f;
    memcpy(&f, &u, 8);
    return f;
}
static inline uint64_t cria_f64_to_bits(double f) {
    uint64_t u;
    memcpy(&u, &f, 8);
    return u;
}

/* Nearest integer, ties to even, for |x| < 2^51: adding 1.5·2^52 leaves no fraction bits. */
static inline double cria_round_f64(double x) {
    const double shift = 0x1.8p52;
    return (x + shift) - shift;
}

/* ln 2 cut to 32 bits, so that k·LN2_HI is exact for |k| < 2^21, and the rest. */
#define CRIA_LN2_HI 0x1.62e42feep-1
#define CRIA_LN2_LO 0x1.a39ef35793c76p-33

/* e^x for |x| <= 700. */
static inline double cria_exp_f64(double x) {
    const double k = cria_round_f64(x * 0x1.71547652b82fep+0); /* 1 / ln 2 */
    const double r = (x - k * CRIA_LN2_HI) - k * CRIA_LN2_LO;  /* |r| <= ln 2 / 2 */
    double sum = 1.0;
    for (int i = 18; i >= 1; i--) sum = 1.0 + r * sum / i; /* Taylor: 0.35^19 / 19! < 2^-80 */
    return sum * cria_f64_from_bits((uint64_t)((int64_t)k + 1023) << 52);
}

/* ln x for normal x > 0. x = 2^k·m with m in [√½, √2): ln m = 2·atanh(s), s = (m−1)/(m+1), |s| < 0.172. */
static inline double cria_log_f64(double x) {
    const uint64_t bits = cria_f64_to_bits(x);
    int64_t k = (int64_t)(bits >> 52) - 1023;
    double m = cria_f64_from_bits((bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL);
    if (m > 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        k++;
    }
    const double s = (m - 1.0) / (m + 1.0), s2 = s * s;
    double sum = 0.0;
    for (int i = 23; i >= 1; i -= 2) sum = 1.0 / i + s2 * sum; /* 0.172^24 / 25 < 2^-65 */
    return (double)k * CRIA_LN2_HI + ((double)k * CRIA_LN2_LO + 2.0 * s * sum);
}

/* π/2 in pieces of 29, 29 and 53 bits: n·piece is exact for n < 2^24 in the first two (Cody and Waite), which is so for
 * x < 2^24·π/2. */
#define CRIA_PIO2_1 0x1.921fb54p+0
#define CRIA_PIO2_2 0x1.10b4611p-30
#define CRIA_PIO2_3 0x1.4c4c6628b80dcp-59

/* sin x and cos x for 0 <= x <= 1.5·2^24. */
static inline void cria_sincos_f64(double x, double *sin_out, double *cos_out) {
    const double n = cria_round_f64(x * 0x1.45f306dc9c883p-1);                    /* 2/π */
    const double r = ((x - n * CRIA_PIO2_1) - n * CRIA_PIO2_2) - n * CRIA_PIO2_3; /* |r| <= π/4 */
    const double r2 = r * r;
    double s = 1.0, c = 1.0;
    for (int i = 10; i >= 1; i--) { /* Taylor: 0.79^21 / 21! < 2^-72 */
        s = 1.0 - r2 * s / ((2.0 * i) * (2.0 * i + 1.0));
        c = 1.0 - r2 * c / ((2.0 * i - 1.0) * (2.0 * i));
    }
    s *= r;
    switch ((int64_t)n & 3) {
    case 0:
        *sin_out = s;
        *cos_out = c;
        break;
    case 1:
        *sin_out = c;
        *cos_out = -s;
        break;
    case 2:
        *sin_out = -s;
        *cos_out = -c;
        break;
    default:
        *sin_out = -c;
        *cos_out = s;
        break;
    }
}

#endif
