/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as Unicode defines it (Table 3-7: no surrogates, no overlong forms, at most U+10FFFF). */
#ifndef CRIA_BASE_UTF8_H
#define CRIA_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRIA_UTF8_REPLACEMENT 0xFFFDu

/* Decodes the character at s[0..len), len >= 1. Returns its length in bytes (1..4) and the code point, or 0 when the
 * bytes at s do not begin a well-formed character (or it is cut off by len); *cp is then U+FFFD. */
size_t cria_utf8_decode(const uint8_t *s, size_t len, uint32_t *cp);
/* Writes cp (a valid scalar value) to out[0..4); returns the number of bytes. */
size_t cria_utf8_encode(uint32_t cp, uint8_t out[4]);
bool cria_utf8_valid(const uint8_t *s, size_t len);
/* Number of bytes at the end of s (0..3) that begin a well-formed character which is not yet complete. */
size_t cria_utf8_partial_tail(const uint8_t *s, size_t len);
/* Length of the maximal subpart of an ill-formed sequence at s (Unicode 3.9, "U+FFFD substitution of maximal
 * subparts", what Python's and Rust's lossy decoders do): 1..3. Call where cria_utf8_decode gave 0. */
size_t cria_utf8_bad_length(const uint8_t *s, size_t len);

#endif
