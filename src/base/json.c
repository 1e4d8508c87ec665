/* SPDX-License-Identifier: Apache-2.0 */
/* JSON through jansson, the only file that includes it. A cria_json is a json_t. jansson keeps the members of
 * an object in the order of insertion, reads numbers with correct rounding, refuses numbers that do not fit,
 * and by default refuses U+0000. Its own depth limit (2048) recurses too far and its memory per value is some
 * fifty times the text, so depth and number of values are bounded by a scan before it runs. */
#include "base/json.h"
#include "base/status.h"
#include <jansson.h>
#include <string.h>

enum {
    JSON_MAX_BYTES = 100000000, /* as the safetensors library allows a header */
    JSON_MAX_DEPTH = 64,
    JSON_MAX_VALUES = 4 << 20 /* a tokenizer.json with 256k pieces has about 1.5 million */
};

static const json_t *in(const cria_json *v) { return (const json_t *)v; }
static const cria_json *as_value(const json_t *v) { return (const cria_json *)v; }

/* Bounds depth and values by counting punctuation outside strings; well-formedness is the parser's. */
static cria_status scan(const char *text, size_t len, const char *name, cria_error *err) {
    size_t depth = 0, values = 1, line = 1;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        line += c == '\n';
        if (in_string) {
            if (c == '\\') i++;
            in_string = c != '"';
            continue;
        }
        if (c == '"') in_string = true;
        if (c == ',' || c == '[' || c == '{') values++;
        if ((c == ']' || c == '}') && depth > 0) depth--;
        if ((c == '[' || c == '{') && ++depth > JSON_MAX_DEPTH)
            return cria_fail(err, CRIA_EFORMAT, line, "%s is nested more than %d levels deep in line %zu.",
                             name, JSON_MAX_DEPTH, line);
    }
    if (values > JSON_MAX_VALUES)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s holds about %zu JSON values; the limit is %d.",
                         name, values, JSON_MAX_VALUES);
    return CRIA_OK;
}

cria_status cria_json_parse(const char *text, size_t len, const char *name, cria_json **out,
                            cria_error *err) {
    if (len > JSON_MAX_BYTES)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s has %zu bytes; JSON documents may have at most %d.", name, len, JSON_MAX_BYTES);
    const cria_status status = scan(text, len, name, err);
    if (status != CRIA_OK) return status;
    json_error_t e;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!root) {
        if (json_error_code(&e) == json_error_out_of_memory)
            return cria_fail_nomem(err, "a JSON document, for its text", len);
        return cria_fail(err, CRIA_EFORMAT, e.line > 0 ? (uint64_t)e.line : 1,
                         "%s is not valid JSON: line %d, column %d: %s.", name, e.line, e.column, e.text);
    }
    *out = (cria_json *)root;
    return CRIA_OK;
}

void cria_json_free(cria_json *root) { json_decref((json_t *)root); }

enum cria_json_type cria_json_type(const cria_json *v) {
    if (v == NULL) return CRIA_JSON_NULL;
    switch (json_typeof(in(v))) {
    case JSON_OBJECT: return CRIA_JSON_OBJECT;
    case JSON_ARRAY: return CRIA_JSON_ARRAY;
    case JSON_STRING: return CRIA_JSON_STRING;
    case JSON_INTEGER: return CRIA_JSON_INT;
    case JSON_REAL: return CRIA_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE: return CRIA_JSON_BOOL;
    case JSON_NULL: break;
    }
    return CRIA_JSON_NULL;
}

const cria_json *cria_json_get(const cria_json *v, const char *key) {
    return as_value(json_object_get(in(v), key));
}

size_t cria_json_size(const cria_json *v) {
    return json_is_object(in(v)) ? json_object_size(in(v)) : json_array_size(in(v)); /* 0 for other types */
}

const cria_json *cria_json_at(const cria_json *v, size_t i) { return as_value(json_array_get(in(v), i)); }

/* jansson's iterators take an object that is not const, but do not modify it. */
cria_json_iter cria_json_begin(const cria_json *v) {
    return (cria_json_iter){v, json_object_iter((json_t *)(uintptr_t)v)}; /* NULL for other types */
}

bool cria_json_next(cria_json_iter *it, const char **key, const cria_json **value) {
    if (it->at == NULL) return false;
    *key = json_object_iter_key(it->at);
    *value = as_value(json_object_iter_value(it->at));
    it->at = json_object_iter_next((json_t *)(uintptr_t)it->object, it->at);
    return true;
}

bool cria_json_int(const cria_json *v, int64_t *out) {
    if (json_is_integer(in(v))) {
        *out = json_integer_value(in(v));
        return true;
    }
    if (!json_is_real(in(v))) return false;
    const double r = json_real_value(in(v));
    if (!(r >= -0x1p53 && r <= 0x1p53) || (double)(int64_t)r != r) return false;
    *out = (int64_t)r;
    return true;
}

bool cria_json_real(const cria_json *v, double *out) {
    if (!json_is_number(in(v))) return false;
    *out = json_number_value(in(v));
    return true;
}

bool cria_json_bool(const cria_json *v, bool *out) {
    if (!json_is_boolean(in(v))) return false;
    *out = json_is_true(in(v));
    return true;
}

const char *cria_json_string(const cria_json *v, size_t *len) {
    if (!json_is_string(in(v))) return NULL;
    if (len) *len = json_string_length(in(v));
    return json_string_value(in(v));
}

const char *cria_json_type_name(const cria_json *v) {
    static const char *const names[] = {"null",     "a boolean", "an integer", "a real number",
                                        "a string", "an array",  "an object"};
    return names[cria_json_type(v)];
}
