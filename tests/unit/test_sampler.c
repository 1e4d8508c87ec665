/* SPDX-License-Identifier: Apache-2.0 */
/* Golden values are those of PyPI mlx 0.32.4 on a CPU; tests/oracle/test_sampler.py compares with it live. */
#include "unit.h"
#include "base/ctx.h"
#include "sample/sampler.h"
#include "sample/threefry.h"
#include "counting_alloc.h"

#include <math.h>
#include <stdlib.h>

static cria_ctx *new_ctx(void) {
    const cria_ctx_opts o = {.size = sizeof o, .threads = 1};
    cria_ctx *ctx;
    assert_int_equal(cria_ctx_base_new(&o, &ctx, NULL), CRIA_OK);
    return ctx;
}

static cria_sampler *new_sampler(cria_ctx *ctx, double temp, uint64_t seed, uint64_t skip) {
    cria_sampler_opts o = cria_sampler_opts_default();
    o.temp = temp;
    o.seed = seed;
    o.skip = skip;
    cria_sampler *s;
    assert_int_equal(cria_sampler_new(ctx, &o, &s, NULL), CRIA_OK);
    return s;
}

static int32_t sample(cria_sampler *s, const float *logits, size_t n) {
    int32_t id = -1;
    cria_error err;
    if (cria_sampler_sample(s, logits, n, &id, &err) != CRIA_OK) fail_msg("%s", err.msg);
    return id;
}

/* Known answers of the Random123 library for threefry2x32, 20 rounds. */
static void threefry_known_answers(void **state) {
    (void)state;
    cria_key r = cria_threefry((cria_key){0, 0}, 0, 0);
    assert_int_equal(r.a, 0x6b200159u);
    assert_int_equal(r.b, 0x99ba4efeu);
    r = cria_threefry((cria_key){~0u, ~0u}, ~0u, ~0u);
    assert_int_equal(r.a, 0x1cb996fcu);
    assert_int_equal(r.b, 0xbb002be7u);
    r = cria_threefry((cria_key){0x13198a2eu, 0x03707344u}, 0x243f6a88u, 0x85a308d3u);
    assert_int_equal(r.a, 0xc4923a9cu);
    assert_int_equal(r.b, 0x483df7a0u);
}

static void uniform_is_mlx(void **state) {
    (void)state;
    const float want[4] = {0x1.e7f664p-2f, 0x1.afeb28p-1f, 0x1.931b06p-3f, 0x1.6954a4p-2f};
    cria_key key = cria_key_seed(3);
    for (size_t i = 0; i < 4; i++) assert_true(cria_key_uniform(cria_key_next(&key)) == want[i]);
}

static void exp_is_mlx(void **state) {
    (void)state;
    static const struct {
        float x;
        uint32_t bits;
    } golden[] = {
        {0.0f, 0x3f800000},    {-1e-3f, 0x3f7fbe7f}, {-0.5f, 0x3f1b4598}, {-1.0f, 0x3ebc5ab2},
        {-3.25f, 0x3d1ed1b4},  {-10.1f, 0x382c4cd2}, {-50.0f, 0x1b692bfc}, {-87.5f, 0x006cb2b8},
        {-88.0f, 0},           {-88.5f, 0},          {-INFINITY, 0},
    };
    for (size_t i = 0; i < N_ITEMS(golden); i++) {
        const float y = cria_exp_mlx(golden[i].x);
        uint32_t bits;
        memcpy(&bits, &y, sizeof bits);
        assert_int_equal(bits, golden[i].bits);
    }
    for (float x = 0.0f; x > -87.0f; x -= 0.0137f) {
        const double want = exp((double)x);
        assert_true(fabs((double)cria_exp_mlx(x) - want) < 2e-5 * want);
    }
}

static void argmax_takes_the_lowest_of_equals(void **state) {
    (void)state;
    const float x[] = {-INFINITY, 1.0f, 3.0f, 3.0f, -0.0f};
    cria_ctx *ctx = new_ctx();
    cria_sampler *s = new_sampler(ctx, 0.0, 5, 0);
    assert_int_equal(sample(s, x, N_ITEMS(x)), 2);
    const float zeros[] = {-0.0f, 0.0f};
    assert_int_equal(sample(s, zeros, 2), 0);
    assert_int_equal(sample(s, x, 1 + 1), 1);
    cria_sampler_free(s);
    cria_ctx_unref(ctx);
}

/* Logits from a linear congruential generator, so that MLX can be given the very same ones. */
static float *lcg_logits(size_t n) {
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    uint32_t s = 12345;
    for (size_t i = 0; i < n; i++) {
        s = s * 1103515245u + 12345u;
        x[i] = (float)(s >> 16 & 0x7fff) / 2048.0f;
    }
    return x;
}

static void draws_are_mlx(void **state) {
    (void)state;
    static const struct {
        size_t n;
        double temp;
        uint64_t seed;
        int32_t ids[8];
    } golden[] = {
        {7, 1.0, 0, {0, 0, 2, 2, 0, 6, 5, 0}},
        {1000, 0.7, 42, {939, 440, 15, 611, 531, 15, 315, 646}},
        {5003, 2.5, ((uint64_t)1 << 40) + 7, {2762, 822, 885, 4339, 3296, 344, 2174, 600}},
    };
    cria_ctx *ctx = new_ctx();
    for (size_t g = 0; g < N_ITEMS(golden); g++) {
        float *x = lcg_logits(golden[g].n);
        for (uint64_t skip = 0; skip < 8; skip += 3) {
            cria_sampler *s = new_sampler(ctx, golden[g].temp, golden[g].seed, skip);
            for (size_t i = (size_t)skip; i < 8; i++)
                assert_int_equal(sample(s, x, golden[g].n), golden[g].ids[i]);
            cria_sampler_free(s);
        }
        free(x);
    }
    cria_ctx_unref(ctx);
}

static void infinities_are_mlx(void **state) {
    (void)state;
    cria_ctx *ctx = new_ctx();
    cria_sampler *s = new_sampler(ctx, 1.0, 9, 0);
    const float masked[] = {1, 2, -INFINITY, -INFINITY, 3};
    const int32_t want[] = {4, 1, 4, 4, 4, 0, 4, 1, 1, 1, 0, 4};
    for (size_t i = 0; i < N_ITEMS(want); i++) assert_int_equal(sample(s, masked, 5), want[i]);
    cria_sampler_free(s);

    /* A temperature so low that logits / temp overflows: those that do are equally likely. */
    s = new_sampler(ctx, 0.1, 9, 0);
    const float huge[] = {3e38f, 1, -3e38f, 3e38f};
    const int32_t want_huge[] = {0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3};
    for (size_t i = 0; i < N_ITEMS(want_huge); i++) assert_int_equal(sample(s, huge, 4), want_huge[i]);
    cria_sampler_free(s);
    cria_ctx_unref(ctx);
}

static void one_token_vocabulary(void **state) {
    (void)state;
    cria_ctx *ctx = new_ctx();
    const float x = -3.0f;
    for (int temp = 0; temp < 2; temp++) {
        cria_sampler *s = new_sampler(ctx, temp, 1, 0);
        for (int i = 0; i < 5; i++) assert_int_equal(sample(s, &x, 1), 0);
        cria_sampler_free(s);
    }
    cria_ctx_unref(ctx);
}

/* u = 0 must not pick a token before the first possible one, nor u just below 1 one behind the last. */
static void ends_of_the_distribution(void **state) {
    (void)state;
    const float below_one = 1.0f - 0x1p-24f;
    const float x[] = {-INFINITY, -INFINITY, 0.0f, 0.0f, -INFINITY};
    assert_int_equal(cria_categorical(x, 5, 1.0f, 0.0f), 2);
    assert_int_equal(cria_categorical(x, 5, 1.0f, 0.49f), 2);
    assert_int_equal(cria_categorical(x, 5, 1.0f, 0.5f), 3);
    assert_int_equal(cria_categorical(x, 5, 1.0f, below_one), 3);
}

static void bad_logits_are_errors(void **state) {
    (void)state;
    cria_ctx *ctx = new_ctx();
    const float nan_at_1[] = {0.0f, NAN, 1.0f}, inf_at_2[] = {0.0f, 1.0f, INFINITY},
                all_out[] = {-INFINITY, -INFINITY};
    for (int temp = 0; temp < 2; temp++) {
        cria_sampler *s = new_sampler(ctx, temp, 0, 0);
        int32_t id = 77;
        cria_error err;
        assert_int_equal(cria_sampler_sample(s, nan_at_1, 3, &id, &err), CRIA_ENUMERIC);
        assert_int_equal(err.where, 1);
        assert_int_equal(cria_sampler_sample(s, inf_at_2, 3, &id, &err), CRIA_ENUMERIC);
        assert_int_equal(err.where, 2);
        assert_int_equal(cria_sampler_sample(s, all_out, 2, &id, &err), CRIA_ENUMERIC);
        assert_int_equal(cria_sampler_sample(s, all_out, 0, &id, &err), CRIA_EINVAL);
        assert_int_equal(id, 77);
        cria_sampler_free(s);
    }
    cria_ctx_unref(ctx);
}

static void bad_options_are_errors(void **state) {
    (void)state;
    cria_ctx *ctx = new_ctx();
    cria_sampler *s = NULL;
    cria_error err;
    const double bad[] = {-1.0, -0.0001, NAN, INFINITY, 1e-40, 1e300};
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        cria_sampler_opts o = cria_sampler_opts_default();
        o.temp = bad[i];
        assert_int_equal(cria_sampler_new(ctx, &o, &s, &err), CRIA_EINVAL);
        assert_non_null(strstr(err.msg, "temperature"));
    }
    cria_sampler_opts o = cria_sampler_opts_default();
    o.size--;
    assert_int_equal(cria_sampler_new(ctx, &o, &s, &err), CRIA_EINVAL);
    assert_int_equal(cria_sampler_new(NULL, NULL, &s, &err), CRIA_EINVAL);
    assert_int_equal(cria_sampler_new(ctx, NULL, NULL, &err), CRIA_EINVAL);
    assert_null(s);
    cria_sampler_free(NULL);
    cria_ctx_unref(ctx);
}

static void out_of_memory_is_an_error(void **state) {
    (void)state;
    struct counting_alloc c;
    counting_alloc_init(&c, -1);
    const cria_ctx_opts o = {.size = sizeof o, .threads = 1, .allocator = counting_alloc_hook(&c)};
    cria_ctx *ctx;
    assert_int_equal(cria_ctx_base_new(&o, &ctx, NULL), CRIA_OK);
    c.fail_at = 0;
    cria_sampler *s = NULL;
    assert_int_equal(cria_sampler_new(ctx, NULL, &s, NULL), CRIA_ENOMEM);
    c.fail_at = -1;
    assert_int_equal(cria_sampler_new(ctx, NULL, &s, NULL), CRIA_OK);
    cria_ctx_unref(ctx); /* the sampler keeps its context alive */
    const float x[] = {0, 1};
    assert_int_equal(sample(s, x, 2), 1);
    cria_sampler_free(s);
    assert_int_equal(atomic_load(&c.live), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threefry_known_answers),
        cmocka_unit_test(uniform_is_mlx),
        cmocka_unit_test(exp_is_mlx),
        cmocka_unit_test(argmax_takes_the_lowest_of_equals),
        cmocka_unit_test(draws_are_mlx),
        cmocka_unit_test(infinities_are_mlx),
        cmocka_unit_test(one_token_vocabulary),
        cmocka_unit_test(ends_of_the_distribution),
        cmocka_unit_test(bad_logits_are_errors),
        cmocka_unit_test(bad_options_are_errors),
        cmocka_unit_test(out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
