/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.model: what is read, what is assumed, and what is refused. Against the library: tests/oracle. */
#include "spm_unit.h"
#include <math.h>

static struct wire model;

static void loads_what_is_there(void **state) {
    (void)state;
    struct spm_fixture f;
    spm_begin(&model, SPM_BPE);
    spm_piece(&model, "a", -1.5f, CRIA_PIECE_NORMAL);
    spm_piece(&model, "[X]", 0, CRIA_PIECE_USER_DEFINED);
    spm_trainer(&model, 24, 1);
    spm_trainer_text(&model, 44, "?");
    spm_open(&f, &model);
    const cria_vocab *v = &f.t->vocab;
    assert_int_equal(v->model, CRIA_VOCAB_SPM_BPE);
    assert_int_equal(v->n, 5);
    assert_int_equal(v->unk, 0);
    assert_int_equal(v->bos, 1);
    assert_int_equal(v->eos, 2);
    assert_int_equal(v->pad, -1);
    assert_true(v->add_bos);
    assert_true(v->score[3] == -1.5f);
    assert_int_equal(v->type[4], CRIA_PIECE_USER_DEFINED);
    assert_int_equal(cria_vocab_find(v, "[X]", 3), 4);
    assert_int_equal(cria_vocab_find(v, "[X", 2), -1);
    assert_int_equal(cria_vocab_find(v, "", 0), -1);
    assert_string_equal(v->unk_surface, "?");
    assert_true(v->normalizer.treat_whitespace_as_suffix && v->normalizer.escape_whitespaces);
    assert_false(v->normalizer.add_dummy_prefix || v->normalizer.remove_extra_whitespaces);
    assert_null(v->normalizer.charsmap);
    spm_close(&f);
}

/* An empty trainer and normalizer mean the defaults of the .proto. */
static void defaults(void **state) {
    (void)state;
    struct spm_fixture f;
    model.n = 0;
    spm_piece(&model, "<unk>", 0, CRIA_PIECE_UNKNOWN);
    spm_piece(&model, "a", 0, CRIA_PIECE_NORMAL);
    spm_open(&f, &model);
    const cria_vocab *v = &f.t->vocab;
    assert_int_equal(v->model, CRIA_VOCAB_SPM_UNIGRAM);
    assert_int_equal(v->bos, -1);
    assert_false(v->add_bos || v->byte_fallback);
    assert_string_equal(v->unk_surface, " \xE2\x81\x87 ");
    assert_true(v->normalizer.add_dummy_prefix && v->normalizer.remove_extra_whitespaces);
    spm_close(&f);
}

/* The library goes by the names in trainer_spec, and only a control piece counts. */
static void special_ids_are_found_by_name(void **state) {
    (void)state;
    struct spm_fixture f;
    spm_begin(&model, SPM_BPE);
    spm_piece(&model, "<end>", 0, CRIA_PIECE_CONTROL);
    spm_piece(&model, "<pad>", 0, CRIA_PIECE_NORMAL);
    spm_trainer(&model, 42, 2); /* eos_id: not looked at */
    spm_trainer_text(&model, 47, "<end>");
    spm_trainer_text(&model, 46, "");
    spm_open(&f, &model);
    assert_int_equal(f.t->vocab.bos, 1);
    assert_int_equal(f.t->vocab.eos, 3);
    assert_int_equal(f.t->vocab.pad, -1);
    spm_close(&f);
}

static void unknown_fields_are_passed_by(void **state) {
    (void)state;
    struct spm_fixture f;
    spm_begin(&model, SPM_BPE);
    wire_text(&model, 999, "future");
    wire_uint(&model, 1000, UINT64_MAX);
    wire_float(&model, 1001, 1);
    wire_varint(&model, 1002 * 8 + 1);
    wire_raw(&model, "12345678", 8);
    spm_trainer_text(&model, 300, "extension");
    spm_open(&f, &model);
    assert_int_equal(f.t->vocab.n, 3);
    spm_close(&f);
}

/* A reserved piece of a unigram model may look like a normal one; one of BPE may not. */
static void twins(void **state) {
    (void)state;
    struct spm_fixture f;
    for (unsigned kind = SPM_UNIGRAM; kind <= SPM_BPE; kind++) {
        spm_begin(&model, kind);
        spm_piece(&model, "</s>", -1, CRIA_PIECE_NORMAL);
        spm_fixture_init(&f);
        assert_int_equal(spm_try(&f, &model), kind == SPM_UNIGRAM ? CRIA_OK : CRIA_EFORMAT);
        if (kind == SPM_UNIGRAM) assert_int_equal(f.t->vocab.eos, 2);
        spm_close(&f);
    }
    spm_begin(&model, SPM_UNIGRAM);
    spm_piece(&model, "</s>", -1, CRIA_PIECE_NORMAL);
    spm_piece(&model, "</s>", -1, CRIA_PIECE_CONTROL);
    spm_fixture_init(&f);
    assert_int_equal(spm_try(&f, &model), CRIA_EFORMAT);
    spm_close(&f);
}

static void piece_raw(const char *text, size_t len) {
    struct wire p = {.n = 0};
    wire_bytes(&p, 1, text, len);
    wire_bytes(&model, 1, p.data, p.n);
}

/* Converters have written one; the library ignores it, but only beside byte pieces. */
static void nul_piece(void **state) {
    (void)state;
    struct spm_fixture f;
    spm_begin(&model, SPM_BPE);
    spm_byte_pieces(&model);
    piece_raw("", 1);
    spm_open(&f, &model);
    assert_int_equal(f.t->vocab.type[259], CRIA_PIECE_UNUSED);
    assert_pieces(&f, "\0", "<0x00>");
    spm_close(&f);
}

static void long_piece(size_t len) {
    static char text[9000];
    memset(text, 'a', sizeof text);
    piece_raw(text, len);
}

static void add_dup(void) { spm_piece(&model, "a", 0, 1), spm_piece(&model, "a", 0, 1); }
static void add_empty(void) { piece_raw("", 0); }
static void add_long(void) { long_piece(8000); }
static void add_nul(void) { piece_raw("a\0b", 3); }
static void add_bad_utf8(void) { piece_raw("\xC3", 1); }
static void add_unk(void) { spm_piece(&model, "<unk2>", 0, CRIA_PIECE_UNKNOWN); }
static void add_byte(void) { spm_piece(&model, "<0x41>", 0, CRIA_PIECE_BYTE); }
static void add_bad_byte(void) { spm_byte_pieces(&model), spm_piece(&model, "<0xZZ>", 0, CRIA_PIECE_BYTE); }
static void add_fallback(void) { spm_trainer(&model, 35, 1); }
static void add_nan(void) { spm_piece(&model, "nan", (float)NAN, 1); }
static void add_infinite(void) { spm_piece(&model, "inf", -(float)INFINITY, 1); }
static void add_type(void) { spm_piece(&model, "t", 0, 7); }
static void add_word(void) { spm_trainer(&model, 3, 3); }
static void add_char(void) { spm_trainer(&model, 3, 4); }
static void add_kind(void) { spm_trainer(&model, 3, 77); }
static void add_surface(void) { spm_trainer_text(&model, 44, "\xFF"); }
static void add_tag(void) { wire_raw(&model, "\0\0", 2); }
static void add_group(void) { wire_raw(&model, "\x0B\x0C", 2); }
static void add_wire_type(void) { wire_uint(&model, 1, 5); }
static void add_long_varint(void) {
    wire_raw(&model, "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 12);
}
static void add_cut(void) {
    wire_raw(&model,
             "\x0A\x7F"
             "abc",
             5);
}
static void add_huge_length(void) { wire_raw(&model, "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11); }
static void add_cut_fixed(void) { wire_raw(&model, "\x0D\1\2", 3); }
static void add_charsmap(void) {
    wire_bytes(&model, 3,
               "\x12\x03"
               "abc",
               5);
}
static void no_unk(void) { model.n = 0, spm_piece(&model, "a", 0, 1); }
static void no_pieces(void) { model.n = 0; }
static void only_unk(void) { model.n = 0, spm_piece(&model, "<unk>", 0, CRIA_PIECE_UNKNOWN); }

static const struct bad {
    void (*make)(void);
    cria_status status;
    const char *says;
} bad[] = {
    {add_dup, CRIA_EFORMAT, "pieces 4 and 5 are both \"a\""},
    {add_empty, CRIA_EFORMAT, "piece 4 is empty"},
    {add_long, CRIA_EFORMAT, "8000 bytes; the most is 7999"},
    {add_nul, CRIA_EFORMAT, "contains a NUL"},
    {add_bad_utf8, CRIA_EFORMAT, "not valid UTF-8"},
    {add_unk, CRIA_EFORMAT, "pieces 0 and 4 are both the unknown piece"},
    {add_byte, CRIA_EFORMAT, "no byte fallback"},
    {add_bad_byte, CRIA_EFORMAT, "<0xZZ>"},
    {add_fallback, CRIA_EFORMAT, "no piece <0x00>"},
    {add_nan, CRIA_EFORMAT, "not a number"},
    {add_infinite, CRIA_EFORMAT, "infinite"},
    {add_type, CRIA_EUNSUPPORTED, "type 7"},
    {add_word, CRIA_EUNSUPPORTED, "word model"},
    {add_char, CRIA_EUNSUPPORTED, "char model"},
    {add_kind, CRIA_EUNSUPPORTED, "type 77"},
    {add_surface, CRIA_EFORMAT, "unk_surface"},
    {add_tag, CRIA_EFORMAT, "bad field tag"},
    {add_group, CRIA_EFORMAT, "wire type"},
    {add_wire_type, CRIA_EFORMAT, "wrong wire type"},
    {add_long_varint, CRIA_EFORMAT, "does not end"},
    {add_cut, CRIA_EFORMAT, "past the end"},
    {add_huge_length, CRIA_EFORMAT, "past the end"},
    {add_cut_fixed, CRIA_EFORMAT, "cut off"},
    {add_charsmap, CRIA_EFORMAT, "3 bytes"},
    {no_unk, CRIA_EFORMAT, "neither an unknown piece"},
    {no_pieces, CRIA_EFORMAT, "no pieces"},
    {only_unk, CRIA_EFORMAT, "no normal pieces"},
};

static void bad_files_are_refused(void **state) {
    (void)state;
    struct spm_fixture f;
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        spm_begin(&model, SPM_UNIGRAM);
        spm_piece(&model, "x", 0, 1); /* id 3 */
        bad[i].make();
        spm_fixture_init(&f);
        const cria_status st = spm_try(&f, &model);
        if (st != bad[i].status || !strstr(f.err.msg, bad[i].says))
            fail_msg("case %zu: status %d, \"%s\"", i, st, st == CRIA_OK ? "" : f.err.msg);
        spm_close(&f);
    }
}

static void full_model(void) {
    spm_begin(&model, SPM_BPE);
    spm_piece(&model, "ab", -1, CRIA_PIECE_UNUSED);
    spm_piece(&model, "[X]", 0, CRIA_PIECE_USER_DEFINED);
    spm_byte_pieces(&model);
    spm_trainer_text(&model, 44, "?");
}

/* A file cut at any byte is refused, or is a smaller whole file. */
static void truncation(void **state) {
    (void)state;
    struct spm_fixture f;
    full_model();
    const size_t all = model.n;
    for (size_t n = 0; n < all; n++) {
        model.n = n;
        spm_fixture_init(&f);
        if (spm_try(&f, &model) == CRIA_OK) assert_true(f.t->vocab.n <= 261);
        spm_close(&f);
    }
}

static void out_of_memory(void **state) {
    (void)state;
    struct spm_fixture f;
    full_model();
    cria_status st = CRIA_ENOMEM;
    for (long n = 0; st != CRIA_OK; n++) {
        spm_fixture_init(&f);
        f.alloc.fail_at = n;
        st = spm_try(&f, &model);
        if (st != CRIA_OK) assert_int_equal(st, CRIA_ENOMEM);
        spm_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_what_is_there),
        cmocka_unit_test(defaults),
        cmocka_unit_test(special_ids_are_found_by_name),
        cmocka_unit_test(unknown_fields_are_passed_by),
        cmocka_unit_test(twins),
        cmocka_unit_test(nul_piece),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(truncation),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
