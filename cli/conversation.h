/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a conversation, as OpenAI's API has them: an optional system message, then questions and answers in
 * turn. Texts are UTF-8. Functions that return bool have said why on stderr where they return false. */
#ifndef CRIA_CLI_CONVERSATION_H
#define CRIA_CLI_CONVERSATION_H

#include "input.h"

struct message {
    const char *role; /* one of a few constants */
    struct text content, reasoning; /* reasoning: of a loaded message that has it apart; data NULL: none */
};

struct conversation { /* start with {0} */
    struct message *v;
    size_t n, room;
};

extern const char role_system[], role_user[], role_assistant[];

void conversation_free(struct conversation *c);
/* What is no UTF-8 in it becomes U+FFFD. */
bool conversation_add(struct conversation *c, const char *role, const char *text, size_t len);
/* Forgets all from message n on. */
void conversation_cut(struct conversation *c, size_t n);
bool conversation_has_system(const struct conversation *c);
/* Sets, changes or, where text is NULL, takes away the system message. */
bool conversation_set_system(struct conversation *c, const char *text);
/* The last question: its index, or n. */
size_t conversation_last_question(const struct conversation *c);
/* Forgets the oldest questions, with what belongs to each of them; returns how many there were. */
size_t conversation_drop(struct conversation *c, size_t turns);

/* Appends the messages as a JSON array. */
bool conversation_json(const struct conversation *c, struct text *out);
/* {"messages": […]} in a file. */
bool conversation_save(const struct conversation *c, const char *path);
/* The same, or the array alone. On failure c is as it was. */
bool conversation_load(struct conversation *c, const char *path);

/* Appends text as a JSON string. */
bool append_json_text(struct text *out, const char *text, size_t len);

#endif
