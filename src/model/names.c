/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind names.h. */
#include "model/names.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *mlx, *gguf; /* %u: the layer; NULL: none */
} names[CRIA_SLOT_COUNT] = {
    [CRIA_SLOT_TOK_EMBEDDINGS] = {"tok_embeddings", "token_embd"},
    [CRIA_SLOT_NORM] = {"norm", "output_norm"},
    [CRIA_SLOT_OUTPUT] = {"output", "output"},
    [CRIA_SLOT_ROPE_FACTORS] = {NULL, "rope_freqs"},
    [CRIA_SLOT_ATTENTION_NORM] = {"layers.%u.attention_norm", "blk.%u.attn_norm"},
    [CRIA_SLOT_WQ] = {"layers.%u.attention.wq", "blk.%u.attn_q"},
    [CRIA_SLOT_WK] = {"layers.%u.attention.wk", "blk.%u.attn_k"},
    [CRIA_SLOT_WV] = {"layers.%u.attention.wv", "blk.%u.attn_v"},
    [CRIA_SLOT_WO] = {"layers.%u.attention.wo", "blk.%u.attn_output"},
    [CRIA_SLOT_FFN_NORM] = {"layers.%u.ffn_norm", "blk.%u.ffn_norm"},
    [CRIA_SLOT_W1] = {"layers.%u.feed_forward.w1", "blk.%u.ffn_gate"},
    [CRIA_SLOT_W2] = {"layers.%u.feed_forward.w2", "blk.%u.ffn_down"},
    [CRIA_SLOT_W3] = {"layers.%u.feed_forward.w3", "blk.%u.ffn_up"},
};

bool cria_slot_name(enum cria_container_kind kind, enum cria_slot slot, uint32_t layer, char out[CRIA_NAME_MAX]) {
    const char *pattern = kind == CRIA_CONTAINER_GGUF ? names[slot].gguf : names[slot].mlx;
    if (pattern == NULL) return false;
    const char *hole = strstr(pattern, "%u");
    if (hole == NULL)
        snprintf(out, CRIA_NAME_MAX, "%s", pattern);
    else
        snprintf(out, CRIA_NAME_MAX, "%.*s%u%s", (int)(hole - pattern), pattern, layer, hole + 2);
    return true;
}

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

bool cria_name_is_derived(const char *name) {
    return strcmp(name, "rope.freqs") == 0 || ends_with(name, ".rotary_emb.inv_freq");
}
