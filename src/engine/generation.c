/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a model is to be sampled, as its makers say: generation_config.json (transformers' GenerationConfig) beside the
 * weights, or a GGUF's general.sampling.*, as llama.cpp's converter writes them. What is null is not spoken of.
 */
#include "base/json.h"
#include "base/status.h"
#include "engine/chat.h"

#include <math.h>

static bool in_range(double v, double least, double most) { return v >= least && v <= most; }

static cria_status read_real(const cria_chat *c, const cria_json *file, const char *key, double least, double most,
                             double *out, cria_error *err) {
    const cria_json *v = cria_json_get(file, key);
    double number;
    if (cria_json_type(v) == CRIA_JSON_NULL) return CRIA_OK;
    if (!cria_json_real(v, &number))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: %s in generation_config.json is %s, not a number.",
                         c->path.data, key, cria_json_type_name(v));
    if (!in_range(number, least, most))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: %s in generation_config.json is %g; it has to be from %g to %g.", c->path.data, key,
                         number, least, most);
    *out = number;
    return CRIA_OK;
}

static cria_status read_json(const cria_chat *c, const cria_json *file, cria_generation *g, double *top_k,
                             cria_error *err) {
    bool samples = true;
    cria_status st = read_real(c, file, "temperature", 0.0, 1e6, &g->temp, err);
    if (!st) st = read_real(c, file, "top_p", 0.0, 1.0, &g->top_p, err);
    if (!st) st = read_real(c, file, "min_p", 0.0, 1.0, &g->min_p, err);
    if (!st) st = read_real(c, file, "typical_p", 0.0, 1.0, &g->typical_p, err);
    if (!st) st = read_real(c, file, "repetition_penalty", 1e-3, 1e3, &g->repeat_penalty, err);
    if (!st) st = read_real(c, file, "top_k", 0.0, (double)(UINT32_MAX - 1), top_k, err);
    if (!st && cria_json_bool(cria_json_get(file, "do_sample"), &samples) && !samples) g->temp = 0.0;
    return st;
}

static cria_status read_meta(const cria_chat *c, const cria_container *file, const char *key, double least, double most,
                             double *out, cria_error *err) {
    double v;
    if (!cria_meta_f64(file, key, &v)) return CRIA_OK;
    if (!in_range(v, least, most))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the metadata %s is %g; it has to be from %g to %g.",
                         c->path.data, key, v, least, most);
    *out = v;
    return CRIA_OK;
}

static cria_status read_gguf(const cria_chat *c, const cria_container *file, cria_generation *g, double *top_k,
                             cria_error *err) {
    cria_status st = read_meta(c, file, "general.sampling.temp", 0.0, 1e6, &g->temp, err);
    if (!st) st = read_meta(c, file, "general.sampling.top_p", 0.0, 1.0, &g->top_p, err);
    if (!st) st = read_meta(c, file, "general.sampling.min_p", 0.0, 1.0, &g->min_p, err);
    if (!st) st = read_meta(c, file, "general.sampling.penalty_repeat", 1e-3, 1e3, &g->repeat_penalty, err);
    if (!st) st = read_meta(c, file, "general.sampling.top_k", 0.0, (double)(UINT32_MAX - 1), top_k, err);
    return st;
}

cria_status cria_chat_load_generation(cria_chat *chat, const char *folder, const cria_container *gguf,
                                      cria_error *err) {
    cria_generation g = cria_generation_none();
    double top_k = NAN;
    cria_json *file = NULL;
    cria_status st = CRIA_OK;
    chat->generation = g;
    if (gguf) {
        st = read_gguf(chat, gguf, &g, &top_k, err);
    } else {
        st = cria_chat_read_json(chat, folder, "generation_config.json", &file, err);
        if (!st) st = read_json(chat, file, &g, &top_k, err);
        cria_json_free(file);
    }
    if (st) return st;
    if (!isnan(top_k)) g.top_k = (uint32_t)top_k;
    chat->generation = g;
    return CRIA_OK;
}

cria_generation cria_generation_none(void) {
    return (cria_generation){NAN, NAN, NAN, NAN, NAN, UINT32_MAX};
}
