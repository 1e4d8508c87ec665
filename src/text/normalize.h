/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SentencePiece's text normalization (normalizer.cc of 0.2.3): replacement rules by longest match,
 * whitespace, U+2581 for spaces, U+FFFD for bytes that are no UTF-8. Immutable after init; any thread may use
 * it.
 */
#ifndef CRIA_TEXT_NORMALIZE_H
#define CRIA_TEXT_NORMALIZE_H

#include "base/buf.h"
#include "text/trie.h"
#include "text/vocab.h"

/* Of the user-defined symbols that a text begins with, the library looks at the shortest 64. */
#define CRIA_SPM_SYMBOLS_MAX 64u

typedef struct cria_normalizer {
    const struct cria_vocab_normalizer *spec; /* borrowed, with its charsmap */
    const cria_trie *keep; /* borrowed: text that passes unchanged (user-defined symbols); NULL: none */
    const uint8_t *units;  /* darts-clone double array of little-endian u32 in the charsmap; NULL: no rules */
    const char *strings;   /* NUL-terminated replacements after it; the block's last byte is NUL */
    size_t strings_len;
    bool plain[256]; /* a byte that begins no rule, no kept text and no multi-byte character, and is no space
                      */
} cria_normalizer;

/* Validates the charsmap, so that no later index can leave it. spec and keep must outlive *out. name is for
 * messages: "normalizer" or "denormalizer". Nothing to free. */
cria_status cria_normalizer_init(cria_normalizer *out, const struct cria_vocab_normalizer *spec,
                                 const cria_trie *keep, const char *name, cria_error *err);

/* Appends the normal form of text (any bytes) to out; it is UTF-8. On failure out may have grown. */
cria_status cria_normalize(const cria_normalizer *n, const uint8_t *text, size_t len, cria_buf *out,
                           cria_error *err);

#endif
