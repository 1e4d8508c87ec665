/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of model/: safetensors files written tensor by tensor, whose numbers follow from a seed, a row and a
 * column, so that a test knows what each weight must be however the file stores it. */
#ifndef CRIA_TESTS_MODEL_UNIT_H
#define CRIA_TESTS_MODEL_UNIT_H

#include "format_unit.h"

struct st_file {
    struct out header, data;
};

/* Rows of a tensor that are alike: those of one logical matrix. */
struct st_rows {
    uint32_t seed, n;
};

static inline uint32_t st_hash(uint32_t seed, uint32_t row, uint32_t col) {
    uint32_t h = seed * 0x9e3779b1u ^ row * 0x85ebca77u ^ col * 0xc2b2ae3du;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    return h ^ h >> 15;
}

/* What a float32 tensor has there: in (-1/4, 1/4). */
static inline float st_value(uint32_t seed, uint32_t row, uint32_t col) {
    return (float)(int32_t)st_hash(seed, row, col) * 0x1p-33f;
}

/* dtype: "F32" (as st_value), "F16" (positive, near 2^-5), "U32" (any bits) or "U8" (near 120). cols 0: a vector of
 * `rows` numbers. stack not 0: [stack][rows/stack][cols]. */
static inline void st_add(struct st_file *f, const char *name, const char *dtype, const struct st_rows *parts,
                          size_t n_parts, uint32_t cols, uint32_t stack) {
    const size_t before = f->data.len;
    uint32_t rows = 0;
    for (size_t i = 0; i < n_parts; i++) {
        rows += parts[i].n;
        for (uint32_t r = 0; r < parts[i].n; r++)
            for (uint32_t c = 0; c < (cols ? cols : 1); c++) {
                const float value = st_value(parts[i].seed, r, c);
                uint32_t bits = st_hash(parts[i].seed, r, c);
                if (strcmp(dtype, "F32") == 0) memcpy(&bits, &value, 4);
                if (strcmp(dtype, "F16") == 0) bits = 0x2800 + (bits & 0x3ff);
                if (strcmp(dtype, "U8") == 0) bits = 116 + (bits & 7);
                put_uint(&f->data, bits, strcmp(dtype, "F16") == 0 ? 2 : strcmp(dtype, "U8") == 0 ? 1 : 4);
            }
    }
    char shape[64], text[400];
    if (stack)
        snprintf(shape, sizeof shape, "%u,%u,%u", stack, rows / stack, cols);
    else if (cols)
        snprintf(shape, sizeof shape, "%u,%u", rows, cols);
    else
        snprintf(shape, sizeof shape, "%u", rows);
    const int n = snprintf(text, sizeof text, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                           f->header.len ? "," : "{", name, dtype, shape, before, f->data.len);
    put(&f->header, text, (size_t)n);
}

/* The bytes of the file; frees what it was made of. */
static inline struct out st_bytes(struct st_file *f) {
    struct out o = {NULL, 0, 0};
    if (f->header.len == 0) put(&f->header, "{", 1);
    put(&f->header, "}", 1);
    while (f->header.len % 8) put(&f->header, " ", 1);
    put_uint(&o, f->header.len, 8);
    put(&o, f->header.p, f->header.len);
    put(&o, f->data.p, f->data.len);
    out_free(&f->header);
    out_free(&f->data);
    return o;
}

/* ---- config.json ---- */

struct json_member {
    const char *key, *value;
};

/* {base's members that `changes` does not have, changes}: changes are members as text, "" for none. */
static inline void json_with(char *out, size_t size, const struct json_member *base, size_t n, const char *changes) {
    size_t at = (size_t)snprintf(out, size, "{");
    for (size_t i = 0; i < n; i++) {
        char key[64];
        snprintf(key, sizeof key, "\"%s\":", base[i].key);
        if (strstr(changes, key) == NULL)
            at += (size_t)snprintf(out + at, size - at, "%s%s%s", at > 1 ? "," : "", key, base[i].value);
        assert_true(at < size);
    }
    at += (size_t)snprintf(out + at, size - at, "%s%s}", at > 1 && *changes ? "," : "", changes);
    assert_true(at < size);
}

/* ---- a whole model in Hugging Face's names ---- */

enum { HF_D = 64, HF_H = 4, HF_HK = 2, HF_E = 16, HF_F = 96, HF_V = 48, HF_Q = HF_H * HF_E, HF_KV = HF_HK * HF_E };

struct hf_variant {
    uint32_t layers;      /* 0: 1 */
    bool fused;           /* qkv_proj and gate_up_proj */
    bool biases;          /* of q, k and v */
    bool qk_norm;         /* of each head */
    uint32_t bits, group; /* 0: float32; else affine codes with float16 scales */
    uint32_t down_bits;   /* of the down projections; 0: as the others */
    uint32_t experts;     /* 0: none */
    bool stacked;
    bool same_router;    /* all experts score alike */
    const char *without; /* a tensor that is left out */
    const char *shorter; /* a tensor that is a row (of a vector: a number) short */
    const char *besides; /* a vector that is there, too */
    uint32_t first_seed; /* another one, other weights */
};

struct hf_writer {
    const struct hf_variant *v;
    struct st_file f;
};

static inline void hf_add(struct hf_writer *w, const char *name, const char *dtype, const struct st_rows *parts,
                          size_t n, uint32_t cols, uint32_t stack) {
    struct st_rows own[64];
    assert_true(n <= N_ITEMS(own));
    if (w->v->without && strcmp(w->v->without, name) == 0) return;
    memcpy(own, parts, n * sizeof *parts);
    if (w->v->shorter && strcmp(w->v->shorter, name) == 0) {
        if (stack) {
            stack--;
            n--;
        } else {
            own[n - 1].n--;
        }
    }
    st_add(&w->f, name, dtype, own, n, cols, stack);
}

/* X.weight, and X.scales and X.biases where the model is quantized. Codes follow from the seed, scales from it + 1,
 * biases from it + 2: three seeds a matrix. */
static inline void hf_matrix(struct hf_writer *w, const char *stem, const struct st_rows *parts, size_t n,
                             uint32_t cols, uint32_t stack) {
    const uint32_t bits = w->v->down_bits && strstr(stem, "down_proj") ? w->v->down_bits : w->v->bits;
    static const char *const suffixes[] = {"weight", "scales", "biases"};
    for (uint32_t i = 0; i < (bits ? 3 : 1); i++) {
        char name[160];
        struct st_rows own[64];
        assert_true(n <= N_ITEMS(own));
        for (size_t k = 0; k < n; k++) own[k] = (struct st_rows){parts[k].seed + i, parts[k].n};
        snprintf(name, sizeof name, "%s.%s", stem, suffixes[i]);
        if (bits == 0)
            hf_add(w, name, "F32", own, n, cols, stack);
        else
            hf_add(w, name, i ? "F16" : "U32", own, n, i ? cols / w->v->group : cols * bits / 32, stack);
    }
}

/* Seeds of what a layer has; + 100 for each layer, and + 3 for each expert from HF_EXPERTS on (w1, w2, w3 each 3·64).
 */
enum {
    HF_EMBED = 1,
    HF_NORM = 4,
    HF_HEAD = 5,
    HF_QM = 10,
    HF_KM = 13,
    HF_VM = 16,
    HF_O = 19,
    HF_W1 = 22,
    HF_W2 = 25,
    HF_W3 = 28,
    HF_NORM1 = 31,
    HF_NORM2 = 32,
    HF_QB = 33,
    HF_KB = 34,
    HF_VB = 35,
    HF_ROUTER = 36,
    HF_EXPERTS = 10000
};
static inline uint32_t hf_expert_seed(uint32_t layer, uint32_t which, uint32_t expert) {
    return HF_EXPERTS + layer * 1000 + which * 192 + expert * 3;
}

#define HF_ONE(seed, n) &(const struct st_rows){seed, n}, 1

static inline void hf_experts(struct hf_writer *w, uint32_t layer, uint32_t seed) {
    const struct hf_variant *v = w->v;
    static const char *const own[] = {"gate_proj", "down_proj", "up_proj"};
    char stem[100];
    struct st_rows parts[64];
    snprintf(stem, sizeof stem, "model.layers.%u.mlp.gate", layer);
    for (uint32_t e = 0; e < v->experts; e++)
        parts[e] = (struct st_rows){seed + HF_ROUTER + (v->same_router ? 0 : 3 * e), 1};
    hf_matrix(w, stem, parts, v->experts, HF_D, 0);
    for (uint32_t which = 0; which < 3; which++) {
        const uint32_t rows = which == 1 ? HF_D : HF_F, cols = which == 1 ? HF_F : HF_D;
        for (uint32_t e = 0; e < v->experts; e++) {
            parts[e] = (struct st_rows){v->first_seed + hf_expert_seed(layer, which, e), rows};
            snprintf(stem, sizeof stem, "model.layers.%u.mlp.experts.%u.%s", layer, e, own[which]);
            if (!v->stacked) hf_matrix(w, stem, &parts[e], 1, cols, 0);
        }
        snprintf(stem, sizeof stem, "model.layers.%u.mlp.switch_mlp.%s", layer, own[which]);
        if (v->stacked) hf_matrix(w, stem, parts, v->experts, cols, v->experts);
    }
}

static inline void hf_layer(struct hf_writer *w, uint32_t layer) {
    const struct hf_variant *v = w->v;
    const uint32_t s = v->first_seed + 100 * layer;
    const struct st_rows qkv[] = {{s + HF_QM, HF_Q}, {s + HF_KM, HF_KV}, {s + HF_VM, HF_KV}},
                         biases[] = {{s + HF_QB, HF_Q}, {s + HF_KB, HF_KV}, {s + HF_VB, HF_KV}},
                         gate_up[] = {{s + HF_W1, HF_F}, {s + HF_W3, HF_F}};
    static const char *const qkv_names[] = {"q_proj", "k_proj", "v_proj"}, *const gate_up_names[] = {"gate_proj",
                                                                                                     "up_proj"};
    char stem[100], name[120];
#define NAMED(suffix) (snprintf(stem, sizeof stem, "model.layers.%u." suffix, layer), stem)
    hf_add(w, NAMED("input_layernorm.weight"), "F32", HF_ONE(s + HF_NORM1, HF_D), 0, 0);
    hf_add(w, NAMED("post_attention_layernorm.weight"), "F32", HF_ONE(s + HF_NORM2, HF_D), 0, 0);
    for (uint32_t i = 0; i < 3; i++) {
        snprintf(stem, sizeof stem, "model.layers.%u.self_attn.%s", layer, v->fused ? "qkv_proj" : qkv_names[i]);
        snprintf(name, sizeof name, "%s.bias", stem);
        if (v->fused && i > 0) continue;
        hf_matrix(w, stem, qkv + i, v->fused ? 3 : 1, HF_D, 0);
        if (v->biases) hf_add(w, name, "F32", biases + i, v->fused ? 3 : 1, 0, 0);
    }
    if (v->qk_norm) {
        hf_add(w, NAMED("self_attn.q_norm.weight"), "F32", HF_ONE(s + HF_QB, HF_E), 0, 0);
        hf_add(w, NAMED("self_attn.k_norm.weight"), "F32", HF_ONE(s + HF_KB, HF_E), 0, 0);
    }
    hf_matrix(w, NAMED("self_attn.o_proj"), HF_ONE(s + HF_O, HF_D), HF_Q, 0);
    if (v->experts) {
        hf_experts(w, layer, s);
        return;
    }
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(stem, sizeof stem, "model.layers.%u.mlp.%s", layer, v->fused ? "gate_up_proj" : gate_up_names[i]);
        if (!v->fused || i == 0) hf_matrix(w, stem, gate_up + i, v->fused ? 2 : 1, HF_D, 0);
    }
    hf_matrix(w, NAMED("mlp.down_proj"), HF_ONE(s + HF_W2, HF_D), HF_F, 0);
#undef NAMED
}

/* The bytes of a safetensors file. */
static inline struct out hf_model(const struct hf_variant *v) {
    struct hf_writer w = {.v = v};
    const uint32_t s = v->first_seed;
    hf_matrix(&w, "model.embed_tokens", HF_ONE(s + HF_EMBED, HF_V), HF_D, 0);
    for (uint32_t i = 0; i < (v->layers ? v->layers : 1); i++) hf_layer(&w, i);
    hf_add(&w, "model.norm.weight", "F32", HF_ONE(s + HF_NORM, HF_D), 0, 0);
    hf_matrix(&w, "lm_head", HF_ONE(s + HF_HEAD, HF_V), HF_D, 0);
    if (v->besides) hf_add(&w, v->besides, "F32", HF_ONE(s, HF_D), 0, 0);
    return st_bytes(&w.f);
}

#endif
