/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vocabulary: the one shape that all loaders produce (vocab_spm.c from tokenizer.model, vocab_hf.c from
 * tokenizer.json, vocab_gguf.c from GGUF metadata) and that all algorithms read (spm.c, bpe.c, unigram.c).
 * Immutable once loaded. Owns all its memory in its own allocations, so the file may be closed afterwards.
 */
#ifndef CRIA_TEXT_VOCAB_H
#define CRIA_TEXT_VOCAB_H

#include "text/pipeline.h"

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
    CRIA_VOCAB_BPE,         /* ranked merges: byte-level (GPT-2; GGUF "gpt2") or of characters; with a pipeline */
    CRIA_VOCAB_UNIGRAM      /* tokenizer.json's unigram, with a pipeline */
};
static inline bool cria_vocab_has_pipeline(enum cria_vocab_model m) {
    return m == CRIA_VOCAB_BPE || m == CRIA_VOCAB_UNIGRAM;
}

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

/* A symbol that is cut out of text before the model sees what lies between, as AddedToken of PyPI tokenizers. */
struct cria_added {
    int32_t id;
    bool special;     /* only where symbols written out are asked for (CRIA_ENCODE_SPECIAL) */
    bool single_word; /* not inside a word */
    bool left, right; /* takes the white space beside it along */
    bool normalized;  /* found in normalized text, as its own normal form: */
    char *form;       /* owned; NULL where that is the piece itself. Decoding prints it */
    size_t form_len;
};

#define CRIA_ENDS_MAX 16u

typedef struct cria_vocab {
    cria_ctx *ctx;
    enum cria_vocab_model model;
    uint32_t n;
    uint32_t n_rows;          /* of the model: ids from n on that it has rows for stand for no text; 0: none */
    char *text;               /* all pieces, each followed by a NUL */
    uint32_t *offset;         /* [n + 1] into text; piece i is text[offset[i] .. offset[i+1] − 1) */
    uint32_t n_model;         /* tokenizer.json: pieces 0 to n_model − 1 may be the model's, later ones only added */
    float *score;             /* [n], SentencePiece models; NULL otherwise */
    double *exact_score;      /* [n_model], tokenizer.json's unigram; NULL otherwise */
    uint8_t *type;            /* [n] enum cria_piece_type */
    /* piece bytes → id: open addressing, power of two, id UINT32_MAX empty. Where a piece occurs twice: the first. */
    struct cria_vocab_slot { uint32_t tag, id; } *hash; /* tag: all bits of the hash, to pass by others unread */
    uint32_t hash_mask;
    bool hash_is_model;       /* the index has the model's pieces only, and all of them may stand in text */
    int32_t byte_id[256];     /* id of the BYTE piece <0xNN>; −1 where there is none */
    int32_t bos, eos, unk, pad; /* −1: none */
    int32_t eot, eom;         /* further ends of generation that the file names; −1: none */
    int32_t ends[CRIA_ENDS_MAX]; /* and more, where a file lists them */
    unsigned n_ends;
    bool add_bos;             /* what the file asks for */
    bool byte_fallback;
    bool strip_right;         /* a GGUF of Phi-3: white space behind a symbol is dropped. Its tokenizer.json says so
                               * symbol by symbol; GGUF does not, and llama.cpp knows it by the model's name */
    char *unk_surface;        /* what decode prints for unk (SentencePiece: " ⁇ "), NUL-terminated */
    size_t unk_surface_len;   /* bytes of it; a model may have set one with NULs inside */
    /* SentencePiece models */
    struct cria_vocab_normalizer normalizer, denormalizer;
    uint8_t *normalizer_data; /* owns both charsmaps */
    /* models with a pipeline */
    cria_pipeline pipe;
    struct cria_added *added; /* [n_added] by ascending id; of a GGUF its control and user-defined pieces are it */
    uint32_t n_added;
    /* BPE: merges in rank order; left and right are ids of the parts, result of the whole */
    uint32_t n_merges;
    struct cria_merge { uint32_t left, right, result; } *merges;
    bool whole_words;         /* a word that is a piece is not split (ignore_merges) */
    bool fuse_unk;            /* characters without a piece, in a row, are one unknown piece */
    int32_t model_unk;        /* what such a character becomes; −1: nothing */
} cria_vocab;

/* An empty vocab that fini accepts; loaders start with it. */
void cria_vocab_init(cria_vocab *v, cria_ctx *ctx);
void cria_vocab_fini(cria_vocab *v);
/* Id of the piece, or −1. */
int32_t cria_vocab_find(const cria_vocab *v, const char *piece, size_t len);
/* Says that the piece will be looked for soon, for who looks for many. */
void cria_vocab_prefetch(const cria_vocab *v, const char *piece, size_t len);
/* The same among all pieces: the index of a tokenizer.json has the model's only. */
int32_t cria_vocab_find_any(const cria_vocab *v, const char *piece, size_t len);
/* Chat models end a turn with a token of their own, and not every file names it: fills in eot and eom, where
 * they are not set, by the well-known names. */
void cria_vocab_guess_ends(cria_vocab *v);
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

/* data: the bytes of a tokenizer.json, untrusted. folder: where the files beside it are looked for that say
 * which tokens begin and end a text (hf_config.c); NULL: nowhere. */
cria_status cria_vocab_load_hf(cria_ctx *ctx, const uint8_t *data, size_t len, const char *name, const char *folder,
                               cria_vocab *out, cria_error *err);

struct cria_container;
/* tokenizer.ggml.* of a GGUF. */
cria_status cria_vocab_load_gguf(cria_ctx *ctx, const struct cria_container *file, cria_vocab *out, cria_error *err);

#endif
