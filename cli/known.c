/* SPDX-License-Identifier: Apache-2.0 */
#include "known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void known_free(struct known *k) {
    text_free(&k->text);
    free(k->ids);
    free(k->marks);
    *k = (struct known){0};
}

static cria_status no_memory(cria_error *err) {
    *err = (cria_error){.code = CRIA_ENOMEM};
    snprintf(err->msg, sizeof err->msg, "Not enough memory for the tokens of the conversation.");
    return CRIA_ENOMEM;
}

static bool push_ids(struct known *k, const int32_t *ids, size_t n) {
    if (k->n + n > k->room) {
        const size_t room = 2 * k->room + n + 64;
        int32_t *more = realloc(k->ids, room * sizeof *more);
        if (!more) return false;
        k->ids = more;
        k->room = room;
    }
    if (n > 0) memcpy(k->ids + k->n, ids, n * sizeof *ids);
    k->n += n;
    return true;
}

static bool push_mark(struct known *k, bool answer) {
    if (k->n_marks == k->marks_room) {
        const size_t room = 2 * k->marks_room + 16;
        struct known_mark *more = realloc(k->marks, room * sizeof *more);
        if (!more) return false;
        k->marks = more;
        k->marks_room = room;
    }
    k->marks[k->n_marks++] = (struct known_mark){k->text.len, k->n, answer};
    return true;
}

static size_t common(const struct text *a, const struct text *b) {
    size_t n = 0;
    while (n < a->len && n < b->len && a->data[n] == b->data[n]) n++;
    return n;
}

/* Goes back to the mark, from where on the text is new. */
static void go_back(struct known *k, size_t marks) {
    k->n_marks = marks;
    k->n = marks ? k->marks[marks - 1].ids : 0;
    k->text.len = marks ? k->marks[marks - 1].text : 0;
    if (k->text.data) k->text.data[k->text.len] = '\0';
}

/* Behind an answer only the token that ends one is sure to be no part of a word of it. */
static cria_status try_rest(struct known *k, const cria_tokenizer *tokenizer, const struct text *prompt, size_t marks,
                            bool *done, cria_error *err) {
    const struct known_mark *m = &k->marks[marks - 1];
    int32_t *ids = NULL;
    size_t n = 0;
    if (m->text == prompt->len) {
        *done = !m->answer;
        if (*done) go_back(k, marks);
        return CRIA_OK;
    }
    if (!m->answer) return CRIA_OK;
    const cria_status st =
        cria_encode(tokenizer, prompt->data + m->text, prompt->len - m->text, CRIA_ENCODE_SPECIAL, &ids, &n, err);
    if (st != CRIA_OK) return st;
    if (n > 0 && cria_tokenizer_is_eog(tokenizer, ids[0])) {
        go_back(k, marks);
        *done = push_ids(k, ids, n);
    }
    cria_ids_free(tokenizer, ids);
    return CRIA_OK;
}

enum { TRIES_MAX = 4 }; /* each encodes the rest; that the first fails is rare, and all of them mostly do then */

cria_status known_prompt(struct known *k, const cria_tokenizer *tokenizer, const struct text *prompt, unsigned flags,
                         cria_error *err) {
    const size_t same = common(&k->text, prompt);
    bool done = false;
    cria_status st = CRIA_OK;
    size_t marks = flags & CRIA_ENCODE_CHAT ? k->n_marks : 0;
    while (marks > 0 && k->marks[marks - 1].text > same) marks--;
    for (int tries = 0; marks > 0 && !done && st == CRIA_OK && tries < TRIES_MAX; marks--, tries++)
        st = try_rest(k, tokenizer, prompt, marks, &done, err);
    if (st == CRIA_OK && !done) {
        int32_t *ids;
        size_t n;
        st = cria_encode(tokenizer, prompt->data, prompt->len, flags, &ids, &n, err);
        if (st != CRIA_OK) return st;
        go_back(k, 0);
        if (!push_ids(k, ids, n)) st = no_memory(err);
        cria_ids_free(tokenizer, ids);
    }
    if (st != CRIA_OK) return st;
    if (prompt->len == k->text.len) return CRIA_OK; /* the mark itself */
    if (!text_append(&k->text, prompt->data + k->text.len, prompt->len - k->text.len) || !push_mark(k, false))
        return no_memory(err);
    return CRIA_OK;
}

cria_status known_answer(struct known *k, const char *text, size_t len, const int32_t *ids, size_t n, cria_error *err) {
    if (!push_ids(k, ids, n) || !text_append(&k->text, text, len) || !push_mark(k, true)) return no_memory(err);
    return CRIA_OK;
}
