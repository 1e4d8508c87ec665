/* SPDX-License-Identifier: Apache-2.0 */
/* The options of how a token is chosen, shared by the subcommands that generate text. */
#ifndef CRIA_CLI_SAMPLING_H
#define CRIA_CLI_SAMPLING_H

#include "args.h"
#include "cria/cria.h"

struct sampling_options {
    double temp, dynatemp_range, dynatemp_exponent;
    uint64_t seed, skip_draws;
    const char *samplers;
    struct arg_texts logit_bias; /* "ID=BIAS" */
    uint64_t repeat_last_n;
    double repeat_penalty, presence_penalty, frequency_penalty;
    uint64_t dry_allowed_length, dry_last_n;
    double dry_multiplier, dry_base;
    uint64_t top_k;
    double top_n_sigma, typical, top_p, min_p, xtc_probability, xtc_threshold;
    double mirostat_tau, mirostat_eta;
};
extern const struct arg_option sampling_rows[];
extern const size_t n_sampling_rows;

/* Who asks: chat takes what the model's makers say (generation_config.json), or else what serves for a conversation;
 * generate takes it for what --temp does not decide, and begins where the MLX example does: always the likeliest. */
enum sampling_manner { SAMPLING_CHAT, SAMPLING_GENERATE };

/* The same rows with those options open, without a default, that the model may speak of, and chat's seed.
 * rows[SAMPLING_ROWS_MAX]; returns how many there are. */
enum { SAMPLING_ROWS_MAX = 40 };
size_t sampling_rows_open(struct arg_option *rows, enum sampling_manner manner);
/* Puts values where the user gave none, chat's seed apart; what the model suggests is said. False after a line on
 * stderr. */
bool sampling_choose(struct sampling_options *o, enum sampling_manner manner, const cria_model *model, bool quiet);
/* The row of a name as on the command line, or with '_' in it; NULL: there is none. */
const struct arg_option *sampling_row(const char *name);

/* Whether a sampler can be made of them; if not, a line on stderr. Takes no time, so that it can come before a model is
 * loaded. */
bool sampling_check(const struct sampling_options *o, enum sampling_manner manner, const char *command);
/* Where DRY is on, tokens with a line's end, a colon, a quotation mark or an asterisk in their text break
 * repetitions. */
cria_status sampling_open(const struct sampling_options *o, cria_ctx *ctx, const cria_tokenizer *tokenizer,
                          cria_sampler **out, cria_error *err);

#endif
