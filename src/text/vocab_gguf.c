/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vocabulary of a GGUF file: tokenizer.ggml.* → cria_vocab. Models "gpt2" (byte-level BPE) and "llama"
 * (SentencePiece with byte pieces); others are CRIA_EUNSUPPORTED by name.
 *
 * The container has checked that every array lies in the file and holds what it says; here every value is
 * checked against the vocabulary before it is used as an index: types, ids, the parts of merges.
 *
 * Where a file leaves something out, the defaults are those of llama.cpp (llama-vocab.cpp), except that no
 * pre-tokenizer is ever guessed and that a merge whose part or result is no piece is an error, as in PyPI
 * tokenizers: such a file was not made from the tokenizer that it claims to hold.
 */
#include "text/vocab.h"

#include "base/ctx.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "format/container.h"
#include "text/pretok.h"

#include <math.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name
#define MERGES_MAX (1u << 23)

/* What all steps need. */
struct loader {
    cria_ctx *ctx;
    const cria_container *file;
    const char *path;
    cria_vocab *v;
    cria_error *err;
};

static bool str_is(cria_str s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* For "%.*s": enough of a name to recognize it. */
static int shown(cria_str s) { return s.len < 64 ? (int)s.len : 64; }

/* ---- single values ---- */

/* *out is left alone when the key is not there. */
static cria_status read_flag(const struct loader *l, const char *key, bool *out) {
    if (cria_meta_find(l->file, key) == NULL || cria_meta_bool(l->file, key, out)) return CRIA_OK;
    return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the value of %s is not a truth value.", l->path,
                     key);
}

/* An id of the vocabulary; *out is left alone when the key is not there. */
static cria_status read_id(const struct loader *l, const char *key, int32_t *out) {
    uint64_t id;
    if (cria_meta_find(l->file, key) == NULL) return CRIA_OK;
    if (!cria_meta_u64(l->file, key, &id))
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the value of %s is not a token id.",
                         l->path, key);
    if (id >= l->v->n)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: %s is %llu, but the vocabulary has only %u tokens.", l->path, key,
                         (unsigned long long)id, l->v->n);
    *out = (int32_t)id;
    return CRIA_OK;
}

/* ---- arrays ---- */

enum items { STRINGS, INTEGERS, NUMBERS };

/* The array of that key, NULL when it is not there. n: how many items it must have, 0 for any number. */
static cria_status find_array(const struct loader *l, const char *key, enum items items, uint64_t n,
                              const cria_meta **out) {
    static const char *const names[] = {"strings", "integers", "numbers"};
    const cria_meta *m = cria_meta_find(l->file, key);
    *out = NULL;
    if (m == NULL) return CRIA_OK;
    bool fits = false;
    if (m->type == CRIA_META_ARRAY) {
        const enum cria_meta_type t = m->v.a.type;
        const bool integer = t == CRIA_META_INT || t == CRIA_META_UINT;
        fits =
            items == STRINGS ? t == CRIA_META_STRING : integer || (items == NUMBERS && t == CRIA_META_FLOAT);
    }
    if (!fits)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the value of %s is not an array of %s.",
                         l->path, key, names[items]);
    if (n != 0 && m->v.a.n != n)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: %s has %llu items, but the vocabulary has %llu tokens.", l->path, key,
                         (unsigned long long)m->v.a.n, (unsigned long long)n);
    *out = m;
    return CRIA_OK;
}

/* Checks the pieces one by one; *bytes becomes what their text needs, a NUL after each. */
static cria_status check_tokens(const struct loader *l, const cria_meta *m, size_t *bytes) {
    cria_meta_iter it = cria_meta_begin(m);
    cria_str s;
    uint64_t i = 0, total = 0;
    for (; cria_meta_next_str(&it, &s); i++) {
        if (s.len > CRIA_PIECE_MAX)
            return cria_fail(l->err, CRIA_EFORMAT, i,
                             "%s: token %llu has %zu bytes, and at most %u are possible.", l->path,
                             (unsigned long long)i, s.len, CRIA_PIECE_MAX);
        if (!cria_utf8_valid((const uint8_t *)s.data, s.len))
            return cria_fail(l->err, CRIA_EFORMAT, i, "%s: the text of token %llu is not valid UTF-8.",
                             l->path, (unsigned long long)i);
        total += s.len + 1;
    }
    if (i != m->v.a.n)
        return cria_fail(l->err, CRIA_EFORMAT, i, "%s: %s ends after %llu of %llu tokens.", l->path,
                         KEY("tokens"), (unsigned long long)i, (unsigned long long)m->v.a.n);
    if (total > UINT32_MAX)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the text of all tokens has %llu bytes, and at most %u are possible.", l->path,
                         (unsigned long long)total, UINT32_MAX);
    *bytes = (size_t)total;
    return CRIA_OK;
}

static cria_status load_tokens(const struct loader *l) {
    cria_vocab *v = l->v;
    const cria_meta *m;
    size_t bytes = 0;
    cria_status st = find_array(l, KEY("tokens"), STRINGS, 0, &m);
    if (st != CRIA_OK) return st;
    if (m == NULL)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s has no %s, so it holds no tokenizer.",
                         l->path, KEY("tokens"));
    if (m->v.a.n == 0 || m->v.a.n > CRIA_VOCAB_MAX)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the vocabulary has %llu tokens; it must have between 1 and %u.", l->path,
                         (unsigned long long)m->v.a.n, CRIA_VOCAB_MAX);
    if ((st = check_tokens(l, m, &bytes)) != CRIA_OK) return st;
    v->n = (uint32_t)m->v.a.n;
    v->text = cria_malloc(l->ctx, bytes);
    v->offset = cria_malloc_array(l->ctx, (size_t)v->n + 1, sizeof *v->offset);
    v->type = cria_malloc(l->ctx, v->n);
    if (v->text == NULL || v->offset == NULL || v->type == NULL)
        return cria_fail_nomem(l->err, "the vocabulary", bytes + v->n * 5u);
    cria_meta_iter it = cria_meta_begin(m);
    cria_str s;
    uint32_t pos = 0;
    for (uint32_t i = 0; i < v->n && cria_meta_next_str(&it, &s); i++) {
        v->offset[i] = pos;
        if (s.len != 0) memcpy(v->text + pos, s.data, s.len);
        v->text[pos + s.len] = 0;
        pos += (uint32_t)s.len + 1;
    }
    v->offset[v->n] = pos;
    return CRIA_OK;
}

/* A file without types: what its text and its special ids tell. */
static void guess_types(cria_vocab *v) {
    memset(v->type, CRIA_PIECE_NORMAL, v->n);
    if (v->unk >= 0 && v->model == CRIA_VOCAB_SPM_BPE) v->type[v->unk] = CRIA_PIECE_UNKNOWN;
    const int32_t control[] = {v->bos, v->eos, v->pad, v->eot, v->eom};
    for (size_t i = 0; i < sizeof control / sizeof *control; i++)
        if (control[i] >= 0) v->type[control[i]] = CRIA_PIECE_CONTROL;
    if (v->model != CRIA_VOCAB_SPM_BPE) return;
    for (uint32_t i = 0; i < v->n; i++) {
        size_t len;
        const char *p = cria_vocab_piece(v, i, &len);
        if (cria_vocab_byte(p, len) >= 0) v->type[i] = CRIA_PIECE_BYTE;
    }
}

/* Needs the special ids. A piece without text can neither be found nor printed: it counts as unused. */
static cria_status load_types(const struct loader *l) {
    cria_vocab *v = l->v;
    const cria_meta *m;
    const cria_status st = find_array(l, KEY("token_type"), INTEGERS, v->n, &m);
    if (st != CRIA_OK) return st;
    if (m == NULL) {
        guess_types(v);
    } else {
        cria_meta_iter it = cria_meta_begin(m);
        for (uint32_t i = 0; i < v->n; i++) {
            int64_t type = 0;
            if (!cria_meta_next_i64(&it, &type) || type < CRIA_PIECE_NORMAL || type > CRIA_PIECE_BYTE)
                return cria_fail(l->err, CRIA_EFORMAT, i, "%s: token %u has type %lld; types are 1 to 6.",
                                 l->path, i, (long long)type);
            v->type[i] = (uint8_t)type;
        }
    }
    for (uint32_t i = 0; i < v->n; i++)
        if (v->offset[i + 1] - v->offset[i] == 1) v->type[i] = CRIA_PIECE_UNUSED;
    return CRIA_OK;
}

static cria_status load_scores(const struct loader *l) {
    cria_vocab *v = l->v;
    const cria_meta *m;
    const cria_status st = find_array(l, KEY("scores"), NUMBERS, v->n, &m);
    if (st != CRIA_OK) return st;
    if (m == NULL)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s has no %s, which a \"llama\" tokenizer needs.", l->path, KEY("scores"));
    v->score = cria_malloc_array(l->ctx, v->n, sizeof *v->score);
    if (v->score == NULL)
        return cria_fail_nomem(l->err, "the scores of the vocabulary", v->n * sizeof *v->score);
    cria_meta_iter it = cria_meta_begin(m);
    for (uint32_t i = 0; i < v->n; i++) {
        double score = NAN;
        if (!cria_meta_next_f64(&it, &score) || !isfinite(score) || !isfinite((float)score))
            return cria_fail(l->err, CRIA_EFORMAT, i, "%s: the score of token %u is not a finite number.",
                             l->path, i);
        v->score[i] = (float)score;
    }
    return CRIA_OK;
}

/* ---- special tokens ---- */

static cria_status load_special_ids(const struct loader *l) {
    cria_vocab *v = l->v;
    v->bos = v->eos = v->unk = v->pad = v->eot = v->eom = -1;
    if (v->model == CRIA_VOCAB_SPM_BPE && v->n > 2) {
        v->unk = 0;
        v->bos = 1;
        v->eos = 2;
    }
    const struct {
        const char *key;
        int32_t *id;
    } ids[] = {
        {KEY("bos_token_id"), &v->bos},     {KEY("eos_token_id"), &v->eos},
        {KEY("unknown_token_id"), &v->unk}, {KEY("padding_token_id"), &v->pad},
        {KEY("eot_token_id"), &v->eot},     {KEY("eom_token_id"), &v->eom},
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const cria_status st = read_id(l, ids[i].key, ids[i].id);
        if (st != CRIA_OK) return st;
    }
    return CRIA_OK;
}

/* Needs the index and the types. */
static cria_status load_ends(const struct loader *l) {
    cria_vocab *v = l->v;
    cria_vocab_guess_ends(v);
    if (v->model == CRIA_VOCAB_SPM_BPE) v->add_bos = true; /* otherwise as goes with the pre-tokenizer */
    const cria_status st = read_flag(l, KEY("add_bos_token"), &v->add_bos);
    if (v->bos < 0) v->add_bos = false;
    return st;
}

/* ---- gpt2 ---- */

/* The names that are known, for a message. */
static void list_pretoks(char *out, size_t size) {
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; cria_pretok_name(i) != NULL; i++) {
        const char *name = cria_pretok_name(i);
        const size_t len = strlen(name), comma = i > 0 ? 2 : 0;
        if (n + comma + len + 1 > size) return;
        memcpy(out + n, ", ", comma);
        memcpy(out + n + comma, name, len + 1);
        n += comma + len;
    }
}

static cria_status load_pretok(const struct loader *l) {
    cria_str name;
    struct cria_pretok_traits traits;
    if (!cria_meta_str(l->file, KEY("pre"), &name))
        return cria_fail(l->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s has no %s, so it does not say how words are split; convert the model anew.",
                         l->path, KEY("pre"));
    const cria_status st = cria_pretok_build(name.data, name.len, &l->v->pipe, &traits, l->err);
    if (st == CRIA_EUNSUPPORTED) {
        char names[320];
        list_pretoks(names, sizeof names);
        return cria_fail(l->err, st, CRIA_NOWHERE,
                         "%s: the pre-tokenizer \"%.*s\" is not one of those that are known (%s).", l->path,
                         shown(name), name.data, names);
    }
    if (st != CRIA_OK) return st;
    l->v->whole_words = traits.whole_words;
    l->v->add_bos = traits.adds_bos;
    return CRIA_OK;
}

/* Where a merge's result is put together; the longest piece fits. */
struct joint {
    char *text;
    size_t longest;
};

static int32_t find_joined(const cria_vocab *v, const struct joint *j, cria_str left, cria_str right) {
    if (left.len + right.len > j->longest) return -1;
    memcpy(j->text, left.data, left.len);
    memcpy(j->text + left.len, right.data, right.len);
    return cria_vocab_find(v, j->text, left.len + right.len);
}

/* "left right" → ids. A part may begin with anything but is never empty, so the space is looked for behind
 * the first character. */
static cria_status parse_merge(const struct loader *l, cria_str s, uint32_t rank, const struct joint *j,
                               struct cria_merge *out) {
    const char *space = s.len < 3 ? NULL : memchr(s.data + 1, ' ', s.len - 2);
    if (space == NULL)
        return cria_fail(l->err, CRIA_EFORMAT, rank,
                         "%s: merge %u, \"%.*s\", is not two parts with a space between.", l->path, rank,
                         shown(s), s.data);
    const cria_str left = {s.data, (size_t)(space - s.data)}, right = {space + 1, s.len - left.len - 1};
    const int32_t ids[3] = {cria_vocab_find(l->v, left.data, left.len),
                            cria_vocab_find(l->v, right.data, right.len), find_joined(l->v, j, left, right)};
    static const char *const what[] = {"left part", "right part", "result"};
    for (size_t i = 0; i < 3; i++)
        if (ids[i] < 0)
            return cria_fail(l->err, CRIA_EFORMAT, rank,
                             "%s: the %s of merge %u, \"%.*s\", is not in the vocabulary.", l->path, what[i],
                             rank, shown(s), s.data);
    *out = (struct cria_merge){(uint32_t)ids[0], (uint32_t)ids[1], (uint32_t)ids[2]};
    return CRIA_OK;
}

static cria_status find_merges(const struct loader *l, const cria_meta **out) {
    const cria_status st = find_array(l, KEY("merges"), STRINGS, 0, out);
    if (st != CRIA_OK) return st;
    if (*out == NULL)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s has no %s, which a \"gpt2\" tokenizer needs.", l->path, KEY("merges"));
    if ((*out)->v.a.n > MERGES_MAX)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: there are %llu merges, and at most %u are possible.", l->path,
                         (unsigned long long)(*out)->v.a.n, MERGES_MAX);
    return CRIA_OK;
}

/* Needs the index. */
static cria_status load_merges(const struct loader *l) {
    cria_vocab *v = l->v;
    const cria_meta *m;
    cria_status st = find_merges(l, &m);
    if (st != CRIA_OK) return st;
    struct joint j = {NULL, 0};
    for (uint32_t i = 0; i < v->n; i++)
        if (v->offset[i + 1] - v->offset[i] > j.longest) j.longest = v->offset[i + 1] - v->offset[i];
    j.text = cria_malloc(l->ctx, j.longest);
    v->n_merges = (uint32_t)m->v.a.n;
    v->merges = cria_malloc_array(l->ctx, v->n_merges, sizeof *v->merges);
    if (v->merges == NULL || j.text == NULL)
        st = cria_fail_nomem(l->err, "the merges of the vocabulary", v->n_merges * sizeof *v->merges);
    cria_meta_iter it = cria_meta_begin(m);
    for (uint32_t i = 0; i < v->n_merges && st == CRIA_OK; i++) {
        cria_str s = {NULL, 0};
        cria_meta_next_str(&it, &s); /* the array has so many: a failure leaves s empty, which is no merge */
        st = parse_merge(l, s, i, &j, &v->merges[i]);
    }
    cria_free(l->ctx, j.text);
    return st;
}

/* ---- llama ---- */

/* precompiled_charsmap: an array of bytes. */
static cria_status load_charsmap(const struct loader *l) {
    const cria_meta *m;
    const cria_status st = find_array(l, KEY("precompiled_charsmap"), INTEGERS, 0, &m);
    if (st != CRIA_OK || m == NULL || m->v.a.n == 0) return st;
    const size_t len = (size_t)(m->v.a.end - m->v.a.data);
    if (m->v.a.n != len)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: %s has %llu items in %zu bytes; items must be bytes.", l->path,
                         KEY("precompiled_charsmap"), (unsigned long long)m->v.a.n, len);
    l->v->normalizer_data = cria_malloc(l->ctx, len);
    if (l->v->normalizer_data == NULL)
        return cria_fail_nomem(l->err, "the tokenizer's normalization rules", len);
    memcpy(l->v->normalizer_data, m->v.a.data, len);
    l->v->normalizer.charsmap = l->v->normalizer_data;
    l->v->normalizer.charsmap_len = len;
    return CRIA_OK;
}

static cria_status load_normalizer(const struct loader *l) {
    struct cria_vocab_normalizer *n = &l->v->normalizer;
    n->add_dummy_prefix = true;
    n->escape_whitespaces = true;
    cria_status st = read_flag(l, KEY("add_space_prefix"), &n->add_dummy_prefix);
    if (st == CRIA_OK) st = read_flag(l, KEY("remove_extra_whitespaces"), &n->remove_extra_whitespaces);
    return st == CRIA_OK ? load_charsmap(l) : st;
}

static cria_status load_unk_surface(const struct loader *l) {
    static const char surface[] = " \xe2\x81\x87 "; /* SentencePiece's default; a GGUF does not store it */
    l->v->unk_surface = cria_malloc(l->ctx, sizeof surface);
    if (l->v->unk_surface == NULL) return cria_fail_nomem(l->err, "the vocabulary", sizeof surface);
    memcpy(l->v->unk_surface, surface, sizeof surface);
    l->v->unk_surface_len = sizeof surface - 1;
    return CRIA_OK;
}

/* Needs the index. What no piece covers becomes bytes or the unknown piece: one of the two must be there. As
 * in SentencePiece the unknown piece is one of that type; some files name eos instead, which must not be
 * printed. */
static cria_status settle_unknown(const struct loader *l) {
    cria_vocab *v = l->v;
    unsigned n_bytes = 0;
    for (int b = 0; b < 256; b++) n_bytes += v->byte_id[b] >= 0;
    if (n_bytes != 0 && n_bytes != 256)
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the vocabulary has %u of the 256 byte pieces <0x00> to <0xFF>.", l->path,
                         n_bytes);
    v->byte_fallback = n_bytes == 256;
    if (v->unk >= 0 && v->type[v->unk] != CRIA_PIECE_UNKNOWN) v->unk = -1;
    for (uint32_t i = 0; i < v->n && v->unk < 0; i++)
        if (v->type[i] == CRIA_PIECE_UNKNOWN) v->unk = (int32_t)i;
    if (v->byte_fallback || v->unk >= 0) return CRIA_OK;
    return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE,
                     "%s: the vocabulary has neither byte pieces nor an unknown one.", l->path);
}

/* ---- the whole ---- */

static cria_status load_model(const struct loader *l) {
    cria_str name;
    if (!cria_meta_str(l->file, KEY("model"), &name))
        return cria_fail(l->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s has no %s, so it holds no tokenizer.",
                         l->path, KEY("model"));
    if (str_is(name, "gpt2"))
        l->v->model = CRIA_VOCAB_BPE;
    else if (str_is(name, "llama"))
        l->v->model = CRIA_VOCAB_SPM_BPE;
    else
        return cria_fail(l->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: tokenizers of kind \"%.*s\" are not supported, only \"gpt2\" and \"llama\".",
                         l->path, shown(name), name.data);
    return CRIA_OK;
}

static cria_status load_all(const struct loader *l) {
    cria_status st = load_model(l);
    const bool spm = l->v->model == CRIA_VOCAB_SPM_BPE;
    if (st == CRIA_OK) st = load_tokens(l);
    if (st == CRIA_OK) st = load_special_ids(l);
    if (st == CRIA_OK) st = load_types(l);
    if (st == CRIA_OK) st = spm ? load_scores(l) : load_pretok(l);
    if (st == CRIA_OK && spm) st = load_normalizer(l);
    if (st == CRIA_OK && spm) st = load_unk_surface(l);
    if (st == CRIA_OK) st = cria_vocab_index(l->v, l->path, l->err);
    if (st == CRIA_OK && !spm) st = load_merges(l);
    if (st == CRIA_OK) st = load_ends(l);
    if (st == CRIA_OK && spm) st = settle_unknown(l);
    cria_str arch;
    l->v->strip_right = spm && cria_meta_str(l->file, "general.architecture", &arch) && str_is(arch, "phi3");
    return st;
}

cria_status cria_vocab_load_gguf(cria_ctx *ctx, const struct cria_container *file, cria_vocab *out,
                                 cria_error *err) {
    cria_vocab v;
    cria_vocab_init(&v, ctx);
    const struct loader l = {ctx, file, cria_container_path(file), &v, err};
    const cria_status st = load_all(&l);
    if (st != CRIA_OK) {
        cria_vocab_fini(&v);
        return st;
    }
    *out = v;
    return CRIA_OK;
}
