/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json of a converted model. Hugging Face's is taken over member by member as it is written, so that
 * nothing in it is lost or rounded; only what is said of quantization is new. For other sources it is made
 * from the model's configuration.
 */
#include "base/json.h"
#include "base/half.h"
#include "base/status.h"
#include "convert/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- "quantization" ---- */

static cria_status put_mode(cria_buf *b, const cria_mlx_mode *m, bool meta, const char *indent,
                            cria_error *err) {
    const bool affine = strcmp(m->mode, "affine") == 0;
    cria_status st = cria_convert_print(b, err, "\n%s\"group_size\": %" PRIu32 ",\n%s\"bits\": %" PRIu32,
                                        indent, m->group, indent, m->bits);
    /* The example's convert.py writes no mode. */
    if (!st && !(meta && affine)) st = cria_convert_print(b, err, ",\n%s\"mode\": \"%s\"", indent, m->mode);
    return st;
}

static cria_status put_quantization(cria_buf *b, const struct cria_convert_source *s,
                                    const struct cria_convert_plan *plan, cria_error *err) {
    cria_status st = cria_buf_append(b, "{", 1, err);
    if (!st) st = put_mode(b, &plan->mode, s->names == CRIA_NAMING_META, "        ", err);
    for (size_t i = 0; i < plan->n && !st; i++) {
        const struct cria_convert_item *item = &plan->items[i];
        if (!item->own_mode || item->how == CRIA_CONVERT_FLOATS) continue;
        st = cria_buf_append(b, ",\n        ", 10, err);
        if (!st)
            st = cria_write_json_string(b, item->tensor->name, strlen(item->tensor->name) - strlen(".weight"),
                                        err);
        if (!st) st = cria_buf_append(b, ": {", 3, err);
        if (!st) st = put_mode(b, &item->mode, false, "            ", err);
        if (!st) st = cria_buf_append(b, "\n        }", 10, err);
    }
    return st ? st : cria_buf_append(b, "\n    }", 6, err);
}

/* ---- the source's own ---- */

/* The text of a JSON value that begins at p; the text as a whole has been parsed. */
static size_t value_length(const char *p, const char *end) {
    int depth = 0;
    bool in_string = false;
    const char *from = p;
    for (; p < end; p++) {
        if (in_string) {
            if (*p == '\\')
                p++;
            else if (*p == '"')
                in_string = false;
            continue;
        }
        if (*p == '"') in_string = true;
        if (*p == '{' || *p == '[') depth++;
        if (*p == '}' || *p == ']') {
            if (depth == 0) break;
            depth--;
        }
        if (depth == 0 && *p == ',') break;
    }
    while (p > from && (p[-1] == ' ' || p[-1] == '\n' || p[-1] == '\r' || p[-1] == '\t')) p--;
    return (size_t)(p - from);
}

static const char *skip_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

/* Keys that are made anew, or that mlx-lm drops. */
static bool is_dropped(const char *key, size_t len, bool quantized) {
    static const char *const names[] = {"\"quantization\"", "\"quantization_config\"", "\"_name_or_path\""};
    for (size_t i = quantized ? 0 : 2; i < 3; i++)
        if (strlen(names[i]) == len && memcmp(names[i], key, len) == 0) return true;
    return false;
}

/* Members of the outermost object, each on a line of its own. *n: how many were put. */
static cria_status put_members(cria_buf *b, const char *p, const char *end, bool quantized, size_t *n,
                               cria_error *err) {
    p = skip_space(p, end);
    for (p++; p < end; p++) { /* the brace, or the comma */
        p = skip_space(p, end);
        if (p >= end || *p == '}') break;
        const char *key = p;
        for (p++; p < end && *p != '"'; p++)
            if (*p == '\\') p++;
        const size_t key_len = (size_t)(p + 1 - key);
        p = skip_space(p + 1, end);
        p = skip_space(p + 1, end); /* the colon */
        const size_t len = value_length(p, end);
        if (!is_dropped(key, key_len, quantized)) {
            cria_status st = cria_buf_append(b, *n ? ",\n    " : "\n    ", *n ? 6 : 5, err);
            if (!st) st = cria_buf_append(b, key, key_len, err);
            if (!st) st = cria_buf_append(b, ": ", 2, err);
            if (!st) st = cria_buf_append(b, p, len, err);
            if (st) return st;
            ++*n;
        }
        p = skip_space(p + len, end);
        if (p < end && *p == '}') break;
    }
    return CRIA_OK;
}

/* ---- made from the numbers ---- */

static const char *dtype_name(const struct cria_convert_plan *plan) {
    for (size_t i = 0; i < plan->n; i++) {
        if (plan->items[i].how != CRIA_CONVERT_FLOATS && !plan->items[i].spec.affine) continue;
        return plan->items[i].type == CRIA_SOURCE_F32   ? "float32"
               : plan->items[i].type == CRIA_SOURCE_F16 ? "float16"
                                                        : "bfloat16";
    }
    return "float16";
}

/* As the example's, whose loader refuses what it does not know. */
static cria_status put_meta(cria_buf *b, const struct cria_convert_source *s, cria_error *err) {
    const cria_config *c = &s->model;
    char eps[32], theta[32];
    cria_convert_float_text(c->norm_eps, eps);
    cria_convert_float_text(c->rope[0].theta, theta);
    cria_status st = cria_convert_print(b, err,
                                        "\n    \"dim\": %" PRIu32 ",\n    \"n_layers\": %" PRIu32
                                        ",\n    \"n_heads\": %" PRIu32 ",\n    \"n_kv_heads\": %" PRIu32
                                        ",\n    \"head_dim\": %" PRIu32,
                                        c->d, c->n_layers, c->h, c->hk, c->e);
    if (!st)
        st = cria_convert_print(b, err,
                                ",\n    \"hidden_dim\": %" PRIu32 ",\n    \"vocab_size\": %" PRIu32
                                ",\n    \"norm_eps\": %s,\n    \"rope_theta\": %s",
                                c->f, c->V, eps, theta);
    if (!st && !c->rope_traditional) st = cria_convert_print(b, err, ",\n    \"rope_traditional\": false");
    return st ? st : cria_convert_print(b, err, ",\n    \"model_type\": \"llama\"");
}

cria_status cria_convert_write_config(const struct cria_convert_source *s,
                                      const struct cria_convert_plan *plan, const char *folder,
                                      cria_error *err) {
    cria_buf b;
    size_t n = 1;
    cria_buf_init(&b, s->ctx, CRIA_CONVERT_TEXT_MAX);
    cria_status st = cria_buf_append(&b, "{", 1, err);
    if (st) {
    } else if (s->keep_config) {
        const char *text = (const char *)s->config_map.data;
        n = 0;
        st = put_members(&b, text, text + s->config_map.len, true, &n, err);
    } else if (s->names == CRIA_NAMING_META) {
        st = put_meta(&b, s, err);
    } else {
        st = cria_convert_put_hf(&b, &s->model, s->bos, s->eos, dtype_name(plan), err);
    }
    /* mlx-lm writes it twice: for Hugging Face's pages, too. */
    for (int twice = 0; twice < 2 && !st && plan->quantized; twice++) {
        if (twice && s->names == CRIA_NAMING_META) break;
        st = cria_convert_print(&b, err, "%s    \"%s\": ", n ? ",\n" : "\n",
                                twice ? "quantization_config" : "quantization");
        if (!st) st = put_quantization(&b, s, plan, err);
        n++;
    }
    if (!st) st = cria_buf_append(&b, "\n}\n", 3, err);
    if (!st) st = cria_convert_write_file(s->ctx, folder, "config.json", b.data, b.len, err);
    cria_buf_fini(&b);
    return st;
}
