/* SPDX-License-Identifier: Apache-2.0 */
/* The readers of configurations, and what they share; private to model/. */
#ifndef CRIA_MODEL_CONFIG_PARTS_H
#define CRIA_MODEL_CONFIG_PARTS_H

#include "model/config.h"
#include "model/fields.h"

/* The MLX example's config.json; Hugging Face's. A failure is in f->st. */
void cria_config_read_mlx(struct cria_fields *f, const cria_container *tensors, cria_config *c);
void cria_config_read_hf(struct cria_fields *f, const cria_container *tensors, cria_config *c);

/* "quantization" (or what else the key is), as mx.quantize and mlx-lm describe it. Exceptions for single layers are
 * checked against the tensors; where they are not allowed, they are an error. */
void cria_config_read_quantization(struct cria_fields *f, const char *key, const cria_container *tensors,
                                   bool exceptions, struct cria_mlx_quantization *q);

/* First dimension of a matrix: the number of outputs. Quantized tensors keep it; their last axis is packed. field is
 * what it is wanted for, for messages. */
cria_status cria_config_rows_of(const cria_container *tensors, const char *tensor, const char *name, const char *field,
                                uint32_t *out, cria_error *err);
cria_status cria_config_check_range(const char *name, const char *field, uint64_t value, uint64_t low, uint64_t high,
                                    cria_error *err);

#endif
