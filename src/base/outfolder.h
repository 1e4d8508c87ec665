/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder that appears under its name only when all its files are complete: until then it is "<path>.part"
 * beside it. Files are put into it with cria_outfile_create(ctx, o->part, …, CRIA_FILE_COMMON, …).
 *
 * As with a .part file (outfile.h), it is locked while it is written, and what a killed process has left of
 * it is taken over, and emptied, by the next writer. One thread at a time.
 */
#ifndef CRIA_BASE_OUTFOLDER_H
#define CRIA_BASE_OUTFOLDER_H

#include "cria/cria.h"

typedef struct cria_outfolder {
    cria_ctx *ctx;
    char *path, *part;
    int fd;
} cria_outfolder;

/* path must not exist, or be an empty folder; the folders above it are made. n_bytes: what will be written,
 * to be looked for on the disk now rather than in the middle of it. CRIA_EINVAL: something is there already;
 * CRIA_EIO. */
cria_status cria_outfolder_create(cria_ctx *ctx, const char *path, uint64_t n_bytes, cria_outfolder *out,
                                  cria_error *err);
/* Gives the folder its name. On failure nothing is left. o is used up either way. */
cria_status cria_outfolder_commit(cria_outfolder *o, cria_error *err);
/* Leaves nothing behind. */
void cria_outfolder_discard(cria_outfolder *o);

#endif
