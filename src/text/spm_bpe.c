/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BPE by piece scores, as bpe::Model::SampleEncode of SentencePiece 0.2.3 without dropout: start from
 * characters and user-defined symbols, merge the neighbours whose joint piece has the highest score,
 * left-most on a tie, until no joint piece exists. Pieces of type UNUSED take part in merging and are split
 * again at the end.
 *
 * A binary heap holds the candidate pairs; a pair whose sides have changed since is dropped when it comes up.
 * Where no piece crosses the border before a word (cria_spm.by_word), words are done one after the other:
 * merges of different words never meet, and a heap of ten stays in the first cache lines. In a long text most
 * words have been seen before in it; their ids are copied from there.
 */
#include "base/half.h"
#include "base/mem.h"
#include "base/status.h"
#include "text/spm_segment.h"

#include <string.h>

#define NONE UINT32_MAX
#define ID_UNKNOWN_YET (-2)
#define SPLIT_DEPTH_MAX 100 /* the library's; deeper, an unused piece stays */

struct symbol {
    uint32_t start, len; /* in the text; len 0: merged into its left neighbour */
    uint32_t prev, next; /* NONE at the ends */
    int32_t id;          /* of the piece where a merge has looked it up */
    bool frozen;         /* a user-defined symbol */
};

/* Highest score first, then left-most: one 64-bit comparison. Equal keys cannot both be current. */
struct pair {
    uint64_t key; /* ordered score bits, then the complement of the left symbol's index */
    uint32_t right;
    uint32_t id; /* the joint piece */
};

/* A word done before: where it stands in the text and its ids in the output. */
struct word {
    uint32_t start, len; /* len 0: none */
    size_t first, n;
};
#define WORDS 4096u          /* slots, the latest word of a slot stays */
#define WORDS_TEXT_MIN 8192u /* bytes of text from which remembering pays */

struct bpe {
    const struct cria_spm *s;
    const cria_vocab *v;
    const uint8_t *text;
    struct symbol *symbols;
    size_t n, cap;
    struct pair *heap;
    size_t heap_n, heap_cap;
    struct word *words; /* [WORDS]; NULL: not remembered */
    uint32_t *split;    /* [n_unused] bytes of the left part in the last merge seen; 0: none */
    cria_error *err;
};

/* Float order as unsigned order: all bits flipped for negative numbers, the sign bit for others. */
static uint64_t score_order(float score) {
    const uint32_t u = cria_f32_to_bits(score);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static cria_status grow(struct bpe *b, void **data, size_t *cap, size_t item) {
    const size_t want = *cap ? *cap * 2 : 64;
    void *p = want > SIZE_MAX / item ? NULL : cria_realloc(b->v->ctx, *data, *cap * item, want * item);
    if (!p) return cria_fail_nomem(b->err, "tokenizing", want);
    *data = p;
    *cap = want;
    return CRIA_OK;
}

static cria_status heap_push(struct bpe *b, struct pair p) {
    if (b->heap_n == b->heap_cap) {
        void *data = b->heap;
        const cria_status st = grow(b, &data, &b->heap_cap, sizeof *b->heap);
        if (st != CRIA_OK) return st;
        b->heap = data;
    }
    size_t i = b->heap_n++;
    while (i > 0 && b->heap[(i - 1) / 2].key < p.key) {
        b->heap[i] = b->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    b->heap[i] = p;
    return CRIA_OK;
}

static struct pair heap_pop(struct bpe *b) {
    const struct pair top = b->heap[0], last = b->heap[--b->heap_n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= b->heap_n) break;
        if (child + 1 < b->heap_n && b->heap[child + 1].key > b->heap[child].key) child++;
        if (b->heap[child].key <= last.key) break;
        b->heap[i] = b->heap[child];
        i = child;
    }
    b->heap[i] = last;
    return top;
}

/* The id of a normal, user-defined or unused piece, or −1: reserved pieces are never found in text. */
static int32_t find_piece(const struct bpe *b, uint32_t start, size_t len) {
    const int32_t id = cria_vocab_find(b->v, (const char *)b->text + start, len);
    if (id < 0) return -1;
    const uint8_t type = b->v->type[id];
    return type == CRIA_PIECE_UNKNOWN || type == CRIA_PIECE_CONTROL || type == CRIA_PIECE_BYTE ? -1 : id;
}

static cria_status note_split(struct bpe *b, uint32_t id, uint32_t left) {
    if (!b->split) {
        b->split = cria_calloc(b->v->ctx, b->s->n_unused, sizeof *b->split);
        if (!b->split) return cria_fail_nomem(b->err, "tokenizing", b->s->n_unused * sizeof *b->split);
    }
    b->split[b->s->unused_rank[id]] = left;
    return CRIA_OK;
}

static cria_status consider(struct bpe *b, uint32_t left, uint32_t right) {
    const struct symbol *l = &b->symbols[left], *r = &b->symbols[right];
    const size_t len = (size_t)l->len + r->len;
    if (l->frozen || r->frozen || len > b->s->longest) return CRIA_OK;
    const int32_t id = find_piece(b, l->start, len);
    if (id < 0) return CRIA_OK;
    const struct pair p = {score_order(b->v->score[id]) << 32 | (uint32_t)~left, right, (uint32_t)id};
    const cria_status st = heap_push(b, p);
    if (st != CRIA_OK || b->v->type[id] != CRIA_PIECE_UNUSED) return st;
    return note_split(b, p.id, l->len);
}

static cria_status merge_all(struct bpe *b) {
    cria_status st = CRIA_OK;
    while (b->heap_n > 0 && st == CRIA_OK) {
        const struct pair p = heap_pop(b);
        const uint32_t left = ~(uint32_t)p.key;
        struct symbol *l = &b->symbols[left], *r = &b->symbols[p.right];
        const uint32_t len = b->v->offset[p.id + 1] - b->v->offset[p.id] - 1;
        if (l->len == 0 || r->len == 0 || l->len + r->len != len) continue;
        l->len = len;
        l->id = (int32_t)p.id;
        l->next = r->next;
        if (r->next != NONE) b->symbols[r->next].prev = left;
        r->len = 0;
        if (l->prev != NONE) st = consider(b, l->prev, left);
        if (l->next != NONE && st == CRIA_OK) st = consider(b, left, l->next);
    }
    return st;
}

/* An unused piece is not given out: its parts are, as they were merged. Depth is bounded, so recursion is. */
static cria_status emit(const struct bpe *b, struct cria_spm_out *o, uint32_t start, uint32_t len, int32_t id,
                        unsigned depth) {
    const uint8_t *text = b->text + start;
    if (id < 0) return cria_spm_emit(o, b->v->unk, text, len, b->err);
    if (b->v->type[id] != CRIA_PIECE_UNUSED || depth > SPLIT_DEPTH_MAX)
        return cria_spm_emit(o, id, text, len, b->err);
    const uint32_t left = b->split ? b->split[b->s->unused_rank[id]] : 0;
    if (left == 0) return cria_spm_emit(o, b->v->unk, text, len, b->err);
    const cria_status st = emit(b, o, start, left, find_piece(b, start, left), depth + 1);
    if (st != CRIA_OK) return st;
    return emit(b, o, start + left, len - left, find_piece(b, start + left, len - left), depth + 1);
}

static struct word *word_slot(const struct bpe *b, uint32_t start, uint32_t len) {
    uint64_t h = len;
    for (uint32_t i = 0; i < len; i++) h = (h ^ b->text[start + i]) * 0x100000001B3u; /* FNV-1a */
    return &b->words[(h ^ h >> 32) % WORDS];
}

static cria_status repeat(struct cria_spm_out *o, const struct word *w, cria_error *err) {
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < w->n && st == CRIA_OK; i++)
        st = cria_ids_push(o->ids, o->ids->data[w->first + i], err);
    o->after_unknown = false;
    return st;
}

/* Without byte fallback neighbouring unknown pieces are one id, also across words: such words are not
 * remembered. */
static bool repeatable(const struct bpe *b, const struct cria_spm_out *o, size_t first) {
    if (b->v->byte_fallback) return true;
    for (size_t i = first; i < o->ids->n; i++)
        if (cria_spm_unknown(b->v, o->ids->data[i])) return false;
    return o->ids->n > first;
}

/* Merges and gives out the symbols collected so far. */
static cria_status merge_symbols(struct bpe *b, struct cria_spm_out *o) {
    cria_status st = CRIA_OK;
    for (size_t i = 0; i + 1 < b->n && st == CRIA_OK; i++) st = consider(b, (uint32_t)i, (uint32_t)i + 1);
    if (st == CRIA_OK) st = merge_all(b);
    for (uint32_t i = 0; b->n > 0 && i != NONE && st == CRIA_OK; i = b->symbols[i].next) {
        const struct symbol *y = &b->symbols[i];
        const int32_t id = y->id == ID_UNKNOWN_YET ? find_piece(b, y->start, y->len) : y->id;
        st = emit(b, o, y->start, y->len, id, 0);
    }
    return st;
}

static cria_status flush(struct bpe *b, struct cria_spm_out *o) {
    if (b->n == 0) return CRIA_OK;
    const struct symbol *last = &b->symbols[b->n - 1];
    const uint32_t start = b->symbols[0].start, len = last->start + last->len - start;
    const size_t first = o->ids->n;
    struct word *w = b->words ? word_slot(b, start, len) : NULL;
    cria_status st;
    if (w && w->len == len && memcmp(b->text + w->start, b->text + start, len) == 0)
        st = repeat(o, w, b->err);
    else if ((st = merge_symbols(b, o)) == CRIA_OK && w && repeatable(b, o, first))
        *w = (struct word){start, len, first, o->ids->n - first};
    b->n = 0;
    b->heap_n = 0;
    return st;
}

static cria_status add_symbol(struct bpe *b, size_t start, size_t len, int32_t id, bool frozen) {
    if (b->n == b->cap) {
        void *data = b->symbols;
        const cria_status st = grow(b, &data, &b->cap, sizeof *b->symbols);
        if (st != CRIA_OK) return st;
        b->symbols = data;
    }
    const uint32_t i = (uint32_t)b->n++;
    if (i > 0) b->symbols[i - 1].next = i;
    b->symbols[i] = (struct symbol){(uint32_t)start, (uint32_t)len, i > 0 ? i - 1 : NONE, NONE, id, frozen};
    return CRIA_OK;
}

static cria_status segment(struct bpe *b, size_t len, struct cria_spm_out *o) {
    const struct cria_spm *s = b->s;
    bool after_space = true;
    for (size_t i = 0; i < len;) {
        const uint8_t *at = b->text + i;
        int32_t id = ID_UNKNOWN_YET;
        size_t took = s->symbols.root[at[0]]
                          ? cria_trie_longest(&s->symbols, at, len - i, CRIA_SPM_SYMBOLS_MAX, &id)
                          : 0;
        const bool frozen = took > 0;
        if (!frozen) took = cria_spm_char_length(at, len - i);
        const bool space = took == 3 && memcmp(at, "\xE2\x96\x81", 3) == 0;
        cria_status st = CRIA_OK;
        if (s->by_word && space && !after_space) st = flush(b, o);
        if (st == CRIA_OK) st = add_symbol(b, i, took, id, frozen);
        if (st != CRIA_OK) return st;
        after_space = space;
        i += took;
    }
    return flush(b, o);
}

cria_status cria_spm_segment_bpe(const struct cria_spm *s, const uint8_t *text, size_t len,
                                 struct cria_spm_out *o, cria_error *err) {
    struct bpe b = {.s = s, .v = o->v, .text = text, .err = err};
    if (s->by_word && len >= WORDS_TEXT_MIN && !(b.words = cria_calloc(o->v->ctx, WORDS, sizeof *b.words)))
        return cria_fail_nomem(err, "tokenizing", WORDS * sizeof *b.words);
    const cria_status st = segment(&b, len, o);
    cria_free(b.v->ctx, b.words);
    cria_free(b.v->ctx, b.symbols);
    cria_free(b.v->ctx, b.heap);
    cria_free(b.v->ctx, b.split);
    return st;
}
