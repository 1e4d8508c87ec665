/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler: logits → token id. Owns the random state of one stream of tokens, their history and the memory that the
 * chain of filters (chain.c) works in; knows nothing of models or text.
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
 * stored: the search computes again the few that it walks over, so drawing needs no memory. Tokens that a filter has
 * taken out would add 0 to the sums, so leaving them away changes no bit.
 */
#include "sample/sampler.h"

#include "base/ctx.h"
#include "base/dmath.h"
#include "base/mem.h"
#include "base/status.h"
#include "sample/chain.h"
#include "sample/threefry.h"

#include <float.h>
#include <math.h>
#include <string.h>

struct cria_sampler {
    cria_ctx *ctx; /* referenced */
    float scale;   /* float32(1/temp); 0 stands for argmax */
    cria_key state;
    cria_chain chain;
    cria_history history;
    cria_candidates room; /* arrays for room.vocab tokens; nothing before a filter needs them */
};

size_t cria_argmax(const float *x, size_t n) {
    enum { LANES = 16 };
    float most[LANES];
    for (size_t l = 0; l < LANES; l++) most[l] = x[0];
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) most[l] = x[i + l] > most[l] ? x[i + l] : most[l];
    for (; i < n; i++) most[0] = x[i] > most[0] ? x[i] : most[0];
    for (size_t l = 1; l < LANES; l++) most[0] = most[l] > most[0] ? most[l] : most[0];
    i = 0;
    while (x[i] != most[0]) i++;
    return i;
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

/* In loops that a compiler turns into vector instructions (one loop would have branches for gcc 12), in double with a
 * rounding to float wherever cria_exp_mlx rounds. */
void cria_exp_weights(const float *restrict x, size_t n, float scale, float top, float *restrict w) {
    static const float f[] = {1.339887440266574e-3f, 9.618437357674640e-3f, 5.550332471162809e-2f,
                              2.402264791363012e-1f, 6.931472028550421e-1f, 1.0f};
    const double shift = 0x1.8p52; /* added, it leaves the nearest whole number in the low bits */
    enum { MOST = CRIA_WEIGHTS_MOST };
    double y[MOST], whole[MOST], part[MOST], p[MOST];
    for (size_t i = 0; i < n; i++) {
        const float z = x[i] * scale - top;
        w[i] = z < -88.0f ? -88.0f : z; /* of which the weight is 0 already */
    }
    for (size_t i = 0; i < n; i++) {
        y[i] = (double)(w[i] * 1.442695f);
        whole[i] = (y[i] + shift) - shift;
    }
    for (size_t i = 0; i < n; i++) part[i] = y[i] - whole[i] >= 0.5 ? 1.0 : 0.0; /* halves go up */
    for (size_t i = 0; i < n; i++) {
        whole[i] += part[i];
        part[i] = y[i] - whole[i];
        p[i] = (double)1.535336188319500e-4f;
    }
    uint64_t tie = 0;
    for (size_t k = 0; k < sizeof f / sizeof *f; k++)
        for (size_t i = 0; i < n; i++) {
            const double r = p[i] * part[i] + (double)f[k];
            tie |= ((cria_f64_to_bits(r) & 0x1fffffff) ^ 0x10000000) - 1; /* wraps around only from 0 */
            p[i] = (double)(float)r;
        }
    for (size_t i = 0; i < n; i++)
        p[i] *= cria_f64_from_bits((cria_f64_to_bits(whole[i] + shift) + 1023) << 52);
    for (size_t i = 0; i < n; i++) p[i] = whole[i] > -127.0 ? p[i] : 0.0;
    for (size_t i = 0; i < n; i++) w[i] = (float)p[i];
    if (tie >> 63)
        for (size_t i = 0; i < n; i++) w[i] = weight(x[i], scale, top);
}

/* The sum after the weights of x[0..n) have been added one by one. One below half of the sum's last bit would leave it
 * as it is: with a sum of at least 2^e, a weight below 2^(e-24), that is e^((e-25) ln 2) despite exp's error. */
static float add_weights(const float *x, size_t n, float scale, float top, float sum) {
    enum { MOST = CRIA_WEIGHTS_MOST };
    float w[MOST];
    for (size_t b = 0; b < n; b += MOST) {
        const size_t len = n - b < MOST ? n - b : MOST;
        uint32_t bits;
        memcpy(&bits, &sum, sizeof bits);
        const float nothing = ((float)(bits >> 23) - (127.0f + 25.0f)) * 0.6931472f;
        unsigned any = 0;
        for (size_t i = b; i < b + len; i++) any |= x[i] * scale - top >= nothing;
        if (!any) continue;
        cria_exp_weights(x + b, len, scale, top, w);
        for (size_t i = 0; i < len; i++) sum += w[i];
    }
    return sum;
}

size_t cria_categorical(const float *x, size_t n, float scale, float u) {
    const float top = x[cria_argmax(x, n)] * scale; /* scale > 0 and rounding keep the order */

    /* cdf at the start of every part, to begin the search near its end. */
    enum { PARTS = 128 };
    float start[PARTS];
    const size_t part = (n - 1) / PARTS + 1;
    float sum = 0.0f;
    for (size_t i = 0; i < n; i += part) {
        const size_t len = n - i < part ? n - i : part;
        start[i / part] = sum;
        if (isinf(top))
            for (size_t j = i; j < i + len; j++) sum += weight(x[j], scale, top);
        else
            sum = add_weights(x + i, len, scale, top, sum);
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

cria_status cria_sampler_new(cria_ctx *ctx, const cria_sampler_opts *opts, cria_sampler **out, cria_error *err) {
    if (!ctx || !out) return cria_fail_null(err, "cria_sampler_new");
    const cria_sampler_opts defaults = cria_sampler_opts_default();
    if (!opts) opts = &defaults;
    cria_status st = cria_check_size(err, "cria_sampler_new", opts->size, sizeof *opts);
    if (st != CRIA_OK) return st;
    const cria_sampler_opts o = *opts;
    cria_chain chain;
    st = cria_chain_init(&chain, ctx, &o, err);
    if (st != CRIA_OK) return st;

    cria_sampler *s = cria_calloc(ctx, 1, sizeof *s);
    if (!s) {
        cria_chain_fini(&chain, ctx);
        return cria_fail_nomem(err, "a sampler", sizeof *s);
    }
    s->ctx = cria_ctx_ref(ctx);
    s->scale = o.temp == 0.0 ? 0.0f : (float)(1.0 / o.temp);
    s->state = cria_key_seed(o.seed);
    for (uint64_t i = 0; i < o.skip; i++) cria_key_next(&s->state);
    s->chain = chain;
    s->history.keep = cria_chain_lookback(&chain);
    *out = s;
    return CRIA_OK;
}

static void free_room(cria_sampler *s) {
    cria_free(s->ctx, s->room.x);
    cria_free(s->ctx, s->room.id);
    cria_free(s->ctx, s->room.mark);
    s->room = (cria_candidates){0};
}

void cria_sampler_free(cria_sampler *s) {
    if (!s) return;
    cria_ctx *ctx = s->ctx;
    free_room(s);
    cria_history_fini(ctx, &s->history);
    cria_chain_fini(&s->chain, ctx);
    cria_free(ctx, s);
    cria_ctx_unref(ctx);
}

/* ---- history ---- */

cria_status cria_sampler_accept(cria_sampler *s, const int32_t *ids, size_t n, cria_error *err) {
    if (!s || (!ids && n > 0)) return cria_fail_null(err, "cria_sampler_accept");
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0)
            return cria_fail(err, CRIA_EINVAL, i, "Token %zu of those accepted has the id %d; ids begin at 0.", i,
                             (int)ids[i]);
    if (!s->chain.remembers || n == 0) return CRIA_OK;
    if (n > s->history.keep) {
        ids += n - s->history.keep;
        n = s->history.keep;
    }
    if (!cria_history_reserve(s->ctx, &s->history, n))
        return cria_fail_nomem(err, "the tokens so far", n * sizeof *ids);
    memcpy(s->history.id + s->history.n, ids, n * sizeof *ids);
    s->history.n += n;
    return CRIA_OK;
}

void cria_sampler_reset(cria_sampler *s) {
    s->history.n = 0;
    cria_chain_reset(&s->chain);
}

/* ---- sampling ---- */

/* The model's faults, found before they can decide anything. *n_out: how many tokens it rules out itself. */
static cria_status check_logits(const float *logits, size_t n, size_t *n_out, cria_error *err) {
    uint32_t bad = 0, out = 0;
    for (size_t i = 0; i < n; i++) {
        bad |= !(logits[i] <= FLT_MAX);
        out += logits[i] < -FLT_MAX;
    }
    for (size_t i = 0; bad && i < n; i++)
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return cria_fail(err, CRIA_ENUMERIC, i,
                             "The logit of token %zu is %s, so no token can be chosen: the weights are damaged, or too "
                             "large for float32.", i, isnan(logits[i]) ? "not a number" : "infinite");
    if (out == n)
        return cria_fail(err, CRIA_ENUMERIC, CRIA_NOWHERE,
                         "All %zu logits are minus infinity, so no token can be chosen.", n);
    *n_out = out;
    return CRIA_OK;
}

static cria_status check_arguments(const char *function, const cria_sampler *s, const float *logits, size_t vocab_size,
                                   const void *out, size_t *n_out, cria_error *err) {
    if (!s || !logits || !out) return cria_fail_null(err, function);
    if (vocab_size == 0 || vocab_size > INT32_MAX)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "A token is to be chosen among %zu; there have to be 1 to %d.", vocab_size, INT32_MAX);
    return check_logits(logits, vocab_size, n_out, err);
}

/* Makes room for so many tokens; what is there is not kept. */
static cria_status make_room(cria_sampler *s, size_t vocab, cria_error *err) {
    if (s->room.vocab >= vocab) return CRIA_OK;
    free_room(s);
    s->room.x = cria_malloc_array(s->ctx, vocab, sizeof *s->room.x);
    s->room.id = cria_malloc_array(s->ctx, vocab, sizeof *s->room.id);
    s->room.mark = cria_calloc(s->ctx, vocab, sizeof *s->room.mark);
    if (!s->room.x || !s->room.id || !s->room.mark) {
        free_room(s);
        return cria_fail_nomem(err, "the sampler", 3 * vocab * sizeof(float));
    }
    s->room.vocab = vocab;
    return CRIA_OK;
}

/* Fills *c with what the chain leaves of the logits. */
static cria_status filter(cria_sampler *s, const float *logits, size_t vocab, size_t n_out, cria_candidates *c,
                          cria_error *err) {
    cria_status st = make_room(s, vocab, err);
    if (st != CRIA_OK) return st;
    *c = (cria_candidates){s->room.x, s->room.id, vocab, vocab, s->room.mark};
    memcpy(c->x, logits, vocab * sizeof *logits);
    if (n_out > 0) cria_keep_between(c, -FLT_MAX, FLT_MAX);
    const cria_key before = s->state;
    st = cria_chain_run(&s->chain, c, &s->history, &s->state, err);
    if (st != CRIA_OK) s->state = before;
    return st;
}

/* Index of the choice among x[0..n). */
static size_t choose(cria_sampler *s, const float *x, size_t n, float scale) {
    if (!cria_chain_draws(&s->chain)) return cria_argmax(x, n);
    return cria_categorical(x, n, scale, cria_key_uniform(cria_key_next(&s->state)));
}

cria_status cria_sampler_sample(cria_sampler *s, const float *logits, size_t vocab_size, int32_t *id,
                                cria_error *err) {
    size_t n_out;
    cria_status st = check_arguments("cria_sampler_sample", s, logits, vocab_size, id, &n_out, err);
    if (st != CRIA_OK) return st;
    if (!cria_chain_acts(&s->chain)) {
        *id = (int32_t)choose(s, logits, vocab_size, s->scale);
        return CRIA_OK;
    }
    if (s->chain.remembers && !cria_history_reserve(s->ctx, &s->history, 1))
        return cria_fail_nomem(err, "the tokens so far", s->history.n * sizeof *id);
    cria_candidates c;
    st = filter(s, logits, vocab_size, n_out, &c, err);
    if (st != CRIA_OK) return st;
    const size_t i = choose(s, c.x, c.n, 1.0f);
    cria_chain_chose(&s->chain, c.x[i]);
    *id = cria_candidate_id(&c, i);
    if (s->chain.remembers) s->history.id[s->history.n++] = *id;
    return CRIA_OK;
}

cria_status cria_sampler_apply(cria_sampler *s, const float *logits, size_t vocab_size, float *out, cria_error *err) {
    size_t n_out;
    cria_status st = check_arguments("cria_sampler_apply", s, logits, vocab_size, out, &n_out, err);
    if (st != CRIA_OK) return st;
    cria_candidates c;
    st = filter(s, logits, vocab_size, n_out, &c, err);
    if (st != CRIA_OK) return st;
    for (size_t i = 0; i < vocab_size; i++) out[i] = -INFINITY;
    for (size_t i = 0; i < c.n; i++) out[cria_candidate_id(&c, i)] = c.x[i];
    return CRIA_OK;
}
