/* SPDX-License-Identifier: Apache-2.0 */
/* What a SentencePiece vocabulary keeps ready for encoding; made by cria_spm_new (tokenizer.h). */
#ifndef CRIA_TEXT_SPM_H
#define CRIA_TEXT_SPM_H

#include "text/normalize.h"
#include "text/trie.h"
#include "text/unigram.h"

struct cria_spm {
    cria_normalizer normalizer;
    cria_trie symbols; /* user-defined symbols: kept whole by normalization, never merged */
    /* BPE */
    bool by_word;   /* no merge reaches over the border before a space symbol that follows something else */
    size_t longest; /* bytes of the longest piece */
    uint32_t n_unused;
    uint32_t *unused_rank; /* [n]: rank among the pieces of type UNUSED; NULL when there are none */
    /* unigram */
    struct cria_unigram unigram; /* of normal, user-defined and unused pieces */
};

/* The type of id is UNKNOWN, or id is −1 in a vocabulary without one (byte fallback stands in for it). */
static inline bool cria_spm_unknown(const cria_vocab *v, int32_t id) {
    return id < 0 || v->type[id] == CRIA_PIECE_UNKNOWN;
}

#endif
