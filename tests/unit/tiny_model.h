/* SPDX-License-Identifier: Apache-2.0 */
/* A whole model of a few kilobytes, written as a GGUF file with format_unit.h's writers: byte-level
 * vocabulary of the 256 bytes and an end mark, two layers, weights from a small generator. For tests of
 * model/ and engine/. */
#ifndef CRIA_TESTS_TINY_MODEL_H
#define CRIA_TESTS_TINY_MODEL_H

#include "format_unit.h"
#include "base/utf8.h"
#include <unistd.h>

enum {
    TINY_D = 64,
    TINY_L = 2,
    TINY_H = 4,
    TINY_HK = 2,
    TINY_E = 16,
    TINY_F = 96,
    TINY_V = 257,
    TINY_CONTEXT = 200
};

static inline void tiny_u32(struct out *o, const char *key, uint32_t v) {
    gguf_key(o, key, 4);
    put_uint(o, v, 4);
}
static inline void tiny_f32(struct out *o, const char *key, float v) {
    uint32_t u;
    memcpy(&u, &v, 4);
    gguf_key(o, key, 6);
    put_uint(o, u, 4);
}
static inline void tiny_str(struct out *o, const char *key, const char *v) {
    gguf_key(o, key, 8);
    gguf_string(o, v);
}

/* GPT-2's printable stand-in for a byte. */
static inline uint32_t tiny_byte_char(int byte) {
    int other = 0;
    for (int b = 0; b < 256; b++) {
        const bool plain = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte) return plain ? (uint32_t)b : 256u + (uint32_t)other;
        other += !plain;
    }
    return 0;
}

static inline void tiny_vocab(struct out *o) {
    tiny_str(o, "tokenizer.ggml.model", "gpt2");
    tiny_str(o, "tokenizer.ggml.pre", "gpt-2");
    gguf_key(o, "tokenizer.ggml.tokens", 9);
    put_uint(o, 8, 4);
    put_uint(o, TINY_V, 8);
    for (int b = 0; b < 256; b++) {
        uint8_t utf8[5] = {0};
        cria_utf8_encode(tiny_byte_char(b), utf8);
        gguf_string(o, (const char *)utf8);
    }
    gguf_string(o, "<end>");
    gguf_key(o, "tokenizer.ggml.token_type", 9);
    put_uint(o, 5, 4);
    put_uint(o, TINY_V, 8);
    for (int b = 0; b < 256; b++) put_uint(o, 1, 4);
    put_uint(o, 3, 4);
    gguf_key(o, "tokenizer.ggml.merges", 9);
    put_uint(o, 8, 4);
    put_uint(o, 0, 8); /* no merges: every byte is a token */
    tiny_u32(o, "tokenizer.ggml.eos_token_id", 256);
}

struct tiny_tensor {
    char name[40];
    uint64_t n0, n1; /* n1 0: a vector */
    uint32_t type;   /* 0 F32, 2 Q4_0 */
    uint64_t bytes;
};

static inline void tiny_add(struct tiny_tensor *t, size_t *n, const char *name, uint64_t n0, uint64_t n1,
                            uint32_t type) {
    snprintf(t[*n].name, sizeof t[*n].name, "%s", name);
    t[*n].n0 = n0;
    t[*n].n1 = n1;
    t[*n].type = type;
    t[*n].bytes = type == 2 ? n0 / 32 * n1 * 18 : 4 * n0 * (n1 ? n1 : 1);
    (*n)++;
}

static inline size_t tiny_tensors(struct tiny_tensor *t) {
    size_t n = 0;
    char name[40];
    tiny_add(t, &n, "token_embd.weight", TINY_D, TINY_V, 0);
    for (int l = 0; l < TINY_L; l++) {
        const struct {
            const char *stem;
            uint64_t n0, n1;
            uint32_t type;
        } in_layer[] = {{"attn_norm", TINY_D, 0, 0},
                        {"attn_q", TINY_D, TINY_H * TINY_E, 2},
                        {"attn_k", TINY_D, TINY_HK * TINY_E, 2},
                        {"attn_v", TINY_D, TINY_HK * TINY_E, 0},
                        {"attn_output", TINY_H * TINY_E, TINY_D, 2},
                        {"ffn_norm", TINY_D, 0, 0},
                        {"ffn_gate", TINY_D, TINY_F, 2},
                        {"ffn_up", TINY_D, TINY_F, 2},
                        {"ffn_down", TINY_F, TINY_D, 2}};
        for (size_t i = 0; i < N_ITEMS(in_layer); i++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, in_layer[i].stem);
            tiny_add(t, &n, name, in_layer[i].n0, in_layer[i].n1, in_layer[i].type);
        }
    }
    tiny_add(t, &n, "output_norm.weight", TINY_D, 0, 0);
    return n;
}

static inline void tiny_weights(struct out *o, const struct tiny_tensor *t, uint32_t *state) {
    for (uint64_t left = t->bytes; left > 0;) {
        *state = *state * 1664525u + 1013904223u;
        if (t->type == 2 && left % 18 == 0) {
            put_uint(o, 0x2800 + (*state >> 22), 2); /* a half near 2^-5 */
            left -= 2;
        } else if (t->type == 2) {
            put_uint(o, *state >> 24, 1);
            left--;
        } else {
            const float v = t->n1 == 0 ? 1.0f : (float)(int32_t)*state * 0x1p-33f;
            uint32_t u;
            memcpy(&u, &v, 4);
            put_uint(o, u, 4);
            left -= 4;
        }
    }
}

/* The file's bytes; free with out_free. */
static inline struct out tiny_model_bytes(void) {
    struct out o = {0};
    struct tiny_tensor t[32];
    const size_t n = tiny_tensors(t);
    gguf_begin(&o, 3, n, 15);
    tiny_str(&o, "general.architecture", "llama");
    tiny_u32(&o, "llama.embedding_length", TINY_D);
    tiny_u32(&o, "llama.block_count", TINY_L);
    tiny_u32(&o, "llama.attention.head_count", TINY_H);
    tiny_u32(&o, "llama.attention.head_count_kv", TINY_HK);
    tiny_u32(&o, "llama.feed_forward_length", TINY_F);
    tiny_u32(&o, "llama.context_length", TINY_CONTEXT);
    tiny_f32(&o, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    tiny_f32(&o, "llama.rope.freq_base", 10000.0f);
    tiny_vocab(&o);
    uint64_t offset = 0;
    for (size_t i = 0; i < n; i++) {
        gguf_string(&o, t[i].name);
        put_uint(&o, t[i].n1 ? 2 : 1, 4);
        put_uint(&o, t[i].n0, 8);
        if (t[i].n1) put_uint(&o, t[i].n1, 8);
        put_uint(&o, t[i].type, 4);
        put_uint(&o, offset, 8);
        offset += (t[i].bytes + 31) / 32 * 32;
    }
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        gguf_pad(&o, 32);
        tiny_weights(&o, &t[i], &state);
    }
    gguf_pad(&o, 32);
    return o;
}

/* Writes the bytes to a new file under the system's temporary folder; path is filled in. unlink it after
 * opening. */
static inline void tiny_model_file(const struct out *o, char path[64]) {
    snprintf(path, 64, "%s/cria-tiny-XXXXXX", P_tmpdir);
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, o->p, o->len), (ssize_t)o->len);
    close(fd);
}

/* Set-up and tear-down of a group of tests: the model in a file of its own. */
static char tiny_model_path[64];

static inline int tiny_model_write(void **unused) {
    (void)unused;
    struct out o = tiny_model_bytes();
    tiny_model_file(&o, tiny_model_path);
    out_free(&o);
    return 0;
}

static inline int tiny_model_remove(void **unused) {
    (void)unused;
    return unlink(tiny_model_path);
}

#endif
