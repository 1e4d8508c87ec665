/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cria bench: how fast a model loads, reads prompts and writes, each beside what this machine could do at
 * most.
 *
 * For every number of threads: open the model, and run all tests, depth by depth. A depth is evaluated once for each
 * sequence that a test needs; after every repetition the sequences are cut back to it. The limits are measured anew
 * beside every repetition, since on a machine that others use, too, memory may be twice as fast one second as the next:
 * a repetition's share is of what was possible right before and after it.
 */
#include "bench.h"

#include "commands.h"
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 1000000, MOST_SEQUENCES = 512, PREFILL_ROWS = 512 };

/* Seconds for which a measured limit is taken to stay as it is. */
#define SAME_MOMENT 0.1

#define FIELD(name) offsetof(struct bench_options, name)

static const char *const shape_names[] = {"1b", "7b", "8b", NULL};

/* options_agree knows their order. */
static const struct arg_option rows_of_model[] = {
    {.name = "model-path",
     .letter = 'm',
     .kind = ARG_TEXT,
     .metavar = "PATH",
     .def = "mlx_model",
     .offset = FIELD(session.model_path),
     .help = "a folder with weights, config.json and tokenizer, as Hugging Face, mlx-lm or the MLX example "
             "have it, or a .gguf file"},
    {.name = "shape",
     .kind = ARG_CHOICE,
     .metavar = "NAME",
     .offset = FIELD(shape),
     .choices = shape_names,
     .help = "instead of a file a random model of the shape of TinyLlama-1.1B (1b), Llama-2-7B (7b) or "
             "Llama-3-8B (8b)"},
    {.name = "quantization",
     .kind = ARG_TEXT,
     .metavar = "NAME",
     .def = "q4_0",
     .offset = FIELD(quantization),
     .help = "of the random model: f32, f16, bf16, q4_0, q4_1, q8_0, affine4-g64, mxfp4 and so on; a name "
             "that does not "
             "exist lists all"},
};

static const struct arg_option rows_of_tests[] = {
    {.name = "prompt-tokens",
     .letter = 'p',
     .kind = ARG_LIST,
     .metavar = "N,...",
     .def = "512",
     .offset = FIELD(prompt_tokens),
     .max = MOST_TOKENS,
     .help = "tests pp: tokens of a prompt; 0 for none"},
    {.name = "new-tokens",
     .letter = 'n',
     .kind = ARG_LIST,
     .metavar = "N,...",
     .def = "64",
     .offset = FIELD(new_tokens),
     .max = MOST_TOKENS,
     .help = "tests tg: tokens generated one by one; 0 for none"},
    {.name = "depths",
     .letter = 'd',
     .kind = ARG_LIST,
     .metavar = "N,...",
     .def = "0",
     .offset = FIELD(depths),
     .max = MOST_TOKENS,
     .help = "tokens that are there before each test"},
    {.name = "batch",
     .letter = 'b',
     .kind = ARG_LIST,
     .metavar = "N,...",
     .def = "1",
     .offset = FIELD(batch),
     .min = 1,
     .max = MOST_SEQUENCES,
     .help = "sequences that tests tg generate side by side; their tokens are added up"},
    {.name = "threads",
     .letter = 't',
     .kind = ARG_LIST,
     .metavar = "N,...",
     .def = "0",
     .offset = FIELD(threads),
     .max = 1024,
     .help = "how many threads compute; 0 takes what the processor and its quota allow"},
    {.name = "repeat",
     .letter = 'r',
     .kind = ARG_WHOLE,
     .metavar = "N",
     .def = "3",
     .offset = FIELD(repeat),
     .min = 1,
     .max = 1000,
     .help = "repetitions of each test; medians are shown, and the fastest less the slowest as spread"},
    {.name = "csv", .kind = ARG_FLAG, .offset = FIELD(csv), .help = "print a line of CSV for each test"},
    {.name = "json", .kind = ARG_FLAG, .offset = FIELD(json), .help = "print one JSON object"},
};

static const struct arg_command command = {
    .name = "bench",
    .usage = "Usage: cria bench [OPTIONS]",
    .about = "Measures a model on this machine: tokens per second of prompts (pp) and of generation (tg), "
             "seconds to\n"
             "load it, peak memory. Each speed is also shown as a share of what the machine can do at most: "
             "of its\n"
             "int8 or float32 multiply-adds, or of its reading memory, measured in the same run.",
    .examples = "Examples\n"
                "  cria bench -m model.gguf\n"
                "  cria bench -m model.gguf -p 512,4096 -n 64 -d 0,4096 -b 1,8,32 -t 2 -r 5 --json\n"
                "  cria bench --shape 7b --quantization affine4-g64\n",
};

/* What is running. */
struct runner {
    struct bench *b;
    struct session session;
    cria_sequence *sequences[MOST_SEQUENCES];
    size_t n_sequences;
    cria_row *rows;  /* [most rows of a call] */
    float *logits;   /* [n_sequences][vocabulary] */
    double *seconds;     /* [repeat] */
    double *shares;      /* [repeat] */
    cria_limits *limits; /* [repeat + 1]: before each repetition, and after the last */
    cria_limits measured; /* last, at this time; 0: never */
    double measured_at;
    struct progress bar;
    cria_error err;
};

static uint64_t largest(const struct arg_list *l) {
    uint64_t most = 0;
    for (size_t i = 0; i < l->n; i++) most = l->v[i] > most ? l->v[i] : most;
    return most;
}

/* ---- tests ---- */

/* Arbitrary tokens, spread over the vocabulary: the time does not depend on which. */
static int32_t token_at(uint64_t i, uint32_t vocab) { return (int32_t)((i * 7919 + 17) % vocab); }

/* The next n tokens of one sequence in one call. */
static cria_status eval_prompt(struct runner *r, cria_sequence *s, size_t n, bool want_logits) {
    const size_t length = cria_sequence_length(s);
    for (size_t i = 0; i < n; i++)
        r->rows[i] =
            (cria_row){s, token_at(length + i, r->session.info.vocab_size), want_logits && i + 1 == n};
    return cria_engine_eval(r->session.engine, r->rows, n, r->logits, &r->err);
}

/* One more token for each of n sequences. */
static cria_status eval_step(struct runner *r, size_t n, uint64_t step) {
    for (size_t i = 0; i < n; i++)
        r->rows[i] = (cria_row){r->sequences[i], token_at(step * n + i, r->session.info.vocab_size), true};
    return cria_engine_eval(r->session.engine, r->rows, n, r->logits, &r->err);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n) { /* sorts x */
    qsort(x, n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static void take_better(cria_limits *best, const cria_limits *now) {
    if (now->read_bytes > best->read_bytes) best->read_bytes = now->read_bytes;
    if (now->f32_ops > best->f32_ops) best->f32_ops = now->f32_ops;
    if (now->int8_ops > best->int8_ops) best->int8_ops = now->int8_ops;
}

static void note_peak(struct bench *b) {
    const double peak = bench_peak_bytes();
    if (peak > b->peak_bytes) b->peak_bytes = peak;
}

/* What was measured a moment ago, after the test before, is as good for the next one. Peak memory is without the
 * memory that measuring takes. */
static cria_status measure_limits(struct runner *r, cria_limits *now) {
    if (r->measured_at == 0 || clock_now() - r->measured_at > SAME_MOMENT) {
        note_peak(r->b);
        const cria_status st = cria_ctx_measure(r->session.ctx, &r->measured, &r->err);
        if (st != CRIA_OK) return st;
        bench_reset_peak();
        take_better(&r->b->limits[r->b->n_limits - 1].best, &r->measured);
        r->measured_at = clock_now();
    }
    *now = r->measured;
    return CRIA_OK;
}

/* The least seconds that work takes at these limits, and which one binds it: "read", "int8" or "f32". */
static double least_seconds(const cria_work *w, const cria_limits *l, const char **binds) {
    const double read = (double)w->read_bytes / l->read_bytes;
    const double int8 = 2 * (double)w->int8_multiply_adds / l->int8_ops;
    const double f32 = 2 * (double)w->f32_multiply_adds / l->f32_ops;
    /* Multiply-adds of both kinds are done by the same units, one after the other; reading goes on meanwhile. */
    *binds = read > int8 + f32 ? "read" : int8 > f32 ? "int8" : "f32";
    return read > int8 + f32 ? read : int8 + f32;
}

/* From r->seconds and r->limits. */
static void add_result(struct runner *r, const char *test, uint64_t tokens, const cria_work *work) {
    struct bench *b = r->b;
    const size_t n = (size_t)b->options->repeat;
    struct bench_result *out = &b->results[b->n_results++];
    *out = (struct bench_result){.limits = b->n_limits - 1};
    snprintf(out->test, sizeof out->test, "%s", test);
    for (size_t i = 0; i < n; i++) {
        cria_limits beside = r->limits[i];
        take_better(&beside, &r->limits[i + 1]);
        r->shares[i] = 100 * least_seconds(work, &beside, &out->limit) / r->seconds[i];
        r->seconds[i] = (double)tokens / r->seconds[i];
    }
    least_seconds(work, &b->limits[b->n_limits - 1].best, &out->limit);
    out->percent_of_limit = median(r->shares, n);
    out->tokens_per_second = median(r->seconds, n);
    out->spread = r->seconds[n - 1] - r->seconds[0];
}

static void name_test(char *out, size_t size, const char *kind, uint64_t n, uint64_t batch, uint64_t depth) {
    size_t at = (size_t)snprintf(out, size, "%s%" PRIu64, kind, n);
    if (batch > 1) at += (size_t)snprintf(out + at, size - at, " x%" PRIu64, batch);
    if (depth > 0) snprintf(out + at, size - at, " @ d%" PRIu64, depth);
}

/* Every sequence that a test needs, at the depth. */
static cria_status go_to_depth(struct runner *r, size_t n, uint64_t depth) {
    char what[64];
    uint64_t done = 0;
    cria_status st = CRIA_OK;
    snprintf(what, sizeof what, "to depth %" PRIu64, depth);
    progress_start(&r->bar, what, r->session.quiet);
    for (size_t i = 0; i < n && st == CRIA_OK; i++) {
        cria_sequence_truncate(r->sequences[i], (size_t)depth);
        for (uint64_t at; st == CRIA_OK && (at = cria_sequence_length(r->sequences[i])) < depth;) {
            progress_update(&r->bar, i * depth + at, n * depth);
            done = depth - at < PREFILL_ROWS ? depth - at : PREFILL_ROWS;
            st = eval_prompt(r, r->sequences[i], (size_t)done, false);
        }
    }
    progress_end(&r->bar);
    return st;
}

static cria_status test_prompt(struct runner *r, uint64_t n, uint64_t depth) {
    const uint64_t repeat = r->b->options->repeat;
    char test[64];
    name_test(test, sizeof test, "pp", n, 1, depth);
    progress_start(&r->bar, test, r->session.quiet);
    cria_status st = CRIA_OK;
    for (uint64_t i = 0; i < repeat && st == CRIA_OK; i++) {
        progress_update(&r->bar, i, repeat);
        if ((st = measure_limits(r, &r->limits[i])) != CRIA_OK) break;
        const double start = clock_now();
        st = eval_prompt(r, r->sequences[0], (size_t)n, true);
        r->seconds[i] = clock_now() - start;
        cria_sequence_truncate(r->sequences[0], (size_t)depth);
    }
    progress_end(&r->bar);
    if (st == CRIA_OK) st = measure_limits(r, &r->limits[repeat]);
    if (st != CRIA_OK) return st;
    cria_work work;
    cria_engine_get_work(r->session.engine, 1, depth, n, &work);
    add_result(r, test, n, &work);
    return CRIA_OK;
}

static cria_status test_generation(struct runner *r, uint64_t n, uint64_t batch, uint64_t depth) {
    const uint64_t repeat = r->b->options->repeat;
    char test[64];
    name_test(test, sizeof test, "tg", n, batch, depth);
    progress_start(&r->bar, test, r->session.quiet);
    cria_status st = CRIA_OK;
    for (uint64_t i = 0; i < repeat && st == CRIA_OK; i++) {
        if ((st = measure_limits(r, &r->limits[i])) != CRIA_OK) break;
        const double start = clock_now();
        for (uint64_t step = 0; step < n && st == CRIA_OK; step++) {
            progress_update(&r->bar, i * n + step, repeat * n);
            st = eval_step(r, (size_t)batch, step);
        }
        r->seconds[i] = clock_now() - start;
        for (size_t j = 0; j < batch; j++) cria_sequence_truncate(r->sequences[j], (size_t)depth);
    }
    progress_end(&r->bar);
    if (st == CRIA_OK) st = measure_limits(r, &r->limits[repeat]);
    if (st != CRIA_OK) return st;
    cria_work work = {0};
    for (uint64_t step = 0; step < n; step++) {
        cria_work one;
        cria_engine_get_work(r->session.engine, batch, depth + step, 1, &one);
        work.int8_multiply_adds += one.int8_multiply_adds;
        work.f32_multiply_adds += one.f32_multiply_adds;
        work.read_bytes += one.read_bytes;
    }
    add_result(r, test, n * batch, &work);
    return CRIA_OK;
}

static cria_status run_depth(struct runner *r, uint64_t depth) {
    const struct bench_options *o = r->b->options;
    cria_status st = go_to_depth(r, 1, depth);
    for (size_t i = 0; i < o->prompt_tokens.n && st == CRIA_OK; i++)
        if (o->prompt_tokens.v[i] > 0) st = test_prompt(r, o->prompt_tokens.v[i], depth);
    if (largest(&o->new_tokens) == 0) return st;
    for (size_t j = 0; j < o->batch.n && st == CRIA_OK; j++) {
        st = go_to_depth(r, (size_t)o->batch.v[j], depth);
        for (size_t i = 0; i < o->new_tokens.n && st == CRIA_OK; i++)
            if (o->new_tokens.v[i] > 0) st = test_generation(r, o->new_tokens.v[i], o->batch.v[j], depth);
    }
    return st;
}

/* Pages are touched, threads are awake; nothing is measured. */
static cria_status warm_up(struct runner *r) {
    cria_status st = eval_prompt(r, r->sequences[0], 1, true);
    if (st == CRIA_OK) st = eval_step(r, 1, 0);
    cria_sequence_truncate(r->sequences[0], 0);
    return st;
}

static cria_status run_tests(struct runner *r) {
    const struct bench_options *o = r->b->options;
    cria_status st = warm_up(r);
    for (size_t i = 0; i < o->depths.n && st == CRIA_OK; i++) st = run_depth(r, o->depths.v[i]);
    return st;
}

/* ---- one number of threads ---- */

static bool open_model(struct runner *r, bool measured) {
    const struct bench_options *o = r->b->options;
    if (o->shape)
        say(r->session.quiet, "[INFO] Making a random %s model, %s.\n", o->shape, o->quantization);
    else
        say(r->session.quiet, "[INFO] Loading model from %s.\n", o->session.model_path);
    if (!o->shape && measured) return bench_measure_load(&r->session, o, &r->b->load);
    return bench_open_model(&r->session, o, &r->b->load);
}

/* The model's context must hold the longest test. */
static bool context_is_enough(const struct bench_options *o, uint32_t context) {
    const uint64_t pp = largest(&o->prompt_tokens), tg = largest(&o->new_tokens), depth = largest(&o->depths);
    const uint64_t most = depth + (pp > tg ? pp : tg);
    if (context == 0 || most <= context) return true;
    complain("The longest test, %" PRIu64 " tokens at a depth of %" PRIu64
             ", does not fit in the model's context of "
             "%" PRIu32 " tokens; give less with -p, -n or -d.",
             pp > tg ? pp : tg, depth, context);
    return false;
}

/* A budget for all sequences at their longest, float32 even: it is memory only where it is used. */
static uint64_t kv_budget(const struct runner *r, uint64_t most) {
    const cria_model_info *m = &r->session.info;
    return 2 * (most + 128) * r->n_sequences * m->n_kv_heads * m->head_dim * m->n_layers * sizeof(float);
}

static bool prepare(struct runner *r) {
    const struct bench_options *o = r->b->options;
    const uint64_t pp = largest(&o->prompt_tokens), tg = largest(&o->new_tokens);
    uint64_t rows = pp > PREFILL_ROWS ? pp : PREFILL_ROWS;
    r->n_sequences = tg > 0 ? (size_t)largest(&o->batch) : 1;
    r->rows = malloc(rows * sizeof *r->rows);
    r->logits = malloc(r->n_sequences * r->session.info.vocab_size * sizeof *r->logits);
    r->seconds = malloc((size_t)o->repeat * sizeof *r->seconds);
    r->shares = malloc((size_t)o->repeat * sizeof *r->shares);
    r->limits = malloc((size_t)(o->repeat + 1) * sizeof *r->limits);
    if (!r->rows || !r->logits || !r->seconds || !r->shares || !r->limits)
        return complain("Not enough memory for the tests."), false;
    const uint64_t budget = kv_budget(r, largest(&o->depths) + (pp > tg ? pp : tg));
    cria_status st = session_open_engine(&r->session, &o->session, budget, &r->err);
    for (size_t i = 0; i < r->n_sequences && st == CRIA_OK; i++)
        st = cria_sequence_new(r->session.engine, &r->sequences[i], &r->err);
    return st == CRIA_OK || (complain("%s", r->err.msg), false);
}

/* All but the context. */
static void finish(struct runner *r) {
    for (size_t i = 0; i < r->n_sequences; i++) {
        cria_sequence_free(r->sequences[i]);
        r->sequences[i] = NULL;
    }
    cria_engine_free(r->session.engine);
    cria_model_free(r->session.model);
    r->session.engine = NULL;
    r->session.model = NULL;
    free(r->limits);
    free(r->shares);
    free(r->seconds);
    free(r->logits);
    free(r->rows);
}

static bool measure_model(struct runner *r, bool first) {
    struct bench *b = r->b;
    bench_reset_peak();
    bool ok = open_model(r, first) && context_is_enough(b->options, r->session.info.context) && prepare(r);
    if (ok && run_tests(r) != CRIA_OK) {
        complain("%s", r->err.msg);
        ok = false;
    }
    note_peak(b);
    b->info = r->session.info;
    finish(r);
    return ok;
}

static bool measure_threads(struct bench *b, uint64_t threads) {
    struct runner r = {.b = b, .session.quiet = b->options->session.quiet};
    struct session_options so = b->options->session;
    so.threads = threads;
    if (session_open_ctx(&r.session, &so, &r.err) != CRIA_OK) return complain("%s", r.err.msg), false;
    snprintf(b->isa, sizeof b->isa, "%s", cria_ctx_isa(r.session.ctx));
    b->limits[b->n_limits++] = (struct bench_limits){.threads = cria_ctx_threads(r.session.ctx)};
    const bool ok = measure_model(&r, b->n_limits == 1);
    session_close(&r.session);
    return ok;
}

/* ---- the command ---- */

/* Names of all quantizations, in the sentence that says that one does not exist. */
static bool quantization_exists(const char *wanted) {
    const char *name;
    for (size_t i = 0; (name = cria_quantization_name(i)) != NULL; i++)
        if (strcmp(name, wanted) == 0) return true;
    fprintf(stderr, "cria: There is no quantization '%s'; there are", wanted);
    for (size_t i = 0; (name = cria_quantization_name(i)) != NULL; i++)
        fprintf(stderr, "%s %s", i ? "," : "", name);
    fprintf(stderr, ". Try 'cria bench --help'.\n");
    return false;
}

/* Options that contradict one another, or would be without effect. A text that was not given is the table's own. */
static bool options_agree(const struct bench_options *o) {
    const bool has_path = o->session.model_path != rows_of_model[0].def;
    const bool has_quantization = o->quantization != rows_of_model[2].def;
    if (o->shape && has_path)
        fputs("cria: --shape makes a model and --model-path names one; give one of the two.", stderr);
    else if (!o->shape && has_quantization)
        fputs("cria: --quantization is of the model that --shape makes; give --shape too.", stderr);
    else if (o->csv && o->json)
        fputs("cria: --csv and --json are two forms of the same; give one of the two.", stderr);
    else
        return true;
    fputs(" Try 'cria bench --help'.\n", stderr);
    return false;
}

static int run(struct bench *b) {
    const struct bench_options *o = b->options;
    const size_t per_depth = o->prompt_tokens.n + o->new_tokens.n * o->batch.n;
    b->results = malloc(o->threads.n * o->depths.n * per_depth * sizeof *b->results);
    if (!b->results) return complain("Not enough memory for the results.");
    bench_find_processor(b->processor, sizeof b->processor);
    for (size_t i = 0; i < o->threads.n; i++)
        if (!measure_threads(b, o->threads.v[i])) return EXIT_FAILED;
    if (o->json)
        bench_print_json(b);
    else if (o->csv)
        bench_print_csv(b);
    else
        bench_print_table(b);
    return EXIT_DONE;
}

int bench_main(int argc, char **argv) {
    struct bench_options o = {0};
    const struct arg_group groups[] = {
        {"Model", rows_of_model, sizeof rows_of_model / sizeof *rows_of_model, &o},
        {"Measurement", rows_of_tests, sizeof rows_of_tests / sizeof *rows_of_tests, &o},
        {"Computation", session_speed_rows + 1, n_session_speed_rows - 1, &o.session},
    };
    const size_t n_groups = sizeof groups / sizeof *groups;
    int code;
    if (!command_begins(&command, groups, n_groups, argc, argv, &code)) return code;
    if (!options_agree(&o)) return EXIT_USAGE;
    if (o.shape && !quantization_exists(o.quantization)) return EXIT_USAGE;
    if (!o.shape && !session_model_is_there(o.session.model_path)) return EXIT_FAILED;
    struct bench b = {.options = &o};
    code = run(&b);
    free(b.results);
    return code;
}
