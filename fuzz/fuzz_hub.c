/* SPDX-License-Identifier: Apache-2.0 */
/* Names of models and lists of files: the input's first line is a name, the rest a hub's answer (or, where that fails,
 * a list as the hub's Python tools keep it). What is accepted must keep every promise of cli/hubname.h: no name leads
 * out of the cache's folder, no file out of the snapshot's, and a choice is of files that there are. The memory of the
 * JSON library and of these lists is not in guard.h's budget; libFuzzer's limits watch it. */
#include "../cli/hublisting.h"
#include "guard.h"

static void check_path(const char *path) {
    GUARD_CHECK(*path != '\0' && *path != '/' && strlen(path) < HUB_PATH_MAX);
    GUARD_CHECK(strstr(path, "//") == NULL && strchr(path, '\\') == NULL && strchr(path, '\n') == NULL);
    GUARD_CHECK(path[strlen(path) - 1] != '/');
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        const size_t n = strcspn(part, "/");
        GUARD_CHECK(n > 0 && n < 256 && !(n == 1 && part[0] == '.') && !(n == 2 && part[0] == '.' && part[1] == '.'));
    }
}

static void check_name(const struct hub_name *name) {
    struct hub_name again;
    char text[2 * HUB_NAME_MAX + HUB_PATH_MAX];
    check_path(name->repo);
    check_path(name->revision);
    GUARD_CHECK(strstr(name->repo, "--") == NULL && name->repo[0] != '.' && name->revision[0] != '-');
    hub_name_print(name, text, sizeof text);
    GUARD_CHECK(hub_name_parse(text, &again, NULL) == CRIA_OK);
    GUARD_CHECK(strcmp(again.repo, name->repo) == 0 && strcmp(again.revision, name->revision) == 0 &&
                strcmp(again.tag, name->tag) == 0);
}

static void check_choice(const struct hub_files *files, const struct hub_choice *c) {
    GUARD_CHECK(c->n > 0);
    for (size_t i = 0; i < c->n; i++) {
        GUARD_CHECK(c->v[i] < files->n);
        for (size_t j = 0; j < i; j++) GUARD_CHECK(strcmp(files->v[c->v[i]].path, files->v[c->v[j]].path) != 0);
    }
}

static void choose(const struct hub_files *files, const char *tag) {
    struct hub_choice c = {0};
    if (hub_choose(files, "org/model", tag, &c, NULL) != CRIA_OK) return;
    check_choice(files, &c);
    hub_choice_free(&c);
}

/* Every name that a list would show for a file means that file. */
static void check_files(const struct hub_files *files) {
    char label[32];
    for (size_t i = 0; i < files->n; i++) {
        check_path(files->v[i].path);
        const size_t digits = strlen(files->v[i].hash);
        GUARD_CHECK(digits == 0 || digits == 40 || digits == 64);
        hub_quantization(files->v[i].path, label);
        GUARD_CHECK(strlen(label) < sizeof label);
        if (i < 8 && hub_is_model(files->v[i].path)) {
            choose(files, label);
            choose(files, files->v[i].path);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    const uint8_t *line = memchr(data, '\n', len);
    const size_t n = line ? (size_t)(line - data) : len;
    struct hub_name name;
    struct hub_files files = {0};
    char text[1024], commit[41];
    memcpy(text, data, n < sizeof text ? n : sizeof text - 1);
    text[n < sizeof text ? n : sizeof text - 1] = '\0';
    const bool has_name = hub_name_parse(text, &name, NULL) == CRIA_OK;
    if (has_name) check_name(&name);
    if (!line) return 0;
    const char *list = (const char *)line + 1;
    const size_t list_len = len - n - 1;
    if (hub_listing_parse(list, list_len, "list", commit, &files, NULL) == CRIA_OK) {
        GUARD_CHECK(hub_is_commit(commit));
    } else {
        hub_files_free(&files);
        if (hub_tree_parse(list, list_len, "list", &files, NULL) != CRIA_OK) hub_files_free(&files);
    }
    check_files(&files);
    choose(&files, has_name ? name.tag : "");
    choose(&files, "");
    hub_files_free(&files);
    return 0;
}
