/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a repository's files: as a hub's API sends it, and as its Python tools keep it in the cache. Every byte
 * is from somebody else and not believed. */
#ifndef CRIA_CLI_HUBLISTING_H
#define CRIA_CLI_HUBLISTING_H

#include "hubname.h"

enum { HUB_LISTING_MAX = 32 << 20 }; /* bytes of JSON */
#define HUB_SIZE_UNKNOWN UINT64_MAX

/* The answer to GET /api/models/REPO/revision/REV?blobs=true: the commit, and files with size and hash where it says
 * them. Start *files with {0} and free it either way. name: for messages. CRIA_EFORMAT. */
cria_status hub_listing_parse(const char *text, size_t len, const char *name, char commit[41],
                              struct hub_files *files, cria_error *err);
/* The file trees/COMMIT.json in a repository's folder of the cache. */
cria_status hub_tree_parse(const char *text, size_t len, const char *name, struct hub_files *files, cria_error *err);

#endif
