/* SPDX-License-Identifier: Apache-2.0 */
/* Look-up in the table of properties. The table is written and checked by tests/tools/unicode_tables.py. */
#include "text/unicode.h"

uint32_t cria_char_props(uint32_t cp) {
    if (cp > 0x10ffff) return CRIA_CHAR_CN;
    const uint32_t key = cp << 11 | 0x7ff;
    size_t low = 0, high = cria_unicode_n_breaks; /* breaks[low] <= key < breaks[high] */
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (cria_unicode_breaks[mid] <= key)
            low = mid;
        else
            high = mid;
    }
    return cria_unicode_breaks[low] & 0x7ff;
}
