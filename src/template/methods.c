/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of texts, dicts, lists, loops and cyclers. An entry without a function is one that Python has: refused
 * by the sandbox where it has parameters "", as it would modify; else not supported. */
#include "template/characters.h"
#include "template/texts.h"
#include "template/tree.h"

#include <string.h>

#define METHOD(name)                                                                                                 \
    static bool name(jinja_state *s, jinja_value v, const jinja_value *given, const jinja_arguments *a,              \
                     jinja_value *out)
#define UNUSED(x) ((void)(x))

static bool answer(bool holds, jinja_value *out) {
    *out = jinja_bool(holds);
    return true;
}
static bool is_given(jinja_value v) { return v.type != JINJA_MISSING && v.type != JINJA_NONE; }

/* ---- case, blanks ---- */

#define CASE_METHOD(name, change)                                                                                    \
    METHOD(name) {                                                                                                   \
        UNUSED(given), UNUSED(a);                                                                                    \
        return cria_jinja_change_case(s, v, change, out);                                                            \
    }
CASE_METHOD(m_upper, CASE_UPPER)
CASE_METHOD(m_lower, CASE_LOWER)
CASE_METHOD(m_title, CASE_TITLE)
CASE_METHOD(m_capitalize, CASE_CAPITALIZE)
CASE_METHOD(m_swapcase, CASE_SWAP)

METHOD(m_strip) {
    UNUSED(a);
    return cria_jinja_strip(s, v, given[0], 3, out);
}
METHOD(m_lstrip) {
    UNUSED(a);
    return cria_jinja_strip(s, v, given[0], 1, out);
}
METHOD(m_rstrip) {
    UNUSED(a);
    return cria_jinja_strip(s, v, given[0], 2, out);
}

static bool pad(jinja_state *s, jinja_value v, const jinja_value *given, int side, jinja_value *out) {
    int64_t width;
    const jinja_text *fill = NULL;
    if (!cria_jinja_int_argument(s, given[0], 0, &width)) return false;
    if (given[1].type != JINJA_MISSING && !cria_jinja_text_argument(s, given[1], &fill)) return false;
    return cria_jinja_pad(s, v, width, fill, side, out);
}
METHOD(m_center) {
    UNUSED(a);
    return pad(s, v, given, 0, out);
}
METHOD(m_ljust) {
    UNUSED(a);
    return pad(s, v, given, -1, out);
}
METHOD(m_rjust) {
    UNUSED(a);
    return pad(s, v, given, 1, out);
}

METHOD(m_zfill) {
    UNUSED(a);
    int64_t width;
    static const jinja_text zero = {"0", 1, 1};
    if (!cria_jinja_int_argument(s, given[0], 0, &width)) return false;
    const jinja_text *t = v.text;
    if (t->len == 0 || (t->data[0] != '-' && t->data[0] != '+')) return cria_jinja_pad(s, v, width, &zero, 1, out);
    jinja_value sign, digits;
    return cria_jinja_substring(s, v, 0, 1, &sign) && cria_jinja_substring(s, v, 1, t->chars, &digits) &&
           cria_jinja_pad(s, digits, width > 0 ? width - 1 : 0, &zero, 1, &digits) &&
           cria_jinja_binary(s, OP_ADD, sign, digits, out);
}

/* ---- finding ---- */

/* The part [start, end) that optional arguments choose, as bytes of v; false in *inside where start lies behind it.
 */
static bool part(jinja_state *s, jinja_value v, const jinja_value *range, size_t *from, size_t *to, bool *inside) {
    const int64_t n = (int64_t)v.text->chars;
    int64_t ends[2] = {0, n};
    for (int i = 0; i < 2; i++) {
        if (!is_given(range[i])) continue;
        if (!cria_jinja_int_argument(s, range[i], 0, &ends[i])) return false;
        if (ends[i] < 0) ends[i] = ends[i] + n < 0 ? 0 : ends[i] + n;
        if (i == 1 && ends[i] > n) ends[i] = n;
    }
    *inside = ends[0] <= n && ends[0] <= ends[1];
    *from = cria_jinja_offset(v.text, ends[0] > n ? (size_t)n : (size_t)ends[0]);
    *to = cria_jinja_offset(v.text, (size_t)ends[1]);
    return cria_jinja_steps(s, v.text->len / 64);
}

static const char *find_last(const char *data, size_t len, const jinja_text *what) {
    if (what->len > len) return NULL;
    for (size_t at = len - what->len + 1; at-- > 0;)
        if (what->len == 0 || memcmp(data + at, what->data, what->len) == 0) return data + at;
    return NULL;
}

static bool find(jinja_state *s, jinja_value v, const jinja_value *given, bool last, int64_t *out) {
    const jinja_text *what;
    size_t from, to;
    bool inside;
    *out = -1;
    if (!cria_jinja_text_argument(s, given[0], &what) || !part(s, v, given + 1, &from, &to, &inside)) return false;
    if (!inside) return true;
    if (last && !cria_jinja_steps(s, (to - from) / 64 * (1 + what->len / 64))) return false;
    const char *begin = v.text->data + from;
    const char *found = last             ? find_last(begin, to - from, what)
                        : what->len == 0 ? begin
                        : to == from     ? NULL
                                         : memmem(begin, to - from, what->data, what->len);
    if (!found) return true;
    const size_t bytes = (size_t)(found - v.text->data);
    int64_t chars = 0;
    for (size_t i = 0; i < bytes; i++) chars += ((uint8_t)v.text->data[i] & 0xc0) != 0x80;
    *out = chars;
    return true;
}

static bool found(jinja_state *s, jinja_value v, const jinja_value *given, bool last, bool must, jinja_value *out) {
    int64_t at;
    if (!find(s, v, given, last, &at)) return false;
    *out = jinja_int(at);
    return at >= 0 || !must || cria_jinja_fail(s, CRIA_EFORMAT, "substring not found");
}
METHOD(m_find) {
    UNUSED(a);
    return found(s, v, given, false, false, out);
}
METHOD(m_rfind) {
    UNUSED(a);
    return found(s, v, given, true, false, out);
}
METHOD(m_index) {
    UNUSED(a);
    return found(s, v, given, false, true, out);
}
METHOD(m_rindex) {
    UNUSED(a);
    return found(s, v, given, true, true, out);
}

METHOD(m_count) {
    UNUSED(a);
    const jinja_text *what;
    size_t from, to;
    bool inside;
    int64_t n = 0;
    if (!cria_jinja_text_argument(s, given[0], &what) || !part(s, v, given + 1, &from, &to, &inside)) return false;
    if (inside && what->len == 0) {
        for (size_t i = from; i < to; i++) n += ((uint8_t)v.text->data[i] & 0xc0) != 0x80;
        n++;
    } else if (inside)
        for (const char *at; from < to && (at = memmem(v.text->data + from, to - from, what->data, what->len)); n++)
            from = (size_t)(at - v.text->data) + what->len;
    *out = jinja_int(n);
    return true;
}

static bool at_end(jinja_state *s, jinja_value v, const jinja_value *given, bool end, jinja_value *out) {
    size_t from, to;
    bool inside;
    const jinja_value one = given[0], *options = &one;
    size_t n = 1;
    if (one.type == JINJA_TUPLE) {
        options = one.list->items;
        n = one.list->n;
    }
    if (!part(s, v, given + 1, &from, &to, &inside)) return false;
    *out = jinja_bool(false);
    for (size_t i = 0; i < n; i++) {
        if (options[i].type != JINJA_TEXT)
            return cria_jinja_fail(s, CRIA_EFORMAT, "first arg must be str or a tuple of str, not %s",
                                   cria_jinja_type_name(options[i]));
        const jinja_text *t = options[i].text;
        if (!cria_jinja_steps(s, 1 + t->len / 64)) return false;
        if (inside && t->len <= to - from &&
            (t->len == 0 || memcmp(v.text->data + (end ? to - t->len : from), t->data, t->len) == 0))
            return answer(true, out);
    }
    return true;
}
METHOD(m_startswith) {
    UNUSED(a);
    return at_end(s, v, given, false, out);
}
METHOD(m_endswith) {
    UNUSED(a);
    return at_end(s, v, given, true, out);
}

static bool remove_at(jinja_state *s, jinja_value v, const jinja_value *given, bool end, jinja_value *out) {
    const jinja_text *what, *t = v.text;
    if (!cria_jinja_text_argument(s, given[0], &what)) return false;
    *out = v;
    if (what->len == 0 || what->len > t->len ||
        memcmp(t->data + (end ? t->len - what->len : 0), what->data, what->len) != 0)
        return true;
    return end ? cria_jinja_substring(s, v, 0, t->chars - what->chars, out)
               : cria_jinja_substring(s, v, what->chars, t->chars, out);
}
METHOD(m_removeprefix) {
    UNUSED(a);
    return remove_at(s, v, given, false, out);
}
METHOD(m_removesuffix) {
    UNUSED(a);
    return remove_at(s, v, given, true, out);
}

/* ---- splitting and joining ---- */

METHOD(m_replace) {
    UNUSED(a);
    const jinja_text *from, *to;
    int64_t count;
    return cria_jinja_text_argument(s, given[0], &from) && cria_jinja_text_argument(s, given[1], &to) &&
           cria_jinja_int_argument(s, given[2], -1, &count) &&
           cria_jinja_replace(s, v, given[0], given[1], count, out);
}

METHOD(m_split) {
    UNUSED(a);
    int64_t max;
    return cria_jinja_int_argument(s, given[1], -1, &max) && cria_jinja_split(s, v, given[0], max, false, out);
}
METHOD(m_rsplit) {
    UNUSED(a);
    int64_t max;
    return cria_jinja_int_argument(s, given[1], -1, &max) && cria_jinja_split(s, v, given[0], max, true, out);
}

METHOD(m_splitlines) {
    UNUSED(a);
    jinja_list *l = NULL;
    if (!cria_jinja_split_lines(s, v, cria_jinja_truth(given[0]), &l)) return false;
    *out = jinja_listed(JINJA_LIST, l);
    return true;
}

static bool partition(jinja_state *s, jinja_value v, const jinja_value *given, bool last, jinja_value *out) {
    const jinja_text *what;
    int64_t at;
    jinja_list *l = cria_jinja_list(s, 3);
    if (!l || !cria_jinja_text_argument(s, given[0], &what)) return false;
    if (what->len == 0) return cria_jinja_fail(s, CRIA_EFORMAT, "empty separator");
    const jinja_value find_args[3] = {given[0]};
    if (!find(s, v, find_args, last, &at)) return false;
    const size_t n = v.text->chars,
                 before = at >= 0 ? (size_t)at
                          : last  ? 0
                                  : n,
                 after = at >= 0 ? before + what->chars : before;
    *out = jinja_listed(JINJA_TUPLE, l);
    l->n = 3;
    return cria_jinja_substring(s, v, 0, before, &l->items[0]) &&
           cria_jinja_substring(s, v, before, after, &l->items[1]) &&
           cria_jinja_substring(s, v, after, n, &l->items[2]);
}
METHOD(m_partition) {
    UNUSED(a);
    return partition(s, v, given, false, out);
}
METHOD(m_rpartition) {
    UNUSED(a);
    return partition(s, v, given, true, out);
}

METHOD(m_join) {
    UNUSED(a);
    jinja_list *l, *rest;
    if (!cria_jinja_iterate(s, given[0], &l) || !(rest = cria_jinja_list(s, l->n - l->pos))) return false;
    while (l->pos < l->n) {
        jinja_value item = l->items[l->pos++];
        if (item.type != JINJA_TEXT && !v.safe)
            return cria_jinja_fail(s, CRIA_EFORMAT, "sequence item %zu: expected str instance, %s found", rest->n,
                                   cria_jinja_type_name(item));
        if ((v.safe && !cria_jinja_escape(s, item, &item)) || !cria_jinja_push(s, rest, item)) return false;
    }
    if (!cria_jinja_join(s, v, rest, out)) return false;
    out->safe = v.safe;
    return true;
}

METHOD(m_format) {
    UNUSED(given);
    return cria_jinja_format(s, v.text, a, out);
}

/* ---- what a text is made of ---- */

static bool all_of(jinja_state *s, jinja_value v, unsigned bits, bool empty, jinja_value *out) {
    bool holds = v.text->len != 0 || empty;
    for (size_t at = 0; holds && at < v.text->len;)
        holds = (cria_jinja_class_of(cria_jinja_next_char(v.text, &at)) & bits) != 0;
    return cria_jinja_steps(s, v.text->len / 8) && answer(holds, out);
}
#define CLASS_METHOD(name, bits, empty)                                                                              \
    METHOD(name) {                                                                                                   \
        UNUSED(given), UNUSED(a);                                                                                    \
        return all_of(s, v, bits, empty, out);                                                                       \
    }
CLASS_METHOD(m_isalpha, JINJA_ALPHA, false)
CLASS_METHOD(m_isalnum, JINJA_ALPHA | JINJA_DECIMAL | JINJA_DIGIT | JINJA_NUMERIC, false)
CLASS_METHOD(m_isdecimal, JINJA_DECIMAL, false)
CLASS_METHOD(m_isdigit, JINJA_DIGIT, false)
CLASS_METHOD(m_isnumeric, JINJA_NUMERIC, false)
CLASS_METHOD(m_isprintable, JINJA_PRINTABLE, true)

METHOD(m_isspace) {
    UNUSED(given), UNUSED(a);
    bool holds = v.text->len != 0;
    for (size_t at = 0; holds && at < v.text->len;) holds = cria_jinja_is_space(cria_jinja_next_char(v.text, &at));
    return cria_jinja_steps(s, v.text->len / 16) && answer(holds, out);
}
METHOD(m_isascii) {
    UNUSED(s), UNUSED(given), UNUSED(a);
    return answer(v.text->len == v.text->chars, out);
}
METHOD(m_islower) {
    UNUSED(given), UNUSED(a);
    return cria_jinja_steps(s, v.text->len / 16) && answer(cria_jinja_is_cased(v.text, false), out);
}
METHOD(m_isupper) {
    UNUSED(given), UNUSED(a);
    return cria_jinja_steps(s, v.text->len / 16) && answer(cria_jinja_is_cased(v.text, true), out);
}

/* ---- dicts ---- */

METHOD(d_get) {
    UNUSED(a);
    jinja_value *found_value;
    if (!cria_jinja_dict_get(s, v.dict, given[0], &found_value)) return false;
    *out = found_value ? *found_value : given[1].type == JINJA_MISSING ? jinja_none() : given[1];
    return true;
}

static bool view(jinja_state *s, const jinja_dict *d, const char *name, jinja_value *out) {
    jinja_list *l = cria_jinja_list(s, d->n);
    if (!l || !cria_jinja_steps(s, d->n)) return false;
    l->name = name;
    for (; l->n < d->n; l->n++) {
        const jinja_entry *e = &d->entries[l->n];
        l->items[l->n] = name[5] == 'k' ? e->key : e->value;
        if (name[5] == 'i' && !cria_jinja_pair(s, e->key, e->value, &l->items[l->n])) return false;
    }
    *out = jinja_listed(JINJA_VIEW, l);
    return true;
}
METHOD(d_keys) {
    UNUSED(given), UNUSED(a);
    return view(s, v.dict, "dict_keys", out);
}
METHOD(d_values) {
    UNUSED(given), UNUSED(a);
    return view(s, v.dict, "dict_values", out);
}
METHOD(d_items) {
    UNUSED(given), UNUSED(a);
    return view(s, v.dict, "dict_items", out);
}

METHOD(same) { /* a copy of what does not change */
    UNUSED(s), UNUSED(given), UNUSED(a);
    *out = v;
    return true;
}

/* ---- lists, loops, cyclers ---- */

METHOD(l_count) {
    UNUSED(a);
    int64_t n = 0;
    for (size_t i = 0; i < v.list->n; i++) {
        bool equal;
        if (!cria_jinja_steps(s, 1) || !cria_jinja_equal(s, v.list->items[i], given[0], &equal)) return false;
        n += equal;
    }
    *out = jinja_int(n);
    return true;
}

METHOD(l_index) {
    UNUSED(a);
    const int64_t n = (int64_t)v.list->n;
    int64_t ends[2] = {0, n};
    for (int i = 0; i < 2; i++) {
        if (!cria_jinja_int_argument(s, given[1 + i], ends[i], &ends[i])) return false;
        if (ends[i] < 0) ends[i] = ends[i] + n < 0 ? 0 : ends[i] + n;
    }
    for (int64_t i = ends[0]; i < ends[1] && i < n; i++) {
        bool equal;
        if (!cria_jinja_steps(s, 1) || !cria_jinja_equal(s, v.list->items[i], given[0], &equal)) return false;
        *out = jinja_int(i);
        if (equal) return true;
    }
    return cria_jinja_fail(s, CRIA_EFORMAT, "the value is not in the %s", cria_jinja_type_name(v));
}

METHOD(loop_cycle) {
    UNUSED(given);
    if (a->n_named || a->n == 0) return cria_jinja_fail(s, CRIA_EFORMAT, "no items for cycling given");
    *out = a->items[v.loop->index0 % a->n];
    return true;
}

METHOD(loop_changed) {
    UNUSED(given);
    if (a->n_named) return cria_jinja_fail(s, CRIA_EFORMAT, "changed() got an unexpected keyword argument");
    jinja_value now = jinja_listed(JINJA_TUPLE, cria_jinja_list(s, 0));
    bool equal = false;
    if (!now.list) return false;
    now.list->items = a->items;
    now.list->n = a->n;
    if (v.loop->changed.type != JINJA_MISSING && !cria_jinja_equal(s, v.loop->changed, now, &equal)) return false;
    v.loop->changed = now;
    return answer(!equal, out);
}

METHOD(cycler_next) {
    UNUSED(s), UNUSED(given), UNUSED(a);
    *out = v.list->items[v.list->pos];
    v.list->pos = (v.list->pos + 1) % v.list->n;
    return true;
}
METHOD(cycler_reset) {
    UNUSED(s), UNUSED(given), UNUSED(a);
    v.list->pos = 0;
    *out = jinja_none();
    return true;
}

static const struct jinja_method_entry text_methods[] = {
    {"capitalize", "", m_capitalize},
    {"casefold", NULL, NULL},
    {"center", "width / fillchar", m_center},
    {"count", "sub / start end", m_count},
    {"encode", NULL, NULL},
    {"endswith", "suffix / start end", m_endswith},
    {"expandtabs", NULL, NULL},
    {"find", "sub / start end", m_find},
    {"format", "*", m_format},
    {"format_map", NULL, NULL},
    {"index", "sub / start end", m_index},
    {"isalnum", "", m_isalnum},
    {"isalpha", "", m_isalpha},
    {"isascii", "", m_isascii},
    {"isdecimal", "", m_isdecimal},
    {"isdigit", "", m_isdigit},
    {"isidentifier", NULL, NULL},
    {"islower", "", m_islower},
    {"isnumeric", "", m_isnumeric},
    {"isprintable", "", m_isprintable},
    {"isspace", "", m_isspace},
    {"istitle", NULL, NULL},
    {"isupper", "", m_isupper},
    {"join", "iterable /", m_join},
    {"ljust", "width / fillchar", m_ljust},
    {"lower", "", m_lower},
    {"lstrip", "chars", m_lstrip},
    {"maketrans", NULL, NULL},
    {"partition", "sep /", m_partition},
    {"removeprefix", "prefix /", m_removeprefix},
    {"removesuffix", "suffix /", m_removesuffix},
    {"replace", "old new / count", m_replace},
    {"rfind", "sub / start end", m_rfind},
    {"rindex", "sub / start end", m_rindex},
    {"rjust", "width / fillchar", m_rjust},
    {"rpartition", "sep /", m_rpartition},
    {"rsplit", "sep maxsplit", m_rsplit},
    {"rstrip", "chars", m_rstrip},
    {"split", "sep maxsplit", m_split},
    {"splitlines", "keepends", m_splitlines},
    {"startswith", "prefix / start end", m_startswith},
    {"strip", "chars", m_strip},
    {"swapcase", "", m_swapcase},
    {"title", "", m_title},
    {"translate", NULL, NULL},
    {"upper", "", m_upper},
    {"zfill", "width /", m_zfill},
};
static const struct jinja_method_entry dict_methods[] = {
    {"clear", "", NULL},      {"copy", "", same},   {"fromkeys", NULL, NULL}, {"get", "key / default", d_get},
    {"items", "", d_items},   {"keys", "", d_keys}, {"pop", "", NULL},        {"popitem", "", NULL},
    {"setdefault", "", NULL}, {"update", "", NULL}, {"values", "", d_values},
};
static const struct jinja_method_entry list_methods[] = {
    {"append", "", NULL},          {"clear", "", NULL},  {"copy", "", same},
    {"count", "value /", l_count}, {"extend", "", NULL}, {"index", "value / start stop", l_index},
    {"insert", "", NULL},          {"pop", "", NULL},    {"remove", "", NULL},
    {"reverse", "", NULL},         {"sort", "", NULL},
};
static const struct jinja_method_entry tuple_methods[] = {{"count", "value /", l_count},
                                                          {"index", "value / start stop", l_index}};
static const struct jinja_method_entry loop_methods[] = {{"cycle", "*", loop_cycle}, {"changed", "*", loop_changed}};
static const struct jinja_method_entry cycler_methods[] = {{"next", "", cycler_next}, {"reset", "", cycler_reset}};
static const struct jinja_method_entry number_methods[] = {
    {"as_integer_ratio", NULL, NULL},
    {"bit_count", NULL, NULL},
    {"bit_length", NULL, NULL},
    {"conjugate", NULL, NULL},
    {"denominator", NULL, NULL},
    {"hex", NULL, NULL},
    {"imag", NULL, NULL},
    {"is_integer", NULL, NULL},
    {"numerator", NULL, NULL},
    {"real", NULL, NULL},
    {"to_bytes", NULL, NULL},
};

const struct jinja_method_entry *cria_jinja_find_method(jinja_value v, const jinja_text *name) {
#define TABLE(t) (table = t, n = sizeof t / sizeof t[0])
    const struct jinja_method_entry *table = NULL;
    size_t n = 0;
    switch ((enum jinja_type)v.type) {
    case JINJA_TEXT: TABLE(text_methods); break;
    case JINJA_DICT: TABLE(dict_methods); break;
    case JINJA_LIST: TABLE(list_methods); break;
    case JINJA_TUPLE:
    case JINJA_RANGE: TABLE(tuple_methods); break;
    case JINJA_LOOP: TABLE(loop_methods); break;
    case JINJA_CYCLER: TABLE(cycler_methods); break;
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT: TABLE(number_methods); break;
    default: break;
    }
#undef TABLE
    for (size_t i = 0; i < n; i++)
        if (cria_jinja_text_is(name, table[i].name)) return &table[i];
    return NULL;
}
