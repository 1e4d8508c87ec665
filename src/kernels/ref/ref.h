/* SPDX-License-Identifier: Apache-2.0 */
/* The scalar reference of every slot of struct cria_kernels: plain C, the definition of correct. */
#ifndef CRIA_KERNELS_REF_REF_H
#define CRIA_KERNELS_REF_REF_H

#include "kernels/kernels.h"

void cria_matmul_f_ref(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
void cria_matmul_q_ref(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
void cria_matmul_h_ref(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);
void cria_quantize_h_ref(const cria_act *a, uint32_t t, const float *x);
void cria_quantize_ref(const cria_act *a, uint32_t t, const float *x);
cria_layout cria_layout_ref(const cria_matrix_spec *w, uint32_t n, uint32_t planes);
void cria_lay_out_ref(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1);
void cria_rmsnorm_ref(float *y, const float *x, const float *w, float eps, size_t n);
void cria_add_ref(float *y, const float *x, size_t n);
void cria_silu_mul_ref(float *y, const float *g, const float *u, size_t n);
void cria_gelu_mul_ref(float *y, const float *g, const float *u, size_t n);
void cria_softcap_ref(float *x, float cap, size_t n);
void cria_rope_ref(float *x, uint32_t n_heads, uint32_t e, uint32_t rot, const float *cos, const float *sin);
void cria_scale_ref(float *y, const float *x, float a, size_t n);
void cria_add_scaled_ref(float *y, const float *x, float a, size_t n);
void cria_widen_ref(float *y, const uint16_t *x, size_t n);
void cria_kv_store_ref(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                       const float *k, const float *v);
void cria_quantize_query_ref(int16_t *a, float *d, const float *x, size_t n, float max);
void cria_attend_ref(const cria_attend *a);
uint64_t cria_probe_f32_ref(uint32_t n);
uint64_t cria_probe_int8_ref(uint32_t n);
uint64_t cria_probe_read_ref(const void *p, size_t bytes);

/* The integers a and the scale of one unit of n numbers (struct cria_act, M = max). */
float cria_quantize_unit_ref(const float *x, size_t n, float max, int32_t *a);

#endif
