/* SPDX-License-Identifier: Apache-2.0 */
/* stdout as the generated text needs it: written in whole pieces at moments of our choosing, every failure noticed. */
#ifndef CRIA_CLI_OUT_H
#define CRIA_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>

struct out {
    int error; /* errno of the first write that failed; then all text is dropped */
    size_t n;  /* bytes waiting in text */
    char text[8192];
};

void out_write(struct out *o, const char *text, size_t len);
/* Hands all that is waiting to the system. False when this or an earlier write failed. */
bool out_flush(struct out *o);

#endif
