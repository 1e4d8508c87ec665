/* SPDX-License-Identifier: Apache-2.0 */
/* Hyperparameters: the input is a config.json (the MLX example's or Hugging Face's) beside a few tensors that it may
 * take dimensions from or name, or, when it begins as one, a GGUF file whose metadata is read. What comes out must keep
 * every promise of model/config.h. The memory of the JSON library is its own and not in guard.h's budget; libFuzzer's
 * limits watch it. */
#include "guard.h"
#include "model/config.h"
#include "model/families.h"
#include "model/rope.h"

enum { N_TENSORS = 5 };

/* A GGUF file in memory with matrices under the names of an MLX folder and of Hugging Face's, one with scales; returns
 * its length. */
static size_t write_tensors(uint8_t file[1024]) {
    static const struct {
        const char *name;
        uint64_t rows, columns;
    } tensors[N_TENSORS] = {{"layers.0.feed_forward.w1.weight", 6, 1},
                            {"output.weight", 5, 1},
                            {"model.embed_tokens.weight", 5, 1},
                            {"a.weight", 1, 8},
                            {"a.scales", 1, 2}};
    const uint32_t version = 3, two = 2, f32 = 0;
    const uint64_t n_tensors = N_TENSORS, n_keys = 0;
    size_t at = 0;
#define PUT(value) memcpy(file + at, &(value), sizeof(value)), at += sizeof(value)
    memcpy(file, "GGUF", 4);
    at = 4;
    PUT(version);
    PUT(n_tensors);
    PUT(n_keys);
    for (size_t i = 0; i < N_TENSORS; i++) {
        const uint64_t length = strlen(tensors[i].name), offset = 32 * i;
        PUT(length);
        memcpy(file + at, tensors[i].name, length);
        at += length;
        PUT(two);
        PUT(tensors[i].columns);
        PUT(tensors[i].rows);
        PUT(f32);
        PUT(offset);
    }
#undef PUT
    const size_t data = (at + 31) / 32 * 32;
    memset(file + at, 0, data + 32 * N_TENSORS - at);
    return data + 32 * N_TENSORS;
}

static int within(double x, double low, double high) { return x >= low && x <= high; }

/* Frequencies of a rope that is used: finite, and angles of all positions where sines are good. */
static void check_rope(const cria_config *c, uint32_t which) {
    double frequencies[CRIA_HEAD_DIM_MAX / 2];
    float amplitude;
    cria_rope_frequencies(c, which, frequencies, &amplitude);
    for (uint32_t i = 0; i < c->rotary / 2; i++) GUARD_CHECK(within(frequencies[i], 0, 1.5));
    GUARD_CHECK(within((double)amplitude, 1e-3, 1e3));
    GUARD_CHECK(within((double)c->rope[which].theta, 1, 1e18));
}

static void check_layers(const cria_config *c) {
    int experts = 0, local = 0;
    for (uint32_t i = 0; i < CRIA_LAYERS_MAX; i++) {
        GUARD_CHECK(c->layer[i] < 16 && (i < c->n_layers || c->layer[i] == 0));
        GUARD_CHECK(!(c->layer[i] & CRIA_LAYER_WINDOW) || c->window >= 1);
        GUARD_CHECK(!(c->layer[i] & CRIA_LAYER_LOCAL_ROPE) || c->layer[i] & CRIA_LAYER_WINDOW);
        experts |= c->layer[i] & CRIA_LAYER_EXPERTS;
        local |= c->layer[i] & CRIA_LAYER_LOCAL_ROPE;
    }
    check_rope(c, 0);
    if (local) check_rope(c, 1);
    GUARD_CHECK(c->n_experts <= CRIA_EXPERTS_MAX && c->n_experts_used <= CRIA_EXPERTS_USED_MAX);
    if (!experts) return;
    GUARD_CHECK(c->n_experts_used >= 1 && c->n_experts_used <= c->n_experts);
    GUARD_CHECK(c->f_expert >= 1 && c->f_expert <= CRIA_DIM_MAX);
}

static void check(const cria_config *c) {
    GUARD_CHECK(c->d >= 1 && c->d <= CRIA_DIM_MAX && c->f >= 1 && c->f <= CRIA_DIM_MAX);
    GUARD_CHECK(c->V >= 1 && c->V <= CRIA_DIM_MAX);
    GUARD_CHECK(c->n_layers >= 1 && c->n_layers <= CRIA_LAYERS_MAX);
    GUARD_CHECK(c->h >= 1 && c->h <= CRIA_HEADS_MAX && c->hk >= 1 && c->h % c->hk == 0);
    GUARD_CHECK(c->e >= 2 && c->e % 2 == 0 && c->e <= CRIA_HEAD_DIM_MAX);
    GUARD_CHECK(c->rotary >= 2 && c->rotary % 2 == 0 && c->rotary <= c->e);
    GUARD_CHECK(!c->rope_traditional || c->rotary == c->e);
    GUARD_CHECK(c->context <= CRIA_POSITIONS_MAX);
    GUARD_CHECK(within((double)c->norm_eps, 0, 1) && (c->norm_offset == 0 || c->norm_offset == 1));
    const float scales[] = {c->embedding_scale, c->residual_scale, c->logit_scale, c->attention_scale};
    for (size_t i = 0; i < 4; i++) GUARD_CHECK(within((double)scales[i], 1e-7, 1e7));
    GUARD_CHECK(within((double)c->score_cap, 0, 1e6) && within((double)c->logit_cap, 0, 1e6));
    GUARD_CHECK(c->family != NULL && c->prefix != NULL && strlen(c->prefix) < 20);
    GUARD_CHECK(c->naming == CRIA_NAMING_META || cria_family_of_hf(c->family, strlen(c->family)) != NULL ||
                cria_family_of_hf("gemma3_text", 11)->name == c->family);
    check_layers(c);
    GUARD_CHECK(c->quantization.group <= CRIA_DIM_MAX && c->quantization.bits <= CRIA_DIM_MAX);
    GUARD_CHECK(memchr(c->quantization.mode, 0, sizeof c->quantization.mode) != NULL);
}

static void read_config(cria_ctx *ctx, const uint8_t *data, size_t len) {
    uint8_t tensors[1024];
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
