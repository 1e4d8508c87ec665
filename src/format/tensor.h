/* SPDX-License-Identifier: Apache-2.0 */
/* A stored tensor: a borrowed view into a container's bytes. Never frees. Passed by const pointer. */
#ifndef CRIA_FORMAT_TENSOR_H
#define CRIA_FORMAT_TENSOR_H

#include "base/dtype.h"

#define CRIA_MAX_DIMS 4

typedef struct cria_tensor {
    const char *name; /* NUL-terminated */
    cria_dtype dtype;
    uint32_t ndim;                 /* 0..CRIA_MAX_DIMS */
    uint64_t shape[CRIA_MAX_DIMS]; /* outermost first (GGUF's order is turned round); row-major, dense */
    const uint8_t *data;           /* little-endian, possibly unaligned; NULL only when nbytes is 0 */
    uint64_t nbytes;               /* exactly what shape and dtype say; checked to lie inside its file */
} cria_tensor;

/* Bytes of a dense tensor; shape outermost first. False when the innermost dimension is no multiple of the
 * dtype's block, or when the product of the dimensions that are not 0 does not fit size_t: then no later
 * product of some of them can overflow either, even where one dimension is 0. */
bool cria_tensor_nbytes(cria_dtype dtype, uint32_t ndim, const uint64_t *shape, uint64_t *nbytes);

#endif
