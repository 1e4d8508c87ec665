/* SPDX-License-Identifier: Apache-2.0 */
/* Quantization with feedback against the same in plain double precision; that it does what it is for; and that its
 * bytes depend on neither threads nor instruction set. Products of matrices (dense.h) on the way. */
#include "base/ctx.h"
#include "base/pool.h"
#include "convert/dense.h"
#include "convert/gptq.h"
#include "counting_alloc.h"
#include "kernels/kernels.h"
#include "kernels/quantize.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_TABLES = 12, K = 160, ROWS = 37, INPUTS = 400 };

static cria_ctx *context(uint32_t threads, const struct cria_kernels *kernels, struct counting_alloc *alloc) {
    cria_ctx_opts o = cria_ctx_opts_default();
    cria_ctx *ctx;
    o.threads = threads;
    if (alloc) o.allocator = counting_alloc_hook(alloc);
    assert_int_equal(cria_ctx_base_new(&o, &ctx, NULL), CRIA_OK);
    ctx->kernels = kernels ? kernels : cria_kernels_for(ctx->cpu.flags);
    return ctx;
}

/* Uniform in −1…1, the same everywhere. */
static float noise(void) {
    static uint64_t s = 1;
    s = s * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(s >> 32) * 0x1p-31f;
}

/* Weights, and the moments of inputs of which each depends on the one before; every seventh is large. */
static void make(float w[ROWS][K], float h[K][K]) {
    static float x[INPUTS][K];
    for (int i = 0; i < INPUTS; i++)
        for (int c = 0; c < K; c++) x[i][c] = (c ? 0.7f * x[i][c - 1] : 0) + noise() * (c % 7 ? 1 : 4);
    for (int a = 0; a < K; a++)
        for (int b = 0; b < K; b++) {
            double sum = 0;
            for (int i = 0; i < INPUTS; i++) sum += (double)x[i][a] * x[i][b];
            h[a][b] = (float)sum;
        }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < K; c++) w[r][c] = noise() * noise() * 0.1f;
}

struct result {
    uint8_t codes[ROWS * K], scales[ROWS * K], biases[ROWS * K]; /* more than any of them takes */
    float w[ROWS][K];                                            /* what they stand for */
    uint8_t code[ROWS][K];
    float scale[ROWS][K / 32], bias[ROWS][K / 32];
};

static cria_matrix_spec spec_of(uint32_t bits, enum cria_scale_type type) {
    cria_matrix_spec spec;
    assert_true(cria_matrix_spec_mlx_affine(ROWS, K, bits, 32, type, &spec));
    return spec;
}

static void unpack(const cria_matrix_spec *spec, enum cria_source_kind type, struct result *out) {
    cria_floats_load(type, out->scales, (size_t)ROWS * K / 32, &out->scale[0][0]);
    cria_floats_load(type, out->biases, (size_t)ROWS * K / 32, &out->bias[0][0]);
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t c = 0; c < K; c++) {
            uint32_t code = 0;
            for (uint32_t b = 0; b < spec->bits; b++) {
                const uint32_t bit = (r * K + c) * spec->bits + b;
                code |= (out->codes[bit / 8] >> bit % 8 & 1u) << b;
            }
            out->code[r][c] = (uint8_t)code;
            out->w[r][c] = fmaf(out->scale[r][c / 32], (float)code, out->bias[r][c / 32]);
        }
}

static void quantize(cria_ctx *ctx, uint32_t bits, enum cria_source_kind type, const float w[ROWS][K],
                     const float *moments, struct result *out) {
    const cria_matrix_spec spec = spec_of(bits, type == CRIA_SOURCE_F32 ? CRIA_SCALE_F32 : CRIA_SCALE_F16);
    cria_gptq *g = NULL;
    memset(out, 0, sizeof *out);
    assert_int_equal(cria_gptq_new(ctx, moments, K, &g, NULL), CRIA_OK);
    cria_gptq_rows(g, &spec, type, &w[0][0], ROWS, out->codes, out->scales, out->biases);
    cria_gptq_free(g);
    unpack(&spec, type, out);
}

/* (ŵ − w)·H·(ŵ − w)ᵀ of all rows. */
static double loss(const float w[ROWS][K], const float v[ROWS][K], const float h[K][K]) {
    double sum = 0;
    for (int r = 0; r < ROWS; r++)
        for (int a = 0; a < K; a++)
            for (int b = 0; b < K; b++)
                sum += ((double)v[r][a] - w[r][a]) * h[a][b] * ((double)v[r][b] - w[r][b]);
    return sum;
}

/* ---- the same by the book ---- */

static double lower[K][K], diagonal[K];
static int order[K];

static void factorize(const float h[K][K]) {
    static double a[K][K];
    double mean = 0;
    for (int i = 0; i < K; i++) mean += h[i][i] / (double)K;
    for (int i = 0; i < K; i++) order[i] = i;
    for (int i = 0; i < K; i++)
        for (int j = i; j > 0 && h[order[j]][order[j]] < h[order[j - 1]][order[j - 1]]; j--) {
            const int t = order[j];
            order[j] = order[j - 1];
            order[j - 1] = t;
        }
    for (int i = 0; i < K; i++)
        for (int j = 0; j < K; j++) a[i][j] = h[order[i]][order[j]] + (i == j ? 0.01 * mean : 0);
    for (int j = 0; j < K; j++) {
        diagonal[j] = a[j][j];
        for (int p = 0; p < j; p++) diagonal[j] -= lower[j][p] * lower[j][p] * diagonal[p];
        for (int i = j + 1; i < K; i++) {
            double x = a[i][j];
            for (int p = 0; p < j; p++) x -= lower[i][p] * lower[j][p] * diagonal[p];
            lower[i][j] = x / diagonal[j];
        }
    }
}

/* The codes for the scales and biases found; how many of r's differ. */
static int other_codes(const float w[ROWS][K], const struct result *r, int top) {
    int differ = 0;
    for (int row = 0; row < ROWS; row++) {
        double e[K];
        for (int c = K - 1; c >= 0; c--) {
            const int at = order[c];
            double target = w[row][at];
            for (int j = c + 1; j < K; j++) target -= e[j] * lower[j][c];
            const double scale = r->scale[row][at / 32], bias = r->bias[row][at / 32];
            double q = rint((target - bias) / scale);
            q = q < 0 ? 0 : q > top ? top : q;
            differ += (int)q != r->code[row][at];
            e[c] = r->w[row][at] - (double)w[row][at]; /* go on from what was chosen */
        }
    }
    return differ;
}

static float w[ROWS][K], h[K][K];
static struct result got, plain;

static void codes_are_those_of_the_formula(void **unused) {
    (void)unused;
    cria_ctx *ctx = context(2, NULL, NULL);
    make(w, h);
    factorize(h);
    for (uint32_t bits = 2; bits <= 8; bits += bits == 6 ? 2 : 1) {
        quantize(ctx, bits, CRIA_SOURCE_F32, (const float(*)[K])w, &h[0][0], &got);
        /* Float32 may choose the other of two codes that are equally near. */
        assert_in_range(other_codes((const float(*)[K])w, &got, (1 << bits) - 1), 0, ROWS * K / 200);
    }
    cria_ctx_unref(ctx);
}

static void outputs_change_less(void **unused) {
    (void)unused;
    cria_ctx *ctx = context(2, NULL, NULL);
    make(w, h);
    for (uint32_t bits = 2; bits <= 8; bits += bits == 6 ? 2 : 1) {
        const cria_matrix_spec spec = spec_of(bits, CRIA_SCALE_F32);
        memset(&plain, 0, sizeof plain);
        cria_quantize(&spec, CRIA_SOURCE_F32, (const uint8_t *)w, ROWS, plain.codes, plain.scales, plain.biases);
        unpack(&spec, CRIA_SOURCE_F32, &plain);
        quantize(ctx, bits, CRIA_SOURCE_F32, (const float(*)[K])w, &h[0][0], &got);
        const double ours = loss((const float(*)[K])w, (const float(*)[K])got.w, (const float(*)[K])h),
                     theirs = loss((const float(*)[K])w, (const float(*)[K])plain.w, (const float(*)[K])h);
        if (!(ours < 0.5 * theirs)) fail_msg("%u bits: %g, by rounding %g", bits, ours, theirs);
        /* Without moments the weights themselves change less than by rounding from end to end. */
        quantize(ctx, bits, CRIA_SOURCE_F32, (const float(*)[K])w, NULL, &got);
        double a = 0, b = 0;
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < K; c++) {
                a += pow((double)got.w[r][c] - w[r][c], 2);
                b += pow((double)plain.w[r][c] - w[r][c], 2);
            }
        if (!(a < b)) fail_msg("%u bits without moments: %g, by rounding %g", bits, a, b);
    }
    cria_ctx_unref(ctx);
}

static void what_is_degenerate(void **unused) {
    (void)unused;
    cria_ctx *ctx = context(1, NULL, NULL);
    static float zeros[K][K];
    make(w, h);
    for (int i = 0; i < K; i++) h[5][i] = h[i][5] = h[9][i] = h[i][9] = 0; /* inputs never seen */
    for (int i = 0; i < K; i++) h[12][i] = h[11][i];                         /* two that are one */
    for (int i = 0; i < K; i++) h[i][12] = h[i][11];
    h[12][12] = h[11][11];
    memset(w[0], 0, sizeof w[0]);
    for (int c = 0; c < K; c++) w[1][c] = 0.25f;   /* one value */
    for (int c = 0; c < K; c++) w[2][c] = 1e-7f * noise(); /* below what float16 has steps for */
    for (int c = 0; c < K; c++) w[3][c] = 30000 * noise();
    const float *const moments[] = {&h[0][0], &zeros[0][0], NULL};
    for (size_t m = 0; m < N_ITEMS(moments); m++) {
        quantize(ctx, 4, CRIA_SOURCE_F16, (const float(*)[K])w, moments[m], &got);
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < K; c++) assert_true(isfinite(got.w[r][c]));
        for (int c = 0; c < K; c++) {
            assert_true(got.w[0][c] == 0);
            assert_true(got.w[1][c] == 0.25f);
            assert_true(fabsf(got.w[2][c]) < 3e-7f);
        }
    }
    cria_ctx_unref(ctx);
}

static void same_bytes_everywhere(void **unused) {
    (void)unused;
    const struct cria_kernels *tables[MAX_TABLES];
    cria_ctx *ctx = context(1, NULL, NULL);
    const size_t n = cria_kernels_list(ctx->cpu.flags, tables, MAX_TABLES);
    cria_ctx_unref(ctx);
    make(w, h);
    for (size_t i = 0; i < n; i++)
        for (uint32_t threads = 1; threads <= 3; threads++) {
            ctx = context(threads, tables[i], NULL);
            quantize(ctx, 4, CRIA_SOURCE_F16, (const float(*)[K])w, &h[0][0], i + threads == 1 ? &plain : &got);
            if (i + threads > 1) assert_memory_equal(&got, &plain, sizeof got);
            cria_ctx_unref(ctx);
        }
}

static void products(void **unused) {
    (void)unused;
    enum { N = 50, MOST = 70 };
    static float a[N][MOST], b[MOST][MOST], c[N][MOST];
    static const uint32_t sizes[][3] = {{1, 1, 1}, {24, 16, 16}, {25, 64, 17}, {50, 70, 70}, {49, 3, 33}, {7, 0, 5}};
    cria_ctx *ctx = context(2, NULL, NULL);
    cria_dense *d;
    assert_int_equal(cria_dense_new(ctx, MOST, MOST, &d, NULL), CRIA_OK);
    for (int i = 0; i < N * MOST; i++) (&a[0][0])[i] = noise();
    for (int i = 0; i < MOST * MOST; i++) (&b[0][0])[i] = noise();
    for (size_t s = 0; s < N_ITEMS(sizes); s++)
        for (int kind = 0; kind < 4; kind++) {
            const uint32_t n = sizes[s][0], k = sizes[s][1], m = sizes[s][2];
            const bool subtract = kind & 1, triangle = kind & 2;
            for (int i = 0; i < N * MOST; i++) (&c[0][0])[i] = 1;
            cria_dense_run(d, &(struct cria_dense_args){.a = &a[0][0], .lda = MOST, .b = &b[0][0], .ldb = MOST,
                                                        .c = &c[0][0], .ldc = MOST, .n = n, .k = k, .m = m,
                                                        .sign = subtract ? CRIA_DENSE_SUBTRACT : CRIA_DENSE_ADD,
                                                        .lower = triangle});
            for (uint32_t i = 0; i < N; i++)
                for (uint32_t j = 0; j < MOST; j++) {
                    double want = 0;
                    for (uint32_t p = 0; p < k; p++) want += (double)a[i][p] * b[p][j];
                    const bool inside = i < n && j < m;
                    if (inside && triangle && j > i) continue;
                    want = inside ? 1 + (subtract ? -want : want) : 1;
                    assert_true(fabs(c[i][j] - want) < 1e-5);
                }
        }
    cria_dense_free(d);
    cria_ctx_unref(ctx);
}

static void every_allocation_may_fail(void **unused) {
    (void)unused;
    make(w, h);
    cria_status st = CRIA_ENOMEM;
    for (long fail_at = 0; st != CRIA_OK; fail_at++) {
        struct counting_alloc alloc;
        counting_alloc_init(&alloc, -1);
        cria_ctx *ctx = context(1, NULL, &alloc);
        const long alive = atomic_load(&alloc.live);
        cria_gptq *g = NULL;
        cria_error err;
        alloc.fail_at = atomic_load(&alloc.calls) + fail_at;
        st = cria_gptq_new(ctx, &h[0][0], K, &g, &err);
        alloc.fail_at = -1;
        assert_true(st == CRIA_OK || st == CRIA_ENOMEM);
        assert_true(fail_at < 100);
        cria_gptq_free(g);
        assert_int_equal(atomic_load(&alloc.live), alive);
        cria_ctx_unref(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_the_formula), cmocka_unit_test(outputs_change_less),
        cmocka_unit_test(what_is_degenerate),             cmocka_unit_test(same_bytes_everywhere),
        cmocka_unit_test(products),                       cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
