/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public interface (cria.h) on top of the layers. Arguments are validated here and nowhere deeper; what
 * the text and sample layers implement of cria.h themselves (tokenizer, detok, sampler) is not repeated.
 */
#include "base/ctx.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include "engine/engine.h"
#include "kernels/forms.h"
#include "kernels/kernels.h"

#define STR2(x) #x
#define STR(x) STR2(x)

const char *cria_version(void) {
    return STR(CRIA_VERSION_MAJOR) "." STR(CRIA_VERSION_MINOR) "." STR(CRIA_VERSION_PATCH);
}

/* ---- context ---- */

cria_ctx_opts cria_ctx_opts_default(void) { return (cria_ctx_opts){.size = sizeof(cria_ctx_opts)}; }

cria_status cria_ctx_new(const cria_ctx_opts *opts, cria_ctx **out, cria_error *err) {
    const cria_ctx_opts defaults = cria_ctx_opts_default();
    if (out == NULL) return cria_fail_null(err, "cria_ctx_new");
    if (opts == NULL) opts = &defaults;
    cria_status st = cria_check_size(err, "cria_ctx_new", opts->size, sizeof *opts);
    cria_ctx *ctx;
    if (!st) st = cria_ctx_base_new(opts, &ctx, err);
    if (st) return st;
    uint32_t flags;
    st = cria_cpu_lower(ctx->cpu.flags, opts->isa, &flags, err);
    if (st) {
        cria_ctx_unref(ctx);
        return st;
    }
    ctx->kernels = cria_kernels_for(flags);
    *out = ctx;
    return CRIA_OK;
}

void cria_ctx_free(cria_ctx *ctx) { cria_ctx_unref(ctx); }

uint32_t cria_ctx_threads(const cria_ctx *ctx) { return cria_pool_threads(ctx->pool); }

const char *cria_ctx_isa(const cria_ctx *ctx) { return ctx->kernels->name; }

/* ---- model ---- */

cria_model_opts cria_model_opts_default(void) { return (cria_model_opts){.size = sizeof(cria_model_opts)}; }

cria_status cria_model_open(cria_ctx *ctx, const char *path, const cria_model_opts *opts, cria_model **out,
                            cria_error *err) {
    const cria_model_opts defaults = cria_model_opts_default();
    if (ctx == NULL || path == NULL || out == NULL) return cria_fail_null(err, "cria_model_open");
    if (opts == NULL) opts = &defaults;
    cria_status st = cria_check_size(err, "cria_model_open", opts->size, sizeof *opts);
    if (st) return st;
    if ((unsigned)opts->activations > CRIA_ACTIVATIONS_F32)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_model_open: there is no activations type %d.",
                         (int)opts->activations);
    if (opts->context > CRIA_POSITIONS_MAX)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_model_open: context is %u, but may be at most %u.",
                         opts->context, CRIA_POSITIONS_MAX);
    return cria_model_load(ctx, path, opts, out, err);
}

cria_random_opts cria_random_opts_default(void) {
    return (cria_random_opts){.size = sizeof(cria_random_opts),
                              .dim = 2048,
                              .n_layers = 22,
                              .n_heads = 32,
                              .n_kv_heads = 4,
                              .hidden_dim = 5632,
                              .vocab_size = 32000,
                              .rope_theta = 10000.0f,
                              .quantization = "q4_0"};
}

cria_status cria_model_random(cria_ctx *ctx, const cria_random_opts *opts, cria_model **out, cria_error *err) {
    const cria_random_opts defaults = cria_random_opts_default();
    if (ctx == NULL || out == NULL) return cria_fail_null(err, "cria_model_random");
    if (opts == NULL) opts = &defaults;
    cria_status st = cria_check_size(err, "cria_model_random", opts->size, sizeof *opts);
    if (st) return st;
    if (opts->quantization == NULL) return cria_fail_null(err, "cria_model_random");
    if ((unsigned)opts->activations > CRIA_ACTIVATIONS_F32)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_model_random: there is no activations type %d.",
                         (int)opts->activations);
    return cria_model_make_random(ctx, opts, out, err);
}

const char *cria_quantization_name(size_t i) { return cria_form_name(i); }

void cria_model_free(cria_model *model) { cria_model_unref(model); }

void cria_model_get_info(const cria_model *model, cria_model_info *out) {
    const cria_config *c = &model->config;
    *out = (cria_model_info){
        .format = model->random                               ? "random"
                  : model->kind == CRIA_CONTAINER_GGUF        ? "gguf"
                  : model->kind == CRIA_CONTAINER_SAFETENSORS ? "safetensors"
                                                              : "npz",
        .architecture = c->family,
        .dim = c->d,
        .n_layers = c->n_layers,
        .n_heads = c->h,
        .n_kv_heads = c->hk,
        .head_dim = c->e,
        .hidden_dim = c->f,
        .vocab_size = c->V,
        .context = c->context,
        .norm_eps = c->norm_eps,
        .rope_theta = c->rope[0].theta,
        .rope_traditional = c->rope_traditional,
        .n_params = model->weights.n_params,
        .weight_bytes = model->weights.n_bytes,
        .weights_mapped = model->weights.map.data != NULL,
    };
}

bool cria_model_get_outline(const cria_model *model, cria_outline *out) {
    const cria_config *c = &model->config;
    const struct cria_model_outline *o = &model->outline;
    if (cria_model_is_whole(model)) return false;
    *out = (cria_outline){.file_bytes = cria_container_bytes(o->file),
                          .n_files = cria_container_files(o->file),
                          .n_tensors = o->n_tensors,
                          .token_bytes = cria_model_work_bytes(model),
                          .n_experts = c->n_experts,
                          .n_experts_used = c->n_experts_used,
                          .window = c->window,
                          .chat_template = model->chat.n > 0};
    for (uint32_t i = 0; i < c->n_layers; i++) out->n_window_layers += (c->layer[i] & CRIA_LAYER_WINDOW) != 0;
    return true;
}

bool cria_model_get_tensor(const cria_model *model, size_t i, cria_tensor_info *out) {
    if (i >= model->outline.n_tensors) return false;
    *out = model->outline.tensors[i];
    return true;
}

uint64_t cria_model_kv_bytes(const cria_model *model, cria_kv_type kv, uint64_t tokens) {
    const uint64_t blocks = tokens / CRIA_KV_BLOCK + (tokens % CRIA_KV_BLOCK != 0);
    return blocks * cria_kv_block_bytes(&model->config, cria_engine_kv_elem(kv));
}

const char *cria_model_chat_template(const cria_model *model, size_t i) {
    return i < model->chat.n ? model->chat.templates[i].name.data : NULL;
}

cria_status cria_model_get_generation(const cria_model *model, cria_generation *out, cria_error *err) {
    if (model == NULL || out == NULL) return cria_fail_null(err, "cria_model_get_generation");
    const cria_status st = cria_chat_tell(&model->chat.generation_failure, err);
    if (!st) *out = model->chat.generation;
    return st;
}

const cria_tokenizer *cria_model_tokenizer(const cria_model *model) { return model->tokenizer; }

/* ---- engine and sequences ---- */

cria_engine_opts cria_engine_opts_default(void) {
    return (cria_engine_opts){.size = sizeof(cria_engine_opts)};
}

#define BATCH_ROWS_MAX 65536u

cria_status cria_engine_new(cria_model *model, const cria_engine_opts *opts, cria_engine **out,
                            cria_error *err) {
    const cria_engine_opts defaults = cria_engine_opts_default();
    if (model == NULL || out == NULL) return cria_fail_null(err, "cria_engine_new");
    if (opts == NULL) opts = &defaults;
    cria_status st = cria_check_size(err, "cria_engine_new", opts->size, sizeof *opts);
    if (st) return st;
    if (!cria_model_is_whole(model))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_engine_new: the model is an outline, without weights.");
    if ((unsigned)opts->kv > CRIA_KV_INT8)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_engine_new: there is no KV type %d.",
                         (int)opts->kv);
    if (opts->batch_rows > BATCH_ROWS_MAX)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_engine_new: batch_rows is %u, but may be at most %u.", opts->batch_rows,
                         BATCH_ROWS_MAX);
    return cria_engine_make(model, opts, out, err);
}

void cria_engine_free(cria_engine *engine) { cria_engine_unref(engine); }

uint32_t cria_engine_context(const cria_engine *engine) { return cria_engine_positions(engine); }

cria_status cria_sequence_new(cria_engine *engine, cria_sequence **out, cria_error *err) {
    if (engine == NULL || out == NULL) return cria_fail_null(err, "cria_sequence_new");
    return cria_sequence_make(engine, out, err);
}

void cria_engine_get_work(const cria_engine *engine, uint64_t sequences, uint64_t depth, uint64_t tokens,
                          cria_work *out) {
    *out = cria_engine_work(engine, sequences, depth, tokens);
}

cria_status cria_engine_eval(cria_engine *engine, const cria_row *rows, size_t n, float *logits,
                             cria_error *err) {
    if (engine == NULL || (rows == NULL && n > 0)) return cria_fail_null(err, "cria_engine_eval");
    for (size_t i = 0; i < n; i++) {
        if (rows[i].sequence == NULL || (rows[i].want_logits && logits == NULL))
            return cria_fail_null(err, "cria_engine_eval");
        if (rows[i].sequence->engine != engine)
            return cria_fail(err, CRIA_EINVAL, i,
                             "cria_engine_eval: the sequence of row %zu is of another engine.", i);
        if (rows[i].token < 0 || (uint32_t)rows[i].token >= engine->model->config.V)
            return cria_fail(
                err, CRIA_EINVAL, i,
                "cria_engine_eval: the token of row %zu is %d, but the vocabulary has %u tokens.", i,
                (int)rows[i].token, engine->model->config.V);
    }
    return cria_engine_run(engine, rows, n, logits, err);
}
