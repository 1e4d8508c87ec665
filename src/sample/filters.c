/* SPDX-License-Identifier: Apache-2.0 */
/* Where mlx-lm and llama.cpp differ, a comment says which of the two this follows and why. */
#include "sample/filters.h"

#include "base/dmath.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define LOG2_E 0x1.71547652b82fep+0
#define LN_2 0x1.62e42fefa39efp-1

/* The smallest float32 that is not below v. */
static float float_above(double v) {
    const float f = (float)v;
    return (double)f < v ? nextafterf(f, INFINITY) : f;
}

/* Sum of x - from, or of its square, in lanes: a fixed order that suits vector instructions. */
static double sum_powers(const cria_candidates *c, double from, bool square) {
    enum { LANES = 8 };
    double sum[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= c->n; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            const double d = (double)c->x[i + l] - from;
            sum[l] += square ? d * d : d;
        }
    for (size_t l = 0; i < c->n; i++, l++) {
        const double d = (double)c->x[i] - from;
        sum[l] += square ? d * d : d;
    }
    for (size_t l = 1; l < LANES; l++) sum[0] += sum[l];
    return sum[0];
}

/* Tang et al., "Top-nσ: not all logits are you need" (2024). */
void cria_filter_top_n_sigma(cria_candidates *c, double n) {
    const double mean = sum_powers(c, 0.0, false) / (double)c->n;
    const double sigma = sqrt(sum_powers(c, mean, true) / (double)c->n);
    const float top = cria_candidates_top(c);
    const float least = float_above((double)top - n * sigma);
    cria_keep_between(c, least < top ? least : top, INFINITY);
}

void cria_filter_top_k(cria_candidates *c, uint32_t k) { cria_keep_largest(c, k); }

/* Meister et al., "Locally typical sampling" (2022): as few as have at least p together, in llama.cpp more than p. */
void cria_filter_typical(cria_candidates *c, double p) { cria_keep_typical(c, p); }

/* Equal logits stay together as in mlx-lm; llama.cpp lets its sort decide among them. p = 0 leaves the likeliest, what
 * small p come down to; in mlx-lm it means off. */
void cria_filter_top_p(cria_candidates *c, double p) { cria_keep_likeliest(c, p); }

/* In float32, as both have it. */
void cria_filter_min_p(cria_candidates *c, double p) {
    const float ratio = (float)cria_log_f64(p < DBL_MIN ? DBL_MIN : p);
    cria_keep_between(c, cria_candidates_top(c) + ratio, INFINITY);
}

/* As mlx-lm: a probability equal to the threshold is not above it, and of several equally unlikely ones all stay;
 * llama.cpp differs in both, and lets its sort decide which one stays. */
void cria_filter_xtc(cria_candidates *c, double threshold) {
    const cria_softmax s = cria_candidates_softmax(c);
    const float least = cria_candidates_least_above(c, s.top, threshold * s.mass);
    cria_keep_between(c, -INFINITY, least);
}

void cria_filter_temp(cria_candidates *c, double temp) {
    const float scale = temp > 0.0 ? (float)(1.0 / temp) : INFINITY;
    if (scale > FLT_MAX) {
        cria_keep_top(c);
        return;
    }
    for (size_t i = 0; i < c->n; i++) {
        const float x = c->x[i] * scale;
        const float low = x > FLT_MAX ? FLT_MAX : x; /* filters want finite logits */
        c->x[i] = low < -FLT_MAX ? -FLT_MAX : low;
    }
}

double cria_dynamic_temp(const cria_candidates *c, double temp, double range, double exponent) {
    const double least = temp > range ? temp - range : 0.0, most = temp + range;
    if (c->n == 1) return least;
    const cria_softmax s = cria_candidates_softmax(c);
    double share = (cria_log_f64(s.mass) - s.mean) / cria_log_f64((double)c->n);
    share = share < 0.0 ? 0.0 : share > 1.0 ? 1.0 : share;
    if (exponent == 0.0)
        share = 1.0;
    else if (share > 0.0) {
        const double log = exponent * cria_log_f64(share);
        share = log < -700.0 ? 0.0 : cria_exp_f64(log);
    }
    return least + (most - least) * share;
}

/* Basu et al., "Mirostat" (2021), version 2 of the authors' code: surprise <= bound, where surprise =
 * log2(mass) - d·log2(e); the likeliest stays also when it is above. */
cria_softmax cria_filter_mirostat(cria_candidates *c, double bound) {
    const size_t before = c->n;
    const cria_softmax s = cria_candidates_softmax(c);
    const double d = cria_log_f64(s.mass) - bound * LN_2;
    cria_keep_between(c, d < 0.0 ? float_above((double)s.top + d) : s.top, INFINITY);
    return c->n < before ? cria_candidates_softmax(c) : s;
}

double cria_surprise(const cria_softmax *s, float x) {
    return (cria_log_f64(s->mass) - ((double)x - (double)s->top)) * LOG2_E;
}
