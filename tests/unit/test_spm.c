/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece segmentation on vocabularies small enough to check by hand. Against the library:
 * tests/oracle. */
#include "spm_unit.h"
#include <stdlib.h>

#define SP "\xE2\x96\x81"

static struct wire model;

static void bpe_merges_by_score_then_from_the_left(void **state) {
    (void)state;
    struct spm_fixture f;
    spm_begin(&model, SPM_BPE);
    spm_piece(&model, "a", -10, 1);
    spm_piece(&model, "b", -10, 1);
    spm_piece(&model, "aa", -1, 1);
    spm_piece(&model, "ab", -2, 1);
    spm_piece(&model, "aab", -3, 1);
    spm_piece(&model, "bb", -2, 1);
    spm_open(&f, &model);
    assert_pieces(&f, "aaa", "aa|a"); /* a tie: the left one */
    assert_pieces(&f, "aab", "aab");
    assert_pieces(&f, "abb", "ab|b"); /* a tie of different pieces */
    assert_pieces(&f, "bab", "b|ab");
    assert_pieces(&f, "aaaab", "aa|aab");
    assert_pieces(&f, "", "");
    spm_close(&f);
}

/* Scores compare as floats do, positive ones and zeros included. */
static void bpe_score_order(void **state) {
    (void)state;
    static const float scores[] = {-(float)3e38, -1.5f, -1e-30f, 0.0f, 1e-30f, 2.0f, (float)3e38};
    struct spm_fixture f;
    for (size_t i = 0; i + 1 < N_ITEMS(scores); i++) {
        spm_begin(&model, SPM_BPE);
        spm_piece(&model, "ab", scores[i], 1);
        spm_piece(&model, "bc", scores[i + 1], 1);
        spm_piece(&model, "a", 0, 1);
        spm_piece(&model, "c", 0, 1);
        spm_open(&f, &model);
        assert_pieces(&f, "abc", "a|bc");
        spm_close(&f);
    }
}

static void bpe_crosses_words_only_by_pieces(void **state) {
    (void)state;
    struct spm_fixture f;
    for (int crossing = 0; crossing < 2; crossing++) {
        spm_begin(&model, SPM_BPE);
        spm_piece(&model, SP, -9, 1);
        spm_piece(&model, SP SP, -1, 1);
        spm_piece(&model, "a", -9, 1);
        spm_piece(&model, SP "a", -2, 1);
        if (crossing) spm_piece(&model, "a" SP, -1.5f, 1);
        spm_open(&f, &model);
        assert_pieces(&f, "a a", crossing ? "a" SP "|a" : "a|" SP "a");
        assert_pieces(&f, "a  a", crossing ? "a|" SP SP "|a" : "a|" SP SP "|a");
        spm_close(&f);
    }
}

/* An unused piece takes part in merging and is split the way the last such pair in the text was put together.
 */
static void bpe_unused_pieces_are_split_again(void **state) {
    (void)state;
    struct spm_fixture f;
    spm_begin(&model, SPM_BPE);
    spm_piece(&model, "a", -9, 1);
    spm_piece(&model, "b", -9, 1);
    spm_piece(&model, "c", -9, 1);
    spm_piece(&model, "ab", -1, 1);
    spm_piece(&model, "abc", -2, CRIA_PIECE_UNUSED);
    spm_piece(&model, "abcc", -3, 1);
    spm_open(&f, &model);
    assert_pieces(&f, "abc", "ab|c");
    assert_pieces(&f, "abcc", "abcc"); /* reached through the unused one */
    assert_pieces(&f, "abcabc", "ab|c|ab|c");
    spm_close(&f);
}

static void unigram_takes_the_best_sum(void **state) {
    (void)state;
    struct spm_fixture f;
    spm_begin(&model, SPM_UNIGRAM);
    spm_piece(&model, "a", -3, 1);
    spm_piece(&model, "b", -3, 1);
    spm_piece(&model, "c", -2, 1);
    spm_piece(&model, "ab", -4, 1);
    spm_piece(&model, "bc", -3, 1);
    spm_piece(&model, "abc", -1, CRIA_PIECE_UNUSED);
    spm_piece(&model, "cc", -4, 1);
    spm_open(&f, &model);
    assert_pieces(&f, "abc",
                  "a|bc"); /* −6 twice: of the last pieces the one that starts further left stays */
    assert_pieces(&f, "bc", "bc");
    assert_pieces(&f, "cc", "cc"); /* −4 twice: likewise */
    assert_pieces(&f, "abab", "ab|ab");
    assert_pieces(&f, "abz", "ab|<unk>");
    spm_close(&f);
}

static void symbols_stay_whole(void **state) {
    (void)state;
    struct spm_fixture f;
    for (unsigned kind = SPM_UNIGRAM; kind <= SPM_BPE; kind++) {
        spm_begin(&model, kind);
        spm_piece(&model, "a", -3, 1);
        spm_piece(&model, "[X]", 0, CRIA_PIECE_USER_DEFINED);
        spm_piece(&model, "[X]a", -1, 1);
        spm_piece(&model, "b[", -1, 1);
        spm_piece(&model, "b", -3, 1);
        spm_piece(&model, "x y", 0,
                  CRIA_PIECE_USER_DEFINED); /* its space is escaped, so it is found only as it is */
        spm_open(&f, &model);
        if (kind == SPM_BPE) assert_pieces(&f, "b[X]a", "b|[X]|a");
        assert_pieces(&f, "a[X][X]", "a|[X]|[X]");
        assert_pieces(&f, "x y", "<unk>");
        spm_close(&f);
    }
}

/* A run of unknown characters is one id, across words as well, unless bytes stand in. */
static void unknown_characters(void **state) {
    (void)state;
    struct spm_fixture f;
    for (unsigned kind = SPM_UNIGRAM; kind <= SPM_BPE; kind++) {
        spm_begin(&model, kind);
        spm_piece(&model, "a", -3, 1);
        spm_open(&f, &model);
        assert_pieces(&f, "axyz zya", "a|<unk>|a");
        assert_pieces(&f, "\xFF", "<unk>");
        assert_pieces(&f, "<s>", "<unk>"); /* control symbols are no text */
        spm_close(&f);
        spm_byte_pieces(&model);
        spm_open(&f, &model);
        assert_pieces(&f, "a\xC3\xA9 ", "a|<0xC3>|<0xA9>|<0xE2>|<0x96>|<0x81>");
        assert_pieces(&f, "\xFF", "<0xEF>|<0xBF>|<0xBD>");
        spm_close(&f);
    }
}

/* Words that come again in a long text are copied; the result must not differ from words on their own. */
static void long_text_equals_its_words(void **state) {
    (void)state;
    struct spm_fixture f;
    static char text[1 << 16];
    for (int bytes = 0; bytes < 2; bytes++) {
        spm_begin(&model, SPM_BPE);
        spm_piece(&model, "a", -3, 1);
        spm_piece(&model, "b", -3, 1);
        spm_piece(&model, SP, -4, 1);
        spm_piece(&model, "ab", -1, 1);
        spm_piece(&model, SP "ab", -2, 1);
        if (bytes) spm_byte_pieces(&model);
        spm_open(&f, &model);
        static const char *const words[] = {" ab", " abab", " ax", " xx", " b", "  aab", " xb", " x"};
        int32_t *ids, *part;
        size_t len = 0, n, k, at = 0;
        uint32_t pick = 1, last = UINT32_MAX;
        const uint32_t unknown = 0;
        for (; len < sizeof text - 8; len += strlen(text + len))
            strcpy(text + len, words[(pick = pick * 1664525u + 1013904223u) >> 29]);
        assert_int_equal(cria_encode(f.t, text, len, CRIA_ENCODE_PLAIN, &ids, &n, NULL), CRIA_OK);
        pick = 1;
        for (size_t i = 0; i < len; i += strlen(words[pick >> 29])) {
            pick = pick * 1664525u + 1013904223u;
            const char *word = words[pick >> 29];
            assert_int_equal(cria_encode(f.t, word, strlen(word), CRIA_ENCODE_PLAIN, &part, &k, NULL),
                             CRIA_OK);
            for (size_t j = 0; j < k; j++) {
                if (!bytes && (uint32_t)part[j] == unknown && last == unknown)
                    continue; /* one id for a run */
                last = (uint32_t)part[j];
                assert_true(at < n);
                assert_int_equal(ids[at++], part[j]);
            }
            cria_ids_free(f.t, part);
        }
        assert_int_equal(at, n);
        cria_ids_free(f.t, ids);
        spm_close(&f);
    }
}

/* What used to be quadratic elsewhere: a megabyte of one character. Runs for minutes if it is not near
 * linear. */
static void long_runs(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    struct spm_fixture f;
    char *text = malloc(N);
    assert_non_null(text);
    for (unsigned kind = SPM_UNIGRAM; kind <= SPM_BPE; kind++) {
        spm_begin(&model, kind);
        spm_piece(&model, "a", -9, 1);
        for (unsigned n = 2; n <= 64; n *= 2) {
            char piece[65] = {0};
            memset(piece, 'a', n);
            spm_piece(&model, piece, -8 + (float)n / 64, 1);
        }
        spm_open(&f, &model);
        for (const char *c = "ax "; *c; c++) {
            int32_t *ids;
            size_t n;
            memset(text, *c, N);
            assert_int_equal(cria_encode(f.t, text, N, CRIA_ENCODE_PLAIN, &ids, &n, NULL), CRIA_OK);
            assert_int_equal(n, *c == 'a' ? N / 64 : 1);
            cria_ids_free(f.t, ids);
        }
        spm_close(&f);
    }
    free(text);
}

static void out_of_memory(void **state) {
    (void)state;
    struct spm_fixture f;
    static char text[10000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = "ab x[X]\xFF"[i * 7 % 11 % 8];
    for (unsigned kind = SPM_UNIGRAM; kind <= SPM_BPE; kind++) {
        spm_begin(&model, kind);
        spm_piece(&model, "a", -9, 1);
        spm_piece(&model, "[X]", 0, CRIA_PIECE_USER_DEFINED);
        spm_piece(&model, "ab", -9, CRIA_PIECE_UNUSED);
        spm_open(&f, &model);
        cria_status st = CRIA_ENOMEM;
        const long live = atomic_load(&f.alloc.live);
        for (long n = 0; st != CRIA_OK; n++) {
            int32_t *ids = NULL;
            size_t k;
            f.alloc.fail_at = atomic_load(&f.alloc.calls) + n;
            st = cria_encode(f.t, text, sizeof text, CRIA_ENCODE_BOS | CRIA_ENCODE_SPECIAL, &ids, &k, NULL);
            if (st != CRIA_OK) assert_int_equal(st, CRIA_ENOMEM);
            cria_ids_free(f.t, ids);
            assert_int_equal(atomic_load(&f.alloc.live), live);
        }
        spm_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_merges_by_score_then_from_the_left),
        cmocka_unit_test(bpe_score_order),
        cmocka_unit_test(bpe_crosses_words_only_by_pieces),
        cmocka_unit_test(bpe_unused_pieces_are_split_again),
        cmocka_unit_test(unigram_takes_the_best_sum),
        cmocka_unit_test(symbols_stay_whole),
        cmocka_unit_test(unknown_characters),
        cmocka_unit_test(long_text_equals_its_words),
        cmocka_unit_test(long_runs),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
