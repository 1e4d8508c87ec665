/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding at once and as a stream. What the libraries make of the same ids: tests/oracle. */
#include "vocab_unit.h"
#include "base/buf.h"
#include "counting_alloc.h"
#include "text/pretok.h"

struct fixture {
    struct counting_alloc alloc;
    cria_ctx ctx;
    cria_tokenizer t; /* decoding needs no more than this */
};

static void begin(struct fixture *f, enum cria_vocab_model model) {
    memset(f, 0, sizeof *f);
    counting_alloc_init(&f->alloc, -1);
    f->ctx.allocator = counting_alloc_hook(&f->alloc);
    atomic_init(&f->ctx.refs, 1);
    f->t.ctx = &f->ctx;
    cria_vocab_init(&f->t.vocab, &f->ctx);
    f->t.vocab.model = model;
}

static void end(struct fixture *f) {
    cria_vocab_fini(&f->t.vocab);
    assert_int_equal(atomic_load(&f->alloc.live), 0);
    assert_int_equal(atomic_load(&f->ctx.refs), 1);
}

enum { CONTROL = 256, UNUSED, ADDED, ADDED_BYTES, PARTIAL, E2_96, BYTE_LEVEL_N };

/* Ids 0 to 255 are bytes, then pieces that do not map one to one. */
static void begin_byte_level(struct fixture *f) {
    struct cria_pretok_traits traits;
    begin(f, CRIA_VOCAB_BPE);
    cria_vocab *v = &f->t.vocab;
    assert_int_equal(cria_pretok_build("gpt-2", 5, &v->pipe, &traits, NULL), CRIA_OK);
    vocab_add_bytes(v);
    vocab_add_text(v, "<s>", CRIA_PIECE_CONTROL);
    vocab_add_text(v, "[PAD1]", CRIA_PIECE_UNUSED);
    vocab_add_text(v, "a b", CRIA_PIECE_USER_DEFINED);         /* a space is not in the alphabet: its own text */
    vocab_add_text(v, "\303\251!", CRIA_PIECE_USER_DEFINED);   /* é is: the byte E9 */
    vocab_add_text(v, "x\303\242\304\240", CRIA_PIECE_NORMAL); /* 78 E2 20 */
    vocab_add_text(v, "\303\242\304\270", CRIA_PIECE_NORMAL);  /* E2 96: the start of U+2581 */
    assert_int_equal(v->n, BYTE_LEVEL_N);
}

enum { UNK, BOS, UNUSED_PIECE, WS_HELLO, WS, HELLO, USER, BYTES };

static void begin_sentencepiece(struct fixture *f) {
    begin(f, CRIA_VOCAB_SPM_BPE);
    cria_vocab *v = &f->t.vocab;
    vocab_add_text(v, "<unk>", CRIA_PIECE_UNKNOWN);
    vocab_add_text(v, "<s>", CRIA_PIECE_CONTROL);
    vocab_add_text(v, "\342\226\201unused", CRIA_PIECE_UNUSED);
    vocab_add_text(v, "\342\226\201Hello", CRIA_PIECE_NORMAL);
    vocab_add_text(v, "\342\226\201", CRIA_PIECE_NORMAL);
    vocab_add_text(v, "He\342\202\254llo", CRIA_PIECE_NORMAL);
    vocab_add_text(v, "<|user\342\226\201|>", CRIA_PIECE_USER_DEFINED);
    for (int b = 0; b < 256; b++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)b);
        vocab_add_text(v, piece, CRIA_PIECE_BYTE);
    }
    v->unk_surface = cria_malloc(v->ctx, 6);
    assert_non_null(v->unk_surface);
    memcpy(v->unk_surface, " \342\201\207 ", 6);
    v->unk_surface_len = 5;
    v->normalizer.add_dummy_prefix = true;
    v->normalizer.escape_whitespaces = true;
}

/* ---- decoding in all ways ---- */

static void add_part(cria_buf *joined, const char *text, size_t len) {
    assert_true(cria_utf8_valid((const uint8_t *)text, len));
    assert_int_equal(cria_buf_append(joined, text, len, NULL), CRIA_OK);
}

static void stream(cria_detok *d, const int32_t *ids, size_t n, cria_buf *joined) {
    const char *text;
    size_t len;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(cria_detok_push(d, ids[i], &text, &len, NULL), CRIA_OK);
        add_part(joined, text, len);
    }
    assert_int_equal(cria_detok_finish(d, &text, &len, NULL), CRIA_OK);
    add_part(joined, text, len);
}

/* The stream's parts are whole characters and together the text, twice in a row. Free with cria_text_free. */
static char *decode(struct fixture *f, const int32_t *ids, size_t n, size_t *len) {
    char *text;
    cria_detok *d;
    assert_int_equal(cria_decode(&f->t, ids, n, &text, len, NULL), CRIA_OK);
    assert_int_equal(text[*len], 0);
    assert_int_equal(cria_detok_new(&f->t, &d, NULL), CRIA_OK);
    for (int i = 0; i < 2; i++) {
        cria_buf joined;
        cria_buf_init(&joined, &f->ctx, SIZE_MAX / 2);
        stream(d, ids, n, &joined);
        assert_int_equal(joined.len, *len);
        if (*len) assert_memory_equal(joined.data, text, *len);
        cria_buf_fini(&joined);
    }
    cria_detok_free(d);
    return text;
}

static void check_text(struct fixture *f, const int32_t *ids, size_t n, const char *want) {
    size_t len;
    char *text = decode(f, ids, n, &len);
    if (len != strlen(want) || memcmp(text, want, len) != 0) fail_msg("\"%s\" instead of \"%s\"", text, want);
    cria_text_free(&f->t, text);
}
#define CHECK(f, want, ...)                                                                                    \
    do {                                                                                                       \
        const int32_t ids_[] = {__VA_ARGS__};                                                                  \
        check_text(f, ids_, N_ITEMS(ids_), want);                                                              \
    } while (0)
#define BAD "\357\277\275"

static void byte_level(void **state) {
    (void)state;
    struct fixture f;
    begin_byte_level(&f);
    check_text(&f, NULL, 0, "");
    CHECK(&f, "a b\n", 'a', ' ', 'b', '\n');
    CHECK(&f, "ab", 'a', CONTROL, UNUSED, 'b');
    CHECK(&f, "\342\226\201", E2_96, 0x81);
    CHECK(&f, "\342\226\201", E2_96, CONTROL, 0x81);
    CHECK(&f, BAD "a", E2_96, 'a'); /* one for the maximal part */
    CHECK(&f, BAD, E2_96);
    CHECK(&f, BAD BAD, 0xe2, 0xff);
    CHECK(&f, "x" BAD " ", PARTIAL);
    CHECK(&f, "a b" BAD "!", ADDED, ADDED_BYTES);
    CHECK(&f, BAD "\342\226\201", 0xf0, E2_96, 0x81);
    CHECK(&f, BAD "a", 0xf0, 0x9f, 0x98, 'a');
    end(&f);
}

static void sentencepiece(void **state) {
    (void)state;
    struct fixture f;
    begin_sentencepiece(&f);
    CHECK(&f, "Hello", WS_HELLO);
    CHECK(&f, "Hello Hello", BOS, WS_HELLO, WS_HELLO);
    CHECK(&f, "He\342\202\254llo Hello", HELLO, WS_HELLO);
    CHECK(&f, " Hello", WS, WS_HELLO); /* only the dummy prefix goes */
    CHECK(&f, " \342\201\207  Hello", UNK, WS_HELLO);
    CHECK(&f, "<|user |> unused", USER, UNUSED_PIECE);
    CHECK(&f, "\342\226\201 Hello", BYTES + 0xe2, BYTES + 0x96, BYTES + 0x81, WS_HELLO);
    CHECK(&f, BAD BAD " Hello", BYTES + 0xe2, BYTES + 0x96, WS_HELLO); /* one for each byte */
    CHECK(&f, BAD BAD, BYTES + 0xe2, BYTES + 0x96);
    CHECK(&f, BAD BAD "", BYTES + 0xe2, BOS, BYTES + 0x96); /* a control piece ends the gathering as well */
    CHECK(&f, "A" BAD "B", BYTES + 'A', BYTES + 0x80, BYTES + 'B');
    f.t.vocab.normalizer.remove_extra_whitespaces = true;
    CHECK(&f, "Hello Hello", WS, WS, WS_HELLO, WS_HELLO);
    f.t.vocab.normalizer.remove_extra_whitespaces = f.t.vocab.normalizer.add_dummy_prefix = false;
    CHECK(&f, " Hello", WS_HELLO);
    end(&f);
}

/* ---- random ids ---- */

static uint32_t random_next(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* What byte-level BPE must give, from the definition: all bytes first, then the replacements. */
static void expect_byte_level(const cria_vocab *v, const int32_t *ids, size_t n, cria_buf *out) {
    cria_buf raw;
    cria_buf_init(&raw, v->ctx, SIZE_MAX / 2);
    static const struct {
        const char *text;
        size_t len;
    } special[] = {{"", 0}, {"", 0}, {"a b", 3}, {"\xe9!", 2}, {"x\xe2 ", 3}, {"\xe2\x96", 2}};
    for (size_t i = 0; i < n; i++) {
        const uint8_t byte = (uint8_t)ids[i];
        const void *piece = ids[i] < 256 ? (const void *)&byte : special[ids[i] - 256].text;
        const size_t len = ids[i] < 256 ? 1 : special[ids[i] - 256].len;
        assert_int_equal(cria_buf_append(&raw, piece, len, NULL), CRIA_OK);
    }
    for (size_t i = 0; i < raw.len;) {
        uint32_t cp;
        uint8_t c[4];
        const size_t k = cria_utf8_decode(raw.data + i, raw.len - i, &cp);
        assert_int_equal(cria_buf_append(out, c, cria_utf8_encode(cp, c), NULL), CRIA_OK);
        i += k ? k : cria_utf8_bad_length(raw.data + i, raw.len - i);
    }
    cria_buf_fini(&raw);
}

/* Ids that often make characters, and often break them. */
static int32_t random_id(uint64_t *rng, uint32_t n_vocab, int32_t first_byte) {
    static const uint8_t lively[] = {0xe2, 0x96, 0x81, 0xf0, 0x9f, 0x98, 0x80, 0xc3, 0xa9, 0xed, 0xa0, 0xf4, 0x90, 'a'};
    if (random_next(rng) % 3 == 0) return (int32_t)(random_next(rng) % n_vocab);
    return first_byte + lively[random_next(rng) % sizeof lively];
}

static void random_streams(void **state) {
    (void)state;
    struct fixture f;
    uint64_t rng = 3;
    for (int model = 0; model < 2; model++) {
        if (model == 0)
            begin_byte_level(&f);
        else
            begin_sentencepiece(&f);
        for (int round = 0; round < 3000; round++) {
            int32_t ids[40];
            const size_t n = random_next(&rng) % N_ITEMS(ids);
            for (size_t i = 0; i < n; i++) ids[i] = random_id(&rng, f.t.vocab.n, model == 0 ? 0 : BYTES);
            size_t len;
            char *text = decode(&f, ids, n, &len); /* compares the stream */
            if (model == 0) {
                cria_buf want;
                cria_buf_init(&want, &f.ctx, SIZE_MAX / 2);
                expect_byte_level(&f.t.vocab, ids, n, &want);
                assert_int_equal(len, want.len);
                if (len) assert_memory_equal(text, want.data, len);
                cria_buf_fini(&want);
            }
            cria_text_free(&f.t, text);
        }
        end(&f);
    }
}

/* ---- failures ---- */

static void bad_ids(void **state) {
    (void)state;
    struct fixture f;
    begin_byte_level(&f);
    static const int32_t bad[] = {-1, BYTE_LEVEL_N, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        cria_error err;
        cria_detok *d;
        char *all = NULL;
        const char *text;
        size_t len;
        assert_int_equal(cria_decode(&f.t, &bad[i], 1, &all, &len, &err), CRIA_EINVAL);
        assert_null(all);
        assert_int_equal(cria_detok_new(&f.t, &d, NULL), CRIA_OK);
        assert_int_equal(cria_detok_push(d, E2_96, &text, &len, &err), CRIA_OK);
        assert_int_equal(cria_detok_push(d, bad[i], &text, &len, &err), CRIA_EINVAL);
        assert_int_equal(cria_detok_push(d, 0x81, &text, &len, &err), CRIA_OK); /* goes on as if nothing had been */
        assert_int_equal(len, 3);
        assert_memory_equal(text, "\342\226\201", 3);
        cria_detok_free(d);
    }
    cria_detok_free(NULL);
    end(&f);
}

static void out_of_memory(void **state) {
    (void)state;
    struct fixture f;
    begin_sentencepiece(&f);
    const int32_t ids[] = {WS_HELLO, BYTES + 0xe2, BYTES + 0x96, HELLO, UNK};
    const long live = atomic_load(&f.alloc.live);
    for (long fail_at = 0;; fail_at++) {
        cria_detok *d = NULL;
        const char *text;
        char *all = NULL;
        size_t len;
        atomic_store(&f.alloc.calls, 0);
        f.alloc.fail_at = fail_at;
        cria_status st = cria_decode(&f.t, ids, N_ITEMS(ids), &all, &len, NULL);
        if (st == CRIA_OK) st = cria_detok_new(&f.t, &d, NULL);
        for (size_t i = 0; i < N_ITEMS(ids) && st == CRIA_OK; i++) st = cria_detok_push(d, ids[i], &text, &len, NULL);
        if (st == CRIA_OK) st = cria_detok_finish(d, &text, &len, NULL);
        cria_text_free(&f.t, all);
        cria_detok_free(d);
        assert_int_equal(atomic_load(&f.alloc.live), live);
        if (st == CRIA_OK) break;
        assert_int_equal(st, CRIA_ENOMEM);
        assert_true(fail_at < 100);
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level), cmocka_unit_test(sentencepiece), cmocka_unit_test(random_streams),
        cmocka_unit_test(bad_ids),    cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
