/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is written through a shared mapping and appears under its name only when it is complete: until then
 * it is "<name>.part", so that readers see the old file, the new one, or none. What is written stays mapped, so it is
 * never in memory twice. Its blocks are allotted before the first byte is stored: a full disk is an error of create,
 * not a signal later.
 *
 * A .part is locked while it is written. One whose process was killed is taken over by the next writer, so that at
 * most one is ever left behind; one that is being written is left alone. One thread at a time.
 */
#ifndef CRIA_BASE_OUTFILE_H
#define CRIA_BASE_OUTFILE_H

#include "base/mapfile.h"

typedef struct cria_outfile {
    cria_ctx *ctx;
    uint8_t *data; /* [len], zeros at first; page-aligned */
    size_t len;
    int fd;
    char *path, *part;
} cria_outfile;

enum cria_file_access {
    CRIA_FILE_MINE,  /* readable and writable by this user only */
    CRIA_FILE_COMMON /* as the user's umask has it */
};

/* folder is made, with those above it and the same access, where it is missing. len > 0. CRIA_EIO with the reason: no
 * such folder, read-only, full, another process is writing it. */
cria_status cria_outfile_create(cria_ctx *ctx, const char *folder, const char *name, size_t len,
                                enum cria_file_access access, cria_outfile *out, cria_error *err);
/* Begins to write [data, data+len), which will not change any more, so that commit has less to wait for. */
void cria_outfile_flush(const cria_outfile *o, const void *data, size_t len);
/* Waits until all is on the disk, gives the file its name (replacing the one before) and hands the mapping over, from
 * now on read-only. On failure nothing is left of the file. o is used up either way. */
cria_status cria_outfile_commit(cria_outfile *o, cria_mapfile *out, cria_error *err);
/* Leaves nothing behind. */
void cria_outfile_discard(cria_outfile *o);

#endif
