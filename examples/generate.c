/* SPDX-License-Identifier: Apache-2.0 */
/* Goes on from a prompt: cc generate.c $(pkg-config --cflags --libs cria) && ./a.out MODEL PROMPT */
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

int main(int argc, char **argv) {
    cria_ctx *ctx;
    cria_model *model;
    cria_engine *engine;
    cria_sequence *sequence;
    cria_sampler *sampler;
    cria_stream *stream;
    cria_stream_opts opts = cria_stream_opts_default();
    cria_stream_event event;
    int32_t *ids;
    size_t n;

    if (argc != 3) return fprintf(stderr, "usage: generate MODEL PROMPT\n"), 2;
    must(cria_ctx_new(NULL, &ctx, &err));
    must(cria_model_open(ctx, argv[1], NULL, &model, &err));
    must(cria_engine_new(model, NULL, &engine, &err));
    must(cria_sequence_new(engine, &sequence, &err));
    must(cria_sampler_new(ctx, NULL, &sampler, &err)); /* the likeliest token */
    opts.max_tokens = 100;
    must(cria_stream_new(sequence, sampler, &opts, &stream, &err));

    must(cria_encode(cria_model_tokenizer(model), argv[2], strlen(argv[2]), CRIA_ENCODE_PLAIN, &ids, &n, &err));
    must(cria_stream_prompt(stream, ids, n, &err));
    do {
        must(cria_stream_next(&stream, 1, &event, &err));
        fwrite(event.text, 1, event.len, stdout);
        fflush(stdout);
    } while (event.finish == CRIA_FINISH_NONE);
    putchar('\n');

    cria_ids_free(cria_model_tokenizer(model), ids);
    cria_stream_free(stream);
    cria_sampler_free(sampler);
    cria_sequence_free(sequence);
    cria_engine_free(engine);
    cria_model_free(model);
    cria_ctx_free(ctx);
    return 0;
}
