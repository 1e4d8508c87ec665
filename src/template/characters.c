/* SPDX-License-Identifier: Apache-2.0 */
#include "template/characters.h"

unsigned cria_jinja_class_of(uint32_t c) {
    size_t low = 0, high = cria_jinja_n_classes;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (cria_jinja_classes[mid].last < c)
            low = mid + 1;
        else
            high = mid;
    }
    return low < cria_jinja_n_classes && cria_jinja_classes[low].first <= c ? cria_jinja_classes[low].bits : 0;
}

bool cria_jinja_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Runs of step 2 may lie within each other (upper and lower case in turn), so those before are looked at too. */
static const struct jinja_case *find(const struct jinja_case *table, size_t n, uint32_t c) {
    size_t low = 0, high = n;
    while (low < high) { /* the first that begins after c */
        const size_t mid = (low + high) / 2;
        if (table[mid].first <= c)
            low = mid + 1;
        else
            high = mid;
    }
    for (size_t back = 0; back < 4 && low > back; back++) {
        const struct jinja_case *t = &table[low - 1 - back];
        if (c <= t->last && (c - t->first) % t->step == 0) return t;
    }
    return NULL;
}

bool cria_jinja_is_upper(uint32_t c) { return find(cria_jinja_upper, cria_jinja_n_upper, c) != NULL; }
bool cria_jinja_is_lower(uint32_t c) { return find(cria_jinja_lower, cria_jinja_n_lower, c) != NULL; }

static size_t special(const struct jinja_special *table, size_t n, uint32_t c, uint32_t out[3]) {
    for (size_t i = 0; i < n && table[i].from <= c; i++)
        if (table[i].from == c) {
            size_t k = 0;
            while (k < 3 && table[i].to[k]) {
                out[k] = table[i].to[k];
                k++;
            }
            return k;
        }
    return 0;
}

static size_t mapped(const struct jinja_case *table, size_t n, uint32_t c, uint32_t out[3]) {
    const struct jinja_case *t = find(table, n, c);
    out[0] = t ? (uint32_t)((int32_t)c + t->delta) : c;
    return 1;
}

size_t cria_jinja_to_upper_of(uint32_t c, uint32_t out[3]) {
    const size_t n = special(cria_jinja_upper_many, cria_jinja_n_upper_many, c, out);
    return n ? n : mapped(cria_jinja_to_upper, cria_jinja_n_to_upper, c, out);
}

size_t cria_jinja_to_lower_of(uint32_t c, uint32_t out[3]) {
    const size_t n = special(cria_jinja_lower_many, cria_jinja_n_lower_many, c, out);
    return n ? n : mapped(cria_jinja_to_lower, cria_jinja_n_to_lower, c, out);
}

size_t cria_jinja_to_title_of(uint32_t c, uint32_t out[3]) {
    const size_t n = special(cria_jinja_title_many, cria_jinja_n_title_many, c, out);
    if (n) return n;
    if (find(cria_jinja_to_title, cria_jinja_n_to_title, c))
        return mapped(cria_jinja_to_title, cria_jinja_n_to_title, c, out);
    return mapped(cria_jinja_to_upper, cria_jinja_n_to_upper, c, out);
}
