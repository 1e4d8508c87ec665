/* SPDX-License-Identifier: Apache-2.0 */
/* Which tensor is which weight: the names of the MLX example (Meta's) and of GGUF as one table. */
#ifndef CRIA_MODEL_NAMES_H
#define CRIA_MODEL_NAMES_H

#include "format/container.h"

enum cria_slot {
    /* once per model */
    CRIA_SLOT_TOK_EMBEDDINGS,
    CRIA_SLOT_NORM,
    CRIA_SLOT_OUTPUT,
    CRIA_SLOT_ROPE_FACTORS,
    /* once per layer */
    CRIA_SLOT_ATTENTION_NORM,
    CRIA_SLOT_WQ,
    CRIA_SLOT_WK,
    CRIA_SLOT_WV,
    CRIA_SLOT_WO,
    CRIA_SLOT_FFN_NORM,
    CRIA_SLOT_W1, /* gate */
    CRIA_SLOT_W2, /* down */
    CRIA_SLOT_W3, /* up */
    CRIA_SLOT_COUNT
};
#define CRIA_SLOT_FIRST_OF_LAYER CRIA_SLOT_ATTENTION_NORM

#define CRIA_NAME_MAX 96u

/* Writes the tensor's name without its ".weight" into out: "layers.3.attention.wq", "blk.3.attn_q". layer is
 * ignored for slots of the whole model. False where the container's naming has no such weight. */
bool cria_slot_name(enum cria_container_kind kind, enum cria_slot slot, uint32_t layer,
                    char out[CRIA_NAME_MAX]);

/* True for tensors that files carry but the model computes itself (Meta's rope.freqs, Hugging Face's
 * inv_freq). */
bool cria_name_is_derived(const char *name);

#endif
