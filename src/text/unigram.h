/* SPDX-License-Identifier: Apache-2.0 */
/* Unigram segmentation: the path of pieces with the highest sum of scores, for SentencePiece's models
 * (spm_unigram.c) and tokenizer.json's. */
#ifndef CRIA_TEXT_UNIGRAM_H
#define CRIA_TEXT_UNIGRAM_H

#include "text/tokenizer.h"
#include "text/trie.h"

struct cria_unigram {
    cria_trie pieces;
    double unk_score;
};

/* Where a piece of the best path ends, and which it is. */
struct cria_unigram_node { /* the best path that ends at a byte position */
    double score;
    uint32_t start; /* of its last piece; in a path turned around, the end of the piece that starts here */
    int32_t id;     /* v->unk where no piece covers a character */
};

/* text[0..len), len >= 1, valid UTF-8 or what SentencePiece's normalizer left of it. *out becomes [len + 1]
 * nodes, to free with cria_free: out[0].start is where the first piece ends, out[that].start where the second
 * does, … to len. Sums are those of the library whose model it is, in its float type, with its order and its
 * ways on a tie. O(len · longest piece). */
cria_status cria_unigram_search(const struct cria_unigram *u, const cria_vocab *v, const uint8_t *text,
                                size_t len, struct cria_unigram_node **out, cria_error *err);

#endif
