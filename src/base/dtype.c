/* SPDX-License-Identifier: Apache-2.0 */
/* The table of element types, and sizes from it. */
#include "base/dtype.h"
#include "base/mem.h"

static const struct cria_dtype_info table[CRIA_DTYPE_COUNT] = {
#define CRIA_DTYPE_ROW(name, text, items, bytes, gguf) [CRIA_DTYPE_##name] = {#name, text, items, bytes, gguf},
    CRIA_DTYPE_TABLE(CRIA_DTYPE_ROW)
#undef CRIA_DTYPE_ROW
};

const struct cria_dtype_info *cria_dtype_info(cria_dtype type) { return &table[type]; }

bool cria_dtype_row_bytes(cria_dtype type, size_t n, size_t *bytes) {
    const struct cria_dtype_info *t = &table[type];
    if (n % t->items != 0) return false;
    return cria_mul_ok(n / t->items, t->bytes, bytes);
}
