/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that end a generation: looked for in a stream of text, and held back while one of them may be coming. Linear in
 * the text for each of them (Knuth, Morris, Pratt 1977). */
#ifndef CRIA_TEXT_STOPS_H
#define CRIA_TEXT_STOPS_H

#include "base/buf.h"

struct cria_stop;

typedef struct cria_stops {
    cria_ctx *ctx;
    struct cria_stop *stop;
    size_t n;
    cria_buf text;  /* what came and was not dropped */
    size_t certain; /* bytes of it that are no part of a stop text */
    const char *found; /* the first that was complete, of several the longest; NULL: none yet */
} cria_stops;

enum { CRIA_STOPS_MAX = 1000, CRIA_STOP_LEN_MAX = 4096 };

/* texts[0..n) are copied. CRIA_EINVAL: one is empty, too long or not UTF-8, or there are too many. */
cria_status cria_stops_init(cria_stops *s, cria_ctx *ctx, const char *const *texts, size_t n, cria_error *err);
void cria_stops_fini(cria_stops *s);
/* For a new text. */
void cria_stops_reset(cria_stops *s);
/* Forgets the certain part, which the caller has had. */
void cria_stops_drop(cria_stops *s);
/* Whole characters that follow. Nothing follows a stop text. */
cria_status cria_stops_push(cria_stops *s, const char *text, size_t len, cria_error *err);
/* No more comes: what was held back is certain. */
void cria_stops_end(cria_stops *s);

#endif
