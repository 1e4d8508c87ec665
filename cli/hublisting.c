/* SPDX-License-Identifier: Apache-2.0 */
#include "hublisting.h"

#include "base/json.h"
#include "base/status.h"

#include <string.h>

#define LARGEST ((int64_t)1 << 50) /* bytes of a file; a larger one is a lie */

static bool is_hash(const char *s, size_t digits) {
    return s && strlen(s) == digits && strspn(s, "0123456789abcdef") == digits;
}

static uint64_t size_of(const cria_json *v) {
    int64_t n;
    return cria_json_int(v, &n) && n >= 0 && n <= LARGEST ? (uint64_t)n : HUB_SIZE_UNKNOWN;
}

/* Large files are named by SHA-256; what git itself keeps, by the SHA-1 of its blob. */
static cria_status add(struct hub_files *files, const char *path, const char *sha256, uint64_t large,
                       const char *sha1, uint64_t small, cria_error *err) {
    if (is_hash(sha256, 64)) return hub_files_add(files, path, large, sha256, err);
    return hub_files_add(files, path, small, is_hash(sha1, 40) ? sha1 : NULL, err);
}

cria_status hub_listing_parse(const char *text, size_t len, const char *name, char commit[41],
                              struct hub_files *files, cria_error *err) {
    cria_json *root;
    cria_status st = cria_json_parse(text, len, name, &root, err);
    if (st != CRIA_OK) return st;
    const char *sha = cria_json_string(cria_json_get(root, "sha"), NULL);
    const cria_json *siblings = cria_json_get(root, "siblings");
    if (!is_hash(sha, 40) || cria_json_type(siblings) != CRIA_JSON_ARRAY)
        st = cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                       "%s names no commit and files, as a hub would; look at HF_ENDPOINT.", name);
    else
        memcpy(commit, sha, 41);
    for (size_t i = 0; st == CRIA_OK && i < cria_json_size(siblings); i++) {
        const cria_json *file = cria_json_at(siblings, i), *lfs = cria_json_get(file, "lfs");
        const char *path = cria_json_string(cria_json_get(file, "rfilename"), NULL);
        if (!path)
            st = cria_fail(err, CRIA_EFORMAT, i, "%s has an entry without a file name.", name);
        else
            st = add(files, path, cria_json_string(cria_json_get(lfs, "sha256"), NULL),
                     size_of(cria_json_get(lfs, "size")), cria_json_string(cria_json_get(file, "blobId"), NULL),
                     size_of(cria_json_get(file, "size")), err);
    }
    cria_json_free(root);
    return st;
}

cria_status hub_tree_parse(const char *text, size_t len, const char *name, struct hub_files *files, cria_error *err) {
    cria_json *root;
    int64_t version;
    cria_status st = cria_json_parse(text, len, name, &root, err);
    if (st != CRIA_OK) return st;
    if (!cria_json_int(cria_json_get(root, "format_version"), &version) || version != 1)
        st = cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE, "%s is of a version that is not known.", name);
    const char *path;
    const cria_json *file;
    cria_json_iter it = cria_json_begin(cria_json_get(root, "files"));
    while (st == CRIA_OK && cria_json_next(&it, &path, &file))
        st = add(files, path, cria_json_string(cria_json_get(file, "lfs_sha256"), NULL),
                 size_of(cria_json_get(file, "lfs_size")), cria_json_string(cria_json_get(file, "blob_id"), NULL),
                 size_of(cria_json_get(file, "size")), err);
    cria_json_free(root);
    return st;
}
