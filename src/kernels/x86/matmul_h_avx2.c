/* SPDX-License-Identifier: Apache-2.0 */
/* Half and 8-bit floats times whole integers (matmul_h_tmpl.c) for AVX2: vpmaddwd. */
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/matmul_q_avx2.h"

#define MANY_REGISTERS 0

INLINE ints add_pairs(ints sum, ints w, ints a) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(w, a));
    hold(&sum);
    return sum;
}

#include "kernels/x86/matmul_h_tmpl.c"

void cria_matmul_h_avx2(const cria_matrix *w, const cria_act *x, float *y, size_t ldy,
                          cria_rect part, void *scratch) {
    cria_matmul_h_run(&ops, asking(w), w, x, y, ldy, part, scratch);
}
