/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of the whole vocabulary is asked in blocks, in loops that a compiler turns into vector instructions.
 * Where the few that stay are found by their sum, it is a radix selection: three passes over 32-bit keys, each a
 * histogram of the probability under the next 11 or 10 bits. It takes the same time for any distribution, and equal
 * keys cannot be torn apart.
 */
#include "sample/candidates.h"

#include "base/dmath.h"
#include "sample/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { BLOCK = 64, LANES = 8 };

static inline size_t block_length(size_t n, size_t begin) { return n - begin < BLOCK ? n - begin : BLOCK; }

size_t cria_ids_find(const int32_t *ids, size_t n, int32_t id) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (ids[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && ids[lo] == id ? lo : n;
}

float *cria_candidate_find(const cria_candidates *c, int32_t id) {
    if (c->n == c->vocab) return &c->x[id];
    const size_t at = cria_ids_find(c->id, c->n, id);
    return at < c->n ? &c->x[at] : NULL;
}

float cria_candidates_top(const cria_candidates *c) { return c->x[cria_argmax(c->x, c->n)]; }

/* ---- softmax ---- */

/* d[i] = x[i] - top, at least -88, and w[i] = e^d[i]. Two parts of ln 2 and a Taylor sum, as cria_exp_f64, but without
 * its divisions and to 42 bits: 0.347^11 / 11! < 2^-42. */
static void weigh(const float *restrict x, size_t n, float top, double *restrict d, double *restrict w) {
    static const double f[] = {1.0 / 2,   1.0 / 6,    1.0 / 24,    1.0 / 120,    1.0 / 720,
                               1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800};
    const double shift = 0x1.8p52; /* added, it leaves the nearest whole number in the low bits */
    /* Three loops, or gcc 12 sees branches around all of this and gives up on vectors. */
    for (size_t i = 0; i < n; i++) {
        const double full = (double)x[i] - (double)top;
        d[i] = full < -88.0 ? -88.0 : full;
    }
    for (size_t i = 0; i < n; i++) {
        const double y = d[i];
        const double shifted = y * 0x1.71547652b82fep+0 + shift;
        const double k = shifted - shift;
        const double r = (y - k * CRIA_LN2_HI) - k * CRIA_LN2_LO;
        const double r2 = r * r, r4 = r2 * r2;
        const double low = (1.0 + r) + r2 * (f[0] + r * f[1]);
        const double middle = (f[2] + r * f[3]) + r2 * (f[4] + r * f[5]);
        const double high = (f[6] + r * f[7]) + r2 * f[8];
        const double power = cria_f64_from_bits((cria_f64_to_bits(shifted) + 1023) << 52);
        w[i] = (low + r4 * (middle + r4 * high)) * power;
    }
    for (size_t i = 0; i < n; i++) w[i] = d[i] > -88.0 ? w[i] : 0.0;
}

static double sum_lanes(const double *s) {
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

cria_softmax cria_candidates_softmax(const cria_candidates *c) {
    const float top = cria_candidates_top(c);
    double d[BLOCK], w[BLOCK], mass[LANES] = {0}, mean[LANES] = {0};
    for (size_t b = 0; b < c->n; b += BLOCK) {
        const size_t n = block_length(c->n, b);
        weigh(c->x + b, n, top, d, w);
        for (size_t i = n; i < BLOCK; i++) d[i] = w[i] = 0.0;
        for (size_t i = 0; i < BLOCK; i += LANES)
            for (size_t l = 0; l < LANES; l++) {
                mass[l] += w[i + l];
                mean[l] += w[i + l] * d[i + l];
            }
    }
    const double sum = sum_lanes(mass);
    return (cria_softmax){top, sum, sum_lanes(mean) / sum};
}

float cria_candidates_least_above(const cria_candidates *c, float top, double weight) {
    double d[BLOCK], w[BLOCK];
    float least = INFINITY;
    for (size_t b = 0; b < c->n; b += BLOCK) {
        const size_t n = block_length(c->n, b);
        weigh(c->x + b, n, top, d, w);
        for (size_t i = 0; i < n; i++)
            if (w[i] > weight && c->x[b + i] < least) least = c->x[b + i];
    }
    return least;
}

/* ---- selection ---- */

/* What candidates are ordered by (smaller keys first) and what is added up. */
struct order {
    enum { BY_COUNT, BY_MASS, BY_SHIFT } kind;
    cria_softmax softmax; /* not for BY_COUNT */
};

/* Descending logits as ascending keys; -0 is 0. */
static inline uint32_t key_of(float x) {
    const float plus = x + 0.0f;
    uint32_t b;
    memcpy(&b, &plus, sizeof b);
    return ~(b ^ ((0u - (b >> 31)) | 0x80000000u));
}

/* |surprise - entropy| = |(ln mass - d) - (ln mass - mean)| = |d - mean|: no logarithm is needed. As a float32, whose
 * bits have the order of its value. */
static inline float shift_of(float x, const cria_softmax *s) {
    return (float)fabs(((double)x - (double)s->top) - s->mean);
}

static void find_keys(const struct order *o, const float *restrict x, size_t n, uint32_t *restrict key) {
    if (o->kind == BY_SHIFT)
        for (size_t i = 0; i < n; i++) {
            const float shift = shift_of(x[i], &o->softmax);
            memcpy(&key[i], &shift, sizeof shift);
        }
    else
        for (size_t i = 0; i < n; i++) key[i] = key_of(x[i]);
}

/* What a pass of the selection looks at: `bits` bits of the keys above `shift`, of those whose higher bits are the
 * prefix. */
struct digit {
    unsigned shift, bits;
    uint32_t prefix;
};

/* sum[v]: what is under the value v of the digit. */
static void histogram(const cria_candidates *c, const struct order *o, const struct digit *p, double *sum) {
    const uint32_t mask = (1u << p->bits) - 1;
    const bool all = p->shift + p->bits == 32;
    memset(sum, 0, sizeof *sum << p->bits);
    for (size_t b = 0; b < c->n; b += BLOCK) {
        const size_t n = block_length(c->n, b);
        uint32_t key[BLOCK];
        double d[BLOCK], w[BLOCK];
        find_keys(o, c->x + b, n, key);
        if (o->kind == BY_COUNT)
            for (size_t i = 0; i < n; i++) w[i] = 1.0;
        else
            weigh(c->x + b, n, o->softmax.top, d, w);
        for (size_t i = 0; i < n; i++)
            if (all || key[i] >> p->shift >> p->bits == p->prefix) sum[key[i] >> p->shift & mask] += w[i];
    }
}

/* ---- keeping ---- */

/* Moves candidate i to place m; the caller counts m up when it stays. */
static inline void move_to(cria_candidates *c, size_t m, size_t i, bool dense) {
    c->x[m] = c->x[i];
    c->id[m] = dense ? (int32_t)i : c->id[i];
}

void cria_keep_between(cria_candidates *c, float lo, float hi) {
    const bool dense = c->n == c->vocab;
    size_t m = 0, out = 0;
    for (size_t i = 0; i < c->n; i++) out += (c->x[i] < lo) | (c->x[i] > hi);
    if (out == 0) return;
    for (size_t b = 0; b < c->n; b += BLOCK) {
        const size_t n = block_length(c->n, b);
        unsigned any = 0;
        for (size_t i = b; i < b + n; i++) any |= (c->x[i] >= lo) & (c->x[i] <= hi);
        if (!any) continue;
        for (size_t i = b; i < b + n; i++) {
            const bool stays = (c->x[i] >= lo) & (c->x[i] <= hi);
            move_to(c, m, i, dense);
            m += stays;
        }
    }
    c->n = m;
}

static void keep_keys(cria_candidates *c, const struct order *o, uint32_t last) {
    const bool dense = c->n == c->vocab;
    size_t m = 0;
    for (size_t b = 0; b < c->n; b += BLOCK) {
        const size_t n = block_length(c->n, b);
        uint32_t key[BLOCK], any = 0;
        find_keys(o, c->x + b, n, key);
        for (size_t i = 0; i < n; i++) any |= key[i] <= last;
        if (!any) continue;
        for (size_t i = 0; i < n; i++) {
            move_to(c, m, b + i, dense);
            m += key[i] <= last;
        }
    }
    c->n = m;
}

/* Keeps those with the smallest keys, until they have the target together; of those with the same key all. Should
 * rounding keep a sum below its target, it is reached at the last that adds to it. Each pass leaves to the next one
 * only those that can still be among them. */
static void keep_first(cria_candidates *c, const struct order *o, double target) {
    struct digit digits[] = {{21, 11, 0}, {10, 11, 0}, {0, 10, 0}};
    double sum[1u << 11], before = 0.0;
    uint32_t prefix = 0;
    for (size_t l = 0; l < sizeof digits / sizeof *digits; l++) {
        struct digit *const p = &digits[l];
        const uint32_t end = 1u << p->bits;
        p->prefix = prefix;
        histogram(c, o, p, sum);
        uint32_t found = 0;
        double upto = before;
        for (uint32_t v = 0; v < end; v++) {
            if (sum[v] == 0.0) continue;
            found = v;
            before = upto;
            upto += sum[v];
            if (upto >= target) break;
        }
        prefix = prefix << p->bits | found;
        keep_keys(c, o, prefix << p->shift | ((1u << p->shift) - 1));
    }
}

/* Drops all that cannot be among the k largest, with one look at each: there are k groups whose largest is at least the
 * k-th largest of those. */
static void keep_largest_groups(cria_candidates *c, size_t k) {
    enum { GROUPS = 1024 };
    float top[GROUPS];
    const size_t length = (c->n - 1) / GROUPS + 1, groups = (c->n - 1) / length + 1;
    if (length < 8 || k > groups / 2) return;
    for (size_t g = 0; g < groups; g++) {
        const size_t begin = g * length, n = c->n - begin < length ? c->n - begin : length;
        top[g] = c->x[begin + cria_argmax(c->x + begin, n)];
    }
    const struct order o = {.kind = BY_COUNT};
    int32_t id[GROUPS];
    cria_candidates tops = {top, id, groups, groups, NULL};
    keep_first(&tops, &o, (double)k);
    float least = INFINITY;
    for (size_t i = 0; i < tops.n; i++) least = top[i] < least ? top[i] : least;
    cria_keep_between(c, least, INFINITY);
}

void cria_keep_largest(cria_candidates *c, size_t k) {
    if (k >= c->n) return;
    keep_largest_groups(c, k);
    const struct order o = {.kind = BY_COUNT};
    keep_first(c, &o, (double)k);
    float least = INFINITY;
    for (size_t i = 0; i < c->n; i++) least = c->x[i] < least ? c->x[i] : least;
    size_t equal = 0, m = 0, seen = 0;
    for (size_t i = 0; i < c->n; i++) equal += c->x[i] == least;
    const size_t above = c->n - equal;
    for (size_t i = 0; i < c->n; i++) {
        const bool tie = c->x[i] == least;
        const bool stays = !tie || above + seen < k;
        seen += tie;
        move_to(c, m, i, false);
        m += stays;
    }
    c->n = m;
}

/* The largest float32 that is not above v. */
static float float_below(double v) {
    const float f = (float)v;
    return (double)f > v ? nextafterf(f, -INFINITY) : f;
}

/* All that have less than (1 - share) / n of the mass have less than 1 - share together, so the others are enough. Half
 * of that, to be safe from rounding. Returns ln of that weight; minus infinity: all are needed. */
static double enough(const cria_candidates *c, const cria_softmax *s, double share) {
    const double weight = 0.5 * (1.0 - share) * s->mass / (double)c->n;
    return weight > 0.0 ? cria_log_f64(weight) : -INFINITY;
}

/* d: x - top, finite or minus infinity. */
static void keep_from(cria_candidates *c, const cria_softmax *s, double d) {
    if (!isinf(d)) cria_keep_between(c, float_below((double)s->top + d), INFINITY);
}

void cria_keep_likeliest(cria_candidates *c, double share) {
    const struct order o = {BY_MASS, cria_candidates_softmax(c)};
    keep_from(c, &o.softmax, enough(c, &o.softmax, share));
    keep_first(c, &o, share * o.softmax.mass);
}

/* Of those that are enough, the top or the least likely is the farthest from the mean; who is farther still is not
 * needed. A bit more than that, since keys are rounded to float32. */
void cria_keep_typical(cria_candidates *c, double share) {
    const struct order o = {BY_SHIFT, cria_candidates_softmax(c)};
    const double least = enough(c, &o.softmax, share), mirrored = 2.0 * o.softmax.mean;
    const double from = least < mirrored ? least : mirrored;
    keep_from(c, &o.softmax, from + 1e-6 * (from + o.softmax.mean - 1.0));
    keep_first(c, &o, share * o.softmax.mass);
}

void cria_keep_top(cria_candidates *c) {
    const size_t best = cria_argmax(c->x, c->n);
    move_to(c, 0, best, c->n == c->vocab);
    c->n = 1;
}
