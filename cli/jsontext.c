/* SPDX-License-Identifier: Apache-2.0 */
#include "jsontext.h"

#include <string.h>

void put_json_bytes(FILE *f, const char *text, size_t len) {
    putc('"', f);
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c < 0x20)
            fprintf(f, "\\u%04x", c);
        else
            putc(c, f);
    }
    putc('"', f);
}

void print_json_bytes(const char *text, size_t len) { put_json_bytes(stdout, text, len); }

void print_json_text(const char *text) { print_json_bytes(text, strlen(text)); }
