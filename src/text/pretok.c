/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The splitters of pretok.h. Each alternative of the regular expression is a function that returns the bytes
 * it matches at the start of the text, 0 for no match; the splitter tries them in the order of the
 * expression.
 *
 *   gpt-2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   smollm     every digit by itself, then gpt-2 on what lies between
 *   llama-bpe  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 *              \s*[\r\n]+|\s+(?!\S)|\s+
 *   qwen2      as llama-bpe, with \p{N} instead of \p{N}{1,3}
 *
 * Qwen2's tokenizer.json also composes the text first (NFC), which a GGUF does not say and llama.cpp does not
 * do; nor is it done here, so only composed text (nearly all there is) gives the same ids.
 *
 * Source: the tokenizer.json of gpt2, SmolLM2, Llama 3 and Qwen2; the names are those of llama.cpp's
 * converter. The same expression under another name (mpt, dbrx, …) is not accepted unless the tokenizer.json
 * is known to agree in everything else too (normalizer, ignore_merges).
 */
#include "text/pretok.h"

#include "base/utf8.h"
#include "text/unicode.h"

#include <string.h>

bool cria_pretok_find(const char *name, size_t len, enum cria_pretok *out) {
    static const struct {
        const char *name;
        enum cria_pretok kind;
    } known[] = {
        {"gpt-2", CRIA_PRETOK_GPT2},
        {"smollm", CRIA_PRETOK_SMOLLM},
        {"starcoder", CRIA_PRETOK_SMOLLM},
        {"refact", CRIA_PRETOK_SMOLLM},
        {"llama-bpe", CRIA_PRETOK_LLAMA3},
        {"llama3", CRIA_PRETOK_LLAMA3},
        {"llama-v3", CRIA_PRETOK_LLAMA3},
        {"qwen2", CRIA_PRETOK_QWEN2},
        {"deepseek-r1-qwen", CRIA_PRETOK_QWEN2},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0) {
            *out = known[i].kind;
            return true;
        }
    }
    return false;
}

const char *cria_pretok_names(void) {
    return "gpt-2, smollm, starcoder, refact, llama-bpe, llama3, llama-v3, qwen2, deepseek-r1-qwen";
}

bool cria_pretok_whole_words(enum cria_pretok kind) { return kind == CRIA_PRETOK_LLAMA3; }

bool cria_pretok_adds_bos(enum cria_pretok kind) { return kind == CRIA_PRETOK_LLAMA3; }

/* What the text's next character is. At the end, and where a splitter that isolates digits meets one: END. */
enum { END = 5 };

struct scan {
    const uint8_t *text;
    size_t len;
    bool isolate_digits;
};

/* Class of the character at pos; *next is the position behind it. */
static inline int class_at(const struct scan *s, size_t pos, size_t *next) {
    *next = pos;
    if (pos >= s->len) return END;
    uint32_t cp = s->text[pos];
    size_t n = 1;
    if (cp >= 0x80) n = cria_utf8_decode(s->text + pos, s->len - pos, &cp);
    *next = pos + (n != 0 ? n : 1);
    const int c = (int)cria_char_class(cp);
    if (s->isolate_digits && (c == CRIA_CHAR_NUMBER || c == CRIA_CHAR_NEW_DIGIT)) return END;
    return c == CRIA_CHAR_NEW_DIGIT ? CRIA_CHAR_OTHER : c;
}

/* End of the run of characters of class c that starts at pos. */
static size_t run_end(const struct scan *s, size_t pos, int c) {
    size_t next;
    while (class_at(s, pos, &next) == c) pos = next;
    return pos;
}

static bool is_newline(uint8_t b) { return b == '\n' || b == '\r'; }

/* 's|'t|'re|'ve|'m|'ll|'d, exactly or in any case; U+017F (ſ) is an S in another case. */
static size_t match_contraction(const struct scan *s, bool any_case) {
    if (s->len < 2 || s->text[0] != '\'') return 0;
    if (any_case && s->len >= 3 && s->text[1] == 0xc5 && s->text[2] == 0xbf) return 3;
    const uint8_t fold = any_case ? 0x20 : 0; /* only ASCII letters become the letters below */
    const int a = s->text[1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (s->len < 3) return 0;
    const int b = s->text[2] | fold;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ : a run of white space leaves its last character to the word behind it. */
static size_t match_space(const struct scan *s) {
    size_t pos = 0, next, last = 0;
    int c;
    while ((c = class_at(s, pos, &next)) == CRIA_CHAR_SPACE) {
        last = pos;
        pos = next;
    }
    return c == END || last == 0 ? pos : last;
}

/* \s*[\r\n]+ : white space up to its last newline. */
static size_t match_lines(const struct scan *s) {
    size_t pos = 0, next, end = 0;
    while (class_at(s, pos, &next) == CRIA_CHAR_SPACE) {
        if (is_newline(s->text[pos])) end = next;
        pos = next;
    }
    return end;
}

static size_t next_gpt2(const struct scan *s) {
    size_t n = match_contraction(s, false);
    if (n != 0) return n;
    size_t first = s->text[0] == ' ', next;
    const int c = class_at(s, first, &next);
    if (c == CRIA_CHAR_SPACE || c == END) return match_space(s);
    return run_end(s, next, c);
}

static size_t next_smollm(const struct scan *s) {
    size_t next;
    if (class_at(s, 0, &next) == END) return next;
    return next_gpt2(s);
}

/* [^\r\n\p{L}\p{N}]?\p{L}+ */
static size_t match_word(const struct scan *s) {
    size_t next;
    int c = class_at(s, 0, &next);
    if (c == CRIA_CHAR_NUMBER || is_newline(s->text[0])) return 0;
    if (c != CRIA_CHAR_LETTER) c = class_at(s, next, &next);
    return c == CRIA_CHAR_LETTER ? run_end(s, next, CRIA_CHAR_LETTER) : 0;
}

/* \p{N}{1,max} */
static size_t match_number(const struct scan *s, int max) {
    size_t pos = 0, next;
    while (max-- > 0 && class_at(s, pos, &next) == CRIA_CHAR_NUMBER) pos = next;
    return pos;
}

/*  ?[^\s\p{L}\p{N}]+[\r\n]* */
static size_t match_punctuation(const struct scan *s) {
    const size_t first = s->text[0] == ' ';
    size_t pos = run_end(s, first, CRIA_CHAR_OTHER);
    if (pos == first) return 0;
    while (pos < s->len && is_newline(s->text[pos])) pos++;
    return pos;
}

static size_t next_llama3(const struct scan *s, int max_digits) {
    size_t n;
    if ((n = match_contraction(s, true)) != 0) return n;
    if ((n = match_word(s)) != 0) return n;
    if ((n = match_number(s, max_digits)) != 0) return n;
    if ((n = match_punctuation(s)) != 0) return n;
    if ((n = match_lines(s)) != 0) return n;
    return match_space(s);
}

size_t cria_pretok_next(enum cria_pretok kind, const uint8_t *text, size_t len) {
    const struct scan s = {text, len, kind == CRIA_PRETOK_SMOLLM};
    switch (kind) {
    case CRIA_PRETOK_GPT2:
        return next_gpt2(&s);
    case CRIA_PRETOK_SMOLLM:
        return next_smollm(&s);
    case CRIA_PRETOK_LLAMA3:
        return next_llama3(&s, 3);
    case CRIA_PRETOK_QWEN2:
        return next_llama3(&s, 1);
    }
    return len;
}
