/* SPDX-License-Identifier: Apache-2.0 */
/* What cria chat is made of: chat.c has the options and the loop, chat_answer.c the prompt and the answer,
 * chat_commands.c the commands. */
#ifndef CRIA_CLI_CHAT_H
#define CRIA_CLI_CHAT_H

#include "answerout.h"
#include "conversation.h"
#include "known.h"
#include "lineedit.h"
#include "sampling.h"
#include "session.h"

struct chat_options {
    const char *model; /* the operand; NULL: session.model_path */
    const char *system, *template_file;
    bool no_template;
    struct arg_texts template_args, stop;
    uint64_t max_tokens, lookup;
    struct sampling_options sampling;
    struct session_options session;
};

struct chat {
    const struct chat_options *options;
    struct session *session;
    struct sampling_options sampling;
    uint64_t max_tokens;
    const cria_tokenizer *tokenizer;
    cria_chat_template *template; /* NULL with --no-template */
    cria_template_time now;       /* of the program's start, so that a date in the prompt does not change it */
    struct text arguments;        /* of --template-arg: members of an object, each with a comma before it */
    cria_sampler *sampler;
    cria_sequence *sequence;
    cria_stream *stream;
    struct conversation messages;
    struct known known;
    struct lineedit *lines;
    struct answerout out;
    bool status;        /* a line after each answer */
    bool colours;       /* on stderr */
    size_t n_now;              /* tokens of the conversation */
    size_t n_reused, n_prompt; /* of the latest answer */
    uint64_t n_generated, n_computed, n_saved; /* of the whole session: answered; prompt tokens computed and reused */
};

enum { CHAT_TOKENS_MAX = 1000000000 }; /* of --max-tokens */

/* A sampler and a stream as c->sampling and c->max_tokens are now. On failure the old ones stay. */
cria_status chat_open_stream(struct chat *c, cria_error *err);

/* Answers what is asked last. False when the program cannot go on. */
bool chat_answer(struct chat *c);
/* After the messages were changed otherwise: about how many tokens they are. */
void chat_recount(struct chat *c);

/* line: without the slash; it is changed. False: leave, which *failed says is for a failure. */
bool chat_command(struct chat *c, char *line, bool *failed);

#endif
