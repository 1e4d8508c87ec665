/* SPDX-License-Identifier: Apache-2.0 */
/* The lexer of Jinja2 (lexer.py) with trim_blocks and lstrip_blocks: where it has regular expressions this has loops,
 * tried in the same order. Line ends are \n by the time it runs. */
#include "template/lex.h"
#include "template/characters.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

struct lexer {
    jinja_state *s;
    const char *text;
    size_t len, pos;
    uint32_t line;
    bool line_starting; /* what was read last ended a line */
    jinja_token *tokens;
    size_t n, cap;
    jinja_dict *names;
    char open[CRIA_TEMPLATE_MAX_NESTING]; /* the brackets that are to be closed */
    size_t n_open;
};

static const char operators[][3] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
enum { N_OPERATORS = sizeof operators / sizeof operators[0] };

const char *cria_jinja_token_text(const jinja_token *t, char out[64]) {
    static const char *const kinds[] = {"end of template",          "template data / text",
                                        "begin of print statement", "end of print statement",
                                        "begin of statement block", "end of statement block"};
    if (t->kind <= TOKEN_BLOCK_END) return kinds[t->kind];
    if (t->kind >= TOKEN_FLOORDIV) return operators[t->kind - TOKEN_FLOORDIV];
    if (t->kind == TOKEN_INTEGER) return "integer";
    if (t->kind == TOKEN_FLOAT) return "float";
    if (t->kind == TOKEN_TEXT) return "string";
    const jinja_text *name = t->value.text;
    snprintf(out, 64, "%.*s", (int)(name->len < 60 ? name->len : 60), name->data);
    return out;
}

static int at(const struct lexer *l, size_t pos) { return pos < l->len ? (uint8_t)l->text[pos] : -1; }
static bool starts(const struct lexer *l, size_t pos, const char *word) {
    const size_t n = strlen(word);
    return l->len - pos >= n && memcmp(l->text + pos, word, n) == 0;
}

static bool fail(struct lexer *l, const char *what) {
    l->s->line = l->line;
    return cria_jinja_fail(l->s, CRIA_EFORMAT, "%s", what);
}

static bool add(struct lexer *l, int kind, jinja_value value) {
    void *tokens = l->tokens;
    if (!cria_jinja_grow(l->s, &tokens, l->n, &l->cap, sizeof *l->tokens)) return false;
    l->tokens = tokens;
    l->tokens[l->n++] = (jinja_token){(uint8_t)kind, l->line, value};
    return true;
}

static bool add_data(struct lexer *l, size_t from, size_t end) {
    jinja_value v;
    return from == end || (cria_jinja_text_view(l->s, l->text + from, end - from, &v) && add(l, TOKEN_DATA, v));
}

/* Moves to end and counts the lines on the way. */
static void advance(struct lexer *l, size_t end) {
    for (size_t i = l->pos; i < end; i++) l->line += l->text[i] == '\n';
    l->line_starting = end > 0 && l->text[end - 1] == '\n';
    l->pos = end;
}

/* Length of the whitespace character at pos, or 0; at its end for before. */
static size_t space(const struct lexer *l, size_t pos) {
    uint32_t c;
    if (pos >= l->len) return 0;
    const size_t n = cria_utf8_decode((const uint8_t *)l->text + pos, l->len - pos, &c);
    return cria_jinja_is_space(c) ? n : 0;
}
static size_t space_before(const struct lexer *l, size_t from, size_t end) {
    size_t pos = end;
    while (pos > from && pos > 0 && ((uint8_t)l->text[--pos] & 0xc0) == 0x80) {
    }
    return end > from && pos + space(l, pos) == end ? end - pos : 0;
}
static size_t skip_space(const struct lexer *l, size_t pos) {
    for (size_t n; (n = space(l, pos)) != 0;) pos += n;
    return pos;
}

/* The end of the text before a tag that begins at end, after what its sign and lstrip_blocks take away. */
static size_t stripped(const struct lexer *l, size_t from, size_t end, int sign, bool print) {
    size_t n, kept = end;
    if (sign == '-') {
        while ((n = space_before(l, from, kept)) != 0) kept -= n;
        return kept;
    }
    if (sign == '+' || print) return end;
    size_t line = end;
    while (line > from && l->text[line - 1] != '\n') line--;
    if (line == from && !l->line_starting) return end;
    while ((n = space_before(l, line, kept)) != 0) kept -= n;
    return kept == line ? line : end;
}

/* The end of a tag at pos: "-%}" with the whitespace after it, "+%}" (plus), or "%}" with a line's end (trim). 0:
 * none. */
static size_t tag_end(const struct lexer *l, size_t pos, const char *end, bool plus, bool trim) {
    if (at(l, pos) == '-' && starts(l, pos + 1, end)) return skip_space(l, pos + 3);
    if (plus && at(l, pos) == '+' && starts(l, pos + 1, end)) return pos + 3;
    if (!starts(l, pos, end)) return 0;
    return pos + 2 + (trim && at(l, pos + 2) == '\n');
}

static int sign_at(const struct lexer *l, size_t pos) {
    const int c = at(l, pos);
    return c == '-' || c == '+' ? c : 0;
}

/* Behind "{% word" at pos, or 0. */
static size_t tag_word(const struct lexer *l, size_t pos, const char *word) {
    if (!starts(l, pos, "{%")) return 0;
    pos += 2;
    if (sign_at(l, pos)) pos++;
    pos = skip_space(l, pos);
    return starts(l, pos, word) ? skip_space(l, pos + strlen(word)) : 0;
}

/* Jinja does not miss the end of a comment or raw block that begins at the very end. */
static bool comment(struct lexer *l) {
    if (l->pos == l->len) return true;
    for (size_t pos = l->pos; pos < l->len; pos++) {
        const size_t end = tag_end(l, pos, "#}", true, true);
        if (end == 0) continue;
        advance(l, end);
        return true;
    }
    return fail(l, "Missing end of comment tag");
}

static bool raw(struct lexer *l) { /* pos is behind {% raw %} */
    const size_t from = l->pos;
    if (from == l->len) return true;
    for (size_t pos = from; pos < l->len; pos++) {
        const size_t word = l->text[pos] == '{' ? tag_word(l, pos, "endraw") : 0;
        const size_t end = word ? tag_end(l, word, "%}", true, true) : 0;
        if (end == 0) continue;
        const size_t kept = stripped(l, from, pos, sign_at(l, pos + 2), false);
        if (!add_data(l, from, kept)) return false;
        advance(l, end);
        return true;
    }
    return fail(l, "Missing end of raw directive");
}

/* ---- inside a tag ---- */

static bool is_digit(int c, int base) {
    const int v = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
    return v < base;
}

/* The end of digits with single '_' between them, from pos; pos where there are none. */
static size_t digits(const struct lexer *l, size_t pos, int base) {
    size_t end = pos;
    while (is_digit(at(l, pos), base)) {
        end = ++pos;
        if (at(l, pos) == '_') pos++;
    }
    return end;
}

static size_t float_end(const struct lexer *l) {
    size_t pos = digits(l, l->pos, 10);
    if (pos == l->pos || (l->pos > 0 && l->text[l->pos - 1] == '.')) return 0;
    bool fraction = false;
    if (at(l, pos) == '.' && is_digit(at(l, pos + 1), 10)) {
        pos = digits(l, pos + 1, 10);
        fraction = true;
    }
    if ((at(l, pos) | 32) == 'e') {
        size_t e = pos + 1;
        if (at(l, e) == '+' || at(l, e) == '-') e++;
        if (is_digit(at(l, e), 10)) return digits(l, e, 10);
    }
    return fraction ? pos : 0;
}

static bool real(struct lexer *l, size_t end) {
    char text[400];
    size_t n = 0;
    size_t pos = l->pos;
    while (pos + 1 < end && (l->text[pos] == '0' || l->text[pos] == '_') &&
           (is_digit(l->text[pos + 1], 10) || l->text[pos + 1] == '_'))
        pos++; /* JSON has no zeros in front */
    for (; pos < end && n < sizeof text; pos++)
        if (l->text[pos] != '_') text[n++] = l->text[pos];
    double x;
    if (n == sizeof text || !cria_jinja_parse_float(text, n, &x)) return fail(l, "A number that is not understood");
    if (!add(l, TOKEN_FLOAT, jinja_float(x))) return false;
    advance(l, end);
    return true;
}

static bool integer(struct lexer *l) {
    const int mark = at(l, l->pos + 1) | 32;
    int base = at(l, l->pos) != '0' ? 10 : mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    size_t from = l->pos, end;
    if (base != 10) from += at(l, l->pos + 2) == '_' ? 3 : 2;
    if (base != 10 && digits(l, from, base) == from) {
        base = 10;
        from = l->pos;
    }
    end = digits(l, from, base);
    if (base == 10 && at(l, from) == '0') { /* zeros only */
        end = from + 1;
        while (at(l, end) == '0' || (at(l, end) == '_' && at(l, end + 1) == '0')) end++;
    }
    int64_t value = 0;
    for (size_t i = from; i < end; i++) {
        const int c = l->text[i];
        if (c == '_') continue;
        const int digit = c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
            return fail(l, "An integer of more than 64 bits");
    }
    if (!add(l, TOKEN_INTEGER, jinja_int(value))) return false;
    advance(l, end);
    return true;
}

static bool word_char(const struct lexer *l, size_t pos, size_t *n) {
    const int c = at(l, pos);
    *n = 1;
    if (c < 0) return false;
    if (c < 0x80) return c == '_' || is_digit(c, 10) || ((c | 32) >= 'a' && (c | 32) <= 'z');
    uint32_t cp;
    *n = cria_utf8_decode((const uint8_t *)l->text + pos, l->len - pos, &cp);
    return (cria_jinja_class_of(cp) & JINJA_ALPHA) != 0;
}

static bool name(struct lexer *l) {
    size_t end = l->pos, n;
    while (word_char(l, end, &n)) end += n;
    jinja_value v, *known;
    if (!cria_jinja_text_view(l->s, l->text + l->pos, end - l->pos, &v) ||
        !cria_jinja_dict_get(l->s, l->names, v, &known))
        return false;
    if (!known && !cria_jinja_dict_set(l->s, l->names, v, v)) return false;
    if (!add(l, TOKEN_NAME, known ? *known : v)) return false;
    advance(l, end);
    return true;
}

static bool append(struct lexer *l, cria_buf *b, uint32_t c) {
    uint8_t bytes[4];
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return fail(l, "An escape that is no character");
    return cria_jinja_write(l->s, b, bytes, cria_utf8_encode(c, bytes));
}

/* The escape at *pos (behind the backslash), as Python's unicode-escape has it. */
static bool escape(struct lexer *l, cria_buf *b, size_t *pos) {
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const int c = at(l, *pos);
    if (c == '\n') {
        ++*pos;
        return true;
    }
    const char *found = c > 0 ? strchr(from, c) : NULL;
    if (found) {
        ++*pos;
        return cria_jinja_write(l->s, b, &to[found - from], 1);
    }
    uint32_t value = 0;
    if (is_digit(c, 8)) {
        for (int i = 0; i < 3 && is_digit(at(l, *pos), 8); i++)
            value = value * 8 + (uint32_t)(l->text[(*pos)++] - '0');
        return append(l, b, value);
    }
    const int n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n) {
        ++*pos;
        for (int i = 0; i < n; i++, ++*pos) {
            const int d = at(l, *pos);
            if (!is_digit(d, 16)) return fail(l, "An escape with too few hexadecimal digits");
            value = value * 16 + (uint32_t)(d <= '9' ? d - '0' : (d | 32) - 'a' + 10);
        }
        return append(l, b, value);
    }
    if (c == 'N') return fail(l, "Escapes \\N{…} are not supported");
    if (c < 0x80) return cria_jinja_write(l->s, b, "\\", 1); /* stands for itself, and so does what follows */
    /* Jinja makes the text ASCII first, with escapes for the rest; the backslash before makes such a one plain. */
    uint32_t cp;
    char text[16];
    *pos += cria_utf8_decode((const uint8_t *)l->text + *pos, l->len - *pos, &cp);
    const int len = snprintf(text, sizeof text,
                             cp < 0x100     ? "\\x%02x"
                             : cp < 0x10000 ? "\\u%04x"
                                            : "\\U%08x",
                             (unsigned)cp);
    return cria_jinja_write(l->s, b, text, (size_t)len);
}

static bool string(struct lexer *l) {
    const char quote = l->text[l->pos];
    size_t end = l->pos + 1;
    bool plain = true;
    while (end < l->len && l->text[end] != quote) {
        if (l->text[end] == '\\') {
            plain = false;
            end++;
        }
        end++;
    }
    if (end >= l->len) return fail(l, "A string that does not end");
    jinja_value v;
    if (plain) {
        if (!cria_jinja_text_view(l->s, l->text + l->pos + 1, end - l->pos - 1, &v)) return false;
    } else {
        cria_buf b;
        cria_jinja_scratch(l->s, &b);
        bool ok = true;
        for (size_t pos = l->pos + 1; ok && pos < end;) {
            size_t run = pos;
            while (run < end && l->text[run] != '\\') run++;
            ok = cria_jinja_write(l->s, &b, l->text + pos, run - pos);
            pos = run;
            if (ok && pos < end) {
                pos++;
                ok = escape(l, &b, &pos);
            }
        }
        if (!cria_jinja_take(l->s, &b, ok, &v)) return false;
    }
    if (!add(l, TOKEN_TEXT, v)) return false;
    advance(l, end + 1);
    return true;
}

static bool balance(struct lexer *l, char c) {
    static const char open[] = "([{", close[] = ")]}";
    const char *found = strchr(open, c);
    if (found) {
        if (l->n_open == sizeof l->open) {
            l->s->line = l->line;
            return cria_jinja_fail(l->s, CRIA_EFULL, "More than %d brackets within each other",
                                   CRIA_TEMPLATE_MAX_NESTING);
        }
        l->open[l->n_open++] = close[found - open];
        return true;
    }
    if (!strchr(close, c)) return true;
    l->s->line = l->line;
    if (l->n_open == 0) return cria_jinja_fail(l->s, CRIA_EFORMAT, "unexpected '%c'", c);
    const char want = l->open[--l->n_open];
    return c == want || cria_jinja_fail(l->s, CRIA_EFORMAT, "unexpected '%c', expected '%c'", c, want);
}

static bool operator_token(struct lexer *l) {
    for (int i = 0; i < (int)N_OPERATORS; i++) {
        if (!starts(l, l->pos, operators[i])) continue;
        if (operators[i][1] == '\0' && !balance(l, operators[i][0])) return false;
        if (!add(l, TOKEN_FLOORDIV + i, jinja_none())) return false;
        advance(l, l->pos + strlen(operators[i]));
        return true;
    }
    l->s->line = l->line;
    uint32_t cp;
    size_t n = cria_utf8_decode((const uint8_t *)l->text + l->pos, l->len - l->pos, &cp);
    return cria_jinja_fail(l->s, CRIA_EFORMAT, "unexpected char '%.*s'", (int)(n ? n : 1), l->text + l->pos);
}

/* Tokens up to the end of the tag. */
static bool inside(struct lexer *l, bool block) {
    while (l->pos < l->len) {
        const size_t end = l->n_open ? 0 : tag_end(l, l->pos, block ? "%}" : "}}", block, block);
        if (end) {
            if (!add(l, block ? TOKEN_BLOCK_END : TOKEN_PRINT_END, jinja_none())) return false;
            advance(l, end);
            return true;
        }
        const size_t blank = skip_space(l, l->pos);
        const int c = at(l, l->pos);
        size_t n;
        bool ok;
        if (blank > l->pos) {
            advance(l, blank);
            ok = true;
        } else if (is_digit(c, 10))
            ok = (n = float_end(l)) != 0 ? real(l, n) : integer(l);
        else if (word_char(l, l->pos, &n))
            ok = name(l);
        else
            ok = c == '\'' || c == '"' ? string(l) : operator_token(l);
        if (!ok) return false;
    }
    return true; /* the parser says what is missing */
}

/* The next "{{", "{%" or "{#", or the end. */
static size_t next_tag(const struct lexer *l) {
    size_t pos = l->pos;
    for (; pos < l->len; pos++) {
        const char *found = memchr(l->text + pos, '{', l->len - pos);
        if (!found) return l->len;
        pos = (size_t)(found - l->text);
        const int c = at(l, pos + 1);
        if (c == '{' || c == '%' || c == '#') return pos;
    }
    return l->len;
}

static bool template(struct lexer *l) {
    while (l->pos < l->len) {
        const size_t from = l->pos, tag = next_tag(l);
        if (tag == l->len) {
            if (!add_data(l, from, tag)) return false;
            advance(l, tag);
            break;
        }
        const int kind = at(l, tag + 1), sign = sign_at(l, tag + 2);
        const size_t kept = stripped(l, from, tag, sign, kind == '{');
        if (!add_data(l, from, kept)) return false;
        size_t word = kind == '%' ? tag_word(l, tag, "raw") : 0;
        if (word) word = tag_end(l, word, "%}", false, false);
        advance(l, word ? word : tag + 2 + (sign != 0));
        if (word) {
            if (!raw(l)) return false;
        } else if (kind == '#') {
            if (!comment(l)) return false;
        } else if (!add(l, kind == '%' ? TOKEN_BLOCK_BEGIN : TOKEN_PRINT_BEGIN, jinja_none()) ||
                   !inside(l, kind == '%'))
            return false;
    }
    return add(l, TOKEN_END, jinja_none());
}

bool cria_jinja_lex(jinja_state *s, const char *text, size_t len, jinja_token **out) {
    struct lexer l = {.s = s, .line = 1, .line_starting = true, .names = cria_jinja_dict(s)};
    char *copy = cria_jinja_alloc(s, len);
    if (!l.names || !copy) return false;
    for (size_t i = 0; i < len; i++) {
        copy[l.len++] = text[i] == '\r' ? '\n' : text[i];
        if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n') i++;
    }
    if (l.len && copy[l.len - 1] == '\n') l.len--;
    l.text = copy;
    if (!template(&l)) return false;
    *out = l.tokens;
    return true;
}
