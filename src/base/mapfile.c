/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping files and listing folders. The only place that opens files for reading, besides /proc and /sys in
 * cpu.c. Reading a mapped file that another program has shortened faults; the public header forbids that. */
#include "base/mapfile.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_MAX_NAMES = 65536, FOLDER_MAX_BYTES = 32 << 20 };

static cria_status map_fd(int fd, const char *path, cria_mapfile *out, cria_error *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) return cria_fail_errno(err, "look at %s", path);
    if (S_ISDIR(st.st_mode))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "%s is a folder where a file is needed; name a file in it.",
                         path);
    if (!S_ISREG(st.st_mode))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%s is not a regular file (a device, pipe or socket); copy it to a file first.",
                         path);
    if (st.st_size < 0 || (uint64_t)st.st_size > SIZE_MAX)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "%s has %lld bytes, more than can be mapped (%zu).",
                         path, (long long)st.st_size, SIZE_MAX);
    *out = (cria_mapfile){.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
    if (st.st_size == 0) return CRIA_OK; /* mmap refuses an empty range */
    const size_t len = (size_t)st.st_size;
    void *p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED && errno == ENODEV)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "%s is on a file system that cannot map files into memory; copy it to a local disk.",
                         path);
    if (p == MAP_FAILED)
        return cria_fail_errno(err, "map %s (%zu bytes) into memory", path, len);
    out->data = p;
    out->len = len;
    return CRIA_OK;
}

static cria_status check_owner(int fd, const char *path, cria_error *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) return cria_fail_errno(err, "look at %s", path);
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%s belongs to user %lu or others may write to it (mode %o), so it is not used.", path,
                         (unsigned long)st.st_uid, (unsigned)st.st_mode & 07777u);
    return CRIA_OK;
}

static cria_status open_and_map(const char *path, bool own, cria_mapfile *out, cria_error *err) {
    /* O_NONBLOCK: a pipe must be refused, not waited for. It means nothing for regular files. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (own ? O_NOFOLLOW : 0));
    if (fd < 0) return cria_fail_errno(err, "open %s", path);
    cria_mapfile map;
    cria_status status = own ? check_owner(fd, path, err) : CRIA_OK;
    if (status == CRIA_OK) status = map_fd(fd, path, &map, err);
    close(fd); /* the mapping stays */
    /* What is read over and over, token by token: in huge pages, where the file system can (ext4 since Linux 6.16) and
     * the file is not in memory in small ones yet (map_part in outfile.c writes huge ones). A tenth of a token's time
     * on a virtual machine. */
    if (status == CRIA_OK && own) cria_mem_prefer_huge((void *)(uintptr_t)map.data, map.len);
    if (status == CRIA_OK) *out = map;
    return status;
}

cria_status cria_mapfile_open(const char *path, cria_mapfile *out, cria_error *err) {
    return open_and_map(path, false, out, err);
}

cria_status cria_mapfile_open_own(const char *path, cria_mapfile *out, cria_error *err) {
    return open_and_map(path, true, out, err);
}

void cria_mapfile_close(cria_mapfile *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->len);
    map->data = NULL;
    map->len = 0;
}

/* Advice is a matter of speed, so failures are of no interest. */
static void advise(uintptr_t begin, uintptr_t end, int advice) {
    if (begin < end) (void)madvise((void *)begin, end - begin, advice);
}

void cria_mapfile_willneed(const void *data, size_t len) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), p = (uintptr_t)data;
    if (len) advise(p & ~(page - 1), p + len, MADV_WILLNEED); /* the kernel rounds the length up */
}

void cria_mapfile_dontneed(const void *data, size_t len) {
    /* Only whole pages: the neighbours on the first and last page may still be needed. */
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), p = (uintptr_t)data;
    advise((p + page - 1) & ~(page - 1), (p + len) & ~(page - 1), MADV_DONTNEED);
}

static enum cria_path_kind kind_at(int folder, const char *path) {
    struct stat st;
    if (fstatat(folder, path, &st, 0) != 0) return CRIA_PATH_MISSING;
    if (S_ISREG(st.st_mode)) return CRIA_PATH_FILE;
    return S_ISDIR(st.st_mode) ? CRIA_PATH_FOLDER : CRIA_PATH_OTHER;
}

enum cria_path_kind cria_path_kind(const char *path) { return kind_at(AT_FDCWD, path); }

static bool name_matches(const char *name, const char *prefix, const char *suffix) {
    const size_t n = strlen(name), np = strlen(prefix), ns = strlen(suffix);
    return n >= np + ns && memcmp(name, prefix, np) == 0 && memcmp(name + n - ns, suffix, ns) == 0;
}

/* Appends the matching names, each with its NUL. */
static cria_status collect(DIR *dir, const char *folder, const char *prefix, const char *suffix,
                           cria_buf *names, size_t *n, cria_error *err) {
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (!e && errno != 0) return cria_fail_errno(err, "list the folder %s", folder);
        if (!e) return CRIA_OK;
        if (!name_matches(e->d_name, prefix, suffix) || kind_at(dirfd(dir), e->d_name) != CRIA_PATH_FILE)
            continue;
        if (*n == FOLDER_MAX_NAMES)
            return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                             "The folder %s has more than %d files %s*%s.", folder, FOLDER_MAX_NAMES, prefix,
                             suffix);
        const cria_status status = cria_buf_append(names, e->d_name, strlen(e->d_name) + 1, err);
        if (status != CRIA_OK) return status;
        ++*n;
    }
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

cria_status cria_folder_list(cria_ctx *ctx, const char *folder, const char *prefix, const char *suffix,
                             char ***out, size_t *n, cria_error *err) {
    DIR *dir = opendir(folder);
    if (!dir) return cria_fail_errno(err, "open the folder %s", folder);
    cria_buf names;
    cria_buf_init(&names, ctx, FOLDER_MAX_BYTES);
    size_t count = 0;
    cria_status status = collect(dir, folder, prefix, suffix, &names, &count, err);
    closedir(dir);
    if (status != CRIA_OK) goto out;

    const size_t bytes = count * sizeof(char *) + names.len; /* bounded by the two limits */
    char **list = cria_malloc(ctx, bytes);
    if (!list) {
        status = cria_fail_nomem(err, "a list of files", bytes);
        goto out;
    }
    char *s = (char *)(list + count);
    if (names.len) memcpy(s, names.data, names.len);
    for (size_t i = 0; i < count; i++) {
        list[i] = s;
        s += strlen(s) + 1;
    }
    qsort(list, count, sizeof *list, by_bytes);
    *out = list;
    *n = count;
out:
    cria_buf_fini(&names);
    return status;
}

char *cria_path_join(cria_ctx *ctx, const char *folder, const char *name) {
    const size_t nf = strlen(folder), nn = strlen(name);
    const bool slash = nf > 0 && folder[nf - 1] != '/';
    char *path = cria_malloc(ctx, nf + slash + nn + 1);
    if (!path) return NULL;
    memcpy(path, folder, nf);
    if (slash) path[nf] = '/';
    memcpy(path + nf + slash, name, nn + 1);
    return path;
}

char *cria_path_folder(cria_ctx *ctx, const char *path) {
    const char *slash = strrchr(path, '/');
    const size_t len = slash ? (size_t)(slash - path) + (slash == path) : 0;
    char *folder = cria_malloc(ctx, len + 2);
    if (!folder) return NULL;
    memcpy(folder, len ? path : ".", len ? len : 1);
    folder[len ? len : 1] = '\0';
    return folder;
}
