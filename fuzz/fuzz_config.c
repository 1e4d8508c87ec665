/* SPDX-License-Identifier: Apache-2.0 */
/* Hyperparameters: the input is a config.json beside two tensors that it may take dimensions from, or, when it begins
 * as one, a GGUF file whose metadata is read. What comes out must keep every promise of model/config.h. The memory of
 * the JSON library is its own and not in guard.h's budget; libFuzzer's limits watch it. */
#include "guard.h"
#include "model/config.h"

/* A GGUF file in memory with two matrices under the names of an MLX folder; returns its length. */
static size_t write_tensors(uint8_t *file) {
    static const struct {
        const char *name;
        uint64_t rows, offset;
    } tensors[] = {{"layers.0.feed_forward.w1.weight", 6, 0}, {"output.weight", 5, 32}};
    const uint32_t version = 3, two = 2, f32 = 0;
    const uint64_t n_tensors = 2, n_keys = 0, columns = 1;
    size_t at = 0;
#define PUT(value) memcpy(file + at, &(value), sizeof(value)), at += sizeof(value)
    memcpy(file, "GGUF", 4);
    at = 4;
    PUT(version);
    PUT(n_tensors);
    PUT(n_keys);
    for (size_t i = 0; i < 2; i++) {
        const uint64_t length = strlen(tensors[i].name);
        PUT(length);
        memcpy(file + at, tensors[i].name, length);
        at += length;
        PUT(two);
        PUT(columns);
        PUT(tensors[i].rows);
        PUT(f32);
        PUT(tensors[i].offset);
    }
#undef PUT
    const size_t data = (at + 31) / 32 * 32;
    memset(file + at, 0, data + 64 - at);
    return data + 64;
}

static void check(const cria_config *c) {
    GUARD_CHECK(c->d >= 1 && c->d <= CRIA_DIM_MAX && c->f >= 1 && c->f <= CRIA_DIM_MAX);
    GUARD_CHECK(c->V >= 1 && c->V <= CRIA_DIM_MAX);
    GUARD_CHECK(c->n_layers >= 1 && c->n_layers <= CRIA_LAYERS_MAX);
    GUARD_CHECK(c->h >= 1 && c->h <= CRIA_HEADS_MAX && c->hk >= 1 && c->h % c->hk == 0);
    GUARD_CHECK(c->e >= 2 && c->e % 2 == 0 && c->e <= CRIA_HEAD_DIM_MAX);
    GUARD_CHECK(c->norm_eps >= 0 && c->norm_eps <= 1 && c->rope[0].theta >= 1 && c->rope[0].theta <= 1e18f);
    GUARD_CHECK(memchr(c->quantization.mode, 0, sizeof c->quantization.mode) != NULL);
}

static void read_config(cria_ctx *ctx, const uint8_t *data, size_t len) {
    uint8_t tensors[512];
    const int is_gguf = len >= 4 && memcmp(data, "GGUF", 4) == 0;
    const size_t n = is_gguf ? 0 : write_tensors(tensors);
    cria_container *c = NULL;
    cria_error err;
    cria_config config;
    cria_status st = cria_container_open_memory(ctx, is_gguf ? data : tensors, is_gguf ? len : n, "input", &c, &err);
    if (st != CRIA_OK) {
        GUARD_CHECK(is_gguf || st == CRIA_ENOMEM);
        return;
    }
    st = is_gguf ? cria_config_from_gguf(c, &config, &err)
                 : cria_config_from_json((const char *)data, len, "input", c, &config, &err);
    if (st == CRIA_OK)
        check(&config);
    else
        GUARD_CHECK(err.code == st && strlen(err.msg) != 0 && strchr(err.msg, '\n') == NULL);
    cria_container_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) { return guard_run(read_config, data, len, 6); }
