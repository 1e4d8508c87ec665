/* SPDX-License-Identifier: Apache-2.0 */
/* Statuses as text, and messages. A message often quotes names out of a hostile file, so whatever is not
 * well-formed UTF-8 or could steer a terminal (control bytes, C1 controls) becomes '?'. */
#include "base/status.h"
#include "base/utf8.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *cria_status_text(cria_status status) {
    switch (status) {
#define CRIA_STATUS_CASE(name, value, text) case name: return text;
        CRIA_STATUS_TABLE(CRIA_STATUS_CASE)
#undef CRIA_STATUS_CASE
    }
    return "unknown status";
}

static void sanitize(char *msg, size_t len) {
    uint8_t *s = (uint8_t *)msg;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        const size_t n = cria_utf8_decode(s + i, len - i, &cp);
        const bool control = cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
        if (n == 0 || control) memset(s + i, '?', n ? n : 1);
        i += n ? n : 1;
    }
}

void cria_message(char *out, size_t size, const char *fmt, va_list args) {
    const int wanted = vsnprintf(out, size, fmt, args);
    if (wanted < 0) out[0] = '\0';
    size_t len = strlen(out);
    if (wanted > 0 && (size_t)wanted >= size) { /* cut: not inside a character */
        len -= cria_utf8_partial_tail((const uint8_t *)out, len);
        out[len] = '\0';
    }
    sanitize(out, len);
}

cria_status cria_fail(cria_error *err, cria_status code, uint64_t where, const char *fmt, ...) {
    if (!err) return code;
    va_list args;
    va_start(args, fmt);
    cria_message(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    err->code = code;
    err->where = where;
    return code;
}

/* What the user can do about a file that the system refuses. */
static const char *errno_advice(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR: return "look whether the path is right and nothing is missing there";
    case EACCES:
    case EPERM: return "give this user the right to it";
    case ELOOP: return "name the file itself instead of a link";
    case ENAMETOOLONG: return "use a shorter path";
    case EMFILE:
    case ENFILE: return "raise the limit of open files (ulimit -n)";
    case ENOMEM: return "raise the limit of memory (ulimit -v) or free some";
    case ENOSPC:
    case EDQUOT: return "make room on the disk or name another folder";
    case EROFS: return "name a folder that can be written to";
    default: return "try again, or copy the files to another disk";
    }
}

cria_status cria_fail_errno(cria_error *err, const char *what, ...) {
    const int error = errno;
    if (!err) return CRIA_EIO;
    char text[sizeof err->msg];
    va_list args;
    va_start(args, what);
    cria_message(text, sizeof text, what, args);
    va_end(args);
    errno = error; /* for %m */
    return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "Cannot %s: %m; %s.", text, errno_advice(error));
}

cria_status cria_fail_in(cria_error *err, cria_status code, const char *name) {
    if (!err) return code;
    const cria_error was = *err;
    return cria_fail(err, was.code, was.where, "%s: %s", name, was.msg);
}

cria_status cria_fail_nomem(cria_error *err, const char *what, size_t bytes) {
    return cria_fail(err, CRIA_ENOMEM, CRIA_NOWHERE, "There is not enough memory for %s (%zu bytes); free some.",
                     what, bytes);
}

cria_status cria_fail_null(cria_error *err, const char *function) {
    return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "%s: a required argument is NULL.", function);
}

cria_status cria_check_size(cria_error *err, const char *function, size_t got, size_t want) {
    if (got == want) return CRIA_OK;
    return cria_fail(
        err, CRIA_EINVAL, CRIA_NOWHERE,
        "%s: the options are %zu bytes where this library's are %zu; start from the _default() function and "
        "build against the header of this version.",
        function, got, want);
}
