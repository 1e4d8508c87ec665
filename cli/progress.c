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

/* " 1:05 left" once there is something to tell it from; "" before. */
static void print_left(char out[24], double part, double spent) {
    const double left = part > 0.01 && part < 1.0 ? spent * (1.0 - part) / part : -1.0;
    out[0] = '\0';
    if (left < 0 || left > 359999.0) return;
    const unsigned s = (unsigned)(left + 0.5);
    if (s < 3600)
        snprintf(out, 24, " %u:%02u left", s / 60, s % 60);
    else
        snprintf(out, 24, " %u:%02u:%02u left", s / 3600, s / 60 % 60, s % 60);
}

void progress_update(struct progress *p, uint64_t done, uint64_t total) {
    if (!p->on || total == 0) return;
    const double now = clock_now();
    if (now - p->start < DELAY || now - p->last < INTERVAL) return;
    p->last = now;
    const double part = done < total ? (double)done / (double)total : 1.0;
    char left[24] = "";
    if (p->timed) print_left(left, part, now - p->start);
    const size_t room = term_width(), taken = strlen(p->what) + sizeof " [] 100%" + strlen(left);
    size_t width = room > taken + 1 ? room - taken - 1 : 0;
    if (width > 40) width = 40;
    const size_t full = (size_t)(part * (double)width);
    fprintf(stderr, "\r%s [", p->what);
    for (size_t i = 0; i < width; i++) fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %3.0f%%%s%s", 100.0 * part, left, p->timed ? "\033[K" : "");
    fflush(stderr);
    p->drawn = true;
}

void progress_end(struct progress *p) {
    if (p->drawn) fprintf(stderr, "\r\033[K");
    p->drawn = false;
}
