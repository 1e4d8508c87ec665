/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models in the cache of the hub's Python tools, in their layout, so that both find what the other has fetched:
 *
 *     HUB/models--org--model/blobs/HASH                    contents, named by SHA-256 or git's SHA-1
 *                           /blobs/HASH.incomplete         what is there of one that is being fetched, or was
 *                           /refs/main                     the commit that a branch or tag was at
 *                           /snapshots/COMMIT/a/b.gguf     links to blobs, ../../../blobs/HASH
 *     HUB/.locks/models--org--model/HASH.lock              flock()ed by who writes the blob
 *
 * Nothing here talks to a network.
 */
#ifndef CRIA_CLI_HUBCACHE_H
#define CRIA_CLI_HUBCACHE_H

#include "hubname.h"

enum { HUB_FOLDER_MAX = 4096 };

/* HF_HOME, or where it is by default: $XDG_CACHE_HOME/huggingface, ~/.cache/huggingface. CRIA_EINVAL when there is no
 * home. */
cria_status hub_home(char out[HUB_FOLDER_MAX], cria_error *err);
/* The HUB above: HF_HUB_CACHE, or hub in that folder. */
cria_status hub_cache_folder(char out[HUB_FOLDER_MAX], cria_error *err);

/* A repository's folders; whether they are there is another question. */
struct hub_repo {
    char hub[HUB_FOLDER_MAX], folder[HUB_FOLDER_MAX], locks[HUB_FOLDER_MAX];
};
cria_status hub_repo_open(const struct hub_name *name, struct hub_repo *out, cria_error *err);
/* "org/model" of "models--org--model"; false when it is no such name. */
bool hub_repo_name(const char *folder, char *out, size_t size);

/* The commit of a revision as it was seen last. False when there is none, or no snapshot of it. */
bool hub_repo_commit(const struct hub_repo *repo, const char *revision, char out[41]);
/* The files of a snapshot that are really there, hash being the name of the blob; folders: those below, too. What
 * cannot be read, or has a name that hub_files_add refuses, is left out. CRIA_ENOMEM, CRIA_EFULL. */
cria_status hub_repo_files(const struct hub_repo *repo, const char *commit, struct hub_files *out, cria_error *err);

/* The commits that there are snapshots of, from malloc. CRIA_ENOMEM. */
struct hub_commits {
    char (*v)[41];
    size_t n;
};
cria_status hub_repo_commits(const struct hub_repo *repo, struct hub_commits *out, cria_error *err);
/* The branch or tag that was at a commit when it was looked at last, main where it is that; else the commit itself. */
void hub_repo_revision(const struct hub_repo *repo, const char *commit, char out[HUB_NAME_MAX]);

/* Folders of a path, as mkdir -p does, up to the last slash. False with errno. */
bool hub_make_folders(const char *path);
/* Makes the link of a file whose blob is there, in place of one that may be there. */
cria_status hub_repo_link(const struct hub_repo *repo, const char *commit, const char *path, const char *hash,
                          cria_error *err);
/* Notes the commit that a revision is at. */
cria_status hub_repo_note(const struct hub_repo *repo, const char *revision, const char *commit, cria_error *err);

/* Removes a folder with all that is in it; links are removed, not followed. False with errno. */
bool hub_remove_folder(const char *path);

/* The file or folder in the cache that a name means. CRIA_EINVAL: it is not there, or not all of it, or which one is
 * meant is not clear; the sentence says what to do. */
cria_status hub_find(const struct hub_name *name, char out[HUB_FOLDER_MAX], cria_error *err);

#endif
