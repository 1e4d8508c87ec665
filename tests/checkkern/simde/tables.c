/* SPDX-License-Identifier: Apache-2.0 */
/* The tables that need more than AVX2, out of emulated kernels. checkkern.cmake gives the functions other
 * names here (…_simde), so that the real ones can be in the same program. A kernel that two tables share is
 * tested in one. */
#include "kernels/ref/ref.h"
#include "kernels/x86/kernels_x86.h"

/* What a table leaves out is the reference's, and so not tested again. */
#define REFERENCE                                                                                            \
    .matmul_f = cria_matmul_f_ref, .quantize = cria_quantize_ref, .quantize_h = cria_quantize_h_ref,         \
    .rmsnorm = cria_rmsnorm_ref, .add = cria_add_ref, .silu_mul = cria_silu_mul_ref,                         \
    .gelu_mul = cria_gelu_mul_ref, .softcap = cria_softcap_ref, .rope = cria_rope_ref,                       \
    .scale = cria_scale_ref, .widen = cria_widen_ref, .add_scaled = cria_add_scaled_ref,                     \
    .kv_store = cria_kv_store_ref, .quantize_query = cria_quantize_query_ref,                                \
    .probe_f32 = cria_probe_f32_ref, .probe_read = cria_probe_read_ref

static const struct cria_kernels avxvnni = {
    .name = "avxvnni-simde",
    REFERENCE,
    .matmul_h = cria_matmul_h_avxvnni,
    .matmul_q = cria_matmul_q_avxvnni,
    .layout = cria_layout_avxvnni,
    .lay_out = cria_lay_out_avxvnni,
    .attend = cria_attend_avxvnni,
    .probe_int8 = cria_probe_int8_avxvnni,
};

static const struct cria_kernels avx512 = {
    .name = "avx512-simde",
    .matmul_f = cria_matmul_f_avx512,
    .matmul_h = cria_matmul_h_avx512,
    .matmul_q = cria_matmul_q_avx512,
    .layout = cria_layout_avx512,
    .lay_out = cria_lay_out_avx512,
    .quantize = cria_quantize_avx512,
    .quantize_h = cria_quantize_h_avx2,
    .rmsnorm = cria_rmsnorm_avx512,
    .add = cria_add_avx512,
    .silu_mul = cria_silu_mul_avx512,
    .gelu_mul = cria_gelu_mul_avx512,
    .softcap = cria_softcap_avx512,
    .rope = cria_rope_avx512,
    .scale = cria_scale_avx512,
    .add_scaled = cria_add_scaled_avx512,
    .widen = cria_widen_avx512,
    .kv_store = cria_kv_store_avx2,
    .quantize_query = cria_quantize_query_avx2,
    .attend = cria_attend_avx512,
    .probe_f32 = cria_probe_f32_avx512,
    .probe_int8 = cria_probe_int8_avx512,
    .probe_read = cria_probe_read_avx512,
};

static const struct cria_kernels avx512vnni = {
    .name = "avx512vnni-simde",
    REFERENCE,
    .matmul_h = cria_matmul_h_avx512vnni,
    .matmul_q = cria_matmul_q_avx512vnni,
    .layout = cria_layout_avx512vnni,
    .lay_out = cria_lay_out_avx512vnni,
    .attend = cria_attend_avx512vnni,
    .probe_int8 = cria_probe_int8_avx512vnni,
};

extern const struct cria_kernels *const check_simde_tables[];
const struct cria_kernels *const check_simde_tables[] = {&avxvnni, &avx512, &avx512vnni, NULL};
