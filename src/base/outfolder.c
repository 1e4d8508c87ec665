/* SPDX-License-Identifier: Apache-2.0 */
/* Writing folders, all or nothing; see outfolder.h. */
#include "base/outfolder.h"

#include "base/mem.h"
#include "base/status.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PART_SUFFIX ".part"

static bool is_dot(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

/* Calls remove (when not NULL) on every entry. -1 with errno, or how many entries there are. Allocates
 * nothing of ours, so that it works when memory is short. */
static int walk(int folder, int (*remove_at)(int folder, const char *name)) {
    const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0) close(fd);
        return -1;
    }
    int n = 0;
    errno = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) {
        if (is_dot(e->d_name)) continue;
        n++;
        if (remove_at != NULL && remove_at(folder, e->d_name) != 0) break;
    }
    const int reason = errno;
    closedir(dir);
    errno = reason;
    return reason != 0 ? -1 : n;
}

/* A folder in it is not ours: EISDIR stops it. */
static int remove_file(int folder, const char *name) { return unlinkat(folder, name, 0); }

/* Nothing, or an empty folder, which a rename replaces. */
static cria_status check_free(const char *path, cria_error *err) {
    struct stat st;
    if (lstat(path, &st) != 0) return CRIA_OK; /* what is wrong with the way there, mkdir will say */
    if (!S_ISDIR(st.st_mode))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%s is there already; remove it or name another folder.", path);
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    const int n = fd < 0 ? -1 : walk(fd, NULL);
    if (fd >= 0) close(fd);
    if (n < 0) return cria_fail_errno(err, "look into %s", path);
    if (n > 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "The folder %s is there already and not empty; remove it or name another.", path);
    return CRIA_OK;
}

/* The folders above it. What cannot be made is found out by the mkdir of the folder itself. */
static void make_parents(char *path) {
    for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        (void)mkdir(path, S_IRWXU | S_IRWXG | S_IRWXO);
        *p = '/';
    }
}

/* Makes the .part or takes one over; locks and empties it. See outfile.c, open_part. */
static cria_status open_part(const char *part, int *out, cria_error *err) {
    if (mkdir(part, S_IRWXU | S_IRWXG | S_IRWXO) != 0 && errno != EEXIST)
        return cria_fail_errno(err, "make the folder %s", part);
    const int fd = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return cria_fail_errno(err, "open the folder %s", part);
    struct stat st, named;
    cria_status status = CRIA_OK;
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid())
        status = cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "%s is there, but not this user's; remove it.", part);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK
                     ? cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "Another process is just writing %s; try again later.",
                                 part)
                     : cria_fail_errno(err, "lock %s", part);
    else if (lstat(part, &named) != 0 || named.st_dev != st.st_dev || named.st_ino != st.st_ino)
        status = cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "Another process has just written %s; try again.", part);
    else if (walk(fd, remove_file) < 0)
        status = cria_fail_errno(err, "empty %s, which an earlier run left behind", part);
    if (status != CRIA_OK)
        close(fd);
    else
        *out = fd;
    return status;
}

static void forget(cria_outfolder *o) {
    if (o->fd >= 0) close(o->fd); /* gives the lock back */
    cria_free(o->ctx, o->path);
    cria_free(o->ctx, o->part);
    *o = (cria_outfolder){.fd = -1};
}

void cria_outfolder_discard(cria_outfolder *o) {
    (void)walk(o->fd, remove_file);
    (void)rmdir(o->part); /* before the lock is given back */
    forget(o);
}

static cria_status check_room(const cria_outfolder *o, uint64_t n_bytes, cria_error *err) {
    struct statvfs v;
    if (fstatvfs(o->fd, &v) != 0) return CRIA_OK; /* then the disk will say when it is full */
    const uint64_t unit = v.f_frsize ? v.f_frsize : 1;
    if ((n_bytes - 1) / unit + 1 <= v.f_bavail) return CRIA_OK;
    return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                     "%s needs %" PRIu64 " bytes, but there are only %" PRIu64 " free on that disk.", o->path,
                     n_bytes, (uint64_t)v.f_bavail * unit);
}

/* "dir/" means "dir". */
static size_t trimmed(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return n;
}

cria_status cria_outfolder_create(cria_ctx *ctx, const char *path, uint64_t n_bytes, cria_outfolder *out,
                                  cria_error *err) {
    const size_t n = trimmed(path);
    if (n == 0 || (n == 1 && path[0] == '/'))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "'%s' cannot be the folder to write; name a new one.", path);
    cria_outfolder o = {.ctx = ctx,
                        .fd = -1,
                        .path = cria_malloc(ctx, n + 1),
                        .part = cria_malloc(ctx, n + sizeof PART_SUFFIX)};
    cria_status status = CRIA_OK;
    if (o.path == NULL || o.part == NULL) {
        status = cria_fail_nomem(err, "a path", n + sizeof PART_SUFFIX);
    } else {
        memcpy(o.path, path, n);
        o.path[n] = '\0';
        memcpy(o.part, path, n);
        memcpy(o.part + n, PART_SUFFIX, sizeof PART_SUFFIX);
        status = check_free(o.path, err);
    }
    if (status == CRIA_OK) {
        make_parents(o.path);
        status = open_part(o.part, &o.fd, err);
    }
    if (status != CRIA_OK) {
        forget(&o);
        return status;
    }
    status = check_room(&o, n_bytes ? n_bytes : 1, err);
    if (status != CRIA_OK)
        cria_outfolder_discard(&o);
    else
        *out = o;
    return status;
}

cria_status cria_outfolder_commit(cria_outfolder *o, cria_error *err) {
    /* The names in it must be on the disk before its own, as with a file. */
    if (fsync(o->fd) != 0 || rename(o->part, o->path) != 0) {
        const cria_status status =
            cria_fail_errno(err, "rename %s to %s", o->part, o->path);
        cria_outfolder_discard(o);
        return status;
    }
    forget(o);
    return CRIA_OK;
}
