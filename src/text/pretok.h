/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokenizers of byte-level BPE that a GGUF names in tokenizer.ggml.pre, as steps of a pipeline. */
#ifndef CRIA_TEXT_PRETOK_H
#define CRIA_TEXT_PRETOK_H

#include "text/pipeline.h"

/* GPT-2's words, which tokenizer.json's ByteLevel splits at too. */
#define CRIA_PRETOK_GPT2                                                                                        \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

struct cria_pretok_traits { /* what else goes with the name */
    bool whole_words; /* a word that is itself a piece is taken whole, unmerged (tokenizer.json's ignore_merges) */
    bool adds_bos;    /* bos comes first unless the file says otherwise */
};

/* Fills the empty pipeline: splits, byte-level words, byte-level decoding. CRIA_EUNSUPPORTED for a name that is not
 * known. */
cria_status cria_pretok_build(const char *name, size_t len, cria_pipeline *p, struct cria_pretok_traits *traits,
                              cria_error *err);

/* The i-th name that is known, for messages and tests; NULL behind the last. */
const char *cria_pretok_name(size_t i);

#endif
