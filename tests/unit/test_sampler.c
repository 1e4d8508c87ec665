/* SPDX-License-Identifier: Apache-2.0 */
/* Golden values are those of PyPI mlx 0.32.4 on a CPU; tests/oracle/test_sampler.py compares with it live. */
#include "unit.h"
#include "base/ctx.h"
#include "sample/sampler.h"
#include "sample/threefry.h"
#include "counting_alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* The vector form, over steps that meet every way that the scalar one rounds. */
static void weights_are_exp(void **state) {
    (void)state;
    static const float scales[] = {1.0f, 0.25f, 1.25f, 3.0f}, tops[] = {0.0f, 17.3f, -4.0f};
    float x[CRIA_WEIGHTS_MOST], w[CRIA_WEIGHTS_MOST];
    size_t n = 1;
    for (size_t s = 0; s < N_ITEMS(scales); s++)
        for (size_t t = 0; t < N_ITEMS(tops); t++)
            for (float d = 0.0f; d > -90.0f; n = n % CRIA_WEIGHTS_MOST + 1) {
                for (size_t i = 0; i < n; i++, d -= 0.000913f) x[i] = (d + tops[t]) / scales[s];
                x[n - 1] = n % 5 ? x[n - 1] : -3e38f;
                const float top = x[0] * scales[s] > tops[t] ? x[0] * scales[s] : tops[t];
                cria_exp_weights(x, n, scales[s], top, w);
                for (size_t i = 0; i < n; i++) {
                    const float want = cria_exp_mlx(x[i] * scales[s] - top);
                    if (memcmp(&w[i], &want, sizeof want) != 0) fail_msg("%a: %a, not %a", x[i], w[i], want);
                }
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
    void *old = malloc(sizeof(size_t)); /* of an older header: nothing behind it may be read */
    memcpy(old, &(size_t){sizeof(size_t)}, sizeof(size_t));
    assert_int_equal(cria_sampler_new(ctx, old, &s, &err), CRIA_EINVAL);
    free(old);
    assert_int_equal(cria_sampler_new(NULL, NULL, &s, &err), CRIA_EINVAL);
    assert_int_equal(cria_sampler_new(ctx, NULL, NULL, &err), CRIA_EINVAL);
    assert_null(s);
    cria_sampler_free(NULL);
    cria_ctx_unref(ctx);
}

/* Each is refused by name, and nothing else is said to be wrong. */
static void bad_filter_options_are_errors(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t offset;
        double min, max;
    } ranges[] = {
#define RANGE(name, min, max) {#name, offsetof(cria_sampler_opts, name), min, max}
        RANGE(repeat_penalty, 0.001, 1000),
        RANGE(presence_penalty, -1000, 1000),
        RANGE(frequency_penalty, -1000, 1000),
        RANGE(dry_multiplier, 0, 1000),
        RANGE(dry_base, 1, 1000),
        RANGE(top_n_sigma, 0, 1000000),
        RANGE(typical_p, 0, 1),
        RANGE(top_p, 0, 1),
        RANGE(min_p, 0, 1),
        RANGE(xtc_probability, 0, 1),
        RANGE(xtc_threshold, 0, 1),
        RANGE(dynatemp_range, 0, 1000),
        RANGE(dynatemp_exponent, 0, 1000),
        RANGE(mirostat_tau, 0, 1000),
        RANGE(mirostat_eta, 0, 10),
#undef RANGE
    };
    cria_ctx *ctx = new_ctx();
    for (size_t i = 0; i < N_ITEMS(ranges); i++) {
        const double values[] = {nextafter(ranges[i].min, -INFINITY), nextafter(ranges[i].max, INFINITY), NAN,
                                 INFINITY, -INFINITY, ranges[i].min, ranges[i].max};
        for (size_t v = 0; v < N_ITEMS(values); v++) {
            cria_sampler_opts o = cria_sampler_opts_default();
            memcpy((char *)&o + ranges[i].offset, &values[v], sizeof values[v]);
            cria_sampler *s = NULL;
            cria_error err;
            if (v < 5) {
                assert_int_equal(cria_sampler_new(ctx, &o, &s, &err), CRIA_EINVAL);
                assert_non_null(strstr(err.msg, ranges[i].name));
                assert_null(s);
            } else {
                assert_int_equal(cria_sampler_new(ctx, &o, &s, &err), CRIA_OK);
                cria_sampler_free(s);
            }
        }
    }
    cria_ctx_unref(ctx);
}

static void bad_lists_are_errors(void **state) {
    (void)state;
    cria_ctx *ctx = new_ctx();
    const cria_logit_bias biases[] = {{-1, 0.0f}, {0, NAN}, {0, INFINITY}};
    const int32_t breakers[][2] = {{-1, 2}, {2, 2}, {3, 2}};
    static const char *const orders[] = {"", "top_k,", ",top_k", "top_k,,temp", "topk", "temp,top_k,temp", "top_k "};
    cria_sampler *s = NULL;
    cria_error err;
    cria_sampler_opts o = cria_sampler_opts_default();
    o.n_bias = 1;
    assert_int_equal(cria_sampler_new(ctx, &o, &s, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "bias is NULL"));
    for (size_t i = 0; i < N_ITEMS(biases); i++) {
        o.bias = &biases[i];
        assert_int_equal(cria_sampler_new(ctx, &o, &s, &err), CRIA_EINVAL);
        assert_non_null(strstr(err.msg, "option bias"));
    }
    o = cria_sampler_opts_default();
    o.n_dry_breakers = 2;
    assert_int_equal(cria_sampler_new(ctx, &o, &s, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "dry_breakers is NULL"));
    for (size_t i = 0; i < N_ITEMS(breakers); i++) {
        o.dry_breakers = breakers[i];
        assert_int_equal(cria_sampler_new(ctx, &o, &s, &err), CRIA_EINVAL);
        assert_non_null(strstr(err.msg, "option dry_breakers"));
    }
    o = cria_sampler_opts_default();
    for (size_t i = 0; i < N_ITEMS(orders); i++) {
        o.order = orders[i];
        assert_int_equal(cria_sampler_new(ctx, &o, &s, &err), CRIA_EINVAL);
        assert_non_null(strstr(err.msg, "order of the samplers"));
    }
    assert_null(s);
    cria_ctx_unref(ctx);
}

static cria_sampler_opts everything(void) {
    static const cria_logit_bias bias[] = {{1, 0.5f}, {2, -INFINITY}};
    static const int32_t breakers[] = {0, 7};
    cria_sampler_opts o = cria_sampler_opts_default();
    o.temp = 0.8;
    o.bias = bias;
    o.n_bias = 2;
    o.repeat_penalty = 1.1;
    o.dry_multiplier = 0.8;
    o.dry_breakers = breakers;
    o.n_dry_breakers = 2;
    o.top_n_sigma = 3.0;
    o.top_k = 6;
    o.typical_p = 0.99;
    o.top_p = 0.98;
    o.min_p = 0.01;
    o.xtc_probability = 0.5;
    o.dynatemp_range = 0.2;
    o.mirostat_tau = 2.0;
    return o;
}

static void bad_arguments_are_errors(void **state) {
    (void)state;
    cria_ctx *ctx = new_ctx();
    const cria_sampler_opts o = everything();
    cria_sampler *s;
    assert_int_equal(cria_sampler_new(ctx, &o, &s, NULL), CRIA_OK);
    const int32_t ids[] = {1, -1};
    float x[8] = {0}, out[8] = {77};
    assert_int_equal(cria_sampler_accept(NULL, ids, 1, NULL), CRIA_EINVAL);
    assert_int_equal(cria_sampler_accept(s, NULL, 1, NULL), CRIA_EINVAL);
    assert_int_equal(cria_sampler_accept(s, NULL, 0, NULL), CRIA_OK);
    assert_int_equal(cria_sampler_accept(s, ids, 2, NULL), CRIA_EINVAL);
    assert_int_equal(cria_sampler_apply(NULL, x, 8, out, NULL), CRIA_EINVAL);
    assert_int_equal(cria_sampler_apply(s, NULL, 8, out, NULL), CRIA_EINVAL);
    assert_int_equal(cria_sampler_apply(s, x, 8, NULL, NULL), CRIA_EINVAL);
    assert_int_equal(cria_sampler_apply(s, x, 0, out, NULL), CRIA_EINVAL);
    assert_int_equal(cria_sampler_apply(s, x, 2, out, NULL), CRIA_EINVAL); /* there is a bias for token 2 */
    x[3] = NAN;
    assert_int_equal(cria_sampler_apply(s, x, 8, out, NULL), CRIA_ENUMERIC);
    assert_true(out[0] == 77);
    x[3] = 0;
    assert_int_equal(cria_sampler_apply(s, x, 8, x, NULL), CRIA_OK); /* in place */
    assert_true(x[2] == -INFINITY);
    cria_sampler_free(s);
    cria_ctx_unref(ctx);
}

/* A failed call changes nothing: the random numbers that follow are the same, however the memory ran out before. */
static void out_of_memory_changes_nothing(void **state) {
    (void)state;
    enum { DRAWS = 5, PROMPT = 300 };
    int32_t want[DRAWS], prompt[PROMPT];
    float *small = lcg_logits(50), *large = lcg_logits(5000);
    for (int32_t i = 0; i < PROMPT; i++) prompt[i] = i % 9;
    const cria_sampler_opts o = everything();
    long calls = 1;
    for (long fail_at = -1; fail_at < calls; fail_at++) {
        struct counting_alloc c;
        counting_alloc_init(&c, -1);
        const cria_ctx_opts co = {.size = sizeof co, .threads = 1, .allocator = counting_alloc_hook(&c)};
        cria_ctx *ctx;
        assert_int_equal(cria_ctx_base_new(&co, &ctx, NULL), CRIA_OK);
        const long begin = atomic_load(&c.calls);
        cria_sampler *s = NULL;
        c.fail_at = fail_at < 0 ? -1 : begin + fail_at;
        long failures = 0;
#define RETRY(call) \
    while ((call) != CRIA_OK) { \
        assert_int_equal((call), CRIA_ENOMEM); \
        c.fail_at = -1; \
        failures++; \
    }
        RETRY(cria_sampler_new(ctx, &o, &s, NULL))
        RETRY(cria_sampler_accept(s, prompt, PROMPT, NULL))
        for (size_t i = 0; i < DRAWS; i++) {
            int32_t id = -1;
            RETRY(cria_sampler_sample(s, i < 2 ? small : large, i < 2 ? 50 : 5000, &id, NULL))
            if (fail_at < 0)
                want[i] = id;
            else
                assert_int_equal(id, want[i]);
        }
#undef RETRY
        if (fail_at < 0) calls = atomic_load(&c.calls) - begin;
        assert_int_equal(failures, fail_at >= 0);
        cria_sampler_free(s);
        cria_ctx_unref(ctx);
        assert_int_equal(atomic_load(&c.live), 0);
    }
    assert_true(calls >= 11); /* two lists, the sampler, the history, and room for both vocabularies */
    free(small);
    free(large);
}

/* Once there is room for the vocabulary, and without a growing history, a token takes no memory. */
static void sampling_allocates_nothing(void **state) {
    (void)state;
    cria_ctx *ctx = new_ctx();
    cria_sampler_opts o = everything();
    o.dry_last_n = 100;
    cria_sampler *s;
    assert_int_equal(cria_sampler_new(ctx, &o, &s, NULL), CRIA_OK);
    float *x = lcg_logits(5000);
    for (int i = 0; i < 600; i++) sample(s, x, 5000);
    const uint64_t before = cria_mem_count(ctx);
    for (int i = 0; i < 600; i++) sample(s, x, 5000);
    assert_int_equal(cria_mem_count(ctx), before);
    free(x);
    cria_sampler_free(s);

    /* Without filters there is none from the first one on. */
    s = new_sampler(ctx, 0.7, 0, 0);
    const float two[] = {0, 1};
    const uint64_t then = cria_mem_count(ctx);
    for (int i = 0; i < 3; i++) sample(s, two, 2);
    assert_int_equal(cria_sampler_accept(s, (const int32_t[]){1, 1, 0}, 3, NULL), CRIA_OK);
    assert_int_equal(cria_mem_count(ctx), then);
    cria_sampler_free(s);
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
        cmocka_unit_test(weights_are_exp),
        cmocka_unit_test(argmax_takes_the_lowest_of_equals),
        cmocka_unit_test(draws_are_mlx),
        cmocka_unit_test(infinities_are_mlx),
        cmocka_unit_test(one_token_vocabulary),
        cmocka_unit_test(ends_of_the_distribution),
        cmocka_unit_test(bad_logits_are_errors),
        cmocka_unit_test(bad_options_are_errors),
        cmocka_unit_test(bad_filter_options_are_errors),
        cmocka_unit_test(bad_lists_are_errors),
        cmocka_unit_test(bad_arguments_are_errors),
        cmocka_unit_test(out_of_memory_changes_nothing),
        cmocka_unit_test(sampling_allocates_nothing),
        cmocka_unit_test(out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
