/* SPDX-License-Identifier: Apache-2.0 */
/* Texts in the JSON that commands print on stdout. */
#ifndef CRIA_CLI_JSONTEXT_H
#define CRIA_CLI_JSONTEXT_H

#include <stddef.h>

/* text as a JSON string, quotes included, on stdout. */
void print_json_text(const char *text);
/* The same for bytes that may have a NUL among them. */
void print_json_bytes(const char *text, size_t len);

#endif
