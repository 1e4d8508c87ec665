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
/* False, with t as it was, when there is not enough memory. */
bool text_append(struct text *t, const char *bytes, size_t len);
/* Everything until the end of the file, line ends made "\n" as Python's text mode does ("\r\n" and "\r" too).
 * path NULL: stdin. False after one line on stderr. */
bool input_read_all(const char *path, struct text *out);
/* The same byte for byte. */
bool input_read_bytes(const char *path, struct text *out);
/* Lines of stdin, read as they come. Start with {0}. */
struct line_reader {
    size_t at, n; /* bytes [at, n) of buffer are still to be given out */
    char buffer[4096];
};
enum line_result {
    LINE_READ,
    LINE_NONE,  /* the end of input, or Ctrl-C */
    LINE_FAILED /* one line is on stderr */
};
/* The next line, without its end ("\n" or "\r\n"). *out is set for LINE_READ only. */
enum line_result input_read_line(struct line_reader *r, struct text *out);

#endif
