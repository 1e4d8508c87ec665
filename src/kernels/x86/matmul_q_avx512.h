/* SPDX-License-Identifier: Apache-2.0 */
/* What the products of integers with AVX-512 share, with VNNI and without. Included by their files only. */
#ifndef CRIA_KERNELS_X86_MATMUL_Q_AVX512_H
#define CRIA_KERNELS_X86_MATMUL_Q_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/matmul_q.h"
#include "kernels/x86/unpack_avx512.h"

/* As in matmul_q_avx2.h. */
#define V(op) _mm512_##op
typedef __m512i ints;
typedef __m512 floats;
enum { LANES = 16, PER_BLOCK = 1 };

INLINE ints broadcast4(const void *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}

INLINE floats as_floats(ints v) { return _mm512_castsi512_ps(v); }
INLINE ints as_ints(floats v) { return _mm512_castps_si512(v); }
INLINE ints load_ints(const void *p) { return _mm512_loadu_si512(p); }
INLINE void store_ints(void *p, ints v) { _mm512_storeu_si512(p, v); }

/* The lower 16 bits of each lane from low, the upper ones from high. */
INLINE ints low_and_high(ints low, ints high) { return _mm512_mask_blend_epi16(0xaaaaaaaa, low, high); }

INLINE floats load_rows(const float *y, uint32_t rows, int r) {
    return _mm512_maskz_loadu_ps(row_mask(rows, r), y + LANES * r);
}

INLINE void store_rows(float *y, uint32_t rows, int r, floats v) {
    _mm512_mask_storeu_ps(y + LANES * r, row_mask(rows, r), v);
}

/* What AMD's processors do otherwise (measured on Zen 4; Intel's on Emerald Rapids). Emulated it is done as theirs, so
 * that tests have both on any machine. */
#if defined(__AVX512F__)
#define ON_AMD __builtin_cpu_is("amd")
#else
#define ON_AMD true
#endif

/* They read row blocks that are far apart up to 1.3 times as fast as neighbours. Intel's read neighbours at nearly all
 * that memory gives, and the others at 0.86 to 0.93 of that (asked for as far ahead as neighbours are, 0.93 to 1). */
#define APART ON_AMD

/* The plan for one token; false when there are no such tiles for a matrix. */
bool cria_matvec_plan_avx512(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan);
bool cria_matvec_plan_avx512vnni(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan);

#endif
