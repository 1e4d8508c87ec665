/* SPDX-License-Identifier: Apache-2.0 */
/* Look-up in the table of classes. The table is written and checked by tests/tools/unicode_tables.py. */
#include "text/unicode.h"

enum cria_char_class cria_char_class(uint32_t cp) {
    if (cp < 0x80) {
        if ((cp | 0x20) - 'a' < 26) return CRIA_CHAR_LETTER;
        if (cp - '0' < 10) return CRIA_CHAR_NUMBER;
        return cp == ' ' || cp - '\t' < 5 ? CRIA_CHAR_SPACE : CRIA_CHAR_OTHER;
    }
    if (cp - 0x4e00 < 0x5000) return CRIA_CHAR_LETTER; /* most text that is not alphabetic is these */
    if (cp > 0x10ffff) return CRIA_CHAR_OTHER;
    const uint32_t key = cp << 3 | 7;
    size_t low = 0, high = cria_unicode_n_breaks; /* breaks[low] <= key < breaks[high] */
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (cria_unicode_breaks[mid] <= key)
            low = mid;
        else
            high = mid;
    }
    return (enum cria_char_class)(cria_unicode_breaks[low] & 7);
}
