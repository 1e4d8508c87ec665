/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved prefixes: the first tokens of a sequence with their keys and values, in a file that is mapped later.
 *
 *     head    "CRIAKV03", then as 64-bit little-endian numbers the length of the file, the number of tokens (whole KV
 *             blocks), the fingerprint of model and options, and a checksum of all that follows the head
 *     tokens  32-bit, little-endian
 *     zeros   up to a multiple of 4096
 *     blocks  as they lie in memory (model/kv.h)
 *
 * Lengths are compared with what this model has for that many tokens before anything is read. The checksum is against
 * accidents; who makes a file on purpose can give the model wrong memories, no more.
 */
#include "engine/engine.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/outfile.h"
#include "base/status.h"

#include <string.h>

/* The number goes up when the same model and tokens get other keys and values than before, even by a bit. */
static const char magic[8] = {'C', 'R', 'I', 'A', 'K', 'V', '0', '3'};
enum { HEAD = 40, PAGE = 4096, SAMPLE = 4096 };

/* ---- what a prefix belongs to ---- */

static uint64_t hash_matrix(const cria_matrix *m, uint64_t h) {
    if (m->data == NULL) return h;
    const uint32_t spec[] = {m->spec.rows, m->spec.cols, (uint32_t)m->spec.kind, m->spec.bits, m->spec.group,
                             (uint32_t)m->spec.scale_type};
    const size_t n = cria_matrix_bytes(m);
    h = cria_hash64(spec, sizeof spec, h);
    h = cria_hash64(m->data, n < SAMPLE ? n : SAMPLE, h);
    return cria_hash64(m->data + n / 2, n - n / 2 < SAMPLE ? n - n / 2 : SAMPLE, h);
}

static uint64_t hash_layer(const cria_config *c, const struct cria_layer *l, uint64_t h) {
    const struct cria_ffn *f = l->experts ? l->experts : &l->ffn;
    const cria_matrix *all[] = {&l->wq, &l->wk, &l->wv, &l->wo, &l->router, &f->w1, &f->w2, &f->w3};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) h = hash_matrix(all[i], h);
    if (l->attention_norm) h = cria_hash64(l->attention_norm, c->d * sizeof(float), h);
    if (l->ffn_norm) h = cria_hash64(l->ffn_norm, c->d * sizeof(float), h);
    return h;
}

/* Weights (by samples), what keys and values depend on besides, and the form that they are kept in. */
static uint64_t fingerprint(const cria_engine *e) {
    const cria_config *c = &e->model->config;
    const cria_weights *w = &e->model->weights;
    const uint32_t numbers[] = {c->d, c->n_layers, c->h, c->hk, c->e, c->V, c->rotary, c->window, c->gelu, c->qk_norm,
                                (uint32_t)e->model->activations, (uint32_t)e->kv.elem, CRIA_KV_BLOCK};
    const float factors[] = {c->norm_eps,    c->norm_offset, c->embedding_scale, c->residual_scale,
                             c->attention_scale, c->score_cap, w->amplitude[0],    w->amplitude[1]};
    uint64_t h = cria_hash64(numbers, sizeof numbers, 0);
    h = cria_hash64(factors, sizeof factors, h);
    h = cria_hash64(c->layer, c->n_layers, h);
    for (int i = 0; i < 2; i++)
        if (w->inv_freq[i]) h = cria_hash64(w->inv_freq[i], c->rotary / 2 * sizeof(double), h);
    h = hash_matrix(&w->tok_embeddings, h);
    for (uint32_t i = 0; i < c->n_layers; i++) h = hash_layer(c, &w->layers[i], h);
    return h;
}

/* ---- the file ---- */

struct layout {
    size_t n_blocks, blocks_offset, total;
};

static bool lay_out(const cria_engine *e, size_t n_tokens, struct layout *out) {
    size_t bytes;
    out->n_blocks = n_tokens / CRIA_KV_BLOCK;
    if (!cria_mul_ok(n_tokens, sizeof(int32_t), &bytes) || !cria_add_ok(bytes, HEAD + PAGE - 1, &bytes)) return false;
    out->blocks_offset = bytes / PAGE * PAGE;
    return cria_mul_ok(out->n_blocks, e->kv.block_bytes, &bytes) && cria_add_ok(bytes, out->blocks_offset, &out->total);
}

static void store_u64(uint8_t *p, uint64_t v) {
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}

static void store_head(uint8_t *p, const cria_engine *e, size_t n_tokens, const struct layout *l) {
    memcpy(p, magic, sizeof magic);
    store_u64(p + 8, l->total);
    store_u64(p + 16, n_tokens);
    store_u64(p + 24, fingerprint(e));
    store_u64(p + 32, cria_hash64(p + HEAD, l->total - HEAD, 0));
}

static cria_status write_file(const cria_sequence *s, const char *folder, const char *name, size_t n_tokens,
                              const struct layout *l, cria_error *err) {
    cria_outfile file;
    cria_mapfile map;
    cria_status st = cria_outfile_create(s->engine->ctx, folder, name, l->total, CRIA_FILE_MINE, &file, err);
    if (st) return st;
    memcpy(file.data + HEAD, s->tokens, n_tokens * sizeof *s->tokens);
    for (size_t i = 0; i < l->n_blocks; i++)
        memcpy(file.data + l->blocks_offset + i * s->engine->kv.block_bytes, s->kv.blocks[i]->data,
               s->engine->kv.block_bytes);
    store_head(file.data, s->engine, n_tokens, l);
    st = cria_outfile_commit(&file, &map, err);
    if (!st) cria_mapfile_close(&map);
    return st;
}

cria_status cria_sequence_save(const cria_sequence *s, const char *path, size_t *n_tokens, cria_error *err) {
    if (!s || !path) return cria_fail_null(err, "cria_sequence_save");
    const size_t n = s->length / CRIA_KV_BLOCK * CRIA_KV_BLOCK;
    struct layout l = {0};
    if (n == 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "There are %zu tokens to save in '%s', but prefixes are saved in whole blocks of %u.",
                         s->length, path, CRIA_KV_BLOCK);
    if (!lay_out(s->engine, n, &l)) return cria_fail_nomem(err, "a saved prefix", SIZE_MAX);
    char *folder = cria_path_folder(s->engine->ctx, path);
    if (!folder) return cria_fail_nomem(err, "a path", strlen(path));
    const char *slash = strrchr(path, '/');
    const cria_status st = write_file(s, folder, slash ? slash + 1 : path, n, &l, err);
    cria_free(s->engine->ctx, folder);
    if (!st && n_tokens) *n_tokens = n;
    return st;
}

static cria_status check(const cria_engine *e, const cria_mapfile *map, const char *path, size_t *n_tokens,
                         struct layout *l, cria_error *err) {
    const uint8_t *p = map->data;
    if (map->len < HEAD || memcmp(p, magic, sizeof magic) != 0)
        return cria_fail(err, CRIA_EFORMAT, 0, "'%s' is no prefix saved by this version of cria; delete it to make it "
                         "anew, or name another file.", path);
    if (cria_load_u64(p + 24) != fingerprint(e))
        return cria_fail(err, CRIA_EINVAL, 24,
                         "'%s' was saved with another model, or with other activations, KV type or context; use those, "
                         "or delete it to make it anew.", path);
    const uint64_t n = cria_load_u64(p + 16);
    if (n == 0 || n % CRIA_KV_BLOCK != 0 || n > SIZE_MAX || !lay_out(e, (size_t)n, l) || l->total != map->len ||
        cria_load_u64(p + 8) != map->len)
        return cria_fail(err, CRIA_EFORMAT, 16, "'%s' is damaged: it has %zu bytes, which is not what its %llu tokens "
                         "take; delete it to make it anew.", path, map->len, (unsigned long long)n);
    if (n > cria_engine_positions(e))
        return cria_fail(err, CRIA_EFULL, 16, "'%s' has %llu tokens, but the context holds %u.", path,
                         (unsigned long long)n, cria_engine_positions(e));
    if (cria_load_u64(p + 32) != cria_hash64(p + HEAD, map->len - HEAD, 0))
        return cria_fail(err, CRIA_EFORMAT, 32, "'%s' is damaged: its checksum is wrong; delete it to make it anew.",
                         path);
    for (size_t i = 0; i < n; i++)
        if (cria_load_u32(p + HEAD + 4 * i) >= e->model->config.V)
            return cria_fail(err, CRIA_EFORMAT, HEAD + 4 * i,
                             "'%s' is damaged: its token %zu is not in the vocabulary.", path, i);
    *n_tokens = (size_t)n;
    return CRIA_OK;
}

cria_status cria_sequence_load(cria_sequence *s, const char *path, cria_error *err) {
    if (!s || !path) return cria_fail_null(err, "cria_sequence_load");
    cria_mapfile map;
    size_t n = 0;
    struct layout l = {0};
    cria_status st = cria_mapfile_open(path, &map, err);
    if (st) return st;
    st = check(s->engine, &map, path, &n, &l, err);
    cria_sequence *fresh = NULL;
    if (!st) st = cria_sequence_make(s->engine, &fresh, err);
    if (!st) {
        fresh->next = n;
        st = cria_sequence_reserve_tokens(fresh, n, err);
    }
    if (!st) {
        memcpy(fresh->tokens, map.data + HEAD, n * sizeof *fresh->tokens);
        st = cria_kv_seq_map(&fresh->kv, &map, l.blocks_offset, l.n_blocks, err);
    }
    if (!st) { /* what s had goes with the other */
        fresh->length = n;
        const cria_sequence had = *s;
        *s = *fresh;
        *fresh = had;
    }
    cria_sequence_free(fresh);
    cria_mapfile_close(&map);
    return st;
}
