/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ids of a conversation so far, and the text that they stand for. The next prompt begins with that text in most
 * cases; then its ids are these and those of what is new, instead of ids made anew, which may differ where the model
 * split its words in a way of its own. So keys and values of what was said are never computed twice.
 */
#ifndef CRIA_CLI_KNOWN_H
#define CRIA_CLI_KNOWN_H

#include "cria/cria.h"
#include "input.h"

struct known_mark { /* texts [0, text) are ids [0, ids) */
    size_t text, ids;
    bool answer; /* an answer ends here, else a prompt */
};

struct known { /* start with {0} */
    struct text text;
    int32_t *ids;
    size_t n, room;
    struct known_mark *marks;
    size_t n_marks, marks_room;
};

void known_free(struct known *k);
/* The ids of a prompt: k->ids[0..k->n). flags: of cria_encode, for what is not known. */
cria_status known_prompt(struct known *k, const cria_tokenizer *tokenizer, const struct text *prompt, unsigned flags,
                         cria_error *err);
/* What the model answered: ids[0..n) stand for text, whole. */
cria_status known_answer(struct known *k, const char *text, size_t len, const int32_t *ids, size_t n, cria_error *err);

#endif
