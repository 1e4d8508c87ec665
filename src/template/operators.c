/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic, attributes, items and slices. */
#include "template/tree.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

/* ---- texts ---- */

bool cria_jinja_substring(jinja_state *s, jinja_value v, size_t first, size_t end, jinja_value *out) {
    const size_t from = cria_jinja_offset(v.text, first);
    const size_t to = cria_jinja_offset(v.text, end);
    if (!cria_jinja_steps(s, v.text->len == v.text->chars ? 0 : to / 16)) return false;
    if (!cria_jinja_text_view(s, v.text->data + from, to - from, out)) return false;
    out->safe = v.safe;
    return true;
}

bool cria_jinja_escape(jinja_state *s, jinja_value v, jinja_value *out) {
    if (v.type == JINJA_TEXT && v.safe) {
        *out = v;
        return true;
    }
    if (!cria_jinja_to_text(s, v, &v)) return false;
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = true;
    size_t from = 0;
    for (size_t i = 0; ok && i < v.text->len; i++) {
        const char c = v.text->data[i];
        const char *to = c == '&'    ? "&amp;"
                         : c == '<'  ? "&lt;"
                         : c == '>'  ? "&gt;"
                         : c == '\'' ? "&#39;"
                         : c == '"'  ? "&#34;"
                                     : NULL;
        if (!to) continue;
        ok = cria_jinja_write(s, &b, v.text->data + from, i - from) && cria_jinja_write(s, &b, to, strlen(to));
        from = i + 1;
    }
    ok = ok && cria_jinja_write(s, &b, v.text->data + from, v.text->len - from);
    if (!cria_jinja_take(s, &b, ok, out)) return false;
    out->safe = true;
    return true;
}

static bool concat(jinja_state *s, jinja_value a, jinja_value b, jinja_value *out) {
    if (a.safe != b.safe && (!cria_jinja_escape(s, a, &a) || !cria_jinja_escape(s, b, &b))) return false;
    char *data = cria_jinja_alloc(s, a.text->len + b.text->len);
    jinja_text *t = cria_jinja_alloc(s, sizeof *t);
    if (!data || !t) return false;
    if (a.text->len) memcpy(data, a.text->data, a.text->len);
    if (b.text->len) memcpy(data + a.text->len, b.text->data, b.text->len);
    *t = (jinja_text){data, a.text->len + b.text->len, a.text->chars + b.text->chars};
    *out = (jinja_value){.type = JINJA_TEXT, .safe = a.safe, .text = t};
    return cria_jinja_steps(s, t->len / 256);
}

static bool repeat(jinja_state *s, jinja_value v, int64_t times, jinja_value *out) {
    const size_t n = times > 0 ? (size_t)times : 0;
    size_t total;
    if (v.type == JINJA_TEXT) {
        if (__builtin_mul_overflow(n, v.text->len, &total)) total = SIZE_MAX;
        char *data = cria_jinja_alloc(s, total);
        if (!data || !cria_jinja_steps(s, total / 64)) return false;
        for (size_t at = 0; v.text->len && at < total; at += v.text->len)
            memcpy(data + at, v.text->data, v.text->len);
        if (!cria_jinja_text_view(s, data, total, out)) return false;
        out->safe = v.safe;
        return true;
    }
    if (__builtin_mul_overflow(n, v.list->n, &total)) total = SIZE_MAX;
    jinja_list *l = cria_jinja_list(s, total);
    if (!l || !cria_jinja_steps(s, total)) return false;
    for (size_t i = 0; i < total; i++) l->items[l->n++] = v.list->items[i % v.list->n];
    *out = jinja_listed(v.type, l);
    return true;
}

/* ---- numbers ---- */

static bool overflow(jinja_state *s) {
    return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "An integer of more than 64 bits");
}
static bool by_zero(jinja_state *s) { return cria_jinja_fail(s, CRIA_EFORMAT, "division by zero"); }

bool cria_jinja_float_to_int(jinja_state *s, double x, int64_t *out) {
    if (isnan(x) || isinf(x))
        return cria_jinja_fail(s, CRIA_EFORMAT, "cannot convert float infinity or NaN to integer");
    if (x < -0x1p63 || x >= 0x1p63) return overflow(s);
    *out = (int64_t)x;
    return true;
}

static bool power(jinja_state *s, int64_t base, int64_t exponent, jinja_value *out) {
    if (exponent < 0) {
        if (base == 0) return by_zero(s);
        *out = jinja_float(pow((double)base, (double)exponent));
        return true;
    }
    int64_t result = 1;
    bool fits = true; /* base as squared so far */
    while (exponent) {
        if (exponent & 1) {
            if (!fits || __builtin_mul_overflow(result, base, &result)) return overflow(s);
        }
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base)) fits = false;
    }
    *out = jinja_int(result);
    return true;
}

static bool whole(jinja_state *s, int op, int64_t a, int64_t b, jinja_value *out) {
    int64_t r = 0;
    switch (op) {
    case OP_ADD:
        if (__builtin_add_overflow(a, b, &r)) return overflow(s);
        break;
    case OP_SUB:
        if (__builtin_sub_overflow(a, b, &r)) return overflow(s);
        break;
    case OP_MUL:
        if (__builtin_mul_overflow(a, b, &r)) return overflow(s);
        break;
    case OP_POW: return power(s, a, b, out);
    case OP_DIV:
        if (b == 0) return by_zero(s);
        *out = jinja_float((double)a / (double)b);
        return true;
    default: /* towards minus infinity */
        if (b == 0) return by_zero(s);
        if (b == -1) {
            if (op == OP_FLOORDIV && __builtin_sub_overflow(0, a, &r)) return overflow(s);
            break;
        }
        r = op == OP_MOD ? a % b : a / b;
        if (a % b != 0 && (a % b < 0) != (b < 0)) r += op == OP_MOD ? b : -1;
    }
    *out = jinja_int(r);
    return true;
}

static bool real(jinja_state *s, int op, double a, double b, jinja_value *out) {
    double r = 0;
    switch (op) {
    case OP_ADD: r = a + b; break;
    case OP_SUB: r = a - b; break;
    case OP_MUL: r = a * b; break;
    case OP_POW:
        if (a == 0 && b < 0) return by_zero(s);
        if (a < 0 && floor(b) != b) return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "A power that is a complex number");
        r = pow(a, b);
        if (isinf(r) && !isinf(a) && !isinf(b))
            return cria_jinja_fail(s, CRIA_EFORMAT, "Numerical result out of range");
        break;
    default:
        if (b == 0) return by_zero(s);
        if (op == OP_DIV) {
            r = a / b;
            break;
        }
        double mod = fmod(a, b);
        const double div = (a - mod) / b;
        if (mod != 0 && (b < 0) != (mod < 0)) {
            if (op == OP_MOD)
                r = mod + b;
            else
                r = div - 1;
        } else
            r = op == OP_MOD ? (mod != 0 ? mod : copysign(0, b)) : div;
        if (op == OP_FLOORDIV) r = r != 0 ? (r - floor(r) > 0.5 ? floor(r) + 1 : floor(r)) : copysign(0, a / b);
    }
    *out = jinja_float(r);
    return true;
}

static bool add_lists(jinja_state *s, jinja_value a, jinja_value b, jinja_value *out) {
    jinja_list *l = cria_jinja_list(s, a.list->n + b.list->n);
    if (!l || !cria_jinja_steps(s, a.list->n + b.list->n)) return false;
    if (a.list->n) memcpy(l->items, a.list->items, a.list->n * sizeof *l->items);
    if (b.list->n) memcpy(l->items + a.list->n, b.list->items, b.list->n * sizeof *l->items);
    l->n = a.list->n + b.list->n;
    *out = jinja_listed(a.type, l);
    return true;
}

bool cria_jinja_binary(jinja_state *s, int op, jinja_value a, jinja_value b, jinja_value *out) {
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
    int64_t i = 0, k = 0;
    double x = 0, y = 0;
    if (jinja_whole(a, &i) && jinja_whole(b, &k)) return whole(s, op, i, k, out);
    if (jinja_number(a, &x) && jinja_number(b, &y)) return real(s, op, x, y, out);
    if (a.type == JINJA_TEXT && op == OP_MOD) return cria_jinja_percent(s, a, b, out);
    if (a.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, a);
    if (b.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, b);
    const bool lists = a.type == JINJA_LIST || a.type == JINJA_TUPLE;
    if (op == OP_ADD && a.type == b.type) {
        if (a.type == JINJA_TEXT) return concat(s, a, b, out);
        if (lists) return add_lists(s, a, b, out);
    }
    if (op == OP_MUL && (a.type == JINJA_TEXT || lists) && jinja_whole(b, &k)) return repeat(s, a, k, out);
    if (op == OP_MUL && (b.type == JINJA_TEXT || b.type == JINJA_LIST || b.type == JINJA_TUPLE) && jinja_whole(a, &i))
        return repeat(s, b, i, out);
    return cria_jinja_fail(s, CRIA_EFORMAT, "unsupported operand type(s) for %s: '%s' and '%s'", signs[op],
                           cria_jinja_type_name(a), cria_jinja_type_name(b));
}

/* ---- attributes and items ---- */

static bool unsafe(jinja_state *s, jinja_value v, const jinja_text *name, jinja_value *out) {
    const char *type = cria_jinja_type_name(v);
    const size_t room = 100 + (name->len < 100 ? name->len : 100);
    char *hint = cria_jinja_alloc(s, room);
    if (!hint) return false;
    const char *parts[] = {"access to attribute '", NULL, "' of '", type, "' object is unsafe."};
    size_t n = 0;
    for (size_t i = 0; i < 5; i++) {
        const char *from = parts[i] ? parts[i] : name->data;
        const size_t len = parts[i] ? strlen(parts[i]) : name->len < 100 ? name->len : 100;
        memcpy(hint + n, from, len);
        n += len;
    }
    hint[n] = '\0';
    return cria_jinja_undefined_hint(s, hint, out);
}

/* What Python's getattr finds. */
static bool own_attribute(jinja_state *s, jinja_value v, const jinja_text *name, bool *found, jinja_value *out) {
    jinja_value *member;
    *found = true;
    if (v.type == JINJA_NAMESPACE) {
        if (!cria_jinja_dict_find(s, v.dict, name, &member)) return false;
        *found = member != NULL;
        if (member) *out = *member;
        return true;
    }
    if (v.type == JINJA_LOOP) {
        if (!cria_jinja_loop_attribute(s, v, name, found, out)) return false;
        if (*found) return true;
        *found = true;
    }
    if (v.type == JINJA_CYCLER && cria_jinja_text_is(name, "current")) {
        *out = v.list->items[v.list->pos];
        return true;
    }
    if (v.type == JINJA_MACRO && cria_jinja_text_is(name, "name") && v.macro->node->text) {
        *out = (jinja_value){.type = JINJA_TEXT, .text = v.macro->node->text};
        return true;
    }
    if (v.type == JINJA_TUPLE && v.list->name && v.list->n == 2) {
        const bool first = cria_jinja_text_is(name, "grouper");
        if (first || cria_jinja_text_is(name, "list")) {
            *out = v.list->items[first ? 0 : 1];
            return true;
        }
    }
    const struct jinja_method_entry *entry = cria_jinja_find_method(v, name);
    if (entry && entry->call) {
        struct jinja_method *m = cria_jinja_alloc(s, sizeof *m);
        if (!m) return false;
        *m = (struct jinja_method){v, entry};
        *out = (jinja_value){.type = JINJA_METHOD, .method = m};
        return true;
    }
    if (entry && !entry->parameters)
        return cria_jinja_fail(s, CRIA_EUNSUPPORTED, "The method '%s' of '%s' is not supported", entry->name,
                               cria_jinja_type_name(v));
    if (entry) return unsafe(s, v, name, out);
    *found = false;
    return true;
}

static bool underlined(const jinja_text *name) {
    return name->len > 4 && memcmp(name->data, "__", 2) == 0 && memcmp(name->data + name->len - 2, "__", 2) == 0;
}

bool cria_jinja_attribute(jinja_state *s, jinja_value v, const jinja_text *name, jinja_value *out) {
    if (v.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, v);
    bool found;
    jinja_value *member = NULL;
    if (!own_attribute(s, v, name, &found, out)) return false;
    if (found) return true;
    if (v.type == JINJA_DICT && !cria_jinja_dict_find(s, v.dict, name, &member)) return false;
    if (member) {
        *out = *member;
        return true;
    }
    if (underlined(name)) return unsafe(s, v, name, out);
    return cria_jinja_undefined(s, v, (jinja_value){.type = JINJA_TEXT, .text = name}, out);
}

bool cria_jinja_item(jinja_state *s, jinja_value v, jinja_value key, jinja_value *out) {
    if (v.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, v);
    int64_t i = 0;
    jinja_value *member = NULL;
    if (v.type == JINJA_DICT && cria_jinja_hashable(key) && !cria_jinja_dict_get(s, v.dict, key, &member))
        return false;
    if (member) {
        *out = *member;
        return true;
    }
    const bool text = v.type == JINJA_TEXT;
    if ((text || jinja_has_items(v)) && jinja_whole(key, &i)) {
        const size_t n = text ? v.text->chars : v.list->n;
        if (i < 0) i += (int64_t)n;
        if (i >= 0 && (uint64_t)i < n) {
            if (text) return cria_jinja_substring(s, v, (size_t)i, (size_t)i + 1, out);
            *out = v.list->items[i];
            return true;
        }
    }
    bool found = false;
    if (key.type == JINJA_TEXT) {
        if (!own_attribute(s, v, key.text, &found, out)) return false;
        if (!found && underlined(key.text)) return unsafe(s, v, key.text, out);
    }
    return found || cria_jinja_undefined(s, v, key, out);
}

/* ---- slices ---- */

/* As slice.indices(): where to begin, the step, how many. */
static bool indices(jinja_state *s, const jinja_value range[3], size_t length, int64_t *first, int64_t *step,
                    size_t *n) {
    const int64_t len = (int64_t)length;
    *step = 1;
    jinja_whole(range[2], step);
    if (*step == 0) return cria_jinja_fail(s, CRIA_EFORMAT, "slice step cannot be zero");
    if (*step < -INT64_MAX) *step = -INT64_MAX;
    const bool back = *step < 0;
    int64_t ends[2] = {back ? len - 1 : 0, back ? -1 : len};
    for (int i = 0; i < 2; i++) {
        int64_t at = 0;
        if (!jinja_whole(range[i], &at)) continue;
        if (at < 0) {
            at += len;
            if (at < 0) at = back ? -1 : 0;
        } else if (at >= len)
            at = back ? len - 1 : len;
        ends[i] = at;
    }
    *first = ends[0];
    *n = 0;
    if (back && ends[1] < ends[0]) *n = (size_t)((ends[0] - ends[1] - 1) / -*step + 1);
    if (!back && ends[0] < ends[1]) *n = (size_t)((ends[1] - ends[0] - 1) / *step + 1);
    return true;
}

bool cria_jinja_slice(jinja_state *s, jinja_value v, const jinja_value range[3], jinja_value *out) {
    if (v.type == JINJA_UNDEFINED) return cria_jinja_fail_undefined(s, v);
    bool sliceable = v.type == JINJA_TEXT || jinja_has_items(v);
    int64_t first = 0, step = 0;
    for (int i = 0; i < 3; i++)
        sliceable = sliceable && (range[i].type == JINJA_NONE || jinja_whole(range[i], &first));
    if (!sliceable)
        return cria_jinja_fail(s, CRIA_EFORMAT, "a '%s' object cannot be sliced so", cria_jinja_type_name(v));
    size_t n = 0;
    if (!indices(s, range, v.type == JINJA_TEXT ? v.text->chars : v.list->n, &first, &step, &n)) return false;
    if (v.type == JINJA_TEXT && (step == 1 || n == 0))
        return cria_jinja_substring(s, v, n ? (size_t)first : 0, n ? (size_t)first + n : 0, out);
    if (v.type == JINJA_TEXT) {
        jinja_list *characters;
        if (!cria_jinja_iterate(s, v, &characters)) return false;
        cria_buf b;
        cria_jinja_scratch(s, &b);
        bool ok = cria_jinja_steps(s, n);
        for (size_t i = 0; ok && i < n; i++, first += step) ok = cria_jinja_str(s, &b, characters->items[first]);
        if (!cria_jinja_take(s, &b, ok, out)) return false;
        out->safe = v.safe;
        return true;
    }
    jinja_list *l = cria_jinja_list(s, n);
    if (!l || !cria_jinja_steps(s, n)) return false;
    if (v.type == JINJA_RANGE) {
        l->step = v.list->step * step;
        l->start = v.list->start + first * v.list->step;
        l->stop = l->start + (int64_t)n * l->step;
    }
    for (size_t i = 0; i < n; i++, first += step) l->items[l->n++] = v.list->items[first];
    *out = jinja_listed(v.type, l);
    return true;
}
