/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation: cc chat.c $(pkg-config --cflags --libs cria) && ./a.out MODEL, a question a line on stdin. What was
 * said before is not computed again: the stream keeps what the next prompt begins with. */
#include <cria/cria.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cria_error err;

static void must(cria_status status) {
    if (status == CRIA_OK) return;
    fprintf(stderr, "%s\n", err.msg);
    exit(1);
}

/* The messages as JSON, growing: [{"role": …, "content": …}, … */
static char *messages;
static size_t used, room;

static void put(const char *text, size_t n) {
    if (used + n + 1 > room) {
        room = 2 * (used + n + 1);
        messages = realloc(messages, room);
        if (!messages) exit(1);
    }
    memcpy(messages + used, text, n);
    used += n;
    messages[used] = '\0';
}

static void put_quoted(const char *text, size_t n) {
    char escaped[8];
    size_t i;
    put("\"", 1);
    for (i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == '"' || text[i] == '\\')
            put(escaped, (size_t)sprintf(escaped, "\\u%04x", (unsigned char)text[i]));
        else
            put(text + i, 1);
    put("\"", 1);
}

static void put_message(const char *role, const char *text, size_t n) {
    const char *begin = used ? ", {\"role\": \"" : "{\"messages\": [{\"role\": \"";
    put(begin, strlen(begin));
    put(role, strlen(role));
    put("\", \"content\": ", 14);
    put_quoted(text, n);
    put("}", 1);
}

int main(int argc, char **argv) {
    static const char end[] = "], \"add_generation_prompt\": true}";
    static char line[65536], answer[1 << 20];
    cria_ctx *ctx;
    cria_model *model;
    cria_engine *engine;
    cria_sequence *sequence;
    cria_sampler *sampler;
    cria_stream *stream;
    cria_stream_event event;
    cria_chat_template *chat;

    if (argc != 2) return fprintf(stderr, "usage: chat MODEL\n"), 2;
    must(cria_ctx_new(NULL, &ctx, &err));
    must(cria_model_open(ctx, argv[1], NULL, &model, &err));
    must(cria_engine_new(model, NULL, &engine, &err));
    must(cria_sequence_new(engine, &sequence, &err));
    must(cria_sampler_new(ctx, NULL, &sampler, &err)); /* the likeliest token */
    must(cria_stream_new(sequence, sampler, NULL, &stream, &err));
    must(cria_chat_template_open(model, NULL, &chat, &err));

    while (fgets(line, sizeof line, stdin)) {
        size_t before, len, n, n_answer = 0;
        int32_t *ids;
        char *prompt;

        put_message("user", line, strcspn(line, "\n"));
        before = used;
        put(end, sizeof end - 1);
        must(cria_chat_template_render(chat, messages, used, NULL, &prompt, &len, &err));
        used = before; /* the next message goes there */
        must(cria_encode(cria_model_tokenizer(model), prompt, len, CRIA_ENCODE_CHAT, &ids, &n, &err));
        cria_chat_text_free(chat, prompt);
        must(cria_stream_prompt(stream, ids, n, &err));
        cria_ids_free(cria_model_tokenizer(model), ids);
        do {
            must(cria_stream_next(&stream, 1, &event, &err));
            fwrite(event.text, 1, event.len, stdout);
            fflush(stdout);
            if (n_answer + event.len > sizeof answer) return 1;
            memcpy(answer + n_answer, event.text, event.len);
            n_answer += event.len;
        } while (event.finish == CRIA_FINISH_NONE);
        putchar('\n');
        put_message("assistant", answer, n_answer);
    }

    cria_chat_template_free(chat);
    cria_stream_free(stream);
    cria_sampler_free(sampler);
    cria_sequence_free(sequence);
    cria_engine_free(engine);
    cria_model_free(model);
    cria_ctx_free(ctx);
    free(messages);
    return 0;
}
