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
    double at, rate;    /* of bytes that come: when the rate was reckoned last, and bytes a second */
    uint64_t came;      /* bytes until then */
};

void progress_start(struct progress *p, const char *what, bool quiet);
void progress_update(struct progress *p, uint64_t done, uint64_t total);
/* The same for bytes that come over a network, with their amount and speed, and the time left at that speed. came:
 * those that came since the start; an earlier run may have left some of what is done. */
void progress_update_bytes(struct progress *p, uint64_t done, uint64_t total, uint64_t came);
void progress_end(struct progress *p);

/* "4.4 GB": decimal units, as memory is sold and bandwidth measured; four significant digits. */
const char *bytes_text(uint64_t n, char out[16]);

/* Monotonic seconds. */
double clock_now(void);

#endif
