/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vocabulary's life and its index from piece to id. What the pieces mean is the loaders' business.
 * The hash is open addressing with linear probing at a load of at most one half, so a probe sequence always
 * ends.
 */
#include "text/vocab.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"

#include <string.h>

#define EMPTY UINT32_MAX

/* The most steps between where pieces belong and where they are put, in all, per slot. A real vocabulary takes less
 * than one; pieces that somebody chose by their hash take as many as there are pieces before, each. */
#define STEPS_MAX 16u

void cria_vocab_init(cria_vocab *v, cria_ctx *ctx) {
    memset(v, 0, sizeof *v);
    v->ctx = ctx;
    v->bos = v->eos = v->unk = v->pad = v->eot = v->eom = v->model_unk = -1;
    cria_pipeline_init(&v->pipe, ctx);
    for (int i = 0; i < 256; i++) v->byte_id[i] = -1;
}

void cria_vocab_fini(cria_vocab *v) {
    cria_free(v->ctx, v->text);
    cria_free(v->ctx, v->offset);
    cria_free(v->ctx, v->score);
    cria_free(v->ctx, v->exact_score);
    cria_free(v->ctx, v->type);
    cria_free(v->ctx, v->hash);
    cria_free(v->ctx, v->unk_surface);
    cria_free(v->ctx, v->normalizer_data);
    cria_free(v->ctx, v->merges);
    for (uint32_t i = 0; i < v->n_added; i++) cria_free(v->ctx, v->added[i].form);
    cria_free(v->ctx, v->added);
    cria_pipeline_fini(&v->pipe);
    cria_vocab_init(v, v->ctx);
}

/* Pieces are short: eight bytes a step, the rest in one overlapping load. */
static uint32_t hash_bytes(const uint8_t *s, size_t n) {
    uint64_t h = (uint64_t)n * 0x9E3779B97F4A7C15u;
    for (; n > 8; s += 8, n -= 8) {
        h = (h ^ cria_load_u64(s)) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    uint64_t w = 0;
    if (n >= 4)
        w = (uint64_t)cria_load_u32(s) | (uint64_t)cria_load_u32(s + n - 4) << 32;
    else if (n > 0)
        w = (uint64_t)s[0] | (uint64_t)s[n >> 1] << 8 | (uint64_t)s[n - 1] << 16;
    /* A product carries upwards only: what differs in the last bytes alone is brought down before the second one. */
    h = (h ^ w) * 0xD6E8FEB86659FD93u;
    h = (h ^ h >> 32) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32);
}

/* The slot that holds the piece, or the empty one where it belongs. */
static struct cria_vocab_slot *find_slot(const cria_vocab *v, uint32_t tag, const char *piece, size_t len) {
    for (uint32_t i = tag & v->hash_mask;; i = (i + 1) & v->hash_mask) {
        struct cria_vocab_slot *slot = &v->hash[i];
        if (slot->id == EMPTY) return slot;
        if (slot->tag != tag) continue;
        size_t n;
        const char *text = cria_vocab_piece(v, slot->id, &n);
        if (n == len && memcmp(text, piece, len) == 0) return slot;
    }
}

void cria_vocab_prefetch(const cria_vocab *v, const char *piece, size_t len) {
    __builtin_prefetch(&v->hash[hash_bytes((const uint8_t *)piece, len) & v->hash_mask]);
}

int32_t cria_vocab_find(const cria_vocab *v, const char *piece, size_t len) {
    const uint32_t id = find_slot(v, hash_bytes((const uint8_t *)piece, len), piece, len)->id;
    return id == EMPTY ? -1 : (int32_t)id;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int cria_vocab_byte(const char *s, size_t n) {
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    const int hi = hex_digit(s[3]), lo = hex_digit(s[4]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

cria_status cria_vocab_index(cria_vocab *v, const char *name, cria_error *err) {
    uint32_t slots = 16;
    while (slots / 2 < v->n) slots *= 2; /* n ≤ CRIA_VOCAB_MAX = 2^22 */
    v->hash = cria_malloc_array(v->ctx, slots, sizeof *v->hash);
    if (!v->hash) return cria_fail_nomem(err, "the vocabulary's index", slots * sizeof *v->hash);
    memset(v->hash, 0xFF, slots * sizeof *v->hash);
    v->hash_mask = slots - 1;
    uint64_t steps = 0;
    for (uint32_t id = 0; id < v->n; id++) {
        size_t len;
        const char *piece = cria_vocab_piece(v, id, &len);
        if (v->type[id] == CRIA_PIECE_BYTE) {
            const int byte = cria_vocab_byte(piece, len);
            if (byte < 0)
                return cria_fail(err, CRIA_EFORMAT, id,
                                 "%s: piece %u is \"%.32s\", but a byte piece must be <0x00> to <0xFF>.",
                                 name, id, piece);
            if (v->byte_id[byte] < 0) v->byte_id[byte] = (int32_t)id;
        }
        if (len == 0) continue; /* never looked for */
        /* Converters have left a NUL piece in some files; SentencePiece never looks it up. */
        if (v->type[id] == CRIA_PIECE_UNUSED && len == 1 && piece[0] == '\0') continue;
        const uint32_t tag = hash_bytes((const uint8_t *)piece, len);
        struct cria_vocab_slot *slot = find_slot(v, tag, piece, len);
        if (slot->id == EMPTY) *slot = (struct cria_vocab_slot){tag, id};
        steps += (uint32_t)(slot - v->hash - (tag & v->hash_mask)) & v->hash_mask;
        if (steps > STEPS_MAX * (uint64_t)slots)
            return cria_fail(err, CRIA_EFORMAT, id,
                             "%s: the pieces up to %u all fall on the same places of the index; they were made to "
                             "exhaust time.", name, id);
    }
    return CRIA_OK;
}

int32_t cria_vocab_find_any(const cria_vocab *v, const char *piece, size_t len) {
    const int32_t id = cria_vocab_find(v, piece, len);
    for (uint32_t i = 0; id < 0 && i < v->n_added; i++) {
        size_t n;
        const char *text = cria_vocab_piece(v, (uint32_t)v->added[i].id, &n);
        if (n == len && memcmp(text, piece, len) == 0) return v->added[i].id;
    }
    return id;
}

/* Only control symbols count, and only one that is not eos already. */
static int32_t find_control(const cria_vocab *v, const char *const *names) {
    for (; *names != NULL; names++) {
        const int32_t id = cria_vocab_find_any(v, *names, strlen(*names));
        if (id >= 0 && id != v->eos && v->type[id] == CRIA_PIECE_CONTROL) return id;
    }
    return -1;
}

void cria_vocab_guess_ends(cria_vocab *v) {
    static const char *const eot[] = {"<|eot_id|>",    "<|im_end|>",      "<|end|>", "<end_of_turn>",
                                      "<|endoftext|>", "<|end_of_text|>", NULL};
    static const char *const eom[] = {"<|eom_id|>", NULL};
    if (v->eot < 0) v->eot = find_control(v, eot);
    if (v->eom < 0) v->eom = find_control(v, eom);
}
