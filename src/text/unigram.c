/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Viterbi over the pieces that start at each character, as unigram::Model::EncodeOptimized of SentencePiece
 * 0.2.3 and as the same algorithm in PyPI tokenizers (models/unigram), in the same float operations and the
 * same order, so that near-ties fall alike. SentencePiece adds in single precision (a double holds such a sum
 * exactly before it is rounded), keeps sums small on long texts, and knows kinds of pieces; tokenizers adds
 * in double precision and has one kind.
 */
#include "text/unigram.h"
#include "base/mem.h"
#include "base/status.h"
#include "text/spm_segment.h"

#include <math.h>
#include <string.h>

#define NO_START UINT32_MAX
#define SCORE_RESET 100000.0

struct lattice {
    struct cria_unigram_node *best; /* [len + 1] */
    size_t frontier;                /* the furthest position that a piece has reached */
    bool exact;                     /* sums in double precision */
};

static void offer(struct lattice *l, size_t start, size_t end, double score, int32_t id) {
    struct cria_unigram_node *to = &l->best[end];
    if (end > l->frontier) l->frontier = end;
    double sum = score + l->best[start].score;
    if (!l->exact) sum = (float)sum;
    if (to->start == NO_START || sum > to->score) *to = (struct cria_unigram_node){sum, (uint32_t)start, id};
}

/* Keeps sums small enough for float precision on long texts, exactly where SentencePiece does. */
static void rebase(struct lattice *l, size_t at) {
    const double offset = l->best[at].score;
    if (!(offset < -SCORE_RESET || offset > SCORE_RESET)) return;
    for (size_t i = at; i <= l->frontier; i++)
        if (i == at || l->best[i].start != NO_START) l->best[i].score = (float)(l->best[i].score - offset);
    l->best[at].score = 0;
}

static double score_of(const cria_vocab *v, int32_t id, size_t len) {
    if (v->exact_score) return v->exact_score[id];
    /* A user-defined symbol beats any other way through its text. */
    if (v->type[id] == CRIA_PIECE_USER_DEFINED) return (float)(0.1 * ((int)len - 1));
    return v->score[id];
}

static void search(const struct cria_unigram *u, const cria_vocab *v, const uint8_t *text, size_t len,
                   struct lattice *l) {
    for (size_t start = 0; start < len;) {
        if (!l->exact) rebase(l, start);
        const size_t c = cria_spm_char_length(text + start, len - start);
        bool single = false; /* a piece of just this character exists */
        uint32_t node = 0;
        for (size_t end = start; end < len;) {
            node = cria_trie_step(&u->pieces, node, text[end++]);
            if (node == 0) break;
            const int32_t id = u->pieces.value[node];
            if (id < 0 || (!l->exact && v->type[id] == CRIA_PIECE_UNUSED)) continue;
            offer(l, start, end, score_of(v, id, end - start), id);
            if (end - start == c) single = true;
        }
        if (!single) offer(l, start, start + c, u->unk_score, v->unk);
        start += c;
    }
}

/* The path is known from its end: its links are turned around in place. */
static void turn_around(struct cria_unigram_node *best, size_t len) {
    struct cria_unigram_node link = best[len];
    for (size_t end = len; end > 0;) {
        const struct cria_unigram_node before = best[link.start];
        best[link.start] = (struct cria_unigram_node){0, (uint32_t)end, link.id};
        end = link.start;
        link = before;
    }
}

cria_status cria_unigram_search(const struct cria_unigram *u, const cria_vocab *v, const uint8_t *text,
                                size_t len, struct cria_unigram_node **out, cria_error *err) {
    struct lattice l = {.exact = v->exact_score != NULL};
    l.best = cria_malloc_array(v->ctx, len + 1, sizeof *l.best);
    if (!l.best) return cria_fail_nomem(err, "tokenizing", (len + 1) * sizeof *l.best);
    for (size_t i = 0; i <= len; i++) l.best[i] = (struct cria_unigram_node){0, NO_START, -1};
    search(u, v, text, len, &l);
    turn_around(l.best, len);
    *out = l.best;
    return CRIA_OK;
}

/* ---- tokenizer.json's ---- */

cria_status cria_unigram_new(const cria_vocab *v, struct cria_unigram **out, cria_error *err) {
    struct cria_unigram *u = cria_calloc(v->ctx, 1, sizeof *u);
    if (!u) return cria_fail_nomem(err, "the tokenizer", sizeof *u);
    cria_trie_init(&u->pieces, v->ctx);
    double lowest = INFINITY;
    cria_status st = CRIA_OK;
    for (uint32_t id = 0; id < v->n_model && st == CRIA_OK; id++) {
        size_t len;
        const char *piece = cria_vocab_piece(v, id, &len);
        if (v->exact_score[id] < lowest) lowest = v->exact_score[id];
        st = cria_trie_add(&u->pieces, piece, len, (int32_t)id, err);
    }
    u->unk_score = lowest - 10.0;
    if (st == CRIA_OK)
        *out = u;
    else
        cria_unigram_free(v->ctx, u);
    return st;
}

void cria_unigram_free(cria_ctx *ctx, struct cria_unigram *u) {
    if (!u) return;
    cria_trie_fini(&u->pieces);
    cria_free(ctx, u);
}

/* Characters that no piece covers, in a row: a piece all the same where they happen to be one, else bytes,
 * else the unknown piece. */
static cria_status push_unknown(const cria_vocab *v, const uint8_t *text, size_t len, cria_ids *out,
                                cria_error *err) {
    const int32_t id = cria_vocab_find(v, (const char *)text, len);
    if (id >= 0) return cria_ids_push(out, id, err);
    cria_status st = CRIA_OK;
    bool bytes = v->byte_fallback;
    for (size_t i = 0; i < len && bytes; i++) bytes = v->byte_id[text[i]] >= 0;
    for (size_t i = 0; i < len && bytes && st == CRIA_OK; i++)
        st = cria_ids_push(out, v->byte_id[text[i]], err);
    if (bytes) return st;
    if (v->unk < 0)
        return cria_fail(
            err, CRIA_EINVAL, CRIA_NOWHERE,
            "The text has a character that no piece covers, and the tokenizer has no unknown piece.");
    return cria_ids_push(out, v->unk, err);
}

cria_status cria_unigram_word(const struct cria_unigram *u, const cria_vocab *v, const uint8_t *text,
                              size_t len, cria_ids *out, cria_error *err) {
    struct cria_unigram_node *path;
    cria_status st = cria_unigram_search(u, v, text, len, &path, err);
    if (st != CRIA_OK) return st;
    for (size_t i = 0; i < len && st == CRIA_OK;) {
        size_t end = path[i].start;
        if (path[i].id != v->unk) {
            st = cria_ids_push(out, path[i].id, err);
        } else {
            while (end < len && path[end].id == v->unk) end = path[end].start;
            st = push_unknown(v, text + i, end - i, out, err);
        }
        i = end;
    }
    cria_free(v->ctx, path);
    return st;
}
