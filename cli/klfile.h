/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved logits of a text: what `cria perplexity --kl-base` writes and --kl reads.
 *
 * The file is a row of 32-bit words in the byte order of the machine (a file of the other order is refused by its first
 * word): the header (struct header in klfile.c), the ids of the text, for every scored position the float32 logits of
 * the whole vocabulary, and a 64-bit sum of all words before it (FNV-1a, a word at a time; low half first).
 *
 * Logits are kept exactly. 16-bit steps would halve the file, but the error of a divergence from them grows with the
 * divergence itself, and runs that ought to agree to the bit could no longer be told from runs that nearly do.
 *
 * The reader believes nothing: its own text says how every word before the logits and the length of the file must be.
 * It allocates nothing.
 */
#ifndef CRIA_CLI_KLFILE_H
#define CRIA_CLI_KLFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What was scored. Two runs can be compared when all of it is equal. */
struct kl_text {
    uint32_t vocab, context; /* ids in the vocabulary, tokens in a window */
    int32_t bos;             /* that every window begins with, or -1 */
    const int32_t *ids;      /* [n_ids], borrowed for the call */
    uint32_t n_ids, n_rows;  /* rows: scored positions */
};

struct kl_file {
    FILE *f; /* NULL: not open */
    const char *path;
    char *temporary; /* name until finished; NULL for the reader and for devices */
    uint32_t vocab;
    uint64_t sum; /* of the words so far */
};

/* All of these return false after one line on stderr. The path is borrowed until the file is closed. */
bool kl_create(struct kl_file *k, const char *path, const struct kl_text *text);
bool kl_write_row(struct kl_file *k, const float *logits);
/* Only now does the file get its name. */
bool kl_finish_writing(struct kl_file *k);

bool kl_open(struct kl_file *k, const char *path, const struct kl_text *text);
/* logits: [vocab], all finite. */
bool kl_read_row(struct kl_file *k, float *logits);
/* After the last row: the sum must be right. */
bool kl_finish_reading(struct kl_file *k);

/* Legal at any time, for one never opened too ({0}). What was not finished is removed. */
void kl_close(struct kl_file *k);

#endif
