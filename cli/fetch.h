/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching from a hub: a document into memory, files into the blobs of the cache. Here it is decided what is tried
 * again, what is worth keeping, and what is wrong.
 *
 * A file grows as BLOB.incomplete and gets its name only when size and hash are right; a later run goes on from what is
 * there. Of those who want the same blob one writes, holding its lock, and the others wait.
 */
#ifndef CRIA_CLI_FETCH_H
#define CRIA_CLI_FETCH_H

#include "input.h"
#include "transfer.h"

struct fetch_source {
    const char *endpoint, *repo, *revision; /* "https://huggingface.co", "org/model", "main": for messages */
    bool has_token, quiet;
    struct transfers *transfers;
};

/* The document at url, of at most max bytes. CRIA_EIO, CRIA_ECANCELLED. */
cria_status fetch_document(const struct fetch_source *s, const char *url, size_t max, struct text *out,
                           cria_error *err);

struct fetch_file {
    const char *name, *hash; /* its path in the repository; as digest_new has it */
    char *url, *blob, *lock; /* paths of the blob and of its lock, in folders that are there */
    uint64_t size;
};
/* All files, at most `parallel` at a time; there must be no two with the same hash. Ctrl-C ends it with
 * CRIA_ECANCELLED. What has come until a failure is kept, but for what is wrong. *came: bytes over the network. */
cria_status fetch_files(const struct fetch_source *s, const struct fetch_file *files, size_t n, unsigned parallel,
                        uint64_t *came, cria_error *err);

#endif
