/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, owning and looking up; the bytes are read by npz.c, safetensors.c and gguf.c. */
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "format/folder.h"
#include "format/order.h"
#include "format/parse.h"
#include <string.h>

/* ---- memory of a container --------------------------------------------------------------- */

/* Owned memory is a list of blocks; the payload follows the header, which fills one alignment unit. */
struct cria_block {
    struct cria_block *next;
};
#define BLOCK_HEADER CRIA_ALIGN
#define STRING_BLOCK                                                                                         \
    4000u /* strings share blocks of this size, so that a short name does not cost 64 bytes */

void *cria_container_alloc(cria_container *c, size_t bytes) {
    size_t total;
    if (!cria_add_ok(bytes, BLOCK_HEADER, &total)) return NULL;
    struct cria_block *b = cria_malloc(c->ctx, total);
    if (b == NULL) return NULL;
    b->next = c->blocks;
    c->blocks = b;
    return (uint8_t *)b + BLOCK_HEADER;
}

const char *cria_container_string(cria_container *c, const char *s, size_t len) {
    uint8_t *p;
    if (len >= STRING_BLOCK / 4) { /* long ones alone: at most a quarter of a shared block is left unused */
        p = cria_container_alloc(c, len + 1);
        if (p == NULL) return NULL;
    } else {
        if (c->n_room < len + 1) {
            uint8_t *room = cria_container_alloc(c, STRING_BLOCK);
            if (room == NULL) return NULL;
            c->room = room;
            c->n_room = STRING_BLOCK;
        }
        p = c->room;
        c->room += len + 1;
        c->n_room -= len + 1;
    }
    memcpy(p, s, len);
    p[len] = 0;
    return (const char *)p;
}

cria_status cria_container_reserve(cria_container *c, size_t n, cria_error *err) {
    if (n <= c->cap_tensors - c->n_tensors) return CRIA_OK;
    size_t cap, bytes;
    if (!cria_add_ok(c->n_tensors, n, &cap) || cap > UINT32_MAX ||
        !cria_mul_ok(cap, sizeof *c->tensors, &bytes))
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE, "%s: has too many tensors (%zu and %zu more).",
                         c->path, c->n_tensors, n);
    cria_tensor *tensors = cria_realloc(c->ctx, c->tensors, c->n_tensors * sizeof *c->tensors, bytes);
    if (tensors == NULL) return cria_fail_nomem(err, "the list of tensors", bytes);
    c->tensors = tensors;
    c->cap_tensors = cap;
    return CRIA_OK;
}

/* ---- names ------------------------------------------------------------------------------- */

bool cria_name_ok(const char *s, size_t len) {
    return len != 0 && memchr(s, 0, len) == NULL && cria_utf8_valid((const uint8_t *)s, len);
}

int cria_name_shown(const char *s, size_t len) {
    if (len > 80) len = 80;
    return (int)(len - cria_utf8_partial_tail((const uint8_t *)s, len));
}

static int compare_tensor_names(const void *items, uint32_t a, uint32_t b) {
    const cria_tensor *t = items;
    return strcmp(t[a].name, t[b].name);
}

const struct cria_source *cria_container_source(const cria_container *c, const cria_tensor *t) {
    size_t i = c->n_sources;
    while (i > 1 && c->sources[i - 1].first_tensor > (size_t)(t - c->tensors)) i--;
    return &c->sources[i - 1];
}

static cria_status index_tensors(cria_container *c, cria_error *err) {
    const size_t n = c->n_tensors;
    c->by_name = cria_malloc_array(c->ctx, n, sizeof *c->by_name);
    if (c->by_name == NULL) return cria_fail_nomem(err, "the index of tensors", n * sizeof *c->by_name);
    cria_order_sort(c->by_name, n, compare_tensor_names, c->tensors);
    for (size_t i = 1; i < n; i++) {
        const uint32_t a = c->by_name[i - 1], b = c->by_name[i];
        const char *name = c->tensors[a].name;
        if (strcmp(name, c->tensors[b].name) == 0)
            return cria_fail(
                err, CRIA_EFORMAT, a > b ? a : b,
                "%s: tensor \"%.*s\" is there twice (the other one is in %s); remove one of them.",
                cria_container_source(c, &c->tensors[a > b ? a : b])->path, cria_name_shown(name, strlen(name)), name,
                cria_container_source(c, &c->tensors[a > b ? b : a])->path);
    }
    return CRIA_OK;
}

const cria_tensor *cria_container_find(const cria_container *c, const char *name) {
    size_t lo = 0, hi = c->n_tensors;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const cria_tensor *t = &c->tensors[c->by_name[mid]];
        const int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

/* ---- opening ----------------------------------------------------------------------------- */

static bool starts_with(const struct cria_source *src, const char *magic, size_t len) {
    return src->len >= len && memcmp(src->data, magic, len) == 0;
}

static cria_status sniff(const struct cria_source *src, enum cria_container_kind *kind, cria_error *err) {
    if (starts_with(src, "PK\3\4", 4) || starts_with(src, "PK\5\6", 4) || starts_with(src, "PK\6\6", 4)) {
        *kind = CRIA_CONTAINER_NPZ; /* a member first, or an empty archive's end record */
        return CRIA_OK;
    }
    if (starts_with(src, "GGUF", 4)) {
        *kind = CRIA_CONTAINER_GGUF;
        return CRIA_OK;
    }
    if (starts_with(src, "\x93NUMPY", 6))
        return cria_fail(
            err, CRIA_EUNSUPPORTED, 0,
            "%s: is a single .npy array; weights come in an .npz archive of named arrays (np.savez).",
            src->path);
    if (src->len > 8 && src->data[8] == '{') {
        *kind = CRIA_CONTAINER_SAFETENSORS; /* a header after its length */
        return CRIA_OK;
    }
    return cria_fail(err, CRIA_EFORMAT, 0,
                     "%s: is neither an .npz archive nor a .safetensors or .gguf file by its first bytes (length %zu).",
                     src->path, src->len);
}

static cria_status read_source(cria_container *c, struct cria_source *src, cria_error *err) {
    static const struct {
        const char *name;
        cria_status (*read)(cria_container *c, const struct cria_source *src, cria_error *err);
    } kinds[] = {[CRIA_CONTAINER_NPZ] = {".npz", cria_npz_read},
                 [CRIA_CONTAINER_SAFETENSORS] = {".safetensors", cria_safetensors_read},
                 [CRIA_CONTAINER_GGUF] = {".gguf", cria_gguf_read}};
    enum cria_container_kind kind = CRIA_CONTAINER_NPZ;
    const cria_status st = sniff(src, &kind, err);
    if (st != CRIA_OK) return st;
    if (src != c->sources && kind != c->kind)
        return cria_fail(err, CRIA_EFORMAT, 0, "%s: is a %s file among the %s shards of %s; open it by itself.",
                         src->path, kinds[kind].name, kinds[c->kind].name, c->path);
    c->kind = kind;
    return kinds[kind].read(c, src, err);
}

static cria_status map_source(cria_container *c, struct cria_source *src, const char *path, cria_error *err) {
    src->path = path;
    src->first_tensor = c->n_tensors;
    const cria_status st = cria_mapfile_open(path, &src->map, err);
    src->data = src->map.data;
    src->len = src->map.len;
    return st;
}

static cria_status new_container(cria_ctx *ctx, const char *path, size_t n_sources, cria_container **out,
                                 cria_error *err) {
    cria_container *c = cria_calloc(ctx, 1, sizeof *c);
    if (c == NULL) return cria_fail_nomem(err, "a container", sizeof *c);
    c->ctx = ctx;
    c->sources = cria_calloc(ctx, n_sources, sizeof *c->sources);
    c->path = cria_container_string(c, path, strlen(path));
    if (c->sources == NULL || c->path == NULL) {
        cria_container_close(c);
        return cria_fail_nomem(err, "a container", n_sources * sizeof *c->sources);
    }
    c->n_sources = n_sources;
    *out = c;
    return CRIA_OK;
}

/* Gives c to *out when all went well, else closes it. set: what chose the files; NULL when they were named. */
static cria_status finish(cria_container *c, cria_status st, const struct cria_file_set *set, cria_container **out,
                          cria_error *err) {
    if (st == CRIA_OK) st = index_tensors(c, err);
    if (st == CRIA_OK && set != NULL) st = cria_file_set_check(set, c, err);
    if (st == CRIA_OK)
        *out = c;
    else
        cria_container_close(c);
    return st;
}

/* Reads the files of a set. folder: of their names. path: as given to open. */
static cria_status open_set(cria_ctx *ctx, const char *path, const char *folder, const struct cria_file_set *set,
                            cria_container **out, cria_error *err) {
    cria_container *c = NULL; /* the compiler cannot know that cria_fail never returns CRIA_OK */
    cria_status st = new_container(ctx, path, set->n, &c, err);
    for (size_t i = 0; i < set->n && st == CRIA_OK; i++) {
        char *joined = cria_path_join(ctx, folder, set->names[i]);
        const char *file = joined != NULL ? cria_container_string(c, joined, strlen(joined)) : NULL;
        cria_free(ctx, joined);
        st = file == NULL ? cria_fail_nomem(err, "a path", strlen(set->names[i]))
                          : map_source(c, &c->sources[i], file, err);
        if (st == CRIA_OK) st = read_source(c, &c->sources[i], err);
    }
    return finish(c, st, set, out, err);
}

/* *out is one file that says it is one of several: takes all of them instead. */
static cria_status open_parts(cria_ctx *ctx, cria_container **out, cria_error *err) {
    cria_container *one = *out;
    struct cria_file_set set = {NULL, 0, NULL};
    *out = NULL;
    cria_status st = cria_file_set_parts(ctx, one->sources[0].path, (size_t)one->n_parts, &set, err);
    if (st == CRIA_OK) st = open_set(ctx, one->path, "", &set, out, err);
    cria_file_set_fini(ctx, &set);
    cria_container_close(one);
    return st;
}

static cria_status open_file(cria_ctx *ctx, const char *path, cria_container **out, cria_error *err) {
    cria_container *c = NULL; /* the compiler cannot know that cria_fail never returns CRIA_OK */
    cria_status st = new_container(ctx, path, 1, &c, err);
    if (st != CRIA_OK) return st;
    st = map_source(c, &c->sources[0], c->path, err);
    if (st == CRIA_OK) st = read_source(c, &c->sources[0], err);
    return finish(c, st, NULL, out, err);
}

static cria_status open_folder(cria_ctx *ctx, const char *folder, cria_container **out, cria_error *err) {
    struct cria_file_set set = {NULL, 0, NULL};
    cria_status st = cria_file_set_find(ctx, folder, &set, err);
    if (st == CRIA_OK) st = open_set(ctx, folder, folder, &set, out, err);
    cria_file_set_fini(ctx, &set);
    return st;
}

cria_status cria_container_open(cria_ctx *ctx, const char *path, cria_container **out, cria_error *err) {
    cria_container *c = NULL;
    /* What is missing or no regular file is the mapping's error. */
    cria_status st = cria_path_kind(path) == CRIA_PATH_FOLDER ? open_folder(ctx, path, &c, err)
                                                              : open_file(ctx, path, &c, err);
    if (st == CRIA_OK && c->n_parts > c->n_sources) st = open_parts(ctx, &c, err);
    if (st == CRIA_OK) *out = c;
    return st;
}

cria_status cria_container_open_memory(cria_ctx *ctx, const void *data, size_t len, const char *name,
                                       cria_container **out, cria_error *err) {
    cria_container *c = NULL; /* the compiler cannot know that cria_fail never returns CRIA_OK */
    cria_status st = new_container(ctx, name, 1, &c, err);
    if (st != CRIA_OK) return st;
    c->sources[0].path = c->path;
    c->sources[0].data = data;
    c->sources[0].len = len;
    st = read_source(c, &c->sources[0], err);
    if (st == CRIA_OK && c->n_parts > 1)
        st = cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                       "%s: is one of %llu parts of a split GGUF model; open it by its path, among the other files.",
                       c->path, (unsigned long long)c->n_parts);
    return finish(c, st, NULL, out, err);
}

void cria_container_close(cria_container *c) {
    if (c == NULL) return;
    cria_ctx *ctx = c->ctx;
    for (size_t i = 0; i < c->n_sources; i++) cria_mapfile_close(&c->sources[i].map);
    while (c->blocks != NULL) {
        struct cria_block *b = c->blocks;
        c->blocks = b->next;
        cria_free(ctx, b);
    }
    cria_metas_fini(ctx, &c->metas);
    cria_free(ctx, c->by_name);
    cria_free(ctx, c->tensors);
    cria_free(ctx, c->sources);
    cria_free(ctx, c);
}

/* ---- getters ----------------------------------------------------------------------------- */

enum cria_container_kind cria_container_kind(const cria_container *c) { return c->kind; }
const char *cria_container_path(const cria_container *c) { return c->path; }
size_t cria_container_files(const cria_container *c) { return c->n_sources; }
uint64_t cria_container_bytes(const cria_container *c) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->n_sources; i++) bytes += c->sources[i].len;
    return bytes;
}
size_t cria_container_count(const cria_container *c) { return c->n_tensors; }
const cria_tensor *cria_container_at(const cria_container *c, size_t i) { return &c->tensors[i]; }
