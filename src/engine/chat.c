/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a model's chat templates and their variables; see chat.h. */
#include "engine/chat.h"

#include "base/json.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "base/status.h"
#include "template/template.h"

#include <string.h>

/* ---- texts and failures ---- */

static void text_fini(cria_ctx *ctx, struct cria_chat_text *t) {
    cria_free(ctx, t->data);
    *t = (struct cria_chat_text){NULL, 0};
}

static cria_status text_set(cria_ctx *ctx, struct cria_chat_text *t, const char *data, size_t len, cria_error *err) {
    char *copy = cria_malloc(ctx, len + 1);
    if (copy == NULL) return cria_fail_nomem(err, "a chat template", len);
    memcpy(copy, data, len);
    copy[len] = '\0';
    text_fini(ctx, t);
    *t = (struct cria_chat_text){copy, len};
    return CRIA_OK;
}

/* Only what cannot be kept fails. */
static cria_status keep(cria_ctx *ctx, struct cria_chat_failure *failure, cria_status st, const cria_error *why,
                        cria_error *err) {
    if (st == CRIA_OK) return CRIA_OK;
    const size_t len = strlen(why->msg) + 1;
    failure->message = st == CRIA_ENOMEM ? NULL : cria_malloc(ctx, len);
    if (failure->message == NULL) return cria_fail_nomem(err, "what a model brings along for conversations", len);
    memcpy(failure->message, why->msg, len);
    failure->status = st;
    return CRIA_OK;
}

cria_status cria_chat_tell(const struct cria_chat_failure *failure, cria_error *err) {
    return failure->status ? cria_fail(err, failure->status, CRIA_NOWHERE, "%s", failure->message) : CRIA_OK;
}

/* ---- templates ---- */

static cria_status add(cria_chat *c, const char *name, size_t name_len, const char *text, size_t len, cria_error *err) {
    if (len > CRIA_TEMPLATE_MAX_SOURCE)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE,
                         "%s: the chat template \"%.*s\" has %zu bytes, and at most %d are possible.", c->path.data,
                         (int)(name_len < 100 ? name_len : 100), name, len, (int)CRIA_TEMPLATE_MAX_SOURCE);
    if (c->n == CRIA_CHAT_TEMPLATES_MAX)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "%s has more than %d chat templates; take some away.",
                         c->path.data, (int)CRIA_CHAT_TEMPLATES_MAX);
    size_t at = 0;
    while (at < c->n && strcmp(c->templates[at].name.data, name) < 0) at++;
    struct cria_chat_template_text t = {{NULL, 0}, {NULL, 0}};
    cria_status st = text_set(c->ctx, &t.name, name, name_len, err);
    if (!st) st = text_set(c->ctx, &t.text, text, len, err);
    if (st) {
        text_fini(c->ctx, &t.name);
        return st;
    }
    memmove(&c->templates[at + 1], &c->templates[at], (c->n - at) * sizeof t);
    c->templates[at] = t;
    c->n++;
    return CRIA_OK;
}

static cria_status add_file(cria_chat *c, const char *folder, const char *file, const char *name, size_t name_len,
                            cria_error *err) {
    cria_mapfile map;
    char *path = cria_path_join(c->ctx, folder, file);
    if (path == NULL) return cria_fail_nomem(err, "a path", strlen(folder));
    cria_status st = cria_mapfile_open(path, &map, err);
    cria_free(c->ctx, path);
    if (st) return st;
    char key[256]; /* names end with a NUL for who compares them */
    if (name_len >= sizeof key) name_len = sizeof key - 1;
    memcpy(key, name, name_len);
    key[name_len] = '\0';
    st = add(c, key, name_len, map.len ? (const char *)map.data : "", map.len, err);
    cria_mapfile_close(&map);
    return st;
}

static cria_status add_jinja_files(cria_chat *c, const char *folder, cria_error *err) {
    static const char own[] = "chat_template.jinja", suffix[] = ".jinja";
    char *path = cria_path_join(c->ctx, folder, own);
    char *more = cria_path_join(c->ctx, folder, "additional_chat_templates");
    cria_status st = path && more ? CRIA_OK : cria_fail_nomem(err, "a path", strlen(folder));
    if (!st && cria_path_kind(path) == CRIA_PATH_FILE) st = add_file(c, folder, own, "default", strlen("default"), err);
    if (!st && cria_path_kind(more) == CRIA_PATH_FOLDER) {
        char **names = NULL;
        size_t n = 0;
        st = cria_folder_list(c->ctx, more, "", suffix, &names, &n, err);
        for (size_t i = 0; i < n && !st; i++)
            st = add_file(c, more, names[i], names[i], strlen(names[i]) - strlen(suffix), err);
        cria_free(c->ctx, names);
    }
    cria_free(c->ctx, more);
    cria_free(c->ctx, path);
    return st;
}

static cria_status wrong_type(const cria_chat *c, const char *file, const cria_json *v, cria_error *err) {
    return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                     "%s: chat_template in %s is %s; it has to be a text, or a list of objects with a name and a "
                     "template.", c->path.data, file, cria_json_type_name(v));
}

/* The key chat_template of a file: a text, a list of {name, template}, or null for none. */
static cria_status add_json(cria_chat *c, const char *file, const cria_json *v, cria_error *err) {
    size_t len, name_len;
    const char *text = cria_json_string(v, &len);
    if (text) return add(c, "default", strlen("default"), text, len, err);
    if (cria_json_type(v) == CRIA_JSON_NULL) return CRIA_OK;
    if (cria_json_type(v) != CRIA_JSON_ARRAY) return wrong_type(c, file, v, err);
    for (size_t i = 0; i < cria_json_size(v); i++) {
        const cria_json *item = cria_json_at(v, i);
        const char *name = cria_json_string(cria_json_get(item, "name"), &name_len);
        text = cria_json_string(cria_json_get(item, "template"), &len);
        if (!name || !text) return wrong_type(c, file, item, err);
        const cria_status st = add(c, name, name_len, text, len, err);
        if (st) return st;
    }
    return CRIA_OK;
}

static bool starts_with(cria_str s, const char *prefix) {
    return s.len >= strlen(prefix) && memcmp(s.data, prefix, strlen(prefix)) == 0;
}

static cria_status add_gguf(cria_chat *c, const cria_container *file, cria_error *err) {
    static const char key[] = "tokenizer.chat_template";
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < cria_meta_count(file) && !st; i++) {
        const cria_meta *m = cria_meta_at(file, i);
        if (!starts_with(m->key, key)) continue;
        const size_t n = strlen(key);
        char name[256] = "default";
        if (m->key.len > n) {
            if (m->key.data[n] != '.' || m->key.len - n - 1 >= sizeof name) continue;
            memcpy(name, m->key.data + n + 1, m->key.len - n - 1);
            name[m->key.len - n - 1] = '\0';
        }
        if (m->type != CRIA_META_STRING)
            return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the metadata %.*s is no text.", c->path.data,
                             (int)(m->key.len < 200 ? m->key.len : 200), m->key.data);
        st = add(c, name, strlen(name), m->v.s.data, m->v.s.len, err);
    }
    return st;
}

/* ---- variables ---- */

static bool is_standard(const char *name) {
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

static bool has_variable(const cria_chat *c, const char *name) {
    size_t i = 0;
    while (i < c->n_variables && strcmp(c->variables[i].name.data, name) != 0) i++;
    return i < c->n_variables;
}

/* text NULL: there is none, whatever the tokenizer says. */
static cria_status set_variable(cria_chat *c, const char *name, const char *text, size_t len, cria_error *err) {
    size_t i = 0;
    while (i < c->n_variables && strcmp(c->variables[i].name.data, name) != 0) i++;
    if (i == CRIA_CHAT_VARIABLES_MAX)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "%s names more than %d special tokens.", c->path.data,
                         (int)CRIA_CHAT_VARIABLES_MAX);
    if (i == c->n_variables) {
        const cria_status st = text_set(c->ctx, &c->variables[i].name, name, strlen(name), err);
        if (st) return st;
        c->n_variables++;
    }
    if (text) return text_set(c->ctx, &c->variables[i].text, text, len, err);
    text_fini(c->ctx, &c->variables[i].text);
    return CRIA_OK;
}

/* "<s>" or, where transformers reads it so, {"content": "<s>", …}. */
static const char *token_text(const cria_json *v, bool object, size_t *len) {
    if (object && cria_json_type(v) == CRIA_JSON_OBJECT) v = cria_json_get(v, "content");
    return cria_json_string(v, len);
}

static bool ends_in_token(const char *key) {
    static const char suffix[] = "_token";
    const size_t n = strlen(key), m = strlen(suffix);
    return n >= m && memcmp(key + n - m, suffix, m) == 0;
}

/* map: the file is special_tokens_map.json, which has objects for tokens of any name. */
static cria_status read_tokens(cria_chat *c, const cria_json *file, bool map, cria_error *err) {
    const char *key, *text;
    const cria_json *v;
    size_t len = 0;
    cria_status st = CRIA_OK;
    for (cria_json_iter it = cria_json_begin(file); !st && cria_json_next(&it, &key, &v);) {
        const bool standard = is_standard(key);
        if (!ends_in_token(key)) continue;
        text = token_text(v, standard || map, &len);
        if (text || standard) st = set_variable(c, key, text, len, err);
    }
    const cria_json *extra = cria_json_get(file, "extra_special_tokens");
    for (cria_json_iter it = cria_json_begin(extra); !st && cria_json_next(&it, &key, &v);)
        if ((text = token_text(v, true, &len))) st = set_variable(c, key, text, len, err);
    return st;
}

static cria_status take_tokenizers(cria_chat *c, const cria_tokenizer *tokenizer, cria_error *err) {
    if (tokenizer == NULL) return CRIA_OK;
    const cria_vocab *v = &tokenizer->vocab;
    const struct {
        const char *name;
        int32_t id;
    } own[] = {{"bos_token", v->bos}, {"eos_token", v->eos}, {"unk_token", v->unk}, {"pad_token", v->pad}};
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < sizeof own / sizeof *own && !st; i++) {
        if (own[i].id < 0 || (uint32_t)own[i].id >= v->n || has_variable(c, own[i].name)) continue;
        size_t len;
        const char *piece = cria_vocab_piece(v, (uint32_t)own[i].id, &len);
        st = set_variable(c, own[i].name, piece, len, err);
    }
    return st;
}

/* ---- loading ---- */

cria_status cria_chat_read_json(const cria_chat *chat, const char *folder, const char *name, cria_json **file,
                                cria_error *err) {
    cria_mapfile map;
    char *path = cria_path_join(chat->ctx, folder, name);
    if (path == NULL) return cria_fail_nomem(err, "a path", strlen(folder));
    cria_status st = CRIA_OK;
    if (cria_path_kind(path) != CRIA_PATH_MISSING) {
        st = cria_mapfile_open(path, &map, err);
        if (!st) {
            st = cria_json_parse((const char *)map.data, map.len, path, file, err);
            cria_mapfile_close(&map);
        }
    }
    cria_free(chat->ctx, path);
    return st;
}

static cria_status add_json_file(cria_chat *c, const char *folder, cria_error *err) {
    static const char name[] = "chat_template.json";
    cria_json *file = NULL;
    cria_status st = cria_chat_read_json(c, folder, name, &file, err);
    if (!st) st = add_json(c, name, cria_json_get(file, "chat_template"), err);
    cria_json_free(file);
    return st;
}

static cria_status read_map(cria_chat *c, const char *folder, cria_error *err) {
    cria_json *file = NULL;
    cria_status st = cria_chat_read_json(c, folder, "special_tokens_map.json", &file, err);
    if (!st) st = read_tokens(c, file, true, err);
    cria_json_free(file);
    return st;
}

static cria_status load_folder(cria_chat *c, const char *folder, cria_error *err) {
    cria_json *config = NULL;
    cria_status st = add_jinja_files(c, folder, err);
    if (!st) st = cria_chat_read_json(c, folder, "tokenizer_config.json", &config, err);
    if (!st && c->n == 0) st = add_json(c, "tokenizer_config.json", cria_json_get(config, "chat_template"), err);
    if (!st && c->n == 0) st = add_json_file(c, folder, err);
    if (!st) st = read_tokens(c, config, false, err);
    if (!st && cria_json_get(config, "added_tokens_decoder") == NULL) st = read_map(c, folder, err);
    cria_json_free(config);
    return st;
}

cria_status cria_chat_load(cria_ctx *ctx, const char *path, const char *folder, const cria_container *gguf,
                           const cria_tokenizer *tokenizer, cria_chat *out, cria_error *err) {
    cria_error why;
    *out = (cria_chat){.ctx = ctx};
    cria_status st = text_set(ctx, &out->path, path, strlen(path), err);
    if (st) return st;
    st = gguf ? add_gguf(out, gguf, &why) : load_folder(out, folder, &why);
    if (!st) st = take_tokenizers(out, tokenizer, &why);
    st = keep(ctx, &out->template_failure, st, &why, err);
    if (st) return st;
    st = cria_chat_load_generation(out, folder, gguf, &why);
    return keep(ctx, &out->generation_failure, st, &why, err);
}

void cria_chat_fini(cria_chat *chat) {
    if (chat->ctx == NULL) return;
    text_fini(chat->ctx, &chat->path);
    for (size_t i = 0; i < chat->n; i++) {
        text_fini(chat->ctx, &chat->templates[i].name);
        text_fini(chat->ctx, &chat->templates[i].text);
    }
    for (size_t i = 0; i < chat->n_variables; i++) {
        text_fini(chat->ctx, &chat->variables[i].name);
        text_fini(chat->ctx, &chat->variables[i].text);
    }
    cria_free(chat->ctx, chat->template_failure.message);
    cria_free(chat->ctx, chat->generation_failure.message);
}
