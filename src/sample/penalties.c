/* SPDX-License-Identifier: Apache-2.0 */
/* The penalties are those of llama.cpp and mlx-lm, which agree but for the order of roundings; DRY is that of p-e-w
 * (oobabooga/text-generation-webui #5677), with the linear search of KoboldCpp and llama.cpp. */
#include "sample/penalties.h"

#include "base/mem.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- history ---- */

bool cria_history_reserve(cria_ctx *ctx, cria_history *h, size_t n) {
    size_t need;
    if (!cria_add_ok(h->n, n, &need)) return false;
    if (need <= h->capacity) return true;
    if (h->keep < need / 2) { /* moved once for every `keep` tokens or so */
        const size_t kept = h->n < h->keep ? h->n : h->keep;
        if (h->n > 0) memmove(h->id, h->id + (h->n - kept), kept * sizeof *h->id);
        h->n = kept;
        if (!cria_add_ok(kept, n, &need)) return false;
        if (need <= h->capacity) return true;
    }
    size_t capacity;
    if (!cria_mul_ok(need, 2, &capacity)) return false;
    if (capacity < 256) capacity = 256;
    int32_t *id = cria_malloc_array(ctx, capacity, sizeof *id);
    uint32_t *repeat = cria_malloc_array(ctx, capacity, sizeof *repeat);
    if (!id || !repeat) {
        cria_free(ctx, id);
        cria_free(ctx, repeat);
        return false;
    }
    if (h->n > 0) memcpy(id, h->id, h->n * sizeof *id);
    cria_history_fini(ctx, h);
    h->id = id;
    h->repeat = repeat;
    h->capacity = capacity;
    return true;
}

void cria_history_fini(cria_ctx *ctx, cria_history *h) {
    cria_free(ctx, h->id);
    cria_free(ctx, h->repeat);
}

/* The last n tokens, all for n = 0. */
static size_t window(const cria_history *h, uint32_t n, const int32_t **begin) {
    const size_t len = n == 0 || n > h->n ? h->n : n;
    *begin = h->n > 0 ? h->id + (h->n - len) : NULL;
    return len;
}

/* ---- filters ---- */

/* Nothing here rules a token out: what is too large for a float32 becomes the largest there is. */
static float bounded(float x) { return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x; }

bool cria_filter_bias(cria_candidates *c, const cria_logit_bias *bias, size_t n) {
    bool banned = false;
    for (size_t i = 0; i < n; i++) {
        float *x = cria_candidate_find(c, bias[i].id);
        if (!x || *x == -INFINITY) continue;
        *x = bias[i].bias == -INFINITY ? -INFINITY : bounded(*x + bias[i].bias);
        banned |= *x == -INFINITY;
    }
    if (banned) cria_keep_between(c, -FLT_MAX, FLT_MAX);
    return c->n > 0;
}

void cria_filter_penalties(cria_candidates *c, const cria_history *h, const cria_sampler_opts *o) {
    const int32_t *id;
    const size_t n = window(h, o->penalty_last_n, &id);
    const float repeat = (float)o->repeat_penalty, presence = (float)o->presence_penalty;
    const float frequency = (float)o->frequency_penalty;
    for (size_t i = 0; i < n; i++)
        if ((size_t)id[i] < c->vocab) c->mark[id[i]]++;
    for (size_t i = 0; i < n; i++) {
        if ((size_t)id[i] >= c->vocab || c->mark[id[i]] == 0) continue;
        const float times = (float)c->mark[id[i]];
        c->mark[id[i]] = 0;
        float *x = cria_candidate_find(c, id[i]);
        if (x) *x = bounded(bounded(*x < 0.0f ? *x * repeat : *x / repeat) - (times * frequency + presence));
    }
}

static bool is_breaker(const cria_sampler_opts *o, int32_t id) {
    return cria_ids_find(o->dry_breakers, o->n_dry_breakers, id) < o->n_dry_breakers;
}

/* length[k], k in 1..n: how many of the last tokens, counted from the end and at most n - k, are the same as those
 * before place k from the end (the Z-algorithm on the reversed text). */
static void find_repeats(const int32_t *id, size_t n, uint32_t *length) {
    const int32_t *const last = id + n - 1; /* last[-i] is the i-th from the end */
    size_t left = 0, right = 0;             /* the stretch that reaches furthest: places left to right - 1 */
    for (size_t k = 1; k < n; k++) {
        size_t len = 0;
        if (k < right) {
            const size_t known = length[k - left];
            len = known < right - k ? known : right - k;
        }
        while (k + len < n && last[-(ptrdiff_t)len] == last[-(ptrdiff_t)(k + len)]) len++;
        if (k + len > right) {
            left = k;
            right = k + len;
        }
        length[k] = (uint32_t)len;
    }
}

/* By squaring, so that it is the same everywhere; infinite when it is too large. */
static double power(double base, size_t n) {
    double r = 1.0;
    for (; n > 0; n >>= 1, base *= base)
        if (n & 1) r *= base;
    return r;
}

void cria_filter_dry(cria_candidates *c, const cria_history *h, const cria_sampler_opts *o) {
    const int32_t *id;
    const size_t n = window(h, o->dry_last_n, &id);
    const size_t allowed = o->dry_allowed_length;
    size_t reach = 0; /* no repetition is longer: there is a breaker */
    while (reach < n && !is_breaker(o, id[n - 1 - reach])) reach++;
    if (n < 2 || reach < allowed) return;

    /* The token after an earlier place like this one would go on with the repetition; what counts is the longest. */
    find_repeats(id, n, h->repeat);
    for (size_t k = 1; k < n; k++) {
        const size_t len = h->repeat[k] < reach ? h->repeat[k] : reach;
        const int32_t next = id[n - k];
        if (len >= allowed && (size_t)next < c->vocab && c->mark[next] <= len) c->mark[next] = (uint32_t)len + 1;
    }
    for (size_t k = 1; k < n; k++) {
        const int32_t next = id[n - k];
        if ((size_t)next >= c->vocab || c->mark[next] == 0) continue;
        const size_t len = c->mark[next] - 1;
        c->mark[next] = 0;
        float *x = is_breaker(o, next) ? NULL : cria_candidate_find(c, next);
        const double penalty = o->dry_multiplier * power(o->dry_base, len - allowed);
        if (x) *x = bounded(*x - (float)(penalty < FLT_MAX ? penalty : FLT_MAX));
    }
}
