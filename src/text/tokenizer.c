/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public tokenizer but for decoding (detok.c): opening, encoding, the getters. Symbols written out in
 * text are cut out here, before the algorithm sees what lies between: the left-most, of those the longest. A
 * stretch between two symbols is encoded as a text of its own, as the reference encoders of chat models do.
 */
#include "text/tokenizer.h"
#include "base/ctx.h"
#include "base/mapfile.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "format/container.h"
#include "text/trie.h"
#include "text/unicode.h"

#include <string.h>

/* One text is at most 1 GiB: positions are 32-bit and normalization may lengthen it. */
#define TEXT_MAX ((size_t)1 << 30)

/* Symbols by where they are looked for. A value of a trie is an index into vocab.added. SentencePiece finds
 * its user-defined ones itself (spm.h): only its control symbols are here. */
struct cria_specials {
    struct symbols {
        cria_trie trie;
        bool plain; /* some are no control symbols: looked for also where those are not asked for */
    } raw, normal;
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

/* Where the file does not say how symbols are found (GGUF, SentencePiece), its types do. */
static cria_status list_added(cria_vocab *v, cria_error *err) {
    const bool pipeline = cria_vocab_has_pipeline(v->model);
    uint32_t n = 0;
    for (uint32_t id = 0; id < v->n; id++)
        n += v->type[id] == CRIA_PIECE_CONTROL || (pipeline && v->type[id] == CRIA_PIECE_USER_DEFINED);
    static const char *const keep[] = {"<unk>", "<s>", "<|endoftext|>"}; /* of Phi-3 */
    v->added = cria_calloc(v->ctx, n, sizeof *v->added);
    if (!v->added) return cria_fail_nomem(err, "the tokenizer's symbols", n * sizeof *v->added);
    for (uint32_t id = 0; id < v->n; id++) {
        const bool special = v->type[id] == CRIA_PIECE_CONTROL;
        if (!special && !(pipeline && v->type[id] == CRIA_PIECE_USER_DEFINED)) continue;
        bool strip = v->strip_right;
        for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
            strip = strip && strcmp(v->text + v->offset[id], keep[i]) != 0;
        v->added[v->n_added++] = (struct cria_added){.id = (int32_t)id, .special = special, .right = strip};
    }
    return CRIA_OK;
}

static cria_status make_specials(cria_vocab *v, struct cria_specials *s, cria_error *err) {
    cria_status st = v->hash_is_model ? CRIA_OK : list_added(v, err);
    for (uint32_t i = 0; i < v->n_added && st == CRIA_OK; i++) {
        const struct cria_added *a = &v->added[i];
        struct symbols *to = a->normalized ? &s->normal : &s->raw;
        size_t len = a->form_len;
        const char *text = a->form ? a->form : cria_vocab_piece(v, (uint32_t)a->id, &len);
        st = cria_trie_add(&to->trie, text, len, (int32_t)i, err);
        to->plain = to->plain || !a->special;
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
    cria_trie_init(&t->specials->raw.trie, ctx);
    cria_trie_init(&t->specials->normal.trie, ctx);
    if ((st = make_specials(&t->vocab, t->specials, err)) != CRIA_OK) goto out;
    switch (t->vocab.model) {
    case CRIA_VOCAB_BPE:
        st = cria_bpe_new(&t->vocab, &t->bpe, err);
        break;
    case CRIA_VOCAB_UNIGRAM:
        st = cria_unigram_new(&t->vocab, &t->unigram, err);
        break;
    default:
        st = cria_spm_new(&t->vocab, &t->spm, err);
    }
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
        cria_trie_fini(&t->specials->raw.trie);
        cria_trie_fini(&t->specials->normal.trie);
    }
    cria_free(ctx, t->specials);
    cria_spm_free(ctx, t->spm);
    cria_bpe_free(ctx, t->bpe);
    cria_unigram_free(ctx, t->unigram);
    cria_vocab_fini(&t->vocab);
    cria_free(ctx, t);
    cria_ctx_unref(ctx);
}

static cria_status load_gguf_file(cria_ctx *ctx, const char *path, cria_vocab *out, cria_error *err) {
    cria_container *file;
    cria_status st = cria_container_open(ctx, path, &file, err);
    if (st != CRIA_OK) return st;
    st = cria_vocab_load_gguf(ctx, file, out, err);
    cria_container_close(file);
    return st;
}

static cria_status load_json(cria_ctx *ctx, const char *path, const cria_mapfile *map, cria_vocab *out,
                             cria_error *err) {
    char *folder = cria_path_folder(ctx, path);
    if (!folder) return cria_fail_nomem(err, "a path", strlen(path));
    const cria_status st = cria_vocab_load_hf(ctx, map->data, map->len, path, folder, out, err);
    cria_free(ctx, folder);
    return st;
}

/* A tokenizer.model begins with the tag of its first piece, which is a line feed, and its length: white space
 * for JSON too where it has ten bytes, but then a tag again, not a brace. */
static bool is_json(const cria_mapfile *map) {
    size_t i = 0;
    while (i < map->len && (map->data[i] == ' ' || (map->data[i] >= '\t' && map->data[i] <= '\r'))) i++;
    return i < map->len && map->data[i] == '{';
}

/* What a file is, it says itself; its name does not matter. */
static cria_status load_file(cria_ctx *ctx, const char *path, cria_vocab *out, cria_error *err) {
    cria_mapfile map;
    cria_status st = cria_mapfile_open(path, &map, err);
    if (st != CRIA_OK) return st;
    if (map.len >= 4 && memcmp(map.data, "GGUF", 4) == 0)
        st = load_gguf_file(ctx, path, out, err);
    else if (is_json(&map))
        st = load_json(ctx, path, &map, out, err);
    else
        st = cria_vocab_load_spm(ctx, map.data, map.len, path, out, err);
    cria_mapfile_close(&map);
    return st;
}

/* The tokenizer of a folder: tokenizer.json before tokenizer.model. Where a folder has both, the first one is
 * made from the second, with the symbols that were added since, and it is what transformers and mlx-lm use.
 */
static cria_status find_in_folder(cria_ctx *ctx, const char *folder, char **out, cria_error *err) {
    static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = cria_path_join(ctx, folder, names[i]);
        if (!path) return cria_fail_nomem(err, "a path", strlen(folder));
        if (cria_path_kind(path) != CRIA_PATH_MISSING) {
            *out = path;
            return CRIA_OK;
        }
        cria_free(ctx, path);
    }
    return cria_fail(
        err, CRIA_EIO, CRIA_NOWHERE,
        "The folder %s has neither tokenizer.json nor tokenizer.model; copy the model's there, or name a "
        ".gguf file.",
        folder);
}

cria_status cria_tokenizer_open(cria_ctx *ctx, const char *path, cria_tokenizer **out, cria_error *err) {
    if (!ctx || !path || !out)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_tokenizer_open needs a context, a path and an out.");
    char *found = NULL;
    cria_status st = CRIA_OK;
    if (cria_path_kind(path) == CRIA_PATH_FOLDER && (st = find_in_folder(ctx, path, &found, err)) != CRIA_OK)
        return st;
    cria_vocab vocab;
    st = load_file(ctx, found ? found : path, &vocab, err);
    if (st == CRIA_OK) {
        st = cria_tokenizer_make(ctx, &vocab, out, err);
        if (st != CRIA_OK) cria_fail_in(err, st, found ? found : path);
    }
    cria_free(ctx, found);
    return st;
}

void cria_tokenizer_free(cria_tokenizer *tokenizer) { cria_tokenizer_destroy(tokenizer); }

/* ---- getters ---- */

const char *cria_tokenizer_kind(const cria_tokenizer *tokenizer) {
    switch (tokenizer->vocab.model) {
    case CRIA_VOCAB_SPM_UNIGRAM:
        return "SentencePiece unigram";
    case CRIA_VOCAB_SPM_BPE:
        return "SentencePiece BPE";
    case CRIA_VOCAB_UNIGRAM:
        return "unigram";
    case CRIA_VOCAB_BPE:
        break;
    }
    return "BPE";
}

uint32_t cria_tokenizer_vocab_size(const cria_tokenizer *tokenizer) { return tokenizer->vocab.n; }
int32_t cria_tokenizer_bos(const cria_tokenizer *tokenizer) { return tokenizer->vocab.bos; }
bool cria_tokenizer_add_bos(const cria_tokenizer *tokenizer) { return tokenizer->vocab.add_bos; }
int32_t cria_tokenizer_eos(const cria_tokenizer *tokenizer) { return tokenizer->vocab.eos; }

bool cria_tokenizer_is_eog(const cria_tokenizer *tokenizer, int32_t id) {
    const cria_vocab *v = &tokenizer->vocab;
    if (id < 0) return false;
    for (unsigned i = 0; i < v->n_ends; i++)
        if (v->ends[i] == id) return true;
    return id == v->eos || id == v->eot || id == v->eom;
}

const char *cria_tokenizer_piece(const cria_tokenizer *tokenizer, int32_t id, size_t *len) {
    if (id < 0 || (uint32_t)id >= tokenizer->vocab.n) return NULL;
    size_t n;
    const char *piece = cria_vocab_piece(&tokenizer->vocab, (uint32_t)id, &n);
    if (len) *len = n;
    return piece;
}

/* ---- encoding ---- */

/* One call's. */
struct encoder {
    const cria_tokenizer *t;
    cria_ids *ids;
    bool asked; /* for control symbols */
    struct cria_normalize_work normalize;
    struct cria_splitter splitter;
    struct cria_bpe_work *bpe;
};

/* What lies between symbols. first: it stands at the very start of the text. */
typedef cria_status part_fn(struct encoder *e, const uint8_t *text, size_t len, bool first, cria_error *err);

static bool has_prop(const uint8_t *s, size_t len, uint32_t flag) {
    uint32_t cp = 0;
    return cria_utf8_decode(s, len, &cp) > 0 && (cria_char_props(cp) & flag) != 0;
}

/* Where the character before at begins. */
static size_t before(const uint8_t *text, size_t at) {
    at--;
    while (at > 0 && (text[at] & 0xc0) == 0x80) at--;
    return at;
}

static bool inside_word(const uint8_t *text, size_t len, size_t start, size_t end) {
    const size_t at = start > 0 ? before(text, start) : 0;
    return (start > 0 && has_prop(text + at, start - at, CRIA_CHAR_WORD_RUST)) ||
           (end < len && has_prop(text + end, len - end, CRIA_CHAR_WORD_RUST));
}

static size_t skip_spaces(const uint8_t *text, size_t len, size_t at) {
    uint32_t cp;
    while (at < len && has_prop(text + at, len - at, CRIA_CHAR_SPACE))
        at += cria_utf8_decode(text + at, len - at, &cp);
    return at;
}

/* AddedVocabulary::find_matches: a symbol that is found but does not count is part of the text, and what it
 * covers is not looked at again. */
static cria_status cut(struct encoder *e, const struct symbols *symbols, const uint8_t *text, size_t len,
                       bool first, part_fn *part, cria_error *err) {
    const cria_trie *trie = &symbols->trie;
    if (cria_trie_empty(trie) || !(e->asked || symbols->plain)) return part(e, text, len, first, err);
    cria_status st = CRIA_OK;
    size_t done = 0, run = 0, run_end = 0; /* white space from run to run_end */
    for (size_t i = 0; i < len && st == CRIA_OK;) {
        int32_t found;
        const size_t took =
            trie->root[text[i]] ? cria_trie_longest(trie, text + i, len - i, UINT32_MAX, &found) : 0;
        if (took == 0) {
            i++;
            continue;
        }
        size_t start = i, end = i += took;
        const struct cria_added *a = &e->t->vocab.added[found];
        if ((a->special && !e->asked) || (a->single_word && inside_word(text, len, start, end))) continue;
        for (size_t at; a->left && start > done; start = at) {
            at = before(text, start);
            if (!has_prop(text + at, start - at, CRIA_CHAR_SPACE)) break;
        }
        if (a->right) {
            if (end < run || end > run_end) {
                run = end;
                run_end = skip_spaces(text, len, end);
            }
            end = run_end;
        }
        if (done < start) st = part(e, text + done, start - done, first && done == 0, err);
        if (st == CRIA_OK) st = cria_ids_push(e->ids, a->id, err);
        done = end;
    }
    if (st != CRIA_OK || done == len) return st;
    return part(e, text + done, len - done, first && done == 0, err);
}

static cria_status spm_part(struct encoder *e, const uint8_t *text, size_t len, bool first, cria_error *err) {
    (void)first;
    return len ? cria_spm_encode(e->t->spm, &e->t->vocab, text, len, e->ids, err) : CRIA_OK;
}

static cria_status normal_part(struct encoder *e, const uint8_t *text, size_t len, bool first,
                               cria_error *err) {
    return cria_splitter_run(&e->splitter, text, len, first, err);
}

static cria_status raw_part(struct encoder *e, const uint8_t *text, size_t len, bool first, cria_error *err) {
    const cria_status st =
        cria_pipeline_normalize(&e->t->vocab.pipe, &e->normalize, &text, &len, &first, err);
    return st == CRIA_OK ? cut(e, &e->t->specials->normal, text, len, first, normal_part, err) : st;
}

static cria_status word(void *user, const uint8_t *text, size_t len, cria_error *err) {
    struct encoder *e = user;
    return e->bpe ? cria_bpe_word(e->bpe, text, len, e->ids, err)
                  : cria_unigram_word(e->t->unigram, &e->t->vocab, text, len, e->ids, err);
}

/* A copy of text with each maximal ill-formed part replaced by U+FFFD, to free with cria_free. */
static cria_status repair_utf8(cria_ctx *ctx, const uint8_t *text, size_t len, uint8_t **out, size_t *n_out,
                               cria_error *err) {
    uint8_t *copy = cria_malloc_array(ctx, len, 3);
    if (copy == NULL) return cria_fail_nomem(err, "a copy of the text with valid UTF-8", len);
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        const size_t good = cria_utf8_decode(text + i, len - i, &cp);
        n += cria_utf8_encode(cp, copy + n);
        i += good != 0 ? good : cria_utf8_bad_length(text + i, len - i);
    }
    *out = copy;
    *n_out = n;
    return CRIA_OK;
}

static cria_status encode_pipeline(struct encoder *e, const uint8_t *text, size_t len, cria_error *err) {
    const cria_tokenizer *t = e->t;
    uint8_t *repaired = NULL;
    cria_status st = CRIA_OK;
    if (!cria_utf8_valid(text, len)) {
        st = repair_utf8(t->ctx, text, len, &repaired, &len, err);
        text = repaired;
    }
    cria_normalize_work_init(&e->normalize, t->ctx, len);
    cria_splitter_init(&e->splitter, &t->vocab.pipe, word, e, len);
    if (st == CRIA_OK && t->bpe) st = cria_bpe_begin(t->bpe, &t->vocab, len, &e->bpe, err);
    if (st == CRIA_OK) st = cut(e, &t->specials->raw, text, len, true, raw_part, err);
    cria_bpe_finish(e->bpe);
    cria_splitter_fini(&e->splitter);
    cria_normalize_work_fini(&e->normalize);
    cria_free(t->ctx, repaired);
    return st;
}

static cria_status encode_all(const cria_tokenizer *t, const uint8_t *text, size_t len, unsigned flags,
                              cria_ids *ids, cria_error *err) {
    const bool chat = (flags & CRIA_ENCODE_CHAT) != 0;
    struct encoder e = {.t = t, .ids = ids, .asked = chat || flags & CRIA_ENCODE_SPECIAL};
    cria_status st = CRIA_OK;
    if ((flags & CRIA_ENCODE_BOS || (chat && t->vocab.add_bos)) && t->vocab.bos >= 0)
        st = cria_ids_push(ids, t->vocab.bos, err);
    if (st != CRIA_OK || len == 0) return st;
    return t->spm ? cut(&e, &t->specials->raw, text, len, true, spm_part, err)
                  : encode_pipeline(&e, text, len, err);
}

cria_status cria_encode(const cria_tokenizer *tokenizer, const char *text, size_t len, unsigned flags,
                        int32_t **out, size_t *n, cria_error *err) {
    if (!tokenizer || (!text && len > 0) || !out || !n)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_encode needs a tokenizer, a text, an out and an n.");
    if (flags & ~(unsigned)(CRIA_ENCODE_BOS | CRIA_ENCODE_SPECIAL | CRIA_ENCODE_CHAT))
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
    if (flags & CRIA_ENCODE_CHAT && ids.n > 1 && ids.data[0] == tokenizer->vocab.bos && ids.data[1] == ids.data[0])
        memmove(ids.data, ids.data + 1, --ids.n * sizeof *ids.data); /* the template's own is enough */
    *out = ids.data;
    *n = ids.n;
    return CRIA_OK;
}

void cria_ids_free(const cria_tokenizer *tokenizer, int32_t *ids) { cria_free(tokenizer->ctx, ids); }
