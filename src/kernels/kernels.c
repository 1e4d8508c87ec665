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
    .matmul_q = cria_matmul_q_ref,
    .quantize = cria_quantize_ref,
    .rmsnorm = cria_rmsnorm_ref,
    .add = cria_add_ref,
    .silu_mul = cria_silu_mul_ref,
    .rope = cria_rope_ref,
    .scale = cria_scale_ref,
    .kv_store = cria_kv_store_ref,
    .quantize_query = cria_quantize_query_ref,
    .attend = cria_attend_ref,
    .probe_f32 = cria_probe_f32_ref,
    .probe_int8 = cria_probe_int8_ref,
    .probe_read = cria_probe_read_ref,
};

#if defined(__x86_64__)
static const struct cria_kernels avx2 = {
    .name = "avx2",
    .matmul_f = cria_matmul_f_avx2,
    .matmul_q = cria_matmul_q_avx2,
    .quantize = cria_quantize_avx2,
    .rmsnorm = cria_rmsnorm_avx2,
    .add = cria_add_avx2,
    .silu_mul = cria_silu_mul_avx2,
    .rope = cria_rope_avx2,
    .scale = cria_scale_avx2,
    .kv_store = cria_kv_store_avx2,
    .quantize_query = cria_quantize_query_avx2,
    .attend = cria_attend_avx2,
    .probe_f32 = cria_probe_f32_avx2,
    .probe_int8 = cria_probe_int8_avx2,
    .probe_read = cria_probe_read_avx2,
};

static const struct cria_kernels avx512 = {
    .name = "avx512",
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
#elif defined(__aarch64__)
static const struct cria_kernels neon = {
    .name = "neon",
    .matmul_f = cria_matmul_f_neon,
    .matmul_q = cria_matmul_q_neon,
    .quantize = cria_quantize_neon,
    .rmsnorm = cria_rmsnorm_neon,
    .add = cria_add_neon,
    .silu_mul = cria_silu_mul_neon,
    .rope = cria_rope_neon,
    .scale = cria_scale_neon,
    .kv_store = cria_kv_store_neon,
    .quantize_query = cria_quantize_query_neon,
    .attend = cria_attend_neon,
    .probe_f32 = cria_probe_f32_neon,
    .probe_int8 = cria_probe_int8_neon,
    .probe_read = cria_probe_read_neon,
};
#endif

const struct cria_kernels *cria_kernels_for(uint32_t cpu_flags) {
#if defined(__x86_64__)
    const uint32_t need_avx512 = CRIA_CPU_AVX2 | CRIA_CPU_AVX512 | CRIA_CPU_AVX512VNNI;
    if ((cpu_flags & need_avx512) == need_avx512) return &avx512;
    if (cpu_flags & CRIA_CPU_AVX2) return &avx2;
#elif defined(__aarch64__)
    if (cpu_flags & CRIA_CPU_NEON) return &neon;
#endif
    (void)cpu_flags;
    return &scalar;
}

size_t cria_kernels_list(uint32_t cpu_flags, const struct cria_kernels **out, size_t max) {
    size_t n = 0;
    for (int bits = 0; bits <= 32; bits++) {
        const uint32_t mask = bits == 32 ? UINT32_MAX : (UINT32_C(1) << bits) - 1;
        const struct cria_kernels *k = cria_kernels_for(cpu_flags & mask);
        bool seen = false;
        for (size_t i = 0; i < n; i++) seen |= out[i] == k;
        if (!seen && n < max) out[n++] = k;
    }
    return n;
}
