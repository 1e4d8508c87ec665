/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON read as it lies, one value after the other, for files of any size (a tokenizer.json has 250 000
 * strings). base/json.h builds a document that can be walked in any order, which a configuration wants and a
 * vocabulary cannot afford: ten times the file in small allocations, and a second. This one allocates nothing
 * but room for the longest string with escapes. Both are as strict (RFC 8259, UTF-8, no lone surrogates, at
 * most 64 levels); names that occur twice are the caller's to notice here, since nothing is kept.
 *
 * An error is sticky: what fails fills *err once and makes every later call return false, so that loops end
 * and one look at the status at the end will do.
 *
 *     cria_jsonread r;
 *     cria_jsonread_init(&r, ctx, text, len, "tokenizer.json", err);
 *     for (cria_jsonread_object(&r); cria_jsonread_key(&r, &key);)
 *         if (key is "vocab") … else cria_jsonread_skip(&r);
 *     st = cria_jsonread_end(&r);
 *
 * Each value is taken by exactly one call. The text is borrowed. Not thread-safe.
 */
#ifndef CRIA_BASE_JSONREAD_H
#define CRIA_BASE_JSONREAD_H

#include "base/buf.h"
#include "base/json.h"

#include <string.h>

#define CRIA_JSONREAD_DEPTH 64u

/* Text in the file or in the reader's scratch: valid until the next call. Not NUL-terminated. */
typedef struct cria_jsontext {
    const char *data;
    size_t len;
} cria_jsontext;

typedef struct cria_jsonread {
    const uint8_t *text;
    size_t len, pos;
    const char *name; /* for messages */
    cria_error *err;
    cria_status status;
    cria_buf scratch;  /* a string whose escapes have been taken out */
    uint64_t is_array; /* bit i: what was opened at depth i */
    unsigned depth;
    bool after_value; /* in an array or object: a comma must come before the next value */
} cria_jsonread;

void cria_jsonread_init(cria_jsonread *r, cria_ctx *ctx, const void *text, size_t len, const char *name,
                        cria_error *err);
/* The text must end here; frees the scratch in any case. Returns what went wrong, if anything did. */
cria_status cria_jsonread_end(cria_jsonread *r);

/* The value ahead (CRIA_JSON_REAL for any number); CRIA_JSON_NULL too when there is no value to be read. */
enum cria_json_type cria_jsonread_peek(cria_jsonread *r);

bool cria_jsonread_object(cria_jsonread *r);
/* The next name of the object, whose value is to be taken next; false once the object has been left. */
bool cria_jsonread_key(cria_jsonread *r, cria_jsontext *key);
bool cria_jsonread_array(cria_jsonread *r);
/* True when another value is ahead; false once the array has been left. */
bool cria_jsonread_item(cria_jsonread *r);

bool cria_jsonread_string(cria_jsonread *r, cria_jsontext *out);
bool cria_jsonread_bool(cria_jsonread *r, bool *out);
bool cria_jsonread_int(cria_jsonread *r, int64_t *out);
/* As serde_json reads numbers, within two units in the last place: unigram scores are compared to the last
 * bit, and that is the arithmetic that tokenizers does with them. */
bool cria_jsonread_real(cria_jsonread *r, double *out);
/* Passes over the value ahead, whatever it is; it is checked like any other. */
bool cria_jsonread_skip(cria_jsonread *r);
/* The value ahead, passed over, to be read later with a reader of its own: cria_jsonread_sub makes one that
 * stands before it, and is ended like any other. */
bool cria_jsonread_raw(cria_jsonread *r, cria_jsontext *out);
void cria_jsonread_sub(cria_jsonread *sub, const cria_jsonread *r, cria_jsontext raw);

/* Fails with "<name>: <what you say> (line N)." Returns false. */
bool cria_jsonread_fail(cria_jsonread *r, cria_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static inline bool cria_jsontext_is(cria_jsontext t, const char *s) {
    return strlen(s) == t.len && memcmp(t.data, s, t.len) == 0;
}

#endif
