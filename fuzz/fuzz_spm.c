/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.model: loading, then text and ids through whatever the file made of them. */
#include "guard.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

static cria_tokenizer *load(cria_ctx *ctx, const uint8_t *data, size_t len) {
    cria_vocab v;
    cria_tokenizer *t = NULL;
    cria_error err;
    atomic_init(&ctx->refs, 1);
    if (cria_vocab_load_spm(ctx, data, len, "fuzz", &v, &err) != CRIA_OK) return NULL;
    return cria_tokenizer_make(ctx, &v, &t, &err) == CRIA_OK ? t : NULL;
}

static void only_load(cria_ctx *ctx, const uint8_t *data, size_t len) {
    cria_tokenizer_free(load(ctx, data, len));
}

/* Text decoded at once and as a stream is the same, and is UTF-8. */
static void decode(const cria_tokenizer *t, const int32_t *ids, size_t n) {
    char *text;
    const char *part;
    size_t len, part_len, at = 0;
    cria_detok *d = NULL;
    if (cria_decode(t, ids, n, &text, &len, NULL) != CRIA_OK) return;
    GUARD_CHECK(cria_utf8_valid((const uint8_t *)text, len));
    cria_status st = cria_detok_new(t, &d, NULL);
    for (size_t i = 0; i <= n && st == CRIA_OK; i++) {
        st = i < n ? cria_detok_push(d, ids[i], &part, &part_len, NULL)
                   : cria_detok_finish(d, &part, &part_len, NULL);
        if (st != CRIA_OK) break;
        GUARD_CHECK(part_len <= len - at && memcmp(text + at, part, part_len) == 0);
        at += part_len;
        GUARD_CHECK(i < n || at == len);
    }
    cria_detok_free(d);
    cria_text_free(t, text);
}

static void encode(const cria_tokenizer *t, const char *text, size_t len, unsigned flags) {
    int32_t *ids;
    size_t n;
    if (cria_encode(t, text, len, flags, &ids, &n, NULL) != CRIA_OK) return;
    for (size_t i = 0; i < n; i++)
        GUARD_CHECK(ids[i] >= 0 && (uint32_t)ids[i] < cria_tokenizer_vocab_size(t));
    decode(t, ids, n);
    cria_ids_free(t, ids);
}

static void use(cria_ctx *ctx, const uint8_t *data, size_t len) {
    static const char fixed[] = " a  b\t<s>\xE2\x96\x81\xC3\xA9\xEF\xAC\x81\xFF\xE2\x96";
    cria_tokenizer *t = load(ctx, data, len);
    if (t == NULL) return;
    char own[64]; /* the vocabulary's last pieces: what the algorithm has something to do with */
    size_t n = 0;
    int32_t ids[64], k = 0;
    for (int32_t id = (int32_t)cria_tokenizer_vocab_size(t) - 1; id >= 0 && k < 64; id--) {
        size_t piece_len;
        const char *piece = cria_tokenizer_piece(t, id, &piece_len);
        ids[k++] = id;
        if (piece_len > sizeof own - n) continue;
        memcpy(own + n, piece, piece_len);
        n += piece_len;
    }
    encode(t, fixed, sizeof fixed - 1, CRIA_ENCODE_PLAIN);
    encode(t, own, n, CRIA_ENCODE_PLAIN);
    encode(t, own, n, CRIA_ENCODE_SPECIAL | CRIA_ENCODE_BOS);
    decode(t, ids, (size_t)k);
    cria_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len == 0) return 0;
    guard_run(only_load, data, len, 400);       /* tables: at most a few trie nodes and slots per byte */
    return guard_run(use, data, len, 1u << 18); /* a rule may turn every character into half the file */
}
