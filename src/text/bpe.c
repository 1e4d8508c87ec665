/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BPE with ranked merges: a word (pipe_split.c) starts as one symbol per character, or per byte where the
 * pieces are in the byte-level alphabet, and the neighbours whose merge has the lowest rank are joined,
 * leftmost first, until no neighbours have one.
 *
 * Owns: the table from a pair of symbols to its merge. Immutable; the working memory belongs to the call. Not
 * here: special symbols (tokenizer.c) and the words.
 *
 * A run of n symbols costs O(n log n): the queue holds, for each pair that can merge, its rank and place in
 * one integer; an entry whose pair is no longer there is noticed when it comes up. A word may be the whole
 * text (Llama 2 has no pre-tokenizer), so it is cut first wherever no merge can reach over: where no merge's
 * left part ends in the one character and its right part begins with the other. Runs seen lately are not
 * merged again.
 *
 * The odd cases are those of PyPI tokenizers (models/bpe): a character without a piece becomes bytes, or the
 * unknown piece, or is left out as if it had not been in the word; of two merges of one pair the later holds.
 */
#include "text/bpe.h"

#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

#include <string.h>

#define NONE UINT32_MAX
#define MEETINGS_PER_MERGE 8 /* bits: one in eight pairs that do not meet looks as if it did */
#define CUT_FROM 32u         /* bytes of a byte-level word from which on looking for cuts pays */
#define MEMO_SLOTS 4096u
#define MEMO_TEXT_MIN 8192u /* bytes of text from which on remembering runs pays */

struct cria_bpe {
    uint32_t *merge; /* open addressing: index of a merge (its rank), NONE for empty */
    unsigned shift;  /* 64 − log2 of the slots */
    bool bytes;      /* units are bytes, else characters */
    bool complete;   /* every unit has a piece or falls back to bytes that have: words may be cut */
    uint32_t
        unit_id[256]; /* the piece of a byte, or of an ASCII character; NONE where the vocabulary has none */
    uint32_t byte_piece[256]; /* <0xNN>, where the model falls back to bytes */
    uint64_t *meeting;        /* bit per hash of two units: a merge may reach over the border between them */
    unsigned meeting_shift;   /* 64 − log2 of the bits */
    size_t longest;           /* bytes of the longest piece */
};

/* A symbol of the run being merged, in a list that those joined to their left neighbour are taken out of. */
struct symbol {
    uint32_t id, prev, next;
    uint32_t rank; /* of the merge with next; NONE where there is none */
};

/* A run merged before: its bytes and where its ids stand in the output. */
struct memo {
    uint8_t len; /* 0: none */
    uint8_t text[23];
    uint32_t n;
    size_t first;
};

struct cria_bpe_work {
    const struct cria_bpe *b;
    const cria_vocab *v;
    struct symbol *sym;
    uint64_t *heap; /* binary min-heap of rank << 32 | index of the left symbol */
    size_t n_heap, cap;
    uint32_t n;         /* symbols of the run */
    uint8_t *chars;     /* a word in the alphabet of the pieces: longest + 4 bytes; NULL where not needed */
    struct memo *memos; /* [MEMO_SLOTS]; NULL: not remembered */
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

static uint32_t meeting_of(const struct cria_bpe *b, uint32_t left, uint32_t right) {
    return (uint32_t)(((uint64_t)left << 21 | right) * 0x9e3779b97f4a7c15u >> b->meeting_shift);
}

static bool meet(const struct cria_bpe *b, uint32_t left, uint32_t right) {
    const uint32_t h = meeting_of(b, left, right);
    return (b->meeting[h / 64] >> h % 64 & 1) != 0;
}

/* ---- one run ---- */

static void heap_push(struct cria_bpe_work *w, uint64_t key) {
    size_t i = w->n_heap++;
    while (i > 0 && w->heap[(i - 1) / 2] > key) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = key;
}

static uint64_t heap_pop(struct cria_bpe_work *w) {
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
static void queue_pair(struct cria_bpe_work *w, uint32_t i) {
    struct symbol *s = &w->sym[i];
    s->rank = s->next == NONE ? NONE : *find_slot(w->b, w->v, s->id, w->sym[s->next].id);
    if (s->rank != NONE) heap_push(w, (uint64_t)s->rank << 32 | i);
}

static void merge_symbols(struct cria_bpe_work *w) {
    w->n_heap = 0;
    for (uint32_t i = 0; i < w->n; i++) queue_pair(w, i);
    while (w->n_heap > 0) {
        const uint64_t top = heap_pop(w);
        const uint32_t i = (uint32_t)top;
        struct symbol *s = &w->sym[i];
        if (s->rank != top >> 32) continue; /* the pair has changed since */
        struct symbol *gone = &w->sym[s->next];
        s->id = w->v->merges[s->rank].result;
        s->next = gone->next;
        gone->rank = NONE;
        if (s->next != NONE) w->sym[s->next].prev = i;
        if (s->prev != NONE) queue_pair(w, s->prev);
        queue_pair(w, i);
    }
}

/* Room for a run of n bytes. Every merge takes one symbol away and queues at most two pairs: 3n in all. */
static cria_status work_reserve(struct cria_bpe_work *w, size_t n, cria_error *err) {
    if (n <= w->cap) return CRIA_OK;
    if (n >= NONE / 2)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The text has a word of %zu bytes, and at most %u are possible; split the text.", n,
                         NONE / 2);
    cria_ctx *ctx = w->v->ctx;
    const size_t cap = n + n / 2 < 256 ? 256 : n + n / 2;
    struct symbol *sym = cria_malloc_array(ctx, cap, sizeof *sym);
    uint64_t *heap = cria_malloc_array(ctx, cap, 3 * sizeof *heap);
    if (sym == NULL || heap == NULL) {
        cria_free(ctx, sym);
        cria_free(ctx, heap);
        return cria_fail_nomem(err, "a word of the text", cap * (sizeof *sym + 3 * sizeof *heap));
    }
    cria_free(ctx, w->sym);
    cria_free(ctx, w->heap);
    w->sym = sym;
    w->heap = heap;
    w->cap = cap;
    return CRIA_OK;
}

static void add_symbol(struct cria_bpe_work *w, uint32_t id) {
    const uint32_t n = w->n++;
    w->sym[n] = (struct symbol){id, n == 0 ? NONE : n - 1, n + 1, NONE};
}

/* The unit at s: its length, its number for meet(), and its piece or NONE. */
static inline size_t unit_at(const struct cria_bpe *b, const cria_vocab *v, const uint8_t *s, size_t len,
                             uint32_t *cp, uint32_t *id) {
    *cp = s[0];
    if (b->bytes || s[0] < 0x80) {
        *id = b->unit_id[s[0]];
        return 1;
    }
    const size_t n = cria_utf8_decode(s, len, cp);
    *id = (uint32_t)cria_vocab_find(v, (const char *)s, n); /* −1 is NONE */
    return n;
}

/* Bytes of a unit that has no piece, as symbols; false where some of them have none either. */
static bool add_bytes(struct cria_bpe_work *w, const uint8_t *s, size_t n) {
    uint8_t chars[4];
    if (w->b->bytes) { /* the unit is a character of the alphabet */
        n = cria_utf8_encode(cria_byte_to_char(s[0]), chars);
        s = chars;
    }
    for (size_t i = 0; i < n; i++)
        if (w->b->byte_piece[s[i]] == NONE) return false;
    for (size_t i = 0; i < n; i++) add_symbol(w, w->b->byte_piece[s[i]]);
    return true;
}

/* The unknown piece for characters that have none waits for the next character that has one, even while bytes
 * are added: so does the library's. */
static void add_symbols(struct cria_bpe_work *w, const uint8_t *text, size_t len) {
    const struct cria_bpe *b = w->b;
    const uint32_t unknown = (uint32_t)w->v->model_unk;
    bool waiting = false;
    w->n = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp, id;
        const size_t n = unit_at(b, w->v, text + i, len - i, &cp, &id);
        if (id != NONE) {
            if (waiting) add_symbol(w, unknown);
            waiting = false;
            add_symbol(w, id);
        } else if (!(w->v->byte_fallback && add_bytes(w, text + i, n)) && unknown != NONE) {
            if (waiting && !w->v->fuse_unk) add_symbol(w, unknown);
            waiting = true;
        }
        i += n;
    }
    if (waiting) add_symbol(w, unknown);
    if (w->n > 0) w->sym[w->n - 1].next = NONE;
}

static struct memo *memo_of(const struct cria_bpe_work *w, const uint8_t *s, size_t n) {
    uint64_t h = n;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) h = (h ^ cria_load_u64(s + i)) * 0x9e3779b97f4a7c15u, h ^= h >> 29;
    uint64_t rest = 0;
    for (; i < n; i++) rest = rest << 8 | s[i];
    h = (h ^ rest) * 0xd6e8feb86659fd93u;
    return &w->memos[(h ^ h >> 32) % MEMO_SLOTS];
}

static cria_status encode_run(struct cria_bpe_work *w, const uint8_t *text, size_t len, cria_ids *out,
                              cria_error *err) {
    cria_status st = CRIA_OK;
    const size_t first = out->n;
    struct memo *m = w->memos && len <= sizeof m->text ? memo_of(w, text, len) : NULL;
    if (m && m->len == len && memcmp(m->text, text, len) == 0) {
        for (size_t i = 0; i < m->n && st == CRIA_OK; i++)
            st = cria_ids_push(out, out->data[m->first + i], err);
        return st;
    }
    /* A character of the alphabet without a piece may be two bytes; one beyond it, four. */
    if ((st = work_reserve(w, w->b->complete ? len : 2 * len, err)) != CRIA_OK) return st;
    add_symbols(w, text, len);
    if (w->n > 0) {
        merge_symbols(w);
        for (uint32_t i = 0; i != NONE && st == CRIA_OK; i = w->sym[i].next)
            st = cria_ids_push(out, (int32_t)w->sym[i].id, err);
    }
    if (m && st == CRIA_OK) {
        *m = (struct memo){.len = (uint8_t)len, .n = (uint32_t)(out->n - first), .first = first};
        memcpy(m->text, text, len);
    }
    return st;
}

/* ---- one word ---- */

/* Id of the piece that is the whole word, or −1. */
static int32_t whole_word(const struct cria_bpe_work *w, const uint8_t *word, size_t len) {
    int32_t id;
    if (!w->b->bytes) {
        id = cria_vocab_find(w->v, (const char *)word, len);
    } else {
        size_t n = 0;
        for (size_t i = 0; i < len; i++) {
            if (n + 2 > w->b->longest + 1) return -1;
            n += cria_utf8_encode(cria_byte_to_char(word[i]), w->chars + n);
        }
        id = cria_vocab_find(w->v, (const char *)w->chars, n);
    }
    return id >= 0 && (w->v->hash_is_model || w->v->type[id] == CRIA_PIECE_NORMAL) ? id : -1;
}

cria_status cria_bpe_word(struct cria_bpe_work *w, const uint8_t *word, size_t len, cria_ids *out,
                          cria_error *err) {
    const struct cria_bpe *b = w->b;
    if (w->v->whole_words) {
        const int32_t id = whole_word(w, word, len);
        if (id >= 0) return cria_ids_push(out, id, err);
    }
    if (!b->complete || (b->bytes && len < CUT_FROM)) return encode_run(w, word, len, out, err);
    cria_status st = CRIA_OK;
    size_t from = 0;
    uint32_t before = 0;
    for (size_t i = 0; i < len && st == CRIA_OK;) {
        uint32_t cp = word[i];
        const size_t n = b->bytes || cp < 0x80 ? 1 : cria_utf8_decode(word + i, len - i, &cp);
        if (i > from && !meet(b, before, cp)) {
            st = encode_run(w, word + from, i - from, out, err);
            from = i;
        }
        before = cp;
        i += n;
    }
    return st == CRIA_OK ? encode_run(w, word + from, len - from, out, err) : st;
}

/* ---- text ---- */

cria_status cria_bpe_begin(const struct cria_bpe *b, const cria_vocab *v, size_t text_len,
                           struct cria_bpe_work **out, cria_error *err) {
    struct cria_bpe_work *w = cria_calloc(v->ctx, 1, sizeof *w);
    if (w == NULL) return cria_fail_nomem(err, "tokenizing", sizeof *w);
    w->b = b;
    w->v = v;
    const bool chars = v->whole_words && b->bytes, memos = text_len >= MEMO_TEXT_MIN;
    if (chars) w->chars = cria_malloc(v->ctx, b->longest + 4);
    if (memos) w->memos = cria_calloc(v->ctx, MEMO_SLOTS, sizeof *w->memos);
    if ((chars && w->chars == NULL) || (memos && w->memos == NULL)) {
        cria_bpe_finish(w);
        return cria_fail_nomem(err, "tokenizing", b->longest + MEMO_SLOTS * sizeof *w->memos);
    }
    *out = w;
    return CRIA_OK;
}

void cria_bpe_finish(struct cria_bpe_work *w) {
    if (w == NULL) return;
    cria_ctx *ctx = w->v->ctx;
    cria_free(ctx, w->chars);
    cria_free(ctx, w->memos);
    cria_free(ctx, w->sym);
    cria_free(ctx, w->heap);
    cria_free(ctx, w);
}

/* ---- making ---- */

static void find_units(struct cria_bpe *b, const cria_vocab *v) {
    bool fallback = v->byte_fallback;
    b->complete = true;
    for (unsigned i = 0; i < 256; i++) {
        char name[6] = "<0x00>";
        uint8_t chars[4];
        name[3] = "0123456789ABCDEF"[i / 16];
        name[4] = "0123456789ABCDEF"[i % 16];
        b->byte_piece[i] = v->byte_fallback ? (uint32_t)cria_vocab_find(v, name, 6) : NONE; /* −1 is NONE */
        fallback = fallback && b->byte_piece[i] != NONE;
        const size_t n = cria_utf8_encode(b->bytes ? cria_byte_to_char((uint8_t)i) : i, chars);
        b->unit_id[i] = (uint32_t)cria_vocab_find(v, (const char *)chars, n);
        b->complete = b->complete && b->bytes && b->unit_id[i] != NONE;
    }
    b->complete = b->complete || (fallback && !b->bytes);
    for (uint32_t i = 0; i < v->n; i++) {
        size_t len;
        cria_vocab_piece(v, i, &len);
        if (len > b->longest) b->longest = len;
    }
}

/* The first and the last unit of each piece, [2 · n]; UINT32_MAX where there is none. */
static uint32_t *find_ends(const struct cria_bpe *b, const cria_vocab *v) {
    uint32_t *ends = cria_malloc_array(v->ctx, v->n, 2 * sizeof *ends);
    for (uint32_t id = 0; ends && id < v->n; id++) {
        size_t n;
        const uint8_t *piece = (const uint8_t *)cria_vocab_piece(v, id, &n);
        size_t at = n;
        while (at > 0 && (piece[--at] & 0xc0) == 0x80) continue;
        for (int side = 0; side < 2; side++) {
            uint32_t cp = UINT32_MAX;
            if (n > 0) cria_utf8_decode(piece + (side ? at : 0), side ? n - at : n, &cp);
            if (n > 0 && b->bytes) cp = (uint32_t)cria_char_to_byte(cp); /* −1: never a symbol */
            ends[2 * (size_t)id + (size_t)side] = cp;
        }
    }
    return ends;
}

/* The last unit of the one part and the first of the other. */
static void note_meeting(struct cria_bpe *b, const uint32_t *ends, const struct cria_merge *m) {
    const uint32_t left = ends[2 * (size_t)m->left + 1], right = ends[2 * (size_t)m->right];
    if (left == UINT32_MAX || right == UINT32_MAX) return;
    const uint32_t h = meeting_of(b, left, right);
    b->meeting[h / 64] |= UINT64_C(1) << h % 64;
}

/* Bytes that a character fell back to may merge with what stands beside it, whatever the character: then
 * words are not cut. */
static bool bytes_merge(const struct cria_bpe *b, const cria_vocab *v) {
    if (b->bytes || !v->byte_fallback) return false;
    uint8_t *is_byte = cria_calloc(v->ctx, v->n, 1);
    bool found = !is_byte; /* without memory: as if */
    for (unsigned i = 0; i < 256 && is_byte; i++)
        if (b->byte_piece[i] != NONE) is_byte[b->byte_piece[i]] = 1;
    for (uint32_t i = 0; i < v->n_merges && !found; i++)
        found = is_byte[v->merges[i].left] || is_byte[v->merges[i].right];
    cria_free(v->ctx, is_byte);
    return found;
}

cria_status cria_bpe_new(const cria_vocab *v, struct cria_bpe **out, cria_error *err) {
    unsigned bits = 4; /* at most half full */
    while (((size_t)1 << bits) / 2 < v->n_merges) bits++;
    const size_t bytes = sizeof(uint32_t) << bits;
    unsigned meeting_bits = 6;
    while (((size_t)1 << meeting_bits) < (size_t)v->n_merges * MEETINGS_PER_MERGE) meeting_bits++;
    struct cria_bpe *b = cria_calloc(v->ctx, 1, sizeof *b);
    if (b != NULL) b->merge = cria_malloc(v->ctx, bytes);
    if (b != NULL) b->meeting = cria_calloc(v->ctx, (size_t)1 << (meeting_bits - 6), sizeof *b->meeting);
    if (b == NULL || b->merge == NULL || b->meeting == NULL) {
        cria_bpe_free(v->ctx, b);
        return cria_fail_nomem(err, "the tokenizer's table of merges", bytes);
    }
    memset(b->merge, 0xff, bytes);
    b->shift = 64 - bits;
    b->meeting_shift = 64 - meeting_bits;
    b->bytes = v->pipe.bytes;
    find_units(b, v);
    if (bytes_merge(b, v)) b->complete = false;
    uint32_t *ends = find_ends(b, v);
    if (ends == NULL) {
        cria_bpe_free(v->ctx, b);
        return cria_fail_nomem(err, "the tokenizer's table of merges", v->n * 2 * sizeof *ends);
    }
    for (uint32_t i = 0; i < v->n_merges; i++) {
        *find_slot(b, v, v->merges[i].left, v->merges[i].right) = i;
        note_meeting(b, ends, &v->merges[i]);
    }
    cria_free(v->ctx, ends);
    *out = b;
    return CRIA_OK;
}

void cria_bpe_free(cria_ctx *ctx, struct cria_bpe *b) {
    if (b == NULL) return;
    cria_free(ctx, b->merge);
    cria_free(ctx, b->meeting);
    cria_free(ctx, b);
}
