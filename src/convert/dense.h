/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C += A·B and C −= A·B of float matrices that lie in memory row by row, through the kernels of the forward pass: as
 * fast as they are, and with the same bits on every machine and any number of threads.
 */
#ifndef CRIA_CONVERT_DENSE_H
#define CRIA_CONVERT_DENSE_H

#include "base/ctx.h"

typedef struct cria_dense cria_dense;

/* For products with up to k inner and m outer columns. */
cria_status cria_dense_new(cria_ctx *ctx, uint32_t k, uint32_t m, cria_dense **out, cria_error *err);
void cria_dense_free(cria_dense *d); /* NULL is legal */

enum cria_dense_sign { CRIA_DENSE_ADD, CRIA_DENSE_SUBTRACT };

/* c[i][j] ± Σ_p a[i][p]·b[p][j] for i < n, j < m, p < k: one chain of fused multiply-adds, then one sum. lower: only
 * for j <= i, and whatever is nearby. A row i of a is at a + i·lda, and so on. c does not overlap a or b. */
struct cria_dense_args {
    const float *a, *b;
    float *c;
    size_t lda, ldb, ldc;
    uint32_t n, k, m;
    enum cria_dense_sign sign;
    bool lower;
};
void cria_dense_run(cria_dense *d, const struct cria_dense_args *args);

#endif
