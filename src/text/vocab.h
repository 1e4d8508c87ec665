/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vocabulary: the one shape that all loaders produce (vocab_spm.c from tokenizer.model, vocab_gguf.c from GGUF
 * metadata) and that both algorithms read (spm.c, bpe.c). Immutable once loaded. Owns all its memory in its own
 * allocations, so the file may be closed afterwards.
 */
#ifndef CRIA_TEXT_VOCAB_H
#define CRIA_TEXT_VOCAB_H

#include "cria/cria.h"

/* Numbers as in sentencepiece_model.proto (ModelProto.SentencePiece.Type) and GGUF's tokenizer.ggml.token_type. */
enum cria_piece_type {
    CRIA_PIECE_NORMAL = 1,
    CRIA_PIECE_UNKNOWN = 2,
    CRIA_PIECE_CONTROL = 3,
    CRIA_PIECE_USER_DEFINED = 4,
    CRIA_PIECE_UNUSED = 5,
    CRIA_PIECE_BYTE = 6
};

enum cria_vocab_model {
    CRIA_VOCAB_SPM_UNIGRAM, /* SentencePiece unigram */
    CRIA_VOCAB_SPM_BPE,     /* SentencePiece BPE: merges by score; GGUF "llama" */
    CRIA_VOCAB_BYTE_BPE     /* byte-level BPE with ranked merges (GPT-2); GGUF "gpt2" */
};

/* Pre-tokenizers of byte-level BPE, named as tokenizer.ggml.pre (pretok.h). */
enum cria_pretok { CRIA_PRETOK_GPT2, CRIA_PRETOK_SMOLLM, CRIA_PRETOK_LLAMA3, CRIA_PRETOK_QWEN2 };

#define CRIA_VOCAB_MAX (1u << 22)  /* pieces; the largest real ones have 2^18 */
#define CRIA_PIECE_MAX 65536u      /* bytes of one piece */

struct cria_vocab_normalizer { /* SentencePiece's NormalizerSpec; also its denormalizer */
    bool add_dummy_prefix;
    bool remove_extra_whitespaces;
    bool escape_whitespaces;        /* ' ' ↔ U+2581 */
    bool treat_whitespace_as_suffix;
    /* precompiled_charsmap: u32 bytes of the trie, darts double array, replacement strings; NULL: no rules */
    const uint8_t *charsmap;
    size_t charsmap_len;
};

typedef struct cria_vocab {
    cria_ctx *ctx;
    enum cria_vocab_model model;
    uint32_t n;
    char *text;               /* all pieces, each followed by a NUL */
    uint32_t *offset;         /* [n + 1] into text; piece i is text[offset[i] .. offset[i+1] − 1) */
    float *score;             /* [n], SentencePiece models; NULL otherwise */
    uint8_t *type;            /* [n] enum cria_piece_type */
    /* piece bytes → id: open addressing, power of two, id UINT32_MAX empty. Where a piece occurs twice: the first. */
    struct cria_vocab_slot { uint32_t tag, id; } *hash; /* tag: all bits of the hash, to pass by others unread */
    uint32_t hash_mask;
    int32_t byte_id[256];     /* id of the BYTE piece <0xNN>; −1 where there is none */
    int32_t bos, eos, unk, pad; /* −1: none */
    int32_t eot, eom;         /* further ends of generation that the file names; −1: none */
    bool add_bos;             /* what the file asks for */
    bool byte_fallback;
    char *unk_surface;        /* what decode prints for unk (SentencePiece: " ⁇ "), NUL-terminated */
    size_t unk_surface_len;   /* bytes of it; a model may have set one with NULs inside */
    /* SentencePiece models */
    struct cria_vocab_normalizer normalizer, denormalizer;
    uint8_t *normalizer_data; /* owns both charsmaps */
    /* byte-level BPE: merges in rank order; left and right are ids of the parts, result of the whole */
    enum cria_pretok pretok;
    uint32_t n_merges;
    struct cria_merge { uint32_t left, right, result; } *merges;
} cria_vocab;

/* An empty vocab that fini accepts; loaders start with it. */
void cria_vocab_init(cria_vocab *v, cria_ctx *ctx);
void cria_vocab_fini(cria_vocab *v);
/* Id of the piece, or −1. */
int32_t cria_vocab_find(const cria_vocab *v, const char *piece, size_t len);
static inline const char *cria_vocab_piece(const cria_vocab *v, uint32_t id, size_t *len) {
    *len = v->offset[id + 1] - v->offset[id] - 1;
    return v->text + v->offset[id];
}
/* "<0x0A>" → 10; −1 for anything else (lower case included, as in SentencePiece). */
int cria_vocab_byte(const char *piece, size_t len);
/* Fills hash and byte_id from text/offset/type (called by every loader at its end). */
cria_status cria_vocab_index(cria_vocab *v, const char *name, cria_error *err);

/* data: the bytes of a tokenizer.model (sentencepiece_model.proto), untrusted, read by a small wire-format reader.
 * name: for messages. Word and char models are CRIA_EUNSUPPORTED. */
cria_status cria_vocab_load_spm(cria_ctx *ctx, const uint8_t *data, size_t len, const char *name, cria_vocab *out,
                                cria_error *err);

struct cria_container;
/* tokenizer.ggml.* of a GGUF. */
cria_status cria_vocab_load_gguf(cria_ctx *ctx, const struct cria_container *file, cria_vocab *out, cria_error *err);

#endif
