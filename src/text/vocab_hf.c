/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.json → cria_vocab: the file as a whole, its model and its added tokens. The rest is hf_steps.c's
 * and hf_config.c's.
 *
 * The file is read once, as it lies (jsonread.h): the vocabulary and the merges, which are nearly all of it,
 * straight into their places; the other parts are noted and read afterwards. Only where the merges come
 * before the vocabulary are they passed over twice.
 *
 * What the file means is what PyPI tokenizers makes of it (tokenizer/serialization.rs, models/), with the
 * difference that what contradicts itself is refused: a piece or an id that occurs twice, an added token
 * whose id is not the one that the library would give it. truncation and padding are for training and are
 * left alone.
 */
#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "text/hf_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MERGES_MAX (1u << 23)
#define WAITING 16u

struct entry { /* a piece where it was met */
    uint32_t id, start, len;
};

/* An array that grows. */
struct list {
    void *data;
    size_t n, cap;
};

struct loader {
    cria_ctx *ctx;
    const char *name;
    cria_vocab *v;
    cria_error *err;
    cria_jsonread *r;
    struct { /* parts that wait; data NULL where there are none */
        cria_jsontext added, normalizer, pre_tokenizer, post_processor, decoder, merges;
    } raw;
    bool model;
    /* the model's */
    bool have_vocab, have_merges, is_list;
    cria_buf text; /* pieces, each with a NUL behind it */
    struct list entries, scores, merges;
    char *unk; /* unk_token, NUL-terminated; NULL: none */
    size_t unk_len;
    int64_t unk_id; /* unigram; −1: none */
    cria_buf joint; /* the parts of the merges that wait to be looked up, put together */
    struct waiting {
        size_t start, n_left, n; /* bytes in joint */
    } waiting[WAITING];
    unsigned n_waiting;
};

static bool fail(const struct loader *l, cria_status code, const char *what, cria_jsontext t) {
    return cria_jsonread_fail(l->r, code, "%s \"%.*s\"", what, t.len < 64 ? (int)t.len : 64, t.data);
}

/* Room for one more item. */
static bool grow(const struct loader *l, struct list *a, size_t item) {
    if (a->n < a->cap) return true;
    const size_t cap = a->cap ? a->cap * 2 : 1024;
    void *data = cria_realloc(l->ctx, a->data, a->cap * item, cap * item);
    if (!data) {
        if (l->r->status == CRIA_OK) l->r->status = cria_fail_nomem(l->err, "the vocabulary", cap * item);
        return false;
    }
    a->data = data;
    a->cap = cap;
    return true;
}

/* ---- pieces ---- */

static bool add_piece(struct loader *l, cria_jsontext piece, uint32_t *start) {
    if (piece.len > CRIA_PIECE_MAX)
        return cria_jsonread_fail(l->r, CRIA_EFORMAT, "a piece has %zu bytes, and at most %u are possible",
                                  piece.len, CRIA_PIECE_MAX);
    *start = (uint32_t)l->text.len;
    l->r->status = cria_buf_append(&l->text, piece.data, piece.len, l->err);
    if (l->r->status == CRIA_OK) l->r->status = cria_buf_push(&l->text, 0, l->err);
    return l->r->status == CRIA_OK;
}

static bool add_entry(struct loader *l, cria_jsontext piece, int64_t id) {
    uint32_t start = 0;
    if (id < 0 || id >= CRIA_VOCAB_MAX)
        return cria_jsonread_fail(l->r, CRIA_EFORMAT, "the id %lld of a piece is not one of 0 to %u",
                                  (long long)id, CRIA_VOCAB_MAX - 1);
    if (!add_piece(l, piece, &start) || !grow(l, &l->entries, sizeof(struct entry))) return false;
    struct entry *e = l->entries.data;
    e[l->entries.n++] = (struct entry){(uint32_t)id, start, (uint32_t)piece.len};
    return true;
}

/* {piece: id, …} */
static void read_vocab_object(struct loader *l) {
    cria_jsontext piece;
    int64_t id;
    for (cria_jsonread_object(l->r); cria_jsonread_key(l->r, &piece);) {
        /* The key may lie in the reader's scratch; a number does not disturb it. */
        if (!cria_jsonread_int(l->r, &id) || !add_entry(l, piece, id)) break;
    }
}

/* [[piece, score], …] */
static void read_vocab_list(struct loader *l) {
    cria_jsontext piece;
    double score;
    for (cria_jsonread_array(l->r); cria_jsonread_item(l->r);) {
        if (!cria_jsonread_array(l->r) || !cria_jsonread_item(l->r) || !cria_jsonread_string(l->r, &piece) ||
            !add_entry(l, piece, (int64_t)l->entries.n) || !cria_jsonread_item(l->r) ||
            !cria_jsonread_real(l->r, &score) || !grow(l, &l->scores, sizeof(double)))
            break;
        ((double *)l->scores.data)[l->scores.n++] = score;
        if (cria_jsonread_item(l->r)) {
            cria_jsonread_fail(l->r, CRIA_EFORMAT, "a piece of the vocabulary is not a string and a score");
            break;
        }
    }
}

/* Pieces into the order of their ids. */
static cria_status place_pieces(struct loader *l) {
    cria_vocab *v = l->v;
    const struct entry *e = l->entries.data;
    uint32_t n = 0;
    for (size_t i = 0; i < l->entries.n; i++)
        if (e[i].id >= n) n = e[i].id + 1;
    uint32_t *at = cria_malloc_array(l->ctx, n, sizeof *at);
    v->text = cria_malloc(l->ctx, l->text.len + n); /* a NUL for each id that is not used */
    v->offset = cria_malloc_array(l->ctx, (size_t)n + 1, sizeof *v->offset);
    v->type = cria_malloc(l->ctx, n);
    cria_status st = CRIA_OK;
    if (!at || !v->text || !v->offset || !v->type)
        st = cria_fail_nomem(l->err, "the vocabulary", l->text.len + (size_t)n * 10);
    else
        memset(at, 0xff, n * sizeof *at);
    for (size_t i = 0; i < l->entries.n && st == CRIA_OK; i++) {
        if (at[e[i].id] != UINT32_MAX)
            st = cria_fail(l->err, CRIA_EFORMAT, e[i].id,
                           "%s: the pieces \"%.64s\" and \"%.64s\" have the same id %u.", l->name,
                           (char *)l->text.data + e[at[e[i].id]].start, (char *)l->text.data + e[i].start,
                           e[i].id);
        at[e[i].id] = (uint32_t)i;
    }
    uint32_t pos = 0;
    for (uint32_t id = 0; id < n && st == CRIA_OK; id++) {
        const bool used = at[id] != UINT32_MAX;
        v->offset[id] = pos;
        v->type[id] = used ? CRIA_PIECE_NORMAL : CRIA_PIECE_UNUSED;
        if (used && e[at[id]].len) memcpy(v->text + pos, l->text.data + e[at[id]].start, e[at[id]].len);
        pos += used ? e[at[id]].len : 0;
        v->text[pos++] = '\0';
    }
    if (st == CRIA_OK) v->offset[n] = pos;
    cria_free(l->ctx, at);
    if (st != CRIA_OK) return st;
    v->n = v->n_model = n;
    v->hash_is_model = true;
    return CRIA_OK;
}

static cria_status index_pieces(struct loader *l) {
    cria_vocab *v = l->v;
    cria_status st = place_pieces(l);
    if (st == CRIA_OK) st = cria_vocab_index(v, l->name, l->err);
    for (uint32_t id = 0; id < v->n && st == CRIA_OK; id++) {
        size_t len;
        const char *piece = cria_vocab_piece(v, id, &len);
        const int32_t first = len ? cria_vocab_find(v, piece, len) : (int32_t)id;
        if (first != (int32_t)id)
            st = cria_fail(l->err, CRIA_EFORMAT, id, "%s: the pieces %d and %u are both \"%.64s\".", l->name,
                           (int)first, id, piece);
    }
    cria_free(l->ctx, l->entries.data);
    l->entries = (struct list){NULL, 0, 0};
    cria_buf_fini(&l->text);
    return st;
}

/* ---- merges ---- */

/* Looks up the parts and results of the merges that wait. */
static bool resolve_merges(struct loader *l) {
    static const char *const what[] = {"the left part of a merge is not in the vocabulary:",
                                       "the right part of a merge is not in the vocabulary:",
                                       "the result of a merge is not in the vocabulary:"};
    for (unsigned k = 0; k < l->n_waiting; k++) {
        const struct waiting *w = &l->waiting[k];
        const char *text = (const char *)l->joint.data + w->start;
        const cria_jsontext part[3] = {{text, w->n_left}, {text + w->n_left, w->n - w->n_left}, {text, w->n}};
        int32_t id[3];
        for (int i = 0; i < 3; i++) {
            id[i] = part[i].len ? cria_vocab_find(l->v, part[i].data, part[i].len) : -1;
            if (id[i] < 0) return fail(l, CRIA_EFORMAT, what[i], part[i]);
        }
        if (l->merges.n == MERGES_MAX)
            return cria_jsonread_fail(l->r, CRIA_EUNSUPPORTED, "there are more than %u merges", MERGES_MAX);
        if (!grow(l, &l->merges, sizeof(struct cria_merge))) return false;
        ((struct cria_merge *)l->merges.data)[l->merges.n++] =
            (struct cria_merge){(uint32_t)id[0], (uint32_t)id[1], (uint32_t)id[2]};
    }
    l->n_waiting = 0;
    l->joint.len = 0;
    return true;
}

/* A merge whose parts stand at the end of joint, from start. The index is larger than the caches: merges wait
 * until there are several, while what they will look at is fetched. */
static bool add_merge(struct loader *l, size_t start, size_t n_left) {
    const char *text = (const char *)l->joint.data + start;
    const size_t n = l->joint.len - start;
    if (n_left > CRIA_PIECE_MAX || n - n_left > CRIA_PIECE_MAX)
        return cria_jsonread_fail(l->r, CRIA_EFORMAT, "a part of a merge is longer than any piece");
    cria_vocab_prefetch(l->v, text, n_left);
    cria_vocab_prefetch(l->v, text + n_left, n - n_left);
    cria_vocab_prefetch(l->v, text, n);
    l->waiting[l->n_waiting++] = (struct waiting){start, n_left, n};
    return l->n_waiting < WAITING || resolve_merges(l);
}

static bool join(struct loader *l, const char *data, size_t len) {
    l->r->status = cria_buf_append(&l->joint, data, len, l->err);
    return l->r->status == CRIA_OK;
}

/* ["left", "right"] */
static bool read_pair(struct loader *l) {
    cria_jsontext t;
    const size_t start = l->joint.len;
    if (!cria_jsonread_array(l->r) || !cria_jsonread_item(l->r) || !cria_jsonread_string(l->r, &t) ||
        !join(l, t.data, t.len))
        return false;
    const size_t n_left = l->joint.len - start;
    if (!cria_jsonread_item(l->r) || !cria_jsonread_string(l->r, &t) || !join(l, t.data, t.len)) return false;
    if (cria_jsonread_item(l->r))
        return cria_jsonread_fail(l->r, CRIA_EFORMAT, "a merge has more than two parts");
    return add_merge(l, start, n_left);
}

/* "left right", as older files have it, with their first line perhaps. */
static bool read_line(struct loader *l) {
    cria_jsontext t;
    const size_t start = l->joint.len;
    if (!cria_jsonread_string(l->r, &t)) return false;
    if (t.len >= 8 && memcmp(t.data, "#version", 8) == 0) return true;
    const char *space = t.len ? memchr(t.data, ' ', t.len) : NULL;
    const size_t n_left = space ? (size_t)(space - t.data) : 0, rest = space ? n_left + 1 : 0;
    if (!space || memchr(space + 1, ' ', t.len - rest))
        return fail(l, CRIA_EFORMAT, "a merge is not two parts with a space between:", t);
    return join(l, t.data, n_left) && join(l, t.data + rest, t.len - rest) && add_merge(l, start, n_left);
}

static void read_merges(struct loader *l) {
    for (cria_jsonread_array(l->r); cria_jsonread_item(l->r);)
        if (!(cria_jsonread_peek(l->r) == CRIA_JSON_ARRAY ? read_pair(l) : read_line(l))) break;
    if (l->r->status == CRIA_OK) resolve_merges(l);
}

/* ---- the model ---- */

/* A string or null that must be empty. */
static void must_be_empty(struct loader *l, const char *what) {
    cria_jsontext t;
    if (cria_jsonread_peek(l->r) == CRIA_JSON_NULL)
        cria_jsonread_skip(l->r);
    else if (cria_jsonread_string(l->r, &t) && t.len)
        cria_jsonread_fail(l->r, CRIA_EUNSUPPORTED, "the model has a %s, which is not supported", what);
}

static void read_dropout(struct loader *l) {
    double x = 0;
    if (cria_jsonread_peek(l->r) == CRIA_JSON_NULL)
        cria_jsonread_skip(l->r);
    else if (cria_jsonread_real(l->r, &x) && x != 0)
        cria_jsonread_fail(l->r, CRIA_EUNSUPPORTED, "the model has a dropout of %g, which is not supported",
                           x);
}

static void read_flag(struct loader *l, bool *out) {
    if (cria_jsonread_peek(l->r) == CRIA_JSON_NULL)
        cria_jsonread_skip(l->r);
    else
        cria_jsonread_bool(l->r, out);
}

static void read_unk_token(struct loader *l) {
    cria_jsontext t;
    if (cria_jsonread_peek(l->r) == CRIA_JSON_NULL) {
        cria_jsonread_skip(l->r);
        return;
    }
    if (!cria_jsonread_string(l->r, &t)) return;
    l->unk = cria_malloc(l->ctx, t.len + 1);
    if (!l->unk) {
        l->r->status = cria_fail_nomem(l->err, "the vocabulary", t.len);
        return;
    }
    if (t.len) memcpy(l->unk, t.data, t.len);
    l->unk[t.len] = '\0';
    l->unk_len = t.len;
}

static void read_vocab(struct loader *l) {
    l->have_vocab = true;
    l->is_list = cria_jsonread_peek(l->r) == CRIA_JSON_ARRAY;
    if (l->is_list)
        read_vocab_list(l);
    else
        read_vocab_object(l);
    if (l->r->status == CRIA_OK && l->entries.n == 0)
        cria_jsonread_fail(l->r, CRIA_EFORMAT, "the vocabulary is empty");
    if (l->r->status == CRIA_OK) l->r->status = index_pieces(l);
}

static void model_member(struct loader *l, cria_jsontext key, bool *bpe, bool *unigram) {
    cria_vocab *v = l->v;
    cria_jsontext t;
    if (cria_jsontext_is(key, "type")) {
        if (!cria_jsonread_string(l->r, &t)) return;
        *bpe = cria_jsontext_is(t, "BPE");
        *unigram = cria_jsontext_is(t, "Unigram");
        if (!*bpe && !*unigram)
            fail(l, CRIA_EUNSUPPORTED, "only BPE and Unigram models are supported, not", t);
    } else if (cria_jsontext_is(key, "vocab")) {
        read_vocab(l);
    } else if (cria_jsontext_is(key, "merges")) {
        l->have_merges = true;
        if (l->have_vocab)
            read_merges(l);
        else
            cria_jsonread_raw(l->r, &l->raw.merges);
    } else if (cria_jsontext_is(key, "unk_token")) {
        read_unk_token(l);
    } else if (cria_jsontext_is(key, "unk_id")) {
        if (cria_jsonread_peek(l->r) == CRIA_JSON_NULL)
            cria_jsonread_skip(l->r);
        else
            cria_jsonread_int(l->r, &l->unk_id);
    } else if (cria_jsontext_is(key, "fuse_unk")) {
        read_flag(l, &v->fuse_unk);
    } else if (cria_jsontext_is(key, "byte_fallback")) {
        read_flag(l, &v->byte_fallback);
    } else if (cria_jsontext_is(key, "ignore_merges")) {
        read_flag(l, &v->whole_words);
    } else if (cria_jsontext_is(key, "dropout")) {
        read_dropout(l);
    } else if (cria_jsontext_is(key, "continuing_subword_prefix")) {
        must_be_empty(l, "continuing_subword_prefix");
    } else if (cria_jsontext_is(key, "end_of_word_suffix")) {
        must_be_empty(l, "end_of_word_suffix");
    } else {
        fail(l, CRIA_EUNSUPPORTED, "the model has an unknown member", key);
    }
}

static void finish_unigram(struct loader *l) {
    cria_vocab *v = l->v;
    v->model = CRIA_VOCAB_UNIGRAM;
    if (l->unk_id >= (int64_t)v->n_model || l->unk_id < -1) {
        cria_jsonread_fail(l->r, CRIA_EFORMAT, "unk_id is %lld, but the vocabulary has only %u pieces",
                           (long long)l->unk_id, v->n_model);
        return;
    }
    v->unk = (int32_t)l->unk_id;
    v->exact_score = l->scores.data;
    l->scores = (struct list){NULL, 0, 0};
    for (int b = 0; b < 256; b++) {
        char name[7] = "<0x00>";
        name[3] = "0123456789ABCDEF"[b / 16];
        name[4] = "0123456789ABCDEF"[b % 16];
        v->byte_id[b] = cria_vocab_find(v, name, 6);
    }
}

static void finish_bpe(struct loader *l) {
    cria_vocab *v = l->v;
    v->model = CRIA_VOCAB_BPE;
    v->merges = l->merges.data;
    v->n_merges = (uint32_t)l->merges.n;
    l->merges = (struct list){NULL, 0, 0};
    if (!l->unk || l->unk_len == 0) return; /* GPT-2's file has an empty one, which is no piece */
    v->model_unk = v->unk = cria_vocab_find(v, l->unk, l->unk_len);
    if (v->unk < 0)
        fail(l, CRIA_EFORMAT, "the unk_token is not in the vocabulary:", (cria_jsontext){l->unk, l->unk_len});
}

static const char *const model_members[] = {"type",
                                            "vocab",
                                            "merges",
                                            "unk_token",
                                            "unk_id",
                                            "fuse_unk",
                                            "byte_fallback",
                                            "ignore_merges",
                                            "dropout",
                                            "continuing_subword_prefix",
                                            "end_of_word_suffix"};

/* Notes the name among those seen; false, with an error, when it has been seen before. */
static bool note(struct loader *l, const char *const *names, size_t n, cria_jsontext key, unsigned *seen) {
    for (size_t i = 0; i < n; i++) {
        if (!cria_jsontext_is(key, names[i])) continue;
        if (*seen >> i & 1) return fail(l, CRIA_EFORMAT, "there is a second", key);
        *seen |= 1u << i;
    }
    return true;
}

static void read_model(struct loader *l) {
    cria_jsontext key;
    bool bpe = false, unigram = false;
    unsigned seen = 0;
    l->model = true;
    for (cria_jsonread_object(l->r); cria_jsonread_key(l->r, &key);) {
        if (!note(l, model_members, sizeof model_members / sizeof *model_members, key, &seen)) break;
        model_member(l, key, &bpe, &unigram);
    }
    if (l->r->status == CRIA_OK && !l->have_vocab)
        cria_jsonread_fail(l->r, CRIA_EFORMAT, "the model has no vocab");
    if (l->r->status != CRIA_OK) return;
    if (l->raw.merges.data) {
        cria_jsonread later, *r = l->r;
        cria_jsonread_sub(&later, r, l->raw.merges);
        l->r = &later;
        read_merges(l);
        r->status = cria_jsonread_end(&later);
        l->r = r;
    }
    if (l->r->status != CRIA_OK) return;
    if (l->is_list ? bpe : unigram)
        cria_jsonread_fail(l->r, CRIA_EFORMAT, "the model's vocab is not one of its type");
    else if (!l->is_list && !l->have_merges)
        cria_jsonread_fail(l->r, CRIA_EUNSUPPORTED,
                           "the model has no merges; only BPE and Unigram models are supported");
    else if (l->is_list)
        finish_unigram(l);
    else
        finish_bpe(l);
}

/* ---- added tokens ---- */

static bool read_added(struct cria_hf_object *o, struct cria_added *a, int64_t *id, cria_jsontext *content) {
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"special", &a->special},
                 {"single_word", &a->single_word},
                 {"lstrip", &a->left},
                 {"rstrip", &a->right},
                 {"normalized", &a->normalized}};
    bool ok = cria_hf_need(o, "id", cria_hf_int(o, "id", id));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        ok = ok && cria_hf_need(o, flags[i].name, cria_hf_bool(o, flags[i].name, flags[i].flag));
    return ok && cria_hf_need(o, "content", cria_hf_string(o, "content", content)) && o->r.status == CRIA_OK;
}

/* A piece behind the last one. */
static cria_status append_piece(struct loader *l, cria_jsontext t) {
    cria_vocab *v = l->v;
    const uint32_t at = v->offset[v->n];
    if (t.len > CRIA_PIECE_MAX || v->n >= CRIA_VOCAB_MAX || at > UINT32_MAX - t.len - 1)
        return cria_fail(l->err, CRIA_EUNSUPPORTED, v->n,
                         "%s: the added token %u is too long or one too many.", l->name, v->n);
    char *text = cria_realloc(l->ctx, v->text, at, at + t.len + 1);
    if (text) v->text = text;
    uint32_t *offset =
        cria_realloc(l->ctx, v->offset, (v->n + 1u) * sizeof *offset, (v->n + 2u) * sizeof *offset);
    if (offset) v->offset = offset;
    uint8_t *type = cria_realloc(l->ctx, v->type, v->n, v->n + 1u);
    if (type) v->type = type;
    if (!text || !offset || !type) return cria_fail_nomem(l->err, "the vocabulary", at + t.len);
    memcpy(v->text + at, t.data, t.len);
    v->text[at + t.len] = '\0';
    v->type[v->n++] = CRIA_PIECE_USER_DEFINED;
    v->offset[v->n] = at + (uint32_t)t.len + 1;
    return CRIA_OK;
}

/* One token, which the library would give the id of a piece of the same text, or the next one that is free.
 */
static bool add_token(struct loader *l, struct list *added, const struct cria_hf_object *o,
                      struct cria_added a, int64_t id, cria_jsontext content, uint32_t *next) {
    cria_vocab *v = l->v;
    a.id = cria_vocab_find(v, content.data, content.len);
    const bool known = a.id >= 0;
    if (!known) a.id = (int32_t)(*next)++;
    if (id != a.id)
        return cria_jsonread_fail(
            l->r, CRIA_EFORMAT, "the added token \"%.*s\" has the id %lld, but would get %d",
            content.len < 64 ? (int)content.len : 64, content.data, (long long)id, (int)a.id);
    if (!known && (uint32_t)a.id != v->n)
        return cria_jsonread_fail(
            l->r, CRIA_EUNSUPPORTED,
            "the added token \"%.*s\" has an id in a gap of the vocabulary, which is not supported",
            content.len < 64 ? (int)content.len : 64, content.data);
    if (!known) l->r->status = append_piece(l, content);
    if (l->r->status != CRIA_OK || !grow(l, added, sizeof a)) return false;
    if (a.special) v->type[a.id] = CRIA_PIECE_CONTROL;
    ((struct cria_added *)added->data)[added->n++] = a;
    (void)o;
    return true;
}

static int by_id(const void *a, const void *b) {
    const int32_t x = ((const struct cria_added *)a)->id, y = ((const struct cria_added *)b)->id;
    return (x > y) - (x < y);
}

static void read_added_tokens(struct loader *l) {
    struct list added = {NULL, 0, 0};
    cria_jsontext raw, content;
    uint32_t next = 0;
    for (uint32_t id = 0; id < l->v->n_model; id++) next += l->v->type[id] != CRIA_PIECE_UNUSED;
    for (cria_jsonread_array(l->r); cria_jsonread_item(l->r);) {
        struct cria_hf_object o;
        struct cria_added a = {.id = -1};
        int64_t id = -1;
        if (!cria_jsonread_raw(l->r, &raw)) break;
        const bool ok =
            cria_hf_object_begin(&o, l->r, raw, "added token") && read_added(&o, &a, &id, &content);
        if (ok && content.len) add_token(l, &added, &o, a, id, content, &next);
        const cria_status st = cria_hf_object_end(&o);
        if (l->r->status == CRIA_OK) l->r->status = st;
    }
    if (added.n) qsort(added.data, added.n, sizeof(struct cria_added), by_id);
    l->v->added = added.data;
    l->v->n_added = (uint32_t)added.n;
    for (uint32_t i = 1; i < l->v->n_added && l->r->status == CRIA_OK; i++)
        if (l->v->added[i].id == l->v->added[i - 1].id)
            cria_jsonread_fail(l->r, CRIA_EFORMAT, "the added token %d occurs twice", (int)l->v->added[i].id);
}

/* Tokens that are found in normalized text are looked for as their own normal form, and printed so. A special
 * one whose form differs is then no longer known to be special when it is printed. */
static cria_status set_forms(struct loader *l) {
    cria_vocab *v = l->v;
    struct cria_normalize_work w;
    cria_status st = CRIA_OK;
    cria_normalize_work_init(&w, l->ctx, CRIA_PIECE_MAX);
    for (uint32_t i = 0; i < v->n_added && st == CRIA_OK; i++) {
        struct cria_added *a = &v->added[i];
        size_t len, n;
        const char *piece = cria_vocab_piece(v, (uint32_t)a->id, &len);
        const uint8_t *form = (const uint8_t *)piece;
        bool first = true;
        n = len;
        if (!a->normalized) continue;
        st = cria_pipeline_normalize(&v->pipe, &w, &form, &n, &first, l->err);
        if (st != CRIA_OK || (n == len && memcmp(form, piece, len) == 0)) continue;
        a->form = cria_malloc(l->ctx, n);
        if (!a->form) {
            st = cria_fail_nomem(l->err, "the tokenizer's symbols", n);
            break;
        }
        if (n) memcpy(a->form, form, n);
        a->form_len = n;
        if (v->type[a->id] == CRIA_PIECE_CONTROL) v->type[a->id] = CRIA_PIECE_USER_DEFINED;
    }
    cria_normalize_work_fini(&w);
    return st;
}

/* ---- the whole ---- */

static void top_member(struct loader *l, cria_jsontext key) {
    const struct {
        const char *name;
        cria_jsontext *raw;
    } parts[] = {{"added_tokens", &l->raw.added},
                 {"normalizer", &l->raw.normalizer},
                 {"pre_tokenizer", &l->raw.pre_tokenizer},
                 {"post_processor", &l->raw.post_processor},
                 {"decoder", &l->raw.decoder}};
    cria_jsontext t;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (cria_jsontext_is(key, parts[i].name)) {
            cria_jsonread_raw(l->r, parts[i].raw);
            return;
        }
    if (cria_jsontext_is(key, "model"))
        read_model(l);
    else if (cria_jsontext_is(key, "truncation") || cria_jsontext_is(key, "padding"))
        cria_jsonread_skip(l->r);
    else if (!cria_jsontext_is(key, "version"))
        fail(l, CRIA_EUNSUPPORTED, "a tokenizer.json has no member", key);
    else if (cria_jsonread_string(l->r, &t) && !cria_jsontext_is(t, "1.0"))
        fail(l, CRIA_EUNSUPPORTED, "the file's version is not 1.0 but", t);
}

static const char *const top_members[] = {"version",        "truncation", "padding",
                                          "added_tokens",   "normalizer", "pre_tokenizer",
                                          "post_processor", "decoder",    "model"};

static cria_status read_file(struct loader *l, int32_t *prefix) {
    cria_jsontext key;
    unsigned seen = 0;
    for (cria_jsonread_object(l->r); cria_jsonread_key(l->r, &key);) {
        if (!note(l, top_members, sizeof top_members / sizeof *top_members, key, &seen)) break;
        top_member(l, key);
    }
    if (l->r->status == CRIA_OK && !l->model)
        cria_jsonread_fail(l->r, CRIA_EFORMAT, "the file has no model, so it is no tokenizer.json");
    cria_jsonread *r = l->r;
    cria_status st = r->status;
    if (st == CRIA_OK) st = cria_hf_normalizer(r, l->raw.normalizer, l->v);
    if (st == CRIA_OK) st = cria_hf_pre_tokenizer(r, l->raw.pre_tokenizer, l->v);
    if (st == CRIA_OK) st = cria_hf_decoder(r, l->raw.decoder, l->v);
    if (st == CRIA_OK) st = cria_hf_post_processor(r, l->raw.post_processor, prefix);
    if (st == CRIA_OK && l->raw.added.data && !cria_jsontext_is(l->raw.added, "null")) {
        cria_jsonread tokens;
        cria_jsonread_sub(&tokens, r, l->raw.added);
        l->r = &tokens;
        read_added_tokens(l);
        st = cria_jsonread_end(&tokens);
        l->r = r;
    }
    if (st == CRIA_OK) st = set_forms(l);
    r->status = st;
    return cria_jsonread_end(r);
}

cria_status cria_vocab_load_hf(cria_ctx *ctx, const uint8_t *data, size_t len, const char *name,
                               const char *folder, cria_vocab *out, cria_error *err) {
    cria_vocab v;
    cria_jsonread r;
    int32_t prefix = -1;
    struct loader l = {.ctx = ctx, .name = name, .v = &v, .err = err, .r = &r, .unk_id = -1};
    cria_vocab_init(&v, ctx);
    cria_jsonread_init(&r, ctx, data, len, name, err);
    cria_buf_init(&l.text, ctx, UINT32_MAX);
    cria_buf_init(&l.joint, ctx, UINT32_MAX);
    cria_status st = read_file(&l, &prefix);
    if (st == CRIA_OK && prefix >= (int32_t)v.n)
        st = cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                       "%s: the post_processor puts token %d first, but the vocabulary has only %u.", name,
                       (int)prefix, v.n);
    if (st == CRIA_OK) st = cria_hf_config(ctx, folder, prefix, &v, err);
    cria_buf_fini(&l.text);
    cria_buf_fini(&l.joint);
    cria_free(ctx, l.entries.data);
    cria_free(ctx, l.scores.data);
    cria_free(ctx, l.merges.data);
    cria_free(ctx, l.unk);
    if (st == CRIA_OK)
        *out = v;
    else
        cria_vocab_fini(&v);
    return st;
}
