/* SPDX-License-Identifier: Apache-2.0 */
#include "prefill.h"

#include "progress.h"
#include "session.h"
#include "term.h"

enum { PART_MIN = 16, PART_FIRST = 32, PART_MAX = 512 };

/* The next part: as many tokens as take about half a second where n took so many seconds. */
static size_t next_part(size_t n, double seconds) {
    const double fits = seconds > 0.0 ? 0.5 * (double)n / seconds : PART_MAX;
    if (fits >= PART_MAX) return PART_MAX;
    return fits > 2 * PART_MIN ? (size_t)fits / PART_MIN * PART_MIN : PART_MIN;
}

cria_status prefill(cria_stream *stream, bool quiet, size_t *left, cria_error *err) {
    cria_stream_stats stats;
    cria_stream_get_stats(stream, &stats);
    const size_t n = stats.n_prompt - stats.n_reused;
    size_t part = PART_FIRST; /* how fast this model is on this machine shows only then */
    struct progress bar;
    progress_start(&bar, "Prompt", quiet);
    cria_status st = CRIA_OK;
    *left = n;
    while (*left > 0 && st == CRIA_OK && !term_interrupted()) {
        const size_t before = *left;
        const double start = clock_now();
        st = cria_stream_prefill(stream, part, left, err);
        part = next_part(before - *left, clock_now() - start);
        progress_update(&bar, n - *left, n);
    }
    progress_end(&bar);
    return st;
}
