/* SPDX-License-Identifier: Apache-2.0 */
/* See gptq.h. Columns are kept in the order of rising importance, the diagonal of H; the last is quantized first.
 * Both the factorization and the quantization go by blocks of columns: within a block one column after the other,
 * then one product of matrices for all columns that follow. */
#include "convert/gptq.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include "convert/dense.h"
#include "kernels/quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64, GROUP_MAX = 128 };

#define DAMPING 0.01f /* of the mean of the diagonal, as in the paper */

/* The steps that are tried for a group: its range, shrunk by a twentieth at a time. */
enum { SHRINKS = 10, FITS = 2 };

struct cria_gptq {
    cria_ctx *ctx;
    cria_dense *dense;
    uint32_t k;
    uint32_t *order; /* [k] column of the matrix at each place */
    float *weight;   /* [k] diagonal of H, by column */
    float *factor;   /* [k][k] L below the diagonal, by place; NULL: nothing depends on anything */
    float *d;        /* [k] D */
    float *panel;    /* [2][BLOCK][k] */
    /* of the rows at work */
    float *target;       /* [CRIA_GPTQ_ROWS][k] by place: w_c − Σ (ŵ_j − w_j)·L_jc over the blocks done */
    float *error;        /* [CRIA_GPTQ_ROWS][BLOCK] ŵ − w of the block at work */
    uint8_t *code;       /* [CRIA_GPTQ_ROWS][k] by column */
    float *scale, *bias; /* [CRIA_GPTQ_ROWS][k/group] */
};

/* ---- H = L·D·Lᵀ ---- */

struct factoring {
    cria_gptq *g;
    const float *moments;
    uint32_t j0, j1; /* the block */
};

static int by_weight(const void *a, const void *b, void *arg) {
    const float *weight = arg;
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    if (weight[i] != weight[j]) return weight[i] < weight[j] ? -1 : 1;
    return i < j ? -1 : 1;
}

static void sort_columns(cria_gptq *g, const float *moments) {
    double sum = 0;
    for (uint32_t i = 0; i < g->k; i++) {
        g->weight[i] = moments ? moments[(size_t)i * g->k + i] : 1;
        g->order[i] = i;
        sum += g->weight[i];
    }
    const float damping = sum > 0 ? (float)(sum / g->k * DAMPING) : 1;
    for (uint32_t i = 0; i < g->k; i++) g->weight[i] += damping;
    if (moments) qsort_r(g->order, g->k, sizeof *g->order, by_weight, g->weight);
}

/* The lower triangle of H in its order, damped. */
static void place_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct factoring *f = arg;
    const cria_gptq *g = f->g;
    const uint32_t *order = g->order;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        float *row = g->factor + i * g->k;
        for (size_t j = 0; j < i; j++) {
            const uint32_t a = order[i] > order[j] ? order[i] : order[j],
                           b = order[i] > order[j] ? order[j] : order[i];
            row[j] = f->moments[(size_t)a * g->k + b];
        }
        row[i] = g->weight[order[i]];
    }
}

/* Columns [j0, j1) of L in rows below them, once those before have been taken off. */
static void factor_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct factoring *f = arg;
    const cria_gptq *g = f->g;
    const uint32_t n = f->j1 - f->j0;
    (void)worker;
    for (size_t i = f->j1 + begin; i < f->j1 + end; i++) {
        float *row = g->factor + i * g->k + f->j0;
        float *times_d = g->panel + (i - f->j1) * BLOCK;
        for (uint32_t j = 0; j < n; j++) { /* row[j] is L·D until it is divided */
            const float *l = g->factor + (size_t)(f->j0 + j) * g->k + f->j0;
            float x = row[j];
            for (uint32_t p = 0; p < j; p++) x -= times_d[p] * l[p];
            times_d[j] = x;
            row[j] = x / g->d[f->j0 + j];
        }
        float *transposed = g->panel + (size_t)BLOCK * g->k + (i - f->j1);
        for (uint32_t j = 0; j < n; j++) transposed[j * (size_t)g->k] = row[j];
    }
}

static void factor_block(cria_gptq *g, uint32_t j0, uint32_t j1) {
    for (uint32_t j = j0; j < j1; j++) {
        float *row = g->factor + (size_t)j * g->k, times_d[BLOCK];
        float d = row[j];
        for (uint32_t i = j0; i < j; i++) {
            const float *l = g->factor + (size_t)i * g->k;
            float x = row[i];
            for (uint32_t p = j0; p < i; p++) x -= times_d[p - j0] * l[p];
            times_d[i - j0] = x;
            row[i] = x / g->d[i];
            d -= x * row[i];
        }
        /* Damping keeps it well above 0; what rounding does to a hopeless H must not become a division by 0. */
        const float least = 1e-6f * g->weight[g->order[j]];
        g->d[j] = d > least ? d : least;
    }
}

static void factorize(cria_gptq *g, const float *moments) {
    struct factoring f = {g, moments, 0, 0};
    cria_pool_for(g->ctx->pool, g->k, 16, place_rows, &f);
    for (uint32_t j0 = 0; j0 < g->k; j0 += BLOCK) {
        const uint32_t j1 = g->k - j0 < BLOCK ? g->k : j0 + BLOCK, rest = g->k - j1;
        f.j0 = j0;
        f.j1 = j1;
        factor_block(g, j0, j1);
        cria_pool_for(g->ctx->pool, rest, 16, factor_rows, &f);
        float *c = g->factor + (size_t)j1 * g->k + j1;
        cria_dense_run(g->dense, &(struct cria_dense_args){.a = g->panel,
                                                           .lda = BLOCK,
                                                           .n = rest,
                                                           .k = j1 - j0,
                                                           .b = g->panel + (size_t)BLOCK * g->k,
                                                           .ldb = g->k,
                                                           .m = rest,
                                                           .c = c,
                                                           .ldc = g->k,
                                                           .sign = CRIA_DENSE_SUBTRACT,
                                                           .lower = true});
    }
}

cria_status cria_gptq_new(cria_ctx *ctx, const float *moments, uint32_t k, cria_gptq **out, cria_error *err) {
    cria_gptq *g = cria_calloc(ctx, 1, sizeof *g);
    if (g == NULL) return cria_fail_nomem(err, "quantizing a matrix", sizeof *g);
    *g = (cria_gptq){.ctx = ctx, .k = k};
    const cria_status st = cria_dense_new(ctx, BLOCK, k, &g->dense, err);
    g->order = cria_malloc_array(ctx, k, sizeof *g->order);
    g->weight = cria_malloc_array(ctx, k, sizeof *g->weight);
    if (moments) g->factor = cria_malloc_array(ctx, (size_t)k * k, sizeof *g->factor);
    g->d = cria_malloc_array(ctx, k, sizeof *g->d);
    g->panel = cria_malloc_array(ctx, (size_t)2 * BLOCK * k, sizeof *g->panel);
    g->target = cria_malloc_array(ctx, (size_t)CRIA_GPTQ_ROWS * k, sizeof *g->target);
    g->error = cria_malloc_array(ctx, (size_t)CRIA_GPTQ_ROWS * BLOCK, sizeof *g->error);
    g->code = cria_malloc_array(ctx, CRIA_GPTQ_ROWS, k);
    g->scale = cria_malloc_array(ctx, (size_t)CRIA_GPTQ_ROWS * (k / 32 + 1), sizeof *g->scale);
    g->bias = cria_malloc_array(ctx, (size_t)CRIA_GPTQ_ROWS * (k / 32 + 1), sizeof *g->bias);
    if (st || !g->order || !g->weight || (moments && !g->factor) || !g->d || !g->panel || !g->target || !g->error ||
        !g->code || !g->scale || !g->bias) {
        cria_gptq_free(g);
        return st ? st : cria_fail_nomem(err, "quantizing a matrix", (size_t)k * k * sizeof(float));
    }
    sort_columns(g, moments);
    if (moments) factorize(g, moments);
    *out = g;
    return CRIA_OK;
}

void cria_gptq_free(cria_gptq *g) {
    if (g == NULL) return;
    cria_dense_free(g->dense);
    void *const blocks[] = {g->order,  g->weight, g->factor, g->d,     g->panel,
                            g->target, g->error,  g->code,   g->scale, g->bias};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) cria_free(g->ctx, blocks[i]);
    cria_free(g->ctx, g);
}

/* ---- the steps of a group ---- */

/* scale·code + bias, and what is rounded to the type of the file. */
struct affine {
    float scale, bias;
};

static struct affine as_stored(enum cria_source_kind type, struct affine a) {
    uint8_t bytes[8];
    float x[2] = {a.scale, a.bias};
    cria_floats_store(type, x, 2, bytes);
    cria_floats_load(type, bytes, 2, x);
    return (struct affine){x[0], x[1]};
}

static float nearest(float w, struct affine a, float inverse, float top) {
    float q = (w - a.bias) * inverse;
    q = q > 0 ? q : 0;
    q = q < top ? q : top;
    return (q + 0x1p23f) - 0x1p23f;
}

static float inverse_of(float scale) { return scale == 0 ? 0 : 1 / scale; }

/* Σ v_i·(scale·code_i + bias − w_i)² with the nearest codes; those in q. */
static float distance(const float *w, const float *v, uint32_t n, struct affine a, float top, float *q) {
    const float inverse = inverse_of(a.scale);
    float sum[4] = {0};
    for (uint32_t i = 0; i < n; i += 4)
        for (uint32_t j = 0; j < 4; j++) {
            q[i + j] = nearest(w[i + j], a, inverse, top);
            const float e = a.scale * q[i + j] + a.bias - w[i + j];
            sum[j] += v[i + j] * e * e;
        }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* The scale and bias that fit the codes q best. */
static struct affine fit(const float *w, const float *v, uint32_t n, const float *q, struct affine a) {
    double sv = 0, sq = 0, sw = 0, sqq = 0, sqw = 0;
    for (uint32_t i = 0; i < n; i++) {
        const double vi = v[i], vq = vi * q[i];
        sv += vi;
        sq += vq;
        sw += vi * w[i];
        sqq += vq * q[i];
        sqw += vq * w[i];
    }
    const double spread = sqq * sv - sq * sq;
    if (!(spread > 1e-9 * sqq * sv)) return a; /* all codes alike */
    const double scale = (sqw * sv - sq * sw) / spread;
    if (!(scale > 0)) return a;
    return (struct affine){(float)scale, (float)((sw - scale * sq) / sv)};
}

static struct affine search(enum cria_source_kind type, const float *w, const float *v, uint32_t n, float top) {
    float low = w[0], high = w[0], least = INFINITY, q[GROUP_MAX];
    struct affine best = {0, 0};
    for (uint32_t i = 1; i < n; i++) {
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    for (uint32_t k = 0; k < SHRINKS; k++) {
        const float part = 1 - (float)k / (2 * SHRINKS);
        struct affine a = {(high - low) * part / top, low * part};
        for (uint32_t i = 0; i <= FITS; i++) {
            if (i) a = fit(w, v, n, q, a);
            a = as_stored(type, a);
            const float d = distance(w, v, n, a, top, q);
            if (!(d < least)) continue;
            least = d;
            best = a;
        }
    }
    return best;
}

/* ---- rows ---- */

struct quantizing {
    cria_gptq *g;
    const cria_matrix_spec *spec;
    enum cria_source_kind type;
    const float *w;
    float top;
    uint32_t j0, j1;
    uint8_t *codes, *scales, *biases;
};

static void search_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct quantizing *s = arg;
    const cria_gptq *g = s->g;
    const uint32_t group = s->spec->group, n_groups = g->k / group;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const float *w = s->w + r * g->k;
        for (uint32_t i = 0; i < n_groups; i++) {
            const struct affine a =
                search(s->type, w + (size_t)i * group, g->weight + (size_t)i * group, group, s->top);
            g->scale[r * n_groups + i] = a.scale;
            g->bias[r * n_groups + i] = a.bias;
        }
        float *target = g->target + r * g->k;
        for (uint32_t c = 0; c < g->k; c++) target[c] = w[g->order[c]];
    }
}

/* The block of columns [j0, j1), the last first. */
static void quantize_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct quantizing *s = arg;
    const cria_gptq *g = s->g;
    const uint32_t n_groups = g->k / s->spec->group;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        float *target = g->target + r * g->k, *error = g->error + r * BLOCK;
        for (uint32_t c = s->j1; c-- > s->j0;) {
            const uint32_t column = g->order[c], i = column / s->spec->group;
            const struct affine a = {g->scale[r * n_groups + i], g->bias[r * n_groups + i]};
            const float q = nearest(target[c], a, inverse_of(a.scale), s->top);
            const float e = a.scale * q + a.bias - s->w[r * g->k + column];
            const float *l = g->factor ? g->factor + (size_t)c * g->k : NULL;
            for (uint32_t j = s->j0; l && j < c; j++) target[j] -= e * l[j];
            error[c - s->j0] = e;
            g->code[r * g->k + column] = (uint8_t)q;
        }
    }
}

static void store_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct quantizing *s = arg;
    const cria_gptq *g = s->g;
    const uint32_t n_groups = g->k / s->spec->group;
    const size_t code_bytes = cria_source_row_bytes(CRIA_SOURCE_MLX, s->spec),
                 scale_bytes = cria_quantize_scale_bytes(s->spec);
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        cria_codes_store(g->code + r * g->k, s->spec->bits, g->k, s->codes + r * code_bytes);
        cria_floats_store(s->type, g->scale + r * n_groups, n_groups, s->scales + r * scale_bytes);
        cria_floats_store(s->type, g->bias + r * n_groups, n_groups, s->biases + r * scale_bytes);
    }
}

void cria_gptq_rows(cria_gptq *g, const cria_matrix_spec *spec, enum cria_source_kind type, const float *w,
                    uint32_t n, uint8_t *codes, uint8_t *scales, uint8_t *biases) {
    struct quantizing s = {.g = g,
                           .spec = spec,
                           .type = type,
                           .w = w,
                           .top = (float)((1u << spec->bits) - 1),
                           .codes = codes,
                           .scales = scales,
                           .biases = biases};
    cria_pool *pool = g->ctx->pool;
    cria_pool_for(pool, n, 4, search_rows, &s);
    for (s.j1 = g->k; s.j1 > 0; s.j1 = s.j0) {
        s.j0 = (s.j1 - 1) / BLOCK * BLOCK;
        cria_pool_for(pool, n, 16, quantize_rows, &s);
        if (g->factor == NULL) continue;
        cria_dense_run(g->dense, &(struct cria_dense_args){.a = g->error,
                                                           .lda = BLOCK,
                                                           .n = n,
                                                           .k = s.j1 - s.j0,
                                                           .b = g->factor + (size_t)s.j0 * g->k,
                                                           .ldb = g->k,
                                                           .m = s.j0,
                                                           .c = g->target,
                                                           .ldc = g->k,
                                                           .sign = CRIA_DENSE_SUBTRACT});
    }
    cria_pool_for(pool, n, 16, store_rows, &s);
}
