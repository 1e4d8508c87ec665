/* SPDX-License-Identifier: Apache-2.0 */
/* Writing files through a mapping, all or nothing; see outfile.h. The only place that creates files. */
#include "base/outfile.h"

#include "base/mem.h"
#include "base/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_SUFFIX ".part"

/* Like mkdir -p. What is there already, or cannot be made, is found out by whoever opens a file in it. */
static cria_status make_folder(cria_ctx *ctx, const char *folder, enum cria_file_access access, cria_error *err) {
    const size_t len = strlen(folder);
    char *path = cria_malloc(ctx, len + 1);
    if (path == NULL) return cria_fail_nomem(err, "a path", len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (folder[i] != '/' && folder[i] != '\0') continue;
        memcpy(path, folder, i);
        path[i] = '\0';
        (void)mkdir(path, access == CRIA_FILE_MINE ? S_IRWXU : S_IRWXU | S_IRWXG | S_IRWXO);
    }
    cria_free(ctx, path);
    return CRIA_OK;
}

/* Opens and locks the .part. After the lock it must still be the file of that name: whoever had the lock before may
 * have given it its final name, and readers map that. */
static cria_status open_part(const char *part, enum cria_file_access access, int *out, cria_error *err) {
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    const mode_t mine = S_IRUSR | S_IWUSR, common = mine | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;
    const int fd = open(part, flags, access == CRIA_FILE_MINE ? mine : common);
    if (fd < 0) return cria_fail_errno(err, "create %s", part);
    struct stat st, named;
    cria_status status = CRIA_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink > 1)
        status = cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                           "%s is there, but is not a file that this user made; remove it.", part);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK
                     ? cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "Another process is just writing %s.", part)
                     : cria_fail_errno(err, "lock %s", part);
    else if (lstat(part, &named) != 0 || named.st_dev != st.st_dev || named.st_ino != st.st_ino)
        status = cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "Another process has just written %s.", part);
    if (status != CRIA_OK)
        close(fd);
    else
        *out = fd;
    return status;
}

/* posix_fallocate returns the error instead of setting errno, and a signal may interrupt it. */
static int allot(int fd, size_t len, enum cria_file_access access) {
    if (ftruncate(fd, 0) != 0) return errno;
    if (access == CRIA_FILE_MINE && fchmod(fd, S_IRUSR | S_IWUSR) != 0) return errno; /* it may be a left-over */
    int reason;
    do reason = posix_fallocate(fd, 0, (off_t)len);
    while (reason == EINTR);
    return reason;
}

static void forget(cria_outfile *o) {
    close(o->fd); /* gives the lock back */
    cria_free(o->ctx, o->path);
    cria_free(o->ctx, o->part);
    *o = (cria_outfile){.fd = -1};
}

void cria_outfile_discard(cria_outfile *o) {
    if (o->data != NULL) munmap(o->data, o->len);
    unlink(o->part); /* before the lock is given back */
    forget(o);
}

/* o has its names and a locked fd. */
static cria_status map_part(cria_outfile *o, enum cria_file_access access, cria_error *err) {
    const int reason = allot(o->fd, o->len, access);
    errno = reason;
    if (reason != 0)
        return cria_fail_errno(err, "make room for %s (%zu bytes)", o->part, o->len);
    void *p = mmap(NULL, o->len, PROT_READ | PROT_WRITE, MAP_SHARED, o->fd, 0);
    if (p == MAP_FAILED)
        return cria_fail_errno(err, "map %s (%zu bytes) into memory", o->part, o->len);
    o->data = p;
    /* Who maps the finished file gets the pages that it was written in (see open_and_map in mapfile.c). */
    cria_mem_prefer_huge(p, o->len);
    return CRIA_OK;
}

cria_status cria_outfile_create(cria_ctx *ctx, const char *folder, const char *name, size_t len,
                                enum cria_file_access access, cria_outfile *out, cria_error *err) {
    cria_status status = make_folder(ctx, folder, access, err);
    if (status != CRIA_OK) return status;
    cria_outfile o = {.ctx = ctx, .len = len, .fd = -1, .path = cria_path_join(ctx, folder, name)};
    const size_t n = o.path != NULL ? strlen(o.path) : 0;
    if (n != 0) o.part = cria_malloc(ctx, n + sizeof PART_SUFFIX);
    if (o.part == NULL) {
        cria_free(ctx, o.path);
        return cria_fail_nomem(err, "a path", strlen(folder) + strlen(name) + sizeof PART_SUFFIX);
    }
    memcpy(o.part, o.path, n);
    memcpy(o.part + n, PART_SUFFIX, sizeof PART_SUFFIX);
    status = open_part(o.part, access, &o.fd, err);
    if (status != CRIA_OK) {
        cria_free(ctx, o.path);
        cria_free(ctx, o.part);
        return status;
    }
    status = map_part(&o, access, err);
    if (status != CRIA_OK)
        cria_outfile_discard(&o);
    else
        *out = o;
    return status;
}

void cria_outfile_flush(const cria_outfile *o, const void *data, size_t len) {
    /* Only a matter of time, so failures are of no interest here; commit sees them. */
    const off_t at = (const uint8_t *)data - o->data;
    (void)sync_file_range(o->fd, at, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

cria_status cria_outfile_commit(cria_outfile *o, cria_mapfile *out, cria_error *err) {
    cria_status status = CRIA_OK;
    if (fsync(o->fd) != 0) /* before the name: after a crash a named file must hold what was written */
        status = cria_fail_errno(err, "write %s (%zu bytes)", o->part, o->len);
    else if (mprotect(o->data, o->len, PROT_READ) != 0 || rename(o->part, o->path) != 0)
        status = cria_fail_errno(err, "rename %s to %s", o->part, o->path);
    if (status != CRIA_OK) {
        cria_outfile_discard(o);
        return status;
    }
    *out = (cria_mapfile){.data = o->data, .len = o->len};
    forget(o);
    return CRIA_OK;
}
