/* SPDX-License-Identifier: Apache-2.0 */
/* str() and repr() of every value. */
#include "template/tree.h"
#include "template/characters.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void cria_jinja_scratch(jinja_state *s, cria_buf *b) { cria_buf_init(b, s->ctx, CRIA_TEMPLATE_MAX_VALUES); }

bool cria_jinja_write(jinja_state *s, cria_buf *b, const void *data, size_t len) {
    if (s->status != CRIA_OK) return false;
    cria_error err;
    const cria_status st = cria_buf_append(b, data, len, &err);
    if (st == CRIA_OK) return cria_jinja_steps(s, len / 256);
    if (st == CRIA_EFULL)
        return cria_jinja_fail(s, st, "The chat template makes a text of more than %zu bytes (%s)", b->max,
                               b == &s->out ? "CRIA_TEMPLATE_MAX_OUTPUT" : "CRIA_TEMPLATE_MAX_VALUES");
    s->status = st;
    if (s->err) *s->err = err;
    return false;
}

bool cria_jinja_take(jinja_state *s, cria_buf *b, bool ok, jinja_value *out) {
    ok = ok && cria_jinja_text(s, (const char *)b->data, b->len, out);
    cria_buf_fini(b);
    return ok;
}

static bool word(jinja_state *s, cria_buf *b, const char *text) { return cria_jinja_write(s, b, text, strlen(text)); }

bool cria_jinja_parse_float(const char *text, size_t len, double *out) {
    cria_json *json;
    if (cria_json_parse(text, len, "number", &json, NULL) != CRIA_OK) return false;
    const bool ok = cria_json_real(json, out);
    cria_json_free(json);
    return ok;
}

/* The decimal of digits digits that is nearest, without the point that a locale may have made a comma. */
static int decimal(double x, int digits, char out[32], int *exponent) {
    char text[48];
    snprintf(text, sizeof text, "%.*e", digits - 1, x);
    int n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') out[n++] = *p;
    *exponent = 0;
    for (const char *e = *p ? p + 1 : p; *e; e++)
        if (*e >= '0' && *e <= '9') *exponent = *exponent * 10 + (*e - '0');
    if (*p && p[1] == '-') *exponent = -*exponent;
    return n;
}

static bool reads_back(double x, const char *digits, int n, int exponent) {
    char text[64];
    double back;
    const int len =
        snprintf(text, sizeof text, "%c.%.*se%d", digits[0], n > 1 ? n - 1 : 1, n > 1 ? digits + 1 : "0", exponent);
    return cria_jinja_parse_float(text, (size_t)len, &back) && back == x;
}

size_t cria_jinja_float_text(double x, char out[JINJA_FLOAT_BYTES]) {
    if (isnan(x)) return (size_t)snprintf(out, JINJA_FLOAT_BYTES, "nan");
    const char *sign = signbit(x) ? "-" : "";
    x = fabs(x);
    if (isinf(x)) return (size_t)snprintf(out, JINJA_FLOAT_BYTES, "%sinf", sign);
    char digits[32];
    int n = 0, e = 0;
    /* What has 15 digits or less is found with 15, but for subnormal numbers, which may be told by fewer. */
    for (int want = x < 0x1p-1022 ? 1 : 15; want <= 17; want++) {
        n = decimal(x, want, digits, &e);
        if (want == 17 || reads_back(x, digits, n, e)) break;
    }
    while (n > 1 && digits[n - 1] == '0') n--;
    int len;
    if (e < -4 || e >= 16)
        len = snprintf(out, JINJA_FLOAT_BYTES, "%s%c%s%.*se%s%02d", sign, digits[0], n > 1 ? "." : "", n - 1,
                       digits + 1, e < 0 ? "-" : "+", e < 0 ? -e : e);
    else if (e < 0)
        len = snprintf(out, JINJA_FLOAT_BYTES, "%s0.%.*s%.*s", sign, -e - 1, "0000", n, digits);
    else if (n <= e + 1)
        len = snprintf(out, JINJA_FLOAT_BYTES, "%s%.*s%.*s.0", sign, n, digits, e + 1 - n, "0000000000000000");
    else
        len = snprintf(out, JINJA_FLOAT_BYTES, "%s%.*s.%.*s", sign, e + 1, digits, n - e - 1, digits + e + 1);
    return (size_t)len;
}

static bool quoted(jinja_state *s, cria_buf *b, const jinja_text *t) {
    const bool single = t->len && memchr(t->data, '\'', t->len), twice = t->len && memchr(t->data, '"', t->len);
    const char quote = single && !twice ? '"' : '\'';
    bool ok = cria_jinja_write(s, b, &quote, 1);
    size_t from = 0;
    for (size_t at = 0; ok && at < t->len;) {
        uint32_t c;
        size_t n = cria_utf8_decode((const uint8_t *)t->data + at, t->len - at, &c);
        if (n == 0) n = 1;
        char text[12] = "";
        if (c == '\n')
            snprintf(text, sizeof text, "\\n");
        else if (c == '\t')
            snprintf(text, sizeof text, "\\t");
        else if (c == '\r')
            snprintf(text, sizeof text, "\\r");
        else if (c == '\\' || c == (uint32_t)quote)
            snprintf(text, sizeof text, "\\%c", (char)c);
        else if (c >= 0x20 && c < 0x7f)
            text[0] = '\0';
        else if (!(cria_jinja_class_of(c) & JINJA_PRINTABLE))
            snprintf(text, sizeof text, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        if (text[0]) {
            ok = cria_jinja_write(s, b, t->data + from, at - from) && word(s, b, text);
            from = at + n;
        }
        at += n;
    }
    return ok && cria_jinja_write(s, b, t->data + from, t->len - from) && cria_jinja_write(s, b, &quote, 1);
}

static bool items(jinja_state *s, cria_buf *b, const char *open, const jinja_list *l, const char *close) {
    if (!word(s, b, open)) return false;
    for (size_t i = 0; i < l->n; i++)
        if ((i && !word(s, b, ", ")) || !cria_jinja_repr(s, b, l->items[i])) return false;
    return word(s, b, close);
}

static bool members(jinja_state *s, cria_buf *b, const jinja_dict *d) {
    if (!word(s, b, "{")) return false;
    for (size_t i = 0; i < d->n; i++)
        if ((i && !word(s, b, ", ")) || !cria_jinja_repr(s, b, d->entries[i].key) || !word(s, b, ": ") ||
            !cria_jinja_repr(s, b, d->entries[i].value))
            return false;
    return word(s, b, "}");
}

static bool simple(jinja_state *s, cria_buf *b, jinja_value v) {
    char text[120];
    switch ((enum jinja_type)v.type) {
    case JINJA_NONE: return word(s, b, "None");
    case JINJA_BOOL: return word(s, b, v.flag ? "True" : "False");
    case JINJA_INT: snprintf(text, sizeof text, "%lld", (long long)v.integer); return word(s, b, text);
    case JINJA_FLOAT: return cria_jinja_write(s, b, text, cria_jinja_float_text(v.real, text));
    case JINJA_RANGE:
        snprintf(text, sizeof text, v.list->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                 (long long)v.list->start, (long long)v.list->stop, (long long)v.list->step);
        return word(s, b, text);
    case JINJA_MACRO: {
        const jinja_text *name = v.macro->node->text;
        return word(s, b, "<Macro '") &&
               (name ? cria_jinja_write(s, b, name->data, name->len) : word(s, b, "caller")) && word(s, b, "'>");
    }
    case JINJA_LOOP:
        snprintf(text, sizeof text, "<LoopContext %zu/%zu>", v.loop->index0 + 1, v.loop->source->n);
        return word(s, b, text);
    default: /* Python writes an address, which no template means */
        return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "A %s object has no text", cria_jinja_type_name(v));
    }
}

bool cria_jinja_repr(jinja_state *s, cria_buf *b, jinja_value v) {
    if (!cria_jinja_steps(s, 1) || !cria_jinja_enter(s)) return false;
    bool ok;
    switch ((enum jinja_type)v.type) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED: ok = word(s, b, "Undefined"); break;
    case JINJA_TEXT:
        ok = (!v.safe || word(s, b, "Markup(")) && quoted(s, b, v.text) && (!v.safe || word(s, b, ")"));
        break;
    case JINJA_LIST: ok = items(s, b, "[", v.list, "]"); break;
    case JINJA_TUPLE: ok = items(s, b, "(", v.list, v.list->n == 1 ? ",)" : ")"); break;
    case JINJA_VIEW: ok = word(s, b, v.list->name) && items(s, b, "([", v.list, "])"); break;
    case JINJA_DICT: ok = members(s, b, v.dict); break;
    case JINJA_NAMESPACE: ok = word(s, b, "<Namespace ") && members(s, b, v.dict) && word(s, b, ">"); break;
    default: ok = simple(s, b, v); break;
    }
    s->depth--;
    return ok;
}

bool cria_jinja_str(jinja_state *s, cria_buf *b, jinja_value v) {
    if (v.type == JINJA_TEXT) return cria_jinja_write(s, b, v.text->data, v.text->len);
    if (v.type == JINJA_UNDEFINED) return true;
    return cria_jinja_repr(s, b, v);
}

bool cria_jinja_to_text(jinja_state *s, jinja_value v, jinja_value *out) {
    if (v.type == JINJA_TEXT) {
        *out = v;
        return true;
    }
    cria_buf b;
    cria_jinja_scratch(s, &b);
    return cria_jinja_take(s, &b, cria_jinja_str(s, &b, v), out);
}
