/* SPDX-License-Identifier: Apache-2.0 */
/* Text that comes in: a file, stdin, a line of stdin. Bytes with a length, NUL allowed, then a NUL for convenience. */
#ifndef CRIA_CLI_INPUT_H
#define CRIA_CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
    char *data; /* from malloc; NULL when there is none */
    size_t len;
};

void text_free(struct text *t);
/* Everything until the end of the file, line ends made "\n" as Python's text mode does ("\r\n" and "\r" too).
 * path NULL: stdin. False after one line on stderr. */
bool input_read_all(const char *path, struct text *out);
/* One line of stdin without its end ("\n" or "\r\n"). False at the end of input or when Ctrl-C was pressed. */
bool input_read_line(struct text *out);

#endif
