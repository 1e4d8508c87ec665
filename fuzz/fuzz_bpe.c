/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokenizers out of GGUF metadata, byte-level BPE and decoding. An input that begins as a GGUF file is loaded
 * as a tokenizer and made to encode and decode; any other is text for a built-in byte-level vocabulary: its
 * first byte chooses the pre-tokenizer, and what comes back must be the text.
 */
#include "guard.h"
#include "base/utf8.h"
#include "format/container.h"
#include "text/bpe.h"
#include "text/pretok.h"
#include "text/tokenizer.h"

/* The stream's parts are whole characters and make up the text decoded at once. Without memory: nothing to
 * see. */
static void check_stream(const cria_tokenizer *t, const int32_t *ids, size_t n, const char *want,
                         size_t len) {
    cria_detok *d = NULL;
    const char *part;
    size_t pos = 0, got;
    cria_status st = cria_detok_new(t, &d, NULL);
    for (size_t i = 0; i <= n && st == CRIA_OK; i++) {
        st = i < n ? cria_detok_push(d, ids[i], &part, &got, NULL) : cria_detok_finish(d, &part, &got, NULL);
        if (st != CRIA_OK) break;
        GUARD_CHECK(got <= len - pos && memcmp(part, want + pos, got) == 0);
        GUARD_CHECK(cria_utf8_valid((const uint8_t *)part, got));
        pos += got;
    }
    GUARD_CHECK(st == CRIA_ENOMEM || (st == CRIA_OK && pos == len));
    cria_detok_free(d);
}

/* text_back: decoding must give the text, repaired where it is not UTF-8. */
static void encode_and_decode(const cria_tokenizer *t, const uint8_t *text, size_t len, unsigned flags,
                              bool text_back) {
    int32_t *ids = NULL;
    char *back = NULL;
    size_t n, n_back;
    cria_status st = cria_encode(t, (const char *)text, len, flags, &ids, &n, NULL);
    GUARD_CHECK(st == CRIA_OK || st == CRIA_ENOMEM);
    if (st != CRIA_OK) return;
    for (size_t i = 0; i < n; i++) GUARD_CHECK(ids[i] >= 0 && (uint32_t)ids[i] < t->vocab.n);
    st = cria_decode(t, ids, n, &back, &n_back, NULL);
    GUARD_CHECK(st == CRIA_OK || st == CRIA_ENOMEM);
    if (st == CRIA_OK) {
        GUARD_CHECK(cria_utf8_valid((const uint8_t *)back, n_back));
        if (text_back && cria_utf8_valid(text, len))
            GUARD_CHECK(n_back == len && memcmp(back, text, len) == 0);
        check_stream(t, ids, n, back, n_back);
        cria_text_free(t, back);
    }
    cria_ids_free(t, ids);
}

/* Decodes ids made of the bytes themselves. */
static void decode_bytes(const cria_tokenizer *t, const uint8_t *data, size_t len) {
    int32_t ids[256];
    char *text;
    size_t n = 0, n_text;
    for (; n < len && n < 256; n++) ids[n] = (int32_t)(data[n] * 7u % t->vocab.n);
    if (cria_decode(t, ids, n, &text, &n_text, NULL) != CRIA_OK) return;
    check_stream(t, ids, n, text, n_text);
    cria_text_free(t, text);
}

static void gguf(cria_ctx *ctx, const uint8_t *data, size_t len) {
    static const char text[] = " Hello, wörld! <|im_end|> 123\n\n  \t'll \xff\xe2\x96\x81";
    cria_container *file;
    cria_vocab v;
    cria_tokenizer *t;
    atomic_init(&ctx->refs, 1); /* the tokenizer and the detok hold it */
    if (cria_container_open_memory(ctx, data, len, "input", &file, NULL) != CRIA_OK) return;
    const cria_status st = cria_vocab_load_gguf(ctx, file, &v, NULL);
    cria_container_close(file);
    if (st != CRIA_OK || cria_tokenizer_make(ctx, &v, &t, NULL) != CRIA_OK) return;
    encode_and_decode(t, (const uint8_t *)text, sizeof text - 1, CRIA_ENCODE_BOS | CRIA_ENCODE_SPECIAL,
                      false);
    encode_and_decode(t, data, len < 512 ? len : 512, CRIA_ENCODE_PLAIN, false);
    decode_bytes(t, data, len);
    cria_tokenizer_destroy(t);
}

/* All bytes, then merges over "a", "b" and a space that make runs of up to sixteen. */
static bool build(cria_ctx *ctx, const char *pretok, cria_vocab *v) {
    enum { MERGES = 12, N = 256 + MERGES };
    static const uint16_t parts[MERGES][2] = {{'a', 'a'},   {'a', 'b'},  {' ', 'a'}, {256, 256},
                                              {258, 257},   {259, 259},  {' ', ' '}, {262, 262},
                                              {0xe2, 0x96}, {264, 0x81}, {'1', '2'}, {261, 261}};
    cria_vocab_init(v, ctx);
    struct cria_pretok_traits traits;
    v->model = CRIA_VOCAB_BPE;
    if (cria_pretok_build(pretok, strlen(pretok), &v->pipe, &traits, NULL) != CRIA_OK) return false;
    v->whole_words = traits.whole_words;
    v->n = N;
    v->n_merges = MERGES;
    v->text = cria_malloc(ctx, 4096);
    v->offset = cria_malloc_array(ctx, N + 1, sizeof *v->offset);
    v->type = cria_malloc(ctx, N);
    v->merges = cria_malloc_array(ctx, MERGES, sizeof *v->merges);
    if (v->text == NULL || v->offset == NULL || v->type == NULL || v->merges == NULL) return false;
    memset(v->type, CRIA_PIECE_NORMAL, N);
    uint32_t pos = 0;
    for (uint32_t i = 0; i < N; i++) {
        v->offset[i] = pos;
        if (i < 256) {
            pos += (uint32_t)cria_utf8_encode(cria_byte_to_char((uint8_t)i), (uint8_t *)v->text + pos);
        } else {
            const uint16_t *p = parts[i - 256];
            for (int k = 0; k < 2; k++) {
                size_t n;
                const char *piece = cria_vocab_piece(v, p[k], &n);
                memcpy(v->text + pos, piece, n);
                pos += (uint32_t)n;
            }
            v->merges[i - 256] = (struct cria_merge){p[0], p[1], i};
        }
        v->text[pos++] = '\0';
        v->offset[i + 1] = pos;
    }
    return cria_vocab_index(v, "built-in", NULL) == CRIA_OK;
}

static void text(cria_ctx *ctx, const uint8_t *data, size_t len) {
    cria_vocab v;
    cria_tokenizer *t;
    static const char *const pretoks[4] = {"gpt-2", "smollm", "llama-bpe", "qwen2"};
    atomic_init(&ctx->refs, 1);
    if (!build(ctx, pretoks[data[0] & 3], &v)) {
        cria_vocab_fini(&v);
        return;
    }
    if (cria_tokenizer_make(ctx, &v, &t, NULL) != CRIA_OK) return;
    encode_and_decode(t, data + 1, len - 1, CRIA_ENCODE_PLAIN, true);
    decode_bytes(t, data + 1, len - 1);
    cria_tokenizer_destroy(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len == 0) return 0;
    /* A piece of few bytes has its nodes in two tries and its places in three tables; a pre-tokenizer's name stands for
     * patterns that have to be compiled. */
    return guard_run_from(len >= 4 && memcmp(data, "GGUF", 4) == 0 ? gguf : text, data, len, 4 << 20, 512);
}
