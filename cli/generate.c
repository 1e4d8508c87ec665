/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cria generate: the command line of the MLX example llms/llama/llama.py. stdout carries the generated text and one
 * newline per answer, nothing else; everything said about it goes to stderr. MODEL.md lists what differs from the
 * example and why.
 */
#include "answers.h"
#include "commands.h"
#include "fewshot.h"
#include "term.h"

#include <stdio.h>
#include <string.h>

struct generate_options {
    const char *prompt, *few_shot;
    const char *draft_model;
    struct answers_options answers;
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
    {.name = "max-tokens", .letter = 'm', .kind = ARG_WHOLE, .metavar = "N", .def = "100",
     .offset = FIELD(answers.max_tokens), .min = 1, .max = COUNT_MAX, .help = "stop after N tokens"},
    {.name = "context", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(session.context),
     .max = 1u << 24,
     .help = "tokens of prompt and text that the model is used with; 0 takes what it was made for, as far as memory "
             "goes"},
    {.name = "ignore-eos", .kind = ARG_FLAG, .offset = FIELD(answers.ignore_eos),
     .help = "go on when the model says that its text has ended"},
    {.name = "write-every", .kind = ARG_WHOLE, .metavar = "N", .def = "1",
     .offset = FIELD(answers.write_every), .min = 1, .max = COUNT_MAX,
     .help = "write the text out after every N tokens"},
    {.name = "stop", .kind = ARG_TEXTS, .metavar = "TEXT", .offset = FIELD(answers.stop),
     .help = "end where TEXT appears, which is not written. May be given several times"},
    {.name = "answers", .letter = 'n', .kind = ARG_WHOLE, .metavar = "N", .def = "1", .offset = FIELD(answers.n),
     .min = 1, .max = 256,
     .help = "write N texts, one after another, computed side by side; the prompt is computed once. The seeds are "
             "--seed, --seed + 1 ..."},
    {.name = "lookup", .kind = ARG_WHOLE, .metavar = "N", .def = "16", .offset = FIELD(answers.lookup), .max = 64,
     .help = "where the text repeats what was there before, guess up to N tokens at once and check them in one pass "
             "of the model, as far as that is faster; the text is the same. 0: never"},
    {.name = "draft-model", .kind = ARG_TEXT, .metavar = "PATH", .offset = FIELD(draft_model),
     .help = "a smaller model with the same vocabulary that guesses tokens, which this one checks; the text is the "
             "same"},
    {.name = "draft", .kind = ARG_WHOLE, .metavar = "N", .def = "8", .offset = FIELD(answers.draft_tokens), .min = 1,
     .max = 64, .help = "guess at most N tokens at once with --draft-model"},
    {.name = "prompt-cache", .kind = ARG_TEXT, .metavar = "FILE", .offset = FIELD(answers.prompt_cache),
     .help = "keep what was computed of the prompt in FILE; where FILE is there, what a prompt has in common with its "
             "text is not computed again"},
    {.name = "json", .kind = ARG_FLAG, .offset = FIELD(answers.json),
     .help = "write a line of JSON for each prompt instead: the texts, their tokens, how they ended, times"},
    {.name = "logprobs", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(answers.logprobs), .max = 1000,
     .help = "in the JSON, with each token its log probability and those of the N likeliest"},
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

/* ---- the two modes ---- */

static int generate_once(struct answers *a, const struct generate_options *o) {
    struct text from_stdin = {NULL, 0};
    struct text prompt = {(char *)o->prompt, strlen(o->prompt)};
    if (strcmp(o->prompt, "-") == 0) {
        if (!input_read_all(NULL, &from_stdin)) return EXIT_FAILED;
        prompt = from_stdin;
        if (prompt.len > 0 && prompt.data[prompt.len - 1] == '\n') prompt.len--; /* echo's, not the prompt's */
    }
    const bool quiet = a->session->quiet;
    if (!quiet) {
        fputs("------\n", stderr);
        fwrite(prompt.data, 1, prompt.len, stderr);
        fputc('\n', stderr);
    }
    const enum ending ending = answers_make(a, &prompt);
    text_free(&from_stdin);
    return ending == END_FAILED ? EXIT_FAILED : EXIT_DONE;
}

/* Ctrl-C ends the answer at hand; at the question, or when nobody sits at a terminal, it ends the program. */
static int answer_questions(struct answers *a, const struct text *examples) {
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
        const enum ending ending = answers_make(a, &prompt);
        text_free(&prompt);
        if (ending == END_FAILED) return EXIT_FAILED;
        if (term_interrupted()) {
            if (!asks) return EXIT_DONE;
            term_catch_interrupt();
        }
    }
}

static int generate_few_shot(struct answers *a, const struct generate_options *o) {
    struct text examples;
    say(a->session->quiet, "[INFO] Loading few-shot examples from: %s\n", o->few_shot);
    if (!input_read_all(o->few_shot, &examples)) return EXIT_FAILED;
    fewshot_strip(&examples);
    const int code = answer_questions(a, &examples);
    text_free(&examples);
    return code;
}

static int generate(const struct generate_options *o, struct session *session, cria_engine *draft) {
    struct answers answers;
    struct sampling_options sampling = o->sampling;
    int code = EXIT_FAILED;
    if (!sampling_choose(&sampling, SAMPLING_GENERATE, session->model, session->quiet)) return code;
    /* The mark that the next instruction begins with in the example's prompt. */
    if (answers_init(&answers, &o->answers, &sampling, session, draft, o->few_shot ? "[Instruction]" : NULL))
        code = o->few_shot ? generate_few_shot(&answers, o) : generate_once(&answers, o);
    answers_fini(&answers);
    return code;
}

int generate_main(int argc, char **argv) {
    struct generate_options o = {0};
    struct arg_option sampling[SAMPLING_ROWS_MAX];
    const size_t n_sampling = sampling_rows_open(sampling, SAMPLING_GENERATE);
    const struct arg_group groups[] = {
        {"Model", session_model_rows, n_session_model_rows, &o.session},
        {"Text", text_rows, sizeof text_rows / sizeof *text_rows, &o},
        {"Sampling", sampling, n_sampling, &o.sampling},
        {"Computation", session_speed_rows, n_session_speed_rows, &o.session},
    };
    const size_t n_groups = sizeof groups / sizeof *groups;
    int code;
    if (!command_begins(&command, groups, n_groups, argc, argv, &code)) return code;
    if (!sampling_check(&o.sampling, SAMPLING_GENERATE, command.name)) return EXIT_USAGE;
    if (o.answers.logprobs > 0 && !o.answers.json) {
        complain("--logprobs is for --json, which prints them. Try 'cria generate --help'.");
        return EXIT_USAGE;
    }
    term_catch_interrupt();
    struct session session, draft = {0};
    if (!session_open(&session, &o.session)) return EXIT_FAILED;
    code = EXIT_FAILED;
    if (!o.draft_model || session_open_draft(&draft, &session, &o.session, o.draft_model))
        code = generate(&o, &session, draft.engine);
    session_close(&draft);
    session_close(&session);
    return code;
}
