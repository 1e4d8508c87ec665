/* SPDX-License-Identifier: Apache-2.0 */
/* The activation quantizer. */
#include "kernels/check/check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Two acts of the same shape with separate outputs. */
struct acts {
    cria_act want, got;
    struct check_pair q, d, sum, u;
    size_t q_bytes, rows;
};

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static struct acts make(struct check *c, uint32_t n, uint32_t k, uint32_t planes, uint32_t group) {
    struct acts a = {.rows = n};
    cria_act *w = &a.want;
    w->n = n;
    w->k = k;
    w->planes = planes;
    w->group = group;
    w->ldq = round_up(k, 64);
    w->ldd = round_up((k + 31) / 32, 16);
    w->ldu = group ? round_up((k + group - 1) / group, 16) : 0;
    a.q_bytes = n * planes * w->ldq;
    a.q = check_pair(c, a.q_bytes, 64);
    a.d = check_pair(c, n * w->ldd * 4, 4);
    a.sum = check_pair(c, n * w->ldd * 4, 4);
    a.u = check_pair(c, n * w->ldu * 4, 4);
    a.got = a.want;
    a.want.q = a.q.want;
    a.got.q = a.q.got;
    a.want.d = a.d.want;
    a.got.d = a.d.got;
    a.want.sum = a.sum.want;
    a.got.sum = a.sum.got;
    a.want.u = a.u.want;
    a.got.u = a.u.got;
    return a;
}

static uint32_t some_group(struct check *c) {
    static const uint32_t groups[] = {0, 16, 32, 64, 128};
    return groups[check_below(c, 5)];
}

/* Some units of very different sizes, one of the smallest that count, one that is not finite. */
static void disturb(struct check *c, float *x, uint32_t k) {
    for (uint32_t i = 0; i < k; i += 32) {
        const uint32_t at = i + check_below(c, k - i < 32 ? k - i : 32);
        switch (check_below(c, 12)) {
        case 0:
            x[at] = check_rand(c) & 1 ? NAN : -INFINITY;
            break;
        case 1:
            x[at] = 0x1.fffffep127f;
            break;
        case 2:
            for (uint32_t j = i; j < k && j < i + 32; j++) x[j] = check_float(c, -1, 1) * 0x1p-112f;
            if (check_rand(c) & 1) x[at] = 0x1p-112f;
            break;
        case 3: /* ties: multiples of 1/2 under a scale of 1 */
            for (uint32_t j = i; j < k && j < i + 32; j++)
                x[j] = (float)((int)check_below(c, 509) - 254) * 0.5f;
            x[at] = 127.0f;
            break;
        default:
            break;
        }
    }
}

static void run_quantize(struct check *c) {
    for (int i = 0; i < check_cases(c, 800); i++) {
        const uint32_t k = check_below(c, 8) ? 1 + check_below(c, 200) : 576, planes = 1 + check_below(c, 2);
        const uint32_t group = some_group(c), n = 1 + check_below(c, 2), row = check_below(c, n);
        check_case(c, "k %u, planes %u, group %u, row %u of %u", k, planes, group, row, n);
        float *x = check_buf(c, k * sizeof *x, sizeof *x);
        check_data(c, x, k);
        if (check_rand(c) & 1) disturb(c, x, k);
        const struct acts a = make(c, n, k, planes, group);
        c->ref->quantize(&a.want, row, x);
        CHECK_CALL(c, c->k->quantize(&a.got, row, x));
        check_same(c, "q", a.q, a.q_bytes);
        check_same_f32(c, "d", a.d, n * a.want.ldd);
        check_same(c, "sum", a.sum, n * a.want.ldd * 4);
        check_same_f32(c, "u", a.u, n * a.want.ldu);
    }
}

/* a·d is x to within half a step and a share of x for what d was cut by (3 ulp), the two divisions and x·inv (half an
 * ulp each); sum and u are what they say. */
static void self_quantize(struct check *c) {
    for (int i = 0; i < check_cases(c, 200); i++) {
        const uint32_t k = 1 + check_below(c, 200), planes = 1 + check_below(c, 2);
        check_case(c, "k %u, planes %u", k, planes);
        float *x = check_buf(c, k * sizeof *x, sizeof *x);
        check_normal(c, x, k, 1);
        const struct acts a = make(c, 1, k, planes, 16);
        c->ref->quantize(&a.want, 0, x);
        double sum = 0, u = 0;
        for (uint32_t j = 0; j < k; j++) {
            const int8_t *q = a.want.q;
            const int whole = planes == 1 ? q[j] : 256 * q[a.want.ldq + j] + q[j];
            const double step = (double)a.want.d[j / 32], value = whole * step;
            sum += whole;
            u += value;
            if (fabs(value - (double)x[j]) > step * (0.5 + abs(whole) * 5 * 0x1p-23))
                check_fail(c, "x[%u] %g became %g", j, (double)x[j], value);
        }
        for (size_t j = 0; j < a.want.ldd; j++) sum -= a.want.sum[j];
        for (size_t j = 0; j < a.want.ldu; j++) u -= (double)a.want.u[j];
        if (fabs(sum) > 0 || fabs(u) > 1e-4) check_fail(c, "sums are off by %g and %g", sum, u);
    }
}

/* Rows of whole integers, their padding apart. */
static void run_quantize_h(struct check *c) {
    for (int i = 0; i < check_cases(c, 300) && !c->failed; i++) {
        const uint32_t k = check_below(c, 8) ? 1 + check_below(c, 400) : 576, n = 1 + check_below(c, 2);
        const uint32_t row = check_below(c, n), groups = (k + CRIA_STEP_GROUP - 1) / CRIA_STEP_GROUP;
        check_case(c, "k %u, row %u of %u", k, row, n);
        float *x = check_buf(c, k * sizeof *x, sizeof *x);
        check_data(c, x, k);
        if (check_rand(c) & 1) disturb(c, x, k);
        struct acts a = make(c, n, k, 2, 0);
        a.want.whole = a.got.whole = true;
        c->ref->quantize_h(&a.want, row, x);
        CHECK_CALL(c, c->k->quantize_h(&a.got, row, x));
        const size_t q = row * a.want.ldq * sizeof(int16_t), d = row * a.want.ldd * sizeof(float);
        check_same(c, "q", (struct check_pair){(char *)a.q.want + q, (char *)a.q.got + q}, k * sizeof(int16_t));
        check_same_f32(c, "d", (struct check_pair){(char *)a.d.want + d, (char *)a.d.got + d}, groups);
    }
}

static void bench_quantize(struct check *c) {
    enum { K_BENCH = 2048 };
    float *x = check_buf(c, K_BENCH * sizeof *x, 64);
    check_normal(c, x, K_BENCH, 1);
    const struct acts a = make(c, 1, K_BENCH, 2, 64);
    cria_act one = a.want;
    one.planes = 1;
    CHECK_BENCH(c, "quantize 2048 to int8, group 64", K_BENCH, "element", K->quantize(&one, 0, x));
    CHECK_BENCH(c, "quantize 2048 to int16, group 64", K_BENCH, "element", K->quantize(&a.want, 0, x));
}

const struct check_test check_quant[] = {
    {"quantize", offsetof(struct cria_kernels, quantize), run_quantize, bench_quantize, self_quantize},
    {"quantize_h", offsetof(struct cria_kernels, quantize_h), run_quantize_h, NULL, NULL},
    {0},
};
