/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the files of a model in its folder; see folder.h. The names that an index gives are untrusted: only
 * plain ones, of files in the folder itself, are looked at. */
#include "format/folder.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/parse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX "model.safetensors.index.json"
#define SAFETENSORS ".safetensors"
#define GGUF ".gguf"

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* *out: whether the folder has a regular file of this name. */
static cria_status look_for(cria_ctx *ctx, const char *folder, const char *name, bool *out, cria_error *err) {
    char *path = cria_path_join(ctx, folder, name);
    if (path == NULL) return cria_fail_nomem(err, "a path", strlen(folder) + strlen(name));
    *out = cria_path_kind(path) == CRIA_PATH_FILE;
    cria_free(ctx, path);
    return CRIA_OK;
}

/* The n strings copied into one allocation, as cria_folder_list makes it. */
static cria_status copy_names(cria_ctx *ctx, const char *const *names, size_t n, struct cria_file_set *out,
                              cria_error *err) {
    size_t bytes = n * sizeof(char *); /* an array of as many exists */
    for (size_t i = 0; i < n; i++) bytes += strlen(names[i]) + 1;
    char **copy = cria_malloc(ctx, bytes);
    if (copy == NULL) return cria_fail_nomem(err, "a list of files", bytes);
    char *s = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = memcpy(s, names[i], strlen(names[i]) + 1);
        s += strlen(names[i]) + 1;
    }
    out->names = copy;
    out->n = n;
    return CRIA_OK;
}

static cria_status one_file(cria_ctx *ctx, const char *folder, const char *name, struct cria_file_set *out,
                            cria_error *err) {
    bool found = false;
    const cria_status st = look_for(ctx, folder, name, &found, err);
    return st == CRIA_OK && found ? copy_names(ctx, &name, 1, out, err) : st;
}

/* ---- numbered shards --------------------------------------------------------------------- */

struct numbering {
    size_t stem;     /* length of what comes before "-00001-of-00003" */
    size_t digits;   /* of the number */
    uint32_t no, of; /* no counts from 1 */
};

/* Digits before end, at least one and at most nine: how many, and their value. */
static size_t digits_before(const char *s, size_t end, uint32_t *value) {
    size_t begin = end;
    while (begin > 0 && end - begin < 9 && s[begin - 1] >= '0' && s[begin - 1] <= '9') begin--;
    *value = 0;
    for (size_t i = begin; i < end; i++) *value = *value * 10 + (uint32_t)(s[i] - '0');
    return end - begin;
}

/* Whether a name is stem-NO-of-COUNT and the suffix. */
static bool parse_numbering(const char *name, const char *suffix, struct numbering *out) {
    if (!ends_with(name, suffix)) return false;
    size_t end = strlen(name) - strlen(suffix);
    size_t digits = digits_before(name, end, &out->of);
    if (digits == 0 || end - digits < 4 || memcmp(name + end - digits - 4, "-of-", 4) != 0) return false;
    end -= digits + 4;
    out->digits = digits_before(name, end, &out->no);
    if (out->digits == 0 || end - out->digits < 1 || name[end - out->digits - 1] != '-') return false;
    out->stem = end - out->digits - 1;
    return true;
}

/* set->names are all numbered: puts them in order when they have one stem and one COUNT, and are 1 to COUNT.
 */
static cria_status complete_shards(cria_ctx *ctx, const char *folder, const char *suffix,
                                   struct cria_file_set *set, cria_error *err) {
    const size_t n = set->n;
    char **ordered = cria_calloc(ctx, n, sizeof *ordered);
    if (ordered == NULL) return cria_fail_nomem(err, "a list of files", n * sizeof *ordered);
    cria_status st = CRIA_OK;
    struct numbering first = {0}, k;
    parse_numbering(set->names[0], suffix, &first);
    for (size_t i = 0; i < n && st == CRIA_OK; i++) {
        parse_numbering(set->names[i], suffix, &k);
        if (k.stem != first.stem || memcmp(set->names[i], set->names[0], k.stem) != 0 || k.of != first.of ||
            k.no < 1 || k.no > k.of || (k.no <= n && ordered[k.no - 1] != NULL))
            st = cria_fail(
                err, CRIA_EFORMAT, CRIA_NOWHERE,
                "%s: holds %s and %s, which are not numbered as parts of one model; leave only one model "
                "in the folder.",
                folder, set->names[0], set->names[i]);
        else if (k.no <= n)
            ordered[k.no - 1] = set->names[i];
    }
    size_t there = 0;
    while (there < n && ordered[there] != NULL) there++;
    if (st == CRIA_OK && there < first.of)
        st = cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "%s: shard %.*s%0*zu%s is missing; get it, too.", folder,
                       (int)first.stem + 1, set->names[0], (int)first.digits, there + 1,
                       set->names[0] + first.stem + 1 + first.digits);
    if (st == CRIA_OK) memcpy(set->names, ordered, n * sizeof *ordered);
    cria_free(ctx, ordered);
    return st;
}

/* Leaves those of the names that are numbered, if there are any. */
static bool keep_numbered(struct cria_file_set *set, const char *suffix) {
    size_t n = 0;
    struct numbering k;
    for (size_t i = 0; i < set->n; i++)
        if (parse_numbering(set->names[i], suffix, &k)) {
            char *name = set->names[i];
            set->names[i] = set->names[n];
            set->names[n++] = name;
        }
    if (n != 0) set->n = n;
    return n != 0;
}

cria_status cria_file_set_parts(cria_ctx *ctx, const char *path, size_t n, struct cria_file_set *out, cria_error *err) {
    struct numbering k;
    if (!parse_numbering(path, GGUF, &k) || k.of != n)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: is one of %zu parts of a split GGUF model, but its name does not end in "
                         "-00001-of-%05zu.gguf or so; give all parts their own names back.",
                         path, n, n);
    const size_t len = strlen(path), each = sizeof(char *) + len + 1;
    size_t bytes;
    char **names = cria_mul_ok(n, each, &bytes) ? cria_malloc(ctx, bytes) : NULL;
    if (names == NULL) return cria_fail_nomem(err, "a list of files", n * each);
    char *s = (char *)(names + n);
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < n && st == CRIA_OK; i++, s += len + 1) {
        snprintf(s, len + 1, "%.*s%0*zu%s", (int)k.stem + 1, path, (int)k.digits, i + 1, path + k.stem + 1 + k.digits);
        names[i] = s;
        if (cria_path_kind(s) != CRIA_PATH_FILE)
            st = cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "%s: is one of %zu parts, but %s is missing; get it, too.",
                           path, n, s);
    }
    if (st == CRIA_OK)
        *out = (struct cria_file_set){names, n, NULL};
    else
        cria_free(ctx, names);
    return st;
}

/* ---- the index --------------------------------------------------------------------------- */

/* A name of a file in the folder and of nothing else. */
static bool plain_name(const char *name) {
    if (name[0] == '\0' || name[0] == '.' || strlen(name) > 255) return false;
    for (const char *p = name; *p != '\0'; p++)
        if (*p == '/' || *p == '\\' || (unsigned char)*p < 0x20 || *p == 0x7f) return false;
    return ends_with(name, SAFETENSORS);
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The files that the map names, each once, sorted. */
static cria_status names_of_map(cria_ctx *ctx, const char *path, const cria_json *map,
                                struct cria_file_set *out, cria_error *err) {
    const char **names = cria_malloc_array(ctx, cria_json_size(map), sizeof *names);
    if (names == NULL) return cria_fail_nomem(err, "a list of files", cria_json_size(map) * sizeof *names);
    cria_status st = CRIA_OK;
    size_t n = 0, unique = 0;
    const char *tensor;
    const cria_json *value;
    cria_json_iter it = cria_json_begin(map);
    while (st == CRIA_OK && cria_json_next(&it, &tensor, &value)) {
        const char *name = cria_json_string(value, NULL);
        if (name != NULL && plain_name(name))
            names[n++] = name;
        else
            st = cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                           "%s: says that tensor \"%.*s\" is in %s%.*s, which is no name of a " SAFETENSORS
                           " file in the same folder.",
                           path, cria_name_shown(tensor, strlen(tensor)), tensor,
                           name != NULL ? "" : "something",
                           name != NULL ? cria_name_shown(name, strlen(name)) : 0, name != NULL ? name : "");
    }
    if (st == CRIA_OK) {
        qsort(names, n, sizeof *names, by_bytes);
        for (size_t i = 0; i < n; i++)
            if (i == 0 || strcmp(names[i], names[unique - 1]) != 0) names[unique++] = names[i];
        st = copy_names(ctx, names, unique, out, err);
    }
    cria_free(ctx, names);
    return st;
}

cria_status cria_file_set_read_index(cria_ctx *ctx, const char *text, size_t len, const char *path,
                                     struct cria_file_set *out, cria_error *err) {
    const cria_status st = cria_json_parse(text, len, path, &out->index, err);
    if (st != CRIA_OK) return st;
    const cria_json *map = cria_json_get(out->index, "weight_map");
    if (map == NULL || cria_json_type(map) != CRIA_JSON_OBJECT || cria_json_size(map) == 0)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: has no \"weight_map\" that gives the files of the tensors.", path);
    return names_of_map(ctx, path, map, out, err);
}

static cria_status read_index(cria_ctx *ctx, const char *folder, const char *path, struct cria_file_set *out,
                              cria_error *err) {
    cria_mapfile file;
    cria_status st = cria_mapfile_open(path, &file, err);
    if (st != CRIA_OK) return st;
    st = cria_file_set_read_index(ctx, (const char *)file.data, file.len, path, out, err);
    cria_mapfile_close(&file);
    for (size_t i = 0; i < out->n && st == CRIA_OK; i++) {
        bool found = false;
        st = look_for(ctx, folder, out->names[i], &found, err);
        if (st == CRIA_OK && !found)
            st = cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                           "%s: names %s, which is not in the folder; get it, too.", path, out->names[i]);
    }
    return st;
}

static cria_status from_index(cria_ctx *ctx, const char *folder, struct cria_file_set *out, cria_error *err) {
    char *path = cria_path_join(ctx, folder, INDEX);
    if (path == NULL) return cria_fail_nomem(err, "a path", strlen(folder));
    cria_status st = CRIA_OK;
    if (cria_path_kind(path) == CRIA_PATH_FILE) st = read_index(ctx, folder, path, out, err);
    cria_free(ctx, path);
    return st;
}

cria_status cria_file_set_check(const struct cria_file_set *set, const cria_container *c, cria_error *err) {
    const char *name;
    const cria_json *value;
    if (set->index == NULL) return CRIA_OK;
    cria_json_iter it = cria_json_begin(cria_json_get(set->index, "weight_map"));
    while (cria_json_next(&it, &name, &value)) {
        const char *file = cria_json_string(value, NULL);
        const cria_tensor *t = cria_container_find(c, name);
        const char *path = t != NULL ? cria_container_source(c, t)->path : NULL;
        if (path == NULL || strcmp(strrchr(path, '/') + 1, file) != 0)
            return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                             "%s: tensor \"%.*s\" is not in %s, where " INDEX
                             " says; they are not of one model.",
                             cria_container_path(c), cria_name_shown(name, strlen(name)), name, file);
    }
    return CRIA_OK;
}

/* ---- precedence -------------------------------------------------------------------------- */

/* Each leaves the empty set that it gets empty when there is nothing of its kind. */

static cria_status list(cria_ctx *ctx, const char *folder, const char *prefix, const char *suffix,
                        struct cria_file_set *out, cria_error *err) {
    const cria_status st = cria_folder_list(ctx, folder, prefix, suffix, &out->names, &out->n, err);
    if (out->n == 0) cria_file_set_fini(ctx, out); /* a list of no names */
    return st;
}

static cria_status from_npz(cria_ctx *ctx, const char *folder, struct cria_file_set *out, cria_error *err) {
    const cria_status st = one_file(ctx, folder, "weights.npz", out, err);
    return st != CRIA_OK || out->n != 0 ? st : list(ctx, folder, "weights.", ".npz", out, err);
}

static cria_status from_safetensors(cria_ctx *ctx, const char *folder, struct cria_file_set *out,
                                    cria_error *err) {
    cria_status st = one_file(ctx, folder, "model" SAFETENSORS, out, err);
    if (st != CRIA_OK || out->n != 0) return st;
    st = list(ctx, folder, "model", SAFETENSORS, out, err);
    if (st == CRIA_OK && keep_numbered(out, SAFETENSORS))
        return complete_shards(ctx, folder, SAFETENSORS, out, err);
    return st != CRIA_OK || out->n != 0 ? st : list(ctx, folder, "weight", SAFETENSORS, out, err);
}

static cria_status from_gguf(cria_ctx *ctx, const char *folder, struct cria_file_set *out, cria_error *err) {
    const cria_status st = list(ctx, folder, "", GGUF, out, err);
    const size_t n = out->n;
    if (st != CRIA_OK || n == 0) return st;
    if (keep_numbered(out, GGUF) && out->n == n) return complete_shards(ctx, folder, GGUF, out, err);
    if (n == 1) return CRIA_OK;
    return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                     "%s: holds %zu " GGUF
                     " files (%s and %s among them), which are not numbered as parts of one "
                     "model; name the one that is meant.",
                     folder, n, out->names[0], out->names[1]);
}

cria_status cria_file_set_find(cria_ctx *ctx, const char *folder, struct cria_file_set *out,
                               cria_error *err) {
    static cria_status (*const places[])(cria_ctx * ctx, const char *folder, struct cria_file_set *out,
                                         cria_error *err) = {from_npz, from_index, from_safetensors,
                                                             from_gguf};
    struct cria_file_set set = {NULL, 0, NULL};
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < sizeof places / sizeof *places && st == CRIA_OK && set.n == 0; i++)
        st = places[i](ctx, folder, &set, err);
    if (st == CRIA_OK && set.n == 0)
        st = cria_fail(
            err, CRIA_EIO, CRIA_NOWHERE,
            "%s: holds neither weights.npz nor weights.*.npz, model.safetensors, model*.safetensors or a "
            ".gguf file; name the folder of a model or a .gguf file.",
            folder);
    if (st == CRIA_OK)
        *out = set;
    else
        cria_file_set_fini(ctx, &set);
    return st;
}

void cria_file_set_fini(cria_ctx *ctx, struct cria_file_set *set) {
    cria_free(ctx, set->names);
    cria_json_free(set->index);
    *set = (struct cria_file_set){NULL, 0, NULL};
}
