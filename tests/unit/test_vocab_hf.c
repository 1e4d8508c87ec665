/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json in small: what is read, what is refused and how it is said, and what happens without memory.
 * That ids and text are the library's: tests/oracle/test_hf_tokenizer.py. */
#include "unit.h"
#include "base/ctx.h"
#include "base/mem.h"
#include "counting_alloc.h"
#include "scratch.h"
#include "text/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>

#define TOKEN(id, text, flags)                                                                               \
    "{\"id\":" id ",\"content\":\"" text "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false," flags \
    "}"
#define SPECIAL "\"normalized\":false,\"special\":true"

/* Every part, so that a test can put another in its place. */
static const char *const members[][2] = {
    {"version", "\"1.0\""},
    {"truncation", "{\"max_length\": 3}"},
    {"padding", "null"},
    {"added_tokens", "[" TOKEN("0", "<unk>", SPECIAL) "," TOKEN("7", "<end>", SPECIAL) "," TOKEN(
                         "8", "a b", "\"normalized\":true,\"special\":false") "]"},
    {"normalizer",
     "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":"
     "{\"String\":\" \"},\"content\":\"_\"}]}"},
    {"pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"_?[a-z]+\"},\"behavior\":\"Isolated\",\"invert\":false}"},
    {"post_processor",
     "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<end>\",\"type_id\":0}},"
     "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<end>\":"
     "{\"id\":\"<end>\",\"ids\":[7],\"tokens\":[\"<end>\"]}}}"},
    {"decoder", "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"_\"},"
                "\"content\":\" \"},"
                "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "
                "\",\"start\":1,\"stop\":0}]}"},
    {"model", "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<unk>\",\"continuing_subword_prefix\":null,"
              "\"end_of_word_suffix\":\"\",\"fuse_unk\":true,\"byte_fallback\":false,\"ignore_merges\":false,"
              "\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"_\":3,\"ab\":4,\"_a\":5,\"_ab\":6},"
              "\"merges\":[[\"a\",\"b\"],\"_ ab\",[\"_\",\"a\"]]}"},
};

/* The file, with instead (NULL: nothing) in place of the member, or with one more member where there is none.
 */
static size_t put_file(char *out, size_t size, const char *member, const char *instead) {
    size_t n = (size_t)snprintf(out, size, "{\n");
    bool known = false;
    const char *comma = "";
    for (size_t i = 0; i < N_ITEMS(members); i++) {
        const bool it = member && strcmp(members[i][0], member) == 0;
        known = known || it;
        if (it && !instead) continue;
        n += (size_t)snprintf(out + n, size - n, "%s\"%s\": %s", comma, members[i][0],
                              it ? instead : members[i][1]);
        comma = ",\n";
    }
    if (member && !known) n += (size_t)snprintf(out + n, size - n, ",\n\"%s\": %s", member, instead);
    n += (size_t)snprintf(out + n, size - n, "\n}\n");
    assert_true(n < size);
    return n;
}

struct fixture {
    struct counting_alloc alloc;
    cria_ctx ctx;
    char text[16384];
    size_t len;
};

static void begin(struct fixture *f, const char *member, const char *instead) {
    memset(f, 0, sizeof *f);
    counting_alloc_init(&f->alloc, -1);
    f->ctx.allocator = counting_alloc_hook(&f->alloc);
    atomic_init(&f->ctx.refs, 1);
    f->len = put_file(f->text, sizeof f->text, member, instead);
}

static cria_status load(struct fixture *f, const char *folder, cria_tokenizer **out, cria_error *err) {
    cria_vocab v;
    const cria_status st =
        cria_vocab_load_hf(&f->ctx, (const uint8_t *)f->text, f->len, "t.json", folder, &v, err);
    return st == CRIA_OK ? cria_tokenizer_make(&f->ctx, &v, out, err) : st;
}

static void check_encode(const cria_tokenizer *t, const char *text, unsigned flags, const int32_t *want,
                         size_t n) {
    int32_t *ids;
    size_t got;
    assert_int_equal(cria_encode(t, text, strlen(text), flags, &ids, &got, NULL), CRIA_OK);
    if (got != n || memcmp(ids, want, n * sizeof *ids) != 0) fail_msg("\"%s\" has other ids", text);
    cria_ids_free(t, ids);
}
#define CHECK(t, text, flags, ...)                                                                           \
    do {                                                                                                     \
        const int32_t want_[] = {__VA_ARGS__};                                                               \
        check_encode(t, text, flags, want_, N_ITEMS(want_));                                                 \
    } while (0)

static void check_decode(const cria_tokenizer *t, const char *want, const int32_t *ids, size_t n) {
    char *text;
    size_t len;
    assert_int_equal(cria_decode(t, ids, n, &text, &len, NULL), CRIA_OK);
    assert_string_equal(text, want);
    cria_text_free(t, text);
}

static void reads(void **state) {
    (void)state;
    struct fixture f;
    cria_tokenizer *t;
    cria_error err;
    begin(&f, NULL, NULL);
    if (load(&f, NULL, &t, &err) != CRIA_OK) fail_msg("%s", err.msg);
    assert_int_equal(cria_tokenizer_vocab_size(t), 9);
    assert_int_equal(cria_tokenizer_bos(t), 7);
    assert_int_equal(cria_tokenizer_eos(t), -1);
    assert_true(cria_tokenizer_add_bos(t));
    assert_string_equal(cria_tokenizer_piece(t, 8, NULL), "a b");
    CHECK(t, "ab ab", CRIA_ENCODE_PLAIN, 4, 6);
    CHECK(t, "ab<end> b", CRIA_ENCODE_SPECIAL | CRIA_ENCODE_BOS, 7, 4, 7, 3, 2);
    CHECK(t, "xa by", CRIA_ENCODE_PLAIN, 0, 8, 0); /* "a b" is found as "a_b" */
    CHECK(t, "\xff?", CRIA_ENCODE_PLAIN, 0);
    const int32_t ids[] = {7, 6, 6, 8, 0};
    check_decode(t, "ab aba b", ids, N_ITEMS(ids));
    cria_tokenizer_destroy(t);
    assert_int_equal(atomic_load(&f.alloc.live), 0);
}

/* The merges may come before the vocabulary, ids in any order and with gaps, and the model without its type.
 */
static void any_order(void **state) {
    (void)state;
    struct fixture f;
    cria_tokenizer *t;
    cria_error err;
    begin(&f, "model",
          "{\"merges\":[\"#version: 0.2\",\"a "
          "b\"],\"vocab\":{\"ab\":3,\"b\":2,\"<unk>\":0,\"a\":1,\"\\u005f\":5,"
          "\"x\":6,\"<end>\":7,\"a b\":8}}");
    if (load(&f, NULL, &t, &err) != CRIA_OK) fail_msg("%s", err.msg);
    assert_int_equal(cria_tokenizer_vocab_size(t), 9);
    assert_string_equal(cria_tokenizer_piece(t, 4, NULL), "");
    CHECK(t, "ab x", CRIA_ENCODE_PLAIN, 3, 5, 6);
    cria_tokenizer_destroy(t);
}

static void unigram(void **state) {
    (void)state;
    struct fixture f;
    cria_tokenizer *t;
    cria_error err;
    begin(&f, "model",
          "{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":false,\"vocab\":[[\"<unk>\",0],[\"a\",-1.5],"
          "[\"b\",-1.5],[\"_\",-1],[\"ab\",-2.9],[\"c\",-1e1],[\"d\",-2]]}");
    if (load(&f, NULL, &t, &err) != CRIA_OK) fail_msg("%s", err.msg);
    CHECK(t, "abba", CRIA_ENCODE_PLAIN, 4, 2, 1);
    CHECK(t, "xyza", CRIA_ENCODE_PLAIN, 0, 1);
    cria_tokenizer_destroy(t);
    assert_int_equal(atomic_load(&f.alloc.live), 0);
}

static void refuses(void **state) {
    (void)state;
    static const struct {
        const char *member, *instead, *words;
        cria_status status;
    } cases[] = {
        {"model", NULL, "no model", CRIA_EFORMAT},
        {"version", "\"2.0\"", "\"2.0\"", CRIA_EUNSUPPORTED},
        {"version", "1", "a string", CRIA_EFORMAT},
        {"surprise", "{}", "\"surprise\"", CRIA_EUNSUPPORTED},
        {"model", "[]", "an object", CRIA_EFORMAT},
        {"model", "{\"type\":\"WordPiece\"}", "\"WordPiece\"", CRIA_EUNSUPPORTED},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0}}", "no merges", CRIA_EUNSUPPORTED},
        {"model", "{\"type\":\"BPE\",\"merges\":[]}", "no vocab", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}", "empty", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"vocab\":{\"a\":0},\"merges\":[]}",
         "second \"vocab\"", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}", "both \"a\"", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}", "same id 0", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}", "id -1", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":99999999999},\"merges\":[]}", "id 99999999999",
         CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":1.5},\"merges\":[]}", "a whole number", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}", "\"a\"", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}", "\"a a a\"", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}", "right part", CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"b\",\"a\"]]}", "left part",
         CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\"]]}", "result",
         CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\",\"a\"]]}", "more than two",
         CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"b\"}", "unk_token",
         CRIA_EFORMAT},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}", "dropout of 0.1",
         CRIA_EUNSUPPORTED},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}",
         "end_of_word_suffix", CRIA_EUNSUPPORTED},
        {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"beta\":1}", "\"beta\"",
         CRIA_EUNSUPPORTED},
        {"model", "{\"type\":\"BPE\",\"vocab\":[[\"a\",0]]}", "not one of its type", CRIA_EFORMAT},
        {"model", "{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}", "where", CRIA_EFORMAT},
        {"model", "{\"type\":\"Unigram\",\"vocab\":[[\"a\",0,1]]}", "a string and a score", CRIA_EFORMAT},
        {"model", "{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":1}", "unk_id", CRIA_EFORMAT},
        {"normalizer", "{\"type\":\"Lowercase\"}", "\"Lowercase\"", CRIA_EUNSUPPORTED},
        {"normalizer", "{\"prepend\":\"a\"}", "no \"type\"", CRIA_EFORMAT},
        {"normalizer", "{\"type\":\"NFC\",\"form\":1}", "\"form\"", CRIA_EUNSUPPORTED},
        {"normalizer", "{\"type\":\"NFC\",\"type\":\"NFD\"}", "twice", CRIA_EFORMAT},
        {"normalizer", "{\"type\":\"Prepend\"}", "no \"prepend\"", CRIA_EFORMAT},
        {"normalizer", "{\"type\":\"Replace\",\"content\":\"\",\"pattern\":{\"Regex\":\"(a\"}}", "\"(a\"",
         CRIA_EFORMAT},
        {"normalizer", "{\"type\":\"Replace\",\"content\":\"\",\"pattern\":{\"Regex\":\"^a\"}}", "'^'",
         CRIA_EUNSUPPORTED},
        {"normalizer", "{\"type\":\"Replace\",\"content\":\"\",\"pattern\":\"a\"}", "an object",
         CRIA_EFORMAT},
        {"pre_tokenizer", "{\"type\":\"BertPreTokenizer\"}", "\"BertPreTokenizer\"", CRIA_EUNSUPPORTED},
        {"pre_tokenizer",
         "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Sideways\",\"invert\":false}",
         "\"Sideways\"", CRIA_EUNSUPPORTED},
        {"pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", "not one character",
         CRIA_EFORMAT},
        {"pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}",
         "\"last\"", CRIA_EUNSUPPORTED},
        {"decoder", "{\"type\":\"WordPiece\"}", "\"WordPiece\"", CRIA_EUNSUPPORTED},
        {"decoder", "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"ByteFallback\"}]}",
         "ByteFallback", CRIA_EUNSUPPORTED},
        {"decoder", "{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}", "out of range",
         CRIA_EFORMAT},
        {"post_processor", "{\"type\":\"Oops\"}", "\"Oops\"", CRIA_EUNSUPPORTED},
        {"post_processor",
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}],"
         "\"pair\":[],\"special_tokens\":{}}",
         "does not have", CRIA_EFORMAT},
        {"post_processor",
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}],"
         "\"pair\":[],\"special_tokens\":{\"x\":{\"id\":\"x\",\"ids\":[1,2],\"tokens\":[]}}}",
         "more than one token", CRIA_EUNSUPPORTED},
        {"post_processor",
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}],"
         "\"pair\":[],\"special_tokens\":{\"x\":{\"id\":\"x\",\"ids\":[99],\"tokens\":[]}}}",
         "token 99", CRIA_EFORMAT},
        {"added_tokens", "[" TOKEN("9", "new", SPECIAL) "]", "would get 7", CRIA_EFORMAT},
        {"added_tokens", "[" TOKEN("1", "b", SPECIAL) "]", "would get 2", CRIA_EFORMAT},
        {"added_tokens", "[" TOKEN("1", "a", SPECIAL) "," TOKEN("1", "a", SPECIAL) "]", "occurs twice",
         CRIA_EFORMAT},
        {"added_tokens", "[{\"id\":1,\"content\":\"a\"}]", "no \"special\"", CRIA_EFORMAT},
        {"added_tokens", "{}", "an array", CRIA_EFORMAT},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        struct fixture f;
        cria_tokenizer *t;
        cria_error err = {0};
        begin(&f, cases[i].member, cases[i].instead);
        const cria_status st = load(&f, NULL, &t, &err);
        if (st != cases[i].status || !strstr(err.msg, cases[i].words) || strncmp(err.msg, "t.json: ", 8) != 0)
            fail_msg("%s: %s\nstatus %d: %s", cases[i].member, cases[i].instead, (int)st, err.msg);
        assert_int_equal(atomic_load(&f.alloc.live), 0);
    }
}

/* Cut anywhere, the file is refused. */
static void cut_off(void **state) {
    (void)state;
    struct fixture f;
    cria_tokenizer *t;
    begin(&f, NULL, NULL);
    const size_t whole = f.len - 2; /* without the last brace */
    for (f.len = 0; f.len <= whole; f.len += 7) assert_int_equal(load(&f, NULL, &t, NULL), CRIA_EFORMAT);
    assert_int_equal(atomic_load(&f.alloc.live), 0);
}

/* What the files beside it say about the ends of a text. */
static void ends(void **state) {
    (void)state;
    static const struct {
        const char *file[5][2];
        int32_t bos, eos;
        bool add_bos;
        int32_t is_end, is_not;
    } cases[] = {
        {{{"tokenizer_config.json",
           "{\"bos_token\":\"a\",\"eos_token\":{\"content\":\"b\"},\"add_bos_token\":false}"}},
         1,
         2,
         false,
         2,
         7},
        {{{"tokenizer_config.json", "{\"bos_token\":null,\"eos_token\":null}"},
          {"special_tokens_map.json", "{\"bos_token\":{\"content\":\"<end>\"},\"eos_token\":\"_\"}"}},
         7,
         3,
         true,
         3,
         2},
        {{{"generation_config.json", "{\"eos_token_id\":[4,5,1000]}"},
          {"config.json", "{\"eos_token_id\":6}"}},
         7,
         4,
         true,
         1000,
         6},
        {{{"generation_config.json", "{}"}, {"config.json", "{\"eos_token_id\":6,\"bos_token_id\":1}"}},
         7,
         6,
         true,
         6,
         4},
        {{{"tokenizer_config.json", "{\"eos_token\":\"nowhere\"}"}, {"config.json", "{\"eos_token_id\":2}"}},
         7,
         2,
         true,
         2,
         3},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        struct scratch s;
        struct fixture f;
        cria_tokenizer *t;
        cria_error err;
        scratch_new(&s);
        begin(&f, NULL, NULL);
        for (size_t k = 0; k < 5 && cases[i].file[k][0]; k++)
            scratch_text(&s, cases[i].file[k][0], cases[i].file[k][1]);
        if (load(&f, s.root, &t, &err) != CRIA_OK) fail_msg("case %zu: %s", i, err.msg);
        if (cria_tokenizer_bos(t) != cases[i].bos || cria_tokenizer_eos(t) != cases[i].eos ||
            cria_tokenizer_add_bos(t) != cases[i].add_bos || !cria_tokenizer_is_eog(t, cases[i].is_end) ||
            cria_tokenizer_is_eog(t, cases[i].is_not))
            fail_msg("case %zu: bos %d, eos %d", i, (int)cria_tokenizer_bos(t), (int)cria_tokenizer_eos(t));
        cria_tokenizer_destroy(t);
        assert_int_equal(atomic_load(&f.alloc.live), 0);
        scratch_free(&s);
    }
}

/* Every allocation of loading, encoding and decoding may fail, and nothing is lost. */
static void out_of_memory(void **state) {
    (void)state;
    static const int32_t ids[] = {6, 8, 0, 4};
    bool done = false;
    for (long fail_at = 0; !done; fail_at++) {
        struct fixture f;
        cria_tokenizer *t = NULL;
        cria_error err = {0};
        int32_t *made = NULL;
        char *text = NULL;
        size_t n;
        begin(&f, NULL, NULL);
        f.alloc.fail_at = fail_at;
        cria_status st = load(&f, NULL, &t, &err);
        if (st == CRIA_OK) st = cria_encode(t, "ab<end> a b\xff", 12, CRIA_ENCODE_SPECIAL, &made, &n, &err);
        if (st == CRIA_OK) st = cria_decode(t, ids, N_ITEMS(ids), &text, &n, &err);
        done = st == CRIA_OK;
        if (!done && st != CRIA_ENOMEM) fail_msg("allocation %ld: status %d, %s", fail_at, (int)st, err.msg);
        if (made) cria_ids_free(t, made);
        if (text) cria_text_free(t, text);
        cria_tokenizer_destroy(t);
        if (atomic_load(&f.alloc.live) != 0) fail_msg("allocation %ld: something is lost", fail_at);
        assert_true(fail_at < 5000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),         cmocka_unit_test(any_order), cmocka_unit_test(unigram),
        cmocka_unit_test(refuses),       cmocka_unit_test(cut_off),   cmocka_unit_test(ends),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
