/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"

#include "session.h"
#include "term.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 256 << 20 }; /* bytes; far beyond any context */

void text_free(struct text *t) {
    free(t->data);
    *t = (struct text){NULL, 0};
}

static void unify_line_ends(struct text *t) {
    size_t n = 0;
    for (size_t i = 0; i < t->len; i++) {
        if (t->data[i] == '\r') {
            t->data[n++] = '\n';
            if (i + 1 < t->len && t->data[i + 1] == '\n') i++;
        } else {
            t->data[n++] = t->data[i];
        }
    }
    t->data[t->len = n] = '\0';
}

static bool read_stream(FILE *f, const char *name, struct text *out) {
    size_t room = 4096;
    struct text t = {malloc(room), 0};
    while (t.data) {
        t.len += fread(t.data + t.len, 1, room - t.len - 1, f);
        if (t.len < room - 1 || t.len >= LARGEST) break;
        char *more = realloc(t.data, room *= 2);
        if (!more) text_free(&t);
        else t.data = more;
    }
    if (!t.data) {
        complain("Not enough memory to read %s.", name);
        return false;
    }
    if (t.len >= LARGEST || ferror(f)) {
        if (t.len >= LARGEST)
            complain("%s is larger than %d MiB.", name, LARGEST >> 20);
        else if (term_interrupted())
            complain("Interrupted while reading %s.", name);
        else
            complain("Cannot read %s: %s.", name, strerror(errno));
        text_free(&t);
        return false;
    }
    unify_line_ends(&t);
    *out = t;
    return true;
}

bool input_read_all(const char *path, struct text *out) {
    if (!path) return read_stream(stdin, "stdin", out);
    FILE *f = fopen(path, "rb");
    if (!f) {
        complain("Cannot open '%s': %s.", path, strerror(errno));
        return false;
    }
    const bool ok = read_stream(f, path, out);
    fclose(f);
    return ok;
}

bool input_read_line(struct text *out) {
    char *line = NULL;
    size_t room = 0;
    const ssize_t n = getline(&line, &room, stdin);
    if (n < 0 || term_interrupted()) {
        free(line);
        return false;
    }
    size_t len = (size_t)n;
    if (len > 0 && line[len - 1] == '\n') len--;
    if (len > 0 && len < (size_t)n && line[len - 1] == '\r') len--;
    line[len] = '\0';
    *out = (struct text){line, len};
    return true;
}
