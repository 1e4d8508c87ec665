/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The alphabet of byte-level BPE (GPT-2's bytes_to_unicode): pieces are stored as text in which each
 * character stands for one byte. Printable bytes stand for themselves, the other 68 are U+0100 and up in
 * order, so that a space is U+0120 (Ġ) and a newline U+010A (Ċ). Encoding and decoding themselves are
 * declared in tokenizer.h.
 */
#ifndef CRIA_TEXT_BPE_H
#define CRIA_TEXT_BPE_H

#include <stdint.h>

static inline uint32_t cria_byte_to_char(uint8_t b) {
    if (b < 0x21) return 0x100u + b;
    if (b >= 0x7f && b < 0xa1) return 0x121u + (b - 0x7fu);
    return b == 0xad ? 0x143u : b;
}

/* −1 for a character outside the alphabet. */
static inline int cria_char_to_byte(uint32_t cp) {
    if (cp >= 0x100) {
        if (cp < 0x121) return (int)(cp - 0x100);
        if (cp < 0x143) return (int)(cp - 0x121 + 0x7f);
        return cp == 0x143 ? 0xad : -1;
    }
    return cp < 0x21 || (cp >= 0x7f && cp < 0xa1) || cp == 0xad ? -1 : (int)cp;
}

#endif
