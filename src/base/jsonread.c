/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of jsonread.h: RFC 8259 by hand. What is open is kept as bits, so nothing recurses. */
#include "base/jsonread.h"
#include "base/status.h"
#include "base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

void cria_jsonread_init(cria_jsonread *r, cria_ctx *ctx, const void *text, size_t len, const char *name,
                        cria_error *err) {
    *r = (cria_jsonread){.text = text, .len = len, .name = name, .err = err};
    cria_buf_init(&r->scratch, ctx, PTRDIFF_MAX);
}

bool cria_jsonread_fail(cria_jsonread *r, cria_status code, const char *fmt, ...) {
    if (r->status != CRIA_OK) return false;
    char what[sizeof r->err->msg];
    va_list args;
    va_start(args, fmt);
    cria_message(what, sizeof what, fmt, args);
    va_end(args);
    size_t line = 1;
    for (size_t i = 0; i < r->pos && i < r->len; i++) line += r->text[i] == '\n';
    r->status = cria_fail(r->err, code, r->pos, "%s: %s (line %zu).", r->name, what, line);
    return false;
}

static bool malformed(cria_jsonread *r, const char *expected) {
    if (r->pos >= r->len)
        return cria_jsonread_fail(r, CRIA_EFORMAT, "the file ends where %s should be", expected);
    const uint8_t c = r->text[r->pos];
    if (c > 0x20 && c < 0x7f)
        return cria_jsonread_fail(r, CRIA_EFORMAT, "'%c' where %s should be", c, expected);
    return cria_jsonread_fail(r, CRIA_EFORMAT, "byte 0x%02x where %s should be", c, expected);
}

static void skip_space(cria_jsonread *r) {
    while (r->pos < r->len) {
        const uint8_t c = r->text[r->pos];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
        r->pos++;
    }
}

static int ahead(const cria_jsonread *r) { return r->pos < r->len ? r->text[r->pos] : -1; }

/* Where a value is to begin. */
static bool at_value(cria_jsonread *r) {
    if (r->status != CRIA_OK) return false;
    skip_space(r);
    return r->pos < r->len || malformed(r, "a value");
}

static bool took_value(cria_jsonread *r) {
    r->after_value = true;
    return true;
}

cria_status cria_jsonread_end(cria_jsonread *r) {
    if (r->status == CRIA_OK) {
        skip_space(r);
        if (r->pos < r->len || r->depth > 0) malformed(r, "the end of the file");
    }
    cria_buf_fini(&r->scratch);
    return r->status;
}

enum cria_json_type cria_jsonread_peek(cria_jsonread *r) {
    if (r->status != CRIA_OK) return CRIA_JSON_NULL;
    skip_space(r);
    switch (ahead(r)) {
    case '{':
        return CRIA_JSON_OBJECT;
    case '[':
        return CRIA_JSON_ARRAY;
    case '"':
        return CRIA_JSON_STRING;
    case 't':
    case 'f':
        return CRIA_JSON_BOOL;
    case 'n':
    case -1:
        return CRIA_JSON_NULL;
    default:
        return CRIA_JSON_REAL;
    }
}

/* ---- containers ---- */

static bool enter(cria_jsonread *r, char open, const char *what) {
    if (!at_value(r)) return false;
    if (r->text[r->pos] != (uint8_t)open) return malformed(r, what);
    if (r->depth == CRIA_JSONREAD_DEPTH)
        return cria_jsonread_fail(r, CRIA_EFORMAT, "more than %u levels of nesting", CRIA_JSONREAD_DEPTH);
    const uint64_t bit = (uint64_t)1 << r->depth++;
    r->is_array = open == '[' ? r->is_array | bit : r->is_array & ~bit;
    r->after_value = false;
    r->pos++;
    return true;
}

bool cria_jsonread_object(cria_jsonread *r) { return enter(r, '{', "an object"); }
bool cria_jsonread_array(cria_jsonread *r) { return enter(r, '[', "an array"); }

/* The comma before another value, or the end of what is open: false when it has been left or something is
 * wrong. */
static bool another(cria_jsonread *r, char close) {
    if (r->status != CRIA_OK) return false;
    skip_space(r);
    if (ahead(r) == close) {
        r->pos++;
        r->depth--;
        took_value(r);
        return false;
    }
    if (!r->after_value) return true;
    if (ahead(r) != ',') return malformed(r, close == ']' ? "',' or ']'" : "',' or '}'");
    r->pos++;
    skip_space(r);
    r->after_value = false;
    return true;
}

bool cria_jsonread_item(cria_jsonread *r) { return another(r, ']'); }

bool cria_jsonread_key(cria_jsonread *r, cria_jsontext *key) {
    if (!another(r, '}')) return false;
    if (ahead(r) != '"') return malformed(r, "a name in quotes");
    if (!cria_jsonread_string(r, key)) return false;
    skip_space(r);
    if (ahead(r) != ':') return malformed(r, "':'");
    r->pos++;
    r->after_value = false;
    return true;
}

/* ---- strings ---- */

static int hex4(const cria_jsonread *r, size_t at) {
    if (r->len - at < 4) return -1;
    int value = 0;
    for (size_t i = at; i < at + 4; i++) {
        const int c = r->text[i];
        const int digit = c >= '0' && c <= '9'                 ? c - '0'
                          : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                               : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* \uXXXX, or two of them that are one character; pos stands behind the u. */
static bool unicode_escape(cria_jsonread *r) {
    int cp = hex4(r, r->pos);
    if (cp < 0) return malformed(r, "four hexadecimal digits");
    r->pos += 4;
    if (cp >= 0xd800 && cp < 0xe000) {
        int low = -1;
        if (cp < 0xdc00 && r->len - r->pos >= 6 && r->text[r->pos] == '\\' && r->text[r->pos + 1] == 'u')
            low = hex4(r, r->pos + 2);
        if (low < 0xdc00 || low >= 0xe000)
            return cria_jsonread_fail(r, CRIA_EFORMAT, "half of a surrogate pair, \\u%04x, alone",
                                      (unsigned)cp);
        r->pos += 6;
        cp = 0x10000 + (cp - 0xd800) * 0x400 + (low - 0xdc00);
    }
    uint8_t bytes[4];
    const size_t n = cria_utf8_encode((uint32_t)cp, bytes);
    r->status = cria_buf_append(&r->scratch, bytes, n, r->err);
    return r->status == CRIA_OK;
}

static bool escape(cria_jsonread *r) { /* pos stands at the backslash */
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    r->pos++;
    const int c = ahead(r);
    if (c == 'u') {
        r->pos++;
        return unicode_escape(r);
    }
    const char *found = c > 0 ? strchr(from, c) : NULL;
    if (!found) return malformed(r, "the rest of an escape");
    r->pos++;
    r->status = cria_buf_push(&r->scratch, (uint8_t)to[found - from], r->err);
    return r->status == CRIA_OK;
}

/* Passes over characters that stand for themselves. */
static bool plain_run(cria_jsonread *r) {
    while (r->pos < r->len) {
        const uint8_t c = r->text[r->pos];
        if (c == '"' || c == '\\') return true;
        if (c < 0x20)
            return cria_jsonread_fail(r, CRIA_EFORMAT, "the control character 0x%02x in a string", c);
        if (c < 0x80) {
            r->pos++;
            continue;
        }
        uint32_t cp;
        const size_t n = cria_utf8_decode(r->text + r->pos, r->len - r->pos, &cp);
        if (n == 0) return cria_jsonread_fail(r, CRIA_EFORMAT, "a string that is not valid UTF-8");
        r->pos += n;
    }
    return malformed(r, "the end of a string");
}

bool cria_jsonread_string(cria_jsonread *r, cria_jsontext *out) {
    if (!at_value(r)) return false;
    if (r->text[r->pos] != '"') return malformed(r, "a string");
    size_t from = ++r->pos;
    if (!plain_run(r)) return false;
    if (r->text[r->pos] == '"') {
        *out = (cria_jsontext){(const char *)r->text + from, r->pos - from};
        r->pos++;
        return took_value(r);
    }
    r->scratch.len = 0;
    for (;;) {
        r->status = cria_buf_append(&r->scratch, r->text + from, r->pos - from, r->err);
        if (r->status != CRIA_OK) return false;
        if (r->text[r->pos] == '"') break;
        if (!escape(r)) return false;
        from = r->pos;
        if (!plain_run(r)) return false;
    }
    r->pos++;
    *out = (cria_jsontext){(const char *)r->scratch.data, r->scratch.len};
    return took_value(r);
}

/* ---- numbers ---- */

/* significand · 10^exponent, as far as 64 bits hold the digits. */
struct number {
    uint64_t significand;
    int exponent;
    bool negative, whole, exact; /* no '.', no 'e'; every digit is in the significand */
};

#define EXPONENT_MAX 100000

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static void digits(cria_jsonread *r, struct number *n, bool fraction) {
    for (; is_digit(ahead(r)); r->pos++) {
        uint64_t next;
        const uint64_t digit = (uint64_t)(r->text[r->pos] - '0');
        if (n->exact && !__builtin_mul_overflow(n->significand, (uint64_t)10, &next) &&
            next <= UINT64_MAX - digit) {
            n->significand = next + digit;
            if (fraction) n->exponent--;
            continue;
        }
        n->exact = false;
        if (!fraction && n->exponent < EXPONENT_MAX) n->exponent++;
    }
}

static bool exponent(cria_jsonread *r, struct number *n) {
    r->pos++;
    const bool negative = ahead(r) == '-';
    if (negative || ahead(r) == '+') r->pos++;
    if (!is_digit(ahead(r))) return malformed(r, "a digit");
    int e = 0;
    for (; is_digit(ahead(r)); r->pos++)
        if (e < EXPONENT_MAX) e = e * 10 + (r->text[r->pos] - '0');
    n->exponent += negative ? -e : e;
    return true;
}

static bool number(cria_jsonread *r, struct number *n) {
    if (!at_value(r)) return false;
    *n = (struct number){.whole = true, .exact = true};
    if (ahead(r) == '-') {
        n->negative = true;
        r->pos++;
    }
    if (!is_digit(ahead(r))) return malformed(r, "a number");
    if (ahead(r) == '0')
        r->pos++;
    else
        digits(r, n, false);
    if (is_digit(ahead(r))) return malformed(r, "the end of a number");
    if (ahead(r) == '.') {
        n->whole = false;
        r->pos++;
        if (!is_digit(ahead(r))) return malformed(r, "a digit");
        digits(r, n, true);
    }
    if (ahead(r) == 'e' || ahead(r) == 'E') {
        n->whole = false;
        if (!exponent(r, n)) return false;
    }
    return took_value(r);
}

bool cria_jsonread_int(cria_jsonread *r, int64_t *out) {
    struct number n;
    if (!number(r, &n)) return false;
    if (!n.whole) return cria_jsonread_fail(r, CRIA_EFORMAT, "a fraction where a whole number should be");
    if (!n.exact || n.significand > (uint64_t)INT64_MAX)
        return cria_jsonread_fail(r, CRIA_EFORMAT, "too large a number");
    *out = n.negative ? -(int64_t)n.significand : (int64_t)n.significand;
    return true;
}

/* e ≤ 308. Exact to 10^22; beyond, one rounding more than the nearest number. */
static double power_of_ten(int e) {
    static const double low[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    static const double high[14] = {1e0,   1e23,  1e46,  1e69,  1e92,  1e115, 1e138,
                                    1e161, 1e184, 1e207, 1e230, 1e253, 1e276, 1e299};
    return low[e % 23] * high[e / 23];
}

bool cria_jsonread_real(cria_jsonread *r, double *out) {
    struct number n;
    if (!number(r, &n)) return false;
    double x = (double)n.significand;
    while (n.exponent < -308 && x != 0) {
        x /= 1e308;
        n.exponent += 308;
    }
    if (x != 0 && n.exponent > 308) return cria_jsonread_fail(r, CRIA_EFORMAT, "too large a number");
    if (x != 0) x = n.exponent < 0 ? x / power_of_ten(-n.exponent) : x * power_of_ten(n.exponent);
    if (isinf(x)) return cria_jsonread_fail(r, CRIA_EFORMAT, "too large a number");
    *out = n.negative ? -x : x;
    return true;
}

/* ---- the rest ---- */

static bool word(cria_jsonread *r, const char *text) {
    const size_t n = strlen(text);
    if (r->len - r->pos < n || memcmp(r->text + r->pos, text, n) != 0) return false;
    r->pos += n;
    return took_value(r);
}

bool cria_jsonread_bool(cria_jsonread *r, bool *out) {
    if (!at_value(r)) return false;
    const bool value = ahead(r) == 't';
    if (!word(r, value ? "true" : "false")) return malformed(r, "true or false");
    *out = value;
    return true;
}

static bool skip_scalar(cria_jsonread *r) {
    cria_jsontext text;
    struct number n;
    bool flag;
    switch (cria_jsonread_peek(r)) {
    case CRIA_JSON_STRING:
        return cria_jsonread_string(r, &text);
    case CRIA_JSON_BOOL:
        return cria_jsonread_bool(r, &flag);
    case CRIA_JSON_NULL:
        return at_value(r) && (word(r, "null") || malformed(r, "a value"));
    default:
        return number(r, &n);
    }
}

bool cria_jsonread_skip(cria_jsonread *r) {
    const unsigned depth = r->depth;
    do {
        if (r->depth > depth) {
            const bool array = (r->is_array >> (r->depth - 1) & 1) != 0;
            cria_jsontext key;
            if (!(array ? cria_jsonread_item(r) : cria_jsonread_key(r, &key))) continue;
        }
        const enum cria_json_type type = cria_jsonread_peek(r);
        if (type == CRIA_JSON_ARRAY)
            cria_jsonread_array(r);
        else if (type == CRIA_JSON_OBJECT)
            cria_jsonread_object(r);
        else
            skip_scalar(r);
    } while (r->status == CRIA_OK && r->depth > depth);
    return r->status == CRIA_OK;
}

bool cria_jsonread_raw(cria_jsonread *r, cria_jsontext *out) {
    if (!at_value(r)) return false;
    const size_t from = r->pos;
    if (!cria_jsonread_skip(r)) return false;
    *out = (cria_jsontext){(const char *)r->text + from, r->pos - from};
    return true;
}

void cria_jsonread_sub(cria_jsonread *sub, const cria_jsonread *r, cria_jsontext raw) {
    const size_t from = (size_t)((const uint8_t *)raw.data - r->text);
    cria_jsonread_init(sub, r->scratch.ctx, r->text, from + raw.len, r->name, r->err);
    sub->pos = from;
    sub->status = r->status;
}
