/* SPDX-License-Identifier: Apache-2.0 */
/* What a model says to a prompt, on stdout: one text or several, as text or as JSON; what is to be said about it on
 * stderr. */
#ifndef CRIA_CLI_ANSWERS_H
#define CRIA_CLI_ANSWERS_H

#include "args.h"
#include "input.h"
#include "out.h"
#include "sampling.h"
#include "session.h"

struct answers_options {
    uint64_t max_tokens, write_every, n, logprobs, lookup, draft_tokens;
    struct arg_texts stop;
    bool ignore_eos, json;
    const char *prompt_cache; /* a saved prefix; made where it is missing; NULL: none */
};

enum ending { END_DONE, END_INTERRUPTED, END_FAILED };

struct answer; /* one of those to a prompt */

struct answers {
    const struct answers_options *options;
    struct session *session;
    cria_engine *draft; /* of a draft model; NULL: none */
    const cria_tokenizer *tokenizer;
    const char *mark; /* one more stop text; NULL: none */
    uint64_t seed;
    struct answer *each;       /* [options->n] */
    cria_stream **streams;     /* [options->n] theirs */
    cria_stream_event *events; /* [options->n] */
    bool cache_due; /* the prompt is to be saved */
    struct out out;
    double prompt_seconds, seconds;
};

/* False after one line on stderr; answers_fini is due either way. Answer i has the seed of the options + i, and its
 * random numbers go on from prompt to prompt. */
bool answers_init(struct answers *a, const struct answers_options *o, const struct sampling_options *sampling,
                  struct session *session, cria_engine *draft, const char *mark);
void answers_fini(struct answers *a);

/* Answers a prompt. What it shares with the one before is not computed again. END_FAILED after one line on stderr. */
enum ending answers_make(struct answers *a, const struct text *prompt);

#endif
