/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every form that weights come in, by name, and random matrices of it: for measuring without a file.
 */
#ifndef CRIA_KERNELS_FORMS_H
#define CRIA_KERNELS_FORMS_H

#include "kernels/matrix.h"

/* "f32", "f16", "bf16", "q4_0" … as GGUF calls them, "affine4-g64" … (bits, group) and "mxfp4" … as MLX does.
 * NULL for i beyond the last. Constant text. */
const char *cria_form_name(size_t i);

/* The name of the form that a source of this kind and spec has. */
const char *cria_form_of(enum cria_source_kind kind, const cria_matrix_spec *spec);

/* The spec of a matrix of that form. False when there is no such form, or it does not divide the columns. */
bool cria_form_spec(const char *name, uint32_t rows, uint32_t cols, cria_matrix_spec *out);

/* Bytes of scratch that cria_form_random wants, for any form with this many columns. */
size_t cria_form_scratch_bytes(uint32_t cols);

/* Fills row block `block` of m, whose spec cria_form_spec made from name, with weights of a mean near 0 and a
 * deviation near 1/√cols (within a factor of two; products of such layers neither explode nor vanish), the
 * same for the same seed. dst is the start of the whole matrix. */
void cria_form_random(const char *name, const cria_matrix *m, uint64_t seed, uint8_t *dst, uint32_t block,
                      void *scratch);

#endif
