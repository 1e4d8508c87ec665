/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed matrices: which spec a source format has, the sizes of the layout, and reading a row back. Filling
 * the layout is pack_rows.c.
 *
 * Sources: MLX's quantized modes as in mlx/ops.cpp (quantize, dequantize) and its CPU kernels; GGUF's block
 * formats as in ggml's block_q4_0 … block_q6_K; element formats of the OCP Microscaling Formats
 * specification 1.0.
 */
#include "kernels/matrix.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/mem.h"
#include "kernels/codes.h"

#define MAX_DIM (1u << 24)

/* E2M1 values doubled, so that they are integers, and raised by 12: ±{0, 0.5, 1, 1.5, 2, 3, 4, 6}. */
static const uint8_t fp4_levels[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

/* ggml's kvalues_iq4nl, raised by 127. */
static const uint8_t iq4_levels[16] = {0, 23, 44, 62, 78, 92, 105, 117, 128, 140, 152, 165, 180, 196, 216, 240};

static bool pow2_float(float f) {
    return f >= 0x1p-24f && f <= 0x1p24f && (cria_f32_to_bits(f) & 0x7fffffu) == 0;
}

static bool codes_spec_ok(const cria_matrix_spec *s) {
    if (s->bits < 2 || s->bits > 8 || s->bits == 7) return false;
    if (s->group != 16 && s->group != 32 && s->group != 64 && s->group != 128) return false;
    if (s->cols % s->group != 0) return false;
    if ((uint32_t)s->scale_type > CRIA_SCALE_IQ4_XS) return false;
    if (s->affine && (s->zero != 0 || s->scale_type == CRIA_SCALE_E8M0 || s->scale_type == CRIA_SCALE_E4M3))
        return false;
    const uint32_t groups = cria_two_levels(s->scale_type).groups;
    if (groups != 0 && (s->group * groups != CRIA_SUPER || s->cols % CRIA_SUPER != 0)) return false;
    if (s->zero < 0 || s->zero > 255) return false;
    if (s->levels && s->bits > 4) return false;
    if (!pow2_float(s->scale_factor)) return false;
    if (s->kind == CRIA_MATRIX_E4M3)
        return s->bits == 8 && s->group == 32 && s->scale_type == CRIA_SCALE_E8M0 && !s->affine;
    return true;
}

/* Of all scales of a block. */
static size_t scales_bytes(const cria_matrix *m) {
    const struct cria_two_levels t = cria_two_levels(m->spec.scale_type);
    if (t.bits != 0) return m->n_groups / t.groups * cria_super_bytes(t);
    return (size_t)m->n_groups * CRIA_ROWS * cria_scale_bytes(m->spec.scale_type);
}

bool cria_matrix_init(const cria_matrix_spec *spec, cria_matrix *out) {
    if (spec->rows < 1 || spec->rows > MAX_DIM || spec->cols < 1 || spec->cols > MAX_DIM) return false;
    cria_matrix m = {.spec = *spec, .n_blocks = (spec->rows + CRIA_ROWS - 1) / CRIA_ROWS};
    size_t bytes; /* of a block: at most 2^24 · 16 · 4 and some, but a size_t may be 32 bits */
    switch (spec->kind) {
    case CRIA_MATRIX_F32:
    case CRIA_MATRIX_F16:
    case CRIA_MATRIX_BF16:
        m.n_groups = spec->kind == CRIA_MATRIX_F32 ? 0 : (spec->cols + CRIA_STEP_GROUP - 1) / CRIA_STEP_GROUP;
        m.codes_offset = ((size_t)m.n_groups * CRIA_ROWS + 63) & ~(size_t)63;
        bytes = m.codes_offset + (size_t)spec->cols * CRIA_ROWS * (spec->kind == CRIA_MATRIX_F32 ? 4 : 2);
        break;
    case CRIA_MATRIX_CODES:
    case CRIA_MATRIX_E4M3:
        if (!codes_spec_ok(spec)) return false;
        m.n_chunks = (spec->cols + CRIA_CHUNK - 1) / CRIA_CHUNK;
        m.n_groups = (m.n_chunks * CRIA_CHUNK + spec->group - 1) / spec->group;
        m.bias_offset = scales_bytes(&m);
        m.codes_offset = (m.bias_offset * (spec->affine ? 2 : 1) + 63) & ~(size_t)63;
        m.chunk_bytes = 64 * (size_t)spec->bits;
        bytes = m.codes_offset + m.n_chunks * m.chunk_bytes;
        break;
    default:
        return false;
    }
    m.block_bytes = (bytes + 63) & ~(size_t)63;
    size_t all;
    if (!cria_mul_ok(m.block_bytes, m.n_blocks, &all)) return false;
    *out = m;
    return true;
}

size_t cria_matrix_bytes(const cria_matrix *m) { return m->n_blocks * m->block_bytes; }

/* What every CODES spec has in common; true when it is a legal one. */
static bool finish_codes(cria_matrix_spec s, cria_matrix_spec *out) {
    s.scale_factor = s.scale_factor == 0 ? 1.0f : s.scale_factor;
    cria_matrix m;
    if (!cria_matrix_init(&s, &m)) return false;
    *out = s;
    return true;
}

bool cria_matrix_spec_for(enum cria_source_kind kind, uint32_t rows, uint32_t cols, cria_matrix_spec *out) {
    cria_matrix_spec s = {
        .rows = rows, .cols = cols, .kind = CRIA_MATRIX_CODES, .group = 32, .scale_type = CRIA_SCALE_F16};
    switch (kind) {
    case CRIA_SOURCE_F32:
        s.kind = CRIA_MATRIX_F32;
        break;
    case CRIA_SOURCE_F16:
        s.kind = CRIA_MATRIX_F16;
        break;
    case CRIA_SOURCE_BF16:
        s.kind = CRIA_MATRIX_BF16;
        break;
    case CRIA_SOURCE_E4M3:
        s.kind = CRIA_MATRIX_E4M3, s.bits = 8, s.scale_type = CRIA_SCALE_E8M0;
        break;
    case CRIA_SOURCE_Q4_0:
        s.bits = 4, s.zero = 8;
        break;
    case CRIA_SOURCE_Q4_1:
        s.bits = 4, s.affine = true;
        break;
    case CRIA_SOURCE_Q5_0:
        s.bits = 5, s.zero = 16;
        break;
    case CRIA_SOURCE_Q5_1:
        s.bits = 5, s.affine = true;
        break;
    case CRIA_SOURCE_Q8_0:
        s.bits = 8, s.zero = 128;
        break;
    case CRIA_SOURCE_IQ4_NL:
        s.bits = 4, s.zero = 127, s.levels = iq4_levels;
        break;
    case CRIA_SOURCE_MXFP4:
        return cria_matrix_spec_mlx_fp("mxfp4", rows, cols, out);
    case CRIA_SOURCE_Q2_K:
        s.bits = 2, s.affine = true, s.group = 16, s.scale_type = CRIA_SCALE_Q2_K;
        break;
    case CRIA_SOURCE_Q3_K:
        s.bits = 3, s.zero = 4, s.group = 16, s.scale_type = CRIA_SCALE_Q3_K;
        break;
    case CRIA_SOURCE_Q4_K:
        s.bits = 4, s.affine = true, s.scale_type = CRIA_SCALE_Q4_K;
        break;
    case CRIA_SOURCE_Q5_K:
        s.bits = 5, s.affine = true, s.scale_type = CRIA_SCALE_Q4_K;
        break;
    case CRIA_SOURCE_Q6_K:
        s.bits = 6, s.zero = 32, s.group = 16, s.scale_type = CRIA_SCALE_Q6_K;
        break;
    case CRIA_SOURCE_IQ4_XS:
        s.bits = 4, s.zero = 127, s.levels = iq4_levels, s.scale_type = CRIA_SCALE_IQ4_XS;
        break;
    default:
        return false;
    }
    return finish_codes(s, out);
}

bool cria_matrix_spec_mlx_affine(uint32_t rows, uint32_t cols, uint32_t bits, uint32_t group,
                                 enum cria_scale_type scale_type, cria_matrix_spec *out) {
    const cria_matrix_spec s = {.rows = rows,
                                .cols = cols,
                                .kind = CRIA_MATRIX_CODES,
                                .bits = bits,
                                .group = group,
                                .scale_type = scale_type,
                                .affine = true};
    return group != 16 && scale_type <= CRIA_SCALE_BF16 && finish_codes(s, out);
}

bool cria_matrix_spec_mlx_fp(const char *mode, uint32_t rows, uint32_t cols, cria_matrix_spec *out) {
    cria_matrix_spec s = {.rows = rows,
                          .cols = cols,
                          .kind = CRIA_MATRIX_CODES,
                          .bits = 4,
                          .group = 32,
                          .scale_type = CRIA_SCALE_E8M0};
    if (strcmp(mode, "mxfp8") == 0) {
        s.kind = CRIA_MATRIX_E4M3, s.bits = 8;
    } else {
        s.zero = 12, s.levels = fp4_levels, s.scale_factor = 0.5f;
        if (strcmp(mode, "nvfp4") == 0)
            s.group = 16, s.scale_type = CRIA_SCALE_E4M3;
        else if (strcmp(mode, "mxfp4") != 0)
            return false;
    }
    return finish_codes(s, out);
}

const cria_mlx_mode *cria_mlx_mode_named(const char *name) {
    static const cria_mlx_mode modes[] = {{"affine", 4, 64}, {"mxfp4", 4, 32}, {"nvfp4", 4, 16}, {"mxfp8", 8, 32}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(name, modes[i].mode) == 0) return &modes[i];
    return NULL;
}

const char *cria_mlx_mode_of(bool affine, uint32_t bits, uint32_t group) {
    return affine ? "affine" : bits == 8 ? "mxfp8" : group == 16 ? "nvfp4" : "mxfp4";
}

bool cria_matrix_spec_mlx(const cria_mlx_mode *mode, uint32_t rows, uint32_t cols, enum cria_scale_type scale_type,
                          cria_matrix_spec *out) {
    if (strcmp(mode->mode, "affine") == 0)
        return cria_matrix_spec_mlx_affine(rows, cols, mode->bits, mode->group, scale_type, out);
    return cria_matrix_spec_mlx_fp(mode->mode, rows, cols, out) && out->bits == mode->bits && out->group == mode->group;
}

size_t cria_source_row_bytes(enum cria_source_kind kind, const cria_matrix_spec *spec) {
    const size_t cols = spec->cols;
    switch (kind) {
    case CRIA_SOURCE_F32:
        return cols * 4;
    case CRIA_SOURCE_F16:
    case CRIA_SOURCE_BF16:
        return cols * 2;
    case CRIA_SOURCE_E4M3:
        return cols;
    case CRIA_SOURCE_MLX:
        return cols / 8 * spec->bits; /* groups are multiples of 16, so cols is one of 8 */
    default: /* of the two, what the kind does not have is 0 */
        return cols / CRIA_CHUNK * cria_block_source_bytes(kind) + cols / CRIA_SUPER * cria_super_source_bytes(kind);
    }
}

static void row_of_floats(const cria_matrix *m, const uint8_t *block, uint32_t r, float *out) {
    const enum cria_scale_type type = m->spec.kind == CRIA_MATRIX_F32   ? CRIA_SCALE_F32
                                      : m->spec.kind == CRIA_MATRIX_F16 ? CRIA_SCALE_F16
                                                                        : CRIA_SCALE_BF16;
    for (size_t k = 0; k < m->spec.cols; k++)
        out[k] = cria_scale_at(type, block + m->codes_offset, k * CRIA_ROWS + r);
}

void cria_matrix_row(const cria_matrix *m, uint32_t row, float *out) {
    const cria_matrix_spec *s = &m->spec;
    const uint8_t *block = m->data + row / CRIA_ROWS * m->block_bytes;
    const uint32_t r = row % CRIA_ROWS;
    if (s->kind != CRIA_MATRIX_CODES && s->kind != CRIA_MATRIX_E4M3) {
        row_of_floats(m, block, r, out);
        return;
    }
    for (uint32_t g = 0; g < s->cols / s->group; g++) {
        const float scale = s->scale_factor * cria_scale_of(s->scale_type, block, g, r);
        const float bias = s->affine ? cria_scale_of(s->scale_type, block + m->bias_offset, g, r) : 0;
        for (uint32_t k = g * s->group; k < (g + 1) * s->group; k++) {
            const uint8_t *chunk = block + m->codes_offset + k / CRIA_CHUNK * m->chunk_bytes;
            const uint32_t code = cria_code_at(s, chunk, r, k % CRIA_CHUNK);
            if (s->kind == CRIA_MATRIX_E4M3)
                out[k] = cria_e4m3_to_f32((uint8_t)code) * scale;
            else if (s->affine)
                out[k] = fmaf(scale, (float)cria_level_of(s, code), bias);
            else
                out[k] = scale * (float)((int32_t)cria_level_of(s, code) - s->zero);
        }
    }
}
