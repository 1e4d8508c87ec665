/* SPDX-License-Identifier: Apache-2.0 */
/* What the products of integers with AVX2 share, those of AVX-VNNI included. Included by their files only. */
#ifndef CRIA_KERNELS_X86_MATMUL_Q_AVX2_H
#define CRIA_KERNELS_X86_MATMUL_Q_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/matmul_q.h"
#include "kernels/x86/unpack_avx2.h"

/* For tiles that are alike in both widths (tile_vnni_tmpl.c, matvec_tmpl.c, matmul_h_tmpl.c): the intrinsic of that
 * name, a register, its lanes, and the registers of a row block. */
#define V(op) _mm256_##op
typedef __m256i ints;
typedef __m256 floats;
enum { LANES = 8, PER_BLOCK = 2 };

INLINE ints broadcast4(const void *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}

INLINE floats as_floats(ints v) { return _mm256_castsi256_ps(v); }
INLINE ints as_ints(floats v) { return _mm256_castps_si256(v); }
INLINE ints load_ints(const void *p) { return load256(p); }
INLINE void store_ints(void *p, ints v) { _mm256_storeu_si256((__m256i *)p, v); }

/* The lower 16 bits of each lane from low, the upper ones from high. */
INLINE ints low_and_high(ints low, ints high) { return _mm256_blend_epi16(low, high, 0xaa); }

/* Register r of a row of y, of which `rows` are to be touched. */
INLINE floats load_rows(const float *y, uint32_t rows, int r) {
    return _mm256_maskload_ps(y + LANES * r, row_mask(rows, r));
}

INLINE void store_rows(float *y, uint32_t rows, int r, floats v) {
    if (rows >= (uint32_t)(LANES * (r + 1))) /* masked, a store takes some processors a long time */
        _mm256_storeu_ps(y + LANES * r, v);
    else if (rows > (uint32_t)(LANES * r))
        _mm256_maskstore_ps(y + LANES * r, row_mask(rows, r), v);
}

/* The plan for one token; false when there are no such tiles for a matrix. */
bool cria_matvec_plan_avx2(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan);
bool cria_matvec_plan_avxvnni(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan);

#endif
