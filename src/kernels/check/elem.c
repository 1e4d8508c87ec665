/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise kernels, rmsnorm, rope, kv_store. */
#include "base/half.h"
#include "kernels/check/check.h"
#include "kernels/poly.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_N = 200, CASES = 600 };

/* Mostly 0..200, sometimes what models have. */
static size_t some_size(struct check *c) {
    static const size_t model[] = {256, 576, 1024, 1536, 2048};
    if (check_below(c, 16) == 0) return model[check_below(c, 5)];
    return check_below(c, MAX_N + 1);
}

static float *some_floats(struct check *c, size_t n) {
    float *p = check_buf(c, n * sizeof *p, sizeof *p);
    check_data(c, p, n);
    return p;
}

/* An output that starts as floats, for kernels that work in place. */
static struct check_pair some_pair(struct check *c, size_t n) {
    const struct check_pair p = check_pair(c, n * sizeof(float), sizeof(float));
    float *want = p.want, *got = p.got;
    check_data(c, want, n);
    for (size_t i = 0; i < n; i++) got[i] = want[i];
    return p;
}

static void run_add(struct check *c) {
    for (int i = 0; i < check_cases(c, CASES); i++) {
        const size_t n = some_size(c);
        check_case(c, "n %zu", n);
        const float *x = some_floats(c, n);
        const struct check_pair y = some_pair(c, n);
        c->ref->add(y.want, x, n);
        CHECK_CALL(c, c->k->add(y.got, x, n));
        check_same_f32(c, "y", y, n);
    }
}

/* Every f16 over and over, from a random one on. */
static void run_widen(struct check *c) {
    for (int i = 0; i < check_cases(c, CASES); i++) {
        const size_t n = some_size(c);
        const uint16_t first = (uint16_t)check_rand(c), step = (uint16_t)(check_rand(c) | 1);
        check_case(c, "n %zu, from %04x by %04x", n, first, step);
        uint16_t *x = check_buf(c, n * sizeof *x, sizeof *x);
        for (size_t j = 0; j < n; j++) x[j] = (uint16_t)(first + j * step);
        const struct check_pair y = check_pair(c, n * sizeof(float), sizeof(float));
        c->ref->widen(y.want, x, n);
        CHECK_CALL(c, c->k->widen(y.got, x, n));
        check_same_f32(c, "y", y, n);
    }
}

static void run_scale(struct check *c) {
    for (int i = 0; i < check_cases(c, CASES); i++) {
        const size_t n = some_size(c);
        float a;
        check_data(c, &a, 1);
        const bool in_place = check_rand(c) & 1;
        check_case(c, "n %zu, in place %d, a %a", n, in_place, (double)a);
        const float *x = some_floats(c, n);
        const struct check_pair y = some_pair(c, n);
        c->ref->scale(y.want, in_place ? y.want : x, a, n);
        CHECK_CALL(c, c->k->scale(y.got, in_place ? y.got : x, a, n));
        check_same_f32(c, "y", y, n);
    }
}

static void run_add_scaled(struct check *c) {
    for (int i = 0; i < check_cases(c, CASES); i++) {
        const size_t n = some_size(c);
        float a;
        check_data(c, &a, 1);
        check_case(c, "n %zu, a %a", n, (double)a);
        const float *x = some_floats(c, n);
        const struct check_pair y = some_pair(c, n);
        c->ref->add_scaled(y.want, x, a, n);
        CHECK_CALL(c, c->k->add_scaled(y.got, x, a, n));
        check_same_f32(c, "y", y, n);
    }
}

static void run_rmsnorm(struct check *c) {
    for (int i = 0; i < check_cases(c, CASES); i++) {
        const size_t n = some_size(c) + 1;
        const bool in_place = check_rand(c) & 1;
        const float eps = check_rand(c) & 1 ? 1e-5f : 0x1p-100f;
        check_case(c, "n %zu, in place %d, eps %g", n, in_place, (double)eps);
        const float *x = some_floats(c, n), *w = some_floats(c, n);
        const struct check_pair y = some_pair(c, n);
        c->ref->rmsnorm(y.want, in_place ? y.want : x, w, eps, n);
        CHECK_CALL(c, c->k->rmsnorm(y.got, in_place ? y.got : x, w, eps, n));
        check_same_f32(c, "y", y, n);
    }
}

typedef void gate_fn(float *y, const float *g, const float *u, size_t n);

/* One case in `often` has gates within ±reach: for silu the ends of exp, for gelu where it is neither 0 nor the
 * gate. */
static void run_gate(struct check *c, gate_fn *want, gate_fn *got, uint32_t often, float reach) {
    for (int i = 0; i < check_cases(c, CASES); i++) {
        const size_t n = some_size(c);
        const uint32_t alias = check_below(c, 3);
        check_case(c, "n %zu, y is %s", n, alias == 0 ? "apart" : alias == 1 ? "g" : "u");
        float *g = some_floats(c, n);
        const float *u = some_floats(c, n);
        const struct check_pair y = some_pair(c, n);
        if (check_below(c, often) == 0)
            for (size_t j = 0; j < n; j++) g[j] = check_float(c, -reach, reach);
        want(y.want, alias == 1 ? y.want : g, alias == 2 ? y.want : u, n);
        CHECK_CALL(c, got(y.got, alias == 1 ? y.got : g, alias == 2 ? y.got : u, n));
        check_same_f32(c, "y", y, n);
    }
}

static void run_silu_mul(struct check *c) { run_gate(c, c->ref->silu_mul, c->k->silu_mul, 4, 91); }
static void run_gelu_mul(struct check *c) { run_gate(c, c->ref->gelu_mul, c->k->gelu_mul, 2, 12); }

static void run_softcap(struct check *c) {
    for (int i = 0; i < check_cases(c, CASES); i++) {
        const size_t n = some_size(c);
        const float cap = check_below(c, 4) ? check_float(c, 1, 60) : 50.0f;
        check_case(c, "n %zu, cap %g", n, (double)cap);
        const struct check_pair x = some_pair(c, n);
        c->ref->softcap(x.want, cap, n);
        CHECK_CALL(c, c->k->softcap(x.got, cap, n));
        check_same_f32(c, "x", x, n);
    }
}

/* silu of every exponent and many mantissas, NaN and infinities too, and of all floats near the two ends of
 * exp (g is negated first): exp's whole range in each table. */
static void run_exp_range(struct check *c) {
    enum { N = 4096, PARTS = 64 };
    for (uint32_t part = 0; part < PARTS + 2; part++) {
        const float end = part == PARTS ? -CRIA_EXP_LO : -CRIA_EXP_HI;
        const uint32_t first = part < PARTS ? part << 26 : cria_f32_to_bits(end) - N / 2;
        check_case(c, "floats from 0x%08x", first);
        float *g = check_buf(c, N * sizeof *g, sizeof *g), *u = check_buf(c, N * sizeof *u, sizeof *u);
        const struct check_pair y = check_pair(c, N * sizeof *g, sizeof *g);
        for (uint32_t i = 0; i < N; i++) {
            g[i] = cria_f32_from_bits(first + (part < PARTS ? i << 14 | (check_rand(c) & 0x3fffu) : i));
            u[i] = 1.0f;
        }
        c->ref->silu_mul(y.want, g, u, N);
        CHECK_CALL(c, c->k->silu_mul(y.got, g, u, N));
        check_same_f32(c, "y", y, N);
    }
}

static void run_rope(struct check *c) {
    for (int i = 0; i < check_cases(c, CASES); i++) {
        const uint32_t e = 2 + 2 * check_below(c, 80), heads = check_below(c, 4);
        const uint32_t rot = check_rand(c) & 1 ? e : 2 + 2 * check_below(c, e / 2);
        const size_t n = (size_t)e * heads;
        check_case(c, "e %u, heads %u, rotated %u", e, heads, rot);
        const float *cosine = some_floats(c, rot / 2), *sine = some_floats(c, rot / 2);
        const struct check_pair x = some_pair(c, n);
        c->ref->rope(x.want, heads, e, rot, cosine, sine);
        CHECK_CALL(c, c->k->rope(x.got, heads, e, rot, cosine, sine));
        check_same_f32(c, "x", x, n);
    }
}

static void run_kv_store(struct check *c) {
    for (int i = 0; i < check_cases(c, CASES); i++) {
        static const uint32_t usual[] = {64, 80, 96, 128};
        const enum cria_kv_elem kv = (enum cria_kv_elem)check_below(c, CHECK_KV_KINDS);
        const uint32_t any = 1 + check_below(c, MAX_N);
        const uint32_t e = check_rand(c) & 1 ? usual[check_below(c, 4)] : any + (cria_kv_is_whole(kv) && any % 2);
        const uint32_t p = check_below(c, CRIA_KV_BLOCK);
        const size_t bytes = cria_kv_array_bytes(kv, e);
        check_case(c, "e %u, p %u, %s", e, p, cria_check_kv_names[kv]);
        float *k = some_floats(c, e), *v = some_floats(c, e);
        const struct check_pair k_block = check_pair(c, bytes, 64), v_block = check_pair(c, bytes, 64);
        if (check_rand(c) & 1) { /* where half floats begin, end and tie */
            for (uint32_t j = 0; j < e; j++) {
                k[j] = ldexpf(check_float(c, -2, 2), (int)check_below(c, 45) - 28);
                v[j] = ldexpf((float)check_below(c, 4097), (int)check_below(c, 30) - 24);
            }
        }
        if (cria_kv_is_whole(kv) && check_below(c, 8) == 0) k[check_below(c, e)] = v[0] = INFINITY;
        c->ref->kv_store(k_block.want, v_block.want, kv, e, p, k, v);
        CHECK_CALL(c, c->k->kv_store(k_block.got, v_block.got, kv, e, p, k, v));
        check_same(c, "k", k_block, bytes);
        check_same(c, "v", v_block, bytes);
    }
}

/* ---- the reference itself ------------------------------------------------------------------ */

static void self_silu_mul(struct check *c) {
    for (int i = 0; i < check_cases(c, 200000); i++) {
        const float x = check_float(c, -87.3f, 88.7f);
        const double exact = exp((double)x), got = (double)cria_expf(x);
        check_case(c, "exp(%a)", (double)x);
        if (fabs(got - exact) > exact * 0x1p-23) check_fail(c, "%a, not %a", got, exact);
    }
    check_case(c, "ends of exp");
    if (cria_expf(-INFINITY) != 0 || cria_expf(INFINITY) != INFINITY || !isnan(cria_expf(NAN)) ||
        cria_expf(0) != 1)
        check_fail(c, "exp(-inf), exp(inf), exp(NaN) or exp(0)");
}

static void self_gelu_mul(struct check *c) {
    const float one = 1;
    for (int i = 0; i < check_cases(c, 20000); i++) {
        const float x = check_float(c, -9, 9);
        float y;
        c->ref->gelu_mul(&y, &x, &one, 1);
        const double z = sqrt(2 / 3.14159265358979323846) * ((double)x + 0.044715 * pow((double)x, 3));
        const double exact = (double)x / (1 + exp(-2 * z)); /* x·(1 + tanh z)/2 without its cancellation */
        check_case(c, "gelu(%a)", (double)x);
        if (fabs((double)y - exact) > fabs(exact) * 1e-5) check_fail(c, "%g, not %g", (double)y, exact);
    }
}

static void self_softcap(struct check *c) {
    for (int i = 0; i < check_cases(c, 20000); i++) {
        const float x = check_float(c, -200, 200), cap = check_float(c, 10, 60);
        float y = x;
        c->ref->softcap(&y, cap, 1);
        const double exact = (double)cap * tanh((double)x / (double)cap);
        check_case(c, "softcap(%a, %a)", (double)x, (double)cap);
        if (fabs((double)y - exact) > (double)cap * 3e-7) check_fail(c, "%g, not %g", (double)y, exact);
    }
}

static void self_rmsnorm(struct check *c) {
    for (int i = 0; i < check_cases(c, 200); i++) {
        const size_t n = 1 + some_size(c);
        check_case(c, "n %zu", n);
        float *x = check_buf(c, n * 4, 4), *w = check_buf(c, n * 4, 4), *y = check_buf(c, n * 4, 4);
        check_normal(c, x, n, 1);
        check_normal(c, w, n, 1);
        double ss = 0;
        for (size_t j = 0; j < n; j++) ss += (double)x[j] * (double)x[j];
        const double r = 1 / sqrt(ss / (double)n + 1e-5);
        c->ref->rmsnorm(y, x, w, 1e-5f, n);
        for (size_t j = 0; j < n; j++) {
            const double exact = (double)x[j] * r * (double)w[j];
            if (fabs((double)y[j] - exact) > fabs(exact) * 1e-6)
                check_fail(c, "y[%zu] %g, not %g", j, (double)y[j], exact);
        }
    }
}

/* ---- timing -------------------------------------------------------------------------------- */

enum { BENCH_D = 2048, BENCH_F = 5632 };

static float *bench_floats(struct check *c, size_t n) {
    float *p = check_buf(c, n * sizeof *p, 64);
    check_normal(c, p, n, 1);
    return p;
}

static void bench_add(struct check *c) {
    float *y = bench_floats(c, BENCH_D), *x = bench_floats(c, BENCH_D);
    for (size_t i = 0; i < BENCH_D; i++) x[i] *= 0x1p-60f;
    CHECK_BENCH(c, "add 2048", BENCH_D * 12.0, "B", K->add(y, x, BENCH_D));
}
static void bench_scale(struct check *c) {
    float *y = bench_floats(c, BENCH_D), *x = bench_floats(c, BENCH_D);
    CHECK_BENCH(c, "scale 2048", BENCH_D * 8.0, "B", K->scale(y, x, 0.5f, BENCH_D));
}
static void bench_add_scaled(struct check *c) {
    float *y = bench_floats(c, BENCH_D), *x = bench_floats(c, BENCH_D);
    CHECK_BENCH(c, "add_scaled 2048", BENCH_D * 12.0, "B", K->add_scaled(y, x, 0x1p-60f, BENCH_D));
}
static void bench_widen(struct check *c) {
    float *y = bench_floats(c, BENCH_D);
    uint16_t *x = check_buf(c, BENCH_D * sizeof *x, 64);
    memset(x, 0, BENCH_D * sizeof *x);
    CHECK_BENCH(c, "widen 2048", BENCH_D * 6.0, "B", K->widen(y, x, BENCH_D));
}
static void bench_rmsnorm(struct check *c) {
    float *y = bench_floats(c, BENCH_D), *x = bench_floats(c, BENCH_D), *w = bench_floats(c, BENCH_D);
    CHECK_BENCH(c, "rmsnorm 2048", BENCH_D, "element", K->rmsnorm(y, x, w, 1e-5f, BENCH_D));
}
static void bench_silu_mul(struct check *c) {
    float *y = bench_floats(c, BENCH_F), *x = bench_floats(c, BENCH_F), *w = bench_floats(c, BENCH_F);
    CHECK_BENCH(c, "silu_mul 5632", BENCH_F, "element", K->silu_mul(y, x, w, BENCH_F));
}
static void bench_rope(struct check *c) {
    float *x = bench_floats(c, BENCH_D), *cosine = bench_floats(c, 32), *sine = bench_floats(c, 32);
    for (size_t i = 0; i < 32; i++) {
        cosine[i] = 0.6f;
        sine[i] = 0.8f;
    }
    CHECK_BENCH(c, "rope 32 x 64", BENCH_D, "element", K->rope(x, 32, 64, 64, cosine, sine));
}
static void bench_kv_store(struct check *c) {
    float *k = bench_floats(c, 64), *v = bench_floats(c, 64);
    void *k_block = check_buf(c, 64 * 65 * 4, 64), *v_block = check_buf(c, 64 * 65 * 4, 64);
    for (int kv = 0; kv < CHECK_KV_KINDS; kv++) {
        char label[64];
        snprintf(label, sizeof label, "kv_store 64, %s", cria_check_kv_names[kv]);
        CHECK_BENCH(c, label, 64, "element", K->kv_store(k_block, v_block, (enum cria_kv_elem)kv, 64, 17, k, v));
    }
}

#define SLOT(name) offsetof(struct cria_kernels, name)
const struct check_test check_elem[] = {
    {"add", SLOT(add), run_add, bench_add, NULL},
    {"scale", SLOT(scale), run_scale, bench_scale, NULL},
    {"add_scaled", SLOT(add_scaled), run_add_scaled, bench_add_scaled, NULL},
    {"widen", SLOT(widen), run_widen, bench_widen, NULL},
    {"rmsnorm", SLOT(rmsnorm), run_rmsnorm, bench_rmsnorm, self_rmsnorm},
    {"silu_mul", SLOT(silu_mul), run_silu_mul, bench_silu_mul, self_silu_mul},
    {"gelu_mul", SLOT(gelu_mul), run_gelu_mul, NULL, self_gelu_mul},
    {"softcap", SLOT(softcap), run_softcap, NULL, self_softcap},
    {"exp_range", SLOT(silu_mul), run_exp_range, NULL, NULL},
    {"rope", SLOT(rope), run_rope, bench_rope, NULL},
    {"kv_store", SLOT(kv_store), run_kv_store, bench_kv_store, NULL},
    {0},
};
