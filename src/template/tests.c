/* SPDX-License-Identifier: Apache-2.0 */
/* The table of tests (x is name), each as in Jinja2's tests.py. */
#include "template/texts.h"
#include "template/tree.h"

#define TEST(name) static bool name(jinja_state *s, jinja_value v, const jinja_value *given, bool *out)
#define UNUSED() ((void)s, (void)given)

TEST(t_defined) {
    UNUSED();
    *out = v.type != JINJA_UNDEFINED;
    return true;
}
TEST(t_undefined) {
    UNUSED();
    *out = v.type == JINJA_UNDEFINED;
    return true;
}
TEST(t_none) {
    UNUSED();
    *out = v.type == JINJA_NONE;
    return true;
}
TEST(t_boolean) {
    UNUSED();
    *out = v.type == JINJA_BOOL;
    return true;
}
TEST(t_true) {
    UNUSED();
    *out = v.type == JINJA_BOOL && v.flag;
    return true;
}
TEST(t_false) {
    UNUSED();
    *out = v.type == JINJA_BOOL && !v.flag;
    return true;
}
TEST(t_integer) {
    UNUSED();
    *out = v.type == JINJA_INT;
    return true;
}
TEST(t_float) {
    UNUSED();
    *out = v.type == JINJA_FLOAT;
    return true;
}
TEST(t_number) {
    UNUSED();
    *out = v.type == JINJA_INT || v.type == JINJA_FLOAT || v.type == JINJA_BOOL;
    return true;
}
TEST(t_string) {
    UNUSED();
    *out = v.type == JINJA_TEXT;
    return true;
}
TEST(t_mapping) {
    UNUSED();
    *out = v.type == JINJA_DICT;
    return true;
}
TEST(t_escaped) {
    UNUSED();
    *out = v.type == JINJA_TEXT && v.safe;
    return true;
}

TEST(t_sequence) { /* has a length and items by number or key */
    UNUSED();
    *out = v.type == JINJA_TEXT || jinja_has_items(v) || v.type == JINJA_DICT || v.type == JINJA_UNDEFINED;
    return true;
}

TEST(t_iterable) {
    UNUSED();
    *out = v.type == JINJA_TEXT || jinja_has_items(v) || v.type == JINJA_DICT || v.type == JINJA_UNDEFINED ||
           v.type == JINJA_VIEW || v.type == JINJA_ITERATOR || v.type == JINJA_LOOP;
    return true;
}

TEST(t_callable) { /* an undefined value has __call__, if only to fail */
    UNUSED();
    *out = v.type == JINJA_MACRO || v.type == JINJA_FUNCTION || v.type == JINJA_METHOD || v.type == JINJA_LOOP ||
           v.type == JINJA_JOINER || v.type == JINJA_UNDEFINED;
    return true;
}

static bool remainder_is(jinja_state *s, jinja_value v, jinja_value by, int64_t wanted, bool *out) {
    jinja_value r;
    return cria_jinja_binary(s, OP_MOD, v, by, &r) && cria_jinja_equal(s, r, jinja_int(wanted), out);
}
TEST(t_odd) {
    UNUSED();
    return remainder_is(s, v, jinja_int(2), 1, out);
}
TEST(t_even) {
    UNUSED();
    return remainder_is(s, v, jinja_int(2), 0, out);
}
TEST(t_divisibleby) { return remainder_is(s, v, given[0], 0, out); }

static bool cased(jinja_state *s, jinja_value v, bool upper, bool *out) {
    if (!cria_jinja_to_text(s, v, &v) || !cria_jinja_steps(s, v.text->len / 16)) return false;
    *out = cria_jinja_is_cased(v.text, upper);
    return true;
}
TEST(t_lower) {
    UNUSED();
    return cased(s, v, false, out);
}
TEST(t_upper) {
    UNUSED();
    return cased(s, v, true, out);
}

TEST(t_filter) {
    UNUSED();
    *out = v.type == JINJA_TEXT && cria_jinja_find_filter(v.text) != NULL;
    return true;
}
TEST(t_test) {
    UNUSED();
    *out = v.type == JINJA_TEXT && cria_jinja_find_test(v.text) != NULL;
    return true;
}

/* One object: for what Python keeps once (true, none, small integers) and for what is shared. */
TEST(t_sameas) {
    const jinja_value other = given[0];
    *out = false;
    if (v.type != other.type) return true;
    if (v.type == JINJA_FLOAT || v.type == JINJA_TEXT || v.type == JINJA_INT || v.type == JINJA_BOOL)
        return cria_jinja_equal(s, v, other, out);
    *out = v.type == JINJA_NONE || v.list == other.list;
    return true;
}

TEST(t_in) { return cria_jinja_contains(s, v, given[0], out); }
TEST(t_eq) { return cria_jinja_equal(s, v, given[0], out); }
TEST(t_ne) {
    if (!cria_jinja_equal(s, v, given[0], out)) return false;
    *out = !*out;
    return true;
}

static bool ordered(jinja_state *s, jinja_value v, jinja_value other, int sign, bool or_equal, bool *out) {
    int order = 0;
    bool nan;
    if (!cria_jinja_order(s, v, other, &order, &nan)) return false;
    *out = !nan && (order * sign > 0 || (or_equal && order == 0));
    return true;
}
TEST(t_gt) { return ordered(s, v, given[0], 1, false, out); }
TEST(t_ge) { return ordered(s, v, given[0], 1, true, out); }
TEST(t_lt) { return ordered(s, v, given[0], -1, false, out); }
TEST(t_le) { return ordered(s, v, given[0], -1, true, out); }

static const struct jinja_test tests[] = {
    {"!=", "other /", t_ne},
    {"<", "other /", t_lt},
    {"<=", "other /", t_le},
    {"==", "other /", t_eq},
    {">", "other /", t_gt},
    {">=", "other /", t_ge},
    {"boolean", "", t_boolean},
    {"callable", "", t_callable},
    {"defined", "", t_defined},
    {"divisibleby", "num /", t_divisibleby},
    {"eq", "other /", t_eq},
    {"equalto", "other /", t_eq},
    {"escaped", "", t_escaped},
    {"even", "", t_even},
    {"false", "", t_false},
    {"filter", "", t_filter},
    {"float", "", t_float},
    {"ge", "other /", t_ge},
    {"greaterthan", "other /", t_gt},
    {"gt", "other /", t_gt},
    {"in", "seq /", t_in},
    {"integer", "", t_integer},
    {"iterable", "", t_iterable},
    {"le", "other /", t_le},
    {"lessthan", "other /", t_lt},
    {"lower", "", t_lower},
    {"lt", "other /", t_lt},
    {"mapping", "", t_mapping},
    {"ne", "other /", t_ne},
    {"none", "", t_none},
    {"number", "", t_number},
    {"odd", "", t_odd},
    {"sameas", "other /", t_sameas},
    {"sequence", "", t_sequence},
    {"string", "", t_string},
    {"test", "", t_test},
    {"true", "", t_true},
    {"undefined", "", t_undefined},
    {"upper", "", t_upper},
};

const struct jinja_test *cria_jinja_find_test(const jinja_text *name) {
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (cria_jinja_text_is(name, tests[i].name)) return &tests[i];
    return NULL;
}
