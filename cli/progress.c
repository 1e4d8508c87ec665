/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include "term.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DELAY 0.4    /* s before the first drawing: what is over by then needs no bar */
#define INTERVAL 0.1 /* s between drawings */
#define SPEED_SPAN 5.0 /* s that the speed is a mean of, more or less */

double clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_start(struct progress *p, const char *what, bool quiet) {
    *p = (struct progress){.what = what, .on = !quiet && term_can_draw()};
    p->start = clock_now();
}

const char *bytes_text(uint64_t n, char out[16]) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double v = (double)n;
    size_t u = 0;
    for (; v >= 999.95 && u + 1 < sizeof units / sizeof *units; u++) v /= 1000;
    snprintf(out, 16, u ? "%.1f %s" : "%.0f %s", v, units[u]);
    return out;
}

/* " 1:05 left"; "" when that is not known. */
static void print_left(char out[24], double left) {
    out[0] = '\0';
    if (!(left >= 0) || left > 359999.0) return;
    const unsigned s = (unsigned)(left + 0.5);
    if (s < 3600)
        snprintf(out, 24, " %u:%02u left", s / 60, s % 60);
    else
        snprintf(out, 24, " %u:%02u:%02u left", s / 3600, s / 60 % 60, s % 60);
}

/* Whether it is time to draw again. */
static bool is_time(struct progress *p, double now) {
    if (!p->on || now - p->start < DELAY || now - p->last < INTERVAL) return false;
    p->last = now;
    return true;
}

/* tail: what follows the percentage; NULL for nothing, ever. */
static void draw(struct progress *p, double part, const char *tail) {
    const size_t room = term_width(), taken = strlen(p->what) + sizeof " [] 100%" + (tail ? strlen(tail) : 0);
    size_t width = room > taken + 1 ? room - taken - 1 : 0;
    if (width > 40) width = 40;
    const size_t full = (size_t)(part * (double)width);
    fprintf(stderr, "\r%s [", p->what);
    for (size_t i = 0; i < width; i++) fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %3.0f%%%s%s", 100.0 * part, tail ? tail : "", tail ? "\033[K" : "");
    fflush(stderr);
    p->drawn = true;
}

void progress_update(struct progress *p, uint64_t done, uint64_t total) {
    const double now = p->on ? clock_now() : 0.0;
    if (total == 0 || !is_time(p, now)) return;
    const double part = done < total ? (double)done / (double)total : 1.0;
    char left[24] = "";
    if (p->timed && part > 0.01 && part < 1.0) print_left(left, (now - p->start) * (1.0 - part) / part);
    draw(p, part, p->timed ? left : NULL);
}

void progress_update_bytes(struct progress *p, uint64_t done, uint64_t total, uint64_t came) {
    const double now = p->on ? clock_now() : 0.0;
    if (total == 0 || !is_time(p, now)) return;
    /* The last seconds count most: a connection has its ups and downs. */
    const double since = p->at > 0 ? p->at : p->start, span = now - since;
    const double rate = (double)(came - p->came) / span, weight = p->at > 0 ? span / (span + SPEED_SPAN) : 1.0;
    p->rate += weight * (rate - p->rate);
    p->at = now;
    p->came = came;
    char tail[96], all[16], speed[16], left[24] = "";
    if (p->rate >= 1.0 && done < total) print_left(left, (double)(total - done) / p->rate);
    snprintf(tail, sizeof tail, " of %s, %s/s%s", bytes_text(total, all), bytes_text((uint64_t)p->rate, speed), left);
    draw(p, done < total ? (double)done / (double)total : 1.0, tail);
}

void progress_end(struct progress *p) {
    if (p->drawn) fprintf(stderr, "\r\033[K");
    p->drawn = false;
}
