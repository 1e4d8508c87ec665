/* SPDX-License-Identifier: Apache-2.0 */
/* The avx512 table out of emulated kernels. checkkern.cmake gives the functions other names here (…_simde),
 * so that the real ones can be in the same program. */
#include "kernels/ref/ref.h"
#include "kernels/x86/kernels_x86.h"

extern const struct cria_kernels check_avx512_simde;
const struct cria_kernels check_avx512_simde = {
    .name = "avx512-simde",
    .matmul_f = cria_matmul_f_avx512,
    .matmul_q = cria_matmul_q_avx512,
    .quantize = cria_quantize_avx512,
    .rmsnorm = cria_rmsnorm_avx512,
    .add = cria_add_avx512,
    .silu_mul = cria_silu_mul_avx512,
    .rope = cria_rope_avx512,
    .scale = cria_scale_avx512,
    .kv_store = cria_kv_store_avx2,
    .quantize_query = cria_quantize_query_avx2,
    .attend = cria_attend_avx512,
    .probe_f32 = cria_probe_f32_avx512,
    .probe_int8 = cria_probe_int8_avx512,
    .probe_read = cria_probe_read_avx512,
};
