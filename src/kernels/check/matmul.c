/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products: every kind of matrix, number of tokens and range of row blocks, on random and extreme
 * weights and activations. Weights are made in their packed form; tests/unit/test_pack.c is about packing. */
#include "kernels/check/check.h"
#include "base/half.h"
#include "kernels/codes.h"
#include <string.h>

#define PICK(c, list) (list)[check_below(c, sizeof(list) / sizeof(list)[0])]

/* ---- weights ---- */

static const uint8_t fp4_levels[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
static const uint8_t levels_to_63[16] = {0, 63, 1, 62, 2, 61, 3, 60, 31, 32, 33, 15, 16, 17, 7, 8};
static const uint8_t levels_to_240[16] = {0,   23,  44,  62,  78,  92,  105, 117, /* IQ4's */
                                          128, 140, 152, 165, 180, 196, 216, 240};

static void random_codes_spec(struct check *c, cria_matrix_spec *s) {
    static const uint32_t bits[] = {2, 3, 4, 4, 5, 6, 8}, groups[] = {16, 32, 32, 64, 128};
    static const uint32_t zeros[] = {0, 1, 8, 12, 127, 128, 255};
    static const uint8_t *const levels[] = {fp4_levels, levels_to_63, levels_to_240};
    s->kind = CRIA_MATRIX_CODES;
    s->bits = PICK(c, bits);
    s->group = PICK(c, groups);
    s->affine = check_rand(c) & 1;
    s->scale_type = (enum cria_scale_type)check_below(c, s->affine ? 3 : 5);
    if (check_below(c, 3) == 0) {
        s->scale_type = (enum cria_scale_type)(CRIA_SCALE_Q2_K + check_below(c, 5));
        s->group = s->scale_type == CRIA_SCALE_Q4_K || s->scale_type == CRIA_SCALE_IQ4_XS ? 32 : 16;
    }
    s->zero = s->affine ? 0 : (int32_t)PICK(c, zeros);
    if (s->bits <= 4 && check_below(c, 3) == 0) s->levels = PICK(c, levels);
    s->scale_factor = check_rand(c) & 1 ? 1.0f : 0.5f;
}

static void fp8_spec(cria_matrix_spec *s) {
    s->kind = CRIA_MATRIX_E4M3;
    s->bits = 8;
    s->group = 32;
    s->scale_type = CRIA_SCALE_E8M0;
    s->scale_factor = 1;
}

/* One finite number of a type, small, zero or any, in the first bytes of the result. */
static uint32_t random_scale(struct check *c, enum cria_scale_type type, uint32_t mode) {
    const uint32_t any = check_rand(c);
    float f = check_float(c, -0.02f, 0.02f);
    if (mode == 1) f = 0;
    if (mode == 2) check_data(c, &f, 1);
    const uint32_t bits = cria_f32_to_bits(f);
    switch (type) {
    case CRIA_SCALE_F32:
        return bits;
    case CRIA_SCALE_F16: {
        const uint32_t half = mode == 2 ? any & 0xffff : cria_f32_to_f16(f);
        return (half & 0x7c00) == 0x7c00 ? half & ~0x4000u : half;
    }
    case CRIA_SCALE_BF16:
        return bits >> 16;
    case CRIA_SCALE_E8M0:
        return mode == 2 ? any % 255 : mode == 1 ? 0 : 115 + any % 20;
    default:
        return mode == 1 ? 0 : (any & 0x7f) == 0x7f ? 0x70 : any & 0xff;
    }
}

/* Of two levels: any f16 that is finite, and any bits. */
static void fill_super_scales(struct check *c, const cria_matrix *m, uint8_t *scales) {
    const size_t super = m->bias_offset / (m->spec.cols / CRIA_SUPER);
    const uint32_t mode = check_below(c, 8);
    for (size_t i = 0; i < m->bias_offset; i += super) {
        for (uint32_t r = 0; r < CRIA_ROWS; r++) {
            const uint32_t bits = random_scale(c, CRIA_SCALE_F16, mode);
            memcpy(scales + i + 2 * r, &bits, 2);
        }
        for (size_t j = 2 * CRIA_ROWS; j < super; j++) scales[i + j] = (uint8_t)(check_rand(c) >> 11);
    }
}

static void fill_scales(struct check *c, const cria_matrix *m, uint8_t *scales) {
    if (m->spec.scale_type >= CRIA_SCALE_Q2_K) {
        fill_super_scales(c, m, scales);
        return;
    }
    const size_t size = m->bias_offset / m->n_groups / CRIA_ROWS;
    const uint32_t mode = check_below(c, 8); /* the same for all; 3 and up are small */
    for (size_t i = 0; i < (size_t)m->spec.cols / m->spec.group * CRIA_ROWS; i++) {
        const uint32_t bits = random_scale(c, m->spec.scale_type, mode);
        memcpy(scales + i * size, &bits,
               size); /* low bytes first; a little-endian processor, as packed data needs */
    }
}

/* The steps of F16 and BF16 weights, as pack leaves them. */
static void fill_steps(const cria_matrix *m, uint8_t *block) {
    const enum cria_scale_type type = m->spec.kind == CRIA_MATRIX_F16 ? CRIA_SCALE_F16 : CRIA_SCALE_BF16;
    float top[CRIA_ROWS] = {0};
    memset(block, 0, m->codes_offset);
    for (size_t k = 0; k < m->spec.cols; k++) {
        for (uint32_t r = 0; r < CRIA_ROWS; r++) {
            const float magnitude = fabsf(cria_scale_at(type, block + m->codes_offset, k * CRIA_ROWS + r));
            if (k % CRIA_STEP_GROUP == 0 || magnitude > top[r]) top[r] = magnitude;
            block[k / CRIA_STEP_GROUP * CRIA_ROWS + r] = cria_step_for(top[r]);
        }
    }
}

static void fill_floats(struct check *c, const cria_matrix *m, uint8_t *block) {
    static const enum cria_scale_type types[] = {CRIA_SCALE_F32, CRIA_SCALE_F16, CRIA_SCALE_BF16};
    const size_t size = m->spec.kind == CRIA_MATRIX_F32 ? 4 : 2;
    const uint32_t mode = check_below(c, 8);
    for (size_t i = 0; i < (size_t)m->spec.cols * CRIA_ROWS; i++) {
        const uint32_t bits = random_scale(c, types[m->spec.kind], mode);
        memcpy(block + m->codes_offset + i * size, &bits, size);
    }
    if (m->spec.kind != CRIA_MATRIX_F32) fill_steps(m, block);
}

/* Random weights of m->spec; sometimes all codes are the smallest or the largest. */
static void fill_matrix(struct check *c, cria_matrix *m) {
    uint8_t *data = check_buf(c, cria_matrix_bytes(m), 64);
    const uint32_t mode = check_below(c, 6);
    for (uint32_t b = 0; b < m->n_blocks; b++) {
        uint8_t *block = data + b * m->block_bytes;
        if (m->n_chunks == 0) {
            fill_floats(c, m, block);
            continue;
        }
        memset(block, 0, m->codes_offset);
        fill_scales(c, m, block);
        if (m->spec.affine) fill_scales(c, m, block + m->bias_offset);
        uint8_t *codes = block + m->codes_offset;
        const size_t n = m->n_chunks * m->chunk_bytes;
        if (mode < 2) memset(codes, mode ? 0xff : 0, n);
        if (m->spec.kind == CRIA_MATRIX_E4M3)
            for (size_t i = 0; i < n; i++) codes[i] = (codes[i] & 0x7f) == 0x7f ? 0x7e : codes[i];
    }
    m->data = data;
}

/* ---- activations ---- */

static void fill_planes(struct check *c, const cria_act *a, int8_t *q) {
    const uint32_t mode = check_below(c, 6);
    memset(q, 0, a->planes * a->ldq);
    for (uint32_t p = 0; p < a->planes; p++) {
        for (uint32_t i = 0; i < a->k; i++) {
            const int least = a->planes == 2 && p == 0 ? -128 : -127;
            int v = least + (int)check_below(c, (uint32_t)(128 - least));
            if (mode == 0) v = 127;
            if (mode == 1) v = least;
            if (mode == 2) v = check_rand(c) & 1 ? 127 : least;
            q[p * a->ldq + i] = (int8_t)v;
        }
    }
}

static void fill_sums(const cria_act *a, const int8_t *q, int32_t *sum) {
    memset(sum, 0, a->ldd * sizeof *sum);
    for (uint32_t i = 0; i < a->k; i++) sum[i / 32] += a->planes == 2 ? 256 * q[a->ldq + i] + q[i] : q[i];
}

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* Random integer activations of k inputs for matrices in groups of `group`. */
static cria_act random_act(struct check *c, uint32_t n, uint32_t k, uint32_t planes, uint32_t group) {
    cria_act a = {.n = n, .k = k, .planes = planes, .group = group};
    const size_t extra = 16 * check_below(c, 2);
    a.ldq = round_up(k, 64);
    a.ldd = round_up((k + 31) / 32, 16) + extra;
    a.ldu = round_up((k + group - 1) / group, 16) + extra;
    int8_t *q = a.q = check_buf(c, n * planes * a.ldq + 1, 64);
    float *d = a.d = check_buf(c, (n * a.ldd + 1) * sizeof *d, sizeof *d);
    float *u = a.u = check_buf(c, (n * a.ldu + 1) * sizeof *u, sizeof *u);
    int32_t *sum = a.sum = check_buf(c, (n * a.ldd + 1) * sizeof *sum, sizeof *sum);
    a.laid_out = check_buf(c, CRIA_LAID_OUT(n, k), 64);
    for (uint32_t t = 0; t < n; t++) {
        fill_planes(c, &a, q + t * planes * a.ldq);
        fill_sums(&a, q + t * planes * a.ldq, sum + t * a.ldd);
        check_data(c, d + t * a.ldd, a.ldd);
        check_data(c, u + t * a.ldu, a.ldu);
        for (size_t j = 0; j < a.ldd; j++) { /* as quantize leaves them; 0 only where all integers are */
            float *at = &d[t * a.ldd + j];
            *at = j >= (k + 31) / 32 ? 0 : cria_act_scale(fabsf(*at) < 0x1p-119f ? 0x1.234568p-119f : fabsf(*at));
        }
    }
    return a;
}

/* ---- products ---- */

struct shape {
    uint32_t n, block0, block1;
    bool all; /* tokens, or some */
    size_t ldy;
};

static struct shape random_shape(struct check *c, cria_matrix_spec *s, bool codes) {
    static const uint32_t rows[] = {1, 15, 16, 17, 33, 48, 100},
                          tokens[] = {0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 33};
    struct shape p = {.n = PICK(c, tokens)};
    if (codes && check_below(c, 14) == 0) p.n = 50; /* enough to pay for levels as 16-bit numbers */
    s->rows = PICK(c, rows);
    const uint32_t unit = !codes ? 1 : s->scale_type >= CRIA_SCALE_Q2_K ? CRIA_SUPER : s->group;
    s->cols = codes ? unit * (1 + check_below(c, unit == CRIA_SUPER ? 3 : 7)) : 1 + check_below(c, 300);
    if (check_below(c, 20) == 0) { /* more columns than a kernel may want to take at once */
        s->cols = codes ? unit * (4000 / unit + check_below(c, 5000 / unit)) : 5000;
        s->rows = s->rows > 20 ? 20 : s->rows;
        p.n = p.n > 7 ? 7 : p.n;
    }
    if (check_below(c, 60) == 0) { /* more tokens than a kernel may want to lay out at once */
        p.n = 90 + check_below(c, 320);
        s->rows = s->rows > 20 ? 20 : s->rows;
    }
    if (codes && check_below(c, 170) == 0) { /* more sums than a kernel may want to keep between pieces of columns, */
        const bool many_tokens = check_rand(c) & 1, pieces = check_below(c, 3) != 0; /* where there are pieces */
        s->cols = unit * (pieces ? 1100 / unit + 1 : 1);
        s->rows = many_tokens ? 17 : 145;
        p.n = many_tokens ? 1600 : 380;
    }
    const uint32_t blocks = (s->rows + CRIA_ROWS - 1) / CRIA_ROWS;
    p.block1 = blocks;
    if (check_below(c, 3) == 0) {
        p.block0 = check_below(c, blocks + 1);
        p.block1 = p.block0 + check_below(c, blocks - p.block0 + 1);
    }
    p.all = check_below(c, 3) != 0;
    p.ldy = s->rows + (check_rand(c) & 1 ? 0 : check_below(c, 40));
    return p;
}

/* The slots for such activations. */
static void multiply(const struct cria_kernels *k, const cria_matrix *m, const cria_act *x, float *y, size_t ldy,
                     cria_rect part, void *scratch) {
    (x->whole ? k->matmul_h : x->planes == 0 ? k->matmul_f : k->matmul_q)(m, x, y, ldy, part, scratch);
}

static cria_layout layout_of(struct check *c, const cria_matrix *m, const cria_act *x) {
    if (x->planes == 0 || x->whole || x->n == 0) return (cria_layout){.tiles = x->n};
    return c->k->layout(&m->spec, x->n, x->planes);
}

/* In two parts, the second first. */
static void lay_out(struct check *c, const cria_matrix *m, const cria_act *x) {
    if (x->planes == 0 || x->whole || x->n == 0) return;
    const cria_layout l = layout_of(c, m, x);
    const uint32_t middle = check_below(c, l.tiles + 1);
    if (middle < l.tiles) CHECK_CALL(c, c->k->lay_out(m, x, middle, l.tiles));
    if (middle > 0) CHECK_CALL(c, c->k->lay_out(m, x, 0, middle));
}

static void compare(struct check *c, const cria_matrix *m, const cria_act *x, const struct shape *p) {
    const size_t n_y = x->n == 0 ? 1 : (x->n - 1) * p->ldy + m->spec.rows;
    const struct check_pair y = check_pair(c, n_y * sizeof(float), sizeof(float));
    void *scratch = check_buf(c, CRIA_MATMUL_SCRATCH, 64);
    lay_out(c, m, x);
    /* The reference's tiles are rows. */
    const cria_layout l = layout_of(c, m, x);
    cria_rect part = {p->block0, p->block1, 0, l.tiles};
    if (!p->all) part.tile0 = check_below(c, l.tiles + 1);
    if (!p->all) part.tile1 -= check_below(c, l.tiles - part.tile0 + 1);
    cria_rect ref_part = part;
    ref_part.tile0 = x->n == 0 ? 0 : cria_layout_row(l, x->n, part.tile0);
    ref_part.tile1 = x->n == 0 ? 0 : cria_layout_row(l, x->n, part.tile1);
    multiply(c->ref, m, x, y.want, p->ldy, ref_part, scratch);
    CHECK_CALL(c, multiply(c->k, m, x, y.got, p->ldy, part, scratch));
    check_same_f32(c, "y", y, n_y);
}

static void name_case(struct check *c, const cria_matrix_spec *s, const struct shape *p, uint32_t planes) {
    check_case(c,
               "kind %d, %u x %u, bits %u, group %u, scale type %d, affine %d, zero %d, levels to %d; "
               "n %u (%s), planes %u, blocks %u..%u, ldy %zu",
               (int)s->kind, s->rows, s->cols, s->bits, s->group, (int)s->scale_type, s->affine, (int)s->zero,
               !s->levels                  ? 0
               : s->levels == fp4_levels   ? 24
               : s->levels == levels_to_63 ? 63
                                           : 240,
               p->n, p->all ? "all" : "some", planes, p->block0, p->block1, p->ldy);
}

static void run_codes(struct check *c, const cria_matrix_spec *s, const struct shape *p, uint32_t planes) {
    cria_matrix m;
    name_case(c, s, p, planes);
    if (!cria_matrix_init(s, &m)) check_fail(c, "the spec was refused");
    fill_matrix(c, &m);
    const cria_act x = random_act(c, p->n, s->cols, planes, s->group);
    compare(c, &m, &x, p);
}

/* Rows that tiles which take codes as they are stored take in pieces: with some tokens, where each piece of several row
 * blocks has sums that rest, or so long that there is no room for their scales. */
static void run_long_rows(struct check *c) {
    static const uint32_t bits[] = {2, 3, 4, 4, 6, 8}, groups[] = {16, 32, 64}, tokens[] = {2, 3, 7, 20, 30, 60};
    const uint32_t n = PICK(c, tokens), planes = 1 + (check_below(c, 4) == 0);
    cria_matrix_spec s = {.kind = CRIA_MATRIX_CODES, .bits = PICK(c, bits), .group = PICK(c, groups),
                          .affine = check_rand(c) & 1, .scale_type = CRIA_SCALE_F16, .scale_factor = 1};
    const uint32_t least = n > 7 ? 4200 : s.group == 16 ? 12300 : 24600;
    s.rows = n > 7 ? 49 : 17;
    s.cols = (least + check_below(c, 5000)) / s.group * s.group;
    s.zero = s.affine ? 0 : 1 << (s.bits - 1);
    const struct shape p = {.n = n, .block1 = (s.rows + CRIA_ROWS - 1) / CRIA_ROWS, .all = true, .ldy = s.rows};
    run_codes(c, &s, &p, planes);
}

static void run_matmul_q(struct check *c) {
    for (int i = 0; i < check_cases(c, 1500) && !c->failed; i++) {
        cria_matrix_spec s = {0};
        random_codes_spec(c, &s);
        const struct shape p = random_shape(c, &s, true);
        run_codes(c, &s, &p, 1 + check_below(c, 2));
    }
    for (int i = 0; i < check_cases(c, 60) && !c->failed; i++) run_long_rows(c);
}

static void run_matmul_f(struct check *c) {
    for (int i = 0; i < check_cases(c, 800) && !c->failed; i++) {
        cria_matrix_spec s = {0};
        cria_matrix m;
        const uint32_t kind = check_below(c, 6);
        if (kind < 3) s.kind = (enum cria_matrix_kind)kind;
        if (kind == 3) fp8_spec(&s);
        if (kind > 3) random_codes_spec(c, &s);
        const struct shape p = random_shape(c, &s, kind >= 3);
        name_case(c, &s, &p, 0);
        if (!cria_matrix_init(&s, &m)) check_fail(c, "the spec was refused");
        fill_matrix(c, &m);
        cria_act x = {.n = p.n, .k = s.cols, .ldx = s.cols + check_below(c, 20)};
        const size_t n_x = x.n == 0 ? 1 : (x.n - 1) * x.ldx + x.k;
        float *data = check_buf(c, n_x * sizeof *data, sizeof *data);
        check_data(c, data, n_x);
        x.x = data;
        compare(c, &m, &x, &p);
    }
}

static int16_t *whole_integers(const cria_act *a) { return (int16_t *)(void *)a->q; }

/* Whole integers of any size, all the largest at times, with d of any size that is finite. */
static cria_act random_whole(struct check *c, uint32_t n, uint32_t k) {
    const int most = (int)CRIA_WHOLE_MAX;
    cria_act a = {.n = n, .k = k, .planes = 2, .whole = true, .ldq = round_up(k, 64)};
    a.ldd = (k + CRIA_STEP_GROUP - 1) / CRIA_STEP_GROUP + check_below(c, 9);
    a.q = check_buf(c, (n * a.ldq + 32) * sizeof(int16_t), 64);
    float *d = a.d = check_buf(c, (n * a.ldd + 1) * sizeof *d, sizeof *d);
    const uint32_t mode = check_below(c, 6);
    for (size_t i = 0; i < n * a.ldq; i++) {
        int v = (int)check_below(c, 2 * (uint32_t)most + 1) - most;
        if (mode == 0) v = most;
        if (mode == 1) v = check_rand(c) & 1 ? most : -most;
        if (i % a.ldq < k) whole_integers(&a)[i] = (int16_t)v; /* random ones are behind */
    }
    check_data(c, d, n * a.ldd);
    for (size_t i = 0; i < n * a.ldd; i++) d[i] = fabsf(d[i]);
    return a;
}

static void run_matmul_h(struct check *c) {
    for (int i = 0; i < check_cases(c, 800) && !c->failed; i++) {
        cria_matrix_spec s = {.kind = check_rand(c) & 1 ? CRIA_MATRIX_F16 : CRIA_MATRIX_BF16};
        if (i % 3 == 0) fp8_spec(&s);
        cria_matrix m;
        const struct shape p = random_shape(c, &s, i % 3 == 0);
        name_case(c, &s, &p, 2);
        if (!cria_matrix_init(&s, &m)) check_fail(c, "the spec was refused");
        fill_matrix(c, &m);
        const cria_act x = random_whole(c, p.n, s.cols);
        compare(c, &m, &x, &p);
    }
}

/* ---- the reference against doubles ---- */

static double difference(double a, double b) { return a > b ? a - b : b - a; }

/* Σ over k of row r's weights, as cria_matrix_row has them, times x_k; bound grows by the terms' magnitudes.
 */
static double plain_product(const cria_matrix *m, uint32_t r, const double *x, float *row, double *bound) {
    double sum = 0;
    cria_matrix_row(m, r, row);
    *bound = 0;
    for (uint32_t k = 0; k < m->spec.cols; k++) {
        const double term = (double)row[k] * x[k];
        sum += term;
        *bound += difference(term, 0);
    }
    return sum;
}

static void self_matmul(struct check *c) {
    enum { COLS = 512, ROWS = 37 };
    for (int i = 0; i < check_cases(c, 60); i++) {
        cria_matrix_spec s;
        cria_matrix m;
        do {
            s = (cria_matrix_spec){0};
            random_codes_spec(c, &s);
        } while (s.scale_type == CRIA_SCALE_E8M0); /* too wide a range for a bound in float32 */
        s.rows = ROWS;
        s.cols = COLS;
        const struct shape p = {.n = 1, .block1 = 3, .all = true, .ldy = ROWS};
        name_case(c, &s, &p, 2);
        if (!cria_matrix_init(&s, &m)) check_fail(c, "the spec was refused");
        fill_matrix(c, &m);
        float *x = check_buf(c, COLS * sizeof *x, sizeof *x),
              *y = check_buf(c, 2 * ROWS * sizeof *y, sizeof *y);
        float row[COLS];
        double xs[COLS];
        check_normal(c, x, COLS, 1);
        cria_act a = random_act(c, 1, COLS, 2, s.group);
        c->ref->quantize(&a, 0, x);
        a.x = x;
        c->ref->matmul_q(&m, &a, y, ROWS, (cria_rect){0, m.n_blocks, 0, 1}, NULL);
        c->ref->matmul_f(&m, &a, y + ROWS, ROWS, (cria_rect){0, m.n_blocks, 0, 1}, NULL);
        for (uint32_t k = 0; k < COLS; k++) xs[k] = (double)x[k];
        for (uint32_t r = 0; r < ROWS; r++) {
            double bound;
            const double want = plain_product(&m, r, xs, row, &bound);
            if (!(bound < 1e30)) continue; /* huge scales */
            if (!(difference(want, (double)y[ROWS + r]) <= 1e-5 * bound + 1e-30))
                check_fail(c, "matmul_f row %u: %g, not %g", r, (double)y[ROWS + r], want);
            /* Symmetric and affine sums cancel between levels and bias: the bound is of the levels alone. */
            if (!s.affine && !(difference(want, (double)y[r]) <= 1e-3 * bound + 1e-30))
                check_fail(c, "matmul_q row %u: %g, not %g", r, (double)y[r], want);
        }
    }
}

/* Every weight is off by half a step at most, every activation by half its d (and both by what divisions round). */
static void self_matmul_h(struct check *c) {
    enum { COLS = 320, ROWS = 19 };
    for (int i = 0; i < check_cases(c, 60); i++) {
        cria_matrix_spec s = {.rows = ROWS, .cols = COLS, .kind = i % 3 ? CRIA_MATRIX_F16 : CRIA_MATRIX_BF16};
        if (i % 3 == 2) fp8_spec(&s);
        cria_matrix m;
        check_case(c, "kind %d", (int)s.kind);
        if (!cria_matrix_init(&s, &m)) check_fail(c, "the spec was refused");
        fill_matrix(c, &m);
        float *x = check_buf(c, COLS * sizeof *x, sizeof *x), *y = check_buf(c, ROWS * sizeof *y, sizeof *y);
        float row[COLS];
        check_normal(c, x, COLS, 1);
        const cria_act a = random_whole(c, 1, COLS);
        c->ref->quantize_h(&a, 0, x);
        c->ref->matmul_h(&m, &a, y, ROWS, (cria_rect){0, m.n_blocks, 0, 1}, NULL);
        for (uint32_t r = 0; r < ROWS; r++) {
            double want = 0, bound = 0;
            cria_matrix_row(&m, r, row);
            for (uint32_t k = 0; k < COLS; k++) {
                const uint32_t j = k / CRIA_STEP_GROUP;
                const double w = (double)row[k], xk = (double)x[k], d = (double)a.d[j];
                const uint32_t g = i % 3 == 2 ? k / CRIA_CHUNK : j;
                const uint8_t e = m.data[r / CRIA_ROWS * m.block_bytes + g * CRIA_ROWS + r % CRIA_ROWS];
                const double step = (double)cria_step_float(i % 3 == 2 ? cria_e4m3_step(e) : e);
                want += w * xk;
                bound += difference(w * xk, 0) * 2e-6 + (difference(xk, 0) + d) * step / 2 + difference(w, 0) * d / 2;
            }
            if (!(bound < 1e30)) continue;
            if (!(difference(want, (double)y[r]) <= bound + 1e-30))
                check_fail(c, "row %u: %g, not %g", r, (double)y[r], want);
        }
    }
}

/* ---- timing ---- */

struct bench {
    const char *name;
    enum cria_source_kind kind; /* MLX: affine, group 64, F16 scales */
    uint32_t bits;
};

static bool bench_spec(const struct bench *b, uint32_t rows, uint32_t cols, cria_matrix *m) {
    cria_matrix_spec s;
    const bool ok = b->kind == CRIA_SOURCE_MLX
                        ? cria_matrix_spec_mlx_affine(rows, cols, b->bits, 64, CRIA_SCALE_F16, &s)
                        : cria_matrix_spec_for(b->kind, rows, cols, &s);
    return ok && cria_matrix_init(&s, m);
}

enum { WHOLE = 3 }; /* in place of planes */

/* planes 0: float activations. */
static cria_act bench_act(struct check *c, const cria_matrix *m, uint32_t n, uint32_t planes) {
    const uint32_t cols = m->spec.cols;
    if (planes == WHOLE) return random_whole(c, n, cols);
    if (planes != 0) return random_act(c, n, cols, planes, m->spec.group);
    float *data = check_buf(c, (size_t)n * cols * sizeof *data, 64);
    memset(data, 0, (size_t)n * cols * sizeof *data);
    return (cria_act){.n = n, .k = cols, .x = data, .ldx = cols};
}

static void bench_product(struct check *c, const struct bench *b, uint32_t rows, uint32_t cols, uint32_t n,
                          uint32_t planes) {
    cria_matrix m;
    if (!bench_spec(b, rows, cols, &m)) return;
    check_case(c, "bench %s", b->name);
    m.data = check_buf(c, cria_matrix_bytes(&m), 64);
    const cria_act x = bench_act(c, &m, n, planes);
    float *y = check_buf(c, (size_t)n * rows * sizeof *y, 64);
    void *scratch = check_buf(c, CRIA_MATMUL_SCRATCH, 64);
    lay_out(c, &m, &x);
    const cria_rect all = {0, m.n_blocks, 0, layout_of(c, &m, &x).tiles};
    struct check_timer timer = {0};
    while (check_timer_next(&timer))
        for (uint64_t i = 0; i < timer.calls; i++) multiply(c->k, &m, &x, y, rows, all, scratch);
    check_print(c, "%-8s %-10s x %-6s %5u x %u, n %3u: %10.0f ns  %7.2f GB/s  %8.1f Gop/s", c->k->name, b->name,
           planes == 0       ? "float"
           : planes == 1     ? "int8"
           : planes == WHOLE ? "whole"
                             : "int16",
           rows, cols, n, timer.best, (double)cria_matrix_bytes(&m) / timer.best,
           2.0 * rows * cols * n / timer.best);
}

static const struct bench benches[] = {
    {"q4_0", CRIA_SOURCE_Q4_0, 0}, {"q4_1", CRIA_SOURCE_Q4_1, 0}, {"q5_1", CRIA_SOURCE_Q5_1, 0},
    {"q8_0", CRIA_SOURCE_Q8_0, 0}, {"q2_k", CRIA_SOURCE_Q2_K, 0}, {"q3_k", CRIA_SOURCE_Q3_K, 0},
    {"q4_k", CRIA_SOURCE_Q4_K, 0}, {"q5_k", CRIA_SOURCE_Q5_K, 0}, {"q6_k", CRIA_SOURCE_Q6_K, 0},
    {"iq4_nl", CRIA_SOURCE_IQ4_NL, 0}, {"iq4_xs", CRIA_SOURCE_IQ4_XS, 0}, {"mxfp4", CRIA_SOURCE_MXFP4, 0},
    {"mlx 2", CRIA_SOURCE_MLX, 2}, {"mlx 3", CRIA_SOURCE_MLX, 3},
    {"mlx 4", CRIA_SOURCE_MLX, 4}, {"mlx 6", CRIA_SOURCE_MLX, 6}, {"mlx 8", CRIA_SOURCE_MLX, 8},
};
static const struct bench float_benches[] = {
    {"f32", CRIA_SOURCE_F32, 0},
    {"f16", CRIA_SOURCE_F16, 0},
    {"bf16", CRIA_SOURCE_BF16, 0},
    {"f8_e4m3", CRIA_SOURCE_E4M3, 0},
    {"q4_1", CRIA_SOURCE_Q4_1, 0},
    {"q4_k", CRIA_SOURCE_Q4_K, 0},
};

/* One token: a matrix larger than the caches. Several: one that stays in them. */
static void bench_matmul_q(struct check *c) {
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++) {
        for (uint32_t planes = 1; planes <= 2; planes++) {
            bench_product(c, &benches[i], 32768, 4096, 1, planes);
            bench_product(c, &benches[i], 2048, 2048, 4, planes);
            bench_product(c, &benches[i], 2048, 2048, 8, planes);
            bench_product(c, &benches[i], 2048, 2048, 252, planes);
        }
    }
}

static void bench_matmul_f(struct check *c) {
    for (size_t i = 0; i < sizeof float_benches / sizeof float_benches[0]; i++) {
        bench_product(c, &float_benches[i], 16384, 4096, 1, 0);
        bench_product(c, &float_benches[i], 2048, 2048, 4, 0);
        bench_product(c, &float_benches[i], 2048, 2048, 252, 0);
    }
}

static void bench_matmul_h(struct check *c) {
    for (size_t i = 1; i < 4; i++) { /* f16, bf16, f8 */
        bench_product(c, &float_benches[i], 16384, 4096, 1, WHOLE);
        bench_product(c, &float_benches[i], 2048, 2048, 2, WHOLE);
        bench_product(c, &float_benches[i], 2048, 2048, 4, WHOLE);
        bench_product(c, &float_benches[i], 2048, 2048, 192, WHOLE);
    }
}

const struct check_test check_matmul[] = {
    {"matmul_q", offsetof(struct cria_kernels, matmul_q), run_matmul_q, bench_matmul_q, self_matmul},
    {"matmul_f", offsetof(struct cria_kernels, matmul_f), run_matmul_f, bench_matmul_f, NULL},
    {"matmul_h", offsetof(struct cria_kernels, matmul_h), run_matmul_h, bench_matmul_h, self_matmul_h},
    {0},
};
