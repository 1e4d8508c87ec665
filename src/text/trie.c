/* SPDX-License-Identifier: Apache-2.0 */
/* The trie's building and its longest match; see trie.h. */
#include "text/trie.h"
#include "base/mem.h"
#include "base/status.h"

#include <string.h>

#define NODES_MAX (1u << 24) /* a key is node · 256 + byte in 32 bits */

void cria_trie_init(cria_trie *t, cria_ctx *ctx) {
    memset(t, 0, sizeof *t);
    t->ctx = ctx;
}

void cria_trie_fini(cria_trie *t) {
    cria_free(t->ctx, t->slots);
    cria_free(t->ctx, t->value);
    cria_trie_init(t, t->ctx);
}

static void put(cria_trie *t, uint32_t key, uint32_t child) {
    uint32_t slot = (uint32_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> t->shift);
    while (t->slots[slot].child != 0) slot = (slot + 1) & t->mask;
    t->slots[slot] = (struct cria_trie_slot){key, child};
}

/* Doubles both tables: slots are at least twice the nodes. */
static cria_status grow(cria_trie *t, cria_error *err) {
    if (t->cap_nodes >= NODES_MAX)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "The vocabulary's pieces need more than %u trie nodes.", NODES_MAX);
    const uint32_t cap = t->cap_nodes ? t->cap_nodes * 2 : 64;
    int32_t *value = cria_malloc_array(t->ctx, cap, sizeof *value);
    struct cria_trie_slot *slots = cria_calloc(t->ctx, (size_t)cap * 2, sizeof *slots);
    if (!value || !slots) {
        cria_free(t->ctx, value);
        cria_free(t->ctx, slots);
        return cria_fail_nomem(err, "the trie of pieces", (size_t)cap * (sizeof *value + 2 * sizeof *slots));
    }
    const struct cria_trie old = *t;
    if (old.n_nodes) memcpy(value, old.value, old.n_nodes * sizeof *value);
    t->value = value;
    t->slots = slots;
    t->cap_nodes = cap;
    t->mask = cap * 2 - 1;
    t->shift = old.cap_nodes ? old.shift - 1 : 64 - 7;
    for (size_t i = 0; old.slots && i < (size_t)old.mask + 1; i++)
        if (old.slots[i].child) put(t, old.slots[i].key, old.slots[i].child);
    cria_free(t->ctx, old.value);
    cria_free(t->ctx, old.slots);
    return CRIA_OK;
}

cria_status cria_trie_add(cria_trie *t, const char *s, size_t len, int32_t id, cria_error *err) {
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++) {
        const uint8_t byte = (uint8_t)s[i];
        uint32_t child = cria_trie_step(t, node, byte);
        if (child == 0) {
            while (t->n_nodes + 2 > t->cap_nodes) { /* room for the root and one more */
                const cria_status st = grow(t, err);
                if (st != CRIA_OK) return st;
            }
            if (t->n_nodes == 0) t->value[t->n_nodes++] = -1;
            child = t->n_nodes++;
            t->value[child] = -1;
            if (node == 0)
                t->root[byte] = child;
            else
                put(t, node << 8 | byte, child);
        }
        node = child;
    }
    if (node != 0 && t->value[node] < 0) t->value[node] = id;
    return CRIA_OK;
}

size_t cria_trie_longest(const cria_trie *t, const uint8_t *s, size_t len, unsigned most, int32_t *id) {
    uint32_t node = 0;
    size_t best = 0;
    for (size_t i = 0; i < len && most > 0; i++) {
        node = cria_trie_step(t, node, s[i]);
        if (node == 0) break;
        if (t->value[node] < 0) continue;
        best = i + 1;
        *id = t->value[node];
        most--;
    }
    return best;
}
