/* SPDX-License-Identifier: Apache-2.0 */
#include "sampling.h"

#include "session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(struct sampling_options, name)
#define DRAWS_MAX 1000000000u

const struct arg_option sampling_rows[] = {
    {.name = "temp", .kind = ARG_REAL, .metavar = "T", .def = "0", .offset = FIELD(temp),
     .help = "temperature: 0 always takes the likeliest token, 1 samples as the model was trained, more is wilder"},
    {.name = "seed", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(seed), .max = UINT64_MAX,
     .help = "start of the random numbers; the same seed gives the same text, from the same numbers as in MLX "
             "(llama.py itself: see the next option)"},
    {.name = "skip-draws", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(skip_draws),
     .max = DRAWS_MAX,
     .help = "leave out the first N random keys; 7 x layers + 2 (twice that when quantized) gives the tokens of the "
             "MLX example run as a script, which draws these for first weights"},
    {.name = "top-k", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(top_k), .max = UINT32_MAX,
     .help = "choose among the N likeliest tokens; 0: among all"},
    {.name = "top-p", .kind = ARG_REAL, .metavar = "P", .def = "1", .offset = FIELD(top_p),
     .help = "choose among the likeliest tokens, as few as together have probability P; 1: among all"},
    {.name = "min-p", .kind = ARG_REAL, .metavar = "P", .def = "0", .offset = FIELD(min_p),
     .help = "choose among the tokens that are at least P times as likely as the likeliest; 0: among all"},
    {.name = "typical", .kind = ARG_REAL, .metavar = "P", .def = "1", .offset = FIELD(typical),
     .help = "choose among the tokens that are about as surprising as is to be expected here, as few as together have "
             "probability P; 1: among all"},
    {.name = "top-n-sigma", .kind = ARG_REAL, .metavar = "N", .def = "0", .offset = FIELD(top_n_sigma),
     .help = "choose among the tokens whose score is at most N standard deviations below the best; 0: among all"},
    {.name = "xtc-probability", .kind = ARG_REAL, .metavar = "P", .def = "0", .offset = FIELD(xtc_probability),
     .help = "for more variety, with probability P leave out the most obvious tokens: of those likelier than "
             "--xtc-threshold only the least likely stays"},
    {.name = "xtc-threshold", .kind = ARG_REAL, .metavar = "P", .def = "0.1", .offset = FIELD(xtc_threshold),
     .help = "from which probability on a token is obvious"},
    {.name = "repeat-penalty", .kind = ARG_REAL, .metavar = "X", .def = "1", .offset = FIELD(repeat_penalty),
     .help = "make tokens that have been there less likely: divides their score when it is positive, else multiplies; "
             "1: off"},
    {.name = "presence-penalty", .kind = ARG_SIGNED, .metavar = "X", .def = "0", .offset = FIELD(presence_penalty),
     .help = "take X off the score of tokens that have been there"},
    {.name = "frequency-penalty", .kind = ARG_SIGNED, .metavar = "X", .def = "0", .offset = FIELD(frequency_penalty),
     .help = "take X off the score of a token for each time that it has been there"},
    {.name = "repeat-last-n", .kind = ARG_WHOLE, .metavar = "N", .def = "64", .offset = FIELD(repeat_last_n),
     .max = UINT32_MAX,
     .help = "how many of the last tokens, the prompt's included, these three look at; 0: all"},
    {.name = "dry-multiplier", .kind = ARG_REAL, .metavar = "X", .def = "0", .offset = FIELD(dry_multiplier),
     .help = "against whole phrases coming again (DRY): take X off the score of a token that would go on with a "
             "repetition, and more the longer it is; 0: off, 0.8 is usual"},
    {.name = "dry-base", .kind = ARG_REAL, .metavar = "X", .def = "1.75", .offset = FIELD(dry_base),
     .help = "by what that grows with each token of the repetition"},
    {.name = "dry-allowed-length", .kind = ARG_WHOLE, .metavar = "N", .def = "2", .offset = FIELD(dry_allowed_length),
     .max = UINT32_MAX, .help = "repetitions of up to N tokens are free"},
    {.name = "dry-last-n", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(dry_last_n),
     .max = UINT32_MAX, .help = "how many of the last tokens are searched for repetitions; 0: all"},
    {.name = "dynatemp-range", .kind = ARG_REAL, .metavar = "T", .def = "0", .offset = FIELD(dynatemp_range),
     .help = "let the temperature follow how sure the model is: T less than --temp where it is certain, up to T more "
             "where it is at a loss"},
    {.name = "dynatemp-exponent", .kind = ARG_REAL, .metavar = "X", .def = "1", .offset = FIELD(dynatemp_exponent),
     .help = "more than 1 keeps the temperature low for longer, less raises it sooner"},
    {.name = "mirostat-tau", .kind = ARG_REAL, .metavar = "BITS", .def = "0", .offset = FIELD(mirostat_tau),
     .help = "keep the text about so surprising, in bits for each token (Mirostat 2); 0: off, 5 is usual"},
    {.name = "mirostat-eta", .kind = ARG_REAL, .metavar = "X", .def = "0.1", .offset = FIELD(mirostat_eta),
     .help = "how fast Mirostat corrects itself"},
    {.name = "logit-bias", .kind = ARG_TEXTS, .metavar = "ID=BIAS", .offset = FIELD(logit_bias),
     .help = "add BIAS to the score of the token with that ID (see cria tokenize); -inf rules it out. May be given "
             "several times"},
    {.name = "samplers", .kind = ARG_TEXT, .metavar = "ORDER",
     .offset = FIELD(samplers),
     .help = "in which order these are applied, separated by commas; what is not named is not applied, but temp, which "
             "then comes last (default: bias, penalties, dry, top_n_sigma, top_k, typical, top_p, min_p, xtc, temp)"},
};
const size_t n_sampling_rows = sizeof sampling_rows / sizeof *sampling_rows;

/* ---- defaults of the model ---- */

#define TEMP_OF_CHAT 0.7
#define MIN_P_OF_CHAT 0.05

size_t sampling_rows_open(struct arg_option *rows, enum sampling_manner manner) {
    static const struct {
        const char *name, *otherwise[2]; /* by manner; NULL: the option keeps its default */
    } open[] = {
        {"temp", {[SAMPLING_CHAT] = "the model's, or 0.7"}},
        {"seed", {[SAMPLING_CHAT] = "another one each time, which is said"}},
        {"top-k", {"the model's, or 0", "the model's, or 0"}},
        {"top-p", {"the model's, or 1", "the model's, or 1"}},
        {"min-p", {[SAMPLING_CHAT] = "the model's, or 0.05", [SAMPLING_GENERATE] = "the model's, or 0"}},
        {"typical", {"the model's, or 1", "the model's, or 1"}},
        {"repeat-penalty", {"the model's, or 1", "the model's, or 1"}},
        {"repeat-last-n", {"64, or all with a penalty of the model's", "64, or all with a penalty of the model's"}},
    };
    for (size_t i = 0; i < n_sampling_rows; i++) {
        rows[i] = sampling_rows[i];
        for (size_t k = 0; k < sizeof open / sizeof *open; k++) {
            if (!open[k].otherwise[manner] || strcmp(rows[i].name, open[k].name) != 0) continue;
            rows[i].def = NULL;
            rows[i].otherwise = open[k].otherwise[manner];
        }
    }
    return n_sampling_rows;
}

/* The user's value stays; else the model's, which is said; else ours. */
static void suggest(double *value, double model, double ours, const char *name, char *said, size_t size) {
    if (!isnan(*value)) return;
    *value = isnan(model) ? ours : model;
    const size_t n = strlen(said);
    if (!isnan(model)) snprintf(said + n, size - n, "%s%s %g", n ? ", " : "", name, model);
}

/* Puts values where the user gave none: the model's, or ours. What is to be said of that is in room[size] then. */
static void fill(struct sampling_options *o, enum sampling_manner manner, const cria_generation *g, char *room,
                 size_t size) {
    const bool speaks = !isnan(g->temp) || !isnan(g->top_p) || !isnan(g->min_p) || g->top_k != UINT32_MAX;
    const double top_k = g->top_k == UINT32_MAX ? (double)NAN : (double)g->top_k;
    double k = o->top_k == UINT64_MAX ? (double)NAN : (double)o->top_k;
    const bool penalty_open = isnan(o->repeat_penalty);
    room[0] = '\0';
    suggest(&o->temp, g->temp, speaks ? 1.0 : TEMP_OF_CHAT, "temp", room, size);
    suggest(&k, top_k, 0.0, "top-k", room, size);
    suggest(&o->top_p, g->top_p, 1.0, "top-p", room, size);
    suggest(&o->min_p, g->min_p, speaks || manner == SAMPLING_GENERATE ? 0.0 : MIN_P_OF_CHAT, "min-p", room, size);
    suggest(&o->typical, g->typical_p, 1.0, "typical", room, size);
    suggest(&o->repeat_penalty, g->repeat_penalty, 1.0, "repeat-penalty", room, size);
    o->top_k = (uint64_t)k;
    if (o->repeat_last_n == UINT64_MAX) o->repeat_last_n = penalty_open && !isnan(g->repeat_penalty) ? 0 : 64;
}

static const cria_generation silence = {NAN, NAN, NAN, NAN, NAN, UINT32_MAX};

bool sampling_choose(struct sampling_options *o, enum sampling_manner manner, const cria_model *model, bool quiet) {
    cria_generation g = silence;
    cria_error err;
    char room[200];
    /* The likeliest token is what the example takes, whatever the model's makers say of sampling. */
    const bool asks = manner == SAMPLING_CHAT || o->temp > 0.0;
    if (asks && cria_model_get_generation(model, &g, &err) != CRIA_OK) {
        complain("%s", err.msg);
        return false;
    }
    fill(o, manner, &g, room, sizeof room);
    if (*room) say(quiet, "[INFO] Sampling as the model's files suggest: %s.\n", room);
    return true;
}

const struct arg_option *sampling_row(const char *name) {
    for (size_t i = 0; i < n_sampling_rows; i++) {
        const char *a = sampling_rows[i].name, *b = name;
        while (*a && (*a == *b || (*a == '-' && *b == '_'))) a++, b++;
        if (*a == '\0' && *b == '\0') return &sampling_rows[i];
    }
    return NULL;
}

/* ---- bias ---- */

static bool read_bias(const char *text, cria_logit_bias *out) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    const unsigned long long id = strtoull(text, &end, 10);
    if (*end != '=' || end[1] == '\0' || id > INT32_MAX) return false;
    const char *number = end + 1;
    const float bias = strtof(number, &end);
    if (*end != '\0' || isnan(bias) || bias == INFINITY) return false;
    *out = (cria_logit_bias){(int32_t)id, bias};
    return true;
}

/* False, with *bad the text, when one of them is no bias. */
static bool read_biases(const struct arg_texts *texts, cria_logit_bias *out, const char **bad) {
    for (size_t i = 0; i < texts->n; i++)
        if (!read_bias(texts->v[i], &out[i])) {
            *bad = texts->v[i];
            return false;
        }
    return true;
}

/* ---- what breaks repetitions ---- */

struct breakers {
    int32_t *v;
    size_t n;
};

static cria_status find_breakers(const cria_tokenizer *tokenizer, struct breakers *out, cria_error *err) {
    const size_t vocab = cria_tokenizer_vocab_size(tokenizer);
    out->n = 0;
    out->v = malloc((vocab ? vocab : 1) * sizeof *out->v);
    if (!out->v) {
        *err = (cria_error){.code = CRIA_ENOMEM};
        snprintf(err->msg, sizeof err->msg, "Not enough memory for a list of %zu tokens.", vocab);
        return CRIA_ENOMEM;
    }
    for (size_t id = 0; id < vocab; id++) {
        const int32_t token = (int32_t)id;
        char *text;
        size_t len;
        const cria_status st = cria_decode(tokenizer, &token, 1, &text, &len, err);
        if (st != CRIA_OK) return st;
        if (strcspn(text, "\n:\"*") < len) out->v[out->n++] = token;
        cria_text_free(tokenizer, text);
    }
    return CRIA_OK;
}

/* ---- the sampler ---- */

static cria_status make(const struct sampling_options *o, cria_ctx *ctx, const struct breakers *breakers,
                        const cria_logit_bias *bias, cria_sampler **out, cria_error *err) {
    cria_sampler_opts s = cria_sampler_opts_default();
    s.temp = o->temp;
    s.seed = o->seed;
    s.skip = o->skip_draws;
    s.order = o->samplers;
    s.bias = bias;
    s.n_bias = o->logit_bias.n;
    s.penalty_last_n = (uint32_t)o->repeat_last_n;
    s.repeat_penalty = o->repeat_penalty;
    s.presence_penalty = o->presence_penalty;
    s.frequency_penalty = o->frequency_penalty;
    s.dry_multiplier = o->dry_multiplier;
    s.dry_base = o->dry_base;
    s.dry_allowed_length = (uint32_t)o->dry_allowed_length;
    s.dry_last_n = (uint32_t)o->dry_last_n;
    s.dry_breakers = breakers->v;
    s.n_dry_breakers = breakers->n;
    s.top_n_sigma = o->top_n_sigma;
    s.top_k = (uint32_t)o->top_k;
    s.typical_p = o->typical;
    s.top_p = o->top_p;
    s.min_p = o->min_p;
    s.xtc_probability = o->xtc_probability;
    s.xtc_threshold = o->xtc_threshold;
    s.dynatemp_range = o->dynatemp_range;
    s.dynatemp_exponent = o->dynatemp_exponent;
    s.mirostat_tau = o->mirostat_tau;
    s.mirostat_eta = o->mirostat_eta;
    return cria_sampler_new(ctx, &s, out, err);
}

bool sampling_check(const struct sampling_options *o, enum sampling_manner manner, const char *command) {
    const struct breakers none = {NULL, 0};
    cria_logit_bias bias[ARG_TEXTS_MAX];
    const char *bad;
    if (!read_biases(&o->logit_bias, bias, &bad)) {
        complain("--logit-bias takes ID=BIAS, as in 13=-2.5 or 13=-inf, not '%s'. Try 'cria %s --help'.", bad, command);
        return false;
    }
    struct sampling_options filled = *o;
    char room[200];
    fill(&filled, manner, &silence, room, sizeof room);
    filled.skip_draws = 0; /* takes its time */
    cria_ctx_opts co = cria_ctx_opts_default();
    co.threads = 1;
    co.isa = "scalar"; /* whatever CRIA_ISA says: nothing is computed */
    cria_ctx *ctx = NULL;
    cria_sampler *sampler = NULL;
    cria_error err;
    cria_status st = cria_ctx_new(&co, &ctx, &err);
    if (st == CRIA_OK) st = make(&filled, ctx, &none, bias, &sampler, &err);
    cria_sampler_free(sampler);
    cria_ctx_free(ctx);
    if (st != CRIA_OK) complain("%s Try 'cria %s --help'.", err.msg, command);
    return st == CRIA_OK;
}

cria_status sampling_open(const struct sampling_options *o, cria_ctx *ctx, const cria_tokenizer *tokenizer,
                          cria_sampler **out, cria_error *err) {
    struct breakers breakers = {NULL, 0};
    cria_logit_bias bias[ARG_TEXTS_MAX];
    const char *bad;
    cria_status st = CRIA_OK;
    if (!read_biases(&o->logit_bias, bias, &bad)) return CRIA_EINVAL; /* sampling_check has seen to it */
    if (o->dry_multiplier > 0.0) st = find_breakers(tokenizer, &breakers, err);
    if (st == CRIA_OK) st = make(o, ctx, &breakers, bias, out, err);
    free(breakers.v);
    return st;
}
