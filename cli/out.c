/* SPDX-License-Identifier: Apache-2.0 */
#include "out.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

bool out_flush(struct out *o) {
    size_t at = 0;
    while (at < o->n && o->error == 0) {
        const ssize_t n = write(STDOUT_FILENO, o->text + at, o->n - at);
        if (n >= 0)
            at += (size_t)n;
        else if (errno == EAGAIN) /* somebody made the terminal non-blocking */
            poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, -1);
        else if (errno != EINTR)
            o->error = errno;
    }
    o->n = 0;
    return o->error == 0;
}

void out_write(struct out *o, const char *text, size_t len) {
    while (len > 0) {
        if (o->n == sizeof o->text) out_flush(o);
        const size_t room = sizeof o->text - o->n, part = len < room ? len : room;
        memcpy(o->text + o->n, text, part);
        o->n += part;
        text += part;
        len -= part;
    }
}
