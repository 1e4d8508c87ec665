/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for the compiler's <immintrin.h> where the AVX-VNNI and AVX-512 kernels are compiled for
 * processors without them: SIMDe (test-only dependency) turns the intrinsics into AVX2. It must be compiled with FMA:
 * without, SIMDe's fmadd rounds twice. SIMDe 0.7.4 lacks the few intrinsics at the end. One that nobody
 * provides is a compiler error (the target lacks it).
 */
#if !defined(CHECKKERN_SIMDE_IMMINTRIN_H)
#define CHECKKERN_SIMDE_IMMINTRIN_H

#if !defined(__FMA__) || !defined(__F16C__)
#error "needs -mavx2 -mfma -mf16c"
#endif
#define SIMDE_ENABLE_NATIVE_ALIASES
#define __mmask64 __mmask64 /* the compiler's: SIMDe 0.8.2 makes another one of it for clang */
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#include <string.h>

static inline __m512 extra_maskz_loadu_ps(__mmask16 k, const float *p) {
    float v[16] = {0};
    for (int i = 0; i < 16; i++)
        if (k >> i & 1) v[i] = p[i];
    return simde_mm512_loadu_ps(v);
}
static inline void extra_mask_storeu_ps(float *p, __mmask16 k, __m512 a) {
    float v[16];
    simde_mm512_storeu_ps(v, a);
    for (int i = 0; i < 16; i++)
        if (k >> i & 1) p[i] = v[i];
}
static inline __m256i extra_maskz_loadu_epi16(__mmask16 k, const void *p) {
    uint16_t v[16] = {0};
    for (int i = 0; i < 16; i++)
        if (k >> i & 1) memcpy(&v[i], (const uint16_t *)p + i, sizeof v[i]);
    return _mm256_loadu_si256((const __m256i *)v);
}
static inline __m512 extra_cvtph_ps(__m256i h) {
    float v[16];
    _mm256_storeu_ps(v, _mm256_cvtph_ps(_mm256_castsi256_si128(h)));
    _mm256_storeu_ps(v + 8, _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1)));
    return simde_mm512_loadu_ps(v);
}
static inline __m512i extra_cvtps_epi32(__m512 a) {
    float v[16];
    int32_t w[16];
    simde_mm512_storeu_ps(v, a);
    for (int i = 0; i < 16; i += 8)
        _mm256_storeu_si256((__m256i *)(w + i), _mm256_cvtps_epi32(_mm256_loadu_ps(v + i)));
    return simde_mm512_loadu_si512(w);
}
static inline __m512i extra_srai_epi32(__m512i a, unsigned n) {
    int32_t v[16];
    simde_mm512_storeu_si512(v, a);
    for (int i = 0; i < 16; i++) v[i] >>= n;
    return simde_mm512_loadu_si512(v);
}

static inline __m512i extra_cvtepu8_epi32(__m128i a) {
    uint32_t v[16];
    _mm256_storeu_si256((__m256i *)v, _mm256_cvtepu8_epi32(a));
    _mm256_storeu_si256((__m256i *)(v + 8), _mm256_cvtepu8_epi32(_mm_srli_si128(a, 8)));
    return simde_mm512_loadu_si512(v);
}
static inline __m512i extra_cvtepi8_epi32(__m128i a) {
    uint32_t v[16];
    _mm256_storeu_si256((__m256i *)v, _mm256_cvtepi8_epi32(a));
    _mm256_storeu_si256((__m256i *)(v + 8), _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8)));
    return simde_mm512_loadu_si512(v);
}
static inline __m512i extra_cvtepu16_epi32(__m256i a) {
    uint32_t v[16];
    _mm256_storeu_si256((__m256i *)v, _mm256_cvtepu16_epi32(_mm256_castsi256_si128(a)));
    _mm256_storeu_si256((__m256i *)(v + 8), _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1)));
    return simde_mm512_loadu_si512(v);
}
static inline __m512 extra_cvtepi32_ps(__m512i a) {
    int32_t v[16];
    float f[16];
    simde_mm512_storeu_si512(v, a);
    for (int i = 0; i < 16; i++) f[i] = (float)v[i];
    return simde_mm512_loadu_ps(f);
}
/* SIMDe has these two, but wants a constant that the compiler sees before it inlines anything. */
static inline __m512i extra_slli_epi16(__m512i a, unsigned n) {
    uint16_t v[32];
    simde_mm512_storeu_si512(v, a);
    for (int i = 0; i < 32; i++) v[i] = (uint16_t)(v[i] << n);
    return simde_mm512_loadu_si512(v);
}
static inline __m512i extra_srli_epi16(__m512i a, unsigned n) {
    uint16_t v[32];
    simde_mm512_storeu_si512(v, a);
    for (int i = 0; i < 32; i++) v[i] = (uint16_t)(v[i] >> n);
    return simde_mm512_loadu_si512(v);
}

static inline __m256i extra_cvtepi32_epi16(__m512i a) {
    int32_t v[16];
    int16_t w[16];
    simde_mm512_storeu_si512(v, a);
    for (int i = 0; i < 16; i++) w[i] = (int16_t)v[i];
    return _mm256_loadu_si256((const __m256i *)(const void *)w);
}

static inline __m512i extra_maskz_loadu_epi32(__mmask16 k, const void *p) {
    uint32_t v[16] = {0};
    for (int i = 0; i < 16; i++)
        if (k >> i & 1) memcpy(&v[i], (const char *)p + 4 * i, sizeof v[i]);
    return simde_mm512_loadu_si512(v);
}
/* Lanes of each 128 bits, and of all of it: those of 128 bits. */
static inline __m512i extra_shuffle_epi32(__m512i a, int turn) {
    uint32_t v[16], w[16];
    simde_mm512_storeu_si512(v, a);
    for (int i = 0; i < 16; i++) w[i] = v[i / 4 * 4 + (turn >> i % 4 * 2 & 3)];
    return simde_mm512_loadu_si512(w);
}
static inline __m512i extra_shuffle_i32x4(__m512i a, __m512i b, int turn) {
    uint32_t v[32], w[16];
    simde_mm512_storeu_si512(v, a);
    simde_mm512_storeu_si512(v + 16, b);
    for (int i = 0; i < 16; i++) w[i] = v[i / 8 * 16 + (turn >> i / 4 * 2 & 3) * 4 + i % 4];
    return simde_mm512_loadu_si512(w);
}

/* SIMDe gives this one a wrong number of arguments … */
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)
/* … and knows this one by its AVX-512 name only. */
#define _mm256_dpbusd_avx_epi32(sum, a, b) simde_mm256_dpbusd_epi32(sum, a, b)
#define _mm256_dpwssd_avx_epi32(sum, a, b) simde_mm256_dpwssd_epi32(sum, a, b)

/* Without optimization compilers have some of them as macros. */
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepi32_ps
#undef _mm512_maskz_loadu_ps
#undef _mm512_cvtepi32_epi16
#undef _mm512_mask_storeu_ps
#undef _mm256_maskz_loadu_epi16
#undef _mm512_cvtph_ps
#undef _mm512_cvtps_epi32
#undef _mm512_srai_epi32
#undef _mm512_slli_epi16
#undef _mm512_srli_epi16
#undef _mm512_maskz_loadu_epi32
#undef _mm512_shuffle_epi32
#undef _mm512_shuffle_i32x4
#define _mm512_maskz_loadu_epi32(k, p) extra_maskz_loadu_epi32(k, p)
#define _mm512_shuffle_epi32(a, turn) extra_shuffle_epi32(a, turn)
#define _mm512_shuffle_i32x4(a, b, turn) extra_shuffle_i32x4(a, b, turn)
#define _mm512_cvtepu8_epi32(a) extra_cvtepu8_epi32(a)
#define _mm512_cvtepi8_epi32(a) extra_cvtepi8_epi32(a)
#define _mm512_cvtepu16_epi32(a) extra_cvtepu16_epi32(a)
#define _mm512_cvtepi32_ps(a) extra_cvtepi32_ps(a)
#define _mm512_cvtepi32_epi16(a) extra_cvtepi32_epi16(a)
#define _mm512_maskz_loadu_ps(k, p) extra_maskz_loadu_ps(k, p)
#define _mm512_mask_storeu_ps(p, k, a) extra_mask_storeu_ps(p, k, a)
#define _mm256_maskz_loadu_epi16(k, p) extra_maskz_loadu_epi16(k, p)
#define _mm512_cvtph_ps(h) extra_cvtph_ps(h)
#define _mm512_cvtps_epi32(a) extra_cvtps_epi32(a)
#define _mm512_srai_epi32(a, n) extra_srai_epi32(a, n)
#define _mm512_slli_epi16(a, n) extra_slli_epi16(a, n)
#define _mm512_srli_epi16(a, n) extra_srli_epi16(a, n)

#else
#include_next <immintrin.h> /* SIMDe's own */
#endif
