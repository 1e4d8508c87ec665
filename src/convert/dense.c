/* SPDX-License-Identifier: Apache-2.0 */
/* See dense.h. B becomes a packed matrix of floats, whose blocks of 16 output rows are 16 columns of B; then each
 * thread multiplies some rows of A at a time into memory of its own and adds them to C. */
#include "convert/dense.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include "kernels/kernels.h"

#include <string.h>

enum { ROWS = 24 }; /* of A at a time: the kernels take six and more */

struct cria_dense {
    cria_ctx *ctx;
    uint32_t k, m;    /* most */
    size_t ldy;       /* of a worker's rows of products */
    float *packed;    /* [m/16][k][16] */
    float *products;  /* [workers][ROWS][ldy] */
    uint8_t *scratch; /* [workers][CRIA_MATMUL_SCRATCH] */
};

static size_t whole_blocks(size_t m) { return (m + CRIA_ROWS - 1) / CRIA_ROWS * CRIA_ROWS; }

cria_status cria_dense_new(cria_ctx *ctx, uint32_t k, uint32_t m, cria_dense **out, cria_error *err) {
    const size_t workers = cria_pool_threads(ctx->pool), ldy = whole_blocks(m);
    size_t n, bytes = SIZE_MAX;
    cria_dense *d = cria_calloc(ctx, 1, sizeof *d);
    if (d == NULL) return cria_fail_nomem(err, "products of matrices", sizeof *d);
    *d = (cria_dense){.ctx = ctx, .k = k, .m = m, .ldy = ldy};
    if (cria_mul_ok(ldy, k, &n) && cria_mul_ok(n, sizeof(float), &bytes)) d->packed = cria_malloc(ctx, bytes);
    d->products = cria_malloc_array(ctx, workers * ROWS, ldy * sizeof(float));
    d->scratch = cria_malloc_array(ctx, workers, CRIA_MATMUL_SCRATCH);
    if (d->packed == NULL || d->products == NULL || d->scratch == NULL) {
        cria_dense_free(d);
        return cria_fail_nomem(err, "products of matrices", bytes);
    }
    *out = d;
    return CRIA_OK;
}

void cria_dense_free(cria_dense *d) {
    if (d == NULL) return;
    cria_free(d->ctx, d->packed);
    cria_free(d->ctx, d->products);
    cria_free(d->ctx, d->scratch);
    cria_free(d->ctx, d);
}

struct job {
    cria_dense *d;
    const struct cria_dense_args *args;
    cria_matrix w; /* B */
};

static void pack_blocks(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct job *job = arg;
    const struct cria_dense_args *s = job->args;
    (void)worker;
    for (size_t block = begin; block < end; block++) {
        const size_t j = block * CRIA_ROWS, n = s->m - j < CRIA_ROWS ? s->m - j : CRIA_ROWS;
        float *to = job->d->packed + j * s->k;
        for (uint32_t p = 0; p < s->k; p++, to += CRIA_ROWS) {
            memcpy(to, s->b + p * s->ldb + j, n * sizeof *to);
            if (n < CRIA_ROWS) memset(to + n, 0, (CRIA_ROWS - n) * sizeof *to);
        }
    }
}

/* A piece is ROWS rows of A. */
static void multiply(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct job *job = arg;
    const struct cria_dense_args *s = job->args;
    const cria_dense *d = job->d;
    float *y = d->products + worker * ROWS * d->ldy;
    for (size_t piece = begin; piece < end; piece++) {
        const uint32_t i0 = (uint32_t)piece * ROWS, n = s->n - i0 < ROWS ? s->n - i0 : ROWS;
        const uint32_t m = s->lower && i0 + n < s->m ? i0 + n : s->m;
        const cria_act act = {.n = n, .k = s->k, .x = s->a + i0 * s->lda, .ldx = s->lda};
        d->ctx->kernels->matmul_f(&job->w, &act, y, d->ldy, (cria_rect){0, (m + CRIA_ROWS - 1) / CRIA_ROWS, 0, n},
                                  d->scratch + worker * CRIA_MATMUL_SCRATCH);
        for (uint32_t i = 0; i < n; i++) {
            const float *from = y + i * d->ldy;
            float *to = s->c + (i0 + i) * s->ldc;
            for (uint32_t j = 0; j < m && s->sign == CRIA_DENSE_ADD; j++) to[j] += from[j];
            for (uint32_t j = 0; j < m && s->sign == CRIA_DENSE_SUBTRACT; j++) to[j] -= from[j];
        }
    }
}

void cria_dense_run(cria_dense *d, const struct cria_dense_args *args) {
    struct job job = {.d = d, .args = args};
    const cria_matrix_spec spec = {.rows = args->m, .cols = args->k, .kind = CRIA_MATRIX_F32};
    if (args->n == 0 || args->m == 0 || args->k == 0 || !cria_matrix_init(&spec, &job.w)) return;
    job.w.data = (const uint8_t *)d->packed;
    cria_pool_for(d->ctx->pool, job.w.n_blocks, 4, pack_blocks, &job);
    cria_pool_for(d->ctx->pool, (args->n + ROWS - 1) / ROWS, 1, multiply, &job);
}
