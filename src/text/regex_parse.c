/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pattern → tree. The grammar is Oniguruma's with ONIG_SYNTAX_RUBY (doc/RE, doc/SYNTAX.md of 6.9), which
 * differs from Perl's in points that matter here: $ is the end of any line, {n,m}+ repeats the repetition, \h
 * is a hexadecimal digit,
 * && in a class is an intersection, (?m: lets the dot match a newline.
 *
 * Ignoring case: an ASCII letter stands for both cases, s and k also for U+017F and U+212A. Letters beyond
 * ASCII and letters that together fold to one character (ss to ß, fi to a ligature) would need the whole
 * table of case folding and occur in no tokenizer: they are refused.
 */
#include "text/regex_tree.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <string.h>

#define DEPTH_MAX 32u
#define NODES_MAX 16384u
#define REPEAT_MAX 1000u
#define END (-1)

struct parser {
    struct cria_regex_tree *t;
    const uint8_t *pattern;
    size_t len, pos;
    enum cria_regex_syntax syntax;
    cria_status status;
    cria_error *err;
    unsigned depth;
    bool ignore_case, dot_all, in_class;
    uint32_t folded; /* the letter just before, where case is ignored; 0: none */
};

/* ---- failing ---- */

static uint32_t fail(struct parser *p, cria_status code, const char *what) {
    if (p->status == CRIA_OK)
        p->status = cria_fail(p->err, code, p->pos,
                              code == CRIA_EUNSUPPORTED
                                  ? "The pattern \"%.*s\" has %s at byte %zu, which is not supported."
                                  : "The pattern \"%.*s\" has %s at byte %zu.",
                              p->len < 160 ? (int)p->len : 160, (const char *)p->pattern, what, p->pos);
    return CRIA_REGEX_NONE;
}
static uint32_t unsupported(struct parser *p, const char *what) { return fail(p, CRIA_EUNSUPPORTED, what); }
static uint32_t malformed(struct parser *p, const char *what) { return fail(p, CRIA_EFORMAT, what); }

static bool ok(const struct parser *p) { return p->status == CRIA_OK; }

/* ---- the tree ---- */

static uint32_t add_node(struct parser *p, enum cria_regex_node_kind kind) {
    struct cria_regex_tree *t = p->t;
    if (!ok(p)) return CRIA_REGEX_NONE;
    if (t->n_nodes == NODES_MAX) return unsupported(p, "too much");
    if (t->n_nodes == t->cap_nodes) {
        const uint32_t cap = t->cap_nodes ? t->cap_nodes * 2 : 64;
        struct cria_regex_node *node =
            cria_realloc(t->ctx, t->node, t->cap_nodes * sizeof *node, cap * sizeof *node);
        if (!node) {
            p->status = cria_fail_nomem(p->err, "a pattern", cap * sizeof *node);
            return CRIA_REGEX_NONE;
        }
        t->node = node;
        t->cap_nodes = cap;
    }
    t->node[t->n_nodes] =
        (struct cria_regex_node){.kind = kind, .child = CRIA_REGEX_NONE, .next = CRIA_REGEX_NONE};
    return t->n_nodes++;
}

static struct cria_regex_node *node_at(struct parser *p, uint32_t id) { return &p->t->node[id]; }

/* A new empty set; NULL when something has failed. Valid until the next one. */
static cria_charset *add_set(struct parser *p, uint32_t *id) {
    struct cria_regex_tree *t = p->t;
    if (!ok(p)) return NULL;
    if (t->n_sets == t->cap_sets) {
        const uint32_t cap = t->cap_sets ? t->cap_sets * 2 : 16;
        cria_charset *set = cria_realloc(t->ctx, t->set, t->cap_sets * sizeof *set, cap * sizeof *set);
        if (!set) {
            p->status = cria_fail_nomem(p->err, "a pattern", cap * sizeof *set);
            return NULL;
        }
        t->set = set;
        t->cap_sets = cap;
    }
    cria_charset_init(&t->set[t->n_sets], t->ctx);
    *id = t->n_sets;
    return &t->set[t->n_sets++];
}

/* Takes the set (empties it). */
static uint32_t set_node(struct parser *p, enum cria_regex_node_kind kind, cria_charset *set) {
    uint32_t id = 0;
    cria_charset *to = add_set(p, &id);
    if (!to) return CRIA_REGEX_NONE;
    *to = *set;
    cria_charset_init(set, p->t->ctx);
    const uint32_t n = add_node(p, kind);
    if (n != CRIA_REGEX_NONE) node_at(p, n)->set = id;
    return n;
}

static void put(struct parser *p, cria_charset *set, uint32_t low, uint32_t high) {
    if (ok(p)) p->status = cria_charset_add(set, low, high, p->err);
}

/* ---- characters ---- */

static int ahead(const struct parser *p, size_t n) {
    return p->pos + n < p->len ? p->pattern[p->pos + n] : END;
}

static bool starts(const struct parser *p, const char *s) {
    const size_t n = strlen(s);
    return p->len - p->pos >= n && memcmp(p->pattern + p->pos, s, n) == 0;
}

/* The next character of the pattern, which is valid UTF-8. */
static uint32_t take_char(struct parser *p) {
    uint32_t cp = 0;
    p->pos += cria_utf8_decode(p->pattern + p->pos, p->len - p->pos, &cp);
    return cp;
}

static bool is_letter(uint32_t cp) { return (cp | 0x20) - 'a' < 26; }

static bool cased(uint32_t cp) {
    const uint32_t c = cria_char_props(cp) & CRIA_CHAR_CATEGORY;
    return c == CRIA_CHAR_LU || c == CRIA_CHAR_LL || c == CRIA_CHAR_LT || c == CRIA_CHAR_MN ||
           c == CRIA_CHAR_NL || c == CRIA_CHAR_SO || c == CRIA_CHAR_LM;
}

/* The character, with its other cases where they do not matter. */
static void put_char(struct parser *p, cria_charset *set, uint32_t cp) {
    put(p, set, cp, cp);
    if (!p->ignore_case) return;
    if (cp >= 0x80 && cased(cp)) unsupported(p, "a letter beyond ASCII where case is ignored");
    if (!is_letter(cp)) return;
    put(p, set, cp ^ 0x20, cp ^ 0x20);
    if ((cp | 0x20) == 's') put(p, set, 0x17f, 0x17f);
    if ((cp | 0x20) == 'k') put(p, set, 0x212a, 0x212a);
}

/* Letters that fold to one character together. */
static void check_folding(struct parser *p, uint32_t cp) {
    const uint32_t before = p->folded, now = p->ignore_case && is_letter(cp) ? cp | 0x20 : 0;
    p->folded = now;
    if ((before == 's' && (now == 's' || now == 't')) ||
        (before == 'f' && (now == 'f' || now == 'i' || now == 'l')))
        unsupported(p, "letters that fold to one where case is ignored");
}

/* ---- classes ---- */

#define BIT(c) (UINT32_C(1) << CRIA_CHAR_##c)

static const struct property {
    const char *name;
    uint32_t categories, flags;
} properties[] = {
    {"l", BIT(LU) | BIT(LL) | BIT(LT) | BIT(LM) | BIT(LO), 0},
    {"letter", BIT(LU) | BIT(LL) | BIT(LT) | BIT(LM) | BIT(LO), 0},
    {"lu", BIT(LU), 0},
    {"uppercaseletter", BIT(LU), 0},
    {"ll", BIT(LL), 0},
    {"lowercaseletter", BIT(LL), 0},
    {"lt", BIT(LT), 0},
    {"lm", BIT(LM), 0},
    {"lo", BIT(LO), 0},
    {"otherletter", BIT(LO), 0},
    {"m", BIT(MN) | BIT(MC) | BIT(ME), 0},
    {"mark", BIT(MN) | BIT(MC) | BIT(ME), 0},
    {"mn", BIT(MN), 0},
    {"mc", BIT(MC), 0},
    {"me", BIT(ME), 0},
    {"n", BIT(ND) | BIT(NL) | BIT(NO), 0},
    {"number", BIT(ND) | BIT(NL) | BIT(NO), 0},
    {"nd", BIT(ND), 0},
    {"decimalnumber", BIT(ND), 0},
    {"digit", BIT(ND), 0},
    {"nl", BIT(NL), 0},
    {"no", BIT(NO), 0},
    {"p", BIT(PC) | BIT(PD) | BIT(PS) | BIT(PE) | BIT(PI) | BIT(PF) | BIT(PO), 0},
    {"punctuation", BIT(PC) | BIT(PD) | BIT(PS) | BIT(PE) | BIT(PI) | BIT(PF) | BIT(PO), 0},
    {"pc", BIT(PC), 0},
    {"pd", BIT(PD), 0},
    {"ps", BIT(PS), 0},
    {"pe", BIT(PE), 0},
    {"pi", BIT(PI), 0},
    {"pf", BIT(PF), 0},
    {"po", BIT(PO), 0},
    {"s", BIT(SM) | BIT(SC) | BIT(SK) | BIT(SO), 0},
    {"symbol", BIT(SM) | BIT(SC) | BIT(SK) | BIT(SO), 0},
    {"sm", BIT(SM), 0},
    {"sc", BIT(SC), 0},
    {"sk", BIT(SK), 0},
    {"so", BIT(SO), 0},
    {"z", BIT(ZS) | BIT(ZL) | BIT(ZP), 0},
    {"separator", BIT(ZS) | BIT(ZL) | BIT(ZP), 0},
    {"zs", BIT(ZS), 0},
    {"zl", BIT(ZL), 0},
    {"zp", BIT(ZP), 0},
    {"cc", BIT(CC), 0},
    {"cf", BIT(CF), 0},
    {"co", BIT(CO), 0},
    {"space", 0, CRIA_CHAR_SPACE},
    {"word", 0, CRIA_CHAR_WORD},
    {"han", 0, CRIA_CHAR_HAN},
};

static const struct property own_properties[] = {
    {"rustnumeric", 0, CRIA_CHAR_NUMERIC},
    {"rustword", 0, CRIA_CHAR_WORD_RUST},
    {"rustpunct", 0, CRIA_CHAR_PUNCTUATION},
};

static const struct property *find_property(const struct property *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0) return &list[i];
    return NULL;
}

/* The name in \p{…}, without what does not matter in it; pos stands behind the brace afterwards. */
static bool property_name(struct parser *p, char name[32], bool *negated) {
    if (ahead(p, 0) != '{') return malformed(p, "a property without '{'"), false;
    p->pos++;
    if (ahead(p, 0) == '^') {
        *negated = !*negated;
        p->pos++;
    }
    size_t n = 0;
    for (;; p->pos++) {
        const int c = ahead(p, 0);
        if (c == END) return malformed(p, "a property that does not end"), false;
        if (c == '}') break;
        if (c == ' ' || c == '_' || c == '-') continue;
        if (n == 31) return unsupported(p, "a property of this name"), false;
        name[n++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    name[n] = '\0';
    p->pos++;
    return true;
}

/* The characters of a property. Outside of brackets Oniguruma asks an older table whether a character up to
 * U+00FF is one of a word, and in that one superscript digits and fractions are. */
static void put_props(struct parser *p, cria_charset *set, uint32_t categories, uint32_t flags) {
    if (ok(p)) p->status = cria_charset_add_props(set, categories, flags, p->err);
    if (!(flags & CRIA_CHAR_WORD) || p->in_class) return;
    put(p, set, 0xb2, 0xb3);
    put(p, set, 0xb9, 0xb9);
    put(p, set, 0xbc, 0xbe);
}

/* Behind \p or \P. */
static void put_property(struct parser *p, cria_charset *set, bool negated) {
    char name[32];
    if (!property_name(p, name, &negated)) return;
    const struct property *found = find_property(properties, sizeof properties / sizeof *properties, name);
    if (!found && p->syntax == CRIA_REGEX_OWN)
        found = find_property(own_properties, sizeof own_properties / sizeof *own_properties, name);
    if (!found) {
        unsupported(p, "a property of this name");
        return;
    }
    const uint32_t cases = BIT(LU) | BIT(LL) | BIT(LT), of = found->categories & cases;
    if (p->ignore_case && of != 0 && of != cases) {
        unsupported(p, "a property of letters of one case where case is ignored");
        return;
    }
    cria_charset more;
    cria_charset_init(&more, p->t->ctx);
    put_props(p, &more, found->categories, found->flags);
    if (ok(p) && negated) p->status = cria_charset_invert(&more, p->err);
    if (ok(p)) p->status = cria_charset_add_set(set, &more, p->err);
    cria_charset_fini(&more);
}

static void put_hex_digits(struct parser *p, cria_charset *set) {
    put(p, set, '0', '9');
    put(p, set, 'A', 'F');
    put(p, set, 'a', 'f');
}

/* \s and its like; pos stands behind the letter. False when c is none. */
static bool put_class_escape(struct parser *p, cria_charset *set, int c) {
    cria_charset one;
    switch (c) {
    case 'p':
        put_property(p, set, false);
        return true;
    case 'P':
        put_property(p, set, true);
        return true;
    case 's':
    case 'S':
    case 'd':
    case 'D':
    case 'w':
    case 'W':
    case 'h':
    case 'H':
        break;
    default:
        return false;
    }
    cria_charset_init(&one, p->t->ctx);
    const int kind = c | 0x20;
    if (kind == 'h')
        put_hex_digits(p, &one);
    else
        put_props(p, &one, kind == 'd' ? BIT(ND) : 0,
                  kind == 's'   ? CRIA_CHAR_SPACE
                  : kind == 'w' ? CRIA_CHAR_WORD
                                : 0);
    if (ok(p) && c < 'a') p->status = cria_charset_invert(&one, p->err);
    if (ok(p)) p->status = cria_charset_add_set(set, &one, p->err);
    cria_charset_fini(&one);
    return true;
}

static int hex_digit(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* least to most hexadecimal digits. */
static uint32_t take_hex(struct parser *p, unsigned least, unsigned most) {
    uint32_t cp = 0;
    unsigned n = 0;
    for (; n < most && ahead(p, 0) != END && hex_digit(ahead(p, 0)) >= 0; n++, p->pos++)
        cp = cp * 16 + (uint32_t)hex_digit(ahead(p, 0));
    if (n < least || cp > CRIA_CHAR_LAST || (cp >= 0xd800 && cp < 0xe000))
        malformed(p, "a code that is no character");
    return cp;
}

/* Behind a backslash: the character that the escape stands for; c has been taken. */
static uint32_t escaped_char(struct parser *p, int c) {
    static const char names[] = "nrtfvae", values[] = "\n\r\t\f\v\a\x1b";
    const char *found = c > 0 && c < 0x80 ? strchr(names, c) : NULL;
    if (found) return (uint32_t)values[found - names];
    if (c == 'x' && ahead(p, 0) == '{') {
        p->pos++;
        const uint32_t cp = take_hex(p, 1, 8);
        if (ahead(p, 0) != '}') return malformed(p, "a code that does not end"), 0;
        p->pos++;
        return cp;
    }
    if (c == 'x') {
        const uint32_t cp = take_hex(p, 1, 2);
        if (cp >= 0x80) unsupported(p, "a byte of a character");
        return cp;
    }
    if (c == 'u') return take_hex(p, 4, 4);
    if (is_letter((uint32_t)c) || (c >= '0' && c <= '9')) return unsupported(p, "an escape"), 0;
    p->pos--;
    return take_char(p);
}

static void parse_class(struct parser *p, cria_charset *out);

/* One item of a class: a nested class, \p{…} and its like, a character or a range. */
static void class_item(struct parser *p, cria_charset *set) {
    if (ahead(p, 0) == '[') {
        if (ahead(p, 1) == ':') {
            unsupported(p, "a POSIX bracket");
            return;
        }
        cria_charset inner;
        cria_charset_init(&inner, p->t->ctx);
        parse_class(p, &inner);
        if (ok(p)) p->status = cria_charset_add_set(set, &inner, p->err);
        cria_charset_fini(&inner);
        return;
    }
    uint32_t low;
    if (ahead(p, 0) == '\\') {
        const int c = ahead(p, 1);
        if (c == END) {
            malformed(p, "a backslash with nothing behind it");
            return;
        }
        p->pos += 2;
        if (put_class_escape(p, set, c)) {
            if (ok(p) && ahead(p, 0) == '-' && ahead(p, 1) != ']')
                unsupported(p, "a range that begins with a class");
            return;
        }
        low = c == 'b' ? '\b' : escaped_char(p, c);
    } else {
        low = take_char(p);
    }
    if (!ok(p) || ahead(p, 0) != '-' || ahead(p, 1) == ']' || ahead(p, 1) == END) {
        put_char(p, set, low);
        return;
    }
    p->pos++;
    uint32_t high;
    if (ahead(p, 0) == '[') {
        unsupported(p, "a range that ends in a class");
        return;
    }
    if (ahead(p, 0) == '\\') {
        const int c = ahead(p, 1);
        p->pos += c == END ? 1 : 2;
        if (c == END || strchr("pPsSdDwWhH", c)) {
            unsupported(p, "a range that ends in a class");
            return;
        }
        high = escaped_char(p, c);
    } else {
        high = take_char(p);
    }
    if (ok(p) && high < low) malformed(p, "a range that ends before it begins");
    if (!p->ignore_case) {
        put(p, set, low, high);
        return;
    }
    if (high >= 0x80) unsupported(p, "a range beyond ASCII where case is ignored");
    for (uint32_t cp = low; cp <= high && ok(p); cp++) put_char(p, set, cp);
}

/* […], the bracket ahead. */
static void parse_class(struct parser *p, cria_charset *out) {
    if (++p->depth > DEPTH_MAX) {
        unsupported(p, "too deep nesting");
        return;
    }
    cria_charset part, all; /* between two &&; what the parts before have in common */
    cria_charset_init(&part, p->t->ctx);
    cria_charset_init(&all, p->t->ctx);
    bool both = false, empty = true;
    p->pos++;
    const bool negated = ahead(p, 0) == '^';
    p->pos += negated;
    if (ahead(p, 0) == ']') unsupported(p, "a class that begins with ']'");
    while (ok(p) && ahead(p, 0) != ']') {
        if (ahead(p, 0) == END) {
            malformed(p, "a class that does not end");
            break;
        }
        if (!starts(p, "&&")) {
            class_item(p, &part);
            empty = false;
            continue;
        }
        if (empty || (p->pos += 2, ahead(p, 0) == ']')) {
            unsupported(p, "an intersection with nothing");
            break;
        }
        p->status =
            both ? cria_charset_intersect(&all, &part, p->err) : cria_charset_add_set(&all, &part, p->err);
        both = empty = true;
        cria_charset_fini(&part);
    }
    p->pos++;
    if (ok(p) && both) p->status = cria_charset_intersect(&all, &part, p->err);
    if (ok(p)) p->status = cria_charset_add_set(out, both ? &all : &part, p->err);
    if (ok(p) && negated) p->status = cria_charset_invert(out, p->err);
    cria_charset_fini(&part);
    cria_charset_fini(&all);
    p->depth--;
}

/* ---- groups ---- */

static uint32_t parse_choice(struct parser *p);

/* The sets that a lookahead looks for: its choice must come down to single characters and the end. */
static bool single_set(struct parser *p, uint32_t id, cria_charset *set, bool *at_end) {
    const struct cria_regex_node n = *node_at(p, id);
    switch (n.kind) {
    case CRIA_REGEX_LOOK:
        if (n.at_end) *at_end = true;
        /* fall through */
    case CRIA_REGEX_CHAR:
        p->status = cria_charset_add_set(set, &p->t->set[n.set], p->err);
        return ok(p);
    case CRIA_REGEX_CHOICE:
    case CRIA_REGEX_SEQUENCE: {
        if (n.child == CRIA_REGEX_NONE) return false;
        if (n.kind == CRIA_REGEX_SEQUENCE && node_at(p, n.child)->next != CRIA_REGEX_NONE) return false;
        for (uint32_t c = n.child; c != CRIA_REGEX_NONE; c = node_at(p, c)->next)
            if (!single_set(p, c, set, at_end)) return false;
        return true;
    }
    case CRIA_REGEX_REPEAT:
        return false;
    }
    return false;
}

/* Behind (?= or (?!. */
static uint32_t parse_look(struct parser *p, bool negated) {
    const uint32_t inside = parse_choice(p);
    if (!ok(p)) return CRIA_REGEX_NONE;
    cria_charset set;
    bool at_end = false;
    cria_charset_init(&set, p->t->ctx);
    uint32_t out = CRIA_REGEX_NONE;
    if (!single_set(p, inside, &set, &at_end)) {
        unsupported(p, "a lookahead at more than one character");
    } else {
        if (negated) p->status = cria_charset_invert(&set, p->err);
        out = set_node(p, CRIA_REGEX_LOOK, &set);
    }
    if (out != CRIA_REGEX_NONE) node_at(p, out)->at_end = at_end != negated;
    cria_charset_fini(&set);
    return out;
}

/* The letters of (?im-…; pos behind them. */
static void parse_options(struct parser *p) {
    bool on = true;
    for (;; p->pos++) {
        switch (ahead(p, 0)) {
        case '-':
            on = false;
            break;
        case 'i':
            p->ignore_case = on;
            break;
        case 'm':
            p->dot_all = on;
            break;
        case 'x':
            if (!on) break;
            unsupported(p, "a group with comments");
            return;
        default:
            return;
        }
    }
}

/* X with nothing given back: X then not X again, for X a repetition of one character. */
static uint32_t possessive(struct parser *p, uint32_t repeat) {
    const struct cria_regex_node r = *node_at(p, repeat);
    if (r.kind != CRIA_REGEX_REPEAT || r.lazy || node_at(p, r.child)->kind != CRIA_REGEX_CHAR ||
        (r.max != CRIA_REGEX_NONE && !(r.min == 0 && r.max == 1)))
        return unsupported(p, "something possessive that is longer than a character");
    const uint32_t child = r.child;
    cria_charset set;
    cria_charset_init(&set, p->t->ctx);
    p->status = cria_charset_add_set(&set, &p->t->set[node_at(p, child)->set], p->err);
    if (ok(p)) p->status = cria_charset_invert(&set, p->err);
    const uint32_t look = set_node(p, CRIA_REGEX_LOOK, &set);
    cria_charset_fini(&set);
    const uint32_t out = add_node(p, r.max == 1 ? CRIA_REGEX_CHOICE : CRIA_REGEX_SEQUENCE);
    if (!ok(p)) return CRIA_REGEX_NONE;
    const uint32_t first = r.max == 1 ? child : repeat;
    node_at(p, look)->at_end = true;
    node_at(p, out)->child = first;
    node_at(p, first)->next = look;
    return out;
}

static uint32_t finish_group(struct parser *p, uint32_t inside) {
    if (!ok(p)) return CRIA_REGEX_NONE;
    if (ahead(p, 0) != ')') return malformed(p, "a group that does not end");
    p->pos++;
    return inside;
}

/* Behind "(?": what is special about the group. */
static uint32_t parse_special_group(struct parser *p) {
    const int c = ahead(p, 0);
    if (c == ':') {
        p->pos++;
        return finish_group(p, parse_choice(p));
    }
    if (c == '=' || c == '!') {
        p->pos++;
        return finish_group(p, parse_look(p, c == '!'));
    }
    if (c == '>') {
        p->pos++;
        uint32_t inside = parse_choice(p);
        while (ok(p) && node_at(p, inside)->kind == CRIA_REGEX_SEQUENCE &&
               node_at(p, inside)->child != CRIA_REGEX_NONE &&
               node_at(p, node_at(p, inside)->child)->next == CRIA_REGEX_NONE)
            inside = node_at(p, inside)->child;
        return finish_group(p, ok(p) ? possessive(p, inside) : CRIA_REGEX_NONE);
    }
    if (c == '<' && is_letter((uint32_t)ahead(p, 1))) {
        while (ahead(p, 0) != END && ahead(p, 0) != '>') p->pos++;
        p->pos++;
        return finish_group(p, parse_choice(p));
    }
    if (c == '<') return unsupported(p, "a lookbehind");
    if (c == '#') return unsupported(p, "a comment");
    parse_options(p);
    if (ok(p) && ahead(p, 0) == ')')
        return parse_choice(p); /* (?i) holds to the end of the group around it */
    if (ok(p) && ahead(p, 0) != ':') return unsupported(p, "a group");
    p->pos++;
    return finish_group(p, parse_choice(p));
}

/* The parenthesis has been taken. */
static uint32_t parse_group(struct parser *p) {
    if (++p->depth > DEPTH_MAX) return unsupported(p, "too deep nesting");
    const bool ignore_case = p->ignore_case, dot_all = p->dot_all;
    uint32_t out;
    p->folded = 0;
    if (ahead(p, 0) == '?') {
        p->pos++;
        const size_t options = p->pos;
        while (ahead(p, 0) != END && strchr("imx-", ahead(p, 0))) p->pos++;
        const bool isolated = p->pos > options && ahead(p, 0) == ')';
        p->pos = options;
        if (isolated) {
            /* (?i)…: the rest of the group around is the inside of this one. */
            parse_options(p);
            p->pos++;
            out = ok(p) ? parse_choice(p) : CRIA_REGEX_NONE;
        } else {
            out = parse_special_group(p);
        }
    } else {
        out = finish_group(p, parse_choice(p));
    }
    p->ignore_case = ignore_case;
    p->dot_all = dot_all;
    p->depth--;
    p->folded = 0;
    return out;
}

/* ---- atoms and quantifiers ---- */

static uint32_t look_at_end(struct parser *p, bool line) {
    cria_charset set;
    cria_charset_init(&set, p->t->ctx);
    if (line) put(p, &set, '\n', '\n');
    const uint32_t out = set_node(p, CRIA_REGEX_LOOK, &set);
    if (out != CRIA_REGEX_NONE) node_at(p, out)->at_end = true;
    cria_charset_fini(&set);
    return out;
}

static uint32_t parse_atom(struct parser *p) {
    cria_charset set;
    uint32_t out = CRIA_REGEX_NONE, cp;
    const int c = ahead(p, 0);
    cria_charset_init(&set, p->t->ctx);
    switch (c) {
    case '(':
        p->pos++;
        return parse_group(p);
    case '^':
        return unsupported(p, "'^'");
    case '$':
        p->pos++;
        return look_at_end(p, true);
    case '*':
    case '+':
    case '?':
        return malformed(p, "a quantifier with nothing before it");
    case '[':
        p->folded = 0;
        p->in_class = true;
        parse_class(p, &set);
        p->in_class = false;
        break;
    case '.':
        p->pos++;
        if (!p->dot_all) put(p, &set, '\n', '\n');
        if (ok(p)) p->status = cria_charset_invert(&set, p->err);
        break;
    case '\\': {
        const int e = ahead(p, 1);
        if (e == END) return malformed(p, "a backslash with nothing behind it");
        p->pos += 2;
        if (e == 'z') return look_at_end(p, false);
        p->folded = put_class_escape(p, &set, e) ? 0 : p->folded;
        if (ok(p) && set.n == 0 && !strchr("pPsSdDwWhH", e)) {
            cp = escaped_char(p, e);
            put_char(p, &set, cp);
            check_folding(p, cp);
        }
        break;
    }
    default:
        cp = take_char(p);
        put_char(p, &set, cp);
        check_folding(p, cp);
    }
    if (ok(p)) out = set_node(p, CRIA_REGEX_CHAR, &set);
    cria_charset_fini(&set);
    return out;
}

/* {n}, {n,}, {,m} or {n,m}: pos behind it. False, with pos where it was, when it is text. */
static bool parse_interval(struct parser *p, uint32_t *min, uint32_t *max) {
    const size_t from = p->pos++;
    uint32_t bound[2] = {0, CRIA_REGEX_NONE};
    bool given[2] = {false, false}, comma = false;
    for (int i = 0; i < 2; i++) {
        uint32_t x = 0;
        for (; ahead(p, 0) >= '0' && ahead(p, 0) <= '9'; p->pos++) {
            if (x <= REPEAT_MAX) x = x * 10 + (uint32_t)(ahead(p, 0) - '0');
            given[i] = true;
        }
        if (given[i]) bound[i] = x;
        if (i == 1 || ahead(p, 0) != ',') break;
        comma = true;
        p->pos++;
    }
    if (ahead(p, 0) != '}' || (!given[0] && !given[1])) {
        p->pos = from;
        return false;
    }
    p->pos++;
    *min = bound[0];
    *max = comma ? bound[1] : bound[0];
    if (*min > REPEAT_MAX || (*max != CRIA_REGEX_NONE && *max > REPEAT_MAX))
        unsupported(p, "a repetition of so many");
    if (ok(p) && *max < *min) unsupported(p, "a repetition whose bounds are the wrong way around");
    if (ok(p) && !comma && ahead(p, 0) == '?') unsupported(p, "'?' behind {n}");
    return true;
}

/* True when the node can match nothing. */
static bool nullable(struct parser *p, uint32_t id) {
    const struct cria_regex_node *n = node_at(p, id);
    switch (n->kind) {
    case CRIA_REGEX_CHAR:
        return false;
    case CRIA_REGEX_LOOK:
        return true;
    case CRIA_REGEX_REPEAT:
        return n->min == 0 || nullable(p, n->child);
    case CRIA_REGEX_SEQUENCE:
        for (uint32_t c = n->child; c != CRIA_REGEX_NONE; c = node_at(p, c)->next)
            if (!nullable(p, c)) return false;
        return true;
    case CRIA_REGEX_CHOICE:
        for (uint32_t c = n->child; c != CRIA_REGEX_NONE; c = node_at(p, c)->next)
            if (nullable(p, c)) return true;
        return false;
    }
    return true;
}

static uint32_t parse_quantified(struct parser *p) {
    uint32_t out = parse_atom(p);
    unsigned n = 0;
    while (ok(p)) {
        uint32_t min = 0, max = CRIA_REGEX_NONE;
        const int c = ahead(p, 0);
        const bool interval = c == '{';
        if (interval) {
            if (!parse_interval(p, &min, &max)) break;
        } else if (c == '*' || c == '+' || c == '?') {
            p->pos++;
            min = c == '+';
            max = c == '?' ? 1 : CRIA_REGEX_NONE;
        } else {
            break;
        }
        if (++n > DEPTH_MAX) return unsupported(p, "too many quantifiers");
        if (!ok(p)) break;
        if (max == CRIA_REGEX_NONE && nullable(p, out))
            return unsupported(p, "a repetition of what can be empty");
        const uint32_t repeat = add_node(p, CRIA_REGEX_REPEAT);
        if (repeat == CRIA_REGEX_NONE) break;
        struct cria_regex_node *r = node_at(p, repeat);
        r->child = out;
        r->min = min;
        r->max = max;
        out = repeat;
        if (ahead(p, 0) == '?') {
            p->pos++;
            r->lazy = true;
        } else if (ahead(p, 0) == '+' && !interval) {
            p->pos++;
            out = possessive(p, repeat);
        }
        p->folded = 0;
    }
    return out;
}

static uint32_t parse_sequence(struct parser *p) {
    const uint32_t out = add_node(p, CRIA_REGEX_SEQUENCE);
    uint32_t last = CRIA_REGEX_NONE;
    p->folded = 0;
    while (ok(p) && ahead(p, 0) != END && ahead(p, 0) != '|' && ahead(p, 0) != ')') {
        const uint32_t item = parse_quantified(p);
        if (!ok(p)) break;
        if (last == CRIA_REGEX_NONE)
            node_at(p, out)->child = item;
        else
            node_at(p, last)->next = item;
        last = item;
    }
    return out;
}

static uint32_t parse_choice(struct parser *p) {
    const uint32_t first = parse_sequence(p);
    if (!ok(p) || ahead(p, 0) != '|') return first;
    const uint32_t out = add_node(p, CRIA_REGEX_CHOICE);
    if (!ok(p)) return CRIA_REGEX_NONE;
    node_at(p, out)->child = first;
    for (uint32_t last = first; ok(p) && ahead(p, 0) == '|';) {
        p->pos++;
        const uint32_t item = parse_sequence(p);
        if (!ok(p)) break;
        node_at(p, last)->next = item;
        last = item;
    }
    return out;
}

static uint32_t parse_literal(struct parser *p) {
    const uint32_t out = add_node(p, CRIA_REGEX_SEQUENCE);
    uint32_t last = CRIA_REGEX_NONE;
    while (ok(p) && p->pos < p->len) {
        cria_charset set;
        cria_charset_init(&set, p->t->ctx);
        put_char(p, &set, take_char(p));
        const uint32_t item = ok(p) ? set_node(p, CRIA_REGEX_CHAR, &set) : CRIA_REGEX_NONE;
        cria_charset_fini(&set);
        if (!ok(p)) break;
        if (last == CRIA_REGEX_NONE)
            node_at(p, out)->child = item;
        else
            node_at(p, last)->next = item;
        last = item;
    }
    return out;
}

cria_status cria_regex_parse(cria_ctx *ctx, const char *pattern, size_t len, enum cria_regex_syntax syntax,
                             struct cria_regex_tree *out, cria_error *err) {
    struct parser p = {
        .t = out, .pattern = (const uint8_t *)pattern, .len = len, .syntax = syntax, .err = err};
    *out = (struct cria_regex_tree){.ctx = ctx};
    if (len > CRIA_REGEX_PATTERN_MAX)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "A pattern has %zu bytes, and at most %u are possible.", len,
                         CRIA_REGEX_PATTERN_MAX);
    if (!cria_utf8_valid(p.pattern, len))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "A pattern is not valid UTF-8.");
    out->root = syntax == CRIA_REGEX_LITERAL ? parse_literal(&p) : parse_choice(&p);
    if (ok(&p) && p.pos < len) malformed(&p, "')' without '('");
    return p.status;
}

void cria_regex_tree_fini(struct cria_regex_tree *t) {
    for (uint32_t i = 0; i < t->n_sets; i++) cria_charset_fini(&t->set[i]);
    cria_free(t->ctx, t->set);
    cria_free(t->ctx, t->node);
    *t = (struct cria_regex_tree){.ctx = t->ctx};
}
