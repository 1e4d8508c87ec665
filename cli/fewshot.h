/* SPDX-License-Identifier: Apache-2.0 */
/* The two text operations of the example's few_shot_generate: a prompt from examples and a question, and the end of an
 * answer where the model begins to make up the next instruction. */
#ifndef CRIA_CLI_FEWSHOT_H
#define CRIA_CLI_FEWSHOT_H

#include "input.h"
#include "out.h"

/* Removes white space at both ends as Python's str.strip() does on UTF-8 text. */
void fewshot_strip(struct text *t);
/* The examples with every "{}" replaced by the question; braces within the question stay. data is NULL when out of
 * memory. */
struct text fewshot_prompt(const struct text *examples, const struct text *question);

/* Passes text through until "[Instruction]" comes, holding back what may become it. Start with {0}. */
struct fewshot_filter {
    size_t matched; /* bytes of the mark seen last and held back */
};
/* True once the mark is complete: nothing of it, nor anything behind it, was written. */
bool fewshot_filter_write(struct fewshot_filter *f, struct out *out, const char *text, size_t len);
/* The text has ended: what is held back was no mark. */
void fewshot_filter_end(struct fewshot_filter *f, struct out *out);

#endif
