/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of one tensor in the three conventions that a conversion goes between: Meta's (the MLX example,
 * llama2.c), Hugging Face's (mlx-lm) and GGUF's. Suffixes (.weight, .bias, .scales, .biases) are the same in
 * all of them.
 */
#ifndef CRIA_CONVERT_NAMES_H
#define CRIA_CONVERT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cria_names { CRIA_NAMES_META, CRIA_NAMES_HF, CRIA_NAMES_GGUF };

/* What a name means: a row of the table, the layer where it has one, and what follows the stem. */
struct cria_part_name {
    uint32_t row, layer;
    const char *suffix; /* borrowed from the name; ".weight" and so on, or "" */
};

/* Rows that others ask for. */
enum { CRIA_PART_EMBEDDING, CRIA_PART_OUTPUT, CRIA_PART_NORM, CRIA_PART_WQ, CRIA_PART_WK, CRIA_PART_OTHER };

#define CRIA_PART_NAME_MAX 128u

/* False when the convention has no such name. */
bool cria_part_find(enum cria_names names, const char *name, struct cria_part_name *out);
/* One of the rows above, or CRIA_PART_OTHER. */
uint32_t cria_part_kind(const struct cria_part_name *part);
/* False when the convention has none for it, or it is too long. */
bool cria_part_write(enum cria_names names, const struct cria_part_name *part, char out[CRIA_PART_NAME_MAX]);

/* What files carry and models compute themselves: Meta's rope.freqs, Hugging Face's inv_freq. */
bool cria_part_is_derived(const char *name);

#endif
