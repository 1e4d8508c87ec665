/* SPDX-License-Identifier: Apache-2.0 */
/* cria bench: how fast a model loads, reads a prompt and writes, as a table or as JSON on stdout. */
#include "commands.h"
#include "progress.h"
#include "session.h"
#include "term.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct bench_options {
    uint64_t prompt_tokens, new_tokens, repeat;
    bool json;
    struct session_options session;
};

#define FIELD(name) offsetof(struct bench_options, name)

static const struct arg_option rows_of_bench[] = {
    {.name = "prompt-tokens", .letter = 'p', .kind = ARG_WHOLE, .metavar = "N", .def = "512",
     .offset = FIELD(prompt_tokens), .min = 1, .max = 1000000, .help = "length of the prompt"},
    {.name = "new-tokens", .letter = 'n', .kind = ARG_WHOLE, .metavar = "N", .def = "64", .offset = FIELD(new_tokens),
     .min = 1, .max = 1000000, .help = "how many tokens to generate behind it"},
    {.name = "repeat", .letter = 'r', .kind = ARG_WHOLE, .metavar = "N", .def = "3", .offset = FIELD(repeat), .min = 1,
     .max = 1000, .help = "how many times; the table shows the median"},
    {.name = "json", .kind = ARG_FLAG, .offset = FIELD(json), .help = "print one JSON object with every run"},
};

static const struct arg_command command = {
    .name = "bench",
    .usage = "Usage: cria bench [OPTIONS]",
    .about = "Measures a model on this machine: seconds to load it, peak memory, and tokens per second\n"
             "of prompt processing and of generation.",
    .examples = "Examples\n"
                "  cria bench --model-path model.gguf\n"
                "  cria bench --model-path model.gguf -p 128 -n 32 -r 5 --threads 2 --json\n",
};

struct run {
    double prompt_seconds, new_seconds;
};

struct bench {
    const struct bench_options *options;
    struct session session;
    cria_sampler *sampler;
    cria_sequence *sequence;
    cria_row *rows; /* [prompt_tokens] */
    float *logits;  /* [vocab_size] */
    struct run *runs;
};

/* Arbitrary tokens, spread over the vocabulary: the time does not depend on which. */
static int32_t token_at(size_t i, uint32_t vocab) { return (int32_t)((i * 7919 + 17) % vocab); }

static cria_status run_once(struct bench *b, size_t n_prompt, size_t n_new, struct run *run, cria_error *err) {
    const uint32_t vocab = b->session.info.vocab_size;
    cria_sequence_truncate(b->sequence, 0);
    for (size_t i = 0; i < n_prompt; i++)
        b->rows[i] = (cria_row){b->sequence, token_at(i, vocab), i + 1 == n_prompt};
    const double start = clock_now();
    cria_status st = cria_engine_eval(b->session.engine, b->rows, n_prompt, b->logits, err);
    run->prompt_seconds = clock_now() - start;
    for (size_t i = 0; i < n_new && st == CRIA_OK; i++) {
        int32_t id;
        st = cria_sampler_sample(b->sampler, b->logits, vocab, &id, err);
        const cria_row row = {b->sequence, id, true};
        if (st == CRIA_OK) st = cria_engine_eval(b->session.engine, &row, 1, b->logits, err);
    }
    run->new_seconds = clock_now() - start - run->prompt_seconds;
    return st;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n) {
    qsort(x, n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

struct summary {
    double prompt_rate, new_rate, peak_mib;
};

static bool summarize(const struct bench *b, struct summary *out) {
    const size_t n = (size_t)b->options->repeat;
    double *x = malloc(n * sizeof *x);
    if (!x) return false;
    for (size_t i = 0; i < n; i++) x[i] = (double)b->options->prompt_tokens / b->runs[i].prompt_seconds;
    out->prompt_rate = median(x, n);
    for (size_t i = 0; i < n; i++) x[i] = (double)b->options->new_tokens / b->runs[i].new_seconds;
    out->new_rate = median(x, n);
    free(x);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    out->peak_mib = (double)usage.ru_maxrss / 1024.0;
    return true;
}

static void print_table(const struct bench *b, const struct summary *s) {
    const struct bench_options *o = b->options;
    printf("model                 %s\n", o->session.model_path);
    const uint32_t threads = cria_ctx_threads(b->session.ctx);
    printf("computed with         %" PRIu32 " thread%s, %s, activations %s, kv %s\n", threads, threads == 1 ? "" : "s",
           cria_ctx_isa(b->session.ctx), o->session.activations, o->session.kv);
    printf("load                  %10.3f s\n", b->session.load_seconds);
    printf("peak memory           %10.1f MiB\n", s->peak_mib);
    printf("prompt, %5" PRIu64 " tokens  %10.1f tokens/s\n", o->prompt_tokens, s->prompt_rate);
    printf("new,    %5" PRIu64 " tokens  %10.1f tokens/s\n", o->new_tokens, s->new_rate);
}

static void print_json_text(const char *text) {
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void print_json(const struct bench *b, const struct summary *s) {
    const struct bench_options *o = b->options;
    printf("{\"model\": ");
    print_json_text(o->session.model_path);
    printf(", \"version\": \"%s\", \"format\": \"%s\", \"parameters\": %" PRIu64 ", \"threads\": %" PRIu32
           ", \"isa\": \"%s\", \"activations\": \"%s\", \"kv\": \"%s\"",
           cria_version(), b->session.info.format, b->session.info.n_params, cria_ctx_threads(b->session.ctx),
           cria_ctx_isa(b->session.ctx), o->session.activations, o->session.kv);
    printf(", \"load_seconds\": %.6f, \"peak_memory_mib\": %.1f, \"prompt_tokens\": %" PRIu64
           ", \"new_tokens\": %" PRIu64 ", \"prompt_tokens_per_second\": %.2f, \"new_tokens_per_second\": %.2f"
           ", \"runs\": [",
           b->session.load_seconds, s->peak_mib, o->prompt_tokens, o->new_tokens, s->prompt_rate, s->new_rate);
    for (size_t i = 0; i < o->repeat; i++)
        printf("%s{\"prompt_seconds\": %.6f, \"new_seconds\": %.6f}", i ? ", " : "", b->runs[i].prompt_seconds,
               b->runs[i].new_seconds);
    printf("]}\n");
}

/* All runs, the first of which only warms up: pages are read, threads are awake. */
static bool measure(struct bench *b, cria_error *err) {
    const struct bench_options *o = b->options;
    struct run warm_up;
    if (run_once(b, o->prompt_tokens < 32 ? (size_t)o->prompt_tokens : 32, 2, &warm_up, err) != CRIA_OK) return false;
    struct progress bar;
    progress_start(&bar, "Measuring", o->session.quiet);
    bool ok = true;
    for (size_t i = 0; i < o->repeat && ok; i++) {
        progress_update(&bar, i, o->repeat);
        ok = run_once(b, (size_t)o->prompt_tokens, (size_t)o->new_tokens, &b->runs[i], err) == CRIA_OK;
    }
    progress_end(&bar);
    return ok;
}

static int bench_session(struct bench *b) {
    const struct bench_options *o = b->options;
    b->rows = malloc((size_t)o->prompt_tokens * sizeof *b->rows);
    b->logits = malloc(b->session.info.vocab_size * sizeof *b->logits);
    b->runs = malloc((size_t)o->repeat * sizeof *b->runs);
    cria_error err;
    if (!b->rows || !b->logits || !b->runs) return complain("Not enough memory for the runs.");
    if (cria_sampler_new(b->session.ctx, NULL, &b->sampler, &err) != CRIA_OK ||
        cria_sequence_new(b->session.engine, &b->sequence, &err) != CRIA_OK || !measure(b, &err))
        return complain("%s", err.msg);
    struct summary s;
    if (!summarize(b, &s)) return complain("Not enough memory for the summary.");
    if (o->json)
        print_json(b, &s);
    else
        print_table(b, &s);
    return EXIT_DONE;
}

int bench_main(int argc, char **argv) {
    struct bench_options o;
    const struct arg_group groups[] = {
        {"Model", session_model_rows, n_session_model_rows, &o.session},
        {"Measurement", rows_of_bench, sizeof rows_of_bench / sizeof *rows_of_bench, &o},
        {"Computation", session_speed_rows, n_session_speed_rows, &o.session},
    };
    const size_t n_groups = sizeof groups / sizeof *groups;
    switch (args_parse(&command, groups, n_groups, argc, argv)) {
    case ARGS_HELP: args_print_help(&command, groups, n_groups); return EXIT_DONE;
    case ARGS_VERSION: return print_version();
    case ARGS_BAD: return EXIT_USAGE;
    case ARGS_RUN: break;
    }
    struct bench b = {.options = &o};
    if (!session_open(&b.session, &o.session)) return EXIT_FAILED;
    const int code = bench_session(&b);
    free(b.runs);
    free(b.logits);
    free(b.rows);
    cria_sequence_free(b.sequence);
    cria_sampler_free(b.sampler);
    session_close(&b.session);
    return code;
}
