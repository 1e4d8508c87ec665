/* SPDX-License-Identifier: Apache-2.0 */
/* Read-only files: mapped whole. Owns the mapping. Only regular files; the length is taken once, at open. */
#ifndef CRIA_BASE_MAPFILE_H
#define CRIA_BASE_MAPFILE_H

#include "cria/cria.h"

typedef struct cria_mapfile {
    const uint8_t *data; /* NULL when len is 0 */
    size_t len;
    int64_t mtime_ns; /* when the file was last written, since 1970 */
} cria_mapfile;

/* CRIA_EIO with the path and the system's reason; CRIA_EINVAL for a folder or a device. */
cria_status cria_mapfile_open(const char *path, cria_mapfile *out, cria_error *err);
/* The same for a file whose bytes nobody else may have chosen: not through a link, owned by this user or root, writable
 * by no one else. CRIA_EINVAL otherwise. */
cria_status cria_mapfile_open_own(const char *path, cria_mapfile *out, cria_error *err);
void cria_mapfile_close(cria_mapfile *map); /* a zeroed one is legal */
/* Tells the kernel that [data, data+len) will be read soon, or will not be needed again. Never fails. */
void cria_mapfile_willneed(const void *data, size_t len);
void cria_mapfile_dontneed(const void *data, size_t len);

/* What a path is, following links. */
enum cria_path_kind { CRIA_PATH_MISSING, CRIA_PATH_FILE, CRIA_PATH_FOLDER, CRIA_PATH_OTHER };
enum cria_path_kind cria_path_kind(const char *path);

/* Names (not paths) of the regular files of a folder that begin with prefix and end with suffix, sorted by bytes.
 * *out is one allocation: array of *n pointers and the strings; free with cria_free. At most 65536 names. */
cria_status cria_folder_list(cria_ctx *ctx, const char *folder, const char *prefix, const char *suffix,
                             char ***out, size_t *n, cria_error *err);
/* "folder/name" in one allocation; free with cria_free. NULL when out of memory. */
char *cria_path_join(cria_ctx *ctx, const char *folder, const char *name);
/* The folder that a file is in, "." where the path has none. Likewise. */
char *cria_path_folder(cria_ctx *ctx, const char *path);

#endif
