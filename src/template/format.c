/* SPDX-License-Identifier: Apache-2.0 */
/* "%s" % x (and |format), and "{}".format(x). */
#include "template/tree.h"
#include "template/texts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WIDTH = 1 << 20, MAX_PRECISION = 300 };

/* How one value is to be written, whichever language said so. */
struct spec {
    jinja_value fill; /* a character, MISSING for a space */
    char align;       /* '<', '>', '^', '=', or '\0' for the type's own */
    char sign;        /* '+', ' ' or '\0' */
    bool other, zero, comma;
    int width, precision; /* precision -1: none */
    char type;
};

static bool bad(jinja_state *s, const char *what) { return cria_jinja_fail(s, CRIA_EFORMAT, "%s", what); }

/* digits (a sign may stand in front) put into the field. */
static bool field(jinja_state *s, cria_buf *b, const struct spec *f, const char *digits, size_t len, size_t chars,
                  char align) {
    const size_t n = f->width > 0 && (size_t)f->width > chars ? (size_t)f->width - chars : 0;
    if (f->align) align = f->align;
    const size_t left = align == '>'   ? n
                        : align == '^' ? n / 2
                                       : 0,
                 sign = align == '=' && len && strchr("+- ", digits[0]);
    const bool filled = f->fill.type == JINJA_TEXT;
    const char *fill = filled ? f->fill.text->data : " ";
    const size_t fill_len = filled ? f->fill.text->len : 1;
    bool ok = cria_jinja_steps(s, n / 8) && cria_jinja_write(s, b, digits, sign);
    for (size_t i = 0; ok && i < (align == '=' ? n : left); i++) ok = cria_jinja_write(s, b, fill, fill_len);
    ok = ok && cria_jinja_write(s, b, digits + sign, len - sign);
    for (size_t i = left; ok && align != '=' && i < n; i++) ok = cria_jinja_write(s, b, fill, fill_len);
    return ok;
}

static bool text_field(jinja_state *s, cria_buf *b, const struct spec *f, jinja_value v) {
    if (f->precision >= 0 && (size_t)f->precision < v.text->chars &&
        !cria_jinja_substring(s, v, 0, (size_t)f->precision, &v))
        return false;
    return field(s, b, f, v.text->data, v.text->len, v.text->chars, '<');
}

/* Puts a comma between every three digits of the integer part. */
static size_t with_commas(const char *digits, size_t n, char *out) {
    size_t whole = 0, k = 0;
    while (whole < n && digits[whole] >= '0' && digits[whole] <= '9') whole++;
    for (size_t i = 0; i < n; i++) {
        if (i && i < whole && (whole - i) % 3 == 0) out[k++] = ',';
        out[k++] = digits[i];
    }
    return k;
}

static bool signed_field(jinja_state *s, cria_buf *b, const struct spec *f, bool negative, const char *digits,
                         size_t n) {
    char text[1400];
    size_t k = 0;
    if (negative || f->sign) text[k++] = negative ? '-' : f->sign;
    if (f->comma)
        k += with_commas(digits, n, text + k);
    else {
        memcpy(text + k, digits, n);
        k += n;
    }
    struct spec with_zeros = *f;
    if (f->zero && f->align == '\0') with_zeros.align = '=';
    static const jinja_text zero = {"0", 1, 1};
    if (f->zero && f->fill.type == JINJA_MISSING) with_zeros.fill = (jinja_value){.type = JINJA_TEXT, .text = &zero};
    return field(s, b, &with_zeros, text, k, k, '>');
}

static bool whole_field(jinja_state *s, cria_buf *b, const struct spec *f, int64_t i) {
    char digits[400];
    size_t n = 0;
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    const unsigned base = f->type == 'x' || f->type == 'X' ? 16 : f->type == 'o' ? 8 : f->type == 'b' ? 2 : 10;
    char reversed[80];
    do reversed[n++] = (f->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
    while ((u /= base) != 0);
    size_t k = 0;
    if (f->other && base != 10) {
        digits[k++] = '0';
        digits[k++] = f->type;
    }
    while (f->precision > (int)n && k < sizeof digits - 80 && f->precision - (int)n > 0 && n < sizeof reversed)
        reversed[n++] = '0';
    while (n) digits[k++] = reversed[--n];
    return signed_field(s, b, f, i < 0, digits, k);
}

static bool real_field(jinja_state *s, cria_buf *b, const struct spec *f, double x) {
    char digits[700], format[8];
    const bool percent = f->type == '%', upper = f->type && strchr("EFG", f->type);
    const double a = fabs(percent ? x * 100 : x);
    int n;
    if (f->precision > MAX_PRECISION) return bad(s, "A precision of more than 300 digits");
    if (isnan(x) || isinf(x))
        n = snprintf(digits, sizeof digits, "%s", isnan(x) ? (upper ? "NAN" : "nan") : upper ? "INF" : "inf");
    else if (f->type == '\0' && f->precision < 0)
        n = (int)cria_jinja_float_text(a, digits);
    else {
        snprintf(format, sizeof format, f->other ? "%%#.*%c" : "%%.*%c", percent ? 'f' : f->type ? f->type : 'g');
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        n = snprintf(digits, sizeof digits, format, f->precision < 0 ? 6 : f->precision, a);
#pragma GCC diagnostic pop
        for (int i = 0; i < n; i++)
            if (digits[i] == ',') digits[i] = '.'; /* a locale's */
    }
    if (n < 0 || n > (int)sizeof digits - 2) return bad(s, "A number of too many digits");
    if (percent) digits[n++] = '%';
    return signed_field(s, b, f, signbit(x) && !isnan(x), digits, (size_t)n);
}

/* ---- "%s" % x ---- */

struct percent {
    jinja_value args;
    size_t next;
};

static bool next_argument(jinja_state *s, struct percent *p, jinja_value *out) {
    if (p->args.type == JINJA_TUPLE) {
        if (p->next >= p->args.list->n) return bad(s, "not enough arguments for format string");
        *out = p->args.list->items[p->next++];
        return true;
    }
    if (p->next++) return bad(s, "not enough arguments for format string");
    *out = p->args;
    return true;
}

static bool read_number(jinja_state *s, struct percent *p, const jinja_text *t, size_t *at, int *out) {
    int64_t n = 0;
    if (*at < t->len && t->data[*at] == '*') {
        jinja_value v = {.type = JINJA_NONE};
        ++*at;
        if (!next_argument(s, p, &v)) return false;
        if (v.type != JINJA_INT) return bad(s, "* wants int");
        n = v.integer;
    } else
        while (*at < t->len && t->data[*at] >= '0' && t->data[*at] <= '9' && n < MAX_WIDTH)
            n = n * 10 + (t->data[(*at)++] - '0');
    if (n < -MAX_WIDTH || n >= MAX_WIDTH) return cria_jinja_fail(s, CRIA_EFULL, "A width of more than %d", MAX_WIDTH);
    *out = (int)n;
    return true;
}

static bool convert(jinja_state *s, cria_buf *b, struct spec *f, jinja_value v) {
    int64_t i = 0;
    double x = 0;
    jinja_value t;
    cria_buf part;
    switch (f->type) {
    case 's':
        if (!cria_jinja_to_text(s, v, &t)) return false;
        if (!f->align) f->align = '>';
        return text_field(s, b, f, t);
    case 'r':
    case 'a':
        cria_jinja_scratch(s, &part);
        if (f->type == 'a') return bad(s, "%a is not supported");
        if (!cria_jinja_take(s, &part, cria_jinja_repr(s, &part, v), &t)) return false;
        if (!f->align) f->align = '>';
        return text_field(s, b, f, t);
    case 'c':
        if (v.type == JINJA_TEXT && v.text->chars == 1) return text_field(s, b, f, v);
        return bad(s, "%c requires a character");
    case 'd':
    case 'i':
    case 'u':
        f->type = 'd';
        if (v.type == JINJA_FLOAT && !cria_jinja_float_to_int(s, v.real, &i)) return false;
        if (v.type != JINJA_FLOAT && !jinja_whole(v, &i)) return bad(s, "%d format: a real number is required");
        return whole_field(s, b, f, i);
    case 'o':
    case 'x':
    case 'X':
        if (!jinja_whole(v, &i)) return bad(s, "%x format: an integer is required");
        return whole_field(s, b, f, i);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        if (!jinja_number(v, &x)) return bad(s, "must be real number");
        return real_field(s, b, f, x);
    default: return bad(s, "unsupported format character");
    }
}

static bool percent_field(jinja_state *s, cria_buf *b, struct percent *p, const jinja_text *t, size_t *at) {
    struct spec f = {.precision = -1};
    jinja_value v = jinja_none();
    bool keyed = false, left = false;
    if (*at < t->len && t->data[*at] == '(') {
        const char *close = memchr(t->data + *at, ')', t->len - *at);
        jinja_value k, *found;
        if (!close) return bad(s, "incomplete format key");
        if (p->args.type != JINJA_DICT) return bad(s, "format requires a mapping");
        if (!cria_jinja_text_view(s, t->data + *at + 1, (size_t)(close - t->data) - *at - 1, &k) ||
            !cria_jinja_dict_get(s, p->args.dict, k, &found))
            return false;
        if (!found) return bad(s, "a key of the format is missing");
        v = *found;
        keyed = true;
        *at = (size_t)(close - t->data) + 1;
    }
    for (; *at < t->len && t->data[*at] && strchr("-+ #0", t->data[*at]); ++*at) {
        const char c = t->data[*at];
        left = left || c == '-';
        if (c == '+' || (c == ' ' && f.sign == '\0')) f.sign = c;
        f.other = f.other || c == '#';
        f.zero = f.zero || c == '0';
    }
    if (!read_number(s, p, t, at, &f.width)) return false;
    if (f.width < 0) {
        left = true;
        f.width = -f.width;
    }
    if (*at < t->len && t->data[*at] == '.') {
        ++*at;
        if (!read_number(s, p, t, at, &f.precision)) return false;
        if (f.precision < 0) f.precision = 0;
    }
    while (*at < t->len && t->data[*at] && strchr("hlL", t->data[*at])) ++*at;
    if (*at >= t->len) return bad(s, "incomplete format");
    f.type = t->data[(*at)++];
    if (f.type == '%') return cria_jinja_write(s, b, "%", 1);
    if (left) {
        f.align = '<';
        f.zero = false;
    }
    return (keyed || next_argument(s, p, &v)) && convert(s, b, &f, v);
}

bool cria_jinja_percent(jinja_state *s, jinja_value format, jinja_value args, jinja_value *out) {
    const jinja_text *t = format.text;
    struct percent p = {args, 0};
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = true;
    for (size_t at = 0; ok && at < t->len;) {
        const char *sign = memchr(t->data + at, '%', t->len - at);
        const size_t next = sign ? (size_t)(sign - t->data) : t->len;
        ok = cria_jinja_steps(s, 1) && cria_jinja_write(s, &b, t->data + at, next - at);
        at = next + 1;
        if (sign && ok) ok = percent_field(s, &b, &p, t, &at);
    }
    const bool all = args.type == JINJA_TUPLE ? p.next >= args.list->n
                                              : p.next || args.type == JINJA_DICT || args.type == JINJA_LIST ||
                                                    args.type == JINJA_UNDEFINED || args.type == JINJA_RANGE;
    if (ok && !all) ok = bad(s, "not all arguments converted during string formatting");
    if (!cria_jinja_take(s, &b, ok, out)) return false;
    out->safe = format.safe;
    return true;
}

/* ---- "{}".format(x) ---- */

struct braces {
    const jinja_arguments *a;
    size_t next;
    bool automatic, numbered;
};

/* The value of "0", "name", "name.attribute" or "0[key]" in text[at, end). */
static bool lookup(jinja_state *s, struct braces *p, const jinja_text *t, size_t at, size_t end, jinja_value *out) {
    size_t stop = at;
    while (stop < end && t->data[stop] != '.' && t->data[stop] != '[') stop++;
    jinja_value name;
    int64_t i = -1;
    bool huge = false;
    if (!cria_jinja_text_view(s, t->data + at, stop - at, &name)) return false;
    const bool number =
        stop == at || (t->data[at] >= '0' && t->data[at] <= '9' && cria_jinja_read_int(name.text, 10, &i, &huge));
    if (stop == at) {
        i = (int64_t)p->next++;
        p->automatic = true;
    } else if (number)
        p->numbered = true;
    if (p->automatic && p->numbered) return bad(s, "cannot switch between manual and automatic field numbering");
    if (number) {
        if (huge || (uint64_t)i >= p->a->n) return bad(s, "Replacement index out of range for positional args tuple");
        *out = p->a->items[i];
    } else {
        size_t k = 0;
        while (k < p->a->n_named &&
               (p->a->names[k]->len != stop - at || memcmp(p->a->names[k]->data, t->data + at, stop - at) != 0))
            k++;
        if (k == p->a->n_named) return bad(s, "a name of the format is not among the arguments");
        *out = p->a->named[k];
    }
    while (stop < end) {
        const bool dot = t->data[stop] == '.';
        size_t from = ++stop;
        while (stop < end && (dot ? t->data[stop] != '.' && t->data[stop] != '[' : t->data[stop] != ']')) stop++;
        if (from == stop || (!dot && stop == end)) return bad(s, "Empty attribute in format string");
        if (!cria_jinja_text_view(s, t->data + from, stop - from, &name)) return false;
        if (!dot && cria_jinja_read_int(name.text, 10, &i, &huge) && !huge) name = jinja_int(i);
        if (!dot) stop++;
        if (dot ? !cria_jinja_attribute(s, *out, name.text, out) : !cria_jinja_item(s, *out, name, out)) return false;
        if (!dot && stop < end && t->data[stop] != '.' && t->data[stop] != '[')
            return bad(s, "Only '.' or '[' may follow ']' in format field specifier");
    }
    return true;
}

static bool read_spec(jinja_state *s, const jinja_text *t, size_t at, size_t end, struct spec *f) {
    *f = (struct spec){.precision = -1};
    size_t after = at;
    if (at < end) cria_jinja_next_char(t, &after);
    if (after < end && strchr("<>^=", t->data[after])) {
        if (!cria_jinja_text_view(s, t->data + at, after - at, &f->fill)) return false;
        at = after;
    }
    if (at < end && t->data[at] && strchr("<>^=", t->data[at])) f->align = t->data[at++];
    if (at < end && t->data[at] && strchr("+- ", t->data[at])) {
        f->sign = t->data[at] == '-' ? '\0' : t->data[at];
        at++;
    }
    if (at < end && t->data[at] == '#') f->other = ++at != 0;
    if (at < end && t->data[at] == '0') f->zero = ++at != 0;
    while (at < end && t->data[at] >= '0' && t->data[at] <= '9' && f->width < MAX_WIDTH)
        f->width = f->width * 10 + (t->data[at++] - '0');
    if (f->width >= MAX_WIDTH) return cria_jinja_fail(s, CRIA_EFULL, "A width of more than %d", MAX_WIDTH);
    if (at < end && t->data[at] == ',') f->comma = ++at != 0;
    if (at < end && t->data[at] == '.') {
        f->precision = 0;
        if (++at == end || t->data[at] < '0' || t->data[at] > '9')
            return bad(s, "Format specifier missing precision");
        while (at < end && t->data[at] >= '0' && t->data[at] <= '9' && f->precision < MAX_WIDTH)
            f->precision = f->precision * 10 + (t->data[at++] - '0');
    }
    if (at < end) f->type = t->data[at++];
    return at == end || bad(s, "Invalid format specifier");
}

static bool formatted(jinja_state *s, cria_buf *b, struct spec *f, jinja_value v) {
    int64_t i = 0;
    double x = 0;
    const bool plain = f->type == '\0' && f->width == 0 && f->precision < 0 && !f->comma && !f->sign && !f->align;
    if (plain) return cria_jinja_str(s, b, v);
    if (v.type == JINJA_TEXT) {
        if ((f->type && f->type != 's') || f->comma || f->sign || f->align == '=')
            return bad(s, "Unknown format code for object of type 'str'");
        static const jinja_text zero = {"0", 1, 1};
        if (f->zero && f->fill.type == JINJA_MISSING) f->fill = (jinja_value){.type = JINJA_TEXT, .text = &zero};
        return text_field(s, b, f, v);
    }
    const bool real = f->type && strchr("eEfFgG%", f->type);
    if (v.type == JINJA_BOOL && f->type == '\0')
        return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "This format of a bool is not supported");
    if (jinja_whole(v, &i) && !real) {
        if (f->type && !strchr("dxXob", f->type)) return bad(s, "Unknown format code for object of type 'int'");
        if (f->precision >= 0) return bad(s, "Precision not allowed in integer format specifier");
        return whole_field(s, b, f, i);
    }
    if (!jinja_number(v, &x)) return bad(s, "unsupported format string passed to __format__");
    if (f->type && !real) return bad(s, "Unknown format code for object of type 'float'");
    if (f->type == '\0' && f->precision >= 0)
        return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "A precision without a type is not supported");
    return real_field(s, b, f, x);
}

static bool brace_field(jinja_state *s, cria_buf *b, struct braces *p, const jinja_text *t, size_t at, size_t end) {
    size_t name = at;
    for (bool inside = false; name < end && (inside || (t->data[name] != '!' && t->data[name] != ':')); name++)
        inside = t->data[name] == '[' || (inside && t->data[name] != ']');
    jinja_value v;
    struct spec f;
    if (!lookup(s, p, t, at, name, &v)) return false;
    if (name < end && t->data[name] == '!') {
        const char how = name + 1 < end ? t->data[name + 1] : '\0';
        cria_buf part;
        if (how != 'r' && how != 's') return bad(s, "Unknown conversion specifier");
        if (how == 's' && !cria_jinja_to_text(s, v, &v)) return false;
        cria_jinja_scratch(s, &part);
        if (how == 'r' && !cria_jinja_take(s, &part, cria_jinja_repr(s, &part, v), &v)) return false;
        name += 2;
        if (name < end && t->data[name] != ':') return bad(s, "expected ':' after conversion specifier");
    }
    return read_spec(s, t, name < end ? name + 1 : end, end, &f) && formatted(s, b, &f, v);
}

bool cria_jinja_format(jinja_state *s, const jinja_text *t, const jinja_arguments *a, jinja_value *out) {
    struct braces p = {.a = a};
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = true;
    for (size_t at = 0; ok && at < t->len;) {
        size_t next = at;
        while (next < t->len && t->data[next] != '{' && t->data[next] != '}') next++;
        ok = cria_jinja_steps(s, 1) && cria_jinja_write(s, &b, t->data + at, next - at);
        at = next;
        if (!ok || at >= t->len) break;
        if (at + 1 < t->len && t->data[at + 1] == t->data[at]) {
            ok = cria_jinja_write(s, &b, t->data + at, 1);
            at += 2;
            continue;
        }
        const char *close = t->data[at] == '{' ? memchr(t->data + at, '}', t->len - at) : NULL;
        if (!close) {
            ok = bad(s, "Single '{' or '}' encountered in format string");
            break;
        }
        const size_t end = (size_t)(close - t->data);
        if (memchr(t->data + at + 1, '{', end - at - 1))
            ok = cria_jinja_fail(s, CRIA_EUNSUPPORTED, "A field within a format is not supported");
        ok = ok && brace_field(s, &b, &p, t, at + 1, end);
        at = end + 1;
    }
    return cria_jinja_take(s, &b, ok, out);
}
