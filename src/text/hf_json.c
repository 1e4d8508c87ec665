/* SPDX-License-Identifier: Apache-2.0 */
/* Small objects of tokenizer.json, member by member; see hf_json.h. */
#include "text/hf_json.h"

#include <string.h>

bool cria_hf_object_begin(struct cria_hf_object *o, const cria_jsonread *parent, cria_jsontext raw,
                          const char *what) {
    cria_jsonread_sub(&o->r, parent, raw);
    cria_buf_init(&o->text, parent->scratch.ctx, PTRDIFF_MAX);
    o->what = what;
    o->n = 0;
    cria_jsontext key;
    for (cria_jsonread_object(&o->r); cria_jsonread_key(&o->r, &key);) {
        if (key.len >= sizeof o->field[0].name || o->n == CRIA_HF_FIELDS_MAX)
            return cria_jsonread_fail(&o->r, CRIA_EUNSUPPORTED, "the %s has an unknown member \"%.*s\"", what,
                                      key.len < 64 ? (int)key.len : 64, key.data);
        memcpy(o->field[o->n].name, key.data, key.len);
        o->field[o->n].name[key.len] = '\0';
        o->field[o->n].used = false;
        for (unsigned i = 0; i < o->n; i++)
            if (strcmp(o->field[i].name, o->field[o->n].name) == 0)
                return cria_jsonread_fail(&o->r, CRIA_EFORMAT, "the %s has \"%s\" twice", what,
                                          o->field[i].name);
        if (!cria_jsonread_raw(&o->r, &o->field[o->n].raw)) return false;
        o->n++;
    }
    return o->r.status == CRIA_OK;
}

cria_status cria_hf_object_end(struct cria_hf_object *o) {
    for (unsigned i = 0; i < o->n && o->r.status == CRIA_OK; i++)
        if (!o->field[i].used)
            cria_jsonread_fail(&o->r, CRIA_EUNSUPPORTED, "the %s has an unknown member \"%s\"", o->what,
                               o->field[i].name);
    cria_buf_fini(&o->text);
    return cria_jsonread_end(&o->r);
}

bool cria_hf_raw(struct cria_hf_object *o, const char *name, cria_jsontext *out) {
    for (unsigned i = 0; i < o->n && o->r.status == CRIA_OK; i++) {
        if (strcmp(o->field[i].name, name) != 0) continue;
        o->field[i].used = true;
        if (cria_jsontext_is(o->field[i].raw, "null")) return false;
        *out = o->field[i].raw;
        return true;
    }
    return false;
}

/* A reader before the member's value. */
static bool open_field(struct cria_hf_object *o, const char *name, cria_jsonread *r) {
    cria_jsontext raw;
    if (!cria_hf_raw(o, name, &raw)) return false;
    cria_jsonread_sub(r, &o->r, raw);
    return true;
}

static bool close_field(struct cria_hf_object *o, cria_jsonread *r) {
    o->r.status = cria_jsonread_end(r);
    return o->r.status == CRIA_OK;
}

bool cria_hf_bool(struct cria_hf_object *o, const char *name, bool *out) {
    cria_jsonread r;
    if (!open_field(o, name, &r)) return false;
    cria_jsonread_bool(&r, out);
    return close_field(o, &r);
}

bool cria_hf_int(struct cria_hf_object *o, const char *name, int64_t *out) {
    cria_jsonread r;
    if (!open_field(o, name, &r)) return false;
    cria_jsonread_int(&r, out);
    return close_field(o, &r);
}

bool cria_hf_string(struct cria_hf_object *o, const char *name, cria_jsontext *out) {
    cria_jsonread r;
    cria_jsontext text;
    if (!open_field(o, name, &r)) return false;
    o->text.len = 0;
    if (cria_jsonread_string(&r, &text)) r.status = cria_buf_append(&o->text, text.data, text.len, r.err);
    *out = (cria_jsontext){(const char *)o->text.data, o->text.len};
    return close_field(o, &r);
}

bool cria_hf_need(struct cria_hf_object *o, const char *name, bool there) {
    return there || cria_jsonread_fail(&o->r, CRIA_EFORMAT, "the %s has no \"%s\"", o->what, name);
}
