/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary frequencies of every kind of scaling against the published formulas, written here with the C library's
 * functions (as transformers' modeling_rope_utils.py and the papers have them, in wavelengths and ramps), and at the
 * ends of what a configuration may say. */
#include "unit.h"
#include "base/dmath.h"
#include "model/rope.h"
#include <math.h>

enum { ROTARY = 64, PAIRS = ROTARY / 2 };
static const double two_pi = 6.283185307179586;

static cria_config config_of(float theta, enum cria_rope_scaling scaling, double factor, uint32_t original,
                             uint32_t context) {
    cria_config c = cria_config_plain();
    c.e = c.rotary = ROTARY;
    c.context = context;
    c.rope[0].theta = theta;
    c.rope[0].scaling = scaling;
    c.rope[0].factor = factor;
    c.rope[0].original = original;
    return c;
}

static double plain(double theta, uint32_t i) { return 1 / pow(theta, 2.0 * i / ROTARY); }

static void near_to(const cria_config *c, uint32_t which, const double *want, float amplitude) {
    double got[CRIA_HEAD_DIM_MAX / 2];
    float a;
    cria_rope_frequencies(c, which, got, &a);
    for (uint32_t i = 0; i < c->rotary / 2; i++)
        if (!(fabs(got[i] / want[i] - 1) < 1e-13)) fail_msg("pair %u: %.17g, not %.17g", i, got[i], want[i]);
    assert_true(a == amplitude);
}

static void plain_and_linear(void **unused) {
    (void)unused;
    double want[PAIRS];
    for (uint32_t i = 0; i < PAIRS; i++) want[i] = plain(10000, i);
    cria_config c = config_of(10000, CRIA_ROPE_PLAIN, 1, 0, 4096);
    near_to(&c, 0, want, 1);
    c.rope[1] = c.rope[0]; /* each has its own base */
    c.rope[0].theta = 500000;
    near_to(&c, 1, want, 1);
    c.rope[1].scaling = CRIA_ROPE_LINEAR;
    c.rope[1].factor = 4;
    for (uint32_t i = 0; i < PAIRS; i++) want[i] /= 4;
    near_to(&c, 1, want, 1);
}

static void dynamic(void **unused) {
    (void)unused;
    double want[PAIRS];
    for (uint32_t i = 0; i < PAIRS; i++) want[i] = plain(10000, i);
    cria_config c = config_of(10000, CRIA_ROPE_DYNAMIC, 2, 2048, 2048);
    near_to(&c, 0, want, 1); /* not beyond the original length: as it was */
    c.context = 8192;
    const double theta = 10000 * pow(2.0 * 8192 / 2048 - 1, (double)ROTARY / (ROTARY - 2));
    for (uint32_t i = 0; i < PAIRS; i++) want[i] = plain(theta, i);
    near_to(&c, 0, want, 1);
    c.rotary = 2; /* where the exponent would be endless there is one frequency, which no base changes */
    want[0] = 1;
    near_to(&c, 0, want, 1);
}

/* NTK by parts, as the paper says it: r turns within the original length; γ = 0 below `slow`, 1 above `fast`. The
 * published code has the ramp over pair numbers, between the floor and the ceiling of where these are. */
static void yarn(void **unused) {
    (void)unused;
    double want[PAIRS];
    const double fast = 32, slow = 1, factor = 8, theta = 10000, original = 4096;
    const double low = floor(ROTARY * log(original / (fast * two_pi)) / (2 * log(theta))),
                 high = ceil(ROTARY * log(original / (slow * two_pi)) / (2 * log(theta)));
    assert_true(low > 0 && low < high && high < PAIRS); /* all three pieces are there */
    for (uint32_t i = 0; i < PAIRS; i++) {
        const double extrapolated = i <= low ? 1 : i >= high ? 0 : 1 - (i - low) / (high - low);
        want[i] = extrapolated * plain(theta, i) + (1 - extrapolated) * plain(theta, i) / factor;
        const double turns = original * plain(theta, i) / two_pi;
        if (turns > fast * 2) assert_true(want[i] == plain(theta, i));
        if (turns < slow / 2) assert_true(fabs(want[i] * factor / plain(theta, i) - 1) < 1e-15);
    }
    cria_config c = config_of(10000, CRIA_ROPE_YARN, factor, 4096, 32768);
    c.rope[0].low = slow;
    c.rope[0].high = fast;
    c.rope[0].amplitude = 1.25;
    near_to(&c, 0, want, 1.25f);
    c.context = 100; /* it does not depend on the context */
    near_to(&c, 0, want, 1.25f);
}

static void llama3(void **unused) {
    (void)unused;
    double want[PAIRS];
    const double low = 1, high = 4, factor = 8, original = 8192;
    int pieces[3] = {0};
    for (uint32_t i = 0; i < PAIRS; i++) {
        const double f = plain(500000, i), wavelength = two_pi / f;
        if (wavelength < original / high) {
            want[i] = f;
            pieces[0]++;
        } else if (wavelength > original / low) {
            want[i] = f / factor;
            pieces[1]++;
        } else {
            const double smooth = (original / wavelength - low) / (high - low);
            want[i] = (1 - smooth) * f / factor + smooth * f;
            pieces[2]++;
        }
    }
    assert_true(pieces[0] > 0 && pieces[1] > 0 && pieces[2] > 0);
    cria_config c = config_of(500000, CRIA_ROPE_LLAMA3, factor, 8192, 131072);
    c.rope[0].low = low;
    c.rope[0].high = high;
    near_to(&c, 0, want, 1);
}

static void factors(void **unused) {
    (void)unused;
    double want[PAIRS];
    cria_config c = config_of(10000, CRIA_ROPE_FACTORS, 1, 4096, 4096);
    c.rope[0].amplitude = 1.19;
    for (uint32_t i = 0; i < PAIRS; i++) {
        c.rope[0].short_factors[i] = 1.0f + 0.25f * (float)i;
        c.rope[0].long_factors[i] = 2.0f + 0.5f * (float)i;
        want[i] = plain(10000, i) / (double)c.rope[0].short_factors[i];
    }
    near_to(&c, 0, want, 1.19f);
    c.context = 4097;
    for (uint32_t i = 0; i < PAIRS; i++) want[i] = plain(10000, i) / (double)c.rope[0].long_factors[i];
    near_to(&c, 0, want, 1.19f);
}

static size_t pick(size_t *left, size_t n) {
    const size_t i = *left % n;
    *left /= n;
    return i;
}

/* Whatever cria_config_check lets through gives finite numbers, and angles that sines are good for. */
static void the_ends_of_the_ranges(void **unused) {
    (void)unused;
    static const float thetas[] = {1.0f, 1.0000001f, 10000, 1e18f};
    static const double scales[] = {CRIA_ROPE_FACTOR_MIN, 1, 1e6};
    static const double turns[][2] = {{1e-30, 1e-29}, {1, 32}, {9e5, 1e6}};
    static const uint32_t lengths[] = {1, 4096, INT32_MAX}, rotary[] = {2, 4, 128, CRIA_HEAD_DIM_MAX};
    static const uint32_t contexts[] = {1, CRIA_POSITIONS_MAX};
    static const enum cria_rope_scaling kinds[] = {CRIA_ROPE_LINEAR, CRIA_ROPE_DYNAMIC, CRIA_ROPE_YARN,
                                                   CRIA_ROPE_LLAMA3, CRIA_ROPE_FACTORS};
    for (size_t i = 0; i < 5 * 4 * 3 * 3 * 3 * 4 * 2; i++) {
        size_t left = i;
        cria_config c = config_of(1, kinds[pick(&left, 5)], 1, 1, 1);
        c.rope[0].theta = thetas[pick(&left, 4)];
        c.rope[0].factor = scales[pick(&left, 3)];
        const double *turn = turns[pick(&left, 3)];
        c.rope[0].original = lengths[pick(&left, 3)];
        c.rotary = c.e = rotary[pick(&left, 4)];
        c.context = contexts[pick(&left, 2)];
        c.rope[0].low = turn[0];
        c.rope[0].high = turn[1];
        for (uint32_t k = 0; k < c.rotary / 2; k++) {
            c.rope[0].short_factors[k] = (float)c.rope[0].factor * 1.0000001f;
            c.rope[0].long_factors[k] = 1e9f;
        }
        c.d = c.h = c.hk = c.f = c.V = c.n_layers = 1;
        c.attention_scale = 1;
        cria_error err;
        if (cria_config_check("end", &c, &err) != CRIA_OK) { /* yarn with the smallest base */
            if (strstr(err.msg, "yarn needs") == NULL) fail_msg("%s", err.msg);
            continue;
        }
        double got[CRIA_HEAD_DIM_MAX / 2], s, o;
        float amplitude;
        cria_rope_frequencies(&c, 0, got, &amplitude);
        for (uint32_t k = 0; k < c.rotary / 2; k++) {
            if (!(got[k] >= 0 && got[k] * CRIA_POSITIONS_MAX <= 1.5 * CRIA_POSITIONS_MAX))
                fail_msg("combination %zu, pair %u: %g", i, k, got[k]);
            cria_sincos_f64(got[k] * (CRIA_POSITIONS_MAX - 1), &s, &o);
            if (!(fabs(s * s + o * o - 1) < 1e-14)) fail_msg("combination %zu, pair %u: sine %g", i, k, s);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_linear), cmocka_unit_test(dynamic), cmocka_unit_test(yarn),
        cmocka_unit_test(llama3),           cmocka_unit_test(factors), cmocka_unit_test(the_ends_of_the_ranges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
