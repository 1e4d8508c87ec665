/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantizing rows of floats into MLX's modes, byte for byte as mx.quantize does on a CPU: the counterpart of
 * CRIA_SOURCE_MLX (matrix.h), whose codes and scales these are.
 *
 * What mx.quantize computes is float32 for affine, and for the others each operation rounded to the type of the
 * weights: no sum and nothing of libm, so that every machine gives the same bytes.
 */
#ifndef CRIA_KERNELS_QUANTIZE_H
#define CRIA_KERNELS_QUANTIZE_H

#include "kernels/matrix.h"

/* Bytes of one row's scales (and as many of biases, where affine). */
size_t cria_quantize_scale_bytes(const cria_matrix_spec *spec);

/* spec: of cria_matrix_spec_mlx_affine or _fp; its rows are not looked at. type: CRIA_SOURCE_F32, F16 or BF16; where
 * affine, what spec->scale_type says. w: [n_rows][spec->cols] of it, little-endian, any alignment, all finite.
 * codes: [n_rows][cols·bits/8], scales and biases (affine; else NULL): [n_rows][cols/group]; any alignment.
 * Rows are independent: call with disjoint rows from several threads. Cannot fail. */
void cria_quantize(const cria_matrix_spec *spec, enum cria_source_kind type, const uint8_t *w, uint32_t n_rows,
                   uint8_t *codes, uint8_t *scales, uint8_t *biases);

/* out[0..n) in type (F32, F16, BF16), rounded to nearest even; and back, exactly. Any alignment of the bytes. */
void cria_floats_store(enum cria_source_kind type, const float *x, size_t n, uint8_t *out);
void cria_floats_load(enum cria_source_kind type, const uint8_t *data, size_t n, float *out);

/* codes[0..n), each of `bits` bits and one per byte, as MLX's bit stream; n is a multiple of 8. */
void cria_codes_store(const uint8_t *codes, uint32_t bits, uint32_t n, uint8_t *out);

#endif
