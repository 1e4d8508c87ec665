/* SPDX-License-Identifier: Apache-2.0 */
/* What the quantized products for AVX2 share: those with one token (matvec_q_avx2.c) and with more
 * (matmul_q_avx2.c), and those for AVX-VNNI. Included by these only. */
#ifndef CRIA_KERNELS_X86_MATMUL_Q_AVX2_H
#define CRIA_KERNELS_X86_MATMUL_Q_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/matmul_q.h"
#include "kernels/x86/unpack_avx2.h"

INLINE __m256i broadcast4(const void *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}

/* The plan for one token; false when there are no such tiles for a matrix. */
bool cria_matvec_plan_avx2(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan);
bool cria_matvec_plan_avxvnni(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan);

#endif
