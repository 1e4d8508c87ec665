/* SPDX-License-Identifier: Apache-2.0 */
/* Merging against the definition (the lowest rank first, leftmost first, quadratic), and the odd cases.
 * Equality with PyPI tokenizers on real vocabularies: tests/oracle/test_bpe.py. */
#include "vocab_unit.h"
#include "counting_alloc.h"
#include "text/pretok.h"
#include <time.h>

struct fixture {
    struct counting_alloc alloc;
    cria_ctx ctx;
    cria_vocab v;
    cria_tokenizer *t;
};

static void begin(struct fixture *f, const char *pretok) {
    struct cria_pretok_traits traits;
    memset(f, 0, sizeof *f);
    counting_alloc_init(&f->alloc, -1);
    f->ctx.allocator = counting_alloc_hook(&f->alloc);
    atomic_init(&f->ctx.refs, 1);
    cria_vocab_init(&f->v, &f->ctx);
    f->v.model = CRIA_VOCAB_BPE;
    assert_int_equal(cria_pretok_build(pretok, strlen(pretok), &f->v.pipe, &traits, NULL), CRIA_OK);
    f->v.whole_words = traits.whole_words;
}

static void ready(struct fixture *f) {
    assert_int_equal(cria_vocab_index(&f->v, "test", NULL), CRIA_OK);
    assert_int_equal(cria_tokenizer_make(&f->ctx, &f->v, &f->t, NULL), CRIA_OK);
}

static void end(struct fixture *f) {
    cria_tokenizer_destroy(f->t);
    cria_vocab_fini(&f->v);
    assert_int_equal(atomic_load(&f->alloc.live), 0);
}

static void encode(const struct fixture *f, const char *text, size_t len, cria_ids *out) {
    cria_ids_init(out, f->t->ctx);
    assert_int_equal(cria_encode(f->t, text, len, CRIA_ENCODE_PLAIN, &out->data, &out->n, NULL), CRIA_OK);
    out->cap = out->n;
}

static void check_ids(const struct fixture *f, const char *text, const int32_t *want, size_t n) {
    cria_ids ids;
    encode(f, text, strlen(text), &ids);
    assert_int_equal(ids.n, n);
    if (n) assert_memory_equal(ids.data, want, n * sizeof *want);
    cria_ids_fini(&ids);
}
#define CHECK(f, text, ...)                                                                                  \
    do {                                                                                                     \
        const int32_t want_[] = {__VA_ARGS__};                                                               \
        check_ids(f, text, want_, N_ITEMS(want_));                                                           \
    } while (0)

/* The bytes a piece stands for decide which symbols come first; ranks decide which are joined. */
static void ranks_before_places(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, "gpt-2");
    vocab_add_bytes(&f.v);
    const int32_t bc = (int32_t)vocab_add_merge(&f.v, 'b', 'c'),
                  ab = (int32_t)vocab_add_merge(&f.v, 'a', 'b');
    const int32_t aa = (int32_t)vocab_add_merge(&f.v, 'a', 'a');
    const int32_t abc = (int32_t)vocab_add_merge(&f.v, (uint32_t)ab, 'c');
    ready(&f);
    CHECK(&f, "abc", 'a', bc); /* ab would lead to abc, but bc ranks first */
    CHECK(&f, "ab", ab);
    CHECK(&f, "aaa", aa, 'a'); /* leftmost first */
    CHECK(&f, "aaaa", aa, aa);
    CHECK(&f, "ab ab", ab, ' ', ab);
    (void)abc;
    check_ids(&f, "", NULL, 0);
    end(&f);
}

/* Of two merges of one pair the later one holds, as where a file's list becomes a map. */
static void later_duplicate_holds(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, "gpt-2");
    vocab_add_bytes(&f.v);
    vocab_add_merge(&f.v, 'a', 'b');
    const int32_t bc = (int32_t)vocab_add_merge(&f.v, 'b', 'c');
    vocab_add_merge(&f.v, 'a', 'b');
    ready(&f);
    CHECK(&f, "abc", 'a', bc);
    end(&f);
}

/* A byte without a piece is left out, and its neighbours may then be joined. */
static void missing_byte_is_left_out(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, "gpt-2");
    const uint32_t a = vocab_add_text(&f.v, "a", CRIA_PIECE_NORMAL),
                   b = vocab_add_text(&f.v, "b", CRIA_PIECE_NORMAL);
    const int32_t ab = (int32_t)vocab_add_merge(&f.v, a, b);
    ready(&f);
    CHECK(&f, "axb", ab);
    check_ids(&f, "xyz", NULL, 0);
    end(&f);
}

/* Llama 3 takes a word that is a piece as it is, if a normal one; others must reach it by merges. */
static void whole_words(void **state) {
    (void)state;
    static const char *const kinds[] = {"llama-bpe", "gpt-2"};
    for (size_t i = 0; i < N_ITEMS(kinds); i++) {
        struct fixture f;
        begin(&f, kinds[i]);
        vocab_add_bytes(&f.v);
        const int32_t word = (int32_t)vocab_add_text(&f.v, "\304\240xy", CRIA_PIECE_NORMAL); /* " xy" */
        vocab_add_text(&f.v, "zz", CRIA_PIECE_CONTROL);
        ready(&f);
        if (i == 0)
            CHECK(&f, " xy", word);
        else
            CHECK(&f, " xy", ' ', 'x', 'y');
        CHECK(&f, "zz", 'z', 'z');
        end(&f);
    }
}

/* Ill-formed parts become U+FFFD, one for each maximal part. */
static void invalid_utf8(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, "gpt-2");
    vocab_add_bytes(&f.v);
    ready(&f);
    CHECK(&f, "a\xff", 'a', 0xef, 0xbf, 0xbd);
    CHECK(&f, "\xe2\x96", 0xef, 0xbf, 0xbd);
    CHECK(&f, "\xed\xa0", 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd);
    CHECK(&f, "\xf0\x9f\x98x", 0xef, 0xbf, 0xbd, 'x');
    end(&f);
}

/* ---- against the definition ---- */

static uint32_t random_next(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static size_t merge_slowly(const cria_vocab *v, uint32_t *sym, size_t n) {
    for (;;) {
        size_t best_rank = SIZE_MAX, best = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            for (size_t r = v->n_merges; r-- > 0;) { /* the later one of a pair */
                if (v->merges[r].left != sym[i] || v->merges[r].right != sym[i + 1]) continue;
                if (r < best_rank) {
                    best_rank = r;
                    best = i;
                }
                break;
            }
        }
        if (best_rank == SIZE_MAX) return n;
        sym[best] = v->merges[best_rank].result;
        memmove(sym + best + 1, sym + best + 2, (n - best - 2) * sizeof *sym);
        n--;
    }
}

static void random_merges(void **state) {
    (void)state;
    uint64_t rng = 7;
    for (int round = 0; round < 60; round++) {
        struct fixture f;
        begin(&f, "gpt-2");
        vocab_add_bytes(&f.v);
        uint32_t parts[64];
        size_t n_parts = 3;
        for (size_t i = 0; i < n_parts; i++) parts[i] = 'a' + (uint32_t)i;
        while (n_parts < N_ITEMS(parts)) {
            const uint32_t left = parts[random_next(&rng) % n_parts],
                           right = parts[random_next(&rng) % n_parts];
            size_t a, b;
            cria_vocab_piece(&f.v, left, &a);
            cria_vocab_piece(&f.v, right, &b);
            if (a + b < 16) parts[n_parts++] = vocab_add_merge(&f.v, left, right);
        }
        ready(&f);
        for (int t = 0; t < 60; t++) {
            uint32_t sym[80];
            char text[80];
            const size_t n = 1 + random_next(&rng) % N_ITEMS(text);
            for (size_t i = 0; i < n; i++) sym[i] = (uint8_t)(text[i] = (char)('a' + random_next(&rng) % 3));
            cria_ids ids;
            encode(&f, text, n, &ids);
            assert_int_equal(ids.n, merge_slowly(&f.t->vocab, sym, n));
            assert_memory_equal(ids.data, sym, ids.n * sizeof *sym);
            cria_ids_fini(&ids);
        }
        end(&f);
    }
}

/* One word of a megabyte, with merges that make ever longer runs. */
static void long_word(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    static char text[SIZE];
    struct fixture f;
    begin(&f, "gpt-2");
    vocab_add_bytes(&f.v);
    uint32_t run = 'a';
    for (int i = 0; i < 6; i++) run = vocab_add_merge(&f.v, run, run);
    ready(&f);
    memset(text, 'a', SIZE);
    const clock_t start = clock();
    cria_ids ids;
    encode(&f, text, SIZE, &ids);
    assert_int_equal(ids.n, SIZE / 64);
    for (size_t i = 0; i < ids.n; i++) assert_int_equal(ids.data[i], (int32_t)run);
    cria_ids_fini(&ids);
    assert_true((clock() - start) / CLOCKS_PER_SEC < 20); /* quadratic would be minutes */
    end(&f);
}

/* Characters instead of bytes: "a" and "b" and their merge, all bytes but no other characters. */
static void begin_characters(struct fixture *f, bool bytes) {
    memset(f, 0, sizeof *f);
    counting_alloc_init(&f->alloc, -1);
    f->ctx.allocator = counting_alloc_hook(&f->alloc);
    atomic_init(&f->ctx.refs, 1);
    cria_vocab_init(&f->v, &f->ctx);
    f->v.model = CRIA_VOCAB_BPE;
    f->v.byte_fallback = bytes;
    for (unsigned i = 0; i < 256 && bytes; i++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", i);
        vocab_add_text(&f->v, piece, CRIA_PIECE_NORMAL);
    }
}

static void byte_fallback(void **state) {
    (void)state;
    struct fixture f;
    begin_characters(&f, true);
    const uint32_t a = vocab_add_text(&f.v, "a", CRIA_PIECE_NORMAL),
                   b = vocab_add_text(&f.v, "\303\251", CRIA_PIECE_NORMAL);
    const int32_t ab = (int32_t)vocab_add_merge(&f.v, a, b), ba = (int32_t)vocab_add_merge(&f.v, b, a);
    ready(&f);
    CHECK(&f, "a\303\251", ab);
    CHECK(&f, "\303\251a\303\251", (int32_t)b, ab);
    CHECK(&f, "\303\251a", ba);
    CHECK(&f, "a\303\250a", (int32_t)a, 0xc3, 0xa8, (int32_t)a);
    end(&f);
}

/* Bytes that merge with the character beside them: no cut may part them. */
static void bytes_may_merge(void **state) {
    (void)state;
    struct fixture f;
    begin_characters(&f, true);
    const uint32_t a = vocab_add_text(&f.v, "a", CRIA_PIECE_NORMAL);
    const int32_t both = (int32_t)vocab_add_merge(&f.v, 0xa8, a);
    ready(&f);
    CHECK(&f, "\303\250a", 0xc3, both);
    end(&f);
}

/* The unknown piece stands for one character or for all in a row, and may take part in merges. */
static void unknown_piece(void **state) {
    (void)state;
    for (int fuse = 0; fuse < 2; fuse++) {
        struct fixture f;
        begin_characters(&f, false);
        const uint32_t unk = vocab_add_text(&f.v, "?", CRIA_PIECE_NORMAL),
                       a = vocab_add_text(&f.v, "a", CRIA_PIECE_NORMAL);
        const int32_t merged = (int32_t)vocab_add_merge(&f.v, unk, a);
        f.v.model_unk = (int32_t)unk;
        f.v.fuse_unk = fuse == 1;
        ready(&f);
        if (fuse)
            CHECK(&f, "axyz", (int32_t)a, (int32_t)unk);
        else
            CHECK(&f, "axyz", (int32_t)a, (int32_t)unk, (int32_t)unk, (int32_t)unk);
        CHECK(&f, "xa", merged);
        end(&f);
    }
}

/* Runs that come again are remembered in long texts: the ids are those of short ones. */
static void remembered(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, "gpt-2");
    vocab_add_bytes(&f.v);
    const uint32_t ab = vocab_add_merge(&f.v, 'a', 'b');
    vocab_add_merge(&f.v, ab, 'c');
    vocab_add_merge(&f.v, ' ', 'x');
    ready(&f);
    enum { SIZE = 20000 };
    static char text[SIZE];
    uint64_t rng = 3;
    for (size_t i = 0; i < SIZE; i++) text[i] = "aabc x."[random_next(&rng) % 7];
    cria_ids ids, part;
    encode(&f, text, SIZE, &ids);
    size_t pos = 0;
    for (size_t from = 0; from < SIZE;) {
        size_t to = from + 1; /* a word begins at a space behind anything else */
        while (to < SIZE && !(text[to] == ' ' && text[to - 1] != ' ')) to++;
        encode(&f, text + from, to - from, &part);
        assert_true(part.n <= ids.n - pos);
        assert_memory_equal(ids.data + pos, part.data, part.n * sizeof *part.data);
        pos += part.n;
        cria_ids_fini(&part);
        from = to;
    }
    assert_int_equal(pos, ids.n);
    cria_ids_fini(&ids);
    end(&f);
}

/* Every allocation of making and encoding may fail, and nothing is lost. */
static void out_of_memory(void **state) {
    (void)state;
    bool done = false;
    for (long fail_at = 0; !done; fail_at++) {
        struct fixture f;
        begin(&f, "llama-bpe");
        vocab_add_bytes(&f.v);
        vocab_add_merge(&f.v, 'a', 'b');
        assert_int_equal(cria_vocab_index(&f.v, "test", NULL), CRIA_OK);
        cria_error err = {0};
        int32_t *ids = NULL;
        size_t n;
        atomic_store(&f.alloc.calls, 0);
        f.alloc.fail_at = fail_at;
        cria_status st = cria_tokenizer_make(&f.ctx, &f.v, &f.t, &err);
        if (st == CRIA_OK) st = cria_encode(f.t, "abab \xff ab", 9, CRIA_ENCODE_PLAIN, &ids, &n, &err);
        done = st == CRIA_OK;
        if (done)
            cria_ids_free(f.t, ids);
        else
            assert_int_equal(st, CRIA_ENOMEM);
        end(&f);
        assert_true(fail_at < 100);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_before_places),
        cmocka_unit_test(later_duplicate_holds),
        cmocka_unit_test(missing_byte_is_left_out),
        cmocka_unit_test(whole_words),
        cmocka_unit_test(invalid_utf8),
        cmocka_unit_test(random_merges),
        cmocka_unit_test(long_word),
        cmocka_unit_test(byte_fallback),
        cmocka_unit_test(bytes_may_merge),
        cmocka_unit_test(unknown_piece),
        cmocka_unit_test(remembered),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
