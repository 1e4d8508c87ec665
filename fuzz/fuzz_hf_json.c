/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.json, and what it does to text. The input is a file; whatever follows the last line that holds a
 * lone "@" is a text for it. A tokenizer that loads encodes that text, the file itself and a few awkward
 * characters, with symbols recognized and not, and decodes the ids at once and as a stream, which must agree.
 */
#include "guard.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

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
    GUARD_CHECK(st != CRIA_OK || pos == len);
    cria_detok_free(d);
}

static void there_and_back(const cria_tokenizer *t, const uint8_t *text, size_t len, unsigned flags) {
    int32_t *ids = NULL;
    char *back = NULL;
    size_t n, n_back;
    /* A text may have what the vocabulary has no piece for, and a pattern may be made to take long. */
    if (cria_encode(t, (const char *)text, len, flags, &ids, &n, NULL) != CRIA_OK) return;
    for (size_t i = 0; i < n; i++) GUARD_CHECK(ids[i] >= 0 && (uint32_t)ids[i] < t->vocab.n);
    if (cria_decode(t, ids, n, &back, &n_back, NULL) == CRIA_OK) {
        GUARD_CHECK(cria_utf8_valid((const uint8_t *)back, n_back));
        check_stream(t, ids, n, back, n_back);
        cria_text_free(t, back);
    }
    cria_ids_free(t, ids);
}

static void every_id(const cria_tokenizer *t) {
    int32_t ids[512];
    char *text;
    size_t n = 0, len;
    for (; n < 512 && n < t->vocab.n; n++) ids[n] = (int32_t)n;
    if (cria_decode(t, ids, n, &text, &len, NULL) != CRIA_OK) return;
    check_stream(t, ids, n, text, len);
    cria_text_free(t, text);
}

static void hf_json(cria_ctx *ctx, const uint8_t *data, size_t len) {
    static const char awkward[] =
        " Hello,  w\xc3\xb6rld! <|end|> 123\n\n  \t'll e\xcc\x81 \xff\xe2\x96\x81\xe2\x96\x81 "
        "\xea\xb0\x80\xe1\x86\xa8 \xef\xac\x81";
    cria_vocab v;
    cria_tokenizer *t;
    const uint8_t *text = data;
    size_t n_text = len < 512 ? len : 512, file = len;
    for (size_t i = 1; i + 1 < len; i++)
        if (data[i - 1] == '\n' && data[i] == '@' && data[i + 1] == '\n') {
            file = i;
            text = data + i + 2;
            n_text = len - i - 2;
        }
    atomic_init(&ctx->refs, 1); /* the tokenizer and the detok hold it */
    if (cria_vocab_load_hf(ctx, data, file, "input", NULL, &v, NULL) != CRIA_OK) return;
    if (cria_tokenizer_make(ctx, &v, &t, NULL) != CRIA_OK) return;
    for (unsigned flags = 0; flags < 4; flags += 2) {
        there_and_back(t, (const uint8_t *)awkward, sizeof awkward - 1, flags);
        there_and_back(t, text, n_text, flags);
    }
    every_id(t);
    cria_tokenizer_destroy(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    /* A pattern of few bytes may stand for tables of a megabyte, and there may be one for every thirty bytes;
     * replacing may lengthen a text again and again. */
    return guard_run_from(hf_json, data, len, (size_t)64 << 20, 1 << 20);
}
