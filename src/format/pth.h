/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state dict as torch.save writes it: a ZIP archive with a pickle that says which tensor lies where in
 * which member (torch/serialization.py). A pickle is a program; this reads the few instructions that a state
 * dict needs and knows the few names that it calls for, and refuses all others by name. Nothing is executed
 * and no object but strings, numbers, tuples, dicts and tensors comes of it.
 *
 * Owns the mapping; tensors borrow from it. Only dense tensors in row order, float32, float16 and bfloat16.
 */
#ifndef CRIA_FORMAT_PTH_H
#define CRIA_FORMAT_PTH_H

#include "base/mapfile.h"
#include "format/tensor.h"
#include "format/zip.h"

typedef struct cria_pth {
    cria_ctx *ctx;
    const char *path;     /* for messages; borrowed */
    cria_tensor *tensors; /* [n], sorted by name */
    size_t n;
    cria_mapfile map;
    cria_zip zip;
    char *names;
} cria_pth;

/* path must outlive it. On failure there is nothing to close. */
cria_status cria_pth_open(cria_ctx *ctx, const char *path, cria_pth *out, cria_error *err);
/* The same for the bytes of a file in memory, which must outlive it. */
cria_status cria_pth_open_memory(cria_ctx *ctx, const void *data, size_t len, const char *path, cria_pth *out,
                                 cria_error *err);
void cria_pth_close(cria_pth *p); /* a zeroed one is legal */

/* NULL when there is none. */
const cria_tensor *cria_pth_find(const cria_pth *p, const char *name);

#endif
