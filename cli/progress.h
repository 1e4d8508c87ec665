/* SPDX-License-Identifier: Apache-2.0 */
/* A bar on stderr for work that lasts: drawn only on a terminal, only after a moment, erased at the end. */
#ifndef CRIA_CLI_PROGRESS_H
#define CRIA_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what; /* "Loading" */
    bool on, drawn;
    bool timed;         /* show the time left, too: for what takes longer than a moment */
    double start, last; /* seconds */
};

void progress_start(struct progress *p, const char *what, bool quiet);
void progress_update(struct progress *p, uint64_t done, uint64_t total);
void progress_end(struct progress *p);

/* Monotonic seconds. */
double clock_now(void);

#endif
