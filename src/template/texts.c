/* SPDX-License-Identifier: Apache-2.0 */
#include "template/texts.h"
#include "template/characters.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

uint32_t cria_jinja_next_char(const jinja_text *t, size_t *at) {
    uint32_t c;
    const size_t n = cria_utf8_decode((const uint8_t *)t->data + *at, t->len - *at, &c);
    *at += n ? n : 1;
    return c;
}

static bool put(jinja_state *s, cria_buf *b, const uint32_t *c, size_t n) {
    uint8_t bytes[12];
    size_t len = 0;
    for (size_t i = 0; i < n; i++) len += cria_utf8_encode(c[i], bytes + len);
    return cria_jinja_write(s, b, bytes, len);
}

/* ---- case ---- */

static bool cased(uint32_t c) {
    uint32_t other[3];
    return cria_jinja_is_upper(c) || cria_jinja_is_lower(c) || /* and the title-case letters */
           (c >= 0x80 && cria_jinja_to_lower_of(c, other) == 1 && other[0] != c);
}

/* A sigma at the end of a word is another letter. */
static bool final_sigma(const jinja_text *t, size_t before, size_t after) {
    uint32_t c = 0;
    if (before == 0) return false;
    size_t at = before;
    do at--;
    while (at > 0 && ((uint8_t)t->data[at] & 0xc0) == 0x80);
    if (!cased(cria_jinja_next_char(t, &at))) return false;
    if (after < t->len) c = cria_jinja_next_char(t, &after);
    return !c || !cased(c);
}

bool cria_jinja_change_case(jinja_state *s, jinja_value v, enum jinja_case_change change, jinja_value *out) {
    const jinja_text *t = v.text;
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = cria_jinja_steps(s, t->len / 16), inside = false;
    for (size_t at = 0; ok && at < t->len;) {
        const size_t from = at;
        const uint32_t c = cria_jinja_next_char(t, &at);
        uint32_t to[3];
        size_t n;
        const bool upper = change == CASE_UPPER || (change == CASE_SWAP && cria_jinja_is_lower(c));
        const bool title = (change == CASE_TITLE && !inside) || (change == CASE_CAPITALIZE && from == 0);
        if (upper)
            n = cria_jinja_to_upper_of(c, to);
        else if (title)
            n = cria_jinja_to_title_of(c, to);
        else
            n = cria_jinja_to_lower_of(c, to);
        if (c == 0x3a3 && !upper && !title && final_sigma(t, from, at)) to[0] = 0x3c2;
        if (change == CASE_TITLE) inside = cased(c);
        ok = put(s, &b, to, n);
    }
    if (!cria_jinja_take(s, &b, ok, out)) return false;
    out->safe = v.safe;
    return true;
}

bool cria_jinja_is_cased(const jinja_text *t, bool upper) {
    bool any = false;
    for (size_t at = 0; at < t->len;) {
        const uint32_t c = cria_jinja_next_char(t, &at);
        const bool is = upper ? cria_jinja_is_upper(c) : cria_jinja_is_lower(c);
        if (!is && cased(c)) return false;
        any = any || is;
    }
    return any;
}

/* ---- stripping, replacing ---- */

static bool in_set(jinja_value set, uint32_t c) {
    if (set.type != JINJA_TEXT) return cria_jinja_is_space(c);
    for (size_t at = 0; at < set.text->len;)
        if (cria_jinja_next_char(set.text, &at) == c) return true;
    return false;
}

bool cria_jinja_strip(jinja_state *s, jinja_value v, jinja_value chars, int sides, jinja_value *out) {
    if (chars.type != JINJA_MISSING && chars.type != JINJA_NONE && chars.type != JINJA_TEXT)
        return cria_jinja_fail(s, CRIA_EFORMAT, "strip arg must be None or str");
    const jinja_text *t = v.text;
    size_t from = 0, end = t->len;
    const size_t cost = chars.type == JINJA_TEXT ? chars.text->len / 64 : 0;
    while ((sides & 1) && from < end) {
        size_t at = from;
        if (cost && !cria_jinja_steps(s, cost)) return false;
        if (!in_set(chars, cria_jinja_next_char(t, &at))) break;
        from = at;
    }
    while ((sides & 2) && end > from) {
        size_t at = end;
        do at--;
        while (at > from && ((uint8_t)t->data[at] & 0xc0) == 0x80);
        size_t after = at;
        if (cost && !cria_jinja_steps(s, cost)) return false;
        if (!in_set(chars, cria_jinja_next_char(t, &after))) break;
        end = at;
    }
    if (!cria_jinja_steps(s, (t->len - (end - from)) / 16) ||
        !cria_jinja_text_view(s, t->data + from, end - from, out))
        return false;
    out->safe = v.safe;
    return true;
}

bool cria_jinja_replace(jinja_state *s, jinja_value v, jinja_value from, jinja_value to, int64_t count,
                        jinja_value *out) {
    if (v.safe && (!cria_jinja_escape(s, from, &from) || !cria_jinja_escape(s, to, &to))) return false;
    const jinja_text *t = v.text, *f = from.text;
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = cria_jinja_steps(s, t->len / 64);
    size_t at = 0;
    while (ok && count != 0) {
        size_t next;
        if (f->len == 0) { /* before every character, and at the end */
            ok = cria_jinja_str(s, &b, to);
            if (count > 0) count--;
            if (at >= t->len || count == 0) break;
            next = at;
            cria_jinja_next_char(t, &next);
            ok = ok && cria_jinja_steps(s, 1) && cria_jinja_write(s, &b, t->data + at, next - at);
            at = next;
            continue;
        }
        const char *found = at < t->len ? memmem(t->data + at, t->len - at, f->data, f->len) : NULL;
        if (!found) break;
        next = (size_t)(found - t->data);
        ok = cria_jinja_steps(s, 1) && cria_jinja_write(s, &b, t->data + at, next - at) && cria_jinja_str(s, &b, to);
        at = next + f->len;
        if (count > 0) count--;
    }
    ok = ok && cria_jinja_write(s, &b, t->data + at, t->len - at);
    if (!cria_jinja_take(s, &b, ok, out)) return false;
    out->safe = v.safe;
    return true;
}

/* ---- splitting, joining ---- */

static bool push_part(jinja_state *s, jinja_list *l, jinja_value v, size_t from, size_t end) {
    jinja_value part = jinja_none();
    if (!cria_jinja_steps(s, 1) || !cria_jinja_text_view(s, v.text->data + from, end - from, &part)) return false;
    part.safe = v.safe;
    return cria_jinja_push(s, l, part);
}

static bool split_spaces(jinja_state *s, jinja_value v, int64_t max, jinja_list *l) {
    const jinja_text *t = v.text;
    size_t at = 0, after;
    for (;;) {
        size_t from = at;
        while (from < t->len && (after = from, cria_jinja_is_space(cria_jinja_next_char(t, &after)))) from = after;
        if (from >= t->len) return true;
        at = from;
        if (max == 0) return push_part(s, l, v, from, t->len);
        while (at < t->len && (after = at, !cria_jinja_is_space(cria_jinja_next_char(t, &after)))) at = after;
        if (!push_part(s, l, v, from, at)) return false;
        if (max > 0) max--;
    }
}

/* From the right: the parts come out in reverse. */
static bool rsplit_spaces(jinja_state *s, jinja_value v, int64_t max, jinja_list *l) {
    const jinja_text *t = v.text;
    size_t end = t->len;
    for (;;) {
        size_t at = end, back, after;
        for (; at > 0; at = back) {
            back = at;
            do back--;
            while (back > 0 && ((uint8_t)t->data[back] & 0xc0) == 0x80);
            after = back;
            if (!cria_jinja_is_space(cria_jinja_next_char(t, &after))) break;
        }
        end = at;
        if (end == 0) return true;
        if (max == 0) return push_part(s, l, v, 0, end);
        for (; at > 0; at = back) {
            back = at;
            do back--;
            while (back > 0 && ((uint8_t)t->data[back] & 0xc0) == 0x80);
            after = back;
            if (cria_jinja_is_space(cria_jinja_next_char(t, &after))) break;
        }
        if (!push_part(s, l, v, at, end)) return false;
        end = at;
        if (max > 0) max--;
    }
}

static const char *last_of(const jinja_text *t, size_t end, const jinja_text *f) {
    for (size_t at = end; at-- > 0;)
        if (at + f->len <= end && t->data[at] == f->data[0] && memcmp(t->data + at, f->data, f->len) == 0)
            return t->data + at;
    return NULL;
}

static bool split_text(jinja_state *s, jinja_value v, const jinja_text *f, int64_t max, bool from_right,
                       jinja_list *l) {
    const jinja_text *t = v.text;
    size_t from = 0, end = t->len;
    while (max != 0) {
        const char *found = from_right ? last_of(t, end, f) : memmem(t->data + from, t->len - from, f->data, f->len);
        if (!found) break;
        const size_t at = (size_t)(found - t->data);
        if (!cria_jinja_steps(s, from_right ? (end - at) * (1 + f->len / 64) / 16 : 1)) return false;
        if (!push_part(s, l, v, from_right ? at + f->len : from, from_right ? end : at)) return false;
        if (from_right)
            end = at;
        else
            from = at + f->len;
        if (max > 0) max--;
    }
    return push_part(s, l, v, from, end);
}

bool cria_jinja_split(jinja_state *s, jinja_value v, jinja_value separator, int64_t max, bool from_right,
                      jinja_value *out) {
    jinja_list *l = cria_jinja_list(s, 4);
    bool ok = l && cria_jinja_steps(s, v.text->len / 64);
    if (!ok) return false;
    if (separator.type == JINJA_MISSING || separator.type == JINJA_NONE)
        ok = from_right ? rsplit_spaces(s, v, max, l) : split_spaces(s, v, max, l);
    else {
        if (separator.type != JINJA_TEXT)
            return cria_jinja_fail(s, CRIA_EFORMAT, "must be str or None, not %s", cria_jinja_type_name(separator));
        if (separator.text->len == 0) return cria_jinja_fail(s, CRIA_EFORMAT, "empty separator");
        ok = split_text(s, v, separator.text, max, from_right, l);
    }
    if (!ok) return false;
    for (size_t i = 0; from_right && i < l->n / 2; i++) {
        const jinja_value part = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = part;
    }
    *out = jinja_listed(JINJA_LIST, l);
    return true;
}

static bool ends_line(uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool cria_jinja_split_lines(jinja_state *s, jinja_value v, bool keep_ends, jinja_list **out) {
    const jinja_text *t = v.text;
    jinja_list *l = cria_jinja_list(s, 4);
    if (!l || !cria_jinja_steps(s, t->len / 16)) return false;
    for (size_t at = 0, from = 0; at < t->len; from = at) {
        size_t end = t->len;
        while (at < t->len) {
            const size_t here = at;
            const uint32_t c = cria_jinja_next_char(t, &at);
            if (!ends_line(c)) continue;
            if (c == '\r' && at < t->len && t->data[at] == '\n') at++;
            end = here;
            break;
        }
        if (!push_part(s, l, v, from, keep_ends ? at : end)) return false;
    }
    *out = l;
    return true;
}

bool cria_jinja_join(jinja_state *s, jinja_value separator, const jinja_list *l, jinja_value *out) {
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = true;
    for (size_t i = 0; ok && i < l->n; i++)
        ok = cria_jinja_steps(s, 1) && (i == 0 || cria_jinja_str(s, &b, separator)) &&
             cria_jinja_str(s, &b, l->items[i]);
    return cria_jinja_take(s, &b, ok, out);
}

bool cria_jinja_pad(jinja_state *s, jinja_value v, int64_t width, const jinja_text *fill, int side,
                    jinja_value *out) {
    if (fill && fill->chars != 1)
        return cria_jinja_fail(s, CRIA_EFORMAT, "The fill character must be exactly one character long");
    const char *data = fill ? fill->data : " ";
    const size_t len = fill ? fill->len : 1;
    const size_t n = width > 0 && (uint64_t)width > v.text->chars ? (size_t)width - v.text->chars : 0;
    size_t left = side < 0 ? 0 : n;
    if (side == 0) left = n / 2 + (n & (size_t)width & 1); /* as CPython shares out an odd number */
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = cria_jinja_steps(s, n);
    for (size_t i = 0; ok && i < left; i++) ok = cria_jinja_write(s, &b, data, len);
    ok = ok && cria_jinja_str(s, &b, v);
    for (size_t i = left; ok && i < n; i++) ok = cria_jinja_write(s, &b, data, len);
    if (!cria_jinja_take(s, &b, ok, out)) return false;
    out->safe = v.safe;
    return true;
}

/* ---- numbers ---- */

static jinja_text trimmed(const jinja_text *t) {
    size_t from = 0, end = t->len;
    while (from < end && cria_jinja_is_space((uint8_t)t->data[from])) from++;
    while (end > from && cria_jinja_is_space((uint8_t)t->data[end - 1])) end--;
    return (jinja_text){t->data + from, end - from, end - from};
}

bool cria_jinja_read_int(const jinja_text *t, int64_t base, int64_t *out, bool *huge) {
    const jinja_text n = trimmed(t);
    size_t i = 0;
    *huge = false;
    const bool negative = n.len && n.data[0] == '-';
    if (n.len && (n.data[0] == '-' || n.data[0] == '+')) i++;
    if (n.len - i > 2 && n.data[i] == '0') {
        const int mark = n.data[i + 1] | 32, of = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
        if (of && (base == of || base == 0)) {
            base = of;
            i += 2;
            if (n.data[i] == '_') i++;
        }
    }
    if (base == 0) base = 10;
    int64_t value = 0;
    bool digit_before = false, any = false;
    for (; i < n.len; i++) {
        const int c = (uint8_t)n.data[i];
        if (c == '_' && digit_before && i + 1 < n.len) {
            digit_before = false;
            continue;
        }
        const int digit = c >= '0' && c <= '9'                 ? c - '0'
                          : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10
                                                               : 99;
        if (digit >= base) return false;
        digit_before = any = true;
        *huge = *huge || __builtin_mul_overflow(value, base, &value) || __builtin_sub_overflow(value, digit, &value);
    }
    if (!any || !digit_before) return false;
    *huge = *huge || (!negative && value == INT64_MIN);
    if (!*huge) *out = negative ? value : -value;
    return true;
}

static bool is_word(const jinja_text *t, size_t from, const char *word) {
    if (t->len - from != strlen(word)) return false;
    for (size_t i = 0; word[i]; i++)
        if ((t->data[from + i] | 32) != word[i]) return false;
    return true;
}

bool cria_jinja_read_float(const jinja_text *t, double *out) {
    const jinja_text n = trimmed(t);
    size_t i = 0;
    if (n.len == 0 || n.len > 300) return false;
    const bool negative = n.data[0] == '-';
    if (n.data[0] == '-' || n.data[0] == '+') i++;
    double x;
    if (is_word(&n, i, "inf") || is_word(&n, i, "infinity")) {
        x = INFINITY;
    } else if (is_word(&n, i, "nan")) {
        x = NAN;
    } else { /* to a JSON number: 0 where there are no digits beside the point, no zeros in front, no _ */
        char text[320];
        size_t k = 0;
        bool digits = false;
        while (i + 1 < n.len && n.data[i] == '0' && n.data[i + 1] >= '0' && n.data[i + 1] <= '9') i++;
        if (i < n.len && n.data[i] == '.') text[k++] = '0';
        for (; i < n.len; i++) {
            const char c = n.data[i];
            const bool digit = c >= '0' && c <= '9', before = i > 0 && n.data[i - 1] >= '0' && n.data[i - 1] <= '9';
            const bool after = i + 1 < n.len && n.data[i + 1] >= '0' && n.data[i + 1] <= '9';
            digits = digits || digit;
            if (c == '_' && before && after) continue;
            if ((c | 32) == 'e' && !digits) return false;
            text[k++] = c;
            if (c == '.' && !after) text[k++] = '0';
        }
        if (!digits || !cria_jinja_parse_float(text, k, &x)) return false;
    }
    *out = negative ? -x : x;
    return true;
}
