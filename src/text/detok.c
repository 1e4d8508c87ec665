/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids back to text, at once or as a stream; both run the same machine, so they cannot differ.
 *
 * The machine holds back the bytes of a character that is not complete yet (at most three) and emits whole
 * characters only. What is not UTF-8 becomes U+FFFD exactly as the tokenizer's library does it.
 *
 * With a pipeline (tokenizer.json, byte-level GGUF): the pieces go through its decoder (pipe_decode.c), as
 * Tokenizer.decode of PyPI tokenizers with skip_special_tokens. Control, unknown and unused pieces print
 * nothing.
 *
 * SentencePiece (sentencepiece_processor.cc, Decode): only byte pieces are gathered; one U+FFFD per bad byte;
 * any other piece ends the gathering. U+2581 becomes a space, but the one that add_dummy_prefix put at the
 * very start is dropped. Control pieces print nothing, unk prints unk_surface. A model with rules for the
 * decoded text (denormalizer) rewrites the whole of it: then a stream gives everything at its end.
 *
 * Ids are checked against the vocabulary. Pieces are valid UTF-8 (the loaders see to it). A detok keeps its
 * context alive, not its tokenizer.
 */
#include "text/normalize.h"
#include "text/tokenizer.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Plain data, so that a copy is a state to go back to. */
struct machine {
    const cria_vocab *v;
    /* SentencePiece only, names as in sentencepiece_processor.cc */
    uint8_t tail[4]; /* bytes of a character to be completed */
    size_t n_tail;
    bool bos_ws;      /* a space at the start of the next piece would be the dummy prefix */
    bool bos_ws_seen; /* the last piece had it */
    bool any_text;
};

struct cria_detok {
    cria_ctx *ctx;
    struct machine m;
    struct cria_decoder decoder; /* in place of the machine, for a pipeline */
    cria_buf text;               /* what the last call gave, or what is held back until finish */
    bool given;
};

static void machine_start(struct machine *m, const cria_vocab *v) {
    *m = (struct machine){.v = v, .bos_ws = true};
}

static cria_status put_replacement(cria_buf *out, cria_error *err) {
    return cria_buf_append(out, "\xef\xbf\xbd", 3, err);
}

/* ---- pipelines ---- */

/* What the piece is to the decoder: a symbol found in normalized text is its normal form. */
static const char *printed(const cria_vocab *v, uint32_t id, size_t *len) {
    uint32_t low = 0, high = v->n_added;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (v->added[mid].id < (int32_t)id)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < v->n_added && v->added[low].id == (int32_t)id && v->added[low].form) {
        *len = v->added[low].form_len;
        return v->added[low].form;
    }
    return cria_vocab_piece(v, id, len);
}

static cria_status feed_pipeline(const cria_vocab *v, struct cria_decoder *d, uint32_t id, cria_buf *out,
                                 cria_error *err) {
    const uint8_t type = v->type[id];
    if (type == CRIA_PIECE_CONTROL || type == CRIA_PIECE_UNKNOWN || type == CRIA_PIECE_UNUSED) return CRIA_OK;
    size_t len;
    const char *piece = printed(v, id, &len);
    return cria_decoder_feed(d, piece, len, out, err);
}

/* ---- SentencePiece ---- */

/* Emits what the tail makes certain. all: nothing follows, so an incomplete character is a bad one. Bad bytes
 * are replaced one by one. */
static cria_status drain_tail(struct machine *m, bool all, cria_buf *out, cria_error *err) {
    cria_status st = CRIA_OK;
    while (m->n_tail > 0 && st == CRIA_OK) {
        uint32_t cp;
        size_t n = cria_utf8_decode(m->tail, m->n_tail, &cp);
        if (n != 0) {
            st = cria_buf_append(out, m->tail, n, err);
        } else {
            if (!all && cria_utf8_partial_tail(m->tail, m->n_tail) == m->n_tail) break;
            n = 1;
            st = put_replacement(out, err);
        }
        m->n_tail -= n;
        memmove(m->tail, m->tail + n, m->n_tail);
        m->any_text = true;
    }
    return st;
}

static cria_status put_byte(struct machine *m, uint8_t byte, cria_buf *out, cria_error *err) {
    if (byte < 0x80 && m->n_tail == 0) {
        m->any_text = true;
        return cria_buf_push(out, byte, err);
    }
    m->tail[m->n_tail++] = byte;
    return drain_tail(m, false, out, err);
}

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
    if (byte >= 0) return put_byte(m, (uint8_t)byte, out, err);
    cria_status st = drain_tail(m, true, out, err);
    const size_t before = out->len;
    if (st == CRIA_OK) st = put_piece(m, id, out, err);
    if (out->len > before) m->any_text = true;
    return st;
}

/* ---- both ---- */

static cria_status machine_feed(struct machine *m, struct cria_decoder *d, int32_t id, cria_buf *out,
                                cria_error *err) {
    if (id >= 0 && (uint32_t)id >= m->v->n && (uint32_t)id < m->v->n_rows) return CRIA_OK; /* as tokenizers */
    if (id < 0 || (uint32_t)id >= m->v->n)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The token id %d is not one of the vocabulary's 0 to %u.", (int)id, m->v->n - 1);
    if (cria_vocab_has_pipeline(m->v->model)) return feed_pipeline(m->v, d, (uint32_t)id, out, err);
    return feed_sentencepiece(m, (uint32_t)id, out, err);
}

static cria_status machine_finish(struct machine *m, struct cria_decoder *d, cria_buf *out, cria_error *err) {
    return cria_vocab_has_pipeline(m->v->model) ? cria_decoder_finish(d, out, err)
                                                : drain_tail(m, true, out, err);
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
    struct cria_decoder d;
    cria_buf text;
    uint8_t *data;
    machine_start(&m, &t->vocab);
    cria_decoder_init(&d, &t->vocab.pipe);
    cria_buf_init(&text, t->ctx, PTRDIFF_MAX);
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < n && st == CRIA_OK; i++) st = machine_feed(&m, &d, ids[i], &text, err);
    if (st == CRIA_OK) st = machine_finish(&m, &d, &text, err);
    if (st == CRIA_OK && t->vocab.denormalizer.charsmap != NULL) st = denormalize(&t->vocab, &text, err);
    if (st == CRIA_OK) st = cria_buf_take(&text, &data, len, err);
    if (st == CRIA_OK) *out = (char *)data;
    cria_buf_fini(&text);
    cria_decoder_fini(&d);
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
    cria_decoder_init(&d->decoder, &t->vocab.pipe);
    cria_buf_init(&d->text, t->ctx, PTRDIFF_MAX);
    d->given = false;
    *out = d;
    return CRIA_OK;
}

void cria_detok_free(cria_detok *d) {
    if (d == NULL) return;
    cria_ctx *ctx = d->ctx;
    cria_buf_fini(&d->text);
    cria_decoder_fini(&d->decoder);
    cria_free(ctx, d);
    cria_ctx_unref(ctx);
}

/* Forgets what the caller has had. */
static void drop_given(cria_detok *d) {
    if (d->given) d->text.len = 0;
    d->given = false;
}

struct state {
    struct machine m;
    struct cria_stage stage[CRIA_STEPS_MAX];
    size_t held;
};

static struct state state_of(const cria_detok *d) {
    struct state s = {.m = d->m, .held = d->text.len};
    memcpy(s.stage, d->decoder.stage, sizeof s.stage);
    return s;
}

static void go_back(cria_detok *d, const struct state *s) {
    d->m = s->m;
    memcpy(d->decoder.stage, s->stage, sizeof s->stage);
    d->text.len = s->held;
}

cria_status cria_detok_push(cria_detok *d, int32_t id, const char **text, size_t *len, cria_error *err) {
    drop_given(d);
    const struct state before = state_of(d);
    const cria_status st = machine_feed(&d->m, &d->decoder, id, &d->text, err);
    if (st != CRIA_OK) { /* as if it had not been called */
        go_back(d, &before);
        return st;
    }
    d->given = d->m.v->denormalizer.charsmap == NULL;
    *len = d->given ? d->text.len : 0;
    *text = *len != 0 ? (const char *)d->text.data : "";
    return CRIA_OK;
}

cria_status cria_detok_finish(cria_detok *d, const char **text, size_t *len, cria_error *err) {
    drop_given(d);
    const struct state before = state_of(d);
    cria_status st = machine_finish(&d->m, &d->decoder, &d->text, err);
    if (st == CRIA_OK && d->m.v->denormalizer.charsmap != NULL) st = denormalize(d->m.v, &d->text, err);
    if (st != CRIA_OK) {
        go_back(d, &before);
        return st;
    }
    machine_start(&d->m, d->m.v);
    d->given = true;
    *len = d->text.len;
    *text = *len != 0 ? (const char *)d->text.data : "";
    return CRIA_OK;
}
