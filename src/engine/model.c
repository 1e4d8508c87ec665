/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a model: container → configuration and weights, tokenizer beside or inside it, and do they agree?
 * See model.h. */
#include "engine/model.h"

#include "base/ctx.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "base/status.h"
#include "text/tokenizer.h"

#include <math.h>
#include <string.h>

/* config.json and the tokenizer lie beside the weights: in the folder itself, or where the file is. */
static char *folder_of(cria_ctx *ctx, const char *path) {
    if (cria_path_kind(path) != CRIA_PATH_FOLDER) return cria_path_folder(ctx, path);
    const size_t bytes = strlen(path) + 1;
    char *folder = cria_malloc(ctx, bytes);
    return folder ? memcpy(folder, path, bytes) : NULL;
}

static cria_status read_mlx_config(const char *path, const cria_container *file, cria_config *out,
                                   cria_error *err) {
    cria_mapfile map;
    cria_status st = cria_mapfile_open(path, &map, err);
    if (st) return st;
    st = cria_config_from_json((const char *)map.data, map.len, path, file, out, err);
    cria_mapfile_close(&map);
    return st;
}

static cria_status open_mlx(cria_model *m, const cria_container *file, const char *path, cria_error *err) {
    cria_status st = CRIA_OK;
    char *folder = folder_of(m->ctx, path);
    char *config = folder ? cria_path_join(m->ctx, folder, "config.json") : NULL;
    if (config == NULL) st = cria_fail_nomem(err, "a path", strlen(path) + 16);
    if (!st) st = read_mlx_config(config, file, &m->config, err);
    if (!st) st = cria_tokenizer_open(m->ctx, folder, &m->tokenizer, err);
    cria_free(m->ctx, config);
    cria_free(m->ctx, folder);
    return st;
}

static cria_status open_gguf(cria_model *m, const cria_container *file, cria_error *err) {
    cria_status st = cria_config_from_gguf(file, &m->config, err);
    if (st) return st;
    cria_vocab vocab;
    cria_vocab_init(&vocab, m->ctx);
    if ((st = cria_vocab_load_gguf(m->ctx, file, &vocab, err))) return st;
    st = cria_tokenizer_make(m->ctx, &vocab, &m->tokenizer, err);
    return st ? cria_fail_in(err, st, cria_container_path(file)) : st;
}

/* What is damaged there is not the model's weights: it is told when somebody asks. */
static cria_status load_chat(cria_model *m, const cria_container *file, const char *path, cria_error *err) {
    char *folder = folder_of(m->ctx, path);
    if (folder == NULL) return cria_fail_nomem(err, "a path", strlen(path));
    const cria_container *gguf = m->kind == CRIA_CONTAINER_GGUF ? file : NULL;
    const cria_status st = cria_chat_load(m->ctx, path, folder, gguf, m->tokenizer, &m->chat, err);
    cria_free(m->ctx, folder);
    return st;
}

/* Takes *file on success. */
static cria_status outline(cria_model *m, cria_container *file, cria_error *err) {
    struct cria_model_outline *o = &m->outline;
    const cria_status st =
        cria_weights_outline(m->ctx, file, &m->config, &m->weights, &o->tensors, &o->n_tensors, err);
    if (!st) o->file = file;
    return st;
}

/* Configuration and tokenizer. */
static cria_status open_halves(cria_model *m, const cria_container *file, const char *path, cria_error *err) {
    cria_status st = m->kind == CRIA_CONTAINER_GGUF ? open_gguf(m, file, err) : open_mlx(m, file, path, err);
    if (st) return st;
    const uint32_t pieces = cria_tokenizer_vocab_size(m->tokenizer);
    /* Hugging Face's models often have rows for tokens that there are none of, to make the number a round one. */
    if (m->config.naming == CRIA_NAMING_HF ? pieces > m->config.V : pieces != m->config.V)
        return cria_fail(
            err, CRIA_EFORMAT, CRIA_NOWHERE,
            "%s: the tokenizer has %u pieces, but the model's vocabulary is %u; they are not of one model.",
            path, pieces, m->config.V);
    m->tokenizer->vocab.n_rows = m->config.V;
    return CRIA_OK;
}

/* Of an outline the file stays open. */
static cria_status load(cria_model *m, cria_container *file, const char *path, const cria_model_opts *opts,
                        cria_error *err) {
    cria_error why;
    m->kind = cria_container_kind(file);
    cria_status st = open_halves(m, file, path, &why);
    if (st && st != CRIA_ENOMEM && opts->outline && m->config.V != 0) { /* the configuration was read */
        cria_log(m->ctx, CRIA_LOG_WARN, "%s", why.msg);
        cria_tokenizer_destroy(m->tokenizer);
        m->tokenizer = NULL;
        st = CRIA_OK;
    }
    if (st) return cria_fail(err, st, why.where, "%s", why.msg);
    if (opts->context) m->config.context = opts->context;
    if ((st = load_chat(m, file, path, err))) return st;
    if (opts->outline) return outline(m, file, err);
    return cria_weights_load(m->ctx, file, &m->config, opts, &m->weights, err);
}

cria_status cria_model_load(cria_ctx *ctx, const char *path, const cria_model_opts *opts, cria_model **out,
                            cria_error *err) {
    cria_container *file;
    cria_status st = cria_container_open(ctx, path, &file, err);
    if (st) return st;
    cria_model *m = cria_calloc(ctx, 1, sizeof *m);
    if (m == NULL) {
        cria_container_close(file);
        return cria_fail_nomem(err, "the model", sizeof *m);
    }
    m->ctx = cria_ctx_ref(ctx);
    m->activations = opts->activations;
    atomic_init(&m->refs, 1);
    st = load(m, file, path, opts, err);
    if (cria_model_is_whole(m)) cria_container_close(file);
    if (st)
        cria_model_unref(m);
    else
        *out = m;
    return st;
}

/* The head dimension is d/h, as in files that do not name it. */
static cria_status random_config(const cria_random_opts *o, cria_config *out, cria_error *err) {
    cria_config c = cria_config_plain();
    c.d = o->dim;
    c.n_layers = o->n_layers;
    c.h = o->n_heads;
    c.hk = o->n_kv_heads;
    c.e = c.rotary = o->n_heads ? o->dim / o->n_heads : 0;
    c.f = o->hidden_dim;
    c.V = o->vocab_size;
    c.context = o->context;
    c.norm_eps = 1e-5f;
    c.attention_scale = c.e ? 1.0f / sqrtf((float)c.e) : 1.0f;
    c.rope[0].theta = o->rope_theta;
    cria_error why;
    if (cria_config_check("A random model", &c, &why) != CRIA_OK)
        return cria_fail(err, CRIA_EINVAL, why.where, "%s", why.msg);
    *out = c;
    return CRIA_OK;
}

cria_status cria_model_make_random(cria_ctx *ctx, const cria_random_opts *opts, cria_model **out,
                                   cria_error *err) {
    cria_config config;
    cria_status st = random_config(opts, &config, err);
    if (st) return st;
    cria_model *m = cria_calloc(ctx, 1, sizeof *m);
    if (m == NULL) return cria_fail_nomem(err, "the model", sizeof *m);
    m->ctx = cria_ctx_ref(ctx);
    m->activations = opts->activations;
    m->config = config;
    m->random = true;
    m->chat.generation = cria_generation_none();
    atomic_init(&m->refs, 1);
    st = cria_weights_random(ctx, &config, opts->quantization, opts->seed, &m->weights, err);
    if (st)
        cria_model_unref(m);
    else
        *out = m;
    return st;
}

cria_model *cria_model_ref(cria_model *model) {
    atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
    return model;
}

void cria_model_unref(cria_model *model) {
    if (model == NULL || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) != 1) return;
    cria_ctx *ctx = model->ctx;
    cria_weights_free(&model->weights);
    cria_tokenizer_destroy(model->tokenizer);
    cria_chat_fini(&model->chat);
    cria_free(ctx, model->outline.tensors);
    cria_container_close(model->outline.file);
    cria_free(ctx, model);
    cria_ctx_unref(ctx);
}
