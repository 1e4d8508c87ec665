/* SPDX-License-Identifier: Apache-2.0 */
/* See names.h. Sources: llms/llama of ml-explore/mlx-examples; transformers' modeling_llama.py, _qwen2.py and
 * _qwen3.py; llama.cpp's gguf-py/gguf/tensor_mapping.py. */
#include "convert/names.h"

#include <stdio.h>
#include <string.h>

/* '#' is the number of the layer. NULL: the convention has no such tensor. The first rows are those of the
 * enum. */
static const char *const table[][3] = {
    {"tok_embeddings", "model.embed_tokens", "token_embd"},
    {"output", "lm_head", "output"},
    {"norm", "model.norm", "output_norm"},
    {"layers.#.attention.wq", "model.layers.#.self_attn.q_proj", "blk.#.attn_q"},
    {"layers.#.attention.wk", "model.layers.#.self_attn.k_proj", "blk.#.attn_k"},
    {"layers.#.attention.wv", "model.layers.#.self_attn.v_proj", "blk.#.attn_v"},
    {"layers.#.attention.wo", "model.layers.#.self_attn.o_proj", "blk.#.attn_output"},
    {"layers.#.attention_norm", "model.layers.#.input_layernorm", "blk.#.attn_norm"},
    {"layers.#.ffn_norm", "model.layers.#.post_attention_layernorm", "blk.#.ffn_norm"},
    {"layers.#.feed_forward.w1", "model.layers.#.mlp.gate_proj", "blk.#.ffn_gate"},
    {"layers.#.feed_forward.w2", "model.layers.#.mlp.down_proj", "blk.#.ffn_down"},
    {"layers.#.feed_forward.w3", "model.layers.#.mlp.up_proj", "blk.#.ffn_up"},
    {NULL, "model.layers.#.self_attn.q_norm", "blk.#.attn_q_norm"},
    {NULL, "model.layers.#.self_attn.k_norm", "blk.#.attn_k_norm"},
};
enum { N_ROWS = sizeof table / sizeof *table, LAYER_MAX = 9999 };

/* Where name goes on after the stem; NULL when it does not begin with it. */
static const char *match(const char *stem, const char *name, uint32_t *layer) {
    for (; *stem; stem++) {
        if (*stem != '#') {
            if (*name++ != *stem) return NULL;
            continue;
        }
        uint32_t n = 0;
        const char *digits = name;
        for (; *name >= '0' && *name <= '9' && n <= LAYER_MAX; name++) n = n * 10 + (uint32_t)(*name - '0');
        if (name == digits || n > LAYER_MAX || (*digits == '0' && name != digits + 1)) return NULL;
        *layer = n;
    }
    return *name == '.' || *name == '\0' ? name : NULL;
}

bool cria_part_find(enum cria_names names, const char *name, struct cria_part_name *out) {
    for (uint32_t i = 0; i < N_ROWS; i++) {
        uint32_t layer = 0;
        const char *rest = table[i][names] ? match(table[i][names], name, &layer) : NULL;
        if (rest == NULL || strchr(rest + (*rest == '.'), '.') != NULL) continue;
        *out = (struct cria_part_name){i, layer, rest};
        return true;
    }
    return false;
}

uint32_t cria_part_kind(const struct cria_part_name *part) {
    return part->row < CRIA_PART_OTHER ? part->row : CRIA_PART_OTHER;
}

bool cria_part_write(enum cria_names names, const struct cria_part_name *part, char out[CRIA_PART_NAME_MAX]) {
    const char *stem = table[part->row][names];
    if (stem == NULL) return false;
    const char *mark = strchr(stem, '#');
    const int n = mark ? snprintf(out, CRIA_PART_NAME_MAX, "%.*s%u%s%s", (int)(mark - stem), stem,
                                  (unsigned)part->layer, mark + 1, part->suffix)
                       : snprintf(out, CRIA_PART_NAME_MAX, "%s%s", stem, part->suffix);
    return n > 0 && n < (int)CRIA_PART_NAME_MAX;
}

bool cria_part_is_derived(const char *name) {
    static const char inv_freq[] = ".rotary_emb.inv_freq";
    const size_t n = strlen(name), m = sizeof inv_freq - 1;
    return strcmp(name, "rope.freqs") == 0 || (n > m && strcmp(name + n - m, inv_freq) == 0);
}
