/* SPDX-License-Identifier: Apache-2.0 */
/* Packed codes and scales (matrix.h) in AVX-512 registers: a 64-byte vector is 16 rows. */
#ifndef CRIA_KERNELS_X86_UNPACK_AVX512_H
#define CRIA_KERNELS_X86_UNPACK_AVX512_H

#include <immintrin.h>

#include "kernels/codes.h"
#include "kernels/inline.h"
#include "kernels/matrix.h"
#include "kernels/x86/avx512.h"

/* Emulated (tests/checkkern/simde) the registers live in memory anyway. */
#if defined(__AVX512F__)
#define UNROLL CRIA_UNROLL
#else
#define UNROLL
#endif
#define INLINE CRIA_INLINE
#define IN_REGISTER AVX512_REGISTER
#define hold avx512_hold

/* Lanes of row block `block` that lie within the first `rows` rows. */
INLINE __mmask16 row_mask(uint32_t rows, int block) {
    const uint32_t skip = 16 * (uint32_t)block;
    return rows >= skip + 16 ? 0xffff : rows <= skip ? 0 : (__mmask16)((1u << (rows - skip)) - 1);
}

/* Bits [from, from + w) of each byte, moved to bit `to`. Constant arguments. */
INLINE __m512i byte_bits(__m512i v, int from, int w, int to) {
    const __m512i mask = _mm512_set1_epi8((char)(((1 << w) - 1) << to));
    if (to > from) v = _mm512_slli_epi16(v, (unsigned)(to - from));
    if (to < from) v = _mm512_srli_epi16(v, (unsigned)(from - to));
    return _mm512_and_si512(v, mask);
}

/* The codes of step s of a chunk, a byte each. bits and s are constants where it is called; h is 0, as a register is
 * all rows (in AVX2 it is half of them). */
INLINE __m512i step_codes(const uint8_t *p, int bits, int h, int s) {
    __m512i low, high;
    (void)h;
    switch (bits) {
    case 8:
        return _mm512_loadu_si512(p + 64 * s);
    case 2:
    case 3:
        low = byte_bits(_mm512_loadu_si512(p + 64 * (s % 2)), 2 * (s / 2), 2, 0);
        break;
    default:
        low = byte_bits(_mm512_loadu_si512(p + 64 * (s % 4)), 4 * (s / 4), 4, 0);
        break;
    }
    switch (bits) {
    case 3:
        high = byte_bits(_mm512_loadu_si512(p + 128), s, 1, 2);
        break;
    case 5:
        high = byte_bits(_mm512_loadu_si512(p + 256), s, 1, 4);
        break;
    case 6:
        high = byte_bits(_mm512_loadu_si512(p + 256 + 64 * (s % 2)), 2 * (s / 2), 2, 4);
        break;
    default:
        return low;
    }
    return _mm512_or_si512(low, high);
}

/* Vector i of a chunk of nibbles: 16 times the codes of step i + 4. h as above. */
INLINE __m512i high_nibbles(const uint8_t *p, int h, int i) {
    (void)h;
    return _mm512_and_si512(_mm512_loadu_si512(p + 64 * i), _mm512_set1_epi8((char)0xf0));
}

/* The 16 levels in each quarter. */
INLINE __m512i load_levels(const uint8_t *levels) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)levels));
}

INLINE void unpack_bits(const cria_matrix *m, const uint8_t *src, uint32_t n, uint8_t *dst, int bits, bool wide) {
    const __m512i levels = m->spec.levels ? load_levels(m->spec.levels) : _mm512_setzero_si512();
    for (uint32_t c = 0; c < n; c++, src += m->chunk_bytes) {
        UNROLL for (int s = 0; s < 8; s++, dst += wide ? 128 : 64) {
            __m512i v = step_codes(src, bits, 0, s);
            if (m->spec.levels) v = _mm512_shuffle_epi8(levels, v);
            _mm512_storeu_si512(dst, wide ? _mm512_and_si512(v, _mm512_set1_epi16(255)) : v);
            if (wide) _mm512_storeu_si512(dst + 64, _mm512_srli_epi16(v, 8));
        }
    }
}

/* As in unpack_avx2.h. */
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

/* 8-bit floats at the top of 32-bit lanes to float32; how, see unpack_avx2.h. */
INLINE __m512 top_floats(__m512i v) {
    const __m512i sign = _mm512_and_si512(v, _mm512_set1_epi32((int)0x80000000));
    const __m512i mag = _mm512_srli_epi32(_mm512_and_si512(v, _mm512_set1_epi32(0x7f000000)), 4);
    const __m512 x = _mm512_castsi512_ps(_mm512_add_epi32(mag, _mm512_set1_epi32(120 << 23)));
    const __m512 f = _mm512_min_ps(x, _mm512_fmadd_ps(x, _mm512_set1_ps(2.0f), _mm512_set1_ps(-0x1p-6f)));
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(f), sign));
}

/* The same in zero-extended lanes. */
INLINE __m512 e4m3_floats(__m512i v) { return top_floats(_mm512_slli_epi32(v, 24)); }

/* The integers (cria_e4m3_integer) of the 8-bit floats in even or in odd bytes: vpmulhrsw is (x·y + 2^14) >> 15, of
 * x = (8 + m)·2^11 and y = ±2^(e−1), 0 where e is 0. */
INLINE __m512i e4m3_integers(__m512i v, bool odd) {
    const __m512i powers = _mm512_set_epi16(
        -16384, -8192, -4096, -2048, -1024, -512, -256, -128, -64, -32, -16, -8, -4, -2, -1, 0, /* the sign is bit 4 */
        16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 0);
    const __m512i y = _mm512_permutexvar_epi16(_mm512_srli_epi16(v, odd ? 11 : 3), powers);
    const __m512i m = _mm512_and_si512(_mm512_slli_epi16(v, odd ? 3 : 11), _mm512_set1_epi16(0x3800));
    return _mm512_mulhrs_epi16(_mm512_or_si512(m, _mm512_set1_epi16(0x4000)), y);
}

/* 2^(e−127), e = 0 being the subnormal 2^−127. */
INLINE __m512 e8m0_floats(__m512i v) {
    const __mmask16 zero = _mm512_cmpeq_epi32_mask(v, _mm512_setzero_si512());
    return _mm512_castsi512_ps(_mm512_mask_set1_epi32(_mm512_slli_epi32(v, 23), zero, 0x00400000));
}

INLINE __m512 f16_floats(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

INLINE __m512 bf16_floats(const uint16_t *p) {
    const __m512i v = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
}

INLINE __m512i bytes_to_lanes(const uint8_t *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}

INLINE __m512 sixteen_floats(enum cria_scale_type type, const uint8_t *p, size_t i) {
    switch (type) {
    case CRIA_SCALE_F32:
        return _mm512_loadu_ps((const float *)p + i);
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
    const __m512 f = _mm512_set1_ps(factor);
    for (size_t i = 0; i < n; i += 16)
        _mm512_storeu_ps(dst + i, _mm512_mul_ps(sixteen_floats(type, src, i), f));
}

/* The second levels of eight groups less `zero`, a byte for each of 16 rows: those of four groups at a time (matrix.h).
 * bits and zero are constants. */
INLINE void second_levels(const uint8_t *planes, int bits, int zero, int8_t out[8][CRIA_ROWS]) {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i a = _mm512_loadu_si512(planes), b;
    if (bits == 8) {
        b = _mm512_loadu_si512(planes + 64);
    } else {
        b = _mm512_and_si512(_mm512_srli_epi16(a, 4), nibble);
        a = _mm512_and_si512(a, nibble);
    }
    if (bits == 6) { /* groups 2i and 2i+1 have bits 2i and 2i+1 of the two vectors of the second plane */
        const __m512i twos = _mm512_set1_epi8(0x30);
        const __m512i high = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(planes + 64)));
        const __m512i to_a = _mm512_set_epi64(2, 2, 2, 2, 4, 4, 4, 4), to_b = _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0);
        a = _mm512_or_si512(a, _mm512_and_si512(_mm512_sllv_epi64(high, to_a), twos));
        b = _mm512_or_si512(b, _mm512_and_si512(_mm512_srlv_epi64(high, to_b), twos));
    }
    if (zero) {
        a = _mm512_sub_epi8(a, _mm512_set1_epi8((char)zero));
        b = _mm512_sub_epi8(b, _mm512_set1_epi8((char)zero));
    }
    _mm512_storeu_si512(out[0], a);
    _mm512_storeu_si512(out[4], b);
}

/* Scales of two levels; type is a constant. */
INLINE void scales_of_supers(enum cria_scale_type type, const uint8_t *src, size_t n, float factor,
                             float *dst) {
    const struct cria_two_levels t = cria_two_levels(type);
    for (size_t i = 0; i < n; i += 16 * t.groups) {
        const __m512 d = _mm512_mul_ps(f16_floats((const uint16_t *)(const void *)src), _mm512_set1_ps(factor));
        src += 32;
        for (uint32_t eight = 0; eight < t.groups; eight += 8, src += 16 * t.bits, dst += 128) {
            int8_t s[8][CRIA_ROWS];
            second_levels(src, (int)t.bits, t.zero, s);
            UNROLL for (int g = 0; g < 8; g++) {
                const __m512i whole = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)s[g]));
                _mm512_storeu_ps(dst + 16 * g, _mm512_mul_ps(_mm512_cvtepi32_ps(whole), d));
            }
        }
    }
}

/* unpack_scales of matmul_q.h */
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
