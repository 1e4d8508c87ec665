/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the fields of an object of config.json. The first failure stays: what is read after it does nothing and
 * returns false, so that a reader may ask for one field after another and look at st once. null counts as absent, as
 * Python writers use it. Private to model/. */
#ifndef CRIA_MODEL_FIELDS_H
#define CRIA_MODEL_FIELDS_H

#include "base/json.h"

struct cria_fields {
    const cria_json *root; /* an object */
    const char *name;      /* of the file, for messages */
    cria_error *err;
    cria_status st;
};

/* NULL when absent, or after a failure. */
const cria_json *cria_field(const struct cria_fields *f, const char *key);
/* True when the field is there and as wanted; *out is untouched otherwise. */
bool cria_field_u32(struct cria_fields *f, const char *key, uint32_t low, uint32_t high, uint32_t *out);
bool cria_field_int(struct cria_fields *f, const char *key, int64_t *out);
bool cria_field_real(struct cria_fields *f, const char *key, double *out);
bool cria_field_f32(struct cria_fields *f, const char *key, float *out);
bool cria_field_bool(struct cria_fields *f, const char *key, bool *out);
/* *out is borrowed from the document. */
bool cria_field_string(struct cria_fields *f, const char *key, const char **out);
/* The same for what must be there. */
void cria_need_u32(struct cria_fields *f, const char *key, uint32_t low, uint32_t high, uint32_t *out);
void cria_need_f32(struct cria_fields *f, const char *key, float *out);

void cria_field_wrong_type(struct cria_fields *f, const char *key, const cria_json *v, const char *want);
void cria_field_missing(struct cria_fields *f, const char *key);
/* "… is not one that this version knows": an unknown field, which might matter. */
void cria_field_unknown(struct cria_fields *f, const char *key);

#endif
