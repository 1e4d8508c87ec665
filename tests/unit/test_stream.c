/* SPDX-License-Identifier: Apache-2.0 */
/* Streams on a tiny model: the same tokens as the loop written out, alone, together with others, forked and with
 * guesses; stop texts wherever tokens end; ends that flush; every allocation may fail. */
#include "tiny_model.h"

#include "base/ctx.h"
#include "counting_alloc.h"
#include "engine/lookup.h"
#include "sample/logprobs.h"
#include "text/stops.h"

#include <math.h>

/* ---- a text as a caller without streams makes it ---- */

enum { PROMPT = 40, TOKENS = 60 };

struct machine {
    cria_ctx *ctx;
    cria_model *model;
    cria_engine *engine;
    cria_error err;
};

static void start(struct machine *m, uint64_t kv_bytes) {
    assert_int_equal(cria_ctx_new(NULL, &m->ctx, &m->err), CRIA_OK);
    assert_int_equal(cria_model_open(m->ctx, tiny_model_path, NULL, &m->model, &m->err), CRIA_OK);
    cria_engine_opts o = cria_engine_opts_default();
    o.kv_bytes = kv_bytes ? kv_bytes : 64 << 20;
    assert_int_equal(cria_engine_new(m->model, &o, &m->engine, &m->err), CRIA_OK);
}

static void stop(struct machine *m) {
    cria_engine_free(m->engine);
    cria_model_free(m->model);
    cria_ctx_free(m->ctx);
}

static cria_sampler *sampler(struct machine *m, double temp, uint64_t seed) {
    cria_sampler_opts o = cria_sampler_opts_default();
    o.temp = temp;
    o.seed = seed;
    o.repeat_penalty = 1.05; /* so that the history counts */
    cria_sampler *s;
    assert_int_equal(cria_sampler_new(m->ctx, &o, &s, &m->err), CRIA_OK);
    return s;
}

static void prompt(int32_t *ids, int which) {
    for (int i = 0; i < PROMPT; i++) ids[i] = 'a' + (i % 7 * (which + 1) + i / 20) % 20;
}

static void by_hand(struct machine *m, int which, double temp, uint64_t seed, int32_t *out) {
    cria_sequence *q;
    assert_int_equal(cria_sequence_new(m->engine, &q, &m->err), CRIA_OK);
    cria_sampler *s = sampler(m, temp, seed);
    int32_t ids[PROMPT];
    prompt(ids, which);
    assert_int_equal(cria_sampler_accept(s, ids, PROMPT, &m->err), CRIA_OK);
    static float logits[TINY_V];
    cria_row rows[PROMPT];
    for (int i = 0; i < PROMPT; i++) rows[i] = (cria_row){q, ids[i], i == PROMPT - 1};
    assert_int_equal(cria_engine_eval(m->engine, rows, PROMPT, logits, &m->err), CRIA_OK);
    for (int i = 0; i < TOKENS; i++) {
        assert_int_equal(cria_sampler_sample(s, logits, TINY_V, &out[i], &m->err), CRIA_OK);
        const cria_row row = {q, out[i], true};
        assert_int_equal(cria_engine_eval(m->engine, &row, 1, logits, &m->err), CRIA_OK);
    }
    cria_sampler_free(s);
    cria_sequence_free(q);
}

struct one {
    cria_sequence *sequence;
    cria_sampler *sampler;
    cria_stream *stream;
};

static cria_stream_opts opts(uint32_t lookup) {
    cria_stream_opts o = cria_stream_opts_default();
    o.max_tokens = TOKENS;
    o.ignore_eog = true;
    o.lookup = lookup;
    return o;
}

static void open_one(struct machine *m, struct one *o, double temp, uint64_t seed, const cria_stream_opts *so) {
    assert_int_equal(cria_sequence_new(m->engine, &o->sequence, &m->err), CRIA_OK);
    o->sampler = sampler(m, temp, seed);
    assert_int_equal(cria_stream_new(o->sequence, o->sampler, so, &o->stream, &m->err), CRIA_OK);
}

static void close_one(struct one *o) {
    cria_stream_free(o->stream);
    cria_sampler_free(o->sampler);
    cria_sequence_free(o->sequence);
}

static void ask(struct machine *m, struct one *o, int which) {
    int32_t ids[PROMPT];
    prompt(ids, which);
    assert_int_equal(cria_stream_prompt(o->stream, ids, PROMPT, &m->err), CRIA_OK);
}

static void the_same_tokens_as_by_hand(void **unused) {
    (void)unused;
    struct machine m;
    start(&m, 0);
    static const double temps[] = {0.0, 0.7};
    for (size_t t = 0; t < N_ITEMS(temps); t++) {
        int32_t want[3][TOKENS];
        for (int i = 0; i < 3; i++) by_hand(&m, i, temps[t], (uint64_t)i, want[i]);
        for (uint32_t lookup = 0; lookup <= 8; lookup += 4) {
            const cria_stream_opts so = opts(lookup);
            struct one ones[3];
            cria_stream *streams[3];
            cria_stream_event events[3];
            for (int i = 0; i < 3; i++) {
                open_one(&m, &ones[i], temps[t], (uint64_t)i, &so);
                streams[i] = ones[i].stream;
            }
            /* Alone; the second in parts of a prompt. */
            for (int i = 0; i < 3; i++) {
                ask(&m, &ones[i], i);
                size_t left = PROMPT;
                while (i == 1 && left > 0)
                    assert_int_equal(cria_stream_prefill(streams[i], 7, &left, &m.err), CRIA_OK);
                for (int k = 0; k < TOKENS; k++) {
                    assert_int_equal(cria_stream_next(&streams[i], 1, events, &m.err), CRIA_OK);
                    assert_int_equal(events[0].id, want[i][k]);
                    assert_int_equal(events[0].finish, k == TOKENS - 1 ? CRIA_FINISH_LENGTH : CRIA_FINISH_NONE);
                }
                assert_int_equal(cria_stream_next(&streams[i], 1, events, &m.err), CRIA_OK);
                assert_int_equal(events[0].id, -1);
                assert_int_equal(events[0].finish, CRIA_FINISH_LENGTH);
                assert_int_equal(events[0].len, 0);
                /* Nothing of what was guessed stays. */
                const size_t n = cria_sequence_length(ones[i].sequence);
                assert_in_range(n, PROMPT + TOKENS - 1, PROMPT + TOKENS);
                assert_memory_equal(cria_sequence_tokens(ones[i].sequence) + PROMPT, want[i],
                                    (n - PROMPT) * sizeof(int32_t));
                cria_stream_stats stats;
                cria_stream_get_stats(streams[i], &stats);
                assert_int_equal(stats.n_generated, TOKENS);
                if (lookup == 0) assert_int_equal(stats.n_guessed, 0);
            }
            /* Together, with the prompts of before, which cost one token each. Samplers have drawn: made anew. */
            for (int i = 0; i < 3; i++) {
                close_one(&ones[i]);
                open_one(&m, &ones[i], temps[t], (uint64_t)i, &so);
                streams[i] = ones[i].stream;
                ask(&m, &ones[i], i);
            }
            for (int k = 0; k < TOKENS; k++) {
                assert_int_equal(cria_stream_next(streams, 3, events, &m.err), CRIA_OK);
                for (int i = 0; i < 3; i++) assert_int_equal(events[i].id, want[i][k]);
            }
            for (int i = 0; i < 3; i++) close_one(&ones[i]);
        }
    }
    stop(&m);
}

static void forks_share_and_part(void **unused) {
    (void)unused;
    struct machine m;
    /* Budget: two blocks of the prompt and its text, and one copy of the second. */
    start(&m, 0);
    int32_t want[2][TOKENS];
    for (int i = 0; i < 2; i++) by_hand(&m, 0, 0.9, (uint64_t)i, want[i]);
    const cria_stream_opts so = opts(0);
    struct one a, b;
    open_one(&m, &a, 0.9, 0, &so);
    ask(&m, &a, 0);
    assert_int_equal(cria_stream_prefill(a.stream, 0, NULL, &m.err), CRIA_OK);
    assert_int_equal(cria_sequence_fork(a.sequence, &b.sequence, &m.err), CRIA_OK);
    b.sampler = sampler(&m, 0.9, 1);
    assert_int_equal(cria_stream_new(b.sequence, b.sampler, &so, &b.stream, &m.err), CRIA_OK);
    ask(&m, &b, 0);
    cria_stream_stats stats;
    cria_stream_get_stats(b.stream, &stats);
    assert_int_equal(stats.n_reused, PROMPT - 1);
    cria_stream *streams[] = {a.stream, b.stream};
    cria_stream_event events[2];
    for (int k = 0; k < TOKENS; k++) {
        assert_int_equal(cria_stream_next(streams, 2, events, &m.err), CRIA_OK);
        for (int i = 0; i < 2; i++) assert_int_equal(events[i].id, want[i][k]);
    }
    close_one(&a);
    close_one(&b);
    stop(&m);
}

/* Options of an older header: nothing behind their size may be read. */
static void options_of_another_size(void **unused) {
    (void)unused;
    struct machine m;
    struct one o;
    start(&m, 0);
    const cria_stream_opts so = opts(0);
    open_one(&m, &o, 0, 0, &so);
    cria_stream *another = NULL;
    void *old = malloc(sizeof(size_t));
    memcpy(old, &(size_t){sizeof(size_t)}, sizeof(size_t));
    assert_int_equal(cria_stream_new(o.sequence, o.sampler, old, &another, &m.err), CRIA_EINVAL);
    assert_null(another);
    free(old);
    close_one(&o);
    stop(&m);
}

/* The KV budget of one block and a text that outgrows it: full, and no failure; the other goes on. */
static void full_is_an_end(void **unused) {
    (void)unused;
    struct machine m;
    start(&m, 0);
    const uint64_t block = cria_model_kv_bytes(m.model, CRIA_KV_INT16, 1);
    stop(&m);
    start(&m, 3 * block);
    const cria_stream_opts so = opts(4);
    struct one a, b;
    open_one(&m, &a, 0.9, 0, &so);
    open_one(&m, &b, 0.9, 1, &so);
    ask(&m, &a, 0);
    ask(&m, &b, 1);
    cria_stream *streams[] = {a.stream, b.stream};
    cria_stream_event events[2];
    int tokens[2] = {0, 0};
    for (int k = 0; k < 2 * TOKENS; k++) {
        assert_int_equal(cria_stream_next(streams, 2, events, &m.err), CRIA_OK);
        for (int i = 0; i < 2; i++) tokens[i] += events[i].id >= 0;
    }
    assert_int_equal(events[0].finish, CRIA_FINISH_LENGTH);
    assert_int_equal(events[1].finish, CRIA_FINISH_FULL);
    assert_int_equal(tokens[0], TOKENS);
    assert_in_range(tokens[1], 64 - PROMPT, 64 - PROMPT + 1);
    close_one(&a);
    close_one(&b);
    stop(&m);
}

/* ---- stop texts ---- */

static void feed(cria_stops *s, const char *text, size_t part, char *out) {
    cria_error err;
    size_t n = 0;
    for (size_t at = 0, len = strlen(text); at < len && !s->found; at += part) {
        cria_stops_drop(s);
        assert_int_equal(cria_stops_push(s, text + at, len - at < part ? len - at : part, &err), CRIA_OK);
        memcpy(out + n, s->text.data, s->certain);
        n += s->certain;
    }
    cria_stops_drop(s);
    cria_stops_end(s);
    if (s->certain) memcpy(out + n, s->text.data, s->certain);
    out[n + s->certain] = '\0';
}

static void stops_wherever_parts_end(void **unused) {
    (void)unused;
    static const struct {
        const char *stops[3], *text, *want, *found;
    } cases[] = {
        {{"###"}, "one ## two ### three", "one ## two ", "###"},
        {{"aab"}, "aaaab", "aa", "aab"},
        {{"abab", "abac"}, "xabababac", "x", "abab"},
        {{"abac"}, "xabababac", "xabab", "abac"},
        {{"b", "abc"}, "xabc", "xa", "b"},   /* the first that is complete */
        {{"bc", "abc"}, "xabc", "x", "abc"}, /* of two at once the longer */
        {{"é!"}, "è é é!", "è é ", "é!"},
        {{"zz"}, "buzz", "bu", "zz"},
        {{"nothing"}, "nothin", "nothin", NULL},
        {{"a"}, "", "", NULL},
    };
    cria_ctx *ctx;
    cria_error err;
    assert_int_equal(cria_ctx_new(NULL, &ctx, &err), CRIA_OK);
    for (size_t c = 0; c < N_ITEMS(cases); c++)
        for (size_t part = 1; part < 8; part++) {
            cria_stops s;
            size_t n = 0;
            while (n < 3 && cases[c].stops[n]) n++;
            assert_int_equal(cria_stops_init(&s, ctx, cases[c].stops, n, &err), CRIA_OK);
            for (int again = 0; again < 2; again++) {
                char out[64];
                feed(&s, cases[c].text, part, out);
                assert_string_equal(out, cases[c].want);
                if (cases[c].found)
                    assert_string_equal(s.found, cases[c].found);
                else
                    assert_null(s.found);
                cria_stops_reset(&s);
            }
            cria_stops_fini(&s);
        }
    cria_stops s;
    static const char *const bad[] = {"", "\xff"};
    for (size_t i = 0; i < N_ITEMS(bad); i++)
        assert_int_equal(cria_stops_init(&s, ctx, &bad[i], 1, &err), CRIA_EINVAL);
    cria_ctx_free(ctx);
}

/* ---- logprobs ---- */

static void likeliest_first(void **unused) {
    (void)unused;
    static const float logits[] = {1.0f, 3.0f, -INFINITY, 3.0f, 2.0f, -1.0f};
    double sum = 0;
    for (size_t i = 0; i < N_ITEMS(logits); i++) sum += exp((double)logits[i]);
    static const int32_t order[] = {1, 3, 4, 0, 5, 2};
    for (size_t n = 0; n <= N_ITEMS(logits); n++) {
        cria_logprob top[N_ITEMS(logits)];
        float chosen;
        cria_logprobs(logits, N_ITEMS(logits), 4, top, n, &chosen);
        assert_float_equal(chosen, 2.0 - log(sum), 1e-6);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(top[i].id, order[i]);
            if (order[i] != 2) assert_float_equal(top[i].logprob, (double)logits[order[i]] - log(sum), 1e-6);
        }
    }
}

/* ---- guesses ---- */

static void guesses_follow_the_longest_match(void **unused) {
    (void)unused;
    cria_lookup l;
    cria_lookup_init(&l);
    int32_t guess[CRIA_LOOKUP_MAX];
    static const int32_t text[] = {1, 2, 3, 4, 5, 6, 9, 2, 3, 4, 5, 7, 8, 9, 9, 1, 2, 3, 4};
    const size_t n = cria_lookup_guess(&l, text, N_ITEMS(text), 5, guess, 8); /* "1 2 3 4 5" was there */
    assert_true(n >= 2);
    assert_int_equal(guess[0], 6);
    assert_int_equal(guess[1], 9);
    static const int32_t same[] = {1, 1, 1, 1, 1, 1, 1};
    const size_t k = cria_lookup_guess(&l, same, N_ITEMS(same), 1, guess, 6); /* follows itself */
    assert_true(k >= 2);
    for (size_t i = 0; i < k; i++) assert_int_equal(guess[i], 1);
    static const int32_t other[] = {1, 2, 3};
    assert_int_equal(cria_lookup_guess(&l, other, 3, 4, guess, 6), 0);
    /* What is always wrong is given up. */
    int tries = 0;
    for (int i = 0; i < 1000; i++)
        if (cria_lookup_guess(&l, text, N_ITEMS(text), 5, guess, 8)) {
            tries++;
            cria_lookup_learn(&l, 0, 1);
        }
    assert_in_range(tries, 2, 40);
}

static void every_allocation_may_fail(void **unused) {
    (void)unused;
    static const char *const stops[] = {"\x01\x02never", "nor this"};
    for (long fail = 0;; fail++) {
        struct counting_alloc alloc;
        counting_alloc_init(&alloc, -1);
        cria_ctx_opts co = cria_ctx_opts_default();
        co.threads = 1;
        co.allocator = counting_alloc_hook(&alloc);
        struct machine m;
        assert_int_equal(cria_ctx_new(&co, &m.ctx, &m.err), CRIA_OK);
        assert_int_equal(cria_model_open(m.ctx, tiny_model_path, NULL, &m.model, &m.err), CRIA_OK);
        assert_int_equal(cria_engine_new(m.model, NULL, &m.engine, &m.err), CRIA_OK);
        struct one o = {0};
        cria_sequence *fork = NULL, *draft = NULL;
        cria_engine *other;
        char saved[] = "/tmp/cria-prefix-XXXXXX";
        close(mkstemp(saved));
        assert_int_equal(cria_engine_new(m.model, NULL, &other, &m.err), CRIA_OK);
        alloc.fail_at = atomic_load(&alloc.calls) + fail;
        cria_stream_opts so = opts(4);
        so.stop = stops;
        so.n_stop = 2;
        so.logprobs = 3;
        cria_sampler_opts sample = cria_sampler_opts_default();
        sample.repeat_penalty = 1.1;
        cria_status st = cria_sequence_new(m.engine, &o.sequence, &m.err);
        if (!st) st = cria_sequence_new(other, &draft, &m.err);
        so.draft = draft;
        so.draft_tokens = 3;
        if (!st) st = cria_sampler_new(m.ctx, &sample, &o.sampler, &m.err);
        if (!st) st = cria_stream_new(o.sequence, o.sampler, &so, &o.stream, &m.err);
        int32_t ids[PROMPT];
        prompt(ids, 0);
        if (!st) st = cria_stream_prompt(o.stream, ids, PROMPT, &m.err);
        cria_stream_event e = {.finish = CRIA_FINISH_NONE};
        while (!st && e.finish == CRIA_FINISH_NONE) st = cria_stream_next(&o.stream, 1, &e, &m.err);
        if (!st) st = cria_sequence_fork(o.sequence, &fork, &m.err);
        if (!st) st = cria_sequence_save(o.sequence, saved, NULL, &m.err);
        if (!st) st = cria_sequence_load(o.sequence, saved, &m.err);
        if (!st) assert_int_equal(cria_sequence_length(o.sequence), 64);
        unlink(saved);
        assert_true(st == CRIA_OK || st == CRIA_ENOMEM);
        close_one(&o);
        cria_sequence_free(fork);
        cria_sequence_free(draft);
        cria_engine_free(other);
        stop(&m);
        assert_int_equal(atomic_load(&alloc.live), 0);
        if (!st) {
            assert_true(fail > 10);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_tokens_as_by_hand), cmocka_unit_test(forks_share_and_part),
        cmocka_unit_test(options_of_another_size),    cmocka_unit_test(full_is_an_end),
        cmocka_unit_test(stops_wherever_parts_end),   cmocka_unit_test(likeliest_first),
        cmocka_unit_test(guesses_follow_the_longest_match), cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, tiny_model_write, tiny_model_remove);
}
