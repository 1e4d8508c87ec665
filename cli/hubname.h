/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people call models on a hub ("org/model:Q4_K_M"), and which of a repository's files such a name means. No I/O:
 * the files may be those of a hub's list or of a folder here, and the same name means the same in both. Every file name
 * is from somebody else and not believed.
 */
#ifndef CRIA_CLI_HUBNAME_H
#define CRIA_CLI_HUBNAME_H

#include "cria/cria.h"

enum { HUB_NAME_MAX = 256, HUB_PATH_MAX = 1024 };

/* REPOSITORY[@REVISION][:TAG] */
struct hub_name {
    char repo[HUB_NAME_MAX];     /* "org/model"; "model" for the few that have no owner */
    char revision[HUB_NAME_MAX]; /* a branch, a tag of git or a commit; "main" where none is given */
    char tag[HUB_PATH_MAX];      /* a quantization or a .gguf file; "" for none */
    bool has_revision;           /* one was given */
};

/* Also understands https://huggingface.co/org/model and hf.co/org/model. CRIA_EINVAL, with the reason. */
cria_status hub_name_parse(const char *text, struct hub_name *out, cria_error *err);
/* The name as one would type it; without the revision where that is main. */
void hub_name_print(const struct hub_name *name, char *out, size_t size);

/* 40 digits of a commit's hash. */
bool hub_is_commit(const char *text);

struct hub_file {
    char *path; /* in the repository: "a/b.gguf"; from malloc */
    uint64_t size;
    /* Of the content: 64 hexadecimal digits of SHA-256, or 40 of git's SHA-1, which is also the name of its blob in the
     * cache (of a folder's files it is that, whatever it may be); "" when not known. */
    char hash[128];
    int64_t used; /* of a folder's files: when it was read last, in seconds since 1970 */
};
struct hub_files {
    struct hub_file *v;
    size_t n, room;
};
/* Start with {0}. Copies the path; hash may be NULL. CRIA_EFORMAT when the path is one that leads out of its folder or
 * that no file system takes; CRIA_EFULL past a hundred thousand files; CRIA_ENOMEM. */
cria_status hub_files_add(struct hub_files *files, const char *path, uint64_t size, const char *hash,
                          cria_error *err);
void hub_files_free(struct hub_files *files);

/* Which files of a repository a name means. */
struct hub_choice {
    size_t *v, n; /* indices into the files, from malloc; the parts of a split .gguf are in their order */
    bool is_gguf; /* then v[0] is the file to open, else it is the folder */
};
/* With a tag: the .gguf file of that quantization or name, all parts of a split one. Without: the safetensors (else the
 * npz) of the repository's top folder with configuration and tokenizer, or of a repository of .gguf files Q4_K_M, else
 * Q4_0, else the only one. CRIA_EINVAL, with what there is; CRIA_ENOMEM. repo: for messages. */
cria_status hub_choose(const struct hub_files *files, const char *repo, const char *tag, struct hub_choice *out,
                       cria_error *err);
void hub_choice_free(struct hub_choice *choice);

/* Whether a file stands for a .gguf model: it is one, or the first part of one, and no company of another. */
bool hub_is_model(const char *path);
/* The quantization in the name of a .gguf file ("Q4_K_M"), or "" where there is none. */
void hub_quantization(const char *path, char out[32]);
/* Whether the path is part i of n of a split file: "-00002-of-00003" before its ending. stem: the length up to that. */
bool hub_split(const char *path, unsigned *i, unsigned *n, size_t *stem);

#endif
