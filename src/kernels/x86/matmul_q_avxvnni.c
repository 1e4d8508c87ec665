/* SPDX-License-Identifier: Apache-2.0 */
/* Quantized matrix product for AVX2 with AVX-VNNI, the processors that have the dot products of AVX-512 VNNI in 256 bits
 * only (matmul_q of kernels.h): the tiles of tile_vnni.h with a row block in two registers. */
#include "kernels/x86/matmul_q_avx2.h"

#include "kernels/x86/kernels_x86.h"

#define V(op) _mm256_##op
#define MATVEC_PLAN cria_matvec_plan_avxvnni
typedef __m256i ints;
typedef __m256 floats;
enum { LANES = 8, BLOCKS = 1, SUMS_FIT = 0 };

INLINE floats as_floats(ints v) { return _mm256_castsi256_ps(v); }

INLINE ints add_four(ints sum, ints levels, ints a) { return _mm256_dpbusd_avx_epi32(sum, levels, a); }

INLINE ints chunk_codes(const uint8_t *chunk, int bits, int r, int step) { return step_codes(chunk, bits, r, step); }

INLINE floats load_rows(const float *y, uint32_t rows, int r) {
    return _mm256_maskload_ps(y + LANES * r, row_mask(rows, r));
}

INLINE void store_rows(float *y, uint32_t rows, int r, floats v) {
    if (rows >= CRIA_ROWS) /* masked, a store takes some processors a long time */
        _mm256_storeu_ps(y + LANES * r, v);
    else
        _mm256_maskstore_ps(y + LANES * r, row_mask(rows, r), v);
}

#include "kernels/x86/tile_vnni.h"

CRIA_MATMUL_Q(avxvnni, ops)

/* Twelve sums, as a tile has. */
uint64_t cria_probe_int8_avxvnni(uint32_t n) {
    enum { SUMS = 12 };
    const __m256i level = _mm256_set1_epi8(15), a = _mm256_set1_epi8(1);
    __m256i sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm256_setzero_si256();
    for (uint32_t round = 0; round < n; round++) {
        UNROLL for (int i = 0; i < SUMS; i++) {
            sum[i] = _mm256_dpbusd_avx_epi32(sum[i], level, a);
            __asm__ volatile("" : "+x"(sum[i]));
        }
    }
    return (uint64_t)n * SUMS * 32;
}
