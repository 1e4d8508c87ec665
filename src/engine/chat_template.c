/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public cria_chat_template: a compiled template (src/template) with the variables of a model, and what
 * transformers' apply_chat_template does to the variables before it renders them (utils/chat_template_utils.py,
 * render_jinja_template and _normalize_chat_messages). All of that is done on the JSON text: of a name that occurs
 * twice the last one counts, so that what is to be overridden goes before the caller's, and what overrides goes behind.
 */
#include "base/ctx.h"
#include "base/jsonread.h"
#include "base/mem.h"
#include "base/status.h"
#include "engine/model.h"
#include "format/write.h"
#include "template/template.h"

#include <string.h>

#define JSON_MAX ((size_t)512 << 20) /* bytes of the variables; the template's limit of memory comes much earlier */

struct cria_chat_template { /* the public opaque type */
    cria_ctx *ctx;          /* referenced */
    char *text;
    size_t len;
    cria_template *program;  /* NULL: there is only one for tools */
    cria_template *tool_use; /* NULL: program does, with tools too */
    char *variables;         /* members of an object, each with a comma behind it */
    size_t variables_len;
};

static cria_status put(cria_buf *b, const char *text, cria_error *err) {
    return cria_buf_append(b, text, strlen(text), err);
}

/* ---- the object ---- */

/* The names that transformers gives a value in any case come first. */
static cria_status write_variables(cria_chat_template *t, const cria_chat *chat, cria_error *err) {
    cria_buf b;
    cria_buf_init(&b, t->ctx, JSON_MAX);
    cria_status st = put(&b, "\"tools\":null,\"documents\":null,\"add_generation_prompt\":false,", err);
    for (size_t i = 0; i < chat->n_variables && !st; i++) {
        const struct cria_chat_variable *v = &chat->variables[i];
        if (v->text.data == NULL) continue;
        st = cria_write_json_string(&b, v->name.data, v->name.len, err);
        if (!st) st = put(&b, ":", err);
        if (!st) st = cria_write_json_string(&b, v->text.data, v->text.len, err);
        if (!st) st = put(&b, ",", err);
    }
    uint8_t *data;
    if (!st) st = cria_buf_take(&b, &data, &t->variables_len, err);
    if (!st) t->variables = (char *)data;
    cria_buf_fini(&b);
    return st;
}

/* One of text and tool_use may be NULL. */
static cria_status fill(cria_chat_template *t, const cria_model *model, const struct cria_chat_text *text,
                        const struct cria_chat_text *tool_use, cria_error *err) {
    const struct cria_chat_text *first = text ? text : tool_use;
    t->text = cria_malloc(t->ctx, first->len + 1);
    if (t->text == NULL) return cria_fail_nomem(err, "a chat template", first->len);
    memcpy(t->text, first->data, first->len);
    t->text[first->len] = '\0';
    t->len = first->len;
    cria_status st = CRIA_OK;
    if (text) st = cria_template_compile(t->ctx, text->data, text->len, &t->program, err);
    if (!st && tool_use) st = cria_template_compile(t->ctx, tool_use->data, tool_use->len, &t->tool_use, err);
    return st ? st : write_variables(t, &model->chat, err);
}

static cria_status make(const cria_model *model, const struct cria_chat_text *text,
                        const struct cria_chat_text *tool_use, cria_chat_template **out, cria_error *err) {
    cria_chat_template *t = cria_calloc(model->ctx, 1, sizeof *t);
    if (t == NULL) return cria_fail_nomem(err, "a chat template", sizeof *t);
    t->ctx = cria_ctx_ref(model->ctx);
    const cria_status st = fill(t, model, text, tool_use, err);
    if (st)
        cria_chat_template_free(t);
    else
        *out = t;
    return st;
}

cria_status cria_chat_template_new(const cria_model *model, const char *text, size_t len, cria_chat_template **out,
                                   cria_error *err) {
    if (model == NULL || (text == NULL && len > 0) || out == NULL)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_chat_template_new needs a model, a text and an out.");
    const struct cria_chat_text t = {len ? (char *)text : "", len}; /* only read */
    return make(model, &t, NULL, out, err);
}

static const struct cria_chat_text *find(const cria_chat *chat, const char *name) {
    for (size_t i = 0; i < chat->n; i++)
        if (strcmp(chat->templates[i].name.data, name) == 0) return &chat->templates[i].text;
    return NULL;
}

static cria_status missing(const cria_chat *chat, const char *name, cria_error *err) {
    char names[400] = "";
    if (chat->n == 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%s has no chat template: it was not made for conversations, or its files lack it; give one.",
                         chat->path.data ? chat->path.data : "The model");
    for (size_t i = 0, used = 0; i < chat->n; i++) {
        const struct cria_chat_text *t = &chat->templates[i].name;
        if (used + t->len + 3 > sizeof names) break;
        if (i) memcpy(names + used, ", ", 3), used += 2;
        memcpy(names + used, t->data, t->len + 1);
        used += t->len;
    }
    return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "%s has no chat template \"%.100s\"; it has: %s.", chat->path.data,
                     name ? name : "default", names);
}

cria_status cria_chat_template_open(const cria_model *model, const char *name, cria_chat_template **out,
                                    cria_error *err) {
    if (model == NULL || out == NULL)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_chat_template_open needs a model and an out.");
    const cria_chat *chat = &model->chat;
    const cria_status st = cria_chat_tell(&chat->template_failure, err);
    if (st) return st;
    const struct cria_chat_text *t = find(chat, name ? name : "default");
    const struct cria_chat_text *tool_use = name ? NULL : find(chat, "tool_use");
    return t || tool_use ? make(model, t, tool_use, out, err) : missing(chat, name, err);
}

void cria_chat_template_free(cria_chat_template *t) {
    if (t == NULL) return;
    cria_ctx *ctx = t->ctx;
    cria_template_free(t->program);
    cria_template_free(t->tool_use);
    cria_free(ctx, t->variables);
    cria_free(ctx, t->text);
    cria_free(ctx, t);
    cria_ctx_unref(ctx);
}

const char *cria_chat_template_text(const cria_chat_template *t, size_t *len) {
    if (len) *len = t->len;
    return t->text;
}

/* ---- messages, as transformers hands them over ---- */

/* What is null is dropped; the first of the names for what a model thought makes two of them known. */
static const char *const reasoning_names[] = {"reasoning_content", "thinking", "reasoning"};
enum { N_REASONING = sizeof reasoning_names / sizeof *reasoning_names };

struct writer {
    cria_buf *b;
    cria_status st;
    cria_error *err;
    bool some; /* a comma is due */
};

/* Ends a reader; where writing failed before, that it stands in the middle is nobody's error. */
static void end(struct writer *w, cria_jsonread *r) {
    if (w->st) r->err = NULL;
    const cria_status st = cria_jsonread_end(r);
    if (!w->st) w->st = st;
}

static void write(struct writer *w, const char *data, size_t len) {
    if (!w->st) w->st = cria_buf_append(w->b, data, len, w->err);
}

static void write_member(struct writer *w, const char *key, size_t key_len, cria_jsontext value) {
    if (w->some) write(w, ",", 1);
    w->some = true;
    if (!w->st) w->st = cria_write_json_string(w->b, key, key_len, w->err);
    write(w, ":", 1);
    write(w, value.data, value.len);
}

enum { NULLS_MAX = 64 };

/* What is to be known of a message before it is written. */
struct survey {
    cria_jsontext reasoning; /* data NULL: none */
    cria_buf names;          /* of the nulls */
    size_t n;
    struct null_member {
        size_t at, len, ordinal; /* its name is names[at .. at + len); which member of the message it is */
    } nulls[NULLS_MAX];
};

static cria_status note_null(struct survey *s, cria_jsontext key, size_t ordinal, cria_error *err) {
    if (s->n == NULLS_MAX)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "A message has more than %d members that are null.",
                         (int)NULLS_MAX);
    s->nulls[s->n++] = (struct null_member){s->names.len, key.len, ordinal};
    return cria_buf_append(&s->names, key.data, key.len, err);
}

/* Of a name that occurs twice the last counts, so that a null takes away what came before. */
static bool taken_away(const struct survey *s, cria_jsontext key, size_t ordinal) {
    for (size_t i = 0; i < s->n; i++) {
        const struct null_member *m = &s->nulls[i];
        if (m->ordinal > ordinal && m->len == key.len && memcmp(s->names.data + m->at, key.data, key.len) == 0)
            return true;
    }
    return false;
}

static void survey_message(struct writer *w, const cria_jsonread *r, cria_jsontext message, struct survey *out) {
    cria_jsontext found[N_REASONING] = {{NULL, 0}}, key, raw;
    cria_jsonread sub;
    size_t ordinal = 0;
    cria_jsonread_sub(&sub, r, message);
    for (bool more = cria_jsonread_object(&sub); more && !w->st && cria_jsonread_key(&sub, &key); ordinal++) {
        size_t i = 0;
        while (i < N_REASONING && !cria_jsontext_is(key, reasoning_names[i])) i++;
        const bool null = cria_jsonread_peek(&sub) == CRIA_JSON_NULL;
        if (null) w->st = note_null(out, key, ordinal, w->err); /* the key does not outlive the next call */
        if (cria_jsonread_raw(&sub, &raw) && i < N_REASONING) found[i] = null ? (cria_jsontext){NULL, 0} : raw;
    }
    end(w, &sub);
    for (size_t i = N_REASONING; i > 0; i--)
        if (found[i - 1].data) out->reasoning = found[i - 1];
}

static void write_surveyed(struct writer *w, const cria_jsonread *r, cria_jsontext message, const struct survey *s) {
    cria_jsontext key, raw;
    cria_jsonread sub;
    size_t ordinal = 0;
    w->some = false;
    write(w, "{", 1);
    if (s->reasoning.data) write_member(w, "thinking", strlen("thinking"), s->reasoning);
    cria_jsonread_sub(&sub, r, message);
    for (bool more = cria_jsonread_object(&sub); more && !w->st && cria_jsonread_key(&sub, &key); ordinal++) {
        const bool dropped = cria_jsonread_peek(&sub) == CRIA_JSON_NULL || taken_away(s, key, ordinal);
        if (!dropped) write_member(w, key.data, key.len, (cria_jsontext){"", 0});
        if (cria_jsonread_raw(&sub, &raw) && !dropped) write(w, raw.data, raw.len);
    }
    end(w, &sub);
    if (s->reasoning.data) write_member(w, "reasoning_content", strlen("reasoning_content"), s->reasoning);
    write(w, "}", 1);
}

static void write_message(struct writer *w, const cria_jsonread *r, cria_jsontext message) {
    struct survey s = {.reasoning = {NULL, 0}};
    cria_buf_init(&s.names, w->b->ctx, JSON_MAX);
    survey_message(w, r, message, &s);
    if (!w->st) write_surveyed(w, r, message, &s);
    cria_buf_fini(&s.names);
}

/* An array of objects; anything else stays as it is, for the template to refuse. */
static void write_messages(struct writer *w, const cria_jsonread *r, cria_jsontext messages) {
    cria_jsontext raw;
    cria_jsonread sub;
    bool first = true;
    cria_jsonread_sub(&sub, r, messages);
    if (cria_jsonread_peek(&sub) != CRIA_JSON_ARRAY) {
        cria_jsonread_end(&sub);
        write(w, messages.data, messages.len);
        return;
    }
    write(w, "[", 1);
    for (cria_jsonread_array(&sub); !w->st && cria_jsonread_item(&sub);) {
        const bool object = cria_jsonread_peek(&sub) == CRIA_JSON_OBJECT;
        if (!cria_jsonread_raw(&sub, &raw)) break;
        if (!first) write(w, ",", 1);
        first = false;
        if (object)
            write_message(w, &sub, raw);
        else
            write(w, raw.data, raw.len);
    }
    end(w, &sub);
    write(w, "]", 1);
}

/* ---- rendering ---- */

/* The variables that the template sees. */
static cria_status complete(const cria_chat_template *t, const char *json, size_t len, cria_buf *out, bool *tools,
                            cria_error *err) {
    struct writer w = {.b = out, .err = err};
    cria_jsontext key, raw, messages = {NULL, 0};
    cria_jsonread r;
    cria_jsonread_init(&r, t->ctx, json, len, "the variables of the chat template", err);
    *tools = false;
    write(&w, "{", 1);
    write(&w, t->variables, t->variables_len);
    bool more = cria_jsonread_object(&r);
    while (more && !w.st && cria_jsonread_key(&r, &key)) {
        const bool is_messages = cria_jsontext_is(key, "messages"), is_tools = cria_jsontext_is(key, "tools");
        w.some = false;
        write_member(&w, key.data, key.len, (cria_jsontext){"", 0});
        if (!cria_jsonread_raw(&r, &raw)) break;
        write(&w, raw.data, raw.len);
        write(&w, ",", 1);
        if (is_messages) messages = raw;
        if (is_tools) *tools = !cria_jsontext_is(raw, "null");
    }
    if (messages.data && r.status == CRIA_OK) {
        write(&w, "\"messages\":", strlen("\"messages\":"));
        write_messages(&w, &r, messages);
        write(&w, ",", 1);
    }
    end(&w, &r);
    if (!w.st && out->data[out->len - 1] == ',') out->len--;
    write(&w, "}", 1);
    return w.st;
}

cria_status cria_chat_template_render(const cria_chat_template *t, const char *json, size_t len,
                                      const cria_template_time *now, char **out, size_t *out_len, cria_error *err) {
    if (t == NULL || json == NULL || out == NULL || out_len == NULL)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_chat_template_render needs a template, variables, an out and an out_len.");
    cria_buf variables, text;
    bool tools;
    uint8_t *data;
    cria_buf_init(&variables, t->ctx, JSON_MAX);
    cria_buf_init(&text, t->ctx, CRIA_TEMPLATE_MAX_OUTPUT);
    cria_status st = complete(t, json, len, &variables, &tools, err);
    const cria_template *program = tools && t->tool_use ? t->tool_use : t->program;
    if (!st && program == NULL)
        st = cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                       "The model's only chat template is for tools, \"tool_use\", and there are no tools.");
    if (!st) st = cria_template_render(program, (const char *)variables.data, variables.len, now, &text, err);
    if (!st) st = cria_buf_take(&text, &data, out_len, err);
    if (!st) *out = (char *)data;
    cria_buf_fini(&text);
    cria_buf_fini(&variables);
    return st;
}

void cria_chat_text_free(const cria_chat_template *t, char *text) { cria_free(t->ctx, text); }
