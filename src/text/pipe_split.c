/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text → words. The library runs a step over all parts, then the next one over what came of them; here each
 * part goes through all steps before the next part is looked for, which gives the same words in the same
 * order without a list of them. The steps are few (CRIA_STEPS_MAX), so they may call each other.
 */
#include "text/pipeline.h"

#include <stdint.h>

static cria_status run(struct cria_splitter *s, unsigned step, const uint8_t *text, size_t len, bool first);

/* Matches and what lies between them, turned into parts by a behaviour: one part is held back where the next
 * stretch decides what becomes of it. */
struct parts {
    struct cria_splitter *s;
    unsigned step; /* that the parts go to */
    const uint8_t *text;
    bool first;
    enum cria_split_behaviour behaviour;
    bool any; /* a part is held back: */
    size_t start, end;
    bool before; /* was the last stretch a match? */
};

static cria_status give(struct parts *p) {
    if (!p->any) return CRIA_OK;
    p->any = false;
    if (p->start == p->end) return CRIA_OK;
    return run(p->s, p->step, p->text + p->start, p->end - p->start, p->first && p->start == 0);
}

static cria_status stretch(struct parts *p, size_t start, size_t end, bool match) {
    bool join = false;
    switch (p->behaviour) {
    case CRIA_SPLIT_REMOVED:
    case CRIA_SPLIT_ISOLATED:
        break;
    case CRIA_SPLIT_CONTIGUOUS:
        join = match == p->before;
        break;
    case CRIA_SPLIT_MERGED_WITH_PREVIOUS:
        join = match && !p->before;
        break;
    case CRIA_SPLIT_MERGED_WITH_NEXT:
        join = !match && p->before;
        break;
    }
    p->before = match;
    if (join && p->any) {
        p->end = end;
        return CRIA_OK;
    }
    const cria_status st = give(p);
    p->any = !(match && p->behaviour == CRIA_SPLIT_REMOVED);
    p->start = start;
    p->end = end;
    return st;
}

static cria_status split(struct cria_splitter *s, unsigned step, const uint8_t *text, size_t len,
                         bool first) {
    const struct cria_step *at = &s->p->split.step[step];
    struct parts p = {.s = s, .step = step + 1, .text = text, .first = first, .behaviour = at->behaviour};
    cria_regex_scan scan;
    bool found = true;
    size_t done = 0, from = 0, to = 0;
    cria_regex_begin(&scan, at->regex, text, len);
    cria_status st = CRIA_OK;
    while (st == CRIA_OK) {
        st = cria_regex_next(&scan, &found, &from, &to, s->err);
        if (st != CRIA_OK || !found) break;
        if (from > done) st = stretch(&p, done, from, at->invert);
        if (st == CRIA_OK) st = stretch(&p, from, to, !at->invert);
        done = to;
    }
    if (st == CRIA_OK && done < len) st = stretch(&p, done, len, at->invert);
    if (st == CRIA_OK) st = give(&p);
    cria_regex_finish(&scan);
    return st;
}

static cria_status run(struct cria_splitter *s, unsigned step, const uint8_t *text, size_t len, bool first) {
    if (step == s->p->split.n) return s->word(s->user, text, len, s->err);
    const struct cria_step *at = &s->p->split.step[step];
    if (at->kind == CRIA_STEP_SPLIT) return split(s, step, text, len, first);
    cria_buf *out = &s->buf[step];
    bool changed;
    out->len = 0;
    const cria_status st = cria_step_rewrite(at, text, len, &first, out, &changed, s->err);
    if (st != CRIA_OK) return st;
    if (!changed) return run(s, step + 1, text, len, first);
    return out->len ? run(s, step + 1, out->data, out->len, first) : CRIA_OK;
}

void cria_splitter_init(struct cria_splitter *s, const cria_pipeline *p,
                        cria_status (*word)(void *user, const uint8_t *word, size_t len, cria_error *err),
                        void *user, size_t text_len) {
    *s = (struct cria_splitter){.p = p, .word = word, .user = user};
    for (unsigned i = 0; i < p->split.n; i++)
        cria_buf_init(&s->buf[i], p->ctx, cria_pipeline_text_max(text_len));
}

void cria_splitter_fini(struct cria_splitter *s) {
    for (unsigned i = 0; i < s->p->split.n; i++) cria_buf_fini(&s->buf[i]);
}

cria_status cria_splitter_run(struct cria_splitter *s, const uint8_t *text, size_t len, bool first,
                              cria_error *err) {
    s->err = err;
    return len ? run(s, 0, text, len, first) : CRIA_OK;
}
