/* SPDX-License-Identifier: Apache-2.0 */
/* The public tokenizer: what a path may be, special symbols in text, flags, getters. Decoding: test_detok.c.
 */
#include "spm_unit.h"
#include "scratch.h"

static struct wire model;

static void small_model(void) {
    spm_begin(&model, SPM_BPE);
    spm_piece(&model, "a", -3, 1);
    spm_piece(&model, "[I]", 0, CRIA_PIECE_CONTROL);
    spm_piece(&model, "[I]]", 0, CRIA_PIECE_CONTROL);
    spm_piece(&model, "[U]", 0, CRIA_PIECE_USER_DEFINED);
    spm_piece(&model, "\xE2\x96\x81", -4, 1);
    spm_normalizer(&model, 3, 1); /* dummy prefix */
}

static void paths(void **state) {
    (void)state;
    struct spm_fixture f;
    struct scratch s;
    char path[512];
    scratch_new(&s);
    small_model();
    scratch_write(&s, "model/tokenizer.model", model.data, model.n);
    scratch_write(&s, "any.name", model.data, model.n);
    scratch_text(&s, "empty/config.json", "{}");
    scratch_text(&s, "bad.gguf", "GGUF");
    scratch_text(&s, "bad.model", "no protobuf");
    scratch_text(&s, "none", "");
    static const struct {
        const char *name;
        cria_status status;
        const char *says;
    } cases[] = {
        {"model", CRIA_OK, ""},
        {"any.name", CRIA_OK, ""},
        {"empty", CRIA_EIO, "neither tokenizer.json nor tokenizer.model"},
        {"missing", CRIA_EIO, "missing"},
        {"bad.gguf", CRIA_EFORMAT, "bad.gguf"},
        {"bad.model", CRIA_EFORMAT, "bad.model"},
        {"none", CRIA_EFORMAT, "no pieces"},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        spm_fixture_init(&f);
        const char *p = scratch_path(&s, cases[i].name, path);
        const cria_status st = cria_tokenizer_open(&f.ctx, p, &f.t, &f.err);
        if (st != cases[i].status || (st != CRIA_OK && !strstr(f.err.msg, cases[i].says)))
            fail_msg("%s: %d %s", p, st, st == CRIA_OK ? "" : f.err.msg);
        if (st == CRIA_OK) assert_pieces(&f, "a", "\xE2\x96\x81|a");
        spm_close(&f);
    }
    spm_fixture_init(&f);
    assert_int_equal(cria_tokenizer_open(NULL, "x", &f.t, NULL), CRIA_EINVAL);
    assert_int_equal(cria_tokenizer_open(&f.ctx, NULL, &f.t, NULL), CRIA_EINVAL);
    assert_int_equal(cria_tokenizer_open(&f.ctx, "x", NULL, NULL), CRIA_EINVAL);
    cria_tokenizer_free(NULL);
    scratch_free(&s);
}

static void special_symbols(void **state) {
    (void)state;
    struct spm_fixture f;
    small_model();
    spm_open(&f, &model);
#define SP "\xE2\x96\x81"
    assert_string_equal(spm_pieces(&f, "a[I]a", 5, CRIA_ENCODE_PLAIN), SP "|a|<unk>|a");
    assert_string_equal(spm_pieces(&f, "a[I]a", 5, CRIA_ENCODE_SPECIAL), SP "|a|[I]|" SP "|a");
    assert_string_equal(spm_pieces(&f, "[I]]<s>", 7, CRIA_ENCODE_SPECIAL), "[I]]|<s>"); /* the longest */
    assert_string_equal(spm_pieces(&f, "[[I]", 4, CRIA_ENCODE_SPECIAL), SP "|<unk>|[I]");
    assert_string_equal(spm_pieces(&f, "[U]", 3, CRIA_ENCODE_SPECIAL), SP "|[U]");
    assert_string_equal(spm_pieces(&f, "", 0, CRIA_ENCODE_BOS), "<s>");
    assert_string_equal(spm_pieces(&f, "</s>", 4, CRIA_ENCODE_BOS | CRIA_ENCODE_SPECIAL), "<s>|</s>");
    /* A chat template's text has one bos, its own or the tokenizer's. */
    assert_string_equal(spm_pieces(&f, "</s>", 4, CRIA_ENCODE_CHAT), "<s>|</s>");
    assert_string_equal(spm_pieces(&f, "<s></s>", 7, CRIA_ENCODE_CHAT), "<s>|</s>");
    assert_string_equal(spm_pieces(&f, "<s></s>", 7, CRIA_ENCODE_BOS | CRIA_ENCODE_SPECIAL), "<s>|<s>|</s>");
    assert_string_equal(spm_pieces(&f, "<unk>", 5, CRIA_ENCODE_SPECIAL),
                        SP "|<unk>"); /* text, though unknown */
#undef SP
    spm_close(&f);
}

static void getters_and_arguments(void **state) {
    (void)state;
    struct spm_fixture f;
    int32_t *ids = NULL;
    size_t n = 7, len = 0;
    small_model();
    spm_open(&f, &model);
    const cria_tokenizer *t = f.t;
    assert_int_equal(cria_tokenizer_vocab_size(t), 8);
    assert_int_equal(cria_tokenizer_bos(t), 1);
    assert_int_equal(cria_tokenizer_eos(t), 2);
    assert_true(cria_tokenizer_add_bos(t));
    for (int32_t id = -2; id < 10; id++) {
        assert_int_equal(cria_tokenizer_is_eog(t, id), id == 2);
        const char *piece = cria_tokenizer_piece(t, id, &len);
        if (id < 0 || id >= 8)
            assert_null(piece);
        else
            assert_int_equal(len, strlen(piece));
    }
    assert_string_equal(cria_tokenizer_piece(t, 4, NULL), "[I]");
    assert_int_equal(cria_encode(t, NULL, 0, CRIA_ENCODE_PLAIN, &ids, &n, NULL), CRIA_OK);
    assert_non_null(ids);
    assert_int_equal(n, 0);
    cria_ids_free(t, ids);
    cria_ids_free(t, NULL);
    assert_int_equal(cria_encode(t, "a", 1, 8, &ids, &n, &f.err), CRIA_EINVAL);
    assert_non_null(strstr(f.err.msg, "0x8"));
    assert_int_equal(cria_encode(t, NULL, 1, 0, &ids, &n, NULL), CRIA_EINVAL);
    assert_int_equal(cria_encode(NULL, "a", 1, 0, &ids, &n, NULL), CRIA_EINVAL);
    assert_int_equal(cria_encode(t, "a", SIZE_MAX, 0, &ids, &n, NULL), CRIA_EINVAL);
    spm_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(special_symbols),
        cmocka_unit_test(getters_and_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
