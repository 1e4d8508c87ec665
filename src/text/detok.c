/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids back to text, at once or as a stream; both run the same machine, so they cannot differ.
 *
 * The machine holds back the bytes of a character that is not complete yet (at most three) and emits whole
 * characters only. What is not UTF-8 becomes U+FFFD exactly as the tokenizer's library does it.
 *
 * Byte-level BPE (tokenizers, ByteLevel decoder with skip_special_tokens): pieces are strings of bytes; one
 * U+FFFD per maximal ill-formed part, also across pieces. A piece with a character outside the alphabet
 * stands for its own text. Control, unknown and unused pieces print nothing.
 *
 * SentencePiece (sentencepiece_processor.cc, Decode): only byte pieces are gathered; one U+FFFD per bad byte;
 * any other piece ends the gathering. U+2581 becomes a space, but the one that add_dummy_prefix put at the
 * very start is dropped. Control pieces print nothing, unk prints unk_surface. A model with rules for the
 * decoded text (denormalizer) rewrites the whole of it: then a stream gives everything at its end.
 *
 * Ids are checked against the vocabulary. Pieces are valid UTF-8 (the loaders see to it). A detok keeps its
 * context alive, not its tokenizer.
 */
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/tokenizer.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

struct machine {
    const cria_vocab *v;
    uint8_t tail[4]; /* bytes of a character to be completed */
    size_t n_tail;
    /* SentencePiece only, names as in sentencepiece_processor.cc */
    bool bos_ws;      /* a space at the start of the next piece would be the dummy prefix */
    bool bos_ws_seen; /* the last piece had it */
    bool any_text;
};

struct cria_detok {
    cria_ctx *ctx;
    struct machine m;
    cria_buf text; /* what the last call gave, or what is held back until finish */
    bool given;
};

static void machine_start(struct machine *m, const cria_vocab *v) {
    *m = (struct machine){.v = v, .bos_ws = true};
}

static cria_status put_replacement(cria_buf *out, cria_error *err) {
    return cria_buf_append(out, "\xef\xbf\xbd", 3, err);
}

/* Emits what the tail makes certain. all: nothing follows, so an incomplete character is a bad one. maximal:
 * bad bytes are replaced by maximal ill-formed parts, otherwise one by one. */
static cria_status drain_tail(struct machine *m, bool all, bool maximal, cria_buf *out, cria_error *err) {
    cria_status st = CRIA_OK;
    while (m->n_tail > 0 && st == CRIA_OK) {
        uint32_t cp;
        size_t n = cria_utf8_decode(m->tail, m->n_tail, &cp);
        if (n != 0) {
            st = cria_buf_append(out, m->tail, n, err);
        } else {
            if (!all && cria_utf8_partial_tail(m->tail, m->n_tail) == m->n_tail) break;
            n = maximal ? cria_utf8_bad_length(m->tail, m->n_tail) : 1;
            st = put_replacement(out, err);
        }
        m->n_tail -= n;
        memmove(m->tail, m->tail + n, m->n_tail);
        m->any_text = true;
    }
    return st;
}

static cria_status put_byte(struct machine *m, uint8_t byte, bool maximal, cria_buf *out, cria_error *err) {
    if (byte < 0x80 && m->n_tail == 0) {
        m->any_text = true;
        return cria_buf_push(out, byte, err);
    }
    m->tail[m->n_tail++] = byte;
    return drain_tail(m, false, maximal, out, err);
}

/* ---- byte-level BPE ---- */

static bool in_alphabet(const uint8_t *piece, size_t len) {
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        const size_t n = cria_utf8_decode(piece + i, len - i, &cp);
        if (n == 0 || cria_char_to_byte(cp) < 0) return false;
        i += n;
    }
    return true;
}

static cria_status feed_byte_level(struct machine *m, uint32_t id, cria_buf *out, cria_error *err) {
    const uint8_t type = m->v->type[id];
    if (type == CRIA_PIECE_CONTROL || type == CRIA_PIECE_UNKNOWN || type == CRIA_PIECE_UNUSED) return CRIA_OK;
    size_t len;
    const uint8_t *p = (const uint8_t *)cria_vocab_piece(m->v, id, &len);
    const bool mapped = in_alphabet(p, len);
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < len && st == CRIA_OK;) {
        uint32_t cp = p[i];
        size_t n = 1;
        if (mapped && cp >= 0x80) n = cria_utf8_decode(p + i, len - i, &cp);
        st = put_byte(m, mapped ? (uint8_t)cria_char_to_byte(cp) : p[i], true, out, err);
        i += n;
    }
    return st;
}

/* ---- SentencePiece ---- */

/* The piece with its U+2581 as spaces. */
static cria_status put_unescaped(const char *p, size_t len, cria_buf *out, cria_error *err) {
    cria_status st = CRIA_OK;
    while (len > 0 && st == CRIA_OK) {
        if (len >= 3 && memcmp(p, "\xe2\x96\x81", 3) == 0) {
            st = cria_buf_push(out, ' ', err);
            p += 3;
            len -= 3;
            continue;
        }
        const char *next = memchr(p + 1, '\xe2', len - 1);
        const size_t n = next == NULL ? len : (size_t)(next - p);
        st = cria_buf_append(out, p, n, err);
        p += n;
        len -= n;
    }
    return st;
}

static cria_status put_piece(struct machine *m, uint32_t id, cria_buf *out, cria_error *err) {
    const cria_vocab *v = m->v;
    if (m->bos_ws_seen || m->any_text) m->bos_ws = false;
    m->bos_ws_seen = false;
    if (v->type[id] == CRIA_PIECE_CONTROL) return CRIA_OK;
    size_t len;
    const char *p = cria_vocab_piece(v, id, &len);
    if (m->bos_ws && (v->normalizer.add_dummy_prefix || v->normalizer.remove_extra_whitespaces) && len >= 3 &&
        memcmp(p, "\xe2\x96\x81", 3) == 0) {
        p += 3;
        len -= 3;
        /* with remove_extra_whitespaces all white space at the start goes */
        m->bos_ws_seen = !v->normalizer.remove_extra_whitespaces;
    }
    if (v->type[id] == CRIA_PIECE_UNKNOWN)
        return cria_buf_append(out, v->unk_surface, v->unk_surface_len, err);
    return put_unescaped(p, len, out, err);
}

static cria_status feed_sentencepiece(struct machine *m, uint32_t id, cria_buf *out, cria_error *err) {
    size_t len;
    const char *p = cria_vocab_piece(m->v, id, &len);
    const int byte = m->v->type[id] == CRIA_PIECE_BYTE ? cria_vocab_byte(p, len) : -1;
    if (byte >= 0) return put_byte(m, (uint8_t)byte, false, out, err);
    cria_status st = drain_tail(m, true, false, out, err);
    const size_t before = out->len;
    if (st == CRIA_OK) st = put_piece(m, id, out, err);
    if (out->len > before) m->any_text = true;
    return st;
}

/* ---- both ---- */

static cria_status machine_feed(struct machine *m, int32_t id, cria_buf *out, cria_error *err) {
    if (id < 0 || (uint32_t)id >= m->v->n)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The token id %d is not one of the vocabulary's 0 to %u.", (int)id, m->v->n - 1);
    if (m->v->model == CRIA_VOCAB_BYTE_BPE) return feed_byte_level(m, (uint32_t)id, out, err);
    return feed_sentencepiece(m, (uint32_t)id, out, err);
}

static cria_status machine_finish(struct machine *m, cria_buf *out, cria_error *err) {
    return drain_tail(m, true, m->v->model == CRIA_VOCAB_BYTE_BPE, out, err);
}

/* The text's last step: *text becomes what the denormalizer makes of it. */
static cria_status denormalize(const cria_vocab *v, cria_buf *text, cria_error *err) {
    cria_normalizer rules;
    cria_buf out;
    cria_status st = cria_normalizer_init(&rules, &v->denormalizer, NULL, "denormalizer", err);
    if (st != CRIA_OK) return st;
    cria_buf_init(&out, v->ctx, PTRDIFF_MAX);
    st = cria_normalize(&rules, text->data, text->len, &out, err);
    if (st != CRIA_OK) {
        cria_buf_fini(&out);
        return st;
    }
    cria_buf_fini(text);
    *text = out;
    return CRIA_OK;
}

/* ---- public ---- */

cria_status cria_decode(const cria_tokenizer *t, const int32_t *ids, size_t n, char **out, size_t *len,
                        cria_error *err) {
    if (t == NULL || (ids == NULL && n > 0) || out == NULL || len == NULL)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_decode needs a tokenizer, ids, an out and a len.");
    struct machine m;
    cria_buf text;
    uint8_t *data;
    machine_start(&m, &t->vocab);
    cria_buf_init(&text, t->ctx, PTRDIFF_MAX);
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < n && st == CRIA_OK; i++) st = machine_feed(&m, ids[i], &text, err);
    if (st == CRIA_OK) st = machine_finish(&m, &text, err);
    if (st == CRIA_OK && t->vocab.denormalizer.charsmap != NULL) st = denormalize(&t->vocab, &text, err);
    if (st == CRIA_OK) st = cria_buf_take(&text, &data, len, err);
    if (st == CRIA_OK) *out = (char *)data;
    cria_buf_fini(&text);
    return st;
}

void cria_text_free(const cria_tokenizer *t, char *text) { cria_free(t->ctx, text); }

cria_status cria_detok_new(const cria_tokenizer *t, cria_detok **out, cria_error *err) {
    if (t == NULL || out == NULL)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_detok_new needs a tokenizer and an out.");
    cria_detok *d = cria_malloc(t->ctx, sizeof *d);
    if (d == NULL) return cria_fail_nomem(err, "a stream of decoded text", sizeof *d);
    d->ctx = cria_ctx_ref(t->ctx);
    machine_start(&d->m, &t->vocab);
    cria_buf_init(&d->text, t->ctx, PTRDIFF_MAX);
    d->given = false;
    *out = d;
    return CRIA_OK;
}

void cria_detok_free(cria_detok *d) {
    if (d == NULL) return;
    cria_ctx *ctx = d->ctx;
    cria_buf_fini(&d->text);
    cria_free(ctx, d);
    cria_ctx_unref(ctx);
}

/* Forgets what the caller has had. */
static void drop_given(cria_detok *d) {
    if (d->given) d->text.len = 0;
    d->given = false;
}

cria_status cria_detok_push(cria_detok *d, int32_t id, const char **text, size_t *len, cria_error *err) {
    drop_given(d);
    const struct machine before = d->m;
    const size_t held = d->text.len;
    const cria_status st = machine_feed(&d->m, id, &d->text, err);
    if (st != CRIA_OK) { /* as if it had not been called */
        d->m = before;
        d->text.len = held;
        return st;
    }
    d->given = d->m.v->denormalizer.charsmap == NULL;
    *len = d->given ? d->text.len : 0;
    *text = *len != 0 ? (const char *)d->text.data : "";
    return CRIA_OK;
}

cria_status cria_detok_finish(cria_detok *d, const char **text, size_t *len, cria_error *err) {
    drop_given(d);
    const struct machine before = d->m;
    const size_t held = d->text.len;
    cria_status st = machine_finish(&d->m, &d->text, err);
    if (st == CRIA_OK && d->m.v->denormalizer.charsmap != NULL) st = denormalize(d->m.v, &d->text, err);
    if (st != CRIA_OK) {
        d->m = before;
        d->text.len = held;
        return st;
    }
    machine_start(&d->m, d->m.v);
    d->given = true;
    *len = d->text.len;
    *text = *len != 0 ? (const char *)d->text.data : "";
    return CRIA_OK;
}
