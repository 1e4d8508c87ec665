/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of JSON; see write.h. */
#include "base/status.h"
#include "convert/write.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

cria_status cria_convert_print(cria_buf *b, cria_error *err, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof text)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "A line of text is too long.");
    return cria_buf_append(b, text, (size_t)n, err);
}

static void no_comma(char *text) {
    for (; *text; text++)
        if (*text == ',') *text = '.';
}

/* What snprintf wrote with %e, by hand: strtod depends on the locale. Exact up to 15 digits and exponents of 22. */
static double read_back(const char *c) {
    const bool minus = *c == '-';
    double mantissa = 0, scale = 1;
    int exponent = 0;
    for (c += minus; *c && *c != 'e'; c++) {
        if (*c == '.') continue;
        mantissa = mantissa * 10 + (*c - '0');
        exponent--;
    }
    exponent++; /* the digit before the point */
    int written = 0;
    const bool negative = *c == 'e' && c[1] == '-';
    for (c += *c == 'e' ? 2 : 0; *c; c++) written = written * 10 + (*c - '0');
    exponent += negative ? -written : written;
    for (int i = exponent < 0 ? -exponent : exponent; i > 0; i--) scale *= 10;
    const double x = exponent < 0 ? mantissa / scale : mantissa * scale;
    return minus ? -x : x;
}

/* The shortest decimal that is read back as x: as a float32, or as a double. */
static void shortest(double x, bool single, char out[32]) {
    if (x >= 1 && x < 1e15 && x == (double)(uint64_t)x) {
        snprintf(out, 32, "%" PRIu64 ".0", (uint64_t)x);
        return;
    }
    for (int digits = 1; digits <= 15; digits++) {
        snprintf(out, 32, "%.*e", digits - 1, x);
        no_comma(out);
        const double back = read_back(out);
        if (single ? (float)back == (float)x : back == x) return;
    }
    snprintf(out, 32, "%.17g", x);
    no_comma(out);
}

void cria_convert_float_text(float x, char out[32]) { shortest((double)x, true, out); }
void cria_convert_real_text(double x, char out[32]) { shortest(x, false, out); }
