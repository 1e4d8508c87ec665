/* SPDX-License-Identifier: Apache-2.0 */
#include "conversation.h"

#include "base/json.h"
#include "base/utf8.h"
#include "jsontext.h"
#include "savefile.h"
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char role_system[] = "system", role_user[] = "user", role_assistant[] = "assistant";
static const char *const other_roles[] = {"tool", "developer"};

enum { FILE_MAX = 64 << 20, MESSAGES_MAX = 100000 };

static bool no_memory(void) {
    complain("Not enough memory for the conversation.");
    return false;
}

static void message_free(struct message *m) {
    text_free(&m->content);
    text_free(&m->reasoning);
}

void conversation_cut(struct conversation *c, size_t n) {
    while (c->n > n) message_free(&c->v[--c->n]);
}

void conversation_free(struct conversation *c) {
    conversation_cut(c, 0);
    free(c->v);
    *c = (struct conversation){0};
}

static bool append_valid(struct text *out, const char *text, size_t len) {
    const uint8_t *s = (const uint8_t *)text;
    bool ok = text_append(out, "", 0);
    for (size_t i = 0; i < len && ok;) {
        uint32_t cp;
        const size_t good = cria_utf8_decode(s + i, len - i, &cp);
        ok = good ? text_append(out, text + i, good) : text_append(out, "\xef\xbf\xbd", 3);
        i += good ? good : cria_utf8_bad_length(s + i, len - i);
    }
    return ok;
}

static bool insert(struct conversation *c, size_t at, struct message m) {
    if (c->n == c->room) {
        const size_t room = c->room ? 2 * c->room : 16;
        struct message *more = realloc(c->v, room * sizeof *more);
        if (!more) return no_memory();
        c->v = more;
        c->room = room;
    }
    memmove(&c->v[at + 1], &c->v[at], (c->n - at) * sizeof m);
    c->v[at] = m;
    c->n++;
    return true;
}

static bool insert_text(struct conversation *c, size_t at, const char *role, const char *text, size_t len) {
    struct message m = {.role = role};
    if (!append_valid(&m.content, text, len)) {
        message_free(&m);
        return no_memory();
    }
    if (insert(c, at, m)) return true;
    message_free(&m);
    return false;
}

bool conversation_add(struct conversation *c, const char *role, const char *text, size_t len) {
    return insert_text(c, c->n, role, text, len);
}

bool conversation_has_system(const struct conversation *c) { return c->n > 0 && c->v[0].role == role_system; }

static void take_out(struct conversation *c, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) message_free(&c->v[i]);
    memmove(&c->v[from], &c->v[to], (c->n - to) * sizeof *c->v);
    c->n -= to - from;
}

bool conversation_set_system(struct conversation *c, const char *text) {
    if (text && !insert_text(c, 0, role_system, text, strlen(text))) return false;
    const size_t at = text != NULL;
    if (c->n > at && c->v[at].role == role_system) take_out(c, at, at + 1);
    return true;
}

size_t conversation_last_question(const struct conversation *c) {
    for (size_t i = c->n; i > 0; i--)
        if (c->v[i - 1].role == role_user) return i - 1;
    return c->n;
}

size_t conversation_drop(struct conversation *c, size_t turns) {
    const size_t from = conversation_has_system(c);
    size_t to = from, dropped = 0;
    while (to < c->n && dropped < turns) {
        to++;
        while (to < c->n && c->v[to].role != role_user) to++;
        dropped++;
    }
    take_out(c, from, to);
    return dropped;
}

/* ---- writing ---- */

bool append_json_text(struct text *out, const char *text, size_t len) {
    bool ok = text_append(out, "\"", 1);
    for (size_t i = 0; i < len && ok; i++) {
        char escaped[8];
        json_escape(text[i], escaped);
        ok = text_append(out, escaped, strlen(escaped));
    }
    return ok && text_append(out, "\"", 1);
}

static bool put(struct text *out, const char *text) { return text_append(out, text, strlen(text)); }

static bool write_messages(const struct conversation *c, const char *between, struct text *out) {
    bool ok = put(out, "[");
    for (size_t i = 0; i < c->n && ok; i++) {
        const struct message *m = &c->v[i];
        ok = put(out, i ? "," : "") && put(out, between) && put(out, "{\"role\": \"") && put(out, m->role) &&
             put(out, "\", \"content\": ") && append_json_text(out, m->content.data, m->content.len);
        if (ok && m->reasoning.data)
            ok = put(out, ", \"reasoning_content\": ") && append_json_text(out, m->reasoning.data, m->reasoning.len);
        ok = ok && put(out, "}");
    }
    return ok && put(out, "]");
}

bool conversation_json(const struct conversation *c, struct text *out) {
    return write_messages(c, "", out) ? true : no_memory();
}

bool conversation_save(const struct conversation *c, const char *path) {
    struct text t = {NULL, 0};
    bool ok = put(&t, "{\"messages\": ") && write_messages(c, "\n  ", &t) && put(&t, "}\n");
    if (!ok)
        no_memory();
    else if (!(ok = save_file(path, t.data, t.len, false)))
        complain_unwritten(path);
    text_free(&t);
    return ok;
}

/* ---- reading ---- */

static const char *known_role(const char *role) {
    static const char *const roles[] = {role_system, role_user, role_assistant};
    for (size_t i = 0; role && i < 3; i++)
        if (strcmp(role, roles[i]) == 0) return roles[i];
    for (size_t i = 0; role && i < 2; i++)
        if (strcmp(role, other_roles[i]) == 0) return other_roles[i];
    return NULL;
}

static bool bad(const char *path, size_t i, const char *what) {
    complain("%s: message %zu %s.", path, i + 1, what);
    return false;
}

/* A text, or a list of parts {"type": "text", "text": …}. */
static bool read_content(const char *path, size_t i, const cria_json *v, struct text *out) {
    size_t len;
    const char *text = cria_json_string(v, &len);
    if (text) return append_valid(out, text, len) ? true : no_memory();
    if (cria_json_type(v) == CRIA_JSON_NULL) return append_valid(out, "", 0) ? true : no_memory();
    if (cria_json_type(v) != CRIA_JSON_ARRAY)
        return bad(path, i, "has a content that is neither a text nor a list of parts");
    for (size_t k = 0; k < cria_json_size(v); k++) {
        text = cria_json_string(cria_json_get(cria_json_at(v, k), "text"), &len);
        if (!text) return bad(path, i, "has a part that is no text; only texts can be read");
        if (!append_valid(out, text, len)) return no_memory();
    }
    return append_valid(out, "", 0) ? true : no_memory();
}

static bool read_message(struct conversation *c, const char *path, size_t i, const cria_json *v) {
    if (cria_json_type(v) != CRIA_JSON_OBJECT) return bad(path, i, "is no object with a role and a content");
    if (cria_json_type(cria_json_get(v, "tool_calls")) != CRIA_JSON_NULL)
        return bad(path, i, "calls tools, which a conversation here cannot");
    size_t len;
    const char *role = cria_json_string(cria_json_get(v, "role"), &len);
    struct message m = {.role = known_role(role)};
    if (!m.role) return bad(path, i, "has a role that is not one of system, user, assistant, tool and developer");
    if (m.role == role_system && i > 0) return bad(path, i, "is from the system, which may only be the first");
    bool ok = read_content(path, i, cria_json_get(v, "content"), &m.content);
    const char *reasoning = ok ? cria_json_string(cria_json_get(v, "reasoning_content"), &len) : NULL;
    if (reasoning && !append_valid(&m.reasoning, reasoning, len)) ok = no_memory();
    if (ok && insert(c, c->n, m)) return true;
    message_free(&m);
    return false;
}

static bool read_messages(struct conversation *c, const char *path, const cria_json *root) {
    const cria_json *v = cria_json_type(root) == CRIA_JSON_ARRAY ? root : cria_json_get(root, "messages");
    if (cria_json_type(v) != CRIA_JSON_ARRAY || cria_json_size(v) > MESSAGES_MAX) {
        complain("%s holds no conversation: it has to be {\"messages\": [{\"role\": \"user\", \"content\": \"…\"}, …]} "
                 "with at most %d messages.", path, MESSAGES_MAX);
        return false;
    }
    for (size_t i = 0; i < cria_json_size(v); i++)
        if (!read_message(c, path, i, cria_json_at(v, i))) return false;
    return true;
}

bool conversation_load(struct conversation *c, const char *path) {
    struct stat st;
    struct text t;
    if (stat(path, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)) {
        complain("Cannot load '%s': it has to be a file of at most %d MiB.", path, FILE_MAX >> 20);
        return false;
    }
    if (!input_read_bytes(path, &t)) return false;
    cria_json *root = NULL;
    cria_error err;
    struct conversation read = {0};
    bool ok = cria_json_parse(t.data, t.len, path, &root, &err) == CRIA_OK;
    if (!ok)
        complain("%s", err.msg);
    else
        ok = read_messages(&read, path, root);
    cria_json_free(root);
    text_free(&t);
    struct conversation *gone = ok ? c : &read;
    conversation_free(gone);
    if (ok) *c = read;
    return ok;
}
