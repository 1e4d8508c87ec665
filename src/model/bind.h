/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the tensors of a file to the weights of a model: each is found by its name, checked against the configuration,
 * and its packed form decided. Nothing is read or packed here but names and shapes. Private to model/.
 */
#ifndef CRIA_MODEL_BIND_H
#define CRIA_MODEL_BIND_H

#include "model/weights.h"

/* One weight to load: where it comes from and where it goes. Several may come from one tensor: rows of it. */
struct cria_binding {
    const cria_tensor *tensor;
    const cria_tensor *scales, *biases; /* MLX-quantized; NULL otherwise */
    cria_matrix *matrix;                /* a matrix … */
    const float **vector;               /* … or a vector of n numbers; never both */
    uint32_t n;                         /* numbers of a vector */
    uint32_t first;                     /* row (of a vector: number) of the tensor that is the weight's first */
    cria_source source;                 /* of a vector: only paired */
    float offset_by;                    /* added to the numbers of a vector */
    uint64_t source_bytes;              /* that are read of the file */
    uint64_t offset;                    /* within the packed data */
};

struct cria_bindings {
    cria_ctx *ctx;
    struct cria_binding *items;
    size_t n, cap;
    uint64_t source_bytes; /* of all */
    uint64_t n_params;     /* logical weights */
};

/* A type of floats as one of scales; false for others. */
bool cria_scale_type_of(cria_dtype dtype, enum cria_scale_type *out);
/* How rows of this type are packed; false when it is none of weights. */
bool cria_source_kind_of(cria_dtype dtype, enum cria_source_kind *out);

/* w is initialized (cria_weights_init); its matrices get their specs, and no data yet. An error names the tensor.
 * A tensor that nothing asks for would change the model if it were understood (a bias, an adapter): it is refused. */
cria_status cria_bind(cria_ctx *ctx, const cria_container *file, const cria_config *config, cria_weights *w,
                      struct cria_bindings *out, cria_error *err);
void cria_bindings_fini(struct cria_bindings *b);

#endif
