/* SPDX-License-Identifier: Apache-2.0 */
/* The .npy format, versions 1.0, 2.0 and 3.0 (numpy/lib/format.py; NEP 1): one array, a header that is a
 * Python dict literal, then the bytes. Little-endian number types only; 'V2' is bfloat16, as MLX writes it.
 */
#ifndef CRIA_FORMAT_NPY_H
#define CRIA_FORMAT_NPY_H

#include "format/tensor.h"

/* Fills everything but t->name from data[0..len), which t->data borrows; the array must end where data ends.
 * path and name (of the tensor) are for messages. */
cria_status cria_npy_parse(const uint8_t *data, size_t len, const char *path, const char *name,
                           cria_tensor *t, cria_error *err);

#endif
