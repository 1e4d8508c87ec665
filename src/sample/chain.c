/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/chain.h"

#include "base/mem.h"
#include "base/status.h"
#include "sample/filters.h"

#include <math.h>
#include <string.h>

enum filter { BIAS, PENALTIES, DRY, TOP_N_SIGMA, TOP_K, TYPICAL, TOP_P, MIN_P, XTC, TEMP, N_FILTERS };
_Static_assert((int)N_FILTERS <= (int)CRIA_CHAIN_MOST, "room for every filter");

static const char *const names[N_FILTERS] = {"bias",    "penalties", "dry",   "top_n_sigma", "top_k",
                                             "typical", "top_p",     "min_p", "xtc",         "temp"};

static bool is_on(const cria_sampler_opts *o, enum filter f) {
    switch (f) {
    case BIAS: return o->n_bias > 0;
    case PENALTIES: return o->repeat_penalty != 1.0 || o->presence_penalty != 0.0 || o->frequency_penalty != 0.0;
    case DRY: return o->dry_multiplier > 0.0;
    case TOP_N_SIGMA: return o->top_n_sigma > 0.0;
    case TOP_K: return o->top_k > 0;
    case TYPICAL: return o->typical_p < 1.0;
    case TOP_P: return o->top_p < 1.0;
    case MIN_P: return o->min_p > 0.0;
    case XTC: return o->xtc_probability > 0.0;
    case TEMP: return o->temp != 1.0 || o->dynatemp_range > 0.0;
    case N_FILTERS: break;
    }
    return false;
}

/* ---- options ---- */

cria_sampler_opts cria_sampler_opts_default(void) {
    return (cria_sampler_opts){
        .size = sizeof(cria_sampler_opts),
        .penalty_last_n = 64,
        .repeat_penalty = 1.0,
        .dry_base = 1.75,
        .dry_allowed_length = 2,
        .typical_p = 1.0,
        .top_p = 1.0,
        .xtc_threshold = 0.1,
        .dynatemp_exponent = 1.0,
        .mirostat_eta = 0.1,
    };
}

static cria_status check_temp(double temp, cria_error *err) {
    if (!(temp >= 0.0) || isinf(temp))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The temperature is %g; it has to be 0 (the likeliest token) or a positive number.", temp);
    const float scale = temp == 0.0 ? 1.0f : (float)(1.0 / temp);
    if (isinf(scale) || scale == 0.0f)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The temperature %g is out of range: 1/temp has to be a float32. Use 0 for the likeliest "
                         "token.", temp);
    return CRIA_OK;
}

static cria_status check_ranges(const cria_sampler_opts *o, cria_error *err) {
    const struct {
        const char *name;
        double value, min, max;
    } rows[] = {
        {"repeat_penalty", o->repeat_penalty, 0.001, 1000},
        {"presence_penalty", o->presence_penalty, -1000, 1000},
        {"frequency_penalty", o->frequency_penalty, -1000, 1000},
        {"dry_multiplier", o->dry_multiplier, 0, 1000},
        {"dry_base", o->dry_base, 1, 1000},
        {"top_n_sigma", o->top_n_sigma, 0, 1000000},
        {"typical_p", o->typical_p, 0, 1},
        {"top_p", o->top_p, 0, 1},
        {"min_p", o->min_p, 0, 1},
        {"xtc_probability", o->xtc_probability, 0, 1},
        {"xtc_threshold", o->xtc_threshold, 0, 1},
        {"dynatemp_range", o->dynatemp_range, 0, 1000},
        {"dynatemp_exponent", o->dynatemp_exponent, 0, 1000},
        {"mirostat_tau", o->mirostat_tau, 0, 1000},
        {"mirostat_eta", o->mirostat_eta, 0, 10},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!(rows[i].value >= rows[i].min && rows[i].value <= rows[i].max)) /* NaN is neither */
            return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "The option %s is %g; it has to be from %g to %g.",
                             rows[i].name, rows[i].value, rows[i].min, rows[i].max);
    return CRIA_OK;
}

static cria_status check_lists(const cria_sampler_opts *o, cria_error *err) {
    if ((o->n_bias > 0 && !o->bias) || (o->n_dry_breakers > 0 && !o->dry_breakers))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "The option %s is NULL, but is to have %zu items.",
                         o->n_bias > 0 && !o->bias ? "bias" : "dry_breakers",
                         o->n_bias > 0 && !o->bias ? o->n_bias : o->n_dry_breakers);
    for (size_t i = 0; i < o->n_bias; i++) {
        if (o->bias[i].id < 0)
            return cria_fail(err, CRIA_EINVAL, i, "Item %zu of the option bias is for token %d; ids begin at 0.", i,
                             (int)o->bias[i].id);
        if (isnan(o->bias[i].bias) || o->bias[i].bias == INFINITY)
            return cria_fail(err, CRIA_EINVAL, i,
                             "Item %zu of the option bias is %g; it has to be a finite number, or minus infinity.", i,
                             (double)o->bias[i].bias);
    }
    for (size_t i = 0; i < o->n_dry_breakers; i++)
        if (o->dry_breakers[i] < 0 || (i > 0 && o->dry_breakers[i] <= o->dry_breakers[i - 1]))
            return cria_fail(err, CRIA_EINVAL, i,
                             "Item %zu of the option dry_breakers is %d; they have to be 0 or more, and ascending.", i,
                             (int)o->dry_breakers[i]);
    return CRIA_OK;
}

/* ---- order ---- */

static enum filter find_name(const char *name, size_t len) {
    size_t f = 0;
    while (f < N_FILTERS && (strlen(names[f]) != len || memcmp(names[f], name, len) != 0)) f++;
    return (enum filter)f;
}

/* Fills filters with those of the order that do something. */
static cria_status take_order(cria_chain *chain, const cria_sampler_opts *o, cria_error *err) {
    bool named[N_FILTERS] = {false};
    chain->n = 0;
    for (const char *p = o->order; p;) {
        const size_t len = strcspn(p, ",");
        const enum filter f = find_name(p, len);
        if (f == N_FILTERS)
            return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                             "The order of the samplers names '%.*s'; there are bias, penalties, dry, top_n_sigma, "
                             "top_k, typical, top_p, min_p, xtc and temp.", len < 40 ? (int)len : 40, p);
        if (named[f])
            return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "The order of the samplers names %s twice.", names[f]);
        named[f] = true;
        if (is_on(o, f)) chain->filters[chain->n++] = (unsigned char)f;
        p = p[len] ? p + len + 1 : NULL;
    }
    for (size_t f = 0; f < N_FILTERS; f++)
        if (!named[f] && (!o->order || f == TEMP) && is_on(o, (enum filter)f))
            chain->filters[chain->n++] = (unsigned char)f;
    return CRIA_OK;
}

static bool has(const cria_chain *chain, enum filter f) { return memchr(chain->filters, f, chain->n) != NULL; }

/* ---- life ---- */

cria_status cria_chain_init(cria_chain *chain, cria_ctx *ctx, const cria_sampler_opts *o, cria_error *err) {
    cria_chain made = {.o = *o};
    cria_status st = check_temp(o->temp, err);
    if (st == CRIA_OK) st = check_ranges(o, err);
    if (st == CRIA_OK) st = check_lists(o, err);
    if (st == CRIA_OK) st = take_order(&made, o, err);
    if (st != CRIA_OK) return st;
    cria_logit_bias *bias = NULL;
    int32_t *breakers = NULL;
    if (o->n_bias > 0) bias = cria_malloc_array(ctx, o->n_bias, sizeof *bias);
    if (o->n_dry_breakers > 0) breakers = cria_malloc_array(ctx, o->n_dry_breakers, sizeof *breakers);
    if ((o->n_bias > 0 && !bias) || (o->n_dry_breakers > 0 && !breakers)) {
        cria_free(ctx, bias);
        cria_free(ctx, breakers);
        return cria_fail(err, CRIA_ENOMEM, CRIA_NOWHERE,
                         "There is not enough memory for the sampler's lists of %zu and %zu tokens; free some.",
                         o->n_bias, o->n_dry_breakers);
    }
    if (bias) memcpy(bias, o->bias, o->n_bias * sizeof *bias);
    if (breakers) memcpy(breakers, o->dry_breakers, o->n_dry_breakers * sizeof *breakers);
    made.o.bias = bias;
    made.o.dry_breakers = breakers;
    made.o.order = NULL;
    made.remembers = has(&made, PENALTIES) || has(&made, DRY);
    cria_chain_reset(&made);
    *chain = made;
    return CRIA_OK;
}

void cria_chain_fini(cria_chain *chain, cria_ctx *ctx) {
    cria_free(ctx, (void *)chain->o.bias);
    cria_free(ctx, (void *)chain->o.dry_breakers);
}

void cria_chain_reset(cria_chain *chain) { chain->bound = 2.0 * chain->o.mirostat_tau; }

size_t cria_chain_lookback(const cria_chain *chain) {
    size_t n = 0;
    const uint32_t last[] = {chain->o.penalty_last_n, chain->o.dry_last_n};
    const enum filter filters[] = {PENALTIES, DRY};
    for (size_t i = 0; i < 2; i++) {
        if (!has(chain, filters[i])) continue;
        if (last[i] == 0) return SIZE_MAX;
        if (last[i] > n) n = last[i];
    }
    return n;
}

bool cria_chain_acts(const cria_chain *chain) {
    const bool only_temp = chain->n == 0 || (chain->n == 1 && has(chain, TEMP) && chain->o.dynatemp_range == 0.0);
    return !only_temp || chain->o.mirostat_tau > 0.0;
}

bool cria_chain_draws(const cria_chain *chain) { return chain->o.temp != 0.0 || chain->o.dynatemp_range != 0.0; }

/* ---- running ---- */

static cria_status check_bias(const cria_sampler_opts *o, size_t vocab, cria_error *err) {
    for (size_t i = 0; i < o->n_bias; i++)
        if ((size_t)o->bias[i].id >= vocab)
            return cria_fail(err, CRIA_EINVAL, i,
                             "Item %zu of the option bias is for token %d, but there are only %zu.", i,
                             (int)o->bias[i].id, vocab);
    return CRIA_OK;
}

/* mlx-lm's order of draws: XTC's number is drawn also where it then has nothing to do. */
static void run_xtc(cria_candidates *c, const cria_sampler_opts *o, cria_key *key) {
    const float u = cria_key_uniform(cria_key_next(key));
    if (u <= (float)o->xtc_probability) cria_filter_xtc(c, o->xtc_threshold);
}

static void run_temp(cria_candidates *c, const cria_sampler_opts *o) {
    double temp = o->temp;
    if (o->dynatemp_range > 0.0) temp = cria_dynamic_temp(c, o->temp, o->dynatemp_range, o->dynatemp_exponent);
    cria_filter_temp(c, temp);
}

cria_status cria_chain_run(cria_chain *chain, cria_candidates *c, const cria_history *h, cria_key *key,
                           cria_error *err) {
    const cria_sampler_opts *o = &chain->o;
    const cria_status st = check_bias(o, c->vocab, err);
    if (st != CRIA_OK) return st;
    for (size_t i = 0; i < chain->n; i++)
        switch ((enum filter)chain->filters[i]) {
        case BIAS:
            if (!cria_filter_bias(c, o->bias, o->n_bias))
                return cria_fail(err, CRIA_ENUMERIC, CRIA_NOWHERE,
                                 "The option bias rules every token out, so none can be chosen.");
            break;
        case PENALTIES: cria_filter_penalties(c, h, o); break;
        case DRY: cria_filter_dry(c, h, o); break;
        case TOP_N_SIGMA: cria_filter_top_n_sigma(c, o->top_n_sigma); break;
        case TOP_K: cria_filter_top_k(c, o->top_k); break;
        case TYPICAL: cria_filter_typical(c, o->typical_p); break;
        case TOP_P: cria_filter_top_p(c, o->top_p); break;
        case MIN_P: cria_filter_min_p(c, o->min_p); break;
        case XTC: run_xtc(c, o, key); break;
        case TEMP: run_temp(c, o); break;
        case N_FILTERS: break;
        }
    if (o->mirostat_tau > 0.0) chain->left = cria_filter_mirostat(c, chain->bound);
    return CRIA_OK;
}

void cria_chain_chose(cria_chain *chain, float x) {
    const cria_sampler_opts *o = &chain->o;
    if (o->mirostat_tau > 0.0) chain->bound -= o->mirostat_eta * (cria_surprise(&chain->left, x) - o->mirostat_tau);
}
