/* SPDX-License-Identifier: Apache-2.0 */
#include "jsontext.h"

#include <stdio.h>
#include <string.h>

void print_json_bytes(const char *text, size_t len) {
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

void print_json_text(const char *text) { print_json_bytes(text, strlen(text)); }
