/* SPDX-License-Identifier: Apache-2.0 */
/* What container.c and its parsers share; private to format/. A parser reads one file's bytes and adds
 * tensors (and metadata) to a container; when it fails the container is thrown away whole, so it need not
 * undo anything. */
#ifndef CRIA_FORMAT_PARSE_H
#define CRIA_FORMAT_PARSE_H

#include "base/mapfile.h"
#include "format/container.h"

/* One file of a container. */
struct cria_source {
    const char *path;    /* for messages; owned by the container */
    const uint8_t *data; /* map.data, or the caller's bytes (open_memory) */
    size_t len;
    cria_mapfile map;
    size_t first_tensor; /* its tensors are those from here to the next source's */
};

struct cria_block; /* container.c */

struct cria_metas {
    cria_meta *at;
    size_t n;
    uint32_t *by_key; /* numbers of metas, sorted by key */
};

struct cria_container {
    cria_ctx *ctx;
    enum cria_container_kind kind;
    const char *path;
    struct cria_source *sources;
    size_t n_sources;
    cria_tensor *tensors;
    size_t n_tensors, cap_tensors;
    uint32_t *by_name; /* numbers of tensors, sorted by name */
    struct cria_metas metas;
    uint64_t n_parts, n_tensors_in_all; /* says the first file of a split GGUF model; else 0 */
    struct cria_block *blocks;
    uint8_t *room; /* rest of the newest block for strings */
    size_t n_room;
};

/* The parsers. */
cria_status cria_npz_read(cria_container *c, const struct cria_source *src, cria_error *err);
cria_status cria_safetensors_read(cria_container *c, const struct cria_source *src, cria_error *err);
cria_status cria_gguf_read(cria_container *c, const struct cria_source *src, cria_error *err);

/* The file that a tensor of c is from. */
const struct cria_source *cria_container_source(const cria_container *c, const cria_tensor *t);

/* Memory that lives as long as the container; 64-byte aligned. NULL: out of memory. */
void *cria_container_alloc(cria_container *c, size_t bytes);
/* NUL-terminated copy that lives as long as the container. */
const char *cria_container_string(cria_container *c, const char *s, size_t len);
/* Room for n more tensors: the parser then writes c->tensors[c->n_tensors++]. n must be justified by the
 * file. */
cria_status cria_container_reserve(cria_container *c, size_t n, cria_error *err);

/* Sorts the keys into m->by_key; a key that is there twice is CRIA_EFORMAT. */
cria_status cria_metas_index(cria_ctx *ctx, struct cria_metas *m, const char *path, cria_error *err);
const cria_meta *cria_metas_find(const struct cria_metas *m, const char *key);
bool cria_metas_u64(const struct cria_metas *m, const char *key, uint64_t *out); /* as cria_meta_u64 */
void cria_metas_fini(cria_ctx *ctx, struct cria_metas *m);

/* Names from files: not empty, UTF-8, no NUL (one would hide what follows it). */
bool cria_name_ok(const char *s, size_t len);
/* How much of a name a message shows: at most 80 bytes, whole characters; for "%.*s". */
int cria_name_shown(const char *s, size_t len);

#endif
