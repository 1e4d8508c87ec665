/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling the packed layout of matrix.h from rows as files store them. A chunk of 16 rows × 32 inputs at a
 * time: codes to bytes, bytes to step vectors (a 16 × 8 transposition of 32-bit words), step vectors to bit
 * planes. The loops are written so that the compiler vectorizes them; loading is bound by this and by page
 * faults.
 *
 * Source bytes are read with memcpy, at any alignment. Their number was checked by the caller
 * (cria_source_row_bytes).
 */
#include "kernels/matrix.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/codes.h"

/* ---- Rows of a block ---- */

struct rows {
    uint32_t n;             /* present: the last block may lack some */
    uint32_t at[CRIA_ROWS]; /* of the source */
};

static struct rows rows_of(const cria_matrix *m, const cria_source *src, uint32_t block) {
    const uint32_t row0 = block * CRIA_ROWS, left = m->spec.rows - row0;
    struct rows rows = {.n = left < CRIA_ROWS ? left : CRIA_ROWS};
    for (uint32_t r = 0; r < rows.n; r++) rows.at[r] = cria_source_row(src, row0 + r);
    return rows;
}

static const uint8_t *row_at(const cria_source *src, const struct rows *rows, uint32_t r) {
    return src->data + rows->at[r] * src->row_bytes;
}

/* ---- Floats ---- */

/* Both: rows of one block into [cols][16]; returns a bit per row with a value that is not finite, told by its exponent
 * field. */
static uint32_t pack_floats32(const cria_source *source, const struct rows *rows, uint32_t cols, uint8_t *dst) {
    uint32_t bad_rows = 0;
    for (uint32_t r = 0; r < rows->n; r++) {
        const uint8_t *src = row_at(source, rows, r);
        uint32_t bad = 0;
        for (size_t k = 0; k < cols; k++) {
            uint32_t u;
            memcpy(&u, src + 4 * k, 4);
            bad |= (u & 0x7f800000u) == 0x7f800000u;
            memcpy(dst + 4 * (k * CRIA_ROWS + r), &u, 4);
        }
        bad_rows |= bad << r;
    }
    return bad_rows;
}

/* steps: one each 128 columns. */
static uint32_t pack_floats16(const cria_source *source, const struct rows *rows, uint32_t cols, bool f16,
                              uint8_t *steps, uint8_t *dst) {
    const uint16_t exponent = f16 ? 0x7c00 : 0x7f80;
    uint32_t bad_rows = 0;
    for (uint32_t r = 0; r < rows->n; r++) {
        const uint8_t *src = row_at(source, rows, r);
        for (size_t k = 0, end; k < cols; k = end) {
            end = cols - k < CRIA_STEP_GROUP ? cols : k + CRIA_STEP_GROUP;
            uint16_t top = 0; /* magnitudes, as integers */
            for (size_t i = k; i < end; i++) {
                uint16_t u;
                memcpy(&u, src + 2 * i, 2);
                const uint16_t magnitude = u & 0x7fff;
                top = magnitude > top ? magnitude : top;
                memcpy(dst + 2 * (i * CRIA_ROWS + r), &u, 2);
            }
            bad_rows |= (uint32_t)(top >= exponent) << r;
            steps[k / CRIA_STEP_GROUP * CRIA_ROWS + r] =
                cria_step_for(f16 ? cria_f16_to_f32(top) : cria_bf16_to_f32(top));
        }
    }
    return bad_rows;
}

/* ---- Codes of one row, 32 (or at the end of a row 16) at a time, one per byte ---- */

/* Codes of `bits` bits, a little-endian bit stream; 8 codes take `bits` bytes. */
static inline void unpack_stream(const uint8_t *src, uint32_t bits, uint32_t n, uint8_t *out) {
    const uint32_t mask = (1u << bits) - 1;
    for (uint32_t i = 0; i < n; i += 8, src += bits) {
        uint64_t u = 0;
        for (uint32_t b = 0; b < bits; b++) u |= (uint64_t)src[b] << 8 * b;
        for (uint32_t j = 0; j < 8; j++) out[i + j] = (uint8_t)(u >> bits * j & mask);
    }
}

static void unpack_mlx(const uint8_t *src, uint32_t bits, uint32_t n, uint8_t *out) {
    switch (bits) { /* with the width a constant the loops unroll */
    case 2:
        unpack_stream(src, 2, n, out);
        break;
    case 3:
        unpack_stream(src, 3, n, out);
        break;
    case 4:
        unpack_stream(src, 4, n, out);
        break;
    case 5:
        unpack_stream(src, 5, n, out);
        break;
    case 6:
        unpack_stream(src, 6, n, out);
        break;
    default:
        memcpy(out, src, n);
        break;
    }
}

/* 16 bytes: code i in the low half of byte i, code i+16 in the high half. */
static void unpack_nibbles(const uint8_t *src, uint8_t *out) {
    for (uint32_t i = 0; i < 16; i++) {
        out[i] = src[i] & 15;
        out[i + 16] = src[i] >> 4;
    }
}

/* 4 bytes: bit 4 of code i in bit i. Eight bits become eight bytes by a product: byte i keeps bit i alone,
 * and adding 127 carries whatever is there into its top bit. */
static void add_fifth_bits(const uint8_t *src, uint8_t *out) {
    for (uint32_t b = 0; b < 4; b++, out += 8) {
        const uint64_t bits = src[b] * 0x0101010101010101u & 0x8040201008040201u;
        const uint64_t tops = (bits + 0x7f7f7f7f7f7f7f7fu) & 0x8080808080808080u;
        for (uint32_t i = 0; i < 8; i++) out[i] |= (uint8_t)(tops >> (8 * i + 3) & 0x10);
    }
}

/* Half (0, 1) of 32 bytes of nibbles. */
static void unpack_half_bytes(const uint8_t *src, uint32_t half, uint8_t *out) {
    for (uint32_t i = 0; i < CRIA_CHUNK; i++) out[i] = src[i] >> 4 * half & 15;
}

/* The w bits from bit `from` of each of 32 bytes, as bits `to` and up of the codes. */
static void add_bits(const uint8_t *src, uint32_t from, uint32_t w, uint32_t to, uint8_t *out) {
    for (uint32_t i = 0; i < CRIA_CHUNK; i++)
        out[i] |= (uint8_t)((src[i] >> from & ((1u << w) - 1)) << to);
}

/* Chunk j (0..7) of a GGUF super-block. Codes lie in runs of 32 bytes; a byte has those of several chunks. */
static void unpack_super(enum cria_source_kind kind, const uint8_t *p, uint32_t j, uint8_t *out) {
    const uint32_t half = j / 4, quarter = j % 4;
    switch (kind) {
    case CRIA_SOURCE_Q2_K: /* scales, codes, d, m */
        memset(out, 0, CRIA_CHUNK);
        add_bits(p + 16 + 32 * half, 2 * quarter, 2, 0, out);
        break;
    case CRIA_SOURCE_Q3_K: /* high bits, low bits, scales, d */
        memset(out, 0, CRIA_CHUNK);
        add_bits(p + 32 + 32 * half, 2 * quarter, 2, 0, out);
        add_bits(p, j, 1, 2, out);
        break;
    case CRIA_SOURCE_Q4_K: /* d, m, scales, codes */
        unpack_half_bytes(p + 16 + 32 * (j / 2), j % 2, out);
        break;
    case CRIA_SOURCE_Q5_K: /* d, m, scales, high bits, low bits */
        unpack_half_bytes(p + 48 + 32 * (j / 2), j % 2, out);
        add_bits(p + 16, j, 1, 4, out);
        break;
    case CRIA_SOURCE_IQ4_XS: /* d, scales, codes as in blocks of 32 */
        unpack_nibbles(p + 8 + 16 * j, out);
        break;
    default: /* Q6_K: low bits, high bits, scales, d */
        unpack_half_bytes(p + 64 * half + 32 * (quarter % 2), quarter / 2, out);
        add_bits(p + 128 + 32 * half, 2 * quarter, 2, 4, out);
        break;
    }
}

/* Chunk c of a row; GGUF blocks are d[, m], [high bits,] codes. */
static void unpack_chunk(const cria_source *src, const cria_matrix_spec *s, const uint8_t *row, size_t c,
                         uint8_t *out) {
    const uint8_t *p = row + cria_block_source_bytes(src->kind) * c;
    switch (src->kind) {
    case CRIA_SOURCE_E4M3:
        memcpy(out, row + CRIA_CHUNK * c, CRIA_CHUNK);
        break;
    case CRIA_SOURCE_Q4_0:
    case CRIA_SOURCE_IQ4_NL:
        unpack_nibbles(p + 2, out);
        break;
    case CRIA_SOURCE_MXFP4:
        unpack_nibbles(p + 1, out);
        break;
    case CRIA_SOURCE_Q4_1:
        unpack_nibbles(p + 4, out);
        break;
    case CRIA_SOURCE_Q5_0:
        unpack_nibbles(p + 6, out);
        add_fifth_bits(p + 2, out);
        break;
    case CRIA_SOURCE_Q5_1:
        unpack_nibbles(p + 8, out);
        add_fifth_bits(p + 4, out);
        break;
    case CRIA_SOURCE_Q8_0:
        for (uint32_t i = 0; i < CRIA_CHUNK; i++) out[i] = p[2 + i] ^ 0x80;
        break;
    case CRIA_SOURCE_Q2_K:
    case CRIA_SOURCE_Q3_K:
    case CRIA_SOURCE_Q4_K:
    case CRIA_SOURCE_Q5_K:
    case CRIA_SOURCE_Q6_K:
    case CRIA_SOURCE_IQ4_XS:
        unpack_super(src->kind, row + c / 8 * cria_super_source_bytes(src->kind), (uint32_t)(c % 8), out);
        break;
    default: {
        const size_t left = s->cols - c * CRIA_CHUNK;
        unpack_mlx(row + c * 4 * s->bits, s->bits, left < CRIA_CHUNK ? (uint32_t)left : CRIA_CHUNK, out);
        break;
    }
    }
}

/* ---- Codes of a block ---- */

/* Bits low..low+w−1 of the codes in eight vectors of `width` bytes, as the plane of width w. */
static inline void put_plane(const uint8_t *step, uint32_t width, uint32_t low, uint32_t w, uint8_t *out) {
    for (uint32_t v = 0; v < w; v++)
        for (uint32_t j = 0; j < width; j++) {
            uint32_t byte = 0;
            for (uint32_t p = 0; p < 8 / w; p++)
                byte |= (step[(v + p * w) * width + j] >> low & ((1u << w) - 1)) << w * p;
            out[v * width + j] = (uint8_t)byte;
        }
}

static inline void put_planes(const uint8_t *step, uint32_t width, uint32_t bits, uint8_t *out) {
    switch (bits) {
    case 2:
        put_plane(step, width, 0, 2, out);
        break;
    case 3:
        put_plane(step, width, 0, 2, out);
        put_plane(step, width, 2, 1, out + 2 * width);
        break;
    case 4:
        put_plane(step, width, 0, 4, out);
        break;
    case 5:
        put_plane(step, width, 0, 4, out);
        put_plane(step, width, 4, 1, out + 4 * width);
        break;
    case 6:
        put_plane(step, width, 0, 4, out);
        put_plane(step, width, 4, 2, out + 4 * width);
        break;
    default:
        memcpy(out, step, 8 * width);
        break;
    }
}

/* MLX's mxfp8 has codes that are no number: S.1111.111. */
static uint32_t nan_codes(const uint8_t *codes) {
    uint32_t bad = 0;
    for (uint32_t i = 0; i < CRIA_CHUNK; i++) bad |= (codes[i] & 0x7f) == 0x7f;
    return bad;
}

/* The magnitude of a code times 2^n, exactly; above 0x7e where there is no such code. */
static uint32_t raised(uint32_t code, uint32_t n) {
    if (code == 0) return 0;
    for (; code < 8 && n > 0; n--) code <<= 1; /* subnormal */
    return code + 8 * n;
}

/* A group with the least scale that has a code for each of its weights (matrix.h). */
static void raise_group(uint8_t *codes, uint8_t *scale) {
    uint32_t top = 0, n = 0;
    for (uint32_t i = 0; i < CRIA_CHUNK; i++) top = (codes[i] & 0x7fu) > top ? codes[i] & 0x7fu : top;
    if (top == 0) return;
    while (n < *scale && raised(top, n + 1) <= 0x7e) n++;
    for (uint32_t i = 0; i < CRIA_CHUNK; i++) codes[i] = (uint8_t)((codes[i] & 0x80u) | raised(codes[i] & 0x7fu, n));
    *scale = (uint8_t)(*scale - n);
}

/* block: where scales are already. */
static uint32_t pack_codes(const cria_matrix *m, const cria_source *src, const struct rows *rows, uint8_t *block) {
    uint8_t *dst = block + m->codes_offset;
    uint8_t codes[CRIA_ROWS][CRIA_CHUNK] = {{0}};
    uint8_t step[8][64];
    uint32_t bad = 0;
    for (size_t c = 0; c < m->n_chunks; c++) {
        if ((c + 1) * CRIA_CHUNK > m->spec.cols) memset(codes, 0, sizeof codes); /* half a chunk: group 16 */
        for (uint32_t r = 0; r < rows->n; r++) {
            unpack_chunk(src, &m->spec, row_at(src, rows, r), c, codes[r]);
            if (m->spec.kind != CRIA_MATRIX_E4M3) continue;
            bad |= nan_codes(codes[r]) << r;
            raise_group(codes[r], block + c * CRIA_ROWS + r);
            for (uint32_t i = 1; i < CRIA_CHUNK; i += 4) { /* cria_step_order */
                const uint8_t second = codes[r][i];
                codes[r][i] = codes[r][i + 1];
                codes[r][i + 1] = second;
            }
        }
        for (uint32_t s = 0; s < 8; s++)
            for (uint32_t r = 0; r < CRIA_ROWS; r++) memcpy(&step[s][4 * r], &codes[r][4 * s], 4);
        put_planes(step[0], 64, m->spec.bits, dst + c * m->chunk_bytes);
    }
    return bad;
}

/* ---- Scales of a block ---- */

/* Where scale (or bias) g of a row of a GGUF matrix in blocks of 32 lies. */
static const uint8_t *gguf_scale(const cria_source *src, const uint8_t *row, size_t g, bool bias) {
    return row + g * cria_block_source_bytes(src->kind) + (bias ? 2 : 0);
}

/* d of a GGUF super-block, or m. */
static uint16_t super_first_level(enum cria_source_kind kind, const uint8_t *p, bool bias) {
    const size_t at = kind == CRIA_SOURCE_Q2_K                               ? 80
                      : kind == CRIA_SOURCE_Q3_K || kind == CRIA_SOURCE_Q6_K ? cria_super_source_bytes(kind) - 2
                                                                             : 0;
    uint16_t d;
    memcpy(&d, p + at + (bias ? 2 : 0), 2);
    return d;
}

/* s of group g of a GGUF super-block, as packed: what a type takes off is not taken off here. */
static uint8_t super_second_level(enum cria_source_kind kind, const uint8_t *p, uint32_t g, bool bias) {
    switch (kind) {
    case CRIA_SOURCE_Q2_K:
        return bias ? p[g] >> 4 : p[g] & 15;
    case CRIA_SOURCE_Q3_K: /* low bits of g and g + 8 in a byte, high bits of g, g + 4, g + 8, g + 12 */
        p += 96;
        return (uint8_t)((p[g % 8] >> g / 8 * 4 & 15) | (p[8 + g % 4] >> g / 4 * 2 & 3) << 4);
    case CRIA_SOURCE_Q6_K:
        return p[192 + g] ^ 0x80;
    case CRIA_SOURCE_IQ4_XS: /* high bits of all groups in two bytes, then low bits of two groups in a byte */
        return (uint8_t)((p[4 + g / 2] >> g % 2 * 4 & 15) | (p[2 + g / 4] >> g % 4 * 2 & 3) << 4);
    default: /* Q4_K, Q5_K: groups 0..3 have six bits of a byte, the others a nibble and the two bits left */
        p += 4;
        if (g < 4) return p[g + (bias ? 4 : 0)] & 63;
        return (uint8_t)((p[g + 4] >> (bias ? 4 : 0) & 15) | p[g - (bias ? 0 : 4)] >> 6 << 4);
    }
}

/* Scales or biases of two levels of a block. GGUF takes the bias off, so the sign of its m turns round. Returns
 * a bit per row with a d or m that is not finite; no product with an s and a level can overflow. */
static uint32_t pack_super_scales(const cria_matrix *m, const cria_source *src, const struct rows *rows, bool bias,
                                  uint8_t *dst) {
    const struct cria_two_levels t = cria_two_levels(m->spec.scale_type);
    const size_t source_bytes = cria_super_source_bytes(src->kind);
    uint32_t bad = 0;
    memset(dst, 0, m->bias_offset);
    for (size_t i = 0; i < m->spec.cols / CRIA_SUPER; i++, dst += cria_super_bytes(t)) {
        uint8_t second[16][CRIA_ROWS] = {{0}};
        for (uint32_t r = 0; r < rows->n; r++) {
            const uint8_t *p = row_at(src, rows, r) + i * source_bytes;
            const uint16_t d = super_first_level(src->kind, p, bias) ^ (bias ? 0x8000u : 0);
            bad |= (uint32_t)((d & 0x7c00u) == 0x7c00u) << r;
            memcpy(dst + 2 * r, &d, 2);
            for (uint32_t g = 0; g < t.groups; g++) second[g][r] = super_second_level(src->kind, p, g, bias);
        }
        for (uint32_t g = 0; g < t.groups; g += 8)
            put_planes(second[g], CRIA_ROWS, t.bits, dst + CRIA_ROWS * (2 + (size_t)(g / 8 * t.bits)));
    }
    return bad;
}

/* [groups][16] scales or biases of a block. */
static void pack_scales(const cria_matrix *m, const cria_source *src, const struct rows *rows, bool bias,
                        uint8_t *dst) {
    const size_t size = cria_scale_bytes(m->spec.scale_type);
    const size_t n_groups = m->spec.cols / m->spec.group;
    memset(dst, src->kind == CRIA_SOURCE_E4M3 ? 127 : 0, m->n_groups * CRIA_ROWS * size); /* 2^0 */
    for (uint32_t r = 0; r < rows->n && src->kind != CRIA_SOURCE_E4M3; r++) {
        const uint8_t *separate = bias ? src->biases : src->scales;
        for (size_t g = 0; g < n_groups; g++) {
            const uint8_t *p = src->kind == CRIA_SOURCE_MLX
                                   ? separate + (rows->at[r] * n_groups + g) * size
                                   : gguf_scale(src, row_at(src, rows, r), g, bias);
            uint8_t *to = dst + (g * CRIA_ROWS + r) * size;
            if (size == 2)
                memcpy(to, p, 2); /* nearly always; a constant size is a move */
            else
                memcpy(to, p, size);
        }
    }
}

/* A bit per row whose scales and biases do not keep every weight finite that a code could stand for: w is
 * monotone in the level, so the two ends tell. */
static uint32_t check_scales(const cria_matrix *m, uint32_t n_rows, const uint8_t *block) {
    const cria_matrix_spec *s = &m->spec;
    const bool fp8 = s->kind == CRIA_MATRIX_E4M3;
    const float low = fp8 ? -448.0f : (float)-s->zero;
    const float high = fp8 ? 448.0f : (float)cria_max_level(s) - (float)s->zero;
    uint32_t bad = 0;
    for (size_t g = 0; g < s->cols / s->group; g++)
        for (uint32_t r = 0; r < n_rows; r++) {
            const size_t at = g * CRIA_ROWS + r;
            const float scale = s->scale_factor * cria_scale_at(s->scale_type, block, at);
            const float bias = s->affine ? cria_scale_at(s->scale_type, block + m->bias_offset, at) : 0;
            /* Finite up to rounding in double, which cannot overflow; a NaN fails the comparison. */
            const double a = fabs((double)scale * low + bias), b = fabs((double)scale * high + bias);
            if (!(a <= (double)0x1.fffffep127f && b <= (double)0x1.fffffep127f &&
                  fabsf(scale) <= 0x1.fffffep127f))
                bad |= 1u << r;
        }
    return bad;
}

static uint32_t pack_float_block(const cria_matrix *m, const cria_source *src, const struct rows *rows, uint8_t *dst) {
    const uint32_t cols = m->spec.cols;
    if (rows->n < CRIA_ROWS || cols % 2 != 0) memset(dst, 0, m->block_bytes); /* missing rows; padding */
    if (m->spec.kind == CRIA_MATRIX_F32) return pack_floats32(src, rows, cols, dst);
    memset(dst, 0, m->codes_offset);
    return pack_floats16(src, rows, cols, m->spec.kind == CRIA_MATRIX_F16, dst, dst + m->codes_offset);
}

static uint32_t pack_block(const cria_matrix *m, const cria_source *src, const struct rows *rows, uint8_t *dst) {
    if (m->n_chunks == 0) return pack_float_block(m, src, rows, dst);

    uint32_t bad = 0;
    if (cria_super_source_bytes(src->kind) != 0) {
        bad = pack_super_scales(m, src, rows, false, dst);
        if (m->spec.affine) bad |= pack_super_scales(m, src, rows, true, dst + m->bias_offset);
    } else {
        pack_scales(m, src, rows, false, dst);
        if (m->spec.affine) pack_scales(m, src, rows, true, dst + m->bias_offset);
        bad = check_scales(m, rows->n, dst);
    }
    const size_t scales_end = m->bias_offset * (m->spec.affine ? 2 : 1);
    memset(dst + scales_end, 0, m->codes_offset - scales_end);
    return bad | pack_codes(m, src, rows, dst);
}

size_t cria_matrix_pack(const cria_matrix *m, const cria_source *src, uint8_t *dst, uint32_t block0,
                        uint32_t block1) {
    size_t first_bad = SIZE_MAX;
    for (uint32_t b = block0; b < block1; b++) {
        const struct rows rows = rows_of(m, src, b);
        const uint32_t bad = pack_block(m, src, &rows, dst + b * m->block_bytes);
        for (uint32_t r = 0; r < rows.n; r++)
            if (bad >> r & 1 && rows.at[r] < first_bad) first_bad = rows.at[r];
    }
    return first_bad;
}
