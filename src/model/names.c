/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind names.h. */
#include "model/names.h"

#include <stdio.h>
#include <string.h>

/* Of a slot in each naming; "%" is the layer, "#" the expert; NULL: none. */
struct names {
    const char *meta, *hf, *gguf;
};

static const struct names usual[CRIA_SLOT_COUNT] = {
    [CRIA_SLOT_TOK_EMBEDDINGS] = {"tok_embeddings", "model.embed_tokens", "token_embd"},
    [CRIA_SLOT_NORM] = {"norm", "model.norm", "output_norm"},
    [CRIA_SLOT_OUTPUT] = {"output", "lm_head", "output"},
    [CRIA_SLOT_ATTENTION_NORM] = {"layers.%.attention_norm", "model.layers.%.input_layernorm", "blk.%.attn_norm"},
    [CRIA_SLOT_WQ] = {"layers.%.attention.wq", "model.layers.%.self_attn.q_proj", "blk.%.attn_q"},
    [CRIA_SLOT_WK] = {"layers.%.attention.wk", "model.layers.%.self_attn.k_proj", "blk.%.attn_k"},
    [CRIA_SLOT_WV] = {"layers.%.attention.wv", "model.layers.%.self_attn.v_proj", "blk.%.attn_v"},
    [CRIA_SLOT_WQKV] = {NULL, "model.layers.%.self_attn.qkv_proj", "blk.%.attn_qkv"},
    [CRIA_SLOT_Q_NORM] = {NULL, "model.layers.%.self_attn.q_norm", "blk.%.attn_q_norm"},
    [CRIA_SLOT_K_NORM] = {NULL, "model.layers.%.self_attn.k_norm", "blk.%.attn_k_norm"},
    [CRIA_SLOT_WO] = {"layers.%.attention.wo", "model.layers.%.self_attn.o_proj", "blk.%.attn_output"},
    [CRIA_SLOT_POST_ATTENTION_NORM] = {NULL, "model.layers.%.post_attention_layernorm", "blk.%.post_attention_norm"},
    [CRIA_SLOT_FFN_NORM] = {"layers.%.ffn_norm", "model.layers.%.post_attention_layernorm", "blk.%.ffn_norm"},
    [CRIA_SLOT_W1] = {"layers.%.feed_forward.w1", "model.layers.%.mlp.gate_proj", "blk.%.ffn_gate"},
    [CRIA_SLOT_W2] = {"layers.%.feed_forward.w2", "model.layers.%.mlp.down_proj", "blk.%.ffn_down"},
    [CRIA_SLOT_W3] = {"layers.%.feed_forward.w3", "model.layers.%.mlp.up_proj", "blk.%.ffn_up"},
    [CRIA_SLOT_W13] = {NULL, "model.layers.%.mlp.gate_up_proj", "blk.%.ffn_up"},
    [CRIA_SLOT_POST_FFN_NORM] = {NULL, "model.layers.%.post_feedforward_layernorm", "blk.%.post_ffw_norm"},
    [CRIA_SLOT_ROUTER] = {NULL, "model.layers.%.mlp.gate", "blk.%.ffn_gate_inp"},
    [CRIA_SLOT_EXPERTS_W1] = {NULL, "model.layers.%.mlp.switch_mlp.gate_proj", "blk.%.ffn_gate_exps"},
    [CRIA_SLOT_EXPERTS_W2] = {NULL, "model.layers.%.mlp.switch_mlp.down_proj", "blk.%.ffn_down_exps"},
    [CRIA_SLOT_EXPERTS_W3] = {NULL, "model.layers.%.mlp.switch_mlp.up_proj", "blk.%.ffn_up_exps"},
    [CRIA_SLOT_EXPERT_W1] = {NULL, "model.layers.%.mlp.experts.#.gate_proj", "blk.%.ffn_gate.#"},
    [CRIA_SLOT_EXPERT_W2] = {NULL, "model.layers.%.mlp.experts.#.down_proj", "blk.%.ffn_down.#"},
    [CRIA_SLOT_EXPERT_W3] = {NULL, "model.layers.%.mlp.experts.#.up_proj", "blk.%.ffn_up.#"},
};

/* What single families call otherwise in Hugging Face's naming. */
static const struct {
    const char *family;
    enum cria_slot slot;
    const char *hf;
} own[] = {
    {"gemma2", CRIA_SLOT_FFN_NORM, "model.layers.%.pre_feedforward_layernorm"},
    {"gemma3", CRIA_SLOT_FFN_NORM, "model.layers.%.pre_feedforward_layernorm"},
    {"mixtral", CRIA_SLOT_ROUTER, "model.layers.%.block_sparse_moe.gate"},
    {"mixtral", CRIA_SLOT_EXPERTS_W1, "model.layers.%.block_sparse_moe.switch_mlp.gate_proj"},
    {"mixtral", CRIA_SLOT_EXPERTS_W2, "model.layers.%.block_sparse_moe.switch_mlp.down_proj"},
    {"mixtral", CRIA_SLOT_EXPERTS_W3, "model.layers.%.block_sparse_moe.switch_mlp.up_proj"},
    {"mixtral", CRIA_SLOT_EXPERT_W1, "model.layers.%.block_sparse_moe.experts.#.w1"},
    {"mixtral", CRIA_SLOT_EXPERT_W2, "model.layers.%.block_sparse_moe.experts.#.w2"},
    {"mixtral", CRIA_SLOT_EXPERT_W3, "model.layers.%.block_sparse_moe.experts.#.w3"},
};

static const char *usual_in(enum cria_naming naming, enum cria_slot slot) {
    return naming == CRIA_NAMING_META ? usual[slot].meta : naming == CRIA_NAMING_HF ? usual[slot].hf : usual[slot].gguf;
}

static const char *pattern_of(const cria_config *c, enum cria_slot slot) {
    for (size_t i = 0; c->naming == CRIA_NAMING_HF && i < sizeof own / sizeof *own; i++)
        if (own[i].slot == slot && strcmp(own[i].family, c->family) == 0) return own[i].hf;
    return usual_in(c->naming, slot);
}

/* The pattern with its numbers, at out + at; with two numbers it is far below the room. */
static void write_name(const char *pattern, uint32_t layer, uint32_t expert, char out[CRIA_NAME_MAX], size_t at) {
    for (const char *p = pattern; *p; p++) {
        if (*p == '%' || *p == '#')
            at += (size_t)snprintf(out + at, CRIA_NAME_MAX - at, "%u", *p == '%' ? layer : expert);
        else
            out[at++] = *p;
    }
    out[at] = '\0';
}

bool cria_slot_name(const cria_config *c, enum cria_slot slot, uint32_t layer, uint32_t expert,
                    char out[CRIA_NAME_MAX]) {
    const char *pattern = pattern_of(c, slot);
    if (pattern == NULL) return false;
    write_name(pattern, layer, expert, out, (size_t)snprintf(out, CRIA_NAME_MAX, "%s", c->prefix));
    return true;
}

static bool starts_with(const char *s, const char *start) { return strncmp(s, start, strlen(start)) == 0; }

/* Reads a number below `most` as Python writes it; NULL: there is none. */
static const char *read_number(const char *p, uint32_t most, uint32_t *out) {
    const char *digits = p;
    uint32_t n = 0;
    for (; *p >= '0' && *p <= '9' && n < most; p++) n = n * 10 + (uint32_t)(*p - '0');
    if (p == digits || n >= most || (*digits == '0' && p != digits + 1)) return NULL;
    *out = n;
    return p;
}

/* Whether the name is of the pattern, with a suffix without further parts. */
static bool match(const char *pattern, const char *name, uint32_t *layer, uint32_t *expert) {
    for (; *pattern; pattern++) {
        if (*pattern == '%')
            name = read_number(name, CRIA_LAYERS_MAX, layer);
        else if (*pattern == '#')
            name = read_number(name, CRIA_EXPERTS_MAX, expert);
        else
            name = *name == *pattern ? name + 1 : NULL;
        if (name == NULL) return false;
    }
    return *name == '.' && strchr(name + 1, '.') == NULL;
}

/* plain: among the weights of a plain Llama; one of Hugging Face's names stands for another weight elsewhere. */
static bool find(const cria_config *c, bool plain, const char *name, enum cria_slot *slot, uint32_t *layer,
                 uint32_t *expert) {
    for (enum cria_slot i = 0; i < CRIA_SLOT_COUNT; i++) {
        const char *pattern = plain && usual[i].meta == NULL ? NULL : pattern_of(c, i);
        *slot = i;
        *layer = *expert = 0;
        if (pattern != NULL && match(pattern, name, layer, expert)) return true;
    }
    return false;
}

bool cria_slot_of(const cria_config *c, const char *name, enum cria_slot *slot, uint32_t *layer, uint32_t *expert) {
    return starts_with(name, c->prefix) && find(c, false, name + strlen(c->prefix), slot, layer, expert);
}

bool cria_slot_rename(enum cria_naming from, enum cria_naming to, const char *name, char out[CRIA_NAME_MAX],
                      enum cria_slot *slot) {
    const cria_config a = {.family = "llama", .naming = from, .prefix = ""},
                      b = {.family = "llama", .naming = to, .prefix = ""};
    uint32_t layer, expert;
    if (!find(&a, true, name, slot, &layer, &expert) || !cria_slot_name(&b, *slot, layer, expert, out)) return false;
    const char *suffix = strrchr(name, '.');
    const size_t at = strlen(out), bytes = strlen(suffix) + 1;
    if (at + bytes > CRIA_NAME_MAX) return false;
    memcpy(out + at, suffix, bytes);
    return true;
}

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

bool cria_name_is_computed(const char *name) {
    return strcmp(name, "rope.freqs") == 0 || ends_with(name, ".rotary_emb.inv_freq");
}

bool cria_name_is_derived(const cria_config *c, const char *name) {
    if (c->naming == CRIA_NAMING_GGUF)
        return strcmp(name, "rope_freqs.weight") == 0 || strcmp(name, "rope_factors_long.weight") == 0 ||
               strcmp(name, "rope_factors_short.weight") == 0;
    if (!starts_with(name, c->prefix)) return true;
    if (c->naming == CRIA_NAMING_HF && c->tied && starts_with(name + strlen(c->prefix), "lm_head."))
        return true; /* the embedding once more */
    return cria_name_is_computed(name);
}
