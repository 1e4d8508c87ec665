/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 after Table 3-7 of the Unicode Standard: the first byte fixes the length and the range of the second
 * byte, all later bytes are 80..BF. Everything here follows from that one table. */
#include "base/utf8.h"

/* Length promised by a first byte (0: cannot begin a character) and the legal range of the second byte. */
static size_t lead(uint8_t b, uint8_t *lo, uint8_t *hi) {
    *lo = 0x80;
    *hi = 0xbf;
    if (b < 0x80) return 1;
    if (b < 0xc2) return 0; /* continuation, or overlong C0 and C1 */
    if (b < 0xe0) return 2;
    if (b < 0xf0) {
        if (b == 0xe0) *lo = 0xa0; /* else overlong */
        if (b == 0xed) *hi = 0x9f; /* else a surrogate */
        return 3;
    }
    if (b > 0xf4) return 0;
    if (b == 0xf0) *lo = 0x90; /* else overlong */
    if (b == 0xf4) *hi = 0x8f; /* else above U+10FFFF */
    return 4;
}

/* Number of bytes at s that agree with the table (at least 1, at most *need); *need is 0 when s[0] cannot
 * begin. */
static size_t prefix(const uint8_t *s, size_t len, size_t *need) {
    uint8_t lo, hi;
    *need = lead(s[0], &lo, &hi);
    size_t n = 1;
    while (n < *need && n < len && s[n] >= lo && s[n] <= hi) {
        lo = 0x80;
        hi = 0xbf;
        n++;
    }
    return n;
}

size_t cria_utf8_decode(const uint8_t *s, size_t len, uint32_t *cp) {
    size_t need;
    if (prefix(s, len, &need) != need) {
        *cp = CRIA_UTF8_REPLACEMENT;
        return 0;
    }
    static const uint8_t lead_bits[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = s[0] & (uint32_t)lead_bits[need];
    for (size_t i = 1; i < need; i++) c = c << 6 | (s[i] & 0x3fu);
    *cp = c;
    return need;
}

size_t cria_utf8_encode(uint32_t cp, uint8_t out[4]) {
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (uint8_t)(0xc0 | cp >> 6);
        out[1] = (uint8_t)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (uint8_t)(0xe0 | cp >> 12);
        out[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | cp >> 18);
    out[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (cp & 0x3f));
    return 4;
}

bool cria_utf8_valid(const uint8_t *s, size_t len) {
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        const size_t n = cria_utf8_decode(s + i, len - i, &cp);
        if (n == 0) return false;
        i += n;
    }
    return true;
}

size_t cria_utf8_partial_tail(const uint8_t *s, size_t len) {
    /* The last byte that is not a continuation begins the tail, if anything does. */
    for (size_t tail = 1; tail <= 3 && tail <= len; tail++) {
        const uint8_t *p = s + (len - tail);
        if ((*p & 0xc0) == 0x80) continue;
        size_t need;
        const size_t n = prefix(p, tail, &need);
        return n == tail && n < need ? tail : 0;
    }
    return 0;
}

size_t cria_utf8_bad_length(const uint8_t *s, size_t len) {
    size_t need;
    return prefix(s, len, &need);
}
