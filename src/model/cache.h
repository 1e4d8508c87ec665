/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed weights on disk, mapped the next time the same model is opened. An entry is one file, "<hash>.cria" in a
 * folder that the caller names, and belongs to one source: it holds weights only, no configuration and no tokenizer.
 *
 *     head    "CRIAPK03", total length, offset of the data, number of pieces, identity of the source (content, stamp),
 *             then of every piece its name, place, length and the whole spec of its matrix; little-endian
 *     zeros   up to a multiple of 4096
 *     data    the pieces as they lie in memory (kernels/matrix.h)
 *
 * An entry is never parsed. Whoever opens a model knows from the model's own files what the head must be, to the byte;
 * an entry with another head or length is not used. So no number in an entry is ever believed, a checksum of the
 * table would add nothing, and the worst that chosen bytes can do is wrong weights. Weights are not checked against a
 * checksum at every load, which would read them all; see weights.c for what is.
 *
 * Entries are only ever replaced as a whole (base/outfile.h). Used by one thread at a time.
 */
#ifndef CRIA_MODEL_CACHE_H
#define CRIA_MODEL_CACHE_H

#include "base/buf.h"
#include "base/outfile.h"
#include "format/container.h"
#include "kernels/matrix.h"

/* One matrix or vector of the data. */
typedef struct cria_cache_piece {
    const char *name;
    const cria_matrix_spec *spec; /* NULL: a vector of float32 */
    uint64_t offset, n_bytes;     /* within the data */
} cria_cache_piece;

typedef struct cria_cache {
    cria_ctx *ctx;
    const char *folder; /* borrowed */
    char name[32];
    cria_buf head;
    size_t data_offset, total; /* of the file; data_offset is a multiple of 4096 */
} cria_cache;

/* The entry of a source whose packed weights are these pieces, n_bytes in all. Touches no file. CRIA_ENOMEM, or
 * CRIA_EFULL when the sizes overflow. fini is needed only after CRIA_OK. */
cria_status cria_cache_init(cria_cache *k, cria_ctx *ctx, const char *folder, const cria_identity *source,
                            const cria_cache_piece *pieces, size_t n, size_t n_bytes, cria_error *err);
void cria_cache_fini(cria_cache *k);

/* Maps the entry. *out stays zero where there is none that fits, so that it is to be made (the reason is logged). An
 * error: there is something of that name which this user may not use. */
cria_status cria_cache_find(const cria_cache *k, cria_mapfile *out, cria_error *err);
/* A new entry with its head written; the data goes to out->data + data_offset, then commit or discard it. */
cria_status cria_cache_create(const cria_cache *k, cria_outfile *out, cria_error *err);

#endif
