/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte-level BPE: the text is cut into words (pretok.c), a word starts as one symbol per byte, and the
 * neighbours whose merge has the lowest rank are joined, leftmost first, until no neighbours have one.
 *
 * Owns: the table from a pair of symbols to its merge. Immutable; the working memory belongs to the call. Not
 * here: special symbols (tokenizer.c) and the words.
 *
 * A word costs O(n log n): the queue holds, for each pair that can merge, its rank and place in one integer;
 * an entry whose pair is no longer there is noticed when it comes up. The odd cases are those of PyPI
 * tokenizers (models/bpe): a byte without a piece is left out, as if it had not been in the word; of two
 * merges of one pair the later holds.
 */
#include "text/bpe.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "text/pretok.h"
#include "text/tokenizer.h"

#include <string.h>

#define NONE UINT32_MAX

struct cria_bpe {
    uint32_t *merge;       /* open addressing: index of a merge (its rank), NONE for empty */
    unsigned shift;        /* 64 − log2 of the slots */
    uint32_t byte_id[256]; /* the piece of a single byte; NONE where the vocabulary has none */
    size_t longest;        /* bytes of the longest piece */
    bool whole_words;
};

/* A symbol of the word being merged, in a list that those joined to their left neighbour are taken out of. */
struct symbol {
    uint32_t id, prev, next;
    uint32_t rank; /* of the merge with next; NONE where there is none */
};

/* Working memory of one call, for words of up to cap bytes. */
struct work {
    cria_ctx *ctx;
    struct symbol *sym;
    uint64_t *heap; /* binary min-heap of rank << 32 | index of the left symbol */
    size_t n_heap, cap;
    uint8_t *chars; /* a word in the alphabet of the pieces: longest + 1 bytes */
};

/* ---- merges ---- */

/* The table's address makes the order of slots another one in every run, so that no file can be made whose
 * merges all fall on few of them. Nothing else depends on it. */
static size_t slot_of(const struct cria_bpe *b, uint32_t left, uint32_t right) {
    uint64_t h = (((uint64_t)left << 32 | right) ^ (uint64_t)(uintptr_t)b->merge) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    return (size_t)(h * 0xd6e8feb86659fd93u >> b->shift);
}

/* The slot of the pair, or the empty one where it would go. */
static uint32_t *find_slot(const struct cria_bpe *b, const cria_vocab *v, uint32_t left, uint32_t right) {
    const size_t mask = ((size_t)1 << (64 - b->shift)) - 1;
    size_t i = slot_of(b, left, right);
    while (b->merge[i] != NONE) {
        const struct cria_merge *m = &v->merges[b->merge[i]];
        if (m->left == left && m->right == right) break;
        i = (i + 1) & mask;
    }
    return &b->merge[i];
}

/* ---- one word ---- */

static void heap_push(struct work *w, uint64_t key) {
    size_t i = w->n_heap++;
    while (i > 0 && w->heap[(i - 1) / 2] > key) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = key;
}

static uint64_t heap_pop(struct work *w) {
    const uint64_t top = w->heap[0], key = w->heap[--w->n_heap];
    const size_t n = w->n_heap;
    size_t i = 0, child;
    while ((child = 2 * i + 1) < n) {
        if (child + 1 < n && w->heap[child + 1] < w->heap[child]) child++;
        if (w->heap[child] >= key) break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = key;
    return top;
}

/* Finds the merge of symbol i with the one behind it and queues it. */
static void queue_pair(const struct cria_bpe *b, const cria_vocab *v, struct work *w, uint32_t i) {
    struct symbol *s = &w->sym[i];
    s->rank = s->next == NONE ? NONE : *find_slot(b, v, s->id, w->sym[s->next].id);
    if (s->rank != NONE) heap_push(w, (uint64_t)s->rank << 32 | i);
}

static void merge_symbols(const struct cria_bpe *b, const cria_vocab *v, struct work *w, uint32_t n) {
    w->n_heap = 0;
    for (uint32_t i = 0; i < n; i++) queue_pair(b, v, w, i);
    while (w->n_heap > 0) {
        const uint64_t top = heap_pop(w);
        const uint32_t i = (uint32_t)top;
        struct symbol *s = &w->sym[i];
        if (s->rank != top >> 32) continue; /* the pair has changed since */
        struct symbol *gone = &w->sym[s->next];
        s->id = v->merges[s->rank].result;
        s->next = gone->next;
        gone->rank = NONE;
        if (s->next != NONE) w->sym[s->next].prev = i;
        if (s->prev != NONE) queue_pair(b, v, w, s->prev);
        queue_pair(b, v, w, i);
    }
}

/* Room for a word of n bytes. Every merge takes one symbol away and queues at most two pairs: 3n in all. */
static cria_status work_reserve(struct work *w, size_t n, cria_error *err) {
    if (n <= w->cap) return CRIA_OK;
    if (n >= NONE / 2)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The text has a word of %zu bytes, and at most %u are possible; split the text.", n,
                         NONE / 2);
    size_t cap = n + n / 2 < 256 ? 256 : n + n / 2;
    struct symbol *sym = cria_malloc_array(w->ctx, cap, sizeof *sym);
    uint64_t *heap = cria_malloc_array(w->ctx, cap, 3 * sizeof *heap);
    if (sym == NULL || heap == NULL) {
        cria_free(w->ctx, sym);
        cria_free(w->ctx, heap);
        return cria_fail_nomem(err, "a word of the text", cap * (sizeof *sym + 3 * sizeof *heap));
    }
    cria_free(w->ctx, w->sym);
    cria_free(w->ctx, w->heap);
    w->sym = sym;
    w->heap = heap;
    w->cap = cap;
    return CRIA_OK;
}

/* Id of the piece that is the whole word, or −1. */
static int32_t whole_word(const struct cria_bpe *b, const cria_vocab *v, struct work *w, const uint8_t *word,
                          size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (n + 2 > b->longest + 1) return -1;
        n += cria_utf8_encode(cria_byte_to_char(word[i]), w->chars + n);
    }
    const int32_t id = cria_vocab_find(v, (const char *)w->chars, n);
    return id >= 0 && v->type[id] == CRIA_PIECE_NORMAL ? id : -1;
}

static cria_status encode_word(const struct cria_bpe *b, const cria_vocab *v, struct work *w,
                               const uint8_t *word, size_t len, cria_ids *out, cria_error *err) {
    if (b->whole_words) {
        const int32_t id = whole_word(b, v, w, word, len);
        if (id >= 0) return cria_ids_push(out, id, err);
    }
    cria_status st = work_reserve(w, len, err);
    if (st != CRIA_OK) return st;
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++) {
        const uint32_t id = b->byte_id[word[i]];
        if (id == NONE) continue;
        w->sym[n] = (struct symbol){id, n == 0 ? NONE : n - 1, n + 1, NONE};
        n++;
    }
    if (n == 0) return CRIA_OK;
    w->sym[n - 1].next = NONE;
    merge_symbols(b, v, w, n);
    for (uint32_t i = 0; i != NONE && st == CRIA_OK; i = w->sym[i].next)
        st = cria_ids_push(out, (int32_t)w->sym[i].id, err);
    return st;
}

/* ---- text ---- */

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

cria_status cria_bpe_encode(const struct cria_bpe *b, const cria_vocab *v, const uint8_t *text, size_t len,
                            cria_ids *out, cria_error *err) {
    struct work w = {.ctx = v->ctx};
    uint8_t *repaired = NULL;
    cria_status st = CRIA_OK;
    if (!cria_utf8_valid(text, len)) {
        st = repair_utf8(v->ctx, text, len, &repaired, &len, err);
        text = repaired;
    }
    if (st == CRIA_OK && b->whole_words) {
        w.chars = cria_malloc(v->ctx, b->longest + 4);
        if (w.chars == NULL) st = cria_fail_nomem(err, "a word of the text", b->longest + 4);
    }
    for (size_t pos = 0; pos < len && st == CRIA_OK;) {
        const size_t n = cria_pretok_next(v->pretok, text + pos, len - pos);
        st = encode_word(b, v, &w, text + pos, n, out, err);
        pos += n;
    }
    cria_free(v->ctx, w.chars);
    cria_free(v->ctx, w.sym);
    cria_free(v->ctx, w.heap);
    cria_free(v->ctx, repaired);
    return st;
}

/* ---- making ---- */

static void find_bytes(struct cria_bpe *b, const cria_vocab *v) {
    for (unsigned i = 0; i < 256; i++) {
        uint8_t chars[4];
        const size_t n = cria_utf8_encode(cria_byte_to_char((uint8_t)i), chars);
        b->byte_id[i] = (uint32_t)cria_vocab_find(v, (const char *)chars, n); /* −1 is NONE */
    }
    for (uint32_t i = 0; i < v->n; i++) {
        size_t len;
        cria_vocab_piece(v, i, &len);
        if (len > b->longest) b->longest = len;
    }
}

cria_status cria_bpe_new(const cria_vocab *v, struct cria_bpe **out, cria_error *err) {
    unsigned bits = 4; /* at most half full */
    while (((size_t)1 << bits) / 2 < v->n_merges) bits++;
    const size_t bytes = sizeof(uint32_t) << bits;
    struct cria_bpe *b = cria_calloc(v->ctx, 1, sizeof *b);
    if (b != NULL) b->merge = cria_malloc(v->ctx, bytes);
    if (b == NULL || b->merge == NULL) {
        cria_bpe_free(v->ctx, b);
        return cria_fail_nomem(err, "the tokenizer's table of merges", bytes);
    }
    memset(b->merge, 0xff, bytes);
    b->shift = 64 - bits;
    b->whole_words = cria_pretok_whole_words(v->pretok);
    find_bytes(b, v);
    for (uint32_t i = 0; i < v->n_merges; i++) *find_slot(b, v, v->merges[i].left, v->merges[i].right) = i;
    *out = b;
    return CRIA_OK;
}

void cria_bpe_free(cria_ctx *ctx, struct cria_bpe *b) {
    if (b == NULL) return;
    cria_free(ctx, b->merge);
    cria_free(ctx, b);
}
