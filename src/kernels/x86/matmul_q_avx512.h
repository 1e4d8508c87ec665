/* SPDX-License-Identifier: Apache-2.0 */
/* What the quantized products for AVX-512 share, with VNNI and without: those with one token (matvec_q_avx512.c) and
 * with more (matmul_q_avx512.c, matmul_q_avx512vnni.c). Included by these only. */
#ifndef CRIA_KERNELS_X86_MATMUL_Q_AVX512_H
#define CRIA_KERNELS_X86_MATMUL_Q_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "kernels/codes.h"
#include "kernels/matmul_q.h"
#include "kernels/x86/unpack_avx512.h"

INLINE __m512i broadcast4(const void *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}

/* The plan for one token; false when there are no such tiles for a matrix. */
bool cria_matvec_plan_avx512(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan);
bool cria_matvec_plan_avx512vnni(const cria_matrix_spec *s, uint32_t planes, struct cria_tile_plan *plan);

#endif
