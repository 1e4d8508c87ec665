/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler: logits → token id. Owns the random state of one stream of tokens; knows nothing of models or text.
 *
 * The contract is "the same token as MLX for the same float32 logits", so this is a transcription, operation by
 * operation, of what mx.random.categorical(logits * (1/temp)) of MLX 0.32 does on a CPU for one distribution
 * (mlx/random.cpp, categorical_inverse_cdf; the example's logits of shape [1, V] take that way):
 *
 *     x = logits · float32(1/temp)            w = exp(x - max x)
 *     cdf[i] = w[0] + … + w[i-1]              u = uniform() · sum(w)
 *     id = (number of cdf[i] <= u) - 1
 *
 * in float32, all sums from left to right, with exp as in mlx/backend/cpu/simd/math.h. Every step is an IEEE operation
 * or one of ours, none is libm's approximation, so the token is also the same on every machine. The weights are not
 * stored: the search computes again the few that it walks over, so drawing needs no memory.
 */
#include "sample/sampler.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/status.h"
#include "sample/threefry.h"

#include <math.h>
#include <string.h>

struct cria_sampler {
    cria_ctx *ctx; /* referenced */
    float scale;   /* float32(1/temp); 0 stands for argmax */
    cria_key state;
};

size_t cria_argmax(const float *x, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* fmaf(a, b, c), fast on processors without the instruction. The product of two floats is exact as a double, so only
 * the sum is rounded before the result is; that shows only where it falls exactly between two floats. */
static inline float fma_exact(float a, float b, float c) {
    const double r = (double)a * (double)b + (double)c;
    uint64_t bits;
    memcpy(&bits, &r, sizeof bits);
    if ((bits & 0x1fffffffu) == 0x10000000u) return fmaf(a, b, c);
    return (float)r;
}

float cria_exp_mlx(float x) {
    if (x < -88.0f) return 0.0f;
    /* 2^(x / ln 2) = 2^whole · 2^part, part in [-1/2, 1/2). MLX adds 0.5, a double, so its floor is a double's. */
    const float y = x * 1.442695f;
    const double shifted = (double)y + 0.5;
    int32_t whole = (int32_t)shifted; /* in [-127, 0] */
    whole -= (double)whole > shifted;
    const float part = y - (float)whole;
    float p = 1.535336188319500e-4f;
    p = fma_exact(p, part, 1.339887440266574e-3f);
    p = fma_exact(p, part, 9.618437357674640e-3f);
    p = fma_exact(p, part, 5.550332471162809e-2f);
    p = fma_exact(p, part, 2.402264791363012e-1f);
    p = fma_exact(p, part, 6.931472028550421e-1f);
    p = fma_exact(p, part, 1.0f);
    const uint32_t bits = (uint32_t)(whole + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power * p;
}

/* Weight of one token. top is the largest x · scale; when that is infinite exp(x - top) would be NaN, and MLX makes
 * all tokens that reach it equally likely. */
static inline float weight(float x, float scale, float top) {
    if (isinf(top)) return x * scale == top ? 1.0f : 0.0f;
    return cria_exp_mlx(x * scale - top);
}

size_t cria_categorical(const float *x, size_t n, float scale, float u) {
    const float top = x[cria_argmax(x, n)] * scale; /* scale > 0 and rounding keep the order */

    /* cdf at the start of every part, to begin the search near its end. */
    enum { PARTS = 128 };
    float start[PARTS];
    const size_t part = (n - 1) / PARTS + 1;
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) {
        if (i % part == 0) start[i / part] = sum;
        sum += weight(x[i], scale, top);
    }

    const float target = u * sum;
    size_t p = (n - 1) / part;
    while (p > 0 && start[p] > target) p--;
    float cdf = start[p];
    for (size_t i = p * part; i + 1 < n; i++) {
        cdf += weight(x[i], scale, top); /* of token i + 1 */
        if (cdf > target) return i;
    }
    return n - 1;
}

cria_sampler_opts cria_sampler_opts_default(void) {
    return (cria_sampler_opts){.size = sizeof(cria_sampler_opts)};
}

cria_status cria_sampler_new(cria_ctx *ctx, const cria_sampler_opts *opts, cria_sampler **out, cria_error *err) {
    if (!ctx || !out)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_sampler_new: a required argument is NULL.");
    if (opts && opts->size != sizeof *opts)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_sampler_new: the options are %zu bytes where this library's are %zu; start from the "
                         "_default() function and build against the header of this version.",
                         opts->size, sizeof *opts);
    const cria_sampler_opts o = opts ? *opts : cria_sampler_opts_default();
    if (!(o.temp >= 0.0) || isinf(o.temp))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The temperature is %g; it has to be 0 (the likeliest token) or a positive number.", o.temp);
    const float scale = o.temp == 0.0 ? 0.0f : (float)(1.0 / o.temp);
    if (o.temp != 0.0 && (isinf(scale) || scale == 0.0f))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The temperature %g is out of range: 1/temp has to be a float32. Use 0 for the likeliest "
                         "token.", o.temp);

    cria_sampler *s = cria_calloc(ctx, 1, sizeof *s);
    if (!s) return cria_fail_nomem(err, "a sampler", sizeof *s);
    s->ctx = cria_ctx_ref(ctx);
    s->scale = scale;
    s->state = cria_key_seed(o.seed);
    for (uint64_t i = 0; i < o.skip; i++) cria_key_next(&s->state);
    *out = s;
    return CRIA_OK;
}

void cria_sampler_free(cria_sampler *s) {
    if (!s) return;
    cria_ctx *ctx = s->ctx;
    cria_free(ctx, s);
    cria_ctx_unref(ctx);
}

/* The model's faults, found before they can decide anything. */
static cria_status check_logits(const float *logits, size_t n, cria_error *err) {
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return cria_fail(err, CRIA_ENUMERIC, i,
                             "The logit of token %zu is %s, so no token can be chosen: the weights are damaged, or too "
                             "large for float32.", i, isnan(logits[i]) ? "not a number" : "infinite");
        any |= logits[i] != -INFINITY;
    }
    if (!any)
        return cria_fail(err, CRIA_ENUMERIC, CRIA_NOWHERE,
                         "All %zu logits are minus infinity, so no token can be chosen.", n);
    return CRIA_OK;
}

cria_status cria_sampler_sample(cria_sampler *s, const float *logits, size_t vocab_size, int32_t *id,
                                cria_error *err) {
    if (!s || !logits || !id)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_sampler_sample: a required argument is NULL.");
    if (vocab_size == 0 || vocab_size > INT32_MAX)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "A token is to be chosen among %zu; there have to be 1 to %d.", vocab_size, INT32_MAX);
    const cria_status st = check_logits(logits, vocab_size, err);
    if (st != CRIA_OK) return st;
    if (s->scale == 0.0f) {
        *id = (int32_t)cria_argmax(logits, vocab_size);
        return CRIA_OK;
    }
    const float u = cria_key_uniform(cria_key_next(&s->state));
    *id = (int32_t)cria_categorical(logits, vocab_size, s->scale, u);
    return CRIA_OK;
}
