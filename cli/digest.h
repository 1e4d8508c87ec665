/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes that a hub names contents by. The only door to OpenSSL. */
#ifndef CRIA_CLI_DIGEST_H
#define CRIA_CLI_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digest;

/* To be called once, before all others. NULL, or why OpenSSL cannot be had. */
const char *digest_load(void);

/* For the hash that is expected: of 64 digits SHA-256 of the content, of 40 the SHA-1 that git gives a blob of so many
 * bytes. NULL when it is neither, or out of memory. */
struct digest *digest_new(const char *expected, uint64_t size);
bool digest_add(struct digest *d, const void *data, size_t len);
/* In hexadecimal. The digest is used up. */
bool digest_end(struct digest *d, char out[65]);
void digest_free(struct digest *d); /* NULL is legal */

#endif
