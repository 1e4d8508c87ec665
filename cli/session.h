/* SPDX-License-Identifier: Apache-2.0 */
/* A model opened as the options ask, with its engine: what every subcommand that computes begins with. Also the
 * ways in which the program talks on stderr. */
#ifndef CRIA_CLI_SESSION_H
#define CRIA_CLI_SESSION_H

#include "args.h"
#include "cria/cria.h"

struct session_options {
    const char *model_path;
    uint64_t threads; /* 0: the library's choice */
    const char *isa, *activations, *kv;
    const char *cache_folder; /* of packed weights; NULL: the user's */
    bool no_cache;
    uint64_t context;         /* 0: the model's own */
    bool quiet;
};
/* Rows for session_options, in two groups. The first of the speed rows is --threads: bench has its own. */
extern const struct arg_option session_model_rows[], session_speed_rows[];
extern const size_t n_session_model_rows, n_session_speed_rows;

struct progress; /* progress.h */

struct session {
    cria_ctx *ctx;
    cria_model *model;
    cria_engine *engine;
    cria_model_info info;
    double load_seconds;
    bool quiet;
    struct progress *bar; /* while the model is loaded */
};

/* False after one line on stderr; then there is nothing to close. s stays where it is until it is closed. */
bool session_open(struct session *s, const struct session_options *o);
/* The same, but a model of any size must be in the cache afterwards. */
bool session_open_cached(struct session *s, const struct session_options *o);
/* Another model beside that of s, with its context and the same options. draft->ctx stays NULL. */
bool session_open_draft(struct session *draft, const struct session *s, const struct session_options *o,
                        const char *path);
void session_close(struct session *s);

/* The parts of session_open, for who wants them one by one. All fill s; session_close undoes them. */
cria_status session_open_ctx(struct session *s, const struct session_options *o, cria_error *err);
cria_status session_open_model(struct session *s, const struct session_options *o, cria_error *err);
cria_status session_open_engine(struct session *s, const struct session_options *o, uint64_t kv_bytes,
                                cria_error *err);
/* The path of what a user calls a model: a folder or a file that is there, else what a name in the hub's cache means
 * (org/model:TAG). *path is the name itself, or stays until the next call. CRIA_EINVAL, with what to do. */
cria_status session_find_model(const char *name, const char **path, cria_error *err);
/* Whether there is one; if not, a line on stderr. */
bool session_model_is_there(const char *name);
/* Where packed weights are kept, or NULL; room[size] may be used for it. */
const char *session_cache_folder(const struct session_options *o, char *room, size_t size);
cria_activations session_activations(const struct session_options *o);

/* Information, on stderr unless quiet; the text brings its own newline. */
void say(bool quiet, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "cria: <sentence>" on stderr. Returns 1, the exit code of a failure. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What could not be read (path NULL: stdin) or written (NULL: stdout) and why, from errno, and what to do. Nothing when
 * stdout's reader has gone away: there is nobody to be told. Both return 1. */
int complain_unread(const char *path);
int complain_unwritten(const char *path);

#endif
