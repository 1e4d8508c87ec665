/* SPDX-License-Identifier: Apache-2.0 */
/* Packed matrices: every source format against a decoder written from its description, the layout against the
 * words of matrix.h, and what is refused. */
#include "unit.h"
#include "base/half.h"
#include "kernels/codes.h"
#include "kernels/matrix.h"
#include <math.h>
#include <stdlib.h>

enum { ROWS = 37, MAX_COLS = 768 };

static uint32_t seed = 1;
static uint32_t next(void) { /* xorshift32 */
    seed ^= seed << 13;
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

/* ---- A source with random bytes, at odd addresses since files promise no alignment ---- */

struct packed {
    cria_matrix m;
    cria_source src;
    uint8_t *rows, *scales, *biases; /* the source's bytes are from [1] on */
    uint8_t *data;
};

static uint8_t *random_bytes(size_t n) {
    uint8_t *p = malloc(n + 1);
    assert_non_null(p);
    for (size_t i = 0; i <= n; i++) p[i] = (uint8_t)(next() >> 9);
    return p;
}

static const size_t scale_sizes[] = {4, 2, 2, 1, 1};

/* The stored bits of a scale, never infinite or NaN and of modest size. */
static uint32_t random_scale(enum cria_scale_type type) {
    const float f = (float)((int32_t)next() >> 8) * 0x1p-26f;
    switch (type) {
    case CRIA_SCALE_F32:
        return cria_f32_to_bits(f);
    case CRIA_SCALE_F16:
        return cria_f32_to_f16(f);
    case CRIA_SCALE_BF16:
        return cria_f32_to_bits(f) >> 16;
    case CRIA_SCALE_E8M0:
        return next() % 240;
    default:
        return next() % 0x7f | (next() & 0x80);
    }
}

static void put(uint8_t *p, uint32_t bits, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)(bits >> 8 * i);
}

static void fill_scales(const cria_matrix_spec *s, uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        put(p + i * scale_sizes[s->scale_type], random_scale(s->scale_type), scale_sizes[s->scale_type]);
}

/* d and m of GGUF blocks, the first 2 or 4 bytes of each; of MXFP4 the first byte. */
static void fill_block_scales(const struct packed *p) {
    const size_t n = (size_t)p->m.spec.rows * p->m.spec.cols / 32,
                 block = p->src.row_bytes * 32 / p->m.spec.cols;
    for (size_t i = 0; i < n; i++) {
        put(p->rows + 1 + i * block, random_scale(p->m.spec.scale_type), scale_sizes[p->m.spec.scale_type]);
        if (p->m.spec.affine) put(p->rows + 1 + i * block + 2, random_scale(CRIA_SCALE_F16), 2);
    }
}

/* Bytes of a GGUF super-block, and where its d is; m follows. By kind from Q2_K on. */
static const size_t super_bytes[] = {84, 110, 144, 176, 210, 136}, super_d[] = {80, 108, 0, 0, 208, 0};
enum { N_SUPER = 6 };

static void fill_super_scales(const struct packed *p) {
    const size_t k = p->src.kind - CRIA_SOURCE_Q2_K;
    for (size_t i = 0; i < p->src.row_bytes * p->m.spec.rows; i += super_bytes[k]) {
        put(p->rows + 1 + i + super_d[k], random_scale(CRIA_SCALE_F16), 2);
        if (p->m.spec.affine) put(p->rows + 1 + i + super_d[k] + 2, random_scale(CRIA_SCALE_F16), 2);
    }
}

static void make_source(struct packed *p, enum cria_source_kind kind, const cria_matrix_spec *spec) {
    assert_true(cria_matrix_init(spec, &p->m));
    const size_t n_scales = spec->group ? (size_t)spec->rows * (spec->cols / spec->group) : 0;
    p->src = (cria_source){.kind = kind};
    p->src.row_bytes = cria_source_row_bytes(kind, spec);
    p->rows = random_bytes(p->src.row_bytes * spec->rows);
    p->scales = random_bytes(n_scales * 4);
    p->biases = random_bytes(n_scales * 4);
    p->src.data = p->rows + 1;
    p->src.scales = p->scales + 1;
    p->src.biases = p->biases + 1;
    p->data = aligned_alloc(64, cria_matrix_bytes(&p->m));
    assert_non_null(p->data);
    memset(p->data, 0xa5, cria_matrix_bytes(&p->m));
    p->m.data = p->data;
    if (kind == CRIA_SOURCE_MLX) {
        fill_scales(spec, p->scales + 1, n_scales);
        fill_scales(spec, p->biases + 1, n_scales);
    } else if (kind >= CRIA_SOURCE_Q2_K) {
        fill_super_scales(p);
    } else if (kind > CRIA_SOURCE_MLX) {
        fill_block_scales(p);
    }
}

static size_t pack_all(struct packed *p) {
    return cria_matrix_pack(&p->m, &p->src, p->data, 0, p->m.n_blocks);
}

static void free_source(struct packed *p) {
    free(p->rows);
    free(p->scales);
    free(p->biases);
    free(p->data);
}

/* ---- Decoders from the descriptions of the formats ---- */

static float stored(enum cria_scale_type type, const uint8_t *p, size_t i) {
    uint32_t u = 0;
    for (size_t b = 0; b < scale_sizes[type]; b++) u |= (uint32_t)p[i * scale_sizes[type] + b] << 8 * b;
    switch (type) {
    case CRIA_SCALE_F32:
        return cria_f32_from_bits(u);
    case CRIA_SCALE_F16:
        return cria_f16_to_f32((uint16_t)u);
    case CRIA_SCALE_BF16:
        return cria_bf16_to_f32((uint16_t)u);
    case CRIA_SCALE_E8M0:
        return cria_e8m0_to_f32((uint8_t)u);
    default:
        return cria_e4m3_to_f32((uint8_t)u);
    }
}

/* Code i of a little-endian bit stream, bit by bit. */
static uint32_t stream_code(const uint8_t *row, uint32_t bits, size_t i) {
    uint32_t code = 0;
    for (uint32_t b = 0; b < bits; b++) {
        const size_t at = i * bits + b;
        code |= (uint32_t)(row[at / 8] >> at % 8 & 1) << b;
    }
    return code;
}

static float mlx_weight(const struct packed *p, size_t row, size_t k) {
    static const float fp4[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    const cria_matrix_spec *s = &p->m.spec;
    const size_t at = row * (s->cols / s->group) + k / s->group;
    const uint32_t code = stream_code(p->src.data + row * p->src.row_bytes, s->bits, k);
    const float scale = stored(s->scale_type, p->src.scales, at);
    if (s->affine) return fmaf(scale, (float)code, stored(s->scale_type, p->src.biases, at));
    if (s->kind == CRIA_MATRIX_E4M3) return scale * cria_e4m3_to_f32((uint8_t)code);
    return scale * (code & 8 ? -fp4[code & 7] : fp4[code & 7]);
}

/* The sixteen values of IQ4_NL and IQ4_XS. */
static const int iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* ggml's dequantize_row_q4_0 and so on; affine ones as a fused multiply-add. */
static float gguf_weight(const struct packed *p, size_t row, size_t k) {
    const size_t block_bytes = p->src.row_bytes * 32 / p->m.spec.cols;
    const uint8_t *b = p->src.data + row * p->src.row_bytes + k / 32 * block_bytes;
    const float d = stored(CRIA_SCALE_F16, b, 0), m = stored(CRIA_SCALE_F16, b, 1);
    static const int twice_fp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    const size_t j = k % 32;
    switch (p->src.kind) {
    case CRIA_SOURCE_IQ4_NL:
        return d * (float)iq4_values[b[2 + j % 16] >> (j < 16 ? 0 : 4) & 15];
    case CRIA_SOURCE_MXFP4:
        return ldexpf((float)twice_fp4[b[1 + j % 16] >> (j < 16 ? 0 : 4) & 15], b[0] - 128);
    case CRIA_SOURCE_Q4_0:
        return d * (float)((b[2 + j % 16] >> (j < 16 ? 0 : 4) & 15) - 8);
    case CRIA_SOURCE_Q4_1:
        return fmaf(d, (float)(b[4 + j % 16] >> (j < 16 ? 0 : 4) & 15), m);
    case CRIA_SOURCE_Q5_0:
        return d *
               (float)(((b[6 + j % 16] >> (j < 16 ? 0 : 4) & 15) | (b[2 + j / 8] >> j % 8 & 1) << 4) - 16);
    case CRIA_SOURCE_Q5_1:
        return fmaf(d, (float)((b[8 + j % 16] >> (j < 16 ? 0 : 4) & 15) | (b[4 + j / 8] >> j % 8 & 1) << 4),
                    m);
    default:
        return d * (float)(b[2 + j] < 128 ? b[2 + j] : b[2 + j] - 256);
    }
}

/* Six-bit numbers j = 0..7 (scales) and 8..15 (mins) of Q4_K and Q5_K: 0..3 and 8..11 are the low six bits of a
 * byte each; the low four bits of the others are in the last four bytes, the high two on top of the first. */
static int k4_number(const uint8_t *p, size_t j) {
    const size_t min = j / 8, i = j % 8;
    if (i < 4) return p[4 * min + i] & 63;
    return (p[4 + i] >> 4 * min & 15) + 16 * (p[4 * min + i - 4] >> 6);
}

/* The scales of Q3_K: sixteen nibbles, eight in the low halves of bytes and eight in the high ones, then four
 * bytes with two bits more for each. */
static int k3_number(const uint8_t *p, size_t j) {
    const int low = j < 8 ? p[j] & 15 : p[j - 8] >> 4;
    return low + 16 * (p[8 + j % 4] >> 2 * (j / 4) & 3) - 32;
}

/* The scales of IQ4_XS: bits 4 and 5 of all eight in two bytes, then a nibble each. */
static int xs_number(const uint8_t *p, size_t j) {
    return (p[2 + j / 2] >> (j % 2 ? 4 : 0) & 15) + 16 * (p[j / 4] >> 2 * (j % 4) & 3) - 32;
}

static float f16_at(const uint8_t *p) { return stored(CRIA_SCALE_F16, p, 0); }

/* ggml's dequantize_row_q2_K and so on. Every product but that of a Q6_K weight is exact, so one rounding is left:
 * plain and fused operations give the same. */
static float k_weight(const struct packed *p, size_t row, size_t k) {
    const size_t kind = p->src.kind - CRIA_SOURCE_Q2_K, i = k % 256, j = i % 128, l = i % 32;
    const uint8_t *b = p->src.data + row * p->src.row_bytes + k / 256 * super_bytes[kind];
    const float d = f16_at(b + super_d[kind]);
    int q;
    switch (p->src.kind) {
    case CRIA_SOURCE_Q2_K:
        q = b[16 + i / 128 * 32 + l] >> 2 * (j / 32) & 3;
        return d * (float)(b[i / 16] & 15) * (float)q - f16_at(b + 82) * (float)(b[i / 16] >> 4);
    case CRIA_SOURCE_Q3_K:
        q = (b[32 + i / 128 * 32 + l] >> 2 * (j / 32) & 3) - (b[l] >> i / 32 & 1 ? 0 : 4);
        return d * (float)k3_number(b + 96, i / 16) * (float)q;
    case CRIA_SOURCE_Q4_K:
        q = b[16 + i / 64 * 32 + l] >> (i % 64 < 32 ? 0 : 4) & 15;
        return d * (float)k4_number(b + 4, i / 32) * (float)q -
               f16_at(b + 2) * (float)k4_number(b + 4, 8 + i / 32);
    case CRIA_SOURCE_Q5_K:
        q = (b[48 + i / 64 * 32 + l] >> (i % 64 < 32 ? 0 : 4) & 15) + 16 * (b[16 + l] >> i / 32 & 1);
        return d * (float)k4_number(b + 4, i / 32) * (float)q -
               f16_at(b + 2) * (float)k4_number(b + 4, 8 + i / 32);
    case CRIA_SOURCE_IQ4_XS:
        q = iq4_values[b[8 + i / 32 * 16 + i % 16] >> (l < 16 ? 0 : 4) & 15];
        return d * (float)xs_number(b + 2, i / 32) * (float)q;
    default:
        q = (b[i / 128 * 64 + i % 64] >> (j < 64 ? 0 : 4) & 15) +
            16 * (b[128 + i / 128 * 32 + l] >> 2 * (j / 32) & 3);
        return d * (float)(int8_t)b[192 + i / 16] * (float)(q - 32);
    }
}

static float fp8_weight(const struct packed *p, size_t row, size_t k) {
    return cria_e4m3_to_f32(p->src.data[row * p->src.row_bytes + k]);
}

static float float_weight(const struct packed *p, size_t row, size_t k) {
    static const enum cria_scale_type types[] = {CRIA_SCALE_F32, CRIA_SCALE_F16, CRIA_SCALE_BF16};
    return stored(types[p->src.kind], p->src.data + row * p->src.row_bytes, k);
}

static void check_rows(const struct packed *p, float (*weight)(const struct packed *, size_t, size_t)) {
    float row[MAX_COLS + 1];
    const uint32_t cols = p->m.spec.cols;
    for (uint32_t r = 0; r < p->m.spec.rows; r++) {
        row[cols] = 7;
        cria_matrix_row(&p->m, r, row);
        for (uint32_t k = 0; k < cols; k++) {
            const float want = weight(p, r, k); /* −0 and 0 are the same weight */
            if (!(row[k] <= want && row[k] >= want))
                fail_msg("row %u, column %u: %a, not %a", r, k, (double)row[k], (double)want);
        }
        assert_true(row[cols] == 7);
    }
}

/* No code or float of random bytes may be infinite or NaN. */
static void tame_bytes(struct packed *p) {
    const size_t n = p->src.row_bytes * p->m.spec.rows;
    if (p->m.spec.kind == CRIA_MATRIX_E4M3)
        for (size_t i = 1; i <= n; i++) p->rows[i] = (p->rows[i] & 0x7f) == 0x7f ? 0x7e : p->rows[i];
    if (p->src.kind == CRIA_SOURCE_F32)
        for (size_t i = 4; i <= n; i += 4) p->rows[i] &= 0xbf;
    if (p->src.kind == CRIA_SOURCE_F16 || p->src.kind == CRIA_SOURCE_BF16)
        for (size_t i = 2; i <= n; i += 2) p->rows[i] &= 0xbf;
}

/* ---- Tests ---- */

static const uint32_t all_bits[] = {2, 3, 4, 5, 6, 8}, all_groups[] = {32, 64, 128};

static void packs_mlx_affine(void **state) {
    (void)state;
    for (size_t b = 0; b < N_ITEMS(all_bits); b++)
        for (size_t g = 0; g < N_ITEMS(all_groups); g++)
            for (int type = CRIA_SCALE_F32; type <= CRIA_SCALE_BF16; type++) {
                cria_matrix_spec spec;
                struct packed p;
                assert_true(cria_matrix_spec_mlx_affine(ROWS, all_groups[g] * 3, all_bits[b], all_groups[g],
                                                        (enum cria_scale_type)type, &spec));
                make_source(&p, CRIA_SOURCE_MLX, &spec);
                assert_true(pack_all(&p) == SIZE_MAX);
                check_rows(&p, mlx_weight);
                free_source(&p);
            }
}

static void packs_mlx_fp(void **state) {
    (void)state;
    static const char *const modes[] = {"mxfp4", "nvfp4", "mxfp8"};
    for (size_t i = 0; i < N_ITEMS(modes); i++)
        for (uint32_t cols = 16; cols <= 352; cols += 48) { /* whole and half chunks */
            cria_matrix_spec spec;
            struct packed p;
            if (!cria_matrix_spec_mlx_fp(modes[i], ROWS, cols, &spec)) {
                assert_true(cols % 32 != 0 && strcmp(modes[i], "nvfp4") != 0);
                continue;
            }
            make_source(&p, CRIA_SOURCE_MLX, &spec);
            tame_bytes(&p);
            assert_true(pack_all(&p) == SIZE_MAX);
            check_rows(&p, mlx_weight);
            free_source(&p);
        }
}

static void packs_gguf_blocks(void **state) {
    (void)state;
    static const size_t block_bytes[] = {18, 20, 22, 24, 34, 18, 17};
    for (int kind = CRIA_SOURCE_Q4_0; kind <= CRIA_SOURCE_MXFP4; kind++)
        for (uint32_t cols = 32; cols <= 96; cols += 32) {
            cria_matrix_spec spec;
            struct packed p;
            assert_true(cria_matrix_spec_for((enum cria_source_kind)kind, ROWS, cols, &spec));
            make_source(&p, (enum cria_source_kind)kind, &spec);
            assert_int_equal(p.src.row_bytes, cols / 32 * block_bytes[kind - CRIA_SOURCE_Q4_0]);
            assert_true(pack_all(&p) == SIZE_MAX);
            check_rows(&p, gguf_weight);
            assert_true(p.m.block_bytes - 16 * p.src.row_bytes < 128); /* at the size of the file, up to padding */
            free_source(&p);
        }
}

static void packs_gguf_super_blocks(void **state) {
    (void)state;
    for (int kind = CRIA_SOURCE_Q2_K; kind <= CRIA_SOURCE_IQ4_XS; kind++)
        for (uint32_t cols = 256; cols <= 768; cols += 256) {
            cria_matrix_spec spec;
            struct packed p;
            assert_true(cria_matrix_spec_for((enum cria_source_kind)kind, ROWS, cols, &spec));
            make_source(&p, (enum cria_source_kind)kind, &spec);
            assert_int_equal(p.src.row_bytes, cols / 256 * super_bytes[kind - CRIA_SOURCE_Q2_K]);
            assert_true(pack_all(&p) == SIZE_MAX);
            check_rows(&p, k_weight);
            /* Three row blocks of 16 at the size of the file, up to padding. */
            assert_true(p.m.block_bytes - 16 * p.src.row_bytes < 64);
            free_source(&p);
        }
}

/* Packing with `bits` written at byte `at` of `where` names row `row`; and only if the range has it. */
static void expect_bad(struct packed *p, uint8_t *where, size_t at, uint32_t bits, size_t bytes, size_t row) {
    uint8_t before[4];
    memcpy(before, where + at, bytes);
    put(where + at, bits, bytes);
    assert_int_equal(pack_all(p), row);
    const uint32_t block = (uint32_t)(row / 16);
    assert_true(cria_matrix_pack(&p->m, &p->src, p->data, 0, block) == SIZE_MAX);
    assert_true(cria_matrix_pack(&p->m, &p->src, p->data, block + 1, p->m.n_blocks) == SIZE_MAX);
    memcpy(where + at, before, bytes);
    assert_true(pack_all(p) == SIZE_MAX);
}

/* The largest weight of each group is 240 to 448 times its scale. */
static void check_fp8_scales(const struct packed *p) {
    float row[MAX_COLS];
    for (uint32_t r = 0; r < p->m.spec.rows; r++) {
        cria_matrix_row(&p->m, r, row);
        for (uint32_t g = 0; g < p->m.n_groups; g++) {
            float top = 0;
            for (uint32_t k = 32 * g; k < 32 * (g + 1); k++) top = fmaxf(top, fabsf(row[k]));
            const float scale = cria_e8m0_to_f32(
                p->data[r / CRIA_ROWS * p->m.block_bytes + g * CRIA_ROWS + r % CRIA_ROWS]);
            if (top > 0 && !(top >= 240 * scale && top <= 448 * scale))
                fail_msg("row %u, group %u: %g is %g scales", r, g, (double)top, (double)(top / scale));
        }
    }
}

static void packs_plain_fp8(void **state) {
    (void)state;
    static const uint8_t masks[] = {0xff, 0xbf, 0x9f, 0x87, 0x81}; /* small ones; subnormal ones */
    for (uint32_t i = 0; i < 3 * N_ITEMS(masks); i++) {
        const uint32_t cols = 32 * (1 + i % 3);
        cria_matrix_spec spec;
        struct packed p;
        assert_true(cria_matrix_spec_for(CRIA_SOURCE_E4M3, ROWS, cols, &spec));
        make_source(&p, CRIA_SOURCE_E4M3, &spec);
        tame_bytes(&p);
        for (size_t k = 1; k <= p.src.row_bytes * ROWS; k++) p.rows[k] &= masks[i / 3];
        memset(p.rows + 1 + cols, 0x80, cols); /* and a row of zeros */
        assert_true(pack_all(&p) == SIZE_MAX);
        check_rows(&p, fp8_weight);
        check_fp8_scales(&p);
        expect_bad(&p, p.rows + 1, 20 * cols + 7, 0x7f, 1, 20);
        expect_bad(&p, p.rows + 1, 36 * cols, 0xff, 1, 36);
        free_source(&p);
    }
    cria_matrix_spec spec;
    assert_false(cria_matrix_spec_for(CRIA_SOURCE_E4M3, ROWS, 48, &spec));
}

static void fp8_numbers_are_integers(void **state) {
    (void)state;
    for (int code = 0; code < 256; code++) {
        const int e = code >> 3 & 15;
        const double v = ldexp(e == 0 ? code & 7 : 8 + (code & 7), e == 0 ? -9 : e - 10);
        assert_int_equal(cria_e4m3_integer((uint8_t)code), (int)floor((code & 0x80 ? -v : v) * 32 + 0.5));
    }
    assert_int_equal(cria_e4m3_step(127), 122);
    assert_int_equal(cria_e4m3_step(3), 0);
    assert_true(cria_step_float(122) == 0x1p-5f && cria_step_float(0) == 0);
}

static void packs_floats(void **state) {
    (void)state;
    for (int kind = CRIA_SOURCE_F32; kind <= CRIA_SOURCE_BF16; kind++)
        for (uint32_t cols = 1; cols < 70; cols += 17) {
            cria_matrix_spec spec;
            struct packed p;
            assert_true(cria_matrix_spec_for((enum cria_source_kind)kind, ROWS, cols, &spec));
            make_source(&p, (enum cria_source_kind)kind, &spec);
            tame_bytes(&p);
            assert_true(pack_all(&p) == SIZE_MAX);
            check_rows(&p, float_weight);
            free_source(&p);
        }
}

/* The steps of half floats, found by trying: rows of random bytes, their exponents made smaller for some rows. */
static void packs_steps(void **state) {
    (void)state;
    enum { COLS = 300 };
    for (int kind = CRIA_SOURCE_F16; kind <= CRIA_SOURCE_BF16; kind++) {
        cria_matrix_spec spec;
        struct packed p;
        assert_true(cria_matrix_spec_for((enum cria_source_kind)kind, ROWS, COLS, &spec));
        make_source(&p, (enum cria_source_kind)kind, &spec);
        tame_bytes(&p);
        for (uint32_t r = 0; r < ROWS; r++) /* exponents of all sizes, and zeros */
            for (uint32_t k = 0; k < COLS; k++) {
                uint8_t *high = p.rows + 1 + 2 * ((size_t)r * COLS + k) + 1;
                *high = (uint8_t)((*high & 0x80) | ((*high & 0x7f) * (r % 8) / 8));
                if (r % 8 == 0 && k >= 128) high[0] = high[-1] = 0;
                if (r % 8 == 1 && k % 128 == 5) high[0] = 0x30, high[-1] = 0; /* a power of two, which fits exactly */
            }
        assert_true(pack_all(&p) == SIZE_MAX);
        assert_int_equal(p.m.n_groups, 3);
        for (uint32_t r = 0; r < ROWS; r++) {
            float w[COLS];
            cria_matrix_row(&p.m, r, w);
            for (uint32_t g = 0; g < 3; g++) {
                double top = 0;
                for (uint32_t k = 128 * g; k < COLS && k < 128 * (g + 1); k++) top = fmax(top, fabs((double)w[k]));
                int e = -100;
                while (top / ldexp(1, e) > 4096) e++;
                assert_int_equal(p.data[r / 16 * p.m.block_bytes + 16 * g + r % 16], e + 127);
            }
        }
        free_source(&p);
    }
}

/* Where matrix.h says the lowest bit of a plane has its place: bit `bit` of byte 4·row + i%4 of a vector. */
static void plane_place(uint32_t width, uint32_t step, uint32_t *vector, uint32_t *bit) {
    switch (width) {
    case 8:
        *vector = step, *bit = 0;
        break;
    case 4:
        *vector = step % 4, *bit = step < 4 ? 0 : 4;
        break;
    case 2:
        *vector = step % 2, *bit = 2 * (step / 2);
        break;
    default:
        *vector = 0, *bit = step;
        break;
    }
}

/* The code of (row, k) read from the packed bytes as matrix.h describes them. */
static uint32_t packed_code(const cria_matrix *m, uint32_t row, uint32_t k) {
    static const uint32_t widths[9][3] = {
        [2] = {2}, [3] = {2, 1}, [4] = {4}, [5] = {4, 1}, [6] = {4, 2}, [8] = {8}};
    const uint8_t *plane = m->data + row / 16 * m->block_bytes + m->codes_offset + k / 32 * m->chunk_bytes;
    uint32_t code = 0, low = 0;
    for (const uint32_t *w = widths[m->spec.bits]; *w; w++) {
        uint32_t vector, bit;
        plane_place(*w, k % 32 / 4, &vector, &bit);
        const uint32_t byte = plane[64 * (size_t)vector + 4 * (row % 16) + k % 4];
        code |= (byte >> bit & ((1u << *w) - 1)) << low;
        low += *w;
        plane += 64 * (size_t)*w;
    }
    return code;
}

static void layout_is_as_described(void **state) {
    (void)state;
    for (size_t b = 0; b < N_ITEMS(all_bits); b++) {
        cria_matrix_spec spec;
        struct packed p;
        assert_true(cria_matrix_spec_mlx_affine(ROWS, 192, all_bits[b], 64, CRIA_SCALE_BF16, &spec));
        make_source(&p, CRIA_SOURCE_MLX, &spec);
        assert_true(pack_all(&p) == SIZE_MAX);
        assert_int_equal(p.m.n_blocks, 3);
        assert_int_equal(p.m.n_groups, 3);
        assert_int_equal(p.m.bias_offset, 3 * 16 * 2);
        assert_int_equal(p.m.codes_offset, 3 * 16 * 2 * 2);
        assert_int_equal(p.m.block_bytes, 192 + 6 * 64 * all_bits[b]);
        for (uint32_t r = 0; r < 48; r++) {
            for (uint32_t k = 0; k < 192; k++)
                assert_int_equal(packed_code(&p.m, r, k),
                                 r < ROWS ? stream_code(p.src.data + r * p.src.row_bytes, spec.bits, k) : 0);
            for (uint32_t g = 0; g < 3; g++) {
                const uint8_t *block = p.data + r / 16 * p.m.block_bytes;
                const uint8_t zero[2] = {0};
                const size_t to = (g * 16 + r % 16) * 2, from = (r * 3 + g) * 2;
                assert_memory_equal(block + to, r < ROWS ? p.src.scales + from : zero, 2);
                assert_memory_equal(block + 96 + to, r < ROWS ? p.src.biases + from : zero, 2);
            }
        }
        free_source(&p);
    }
}

/* s of group g of a super-block of 16 rows, from the bit planes after its d. */
static uint32_t second_level(const uint8_t *super, uint32_t bits, uint32_t g, uint32_t row) {
    const uint8_t *planes = super + 32 + g / 8 * 16 * (size_t)bits;
    uint32_t vector, bit;
    plane_place(bits == 6 ? 4 : bits, g % 8, &vector, &bit);
    uint32_t s = planes[16 * (size_t)vector + row] >> bit & (bits == 8 ? 255 : 15);
    if (bits == 6) {
        plane_place(2, g % 8, &vector, &bit);
        s |= (planes[64 + 16 * (size_t)vector + row] >> bit & 3u) << 4;
    }
    return s;
}

static void two_levels_lie_as_described(void **state) {
    (void)state;
    static const uint32_t bits[] = {4, 6, 6, 6, 8, 6}, groups[] = {16, 16, 8, 8, 16, 8};
    static const size_t bytes[] = {160, 224, 128, 128, 288, 128};
    for (uint32_t i = 0; i < N_SUPER; i++) {
        const enum cria_source_kind kind = (enum cria_source_kind)(CRIA_SOURCE_Q2_K + i);
        cria_matrix_spec spec;
        struct packed p;
        assert_true(cria_matrix_spec_for(kind, ROWS, 512, &spec));
        make_source(&p, kind, &spec);
        assert_true(pack_all(&p) == SIZE_MAX);
        assert_int_equal(p.m.n_groups, 2 * groups[i]);
        assert_int_equal(p.m.bias_offset, 2 * bytes[i]);
        for (uint32_t r = 0; r < 48; r++)
            for (uint32_t g = 0; g < 2 * groups[i]; g++) {
                const uint8_t *super = p.data + r / 16 * p.m.block_bytes + g / groups[i] * bytes[i];
                const uint8_t *b = p.src.data + r * p.src.row_bytes + g / groups[i] * super_bytes[i];
                const uint32_t s = second_level(super, bits[i], g % groups[i], r % 16);
                const uint8_t zero[2] = {0};
                assert_memory_equal(super + 2 * (r % 16), r < ROWS ? b + super_d[i] : zero, 2);
                if (r >= ROWS) {
                    assert_int_equal(s, 0);
                    continue;
                }
                const size_t j = g % groups[i];
                assert_int_equal(s, kind == CRIA_SOURCE_Q2_K   ? b[j] & 15
                                    : kind == CRIA_SOURCE_Q3_K ? k3_number(b + 96, j) + 32
                                    : kind == CRIA_SOURCE_Q6_K ? (int8_t)b[192 + j] + 128
                                    : kind == CRIA_SOURCE_IQ4_XS ? xs_number(b + 2, j) + 32
                                                               : k4_number(b + 4, j));
                if (!spec.affine) continue;
                super += p.m.bias_offset;
                assert_int_equal(second_level(super, bits[i], g % groups[i], r % 16),
                                 kind == CRIA_SOURCE_Q2_K ? b[j] >> 4 : k4_number(b + 4, 8 + j));
                assert_int_equal(super[2 * (r % 16)], b[super_d[i] + 2]);
                assert_int_equal(super[2 * (r % 16) + 1], b[super_d[i] + 3] ^ 0x80); /* −m */
            }
        free_source(&p);
    }
}

static void packs_ranges_of_blocks(void **state) {
    (void)state;
    cria_matrix_spec spec;
    struct packed p;
    assert_true(cria_matrix_spec_for(CRIA_SOURCE_Q5_1, ROWS, 64, &spec));
    make_source(&p, CRIA_SOURCE_Q5_1, &spec);
    assert_true(cria_matrix_pack(&p.m, &p.src, p.data, 1, 2) == SIZE_MAX);
    for (size_t i = 0; i < cria_matrix_bytes(&p.m); i++)
        if (i / p.m.block_bytes != 1) assert_int_equal(p.data[i], 0xa5);
    assert_true(cria_matrix_pack(&p.m, &p.src, p.data, 2, 3) == SIZE_MAX);
    assert_true(cria_matrix_pack(&p.m, &p.src, p.data, 0, 1) == SIZE_MAX);
    assert_true(cria_matrix_pack(&p.m, &p.src, p.data, 1, 1) == SIZE_MAX);
    check_rows(&p, gguf_weight);
    free_source(&p);
}

static void finds_floats_that_are_not_finite(void **state) {
    (void)state;
    static const uint32_t bad[3][3] = {
        {0x7f800000, 0xff800000, 0x7fc00001}, {0x7c00, 0xfc00, 0x7e01}, {0x7f80, 0xff80, 0x7fc1}};
    for (uint32_t kind = CRIA_SOURCE_F32; kind <= CRIA_SOURCE_BF16; kind++) {
        cria_matrix_spec spec;
        struct packed p;
        assert_true(cria_matrix_spec_for((enum cria_source_kind)kind, ROWS, 21, &spec));
        make_source(&p, (enum cria_source_kind)kind, &spec);
        tame_bytes(&p);
        const size_t size = kind == CRIA_SOURCE_F32 ? 4 : 2;
        for (int i = 0; i < 3; i++) {
            expect_bad(&p, p.rows + 1, (36 * 21 + 20) * size, bad[kind][i], size, 36);
            expect_bad(&p, p.rows + 1, 18 * 21 * size, bad[kind][i], size, 18);
        }
        free_source(&p);
    }
}

static void finds_scales_that_are_not_finite(void **state) {
    (void)state;
    cria_matrix_spec spec;
    struct packed p;
    assert_true(cria_matrix_spec_for(CRIA_SOURCE_Q4_1, ROWS, 64, &spec));
    make_source(&p, CRIA_SOURCE_Q4_1, &spec);
    expect_bad(&p, p.rows + 1, 5 * 40 + 20, 0x7c00, 2, 5);   /* d of the second block */
    expect_bad(&p, p.rows + 1, 33 * 40 + 22, 0xfe00, 2, 33); /* m */
    free_source(&p);

    assert_true(cria_matrix_spec_mlx_affine(ROWS, 128, 4, 64, CRIA_SCALE_F32, &spec));
    make_source(&p, CRIA_SOURCE_MLX, &spec);
    expect_bad(&p, p.scales + 1, (7 * 2 + 1) * 4, 0x7f800000, 4, 7);
    expect_bad(&p, p.biases + 1, 20 * 2 * 4, 0x7fc00000, 4, 20);
    expect_bad(&p, p.scales + 1, 20 * 2 * 4, 0x7f000000, 4, 20); /* 15 times that is not finite */
    expect_bad(&p, p.scales + 1, 20 * 2 * 4, 0xff000000, 4, 20);
    free_source(&p);
}

static void finds_super_blocks_that_are_not_finite(void **state) {
    (void)state;
    for (size_t i = 0; i < N_SUPER; i++) {
        const enum cria_source_kind kind = (enum cria_source_kind)(CRIA_SOURCE_Q2_K + i);
        cria_matrix_spec spec;
        struct packed p;
        assert_true(cria_matrix_spec_for(kind, ROWS, 512, &spec));
        make_source(&p, kind, &spec);
        expect_bad(&p, p.rows + 1, (5 * 2 + 1) * super_bytes[i] + super_d[i], 0x7c00, 2, 5);
        expect_bad(&p, p.rows + 1, 33 * 2 * super_bytes[i] + super_d[i], 0xfe00, 2, 33);
        if (spec.affine) expect_bad(&p, p.rows + 1, 36 * 2 * super_bytes[i] + super_d[i] + 2, 0xfc00, 2, 36);
        /* The largest numbers there are make finite weights. */
        for (size_t j = 0; j < p.src.row_bytes * ROWS; j += super_bytes[i]) {
            memset(p.rows + 1 + j, 0xff, super_bytes[i]);
            put(p.rows + 1 + j + super_d[i], 0x7bff, 2);
            if (spec.affine) put(p.rows + 1 + j + super_d[i] + 2, 0xfbff, 2);
        }
        assert_true(pack_all(&p) == SIZE_MAX);
        check_rows(&p, k_weight);
        float row[512];
        cria_matrix_row(&p.m, 0, row);
        for (size_t k = 0; k < 512; k++) assert_true(isfinite(row[k]));
        free_source(&p);
    }
}

static void finds_codes_and_scales_of_mx_formats(void **state) {
    (void)state;
    cria_matrix_spec spec;
    struct packed p;
    assert_true(cria_matrix_spec_mlx_fp("mxfp8", ROWS, 64, &spec));
    make_source(&p, CRIA_SOURCE_MLX, &spec);
    tame_bytes(&p);
    expect_bad(&p, p.rows + 1, 9 * 64 + 63, 0x7f, 1, 9);
    expect_bad(&p, p.rows + 1, 36 * 64, 0xff, 1, 36);
    expect_bad(&p, p.scales + 1, 17 * 2 + 1, 255, 1, 17);
    expect_bad(&p, p.scales + 1, 17 * 2 + 1, 250, 1, 17); /* 448·2^123 */
    free_source(&p);

    assert_true(cria_matrix_spec_for(CRIA_SOURCE_MXFP4, ROWS, 64, &spec));
    make_source(&p, CRIA_SOURCE_MXFP4, &spec);
    expect_bad(&p, p.rows + 1, 17 * 34 + 17, 255, 1, 17);
    free_source(&p);

    assert_true(cria_matrix_spec_mlx_fp("nvfp4", ROWS, 48, &spec));
    make_source(&p, CRIA_SOURCE_MLX, &spec);
    expect_bad(&p, p.scales + 1, 30 * 3 + 2, 0x7f, 1, 30);
    free_source(&p);
}

static void refuses_impossible_specs(void **state) {
    (void)state;
    cria_matrix_spec good, s;
    cria_matrix m;
    assert_true(cria_matrix_spec_mlx_affine(1, 64, 4, 32, CRIA_SCALE_F16, &good));
    assert_true(cria_matrix_init(&good, &m));
#define REFUSED(change) (s = good, (change), assert_false(cria_matrix_init(&s, &m)))
    REFUSED(s.rows = 0);
    REFUSED(s.cols = 0);
    REFUSED(s.rows = (1u << 24) + 1);
    REFUSED(s.cols = (1u << 24) + 32);
    REFUSED(s.kind = (enum cria_matrix_kind)5);
    REFUSED(s.bits = 1);
    REFUSED(s.bits = 7);
    REFUSED(s.bits = 9);
    REFUSED(s.group = 0);
    REFUSED(s.group = 48);
    REFUSED(s.group = 128); /* does not divide 64 */
    REFUSED(s.zero = 8);    /* affine */
    REFUSED(s.scale_type = CRIA_SCALE_E8M0);
    REFUSED(s.scale_type = CRIA_SCALE_E4M3);
    REFUSED(s.scale_type = (enum cria_scale_type)10);
    REFUSED(s.scale_type = CRIA_SCALE_Q4_K); /* 64 columns */
    REFUSED((s.scale_type = CRIA_SCALE_Q4_K, s.cols = 256, s.group = 16));
    REFUSED((s.scale_type = CRIA_SCALE_Q2_K, s.cols = 256));
    REFUSED((s.scale_type = CRIA_SCALE_Q6_K, s.cols = 272, s.group = 16));
    REFUSED((s.scale_type = CRIA_SCALE_IQ4_XS, s.cols = 256, s.group = 16));
    REFUSED(s.scale_factor = 0.75f);
    REFUSED((s.affine = false, s.zero = 256));
    REFUSED((s.affine = false, s.zero = -1));
    REFUSED(s.kind = CRIA_MATRIX_E4M3);
#undef REFUSED
    assert_false(cria_matrix_spec_for(CRIA_SOURCE_Q4_0, 4, 48, &s));
    assert_false(cria_matrix_spec_for(CRIA_SOURCE_MLX, 4, 64, &s));
    for (int kind = CRIA_SOURCE_Q2_K; kind <= CRIA_SOURCE_IQ4_XS; kind++)
        assert_false(cria_matrix_spec_for((enum cria_source_kind)kind, 4, 384, &s));
    assert_false(cria_matrix_spec_for((enum cria_source_kind)99, 4, 64, &s));
    assert_false(cria_matrix_spec_mlx_affine(4, 64, 7, 32, CRIA_SCALE_F16, &s));
    assert_false(cria_matrix_spec_mlx_affine(4, 64, 4, 16, CRIA_SCALE_F16, &s));
    assert_false(cria_matrix_spec_mlx_affine(4, 256, 4, 32, CRIA_SCALE_Q4_K, &s));
    assert_false(cria_matrix_spec_mlx_fp("mxfp6", 4, 64, &s));
    assert_false(cria_matrix_spec_mlx_fp("mxfp8", 4, 48, &s));
}

/* Heads with neighbouring rotary pairs come out in halves, whatever the format, and from any block. */
static void paired_rows(void **state) {
    (void)state;
    static const enum cria_source_kind kinds[] = {CRIA_SOURCE_F32,  CRIA_SOURCE_BF16, CRIA_SOURCE_MLX,
                                                  CRIA_SOURCE_Q4_0, CRIA_SOURCE_Q8_0, CRIA_SOURCE_Q4_K};
    enum { HEAD = 6, HEADS = 7, COLS = 256 }; /* 42 rows: blocks begin inside heads, the last is not whole */
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        cria_matrix_spec spec;
        assert_true(kinds[k] == CRIA_SOURCE_MLX
                        ? cria_matrix_spec_mlx_affine(HEAD * HEADS, COLS, 4, 64, CRIA_SCALE_F16, &spec)
                        : cria_matrix_spec_for(kinds[k], HEAD * HEADS, COLS, &spec));
        struct packed p;
        make_source(&p, kinds[k], &spec);
        if (kinds[k] == CRIA_SOURCE_F32 || kinds[k] == CRIA_SOURCE_BF16)
            for (size_t i = 0; i < p.src.row_bytes * spec.rows; i++) p.rows[1 + i] &= 0x3f; /* finite */
        float as_is[HEAD * HEADS][COLS], out[COLS];
        assert_int_equal(pack_all(&p), SIZE_MAX);
        for (uint32_t r = 0; r < spec.rows; r++) cria_matrix_row(&p.m, r, as_is[r]);
        p.src.paired = HEAD;
        assert_int_equal(pack_all(&p), SIZE_MAX);
        for (uint32_t r = 0; r < spec.rows; r++) {
            const uint32_t i = r % HEAD, from = r - i + (i < HEAD / 2 ? 2 * i : 2 * (i - HEAD / 2) + 1);
            cria_matrix_row(&p.m, r, out);
            assert_memory_equal(out, as_is[from], sizeof out);
        }
        free_source(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paired_rows),
        cmocka_unit_test(packs_mlx_affine),
        cmocka_unit_test(packs_mlx_fp),
        cmocka_unit_test(packs_gguf_blocks),
        cmocka_unit_test(packs_gguf_super_blocks),
        cmocka_unit_test(packs_plain_fp8),
        cmocka_unit_test(fp8_numbers_are_integers),
        cmocka_unit_test(packs_floats),
        cmocka_unit_test(packs_steps),
        cmocka_unit_test(layout_is_as_described),
        cmocka_unit_test(two_levels_lie_as_described),
        cmocka_unit_test(packs_ranges_of_blocks),
        cmocka_unit_test(finds_floats_that_are_not_finite),
        cmocka_unit_test(finds_scales_that_are_not_finite),
        cmocka_unit_test(finds_super_blocks_that_are_not_finite),
        cmocka_unit_test(finds_codes_and_scales_of_mx_formats),
        cmocka_unit_test(refuses_impossible_specs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
