/* SPDX-License-Identifier: Apache-2.0 */
/* Quantized matrix product for AVX-512 with VNNI (matmul_q of kernels.h): the tiles of tile_vnni.h with a register for a
 * row block. */
#include "kernels/x86/matmul_q_avx512.h"

#include "kernels/x86/kernels_x86.h"

#define V(op) _mm512_##op
#define MATVEC_PLAN cria_matvec_plan_avx512vnni
typedef __m512i ints;
typedef __m512 floats;
enum { LANES = 16, BLOCKS = 2, SUMS_FIT = 1 };

INLINE floats as_floats(ints v) { return _mm512_castsi512_ps(v); }

INLINE ints add_four(ints sum, ints levels, ints a) { return _mm512_dpbusd_epi32(sum, levels, a); }

INLINE ints chunk_codes(const uint8_t *chunk, int bits, int r, int step) {
    (void)r;
    return step_codes(chunk, bits, step);
}

INLINE floats load_rows(const float *y, uint32_t rows, int r) {
    return _mm512_maskz_loadu_ps(row_mask(rows, r), y + LANES * r);
}

INLINE void store_rows(float *y, uint32_t rows, int r, floats v) {
    _mm512_mask_storeu_ps(y + LANES * r, row_mask(rows, r), v);
}

#include "kernels/x86/tile_vnni.h"

CRIA_MATMUL_Q(avx512vnni, ops)

/* Twelve sums, as a tile has. */
uint64_t cria_probe_int8_avx512vnni(uint32_t n) {
    enum { SUMS = 12 };
    const __m512i level = _mm512_set1_epi8(15), a = _mm512_set1_epi8(1);
    __m512i sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_si512();
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], level, a);
            __asm__ volatile("" : "+" IN_REGISTER(sum[i]));
        }
    }
    return (uint64_t)n * SUMS * 64;
}
