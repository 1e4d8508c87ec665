/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotary frequencies, in double; angle_i = pos·inv_freq_i. With base_i = theta^(−2i/rotary):
 *
 *   LINEAR   base_i/factor
 *   DYNAMIC  (NTK-aware) theta becomes theta·(factor·C/original − (factor − 1))^(rotary/(rotary − 2)) for contexts C
 *            beyond the original length. The published code takes C from the longest sequence so far, so that what it
 *            computes depends on how a prompt is cut and what has been cached; here C is the context that the model is
 *            loaded with, as vLLM has it.
 *   YARN     (arXiv 2309.00071) between base_i and base_i/factor: the first where a pair turns more than beta_fast
 *            times within the original length, the second where fewer than beta_slow times, a ramp between.
 *   LLAMA3   likewise over wavelengths: base_i below original/high, base_i/factor above original/low.
 *   FACTORS  base_i/factor_i; the short factors up to the original length, else the long ones. The choice is by the
 *            context loaded with, not by the sequence, for the same reason (llama.cpp does so too).
 *
 * As _compute_…_parameters in transformers' modeling_rope_utils.py.
 */
#include "model/rope.h"

#include "base/dmath.h"

#include <math.h>

#define TWO_PI 6.283185307179586476925

static double power(double base, double exponent) { return cria_exp_f64(exponent * cria_log_f64(base)); }

/* The pair (as a fraction) that turns `turns` times within the original length. */
static double yarn_pair(const struct cria_rope *r, uint32_t rotary, double turns) {
    return rotary * cria_log_f64(r->original / (turns * TWO_PI)) / (2 * cria_log_f64((double)r->theta));
}

static double yarn(const struct cria_rope *r, uint32_t rotary, uint32_t i, double base) {
    double low = floor(yarn_pair(r, rotary, r->high)), high = ceil(yarn_pair(r, rotary, r->low));
    if (low < 0) low = 0;
    if (high > rotary - 1) high = rotary - 1;
    if (high == low) high += 0.001;
    double ramp = (i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return base * (1 - ramp) + base / r->factor * ramp;
}

static double llama3(const struct cria_rope *r, double base) {
    const double turns = r->original * base / TWO_PI; /* within the original length */
    if (turns > r->high) return base;
    if (turns < r->low) return base / r->factor;
    const double smooth = (turns - r->low) / (r->high - r->low);
    return base * ((1 - smooth) / r->factor + smooth);
}

void cria_rope_frequencies(const cria_config *c, uint32_t which, double *out, float *amplitude) {
    const struct cria_rope *r = &c->rope[which];
    const bool beyond = c->context > r->original;
    double theta = (double)r->theta;
    if (r->scaling == CRIA_ROPE_DYNAMIC && beyond && c->rotary > 2)
        theta *= power(r->factor * c->context / r->original - (r->factor - 1), c->rotary / (c->rotary - 2.0));
    for (uint32_t i = 0; i < c->rotary / 2; i++) {
        const double base = cria_exp_f64(-2.0 * i / c->rotary * cria_log_f64(theta));
        switch (r->scaling) {
        case CRIA_ROPE_LINEAR:
            out[i] = base / r->factor;
            break;
        case CRIA_ROPE_YARN:
            out[i] = yarn(r, c->rotary, i, base);
            break;
        case CRIA_ROPE_LLAMA3:
            out[i] = llama3(r, base);
            break;
        case CRIA_ROPE_FACTORS:
            out[i] = base / (double)(beyond ? r->long_factors : r->short_factors)[i];
            break;
        default:
            out[i] = base;
            break;
        }
    }
    *amplitude = (float)r->amplitude;
}
