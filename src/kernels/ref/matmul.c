/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix products in plain C: the definition that every other table reproduces bit for bit (kernels.h has
 * it in words). y itself holds the running sums, so nothing here depends on the number of columns or tokens.
 */
#include <math.h>

#include "kernels/codes.h"
#include "kernels/ref/ref.h"

enum { MAX_GROUP = 128 };

/* Weights k0 .. k0+n−1 of row r of a block, within one group (cria_matrix_row gives the same). */
static void weights_of(const cria_matrix *w, const uint8_t *block, uint32_t r, uint32_t k0, uint32_t n,
                       float *out) {
    const cria_matrix_spec *s = &w->spec;
    if (w->n_chunks == 0) {
        const enum cria_scale_type type = s->kind == CRIA_MATRIX_F32   ? CRIA_SCALE_F32
                                          : s->kind == CRIA_MATRIX_F16 ? CRIA_SCALE_F16
                                                                       : CRIA_SCALE_BF16;
        for (uint32_t i = 0; i < n; i++)
            out[i] = cria_scale_at(type, block + w->codes_offset, (size_t)(k0 + i) * CRIA_ROWS + r);
        return;
    }
    const size_t g = k0 / s->group;
    const float scale = s->scale_factor * cria_scale_of(s->scale_type, block, g, r);
    const float bias = s->affine ? cria_scale_of(s->scale_type, block + w->bias_offset, g, r) : 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t k = k0 + i;
        const uint8_t *chunk = block + w->codes_offset + k / CRIA_CHUNK * w->chunk_bytes;
        const uint32_t code = cria_code_at(s, chunk, r, k % CRIA_CHUNK);
        if (s->kind == CRIA_MATRIX_E4M3)
            out[i] = cria_e4m3_to_f32((uint8_t)code) * scale;
        else if (s->affine)
            out[i] = fmaf(scale, (float)cria_level_of(s, code), bias);
        else
            out[i] = scale * (float)((int32_t)cria_level_of(s, code) - s->zero);
    }
}

static uint32_t end_row(const cria_matrix *w, uint32_t block1) {
    return block1 < w->n_blocks ? block1 * CRIA_ROWS : w->spec.rows;
}

void cria_matmul_f_ref(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch) {
    (void)scratch;
    const uint32_t cols = w->spec.cols, piece = w->n_chunks ? w->spec.group : MAX_GROUP;
    for (uint32_t row = part.block0 * CRIA_ROWS; row < end_row(w, part.block1); row++) {
        const uint8_t *block = w->data + row / CRIA_ROWS * w->block_bytes;
        for (uint32_t t = part.tile0; t < part.tile1; t++) y[t * ldy + row] = 0.0f;
        for (uint32_t k = 0; k < cols; k += piece) {
            const uint32_t n = cols - k < piece ? cols - k : piece;
            float weights[MAX_GROUP];
            weights_of(w, block, row % CRIA_ROWS, k, n, weights);
            for (uint32_t t = part.tile0; t < part.tile1; t++) {
                const float *xt = x->x + t * x->ldx + k;
                float acc = y[t * ldy + row];
                for (uint32_t i = 0; i < n; i++) acc = fmaf(xt[i], weights[i], acc);
                y[t * ldy + row] = acc;
            }
        }
    }
}

/* The same weights, of half or 8-bit floats, as integers. */
static void integers_of(const cria_matrix *w, const uint8_t *block, uint32_t r, uint32_t k0, uint32_t n, uint8_t step,
                        int16_t *out) {
    if (w->spec.kind == CRIA_MATRIX_E4M3) {
        const uint8_t *chunk = block + w->codes_offset + k0 / CRIA_CHUNK * w->chunk_bytes;
        for (uint32_t i = 0; i < n; i++) out[i] = cria_e4m3_integer((uint8_t)cria_code_at(&w->spec, chunk, r, i));
        return;
    }
    float weights[CRIA_STEP_GROUP];
    weights_of(w, block, r, k0, n, weights);
    for (uint32_t i = 0; i < n; i++) out[i] = cria_step_integer(weights[i], step);
}

void cria_matmul_h_ref(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch) {
    (void)scratch;
    const int16_t *a = (const int16_t *)(const void *)x->q;
    const bool fp8 = w->spec.kind == CRIA_MATRIX_E4M3;
    const uint32_t cols = w->spec.cols, group = fp8 ? w->spec.group : CRIA_STEP_GROUP;
    for (uint32_t row = part.block0 * CRIA_ROWS; row < end_row(w, part.block1); row++) {
        const uint8_t *block = w->data + row / CRIA_ROWS * w->block_bytes;
        for (uint32_t t = part.tile0; t < part.tile1; t++) y[t * ldy + row] = 0.0f;
        for (uint32_t j = 0; j < w->n_groups; j++) {
            const uint32_t k = j * group, n = cols - k < group ? cols - k : group;
            const uint8_t stored = block[j * CRIA_ROWS + row % CRIA_ROWS], step = fp8 ? cria_e4m3_step(stored) : stored;
            int16_t integers[CRIA_STEP_GROUP];
            integers_of(w, block, row % CRIA_ROWS, k, n, step, integers);
            for (uint32_t t = part.tile0; t < part.tile1; t++) {
                uint32_t sum = 0; /* of int32, which with damaged steps might overflow */
                for (uint32_t i = 0; i < n; i++) sum += (uint32_t)(a[t * x->ldq + k + i] * integers[i]);
                const float scale = cria_step_float(step) * x->d[t * x->ldd + k / CRIA_STEP_GROUP];
                y[t * ldy + row] = fmaf((float)(int32_t)sum, scale, y[t * ldy + row]);
            }
        }
    }
}

/* Activation k of row t, as the integer it is. */
static int32_t act_at(const cria_act *x, uint32_t t, size_t k) {
    const int8_t *lo = x->q + (size_t)t * x->planes * x->ldq;
    return x->planes == 1 ? lo[k] : 256 * lo[x->ldq + k] + lo[k];
}

/* t of kernels.h: Σ over the units of group g of float(I_j)·d_j. levels: L − zero of its inputs. */
static float group_sum(const cria_act *x, uint32_t t, uint32_t g, uint32_t group, const int32_t *levels) {
    const float *d = x->d + t * x->ldd;
    const uint32_t unit = group < CRIA_CHUNK ? group : CRIA_CHUNK;
    float sum = 0;
    for (uint32_t i = 0; i < group; i += unit) {
        const size_t k = (size_t)g * group + i;
        int32_t dot = 0;
        for (uint32_t j = 0; j < unit; j++) dot += act_at(x, t, k + j) * levels[i + j];
        sum = i == 0 ? (float)dot * d[k / CRIA_CHUNK] : fmaf((float)dot, d[k / CRIA_CHUNK], sum);
    }
    return sum;
}

/* The reference reads activations as quantize leaves them. */
cria_layout cria_layout_ref(const cria_matrix_spec *w, uint32_t n, uint32_t planes) {
    (void)w;
    (void)planes;
    return (cria_layout){.tiles = n};
}

void cria_lay_out_ref(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1) {
    (void)w;
    (void)x;
    (void)tile0;
    (void)tile1;
}

void cria_matmul_q_ref(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch) {
    (void)scratch;
    const cria_matrix_spec *s = &w->spec;
    for (uint32_t row = part.block0 * CRIA_ROWS; row < end_row(w, part.block1); row++) {
        const uint8_t *block = w->data + row / CRIA_ROWS * w->block_bytes;
        const uint32_t r = row % CRIA_ROWS;
        for (uint32_t t = part.tile0; t < part.tile1; t++) y[t * ldy + row] = 0.0f;
        for (uint32_t g = 0; g < w->n_groups; g++) {
            int32_t levels[MAX_GROUP];
            for (uint32_t i = 0; i < s->group; i++) {
                const uint32_t k = g * s->group + i;
                const uint8_t *chunk = block + w->codes_offset + k / CRIA_CHUNK * w->chunk_bytes;
                levels[i] =
                    (int32_t)cria_level_of(s, cria_code_at(s, chunk, r, k % CRIA_CHUNK)) - s->zero;
            }
            const float scale = s->scale_factor * cria_scale_of(s->scale_type, block, g, r);
            const float bias = s->affine ? cria_scale_of(s->scale_type, block + w->bias_offset, g, r) : 0;
            for (uint32_t t = part.tile0; t < part.tile1; t++) {
                float acc = fmaf(scale, group_sum(x, t, g, s->group, levels), y[t * ldy + row]);
                if (s->affine) acc = fmaf(bias, x->u[t * x->ldu + g], acc);
                y[t * ldy + row] = acc;
            }
        }
    }
}
