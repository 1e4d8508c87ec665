/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"

#include "session.h"
#include "term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST = 256 << 20 }; /* bytes; far beyond any context */

void text_free(struct text *t) {
    free(t->data);
    *t = (struct text){NULL, 0};
}

/* Room in powers of two, so that many small pieces cost no more than one large one. */
bool text_append(struct text *t, const char *bytes, size_t len) {
    if (len > SIZE_MAX / 4 - t->len) return false;
    size_t room = 64, before = 64;
    while (room < t->len + len + 1) room *= 2;
    while (before < t->len + 1) before *= 2;
    if (!t->data || room != before) {
        char *more = realloc(t->data, room);
        if (!more) return false;
        t->data = more;
    }
    if (len > 0) memcpy(t->data + t->len, bytes, len);
    t->data[t->len += len] = '\0';
    return true;
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

/* path NULL: stdin. */
static bool read_stream(FILE *f, const char *path, struct text *out) {
    const char *name = path ? path : "stdin";
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
            complain("%s is larger than %d MiB; give a part of it.", name, LARGEST >> 20);
        else if (term_interrupted())
            complain("Interrupted while reading %s.", name);
        else
            complain_unread(path);
        text_free(&t);
        return false;
    }
    t.data[t.len] = '\0';
    *out = t;
    return true;
}

bool input_read_bytes(const char *path, struct text *out) {
    if (!path) return read_stream(stdin, NULL, out);
    FILE *f = fopen(path, "rb");
    if (!f) {
        complain_unread(path);
        return false;
    }
    const bool ok = read_stream(f, path, out);
    fclose(f);
    return ok;
}

bool input_read_all(const char *path, struct text *out) {
    if (!input_read_bytes(path, out)) return false;
    unify_line_ends(out);
    return true;
}

/* More bytes into the empty buffer. */
static enum line_result fill(struct line_reader *r) {
    r->at = r->n = 0;
    if (!term_wait_for_input()) return LINE_NONE;
    const ssize_t n = read(STDIN_FILENO, r->buffer, sizeof r->buffer);
    if (n > 0) {
        r->n = (size_t)n;
        return LINE_READ;
    }
    if (n == 0 || term_interrupted()) return LINE_NONE;
    complain_unread(NULL);
    return LINE_FAILED;
}

static enum line_result append(struct text *line, const char *bytes, size_t n) {
    char *more = n < LARGEST - line->len ? realloc(line->data, line->len + n + 1) : NULL;
    if (!more) {
        complain("A line of stdin is too long (%zu bytes and more).", line->len);
        return LINE_FAILED;
    }
    line->data = more;
    memcpy(line->data + line->len, bytes, n);
    line->data[line->len += n] = '\0';
    return LINE_READ;
}

enum line_result input_read_line(struct line_reader *r, struct text *out) {
    struct text line = {NULL, 0};
    enum line_result result = LINE_READ;
    for (bool ended = false; !ended && result == LINE_READ;) {
        if (r->at == r->n && (result = fill(r)) != LINE_READ) break;
        const char *from = r->buffer + r->at, *end = memchr(from, '\n', r->n - r->at);
        const size_t n = end ? (size_t)(end - from) : r->n - r->at;
        result = append(&line, from, n);
        ended = end != NULL;
        r->at += n + ended;
    }
    /* A last line may lack its end. */
    if (result == LINE_FAILED || !line.data || term_interrupted()) {
        text_free(&line);
        return result == LINE_FAILED ? LINE_FAILED : LINE_NONE;
    }
    if (result == LINE_READ && line.len > 0 && line.data[line.len - 1] == '\r') line.data[--line.len] = '\0';
    *out = line;
    return LINE_READ;
}
