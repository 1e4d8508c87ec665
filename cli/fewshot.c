/* SPDX-License-Identifier: Apache-2.0 */
#include "fewshot.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Every character that Python's str.isspace() accepts, as UTF-8. */
static const char *const spaces[] = {
    "\t", "\n", "\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x1f", " ", "\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80",
    "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
    "\xe2\x81\x9f", "\xe3\x80\x80",
};

/* Bytes of the space that begins (or, at_end, ends) s[0..len); 0 when there is none. */
static size_t space_length(const char *s, size_t len, bool at_end) {
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        const size_t n = strlen(spaces[i]);
        if (n <= len && memcmp(at_end ? s + len - n : s, spaces[i], n) == 0) return n;
    }
    return 0;
}

void fewshot_strip(struct text *t) {
    size_t from = 0;
    for (size_t n; (n = space_length(t->data + from, t->len - from, false)) != 0;) from += n;
    t->len -= from;
    memmove(t->data, t->data + from, t->len);
    for (size_t n; (n = space_length(t->data, t->len, true)) != 0;) t->len -= n;
    t->data[t->len] = '\0';
}

/* "{}" at or behind from; len when there is none. */
static size_t find_braces(const struct text *t, size_t from) {
    while (from + 1 < t->len && !(t->data[from] == '{' && t->data[from + 1] == '}')) from++;
    return from + 1 < t->len ? from : t->len;
}

struct text fewshot_prompt(const struct text *examples, const struct text *question) {
    size_t places = 0;
    for (size_t at = find_braces(examples, 0); at < examples->len; at = find_braces(examples, at + 2)) places++;
    if (question->len > 0 && places > (SIZE_MAX - examples->len - 1) / question->len) return (struct text){NULL, 0};
    struct text out = {malloc(examples->len + places * question->len + 1), 0};
    if (!out.data) return out;
    for (size_t from = 0; from < examples->len;) {
        const size_t to = find_braces(examples, from);
        memcpy(out.data + out.len, examples->data + from, to - from);
        out.len += to - from;
        from = to;
        if (to < examples->len) {
            memcpy(out.data + out.len, question->data, question->len);
            out.len += question->len;
            from += 2;
        }
    }
    out.data[out.len] = '\0';
    return out;
}
