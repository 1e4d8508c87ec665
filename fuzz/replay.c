/* SPDX-License-Identifier: Apache-2.0 */
/* A main for fuzz targets without libFuzzer: runs the target on every file named, and on every file of a
 * folder named. The target itself aborts, or a sanitizer does, when something is wrong. */
#include "guard.h"
#include "base/mapfile.h"
#include <dirent.h>

static int run_file(const char *path) {
    cria_mapfile map;
    cria_error err;
    if (cria_mapfile_open(path, &map, &err) != CRIA_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 0;
    }
    fprintf(stderr, "%s\n", path); /* the last line before an abort names the culprit */
    LLVMFuzzerTestOneInput(map.data, map.len);
    cria_mapfile_close(&map);
    return 1;
}

static int run_folder(const char *path) {
    int n = 0;
    char file[4096];
    DIR *dir = opendir(path);
    if (dir == NULL) return 0;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        n += run_file(file);
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv) {
    int n = 0;
    for (int i = 1; i < argc; i++)
        n += cria_path_kind(argv[i]) == CRIA_PATH_FOLDER ? run_folder(argv[i]) : run_file(argv[i]);
    fprintf(stderr, "%d inputs\n", n);
    return n != 0 ? 0 : 1;
}
