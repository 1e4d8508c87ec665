/* SPDX-License-Identifier: Apache-2.0 */
/* The double-precision functions against the C library's long double ones: within the 4 ulp that dmath.h promises. */
#include "unit.h"
#include "base/dmath.h"
#include <math.h>

static uint64_t state = 1;
static double uniform(double low, double high) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(state >> 11) * 0x1p-53;
}

static void exp_and_log(void **unused) {
    (void)unused;
    for (int i = 0; i < 200000; i++) {
        const double x = uniform(-700, 700);
        assert_true(fabsl((long double)cria_exp_f64(x) / expl(x) - 1) < 4 * 0x1p-53L);
        const double y = exp(uniform(-700, 700));
        assert_true(fabsl(cria_log_f64(y) - logl(y)) < 4 * 0x1p-53L * fmaxl(fabsl(logl(y)), 0.01L));
    }
    assert_true(cria_exp_f64(0) == 1.0 && cria_log_f64(1.0) == 0.0);
}

static void sine_and_cosine(void **unused) {
    (void)unused;
    for (int i = 0; i < 200000; i++) {
        const double x = i % 2 ? uniform(0, 1.5 * 16777216) : uniform(0, 10);
        double s, c;
        cria_sincos_f64(x, &s, &c);
        assert_true(fabsl(s - sinl(x)) < 4 * 0x1p-53L);
        assert_true(fabsl(c - cosl(x)) < 4 * 0x1p-53L);
    }
    double s, c;
    cria_sincos_f64(0, &s, &c);
    assert_true(s == 0.0 && c == 1.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(exp_and_log), cmocka_unit_test(sine_and_cosine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
