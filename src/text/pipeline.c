/* SPDX-License-Identifier: Apache-2.0 */
/* Building and taking down a pipeline; see pipeline.h. */
#include "text/pipeline.h"
#include "base/mem.h"
#include "base/status.h"

#include <string.h>

void cria_pipeline_init(cria_pipeline *p, cria_ctx *ctx) { *p = (cria_pipeline){.ctx = ctx}; }

static void steps_fini(cria_ctx *ctx, struct cria_steps *s) {
    for (unsigned i = 0; i < s->n; i++) {
        cria_regex_free(s->step[i].regex);
        cria_free(ctx, s->step[i].text);
    }
    cria_free(ctx, s->step);
}

void cria_pipeline_fini(cria_pipeline *p) {
    steps_fini(p->ctx, &p->normalize);
    steps_fini(p->ctx, &p->split);
    steps_fini(p->ctx, &p->decode);
    cria_pipeline_init(p, p->ctx);
}

struct cria_step *cria_steps_add(cria_ctx *ctx, struct cria_steps *steps, enum cria_step_kind kind,
                                 cria_status *st, cria_error *err) {
    if (steps->n == CRIA_STEPS_MAX) {
        *st = cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                        "The tokenizer has a sequence of more than %u steps.", CRIA_STEPS_MAX);
        return NULL;
    }
    if (!steps->step) steps->step = cria_calloc(ctx, CRIA_STEPS_MAX, sizeof *steps->step);
    if (!steps->step) {
        *st = cria_fail_nomem(err, "the tokenizer's steps", CRIA_STEPS_MAX * sizeof *steps->step);
        return NULL;
    }
    struct cria_step *s = &steps->step[steps->n++];
    s->kind = kind;
    return s;
}

cria_status cria_step_set_text(cria_ctx *ctx, struct cria_step *s, const char *text, size_t len,
                               cria_error *err) {
    s->text = cria_malloc(ctx, len);
    if (!s->text) return cria_fail_nomem(err, "the tokenizer's steps", len);
    if (len) memcpy(s->text, text, len);
    s->len = len;
    return CRIA_OK;
}

cria_status cria_pipeline_add_split(cria_pipeline *p, const char *pattern, size_t len,
                                    enum cria_regex_syntax syntax, enum cria_split_behaviour behaviour,
                                    bool invert, cria_error *err) {
    cria_status st = CRIA_OK;
    struct cria_step *s = cria_steps_add(p->ctx, &p->split, CRIA_STEP_SPLIT, &st, err);
    if (!s) return st;
    s->behaviour = behaviour;
    s->invert = invert;
    return cria_regex_new(p->ctx, pattern, len, syntax, &s->regex, err);
}
