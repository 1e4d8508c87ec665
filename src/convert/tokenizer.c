/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer of a converted model: the source's files as they are, or for a GGUF, which has it in its
 * metadata, files made from that (tokenizer_gguf.c). */
#include "base/mem.h"
#include "base/status.h"
#include "convert/tokenizer_gguf.h"
#include "convert/write.h"

#include <stdio.h>
#include <string.h>

/* What tokenizers and what goes with them are called; the first three are tokenizers by themselves. */
static const char *const files[] = {"tokenizer.model",
                                    "tokenizer.json",
                                    "tekken.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "vocab.json",
                                    "merges.txt",
                                    "chat_template.jinja",
                                    "chat_template.json",
                                    "generation_config.json"};
enum { N_FILES = sizeof files / sizeof *files, N_TOKENIZERS = 3 };

static char *path_of(const struct cria_convert_source *s, const char *name) {
    return cria_path_join(
        s->ctx, s->tokenizer && cria_path_kind(s->tokenizer) == CRIA_PATH_FOLDER ? s->tokenizer : s->folder,
        name);
}

/* A folder that was named, or the model's own; a single file takes the place of them all. */
static bool from_folder(const struct cria_convert_source *s) {
    if (s->tokenizer != NULL) return cria_path_kind(s->tokenizer) == CRIA_PATH_FOLDER;
    return s->folder != NULL;
}

static cria_status copy(const struct cria_convert_source *s, const char *from, const char *folder,
                        const char *name, cria_error *err) {
    cria_mapfile map;
    cria_status st = cria_mapfile_open(from, &map, err);
    if (st) return st;
    st = cria_convert_write_file(s->ctx, folder, name, map.data, map.len, err);
    cria_mapfile_close(&map);
    return st;
}

/* A tokenizer.model is SentencePiece's, a protobuf whose first field has number 1; Llama 3's, of that name
 * too, is text. */
static cria_status check_model(const char *path, cria_error *err) {
    cria_mapfile map;
    const cria_status st = cria_mapfile_open(path, &map, err);
    if (st) return st;
    const bool proto = map.len > 0 && map.data[0] == 0x0a;
    cria_mapfile_close(&map);
    if (proto) return CRIA_OK;
    return cria_fail(err, CRIA_EUNSUPPORTED, 0,
                     "%s is no SentencePiece model. Llama 3's, which is a list of tokens, comes as "
                     "tokenizer.json with its "
                     "Hugging Face folder: name that folder with --tokenizer.",
                     path);
}

/* What mlx-lm needs beside a tokenizer.model to know whose it is. */
static cria_status put_tokenizer_config(const struct cria_convert_source *s, const char *folder,
                                        cria_error *err) {
    static const char text[] =
        "{\n    \"add_bos_token\": true,\n    \"add_eos_token\": false,\n    \"bos_token\": \"<s>\",\n"
        "    \"eos_token\": \"</s>\",\n    \"tokenizer_class\": \"LlamaTokenizer\",\n"
        "    \"unk_token\": \"<unk>\"\n}\n";
    return s->names == CRIA_NAMING_META
               ? CRIA_OK
               : cria_convert_write_file(s->ctx, folder, "tokenizer_config.json", text, sizeof text - 1, err);
}

static cria_status copy_file(const struct cria_convert_source *s, const char *folder, cria_error *err) {
    const size_t n = strlen(s->tokenizer), json = strlen(".json");
    const bool is_json = n > json && strcmp(s->tokenizer + n - json, ".json") == 0;
    cria_status st = is_json ? CRIA_OK : check_model(s->tokenizer, err);
    if (!st) st = copy(s, s->tokenizer, folder, is_json ? "tokenizer.json" : "tokenizer.model", err);
    return st || is_json ? st : put_tokenizer_config(s, folder, err);
}

static cria_status copy_folder(const struct cria_convert_source *s, const char *folder, cria_error *err) {
    bool any = false, config = false, model = false;
    for (size_t i = 0; i < N_FILES; i++) {
        char *path = path_of(s, files[i]);
        if (path == NULL) return cria_fail_nomem(err, "a path", strlen(files[i]));
        cria_status st = CRIA_OK;
        if (cria_path_kind(path) == CRIA_PATH_FILE) {
            if (i == 0 && !s->keep_config) st = check_model(path, err);
            if (!st) st = copy(s, path, folder, files[i], err);
            any |= i < N_TOKENIZERS;
            model |= i == 0;
            config |= strcmp(files[i], "tokenizer_config.json") == 0;
        }
        cria_free(s->ctx, path);
        if (st) return st;
    }
    if (any) return model && !config ? put_tokenizer_config(s, folder, err) : CRIA_OK;
    return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                     "%s: there is no tokenizer.model and no tokenizer.json beside the weights; name one "
                     "with --tokenizer.",
                     s->path);
}

cria_status cria_convert_write_tokenizer(const struct cria_convert_source *s, const char *folder,
                                         cria_error *err) {
    if (from_folder(s)) return copy_folder(s, folder, err);
    return s->tokenizer ? copy_file(s, folder, err) : cria_convert_tokenizer_from_gguf(s, folder, err);
}

uint64_t cria_convert_tokenizer_bytes(const struct cria_convert_source *s) {
    uint64_t bytes = 4096;
    for (size_t i = 0; from_folder(s) && i < N_FILES; i++) {
        char *path = path_of(s, files[i]);
        cria_mapfile map;
        if (path != NULL && cria_path_kind(path) == CRIA_PATH_FILE &&
            cria_mapfile_open(path, &map, NULL) == CRIA_OK) {
            bytes += map.len;
            cria_mapfile_close(&map);
        }
        cria_free(s->ctx, path);
    }
    if (!from_folder(s))
        bytes += (uint64_t)s->model.V * 64; /* about what a token takes in JSON, with its merge */
    return bytes;
}
