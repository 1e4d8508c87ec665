/* SPDX-License-Identifier: Apache-2.0 */
/* The text operation of the example's few_shot_generate: a prompt from examples and a question. */
#ifndef CRIA_CLI_FEWSHOT_H
#define CRIA_CLI_FEWSHOT_H

#include "input.h"

/* Removes white space at both ends as Python's str.strip() does on UTF-8 text. */
void fewshot_strip(struct text *t);
/* The examples with every "{}" replaced by the question; braces within the question stay. data is NULL when out of
 * memory. */
struct text fewshot_prompt(const struct text *examples, const struct text *question);

#endif
