/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of code points, for the compiler of regular expressions: sorted ranges that neither touch nor overlap.
 * Owns its ranges. */
#ifndef CRIA_TEXT_CHARSET_H
#define CRIA_TEXT_CHARSET_H

#include "cria/cria.h"

#define CRIA_CHAR_LAST 0x10ffffu

struct cria_range {
    uint32_t low, high; /* both inside */
};

typedef struct cria_charset {
    cria_ctx *ctx;
    struct cria_range *range;
    size_t n, cap;
} cria_charset;

void cria_charset_init(cria_charset *s, cria_ctx *ctx);
void cria_charset_fini(cria_charset *s);
cria_status cria_charset_add(cria_charset *s, uint32_t low, uint32_t high, cria_error *err);
cria_status cria_charset_add_set(cria_charset *s, const cria_charset *other, cria_error *err);
/* All characters whose category is one of the bits of categories, or that have one of the flags (unicode.h).
 */
cria_status cria_charset_add_props(cria_charset *s, uint32_t categories, uint32_t flags, cria_error *err);
cria_status cria_charset_invert(cria_charset *s, cria_error *err);
cria_status cria_charset_intersect(cria_charset *s, const cria_charset *other, cria_error *err);
bool cria_charset_has(const cria_charset *s, uint32_t cp);

#endif
