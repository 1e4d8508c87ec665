/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cria perplexity: how well a model foretells a text, and how far its predictions are from those of another run whose
 * logits were saved (klfile.h): the measure of what a precision costs.
 *
 * The text is cut into windows of --context tokens. Each is evaluated from an empty sequence and, where the model wants
 * that, begins with bos, as a prompt would. In a window every token but the first is scored, with the tokens before it
 * in the window as its context. So with bos every token of the text is scored, without it all but the first of each
 * window.
 *
 * The logits are the library's, the same bits everywhere. What is made of them here is a statistic and decides nothing:
 * it is summed in double precision with libm's exp and log, and its last digits may differ between C libraries.
 */
#include "commands.h"
#include "input.h"
#include "klfile.h"
#include "progress.h"
#include "session.h"
#include "term.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART = 64,            /* rows whose logits are held at once */
    DEFAULT_CONTEXT = 512
};

struct perplexity_options {
    const char *file, *kl_base, *kl;
    uint64_t context, max_tokens; /* 0: the default; all */
    bool json;
    struct session_options session;
};

#define FIELD(name) offsetof(struct perplexity_options, name)

static const struct arg_option text_rows[] = {
    {.name = "FILE", .kind = ARG_OPERAND, .offset = FIELD(file), .help = "the text; - reads it from stdin"},
    {.name = "context", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(context), .max = 1000000000,
     .help = "cut the text into windows of N tokens; 0 takes 512, or the model's context where that is less"},
    {.name = "max-tokens", .letter = 'm', .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(max_tokens),
     .max = UINT32_MAX, .help = "read the first N tokens of the text only; 0 reads all"},
};

static const struct arg_option result_rows[] = {
    {.name = "kl-base", .kind = ARG_TEXT, .metavar = "FILE", .offset = FIELD(kl_base),
     .help = "save the logits of every scored token: 4 bytes for each entry of the vocabulary"},
    {.name = "kl", .kind = ARG_TEXT, .metavar = "FILE", .offset = FIELD(kl),
     .help = "compare with logits saved from the same text: Kullback-Leibler divergence from those to these, how often "
             "the likeliest token is the same, how the probability of the text's tokens changed"},
    {.name = "json", .kind = ARG_FLAG, .offset = FIELD(json), .help = "print one JSON object, with all digits"},
};

static const struct arg_command command = {
    .name = "perplexity",
    .usage = "Usage: cria perplexity [OPTIONS] FILE",
    .about = "Measures how well a model foretells a text, and what a precision changes in that.",
    .examples = "Examples\n"
                "  cria perplexity --model-path model.gguf text.txt\n"
                "  cria perplexity --model-path model.gguf --activations f32 --kv f32 --kl-base f32.logits text.txt\n"
                "  cria perplexity --model-path model.gguf --kl f32.logits text.txt\n",
};

/* ---- statistics ---- */

/* Mean and spread of values as they come (Welford). */
struct tally {
    size_t n;
    double mean, squares; /* squares: sum of squared distances from the mean */
};

static void tally_add(struct tally *t, double x) {
    const double d = x - t->mean;
    t->mean += d / (double)++t->n;
    t->squares += d * (x - t->mean);
}

/* Of the mean, as if the values were independent; NaN for less than two. */
static double tally_error(const struct tally *t) {
    return t->n < 2 ? (double)NAN : sqrt(t->squares / (double)(t->n - 1) / (double)t->n);
}

static size_t likeliest(const float *logits, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* Turns logits into logs of probabilities. In two steps, since their sum would lose digits to a large logit. */
struct softmax {
    double most;    /* the largest logit */
    double log_sum; /* log Σ exp(logit − most) */
};

static struct softmax softmax_of(const float *logits, size_t n) {
    const double most = logits[likeliest(logits, n)];
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp(logits[i] - most);
    return (struct softmax){most, log(sum)};
}

static double log_p(const struct softmax *s, float logit) { return (logit - s->most) - s->log_sum; }

/* Σ p·(log p − log q) for the probabilities p of the saved logits and q of ours; exactly 0 for equal logits. */
static double divergence(const float *saved, const struct softmax *p, const float *ours, const struct softmax *q,
                         size_t n) {
    double kl = 0;
    for (size_t i = 0; i < n; i++) {
        const double log_saved = log_p(p, saved[i]);
        kl += exp(log_saved) * (log_saved - log_p(q, ours[i]));
    }
    return kl;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two nearest values, as numpy's percentile does. part: 0 to 1. */
static double quantile(const double *sorted, size_t n, double part) {
    const double at = part * (double)(n - 1);
    const size_t i = (size_t)at;
    if (i + 1 >= n) return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

/* ---- scoring ---- */

struct scorer {
    const struct perplexity_options *options;
    struct session *session;
    cria_sequence *sequence;
    int32_t *ids;         /* [text.n_ids], the library's */
    struct kl_text text;
    int32_t *window;      /* [text.context] */
    cria_row rows[PART];
    float *logits;        /* [PART][vocab] */
    struct tally nll;     /* of -log p(token) */
    double seconds;

    struct kl_file base, saved;
    float *saved_logits;  /* [vocab] */
    double *kl;           /* [text.n_rows], one per scored token, sorted at the end */
    struct tally kl_tally, delta_p;
    size_t n_same;        /* tokens where both find the same token likeliest */
};

static bool compare_row(struct scorer *s, const float *logits, const struct softmax *here, int32_t target) {
    const size_t vocab = s->text.vocab;
    const float *saved = s->saved_logits;
    if (!kl_read_row(&s->saved, s->saved_logits)) return false;
    const struct softmax there = softmax_of(saved, vocab);
    const double kl = divergence(saved, &there, logits, here, vocab);
    s->kl[s->kl_tally.n] = kl;
    tally_add(&s->kl_tally, kl);
    tally_add(&s->delta_p, exp(log_p(here, logits[target])) - exp(log_p(&there, saved[target])));
    s->n_same += likeliest(logits, vocab) == likeliest(saved, vocab);
    return true;
}

/* logits: [vocab], those behind which target came. */
static bool score_row(struct scorer *s, const float *logits, int32_t target) {
    const struct softmax here = softmax_of(logits, s->text.vocab);
    tally_add(&s->nll, -log_p(&here, logits[target]));
    if (s->base.f && !kl_write_row(&s->base, logits)) return false;
    return !s->saved.f || compare_row(s, logits, &here, target);
}

/* The tokens window[0..n): each but the last is evaluated, each but the first scored. */
static bool score_window(struct scorer *s, size_t n, struct progress *bar) {
    cria_sequence_truncate(s->sequence, 0);
    for (size_t at = 0; at + 1 < n;) {
        if (term_interrupted()) {
            complain("Interrupted after %zu of %" PRIu32 " tokens.", s->nll.n, s->text.n_rows);
            return false;
        }
        const size_t left = n - 1 - at, part = left < PART ? left : PART;
        for (size_t i = 0; i < part; i++) s->rows[i] = (cria_row){s->sequence, s->window[at + i], true};
        cria_error err;
        if (cria_engine_eval(s->session->engine, s->rows, part, s->logits, &err) != CRIA_OK) {
            complain("%s", err.msg);
            return false;
        }
        for (size_t i = 0; i < part; i++)
            if (!score_row(s, s->logits + i * s->text.vocab, s->window[at + i + 1])) return false;
        at += part;
        progress_update(bar, s->nll.n, s->text.n_rows);
    }
    return true;
}

static size_t text_per_window(const struct kl_text *t) { return t->context - (t->bos >= 0); }

static size_t n_windows(const struct kl_text *t) {
    const size_t per_window = text_per_window(t);
    return (t->n_ids + per_window - 1) / per_window;
}

static bool score_text(struct scorer *s) {
    struct progress bar;
    progress_start(&bar, "Scoring", s->options->session.quiet);
    const double start = clock_now();
    const size_t has_bos = s->text.bos >= 0, most = text_per_window(&s->text);
    bool ok = true;
    for (size_t at = 0; at < s->text.n_ids && ok;) {
        const size_t left = s->text.n_ids - at, n = left < most ? left : most;
        s->window[0] = s->text.bos; /* overwritten where there is none */
        memcpy(s->window + has_bos, s->ids + at, n * sizeof *s->ids);
        ok = score_window(s, has_bos + n, &bar);
        at += n;
    }
    progress_end(&bar);
    s->seconds = clock_now() - start;
    if (ok && s->saved.f) ok = kl_finish_reading(&s->saved);
    if (ok && s->base.f) ok = kl_finish_writing(&s->base); /* last: it may take the place of the file just read */
    if (ok && s->kl) qsort(s->kl, s->kl_tally.n, sizeof *s->kl, by_value);
    return ok;
}

/* ---- set-up ---- */

static bool choose_context(struct scorer *s) {
    const uint32_t model = s->session->info.context;
    uint64_t context = s->options->context;
    if (context == 0) context = model > 0 && model < DEFAULT_CONTEXT ? model : DEFAULT_CONTEXT;
    if (context < 2)
        complain("A window of 1 token foretells nothing; --context takes 2 or more.");
    else if (model > 0 && context > model)
        complain("--context is %" PRIu64 ", but the model's context holds %" PRIu32 " tokens; give no more.", context,
                 model);
    else {
        s->text.context = (uint32_t)context;
        return true;
    }
    return false;
}

/* Encodes the text as generate would a prompt, but for bos, which every window gets. */
static bool encode(struct scorer *s, const struct text *text) {
    const cria_tokenizer *tokenizer = cria_model_tokenizer(s->session->model);
    const bool is_gguf = strcmp(s->session->info.format, "gguf") == 0;
    const unsigned flags = is_gguf ? CRIA_ENCODE_SPECIAL : CRIA_ENCODE_PLAIN;
    size_t n;
    cria_error err;
    if (cria_encode(tokenizer, text->data, text->len, flags, &s->ids, &n, &err) != CRIA_OK) {
        complain("%s", err.msg);
        return false;
    }
    if (s->options->max_tokens > 0 && n > s->options->max_tokens) n = (size_t)s->options->max_tokens;
    struct kl_text *t = &s->text;
    t->bos = cria_tokenizer_add_bos(tokenizer) ? cria_tokenizer_bos(tokenizer) : -1;
    t->vocab = s->session->info.vocab_size;
    t->ids = s->ids;
    t->n_ids = (uint32_t)n;
    t->n_rows = (uint32_t)(n - (t->bos >= 0 ? 0 : n_windows(t)));
    if (t->n_rows > 0) return true;
    complain("The text has %zu token%s; none can be foretold from one before it; give a longer one.", n,
             n == 1 ? "" : "s");
    return false;
}

static bool allocate(struct scorer *s) {
    const size_t vocab = s->text.vocab;
    s->window = malloc(s->text.context * sizeof *s->window);
    s->logits = malloc(PART * vocab * sizeof *s->logits);
    bool ok = s->window && s->logits;
    if (s->options->kl) {
        s->saved_logits = malloc(vocab * sizeof *s->saved_logits);
        s->kl = malloc(s->text.n_rows * sizeof *s->kl);
        ok = ok && s->saved_logits && s->kl;
    }
    if (!ok) complain("Not enough memory for the logits of %d tokens.", PART);
    return ok;
}

static bool prepare(struct scorer *s, const struct text *text) {
    if (!choose_context(s) || !encode(s, text) || !allocate(s)) return false;
    if (s->options->kl && !kl_open(&s->saved, s->options->kl, &s->text)) return false;
    if (s->options->kl_base && !kl_create(&s->base, s->options->kl_base, &s->text)) return false;
    cria_error err;
    if (cria_sequence_new(s->session->engine, &s->sequence, &err) == CRIA_OK) return true;
    complain("%s", err.msg);
    return false;
}

static void scorer_fini(struct scorer *s) {
    kl_close(&s->saved);
    kl_close(&s->base);
    free(s->kl);
    free(s->saved_logits);
    free(s->logits);
    free(s->window);
    if (s->ids) cria_ids_free(cria_model_tokenizer(s->session->model), s->ids);
    cria_sequence_free(s->sequence);
}

/* ---- results ---- */

static void print_table(const struct scorer *s) {
    const struct session_options *o = &s->options->session;
    const cria_ctx *ctx = s->session->ctx;
    const double perplexity = exp(s->nll.mean);
    printf("model                 %s\n", o->model_path);
    printf("computed with         %" PRIu32 " thread%s, %s, activations %s, kv %s\n", cria_ctx_threads(ctx),
           cria_ctx_threads(ctx) == 1 ? "" : "s", cria_ctx_isa(ctx), o->activations, o->kv);
    printf("text                  %" PRIu32 " tokens, windows of %" PRIu32 "\n", s->text.n_ids, s->text.context);
    printf("scored                %zu tokens, %.1f tokens/s\n", s->nll.n, (double)s->nll.n / s->seconds);
    printf("mean -log p           %.6f +/- %.6f\n", s->nll.mean, tally_error(&s->nll));
    printf("perplexity            %.4f +/- %.4f\n", perplexity, perplexity * tally_error(&s->nll));
    if (!s->kl) return;
    const size_t n = s->kl_tally.n;
    printf("compared with         %s\n", s->options->kl);
    printf("KL divergence, mean   %.3e +/- %.1e\n", s->kl_tally.mean, tally_error(&s->kl_tally));
    printf("  median              %.3e\n", quantile(s->kl, n, 0.5));
    printf("  99th percentile     %.3e\n", quantile(s->kl, n, 0.99));
    printf("  worst               %.3e\n", s->kl[n - 1]);
    printf("same likeliest token  %.2f %%\n", 100.0 * (double)s->n_same / (double)n);
    printf("mean change of p      %+.4f %%\n", 100.0 * s->delta_p.mean);
}

/* With all digits; JSON has no word for what is not finite. */
static void print_number(const char *name, double x) {
    printf(", \"%s\": ", name);
    if (isfinite(x))
        printf("%.17g", x);
    else
        printf("null");
}

static void print_json(const struct scorer *s) {
    const struct session_options *o = &s->options->session;
    const double perplexity = exp(s->nll.mean);
    printf("{\"version\": \"%s\", \"threads\": %" PRIu32 ", \"isa\": \"%s\", \"activations\": \"%s\", \"kv\": \"%s\"",
           cria_version(), cria_ctx_threads(s->session->ctx), cria_ctx_isa(s->session->ctx), o->activations, o->kv);
    printf(", \"context\": %" PRIu32 ", \"windows\": %zu, \"tokens\": %" PRIu32 ", \"scored\": %zu", s->text.context,
           n_windows(&s->text), s->text.n_ids, s->nll.n);
    print_number("perplexity", perplexity);
    print_number("perplexity_error", perplexity * tally_error(&s->nll));
    print_number("nll", s->nll.mean);
    print_number("nll_error", tally_error(&s->nll));
    print_number("seconds", s->seconds);
    print_number("tokens_per_second", (double)s->nll.n / s->seconds);
    if (s->kl) {
        const size_t n = s->kl_tally.n;
        print_number("kl_mean", s->kl_tally.mean);
        print_number("kl_mean_error", tally_error(&s->kl_tally));
        print_number("kl_median", quantile(s->kl, n, 0.5));
        print_number("kl_percentile_99", quantile(s->kl, n, 0.99));
        print_number("kl_worst", s->kl[n - 1]);
        print_number("same_likeliest", (double)s->n_same / (double)n);
        print_number("mean_change_of_p", s->delta_p.mean);
    }
    printf("}\n");
}

static int measure(const struct perplexity_options *o, struct session *session, const struct text *text) {
    struct scorer s = {.options = o, .session = session};
    const bool ok = prepare(&s, text) && score_text(&s);
    if (ok && o->json)
        print_json(&s);
    else if (ok)
        print_table(&s);
    scorer_fini(&s);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

int perplexity_main(int argc, char **argv) {
    struct perplexity_options o = {0}; /* what a command has no option for is 0 */
    const struct arg_group groups[] = {
        {"Model", session_model_rows, n_session_model_rows, &o.session},
        {"Text", text_rows, sizeof text_rows / sizeof *text_rows, &o},
        {"Results", result_rows, sizeof result_rows / sizeof *result_rows, &o},
        {"Computation", session_speed_rows, n_session_speed_rows, &o.session},
    };
    const size_t n_groups = sizeof groups / sizeof *groups;
    int code;
    if (!command_begins(&command, groups, n_groups, argc, argv, &code)) return code;
    term_catch_interrupt();
    struct text text;
    if (!input_read_all(strcmp(o.file, "-") == 0 ? NULL : o.file, &text)) return EXIT_FAILED;
    struct session session;
    code = EXIT_FAILED;
    if (session_open(&session, &o.session)) {
        code = measure(&o, &session, &text);
        session_close(&session);
    }
    text_free(&text);
    return code;
}
