/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.model files written field by field, for the tests of the SentencePiece half. */
#ifndef CRIA_TESTS_SPM_UNIT_H
#define CRIA_TESTS_SPM_UNIT_H

#include "unit.h"
#include "base/ctx.h"
#include "counting_alloc.h"
#include "text/tokenizer.h"
#include <stdio.h>

struct wire {
    uint8_t data[1 << 16];
    size_t n;
};

static inline void wire_raw(struct wire *w, const void *data, size_t len) {
    assert_true(len <= sizeof w->data - w->n);
    if (len) memcpy(w->data + w->n, data, len);
    w->n += len;
}
static inline void wire_varint(struct wire *w, uint64_t x) {
    do {
        const uint8_t b = (uint8_t)((x & 127) | (x > 127 ? 128 : 0));
        wire_raw(w, &b, 1);
    } while (x >>= 7);
}
static inline void wire_uint(struct wire *w, unsigned number, uint64_t x) {
    wire_varint(w, number * 8);
    wire_varint(w, x);
}
static inline void wire_bytes(struct wire *w, unsigned number, const void *data, size_t len) {
    wire_varint(w, number * 8 + 2);
    wire_varint(w, len);
    wire_raw(w, data, len);
}
static inline void wire_text(struct wire *w, unsigned number, const char *text) {
    wire_bytes(w, number, text, strlen(text));
}
static inline void wire_float(struct wire *w, unsigned number, float x) {
    wire_varint(w, number * 8 + 5);
    wire_raw(w, &x, 4); /* little-endian machines, as all that run these tests */
}

/* Fields of ModelProto. */
static inline void spm_piece(struct wire *w, const char *text, float score, unsigned type) {
    struct wire p = {.n = 0};
    wire_text(&p, 1, text);
    wire_float(&p, 2, score);
    if (type != CRIA_PIECE_NORMAL) wire_uint(&p, 3, type);
    wire_bytes(w, 1, p.data, p.n);
}
static inline void spm_trainer(struct wire *w, unsigned number, uint64_t x) {
    struct wire p = {.n = 0};
    wire_uint(&p, number, x);
    wire_bytes(w, 2, p.data, p.n);
}
static inline void spm_trainer_text(struct wire *w, unsigned number, const char *text) {
    struct wire p = {.n = 0};
    wire_text(&p, number, text);
    wire_bytes(w, 2, p.data, p.n);
}
static inline void spm_normalizer(struct wire *w, unsigned number, uint64_t x) {
    struct wire p = {.n = 0};
    wire_uint(&p, number, x);
    wire_bytes(w, 3, p.data, p.n);
}
static inline void spm_byte_pieces(struct wire *w) {
    spm_trainer(w, 35, 1);
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        spm_piece(w, text, 0, CRIA_PIECE_BYTE);
    }
}

enum { SPM_UNIGRAM = 1, SPM_BPE = 2 };
/* Ids 0 to 2, no normalization but spaces escaped, no dummy prefix. */
static inline void spm_begin(struct wire *w, unsigned model) {
    w->n = 0;
    spm_trainer(w, 3, model);
    spm_normalizer(w, 3, 0);
    spm_normalizer(w, 4, 0);
    spm_piece(w, "<unk>", 0, CRIA_PIECE_UNKNOWN);
    spm_piece(w, "<s>", 0, CRIA_PIECE_CONTROL);
    spm_piece(w, "</s>", 0, CRIA_PIECE_CONTROL);
}

struct spm_fixture {
    struct counting_alloc alloc;
    cria_ctx ctx;
    cria_tokenizer *t;
    cria_error err;
};
static inline void spm_fixture_init(struct spm_fixture *f) {
    memset(f, 0, sizeof *f);
    counting_alloc_init(&f->alloc, -1);
    f->ctx.allocator = counting_alloc_hook(&f->alloc);
    atomic_init(&f->ctx.refs, 1);
}
static inline cria_status spm_try(struct spm_fixture *f, const struct wire *w) {
    cria_vocab v;
    const cria_status st = cria_vocab_load_spm(&f->ctx, w->data, w->n, "test.model", &v, &f->err);
    return st != CRIA_OK ? st : cria_tokenizer_make(&f->ctx, &v, &f->t, &f->err);
}
static inline void spm_open(struct spm_fixture *f, const struct wire *w) {
    spm_fixture_init(f);
    if (spm_try(f, w) != CRIA_OK) fail_msg("%s", f->err.msg);
}
static inline void spm_close(struct spm_fixture *f) {
    cria_tokenizer_free(f->t);
    f->t = NULL;
    assert_int_equal(atomic_load(&f->alloc.live), 0);
    assert_int_equal(atomic_load(&f->ctx.refs), 1);
}

/* The pieces of text[0..len), joined by '|'; ids beyond the text's own as the vocabulary writes them. */
static inline const char *spm_pieces(struct spm_fixture *f, const char *text, size_t len, unsigned flags) {
    static char joined[4096];
    int32_t *ids;
    size_t n, at = 0;
    assert_int_equal(cria_encode(f->t, text, len, flags, &ids, &n, &f->err), CRIA_OK);
    joined[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *piece = cria_tokenizer_piece(f->t, ids[i], NULL);
        assert_non_null(piece);
        at += (size_t)snprintf(joined + at, sizeof joined - at, "%s%s", i ? "|" : "", piece);
        assert_true(at < sizeof joined);
    }
    cria_ids_free(f->t, ids);
    return joined;
}
#define assert_pieces(f, text, want)                                                                         \
    assert_string_equal(spm_pieces(f, text, sizeof(text) - 1, CRIA_ENCODE_PLAIN), want)

#endif
