/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of a folder are the model, by their names alone; container.h has the order of precedence.
 * Private to format/. */
#ifndef CRIA_FORMAT_FOLDER_H
#define CRIA_FORMAT_FOLDER_H

#include "base/json.h"
#include "format/container.h"

/* The files of one container, in the order in which they are read. */
struct cria_file_set {
    char **names; /* in the folder; one allocation */
    size_t n;
    cria_json *index; /* the model.safetensors.index.json that names them; NULL: none did */
};

/* CRIA_EIO when there are none; CRIA_EIO, too, when shards are missing; CRIA_EFORMAT when an index is not as
 * it should be, or it is not clear which of several files is meant. */
cria_status cria_file_set_find(cria_ctx *ctx, const char *folder, struct cria_file_set *out, cria_error *err);
/* The files that the text of a model.safetensors.index.json names, each once, sorted; whether they are there is not
 * looked at. path: for messages. *out is empty before, and is to be given back even after a failure. */
cria_status cria_file_set_read_index(cria_ctx *ctx, const char *text, size_t len, const char *path,
                                     struct cria_file_set *out, cria_error *err);
/* The n files of a split GGUF model, of which path is one; the names are whole paths. CRIA_EFORMAT when path is not
 * named as a part of so many, CRIA_EIO when one is missing. */
cria_status cria_file_set_parts(cria_ctx *ctx, const char *path, size_t n, struct cria_file_set *out, cria_error *err);
void cria_file_set_fini(cria_ctx *ctx, struct cria_file_set *set); /* a zeroed one is legal */

/* When there is an index: is each tensor that it names in the file that it names? c is opened and its names
 * sorted. CRIA_EFORMAT. */
cria_status cria_file_set_check(const struct cria_file_set *set, const cria_container *c, cria_error *err);

#endif
