/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constants of exp(x) for float32, shared by all kernel tables. Every table does exactly this:
 *
 *     t = fma(x, LOG2E, ROUND)     ROUND = 1.5·2^23: the low bits of t hold n = x·log2(e), rounded to nearest
 *     n = t − ROUND
 *     r = fma(n, −LN2_HI, x);  r = fma(n, −LN2_LO, r)       Cody–Waite; |r| <= ln(2)/2 and a little
 *     p = C6; p = fma(p, r, C5); … C4, C3, C2; p = fma(p, r, 1); p = fma(p, r, 1)
 *     y = the float whose bits are bits(p) + (bits(t) << 23), modulo 2^32           p·2^n
 *     x < LO: +0.    Not x <= HI: x + inf (+inf, or the NaN that x is).
 *
 * Adding to the exponent field instead of multiplying reaches both ends: for x in [LO, HI] n runs from −126
 * to 128, where with n = −126 r >= 0, so p >= 1, and with n = 128 r < 0, so p < 1, and y is a normal number
 * in both cases. Outside, the integer arithmetic wraps and its result is dropped.
 *
 * LN2_HI + LN2_LO is ln(2) rounded to two floats; C2..C6 are the coefficients of the degree-6 polynomial
 * 1 + r + C2·r² + … with the smallest maximal relative error on |r| <= 1.0005·ln(2)/2, found by Lawson
 * iteration in double (error 3.1e-9, 2^−28.3) and rounded to float. Largest error of the whole, over all 2^32
 * floats against exp in double precision: 0.892 ulp (at 0x1.4ce7a6p+2), 0.5 ulp being unavoidable; +0 and inf
 * exactly where they should be. `checkkern --exp` measures it.
 */
#ifndef CRIA_KERNELS_POLY_H
#define CRIA_KERNELS_POLY_H

#define CRIA_EXP_LOG2E 0x1.715476p+0f
#define CRIA_EXP_ROUND 0x1.8p+23f
#define CRIA_EXP_LN2_HI 0x1.62e430p-1f
#define CRIA_EXP_LN2_LO -0x1.05c610p-29f
#define CRIA_EXP_C2 0x1.fffffcp-2f
#define CRIA_EXP_C3 0x1.555492p-3f
#define CRIA_EXP_C4 0x1.5558f2p-5f
#define CRIA_EXP_C5 0x1.123a20p-7f
#define CRIA_EXP_C6 0x1.6a23d0p-10f
#define CRIA_EXP_LO -0x1.5d589ep+6f /* the smallest float >= −126·ln 2 */
#define CRIA_EXP_HI 0x1.62e42ep+6f  /* the largest float whose exp is finite */

/* gelu's −2·√(2/π)·0.044715 and −2·√(2/π) (kernels.h) */
#define CRIA_GELU_A -0x1.2444f2p-4f
#define CRIA_GELU_B -0x1.988454p+0f

#endif
