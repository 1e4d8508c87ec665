/* SPDX-License-Identifier: Apache-2.0 */
/* The value types of GGUF metadata, shared by the parser (gguf.c) and the walk over arrays (meta.c). */
#ifndef CRIA_FORMAT_GGUF_H
#define CRIA_FORMAT_GGUF_H

#include "base/reader.h"
#include "format/container.h"

enum cria_gguf_type {
    CRIA_GGUF_U8 = 0,
    CRIA_GGUF_I8 = 1,
    CRIA_GGUF_U16 = 2,
    CRIA_GGUF_I16 = 3,
    CRIA_GGUF_U32 = 4,
    CRIA_GGUF_I32 = 5,
    CRIA_GGUF_F32 = 6,
    CRIA_GGUF_BOOL = 7,
    CRIA_GGUF_STRING = 8,
    CRIA_GGUF_ARRAY = 9,
    CRIA_GGUF_U64 = 10,
    CRIA_GGUF_I64 = 11,
    CRIA_GGUF_F64 = 12
};

/* Sets out->type and the value; the key is left alone. False, with the reader where it was, when gguf_type is
 * no scalar, the bytes are too few or a bool is not 0 or 1. */
bool cria_gguf_read_scalar(cria_reader *r, uint32_t gguf_type, cria_meta *out);

#endif
