/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a model's files bring along for conversations: its chat templates by name, the variables that they expect, and
 * how it is to be sampled. Read when the model is opened, so that all of it is there for outlines too and nothing is
 * looked for later. Files that are damaged do not keep a model from being opened: what is wrong is told to who asks.
 *
 * Which files, and which of them comes first, is transformers' rule (tokenization_utils_base.py, _from_pretrained):
 *   templates   chat_template.jinja ("default") and additional_chat_templates/NAME.jinja, all of them; where there is
 *               none of these, tokenizer_config.json's chat_template, a text or a list of {name, template}; where there
 *               is none either, chat_template.json, which old processors have. A GGUF: tokenizer.chat_template and
 *               tokenizer.chat_template.NAME.
 *   variables   bos_token and whatever else ends in _token, as tokenizer_config.json names them, then
 *               special_tokens_map.json unless the former lists its tokens (added_tokens_decoder). What they do not
 *               speak of is the tokenizer's, and for a GGUF everything.
 *
 * Owned by the model, immutable once loaded.
 */
#ifndef CRIA_ENGINE_CHAT_H
#define CRIA_ENGINE_CHAT_H

#include "base/json.h"
#include "format/container.h"
#include "text/tokenizer.h"

enum {
    CRIA_CHAT_TEMPLATES_MAX = 64,
    CRIA_CHAT_VARIABLES_MAX = 64
};

struct cria_chat_text { /* bytes and a NUL, from cria_malloc; NULL: none */
    char *data;
    size_t len;
};

/* A failure, kept to be told later. */
struct cria_chat_failure {
    cria_status status;
    char *message;
};

typedef struct cria_chat {
    cria_ctx *ctx;
    struct cria_chat_text path; /* of the model; for messages */
    size_t n;                   /* templates, in the order of their names */
    struct cria_chat_template_text {
        struct cria_chat_text name, text;
    } templates[CRIA_CHAT_TEMPLATES_MAX];
    size_t n_variables;
    struct cria_chat_variable {
        struct cria_chat_text name, text;
    } variables[CRIA_CHAT_VARIABLES_MAX];
    cria_generation generation;
    struct cria_chat_failure template_failure, generation_failure;
} cria_chat;

/* What there is for the model at path: in the GGUF, or beside the weights in folder. tokenizer may be NULL. Only
 * CRIA_ENOMEM; *out is to be freed in any case. */
cria_status cria_chat_load(cria_ctx *ctx, const char *path, const char *folder, const cria_container *gguf,
                           const cria_tokenizer *tokenizer, cria_chat *out, cria_error *err);
void cria_chat_fini(cria_chat *chat); /* a zeroed one is legal */

/* generation.c: says nothing of anything. */
cria_generation cria_generation_none(void);
/* cria_chat.generation alone; any failure. */
cria_status cria_chat_load_generation(cria_chat *chat, const char *folder, const cria_container *gguf, cria_error *err);

/* For the loaders: *file stays NULL where there is no such file. */
cria_status cria_chat_read_json(const cria_chat *chat, const char *folder, const char *name, cria_json **file,
                                cria_error *err);
/* For who asks: the failure again. */
cria_status cria_chat_tell(const struct cria_chat_failure *failure, cria_error *err);

#endif
