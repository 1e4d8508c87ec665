/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that are there whole or not at all. */
#ifndef CRIA_CLI_SAVEFILE_H
#define CRIA_CLI_SAVEFILE_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the file beside its place and renames it. mine: nobody else may read it; else as the umask has it. False with
 * errno, and the file as it was. What is there and is no plain file is not replaced (EEXIST). */
bool save_file(const char *path, const char *data, size_t len, bool mine);

#endif
