/* SPDX-License-Identifier: Apache-2.0 */
/* Dicts: entries in order of insertion, and a table of slots once there are more than a few. Every probe is a step,
 * so keys made to collide run into the limit of steps. */
#include "template/value.h"

#include <math.h>
#include <string.h>

enum { FEW = 8 };

jinja_dict *cria_jinja_dict(jinja_state *s) {
    jinja_dict *d = cria_jinja_alloc(s, sizeof *d);
    if (d) *d = (jinja_dict){0};
    return d;
}

bool cria_jinja_hashable(jinja_value v) {
    if (v.type == JINJA_TUPLE) {
        for (size_t i = 0; i < v.list->n; i++)
            if (!cria_jinja_hashable(v.list->items[i])) return false;
        return true;
    }
    return v.type != JINJA_LIST && v.type != JINJA_DICT && v.type != JINJA_VIEW;
}

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* Equal values have equal hashes: 1, 1.0 and true are one key. */
static uint64_t hash(jinja_value v) {
    uint64_t h = 0xcbf29ce484222325u;
    int64_t i;
    if (v.type == JINJA_FLOAT && v.real >= -0x1p62 && v.real <= 0x1p62 && floor(v.real) == v.real)
        v = jinja_int((int64_t)v.real);
    if (jinja_whole(v, &i)) return mix(h, (uint64_t)i);
    switch ((enum jinja_type)v.type) {
    case JINJA_TEXT:
        for (size_t k = 0; k < v.text->len; k++) h = (h ^ (uint8_t)v.text->data[k]) * 0x100000001b3u;
        return mix(h, v.text->len);
    case JINJA_FLOAT: {
        uint64_t bits;
        memcpy(&bits, &v.real, sizeof bits);
        return mix(h, bits);
    }
    case JINJA_TUPLE:
        for (size_t k = 0; k < v.list->n; k++) h = mix(h, hash(v.list->items[k]));
        return h;
    case JINJA_UNDEFINED:
    case JINJA_NONE: return mix(h, v.type);
    default: return mix(h, (uint64_t)(uintptr_t)v.list);
    }
}

static bool key_equal(jinja_state *s, const jinja_entry *e, uint64_t h, jinja_value key, bool *out) {
    *out = false;
    if (e->hash != h) return true;
    return cria_jinja_equal(s, e->key, key, out);
}

/* The entry of key, or the slot where it would be; false on failure. */
static bool probe(jinja_state *s, const jinja_dict *d, uint64_t h, jinja_value key, jinja_entry **entry,
                  size_t *slot) {
    bool same;
    *entry = NULL;
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++) {
            if (!key_equal(s, &d->entries[i], h, key, &same)) return false;
            if (same) {
                *entry = &d->entries[i];
                return true;
            }
        }
        return true;
    }
    for (size_t at = h & (d->n_slots - 1);; at = (at + 1) & (d->n_slots - 1)) {
        if (!cria_jinja_steps(s, 1)) return false;
        if (slot) *slot = at;
        if (d->slots[at] == 0) return true;
        if (!key_equal(s, &d->entries[d->slots[at] - 1], h, key, &same)) return false;
        if (same) {
            *entry = &d->entries[d->slots[at] - 1];
            return true;
        }
    }
}

static bool check_key(jinja_state *s, jinja_value key) {
    return cria_jinja_hashable(key) ||
           cria_jinja_fail(s, CRIA_EFORMAT, "unhashable type: '%s'", cria_jinja_type_name(key));
}

bool cria_jinja_dict_get(jinja_state *s, const jinja_dict *d, jinja_value key, jinja_value **out) {
    jinja_entry *e;
    if (!check_key(s, key) || !probe(s, d, hash(key), key, &e, NULL)) return false;
    *out = e ? &e->value : NULL;
    return true;
}

bool cria_jinja_dict_find(jinja_state *s, const jinja_dict *d, const jinja_text *key, jinja_value **out) {
    return cria_jinja_dict_get(s, d, (jinja_value){.type = JINJA_TEXT, .text = key}, out);
}

static bool more_slots(jinja_state *s, jinja_dict *d) {
    const size_t n = d->n_slots ? d->n_slots * 2 : 4 * FEW;
    uint32_t *slots = cria_jinja_alloc_array(s, n, sizeof *slots);
    if (!slots) return false;
    memset(slots, 0, n * sizeof *slots);
    d->slots = slots;
    d->n_slots = n;
    for (size_t i = 0; i < d->n; i++) {
        size_t at = d->entries[i].hash & (n - 1);
        while (slots[at]) {
            if (!cria_jinja_steps(s, 1)) return false;
            at = (at + 1) & (n - 1);
        }
        slots[at] = (uint32_t)(i + 1);
    }
    return true;
}

bool cria_jinja_dict_set(jinja_state *s, jinja_dict *d, jinja_value key, jinja_value value) {
    jinja_entry *e;
    if (!check_key(s, key)) return false;
    const uint64_t h = hash(key);
    size_t slot = 0;
    if (!probe(s, d, h, key, &e, &slot)) return false;
    if (e) {
        e->value = value;
        return true;
    }
    if (d->n >= FEW && 2 * (d->n + 1) > d->n_slots) {
        if (!more_slots(s, d) || !probe(s, d, h, key, &e, &slot)) return false;
    }
    void *entries = d->entries;
    if (!cria_jinja_grow(s, &entries, d->n, &d->cap, sizeof *d->entries)) return false;
    d->entries = entries;
    d->entries[d->n] = (jinja_entry){key, value, h};
    d->n++;
    if (d->slots) d->slots[slot] = (uint32_t)d->n;
    return true;
}
