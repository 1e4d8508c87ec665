/* SPDX-License-Identifier: Apache-2.0 */
/* cria list: the models in the hub's cache, whoever has put them there, and what is in cria's own. */
#include "args.h"
#include "base/status.h"
#include "commands.h"
#include "hubcache.h"
#include "jsontext.h"
#include "progress.h"
#include "session.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

struct list_options {
    bool json;
};

static const struct arg_option rows[] = {
    {.name = "json",
     .kind = ARG_FLAG,
     .offset = offsetof(struct list_options, json),
     .help = "print one JSON object, with paths, sizes in bytes and times in seconds since 1970"},
};

static const struct arg_command command = {
    .name = "list",
    .usage = "Usage: cria list [OPTIONS]",
    .about = "Lists the models that are here: in the cache of the Hugging Face hub, fetched by cria pull or by its\n"
             "Python tools, and in cria's own cache. The name is what other commands take for the model.",
    .examples = "Examples\n"
                "  cria list\n"
                "  cria list --json\n",
};

struct entry {
    char *name, *path; /* path: what the name stands for */
    char kind[40];     /* "Q4_K_M", "safetensors" */
    size_t n_files;
    uint64_t size;
    int64_t used; /* seconds since 1970; 0: not known */
    bool complete;
};

struct list {
    struct entry *v;
    size_t n, room;
    char hub[HUB_FOLDER_MAX], own[HUB_FOLDER_MAX];
    uint64_t hub_bytes, own_bytes;
};

/* Copies name and path. */
static cria_status add(struct list *l, const struct entry *e, cria_error *err) {
    if (l->n == l->room) {
        const size_t room = l->room ? 2 * l->room : 32;
        struct entry *v = realloc(l->v, room * sizeof *v);
        if (!v) return cria_fail_nomem(err, "the list", room * sizeof *v);
        l->v = v;
        l->room = room;
    }
    struct entry *at = &l->v[l->n];
    *at = *e;
    at->name = strdup(e->name);
    at->path = strdup(e->path);
    if (at->name && at->path) {
        l->n++;
        return CRIA_OK;
    }
    free(at->name);
    free(at->path);
    return cria_fail_nomem(err, "the list", 0);
}

static void list_free(struct list *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].name);
        free(l->v[i].path);
    }
    free(l->v);
}

/* ---- the hub's cache ---- */

static void count_file(struct entry *e, const struct hub_file *f) {
    e->n_files++;
    e->size += f->size;
    if (f->used > e->used) e->used = f->used;
}

/* The shortest name that means this choice: with the quantization where that is enough, else with the file. */
static void name_gguf(const struct hub_files *files, size_t i, struct hub_name *name) {
    struct hub_choice c = {0};
    hub_quantization(files->v[i].path, name->tag);
    const bool enough = *name->tag && hub_choose(files, name->repo, name->tag, &c, NULL) == CRIA_OK && c.v[0] == i;
    hub_choice_free(&c);
    if (!enough) snprintf(name->tag, sizeof name->tag, "%s", files->v[i].path);
}

static cria_status add_gguf(struct list *l, const struct hub_files *files, size_t i, struct hub_name name,
                            const char *snapshot, cria_error *err) {
    char text[3 * HUB_PATH_MAX], path[HUB_FOLDER_MAX + HUB_PATH_MAX];
    struct hub_choice c = {0};
    struct entry e = {.name = text, .path = path};
    e.complete = hub_choose(files, name.repo, files->v[i].path, &c, NULL) == CRIA_OK;
    for (size_t k = 0; k < c.n; k++) count_file(&e, &files->v[c.v[k]]);
    if (!e.complete) count_file(&e, &files->v[i]);
    hub_choice_free(&c);
    hub_quantization(files->v[i].path, e.kind);
    if (!*e.kind) snprintf(e.kind, sizeof e.kind, "gguf");
    if (e.complete)
        name_gguf(files, i, &name);
    else
        snprintf(name.tag, sizeof name.tag, "%s", files->v[i].path);
    hub_name_print(&name, text, sizeof text);
    snprintf(path, sizeof path, "%s/%s", snapshot, files->v[i].path);
    return add(l, &e, err);
}

/* The folder as a model, or as what else it is. */
static cria_status add_folder(struct list *l, const struct hub_files *files, const struct hub_name *name,
                              const char *snapshot, size_t n_ggufs, cria_error *err) {
    char text[2 * HUB_NAME_MAX];
    struct hub_choice c = {0};
    struct entry e = {.name = text, .complete = true};
    const bool is_model = hub_choose(files, name->repo, "", &c, NULL) == CRIA_OK && !c.is_gguf;
    if (is_model) {
        snprintf(e.kind, sizeof e.kind, "npz");
        for (size_t k = 0; k < c.n; k++) {
            const char *dot = strrchr(files->v[c.v[k]].path, '.');
            if (dot && strcasecmp(dot, ".safetensors") == 0) snprintf(e.kind, sizeof e.kind, "safetensors");
            count_file(&e, &files->v[c.v[k]]);
        }
    } else {
        snprintf(e.kind, sizeof e.kind, "no model");
        for (size_t k = 0; k < files->n; k++) count_file(&e, &files->v[k]);
    }
    hub_choice_free(&c);
    if (!is_model && n_ggufs) return CRIA_OK;
    hub_name_print(name, text, sizeof text);
    e.path = strdup(snapshot);
    if (!e.path) return cria_fail_nomem(err, "the list", 0);
    const cria_status st = add(l, &e, err);
    free(e.path);
    return st;
}

static cria_status add_snapshot(struct list *l, const struct hub_repo *repo, struct hub_name name, const char *commit,
                                cria_error *err) {
    struct hub_files files = {0};
    char snapshot[HUB_FOLDER_MAX + 64];
    size_t n_ggufs = 0;
    snprintf(snapshot, sizeof snapshot, "%s/snapshots/%s", repo->folder, commit);
    hub_repo_revision(repo, commit, name.revision);
    cria_status st = hub_repo_files(repo, commit, &files, err);
    for (size_t i = 0; i < files.n && st == CRIA_OK; i++) {
        if (!hub_is_model(files.v[i].path)) continue;
        n_ggufs++;
        st = add_gguf(l, &files, i, name, snapshot, err);
    }
    if (st == CRIA_OK && files.n) st = add_folder(l, &files, &name, snapshot, n_ggufs, err);
    hub_files_free(&files);
    return st;
}

/* All blobs, for the sum; those that are not complete are an entry. */
static cria_status add_blobs(struct list *l, const struct hub_repo *repo, struct hub_name name, cria_error *err) {
    char path[HUB_FOLDER_MAX + 16];
    snprintf(path, sizeof path, "%s/blobs", repo->folder);
    struct entry e = {.name = name.repo, .path = path, .kind = "incomplete"};
    DIR *d = opendir(path);
    for (struct dirent *f; d && (f = readdir(d)) != NULL;) {
        struct stat st;
        const size_t n = strlen(f->d_name);
        if (fstatat(dirfd(d), f->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode)) continue;
        l->hub_bytes += (uint64_t)st.st_size;
        if (n <= 11 || strcmp(f->d_name + n - 11, ".incomplete") != 0) continue;
        e.n_files++;
        e.size += (uint64_t)st.st_size;
        if ((int64_t)st.st_mtime > e.used) e.used = (int64_t)st.st_mtime;
    }
    if (d) closedir(d);
    return e.n_files ? add(l, &e, err) : CRIA_OK;
}

static cria_status add_repo(struct list *l, const char *folder, cria_error *err) {
    struct hub_name name = {.revision = "main"};
    struct hub_repo repo;
    struct hub_commits commits;
    struct stat info;
    if (!hub_repo_name(folder, name.repo, sizeof name.repo) || hub_repo_open(&name, &repo, NULL) != CRIA_OK ||
        lstat(repo.folder, &info) != 0 || !S_ISDIR(info.st_mode))
        return CRIA_OK;
    cria_status st = hub_repo_commits(&repo, &commits, err);
    for (size_t i = 0; i < commits.n && st == CRIA_OK; i++) st = add_snapshot(l, &repo, name, commits.v[i], err);
    free(commits.v);
    return st == CRIA_OK ? add_blobs(l, &repo, name, err) : st;
}

static cria_status add_hub(struct list *l, cria_error *err) {
    cria_status st = hub_cache_folder(l->hub, err);
    DIR *d = st == CRIA_OK ? opendir(l->hub) : NULL;
    for (struct dirent *e; d && st == CRIA_OK && (e = readdir(d)) != NULL;) st = add_repo(l, e->d_name, err);
    if (d) closedir(d);
    return st;
}

/* ---- cria's own cache ---- */

static cria_status add_own(struct list *l, cria_error *err) {
    const char *folder = session_cache_folder(&(struct session_options){0}, l->own, sizeof l->own);
    DIR *d = folder ? opendir(folder) : NULL;
    cria_status status = CRIA_OK;
    for (struct dirent *f; d && status == CRIA_OK && (f = readdir(d)) != NULL;) {
        char path[HUB_FOLDER_MAX + 260];
        struct stat st;
        struct entry e = {.name = path, .path = path, .n_files = 1, .complete = true};
        const char *dot = strrchr(f->d_name, '.');
        if (!dot || fstatat(dirfd(d), f->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) continue;
        if (strcmp(dot, ".gguf") == 0)
            hub_quantization(f->d_name, e.kind);
        else if (strcmp(dot, ".cria") == 0)
            snprintf(e.kind, sizeof e.kind, "packed");
        else
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
        e.size = (uint64_t)st.st_size;
        e.used = (int64_t)st.st_atime;
        l->own_bytes += e.size;
        status = add(l, &e, err);
    }
    if (d) closedir(d);
    return status;
}

/* ---- showing it ---- */

/* Names before paths, as in the alphabet. */
static int by_name(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    const bool own_x = *x->name == '/', own_y = *y->name == '/';
    if (own_x != own_y) return own_x ? 1 : -1;
    const int order = strcasecmp(x->name, y->name);
    return order ? order : strcmp(x->kind, y->kind);
}

static const char *ago(int64_t used, char out[32]) {
    const int64_t days = ((int64_t)time(NULL) - used) / 86400;
    if (used == 0) return "";
    if (days < 1) return "today";
    if (days < 60)
        snprintf(out, 32, "%" PRId64 " day%s ago", days, days == 1 ? "" : "s");
    else
        snprintf(out, 32, "%" PRId64 " months ago", days / 30);
    return out;
}

static void print_table(const struct list *l) {
    char size[16], used[32];
    size_t width = 4;
    if (l->n == 0) {
        printf("There are no models in %s; 'cria pull NAME' fetches one.\n", l->hub);
        return;
    }
    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->v[i].name) > width) width = strlen(l->v[i].name);
    if (width > 72) width = 72;
    printf("%-*s  %-12s %6s %10s  %s\n", (int)width, "NAME", "KIND", "FILES", "SIZE", "USED");
    for (size_t i = 0; i < l->n; i++) {
        const struct entry *e = &l->v[i];
        printf("%-*s  %-12s %6zu %10s  %s%s\n", (int)width, e->name, e->kind, e->n_files, bytes_text(e->size, size),
               ago(e->used, used), e->complete ? "" : ", not complete");
    }
    printf("\n%s in %s", bytes_text(l->hub_bytes, size), l->hub);
    if (l->own_bytes) printf(", %s in %s", bytes_text(l->own_bytes, size), l->own);
    printf("\n");
}

static void print_json(const struct list *l) {
    printf("{\"hub\": ");
    print_json_text(l->hub);
    printf(", \"hub_bytes\": %" PRIu64 ", \"cache\": ", l->hub_bytes);
    if (*l->own)
        print_json_text(l->own);
    else
        printf("null");
    printf(", \"cache_bytes\": %" PRIu64 ", \"models\": [", l->own_bytes);
    for (size_t i = 0; i < l->n; i++) {
        const struct entry *e = &l->v[i];
        printf("%s{\"name\": ", i ? ", " : "");
        print_json_text(e->name);
        printf(", \"path\": ");
        print_json_text(e->path);
        printf(", \"kind\": ");
        print_json_text(e->kind);
        printf(", \"files\": %zu, \"bytes\": %" PRIu64 ", \"used\": %" PRId64 ", \"complete\": %s}", e->n_files,
               e->size, e->used, e->complete ? "true" : "false");
    }
    printf("]}\n");
}

int list_main(int argc, char **argv) {
    struct list_options o = {0};
    const struct arg_group groups[] = {{"Options", rows, sizeof rows / sizeof *rows, &o}};
    int code;
    if (!command_begins(&command, groups, 1, argc, argv, &code)) return code;
    struct list l = {0};
    cria_error err;
    cria_status st = add_hub(&l, &err);
    if (st == CRIA_OK) st = add_own(&l, &err);
    if (st == CRIA_OK && l.n) qsort(l.v, l.n, sizeof *l.v, by_name);
    if (st == CRIA_OK && o.json)
        print_json(&l);
    else if (st == CRIA_OK)
        print_table(&l);
    list_free(&l);
    return st == CRIA_OK ? EXIT_DONE : complain("%s", err.msg);
}
