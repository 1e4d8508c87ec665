/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cria generate: the command line of the MLX example llms/llama/llama.py. stdout carries the generated text and one
 * newline per answer, nothing else; everything said about it goes to stderr. MODEL.md lists what differs from the
 * example and why.
 */
#include "commands.h"
#include "fewshot.h"
#include "input.h"
#include "out.h"
#include "progress.h"
#include "sampling.h"
#include "session.h"
#include "term.h"

#include <inttypes.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generate_options {
    const char *prompt, *few_shot;
    uint64_t max_tokens, write_every;
    bool ignore_eos;
    struct sampling_options sampling;
    struct session_options session;
};

#define FIELD(name) offsetof(struct generate_options, name)
#define COUNT_MAX 1000000000u

static const struct arg_option text_rows[] = {
    {.name = "prompt", .kind = ARG_TEXT, .metavar = "TEXT", .def = "In the beginning the Universe was created.",
     .offset = FIELD(prompt), .help = "the text to go on from; - reads it from stdin"},
    {.name = "few-shot", .kind = ARG_TEXT, .metavar = "FILE", .offset = FIELD(few_shot),
     .help = "answer questions instead: each line of stdin takes the place of every {} in FILE, and the answer ends "
             "where the model writes [Instruction]"},
    {.name = "max-tokens", .letter = 'm', .kind = ARG_WHOLE, .metavar = "N", .def = "100", .offset = FIELD(max_tokens),
     .min = 1, .max = COUNT_MAX, .help = "stop after N tokens"},
    {.name = "context", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(session.context),
     .max = 1u << 24,
     .help = "tokens of prompt and text that the model is used with; 0 takes what it was made for, as far as memory "
             "goes"},
    {.name = "ignore-eos", .kind = ARG_FLAG, .offset = FIELD(ignore_eos),
     .help = "go on when the model says that its text has ended"},
    {.name = "write-every", .kind = ARG_WHOLE, .metavar = "N", .def = "1", .offset = FIELD(write_every), .min = 1,
     .max = COUNT_MAX, .help = "write the text out after every N tokens"},
};

static const struct arg_command command = {
    .name = "generate",
    .usage = "Usage: cria [generate] [OPTIONS]",
    .about = "Goes on from a prompt with a Llama-family model. The text goes to stdout, all else to\n"
             "stderr. Ctrl-C ends the text early.",
    .examples = "Examples\n"
                "  cria --model-path model.gguf\n"
                "  cria --model-path model.gguf --prompt \"Once upon a time\" -m 200 --temp 0.8 --seed 1\n"
                "  cria --model-path model.gguf --prompt \"Dear\" --temp 1 --min-p 0.05 --dry-multiplier 0.8\n"
                "  cria --model-path mlx_model --prompt - < letter.txt > answer.txt\n"
                "  cria --model-path mlx_model --few-shot sample_prompt.txt\n"
                "  echo \"Who wrote Hamlet?\" | cria --few-shot sample_prompt.txt --quiet\n",
};

struct generator {
    const struct generate_options *options;
    struct session *session;
    const cria_tokenizer *tokenizer;
    cria_sampler *sampler; /* one for all answers, as MLX's random state is one */
    cria_detok *detok;
    cria_sequence *sequence;
    float *logits; /* [vocab_size] */
    int32_t *ids;  /* [n_ids] prompt of the latest answer; the first n_known of them are in sequence */
    size_t n_ids, n_known;
    struct out out;
};

enum ending { END_LENGTH, END_EOS, END_MARK, END_FULL, END_INTERRUPTED, END_FAILED };

/* What one answer is made with and what is known of it afterwards. */
struct answer {
    bool few_shot;
    struct fewshot_filter filter;
    size_t n_reused, n_generated;
    double prompt_seconds, seconds;
};

/* ---- set-up ---- */

static cria_status make_parts(struct generator *g, cria_error *err) {
    cria_status st = sampling_open(&g->options->sampling, g->session->ctx, g->tokenizer, &g->sampler, err);
    if (st == CRIA_OK) st = cria_detok_new(g->tokenizer, &g->detok, err);
    if (st == CRIA_OK) st = cria_sequence_new(g->session->engine, &g->sequence, err);
    return st;
}

static bool generator_init(struct generator *g, const struct generate_options *o, struct session *s) {
    *g = (struct generator){.options = o, .session = s, .tokenizer = cria_model_tokenizer(s->model)};
    cria_error err;
    if (make_parts(g, &err) != CRIA_OK) {
        complain("%s", err.msg);
        return false;
    }
    g->logits = malloc(s->info.vocab_size * sizeof *g->logits);
    if (!g->logits) complain("Not enough memory for the scores of %u tokens.", (unsigned)s->info.vocab_size);
    return g->logits != NULL;
}

static void generator_fini(struct generator *g) {
    free(g->logits);
    if (g->ids) cria_ids_free(g->tokenizer, g->ids);
    cria_sequence_free(g->sequence);
    cria_detok_free(g->detok);
    cria_sampler_free(g->sampler);
}

/* ---- the prompt ---- */

static size_t common_prefix(const int32_t *a, size_t na, const int32_t *b, size_t nb) {
    size_t n = 0;
    while (n < na && n < nb && a[n] == b[n]) n++;
    return n;
}

/* Encodes the prompt as the model's own library would: SentencePiece never reads control symbols out of a text, the
 * tokenizers of GGUF models do ("<|im_end|>"). What it shares with the latest prompt stays in the sequence; by the
 * library's contract that cannot change a bit. */
static cria_status take_prompt(struct generator *g, const struct text *prompt, struct answer *a, cria_error *err) {
    unsigned flags = CRIA_ENCODE_PLAIN;
    if (cria_tokenizer_add_bos(g->tokenizer) || prompt->len == 0) flags |= CRIA_ENCODE_BOS;
    if (strcmp(g->session->info.format, "gguf") == 0) flags |= CRIA_ENCODE_SPECIAL;
    int32_t *ids;
    size_t n;
    const cria_status st = cria_encode(g->tokenizer, prompt->data, prompt->len, flags, &ids, &n, err);
    if (st != CRIA_OK) return st;
    a->n_reused = common_prefix(ids, n, g->ids, g->n_known);
    if (a->n_reused == n && n > 0) a->n_reused--; /* the last token is computed anew for its logits */
    cria_sequence_truncate(g->sequence, a->n_reused);
    if (g->ids) cria_ids_free(g->tokenizer, g->ids);
    g->ids = ids;
    g->n_ids = n;
    g->n_known = a->n_reused;
    cria_sampler_reset(g->sampler);
    return cria_sampler_accept(g->sampler, ids, n, err);
}

enum { PART_MIN = 16, PART_FIRST = 32, PART_MAX = 512 };

/* The prompt's next part: as many tokens as take about half a second where n took so many seconds. */
static size_t next_part(size_t n, double seconds) {
    const double fits = seconds > 0.0 ? 0.5 * (double)n / seconds : PART_MAX;
    if (fits >= PART_MAX) return PART_MAX;
    return fits > 2 * PART_MIN ? (size_t)fits / PART_MIN * PART_MIN : PART_MIN;
}

/* Runs the model over the prompt, a part at a time so that a bar can be drawn and Ctrl-C heard. The first part is
 * small: how fast this model is on this machine shows only then. */
static enum ending eval_prompt(struct generator *g, cria_error *err) {
    cria_row rows[PART_MAX];
    size_t part = PART_FIRST;
    struct progress bar;
    progress_start(&bar, "Prompt", g->session->quiet);
    cria_status st = CRIA_OK;
    const size_t begin = g->n_known;
    while (g->n_known < g->n_ids && st == CRIA_OK && !term_interrupted()) {
        const size_t at = g->n_known, left = g->n_ids - at, n = left < part ? left : part;
        const double start = clock_now();
        for (size_t i = 0; i < n; i++) rows[i] = (cria_row){g->sequence, g->ids[at + i], at + i + 1 == g->n_ids};
        st = cria_engine_eval(g->session->engine, rows, n, g->logits, err);
        if (st == CRIA_OK) g->n_known += n;
        part = next_part(n, clock_now() - start);
        progress_update(&bar, g->n_known - begin, g->n_ids - begin);
    }
    progress_end(&bar);
    if (st != CRIA_OK) return END_FAILED;
    return g->n_known < g->n_ids ? END_INTERRUPTED : END_LENGTH;
}

/* ---- the text ---- */

/* True when the text ends here, at the mark of the next instruction. */
static bool write_text(struct generator *g, struct answer *a, const char *text, size_t len) {
    if (a->few_shot) return fewshot_filter_write(&a->filter, &g->out, text, len);
    out_write(&g->out, text, len);
    return false;
}

/* Token after token until something ends the text. The logits are those of the prompt's last token. */
static enum ending generate_tokens(struct generator *g, struct answer *a, double start, cria_error *err) {
    const struct generate_options *o = g->options;
    for (;;) {
        int32_t id;
        if (cria_sampler_sample(g->sampler, g->logits, g->session->info.vocab_size, &id, err) != CRIA_OK)
            return END_FAILED;
        if (a->n_generated++ == 0) a->prompt_seconds = clock_now() - start;
        if (cria_tokenizer_is_eog(g->tokenizer, id) && !o->ignore_eos) return END_EOS;

        const char *text;
        size_t len;
        if (cria_detok_push(g->detok, id, &text, &len, err) != CRIA_OK) return END_FAILED;
        if (write_text(g, a, text, len)) return END_MARK;
        if (a->n_generated % o->write_every == 0 && !out_flush(&g->out)) return END_FAILED;
        if (a->n_generated == o->max_tokens) return END_LENGTH;
        if (term_interrupted()) return END_INTERRUPTED;

        const cria_row row = {g->sequence, id, true};
        const cria_status st = cria_engine_eval(g->session->engine, &row, 1, g->logits, err);
        if (st != CRIA_OK) return st == CRIA_EFULL ? END_FULL : END_FAILED;
    }
}

/* The last characters and the newline. False when something could not be written. */
static bool finish_text(struct generator *g, struct answer *a, enum ending ending) {
    const char *text;
    size_t len;
    if (cria_detok_finish(g->detok, &text, &len, NULL) == CRIA_OK && ending != END_MARK) write_text(g, a, text, len);
    fewshot_filter_end(&a->filter, &g->out);
    out_write(&g->out, "\n", 1);
    return out_flush(&g->out);
}

static void say_timing(const struct generator *g, const struct answer *a) {
    const bool quiet = g->session->quiet;
    const size_t n_prompt = g->n_ids - a->n_reused;
    if (a->n_generated == 0) {
        say(quiet, "[INFO] Prompt processing: %.3f s, %zu of %zu tokens\n", a->seconds, g->n_known, g->n_ids);
        return;
    }
    say(quiet, "[INFO] Prompt processing: %.3f s\n[INFO] Full generation: %.3f s\n", a->prompt_seconds, a->seconds);
    say(quiet, "[INFO] %zu prompt token%s", n_prompt, n_prompt == 1 ? "" : "s");
    if (a->prompt_seconds > 0) say(quiet, ", %.1f tokens/s", (double)n_prompt / a->prompt_seconds);
    say(quiet, "; %zu generated", a->n_generated);
    if (a->n_generated > 1 && a->seconds > a->prompt_seconds)
        say(quiet, ", %.1f tokens/s", (double)(a->n_generated - 1) / (a->seconds - a->prompt_seconds));
    say(quiet, "\n");
}

static bool prompt_fits(const struct generator *g) {
    const uint32_t context = cria_engine_context(g->session->engine);
    if (g->n_ids == 0)
        complain("The prompt is empty, and the model has no token to begin a text with; give it some text.");
    else if (g->n_ids > context)
        complain("The prompt has %zu tokens, but the context holds %" PRIu32 "; shorten it, or ask for more with "
                 "--context.", g->n_ids, context);
    else
        return true;
    return false;
}

/* One prompt, one text. Returns how it ended; END_FAILED after one line on stderr. */
static enum ending answer_prompt(struct generator *g, const struct text *prompt, bool few_shot) {
    struct answer a = {.few_shot = few_shot};
    cria_error err = {.code = CRIA_OK};
    if (take_prompt(g, prompt, &a, &err) != CRIA_OK) {
        complain("%s", err.msg);
        return END_FAILED;
    }
    if (!prompt_fits(g)) return END_FAILED;

    const double start = clock_now();
    enum ending ending = eval_prompt(g, &err);
    if (ending == END_LENGTH) ending = generate_tokens(g, &a, start, &err);
    a.seconds = clock_now() - start;

    if (!finish_text(g, &a, ending)) {
        errno = g->out.error;
        complain_unwritten(NULL);
        return END_FAILED;
    }
    if (ending == END_FAILED) {
        complain("%s", err.msg);
        return ending;
    }
    if (!few_shot) say(g->session->quiet, "------\n");
    if (ending == END_FULL) say(g->session->quiet, "[INFO] The text ends here: %s\n", err.msg);
    if (ending == END_INTERRUPTED) say(g->session->quiet, "[INFO] Interrupted.\n");
    say_timing(g, &a);
    return ending;
}

/* ---- the two modes ---- */

static int generate_once(struct generator *g) {
    struct text from_stdin = {NULL, 0};
    struct text prompt = {(char *)g->options->prompt, strlen(g->options->prompt)};
    if (strcmp(g->options->prompt, "-") == 0) {
        if (!input_read_all(NULL, &from_stdin)) return EXIT_FAILED;
        prompt = from_stdin;
        if (prompt.len > 0 && prompt.data[prompt.len - 1] == '\n') prompt.len--; /* echo's, not the prompt's */
    }
    if (!g->session->quiet) {
        fputs("------\n", stderr);
        fwrite(prompt.data, 1, prompt.len, stderr);
        fputc('\n', stderr);
    }
    const enum ending ending = answer_prompt(g, &prompt, false);
    text_free(&from_stdin);
    return ending == END_FAILED ? EXIT_FAILED : EXIT_DONE;
}

/* Ctrl-C ends the answer at hand; at the question, or when nobody sits at a terminal, it ends the program. */
static int answer_questions(struct generator *g, const struct text *examples) {
    const bool asks = term_stdin_is_terminal();
    struct line_reader lines = {0};
    for (;;) {
        if (asks) fputs("Ask a question: ", stderr);
        struct text question;
        const enum line_result read = input_read_line(&lines, &question);
        if (read == LINE_FAILED) return EXIT_FAILED;
        if (read == LINE_NONE) {
            if (asks) fputc('\n', stderr);
            return EXIT_DONE;
        }
        struct text prompt = fewshot_prompt(examples, &question);
        text_free(&question);
        if (!prompt.data) return complain("Not enough memory for the prompt.");
        const enum ending ending = answer_prompt(g, &prompt, true);
        text_free(&prompt);
        if (ending == END_FAILED) return EXIT_FAILED;
        if (term_interrupted()) {
            if (!asks) return EXIT_DONE;
            term_catch_interrupt();
        }
    }
}

static int generate_few_shot(struct generator *g) {
    struct text examples;
    say(g->session->quiet, "[INFO] Loading few-shot examples from: %s\n", g->options->few_shot);
    if (!input_read_all(g->options->few_shot, &examples)) return EXIT_FAILED;
    fewshot_strip(&examples);
    const int code = answer_questions(g, &examples);
    text_free(&examples);
    return code;
}

int generate_main(int argc, char **argv) {
    struct generate_options o = {0};
    const struct arg_group groups[] = {
        {"Model", session_model_rows, n_session_model_rows, &o.session},
        {"Text", text_rows, sizeof text_rows / sizeof *text_rows, &o},
        {"Sampling", sampling_rows, n_sampling_rows, &o.sampling},
        {"Computation", session_speed_rows, n_session_speed_rows, &o.session},
    };
    const size_t n_groups = sizeof groups / sizeof *groups;
    switch (args_parse(&command, groups, n_groups, argc, argv)) {
    case ARGS_HELP: args_print_help(&command, groups, n_groups); return EXIT_DONE;
    case ARGS_VERSION: return print_version();
    case ARGS_BAD: return EXIT_USAGE;
    case ARGS_RUN: break;
    }
    if (!sampling_check(&o.sampling, command.name)) return EXIT_USAGE;
    term_catch_interrupt();
    struct session session;
    if (!session_open(&session, &o.session)) return EXIT_FAILED;
    struct generator g;
    int code = EXIT_FAILED;
    if (generator_init(&g, &o, &session)) code = o.few_shot ? generate_few_shot(&g) : generate_once(&g);
    generator_fini(&g);
    session_close(&session);
    return code;
}
