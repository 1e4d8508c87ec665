/* SPDX-License-Identifier: Apache-2.0 */
/* llama2.c's checkpoints, all rows read: llama2c.c, source.c, rows.c. */
#include "convert/source.h"
#include "guard.h"

static void read_rows(cria_ctx *ctx, const struct cria_convert_tensor *t) {
    const uint64_t rows = cria_convert_rows(t), cols = cria_convert_cols(t);
    uint8_t *scratch = cria_malloc(ctx, cria_convert_scratch_bytes(t)), *out = cria_malloc(ctx, 16 * cols * 2);
    if (scratch != NULL && out != NULL)
        for (uint64_t at = 0; at < rows; at += 16)
            cria_convert_read(t, at, rows - at < 16 ? (uint32_t)(rows - at) : 16, CRIA_SOURCE_BF16, out, scratch);
    cria_free(ctx, scratch);
    cria_free(ctx, out);
}

static void convert(cria_ctx *ctx, const uint8_t *data, size_t len) {
    if (!cria_convert_is_llama2c(data, len)) return;
    struct cria_convert_source s = {
        .ctx = ctx, .path = "input", .names = CRIA_NAMING_HF, .map = {.data = data, .len = len}};
    cria_error err;
    const cria_status st = cria_convert_open_llama2c(&s, &err);
    if (st == CRIA_OK)
        for (size_t i = 0; i < s.n; i++) read_rows(ctx, &s.tensors[i]);
    s.map = (cria_mapfile){0}; /* ours */
    cria_convert_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    return guard_run(convert, data, len, 4096); /* a tensor of a few bytes has a name, a list and rows of its own */
}
