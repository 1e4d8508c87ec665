/* SPDX-License-Identifier: Apache-2.0 */
#include "hubcache.h"

#include "base/status.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 16 };

/* ---- paths ---- */

static bool join(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool join(char *out, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(out, size, format, args);
    va_end(args);
    return n > 0 && (size_t)n < size;
}

/* A variable that is set to something. */
static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static cria_status too_long(cria_error *err) {
    return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                     "The path of the hub's cache is too long; name a shorter one with HF_HOME.");
}

static cria_status no_home(cria_error *err) {
    return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                     "There is no folder for models, since HOME is not set; name one with HF_HOME.");
}

/* A path out of a variable; "~/" is the user's home, as in the Python tools. */
static cria_status expand(const char *path, char out[HUB_FOLDER_MAX], cria_error *err) {
    if (path[0] != '~' || (path[1] != '/' && path[1] != '\0'))
        return join(out, HUB_FOLDER_MAX, "%s", path) ? CRIA_OK : too_long(err);
    const char *home = variable("HOME");
    if (!home) return no_home(err);
    return join(out, HUB_FOLDER_MAX, "%s%s", home, path + 1) ? CRIA_OK : too_long(err);
}

cria_status hub_home(char out[HUB_FOLDER_MAX], cria_error *err) {
    const char *given = variable("HF_HOME"), *cache = variable("XDG_CACHE_HOME"), *home = variable("HOME");
    if (given) return expand(given, out, err);
    if (cache) return join(out, HUB_FOLDER_MAX, "%s/huggingface", cache) ? CRIA_OK : too_long(err);
    if (!home) return no_home(err);
    return join(out, HUB_FOLDER_MAX, "%s/.cache/huggingface", home) ? CRIA_OK : too_long(err);
}

cria_status hub_cache_folder(char out[HUB_FOLDER_MAX], cria_error *err) {
    const char *given = variable("HF_HUB_CACHE");
    if (!given) given = variable("HUGGINGFACE_HUB_CACHE"); /* its former name */
    if (given) return expand(given, out, err);
    char home[HUB_FOLDER_MAX];
    const cria_status st = hub_home(home, err);
    if (st != CRIA_OK) return st;
    return join(out, HUB_FOLDER_MAX, "%s/hub", home) ? CRIA_OK : too_long(err);
}

cria_status hub_repo_open(const struct hub_name *name, struct hub_repo *out, cria_error *err) {
    const cria_status st = hub_cache_folder(out->hub, err);
    if (st != CRIA_OK) return st;
    const char *slash = strchr(name->repo, '/');
    const int owner = slash ? (int)(slash - name->repo) : 0;
    char folder[HUB_NAME_MAX + 16];
    snprintf(folder, sizeof folder, "models--%.*s%s%s", owner, name->repo, slash ? "--" : "",
             slash ? slash + 1 : name->repo);
    if (!join(out->folder, sizeof out->folder, "%s/%s", out->hub, folder) ||
        !join(out->locks, sizeof out->locks, "%s/.locks/%s", out->hub, folder))
        return too_long(err);
    return CRIA_OK;
}

bool hub_repo_name(const char *folder, char *out, size_t size) {
    if (strncmp(folder, "models--", 8) != 0) return false;
    const char *owner = folder + 8, *dashes = strstr(owner, "--");
    struct hub_name parsed;
    if (dashes ? !join(out, size, "%.*s/%s", (int)(dashes - owner), owner, dashes + 2)
               : !join(out, size, "%s", owner))
        return false;
    return !strpbrk(out, "@:") && hub_name_parse(out, &parsed, NULL) == CRIA_OK && strcmp(parsed.repo, out) == 0;
}

/* ---- commits and their files ---- */

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool hub_repo_commit(const struct hub_repo *repo, const char *revision, char out[41]) {
    char path[HUB_FOLDER_MAX], text[64] = "";
    if (hub_is_commit(revision)) {
        snprintf(text, sizeof text, "%s", revision);
    } else {
        if (!join(path, sizeof path, "%s/refs/%s", repo->folder, revision)) return false;
        FILE *f = fopen(path, "re");
        if (!f) return false;
        const size_t n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        text[n] = '\0';
        text[strcspn(text, " \r\n")] = '\0';
    }
    if (!hub_is_commit(text) || !join(path, sizeof path, "%s/snapshots/%s", repo->folder, text) || !is_folder(path))
        return false;
    memcpy(out, text, 41);
    return true;
}

/* The last part of where a link leads: the blob's name. */
static void read_blob(int folder, const char *name, char *out, size_t size) {
    char target[HUB_FOLDER_MAX];
    const ssize_t n = readlinkat(folder, name, target, sizeof target - 1);
    out[0] = '\0';
    if (n <= 0) return;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    const char *blob = slash ? slash + 1 : target;
    if (strlen(blob) < size) memcpy(out, blob, strlen(blob) + 1);
}

/* below: the path of the folder in the snapshot, "" or "a/b/". Takes fd. */
static cria_status walk(int fd, const char *below, int depth, struct hub_files *out, cria_error *err) {
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return CRIA_OK;
    }
    cria_status st = CRIA_OK;
    for (struct dirent *e; st == CRIA_OK && (e = readdir(d)) != NULL;) {
        char path[HUB_PATH_MAX];
        struct stat info;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (!join(path, sizeof path, "%s%s", below, e->d_name)) continue;
        if (fstatat(dirfd(d), e->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode)) {
            const int inner =
                depth < MAX_DEPTH ? openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
            if (inner < 0 || !join(path, sizeof path, "%s%s/", below, e->d_name)) {
                if (inner >= 0) close(inner);
                continue;
            }
            st = walk(inner, path, depth + 1, out, err);
            continue;
        }
        if (fstatat(dirfd(d), e->d_name, &info, 0) != 0 || !S_ISREG(info.st_mode)) continue;
        char blob[sizeof out->v->hash];
        read_blob(dirfd(d), e->d_name, blob, sizeof blob);
        st = hub_files_add(out, path, (uint64_t)info.st_size, blob, err);
        if (st == CRIA_OK) out->v[out->n - 1].used = (int64_t)info.st_atime;
        if (st == CRIA_EFORMAT) st = CRIA_OK;
    }
    closedir(d);
    return st;
}

cria_status hub_repo_files(const struct hub_repo *repo, const char *commit, struct hub_files *out, cria_error *err) {
    char path[HUB_FOLDER_MAX];
    if (!join(path, sizeof path, "%s/snapshots/%s", repo->folder, commit)) return too_long(err);
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? CRIA_OK : walk(fd, "", 0, out, err);
}

cria_status hub_repo_commits(const struct hub_repo *repo, struct hub_commits *out, cria_error *err) {
    char path[HUB_FOLDER_MAX];
    *out = (struct hub_commits){0};
    if (!join(path, sizeof path, "%s/snapshots", repo->folder)) return too_long(err);
    DIR *d = opendir(path);
    if (!d) return CRIA_OK;
    cria_status st = CRIA_OK;
    for (struct dirent *e; st == CRIA_OK && (e = readdir(d)) != NULL;) {
        struct stat info;
        if (!hub_is_commit(e->d_name) || fstatat(dirfd(d), e->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISDIR(info.st_mode))
            continue;
        char(*v)[41] = realloc(out->v, (out->n + 1) * sizeof *v);
        if (!v) {
            st = cria_fail_nomem(err, "a list of commits", (out->n + 1) * sizeof *v);
            continue;
        }
        out->v = v;
        memcpy(v[out->n++], e->d_name, 41);
    }
    closedir(d);
    return st;
}

/* Looks through refs for one at the commit. below: "" or "refs/". */
static bool find_ref(const char *folder, const char *below, int depth, const struct hub_repo *repo,
                     const char *commit, char out[HUB_NAME_MAX]) {
    DIR *d = opendir(folder);
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d)) != NULL;) {
        char path[HUB_FOLDER_MAX], ref[HUB_NAME_MAX], at[41];
        struct stat info;
        if (e->d_name[0] == '.' || !join(path, sizeof path, "%s/%s", folder, e->d_name) ||
            !join(ref, sizeof ref, "%s%s", below, e->d_name) || lstat(path, &info) != 0)
            continue;
        if (S_ISDIR(info.st_mode)) {
            if (depth < MAX_DEPTH && join(ref, sizeof ref, "%s%s/", below, e->d_name))
                found = find_ref(path, ref, depth + 1, repo, commit, out);
            continue;
        }
        found = hub_repo_commit(repo, ref, at) && strcmp(at, commit) == 0;
        if (found) memcpy(out, ref, strlen(ref) + 1);
    }
    if (d) closedir(d);
    return found;
}

void hub_repo_revision(const struct hub_repo *repo, const char *commit, char out[HUB_NAME_MAX]) {
    char refs[HUB_FOLDER_MAX], at[41];
    memcpy(out, commit, 41);
    if (hub_repo_commit(repo, "main", at) && strcmp(at, commit) == 0)
        memcpy(out, "main", 5);
    else if (join(refs, sizeof refs, "%s/refs", repo->folder))
        find_ref(refs, "", 0, repo, commit, out);
}

/* ---- writing ---- */

bool hub_make_folders(const char *path) {
    char part[HUB_FOLDER_MAX];
    if (!join(part, sizeof part, "%s", path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) return false;
        *slash = '/';
    }
    return true; /* where one of them is a file, what comes next fails for that */
}

/* A snapshot's folders are folders: a link in the place of one could lead elsewhere. */
static bool is_plain_below(const char *root, const char *path) {
    char part[HUB_FOLDER_MAX];
    struct stat st;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        if (!join(part, sizeof part, "%s/%.*s", root, (int)(slash - path), path)) return false;
        if (lstat(part, &st) == 0 && !S_ISDIR(st.st_mode)) {
            errno = ENOTDIR;
            return false;
        }
    }
    return true;
}

cria_status hub_repo_link(const struct hub_repo *repo, const char *commit, const char *path, const char *hash,
                          cria_error *err) {
    char root[HUB_FOLDER_MAX], link[HUB_FOLDER_MAX], temporary[HUB_FOLDER_MAX + 16], target[HUB_PATH_MAX * 2 + 160];
    struct stat st;
    if (!join(root, sizeof root, "%s/snapshots/%s", repo->folder, commit) ||
        !join(link, sizeof link, "%s/%s", root, path))
        return too_long(err);
    size_t at = (size_t)snprintf(target, sizeof target, "../../");
    for (const char *p = path; *p; p++)
        if (*p == '/' && at + 4 < sizeof target) at += (size_t)snprintf(target + at, sizeof target - at, "../");
    snprintf(target + at, sizeof target - at, "blobs/%s", hash);
    snprintf(temporary, sizeof temporary, "%s.%ld.tmp", link, (long)getpid());
    char now[sizeof target];
    const ssize_t n = readlink(link, now, sizeof now);
    if (n > 0 && (size_t)n == strlen(target) && memcmp(now, target, (size_t)n) == 0 && is_plain_below(root, path))
        return CRIA_OK; /* the cache may be one that only others write to */
    if (!is_plain_below(root, path) || !hub_make_folders(link))
        return cria_fail_errno(err, "make the folder of '%s'", link);
    if (lstat(link, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return cria_fail_errno(err, "write '%s'", link);
    }
    if (symlink(target, temporary) != 0 || rename(temporary, link) != 0) {
        cria_fail_errno(err, "make the link '%s'", link);
        unlink(temporary);
        return CRIA_EIO;
    }
    return CRIA_OK;
}

cria_status hub_repo_note(const struct hub_repo *repo, const char *revision, const char *commit, cria_error *err) {
    char path[HUB_FOLDER_MAX], temporary[HUB_FOLDER_MAX + 16], now[41];
    if (hub_is_commit(revision)) return CRIA_OK;
    if (hub_repo_commit(repo, revision, now) && strcmp(now, commit) == 0) return CRIA_OK;
    if (!join(path, sizeof path, "%s/refs/%s", repo->folder, revision)) return too_long(err);
    snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    FILE *f = hub_make_folders(path) ? fopen(temporary, "we") : NULL;
    bool ok = f && fputs(commit, f) != EOF;
    if (f && fclose(f) != 0) ok = false;
    if (ok && rename(temporary, path) == 0) return CRIA_OK;
    cria_fail_errno(err, "write '%s'", path);
    if (f) unlink(temporary);
    return CRIA_EIO;
}

/* ---- removing ---- */

/* What is in the folder. Takes fd. */
static bool empty_folder(int fd, int depth) {
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return false;
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (unlinkat(dirfd(d), e->d_name, 0) == 0 || errno == ENOENT) continue;
        if (errno != EISDIR && errno != EPERM) {
            ok = false;
            continue;
        }
        const int inner = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        ok = inner >= 0 && depth < MAX_DEPTH && empty_folder(inner, depth + 1) &&
             unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) == 0;
    }
    const int error = errno;
    closedir(d);
    errno = error;
    return ok;
}

bool hub_remove_folder(const char *path) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT;
    return empty_folder(fd, 0) && rmdir(path) == 0;
}

/* ---- names to paths ---- */

/* The snapshot's folder, or the file in it that is meant. */
static cria_status find_in(const struct hub_repo *repo, const struct hub_name *name, const char *commit,
                           char out[HUB_FOLDER_MAX], cria_error *err) {
    struct hub_files files = {0};
    struct hub_choice choice = {0};
    cria_status st = hub_repo_files(repo, commit, &files, err);
    if (st == CRIA_OK) st = hub_choose(&files, name->repo, name->tag, &choice, err);
    const char *file = st == CRIA_OK && choice.is_gguf ? files.v[choice.v[0]].path : "";
    if (st == CRIA_OK &&
        !join(out, HUB_FOLDER_MAX, "%s/snapshots/%s%s%s", repo->folder, commit, *file ? "/" : "", file))
        st = too_long(err);
    hub_choice_free(&choice);
    hub_files_free(&files);
    return st;
}

cria_status hub_find(const struct hub_name *name, char out[HUB_FOLDER_MAX], cria_error *err) {
    struct hub_repo repo;
    char commit[41], text[2 * HUB_NAME_MAX + HUB_PATH_MAX];
    cria_error why = {.msg = ""};
    hub_name_print(name, text, sizeof text);
    cria_status st = hub_repo_open(name, &repo, err);
    if (st != CRIA_OK) return st;
    if (!hub_repo_commit(&repo, name->revision, commit))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%.300s is not in the hub's cache, %s; 'cria pull %.300s' fetches it.", text, repo.hub,
                         text);
    st = find_in(&repo, name, commit, out, &why);
    if (st == CRIA_EINVAL)
        return cria_fail(err, st, CRIA_NOWHERE,
                         "%s That is what the hub's cache has; 'cria pull %.300s' fetches what is missing.",
                         why.msg, text);
    if (st != CRIA_OK && err) *err = why;
    return st;
}
