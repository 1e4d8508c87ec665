/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-tokenizers of byte-level BPE: how text is cut into the words that merges never cross. Hand-written and
 * linear, each equal to the regular expression (and digit splitter) of the Hugging Face tokenizer.json it is
 * named after. */
#ifndef CRIA_TEXT_PRETOK_H
#define CRIA_TEXT_PRETOK_H

#include "text/vocab.h"

/* The pre-tokenizer that a GGUF names in tokenizer.ggml.pre; false when it is not one of those known. */
bool cria_pretok_find(const char *name, size_t len, enum cria_pretok *out);

/* The names that cria_pretok_find knows, separated by commas, for messages. */
const char *cria_pretok_names(void);

/* True where a word that is itself a piece is taken whole, unmerged (tokenizer.json's ignore_merges). */
bool cria_pretok_whole_words(enum cria_pretok kind);

/* True where the tokenizer puts bos first unless its file says otherwise. */
bool cria_pretok_adds_bos(enum cria_pretok kind);

/* Bytes of the first word of text, which is well-formed UTF-8, len >= 1. Words follow each other without a
 * gap, so calling again behind the word gives the next one. Looks at most one run of white space ahead. */
size_t cria_pretok_next(enum cria_pretok kind, const uint8_t *text, size_t len);

#endif
