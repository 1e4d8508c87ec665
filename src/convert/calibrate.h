/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the inputs of a model's matrices look like on a text: it is run over windows of the text layer by layer, all
 * windows through one layer before the next begins, and the sums Σ x·xᵀ of what each product is given are kept for
 * one layer at a time. Float32 throughout; the same bits with any number of threads.
 *
 * Memory: the model, packed; one row of the residual stream per token; the sums of one layer.
 */
#ifndef CRIA_CONVERT_CALIBRATE_H
#define CRIA_CONVERT_CALIBRATE_H

#include "base/ctx.h"
#include "model/config.h"

typedef struct cria_calibration cria_calibration;

/* Loads the model at path and encodes text. Of a text of more than 32768 tokens that many are taken, in windows
 * spread over all of it. names: what tensors will be asked for by. */
cria_status cria_calibration_new(cria_ctx *ctx, const char *path, const char *text, size_t len,
                                 enum cria_naming names, cria_calibration **out, cria_error *err);
void cria_calibration_free(cria_calibration *c); /* NULL is legal */
uint32_t cria_calibration_tokens(const cria_calibration *c);

/* The layer that a tensor is in, as cria_calibration_observe takes it: one past the last for embedding and output, 0
 * for what is in none. */
uint32_t cria_calibration_layer(const cria_calibration *c, const char *tensor);
/* Makes a layer's sums the current ones; layers are visited in ascending order. progress: NULL or as in cria.h, asked
 * after each window with done and total unchanged; false ends with CRIA_ECANCELLED. */
struct cria_calibration_watch {
    cria_progress_fn *progress;
    void *user;
    uint64_t done, total;
};
cria_status cria_calibration_observe(cria_calibration *c, uint32_t layer, const struct cria_calibration_watch *watch,
                                     cria_error *err);
/* The sums for a matrix of the current layer, lower triangle of [k][k]; expert: which of a tensor of all of them.
 * NULL: its inputs are not observed. */
const float *cria_calibration_moments(const cria_calibration *c, const char *tensor, uint32_t expert, uint32_t k);

#endif
