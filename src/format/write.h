/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a file of tensors: all of it is laid out before the first tensor is there, so that each can be put
 * into its place as it is made, in any order, and nothing is in memory twice. The caller fills the tensors'
 * data, seals, and commits or discards the file (base/outfile.h).
 *
 *     cria_npz_create(…, t, n, &file)  →  fill t[i].data  →  cria_npz_seal(&file, t, n)  →
 * cria_outfile_commit(&file)
 *
 * safetensors: as mlx-lm writes it, with {"format": "mlx"} as metadata; the header padded to a multiple of 8.
 * No seal. npz: as np.savez and mx.savez write it, members stored, bfloat16 as '<V2'; ZIP64 where a member or
 * the archive needs it. The data of every member begins at a multiple of 64. The same tensors give the same
 * bytes.
 */
#ifndef CRIA_FORMAT_WRITE_H
#define CRIA_FORMAT_WRITE_H

#include "base/buf.h"
#include "base/outfile.h"
#include "format/tensor.h"

typedef struct cria_write_tensor {
    const char *name; /* UTF-8; borrowed */
    cria_dtype dtype; /* a float or an integer, no GGUF blocks */
    uint32_t ndim;
    uint64_t shape[CRIA_MAX_DIMS];
    size_t n_bytes; /* as the shape says */
    uint8_t *data;  /* set by create: where to put it, zeros at first */
} cria_write_tensor;

/* folder: of a cria_outfolder; the file is as the user's umask has it. Names are distinct. CRIA_EFULL when
 * the sizes overflow or the names are too many, CRIA_EIO. */
cria_status cria_safetensors_create(cria_ctx *ctx, const char *folder, const char *file, cria_write_tensor *t,
                                    size_t n, cria_outfile *out, cria_error *err);
cria_status cria_npz_create(cria_ctx *ctx, const char *folder, const char *file, cria_write_tensor *t,
                            size_t n, cria_outfile *out, cria_error *err);
/* Puts in the checksums, which need the data. */
void cria_npz_seal(cria_outfile *file, const cria_write_tensor *t, size_t n);

/* Appends text[0..len) to b as a JSON string, quotes included; what is not UTF-8 is CRIA_EFORMAT. */
cria_status cria_write_json_string(cria_buf *b, const char *text, size_t len, cria_error *err);

#endif
