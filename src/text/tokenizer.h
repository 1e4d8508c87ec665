/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokenizer behind the public cria_encode / cria_decode / cria_detok: a vocabulary plus what its
 * algorithm keeps ready. Immutable once made; every call's working memory is its own, so any thread may use
 * it.
 *
 * encode (tokenizer.c) cuts symbols written out, where asked, out of the raw text and hands what lies between
 * to spm.c   SentencePiece: normalize.c, which keeps user-defined symbols whole → spm_bpe.c (merges by score)
 * or spm_unigram.c or, for tokenizer.json and byte-level GGUF, to the pipeline (pipeline.h): normalized,
 * symbols cut out again, split into words for bpe.c      merges by rank unigram.c  Viterbi All are O(n log n)
 * or better in the text, also in a run of one character. decode and the streaming detok share one state
 * machine (detok.c).
 *
 * The oracles: PyPI sentencepiece for SentencePiece models, PyPI tokenizers for the rest; equal on any bytes.
 * Where the library takes text as str only (tokenizers), invalid UTF-8 is first replaced as Python's
 * errors="replace" does.
 */
#ifndef CRIA_TEXT_TOKENIZER_H
#define CRIA_TEXT_TOKENIZER_H

#include "base/buf.h"
#include "text/vocab.h"

/* Growing array of ids; data is from cria_malloc. */
typedef struct cria_ids {
    cria_ctx *ctx;
    int32_t *data;
    size_t n, cap;
} cria_ids;
void cria_ids_init(cria_ids *ids, cria_ctx *ctx);
void cria_ids_fini(cria_ids *ids);
cria_status cria_ids_push(cria_ids *ids, int32_t id, cria_error *err);

struct cria_spm;     /* spm.h: trie of pieces and score tables */
struct cria_bpe;     /* bpe.c: merge hash, byte↔character tables */
struct cria_unigram; /* unigram.h: trie of pieces */

struct cria_tokenizer { /* the public opaque type */
    cria_ctx *ctx;      /* referenced */
    cria_vocab vocab;
    struct cria_spm *spm; /* one of the three, by vocab.model */
    struct cria_bpe *bpe;
    struct cria_unigram *unigram;
    /* symbols cut out of text; private to tokenizer.c */
    struct cria_specials *specials;
};

/* Takes *vocab (zeroes it) on success and on failure. The message of a failure names no file (cria_fail_in
 * does). */
cria_status cria_tokenizer_make(cria_ctx *ctx, cria_vocab *vocab, cria_tokenizer **out, cria_error *err);
void cria_tokenizer_destroy(cria_tokenizer *t); /* NULL is legal */

/* ---- spm.c ---- */
cria_status cria_spm_new(const cria_vocab *v, struct cria_spm **out, cria_error *err);
void cria_spm_free(cria_ctx *ctx, struct cria_spm *s);
/* Encodes one piece of raw text (normalization included), as SentencePieceProcessor::Encode. */
cria_status cria_spm_encode(const struct cria_spm *s, const cria_vocab *v, const uint8_t *text, size_t len,
                            cria_ids *out, cria_error *err);

/* ---- bpe.c ---- */
cria_status cria_bpe_new(const cria_vocab *v, struct cria_bpe **out, cria_error *err);
void cria_bpe_free(cria_ctx *ctx, struct cria_bpe *b);
/* Working memory for the words of one text of text_len bytes; b and v must outlive it. Words append their ids
 * to one and the same out. */
struct cria_bpe_work;
cria_status cria_bpe_begin(const struct cria_bpe *b, const cria_vocab *v, size_t text_len,
                           struct cria_bpe_work **out, cria_error *err);
cria_status cria_bpe_word(struct cria_bpe_work *w, const uint8_t *word, size_t len, cria_ids *out,
                          cria_error *err);
void cria_bpe_finish(struct cria_bpe_work *w);

/* ---- unigram.c ---- */
cria_status cria_unigram_new(const cria_vocab *v, struct cria_unigram **out, cria_error *err);
void cria_unigram_free(cria_ctx *ctx, struct cria_unigram *u);
cria_status cria_unigram_word(const struct cria_unigram *u, const cria_vocab *v, const uint8_t *word,
                              size_t len, cria_ids *out, cria_error *err);

/* ---- detok.c: implements cria_detok_* and cria_decode of the public header ---- */

#endif
