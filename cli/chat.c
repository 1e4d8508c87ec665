/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cria chat: a conversation with a model through its own chat template. stdout carries the answers and nothing else;
 * all about them goes to stderr. What the user types is lineedit.c's, the messages are conversation.c's, the tokens so
 * far known.c's; what is done with them is in chat_answer.c and chat_commands.c.
 */
#include "chat.h"

#include "base/json.h"
#include "commands.h"
#include "term.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define FIELD(name) offsetof(struct chat_options, name)

static const struct arg_option operand_rows[] = {
    {.name = "MODEL", .kind = ARG_OPERAND_MAYBE, .offset = FIELD(model), .help = "the same as --model-path"},
};
static const struct arg_option text_rows[] = {
    {.name = "system", .kind = ARG_TEXT, .metavar = "TEXT", .offset = FIELD(system),
     .help = "what the model is told before the conversation"},
    {.name = "max-tokens", .letter = 'm', .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(max_tokens),
     .max = CHAT_TOKENS_MAX, .help = "end an answer after N tokens; 0: where the model ends it"},
    {.name = "stop", .kind = ARG_TEXTS, .metavar = "TEXT", .offset = FIELD(stop),
     .help = "end an answer before this text. May be given several times"},
    {.name = "context", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(session.context),
     .max = 1u << 24,
     .help = "tokens of the conversation that the model is used with; 0 takes what it was made for, as far as memory "
             "goes"},
    {.name = "chat-template", .kind = ARG_TEXT, .metavar = "FILE", .offset = FIELD(template_file),
     .help = "a Jinja template in place of the model's own"},
    {.name = "template-arg", .kind = ARG_TEXTS, .metavar = "NAME=VALUE", .offset = FIELD(template_args),
     .help = "a variable for the template, as in enable_thinking=false; the value is JSON or else a text. May be given "
             "several times"},
    {.name = "lookup", .kind = ARG_WHOLE, .metavar = "N", .def = "16", .offset = FIELD(lookup), .max = 64,
     .help = "guess N tokens at a time from what followed the same words before, and check them together: faster where "
             "a text repeats itself, and the same text; 0: never"},
    {.name = "no-template", .kind = ARG_FLAG, .offset = FIELD(no_template),
     .help = "no template: the model goes on from the bare texts, each on lines of its own"},
};

static const struct arg_command command = {
    .name = "chat",
    .usage = "Usage: cria chat [OPTIONS] [MODEL]",
    .about = "A conversation with a model, through the chat template that it was trained with.\n"
             "What you type is sent with Enter; Alt-Enter, or a backslash at the end of a line,\n"
             "goes on in another line, and what is pasted stays one message. Ctrl-C stops an\n"
             "answer, Ctrl-D leaves. Lines that begin with / are commands, see /help. From a\n"
             "pipe each line is a question; the answers go to stdout.",
    .examples = "Examples\n"
                "  cria chat model.gguf\n"
                "  cria chat mlx_model --system \"Answer in one sentence.\" --temp 0\n"
                "  cria chat model.gguf --template-arg enable_thinking=false\n"
                "  echo \"Who wrote Hamlet?\" | cria chat model.gguf --quiet > answer.txt\n",
};

/* ---- set-up ---- */

static uint64_t random_seed(void) {
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) seed = (uint32_t)time(NULL);
    return seed;
}

static cria_template_time local_time(void) {
    const time_t now = time(NULL);
    struct tm tm;
    return (cria_template_time){now, localtime_r(&now, &tm) ? (int32_t)tm.tm_gmtoff : 0};
}

/* "name=value" of --template-arg as a member of the object of variables. */
static bool add_argument(struct chat *c, const char *argument) {
    const char *equals = strchr(argument, '=');
    const size_t name = equals ? (size_t)(equals - argument) : 0;
    if (name == 0 || strncmp(argument, "messages=", 9) == 0) {
        complain("--template-arg takes NAME=VALUE, not '%s'; messages are the conversation's.", argument);
        return false;
    }
    const char *value = equals + 1;
    cria_json *json = NULL;
    const bool is_json = cria_json_parse(value, strlen(value), argument, &json, NULL) == CRIA_OK;
    cria_json_free(json);
    const bool ok = text_append(&c->arguments, ",", 1) && append_json_text(&c->arguments, argument, name) &&
                    text_append(&c->arguments, ":", 1) &&
                    (is_json ? text_append(&c->arguments, value, strlen(value))
                             : append_json_text(&c->arguments, value, strlen(value)));
    if (!ok) complain("Not enough memory for --template-arg.");
    return ok;
}

static bool open_template(struct chat *c) {
    const struct chat_options *o = c->options;
    cria_error err;
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < o->template_args.n; i++)
        if (!add_argument(c, o->template_args.v[i])) return false;
    if (o->no_template) return true;
    if (o->template_file) {
        struct text t;
        if (!input_read_bytes(o->template_file, &t)) return false;
        st = cria_chat_template_new(c->session->model, t.data, t.len, &c->template, &err);
        text_free(&t);
        if (st == CRIA_OK) return true;
        complain("%s: %s", o->template_file, err.msg);
        return false;
    }
    st = cria_chat_template_open(c->session->model, NULL, &c->template, &err);
    if (st == CRIA_OK) return true;
    complain("%s%s", err.msg, cria_model_chat_template(c->session->model, 0)
                                  ? ""
                                  : " Name a file with --chat-template, or go without: --no-template.");
    return false;
}

cria_status chat_open_stream(struct chat *c, cria_error *err) {
    cria_sampler *sampler = NULL;
    cria_stream *stream = NULL;
    cria_stream_opts opts = cria_stream_opts_default();
    opts.max_tokens = c->max_tokens;
    opts.stop = c->options->stop.v;
    opts.n_stop = c->options->stop.n;
    opts.lookup = (uint32_t)c->options->lookup;
    cria_status st = sampling_open(&c->sampling, c->session->ctx, c->tokenizer, &sampler, err);
    if (st == CRIA_OK) st = cria_stream_new(c->sequence, sampler, &opts, &stream, err);
    if (st != CRIA_OK) {
        cria_sampler_free(sampler);
        return st;
    }
    cria_stream_free(c->stream);
    cria_sampler_free(c->sampler);
    c->stream = stream;
    c->sampler = sampler;
    return CRIA_OK;
}

static bool choose_sampling(struct chat *c) {
    const bool own_seed = c->sampling.seed == UINT64_MAX;
    if (own_seed) c->sampling.seed = random_seed();
    if (!sampling_choose(&c->sampling, SAMPLING_CHAT, c->session->model, c->session->quiet)) return false;
    if (own_seed && c->sampling.temp > 0.0) say(c->session->quiet, "[INFO] Seed: %" PRIu64 ".\n", c->sampling.seed);
    return true;
}

static bool chat_init(struct chat *c, const struct chat_options *o, struct session *s) {
    cria_error err;
    *c = (struct chat){.options = o, .session = s, .sampling = o->sampling, .max_tokens = o->max_tokens};
    c->tokenizer = cria_model_tokenizer(s->model);
    c->now = local_time();
    c->status = !s->quiet && term_can_draw();
    c->colours = term_can_draw() && term_colours();
    answerout_init(&c->out, term_colours());
    if (!open_template(c) || !choose_sampling(c)) return false;
    if (o->system && !conversation_set_system(&c->messages, o->system)) return false;
    cria_status st = cria_sequence_new(s->engine, &c->sequence, &err);
    if (st == CRIA_OK) st = chat_open_stream(c, &err);
    if (st != CRIA_OK) {
        complain("%s", err.msg);
        return false;
    }
    c->lines = lineedit_new(true);
    return c->lines != NULL;
}

static void chat_fini(struct chat *c) {
    lineedit_free(c->lines);
    cria_stream_free(c->stream);
    cria_sampler_free(c->sampler);
    cria_sequence_free(c->sequence);
    cria_chat_template_free(c->template);
    known_free(&c->known);
    conversation_free(&c->messages);
    text_free(&c->arguments);
}

/* ---- the loop ---- */

/* False: leave, which *failed says is for a failure. */
static bool take_input(struct chat *c, struct text *line, bool *failed) {
    char *text = line->data;
    size_t len = line->len;
    if (len > 0 && text[0] == '/') {
        text++;
        len--;
        if (text[0] != '/') return chat_command(c, text, failed);
    }
    if (len == 0 || strspn(text, " \t\n") == len) return true; /* nothing was asked */
    /* Of a question that was not answered nothing is left, so that questions and answers take turns. */
    const size_t last = conversation_last_question(&c->messages);
    if (last + 1 == c->messages.n) conversation_cut(&c->messages, last);
    *failed = !conversation_add(&c->messages, role_user, text, len) || !chat_answer(c);
    return !*failed;
}

static int converse(struct chat *c) {
    struct text line;
    if (lineedit_asks(c->lines)) say(c->session->quiet, "[INFO] /help lists the commands; Ctrl-D leaves.\n");
    for (;;) {
        const enum lineedit_result read = lineedit_read(c->lines, &line);
        if (read == LINEEDIT_FAILED) return EXIT_FAILED;
        if (read == LINEEDIT_END) return EXIT_DONE;
        if (read == LINEEDIT_CLEARED) continue;
        bool failed = false;
        const bool go_on = take_input(c, &line, &failed);
        text_free(&line);
        if (!go_on) return failed && !term_interrupted() ? EXIT_FAILED : EXIT_DONE;
    }
}

int chat_main(int argc, char **argv) {
    struct chat_options o = {0};
    struct arg_option sampling[SAMPLING_ROWS_MAX];
    const size_t n_sampling = sampling_rows_open(sampling, SAMPLING_CHAT);
    const struct arg_group groups[] = {
        {"Model", operand_rows, sizeof operand_rows / sizeof *operand_rows, &o},
        {NULL, session_model_rows, n_session_model_rows, &o.session},
        {"Conversation", text_rows, sizeof text_rows / sizeof *text_rows, &o},
        {"Sampling", sampling, n_sampling, &o.sampling},
        {"Computation", session_speed_rows, n_session_speed_rows, &o.session},
    };
    const size_t n_groups = sizeof groups / sizeof *groups;
    int code;
    if (!command_begins(&command, groups, n_groups, argc, argv, &code)) return code;
    if (o.model) o.session.model_path = o.model;
    if (!sampling_check(&o.sampling, SAMPLING_CHAT, command.name)) return EXIT_USAGE;
    if (o.no_template && (o.template_file || o.template_args.n > 0)) {
        complain("--no-template leaves nothing for --chat-template and --template-arg; give one of them. Try 'cria "
                 "chat --help'.");
        return EXIT_USAGE;
    }
    term_catch_interrupt();
    struct session session;
    if (!session_open(&session, &o.session)) return EXIT_FAILED;
    struct chat *c = calloc(1, sizeof *c);
    code = EXIT_FAILED;
    if (!c)
        complain("Not enough memory for a conversation.");
    else if (chat_init(c, &o, &session))
        code = converse(c);
    if (c) chat_fini(c);
    free(c);
    session_close(&session);
    return code;
}
