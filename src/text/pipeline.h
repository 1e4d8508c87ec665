/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done to text on its way to the model and back, as the steps that a tokenizer.json lists (vocab_hf.c
 * reads them, vocab_gguf.c names sets of them):
 *
 *   normalize   text → text; pipe_normalize.c
 *   split       text → words that the model encodes one by one; some steps change the text of the parts
 * before them; pipe_split.c decode      pieces → text, piece by piece as they come; pipe_decode.c
 *
 * The model is the words' consumer (bpe.c, unigram.c). All judged by PyPI tokenizers. A pipeline is immutable
 * once it is built; it owns its steps. Everything takes valid UTF-8 and gives it.
 */
#ifndef CRIA_TEXT_PIPELINE_H
#define CRIA_TEXT_PIPELINE_H

#include "base/buf.h"
#include "text/regex.h"

#define CRIA_STEPS_MAX 24u /* of one kind */

/* What steps may make of a text of n bytes; real ones stay far below, and steps that double a text again and
 * again are CRIA_EFULL. */
static inline size_t cria_pipeline_text_max(size_t n) {
    return n > UINT32_MAX / 33 ? UINT32_MAX : 32 * n + (1u << 20);
}

enum cria_step_kind {
    /* normalize */
    CRIA_STEP_NFC,
    CRIA_STEP_NFD,
    CRIA_STEP_NFKC,
    CRIA_STEP_NFKD,
    CRIA_STEP_TRIM, /* white space off the ends: left, right */
    /* normalize and split */
    CRIA_STEP_PREPEND,  /* text before a text that is not empty; unless: only where it does not begin so;
                         * first: only at  the very start of what was given */
    CRIA_STEP_ALPHABET, /* bytes → characters of the alphabet of byte-level pieces (bpe.h) */
    /* normalize, split and decode */
    CRIA_STEP_REPLACE, /* each match of regex becomes text */
    /* split */
    CRIA_STEP_SPLIT, /* at the matches of regex: behaviour; inverted, at what lies between */
    /* decode; a piece is a string until pieces are joined */
    CRIA_STEP_BYTES,  /* pieces <0xNN> in a row are the bytes of text */
    CRIA_STEP_JOIN,   /* all pieces are one from here on */
    CRIA_STEP_STRIP,  /* the character text, start times at most, off each piece's beginning, stop times off
                         its end */
    CRIA_STEP_SPACES, /* the character text is a space; in the first piece nothing, where drop is set */
    CRIA_STEP_BYTE_LEVEL, /* pieces in the alphabet are bytes; all are one from here on */
    CRIA_STEP_SPACED /* a space between any two pieces (what the library does where a file has no decoder) */
};

enum cria_split_behaviour { /* what becomes of a match; names as in the file */
                            CRIA_SPLIT_REMOVED,
                            CRIA_SPLIT_ISOLATED,
                            CRIA_SPLIT_MERGED_WITH_PREVIOUS,
                            CRIA_SPLIT_MERGED_WITH_NEXT,
                            CRIA_SPLIT_CONTIGUOUS
};

struct cria_step {
    enum cria_step_kind kind;
    cria_regex *regex; /* owned */
    char *text;        /* owned; NULL when there is none */
    size_t len;
    enum cria_split_behaviour behaviour;
    bool invert, left, right, unless, first, drop;
    uint32_t start, stop;
};

struct cria_steps {
    struct cria_step *step;
    unsigned n;
};

typedef struct cria_pipeline {
    cria_ctx *ctx;
    struct cria_steps normalize, split, decode;
    bool bytes; /* words go to a BPE model as bytes: the pieces are in the alphabet, which ALPHABET need not
                   write out */
} cria_pipeline;

void cria_pipeline_init(cria_pipeline *p, cria_ctx *ctx);
void cria_pipeline_fini(cria_pipeline *p);

/* Adds a step of that kind and gives it back to be filled in, all else zero; NULL when there are too many or
 * no memory
 * (*st says which). */
struct cria_step *cria_steps_add(cria_ctx *ctx, struct cria_steps *steps, enum cria_step_kind kind,
                                 cria_status *st, cria_error *err);
/* A step's text is a copy of this. */
cria_status cria_step_set_text(cria_ctx *ctx, struct cria_step *s, const char *text, size_t len,
                               cria_error *err);
/* A split step for a pattern. */
cria_status cria_pipeline_add_split(cria_pipeline *p, const char *pattern, size_t len,
                                    enum cria_regex_syntax syntax, enum cria_split_behaviour behaviour,
                                    bool invert, cria_error *err);

/* ---- normalize ---- */

/* Working memory of normalizing; results live in it. */
struct cria_normalize_work {
    cria_buf buf[2];
};
void cria_normalize_work_init(struct cria_normalize_work *w, cria_ctx *ctx, size_t text_len);
void cria_normalize_work_fini(struct cria_normalize_work *w);

/* *text becomes its normal form: itself, or in w until the next call. *first: the text stands at the very
 * start of what was given; false afterwards where its beginning was cut off. */
cria_status cria_pipeline_normalize(const cria_pipeline *p, struct cria_normalize_work *w,
                                    const uint8_t **text, size_t *len, bool *first, cria_error *err);
/* One step, appended to out. *changed: false when out was left alone because the text stays as it is. */
cria_status cria_step_rewrite(const struct cria_step *s, const uint8_t *text, size_t len, bool *first,
                              cria_buf *out, bool *changed, cria_error *err);

/* ---- split ---- */

struct cria_splitter {
    const cria_pipeline *p;
    cria_buf buf[CRIA_STEPS_MAX];
    cria_status (*word)(void *user, const uint8_t *word, size_t len, cria_error *err);
    void *user;
    cria_error *err;
};
/* word is called for each word in order; the bytes are the splitter's. */
void cria_splitter_init(struct cria_splitter *s, const cria_pipeline *p,
                        cria_status (*word)(void *user, const uint8_t *word, size_t len, cria_error *err),
                        void *user, size_t text_len);
void cria_splitter_fini(struct cria_splitter *s);
cria_status cria_splitter_run(struct cria_splitter *s, const uint8_t *text, size_t len, bool first,
                              cria_error *err);

/* ---- decode ---- */

/* Where a stream of pieces stands. Plain data but for the buffers, whose content beyond held may be dropped:
 * to go back to an earlier state, copy stage[] back. */
struct cria_decoder {
    const cria_pipeline *p;
    unsigned n; /* its steps: fini asks p nothing */
    struct cria_stage {
        size_t held;     /* bytes that count in buf */
        uint32_t left;   /* STRIP: how many more may go; SPACES, SPACED: pieces before, at most 1 */
        uint32_t kept;   /* STRIP: characters held back */
        uint8_t tail[4]; /* BYTE_LEVEL: a character that is not complete */
        uint8_t n_tail;
        bool inside; /* a piece has begun */
    } stage[CRIA_STEPS_MAX];
    cria_buf buf[CRIA_STEPS_MAX];  /* what is held */
    cria_buf made[CRIA_STEPS_MAX]; /* of one call */
};
void cria_decoder_init(struct cria_decoder *d, const cria_pipeline *p);
void cria_decoder_fini(struct cria_decoder *d);
/* Appends to out what has become certain. */
cria_status cria_decoder_feed(struct cria_decoder *d, const char *piece, size_t len, cria_buf *out,
                              cria_error *err);
/* The rest; the decoder starts anew. */
cria_status cria_decoder_finish(struct cria_decoder *d, cria_buf *out, cria_error *err);

#endif
