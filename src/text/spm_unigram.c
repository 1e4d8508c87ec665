/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unigram segmentation: the path of pieces with the highest sum of scores (Viterbi), as
 * unigram::Model::EncodeOptimized of SentencePiece 0.2.3, in the same float operations and the same order, so
 * that near-ties fall alike. Positions are bytes; a piece starts only where a character starts.
 */
#include "base/mem.h"
#include "base/status.h"
#include "text/spm_segment.h"

#define NO_START UINT32_MAX
#define SCORE_RESET 100000.0f

struct node { /* the best path that ends at a byte position */
    float score;
    uint32_t start; /* of its last piece; NO_START: no path ends here */
    int32_t id;
};

struct lattice {
    struct node *best; /* [len + 1] */
    size_t frontier;   /* the furthest position that a piece has reached */
};

static void offer(struct lattice *l, size_t start, size_t end, float score, int32_t id) {
    struct node *to = &l->best[end];
    if (end > l->frontier) l->frontier = end;
    const float sum = score + l->best[start].score;
    if (to->start == NO_START || sum > to->score) *to = (struct node){sum, (uint32_t)start, id};
}

/* Keeps sums small enough for float precision on long texts, exactly where the library does. */
static void rebase(struct lattice *l, size_t at) {
    const float offset = l->best[at].score;
    if (!(offset < -SCORE_RESET || offset > SCORE_RESET)) return;
    for (size_t i = at; i <= l->frontier; i++)
        if (i == at || l->best[i].start != NO_START) l->best[i].score -= offset;
    l->best[at].score = 0.0f;
}

static void search(const struct cria_spm *s, const cria_vocab *v, const uint8_t *text, size_t len,
                   struct lattice *l) {
    for (size_t start = 0; start < len;) {
        rebase(l, start);
        const size_t c = cria_spm_char_length(text + start, len - start);
        bool single = false; /* a piece of just this character exists */
        uint32_t node = 0;
        for (size_t end = start; end < len;) {
            node = cria_trie_step(&s->pieces, node, text[end++]);
            if (node == 0) break;
            const int32_t id = s->pieces.value[node];
            if (id < 0 || v->type[id] == CRIA_PIECE_UNUSED) continue;
            const size_t n = end - start;
            /* A user-defined symbol beats any other way through its text. */
            const float score =
                v->type[id] == CRIA_PIECE_USER_DEFINED ? (float)(0.1 * ((int)n - 1)) : v->score[id];
            offer(l, start, end, score, id);
            if (n == c) single = true;
        }
        if (!single) offer(l, start, start + c, s->unk_score, v->unk);
        start += c;
    }
}

/* The path is known from its end: turn its links around in place (start becomes the end of the piece that
 * starts there), then walk it forwards. */
static cria_status give_out(const uint8_t *text, size_t len, struct node *best, struct cria_spm_out *o,
                            cria_error *err) {
    struct node link = best[len];
    for (size_t end = len; end > 0;) {
        const struct node before = best[link.start];
        best[link.start] = (struct node){0.0f, (uint32_t)end, link.id};
        end = link.start;
        link = before;
    }
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < len && st == CRIA_OK; i = best[i].start)
        st = cria_spm_emit(o, best[i].id, text + i, best[i].start - i, err);
    return st;
}

cria_status cria_spm_segment_unigram(const struct cria_spm *s, const uint8_t *text, size_t len,
                                     struct cria_spm_out *o, cria_error *err) {
    struct lattice l = {.best = cria_malloc_array(o->v->ctx, len + 1, sizeof *l.best)};
    if (!l.best) return cria_fail_nomem(err, "tokenizing", (len + 1) * sizeof *l.best);
    for (size_t i = 0; i <= len; i++) l.best[i] = (struct node){0.0f, NO_START, -1};
    search(s, o->v, text, len, &l);
    const cria_status st = give_out(text, len, l.best, o, err);
    cria_free(o->v->ctx, l.best);
    return st;
}
