/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prompt lookup (Saxena 2023, "prompt lookup decoding"): what followed the last words when they were there before is a
 * guess at what follows now. How many tokens are guessed is decided by what was learnt: how often guesses after a match
 * of that length were right, and what a row more costs a pass of the model. Decisions change speed only, never text.
 */
#ifndef CRIA_ENGINE_LOOKUP_H
#define CRIA_ENGINE_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

enum { CRIA_LOOKUP_MAX = 64, CRIA_LOOKUP_KINDS = 5 };

typedef struct cria_lookup {
    double right[CRIA_LOOKUP_KINDS]; /* probability of a guess, by how long the match was */
    double one, more;                /* seconds of a pass of one row, and of each further row; 0: not known yet */
    uint32_t kind;                   /* of the latest guess */
} cria_lookup;

void cria_lookup_init(cria_lookup *l);
/* Writes up to most tokens that may follow tokens[0..n), last; returns how many. */
size_t cria_lookup_guess(cria_lookup *l, const int32_t *tokens, size_t n, int32_t last, int32_t *guess, size_t most);
/* Of the latest guess the first n_right tokens were right, and if `wrong`, the one after them was not. */
void cria_lookup_learn(cria_lookup *l, size_t n_right, int wrong);
/* A pass of so many rows of one sequence took so long. */
void cria_lookup_time(cria_lookup *l, size_t rows, double seconds);

#endif
