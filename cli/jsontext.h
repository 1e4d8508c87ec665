/* SPDX-License-Identifier: Apache-2.0 */
/* Texts in the JSON that commands print on stdout. */
#ifndef CRIA_CLI_JSONTEXT_H
#define CRIA_CLI_JSONTEXT_H

#include <stdio.h>

/* A byte as it stands in a JSON string, NUL-terminated: itself, or escaped where it has to be. */
void json_escape(char c, char out[8]);
/* text[0..len) as a JSON string, quotes included. */
void put_json_bytes(FILE *f, const char *text, size_t len);
/* The same on stdout, of a text that ends with a NUL. */
void print_json_text(const char *text);
/* On stdout, for bytes that may have a NUL among them. */
void print_json_bytes(const char *text, size_t len);

#endif
