/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: the loop of prompt, sample, detokenize, stop and guess, once for all callers. A guessed token is a row more
 * in the pass that the token before it needs anyway; the sampler, asked in order with the logits of each row, says
 * whether it was right. Rows do not change each other's bits, so with guesses or without them the text is the same.
 */
#include "engine/engine.h"
#include "engine/lookup.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"
#include "sample/logprobs.h"
#include "sample/sampler.h"
#include "text/stops.h"

#include <string.h>

struct cria_stream { /* the public opaque type */
    cria_ctx *ctx;
    cria_sequence *sequence;
    cria_sampler *sampler;
    cria_detok *detok;
    const cria_tokenizer *tokenizer;
    uint64_t max_tokens;
    bool ignore_eog;
    cria_stops stops;
    cria_finish finish;

    int32_t *prompt; /* [n_prompt] */
    size_t n_prompt;
    /* The latest pass: rows of logits, the next one to sample from, and the guesses behind the first row. */
    float *logits; /* [logits_cap][V] */
    size_t logits_cap, n_rows, row;
    int32_t guess[CRIA_LOOKUP_MAX];
    size_t n_guess;
    size_t certain; /* tokens of the sequence that are no unchecked guesses */
    int32_t last;   /* sampled, to be evaluated next */
    uint32_t lookup_most, draft_most;
    cria_lookup lookup;
    cria_sequence *draft;
    float *draft_logits; /* [V] */

    cria_logprob *top; /* [n_top] */
    size_t n_top;
    cria_stream_stats stats;

    cria_row *rows; /* [rows_cap] of a pass, and the logits of a pass that several streams share */
    size_t rows_cap;
    float *shared; /* [shared_cap][V] */
    size_t shared_cap;
};

static size_t vocab_of(const cria_stream *s) { return s->sequence->engine->model->config.V; }

/* *p becomes an array of n elements, its contents undefined, where it has fewer. */
static cria_status make_room(cria_ctx *ctx, void *p, size_t *cap, size_t n, size_t size, const char *what,
                             cria_error *err) {
    if (n <= *cap) return CRIA_OK;
    void *more = cria_malloc_array(ctx, n, size);
    if (!more) return cria_fail_nomem(err, what, n * size);
    void *old;
    memcpy(&old, p, sizeof old);
    cria_free(ctx, old);
    memcpy(p, &more, sizeof more);
    *cap = n;
    return CRIA_OK;
}

/* ---- made and freed ---- */

cria_stream_opts cria_stream_opts_default(void) { return (cria_stream_opts){.size = sizeof(cria_stream_opts)}; }

enum { LOGPROBS_MAX = 1000 };

/* A token must mean the same to both. Rows beyond the tokenizer's pieces mean nothing and need not be as many. */
static cria_status check_draft(const cria_sequence *sequence, const cria_sequence *draft, cria_error *err) {
    const cria_tokenizer *a = sequence->engine->model->tokenizer, *b = draft->engine->model->tokenizer;
    if (draft->engine == sequence->engine)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_stream_new: the draft is of the same engine.");
    if (!b) return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "The draft model has no tokenizer.");
    const uint32_t n = cria_tokenizer_vocab_size(a), m = cria_tokenizer_vocab_size(b);
    if (n != m)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The draft model's vocabulary has %u tokens, the model's %u; name one that has the same.", m,
                         n);
    for (uint32_t i = 0; i < n; i++) {
        size_t la, lb;
        const char *x = cria_tokenizer_piece(a, (int32_t)i, &la), *y = cria_tokenizer_piece(b, (int32_t)i, &lb);
        if (la != lb || memcmp(x, y, la) != 0)
            return cria_fail(err, CRIA_EINVAL, i,
                             "The draft model has another vocabulary, its token %u is '%.*s' and the model's '%.*s'; "
                             "name one that has the same.",
                             i, (int)(lb < 100 ? lb : 100), y, (int)(la < 100 ? la : 100), x);
    }
    return CRIA_OK;
}

static cria_status check_opts(const cria_sequence *sequence, const cria_stream_opts *o, cria_error *err) {
    cria_status st = cria_check_size(err, "cria_stream_new", o->size, sizeof *o);
    if (st) return st;
    if (!sequence->engine->model->tokenizer)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_stream_new: the model has no tokenizer.");
    if (o->logprobs > LOGPROBS_MAX || o->lookup > CRIA_LOOKUP_MAX)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_stream_new: logprobs is %u and lookup %u; they may be at most %d and %d.", o->logprobs,
                         o->lookup, LOGPROBS_MAX, CRIA_LOOKUP_MAX);
    if (o->draft_tokens > CRIA_LOOKUP_MAX)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_stream_new: draft_tokens is %u; it may be at most %d.",
                         o->draft_tokens, CRIA_LOOKUP_MAX);
    if (o->n_stop > 0 && !o->stop) return cria_fail_null(err, "cria_stream_new");
    return o->draft ? check_draft(sequence, o->draft, err) : CRIA_OK;
}

cria_status cria_stream_new(cria_sequence *sequence, cria_sampler *sampler, const cria_stream_opts *opts,
                            cria_stream **out, cria_error *err) {
    const cria_stream_opts defaults = cria_stream_opts_default();
    if (!sequence || !sampler || !out) return cria_fail_null(err, "cria_stream_new");
    if (!opts) opts = &defaults;
    cria_status st = check_opts(sequence, opts, err);
    if (st) return st;
    const cria_stream_opts o = *opts;
    cria_ctx *ctx = sequence->engine->ctx;
    cria_stream *s = cria_calloc(ctx, 1, sizeof *s);
    if (!s) return cria_fail_nomem(err, "a stream", sizeof *s);
    *s = (cria_stream){.ctx = ctx, .sequence = sequence, .sampler = sampler, .max_tokens = o.max_tokens,
                       .ignore_eog = o.ignore_eog, .lookup_most = o.lookup,
                       .draft = o.draft, .draft_most = o.draft ? o.draft_tokens : 0,
                       .tokenizer = sequence->engine->model->tokenizer, .finish = CRIA_FINISH_ENDED};
    cria_lookup_init(&s->lookup);
    const size_t V = vocab_of(s);
    s->n_top = o.logprobs < V ? o.logprobs : V;
    st = cria_stops_init(&s->stops, ctx, o.stop, o.n_stop, err);
    if (!st) st = cria_detok_new(s->tokenizer, &s->detok, err);
    if (!st && s->draft) {
        const size_t W = s->draft->engine->model->config.V;
        s->draft_logits = cria_malloc_array(ctx, W, sizeof *s->draft_logits);
        if (!s->draft_logits) st = cria_fail_nomem(err, "a draft's logits", W * sizeof *s->draft_logits);
    }
    if (!st && s->n_top > 0 && !(s->top = cria_malloc_array(ctx, s->n_top, sizeof *s->top)))
        st = cria_fail_nomem(err, "the likeliest tokens", s->n_top * sizeof *s->top);
    if (st)
        cria_stream_free(s);
    else
        *out = s;
    return st;
}

void cria_stream_free(cria_stream *s) {
    if (!s) return;
    cria_ctx *ctx = s->ctx;
    cria_stops_fini(&s->stops);
    cria_detok_free(s->detok);
    cria_free(ctx, s->prompt);
    cria_free(ctx, s->logits);
    cria_free(ctx, s->top);
    cria_free(ctx, s->draft_logits);
    cria_free(ctx, s->rows);
    cria_free(ctx, s->shared);
    cria_free(ctx, s);
}

void cria_stream_get_stats(const cria_stream *s, cria_stream_stats *out) { *out = s->stats; }

/* ---- the prompt ---- */

static size_t common(const cria_sequence *s, const int32_t *ids, size_t n) {
    size_t i = 0;
    while (i < n && i < s->length && s->tokens[i] == ids[i]) i++;
    return i;
}

cria_status cria_stream_prompt(cria_stream *s, const int32_t *ids, size_t n, cria_error *err) {
    if (!s || (!ids && n > 0)) return cria_fail_null(err, "cria_stream_prompt");
    if (n == 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "The prompt is empty; a text begins with at least one token.");
    const uint32_t positions = cria_engine_positions(s->sequence->engine);
    if (n > positions)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "The prompt has %zu tokens, but the context holds %u.", n,
                         positions);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= vocab_of(s))
            return cria_fail(err, CRIA_EINVAL, i, "Token %zu of the prompt is %d, but the vocabulary has %zu tokens.",
                             i, (int)ids[i], vocab_of(s));
    int32_t *prompt = cria_malloc_array(s->ctx, n, sizeof *prompt);
    if (!prompt) return cria_fail_nomem(err, "a prompt", n * sizeof *prompt);
    memcpy(prompt, ids, n * sizeof *prompt);
    const char *rest;
    size_t len;
    cria_status st = cria_detok_finish(s->detok, &rest, &len, err); /* starts anew */
    if (st) {
        cria_free(s->ctx, prompt);
        return st;
    }
    cria_sampler_reset(s->sampler);
    st = cria_sampler_accept(s->sampler, ids, n, err);
    cria_free(s->ctx, s->prompt);
    s->prompt = prompt;
    s->n_prompt = n;
    s->n_rows = s->row = s->n_guess = 0;
    cria_stops_reset(&s->stops);
    size_t keep = common(s->sequence, ids, n);
    if (keep == n) keep--; /* the last token's logits are needed */
    cria_sequence_truncate(s->sequence, keep);
    s->certain = keep;
    s->stats = (cria_stream_stats){.n_prompt = n, .n_reused = keep};
    s->finish = st ? CRIA_FINISH_ENDED : CRIA_FINISH_NONE;
    return st;
}

cria_status cria_stream_prefill(cria_stream *s, size_t max_tokens, size_t *left, cria_error *err) {
    if (!s) return cria_fail_null(err, "cria_stream_prefill");
    const bool reading = s->finish == CRIA_FINISH_NONE && s->n_rows == 0;
    const size_t at = s->sequence->length, unread = reading ? s->n_prompt - at : 0;
    const size_t n = max_tokens == 0 || max_tokens > unread ? unread : max_tokens;
    if (n > 0) {
        const bool all = n == unread;
        cria_status st = make_room(s->ctx, &s->rows, &s->rows_cap, n, sizeof *s->rows, "the rows of a prompt", err);
        if (!st && all)
            st = make_room(s->ctx, &s->logits, &s->logits_cap, 1, vocab_of(s) * sizeof *s->logits, "logits", err);
        if (st) return st;
        for (size_t i = 0; i < n; i++)
            s->rows[i] = (cria_row){s->sequence, s->prompt[at + i], at + i + 1 == s->n_prompt};
        st = cria_engine_run(s->sequence->engine, s->rows, n, s->logits, err);
        if (st) return st;
        s->certain = s->sequence->length;
        s->n_rows = all;
    }
    if (left) *left = unread - n;
    return CRIA_OK;
}

/* ---- the next token ---- */

static bool wants_pass(const cria_stream *s) { return s->finish == CRIA_FINISH_NONE && s->row == s->n_rows; }

/* The likeliest tokens of the draft model, one after the other; it first reads what it has not seen yet. Whatever fails
 * there, the text goes on without. */
static size_t ask_draft(cria_stream *s, size_t most) {
    const cria_sequence *q = s->sequence;
    cria_sequence *d = s->draft;
    const uint32_t positions = cria_engine_positions(d->engine);
    if (q->length + 1 + most > positions) return 0;
    const size_t n = cria_lookup_draft(&s->lookup, most), V = cria_tokenizer_vocab_size(s->tokenizer);
    if (n == 0) return 0;
    size_t at = common(d, q->tokens, q->length);
    cria_sequence_truncate(d, at);
    const size_t unread = q->length - at + 1;
    if (make_room(s->ctx, &s->rows, &s->rows_cap, unread, sizeof *s->rows, "the rows of a draft", NULL)) return 0;
    for (size_t i = 0; i < unread; i++, at++)
        s->rows[i] = (cria_row){d, at < q->length ? q->tokens[at] : s->last, i + 1 == unread};
    const uint64_t start = cria_clock_ns();
    if (cria_engine_run(d->engine, s->rows, unread, s->draft_logits, NULL)) return 0;
    for (size_t i = 0;; i++) {
        s->guess[i] = (int32_t)cria_argmax(s->draft_logits, V);
        if (i + 1 == n) break;
        const cria_row row = {d, s->guess[i], true};
        if (cria_engine_run(d->engine, &row, 1, s->draft_logits, NULL)) return i + 1;
    }
    cria_lookup_draft_time(&s->lookup, unread - 1 + n, 1e-9 * (double)(cria_clock_ns() - start));
    return n;
}

/* Guesses what comes after s->last. */
static void guess(cria_stream *s) {
    cria_sequence *q = s->sequence;
    size_t most = cria_engine_positions(q->engine) - q->length - 1;
    if (s->max_tokens > 0 && most > s->max_tokens - s->stats.n_generated - 1)
        most = (size_t)(s->max_tokens - s->stats.n_generated - 1);
    const size_t lookup = most < s->lookup_most ? most : s->lookup_most;
    const size_t draft = most < s->draft_most ? most : s->draft_most;
    s->n_guess = lookup ? cria_lookup_guess(&s->lookup, q->tokens, q->length, s->last, s->guess, lookup) : 0;
    if (s->n_guess == 0 && draft > 0) s->n_guess = ask_draft(s, draft);
}

/* The logits of one stream's rows are computed where they stay. */
static cria_status pass_of_one(cria_stream *s, cria_error *err) {
    const size_t n = 1 + s->n_guess;
    cria_status st = make_room(s->ctx, &s->logits, &s->logits_cap, n, vocab_of(s) * sizeof *s->logits, "logits", err);
    if (st) return st;
    cria_row rows[1 + CRIA_LOOKUP_MAX] = {{s->sequence, s->last, true}};
    for (size_t i = 0; i < s->n_guess; i++) rows[i + 1] = (cria_row){s->sequence, s->guess[i], true};
    const uint64_t start = cria_clock_ns();
    st = cria_engine_run(s->sequence->engine, rows, n, s->logits, err);
    if (!st) cria_lookup_time(&s->lookup, n, 1e-9 * (double)(cria_clock_ns() - start));
    return st;
}

static cria_status pass_of_many(cria_stream *const *streams, size_t n, cria_error *err) {
    cria_stream *first = streams[0];
    const size_t V = vocab_of(first);
    size_t n_rows = 0;
    for (size_t i = 0; i < n; i++)
        if (wants_pass(streams[i])) n_rows += 1 + streams[i]->n_guess;
    cria_status st =
        make_room(first->ctx, &first->rows, &first->rows_cap, n_rows, sizeof *first->rows, "the rows of a pass", err);
    if (!st) st = make_room(first->ctx, &first->shared, &first->shared_cap, n_rows, V * sizeof(float), "logits", err);
    size_t r = 0;
    for (size_t i = 0; i < n && !st; i++) {
        cria_stream *s = streams[i];
        if (!wants_pass(s)) continue;
        first->rows[r++] = (cria_row){s->sequence, s->last, true};
        for (size_t k = 0; k < s->n_guess; k++) first->rows[r++] = (cria_row){s->sequence, s->guess[k], true};
        st = make_room(s->ctx, &s->logits, &s->logits_cap, 1 + s->n_guess, V * sizeof(float), "logits", err);
    }
    if (!st) st = cria_engine_run(first->sequence->engine, first->rows, n_rows, first->shared, err);
    if (st) return st;
    const float *from = first->shared;
    for (size_t i = 0; i < n; i++) {
        cria_stream *s = streams[i];
        if (!wants_pass(s)) continue;
        memcpy(s->logits, from, (1 + s->n_guess) * V * sizeof *from);
        from += (1 + s->n_guess) * V;
    }
    return CRIA_OK;
}

static void passed(cria_stream *s) {
    s->certain++; /* the last token; the guesses are not, yet */
    s->n_rows = 1 + s->n_guess;
    s->row = 0;
}

/* Evaluates what all streams need for their next token: together, and one by one where that takes more KV memory than
 * there is, so that only those end that do not fit. */
static cria_status pass(cria_stream *const *streams, size_t n, cria_error *err) {
    size_t wanting = 0;
    for (size_t i = 0; i < n; i++) {
        cria_stream *s = streams[i];
        if (!wants_pass(s)) continue;
        if (s->sequence->length >= cria_engine_positions(s->sequence->engine)) {
            s->finish = CRIA_FINISH_FULL;
            continue;
        }
        guess(s);
        wanting++;
    }
    if (wanting > 1) {
        const cria_status st = pass_of_many(streams, n, err);
        if (st && st != CRIA_EFULL) return st;
        for (size_t i = 0; i < n && !st; i++)
            if (wants_pass(streams[i])) passed(streams[i]);
    }
    for (size_t i = 0; i < n; i++) {
        cria_stream *s = streams[i];
        if (!wants_pass(s)) continue;
        const cria_status st = pass_of_one(s, err);
        if (st && st != CRIA_EFULL) return st;
        if (st)
            s->finish = CRIA_FINISH_FULL;
        else
            passed(s);
    }
    return CRIA_OK;
}

/* The text is complete but for what was held back. */
static cria_status flush(cria_stream *s, cria_error *err) {
    const char *text;
    size_t len;
    cria_status st = cria_detok_finish(s->detok, &text, &len, err);
    if (!st) st = cria_stops_push(&s->stops, text, len, err);
    if (!s->stops.found) cria_stops_end(&s->stops);
    return st;
}

/* Samples from the next row of logits. A guess that was right is in the sequence already. */
static cria_status take_token(cria_stream *s, cria_stream_event *e, cria_error *err) {
    const float *logits = s->logits + s->row * vocab_of(s);
    cria_status st = cria_sampler_sample(s->sampler, logits, vocab_of(s), &e->id, err);
    if (st) return st;
    s->stats.n_generated++;
    if (s->n_top > 0) {
        cria_logprobs(logits, vocab_of(s), e->id, s->top, s->n_top, &e->logprob);
        e->top = s->top;
        e->n_top = s->n_top;
    }
    s->last = e->id;
    const size_t i = s->row++;
    if (i < s->n_guess) {
        const bool right = s->guess[i] == e->id;
        s->stats.n_guessed++;
        s->stats.n_accepted += right;
        s->certain += right;
        cria_lookup_learn(&s->lookup, right, !right);
        if (!right) {
            s->row = s->n_rows;
            cria_sequence_truncate(s->sequence, s->certain);
        }
    }
    return CRIA_OK;
}

static cria_status take_text(cria_stream *s, const cria_stream_event *e, cria_error *err) {
    if (cria_tokenizer_is_eog(s->tokenizer, e->id) && !s->ignore_eog) {
        s->finish = CRIA_FINISH_EOG;
        return CRIA_OK;
    }
    const char *text;
    size_t len;
    cria_status st = cria_detok_push(s->detok, e->id, &text, &len, err);
    if (!st) st = cria_stops_push(&s->stops, text, len, err);
    if (s->stops.found)
        s->finish = CRIA_FINISH_STOP;
    else if (s->stats.n_generated == s->max_tokens)
        s->finish = CRIA_FINISH_LENGTH;
    return st;
}

static cria_status next(cria_stream *s, bool had_finished, cria_stream_event *e, cria_error *err) {
    *e = (cria_stream_event){.id = -1, .finish = s->finish};
    cria_stops_drop(&s->stops);
    if (had_finished) return CRIA_OK;
    cria_status st = CRIA_OK;
    if (s->finish == CRIA_FINISH_NONE) st = take_token(s, e, err);
    if (!st && s->finish == CRIA_FINISH_NONE) st = take_text(s, e, err);
    if (!st && s->finish != CRIA_FINISH_NONE) {
        if (s->finish != CRIA_FINISH_STOP) st = flush(s, err);
        if (s->stops.found) s->finish = CRIA_FINISH_STOP;
        cria_sequence_truncate(s->sequence, s->certain);
    }
    if (st) s->finish = CRIA_FINISH_ENDED;
    e->finish = s->finish;
    e->text = (const char *)s->stops.text.data;
    e->len = s->stops.certain;
    e->stopped_by = s->finish == CRIA_FINISH_STOP ? s->stops.found : NULL;
    return st;
}

cria_status cria_stream_next(cria_stream *const *streams, size_t n, cria_stream_event *events, cria_error *err) {
    if (!streams || !events) return cria_fail_null(err, "cria_stream_next");
    for (size_t i = 0; i < n; i++) {
        if (!streams[i]) return cria_fail_null(err, "cria_stream_next");
        if (streams[i]->sequence->engine != streams[0]->sequence->engine)
            return cria_fail(err, CRIA_EINVAL, i, "cria_stream_next: stream %zu is of another engine.", i);
        events[i].finish = streams[i]->finish;
        const cria_status st = cria_stream_prefill(streams[i], 0, NULL, err);
        if (st) return st;
    }
    cria_status st = pass(streams, n, err);
    for (size_t i = 0; i < n && !st; i++) st = next(streams[i], events[i].finish != CRIA_FINISH_NONE, &events[i], err);
    return st;
}

cria_status cria_stream_end(cria_stream *s, cria_stream_event *event, cria_error *err) {
    if (!s || !event) return cria_fail_null(err, "cria_stream_end");
    const bool had_finished = s->finish != CRIA_FINISH_NONE;
    if (!had_finished) s->finish = CRIA_FINISH_ENDED;
    return next(s, had_finished, event, err);
}
