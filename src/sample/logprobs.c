/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/logprobs.h"

#include "base/dmath.h"

#include <math.h>

/* Whether a comes before b in the answer; logprob holds the logit until the end. */
static inline bool before(cria_logprob a, cria_logprob b) {
    return a.logprob > b.logprob || (a.logprob == b.logprob && a.id < b.id);
}

/* heap[0..n) with the one that comes last at its root, after the root has changed. */
static void sink(cria_logprob *heap, size_t n) {
    const cria_logprob x = heap[0];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(heap[child], heap[child + 1])) child++;
        if (before(heap[child], x)) break;
        heap[at] = heap[child];
    }
    heap[at] = x;
}

static void rise(cria_logprob *heap, size_t at) {
    const cria_logprob x = heap[at];
    for (; at > 0 && before(heap[(at - 1) / 2], x); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = x;
}

static double log_sum(const float *logits, size_t vocab) {
    float most = -INFINITY;
    for (size_t i = 0; i < vocab; i++) most = logits[i] > most ? logits[i] : most;
    double sum = 0.0;
    for (size_t i = 0; i < vocab; i++)
        if (logits[i] - most > -80.0f) sum += cria_exp_f64((double)logits[i] - (double)most);
    return (double)most + cria_log_f64(sum);
}

void cria_logprobs(const float *logits, size_t vocab, int32_t id, cria_logprob *top, size_t n, float *chosen) {
    size_t have = 0;
    for (size_t i = 0; i < vocab && n > 0; i++) {
        const cria_logprob x = {(int32_t)i, logits[i]};
        if (have < n) {
            top[have] = x;
            rise(top, have++);
        } else if (before(x, top[0])) {
            top[0] = x;
            sink(top, n);
        }
    }
    while (have > 1) { /* the last of those left goes behind them */
        const cria_logprob last = top[0];
        top[0] = top[--have];
        top[have] = last;
        sink(top, have);
    }
    const double sum = log_sum(logits, vocab);
    for (size_t i = 0; i < n; i++) top[i].logprob = (float)((double)top[i].logprob - sum);
    *chosen = (float)((double)logits[id] - sum);
}
