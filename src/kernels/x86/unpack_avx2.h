/* SPDX-License-Identifier: Apache-2.0 */
/* Packed codes and scales (matrix.h) in AVX2 registers. Half h (0, 1) of a 64-byte vector is the rows
 * 8h..8h+7. */
#ifndef CRIA_KERNELS_X86_UNPACK_AVX2_H
#define CRIA_KERNELS_X86_UNPACK_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/inline.h"
#include "kernels/matrix.h"

#define UNROLL CRIA_UNROLL
#define INLINE CRIA_INLINE
#define IN_REGISTER "x"

/* Keeps a running sum in its register: GCC takes integer sums apart to add in another order, and then runs
 * out of registers. */
INLINE void hold(__m256i *sum) { __asm__("" : "+x"(*sum)); }

INLINE __m256i load256(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* Lanes of the i-th eight rows that lie within the first `rows` rows. */
INLINE __m256i row_mask(uint32_t rows, int i) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)rows - 8 * i), lane);
}

INLINE __m256i shift_left(__m256i v, int n) {
    return n >= 0 ? _mm256_slli_epi16(v, n) : _mm256_srli_epi16(v, -n);
}

/* Bits [from, from + w) of each byte, moved to bit `to`. Constant arguments. */
INLINE __m256i byte_bits(__m256i v, int from, int w, int to) {
    return _mm256_and_si256(shift_left(v, to - from), _mm256_set1_epi8((char)(((1 << w) - 1) << to)));
}

/* The codes of step s, half h of a chunk, a byte each. bits, h, s are constants where it is called. */
INLINE __m256i step_codes(const uint8_t *chunk, int bits, int h, int s) {
    const uint8_t *p = chunk + 32 * h;
    __m256i low, high;
    switch (bits) {
    case 8:
        return load256(p + 64 * s);
    case 2:
    case 3:
        low = byte_bits(load256(p + 64 * (s % 2)), 2 * (s / 2), 2, 0);
        break;
    default:
        low = byte_bits(load256(p + 64 * (s % 4)), 4 * (s / 4), 4, 0);
        break;
    }
    switch (bits) {
    case 3:
        high = byte_bits(load256(p + 128), s, 1, 2);
        break;
    case 5:
        high = byte_bits(load256(p + 256), s, 1, 4);
        break;
    case 6:
        high = byte_bits(load256(p + 256 + 64 * (s % 2)), 2 * (s / 2), 2, 4);
        break;
    default:
        return low;
    }
    return _mm256_or_si256(low, high);
}

/* Half h of vector i of a chunk of nibbles: 16 times the codes of step i + 4. */
INLINE __m256i high_nibbles(const uint8_t *chunk, int h, int i) {
    return _mm256_and_si256(load256(chunk + 64 * i + 32 * h), _mm256_set1_epi8((char)0xf0));
}

/* The 16 levels in both halves. */
INLINE __m256i load_levels(const uint8_t *levels) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)levels));
}

INLINE void unpack_bits(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst, int bits, bool wide) {
    const __m256i levels = m->spec.levels ? load_levels(m->spec.levels) : _mm256_setzero_si256();
    for (uint32_t c = 0; c < n; c++, src += m->chunk_bytes) {
        UNROLL for (int s = 0; s < 8; s++, dst += wide ? 128 : 64) {
            UNROLL for (int h = 0; h < 2; h++) {
                __m256i v = step_codes(src, bits, h, s);
                if (m->spec.levels) v = _mm256_shuffle_epi8(levels, v);
                __m256i *at = (__m256i *)(dst + 32 * h);
                _mm256_store_si256(at, wide ? _mm256_and_si256(v, _mm256_set1_epi16(255)) : v);
                if (wide) _mm256_store_si256(at + 2, _mm256_srli_epi16(v, 8));
            }
        }
    }
}

/* n chunks of codes to levels (codes, where there are no levels), laid out as 8-bit codes are, or as 16-bit numbers
 * (CRIA_WORDS_CHUNK of matmul_q.h). dst 32-byte aligned. */
INLINE void unpack(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst, bool wide) {
    switch (m->spec.bits) {
    case 2:
        unpack_bits(m, src, n, dst, 2, wide);
        break;
    case 3:
        unpack_bits(m, src, n, dst, 3, wide);
        break;
    case 4:
        unpack_bits(m, src, n, dst, 4, wide);
        break;
    case 5:
        unpack_bits(m, src, n, dst, 5, wide);
        break;
    case 6:
        unpack_bits(m, src, n, dst, 6, wide);
        break;
    default:
        unpack_bits(m, src, n, dst, 8, wide);
        break;
    }
}
static inline void unpack_chunks(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst) {
    unpack(m, src, n, dst, false);
}
static inline void unpack_words(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst) {
    unpack(m, src, n, dst, true);
}

/* 8-bit floats at the top of 32-bit lanes to float32. The exponent is 120 too small where the value bits come to lie
 * (half.h), but multiplying by 2^120 takes Intel's processors hundreds of clocks for each of the subnormal ones,
 * (m/8)·2^−6. With 120 added to the exponent these are x = (1 + m/8)·2^−7, and 2x − 2^−6 is exact and right; of the
 * others, which are 2^−6 and more, x itself is, and is the smaller. */
INLINE __m256 top_floats(__m256i v) {
    const __m256i sign = _mm256_and_si256(v, _mm256_set1_epi32((int)0x80000000));
    const __m256i mag = _mm256_srli_epi32(_mm256_and_si256(v, _mm256_set1_epi32(0x7f000000)), 4);
    const __m256 x = _mm256_castsi256_ps(_mm256_add_epi32(mag, _mm256_set1_epi32(120 << 23)));
    const __m256 f = _mm256_min_ps(x, _mm256_fmadd_ps(x, _mm256_set1_ps(2.0f), _mm256_set1_ps(-0x1p-6f)));
    return _mm256_or_ps(f, _mm256_castsi256_ps(sign));
}

/* The same in zero-extended lanes. */
INLINE __m256 e4m3_floats(__m256i v) { return top_floats(_mm256_slli_epi32(v, 24)); }

/* The integers (cria_e4m3_integer) of the 8-bit floats in even or in odd bytes: vpmulhrsw is (x·y + 2^14) >> 15, of
 * x = ±(8 + m)·2^11 and y = 2^(e−1), 0 where e is 0. */
INLINE __m256i e4m3_integers(__m256i v, bool odd) {
    const __m128i eights = _mm_setr_epi8(64, 72, 80, 88, 96, 104, 112, 120, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i powers = _mm_setr_epi8(0, 1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0);
    const __m128i even_twice = _mm_setr_epi8(0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14);
    const __m256i twice = _mm256_add_epi8(_mm256_broadcastsi128_si256(even_twice), _mm256_set1_epi8(odd));
    const __m256i m = _mm256_and_si256(v, _mm256_set1_epi8(7));
    const __m256i upper = _mm256_sign_epi8(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(eights), m), v);
    const __m256i x = odd ? _mm256_and_si256(upper, _mm256_set1_epi16((short)0xff00)) : _mm256_slli_epi16(upper, 8);
    /* e twice, less 8 in the upper byte: either byte of the power, or none where that is below 0 */
    const __m256i e = _mm256_and_si256(_mm256_srli_epi16(v, 3), _mm256_set1_epi8(15));
    const __m256i both = _mm256_sub_epi8(_mm256_shuffle_epi8(e, twice), _mm256_set1_epi16(0x0800));
    return _mm256_mulhrs_epi16(x, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(powers), both));
}

/* 2^(e−127), e = 0 being the subnormal 2^−127. */
INLINE __m256 e8m0_floats(__m256i v) {
    const __m256i subnormal =
        _mm256_and_si256(_mm256_cmpeq_epi32(v, _mm256_setzero_si256()), _mm256_set1_epi32(0x00400000));
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_slli_epi32(v, 23), subnormal));
}

INLINE __m256 f16_floats(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

INLINE __m256 bf16_floats(const uint16_t *p) {
    const __m256i v = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
}

INLINE __m256i bytes_to_lanes(const uint8_t *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}

INLINE __m256 eight_floats(enum cria_scale_type type, const uint8_t *p, size_t i) {
    switch (type) {
    case CRIA_SCALE_F32:
        return _mm256_loadu_ps((const float *)p + i);
    case CRIA_SCALE_F16:
        return f16_floats((const uint16_t *)p + i);
    case CRIA_SCALE_BF16:
        return bf16_floats((const uint16_t *)p + i);
    case CRIA_SCALE_E8M0:
        return e8m0_floats(bytes_to_lanes(p + i));
    default:
        return e4m3_floats(bytes_to_lanes(p + i));
    }
}

INLINE void scales_of_type(enum cria_scale_type type, const uint8_t *src, size_t n, float factor,
                           float *dst) {
    const __m256 f = _mm256_set1_ps(factor);
    for (size_t i = 0; i < n; i += 8) _mm256_store_ps(dst + i, _mm256_mul_ps(eight_floats(type, src, i), f));
}

/* Group i (0..7) of a plane of second levels: a byte for each of 16 rows. bits and i are constants. */
INLINE __m128i second_levels(const uint8_t *planes, int bits, int i) {
    const int low_width = bits == 6 ? 4 : bits;
    const __m128i low = _mm_loadu_si128((const __m128i *)(planes + 16 * (i % low_width)));
    if (bits == 8) return low;
    const __m128i nibbles = _mm_and_si128(_mm_srli_epi16(low, i / 4 * 4), _mm_set1_epi8(15));
    if (bits == 4) return nibbles;
    const __m128i high = _mm_loadu_si128((const __m128i *)(planes + 64 + 16 * (i % 2)));
    const __m128i twos = _mm_and_si128(_mm_srli_epi16(high, i / 2 * 2), _mm_set1_epi8(3));
    return _mm_or_si128(nibbles, _mm_slli_epi16(twos, 4));
}

/* Scales of two levels; type is a constant. */
INLINE void scales_of_supers(enum cria_scale_type type, const uint8_t *src, size_t n, float factor,
                             float *dst) {
    const struct cria_two_levels t = cria_two_levels(type);
    const __m256 f = _mm256_set1_ps(factor);
    const __m256i zero = _mm256_set1_epi32(t.zero);
    for (size_t i = 0; i < n; i += 16 * t.groups) {
        const __m256 d[2] = {_mm256_mul_ps(f16_floats((const uint16_t *)(const void *)src), f),
                             _mm256_mul_ps(f16_floats((const uint16_t *)(const void *)src + 8), f)};
        src += 32;
        for (uint32_t eight = 0; eight < t.groups; eight += 8, src += 16 * t.bits, dst += 128) {
            UNROLL for (int g = 0; g < 8; g++) {
                const __m128i s = second_levels(src, (int)t.bits, g);
                const __m256i s0 = _mm256_sub_epi32(_mm256_cvtepu8_epi32(s), zero);
                const __m256i s1 = _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(s, 8)), zero);
                _mm256_store_ps(dst + 16 * g, _mm256_mul_ps(_mm256_cvtepi32_ps(s0), d[0]));
                _mm256_store_ps(dst + 16 * g + 8, _mm256_mul_ps(_mm256_cvtepi32_ps(s1), d[1]));
            }
        }
    }
}

/* n (a multiple of 8, and of whole super-blocks) scales or biases as float32, times factor. dst 32-byte
 * aligned. */
static inline void unpack_scales(enum cria_scale_type type, const uint8_t *src, size_t n, float factor,
                                 float *dst) {
    switch (type) {
    case CRIA_SCALE_F32:
        scales_of_type(CRIA_SCALE_F32, src, n, factor, dst);
        break;
    case CRIA_SCALE_F16:
        scales_of_type(CRIA_SCALE_F16, src, n, factor, dst);
        break;
    case CRIA_SCALE_BF16:
        scales_of_type(CRIA_SCALE_BF16, src, n, factor, dst);
        break;
    case CRIA_SCALE_E8M0:
        scales_of_type(CRIA_SCALE_E8M0, src, n, factor, dst);
        break;
    case CRIA_SCALE_Q2_K:
        scales_of_supers(CRIA_SCALE_Q2_K, src, n, factor, dst);
        break;
    case CRIA_SCALE_Q3_K:
        scales_of_supers(CRIA_SCALE_Q3_K, src, n, factor, dst);
        break;
    case CRIA_SCALE_Q4_K:
        scales_of_supers(CRIA_SCALE_Q4_K, src, n, factor, dst);
        break;
    case CRIA_SCALE_Q6_K:
        scales_of_supers(CRIA_SCALE_Q6_K, src, n, factor, dst);
        break;
    case CRIA_SCALE_IQ4_XS:
        scales_of_supers(CRIA_SCALE_IQ4_XS, src, n, factor, dst);
        break;
    default:
        scales_of_type(CRIA_SCALE_E4M3, src, n, factor, dst);
        break;
    }
}

#endif
