/* SPDX-License-Identifier: Apache-2.0 */
/* Element types of stored tensors, as one table. Block layouts: MODEL.md, "Quantized blocks". */
#ifndef CRIA_BASE_DTYPE_H
#define CRIA_BASE_DTYPE_H

#include "cria/cria.h"

/* name (safetensors' own where a block is one item), text, items per block, bytes per block, GGUF type number (-1:
 * none). Not all can be weights: some are known so that a file which has them can be opened. */
#define CRIA_DTYPE_TABLE(X)                                                                       \
    X(F32, "float32", 1, 4, 0)                                                                    \
    X(F16, "float16", 1, 2, 1)                                                                    \
    X(BF16, "bfloat16", 1, 2, 30)                                                                 \
    X(F64, "float64", 1, 8, 28)                                                                   \
    X(F8_E4M3, "float8_e4m3", 1, 1, -1)                                                           \
    X(F8_E5M2, "float8_e5m2", 1, 1, -1)                                                           \
    X(F8_E8M0, "float8_e8m0", 1, 1, -1)                                                           \
    X(BOOL, "bool", 1, 1, -1)                                                                     \
    X(U8, "uint8", 1, 1, -1)                                                                      \
    X(I8, "int8", 1, 1, 24)                                                                       \
    X(U16, "uint16", 1, 2, -1)                                                                    \
    X(I16, "int16", 1, 2, 25)                                                                     \
    X(U32, "uint32", 1, 4, -1)                                                                    \
    X(I32, "int32", 1, 4, 26)                                                                     \
    X(U64, "uint64", 1, 8, -1)                                                                    \
    X(I64, "int64", 1, 8, 27)                                                                     \
    X(Q4_0, "Q4_0", 32, 18, 2)                                                                    \
    X(Q4_1, "Q4_1", 32, 20, 3)                                                                    \
    X(Q5_0, "Q5_0", 32, 22, 6)                                                                    \
    X(Q5_1, "Q5_1", 32, 24, 7)                                                                    \
    X(Q8_0, "Q8_0", 32, 34, 8)                                                                    \
    X(IQ4_NL, "IQ4_NL", 32, 18, 20)                                                               \
    X(MXFP4, "MXFP4", 32, 17, 39)                                                                 \
    X(Q2_K, "Q2_K", 256, 84, 10)                                                                  \
    X(Q3_K, "Q3_K", 256, 110, 11)                                                                 \
    X(Q4_K, "Q4_K", 256, 144, 12)                                                                 \
    X(Q5_K, "Q5_K", 256, 176, 13)                                                                 \
    X(Q6_K, "Q6_K", 256, 210, 14)                                                                 \
    X(IQ4_XS, "IQ4_XS", 256, 136, 23)

typedef enum cria_dtype {
#define CRIA_DTYPE_ENUM(name, text, items, bytes, gguf) CRIA_DTYPE_##name,
    CRIA_DTYPE_TABLE(CRIA_DTYPE_ENUM)
#undef CRIA_DTYPE_ENUM
    CRIA_DTYPE_COUNT
} cria_dtype;

struct cria_dtype_info {
    const char *name, *text;
    uint32_t items, bytes; /* per block */
    int gguf;
};
/* type < CRIA_DTYPE_COUNT */
const struct cria_dtype_info *cria_dtype_info(cria_dtype type);
/* Bytes of one row of n items; false when n is no multiple of the block or the product overflows. */
bool cria_dtype_row_bytes(cria_dtype type, size_t n, size_t *bytes);

#endif
