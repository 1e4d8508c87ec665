/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model: configuration, packed weights and tokenizer behind one reference count. Immutable once open,
 * shared by any number of engines. This is the one file of the layer that meets text/: it loads both halves
 * and checks that they agree.
 */
#ifndef CRIA_ENGINE_MODEL_H
#define CRIA_ENGINE_MODEL_H

#include "engine/chat.h"
#include "model/weights.h"

#include <stdatomic.h>

/* What a model has that was opened for its outline only; else zero. */
struct cria_model_outline {
    cria_container *file; /* the tensors' names are its */
    cria_tensor_info *tensors;
    size_t n_tensors;
};

struct cria_model { /* the public opaque type */
    cria_ctx *ctx;  /* referenced */
    atomic_uint refs;
    enum cria_container_kind kind;
    cria_activations activations;
    cria_config config;
    cria_weights weights;
    cria_tokenizer *tokenizer; /* NULL for random weights, and in an outline whose tokenizer cannot be read */
    cria_chat chat;
    bool random;
    struct cria_model_outline outline;
};

cria_status cria_model_load(cria_ctx *ctx, const char *path, const cria_model_opts *opts, cria_model **out,
                            cria_error *err);
/* The public cria_model_random with its pointers checked. */
cria_status cria_model_make_random(cria_ctx *ctx, const cria_random_opts *opts, cria_model **out, cria_error *err);
/* Whether it has its weights. */
static inline bool cria_model_is_whole(const cria_model *m) { return m->outline.file == NULL; }
/* Bytes of weights that the next token of one sequence reads. */
uint64_t cria_model_work_bytes(const cria_model *model);
cria_model *cria_model_ref(cria_model *model);
void cria_model_unref(cria_model *model); /* NULL is legal */

#endif
