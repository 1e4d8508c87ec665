/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON (config.json, the header of a safetensors file). Strict: UTF-8, no duplicate keys, depth and size
 * limits. The only door to the JSON library. A value borrowed from a document lives as long as the document. */
#ifndef CRIA_BASE_JSON_H
#define CRIA_BASE_JSON_H

#include "cria/cria.h"

typedef struct cria_json cria_json; /* any value */

enum cria_json_type {
    CRIA_JSON_NULL, CRIA_JSON_BOOL, CRIA_JSON_INT, CRIA_JSON_REAL,
    CRIA_JSON_STRING, CRIA_JSON_ARRAY, CRIA_JSON_OBJECT
};

/* name: for messages ("model/config.json"). Free the root, and only the root, with cria_json_free.
 * CRIA_EFORMAT with line and reason; documents over 100 MB or deeper than 64 levels are refused. */
cria_status cria_json_parse(const char *text, size_t len, const char *name, cria_json **out, cria_error *err);
void cria_json_free(cria_json *root);

/* All of these take NULL, what is not there, for null. */
enum cria_json_type cria_json_type(const cria_json *v);
/* NULL when v is no object or has no such key. */
const cria_json *cria_json_get(const cria_json *v, const char *key);
size_t cria_json_size(const cria_json *v);                      /* items of an array or object, else 0 */
const cria_json *cria_json_at(const cria_json *v, size_t i);    /* item of an array; NULL outside */
/* Walks the members of an object in file order, none when v is no object:
 *     cria_json_iter it = cria_json_begin(v);
 *     while (cria_json_next(&it, &key, &value)) … */
typedef struct cria_json_iter {
    const cria_json *object;
    void *at;
} cria_json_iter;
cria_json_iter cria_json_begin(const cria_json *v);
bool cria_json_next(cria_json_iter *it, const char **key, const cria_json **value);
bool cria_json_int(const cria_json *v, int64_t *out);           /* INT, or a REAL that is a whole number within ±2^53 */
bool cria_json_real(const cria_json *v, double *out);           /* INT or REAL */
bool cria_json_bool(const cria_json *v, bool *out);
const char *cria_json_string(const cria_json *v, size_t *len);  /* NULL when no string; len may be NULL */
const char *cria_json_type_name(const cria_json *v);            /* "an integer", "a string", … for messages */

#endif
