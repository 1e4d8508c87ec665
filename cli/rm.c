/* SPDX-License-Identifier: Apache-2.0 */
/* cria rm: removes models from the hub's cache, and files from cria's own. What another snapshot needs stays. */
#include "args.h"
#include "base/status.h"
#include "commands.h"
#include "hubcache.h"
#include "progress.h"
#include "session.h"
#include "term.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct rm_options {
    const char *name;
    bool yes, quiet;
};

#define FIELD(name) offsetof(struct rm_options, name)

static const struct arg_option rows[] = {
    {.name = "NAME",
     .kind = ARG_OPERAND,
     .offset = FIELD(name),
     .help = "as cria list shows it: org/model is all that there is of a repository, org/model:Q8_0 that .gguf, "
             "org/model@REVISION that snapshot; or the path of a file in cria's own cache"},
    {.name = "yes", .letter = 'y', .kind = ARG_FLAG, .offset = FIELD(yes), .help = "do not ask"},
    {.name = "quiet", .kind = ARG_FLAG, .offset = FIELD(quiet), .help = "nothing on stderr but questions and errors"},
};

static const struct arg_command command = {
    .name = "rm",
    .usage = "Usage: cria rm [OPTIONS] NAME",
    .about =
        "Removes a model from the cache of the Hugging Face hub, where cria pull and the hub's Python tools keep\n"
        "them, or a file from cria's own cache. It says how much that is and asks first.",
    .examples = "Examples\n"
                "  cria rm bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0\n"
                "  cria rm --yes mlx-community/Qwen3-4B-4bit\n",
};

struct removal {
    const struct rm_options *options;
    struct hub_name name;
    struct hub_repo repo;
    struct hub_commits commits;
    struct hub_files *files; /* of each commit */
    char text[3 * HUB_PATH_MAX];
};

/* ---- asking ---- */

static bool ask(const struct rm_options *o, const char *what, size_t n_files, uint64_t bytes, cria_status *st,
                cria_error *err) {
    char size[16], answer[16];
    if (o->yes) return true;
    if (!term_stdin_is_terminal()) {
        *st = cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                        "Removing %.500s (%zu file%s, %s) is to be confirmed, and stdin is no terminal; give --yes.",
                        what, n_files, n_files == 1 ? "" : "s", bytes_text(bytes, size));
        return false;
    }
    fprintf(stderr, "Remove %s, %zu file%s, %s? [y/N] ", what, n_files, n_files == 1 ? "" : "s",
            bytes_text(bytes, size));
    fflush(stderr);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y')) return true;
    *st = cria_fail(err, CRIA_ECANCELLED, CRIA_NOWHERE, "Nothing was removed.");
    return false;
}

static void say_removed(const struct rm_options *o, const char *what, uint64_t bytes) {
    char size[16];
    say(o->quiet, "[INFO] Removed %s, %s.\n", what, bytes_text(bytes, size));
}

/* ---- blobs ---- */

/* The tools of the hub may keep a content once for all repositories, in HUB/blobs/ab/HASH, with the links to it listed
 * in HASH.refs. It goes with the last of them; without such a list it stays. */
static void sweep_shared(const struct removal *r, const char *hash) {
    char payload[HUB_FOLDER_MAX + 80], path[HUB_FOLDER_MAX + 100], line[2 * HUB_PATH_MAX];
    struct stat st;
    if (strlen(hash) != 64 || strspn(hash, "0123456789abcdef") != 64) return;
    snprintf(payload, sizeof payload, "%s/blobs/%.2s/%.64s", r->repo.hub, hash, hash);
    if (lstat(payload, &st) != 0 || !S_ISREG(st.st_mode)) return;
    snprintf(path, sizeof path, "%s.lock", payload);
    const int lock = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (lock < 0) return;
    snprintf(path, sizeof path, "%s.refs", payload);
    FILE *f = flock(lock, LOCK_EX) == 0 ? fopen(path, "re") : NULL;
    bool needed = f == NULL;
    while (f && !needed && fgets(line, sizeof line, f)) {
        char link[HUB_FOLDER_MAX + sizeof line];
        line[strcspn(line, "\n")] = '\0';
        snprintf(link, sizeof link, "%s/%s", r->repo.hub, line);
        needed = *line && lstat(link, &st) == 0;
    }
    if (f && !needed && !ferror(f)) {
        unlink(payload);
        unlink(path);
    }
    if (f) fclose(f);
    close(lock);
}

/* The blob's file and, where that is a link, what it leads to. */
static bool remove_blob(const struct removal *r, const char *blob) {
    char path[HUB_FOLDER_MAX + 160], target[HUB_PATH_MAX];
    snprintf(path, sizeof path, "%s/blobs/%s", r->repo.folder, blob);
    const ssize_t n = readlink(path, target, sizeof target - 1);
    if (unlink(path) != 0 && errno != ENOENT) return false;
    if (n <= 0) return true;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    sweep_shared(r, slash ? slash + 1 : target);
    return true;
}

/* ---- the parts of a removal ---- */

static cria_status fail_to_remove(const char *path, cria_error *err) {
    return cria_fail_errno(err, "remove '%s'", path);
}

/* Somebody who holds a lock is fetching, and would go on with files that have gone. */
static cria_status look_for_locks(const struct removal *r, cria_error *err) {
    DIR *d = opendir(r->repo.locks);
    bool busy = false;
    for (struct dirent *e; d && !busy && (e = readdir(d)) != NULL;) {
        const int fd = e->d_name[0] == '.' ? -1 : openat(dirfd(d), e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) continue;
        busy = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        close(fd);
    }
    if (d) closedir(d);
    return busy ? cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "Another program is fetching %s; end that first.",
                            r->name.repo)
                : CRIA_OK;
}

/* All blobs of the repository, whether a snapshot needs them or not. */
static void measure_repo(const struct removal *r, size_t *n, uint64_t *bytes) {
    char path[HUB_FOLDER_MAX + 16];
    snprintf(path, sizeof path, "%s/blobs", r->repo.folder);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode)) continue;
        *n += 1;
        *bytes += (uint64_t)st.st_size;
    }
    if (d) closedir(d);
}

/* Snapshots first: a link whose blob has gone is worse than a blob without a link. */
static cria_status remove_repo(const struct removal *r, cria_error *err) {
    char path[HUB_FOLDER_MAX + 16];
    static const char *const parts[] = {"refs", "snapshots", NULL};
    for (size_t i = 0; parts[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", r->repo.folder, parts[i]);
        if (!hub_remove_folder(path)) return fail_to_remove(path, err);
    }
    snprintf(path, sizeof path, "%s/blobs", r->repo.folder);
    DIR *d = opendir(path);
    bool ok = true;
    for (struct dirent *e; d && ok && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) ok = remove_blob(r, e->d_name);
    if (d) closedir(d);
    if (!ok) return fail_to_remove(path, err);
    if (!hub_remove_folder(r->repo.folder)) return fail_to_remove(r->repo.folder, err);
    if (!hub_remove_folder(r->repo.locks)) return fail_to_remove(r->repo.locks, err);
    return CRIA_OK;
}

/* Whether a file other than those chosen of a commit has this blob. */
static bool is_needed(const struct removal *r, size_t commit, const struct hub_choice *c, const char *blob) {
    for (size_t k = 0; k < r->commits.n; k++) {
        for (size_t i = 0; i < r->files[k].n; i++) {
            if (strcmp(r->files[k].v[i].hash, blob) != 0) continue;
            bool is_chosen = false;
            for (size_t j = 0; k == commit && j < c->n; j++) is_chosen |= c->v[j] == i;
            if (!is_chosen) return true;
        }
    }
    return false;
}

static cria_status remove_files(const struct removal *r, size_t commit, const struct hub_choice *c, cria_error *err) {
    char path[HUB_FOLDER_MAX + HUB_PATH_MAX];
    for (size_t i = 0; i < c->n; i++) {
        const struct hub_file *f = &r->files[commit].v[c->v[i]];
        snprintf(path, sizeof path, "%s/snapshots/%s/%s", r->repo.folder, r->commits.v[commit], f->path);
        if (unlink(path) != 0) return fail_to_remove(path, err);
        for (char *slash; (slash = strrchr(path, '/')) != NULL;) { /* folders that this has emptied */
            *slash = '\0';
            if (strlen(path) <= strlen(r->repo.folder) + strlen("/snapshots/") + 40 || rmdir(path) != 0) break;
        }
    }
    for (size_t i = 0; i < c->n; i++) {
        const char *blob = r->files[commit].v[c->v[i]].hash;
        if (!*blob || is_needed(r, commit, c, blob)) continue;
        if (!remove_blob(r, blob)) return fail_to_remove(blob, err);
    }
    return CRIA_OK;
}

/* The snapshot, which has no files any more, and what of refs names it. */
static cria_status remove_snapshot(const struct removal *r, const char *commit, cria_error *err) {
    char path[HUB_FOLDER_MAX + HUB_NAME_MAX + 16], revision[HUB_NAME_MAX];
    for (;;) {
        hub_repo_revision(&r->repo, commit, revision);
        if (strcmp(revision, commit) == 0) break;
        snprintf(path, sizeof path, "%s/refs/%s", r->repo.folder, revision);
        if (unlink(path) != 0) return fail_to_remove(path, err);
    }
    snprintf(path, sizeof path, "%s/snapshots/%s", r->repo.folder, commit);
    return hub_remove_folder(path) ? CRIA_OK : fail_to_remove(path, err);
}

/* ---- what a name means ---- */

static cria_status load(struct removal *r, cria_error *err) {
    cria_status st = hub_repo_commits(&r->repo, &r->commits, err);
    if (st != CRIA_OK) return st;
    r->files = calloc(r->commits.n + 1, sizeof *r->files);
    if (!r->files) return cria_fail_nomem(err, "lists of files", r->commits.n * sizeof *r->files);
    for (size_t i = 0; i < r->commits.n && st == CRIA_OK; i++)
        st = hub_repo_files(&r->repo, r->commits.v[i], &r->files[i], err);
    return st;
}

static cria_status choose(const struct removal *r, size_t commit, struct hub_choice *c, cria_error *err) {
    const struct hub_files *files = &r->files[commit];
    if (*r->name.tag) return hub_choose(files, r->name.repo, r->name.tag, c, err);
    c->v = malloc((files->n + 1) * sizeof *c->v);
    if (!c->v) return cria_fail_nomem(err, "a choice of files", files->n * sizeof *c->v);
    for (c->n = 0; c->n < files->n; c->n++) c->v[c->n] = c->n;
    return CRIA_OK;
}

static cria_status remove_part(struct removal *r, cria_error *err) {
    char commit[41];
    size_t at = 0;
    struct hub_choice c = {0};
    uint64_t bytes = 0;
    if (!hub_repo_commit(&r->repo, r->name.revision, commit))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%.300s is not in the hub's cache, %s; 'cria list' shows what is.", r->text, r->repo.hub);
    cria_status st = load(r, err);
    if (st != CRIA_OK) return st;
    while (at < r->commits.n && strcmp(r->commits.v[at], commit) != 0) at++;
    if (at == r->commits.n)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "The cache of %s is changing.", r->name.repo);
    st = choose(r, at, &c, err);
    for (size_t i = 0; i < c.n && st == CRIA_OK; i++)
        if (!is_needed(r, at, &c, r->files[at].v[c.v[i]].hash)) bytes += r->files[at].v[c.v[i]].size;
    if (st == CRIA_OK && ask(r->options, r->text, c.n, bytes, &st, err)) {
        const bool whole = c.n == r->files[at].n;
        st = whole && r->commits.n == 1 ? remove_repo(r, err) : remove_files(r, at, &c, err);
        if (st == CRIA_OK && whole && r->commits.n > 1) st = remove_snapshot(r, commit, err);
        if (st == CRIA_OK) say_removed(r->options, r->text, bytes);
    }
    hub_choice_free(&c);
    return st;
}

static cria_status remove_all(struct removal *r, cria_error *err) {
    struct stat info;
    size_t n = 0;
    uint64_t bytes = 0;
    cria_status st = CRIA_OK;
    if (lstat(r->repo.folder, &info) != 0 || !S_ISDIR(info.st_mode))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%.300s is not in the hub's cache, %s; 'cria list' shows what is.", r->text, r->repo.hub);
    measure_repo(r, &n, &bytes);
    if (!ask(r->options, r->text, n, bytes, &st, err)) return st;
    st = remove_repo(r, err);
    if (st == CRIA_OK) say_removed(r->options, r->text, bytes);
    return st;
}

/* A .gguf or packed weights right in cria's own cache folder; *is_own says whether the path is such a file. */
static cria_status remove_own(const struct rm_options *o, bool *is_own, cria_error *err) {
    char room[HUB_FOLDER_MAX], folder[HUB_FOLDER_MAX];
    struct stat st, mine, theirs;
    const char *own = session_cache_folder(&(struct session_options){0}, room, sizeof room);
    const char *slash = strrchr(o->name, '/'), *dot = strrchr(o->name, '.');
    *is_own = false;
    if (!own || !slash || !dot || (strcmp(dot, ".gguf") != 0 && strcmp(dot, ".cria") != 0)) return CRIA_OK;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - o->name), o->name);
    if (lstat(o->name, &st) != 0 || !S_ISREG(st.st_mode) || stat(folder, &theirs) != 0 || stat(own, &mine) != 0 ||
        theirs.st_ino != mine.st_ino || theirs.st_dev != mine.st_dev)
        return CRIA_OK;
    *is_own = true;
    cria_status status = CRIA_OK;
    if (!ask(o, o->name, 1, (uint64_t)st.st_size, &status, err)) return status;
    if (unlink(o->name) != 0) return cria_fail_errno(err, "remove '%s'", o->name);
    say_removed(o, o->name, (uint64_t)st.st_size);
    return CRIA_OK;
}

static cria_status remove_named(struct removal *r, cria_error *err) {
    bool is_own;
    cria_status st = remove_own(r->options, &is_own, err);
    if (is_own || st != CRIA_OK) return st;
    if (*r->options->name == '/')
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "'%s' is no file of cria's own cache; 'cria list' shows what can be removed.",
                         r->options->name);
    st = hub_name_parse(r->options->name, &r->name, err);
    if (st == CRIA_OK) st = hub_repo_open(&r->name, &r->repo, err);
    if (st == CRIA_OK) st = look_for_locks(r, err);
    if (st != CRIA_OK) return st;
    hub_name_print(&r->name, r->text, sizeof r->text);
    return *r->name.tag || r->name.has_revision ? remove_part(r, err) : remove_all(r, err);
}

int rm_main(int argc, char **argv) {
    struct rm_options o = {0};
    const struct arg_group groups[] = {{"Options", rows, sizeof rows / sizeof *rows, &o}};
    int code;
    if (!command_begins(&command, groups, 1, argc, argv, &code)) return code;
    struct removal r = {.options = &o};
    cria_error err;
    const cria_status st = remove_named(&r, &err);
    for (size_t i = 0; r.files && i < r.commits.n; i++) hub_files_free(&r.files[i]);
    free(r.files);
    free(r.commits.v);
    return st == CRIA_OK ? EXIT_DONE : complain("%s", err.msg);
}
