/* SPDX-License-Identifier: Apache-2.0 */
#include "answers.h"

#include "jsontext.h"
#include "prefill.h"
#include "progress.h"
#include "term.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct answer {
    cria_sequence *sequence;
    cria_sequence *draft;
    cria_sampler *sampler; /* one for all prompts, as MLX's random state is one */
    cria_finish finish;
    const char *stopped_by;
    char *text;    /* what waits for the answers before it, or for JSON */
    size_t text_len;
    FILE *text_out; /* fills text */
    char *tokens;  /* JSON: the members of an array */
    size_t tokens_len;
    FILE *tokens_out;
    uint64_t n_generated;
};

/* ---- set-up ---- */

/* The first keeps its stream, which knows what lookup learnt; the others are made for every prompt. */
static cria_status open_stream(struct answers *a, size_t i, cria_error *err) {
    const struct answers_options *o = a->options;
    const char *stop[ARG_TEXTS_MAX + 1];
    cria_stream_opts s = cria_stream_opts_default();
    memcpy(stop, o->stop.v, o->stop.n * sizeof *stop);
    s.n_stop = o->stop.n;
    if (a->mark) stop[s.n_stop++] = a->mark;
    s.stop = stop;
    s.max_tokens = o->max_tokens;
    s.ignore_eog = o->ignore_eos;
    s.logprobs = (uint32_t)o->logprobs;
    s.lookup = (uint32_t)o->lookup;
    s.draft = a->each[i].draft;
    s.draft_tokens = (uint32_t)o->draft_tokens;
    return cria_stream_new(a->each[i].sequence, a->each[i].sampler, &s, &a->streams[i], err);
}

static cria_status make_parts(struct answers *a, const struct sampling_options *sampling, cria_error *err) {
    cria_status st = cria_sequence_new(a->session->engine, &a->each[0].sequence, err);
    for (size_t i = 0; i < a->options->n && st == CRIA_OK; i++) {
        struct sampling_options own = *sampling;
        own.seed += i;
        st = sampling_open(&own, a->session->ctx, a->tokenizer, &a->each[i].sampler, err);
        if (st == CRIA_OK && a->draft) st = cria_sequence_new(a->draft, &a->each[i].draft, err);
    }
    if (st == CRIA_OK) st = open_stream(a, 0, err);
    return st;
}

/* ---- the saved prefix ---- */

static cria_status load_prefix(struct answers *a, cria_error *err) {
    const char *path = a->options->prompt_cache;
    if (!path) return CRIA_OK;
    if (access(path, F_OK) != 0) {
        a->cache_due = true;
        return CRIA_OK;
    }
    const cria_status st = cria_sequence_load(a->each[0].sequence, path, err);
    if (st == CRIA_OK)
        say(a->session->quiet, "[INFO] %zu tokens and what was computed of them are in %s.\n",
            cria_sequence_length(a->each[0].sequence), path);
    return st;
}

/* Once the first prompt has been read. One that is too short to be worth it is not saved. */
static cria_status save_prefix(struct answers *a, cria_error *err) {
    const char *path = a->options->prompt_cache;
    size_t n;
    if (!a->cache_due) return CRIA_OK;
    a->cache_due = false;
    const cria_status st = cria_sequence_save(a->each[0].sequence, path, &n, err);
    if (st == CRIA_OK) say(a->session->quiet, "[INFO] Saved the first %zu tokens of the prompt in %s.\n", n, path);
    if (st != CRIA_EINVAL) return st;
    say(a->session->quiet, "[INFO] %s\n", err->msg);
    return CRIA_OK;
}

bool answers_init(struct answers *a, const struct answers_options *o, const struct sampling_options *sampling,
                  struct session *session, cria_engine *draft, const char *mark) {
    *a = (struct answers){.options = o, .session = session, .draft = draft,
                          .tokenizer = cria_model_tokenizer(session->model), .mark = mark, .seed = sampling->seed};
    a->each = calloc(o->n, sizeof *a->each);
    a->streams = calloc(o->n, sizeof(cria_stream *));
    a->events = calloc(o->n, sizeof *a->events);
    cria_error err;
    if (!a->each || !a->streams || !a->events) {
        complain("Not enough memory for %" PRIu64 " answers.", o->n);
    } else if (make_parts(a, sampling, &err) != CRIA_OK || load_prefix(a, &err) != CRIA_OK) {
        complain("%s", err.msg);
    } else {
        return true;
    }
    return false;
}

static void close_texts(struct answer *x) {
    if (x->text_out) fclose(x->text_out);
    if (x->tokens_out) fclose(x->tokens_out);
    free(x->text);
    free(x->tokens);
    *x = (struct answer){.sequence = x->sequence, .draft = x->draft, .sampler = x->sampler};
}

void answers_fini(struct answers *a) {
    for (size_t i = 0; i < a->options->n && a->each && a->streams; i++) {
        cria_stream_free(a->streams[i]);
        close_texts(&a->each[i]);
        cria_sampler_free(a->each[i].sampler);
        cria_sequence_free(a->each[i].draft);
        cria_sequence_free(a->each[i].sequence);
    }
    free(a->events);
    free(a->streams);
    free(a->each);
}

/* ---- the prompt ---- */

/* Encodes the prompt as the model's own library would: SentencePiece never reads control symbols out of a text, the
 * tokenizers of GGUF models do ("<|im_end|>"). */
static cria_status encode(const struct answers *a, const struct text *prompt, int32_t **ids, size_t *n,
                          cria_error *err) {
    unsigned flags = CRIA_ENCODE_PLAIN;
    if (cria_tokenizer_add_bos(a->tokenizer) || prompt->len == 0) flags |= CRIA_ENCODE_BOS;
    if (strcmp(a->session->info.format, "gguf") == 0) flags |= CRIA_ENCODE_SPECIAL;
    return cria_encode(a->tokenizer, prompt->data, prompt->len, flags, ids, n, err);
}

static bool fits(const struct answers *a, size_t n) {
    const uint32_t context = cria_engine_context(a->session->engine);
    if (n == 0)
        complain("The prompt is empty, and the model has no token to begin a text with; give it some text.");
    else if (n > context)
        complain("The prompt has %zu tokens, but the context holds %" PRIu32 "; shorten it, or ask for more with "
                 "--context.", n, context);
    else
        return true;
    return false;
}

/* The other answers go on from the first one's prompt. */
static cria_status fork_others(struct answers *a, const int32_t *ids, size_t n, cria_error *err) {
    cria_status st = CRIA_OK;
    for (size_t i = 1; i < a->options->n && st == CRIA_OK; i++) {
        cria_stream_free(a->streams[i]);
        a->streams[i] = NULL;
        cria_sequence_free(a->each[i].sequence);
        a->each[i].sequence = NULL;
        st = cria_sequence_fork(a->each[0].sequence, &a->each[i].sequence, err);
        if (st == CRIA_OK) st = open_stream(a, i, err);
        if (st == CRIA_OK) st = cria_stream_prompt(a->streams[i], ids, n, err);
    }
    return st;
}

/* ---- what comes ---- */

static void write_token(const struct answers *a, struct answer *x, const cria_stream_event *e) {
    const cria_logprob chosen = {e->id, e->logprob};
    FILE *f = x->tokens_out;
    fputs(x->n_generated > 1 ? ", " : "", f);
    for (size_t i = 0; i <= e->n_top; i++) {
        const cria_logprob p = i == 0 ? chosen : e->top[i - 1];
        char *text;
        size_t len;
        fprintf(f, i <= 1 ? "{\"id\": %" PRId32 ", \"text\": " : ", {\"id\": %" PRId32 ", \"text\": ", p.id);
        if (cria_decode(a->tokenizer, &p.id, 1, &text, &len, NULL) == CRIA_OK) {
            put_json_bytes(f, text, len);
            cria_text_free(a->tokenizer, text);
        } else {
            fputs("null", f);
        }
        /* JSON has no infinity: of what the model rules out, the lowest float. */
        if (a->options->logprobs > 0) fprintf(f, ", \"logprob\": %.9g", (double)fmaxf(p.logprob, -FLT_MAX));
        fputs(i == 0 && e->n_top > 0 ? ", \"top\": [" : "}", f);
    }
    if (e->n_top > 0) fputs("]}", f);
}

/* Text of the answer in front goes out at once, that of the others waits. */
static void take(struct answers *a, size_t i, size_t front, const cria_stream_event *e) {
    struct answer *x = &a->each[i];
    if (e->id >= 0) x->n_generated++;
    if (x->finish == CRIA_FINISH_NONE) {
        x->finish = e->finish;
        x->stopped_by = e->stopped_by;
    }
    if (e->id >= 0 && a->options->json) write_token(a, x, e);
    if (e->len == 0) return;
    if (i == front && !a->options->json)
        out_write(&a->out, e->text, e->len);
    else
        fwrite(e->text, 1, e->len, x->text_out);
}

/* Answers that are complete leave the front; what the next one has said so far goes out. */
static size_t advance(struct answers *a, size_t front) {
    while (front < a->options->n && a->each[front].finish != CRIA_FINISH_NONE) {
        out_write(&a->out, "\n", 1);
        if (++front == a->options->n) break;
        struct answer *x = &a->each[front];
        fflush(x->text_out);
        out_write(&a->out, x->text, x->text_len);
    }
    return front;
}

static enum ending generate(struct answers *a, double start, cria_error *err) {
    const size_t n = a->options->n;
    size_t front = 0;
    enum ending ending = END_DONE;
    for (uint64_t steps = 1; front < n && ending == END_DONE; steps++) {
        if (cria_stream_next(a->streams, n, a->events, err) != CRIA_OK) return END_FAILED;
        if (steps == 1) a->prompt_seconds = clock_now() - start;
        if (term_interrupted()) ending = END_INTERRUPTED;
        for (size_t i = 0; i < n; i++) take(a, i, front, &a->events[i]);
        if (a->options->json) {
            while (front < n && a->each[front].finish != CRIA_FINISH_NONE) front++;
            continue;
        }
        if (steps % a->options->write_every == 0 && !out_flush(&a->out)) return END_FAILED;
        front = advance(a, front);
    }
    if (front == n) return END_DONE;
    for (size_t i = front; i < n; i++) {
        if (cria_stream_end(a->streams[i], &a->events[i], err) != CRIA_OK) return END_FAILED;
        take(a, i, front, &a->events[i]);
    }
    if (!a->options->json) advance(a, front);
    return END_INTERRUPTED;
}

/* ---- what is said about it ---- */

static void say_timing(const struct answers *a) {
    const bool quiet = a->session->quiet;
    cria_stream_stats stats;
    uint64_t n_generated = 0;
    for (size_t i = 0; i < a->options->n; i++) n_generated += a->each[i].n_generated;
    cria_stream_get_stats(a->streams[0], &stats);
    const size_t n_prompt = stats.n_prompt - stats.n_reused;
    if (n_generated == 0) {
        say(quiet, "[INFO] Prompt processing: %.3f s, %zu of %zu tokens\n", a->seconds,
            cria_sequence_length(a->each[0].sequence), stats.n_prompt);
        return;
    }
    say(quiet, "[INFO] Prompt processing: %.3f s\n[INFO] Full generation: %.3f s\n", a->prompt_seconds, a->seconds);
    say(quiet, "[INFO] %zu prompt token%s", n_prompt, n_prompt == 1 ? "" : "s");
    if (a->prompt_seconds > 0) say(quiet, ", %.1f tokens/s", (double)n_prompt / a->prompt_seconds);
    say(quiet, "; %" PRIu64 " generated", n_generated);
    if (n_generated > 1 && a->seconds > a->prompt_seconds)
        say(quiet, ", %.1f tokens/s", (double)(n_generated - 1) / (a->seconds - a->prompt_seconds));
    if (stats.n_accepted > 0)
        say(quiet, "; %" PRIu64 " of %" PRIu64 " guesses right", stats.n_accepted, stats.n_guessed);
    say(quiet, "\n");
}

static void say_ends(const struct answers *a, enum ending ending) {
    const bool quiet = a->session->quiet;
    if (!a->mark) say(quiet, "------\n");
    for (size_t i = 0; i < a->options->n; i++)
        if (a->each[i].finish == CRIA_FINISH_FULL)
            say(quiet, "[INFO] The text ends here: the context of %" PRIu32 " tokens is full.\n",
                cria_engine_context(a->session->engine));
    if (ending == END_INTERRUPTED) say(quiet, "[INFO] Interrupted.\n");
    say_timing(a);
}

static const char *finish_name(cria_finish finish) {
    switch (finish) {
    case CRIA_FINISH_EOG: return "eos";
    case CRIA_FINISH_STOP: return "stop";
    case CRIA_FINISH_LENGTH: return "length";
    case CRIA_FINISH_FULL: return "context";
    default: return "interrupted";
    }
}

static void print_json(struct answers *a) {
    cria_stream_stats stats;
    cria_stream_get_stats(a->streams[0], &stats);
    printf("{\"prompt_tokens\": %zu, \"reused_tokens\": %zu", stats.n_prompt, stats.n_reused);
    printf(", \"prompt_seconds\": %.6f, \"seconds\": %.6f, \"answers\": [", a->prompt_seconds, a->seconds);
    for (size_t i = 0; i < a->options->n; i++) {
        struct answer *x = &a->each[i];
        fflush(x->text_out);
        fflush(x->tokens_out);
        printf("%s{\"seed\": %" PRIu64 ", \"text\": ", i ? ", " : "", a->seed + i);
        print_json_bytes(x->text, x->text_len);
        printf(", \"finish\": \"%s\"", finish_name(x->finish));
        if (x->stopped_by) {
            printf(", \"stop\": ");
            print_json_text(x->stopped_by);
        }
        printf(", \"tokens\": [%s]}", x->tokens);
    }
    printf("]}\n");
}

/* ---- all of it ---- */

static bool open_texts(struct answers *a) {
    for (size_t i = 0; i < a->options->n; i++) {
        struct answer *x = &a->each[i];
        close_texts(x);
        x->text_out = open_memstream(&x->text, &x->text_len);
        x->tokens_out = open_memstream(&x->tokens, &x->tokens_len);
        if (!x->text_out || !x->tokens_out) {
            complain("Not enough memory for the answer.");
            return false;
        }
    }
    return true;
}

static bool texts_are_whole(struct answers *a) {
    for (size_t i = 0; i < a->options->n; i++)
        if (ferror(a->each[i].text_out) || ferror(a->each[i].tokens_out)) return false;
    return true;
}

static enum ending answer(struct answers *a, const int32_t *ids, size_t n, cria_error *err) {
    const double start = clock_now();
    a->prompt_seconds = a->seconds = 0;
    if (cria_stream_prompt(a->streams[0], ids, n, err) != CRIA_OK) return END_FAILED;
    size_t left;
    enum ending ending = END_DONE;
    if (prefill(a->streams[0], a->session->quiet, &left, err) != CRIA_OK)
        ending = END_FAILED;
    else if (left > 0)
        ending = END_INTERRUPTED;
    const bool read = ending == END_DONE;
    if (read && (save_prefix(a, err) != CRIA_OK || fork_others(a, ids, n, err) != CRIA_OK)) ending = END_FAILED;
    if (ending == END_DONE) ending = generate(a, start, err);
    a->seconds = clock_now() - start;
    if (!a->options->json && (!read || ending == END_FAILED)) out_write(&a->out, "\n", 1);
    return ending;
}

/* What is left to be written. False after one line on stderr. */
static bool write_rest(struct answers *a, enum ending ending) {
    if (!texts_are_whole(a)) {
        complain("Not enough memory for the answer.");
        return false;
    }
    if (!a->options->json) {
        if (out_flush(&a->out)) return true;
        errno = a->out.error;
    } else {
        if (ending == END_FAILED) return true;
        print_json(a);
        if (fflush(stdout) == 0) return true;
    }
    complain_unwritten(NULL);
    return false;
}

enum ending answers_make(struct answers *a, const struct text *prompt) {
    int32_t *ids;
    size_t n;
    cria_error err = {.code = CRIA_OK};
    if (!open_texts(a)) return END_FAILED;
    if (encode(a, prompt, &ids, &n, &err) != CRIA_OK) {
        complain("%s", err.msg);
        return END_FAILED;
    }
    enum ending ending = END_FAILED;
    if (fits(a, n)) {
        ending = answer(a, ids, n, &err);
        if (!write_rest(a, ending))
            ending = END_FAILED;
        else if (ending == END_FAILED)
            complain("%s", err.msg);
        else
            say_ends(a, ending);
    }
    cria_ids_free(a->tokenizer, ids);
    return ending;
}
