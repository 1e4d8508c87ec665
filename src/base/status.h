/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in a cria_error. The codes themselves are public (cria.h, CRIA_STATUS_TABLE). */
#ifndef CRIA_BASE_STATUS_H
#define CRIA_BASE_STATUS_H

#include "cria/cria.h"
#include <stdarg.h>

#define CRIA_NOWHERE UINT64_MAX

/* Fills *err (when not NULL) and returns code, so that a caller can `return cria_fail(…)`. The message is
 * a complete sentence; it is cut at the buffer's end, newlines and other control bytes become '?'. */
cria_status cria_fail(cria_error *err, cria_status code, uint64_t where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* CRIA_ENOMEM with "There is not enough memory for <what> (<bytes> bytes); free some." */
cria_status cria_fail_nomem(cria_error *err, const char *what, size_t bytes);

/* CRIA_EIO with "Cannot <what>: <the system's reason>; <what to do>." from errno; what is formatted and names the
 * file. */
cria_status cria_fail_errno(cria_error *err, const char *what, ...) __attribute__((format(printf, 2, 3)));

/* CRIA_EINVAL: a function of cria.h was given NULL where something must be. */
cria_status cria_fail_null(cria_error *err, const char *function);

/* Options of cria.h begin with their size, so that a program built against another header is noticed: CRIA_EINVAL. */
cria_status cria_check_size(cria_error *err, const char *function, size_t got, size_t want);

/* Names the file in the message of a function that does not know it: puts "name: " before what *err (when not NULL)
 * says. Returns err's code, or code. */
cria_status cria_fail_in(cria_error *err, cria_status code, const char *name);

/* What both errors and log lines are made with: formats into out[0..size), cut and cleaned as above. */
void cria_message(char *out, size_t size, const char *fmt, va_list args) __attribute__((format(printf, 3, 0)));

#endif
