/* SPDX-License-Identifier: Apache-2.0 */
/* |tojson: json.dumps with ensure_ascii=False and what transformers lets templates choose. */
#include "template/tree.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct style {
    bool ascii, sort, lines;
    jinja_value indent, item, key; /* a level's blanks; between items; between key and value */
};

static bool word(jinja_state *s, cria_buf *b, const char *text) { return cria_jinja_write(s, b, text, strlen(text)); }

static bool text_value(jinja_state *s, cria_buf *b, const struct style *style, const jinja_text *t) {
    static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
    bool ok = word(s, b, "\"");
    size_t plain = 0;
    for (size_t at = 0; ok && at < t->len;) {
        uint32_t c;
        size_t n = cria_utf8_decode((const uint8_t *)t->data + at, t->len - at, &c);
        if (n == 0) n = 1;
        char out[16] = "";
        const char *found = c && c < 0x80 ? strchr(from, (int)c) : NULL;
        if (found)
            snprintf(out, sizeof out, "\\%c", to[found - from]);
        else if (c < 0x20 || (style->ascii && c >= 0x7f && c < 0x10000 && c != 0x7f))
            snprintf(out, sizeof out, "\\u%04x", (unsigned)c);
        else if (style->ascii && c >= 0x10000)
            snprintf(out, sizeof out, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (c >> 10)),
                     (unsigned)(0xdc00 + (c & 0x3ff)));
        if (out[0]) {
            ok = cria_jinja_write(s, b, t->data + plain, at - plain) && word(s, b, out);
            plain = at + n;
        }
        at += n;
    }
    return ok && cria_jinja_write(s, b, t->data + plain, t->len - plain) && word(s, b, "\"");
}

static bool number(jinja_state *s, cria_buf *b, jinja_value v) {
    char text[JINJA_FLOAT_BYTES];
    if (v.type == JINJA_FLOAT && isnan(v.real)) return word(s, b, "NaN");
    if (v.type == JINJA_FLOAT && isinf(v.real)) return word(s, b, v.real < 0 ? "-Infinity" : "Infinity");
    if (v.type == JINJA_FLOAT) return cria_jinja_write(s, b, text, cria_jinja_float_text(v.real, text));
    snprintf(text, sizeof text, "%lld", (long long)v.integer);
    return word(s, b, text);
}

static bool line(jinja_state *s, cria_buf *b, const struct style *style, unsigned level) {
    if (!style->lines) return true;
    bool ok = word(s, b, "\n");
    for (unsigned i = 0; ok && i < level; i++) ok = cria_jinja_str(s, b, style->indent);
    return ok;
}

static bool value(jinja_state *s, cria_buf *b, const struct style *style, jinja_value v, unsigned level);

static bool key_text(jinja_state *s, cria_buf *b, const struct style *style, jinja_value k) {
    if (k.type == JINJA_TEXT) return text_value(s, b, style, k.text);
    if (k.type < JINJA_NONE || k.type > JINJA_FLOAT)
        return cria_jinja_fail(s, CRIA_EFORMAT, "keys must be str, int, float, bool or None, not %s",
                               cria_jinja_type_name(k));
    return word(s, b, "\"") && value(s, b, style, k, 0) && word(s, b, "\"");
}

static bool sorted(jinja_state *s, const jinja_dict *d, jinja_value **keys) {
    *keys = cria_jinja_alloc_array(s, 2 * d->n, sizeof **keys);
    if (!*keys) return false;
    for (size_t i = 0; i < d->n; i++) (*keys)[i] = (*keys)[d->n + i] = d->entries[i].key;
    return cria_jinja_sort(s, *keys, *keys + d->n, d->n, false);
}

static bool object(jinja_state *s, cria_buf *b, const struct style *style, const jinja_dict *d, unsigned level) {
    jinja_value *keys = NULL;
    if (d->n == 0) return word(s, b, "{}");
    if (style->sort && !sorted(s, d, &keys)) return false;
    bool ok = word(s, b, "{");
    for (size_t i = 0; ok && i < d->n; i++) {
        jinja_value k = d->entries[i].key, *found = &d->entries[i].value;
        if (keys) {
            k = keys[i];
            if (!cria_jinja_dict_get(s, d, k, &found) || !found) return false;
        }
        ok = (i == 0 || cria_jinja_str(s, b, style->item)) && line(s, b, style, level + 1) &&
             key_text(s, b, style, k) && cria_jinja_str(s, b, style->key) && value(s, b, style, *found, level + 1);
    }
    return ok && line(s, b, style, level) && word(s, b, "}");
}

static bool array(jinja_state *s, cria_buf *b, const struct style *style, const jinja_list *l, unsigned level) {
    if (l->n == 0) return word(s, b, "[]");
    bool ok = word(s, b, "[");
    for (size_t i = 0; ok && i < l->n; i++)
        ok = (i == 0 || cria_jinja_str(s, b, style->item)) && line(s, b, style, level + 1) &&
             value(s, b, style, l->items[i], level + 1);
    return ok && line(s, b, style, level) && word(s, b, "]");
}

static bool value(jinja_state *s, cria_buf *b, const struct style *style, jinja_value v, unsigned level) {
    if (!cria_jinja_steps(s, 1) || !cria_jinja_enter(s)) return false;
    bool ok;
    switch ((enum jinja_type)v.type) {
    case JINJA_NONE: ok = word(s, b, "null"); break;
    case JINJA_BOOL: ok = word(s, b, v.flag ? "true" : "false"); break;
    case JINJA_INT:
    case JINJA_FLOAT: ok = number(s, b, v); break;
    case JINJA_TEXT: ok = text_value(s, b, style, v.text); break;
    case JINJA_LIST:
    case JINJA_TUPLE: ok = array(s, b, style, v.list, level); break;
    case JINJA_DICT: ok = object(s, b, style, v.dict, level); break;
    default:
        ok = cria_jinja_fail(s, CRIA_EFORMAT, "Object of type %s is not JSON serializable", cria_jinja_type_name(v));
        break;
    }
    s->depth--;
    return ok;
}

static bool separators(jinja_state *s, jinja_value given, struct style *style) {
    jinja_list *l;
    if (given.type == JINJA_MISSING || given.type == JINJA_NONE)
        return cria_jinja_text_view(s, ", ", style->lines ? 1 : 2, &style->item) &&
               cria_jinja_text_view(s, ": ", 2, &style->key);
    if (!cria_jinja_iterate(s, given, &l)) return false;
    if (l->n != 2 || l->items[0].type != JINJA_TEXT || l->items[1].type != JINJA_TEXT)
        return cria_jinja_fail(s, CRIA_EFORMAT, "separators are two strings");
    style->item = l->items[0];
    style->key = l->items[1];
    return true;
}

bool cria_jinja_tojson(jinja_state *s, const jinja_arguments *a, jinja_value v, jinja_value *out) {
    jinja_value given[JINJA_MAX_PARAMETERS];
    struct style style = {0};
    int64_t width = 0;
    if (!cria_jinja_bind(s, "filter ", "tojson", "ensure_ascii indent separators sort_keys", a, given)) return false;
    style.ascii = cria_jinja_truth(given[0]);
    style.sort = cria_jinja_truth(given[3]);
    style.lines = given[1].type != JINJA_MISSING && given[1].type != JINJA_NONE;
    style.indent = given[1];
    if (style.lines && given[1].type != JINJA_TEXT) {
        jinja_value blank;
        if (!cria_jinja_int_argument(s, given[1], 0, &width) || !cria_jinja_text_view(s, " ", 1, &blank) ||
            !cria_jinja_binary(s, OP_MUL, blank, jinja_int(width), &style.indent))
            return false;
    }
    if (!separators(s, given[2], &style)) return false;
    cria_buf b;
    cria_jinja_scratch(s, &b);
    return cria_jinja_take(s, &b, value(s, &b, &style, v, 0), out);
}
