/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json of a converted model. Hugging Face's is taken over member by member as it is written, so that
 * nothing in it is lost or rounded; only what is said of quantization is new. For other sources it is made
 * from the numbers of the model.
 */
#include "base/json.h"
#include "base/half.h"
#include "base/status.h"
#include "convert/write.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

cria_status cria_convert_print(cria_buf *b, cria_error *err, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof text)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "A line of text is too long.");
    return cria_buf_append(b, text, (size_t)n, err);
}

/* The shortest decimal that is this float32; a point even where the locale has a comma. */
static void print_float(float x, char out[32]) {
    if (x >= 1 && x < 1e15f && x == (float)(uint64_t)x) {
        snprintf(out, 32, "%" PRIu64 ".0", (uint64_t)x);
        return;
    }
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(out, 32, "%.*e", digits - 1, (double)x);
        for (char *c = out; *c; c++)
            if (*c == ',') *c = '.';
        /* Read back by hand: strtod, too, depends on the locale. */
        double mantissa = 0, scale = 1;
        const char *c = out + (*out == '-');
        int exponent = 0;
        bool point = false;
        for (; *c && *c != 'e'; c++) {
            if (*c == '.') {
                point = true;
                continue;
            }
            mantissa = mantissa * 10 + (*c - '0');
            if (point) scale *= 10;
        }
        if (*c == 'e') {
            const bool negative = c[1] == '-';
            for (c += 2; *c; c++) exponent = exponent * 10 + (*c - '0');
            for (; exponent > 0; exponent--) {
                if (negative)
                    scale *= 10;
                else
                    mantissa *= 10;
            }
        }
        const float back = (float)(mantissa / scale);
        if (back == (*out == '-' ? -x : x)) return;
    }
}

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

static cria_status put_hf(cria_buf *b, const struct cria_convert_source *s,
                          const struct cria_convert_plan *plan, cria_error *err) {
    const struct cria_convert_llama *c = &s->llama;
    char eps[32], theta[32];
    print_float(c->norm_eps, eps);
    print_float(c->rope_theta, theta);
    cria_status st = cria_convert_print(
        b, err,
        "\n    \"architectures\": [\n        \"LlamaForCausalLM\"\n    ],\n    \"attention_bias\": false"
        ",\n    \"head_dim\": %" PRIu32 ",\n    \"hidden_act\": \"silu\",\n    \"hidden_size\": %" PRIu32
        ",\n    \"intermediate_size\": %" PRIu32,
        c->e, c->d, c->f);
    if (!st && c->context)
        st = cria_convert_print(b, err, ",\n    \"max_position_embeddings\": %" PRIu32, c->context);
    if (!st && c->bos >= 0) st = cria_convert_print(b, err, ",\n    \"bos_token_id\": %" PRId64, c->bos);
    if (!st && c->eos >= 0) st = cria_convert_print(b, err, ",\n    \"eos_token_id\": %" PRId64, c->eos);
    if (!st)
        st = cria_convert_print(
            b, err,
            ",\n    \"mlp_bias\": false,\n    \"model_type\": \"llama\",\n    \"num_attention_heads\": "
            "%" PRIu32 ",\n    \"num_hidden_layers\": %" PRIu32 ",\n    \"num_key_value_heads\": %" PRIu32,
            c->h, c->n_layers, c->hk);
    if (!st)
        st = cria_convert_print(
            b, err,
            ",\n    \"rms_norm_eps\": %s,\n    \"rope_theta\": %s,\n    \"tie_word_embeddings\": %s,\n"
            "    \"torch_dtype\": \"%s\",\n    \"vocab_size\": %" PRIu32,
            eps, theta, c->tied ? "true" : "false", dtype_name(plan), c->V);
    return st;
}

/* As the example's, whose loader refuses what it does not know. */
static cria_status put_meta(cria_buf *b, const struct cria_convert_source *s, cria_error *err) {
    const struct cria_convert_llama *c = &s->llama;
    char eps[32], theta[32];
    print_float(c->norm_eps, eps);
    print_float(c->rope_theta, theta);
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
    if (!st && !s->pairs) st = cria_convert_print(b, err, ",\n    \"rope_traditional\": false");
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
        st = put_hf(&b, s, plan, err);
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
