/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer on stdout as it comes. In a pipe byte for byte. On a terminal what would do something to it is shown
 * instead (control characters as ^X, others as U+FFFD), and what the model thinks, between <think> and </think>, is
 * dim.
 */
#ifndef CRIA_CLI_ANSWEROUT_H
#define CRIA_CLI_ANSWEROUT_H

#include "out.h"

struct answerout {
    struct out out;
    bool terminal, colours;
    bool thinks;
    char held[12]; /* what may become a mark */
    size_t n_held;
};

/* colours: where stdout is a terminal that has them. */
void answerout_init(struct answerout *a, bool colours);
/* thinks: the prompt ends within what the model thinks. */
void answerout_begin(struct answerout *a, bool thinks);
/* text: whole characters. False when something could not be written; errno is in a->out.error. */
bool answerout_write(struct answerout *a, const char *text, size_t len);
/* All that is held back, and a line end. */
bool answerout_end(struct answerout *a);

#endif
