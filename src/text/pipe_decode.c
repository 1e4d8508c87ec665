/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces → text as they come. The library runs each decoder over the list of all pieces; here a piece, or as
 * much of it as is known, goes through all steps at once, and a step keeps what it cannot decide yet:
 *
 *   BYTES       a row of byte pieces, until it ends: one byte that is not UTF-8 makes all of them U+FFFD
 *   REPLACE     a piece that is not complete
 *   STRIP       the characters at the end that may have to go
 *   BYTE_LEVEL  a character that is not complete
 *
 * so that what is given out never has to be taken back. A piece is passed on in parts; its last one says so.
 */
#include "base/status.h"
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/pipeline.h"

#include <stdint.h>
#include <string.h>

#define MADE_MAX ((size_t)256 << 20) /* bytes that a piece, or all of them joined, may become by replacing   \
                                      */

static cria_status feed(struct cria_decoder *d, unsigned k, const uint8_t *text, size_t len, bool last,
                        cria_buf *out, cria_error *err);

/* ---- pieces that must be seen whole ---- */

/* What of the piece has been held back, and this: *text and *len become the whole once it is there. False
 * while it is not, or when *st is an error. */
static bool whole(struct cria_decoder *d, unsigned k, const uint8_t **text, size_t *len, bool last,
                  cria_status *st, cria_error *err) {
    struct cria_stage *s = &d->stage[k];
    if (last && s->held == 0) return true;
    d->buf[k].len = s->held;
    *st = cria_buf_append(&d->buf[k], *text, *len, err);
    if (*st != CRIA_OK) return false;
    s->held = d->buf[k].len;
    if (!last) return false;
    *text = d->buf[k].data;
    *len = s->held;
    s->held = 0;
    return true;
}

static cria_status replace(struct cria_decoder *d, unsigned k, const uint8_t *text, size_t len, bool last,
                           cria_buf *out, cria_error *err) {
    const struct cria_step *step = &d->p->decode.step[k];
    cria_status st = CRIA_OK;
    if (!whole(d, k, &text, &len, last, &st, err)) return st;
    cria_buf *made = &d->made[k];
    bool first = true, changed;
    made->len = 0;
    st = cria_step_rewrite(step, text, len, &first, made, &changed, err);
    if (st != CRIA_OK) return st;
    return changed ? feed(d, k + 1, made->data, made->len, true, out, err)
                   : feed(d, k + 1, text, len, true, out, err);
}

/* <0xNN> as the library reads it (Rust's from_str_radix takes a '+'); −1 for anything else. */
static int byte_piece(const uint8_t *s, size_t n) {
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    int value = 0;
    for (int i = s[3] == '+' ? 4 : 3; i < 5; i++) {
        const int c = s[i], low = c | 0x20;
        const int digit = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static cria_status end_row(struct cria_decoder *d, unsigned k, cria_buf *out, cria_error *err) {
    const size_t n = d->stage[k].held;
    const uint8_t *row = d->buf[k].data;
    d->stage[k].held = 0;
    if (n == 0) return CRIA_OK;
    if (cria_utf8_valid(row, n)) return feed(d, k + 1, row, n, true, out, err);
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < n && st == CRIA_OK; i++)
        st = feed(d, k + 1, (const uint8_t *)"\xef\xbf\xbd", 3, true, out, err);
    return st;
}

/* The buffer holds the row. A piece comes in parts only behind a step that joins, and vocab_hf.c lets no
 * BYTES follow one. */
static cria_status bytes(struct cria_decoder *d, unsigned k, const uint8_t *text, size_t len, bool last,
                         cria_buf *out, cria_error *err) {
    struct cria_stage *s = &d->stage[k];
    const int byte = byte_piece(text, len);
    if (byte >= 0) {
        d->buf[k].len = s->held;
        const cria_status st = cria_buf_push(&d->buf[k], (uint8_t)byte, err);
        if (st == CRIA_OK) s->held++;
        return st;
    }
    const cria_status st = end_row(d, k, out, err);
    return st == CRIA_OK ? feed(d, k + 1, text, len, last, out, err) : st;
}

/* ---- byte-level ---- */

static bool in_alphabet(const uint8_t *piece, size_t len) {
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        const size_t n = cria_utf8_decode(piece + i, len - i, &cp);
        if (n == 0 || cria_char_to_byte(cp) < 0) return false;
        i += n;
    }
    return true;
}

/* Gives out what the tail makes certain; all: nothing follows. One U+FFFD for each maximal ill-formed part.
 */
static cria_status drain_tail(struct cria_decoder *d, unsigned k, bool all, cria_buf *out, cria_error *err) {
    struct cria_stage *s = &d->stage[k];
    cria_status st = CRIA_OK;
    while (s->n_tail > 0 && st == CRIA_OK) {
        uint32_t cp;
        size_t n = cria_utf8_decode(s->tail, s->n_tail, &cp);
        if (n == 0 && !all && cria_utf8_partial_tail(s->tail, s->n_tail) == s->n_tail) break;
        if (n != 0) {
            st = feed(d, k + 1, s->tail, n, false, out, err);
        } else {
            n = cria_utf8_bad_length(s->tail, s->n_tail);
            st = feed(d, k + 1, (const uint8_t *)"\xef\xbf\xbd", 3, false, out, err);
        }
        s->n_tail = (uint8_t)(s->n_tail - n);
        memmove(s->tail, s->tail + n, s->n_tail);
    }
    return st;
}

static cria_status byte_level(struct cria_decoder *d, unsigned k, const uint8_t *text, size_t len, bool last,
                              cria_buf *out, cria_error *err) {
    struct cria_stage *s = &d->stage[k];
    cria_status st = CRIA_OK;
    if (!whole(d, k, &text, &len, last, &st, err)) return st;
    const bool mapped = in_alphabet(text, len);
    for (size_t i = 0; i < len && st == CRIA_OK;) {
        uint32_t cp = text[i];
        size_t n = 1;
        if (mapped && cp >= 0x80) n = cria_utf8_decode(text + i, len - i, &cp);
        s->tail[s->n_tail++] = mapped ? (uint8_t)cria_char_to_byte(cp) : text[i];
        st = drain_tail(d, k, false, out, err);
        i += n;
    }
    return st;
}

/* ---- characters of pieces ---- */

static cria_status give_kept(struct cria_decoder *d, unsigned k, cria_buf *out, cria_error *err) {
    const struct cria_step *step = &d->p->decode.step[k];
    cria_status st = CRIA_OK;
    for (; d->stage[k].kept > 0 && st == CRIA_OK; d->stage[k].kept--)
        st = feed(d, k + 1, (const uint8_t *)step->text, step->len, false, out, err);
    return st;
}

static cria_status strip(struct cria_decoder *d, unsigned k, const uint8_t *text, size_t len, bool last,
                         cria_buf *out, cria_error *err) {
    const struct cria_step *step = &d->p->decode.step[k];
    struct cria_stage *s = &d->stage[k];
    cria_status st = CRIA_OK;
    if (!s->inside) s->left = step->start;
    s->inside = !last;
    size_t plain = 0; /* what stands before i and is to be passed on */
    for (size_t i = 0; i < len && st == CRIA_OK;) {
        const bool it = len - i >= step->len && memcmp(text + i, step->text, step->len) == 0;
        if (it && s->left > 0) {
            s->left--;
            i += step->len;
            plain = i;
            continue;
        }
        s->left = 0;
        if (!it) {
            st = give_kept(d, k, out, err);
            i++;
            continue;
        }
        if (i > plain) st = feed(d, k + 1, text + plain, i - plain, false, out, err);
        if (s->kept < step->stop)
            s->kept++;
        else if (st == CRIA_OK)
            st = feed(d, k + 1, text + i, step->len, false, out, err);
        i += step->len;
        plain = i;
    }
    if (last) s->kept = 0;
    return st == CRIA_OK ? feed(d, k + 1, text + plain, len - plain, last, out, err) : st;
}

static cria_status spaces(struct cria_decoder *d, unsigned k, const uint8_t *text, size_t len, bool last,
                          cria_buf *out, cria_error *err) {
    const struct cria_step *step = &d->p->decode.step[k];
    struct cria_stage *s = &d->stage[k];
    const bool drop = step->drop && s->left == 0;
    cria_status st = CRIA_OK;
    size_t plain = 0;
    for (size_t i = 0; i < len && st == CRIA_OK;) {
        if (len - i < step->len || memcmp(text + i, step->text, step->len) != 0) {
            i++;
            continue;
        }
        if (i > plain) st = feed(d, k + 1, text + plain, i - plain, false, out, err);
        if (st == CRIA_OK && !drop) st = feed(d, k + 1, (const uint8_t *)" ", 1, false, out, err);
        i += step->len;
        plain = i;
    }
    if (last) s->left = 1;
    return st == CRIA_OK ? feed(d, k + 1, text + plain, len - plain, last, out, err) : st;
}

static cria_status spaced(struct cria_decoder *d, unsigned k, const uint8_t *text, size_t len, bool last,
                          cria_buf *out, cria_error *err) {
    struct cria_stage *s = &d->stage[k];
    cria_status st = CRIA_OK;
    if (!s->inside && s->left) st = feed(d, k + 1, (const uint8_t *)" ", 1, false, out, err);
    s->inside = !last;
    s->left = 1;
    return st == CRIA_OK ? feed(d, k + 1, text, len, false, out, err) : st;
}

/* ---- all ---- */

static cria_status feed(struct cria_decoder *d, unsigned k, const uint8_t *text, size_t len, bool last,
                        cria_buf *out, cria_error *err) {
    if (k == d->p->decode.n) return cria_buf_append(out, text, len, err);
    switch (d->p->decode.step[k].kind) {
    case CRIA_STEP_REPLACE:
        return replace(d, k, text, len, last, out, err);
    case CRIA_STEP_BYTES:
        return bytes(d, k, text, len, last, out, err);
    case CRIA_STEP_JOIN:
        return feed(d, k + 1, text, len, false, out, err);
    case CRIA_STEP_STRIP:
        return strip(d, k, text, len, last, out, err);
    case CRIA_STEP_SPACES:
        return spaces(d, k, text, len, last, out, err);
    case CRIA_STEP_BYTE_LEVEL:
        return byte_level(d, k, text, len, last, out, err);
    case CRIA_STEP_SPACED:
        return spaced(d, k, text, len, last, out, err);
    default:
        return CRIA_OK; /* no other is one of decoding */
    }
}

void cria_decoder_init(struct cria_decoder *d, const cria_pipeline *p) {
    memset(d, 0, sizeof *d);
    d->p = p;
    d->n = p->decode.n;
    for (unsigned i = 0; i < p->decode.n; i++) {
        cria_buf_init(&d->buf[i], p->ctx, PTRDIFF_MAX);
        cria_buf_init(&d->made[i], p->ctx, MADE_MAX);
    }
}

void cria_decoder_fini(struct cria_decoder *d) {
    for (unsigned i = 0; i < d->n; i++) {
        cria_buf_fini(&d->buf[i]);
        cria_buf_fini(&d->made[i]);
    }
}

cria_status cria_decoder_feed(struct cria_decoder *d, const char *piece, size_t len, cria_buf *out,
                              cria_error *err) {
    return feed(d, 0, (const uint8_t *)piece, len, true, out, err);
}

cria_status cria_decoder_finish(struct cria_decoder *d, cria_buf *out, cria_error *err) {
    cria_status st = CRIA_OK;
    for (unsigned k = 0; k < d->p->decode.n && st == CRIA_OK; k++) {
        switch (d->p->decode.step[k].kind) {
        case CRIA_STEP_BYTES:
            st = end_row(d, k, out, err);
            break;
        case CRIA_STEP_BYTE_LEVEL:
            st = drain_tail(d, k, true, out, err);
            if (st == CRIA_OK) st = feed(d, k + 1, (const uint8_t *)"", 0, true, out, err);
            break;
        case CRIA_STEP_JOIN:
        case CRIA_STEP_SPACED:
            st = feed(d, k + 1, (const uint8_t *)"", 0, true, out, err);
            break;
        default:
            break;
        }
    }
    if (st == CRIA_OK) memset(d->stage, 0, sizeof d->stage);
    return st;
}
