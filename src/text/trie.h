/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of byte strings, each with an id, walked byte by byte: pieces of a unigram model, symbols cut out of
 * raw text. A node's children are found in one hash table of (node, byte) → child, so building is linear in
 * the bytes added. Owns its tables. Immutable after building; any thread may walk.
 */
#ifndef CRIA_TEXT_TRIE_H
#define CRIA_TEXT_TRIE_H

#include "cria/cria.h"

struct cria_trie_slot {
    uint32_t key;   /* node · 256 + byte; meaningless while child is 0 */
    uint32_t child; /* 0: empty (the root is nobody's child) */
};

typedef struct cria_trie {
    cria_ctx *ctx;
    struct cria_trie_slot *slots;
    uint32_t shift; /* 64 − log2 of the number of slots */
    uint32_t mask;
    int32_t *value; /* [n_nodes]: id of the string that ends here, or −1; node 0 is the root */
    uint32_t n_nodes, cap_nodes;
    uint32_t root[256]; /* children of the root; 0: none */
} cria_trie;

void cria_trie_init(cria_trie *t, cria_ctx *ctx);
void cria_trie_fini(cria_trie *t);
/* Adds s[0..len) with id >= 0; of two equal strings the first keeps its id. An empty string is ignored.
 * CRIA_EUNSUPPORTED beyond 2^24 nodes. */
cria_status cria_trie_add(cria_trie *t, const char *s, size_t len, int32_t id, cria_error *err);
static inline bool cria_trie_empty(const cria_trie *t) { return t->n_nodes <= 1; }

/* The child of node by byte, or 0. */
static inline uint32_t cria_trie_step(const cria_trie *t, uint32_t node, uint8_t byte) {
    if (node == 0) return t->root[byte];
    const uint32_t key = node << 8 | byte;
    uint32_t slot = (uint32_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> t->shift);
    while (t->slots[slot].child != 0 && t->slots[slot].key != key) slot = (slot + 1) & t->mask;
    return t->slots[slot].child;
}

/* Length of the longest string of the set that s begins with, 0 for none; *id is its id. Of the strings that
 * s begins with only the shortest ones count, at most `most` (SentencePiece looks at no more than 64). */
size_t cria_trie_longest(const cria_trie *t, const uint8_t *s, size_t len, unsigned most, int32_t *id);

#endif
