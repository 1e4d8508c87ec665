/* SPDX-License-Identifier: Apache-2.0 */
/* The table of filters, and those on texts and numbers. */
#include "template/filters.h"
#include "template/characters.h"
#include "template/texts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FILTER(name)                                                                                                 \
    static bool name(jinja_state *s, jinja_value v, const jinja_value *given, const jinja_arguments *a,              \
                     jinja_value *out)
#define UNUSED(x) ((void)(x))

static bool given_int(jinja_state *s, jinja_value v, int64_t otherwise, int64_t *out) {
    return cria_jinja_int_argument(s, v, otherwise, out);
}

static bool is_given(jinja_value v) { return v.type != JINJA_MISSING; }

/* ---- any value ---- */

FILTER(f_default) {
    UNUSED(a);
    if (v.type != JINJA_UNDEFINED && (!cria_jinja_truth(given[1]) || cria_jinja_truth(v))) {
        *out = v;
        return true;
    }
    *out = given[0];
    return is_given(given[0]) || cria_jinja_text_view(s, "", 0, out);
}

FILTER(f_length) {
    UNUSED(given), UNUSED(a);
    size_t n = 0;
    if (v.type == JINJA_LOOP) return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "The length of a loop is loop.length");
    if (!cria_jinja_length(s, v, &n)) return false;
    *out = jinja_int((int64_t)n);
    return true;
}

FILTER(f_string) {
    UNUSED(given), UNUSED(a);
    return cria_jinja_to_text(s, v, out);
}

FILTER(f_safe) {
    UNUSED(given), UNUSED(a);
    if (!cria_jinja_to_text(s, v, out)) return false;
    out->safe = true;
    return true;
}

FILTER(f_escape) {
    UNUSED(given), UNUSED(a);
    return cria_jinja_escape(s, v, out);
}

FILTER(f_forceescape) {
    UNUSED(given), UNUSED(a);
    if (!cria_jinja_to_text(s, v, &v)) return false;
    v.safe = false;
    return cria_jinja_escape(s, v, out);
}

FILTER(f_attr) {
    UNUSED(a);
    if (given[0].type != JINJA_TEXT) return cria_jinja_fail(s, CRIA_EFORMAT, "attribute name must be string");
    /* A key of a dict is no attribute. */
    if (v.type == JINJA_DICT && !cria_jinja_find_method(v, given[0].text))
        return cria_jinja_undefined(s, v, given[0], out);
    return cria_jinja_attribute(s, v, given[0].text, out);
}

FILTER(f_tojson) {
    UNUSED(given);
    return cria_jinja_tojson(s, a, v, out);
}

/* ---- texts ---- */

static bool changed_case(jinja_state *s, jinja_value v, enum jinja_case_change change, jinja_value *out) {
    return cria_jinja_to_text(s, v, &v) && cria_jinja_change_case(s, v, change, out);
}
FILTER(f_upper) {
    UNUSED(given), UNUSED(a);
    return changed_case(s, v, CASE_UPPER, out);
}
FILTER(f_lower) {
    UNUSED(given), UNUSED(a);
    return changed_case(s, v, CASE_LOWER, out);
}
FILTER(f_capitalize) {
    UNUSED(given), UNUSED(a);
    return changed_case(s, v, CASE_CAPITALIZE, out);
}

/* Words begin after spaces, hyphens and opening brackets, unlike str.title(). */
FILTER(f_title) {
    UNUSED(given), UNUSED(a);
    if (!cria_jinja_to_text(s, v, &v)) return false;
    const bool safe = v.safe;
    v.safe = false;
    jinja_list *l = cria_jinja_list(s, 4);
    if (!l) return false;
    for (size_t at = 0; at < v.text->len;) {
        size_t first = at, end, next;
        bool border = true;
        while (first < v.text->len && border) { /* what is between words */
            next = first;
            const uint32_t c = cria_jinja_next_char(v.text, &next);
            border = cria_jinja_is_space(c) || (c < 0x80 && strchr("-({[<", (int)c));
            if (border) first = next;
        }
        next = first;
        if (first < v.text->len) cria_jinja_next_char(v.text, &next);
        for (end = next; end < v.text->len;) {
            size_t after = end;
            const uint32_t c = cria_jinja_next_char(v.text, &after);
            if (cria_jinja_is_space(c) || (c < 0x80 && strchr("-({[<", (int)c))) break;
            end = after;
        }
        jinja_value part;
        if (!cria_jinja_text_view(s, v.text->data + at, first - at, &part) || !cria_jinja_push(s, l, part))
            return false;
        if (!cria_jinja_text_view(s, v.text->data + first, next - first, &part) ||
            !cria_jinja_change_case(s, part, CASE_UPPER, &part) || !cria_jinja_push(s, l, part))
            return false;
        if (!cria_jinja_text_view(s, v.text->data + next, end - next, &part) ||
            !cria_jinja_change_case(s, part, CASE_LOWER, &part) || !cria_jinja_push(s, l, part))
            return false;
        at = end;
    }
    UNUSED(safe); /* "".join() makes a str of it */
    jinja_value none = jinja_none();
    return cria_jinja_text_view(s, "", 0, &none) && cria_jinja_join(s, none, l, out);
}

FILTER(f_trim) {
    UNUSED(a);
    return cria_jinja_to_text(s, v, &v) && cria_jinja_strip(s, v, given[0], 3, out);
}

FILTER(f_replace) {
    UNUSED(a);
    jinja_value from, to;
    int64_t count = -1;
    if (given[2].type != JINJA_NONE && !given_int(s, given[2], -1, &count)) return false;
    if (!cria_jinja_to_text(s, v, &v) || !cria_jinja_to_text(s, given[0], &from) ||
        !cria_jinja_to_text(s, given[1], &to))
        return false;
    v.safe = false; /* str(s) */
    return cria_jinja_replace(s, v, from, to, count, out);
}

FILTER(f_center) {
    UNUSED(a);
    int64_t width;
    return given_int(s, given[0], 80, &width) && cria_jinja_to_text(s, v, &v) &&
           cria_jinja_pad(s, v, width, NULL, 0, out);
}

FILTER(f_indent) {
    UNUSED(a);
    if (v.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, v);
    if (v.type != JINJA_TEXT)
        return cria_jinja_fail(s, CRIA_EFORMAT, "indent wants a string, not %s", cria_jinja_type_name(v));
    jinja_value by = given[0], newline;
    int64_t width = 4;
    if (by.type != JINJA_TEXT) {
        jinja_value blank;
        if (!given_int(s, by, 4, &width) || !cria_jinja_text_view(s, " ", 1, &blank) ||
            !cria_jinja_binary(s, OP_MUL, blank, jinja_int(width), &by))
            return false;
    }
    if (!cria_jinja_text_view(s, "\n", 1, &newline)) return false;
    newline.safe = v.safe;
    jinja_list *lines;
    const bool first = cria_jinja_truth(given[1]), blank_lines = cria_jinja_truth(given[2]);
    if (!cria_jinja_binary(s, OP_ADD, v, newline, &v) || !cria_jinja_split_lines(s, v, false, &lines)) return false;
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = true;
    for (size_t i = 0; ok && i < lines->n; i++) {
        const bool indented = i == 0 ? first : blank_lines || lines->items[i].text->len != 0;
        ok = (i == 0 || cria_jinja_write(s, &b, "\n", 1)) && (!indented || cria_jinja_str(s, &b, by)) &&
             cria_jinja_str(s, &b, lines->items[i]);
    }
    if (!cria_jinja_take(s, &b, ok, out)) return false;
    out->safe = v.safe;
    return true;
}

FILTER(f_truncate) {
    UNUSED(a);
    int64_t length, leeway = 5;
    jinja_value end = given[2];
    size_t n = 0;
    if (!is_given(end) && !cria_jinja_text_view(s, "...", 3, &end)) return false;
    if (!given_int(s, given[0], 255, &length) || (given[3].type != JINJA_NONE && !given_int(s, given[3], 5, &leeway)))
        return false;
    if (end.type != JINJA_TEXT || length < (int64_t)end.text->chars || leeway < 0)
        return cria_jinja_fail(s, CRIA_EFORMAT, "truncate: expected length >= %zu and leeway >= 0",
                               end.type == JINJA_TEXT ? end.text->chars : 0);
    if (!cria_jinja_length(s, v, &n)) return false;
    if ((int64_t)n - leeway <= length) {
        *out = v;
        return true;
    }
    if (v.type != JINJA_TEXT)
        return cria_jinja_fail(s, CRIA_EFORMAT, "truncate wants a string, not %s", cria_jinja_type_name(v));
    jinja_value head, blank, parts;
    if (!cria_jinja_substring(s, v, 0, (size_t)length - end.text->chars, &head)) return false;
    if (!cria_jinja_truth(given[1])) {
        if (!cria_jinja_text_view(s, " ", 1, &blank) || !cria_jinja_split(s, head, blank, 1, true, &parts))
            return false;
        head = parts.list->items[0];
    }
    return cria_jinja_binary(s, OP_ADD, head, end, out);
}

FILTER(f_format) {
    UNUSED(given);
    if (!cria_jinja_to_text(s, v, &v)) return false;
    jinja_value args;
    if (a->n && a->n_named)
        return cria_jinja_fail(s, CRIA_EFORMAT, "can't handle positional and keyword arguments at the same time");
    if (a->n_named) {
        args = (jinja_value){.type = JINJA_DICT, .dict = cria_jinja_dict(s)};
        for (size_t i = 0; args.dict && i < a->n_named; i++)
            if (!cria_jinja_dict_set(s, args.dict, (jinja_value){.type = JINJA_TEXT, .text = a->names[i]},
                                     a->named[i]))
                return false;
        return args.dict && cria_jinja_percent(s, v, args, out);
    }
    args = jinja_listed(JINJA_TUPLE, cria_jinja_list(s, 0));
    if (!args.list) return false;
    args.list->items = a->items;
    args.list->n = a->n;
    return cria_jinja_percent(s, v, args, out);
}

FILTER(f_wordcount) {
    UNUSED(given), UNUSED(a);
    if (!cria_jinja_to_text(s, v, &v) || !cria_jinja_steps(s, v.text->len / 16)) return false;
    int64_t n = 0;
    bool inside = false;
    for (size_t at = 0; at < v.text->len;) {
        const uint32_t c = cria_jinja_next_char(v.text, &at);
        const bool word = c == '_' || (cria_jinja_class_of(c) & (JINJA_ALPHA | JINJA_NUMERIC)) != 0;
        n += word && !inside;
        inside = word;
    }
    *out = jinja_int(n);
    return true;
}

static bool quote(jinja_state *s, cria_buf *b, jinja_value v, bool query) {
    if (!cria_jinja_to_text(s, v, &v)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < v.text->len; i++) {
        const uint8_t c = (uint8_t)v.text->data[i];
        const bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                           (c && strchr("_.-~", c)) || (c == '/' && !query);
        char text[4];
        const int n = plain || (c == ' ' && query) ? snprintf(text, sizeof text, "%c", c == ' ' ? '+' : c)
                                                   : snprintf(text, sizeof text, "%%%02X", c);
        ok = cria_jinja_write(s, b, text, (size_t)n);
    }
    return ok;
}

FILTER(f_urlencode) {
    UNUSED(given), UNUSED(a);
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = true;
    if (v.type == JINJA_DICT)
        for (size_t i = 0; ok && i < v.dict->n; i++)
            ok = (i == 0 || cria_jinja_write(s, &b, "&", 1)) && quote(s, &b, v.dict->entries[i].key, true) &&
                 cria_jinja_write(s, &b, "=", 1) && quote(s, &b, v.dict->entries[i].value, true);
    else if (v.type == JINJA_TEXT || v.type <= JINJA_FLOAT)
        ok = v.type == JINJA_UNDEFINED || quote(s, &b, v, false);
    else
        ok = cria_jinja_fail(s, CRIA_EUNSUPPORTED, "urlencode of a %s is not supported", cria_jinja_type_name(v));
    return cria_jinja_take(s, &b, ok, out);
}

/* ---- numbers ---- */

FILTER(f_abs) {
    UNUSED(given), UNUSED(a);
    int64_t i = 0;
    if (v.type == JINJA_FLOAT) {
        *out = jinja_float(fabs(v.real));
        return true;
    }
    if (!jinja_whole(v, &i))
        return cria_jinja_fail(s, CRIA_EFORMAT, "bad operand type for abs(): '%s'", cria_jinja_type_name(v));
    if (i == INT64_MIN) return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "An integer of more than 64 bits");
    *out = jinja_int(i < 0 ? -i : i);
    return true;
}

FILTER(f_int) {
    UNUSED(a);
    int64_t base, i = 0;
    double x;
    bool huge = false;
    if (!given_int(s, given[1], 10, &base)) return false;
    *out = is_given(given[0]) ? given[0] : jinja_int(0);
    if (v.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, v);
    if (jinja_whole(v, &i)) {
        *out = jinja_int(i);
        return true;
    }
    if (v.type == JINJA_TEXT) {
        if ((base == 0 || (base >= 2 && base <= 36)) && cria_jinja_read_int(v.text, base, &i, &huge)) {
            if (huge) return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "An integer of more than 64 bits");
            *out = jinja_int(i);
            return true;
        }
        if (!cria_jinja_read_float(v.text, &x)) return true;
    } else if (v.type == JINJA_FLOAT)
        x = v.real;
    else
        return true;
    if (isnan(x) || isinf(x)) return true;
    if (!cria_jinja_float_to_int(s, x, &i)) return false;
    *out = jinja_int(i);
    return true;
}

FILTER(f_float) {
    UNUSED(a);
    double x;
    *out = is_given(given[0]) ? given[0] : jinja_float(0);
    if (v.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, v);
    if (jinja_number(v, &x) || (v.type == JINJA_TEXT && cria_jinja_read_float(v.text, &x))) *out = jinja_float(x);
    return true;
}

/* round(), to even on the last decimal. */
static bool round_half_even(jinja_state *s, double x, int64_t precision, double *out) {
    if (isnan(x) || isinf(x) || precision > 300) {
        *out = x;
        return true;
    }
    if (precision < 0) {
        const double unit = pow(10, precision < -400 ? 400 : -(double)precision);
        *out = isinf(unit) ? copysign(0, x) : nearbyint(x / unit) * unit;
        return true;
    }
    char text[700];
    const int n = snprintf(text, sizeof text, "%.*f", (int)precision, x);
    for (int i = 0; i < n; i++)
        if (text[i] == ',') text[i] = '.'; /* a locale's */
    if (!cria_jinja_parse_float(text, (size_t)n, out)) return cria_jinja_fail(s, CRIA_EFORMAT, "rounding failed");
    *out = copysign(*out, x);
    return true;
}

FILTER(f_round) {
    UNUSED(a);
    int64_t precision, i = 0;
    double x = 0;
    if (!given_int(s, given[0], 0, &precision)) return false;
    const bool method = is_given(given[1]);
    if (method && given[1].type != JINJA_TEXT)
        return cria_jinja_fail(s, CRIA_EFORMAT, "method must be common, ceil or floor");
    const bool ceiling = method && cria_jinja_text_is(given[1].text, "ceil");
    const bool floored = method && cria_jinja_text_is(given[1].text, "floor");
    if (method && !ceiling && !floored && !cria_jinja_text_is(given[1].text, "common"))
        return cria_jinja_fail(s, CRIA_EFORMAT, "method must be common, ceil or floor");
    if (v.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, v);
    if (!jinja_number(v, &x))
        return cria_jinja_fail(s, CRIA_EFORMAT, "type %s doesn't define __round__ method", cria_jinja_type_name(v));
    if (ceiling || floored) {
        const double unit = pow(10, (double)precision), scaled = x * unit;
        *out = jinja_float((ceiling ? ceil(scaled) : floor(scaled)) / unit);
        return true;
    }
    if (jinja_whole(v, &i) && precision >= 0) {
        *out = jinja_int(i);
        return true;
    }
    if (!round_half_even(s, x, precision, &x)) return false;
    *out = jinja_float(x);
    if (v.type == JINJA_FLOAT) return true;
    if (!cria_jinja_float_to_int(s, x, &i)) return false;
    *out = jinja_int(i);
    return true;
}

FILTER(f_filesizeformat) {
    UNUSED(a);
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    static const char *const two[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    double x;
    if (!jinja_number(v, &x) && !(v.type == JINJA_TEXT && cria_jinja_read_float(v.text, &x)))
        return cria_jinja_fail(s, CRIA_EFORMAT, "filesizeformat wants a number");
    const bool binary = cria_jinja_truth(given[0]);
    const double base = binary ? 1024 : 1000;
    char text[400];
    int n;
    if (x == 1)
        n = snprintf(text, sizeof text, "1 Byte");
    else if (x < base)
        n = snprintf(text, sizeof text, "%.0f Bytes", trunc(x) + 0.0); /* no minus zero */
    else {
        double unit = base * base;
        int i = 0;
        for (; i < 7 && x >= unit; i++) unit *= base;
        n = snprintf(text, sizeof text, "%.1f %s", base * x / unit, binary ? two[i] : decimal[i]);
        for (int k = 0; k < n; k++)
            if (text[k] == ',') text[k] = '.';
    }
    return cria_jinja_text(s, text, (size_t)n, out);
}

static const struct jinja_filter filters[] = {
    {"abs", "", f_abs},
    {"attr", "name /", f_attr},
    {"batch", "linecount / fill_with", cria_jinja_f_batch},
    {"capitalize", "", f_capitalize},
    {"center", "width", f_center},
    {"count", "", f_length},
    {"d", "default_value boolean", f_default},
    {"default", "default_value boolean", f_default},
    {"dictsort", "case_sensitive by reverse", cria_jinja_f_dictsort},
    {"e", "", f_escape},
    {"escape", "", f_escape},
    {"filesizeformat", "binary", f_filesizeformat},
    {"first", "", cria_jinja_f_first},
    {"float", "default", f_float},
    {"forceescape", "", f_forceescape},
    {"format", "*", f_format},
    {"groupby", "attribute / default case_sensitive", cria_jinja_f_groupby},
    {"indent", "width first blank", f_indent},
    {"int", "default base", f_int},
    {"items", "", cria_jinja_f_items},
    {"join", "d attribute", cria_jinja_f_join},
    {"last", "", cria_jinja_f_last},
    {"length", "", f_length},
    {"list", "", cria_jinja_f_list},
    {"lower", "", f_lower},
    {"map", "*", cria_jinja_f_map},
    {"max", "case_sensitive attribute", cria_jinja_f_max},
    {"min", "case_sensitive attribute", cria_jinja_f_min},
    {"reject", "*", cria_jinja_f_reject},
    {"rejectattr", "*", cria_jinja_f_rejectattr},
    {"replace", "old new / count", f_replace},
    {"reverse", "", cria_jinja_f_reverse},
    {"round", "precision method", f_round},
    {"safe", "", f_safe},
    {"select", "*", cria_jinja_f_select},
    {"selectattr", "*", cria_jinja_f_selectattr},
    {"slice", "slices / fill_with", cria_jinja_f_slice},
    {"sort", "reverse case_sensitive attribute", cria_jinja_f_sort},
    {"string", "", f_string},
    {"sum", "attribute start", cria_jinja_f_sum},
    {"title", "", f_title},
    {"tojson", "*", f_tojson},
    {"trim", "chars", f_trim},
    {"truncate", "length killwords end leeway", f_truncate},
    {"unique", "case_sensitive attribute", cria_jinja_f_unique},
    {"upper", "", f_upper},
    {"urlencode", "", f_urlencode},
    {"wordcount", "", f_wordcount},
};

const struct jinja_filter *cria_jinja_find_filter(const jinja_text *name) {
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (cria_jinja_text_is(name, filters[i].name)) return &filters[i];
    return NULL;
}
