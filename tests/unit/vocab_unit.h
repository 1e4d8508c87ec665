/* SPDX-License-Identifier: Apache-2.0 */
/* Small vocabularies built in memory, for the tests of the text layer. */
#ifndef CRIA_TESTS_VOCAB_UNIT_H
#define CRIA_TESTS_VOCAB_UNIT_H

#include "unit.h"
#include "base/ctx.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/tokenizer.h"
#include <stdio.h>

/* Appends a piece; the caller indexes with cria_vocab_index when all are there. */
static inline uint32_t vocab_add(cria_vocab *v, const char *piece, size_t len, enum cria_piece_type type) {
    const uint32_t at = v->n ? v->offset[v->n] : 0, id = v->n++;
    v->text = cria_realloc(v->ctx, v->text, at, at + len + 1);
    v->offset = cria_realloc(v->ctx, v->offset, v->n * sizeof *v->offset, (v->n + 1) * sizeof *v->offset);
    v->type = cria_realloc(v->ctx, v->type, id, v->n);
    assert_true(v->text && v->offset && v->type);
    if (len) memcpy(v->text + at, piece, len);
    v->text[at + len] = '\0';
    v->offset[id] = at;
    v->offset[id + 1] = at + (uint32_t)len + 1;
    v->type[id] = (uint8_t)type;
    return id;
}
static inline uint32_t vocab_add_text(cria_vocab *v, const char *piece, enum cria_piece_type type) {
    return vocab_add(v, piece, strlen(piece), type);
}

/* Byte-level: ids 0 to 255 are the bytes. */
static inline void vocab_add_bytes(cria_vocab *v) {
    for (unsigned b = 0; b < 256; b++) {
        uint8_t c[4];
        vocab_add(v, (const char *)c, cria_utf8_encode(cria_byte_to_char((uint8_t)b), c), CRIA_PIECE_NORMAL);
    }
}

/* Adds the merge and, if need be, its result. Parts by id. The vocabulary must not be indexed yet. */
static inline uint32_t vocab_add_merge(cria_vocab *v, uint32_t left, uint32_t right) {
    char text[256];
    size_t a, b;
    const char *p = cria_vocab_piece(v, left, &a);
    assert_true(a < 128);
    memcpy(text, p, a);
    p = cria_vocab_piece(v, right, &b);
    assert_true(b < 128);
    memcpy(text + a, p, b);
    uint32_t result = UINT32_MAX;
    for (uint32_t i = 0; i < v->n && result == UINT32_MAX; i++) {
        size_t n;
        p = cria_vocab_piece(v, i, &n);
        if (n == a + b && memcmp(p, text, n) == 0) result = i;
    }
    if (result == UINT32_MAX) result = vocab_add(v, text, a + b, CRIA_PIECE_NORMAL);
    v->merges = cria_realloc(v->ctx, v->merges, v->n_merges * sizeof *v->merges, (v->n_merges + 1) * sizeof *v->merges);
    assert_non_null(v->merges);
    v->merges[v->n_merges++] = (struct cria_merge){left, right, result};
    return result;
}

#endif
