/* SPDX-License-Identifier: Apache-2.0 */
/* What the program knows of its terminal: is there one, and did the user press Ctrl-C. */
#ifndef CRIA_CLI_TERM_H
#define CRIA_CLI_TERM_H

#include <stdbool.h>
#include <stddef.h>

/* Descriptors 0, 1 and 2 exist from here on, so that no file opened later takes the place of a closed stdout. SIGPIPE
 * is ignored, a reader that went away is seen as a failed write; so is SIGXFSZ. */
void term_init(void);

bool term_stdin_is_terminal(void);
bool term_stdout_is_terminal(void);
/* Whether text may be dim: NO_COLOR is not set, and TERM knows such things. */
bool term_colours(void);
/* stderr is a terminal that knows how to erase a line. */
bool term_can_draw(void);
size_t term_width(void); /* of stderr, in columns */

/* From now on the first Ctrl-C (SIGINT) is only noted; the second ends the process, as it would have. Where the parent
 * had SIGINT ignored it stays so. */
void term_catch_interrupt(void);
/* The same for SIGTERM and SIGHUP, too: for who has to tidy up. */
void term_catch_end(void);
bool term_interrupted(void);
/* Blocks until stdin has something to read (its end included) or Ctrl-C comes; false for the latter. */
bool term_wait_for_input(void);

#endif
