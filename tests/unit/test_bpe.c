/* SPDX-License-Identifier: Apache-2.0 */
/* Merging against the definition (the lowest rank first, leftmost first, quadratic), and the odd cases. Equality with
 * PyPI tokenizers on real vocabularies: tests/oracle/test_bpe.py. */
#include "vocab_unit.h"
#include "counting_alloc.h"
#include <time.h>

struct fixture {
    struct counting_alloc alloc;
    cria_ctx ctx;
    cria_vocab v;
    struct cria_bpe *bpe;
};

static void begin(struct fixture *f, enum cria_pretok pretok) {
    memset(f, 0, sizeof *f);
    counting_alloc_init(&f->alloc, -1);
    f->ctx.allocator = counting_alloc_hook(&f->alloc);
    cria_vocab_init(&f->v, &f->ctx);
    f->v.model = CRIA_VOCAB_BYTE_BPE;
    f->v.pretok = pretok;
}

static void ready(struct fixture *f) {
    assert_int_equal(cria_vocab_index(&f->v, "test", NULL), CRIA_OK);
    assert_int_equal(cria_bpe_new(&f->v, &f->bpe, NULL), CRIA_OK);
}

static void end(struct fixture *f) {
    cria_bpe_free(&f->ctx, f->bpe);
    cria_vocab_fini(&f->v);
    assert_int_equal(atomic_load(&f->alloc.live), 0);
}

static void encode(const struct fixture *f, const void *text, size_t len, cria_ids *out) {
    cria_ids_init(out, f->v.ctx);
    assert_int_equal(cria_bpe_encode(f->bpe, &f->v, text, len, out, NULL), CRIA_OK);
}

static void check_ids(const struct fixture *f, const char *text, const int32_t *want, size_t n) {
    cria_ids ids;
    encode(f, text, strlen(text), &ids);
    assert_int_equal(ids.n, n);
    if (n) assert_memory_equal(ids.data, want, n * sizeof *want);
    cria_ids_fini(&ids);
}
#define CHECK(f, text, ...)                                                                                    \
    do {                                                                                                       \
        const int32_t want_[] = {__VA_ARGS__};                                                                 \
        check_ids(f, text, want_, N_ITEMS(want_));                                                             \
    } while (0)

/* The bytes a piece stands for decide which symbols come first; ranks decide which are joined. */
static void ranks_before_places(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, CRIA_PRETOK_GPT2);
    vocab_add_bytes(&f.v);
    const int32_t bc = (int32_t)vocab_add_merge(&f.v, 'b', 'c'), ab = (int32_t)vocab_add_merge(&f.v, 'a', 'b');
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
    begin(&f, CRIA_PRETOK_GPT2);
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
    begin(&f, CRIA_PRETOK_GPT2);
    const uint32_t a = vocab_add_text(&f.v, "a", CRIA_PIECE_NORMAL), b = vocab_add_text(&f.v, "b", CRIA_PIECE_NORMAL);
    const int32_t ab = (int32_t)vocab_add_merge(&f.v, a, b);
    ready(&f);
    CHECK(&f, "axb", ab);
    check_ids(&f, "xyz", NULL, 0);
    end(&f);
}

/* Llama 3 takes a word that is a piece as it is, if a normal one; others must reach it by merges. */
static void whole_words(void **state) {
    (void)state;
    static const enum cria_pretok kinds[] = {CRIA_PRETOK_LLAMA3, CRIA_PRETOK_GPT2};
    for (size_t i = 0; i < N_ITEMS(kinds); i++) {
        struct fixture f;
        begin(&f, kinds[i]);
        vocab_add_bytes(&f.v);
        const int32_t word = (int32_t)vocab_add_text(&f.v, "\304\240xy", CRIA_PIECE_NORMAL); /* " xy" */
        vocab_add_text(&f.v, "zz", CRIA_PIECE_CONTROL);
        ready(&f);
        if (kinds[i] == CRIA_PRETOK_LLAMA3)
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
    begin(&f, CRIA_PRETOK_GPT2);
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
        begin(&f, CRIA_PRETOK_GPT2);
        vocab_add_bytes(&f.v);
        uint32_t parts[64];
        size_t n_parts = 3;
        for (size_t i = 0; i < n_parts; i++) parts[i] = 'a' + (uint32_t)i;
        while (n_parts < N_ITEMS(parts)) {
            const uint32_t left = parts[random_next(&rng) % n_parts], right = parts[random_next(&rng) % n_parts];
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
            assert_int_equal(ids.n, merge_slowly(&f.v, sym, n));
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
    begin(&f, CRIA_PRETOK_GPT2);
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

/* Every allocation of making and encoding may fail, and nothing is lost. */
static void out_of_memory(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, CRIA_PRETOK_LLAMA3);
    vocab_add_bytes(&f.v);
    vocab_add_merge(&f.v, 'a', 'b');
    assert_int_equal(cria_vocab_index(&f.v, "test", NULL), CRIA_OK);
    const long live = atomic_load(&f.alloc.live);
    bool done = false;
    for (long fail_at = 0; !done; fail_at++) {
        cria_error err = {0};
        struct cria_bpe *bpe = NULL;
        cria_ids ids;
        cria_ids_init(&ids, &f.ctx);
        atomic_store(&f.alloc.calls, 0);
        f.alloc.fail_at = fail_at;
        cria_status st = cria_bpe_new(&f.v, &bpe, &err);
        if (st == CRIA_OK) st = cria_bpe_encode(bpe, &f.v, (const uint8_t *)"abab \xff ab", 9, &ids, &err);
        done = st == CRIA_OK;
        if (!done) assert_int_equal(st, CRIA_ENOMEM);
        cria_bpe_free(&f.ctx, bpe);
        cria_ids_fini(&ids);
        assert_int_equal(atomic_load(&f.alloc.live), live);
        assert_true(fail_at < 100);
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_before_places),      cmocka_unit_test(later_duplicate_holds),
        cmocka_unit_test(missing_byte_is_left_out), cmocka_unit_test(whole_words),
        cmocka_unit_test(invalid_utf8),             cmocka_unit_test(random_merges),
        cmocka_unit_test(long_word),                cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
