/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container: named tensors, and key-value metadata where the format has it, from one file or a folder of
 * shards. It knows containers, not Llama. Every byte is untrusted: when cria_container_open succeeds, every
 * tensor view lies inside its mapping (or inside a buffer inflated from it) and names are unique.
 *
 * Owns the mappings and the inflated members; tensors borrow from it. Immutable once open: any thread may
 * read it.
 *
 * Formats: .npz (npz.c), safetensors (safetensors.c) and .gguf (gguf.c), told by a file's first bytes, never by its
 * name. One file, or a folder. Of a folder the first of these that there is is read, and nothing else in it is looked
 * at (folder.c):
 *   1. weights.npz                                 as the MLX example writes it
 *   2. weights.*.npz                               all of them
 *   3. model.safetensors.index.json                the files that its weight_map names
 *   4. model.safetensors
 *   5. model*-NUMBER-of-COUNT.safetensors          all, 1 to COUNT
 *   6. model*.safetensors, or weight*.safetensors  all of them, as mlx-lm does
 *   7. *.gguf                                      the only one, or all parts, 1 to COUNT, of one model
 * Shards are read in the order of their numbers, or of their names.
 */
#ifndef CRIA_FORMAT_CONTAINER_H
#define CRIA_FORMAT_CONTAINER_H

#include "format/tensor.h"

typedef struct cria_container cria_container;

enum cria_container_kind { CRIA_CONTAINER_NPZ, CRIA_CONTAINER_SAFETENSORS, CRIA_CONTAINER_GGUF };

/* ctx must outlive the container. The files must not change while it is open. */
cria_status cria_container_open(cria_ctx *ctx, const char *path, cria_container **out, cria_error *err);
/* The same for the bytes of one file in memory, which must outlive the container; name is for messages. */
cria_status cria_container_open_memory(cria_ctx *ctx, const void *data, size_t len, const char *name,
                                       cria_container **out, cria_error *err);
void cria_container_close(cria_container *c); /* NULL is legal */

enum cria_container_kind cria_container_kind(const cria_container *c);
const char *cria_container_path(const cria_container *c); /* as given to open; for messages */

size_t cria_container_files(const cria_container *c);
uint64_t cria_container_bytes(const cria_container *c); /* of the files together */
size_t cria_container_count(const cria_container *c);
const cria_tensor *cria_container_at(const cria_container *c, size_t i); /* i < count, in file order */
/* NULL when there is none; a binary search over the sorted names. */
const cria_tensor *cria_container_find(const cria_container *c, const char *name);

/* ---- the same files as before? ---- */

/* content: hash of every byte of the files that is not a tensor's (headers, metadata, names, shapes; the checksums of a
 * ZIP's directory), and of the first 4 KiB of each tensor, so that another training of the same shape differs. stamp:
 * hash of the files' sizes and times of writing. Neither knows paths. They notice changes, not forgeries. */
typedef struct cria_identity {
    uint64_t content, stamp;
    uint64_t n_bytes; /* of the files together */
} cria_identity;

/* Reads what it hashes. Only CRIA_ENOMEM. */
cria_status cria_container_identify(const cria_container *c, cria_identity *out, cria_error *err);

/* ---- metadata (GGUF; safetensors' __metadata__, of several shards the first one's; an npz has none) ---- */

enum cria_meta_type {
    CRIA_META_UINT,  /* any unsigned integer */
    CRIA_META_INT,   /* any signed integer */
    CRIA_META_FLOAT, /* f32, f64 */
    CRIA_META_BOOL,
    CRIA_META_STRING,
    CRIA_META_ARRAY
};

typedef struct cria_str { /* borrowed; not NUL-terminated */
    const char *data;
    size_t len;
} cria_str;

typedef struct cria_meta {
    cria_str key;
    enum cria_meta_type type;
    union {
        uint64_t u;
        int64_t i;
        double f;
        bool b;
        cria_str s;
        struct {
            enum cria_meta_type type; /* of the items; no arrays of arrays */
            uint8_t gguf_type;        /* stored item type */
            uint64_t n;
            const uint8_t *data; /* first item, in the file; validated to n items */
            const uint8_t *end;
        } a;
    } v;
} cria_meta;

/* NULL when there is no such key. */
const cria_meta *cria_meta_find(const cria_container *c, const char *key);
size_t cria_meta_count(const cria_container *c);
const cria_meta *cria_meta_at(const cria_container *c, size_t i);

/* The value, when the key is there and of a fitting type (integers convert when in range, floats take
 * integers); otherwise false and *out untouched. */
bool cria_meta_u64(const cria_container *c, const char *key, uint64_t *out);
bool cria_meta_f64(const cria_container *c, const char *key, double *out);
bool cria_meta_bool(const cria_container *c, const char *key, bool *out);
bool cria_meta_str(const cria_container *c, const char *key, cria_str *out);

/* Walks the items of an array in order:
 *     cria_meta_iter it = cria_meta_begin(m);
 *     while (cria_meta_next_str(&it, &s)) …
 * A next of the wrong type returns false at once and stays where it is. */
typedef struct cria_meta_iter {
    const uint8_t *p, *end;
    uint64_t left;
    uint8_t gguf_type;
} cria_meta_iter;
cria_meta_iter cria_meta_begin(const cria_meta *m);
bool cria_meta_next_str(cria_meta_iter *it, cria_str *out);
bool cria_meta_next_f64(cria_meta_iter *it, double *out);  /* any number */
bool cria_meta_next_i64(cria_meta_iter *it, int64_t *out); /* any integer in range */

#endif
