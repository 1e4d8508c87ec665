/* SPDX-License-Identifier: Apache-2.0 */
/* The model in a loop of your own, token by token: cc loop.c $(pkg-config --cflags --libs cria) && ./a.out MODEL PROMPT N
 * goes on from a prompt with the N likeliest tokens. Where a stream (generate.c) does what you need, it is less work. */
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
    cria_model_info info;
    int32_t *ids, made[64];
    size_t n, len, i, most = argc == 4 ? (size_t)atoi(argv[3]) : 0;
    char *text;
    float *logits;
    cria_row row;

    if (most < 1 || most > 64) return fprintf(stderr, "usage: loop MODEL PROMPT N (1 to 64)\n"), 2;
    must(cria_ctx_new(NULL, &ctx, &err));
    must(cria_model_open(ctx, argv[1], NULL, &model, &err));
    must(cria_engine_new(model, NULL, &engine, &err));
    must(cria_sequence_new(engine, &sequence, &err));
    must(cria_sampler_new(ctx, NULL, &sampler, &err));
    cria_model_get_info(model, &info);
    logits = malloc(info.vocab_size * sizeof *logits);
    if (!logits) return 1;
    must(cria_encode(cria_model_tokenizer(model), argv[2], strlen(argv[2]), CRIA_ENCODE_PLAIN, &ids, &n, &err));
    for (i = 0; i < n; i++) {
        row.sequence = sequence;
        row.token = ids[i];
        row.want_logits = i + 1 == n;
        must(cria_engine_eval(engine, &row, 1, logits, &err));
    }
    cria_ids_free(cria_model_tokenizer(model), ids);
    for (n = 0; n < most; n++) {
        must(cria_sampler_sample(sampler, logits, info.vocab_size, &row.token, &err));
        made[n] = row.token;
        must(cria_engine_eval(engine, &row, 1, logits, &err));
    }
    must(cria_decode(cria_model_tokenizer(model), made, n, &text, &len, &err));
    puts(text);
    cria_text_free(cria_model_tokenizer(model), text);
    free(logits);
    cria_sampler_free(sampler);
    cria_sequence_free(sequence);
    cria_engine_free(engine);
    cria_model_free(model);
    cria_ctx_free(ctx);
    return 0;
}
