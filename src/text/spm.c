/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SentencePiece encoding: normalize, segment by BPE (spm_bpe.c) or unigram (spm_unigram.c), then what
 * SentencePieceProcessor::EncodeOptimized does with unknown pieces: bytes where the model has byte fallback,
 * otherwise one unknown id for a run of them.
 */
#include "text/spm.h"
#include "base/mem.h"
#include "base/status.h"
#include "text/spm_segment.h"
#include "text/tokenizer.h"

#include <float.h>
#include <string.h>

/* Bytes of one normalized text: positions are 32-bit. */
#define NORMALIZED_MAX ((size_t)INT32_MAX - 64)

static bool mergeable(uint8_t type) {
    return type == CRIA_PIECE_NORMAL || type == CRIA_PIECE_USER_DEFINED || type == CRIA_PIECE_UNUSED;
}

/* A space symbol after anything but a space symbol. */
static bool has_inner_space(const char *s, size_t n) {
    bool other = false;
    for (size_t i = 0; i < n;) {
        const bool space = n - i >= 3 && memcmp(s + i, "\xE2\x96\x81", 3) == 0;
        if (space && other) return true;
        other = !space;
        i += space ? 3 : 1;
    }
    return false;
}

static cria_status prepare_bpe(struct cria_spm *s, const cria_vocab *v, cria_error *err) {
    s->by_word = true;
    for (uint32_t id = 0; id < v->n; id++) {
        size_t len;
        const char *piece = cria_vocab_piece(v, id, &len);
        if (!mergeable(v->type[id]) || len == 0) continue; /* a GGUF may have empty ones */
        if (len > s->longest) s->longest = len;
        if (has_inner_space(piece, len)) s->by_word = false;
        if (v->type[id] == CRIA_PIECE_UNUSED) s->n_unused++;
    }
    if (s->n_unused == 0) return CRIA_OK;
    /* How an unused piece is split again depends on the merges of the whole text: the last one counts. */
    s->by_word = false;
    s->unused_rank = cria_malloc_array(v->ctx, v->n, sizeof *s->unused_rank);
    if (!s->unused_rank) return cria_fail_nomem(err, "the unused pieces", v->n * sizeof *s->unused_rank);
    for (uint32_t id = 0, rank = 0; id < v->n; id++)
        s->unused_rank[id] = v->type[id] == CRIA_PIECE_UNUSED ? rank++ : UINT32_MAX;
    return CRIA_OK;
}

static cria_status prepare_unigram(struct cria_spm *s, const cria_vocab *v, cria_error *err) {
    float lowest = FLT_MAX;
    for (uint32_t id = 0; id < v->n; id++) {
        size_t len;
        const char *piece = cria_vocab_piece(v, id, &len);
        if (v->type[id] == CRIA_PIECE_NORMAL && v->score[id] < lowest) lowest = v->score[id];
        if (!mergeable(v->type[id]) || (len == 1 && piece[0] == '\0')) continue;
        const cria_status st = cria_trie_add(&s->unigram.pieces, piece, len, (int32_t)id, err);
        if (st != CRIA_OK) return st;
    }
    s->unigram.unk_score = lowest - 10.0f;
    return CRIA_OK;
}

static cria_status prepare(struct cria_spm *s, const cria_vocab *v, cria_error *err) {
    cria_status st = CRIA_OK;
    for (uint32_t id = 0; id < v->n && st == CRIA_OK; id++) {
        size_t len;
        const char *piece = cria_vocab_piece(v, id, &len);
        if (v->type[id] == CRIA_PIECE_USER_DEFINED)
            st = cria_trie_add(&s->symbols, piece, len, (int32_t)id, err);
    }
    if (st == CRIA_OK)
        st = cria_normalizer_init(&s->normalizer, &v->normalizer, &s->symbols, "normalizer", err);
    cria_normalizer back; /* made again where text is decoded; here so that a damaged file is refused at once */
    if (st == CRIA_OK) st = cria_normalizer_init(&back, &v->denormalizer, NULL, "denormalizer", err);
    if (st != CRIA_OK) return st;
    return v->model == CRIA_VOCAB_SPM_BPE ? prepare_bpe(s, v, err) : prepare_unigram(s, v, err);
}

cria_status cria_spm_new(const cria_vocab *v, struct cria_spm **out, cria_error *err) {
    struct cria_spm *s = cria_calloc(v->ctx, 1, sizeof *s);
    if (!s) return cria_fail_nomem(err, "the tokenizer", sizeof *s);
    cria_trie_init(&s->symbols, v->ctx);
    cria_trie_init(&s->unigram.pieces, v->ctx);
    const cria_status st = prepare(s, v, err);
    if (st == CRIA_OK)
        *out = s;
    else
        cria_spm_free(v->ctx, s);
    return st;
}

void cria_spm_free(cria_ctx *ctx, struct cria_spm *s) {
    if (!s) return;
    cria_trie_fini(&s->symbols);
    cria_trie_fini(&s->unigram.pieces);
    cria_free(ctx, s->unused_rank);
    cria_free(ctx, s);
}

cria_status cria_spm_emit(struct cria_spm_out *o, int32_t id, const uint8_t *text, size_t len,
                          cria_error *err) {
    const cria_vocab *v = o->v;
    const bool unknown = cria_spm_unknown(v, id);
    cria_status st = CRIA_OK;
    if (unknown && v->byte_fallback) {
        for (size_t i = 0; i < len && st == CRIA_OK; i++)
            st = cria_ids_push(o->ids, v->byte_id[text[i]], err);
    } else if (!unknown || !o->after_unknown) {
        st = cria_ids_push(o->ids, id, err);
    }
    o->after_unknown = unknown;
    return st;
}

cria_status cria_spm_encode(const struct cria_spm *s, const cria_vocab *v, const uint8_t *text, size_t len,
                            cria_ids *out, cria_error *err) {
    cria_buf buf;
    cria_buf_init(&buf, v->ctx, NORMALIZED_MAX);
    cria_status st = cria_normalize(&s->normalizer, text, len, &buf, err);
    struct cria_spm_out o = {.v = v, .ids = out};
    if (st == CRIA_OK && buf.len > 0)
        st = v->model == CRIA_VOCAB_SPM_BPE ? cria_spm_segment_bpe(s, buf.data, buf.len, &o, err)
                                            : cria_spm_segment_unigram(s, buf.data, buf.len, &o, err);
    cria_buf_fini(&buf);
    return st;
}
