/* SPDX-License-Identifier: Apache-2.0 */
/* Small trees of files for a test to look at, below the working directory (the build folder, under ctest). */
#ifndef CRIA_TESTS_SCRATCH_H
#define CRIA_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
    char root[32];
};

static inline void scratch_new(struct scratch *s) {
    snprintf(s->root, sizeof s->root, "scratch-XXXXXX");
    assert_non_null(mkdtemp(s->root));
}

static inline int scratch_remove(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void scratch_free(struct scratch *s) {
    assert_int_equal(nftw(s->root, scratch_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* Path of a file below the root; the folders on the way are made. Valid until the next call with the same
 * out. */
static inline const char *scratch_path(const struct scratch *s, const char *name, char out[512]) {
    snprintf(out, 512, "%s/%s", s->root, name);
    for (char *p = out + strlen(s->root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        mkdir(out, 0777);
        *p = '/';
    }
    return out;
}

static inline void scratch_write(const struct scratch *s, const char *name, const void *data, size_t len) {
    char path[512];
    FILE *f = fopen(scratch_path(s, name, path), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline void scratch_text(const struct scratch *s, const char *name, const char *text) {
    scratch_write(s, name, text, strlen(text));
}

static inline void scratch_delete(const struct scratch *s, const char *name) {
    char path[512];
    assert_int_equal(remove(scratch_path(s, name, path)), 0);
}

#endif
