/* SPDX-License-Identifier: Apache-2.0 */
/* Normalization by hand-made rules, and character maps that lie. Against the library: tests/oracle. */
#include "unit.h"
#include "base/ctx.h"
#include "counting_alloc.h"
#include "text/normalize.h"
#include <stdlib.h>

#define UNITS 512u
#define SP "\xE2\x96\x81"

static struct counting_alloc alloc;
static cria_ctx ctx;

/* A darts-clone double array with the root's children from unit 256 on and each rule's leaf next to its node.
 */
struct map {
    uint8_t data[4 + UNITS * 4 + 64];
    size_t len;
};

static void set_unit(struct map *m, size_t i, uint32_t u) {
    for (int b = 0; b < 4; b++) m->data[4 + i * 4 + (size_t)b] = (uint8_t)(u >> 8 * b);
}
static void map_begin(struct map *m) {
    memset(m, 0, sizeof *m);
    m->data[1] = UNITS * 4 >> 8;
    for (size_t i = 0; i < UNITS; i++)
        set_unit(m, i, 256u << 10); /* free: stays inside, matches nothing but NUL */
    for (size_t i = 256; i < UNITS; i++) set_unit(m, i, 1u << 31); /* a leaf nobody points to */
    m->len = 4 + UNITS * 4;
}
/* byte → text; its leaf is the unit beside it, so of two bytes that differ in the last bit only one may be
 * used. */
static void map_rule(struct map *m, uint8_t byte, const char *text) {
    const size_t node = 256u ^ byte;
    set_unit(m, node, 1u << 10 | 1u << 8 | byte);
    set_unit(m, node ^ 1u, 1u << 31 | (uint32_t)(m->len - 4 - UNITS * 4));
    memcpy(m->data + m->len, text, strlen(text) + 1);
    m->len += strlen(text) + 1;
}

static void check(const cria_normalizer *n, const char *text, size_t len, const char *want) {
    cria_buf out;
    cria_buf_init(&out, &ctx, 1000);
    assert_int_equal(cria_normalize(n, (const uint8_t *)text, len, &out, NULL), CRIA_OK);
    assert_int_equal(cria_buf_push(&out, 0, NULL), CRIA_OK);
    assert_string_equal((const char *)out.data, want);
    cria_buf_fini(&out);
}

static void whitespace(void **state) {
    (void)state;
    static const struct {
        bool prefix, squeeze, escape, suffix;
        const char *text, *want;
    } cases[] = {
        {1, 1, 1, 0, "a b", SP "a" SP "b"},
        {1, 1, 1, 0, "  a  b  ", SP "a" SP "b"},
        {1, 1, 1, 0, "   ", ""},
        {1, 1, 1, 0, "", ""},
        {1, 0, 1, 0, " ", SP SP},
        {1, 0, 1, 0, "", ""},
        {1, 0, 1, 0, " a ", SP SP "a" SP},
        {0, 1, 1, 0, " a  b ", "a" SP "b"},
        {0, 0, 1, 0, " a  ", SP "a" SP SP},
        {1, 1, 1, 1, " a  b ", "a" SP "b" SP},
        {1, 0, 1, 1, "a", "a" SP},
        {1, 1, 0, 0, " a  b ", " a b"},
        {0, 0, 0, 0, " a ", " a "},
        {1, 1, 1, 0, "a" SP, SP "a"},
        {1, 1, 0, 0, "a" SP, " a" SP},
        {1, 1, 1, 0, "a\tb\n", SP "a\tb\n"},
        {1, 1, 1, 0, SP, ""},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        const struct cria_vocab_normalizer spec = {
            cases[i].prefix, cases[i].squeeze, cases[i].escape, cases[i].suffix, NULL, 0};
        cria_normalizer n;
        assert_int_equal(cria_normalizer_init(&n, &spec, NULL, "normalizer", NULL), CRIA_OK);
        check(&n, cases[i].text, strlen(cases[i].text), cases[i].want);
    }
}

/* One U+FFFD per byte, not per ill-formed part. */
static void bad_utf8(void **state) {
    (void)state;
    const struct cria_vocab_normalizer spec = {.escape_whitespaces = true};
    cria_normalizer n;
    assert_int_equal(cria_normalizer_init(&n, &spec, NULL, "normalizer", NULL), CRIA_OK);
    check(&n, "a\xE2\x96z", 4, "a\xEF\xBF\xBD\xEF\xBF\xBDz");
    check(&n, "\xED\xA0\x80", 3, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    check(&n, "\xF4\x8F\xBF\xBF\xC3", 5, "\xF4\x8F\xBF\xBF\xEF\xBF\xBD");
}

static void rules_and_kept_text(void **state) {
    (void)state;
    struct map m;
    map_begin(&m);
    map_rule(&m, 'a', "B C");
    map_rule(&m, 'd', "");
    map_rule(&m, 'f', " ");
    const struct cria_vocab_normalizer spec = {false, true, true, false, m.data, m.len};
    cria_trie keep;
    cria_trie_init(&keep, &ctx);
    assert_int_equal(cria_trie_add(&keep, "xa", 2, 0, NULL), CRIA_OK);
    assert_int_equal(cria_trie_add(&keep, "xa y", 4, 1, NULL), CRIA_OK);
    cria_normalizer n;
    assert_int_equal(cria_normalizer_init(&n, &spec, &keep, "normalizer", NULL), CRIA_OK);
    check(&n, "za", 2, "zB" SP "C");
    check(&n, "add", 3, "B" SP "C");
    check(&n, "fz", 2, "z");            /* a rule's space is a space */
    check(&n, "zfd fz", 6, "z" SP "z"); /* also across an empty replacement */
    check(&n, "xaxa ya", 7, "xaxa" SP "yB" SP "C");
    check(&n, "xa za", 5, "xa" SP "zB" SP "C");
    cria_trie_fini(&keep);
    assert_int_equal(atomic_load(&alloc.live), 0);
}

static cria_status try_map(const uint8_t *data, size_t len) {
    uint8_t *exact = malloc(len); /* so that a sanitizer sees one byte too many */
    assert_non_null(exact);
    memcpy(exact, data, len);
    const struct cria_vocab_normalizer spec = {false, true, true, false, exact, len};
    cria_normalizer n;
    cria_error err;
    const cria_status st = cria_normalizer_init(&n, &spec, NULL, "normalizer", &err);
    for (unsigned b = 0; st == CRIA_OK && b < 256; b++) {
        const uint8_t text[3] = {(uint8_t)b, 'a', 0};
        cria_buf out;
        cria_buf_init(&out, &ctx, 1000);
        assert_int_equal(cria_normalize(&n, text, 3, &out, NULL), CRIA_OK);
        cria_buf_fini(&out);
    }
    free(exact);
    return st;
}

static void maps_that_lie(void **state) {
    (void)state;
    struct map m;
    map_begin(&m);
    map_rule(&m, 'a', "\xC3\xA9");
    assert_int_equal(try_map(m.data, m.len), CRIA_OK);
    for (size_t n = 1; n < m.len; n++) assert_int_equal(try_map(m.data, n), CRIA_EFORMAT);
    static const struct {
        size_t unit;
        uint32_t value;
    } lies[] = {
        {0, 0},                                           /* the root leads nowhere */
        {0, 512u << 10},                                  /* or outside */
        {0, 256u << 10 | 1u << 8},                        /* or ends a rule */
        {0, 256u << 10 | 'x'},                            /* or has a label */
        {256u ^ 'a', 512u << 10 | 'a'},                   /* a transition outside */
        {256u ^ 'a', 1u << 10 | 1u << 9 | 1u << 8 | 'a'}, /* a leaf that is none: offset 256 */
        {256u ^ 'a' ^ 1u, 1u << 31 | 3},                  /* strings: "é" and NUL */
        {256u ^ 'a' ^ 1u, 1u << 31 | 1},                  /* inside the character */
        {256u ^ 'a' ^ 1u, 0xFFFFFFFFu},
        {300, 0x3FFFFFu << 10},
    };
    for (size_t i = 0; i < N_ITEMS(lies); i++) {
        struct map bad = m;
        set_unit(&bad, lies[i].unit, lies[i].value);
        if (try_map(bad.data, bad.len) != CRIA_EFORMAT) fail_msg("lie %zu is believed", i);
    }
    for (size_t i = 0; i < 4 + UNITS * 4; i++) /* no flipped bit leads outside */
        for (unsigned b = 0; b < 8; b++) {
            struct map bad = m;
            bad.data[i] = (uint8_t)(bad.data[i] ^ 1u << b);
            if (i % 64 == 0 || i > 256 * 4) try_map(bad.data, bad.len);
        }
    struct map open = m;
    open.data[open.len - 1] = 'x';
    assert_int_equal(try_map(open.data, open.len), CRIA_EFORMAT);
    open = m;
    open.data[4 + UNITS * 4] = 0xFF;
    assert_int_equal(try_map(open.data, open.len), CRIA_EFORMAT);
}

static void too_long(void **state) {
    (void)state;
    const struct cria_vocab_normalizer spec = {.escape_whitespaces = true};
    cria_normalizer n;
    cria_buf out;
    assert_int_equal(cria_normalizer_init(&n, &spec, NULL, "normalizer", NULL), CRIA_OK);
    cria_buf_init(&out, &ctx, 5);
    assert_int_equal(cria_normalize(&n, (const uint8_t *)"  ", 2, &out, NULL), CRIA_EFULL);
    cria_buf_fini(&out);
}

int main(void) {
    counting_alloc_init(&alloc, -1);
    ctx.allocator = counting_alloc_hook(&alloc);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whitespace),    cmocka_unit_test(bad_utf8), cmocka_unit_test(rules_and_kept_text),
        cmocka_unit_test(maps_that_lie), cmocka_unit_test(too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
