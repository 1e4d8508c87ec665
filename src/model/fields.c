/* SPDX-License-Identifier: Apache-2.0 */
/* See fields.h. */
#include "model/fields.h"

#include "base/status.h"

#include <inttypes.h>

const cria_json *cria_field(const struct cria_fields *f, const char *key) {
    if (f->st) return NULL;
    const cria_json *v = cria_json_get(f->root, key);
    return v != NULL && cria_json_type(v) != CRIA_JSON_NULL ? v : NULL;
}

void cria_field_wrong_type(struct cria_fields *f, const char *key, const cria_json *v, const char *want) {
    f->st = cria_fail(f->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: \"%s\" is %s, but must be %s.", f->name, key,
                      cria_json_type_name(v), want);
}

void cria_field_missing(struct cria_fields *f, const char *key) {
    if (f->st) return;
    f->st = cria_fail(f->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the field \"%s\" is missing; the model needs it.",
                      f->name, key);
}

void cria_field_unknown(struct cria_fields *f, const char *key) {
    if (f->st) return;
    f->st = cria_fail(f->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                      "%s: the field \"%.60s\" is not one that this version knows, and it might change what "
                      "the model computes; remove it if it does not.",
                      f->name, key);
}

bool cria_field_int(struct cria_fields *f, const char *key, int64_t *out) {
    const cria_json *v = cria_field(f, key);
    if (v == NULL) return false;
    if (cria_json_int(v, out)) return true;
    cria_field_wrong_type(f, key, v, "a whole number");
    return false;
}

bool cria_field_u32(struct cria_fields *f, const char *key, uint32_t low, uint32_t high, uint32_t *out) {
    int64_t value;
    if (!cria_field_int(f, key, &value)) return false;
    if (value < low || value > high) {
        f->st = cria_fail(f->err, CRIA_EFORMAT, CRIA_NOWHERE,
                          "%s: \"%s\" is %" PRId64 ", but must be between %u and %u.", f->name, key, value, low, high);
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

bool cria_field_real(struct cria_fields *f, const char *key, double *out) {
    const cria_json *v = cria_field(f, key);
    if (v == NULL) return false;
    if (cria_json_real(v, out)) return true;
    cria_field_wrong_type(f, key, v, "a number");
    return false;
}

bool cria_field_f32(struct cria_fields *f, const char *key, float *out) {
    double value;
    if (!cria_field_real(f, key, &value)) return false;
    *out = (float)value;
    return true;
}

bool cria_field_bool(struct cria_fields *f, const char *key, bool *out) {
    const cria_json *v = cria_field(f, key);
    if (v == NULL) return false;
    if (cria_json_bool(v, out)) return true;
    cria_field_wrong_type(f, key, v, "true or false");
    return false;
}

bool cria_field_string(struct cria_fields *f, const char *key, const char **out) {
    const cria_json *v = cria_field(f, key);
    if (v == NULL) return false;
    const char *text = cria_json_string(v, NULL);
    if (text != NULL) {
        *out = text;
        return true;
    }
    cria_field_wrong_type(f, key, v, "a string");
    return false;
}

void cria_need_u32(struct cria_fields *f, const char *key, uint32_t low, uint32_t high, uint32_t *out) {
    if (!cria_field_u32(f, key, low, high, out)) cria_field_missing(f, key);
}

void cria_need_f32(struct cria_fields *f, const char *key, float *out) {
    if (!cria_field_f32(f, key, out)) cria_field_missing(f, key);
}
