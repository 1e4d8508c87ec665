/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lookup.h"

enum { MATCH_MAX = 16 };

/* Before anything is known: longer matches are rarely chance. */
static const double prior[CRIA_LOOKUP_KINDS] = {0.05, 0.25, 0.5, 0.7, 0.85, 0.7};

void cria_lookup_init(cria_lookup *l) {
    *l = (cria_lookup){0};
    for (uint32_t i = 0; i < CRIA_LOOKUP_KINDS; i++) l->right[i] = prior[i];
}

static uint32_t kind_of(size_t match) {
    return match <= 1 ? 0 : match == 2 ? 1 : match <= 4 ? 2 : match <= 8 ? 3 : 4;
}

/* Where tokens[0..n), last ended before, with the longest match, of equal ones the latest: the index of what followed.
 * 0: nowhere. */
static size_t find(const int32_t *tokens, size_t n, int32_t last, size_t *match) {
    size_t at = 0;
    *match = 0;
    for (size_t j = n; j-- > 0 && *match < MATCH_MAX;) {
        if (tokens[j] != last) continue;
        size_t m = 1;
        while (m <= j && m < MATCH_MAX && tokens[j - m] == tokens[n - m]) m++;
        if (m > *match) {
            *match = m;
            at = j + 1;
        }
    }
    return at;
}

/* The number of guesses, each right with probability p after those before it and made in so many seconds, that gives
 * most tokens a second. */
static size_t how_many(const cria_lookup *l, double p, double seconds, size_t most) {
    double more = l->one > 0 && l->more > 0 ? l->more / l->one : 0.25; /* of a pass of one row */
    if (l->one > 0) more += seconds / l->one;
    size_t best = 0;
    double tokens = 1.0, power = 1.0, best_rate = 1.0;
    for (size_t k = 1; k <= most; k++) {
        power *= p;
        tokens += power;
        const double rate = tokens / (1.0 + more * (double)k);
        if (rate > best_rate) {
            best_rate = rate;
            best = k;
        }
    }
    return best;
}

static size_t decide(cria_lookup *l, uint32_t kind, double seconds, size_t most) {
    l->kind = kind;
    const size_t k = how_many(l, l->right[kind], seconds, most);
    /* What was given up is tried again, seldom: once in a hundred tokens or more. */
    if (k == 0) l->right[kind] += 0.001 * (prior[kind] - l->right[kind]);
    return k;
}

size_t cria_lookup_draft(cria_lookup *l, size_t most) { return decide(l, CRIA_LOOKUP_DRAFT, l->draft, most); }

size_t cria_lookup_guess(cria_lookup *l, const int32_t *tokens, size_t n, int32_t last, int32_t *guess, size_t most) {
    if (most > CRIA_LOOKUP_MAX) most = CRIA_LOOKUP_MAX;
    size_t match;
    const size_t at = find(tokens, n, last, &match);
    if (match == 0) return 0;
    const size_t k = decide(l, kind_of(match), 0.0, most);
    for (size_t i = 0; i < k; i++) { /* past the end the guesses follow themselves */
        const size_t from = at + i;
        guess[i] = from < n ? tokens[from] : from == n ? last : guess[from - n - 1];
    }
    return k;
}

void cria_lookup_learn(cria_lookup *l, size_t n_right, int wrong) {
    double *p = &l->right[l->kind];
    for (size_t i = 0; i < n_right; i++) *p += 0.2 * (1.0 - *p);
    if (wrong) *p -= 0.25 * *p;
}

void cria_lookup_time(cria_lookup *l, size_t rows, double seconds) {
    if (rows == 1) {
        l->one = l->one > 0 ? l->one + 0.1 * (seconds - l->one) : seconds;
    } else if (l->one > 0) {
        /* Noise must not make rows free or forbidden. */
        double more = (seconds - l->one) / (double)(rows - 1);
        if (more < 0.01 * l->one) more = 0.01 * l->one;
        if (more > l->one) more = l->one;
        l->more = l->more > 0 ? l->more + 0.2 * (more - l->more) : more;
    }
}

void cria_lookup_draft_time(cria_lookup *l, size_t n, double seconds) {
    if (n == 0) return;
    seconds /= (double)n;
    l->draft = l->draft > 0 ? l->draft + 0.2 * (seconds - l->draft) : seconds;
}
