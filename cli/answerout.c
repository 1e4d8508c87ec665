/* SPDX-License-Identifier: Apache-2.0 */
#include "answerout.h"

#include "base/utf8.h"
#include "term.h"

#include <string.h>

static const char dim[] = "\033[2m", plain[] = "\033[0m";
static const char begins[] = "<think>", ends[] = "</think>";

void answerout_init(struct answerout *a, bool colours) {
    memset(a, 0, sizeof *a);
    a->terminal = term_stdout_is_terminal();
    a->colours = a->terminal && colours;
}

static void put(struct answerout *a, const char *text) { out_write(&a->out, text, strlen(text)); }

/* One character. C1 controls are control characters to a terminal, too. */
static void put_visible(struct answerout *a, const char *s, size_t len) {
    uint32_t cp = 0;
    cria_utf8_decode((const uint8_t *)s, len, &cp);
    if ((cp < 0x20 && cp != '\n' && cp != '\t') || cp == 0x7f) {
        const char caret[] = {'^', (char)(cp ^ 0x40)};
        out_write(&a->out, caret, sizeof caret);
    } else if (cp >= 0x80 && cp < 0xa0) {
        put(a, "\xef\xbf\xbd");
    } else {
        out_write(&a->out, s, len);
    }
}

static void put_text(struct answerout *a, const char *text, size_t len) {
    if (!a->terminal) {
        out_write(&a->out, text, len);
        return;
    }
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        const size_t n = cria_utf8_decode((const uint8_t *)text + i, len - i, &cp);
        put_visible(a, text + i, n ? n : 1);
        i += n ? n : 1;
    }
}

void answerout_begin(struct answerout *a, bool thinks) {
    a->n_held = 0;
    a->thinks = thinks;
    if (thinks && a->colours) put(a, dim);
}

/* The mark is complete. */
static void turn(struct answerout *a) {
    const char *mark = a->thinks ? ends : begins;
    if (a->colours && !a->thinks) put(a, dim);
    put_text(a, mark, strlen(mark));
    if (a->colours && a->thinks) put(a, plain);
    a->thinks = !a->thinks;
    a->n_held = 0;
}

/* Both marks begin with '<' and have no other: what was held back is no mark as soon as one byte does not fit. */
bool answerout_write(struct answerout *a, const char *text, size_t len) {
    if (!a->colours) {
        put_text(a, text, len);
        return out_flush(&a->out);
    }
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        const char *mark = a->thinks ? ends : begins;
        if (text[i] == mark[a->n_held]) {
            if (a->n_held == 0) put_text(a, text + from, i - from);
            a->held[a->n_held++] = text[i];
            from = i + 1;
            if (mark[a->n_held] == '\0') turn(a);
        } else if (a->n_held > 0) {
            put_text(a, a->held, a->n_held);
            a->n_held = 0;
            from = i;
            i--;
        }
    }
    put_text(a, text + from, len - from);
    return out_flush(&a->out);
}

bool answerout_end(struct answerout *a) {
    put_text(a, a->held, a->n_held);
    a->n_held = 0;
    if (a->thinks && a->colours) put(a, plain);
    a->thinks = false;
    put(a, "\n");
    return out_flush(&a->out);
}
