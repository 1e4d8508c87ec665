/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels for x86-64. *_avx2 need AVX2, FMA and F16C; *_avxvnni AVX-VNNI too; *_avx512 need AVX-512 F,
 * BW, DQ, VL and CD; *_avx512vnni AVX-512 VNNI too. */
#ifndef CRIA_KERNELS_X86_KERNELS_X86_H
#define CRIA_KERNELS_X86_KERNELS_X86_H

#include "kernels/kernels.h"

void cria_matmul_f_avx2(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
void cria_matmul_q_avx2(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
cria_layout cria_layout_avx2(const cria_matrix_spec *w, uint32_t n, uint32_t planes);
void cria_lay_out_avx2(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1);
void cria_matmul_q_avxvnni(const cria_matrix *w, const cria_act *x, float *y, size_t ldy,
                           cria_rect part, void *scratch);
cria_layout cria_layout_avxvnni(const cria_matrix_spec *w, uint32_t n, uint32_t planes);
void cria_lay_out_avxvnni(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1);
void cria_matmul_h_avx2(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
void cria_matmul_h_avxvnni(const cria_matrix *w, const cria_act *x, float *y, size_t ldy,
                           cria_rect part, void *scratch);
void cria_quantize_h_avx2(const cria_act *a, uint32_t t, const float *x);
void cria_quantize_avx2(const cria_act *a, uint32_t t, const float *x);
void cria_rmsnorm_avx2(float *y, const float *x, const float *w, float eps, size_t n);
void cria_add_avx2(float *y, const float *x, size_t n);
void cria_silu_mul_avx2(float *y, const float *g, const float *u, size_t n);
void cria_gelu_mul_avx2(float *y, const float *g, const float *u, size_t n);
void cria_softcap_avx2(float *x, float cap, size_t n);
void cria_rope_avx2(float *x, uint32_t n_heads, uint32_t e, uint32_t rot, const float *cos, const float *sin);
void cria_scale_avx2(float *y, const float *x, float a, size_t n);
void cria_add_scaled_avx2(float *y, const float *x, float a, size_t n);
void cria_widen_avx2(float *y, const uint16_t *x, size_t n);
void cria_kv_store_avx2(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                        const float *k, const float *v);
void cria_quantize_query_avx2(int16_t *a, float *d, const float *x, size_t n, float max);
void cria_attend_avx2(const cria_attend *a);
void cria_attend_avxvnni(const cria_attend *a);
uint64_t cria_probe_f32_avx2(uint32_t n);
uint64_t cria_probe_int8_avx2(uint32_t n);
uint64_t cria_probe_int8_avxvnni(uint32_t n);
uint64_t cria_probe_read_avx2(const void *p, size_t bytes);

void cria_matmul_f_avx512(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
void cria_matmul_q_avx512(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
cria_layout cria_layout_avx512(const cria_matrix_spec *w, uint32_t n, uint32_t planes);
void cria_lay_out_avx512(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1);
void cria_matmul_q_avx512vnni(const cria_matrix *w, const cria_act *x, float *y, size_t ldy,
                              cria_rect part, void *scratch);
cria_layout cria_layout_avx512vnni(const cria_matrix_spec *w, uint32_t n, uint32_t planes);
void cria_lay_out_avx512vnni(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1);
void cria_matmul_h_avx512(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
void cria_matmul_h_avx512vnni(const cria_matrix *w, const cria_act *x, float *y, size_t ldy,
                              cria_rect part, void *scratch);
void cria_quantize_avx512(const cria_act *a, uint32_t t, const float *x);
void cria_rmsnorm_avx512(float *y, const float *x, const float *w, float eps, size_t n);
void cria_add_avx512(float *y, const float *x, size_t n);
void cria_silu_mul_avx512(float *y, const float *g, const float *u, size_t n);
void cria_gelu_mul_avx512(float *y, const float *g, const float *u, size_t n);
void cria_softcap_avx512(float *x, float cap, size_t n);
void cria_rope_avx512(float *x, uint32_t n_heads, uint32_t e, uint32_t rot, const float *cos, const float *sin);
void cria_scale_avx512(float *y, const float *x, float a, size_t n);
void cria_add_scaled_avx512(float *y, const float *x, float a, size_t n);
void cria_widen_avx512(float *y, const uint16_t *x, size_t n);
void cria_attend_avx512(const cria_attend *a);
void cria_attend_avx512vnni(const cria_attend *a);
uint64_t cria_probe_f32_avx512(uint32_t n);
uint64_t cria_probe_int8_avx512(uint32_t n);
uint64_t cria_probe_int8_avx512vnni(uint32_t n);
uint64_t cria_probe_read_avx512(const void *p, size_t bytes);

#endif
