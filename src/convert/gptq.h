/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantizing a matrix so that its products stay what they were for inputs like those that it will meet, rather than
 * its weights: GPTQ (arXiv 2210.17323) in its order of falling importance, with the steps of each group searched for
 * beforehand. What is minimized, for each row w of the matrix, is
 *
 *     (ŵ − w)·H·(ŵ − w)ᵀ   with H = Σ x·xᵀ over inputs x,
 *
 * the sum of squared errors of its outputs. With H = L·D·Lᵀ, L unit lower triangular, that is Σ_c D_c·u_c² for
 * u = (ŵ − w)·L: so going from the last column to the first, each code is the one nearest to w_c − Σ_{j>c} (ŵ_j −
 * w_j)·L_jc, which takes up what the columns before it did wrong.
 *
 * The bits do not depend on threads or instruction set.
 */
#ifndef CRIA_CONVERT_GPTQ_H
#define CRIA_CONVERT_GPTQ_H

#include "base/ctx.h"
#include "kernels/matrix.h"

typedef struct cria_gptq cria_gptq;

/* Prepares for matrices with k inputs. moments: H, [k][k], of which the lower triangle is read; NULL: nothing is
 * known of the inputs, and all count alike. What it does not say (inputs that were 0, fewer of them than columns) is
 * filled in by a hundredth of the mean of its diagonal. */
cria_status cria_gptq_new(cria_ctx *ctx, const float *moments, uint32_t k, cria_gptq **out, cria_error *err);
void cria_gptq_free(cria_gptq *g); /* NULL is legal */

/* Rows of one matrix at a time that cria_gptq_rows takes. */
#define CRIA_GPTQ_ROWS 2048u
/* spec: of cria_matrix_spec_mlx_affine with k columns. type: of scales and biases, what spec->scale_type says. w:
 * [n][k], finite. Out as from cria_quantize. */
void cria_gptq_rows(cria_gptq *g, const cria_matrix_spec *spec, enum cria_source_kind type, const float *w,
                    uint32_t n, uint8_t *codes, uint8_t *scales, uint8_t *biases);

#endif
