/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind families.h. */
#include "model/families.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct cria_family families[] = {
    {.hf = "llama", .gguf = "llama", .name = "llama", .hf_class = "LlamaForCausalLM", .default_theta = 10000,
     .gguf_pairs = true, .gguf_experts = true},
    /* In GGUF Mistral and Mixtral are "llama". */
    {.hf = "mistral", .name = "mistral", .hf_class = "MistralForCausalLM", .windows = CRIA_WINDOW_ALL,
     .default_theta = 10000},
    {.hf = "mixtral", .name = "mixtral", .hf_class = "MixtralForCausalLM", .windows = CRIA_WINDOW_ALL,
     .default_theta = 1e6f, .experts = true, .experts_normalized = true},
    {.hf = "smollm3", .gguf = "smollm3", .name = "smollm3", .hf_class = "SmolLM3ForCausalLM",
     .windows = CRIA_WINDOW_ALL, .default_theta = 2e6f, .gguf_pairs = true, .window_off = true,
     .no_rope_layers = true},
    {.hf = "qwen2", .gguf = "qwen2", .name = "qwen2", .hf_class = "Qwen2ForCausalLM", .windows = CRIA_WINDOW_ALL,
     .default_theta = 1e6f, .qkv_bias = true, .window_off = true},
    {.hf = "qwen3", .gguf = "qwen3", .name = "qwen3", .hf_class = "Qwen3ForCausalLM", .windows = CRIA_WINDOW_ALL,
     .default_theta = 1e6f, .qk_norm = CRIA_QK_NORM_HEAD, .window_off = true},
    {.hf = "qwen3_moe", .gguf = "qwen3moe", .name = "qwen3_moe", .hf_class = "Qwen3MoeForCausalLM",
     .windows = CRIA_WINDOW_ALL, .default_theta = 1e6f, .qk_norm = CRIA_QK_NORM_HEAD, .window_off = true,
     .experts = true},
    {.hf = "phi3", .gguf = "phi3", .name = "phi3", .hf_class = "Phi3ForCausalLM", .windows = CRIA_WINDOW_ALL,
     .default_theta = 10000},
    {.hf = "granite", .gguf = "granite", .name = "granite", .hf_class = "GraniteForCausalLM",
     .default_theta = 10000, .gguf_pairs = true, .multipliers = true},
    {.hf = "olmo2", .gguf = "olmo2", .name = "olmo2", .hf_class = "Olmo2ForCausalLM", .default_theta = 10000,
     .qk_norm = CRIA_QK_NORM_ALL, .post_norm = true, .no_pre_norm = true},
    {.hf = "gemma2", .gguf = "gemma2", .name = "gemma2", .hf_class = "Gemma2ForCausalLM", .default_theta = 10000,
     .windows = CRIA_WINDOW_ALTERNATE, .default_window = 4096, .default_score_cap = 50, .default_logit_cap = 30,
     .default_query_scalar = 256, .gelu = true, .post_norm = true, .norm_offset = true, .embedding_root = true},
    {.hf = "gemma3_text", .gguf = "gemma3", .name = "gemma3", .hf_class = "Gemma3ForCausalLM",
     .default_theta = 1e6f, .default_local_theta = 10000, .windows = CRIA_WINDOW_FIVE_OF_SIX,
     .default_window = 4096, .default_query_scalar = 256, .qk_norm = CRIA_QK_NORM_HEAD, .gelu = true,
     .post_norm = true, .norm_offset = true, .embedding_root = true, .round_root = true},
};
enum { N_FAMILIES = sizeof families / sizeof *families };

static bool same(const char *name, const char *s, size_t len) {
    return name != NULL && strlen(name) == len && memcmp(name, s, len) == 0;
}

const struct cria_family *cria_family_of_hf(const char *model_type, size_t len) {
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (same(families[i].hf, model_type, len)) return &families[i];
    return NULL;
}

const struct cria_family *cria_family_of_gguf(const char *architecture, size_t len) {
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (same(families[i].gguf, architecture, len)) return &families[i];
    return NULL;
}

const struct cria_family *cria_family_named(const char *name) {
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (strcmp(families[i].name, name) == 0) return &families[i];
    return NULL;
}

void cria_family_list(bool gguf, char *out, size_t out_size) {
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const char *name = gguf ? families[i].gguf : families[i].hf;
        if (name == NULL || at >= out_size) continue;
        const int n = snprintf(out + at, out_size - at, "%s%s", at ? ", " : "", name);
        at += n > 0 ? (size_t)n : 0;
    }
}

/* √d, which Gemma 3 was trained with as a bfloat16 (round half to even). */
static float embedding_root(const struct cria_family *family, uint32_t d) {
    const float root = (float)sqrt((double)d);
    if (!family->round_root) return root;
    uint32_t u;
    memcpy(&u, &root, sizeof u);
    u = (u + 0x7fffu + (u >> 16 & 1)) & 0xffff0000u;
    float rounded;
    memcpy(&rounded, &u, sizeof rounded);
    return rounded;
}

void cria_family_apply(const struct cria_family *family, cria_config *c) {
    c->family = family->name;
    c->qk_norm = family->qk_norm;
    c->qkv_bias = family->qkv_bias;
    c->gelu = family->gelu;
    c->post_norm = family->post_norm;
    c->pre_norm = !family->no_pre_norm;
    if (family->embedding_root) c->embedding_scale = embedding_root(family, c->d);
}

void cria_family_windows(const struct cria_family *family, cria_config *c) {
    for (uint32_t i = 0; i < c->n_layers && c->window > 0; i++) {
        const bool seen_whole = family->windows == CRIA_WINDOW_NONE ||
                                (family->windows == CRIA_WINDOW_ALTERNATE && i % 2 == 1) ||
                                (family->windows == CRIA_WINDOW_FIVE_OF_SIX && i % 6 == 5);
        if (!seen_whole) c->layer[i] |= CRIA_LAYER_WINDOW;
    }
}
