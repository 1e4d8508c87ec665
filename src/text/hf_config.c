/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tokens begin and end a text, out of the small files that lie beside a tokenizer.json:
 *
 *   bos      tokenizer_config.json (bos_token), special_tokens_map.json, what the post-processor puts first,
 * config.json (bos_token_id): the first that names one which the vocabulary has add_bos tokenizer_config.json
 * (add_bos_token) where it says so, else whether the post-processor puts one first eos tokenizer_config.json
 * (eos_token), special_tokens_map.json, the first of the ids below ends     eos, and all of
 * generation_config.json's eos_token_id; where that file has none, config.json's; where no file names any id,
 * the well-known symbols that end a turn, as in a GGUF
 *
 * That order is transformers': a tokenizer's own files come before the model's, generation_config.json before
 * config.json. A token is named as a string or as {"content": …}; ids are a number or a list. A name that the
 * vocabulary does not have counts as none.
 */
#include "base/json.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "base/status.h"
#include "text/hf_json.h"

#include <string.h>

struct config {
    cria_ctx *ctx;
    const char *folder;
    cria_vocab *v;
    cria_error *err;
    char *path; /* of the open file, for messages */
    cria_json *file;
};

/* *file stays NULL where there is no such file. */
static cria_status open_file(struct config *c, const char *name) {
    cria_mapfile map;
    c->file = NULL;
    c->path = cria_path_join(c->ctx, c->folder, name);
    if (!c->path) return cria_fail_nomem(c->err, "a path", strlen(c->folder));
    if (cria_path_kind(c->path) == CRIA_PATH_MISSING) return CRIA_OK;
    cria_status st = cria_mapfile_open(c->path, &map, c->err);
    if (st != CRIA_OK) return st;
    st = cria_json_parse((const char *)map.data, map.len, c->path, &c->file, c->err);
    cria_mapfile_close(&map);
    return st;
}

static void close_file(struct config *c) {
    cria_json_free(c->file);
    cria_free(c->ctx, c->path);
    c->file = NULL;
    c->path = NULL;
}

/* The token that the open file names so, where *id is still none. */
static void read_token(const struct config *c, const char *key, int32_t *id) {
    const cria_json *value = cria_json_get(c->file, key);
    if (value && cria_json_type(value) == CRIA_JSON_OBJECT) value = cria_json_get(value, "content");
    size_t len = 0;
    const char *text = value ? cria_json_string(value, &len) : NULL;
    if (text && *id < 0) *id = cria_vocab_find_any(c->v, text, len);
}

static cria_status check_id(const struct config *c, const char *key, const cria_json *value, int32_t *out) {
    int64_t id;
    if (!value || !cria_json_int(value, &id))
        return cria_fail(c->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: %s is neither a token id nor a list of them.", c->path, key);
    if (id < 0 || id >= CRIA_VOCAB_MAX)
        return cria_fail(c->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: %s is %lld, which is no token id.", c->path,
                         key, (long long)id);
    *out = (int32_t)id;
    return CRIA_OK;
}

/* eos_token_id: one or several, to v->ends. */
static cria_status read_ends(const struct config *c) {
    static const char key[] = "eos_token_id";
    const cria_json *value = cria_json_get(c->file, key);
    if (!value || cria_json_type(value) == CRIA_JSON_NULL) return CRIA_OK;
    const bool list = cria_json_type(value) == CRIA_JSON_ARRAY;
    const size_t n = list ? cria_json_size(value) : 1;
    if (n > CRIA_ENDS_MAX)
        return cria_fail(c->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: %s has %zu ids, and at most %u are possible.", c->path, key, n, CRIA_ENDS_MAX);
    for (size_t i = 0; i < n; i++) {
        int32_t id = -1;
        const cria_status st = check_id(c, key, list ? cria_json_at(value, i) : value, &id);
        if (st != CRIA_OK) return st;
        c->v->ends[c->v->n_ends++] = id;
    }
    return CRIA_OK;
}

static cria_status read_bos_id(const struct config *c) {
    const cria_json *value = cria_json_get(c->file, "bos_token_id");
    int32_t id = -1;
    if (c->v->bos >= 0 || !value || cria_json_type(value) == CRIA_JSON_NULL) return CRIA_OK;
    const cria_status st = check_id(c, "bos_token_id", value, &id);
    if (st == CRIA_OK && id < (int32_t)c->v->n) c->v->bos = id;
    return st;
}

static cria_status read_files(struct config *c, int32_t prefix, bool *add_bos) {
    cria_vocab *v = c->v;
    cria_status st = open_file(c, "tokenizer_config.json");
    if (st == CRIA_OK && c->file) {
        read_token(c, "bos_token", &v->bos);
        read_token(c, "eos_token", &v->eos);
        const cria_json *add = cria_json_get(c->file, "add_bos_token");
        if (add) cria_json_bool(add, add_bos);
    }
    close_file(c);
    if (st == CRIA_OK) st = open_file(c, "special_tokens_map.json");
    if (st == CRIA_OK && c->file) {
        read_token(c, "bos_token", &v->bos);
        read_token(c, "eos_token", &v->eos);
    }
    close_file(c);
    if (v->bos < 0) v->bos = prefix;
    if (st == CRIA_OK) st = open_file(c, "generation_config.json");
    if (st == CRIA_OK && c->file) st = read_ends(c);
    close_file(c);
    if (st == CRIA_OK) st = open_file(c, "config.json");
    if (st == CRIA_OK && c->file && v->n_ends == 0) st = read_ends(c);
    if (st == CRIA_OK && c->file) st = read_bos_id(c);
    close_file(c);
    return st;
}

cria_status cria_hf_config(cria_ctx *ctx, const char *folder, int32_t prefix, cria_vocab *v,
                           cria_error *err) {
    struct config c = {.ctx = ctx, .folder = folder, .v = v, .err = err};
    bool add_bos = prefix >= 0;
    if (folder) {
        const cria_status st = read_files(&c, prefix, &add_bos);
        if (st != CRIA_OK) return st;
    }
    if (v->bos < 0) v->bos = prefix;
    if (add_bos && prefix >= 0 && v->bos != prefix)
        return cria_fail(
            err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s/tokenizer.json puts token %d before a text, but %d is the token that begins one.", folder,
            (int)prefix, (int)v->bos);
    if (v->eos < 0 && v->n_ends > 0 && v->ends[0] < (int32_t)v->n) v->eos = v->ends[0];
    if (v->n_ends == 0) cria_vocab_guess_ends(v);
    v->add_bos = add_bos && v->bos >= 0;
    return CRIA_OK;
}
