/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include "term.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DELAY 0.4    /* s before the first drawing: what is over by then needs no bar */
#define INTERVAL 0.1 /* s between drawings */

double clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_start(struct progress *p, const char *what, bool quiet) {
    *p = (struct progress){.what = what, .on = !quiet && term_can_draw()};
    p->start = clock_now();
}

void progress_update(struct progress *p, uint64_t done, uint64_t total) {
    if (!p->on || total == 0) return;
    const double now = clock_now();
    if (now - p->start < DELAY || now - p->last < INTERVAL) return;
    p->last = now;
    const double part = done < total ? (double)done / (double)total : 1.0;
    const size_t room = term_width(), taken = strlen(p->what) + sizeof " [] 100%";
    size_t width = room > taken + 1 ? room - taken - 1 : 0;
    if (width > 40) width = 40;
    const size_t full = (size_t)(part * (double)width);
    fprintf(stderr, "\r%s [", p->what);
    for (size_t i = 0; i < width; i++) fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %3.0f%%", 100.0 * part);
    fflush(stderr);
    p->drawn = true;
}

void progress_end(struct progress *p) {
    if (p->drawn) fprintf(stderr, "\r\033[K");
    p->drawn = false;
}
