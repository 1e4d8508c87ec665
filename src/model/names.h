/* SPDX-License-Identifier: Apache-2.0 */
/* Which tensor is which weight: the names of the MLX example (Meta's), of Hugging Face and of GGUF as one table. */
#ifndef CRIA_MODEL_NAMES_H
#define CRIA_MODEL_NAMES_H

#include "model/config.h"

enum cria_slot {
    /* once per model */
    CRIA_SLOT_TOK_EMBEDDINGS,
    CRIA_SLOT_NORM,
    CRIA_SLOT_OUTPUT,
    /* once per layer */
    CRIA_SLOT_ATTENTION_NORM,
    CRIA_SLOT_WQ,
    CRIA_SLOT_WK,
    CRIA_SLOT_WV,
    CRIA_SLOT_WQKV, /* the three in one, rows behind each other */
    CRIA_SLOT_Q_NORM,
    CRIA_SLOT_K_NORM,
    CRIA_SLOT_WO,
    CRIA_SLOT_POST_ATTENTION_NORM,
    CRIA_SLOT_FFN_NORM,
    CRIA_SLOT_W1,  /* gate */
    CRIA_SLOT_W2,  /* down */
    CRIA_SLOT_W3,  /* up */
    CRIA_SLOT_W13, /* gate and up in one */
    CRIA_SLOT_POST_FFN_NORM,
    CRIA_SLOT_ROUTER,
    /* of all experts, [experts][rows][columns] */
    CRIA_SLOT_EXPERTS_W1,
    CRIA_SLOT_EXPERTS_W2,
    CRIA_SLOT_EXPERTS_W3,
    /* once per expert of a layer */
    CRIA_SLOT_EXPERT_W1,
    CRIA_SLOT_EXPERT_W2,
    CRIA_SLOT_EXPERT_W3,
    CRIA_SLOT_COUNT
};
#define CRIA_SLOT_FIRST_OF_LAYER CRIA_SLOT_ATTENTION_NORM

#define CRIA_NAME_MAX 128u

/* Writes the tensor's name without its ".weight" into out: "layers.3.attention.wq", "blk.3.attn_q",
 * "model.layers.3.self_attn.q_proj". layer and expert are ignored where a slot has none. False where the naming of the
 * model's file has no such weight. */
bool cria_slot_name(const cria_config *c, enum cria_slot slot, uint32_t layer, uint32_t expert,
                    char out[CRIA_NAME_MAX]);

/* The other way round, for a name with its suffix (".weight", ".scales" …): which weight of such a model it is. layer
 * and expert are 0 where the slot has none. False: it is none. */
bool cria_slot_of(const cria_config *c, const char *name, enum cria_slot *slot, uint32_t *layer, uint32_t *expert);

/* The name, suffix included, that a tensor of a plain Llama has in another naming; *slot is
 * which it is. False where the name is none, or too long. */
bool cria_slot_rename(enum cria_naming from, enum cria_naming to, const char *name, char out[CRIA_NAME_MAX],
                      enum cria_slot *slot);

/* What files carry and every model computes itself: Meta's rope.freqs, Hugging Face's inv_freq. */
bool cria_name_is_computed(const char *name);
/* True for tensors that files carry but that are no weights of this model: what it computes itself (Meta's rope.freqs,
 * Hugging Face's inv_freq), what the configuration has read (GGUF's rope_freqs), and what of a model that also sees is
 * not about text. */
bool cria_name_is_derived(const cria_config *c, const char *name);

#endif
