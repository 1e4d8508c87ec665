/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public tokenizer but for decoding (detok.c): opening, encoding, the getters. Special symbols written
 * out in raw text are cut out here, before the algorithm sees what lies between: the left-most, of those the
 * longest. A stretch between two symbols is encoded as a text of its own, as the reference encoders of chat
 * models do.
 */
#include "text/tokenizer.h"
#include "base/ctx.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/container.h"
#include "text/trie.h"

#include <string.h>

/* One text is at most 1 GiB: positions are 32-bit and normalization may lengthen it. */
#define TEXT_MAX ((size_t)1 << 30)

struct cria_specials {
    cria_trie always; /* user-defined symbols of byte-level BPE (SentencePiece finds its own, see spm.h) */
    cria_trie asked;  /* those and the control symbols, for CRIA_ENCODE_SPECIAL */
};

/* ---- ids ---- */

void cria_ids_init(cria_ids *ids, cria_ctx *ctx) { *ids = (cria_ids){.ctx = ctx}; }

void cria_ids_fini(cria_ids *ids) {
    cria_free(ids->ctx, ids->data);
    cria_ids_init(ids, ids->ctx);
}

cria_status cria_ids_push(cria_ids *ids, int32_t id, cria_error *err) {
    if (ids->n == ids->cap) {
        const size_t cap = ids->cap ? ids->cap * 2 : 64;
        int32_t *data = cria_realloc(ids->ctx, ids->data, ids->cap * sizeof *data, cap * sizeof *data);
        if (!data) return cria_fail_nomem(err, "token ids", cap * sizeof *data);
        ids->data = data;
        ids->cap = cap;
    }
    ids->data[ids->n++] = id;
    return CRIA_OK;
}

/* ---- making ---- */

static cria_status make_specials(const cria_vocab *v, struct cria_specials *s, cria_error *err) {
    cria_status st = CRIA_OK;
    for (uint32_t id = 0; id < v->n && st == CRIA_OK; id++) {
        const bool control = v->type[id] == CRIA_PIECE_CONTROL;
        const bool cut = v->type[id] == CRIA_PIECE_USER_DEFINED && v->model == CRIA_VOCAB_BYTE_BPE;
        size_t len;
        const char *piece = cria_vocab_piece(v, id, &len);
        if (cut) st = cria_trie_add(&s->always, piece, len, (int32_t)id, err);
        if (st == CRIA_OK && (cut || control)) st = cria_trie_add(&s->asked, piece, len, (int32_t)id, err);
    }
    return st;
}

cria_status cria_tokenizer_make(cria_ctx *ctx, cria_vocab *vocab, cria_tokenizer **out, cria_error *err) {
    cria_tokenizer *t = cria_calloc(ctx, 1, sizeof *t);
    if (!t) {
        cria_vocab_fini(vocab);
        return cria_fail_nomem(err, "the tokenizer", sizeof *t);
    }
    t->ctx = cria_ctx_ref(ctx);
    t->vocab = *vocab;
    cria_vocab_init(vocab, ctx);
    cria_status st = CRIA_OK;
    t->specials = cria_calloc(ctx, 1, sizeof *t->specials);
    if (!t->specials) {
        st = cria_fail_nomem(err, "the tokenizer", sizeof *t->specials);
        goto out;
    }
    cria_trie_init(&t->specials->always, ctx);
    cria_trie_init(&t->specials->asked, ctx);
    if ((st = make_specials(&t->vocab, t->specials, err)) != CRIA_OK) goto out;
    st = t->vocab.model == CRIA_VOCAB_BYTE_BPE ? cria_bpe_new(&t->vocab, &t->bpe, err)
                                               : cria_spm_new(&t->vocab, &t->spm, err);
out:
    if (st == CRIA_OK)
        *out = t;
    else
        cria_tokenizer_destroy(t);
    return st;
}

void cria_tokenizer_destroy(cria_tokenizer *t) {
    if (!t) return;
    cria_ctx *ctx = t->ctx;
    if (t->specials) {
        cria_trie_fini(&t->specials->always);
        cria_trie_fini(&t->specials->asked);
    }
    cria_free(ctx, t->specials);
    cria_spm_free(ctx, t->spm);
    cria_bpe_free(ctx, t->bpe);
    cria_vocab_fini(&t->vocab);
    cria_free(ctx, t);
    cria_ctx_unref(ctx);
}

static cria_status load_spm_file(cria_ctx *ctx, const char *path, const cria_mapfile *map, cria_vocab *out,
                                 cria_error *err) {
    return cria_vocab_load_spm(ctx, map->data, map->len, path, out, err);
}

static cria_status load_gguf_file(cria_ctx *ctx, const char *path, cria_vocab *out, cria_error *err) {
    cria_container *file;
    cria_status st = cria_container_open(ctx, path, &file, err);
    if (st != CRIA_OK) return st;
    st = cria_vocab_load_gguf(ctx, file, out, err);
    cria_container_close(file);
    return st;
}

static cria_status load_file(cria_ctx *ctx, const char *path, cria_vocab *out, cria_error *err) {
    cria_mapfile map;
    cria_status st = cria_mapfile_open(path, &map, err);
    if (st != CRIA_OK) return st;
    if (map.len >= 4 && memcmp(map.data, "GGUF", 4) == 0)
        st = load_gguf_file(ctx, path, out, err);
    else
        st = load_spm_file(ctx, path, &map, out, err);
    cria_mapfile_close(&map);
    return st;
}

cria_status cria_tokenizer_open(cria_ctx *ctx, const char *path, cria_tokenizer **out, cria_error *err) {
    if (!ctx || !path || !out)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_tokenizer_open needs a context, a path and an out.");
    char *joined = NULL;
    if (cria_path_kind(path) == CRIA_PATH_FOLDER) {
        joined = cria_path_join(ctx, path, "tokenizer.model");
        if (!joined) return cria_fail_nomem(err, "a path", strlen(path));
        if (cria_path_kind(joined) == CRIA_PATH_MISSING) {
            cria_free(ctx, joined);
            return cria_fail(
                err, CRIA_EIO, CRIA_NOWHERE,
                "The folder %s has no tokenizer.model; copy the model's there, or name a .gguf file.", path);
        }
    }
    cria_vocab vocab;
    cria_status st = load_file(ctx, joined ? joined : path, &vocab, err);
    if (st == CRIA_OK) {
        st = cria_tokenizer_make(ctx, &vocab, out, err);
        if (st != CRIA_OK) cria_fail_in(err, st, joined ? joined : path);
    }
    cria_free(ctx, joined);
    return st;
}

void cria_tokenizer_free(cria_tokenizer *tokenizer) { cria_tokenizer_destroy(tokenizer); }

/* ---- getters ---- */

uint32_t cria_tokenizer_vocab_size(const cria_tokenizer *tokenizer) { return tokenizer->vocab.n; }
int32_t cria_tokenizer_bos(const cria_tokenizer *tokenizer) { return tokenizer->vocab.bos; }
bool cria_tokenizer_add_bos(const cria_tokenizer *tokenizer) { return tokenizer->vocab.add_bos; }
int32_t cria_tokenizer_eos(const cria_tokenizer *tokenizer) { return tokenizer->vocab.eos; }

bool cria_tokenizer_is_eog(const cria_tokenizer *tokenizer, int32_t id) {
    const cria_vocab *v = &tokenizer->vocab;
    return id >= 0 && (id == v->eos || id == v->eot || id == v->eom);
}

const char *cria_tokenizer_piece(const cria_tokenizer *tokenizer, int32_t id, size_t *len) {
    if (id < 0 || (uint32_t)id >= tokenizer->vocab.n) return NULL;
    size_t n;
    const char *piece = cria_vocab_piece(&tokenizer->vocab, (uint32_t)id, &n);
    if (len) *len = n;
    return piece;
}

/* ---- encoding ---- */

static cria_status encode_part(const cria_tokenizer *t, const uint8_t *text, size_t len, cria_ids *ids,
                               cria_error *err) {
    if (len == 0) return CRIA_OK;
    return t->bpe ? cria_bpe_encode(t->bpe, &t->vocab, text, len, ids, err)
                  : cria_spm_encode(t->spm, &t->vocab, text, len, ids, err);
}

static cria_status encode_all(const cria_tokenizer *t, const uint8_t *text, size_t len, unsigned flags,
                              cria_ids *ids, cria_error *err) {
    const cria_trie *symbols = flags & CRIA_ENCODE_SPECIAL ? &t->specials->asked : &t->specials->always;
    cria_status st = CRIA_OK;
    if (flags & CRIA_ENCODE_BOS && t->vocab.bos >= 0) st = cria_ids_push(ids, t->vocab.bos, err);
    if (st != CRIA_OK || cria_trie_empty(symbols))
        return st != CRIA_OK ? st : encode_part(t, text, len, ids, err);
    size_t from = 0;
    for (size_t i = 0; i < len;) {
        int32_t id;
        const size_t took =
            symbols->root[text[i]] ? cria_trie_longest(symbols, text + i, len - i, UINT32_MAX, &id) : 0;
        if (took == 0) {
            i++;
            continue;
        }
        if ((st = encode_part(t, text + from, i - from, ids, err)) != CRIA_OK) return st;
        if ((st = cria_ids_push(ids, id, err)) != CRIA_OK) return st;
        from = i += took;
    }
    return encode_part(t, text + from, len - from, ids, err);
}

cria_status cria_encode(const cria_tokenizer *tokenizer, const char *text, size_t len, unsigned flags,
                        int32_t **out, size_t *n, cria_error *err) {
    if (!tokenizer || (!text && len > 0) || !out || !n)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_encode needs a tokenizer, a text, an out and an n.");
    if (flags & ~(unsigned)(CRIA_ENCODE_BOS | CRIA_ENCODE_SPECIAL))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_encode does not know the flags 0x%x.", flags);
    if (len > TEXT_MAX)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "A text of %zu bytes is too long; encode %zu at most at a time.", len, TEXT_MAX);
    cria_ids ids;
    cria_ids_init(&ids, tokenizer->ctx);
    cria_status st = encode_all(tokenizer, (const uint8_t *)text, len, flags, &ids, err);
    if (st == CRIA_OK && !ids.data && !(ids.data = cria_malloc(ids.ctx, sizeof *ids.data)))
        st = cria_fail_nomem(err, "token ids",
                             sizeof *ids.data); /* an empty list is still the caller's to free */
    if (st != CRIA_OK) {
        cria_ids_fini(&ids);
        return st;
    }
    *out = ids.data;
    *n = ids.n;
    return CRIA_OK;
}

void cria_ids_free(const cria_tokenizer *tokenizer, int32_t *ids) { cria_free(tokenizer->ctx, ids); }
