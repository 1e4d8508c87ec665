/* SPDX-License-Identifier: Apache-2.0 */
/* Which tensor becomes what: the type of its floats, and whether and how it is quantized. */
#ifndef CRIA_CONVERT_PLAN_H
#define CRIA_CONVERT_PLAN_H

#include "convert/source.h"
#include "format/write.h"

enum cria_convert_how {
    CRIA_CONVERT_FLOATS,   /* one tensor of type */
    CRIA_CONVERT_QUANTIZE, /* codes, scales, biases */
    CRIA_CONVERT_COPY /* codes and so on of an MLX-quantized source as they are, but for the type of scales */
};

struct cria_convert_item {
    const struct cria_convert_tensor *tensor;
    enum cria_convert_how how;
    enum cria_source_kind type;    /* F32, F16, BF16: of floats, and of scales and biases */
    cria_mlx_mode mode; /* QUANTIZE, COPY */
    bool own_mode;                 /* it is not the model's, and so named in the configuration */
    cria_matrix_spec spec;
    cria_write_tensor out[3]; /* [n_out]: floats; or codes, scales, biases */
    uint32_t n_out;
    size_t n_bytes; /* of out together */
};

struct cria_convert_plan {
    struct cria_convert_item *items; /* [n] in the order of the source */
    size_t n;
    bool quantized;                /* there are quantized tensors … */
    cria_mlx_mode mode; /* … and this is the model's, from which items may differ */
    uint64_t n_params, n_bytes;
};

/* Memory is s's. CRIA_EINVAL when a rule names a way that does not fit a layer, or no layer at all. */
cria_status cria_convert_make_plan(struct cria_convert_source *s, const cria_convert_opts *opts,
                                   struct cria_convert_plan *out, cria_error *err);

#endif
