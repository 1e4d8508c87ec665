/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guesses at the next tokens, to be checked in one pass of the model (speculative decoding; Leviathan et al. 2023).
 * Prompt lookup (Saxena 2023): what followed the last words when they were there before is a guess at what follows now.
 * Where it has none, a draft model may be asked. How many tokens are guessed is decided by what was learnt: how often
 * guesses of that kind were right, and what a row more costs a pass of the model. That changes speed only, never text.
 */
#ifndef CRIA_ENGINE_LOOKUP_H
#define CRIA_ENGINE_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

/* Kinds of guesses: after matches of some lengths, and those of a draft model. */
enum { CRIA_LOOKUP_MAX = 64, CRIA_LOOKUP_DRAFT = 5, CRIA_LOOKUP_KINDS };

typedef struct cria_lookup {
    double right[CRIA_LOOKUP_KINDS]; /* probability of a guess */
    double one, more; /* seconds of a pass of one row, and of each further row; 0: not known yet */
    double draft;     /* seconds that the draft model takes for a token; 0: not known yet */
    uint32_t kind;                   /* of the latest guess */
} cria_lookup;

void cria_lookup_init(cria_lookup *l);
/* Writes up to most tokens that may follow tokens[0..n), last; returns how many. */
size_t cria_lookup_guess(cria_lookup *l, const int32_t *tokens, size_t n, int32_t last, int32_t *guess, size_t most);
/* How many tokens a draft model is to guess, at most most. */
size_t cria_lookup_draft(cria_lookup *l, size_t most);
/* It took so long for that many. */
void cria_lookup_draft_time(cria_lookup *l, size_t n, double seconds);
/* Of the latest guess the first n_right tokens were right, and if `wrong`, the one after them was not. */
void cria_lookup_learn(cria_lookup *l, size_t n_right, int wrong);
/* A pass of so many rows of one sequence took so long. */
void cria_lookup_time(cria_lookup *l, size_t rows, double seconds);

#endif
