/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/half.h"
#include <math.h>
#include <stdbool.h>

/* A half by its definition: sign · mantissa · 2^exponent, in double, where all of it is exact. */
static double half_value(uint16_t h) {
    const int e = h >> 10 & 31, m = h & 0x3ff;
    double v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    if (e == 31) v = m ? (double)NAN : (double)INFINITY;
    return h & 0x8000 ? -v : v;
}

static void every_half_has_its_value(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = cria_f16_to_f32((uint16_t)h);
        const double wanted = half_value((uint16_t)h);
        if (isnan(wanted)) {
            const uint32_t u = cria_f32_to_bits(f);
            assert_int_equal(u,
                             (h & 0x8000) << 16 | 0x7fc00000 | (h & 0x3ff) << 13); /* quiet, payload kept */
        } else if (cria_f32_to_bits(f) != cria_f32_to_bits((float)wanted)) {
            fail_msg("half %04x", (unsigned)h);
        }
        const uint32_t quiet = isnan(wanted) ? h | 0x200 : h;
        assert_int_equal(cria_f32_to_f16(f), quiet);
    }
}

/* Nearest half by search: of the two neighbours in value order the nearer one, of two equally near the even
 * one. What lies at or beyond 65520 (half way to the next power of two) is infinite. */
static uint16_t nearest_half(float f) {
    const double v = fabs((double)f);
    const uint16_t sign = signbit(f) ? 0x8000 : 0;
    if (v >= 65520) return sign | 0x7c00;
    uint16_t lo = 0, hi = 0x7bff;
    while (lo < hi) { /* the largest half <= v */
        const uint16_t mid = (uint16_t)((lo + hi + 1) / 2);
        if (half_value(mid) <= v)
            lo = mid;
        else
            hi = (uint16_t)(mid - 1);
    }
    if (lo == 0x7bff) return sign | 0x7bff;
    const double below = v - half_value(lo), above = half_value((uint16_t)(lo + 1)) - v;
    const bool up = above < below || (above == below && (lo & 1));
    return (uint16_t)(sign | (lo + up));
}

static void check_rounding(uint32_t u) {
    const float f = cria_f32_from_bits(u);
    if (isnan(f)) {
        const uint16_t h = cria_f32_to_f16(f);
        if ((h & 0x7e00) != 0x7e00 || h >> 15 != u >> 31) fail_msg("NaN %08x became %04x", (unsigned)u, h);
    } else if (cria_f32_to_f16(f) != nearest_half(f)) {
        fail_msg("%a became %04x instead of %04x", (double)f, cria_f32_to_f16(f), nearest_half(f));
    }
}

static void rounds_to_nearest_even(void **state) {
    (void)state;
    /* Around every half and every midpoint between two, down to the last float. */
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const double a = half_value((uint16_t)h);
        const double b = h == 0x7bff ? 65536.0 : half_value((uint16_t)(h + 1));
        const uint32_t at[2] = {cria_f32_to_bits((float)a), cria_f32_to_bits((float)((a + b) / 2))};
        for (int i = 0; i < 2; i++)
            for (int d = -2; d <= 2; d++) {
                const uint32_t u = at[i] + (uint32_t)d;
                check_rounding(u & 0x7fffffff);
                check_rounding(u | 0x80000000);
            }
    }
    for (uint64_t u = 0; u < UINT64_C(1) << 32; u += 997) check_rounding((uint32_t)u);
    check_rounding(0x7f800000);
    check_rounding(0xff800000);
    check_rounding(0x7f7fffff);
}

static void bfloat_is_the_upper_half_of_a_float(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++)
        assert_int_equal(cria_f32_to_bits(cria_bf16_to_f32((uint16_t)h)), h << 16);
}

static void mx_formats_have_the_values_of_the_specification(void **state) {
    (void)state;
    for (int e = 0; e < 255; e++) assert_true((double)cria_e8m0_to_f32((uint8_t)e) == ldexp(1, e - 127));
    assert_true(isnan(cria_e8m0_to_f32(255)));
    for (int b = 0; b < 256; b++) {
        const int e = b >> 3 & 15, m = b & 7;
        const double v = e ? ldexp(8 + m, e - 10) : ldexp(m, -9);
        const float f = cria_e4m3_to_f32((uint8_t)b);
        if ((b & 0x7f) == 0x7f) {
            assert_true(isnan(f));
        } else {
            assert_true((double)f == (b & 0x80 ? -v : v));
            assert_int_equal(!!signbit(f), b >> 7);
        }
    }
    assert_true((double)cria_e4m3_to_f32(0x7e) == 448); /* the largest */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_has_its_value),
        cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(bfloat_is_the_upper_half_of_a_float),
        cmocka_unit_test(mx_formats_have_the_values_of_the_specification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
