/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels for AArch64. *_neon: what every ARMv8-A has; *_dotprod: the dot product instructions
 * (FEAT_DotProd) too; *_i8mm: the 8-bit matrix instructions (FEAT_I8MM) as well. */
#ifndef CRIA_KERNELS_ARM_KERNELS_ARM_H
#define CRIA_KERNELS_ARM_KERNELS_ARM_H

#include "kernels/kernels.h"

void cria_matmul_f_neon(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
void cria_matmul_q_neon(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
cria_layout cria_layout_neon(const cria_matrix_spec *w, uint32_t n, uint32_t planes);
void cria_lay_out_neon(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1);
void cria_matmul_q_dotprod(const cria_matrix *w, const cria_act *x, float *y, size_t ldy,
                           cria_rect part, void *scratch);
cria_layout cria_layout_dotprod(const cria_matrix_spec *w, uint32_t n, uint32_t planes);
void cria_lay_out_dotprod(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1);
void cria_matmul_q_i8mm(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
cria_layout cria_layout_i8mm(const cria_matrix_spec *w, uint32_t n, uint32_t planes);
void cria_lay_out_i8mm(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1);
void cria_matmul_h_neon(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
void cria_quantize_h_neon(const cria_act *a, uint32_t t, const float *x);
void cria_quantize_neon(const cria_act *a, uint32_t t, const float *x);
void cria_rmsnorm_neon(float *y, const float *x, const float *w, float eps, size_t n);
void cria_add_neon(float *y, const float *x, size_t n);
void cria_silu_mul_neon(float *y, const float *g, const float *u, size_t n);
void cria_gelu_mul_neon(float *y, const float *g, const float *u, size_t n);
void cria_softcap_neon(float *x, float cap, size_t n);
void cria_rope_neon(float *x, uint32_t n_heads, uint32_t e, uint32_t rot, const float *cos, const float *sin);
void cria_scale_neon(float *y, const float *x, float a, size_t n);
void cria_add_scaled_neon(float *y, const float *x, float a, size_t n);
void cria_widen_neon(float *y, const uint16_t *x, size_t n);
void cria_kv_store_neon(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                        const float *k, const float *v);
void cria_quantize_query_neon(int16_t *a, float *d, const float *x, size_t n, float max);
void cria_attend_neon(const cria_attend *a);
uint64_t cria_probe_f32_neon(uint32_t n);
uint64_t cria_probe_int8_neon(uint32_t n);
uint64_t cria_probe_int8_dotprod(uint32_t n);
uint64_t cria_probe_int8_i8mm(uint32_t n);
uint64_t cria_probe_read_neon(const void *p, size_t bytes);

#endif
