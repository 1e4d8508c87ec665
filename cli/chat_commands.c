/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of cria chat, lines that begin with a slash. What they say goes to stderr: stdout has answers only. */
#include "chat.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
}

/* A text that somebody else may have written, such as a loaded one: without control characters. */
static void tell_text(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        const unsigned char b = (unsigned char)text[i];
        const bool c1 = b == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0;
        if ((b < 0x20 && b != '\n' && b != '\t') || b == 0x7f)
            tell("^%c", b ^ 0x40);
        else
            tell("%c", c1 ? '?' : b);
        i += c1;
    }
    tell("\n");
}

static bool do_help(struct chat *c, const char *argument);

static bool do_system(struct chat *c, const char *argument) {
    if (*argument && strcmp(argument, "off") != 0) return conversation_set_system(&c->messages, argument);
    if (*argument) return conversation_set_system(&c->messages, NULL);
    if (conversation_has_system(&c->messages))
        tell_text(c->messages.v[0].content.data, c->messages.v[0].content.len);
    else
        tell("There is no system message; /system TEXT sets one.\n");
    return true;
}

static bool do_clear(struct chat *c, const char *argument) {
    (void)argument;
    conversation_cut(&c->messages, conversation_has_system(&c->messages));
    tell("The conversation begins anew.\n");
    return true;
}

static bool do_retry(struct chat *c, const char *argument) {
    (void)argument;
    const size_t question = conversation_last_question(&c->messages);
    if (question == c->messages.n) {
        tell("There is no question to be answered again.\n");
        return true;
    }
    conversation_cut(&c->messages, question + 1);
    return chat_answer(c);
}

static bool do_undo(struct chat *c, const char *argument) {
    (void)argument;
    const size_t question = conversation_last_question(&c->messages);
    if (question == c->messages.n)
        tell("There is no question to be taken back.\n");
    else
        conversation_cut(&c->messages, question);
    return true;
}

static bool do_drop(struct chat *c, const char *argument) {
    char *end;
    const unsigned long n = *argument ? strtoul(argument, &end, 10) : 1;
    if (*argument && (*end || *argument < '1' || *argument > '9'))
        tell("/drop takes how many of the oldest questions are to be forgotten, as in /drop 2.\n");
    else
        tell("%zu forgotten.\n", conversation_drop(&c->messages, n));
    return true;
}

static bool do_save(struct chat *c, const char *argument) {
    if (!*argument)
        tell("/save takes a file.\n");
    else if (conversation_save(&c->messages, argument))
        tell("%zu messages saved in %s.\n", c->messages.n, argument);
    return true;
}

static bool do_load(struct chat *c, const char *argument) {
    if (!*argument)
        tell("/load takes a file.\n");
    else if (conversation_load(&c->messages, argument))
        tell("%zu messages loaded from %s.\n", c->messages.n, argument);
    return true;
}

static bool do_params(struct chat *c, const char *argument) {
    (void)argument;
    for (size_t i = 0; i < n_sampling_rows; i++) {
        const struct arg_option *o = &sampling_rows[i];
        const char *value = (const char *)&c->sampling + o->offset;
        if (o->kind == ARG_WHOLE) tell("%-20s %" PRIu64 "\n", o->name, *(const uint64_t *)(const void *)value);
        if (o->kind == ARG_REAL || o->kind == ARG_SIGNED)
            tell("%-20s %g\n", o->name, *(const double *)(const void *)value);
    }
    tell("%-20s %" PRIu64 "\n", "max-tokens", c->max_tokens);
    return true;
}

static bool do_set(struct chat *c, const char *argument) {
    char name[40];
    const size_t n = strcspn(argument, " =");
    const char *value = argument + n + strspn(argument + n, " =");
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), argument);
    const bool length = strcmp(name, "max-tokens") == 0 || strcmp(name, "max_tokens") == 0;
    static const struct arg_option max_tokens = {.name = "max-tokens", .kind = ARG_WHOLE, .max = CHAT_TOKENS_MAX};
    const struct arg_option *o = length ? &max_tokens : sampling_row(name);
    const struct sampling_options before = c->sampling;
    const uint64_t before_max = c->max_tokens;
    cria_error err;
    bool ok = o != NULL && *value != '\0';
    if (ok) ok = args_set(o, length ? (void *)&c->max_tokens : (void *)&c->sampling, value);
    if (!ok) {
        tell("/set takes the name of a number that /params shows, and its value, as in /set temp 0.7.\n");
    } else if (chat_open_stream(c, &err) != CRIA_OK) {
        tell("%s\n", err.msg);
        c->sampling = before;
        c->max_tokens = before_max;
    }
    return true;
}

static bool do_tokens(struct chat *c, const char *argument) {
    (void)argument;
    tell("context: %zu of %" PRIu32 " tokens\n", c->n_now, cria_engine_context(c->session->engine));
    tell("latest prompt: %zu tokens, %zu of them reused\n", c->n_prompt, c->n_reused);
    tell("so far: %" PRIu64 " tokens answered, %" PRIu64 " of prompts computed, %" PRIu64 " reused\n", c->n_generated,
         c->n_computed, c->n_saved);
    return true;
}

static bool do_quit(struct chat *c, const char *argument) {
    (void)c;
    (void)argument;
    return false;
}

static const struct chat_command {
    const char *name, *argument, *help;
    bool (*run)(struct chat *c, const char *argument); /* false: leave */
    bool changes; /* the messages, whatever their number */
} chat_commands[] = {
    {"help", "", "this list", do_help, false},
    {"system", "[TEXT]", "what the model is told before the conversation; /system off: nothing", do_system, true},
    {"clear", "", "begin the conversation anew", do_clear, false},
    {"retry", "", "answer the last question again", do_retry, false},
    {"undo", "", "take back the last question and its answer", do_undo, false},
    {"drop", "[N]", "forget the oldest N questions and their answers, to make room", do_drop, false},
    {"save", "FILE", "save the conversation as JSON", do_save, false},
    {"load", "FILE", "go on with a conversation that was saved", do_load, true},
    {"params", "", "show how tokens are chosen", do_params, false},
    {"set", "NAME VALUE", "change one of these, as in /set temp 0.7", do_set, false},
    {"tokens", "", "show how long the conversation is, and what was not computed twice", do_tokens, false},
    {"quit", "", "leave, as Ctrl-D does", do_quit, false},
};
enum { N_CHAT_COMMANDS = sizeof chat_commands / sizeof *chat_commands };

static bool do_help(struct chat *c, const char *argument) {
    (void)c;
    (void)argument;
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++) {
        const struct chat_command *k = &chat_commands[i];
        tell("  /%-7s %-11s %s\n", k->name, k->argument, k->help);
    }
    tell("A line that begins with // is a question that begins with /. Alt-Enter, or a backslash at the\n"
         "end of a line, goes on in another line. Ctrl-C stops an answer, Ctrl-D leaves.\n");
    return true;
}

static bool run_and_count(struct chat *c, const struct chat_command *k, const char *argument, bool *failed) {
    const uint64_t before = c->n_generated;
    const size_t n = c->messages.n;
    const bool go_on = k->run(c, argument);
    if (c->n_generated == before && (c->messages.n != n || k->changes)) chat_recount(c);
    *failed = !go_on && k->run != do_quit;
    return go_on;
}

bool chat_command(struct chat *c, char *line, bool *failed) {
    const size_t n = strcspn(line, " \t\n");
    char *argument = line + n + strspn(line + n, " \t\n");
    size_t len = strlen(argument);
    while (len > 0 && strchr(" \t\n", argument[len - 1])) argument[--len] = '\0';
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++)
        if (strlen(chat_commands[i].name) == n && strncmp(line, chat_commands[i].name, n) == 0)
            return run_and_count(c, &chat_commands[i], argument, failed);
    const char *names[N_CHAT_COMMANDS + 1] = {NULL};
    char word[20];
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++) names[i] = chat_commands[i].name;
    snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), line);
    const char *closest = args_closest(word, names);
    tell("There is no command /%s%s%s; /help lists them.\n", word, closest ? "; did you mean /" : "",
         closest ? closest : "");
    return true;
}
