/* SPDX-License-Identifier: Apache-2.0 */
#include "jsontext.h"

#include <string.h>

void json_escape(char c, char out[8]) {
    const unsigned char b = (unsigned char)c;
    if (b == '"' || b == '\\')
        snprintf(out, 8, "\\%c", b);
    else if (b == '\n')
        snprintf(out, 8, "\\n");
    else if (b < 0x20)
        snprintf(out, 8, "\\u%04x", b);
    else
        snprintf(out, 8, "%c", b);
}

void put_json_bytes(FILE *f, const char *text, size_t len) {
    putc('"', f);
    for (size_t i = 0; i < len; i++) {
        char escaped[8];
        json_escape(text[i], escaped);
        fputs(escaped, f);
    }
    putc('"', f);
}

void print_json_bytes(const char *text, size_t len) { put_json_bytes(stdout, text, len); }

void print_json_text(const char *text) { print_json_bytes(text, strlen(text)); }
