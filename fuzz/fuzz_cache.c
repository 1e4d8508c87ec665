/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of the weight cache against one fixed model. The input says what happens to the right entry: a change of its
 * length (4 bytes, signed), then patches (a place in 3 bytes, what is added to the byte there). Whatever it is, the
 * weights load, and an entry that is used says nothing but other numbers: every row of every matrix can be read.
 */
#include "guard.h"
#include "base/pool.h"
#include "base/reader.h"
#include "model/weights.h"

#include <unistd.h>

enum { D = 32, F = 256, V = 20, HEADS = 2, KV_HEADS = 1, HEAD = 16, FILE_MAX = 49152, BUDGET = 1 << 20 };

static const cria_config config = {.d = D, .n_layers = 1, .h = HEADS, .hk = KV_HEADS, .e = HEAD, .f = F, .V = V,
                                   .norm_eps = 1e-5f, .rotary = HEAD, .rope = {{.theta = 10000.0f, .amplitude = 1}},
                                   .rope_traditional = true, .family = "llama", .pre_norm = true,
                                   .naming = CRIA_NAMING_GGUF, .prefix = "", .tied = true};

static const struct {
    const char *name;
    uint64_t cols, rows; /* rows 0: a vector */
    uint32_t type, block, block_bytes;
} tensors[] = {{"token_embd.weight", D, V, 0, 1, 4},          {"output_norm.weight", D, 0, 0, 1, 4},
               {"blk.0.attn_norm.weight", D, 0, 1, 1, 2},     {"blk.0.attn_q.weight", D, HEADS * HEAD, 2, 32, 18},
               {"blk.0.attn_k.weight", D, KV_HEADS * HEAD, 3, 32, 20},
               {"blk.0.attn_v.weight", D, KV_HEADS * HEAD, 1, 1, 2},
               {"blk.0.attn_output.weight", HEADS * HEAD, D, 8, 32, 34}, {"blk.0.ffn_norm.weight", D, 0, 0, 1, 4},
               {"blk.0.ffn_gate.weight", D, F, 6, 32, 22},    {"blk.0.ffn_up.weight", D, F, 7, 32, 24},
               {"blk.0.ffn_down.weight", F, D, 14, 256, 210}};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

static void put(uint8_t *file, size_t *at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) file[(*at)++] = (uint8_t)(value >> 8 * i);
}

/* A GGUF file without metadata, all weights zero; returns its length. */
static size_t write_model(uint8_t *file) {
    size_t at = 0;
    uint64_t offset = 0;
    memset(file, 0, FILE_MAX);
    memcpy(file, "GGUF", at = 4);
    put(file, &at, 3, 4);
    put(file, &at, N_TENSORS, 8);
    put(file, &at, 0, 8);
    for (size_t i = 0; i < N_TENSORS; i++) {
        const size_t len = strlen(tensors[i].name);
        const uint64_t rows = tensors[i].rows;
        put(file, &at, len, 8);
        memcpy(file + at, tensors[i].name, len);
        at += len;
        put(file, &at, rows ? 2 : 1, 4);
        put(file, &at, tensors[i].cols, 8);
        if (rows) put(file, &at, rows, 8);
        put(file, &at, tensors[i].type, 4);
        put(file, &at, offset, 8);
        const uint64_t bytes = tensors[i].cols / tensors[i].block * tensors[i].block_bytes * (rows ? rows : 1);
        offset += (bytes + 31) / 32 * 32;
    }
    return (at + 31) / 32 * 32 + (size_t)offset;
}

static uint8_t model[FILE_MAX], right[FILE_MAX]; /* the model; its entry as it should be */
static size_t model_len, right_len;
static char folder[64], entry[128];

static void remove_entry(void) {
    unlink(entry);
    rmdir(folder);
}

static void read_weights(const cria_weights *w) {
    float row[F];
    const struct cria_layer *y = w->layers;
    const cria_matrix *const all[] = {&w->tok_embeddings, &w->output, &y->wq, &y->wk, &y->wv, &y->wo,
                                      &y->ffn.w1, &y->ffn.w2, &y->ffn.w3};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (uint32_t r = 0; r < all[i]->spec.rows; r++) cria_matrix_row(all[i], r, row);
    memcpy(row, w->norm, D * sizeof *row);
    memcpy(row, y->attention_norm, D * sizeof *row);
    memcpy(row, y->ffn_norm, D * sizeof *row);
}

/* Loads the model through the folder, as data (the input) left it. */
static void load(cria_ctx *ctx, const uint8_t *data, size_t len) {
    (void)data;
    (void)len;
    cria_error err;
    cria_container *file = NULL;
    cria_weights w = {.ctx = NULL};
    cria_model_opts opts = {.size = sizeof opts, .cache_folder = folder, .cache_least_bytes = 1};
    cria_status st = cria_pool_new(ctx, 1, &ctx->pool, &err);
    if (!st) st = cria_container_open_memory(ctx, model, model_len, "model", &file, &err);
    if (!st) st = cria_weights_load(ctx, file, &config, &opts, &w, &err);
    GUARD_CHECK(st == CRIA_OK || st == CRIA_ENOMEM);
    if (!st) read_weights(&w);
    cria_weights_free(&w);
    cria_container_close(file);
    cria_pool_free(ctx, ctx->pool);
}

/* The entry as the library makes it, into `right`. */
static void make_right_entry(void) {
    model_len = write_model(model);
    snprintf(folder, sizeof folder, "%s/cria-fuzz-XXXXXX", P_tmpdir);
    GUARD_CHECK(mkdtemp(folder) != NULL);
    atexit(remove_entry);
    guard_once(load, NULL, 0, BUDGET, SIZE_MAX);
    cria_ctx ctx = {.allocator = cria_allocator_libc()};
    char **names = NULL;
    size_t n = 0;
    GUARD_CHECK(cria_folder_list(&ctx, folder, "", ".cria", &names, &n, NULL) == CRIA_OK && n == 1);
    snprintf(entry, sizeof entry, "%s/%s", folder, names[0]);
    cria_free(&ctx, names);
    cria_mapfile map;
    GUARD_CHECK(cria_mapfile_open(entry, &map, NULL) == CRIA_OK && map.len <= sizeof right);
    memcpy(right, map.data, right_len = map.len);
    cria_mapfile_close(&map);
}

static void write_entry(const uint8_t *data, size_t len) {
    static uint8_t bytes[2 * FILE_MAX];
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, right, right_len);
    size_t n = right_len;
    if (len >= 4) {
        const int32_t change = (int32_t)cria_load_u32(data) % FILE_MAX;
        n = (int64_t)n + change < 0 ? 0 : (size_t)((int64_t)n + change);
    }
    for (size_t i = 4; i + 4 <= len; i += 4) bytes[cria_load_u32(data + i) % (1u << 24) % right_len] += data[i + 3];
    FILE *f = fopen(entry, "wb");
    GUARD_CHECK(f != NULL && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (model_len == 0) make_right_entry();
    write_entry(data, len);
    const size_t calls = guard_once(load, data, len, BUDGET, SIZE_MAX);
    write_entry(data, len);
    guard_once(load, data, len, BUDGET, len != 0 ? data[len - 1] % calls : 0);
    return 0;
}
