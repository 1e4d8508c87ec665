/* SPDX-License-Identifier: Apache-2.0 */
/* From the messages to the prompt, and from there to the answer. */
#include "chat.h"

#include "prefill.h"
#include "progress.h"
#include "term.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the prompt ---- */

static bool put(struct text *t, const char *text) { return text_append(t, text, strlen(text)); }

static cria_status fail_memory(cria_error *err) {
    *err = (cria_error){.code = CRIA_ENOMEM};
    snprintf(err->msg, sizeof err->msg, "Not enough memory for the conversation.");
    return CRIA_ENOMEM;
}

static cria_status render(const struct chat *c, bool asks, struct text *out, cria_error *err) {
    struct text json = {NULL, 0};
    char *text;
    size_t len;
    bool ok = put(&json, "{\"messages\":") && conversation_json(&c->messages, &json) &&
              put(&json, asks ? ",\"add_generation_prompt\":true" : ",\"add_generation_prompt\":false") &&
              text_append(&json, c->arguments.data, c->arguments.len) && put(&json, "}");
    cria_status st = ok ? CRIA_OK : fail_memory(err);
    if (st == CRIA_OK) st = cria_chat_template_render(c->template, json.data, json.len, &c->now, &text, &len, err);
    text_free(&json);
    if (st != CRIA_OK) return st;
    if (!text_append(out, text, len)) st = fail_memory(err);
    cria_chat_text_free(c->template, text);
    return st;
}

/* Without a template: every text and a line end. */
static cria_status join(const struct chat *c, struct text *out, cria_error *err) {
    bool ok = true;
    for (size_t i = 0; i < c->messages.n && ok; i++)
        ok = text_append(out, c->messages.v[i].content.data, c->messages.v[i].content.len) && put(out, "\n");
    return ok ? CRIA_OK : fail_memory(err);
}

static unsigned encode_flags(const struct chat *c) {
    if (c->template) return CRIA_ENCODE_CHAT;
    return cria_tokenizer_add_bos(c->tokenizer) ? CRIA_ENCODE_BOS : CRIA_ENCODE_PLAIN;
}

static cria_status make_prompt(struct chat *c, bool *thinks, cria_error *err) {
    struct text t = {NULL, 0};
    cria_status st = c->template ? render(c, true, &t, err) : join(c, &t, err);
    if (st == CRIA_OK) st = known_prompt(&c->known, c->tokenizer, &t, encode_flags(c), err);
    size_t end = t.len;
    while (end > 0 && strchr("\n ", t.data[end - 1])) end--;
    *thinks = end >= strlen("<think>") && strncmp(t.data + end - strlen("<think>"), "<think>", strlen("<think>")) == 0;
    text_free(&t);
    return st;
}

/* After the messages were changed: about how many tokens they are. What the template refuses, a conversation that ends
 * with no question for one, it will say when something is asked. */
void chat_recount(struct chat *c) {
    struct text t = {NULL, 0};
    cria_error err;
    int32_t *ids;
    size_t n = 0;
    c->n_now = 0;
    if (c->messages.n > 0 && (c->template ? render(c, false, &t, &err) : join(c, &t, &err)) == CRIA_OK &&
        cria_encode(c->tokenizer, t.data, t.len, encode_flags(c), &ids, &n, &err) == CRIA_OK) {
        c->n_now = n;
        cria_ids_free(c->tokenizer, ids);
    }
    text_free(&t);
}

/* ---- an answer ---- */

enum ending { END_EOG, END_STOP, END_LENGTH, END_FULL, END_INTERRUPTED, END_TOO_LONG, END_FAILED };

struct answer {
    struct text text;
    int32_t *ids;
    size_t n, room;
    double prompt_seconds, seconds; /* until the first token; from then on */
    cria_error err;
};

static bool keep_token(struct answer *a, int32_t id) {
    if (a->n == a->room) {
        const size_t room = a->room ? 2 * a->room : 256;
        int32_t *more = realloc(a->ids, room * sizeof *more);
        if (!more) return false;
        a->ids = more;
        a->room = room;
    }
    a->ids[a->n++] = id;
    return true;
}

static bool keep_text(struct chat *c, struct answer *a, const char *text, size_t len) {
    if (!text_append(&a->text, text, len)) {
        fail_memory(&a->err);
        return false;
    }
    if (answerout_write(&c->out, text, len)) return true;
    errno = c->out.out.error;
    return false;
}

/* Token after token. errno is 0, or why stdout failed. */
static enum ending read_answer(struct chat *c, struct answer *a) {
    /* Of cria_finish. */
    static const enum ending endings[] = {END_FAILED, END_EOG, END_STOP, END_LENGTH, END_FULL, END_INTERRUPTED};
    const double start = clock_now();
    cria_stream *streams[] = {c->stream};
    for (;;) {
        cria_stream_event e;
        if (cria_stream_next(streams, 1, &e, &a->err) != CRIA_OK) return END_FAILED;
        a->seconds = clock_now() - start;
        if (e.id >= 0 && e.finish != CRIA_FINISH_EOG && !keep_token(a, e.id)) {
            fail_memory(&a->err);
            return END_FAILED;
        }
        if (!keep_text(c, a, e.text, e.len)) return END_FAILED;
        if (e.finish != CRIA_FINISH_NONE) return endings[e.finish];
        if (!term_interrupted()) continue;
        if (cria_stream_end(c->stream, &e, &a->err) != CRIA_OK) return END_FAILED;
        return keep_text(c, a, e.text, e.len) ? END_INTERRUPTED : END_FAILED;
    }
}

static enum ending answer_prompt(struct chat *c, struct answer *a) {
    bool thinks = false;
    cria_status st = make_prompt(c, &thinks, &a->err);
    if (st != CRIA_OK) return END_FAILED;
    c->n_prompt = c->known.n;
    if (c->n_prompt > cria_engine_context(c->session->engine)) return END_TOO_LONG;
    st = cria_stream_prompt(c->stream, c->known.ids, c->known.n, &a->err);
    if (st == CRIA_EFULL) return END_TOO_LONG;
    if (st != CRIA_OK) return END_FAILED;
    cria_stream_stats stats;
    cria_stream_get_stats(c->stream, &stats);
    c->n_reused = stats.n_reused;
    c->n_saved += stats.n_reused;
    c->n_computed += c->n_prompt - c->n_reused;
    const double start = clock_now();
    size_t left;
    st = prefill(c->stream, c->session->quiet, &left, &a->err);
    a->prompt_seconds = clock_now() - start;
    if (st != CRIA_OK) return st == CRIA_EFULL ? END_TOO_LONG : END_FAILED;
    if (term_interrupted()) return END_INTERRUPTED;
    answerout_begin(&c->out, thinks);
    const enum ending ending = read_answer(c, a);
    if (!answerout_end(&c->out)) {
        errno = c->out.out.error;
        return END_FAILED;
    }
    return ending;
}

static void say_too_long(const struct chat *c) {
    complain("The conversation has %zu tokens, but the context holds %" PRIu32 ".%s", c->n_prompt,
             cria_engine_context(c->session->engine),
             lineedit_asks(c->lines) ? " /drop forgets the oldest question and its answer, /drop N more of them, /undo "
                                       "takes back this one, /clear begins anew; then /retry answers."
                                     : " Ask for more with --context, or ask in several conversations.");
}

static void say_status(const struct chat *c, const struct answer *a, enum ending ending) {
    static const char *const notes[] = {[END_STOP] = "stopped at a text of --stop", [END_LENGTH] = "--max-tokens",
                                        [END_FULL] = "the context is full: /drop, /undo or /clear make room",
                                        [END_INTERRUPTED] = "stopped"};
    const char *note = notes[ending];
    if (c->session->quiet) return;
    if (ending == END_FULL && !c->status) say(false, "[INFO] The context is full; the answer ends here.\n");
    if (!c->status) return;
    fprintf(stderr, "%s[%zu token%s", c->colours ? "\033[2m" : "", a->n, a->n == 1 ? "" : "s");
    /* The first one comes with the prompt. */
    if (a->n > 1 && a->seconds > 0.0) fprintf(stderr, ", %.1f tokens/s", (double)(a->n - 1) / a->seconds);
    fprintf(stderr, "; context %zu of %" PRIu32 ", %zu of %zu reused", c->n_now,
            cria_engine_context(c->session->engine), c->n_reused, c->n_prompt);
    fprintf(stderr, "%s%s]%s\n", note ? "; " : "", note ? note : "", c->colours ? "\033[0m" : "");
}

bool chat_answer(struct chat *c) {
    struct answer a = {0};
    const size_t question = conversation_last_question(&c->messages);
    term_catch_interrupt();
    errno = 0;
    const enum ending ending = answer_prompt(c, &a);
    const int error = errno;
    bool ok = true;
    c->n_generated += a.n;
    if (ending == END_TOO_LONG) {
        say_too_long(c);
        chat_recount(c);
        ok = lineedit_asks(c->lines);
    } else if (ending == END_FAILED) {
        ok = c->out.out.error == 0;
        errno = ok ? error : c->out.out.error;
        if (!ok)
            complain_unwritten(NULL);
        else
            complain("%s", a.err.msg);
        ok = ok && lineedit_asks(c->lines);
        conversation_cut(&c->messages, question);
        chat_recount(c);
    } else if (ending == END_INTERRUPTED && a.n == 0) {
        say(c->session->quiet, "[INFO] Stopped; the question is taken back.\n");
        conversation_cut(&c->messages, question);
        chat_recount(c);
    } else {
        cria_error err;
        ok = conversation_add(&c->messages, role_assistant, a.text.data ? a.text.data : "", a.text.len);
        if (ok && ending != END_STOP &&
            known_answer(&c->known, a.text.data ? a.text.data : "", a.text.len, a.ids, a.n, &err) != CRIA_OK) {
            complain("%s", err.msg);
            ok = false;
        }
        c->n_now = c->known.n;
        say_status(c, &a, ending);
    }
    text_free(&a.text);
    free(a.ids);
    if (term_interrupted() && !lineedit_asks(c->lines)) ok = false;
    return ok;
}
