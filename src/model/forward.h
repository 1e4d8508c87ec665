/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forward pass: a batch of rows in, logits of the rows that ask out. Prompt, decode and many sequences at
 * once are all just batches. A row's result does not depend on what else is in the batch.
 */
#ifndef CRIA_MODEL_FORWARD_H
#define CRIA_MODEL_FORWARD_H

#include "model/kv.h"
#include "model/weights.h"

/* n rows. Rows of one sequence are in ascending order of position, without gaps, and each sequence's KV has
 * room for them and holds all earlier positions. Rows of one sequence need not be neighbours, but are
 * computed together when they are. */
typedef struct cria_batch {
    uint32_t n;
    const int32_t *token;          /* [n], each in [0, V) */
    const uint32_t *pos;           /* [n] */
    const cria_kv_seq *const *seq; /* [n] */
    const bool *want_logits;       /* [n] */
    float *logits;                 /* [rows that want them][V], in row order */
} cria_batch;

/* Working memory for batches of up to max_rows rows of one model; letters as in MODEL.md. One thread at a
 * time. */
typedef struct cria_scratch cria_scratch;
cria_status cria_scratch_new(cria_ctx *ctx, const cria_config *config, cria_activations activations,
                             uint32_t max_rows, cria_scratch **out, cria_error *err);
void cria_scratch_free(cria_scratch *s); /* NULL is legal */

/* Cannot fail and allocates nothing: the caller has checked the batch (n <= max_rows) and reserved the KV.
 * Logits may be not finite; the caller looks. */
void cria_forward(const cria_config *config, const cria_weights *weights, const cria_batch *batch,
                  cria_scratch *s);

/* The same in steps, up to the logits, for who wants to see what flows between layers or carry it elsewhere: begin,
 * then every layer in ascending order, all of them for all rows. Another batch of the same positions may take the first
 * one's place once its rows are put into cria_scratch_rows. */
void cria_forward_begin(const cria_config *config, const cria_weights *weights, const cria_batch *batch,
                        cria_scratch *s);
void cria_forward_layer(const cria_config *config, const cria_weights *weights, const cria_batch *batch, uint32_t layer,
                        cria_scratch *s);
/* The residual stream, [n][d]: what the next layer will be given. */
float *cria_scratch_rows(cria_scratch *s);

/* Is shown the inputs x, [n][k], of products before they are computed; w: the matrix, or the first of those that share
 * the input. NULL: nobody. */
typedef void cria_observe_fn(void *user, const cria_matrix *w, const float *x, uint32_t n, uint32_t k);
void cria_scratch_observe(cria_scratch *s, cria_observe_fn *fn, void *user);

#endif
