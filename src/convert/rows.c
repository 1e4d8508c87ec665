/* SPDX-License-Identifier: Apache-2.0 */
/* Reading rows of tensors as floats, from any type, in any order and from pieces; see source.h. Quantized
 * rows go the way that a model's do, through the packed form, whose weights are the definition
 * (kernels/matrix.h). */
#include "base/half.h"
#include "convert/source.h"
#include "kernels/quantize.h"
#include "model/bind.h"

#include <string.h>

uint64_t cria_convert_rows(const struct cria_convert_tensor *t) {
    uint64_t n = 1;
    for (uint32_t i = 0; i + 1 < t->ndim; i++) n *= t->shape[i];
    return n;
}

/* ---- blocks and MLX's codes ---- */

/* How a quantized tensor's rows lie; false for one of floats. */
struct packing {
    enum cria_source_kind kind;
    cria_matrix_spec spec;         /* of 16 rows */
    size_t row_bytes, scale_bytes; /* of a row; of its scales, 0 where they are within */
};

static bool packing_of(const struct cria_convert_tensor *t, struct packing *out) {
    struct packing p;
    if (t->scales != NULL) {
        p = (struct packing){CRIA_SOURCE_MLX, t->mlx, cria_source_row_bytes(CRIA_SOURCE_MLX, &t->mlx),
                             cria_quantize_scale_bytes(&t->mlx)};
        p.spec.rows = CRIA_ROWS;
        *out = p;
        return true;
    }
    if (cria_dtype_info(t->parts[0]->dtype)->items == 1) return false;
    if (!cria_source_kind_of(t->parts[0]->dtype, &p.kind) ||
        !cria_matrix_spec_for(p.kind, CRIA_ROWS, (uint32_t)cria_convert_cols(t), &p.spec))
        return false;
    p.row_bytes = cria_source_row_bytes(p.kind, &p.spec);
    p.scale_bytes = 0;
    *out = p;
    return true;
}

static size_t aligned(size_t n) { return (n + 63) / 64 * 64; }

size_t cria_convert_scratch_bytes(const struct cria_convert_tensor *t) {
    struct packing p;
    cria_matrix m;
    const size_t floats = aligned((size_t)cria_convert_cols(t) * sizeof(float));
    if (!packing_of(t, &p) || !cria_matrix_init(&p.spec, &m)) return floats;
    return floats + aligned(CRIA_ROWS * p.row_bytes) + 2 * aligned(CRIA_ROWS * p.scale_bytes) + m.block_bytes;
}

static void read_packed(const struct cria_convert_tensor *t, const struct packing *p, uint64_t row0,
                        uint32_t n, enum cria_source_kind type, uint8_t *out, uint8_t *scratch) {
    const size_t cols = (size_t)cria_convert_cols(t);
    const cria_source order = {.paired = t->paired};
    float *x = (float *)(void *)scratch;
    uint8_t *rows = scratch + aligned(cols * sizeof(float)),
            *scales = rows + aligned(CRIA_ROWS * p->row_bytes),
            *biases = scales + aligned(CRIA_ROWS * p->scale_bytes),
            *block = biases + aligned(CRIA_ROWS * p->scale_bytes);
    for (uint32_t r = 0; r < n; r++) {
        const size_t row = cria_source_row(&order, (uint32_t)row0 + r);
        memcpy(rows + r * p->row_bytes, t->parts[0]->data + row * p->row_bytes, p->row_bytes);
        if (t->scales)
            memcpy(scales + r * p->scale_bytes, t->scales->data + row * p->scale_bytes, p->scale_bytes);
        if (t->biases)
            memcpy(biases + r * p->scale_bytes, t->biases->data + row * p->scale_bytes, p->scale_bytes);
    }
    cria_matrix_spec spec = p->spec;
    cria_matrix m;
    spec.rows = n;
    if (!cria_matrix_init(&spec, &m)) return; /* it was when the scratch was measured */
    const cria_source src = {
        .kind = p->kind, .data = rows, .row_bytes = p->row_bytes, .scales = scales, .biases = biases};
    const size_t bad = cria_matrix_pack(&m, &src, block, 0, 1);
    m.data = block;
    const size_t out_bytes = cols * (type == CRIA_SOURCE_F32 ? 4 : 2);
    for (uint32_t r = 0; r < n; r++) {
        cria_matrix_row(&m, r, x);
        if (bad == r)
            x[0] = cria_f32_from_bits(0x7fc00000u); /* a scale is not finite: let the caller see it */
        cria_floats_store(type, x, cols, out + r * out_bytes);
    }
}

/* ---- floats ---- */

/* n numbers of a part, from its item `at`, and what is added to them. */
static void read_floats(const cria_tensor *part, uint64_t at, size_t n, float offset, enum cria_source_kind type,
                        uint8_t *out, float *x) {
    enum cria_source_kind from;
    if (!cria_source_kind_of(part->dtype, &from) || from == CRIA_SOURCE_E4M3) {
        for (size_t i = 0; i < n; i++) x[i] = cria_e4m3_to_f32(part->data[at + i]);
        cria_floats_store(type, x, n, out);
        return;
    }
    const uint8_t *data = part->data + at * (from == CRIA_SOURCE_F32 ? 4 : 2);
    if (from == type && offset == 0) {
        memcpy(out, data, n * (type == CRIA_SOURCE_F32 ? 4 : 2));
        return;
    }
    cria_floats_load(from, data, n, x);
    for (size_t i = 0; offset != 0 && i < n; i++) x[i] += offset;
    cria_floats_store(type, x, n, out);
}

/* One row, from the part that has it or from all. */
static void read_row(const struct cria_convert_tensor *t, uint64_t row, enum cria_source_kind type,
                     uint8_t *out, float *x) {
    const size_t item = type == CRIA_SOURCE_F32 ? 4 : 2;
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const cria_tensor *p = t->parts[i];
        const uint64_t cols = p->shape[p->ndim - 1],
                       rows = cols ? p->nbytes / cria_dtype_info(p->dtype)->bytes / cols : 0;
        if (t->axis == 1) {
            read_floats(p, row * cols, (size_t)cols, t->offset, type, out, x);
            out += (size_t)cols * item;
        } else if (row < rows) {
            read_floats(p, row * cols, (size_t)cols, t->offset, type, out, x);
            return;
        } else {
            row -= rows;
        }
    }
}

void cria_convert_read(const struct cria_convert_tensor *t, uint64_t row0, uint32_t n,
                       enum cria_source_kind type, uint8_t *out, uint8_t *scratch) {
    const cria_source order = {.paired = t->paired};
    struct packing p;
    if (packing_of(t, &p)) {
        read_packed(t, &p, row0, n, type, out, scratch);
        return;
    }
    const size_t item = type == CRIA_SOURCE_F32 ? 4 : 2, cols = (size_t)cria_convert_cols(t), out_bytes = cols * item;
    if (t->ndim == 1 && t->paired) { /* a bias of such rows */
        for (uint32_t i = 0; i < cols; i++)
            read_floats(t->parts[0], cria_source_row(&order, i), 1, t->offset, type, out + i * item,
                        (float *)(void *)scratch);
        return;
    }
    for (uint32_t r = 0; r < n; r++)
        read_row(t, cria_source_row(&order, (uint32_t)row0 + r), type, out + r * out_bytes, (float *)(void *)scratch);
}
