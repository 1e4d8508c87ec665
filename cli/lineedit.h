/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user types: with a terminal on both sides through libedit (history, Unicode, a paste as one piece, Alt-Enter
 * for another line), else line by line. A line that ends in a backslash goes on in the next one.
 *
 * The history is a file that only the user may read, of the last HISTORY_MAX inputs, written anew after each one.
 */
#ifndef CRIA_CLI_LINEEDIT_H
#define CRIA_CLI_LINEEDIT_H

#include "input.h"

enum { HISTORY_MAX = 1000, HISTORY_BYTES_MAX = 1 << 20 };

struct lineedit;

enum lineedit_result {
    LINEEDIT_READ,
    LINEEDIT_CLEARED, /* Ctrl-C: what was typed is gone */
    LINEEDIT_END,     /* Ctrl-D, or the end of the input */
    LINEEDIT_FAILED   /* one line is on stderr */
};

/* NULL, after a line on stderr, when there is not enough memory. edit: lines can be edited where that is built in and
 * there is a terminal. */
struct lineedit *lineedit_new(bool edit);
void lineedit_free(struct lineedit *l);
/* Lines are asked for with prompts, and it is a human who types. */
bool lineedit_asks(const struct lineedit *l);
enum lineedit_result lineedit_read(struct lineedit *l, struct text *out);

#endif
