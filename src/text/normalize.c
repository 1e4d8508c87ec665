/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalization as SentencePiece's Normalizer does it (see normalize.h). The charsmap is
 *   u32 bytes of the trie | darts-clone double array | NUL-terminated replacement strings
 * A unit of the double array: bits 0–7 label, 8 has a leaf, 9 offset is shifted by 8, 10–30 offset; a leaf
 * unit has bit 31 set and holds a position in the strings. It comes from the file, so cria_normalizer_init
 * walks all units once and refuses the map unless every transition and every position stays inside
 * (Darts::DoubleArray::validate). Unlike the library it also wants the strings to be UTF-8, so that what
 * cria_normalize makes always is.
 */
#include "text/normalize.h"
#include "base/reader.h"
#include "base/status.h"
#include "base/utf8.h"

#include <string.h>

#define RULES_MAX 32 /* matches that the library looks at: the shortest 32 */

static const uint8_t space_symbol[3] = {0xE2, 0x96, 0x81}; /* U+2581 */
static const uint8_t replacement[3] = {0xEF, 0xBF, 0xBD};  /* U+FFFD */

static uint32_t unit_at(const cria_normalizer *n, uint32_t i) {
    return cria_load_u32(n->units + (size_t)i * 4);
}
static uint32_t unit_label(uint32_t u) { return u & (1u << 31 | 0xFFu); }
static bool unit_has_leaf(uint32_t u) { return (u >> 8 & 1) != 0; }
static uint32_t unit_value(uint32_t u) { return u & 0x7FFFFFFFu; }
static uint32_t unit_offset(uint32_t u) { return u >> 10 << ((u & 1u << 9) >> 6); }

static bool units_valid(const cria_normalizer *n, uint32_t count) {
    const uint32_t root = unit_at(n, 0);
    if (unit_label(root) != 0 || unit_has_leaf(root) || unit_offset(root) == 0 ||
        (unit_offset(root) | 0xFF) >= count)
        return false;
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t u = unit_at(n, i);
        if (unit_label(u) <= 0xFF) {
            const uint32_t next = i ^ unit_offset(u);
            if ((next | 0xFF) >= count) return false;
            if (unit_has_leaf(u) && unit_label(unit_at(n, next)) <= 0xFF) return false;
        } else if (unit_value(u) >= n->strings_len || (n->strings[unit_value(u)] & 0xC0) == 0x80) {
            return false; /* outside, or inside a character */
        }
    }
    return true;
}

static cria_status load_charsmap(cria_normalizer *n, const char *name, cria_error *err) {
    const uint8_t *data = n->spec->charsmap;
    const size_t len = n->spec->charsmap_len;
    if (len <= 4)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "The character map of the %s has only %zu bytes.",
                         name, len);
    const uint32_t trie = cria_load_u32(data);
    if (trie >= len - 4)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "The character map of the %s claims a trie of %u bytes, but has %zu bytes in all.",
                         name, trie, len);
    if (trie == 0 || trie % 1024 != 0)
        return cria_fail(
            err, CRIA_EFORMAT, CRIA_NOWHERE,
            "The trie in the character map of the %s has %u bytes, which is no multiple of 1024.", name,
            trie);
    n->units = data + 4;
    n->strings = (const char *)data + 4 + trie;
    n->strings_len = len - 4 - trie;
    if (n->strings[n->strings_len - 1] != '\0')
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "The character map of the %s does not end in a NUL.", name);
    if (!cria_utf8_valid((const uint8_t *)n->strings, n->strings_len))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "The character map of the %s holds text that is no UTF-8.", name);
    if (!units_valid(n, trie / 4))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "The character map of the %s has a transition that leaves it; the file is damaged.",
                         name);
    return CRIA_OK;
}

static bool begins_rule(const cria_normalizer *n, uint8_t byte) {
    return n->units && unit_label(unit_at(n, unit_offset(unit_at(n, 0)) ^ byte)) == byte;
}

cria_status cria_normalizer_init(cria_normalizer *out, const struct cria_vocab_normalizer *spec,
                                 const cria_trie *keep, const char *name, cria_error *err) {
    cria_normalizer n = {.spec = spec, .keep = keep && !cria_trie_empty(keep) ? keep : NULL};
    if (spec->charsmap_len > 0) {
        const cria_status st = load_charsmap(&n, name, err);
        if (st != CRIA_OK) return st;
    }
    for (unsigned b = 0; b < 128; b++)
        n.plain[b] = b != ' ' && !begins_rule(&n, (uint8_t)b) && !(n.keep && n.keep->root[b]);
    *out = n;
    return CRIA_OK;
}

/* Length of the longest rule that s begins with, 0 for none; *value is where its replacement starts. */
static size_t match_rule(const cria_normalizer *n, const uint8_t *s, size_t len, uint32_t *value) {
    uint32_t pos = unit_offset(unit_at(n, 0));
    size_t best = 0;
    unsigned found = 0;
    for (size_t i = 0; i < len; i++) {
        pos ^= s[i];
        const uint32_t u = unit_at(n, pos);
        if (unit_label(u) != s[i]) break;
        pos ^= unit_offset(u);
        if (!unit_has_leaf(u)) continue;
        best = i + 1;
        *value = unit_value(unit_at(n, pos));
        if (++found == RULES_MAX) break;
    }
    return best;
}

struct span {
    const uint8_t *data;
    size_t len;
};

/* One step at s (len >= 1): what it becomes; returns how many bytes it takes. */
static size_t step(const cria_normalizer *n, const uint8_t *s, size_t len, struct span *out) {
    int32_t id;
    const size_t kept = n->keep ? cria_trie_longest(n->keep, s, len, CRIA_SPM_SYMBOLS_MAX, &id) : 0;
    if (kept > 0) {
        *out = (struct span){s, kept};
        return kept;
    }
    uint32_t value;
    const size_t rule = n->units ? match_rule(n, s, len, &value) : 0;
    if (rule > 0) {
        *out = (struct span){(const uint8_t *)n->strings + value, strlen(n->strings + value)};
        return rule;
    }
    uint32_t cp;
    const size_t c = cria_utf8_decode(s, len, &cp);
    *out = c > 0 ? (struct span){s, c} : (struct span){replacement, sizeof replacement};
    return c > 0 ? c : 1;
}

static cria_status add_space(const cria_normalizer *n, cria_buf *out, cria_error *err) {
    if (n->spec->escape_whitespaces) return cria_buf_append(out, space_symbol, sizeof space_symbol, err);
    return cria_buf_push(out, ' ', err);
}

static cria_status add_span(const cria_normalizer *n, struct span s, cria_buf *out, cria_error *err) {
    while (s.len > 0) {
        const uint8_t *space = memchr(s.data, ' ', s.len);
        const size_t run = space ? (size_t)(space - s.data) : s.len;
        cria_status st = cria_buf_append(out, s.data, run, err);
        if (st == CRIA_OK && space) st = add_space(n, out, err);
        if (st != CRIA_OK) return st;
        s.data += run + (space ? 1 : 0);
        s.len -= run + (space ? 1 : 0);
    }
    return CRIA_OK;
}

static size_t skip_leading_space(const cria_normalizer *n, const uint8_t *text, size_t len) {
    size_t i = 0;
    struct span s;
    while (i < len) {
        const size_t took = step(n, text + i, len - i, &s);
        if (s.len != 1 || s.data[0] != ' ') break;
        i += took;
    }
    return i;
}

static void drop_trailing_space(const cria_normalizer *n, size_t start, cria_buf *out) {
    const uint8_t *space = n->spec->escape_whitespaces ? space_symbol : (const uint8_t *)" ";
    const size_t k = n->spec->escape_whitespaces ? sizeof space_symbol : 1;
    while (out->len - start >= k && memcmp(out->data + out->len - k, space, k) == 0) out->len -= k;
}

static cria_status normalize_body(const cria_normalizer *n, const uint8_t *text, size_t len, cria_buf *out,
                                  cria_error *err) {
    const bool squeeze = n->spec->remove_extra_whitespaces;
    bool after_space = squeeze;
    for (size_t i = 0; i < len;) {
        size_t run = i;
        while (run < len && n->plain[text[run]]) run++;
        cria_status st;
        if (run > i) {
            if ((st = cria_buf_append(out, text + i, run - i, err)) != CRIA_OK) return st;
            after_space = false;
            i = run;
            continue;
        }
        struct span s;
        i += step(n, text + i, len - i, &s);
        while (after_space && s.len > 0 && s.data[0] == ' ') {
            s.data++;
            s.len--;
        }
        if (s.len == 0) continue; /* after_space stays: an empty replacement is no character */
        if ((st = add_span(n, s, out, err)) != CRIA_OK) return st;
        after_space = squeeze && s.data[s.len - 1] == ' ';
    }
    return CRIA_OK;
}

cria_status cria_normalize(const cria_normalizer *n, const uint8_t *text, size_t len, cria_buf *out,
                           cria_error *err) {
    const size_t start = out->len;
    const bool squeeze = n->spec->remove_extra_whitespaces;
    const size_t skip = squeeze ? skip_leading_space(n, text, len) : 0;
    if (skip == len) return CRIA_OK; /* not even a dummy prefix */
    cria_status st = CRIA_OK;
    if (n->spec->add_dummy_prefix && !n->spec->treat_whitespace_as_suffix) st = add_space(n, out, err);
    if (st == CRIA_OK) st = normalize_body(n, text + skip, len - skip, out, err);
    if (st == CRIA_OK && squeeze) drop_trailing_space(n, start, out);
    if (st == CRIA_OK && n->spec->add_dummy_prefix && n->spec->treat_whitespace_as_suffix)
        st = add_space(n, out, err);
    return st;
}
