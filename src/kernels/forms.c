/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random matrices are made as files have them, 16 rows at a time, and packed like those: random bytes, which
 * are random codes in every format, with the scales put right. So nothing here knows the packed layout.
 */
#include "kernels/forms.h"

#include "base/half.h"

#include <math.h>
#include <string.h>

/* Of weights as multiples of the (first-level) scale, for random codes: their deviation, and what is to be in
 * the place of the bias to bring their mean to 0 (K-quants subtract it). */
struct form {
    const char *name;
    enum cria_source_kind kind;
    uint32_t block, block_bytes; /* inputs and bytes of a GGUF block; 0: none */
    int32_t scale_at, bias_at;   /* of f16 numbers within the block; −1: none */
    float deviation, bias;
    uint32_t bits, group; /* MLX affine; 0: none */
};

#define FLOATS(name, kind)                                                                                   \
    { name, CRIA_SOURCE_##kind, 0, 0, -1, -1, 1.0f, 0.0f, 0, 0 }
#define GGUF(name, kind, ...)                                                                                \
    { name, CRIA_SOURCE_##kind, __VA_ARGS__, 0, 0 }
#define AFFINE(bits, group, deviation, bias)                                                                 \
    { "affine" #bits "-g" #group, CRIA_SOURCE_MLX, 0, 0, -1, -1, deviation, bias, bits, group }
#define AFFINE_GROUPS(bits, deviation, bias)                                                                 \
    AFFINE(bits, 32, deviation, bias), AFFINE(bits, 64, deviation, bias), AFFINE(bits, 128, deviation, bias)
#define MLX_FP(name, deviation)                                                                              \
    { name, CRIA_SOURCE_MLX, 0, 0, -1, -1, deviation, 0.0f, 0, 0 }

/* n uniform integers have the deviation √((n² − 1)/12). */
static const struct form forms[] = {
    FLOATS("f32", F32),
    FLOATS("f16", F16),
    FLOATS("bf16", BF16),
    FLOATS("f8_e4m3", E4M3),
    GGUF("q4_0", Q4_0, 32, 18, 0, -1, 4.6f, 0.0f),
    GGUF("q4_1", Q4_1, 32, 20, 0, 2, 4.6f, -7.5f),
    GGUF("q5_0", Q5_0, 32, 22, 0, -1, 9.2f, 0.0f),
    GGUF("q5_1", Q5_1, 32, 24, 0, 2, 9.2f, -15.5f),
    GGUF("q8_0", Q8_0, 32, 34, 0, -1, 73.9f, 0.0f),
    GGUF("iq4_nl", IQ4_NL, 32, 18, 0, -1, 67.4f, 0.0f),
    /* The scale is that of the super-block; its groups' integers are random too. */
    GGUF("q2_k", Q2_K, 256, 84, 80, 82, 13.9f, 1.5f),
    GGUF("q3_k", Q3_K, 256, 110, 108, -1, 43.3f, 0.0f),
    GGUF("q4_k", Q4_K, 256, 144, 0, 2, 258.0f, 7.5f),
    GGUF("q5_k", Q5_K, 256, 176, 0, 2, 527.0f, 15.5f),
    GGUF("q6_k", Q6_K, 256, 210, 208, -1, 1367.0f, 0.0f),
    GGUF("iq4_xs", IQ4_XS, 256, 136, 0, -1, 1246.0f, 0.0f),
    AFFINE_GROUPS(2, 1.1f, -1.5f),
    AFFINE_GROUPS(3, 2.3f, -3.5f),
    AFFINE_GROUPS(4, 4.6f, -7.5f),
    AFFINE_GROUPS(5, 9.2f, -15.5f),
    AFFINE_GROUPS(6, 18.5f, -31.5f),
    AFFINE_GROUPS(8, 73.9f, -127.5f),
    MLX_FP("mxfp4", 2.9f),
    MLX_FP("nvfp4", 2.9f),
    MLX_FP("mxfp8", 0.75f), /* of the codes that are used, below */
};
enum { N_FORMS = sizeof forms / sizeof *forms };

const char *cria_form_name(size_t i) { return i < N_FORMS ? forms[i].name : NULL; }

static const struct form *find_form(const char *name) {
    for (size_t i = 0; i < N_FORMS; i++)
        if (strcmp(forms[i].name, name) == 0) return &forms[i];
    return NULL;
}

bool cria_form_spec(const char *name, uint32_t rows, uint32_t cols, cria_matrix_spec *out) {
    const struct form *f = find_form(name);
    if (f == NULL) return false;
    if (f->kind != CRIA_SOURCE_MLX) return cria_matrix_spec_for(f->kind, rows, cols, out);
    if (f->bits == 0) return cria_matrix_spec_mlx_fp(name, rows, cols, out);
    return cria_matrix_spec_mlx_affine(rows, cols, f->bits, f->group, CRIA_SCALE_F16, out);
}

const char *cria_form_of(enum cria_source_kind kind, const cria_matrix_spec *spec) {
    if (kind == CRIA_SOURCE_MXFP4) kind = CRIA_SOURCE_MLX; /* the same numbers, and one name */
    for (size_t i = 0; i < N_FORMS; i++) {
        const struct form *f = &forms[i];
        cria_matrix_spec s;
        if (f->kind != kind) continue;
        if (kind != CRIA_SOURCE_MLX) return f->name;
        if (cria_form_spec(f->name, spec->rows, spec->cols, &s) && s.kind == spec->kind && s.bits == spec->bits &&
            s.group == spec->group && s.affine == spec->affine)
            return f->name;
    }
    return "unknown"; /* never: every spec has a form */
}

/* Codes take at most 4 bytes a weight; scales and biases, at least 16 weights apart, 4 bytes in all. */
size_t cria_form_scratch_bytes(uint32_t cols) { return (size_t)CRIA_ROWS * cols * 8 + 64; }

/* ---- random bytes ---- */

static uint64_t mix(uint64_t z) { /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void random_bytes(uint64_t seed, uint8_t *p, size_t n) {
    for (size_t at = 0; at < n; at += 8) {
        const uint64_t v = mix(seed += UINT64_C(0x9e3779b97f4a7c15));
        memcpy(p + at, &v, n - at < 8 ? n - at : 8);
    }
}

/* ---- sources ---- */

/* Uniform floats of the deviation. */
static void fill_floats(const struct form *f, float deviation, uint8_t *data, size_t n) {
    const float top = deviation * 1.732f;
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, data + (f->kind == CRIA_SOURCE_F32 ? 4 * i : 2 * i), f->kind == CRIA_SOURCE_F32 ? 4 : 2);
        const float v = ((float)(u & 0xffffu) * 0x1p-15f - 1.0f) * top;
        if (f->kind == CRIA_SOURCE_F32) {
            memcpy(data + 4 * i, &v, 4);
        } else {
            const uint16_t h =
                f->kind == CRIA_SOURCE_F16 ? cria_f32_to_f16(v) : (uint16_t)(cria_f32_to_bits(v) >> 16);
            memcpy(data + 2 * i, &h, 2);
        }
    }
}

/* Codes are random; their exponents are those of numbers of the deviation, as far as there are such. */
static void fill_e4m3(float deviation, uint8_t *data, size_t n) {
    int exponent;
    frexpf(deviation / 0.75f, &exponent); /* ±1 to ±1.88 times a power of two deviate by 1.5 times it */
    const int field = exponent - 2 + 7;
    const uint8_t bits = (uint8_t)((field < 1 ? 0 : field) << 3); /* subnormal ones deviate by 0.0082 */
    for (size_t i = 0; i < n; i++) data[i] = (uint8_t)((data[i] & 0x87u) | bits);
}

static void fill_gguf(const struct form *f, float scale, uint8_t *data, size_t n_blocks) {
    const uint16_t d = cria_f32_to_f16(scale), b = cria_f32_to_f16(scale * f->bias);
    for (size_t i = 0; i < n_blocks; i++, data += f->block_bytes) {
        memcpy(data + f->scale_at, &d, 2);
        if (f->bias_at >= 0) memcpy(data + f->bias_at, &b, 2);
    }
}

/* n scales, and biases where there are any, behind each other. */
static void fill_mlx_scales(const struct form *f, const cria_matrix_spec *s, float scale, uint8_t *scales,
                            uint8_t *biases, size_t n) {
    const uint16_t d = cria_f32_to_f16(scale), b = cria_f32_to_f16(scale * f->bias);
    int exponent;
    frexpf(scale, &exponent);
    for (size_t i = 0; i < n; i++) {
        if (s->scale_type == CRIA_SCALE_E8M0) {
            scales[i] = (uint8_t)(exponent - 1 + 127);
        } else if (s->scale_type == CRIA_SCALE_E4M3) { /* no finer than 2^−9 */
            scales[i] =
                exponent - 1 < -6 ? (uint8_t)ceilf(scale * 0x1p9f) : (uint8_t)((exponent - 1 + 7) << 3);
        } else {
            memcpy(scales + 2 * i, &d, 2);
            memcpy(biases + 2 * i, &b, 2);
        }
    }
}

void cria_form_random(const char *name, const cria_matrix *m, uint64_t seed, uint8_t *dst, uint32_t block,
                      void *scratch) {
    const struct form *f = find_form(name);
    const cria_matrix_spec *s = &m->spec;
    const size_t row_bytes = cria_source_row_bytes(f->kind, s), n = (size_t)CRIA_ROWS * s->cols;
    const float deviation = 1.0f / sqrtf((float)s->cols), scale = deviation / f->deviation;
    uint8_t *data = scratch, *scales = data + CRIA_ROWS * row_bytes, *biases = NULL;
    random_bytes(mix(seed + block), data, CRIA_ROWS * row_bytes);
    if (f->kind == CRIA_SOURCE_MLX) {
        const size_t n_scales = n / s->group;
        biases = scales + 2 * n_scales;
        fill_mlx_scales(f, s, scale, scales, biases, n_scales);
        if (s->kind == CRIA_MATRIX_E4M3) /* ±0.5 to ±0.94: no NaN, and no few large ones */
            for (size_t i = 0; i < n; i++) data[i] = (uint8_t)((data[i] & 0x87u) | 0x30u);
    } else if (f->block != 0) {
        fill_gguf(f, scale, data, n / f->block);
    } else if (f->kind == CRIA_SOURCE_E4M3) {
        fill_e4m3(deviation, data, n);
    } else {
        fill_floats(f, deviation, data, n);
    }
    /* Packed as the first block of a matrix that begins here. */
    const cria_source src = {
        .kind = f->kind, .data = data, .row_bytes = row_bytes, .scales = scales, .biases = biases};
    cria_matrix one = *m;
    one.spec.rows = s->rows - block * CRIA_ROWS < CRIA_ROWS ? s->rows - block * CRIA_ROWS : CRIA_ROWS;
    one.n_blocks = 1;
    cria_matrix_pack(&one, &src, dst + block * m->block_bytes, 0, 1);
}
