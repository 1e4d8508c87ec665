/* SPDX-License-Identifier: Apache-2.0 */
#include "savefile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        const ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return fsync(fd) == 0;
}

static bool write_part(char *part, const char *path, const char *data, size_t len, bool mine) {
    const int fd = mkstemp(part); /* for this user only */
    if (fd < 0) return false;
    const mode_t mask = umask(077);
    umask(mask);
    const bool ok = (mine || fchmod(fd, 0666 & ~mask) == 0) && write_all(fd, data, len);
    const int error = errno;
    if (close(fd) == 0 && ok && rename(part, path) == 0) return true;
    if (!ok) errno = error;
    const int why = errno;
    unlink(part);
    errno = why;
    return false;
}

bool save_file(const char *path, const char *data, size_t len, bool mine) {
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
        return false;
    }
    const size_t room = strlen(path) + sizeof ".XXXXXX";
    char *part = malloc(room);
    if (!part) return false;
    snprintf(part, room, "%s.XXXXXX", path);
    const bool ok = write_part(part, path, data, len, mine);
    const int why = errno;
    free(part);
    errno = why;
    return ok;
}
