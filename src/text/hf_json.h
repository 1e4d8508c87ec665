/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading tokenizer.json: what its parts share (vocab_hf.c the whole and the model, hf_steps.c the pipeline,
 * hf_config.c the files beside it). The rule for all: what is not understood is an error that names it, never
 * a guess.
 */
#ifndef CRIA_TEXT_HF_JSON_H
#define CRIA_TEXT_HF_JSON_H

#include "base/jsonread.h"
#include "text/vocab.h"

/* An object whose members may come in any order, each to be taken once by name: only where they are in the
 * file is kept. For objects of few members. */
#define CRIA_HF_FIELDS_MAX 16u
struct cria_hf_object {
    cria_jsonread r;  /* stands behind the object; what fails is noted here */
    const char *what; /* for messages: "normalizer" */
    struct {
        char name[32];
        cria_jsontext raw;
        bool used;
    } field[CRIA_HF_FIELDS_MAX];
    unsigned n;
    cria_buf text; /* of the latest string */
};

/* Reads the object at raw, which lies in the text of parent. End in any case. */
bool cria_hf_object_begin(struct cria_hf_object *o, const cria_jsonread *parent, cria_jsontext raw,
                          const char *what);
/* Every member must have been taken. Returns what went wrong, if anything did. */
cria_status cria_hf_object_end(struct cria_hf_object *o);

/* Each takes a member and returns whether it is there (and not null); one of the wrong type fails the object.
 */
bool cria_hf_raw(struct cria_hf_object *o, const char *name, cria_jsontext *out);
bool cria_hf_bool(struct cria_hf_object *o, const char *name, bool *out);
bool cria_hf_int(struct cria_hf_object *o, const char *name, int64_t *out);
/* The text is valid until the next string is taken. */
bool cria_hf_string(struct cria_hf_object *o, const char *name, cria_jsontext *out);
/* The object fails where the member is not there. */
bool cria_hf_need(struct cria_hf_object *o, const char *name, bool there);

/* ---- hf_steps.c: fill v->pipe; raw.data NULL where the file has none ---- */
cria_status cria_hf_normalizer(const cria_jsonread *r, cria_jsontext raw, cria_vocab *v);
cria_status cria_hf_pre_tokenizer(const cria_jsonread *r, cria_jsontext raw, cria_vocab *v);
cria_status cria_hf_decoder(const cria_jsonread *r, cria_jsontext raw, cria_vocab *v);
/* Which token the post-processor puts before a text: *prefix, −1 for none. */
cria_status cria_hf_post_processor(const cria_jsonread *r, cria_jsontext raw, int32_t *prefix);

/* ---- hf_config.c ---- */
/* bos, eos, further ends and add_bos out of the files beside a tokenizer.json. prefix: what its
 * post-processor puts first. folder NULL: there are none. */
cria_status cria_hf_config(cria_ctx *ctx, const char *folder, int32_t prefix, cria_vocab *v, cria_error *err);

#endif
