/* SPDX-License-Identifier: Apache-2.0 */
/* The tables and the choice among them. */
#include "base/cpu.h"
#include "kernels/ref/ref.h"
#if defined(__x86_64__)
#include "kernels/x86/kernels_x86.h"
#elif defined(__aarch64__)
#include "kernels/arm/kernels_arm.h"
#endif

static const struct cria_kernels scalar = {
    .name = "scalar",
    .matmul_f = cria_matmul_f_ref,
    .matmul_h = cria_matmul_h_ref,
    .matmul_q = cria_matmul_q_ref,
    .quantize = cria_quantize_ref,
    .quantize_h = cria_quantize_h_ref,
    .layout = cria_layout_ref,
    .lay_out = cria_lay_out_ref,
    .rmsnorm = cria_rmsnorm_ref,
    .add = cria_add_ref,
    .silu_mul = cria_silu_mul_ref,
    .gelu_mul = cria_gelu_mul_ref,
    .softcap = cria_softcap_ref,
    .rope = cria_rope_ref,
    .scale = cria_scale_ref,
    .add_scaled = cria_add_scaled_ref,
    .widen = cria_widen_ref,
    .kv_store = cria_kv_store_ref,
    .quantize_query = cria_quantize_query_ref,
    .attend = cria_attend_ref,
    .probe_f32 = cria_probe_f32_ref,
    .probe_int8 = cria_probe_int8_ref,
    .probe_read = cria_probe_read_ref,
};

/* The tables of a family differ where integers are multiplied. */
#if defined(__x86_64__)
#define AVX2_TABLE(table)                                                                                    \
    static const struct cria_kernels table = {                                                               \
        .name = #table,                                                                                      \
        .matmul_f = cria_matmul_f_avx2,                                                                      \
        .matmul_h = cria_matmul_h_##table,                                                                   \
        .matmul_q = cria_matmul_q_##table,                                                                   \
        .quantize = cria_quantize_avx2,                                                                      \
        .quantize_h = cria_quantize_h_avx2,                                                                  \
        .layout = cria_layout_##table,                                                                       \
        .lay_out = cria_lay_out_##table,                                                                     \
        .rmsnorm = cria_rmsnorm_avx2,                                                                        \
        .add = cria_add_avx2,                                                                                \
        .silu_mul = cria_silu_mul_avx2,                                                                      \
        .gelu_mul = cria_gelu_mul_avx2,                                                                      \
        .softcap = cria_softcap_avx2,                                                                        \
        .rope = cria_rope_avx2,                                                                              \
        .scale = cria_scale_avx2,                                                                            \
        .add_scaled = cria_add_scaled_avx2,                                                                  \
        .widen = cria_widen_avx2,                                                                            \
        .kv_store = cria_kv_store_avx2,                                                                      \
        .quantize_query = cria_quantize_query_avx2,                                                          \
        .attend = cria_attend_##table,                                                                       \
        .probe_f32 = cria_probe_f32_avx2,                                                                    \
        .probe_int8 = cria_probe_int8_##table,                                                               \
        .probe_read = cria_probe_read_avx2,                                                                  \
    };
AVX2_TABLE(avx2)
AVX2_TABLE(avxvnni)

#define AVX512_TABLE(table)                                                                                  \
    static const struct cria_kernels table = {                                                               \
        .name = #table,                                                                                      \
        .matmul_f = cria_matmul_f_avx512,                                                                    \
        .matmul_h = cria_matmul_h_##table,                                                                   \
        .matmul_q = cria_matmul_q_##table,                                                                   \
        .quantize = cria_quantize_avx512,                                                                    \
        .quantize_h = cria_quantize_h_avx2,                                                                  \
        .layout = cria_layout_##table,                                                                       \
        .lay_out = cria_lay_out_##table,                                                                     \
        .rmsnorm = cria_rmsnorm_avx512,                                                                      \
        .add = cria_add_avx512,                                                                              \
        .silu_mul = cria_silu_mul_avx512,                                                                    \
        .gelu_mul = cria_gelu_mul_avx512,                                                                    \
        .softcap = cria_softcap_avx512,                                                                      \
        .rope = cria_rope_avx512,                                                                            \
        .scale = cria_scale_avx512,                                                                          \
        .add_scaled = cria_add_scaled_avx512,                                                                \
        .widen = cria_widen_avx512,                                                                          \
        .kv_store = cria_kv_store_avx2,                                                                      \
        .quantize_query = cria_quantize_query_avx2,                                                          \
        .attend = cria_attend_##table,                                                                       \
        .probe_f32 = cria_probe_f32_avx512,                                                                  \
        .probe_int8 = cria_probe_int8_##table,                                                               \
        .probe_read = cria_probe_read_avx512,                                                                \
    };
AVX512_TABLE(avx512)
AVX512_TABLE(avx512vnni)
#elif defined(__aarch64__)
#define NEON_TABLE(table)                                                                                    \
    static const struct cria_kernels table = {                                                               \
        .name = #table,                                                                                      \
        .matmul_f = cria_matmul_f_neon,                                                                      \
        .matmul_h = cria_matmul_h_neon,                                                                      \
        .matmul_q = cria_matmul_q_##table,                                                                   \
        .quantize = cria_quantize_neon,                                                                      \
        .quantize_h = cria_quantize_h_neon,                                                                  \
        .layout = cria_layout_##table,                                                                       \
        .lay_out = cria_lay_out_##table,                                                                     \
        .rmsnorm = cria_rmsnorm_neon,                                                                        \
        .add = cria_add_neon,                                                                                \
        .silu_mul = cria_silu_mul_neon,                                                                      \
        .gelu_mul = cria_gelu_mul_neon,                                                                      \
        .softcap = cria_softcap_neon,                                                                        \
        .rope = cria_rope_neon,                                                                              \
        .scale = cria_scale_neon,                                                                            \
        .add_scaled = cria_add_scaled_neon,                                                                  \
        .widen = cria_widen_neon,                                                                            \
        .kv_store = cria_kv_store_neon,                                                                      \
        .quantize_query = cria_quantize_query_neon,                                                          \
        .attend = cria_attend_neon,                                                                          \
        .probe_f32 = cria_probe_f32_neon,                                                                    \
        .probe_int8 = cria_probe_int8_##table,                                                               \
        .probe_read = cria_probe_read_neon,                                                                  \
    };
NEON_TABLE(neon)
NEON_TABLE(dotprod)
NEON_TABLE(i8mm)
#endif

/* Every table with the processor flags it needs, the best last. base/cpu.c has the same names. */
static const struct {
    uint32_t needed;
    const struct cria_kernels *table;
} tables[] = {
    {0, &scalar},
#if defined(__x86_64__)
    {CRIA_CPU_AVX2, &avx2},
    {CRIA_CPU_AVX2 | CRIA_CPU_AVXVNNI, &avxvnni},
    {CRIA_CPU_AVX2 | CRIA_CPU_AVX512, &avx512},
    {CRIA_CPU_AVX2 | CRIA_CPU_AVX512 | CRIA_CPU_AVX512VNNI, &avx512vnni},
#elif defined(__aarch64__)
    {CRIA_CPU_NEON, &neon},
    {CRIA_CPU_NEON | CRIA_CPU_DOTPROD, &dotprod},
    {CRIA_CPU_NEON | CRIA_CPU_DOTPROD | CRIA_CPU_I8MM, &i8mm},
#endif
};

const struct cria_kernels *cria_kernels_for(uint32_t cpu_flags) {
    size_t i = sizeof tables / sizeof tables[0] - 1;
    while ((cpu_flags & tables[i].needed) != tables[i].needed) i--;
    return tables[i].table;
}

size_t cria_kernels_list(uint32_t cpu_flags, const struct cria_kernels **out, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && n < max; i++)
        if ((cpu_flags & tables[i].needed) == tables[i].needed) out[n++] = tables[i].table;
    return n;
}
