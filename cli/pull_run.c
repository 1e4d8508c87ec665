/* SPDX-License-Identifier: Apache-2.0 */
/* cria pull: asks for the list of files, chooses, looks at what is there and at the disk, has the rest fetched, and
 * only when all is there makes the snapshot: who finds a snapshot finds all of it. */
#include "pull.h"

#include "base/status.h"
#include "commands.h"
#include "digest.h"
#include "fetch.h"
#include "hubcache.h"
#include "hublisting.h"
#include "input.h"
#include "progress.h"
#include "session.h"
#include "term.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { TOKEN_MAX = 1000, SHOWN = 20, STALL_SECONDS = 30 };

struct pull {
    const struct pull_options *options;
    const struct hub_name *name;
    char endpoint[512], text[2 * HUB_NAME_MAX + HUB_PATH_MAX]; /* text: the name, for messages */
    char *token;                                               /* NULL: none */
    struct hub_repo repo;
    char commit[41];
    struct hub_files files;     /* of the repository */
    struct hub_choice choice;   /* of these */
    struct fetch_file *missing; /* of the choice */
    size_t n_missing;
    uint64_t need, left; /* bytes of what is missing, and of these that an earlier run has left */
};

static const struct hub_file *chosen(const struct pull *p, size_t i) { return &p->files.v[p->choice.v[i]]; }
static const char *plural(size_t n) { return n == 1 ? "" : "s"; }

static void pull_end(struct pull *p) {
    for (size_t i = 0; i < p->n_missing; i++) {
        free(p->missing[i].url);
        free(p->missing[i].blob);
        free(p->missing[i].lock);
    }
    free(p->missing);
    hub_choice_free(&p->choice);
    hub_files_free(&p->files);
    free(p->token);
}

/* ---- the environment ---- */

static bool is_set(const char *name) {
    static const char *const yes[] = {"1", "on", "yes", "true", NULL};
    const char *value = getenv(name);
    for (size_t i = 0; value && yes[i]; i++)
        if (strcasecmp(value, yes[i]) == 0) return true;
    return false;
}

static cria_status read_endpoint(struct pull *p, cria_error *err) {
    const char *given = getenv("HF_ENDPOINT");
    if (!given || !*given) given = "https://huggingface.co";
    size_t n = strlen(given);
    while (n > 0 && given[n - 1] == '/') n--;
    bool ok =
        n < sizeof p->endpoint && (strncasecmp(given, "http://", 7) == 0 || strncasecmp(given, "https://", 8) == 0);
    for (size_t i = 0; i < n; i++) ok &= given[i] > ' ' && given[i] < 0x7f;
    if (!ok || strcspn(strstr(given, "://") + 3, "/") == 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "HF_ENDPOINT is '%.200s', which is no URL as https://huggingface.co is.", given);
    memcpy(p->endpoint, given, n);
    p->endpoint[n] = '\0';
    return CRIA_OK;
}

/* The text without the blanks around it; "" counts as none. A token with others in it would be a header's end. */
static cria_status keep_token(struct pull *p, const char *text, const char *from, cria_error *err) {
    text += strspn(text, " \t\r\n");
    const size_t n = strcspn(text, " \t\r\n");
    if (n == 0) return CRIA_OK;
    bool ok = n <= TOKEN_MAX && text[n + strspn(text + n, " \t\r\n")] == '\0';
    for (size_t i = 0; i < n; i++) ok &= text[i] > ' ' && text[i] < 0x7f;
    if (!ok)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "What %s holds is no token; a token is one word, hf_...",
                         from);
    p->token = strndup(text, n);
    return p->token ? CRIA_OK : cria_fail_nomem(err, "the token", n);
}

static cria_status read_token(struct pull *p, cria_error *err) {
    char path[HUB_FOLDER_MAX + 8], text[TOKEN_MAX + 100];
    const char *value = getenv("HF_TOKEN"), *file = getenv("HF_TOKEN_PATH");
    if (is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return CRIA_OK;
    if (!value || !*value) value = getenv("HUGGING_FACE_HUB_TOKEN"); /* its former name */
    if (value && *value) return keep_token(p, value, "HF_TOKEN", err);
    if (!file || !*file) {
        const cria_status st = hub_home(path, err);
        if (st != CRIA_OK) return st;
        strcat(path, "/token");
        file = path;
    }
    FILE *f = fopen(file, "re");
    if (!f) return CRIA_OK;
    const size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    return keep_token(p, text, file, err);
}

static unsigned stall_seconds(void) {
    const char *value = getenv("HF_HUB_DOWNLOAD_TIMEOUT");
    const int n = value ? atoi(value) : 0;
    return n > 0 && n <= 3600 ? (unsigned)n : STALL_SECONDS;
}

/* ---- what there is and what is wanted ---- */

static cria_status list_url(const struct pull *p, char *out, size_t size, cria_error *err) {
    char revision[3 * HUB_NAME_MAX];
    const bool fits = url_quote(p->name->revision, false, revision, sizeof revision);
    const int n =
        snprintf(out, size, "%s/api/models/%s/revision/%s", p->endpoint, p->name->repo, fits ? revision : "");
    return fits && n > 0 && (size_t)n < size ? CRIA_OK
                                             : cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "The name is too long.");
}

static cria_status ask_for_list(struct pull *p, const struct fetch_source *source, cria_error *err) {
    char url[2048], name[2200];
    struct text text;
    cria_status st = list_url(p, url, sizeof url - 16, err);
    if (st != CRIA_OK) return st;
    snprintf(name, sizeof name, "What %.300s answers", url);
    strcat(url, "?blobs=true");
    st = fetch_document(source, url, HUB_LISTING_MAX, &text, err);
    if (st != CRIA_OK) return st;
    st = hub_listing_parse(text.data, text.len, name, p->commit, &p->files, err);
    text_free(&text);
    if (st == CRIA_OK && hub_is_commit(p->name->revision) && strcmp(p->name->revision, p->commit) != 0)
        st = cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%.300s shows another commit, %s; look at HF_ENDPOINT.", name,
                       p->commit);
    return st;
}

static bool is_missing(const struct fetch_file *f) {
    struct stat st;
    return stat(f->blob, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != f->size;
}

/* Bytes that an earlier run has left of it. */
static uint64_t left_of(const struct fetch_file *f) {
    char path[HUB_FOLDER_MAX + 160];
    struct stat st;
    snprintf(path, sizeof path, "%s.incomplete", f->blob);
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size <= f->size ? (uint64_t)st.st_size : 0;
}

static bool is_double(const struct pull *p, const char *hash) {
    for (size_t i = 0; i < p->n_missing; i++)
        if (strcmp(p->missing[i].hash, hash) == 0) return true;
    return false;
}

static cria_status look_at(struct pull *p, const struct hub_file *file, cria_error *err) {
    char path[3 * HUB_PATH_MAX];
    struct fetch_file *f = &p->missing[p->n_missing];
    if (!*file->hash || file->size == HUB_SIZE_UNKNOWN)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s does not say size and hash of %s, so that it cannot be checked; is HF_ENDPOINT a hub?",
                         p->endpoint, file->path);
    if (is_double(p, file->hash)) return CRIA_OK;
    *f = (struct fetch_file){.name = file->path, .hash = file->hash, .size = file->size};
    if (!url_quote(file->path, true, path, sizeof path) ||
        asprintf(&f->url, "%s/%s/resolve/%s/%s", p->endpoint, p->name->repo, p->commit, path) < 0)
        f->url = NULL;
    if (asprintf(&f->blob, "%s/blobs/%s", p->repo.folder, file->hash) < 0) f->blob = NULL;
    if (asprintf(&f->lock, "%s/%s.lock", p->repo.locks, file->hash) < 0) f->lock = NULL;
    if (f->url && f->blob && f->lock && is_missing(f)) {
        p->need += f->size;
        p->left += left_of(f);
        p->n_missing++;
        return CRIA_OK;
    }
    const bool ok = f->url && f->blob && f->lock;
    free(f->url);
    free(f->blob);
    free(f->lock);
    return ok ? CRIA_OK : cria_fail_nomem(err, "paths", 0);
}

static cria_status look_at_all(struct pull *p, cria_error *err) {
    p->missing = calloc(p->choice.n + 1, sizeof *p->missing);
    if (!p->missing) return cria_fail_nomem(err, "a list of files", p->choice.n * sizeof *p->missing);
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < p->choice.n && st == CRIA_OK; i++) st = look_at(p, chosen(p, i), err);
    return st;
}

/* Whether the disk has room for what is missing, before anything is begun. */
static cria_status look_for_room(const struct pull *p, cria_error *err) {
    char path[HUB_FOLDER_MAX], need[16], room[16];
    struct statvfs fs;
    snprintf(path, sizeof path, "%s", p->repo.folder);
    while (statvfs(*path ? path : ".", &fs) != 0) { /* the innermost folder that is there already */
        char *slash = strrchr(path, '/');
        if (*path == '\0') return CRIA_OK; /* then writing will say why */
        if (!slash)
            *path = '\0';
        else if (slash == path)
            path[1] = '\0';
        else
            *slash = '\0';
    }
    const uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize, more = p->need - p->left;
    if (more <= free_bytes) return CRIA_OK;
    return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                     "%s takes another %s, and where it is to be kept, %s, there are %s free; make room, or name a "
                     "folder on another disk with HF_HOME.",
                     p->text, bytes_text(more, need), p->repo.hub, bytes_text(free_bytes, room));
}

/* ---- doing it ---- */

static cria_status make_folders(const struct pull *p, cria_error *err) {
    char path[HUB_FOLDER_MAX + 16], tag[HUB_FOLDER_MAX + 16];
    snprintf(path, sizeof path, "%s/blobs/", p->repo.folder);
    if (!hub_make_folders(path)) return cria_fail_errno(err, "make the folder '%s'", path);
    snprintf(path, sizeof path, "%s/", p->repo.locks);
    if (!hub_make_folders(path)) return cria_fail_errno(err, "make the folder '%s'", path);
    snprintf(tag, sizeof tag, "%s/CACHEDIR.TAG", p->repo.hub); /* backups leave out what has one */
    FILE *f = fopen(tag, "wxe");
    if (!f) return CRIA_OK;
    fputs("Signature: 8a477f597d28d172789f06886806bc55\n# This file marks a cache folder; see "
          "https://bford.info/cachedir/\n",
          f);
    fclose(f);
    return CRIA_OK;
}

static cria_status make_snapshot(const struct pull *p, cria_error *err) {
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < p->choice.n && st == CRIA_OK; i++)
        st = hub_repo_link(&p->repo, p->commit, chosen(p, i)->path, chosen(p, i)->hash, err);
    return st == CRIA_OK ? hub_repo_note(&p->repo, p->name->revision, p->commit, err) : st;
}

static cria_status fetch_missing(struct pull *p, const struct fetch_source *source, cria_error *err) {
    char size[16], speed[16];
    uint64_t came = 0;
    const bool quiet = p->options->quiet;
    cria_status st = look_for_room(p, err);
    if (st == CRIA_OK) st = make_folders(p, err);
    if (st != CRIA_OK) return st;
    say(quiet, "[INFO] Fetching %zu file%s of %s, %s", p->n_missing, plural(p->n_missing), p->text,
        bytes_text(p->need, size));
    if (p->left) say(quiet, " of which %s are there", bytes_text(p->left, size));
    say(quiet, ", into %s.\n", p->repo.hub);
    const double start = clock_now();
    st = fetch_files(source, p->missing, p->n_missing, (unsigned)p->options->jobs, &came, err);
    const double seconds = clock_now() - start;
    if (st == CRIA_OK && came == 0)
        say(quiet, "[INFO] Nothing was missing of it; sizes and hashes are right.\n");
    else if (st == CRIA_OK)
        say(quiet, "[INFO] %s in %.1f s, %s/s; sizes and hashes are right.\n", bytes_text(came, size), seconds,
            bytes_text((uint64_t)((double)came / (seconds > 1e-3 ? seconds : 1e-3)), speed));
    return st;
}

/* The folder, or the .gguf to open, on stdout. */
static void print_path(const struct pull *p) {
    printf("%s/snapshots/%s%s%s\n", p->repo.folder, p->commit, p->choice.is_gguf ? "/" : "",
           p->choice.is_gguf ? chosen(p, 0)->path : "");
}

static void show_plan(const struct pull *p) {
    char size[16];
    printf("%s at commit %.7s, %zu file%s\n", p->text, p->commit, p->choice.n, plural(p->choice.n));
    for (size_t i = 0; i < p->choice.n; i++) {
        bool missing = false;
        for (size_t j = 0; j < p->n_missing; j++) missing |= strcmp(p->missing[j].hash, chosen(p, i)->hash) == 0;
        printf("  %-8s %10s  %s\n", missing ? "missing" : "here", bytes_text(chosen(p, i)->size, size),
               chosen(p, i)->path);
    }
    printf("%s to fetch into %s\n", bytes_text(p->need - p->left, size), p->repo.folder);
}

static cria_status pull_online(struct pull *p, cria_error *err) {
    char agent[64];
    struct fetch_source source = {.endpoint = p->endpoint,
                                  .repo = p->name->repo,
                                  .revision = p->name->revision,
                                  .has_token = p->token != NULL,
                                  .quiet = p->options->quiet};
    snprintf(agent, sizeof agent, "cria/%s", cria_version());
    const char *why = digest_load();
    if (why) return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "OpenSSL cannot be loaded (%s); install libssl3.", why);
    cria_status st = transfers_new(agent, p->token, stall_seconds(), &source.transfers, err);
    if (st == CRIA_OK) st = ask_for_list(p, &source, err);
    if (st == CRIA_OK) st = hub_choose(&p->files, p->name->repo, p->name->tag, &p->choice, err);
    if (st == CRIA_OK) st = look_at_all(p, err);
    if (st == CRIA_OK && p->options->dry_run) {
        show_plan(p);
    } else {
        if (st == CRIA_OK && p->n_missing) st = fetch_missing(p, &source, err);
        if (st == CRIA_OK) st = make_snapshot(p, err);
        if (st == CRIA_OK && !p->n_missing) say(p->options->quiet, "[INFO] All of %s is here.\n", p->text);
        if (st == CRIA_OK) print_path(p);
    }
    transfers_free(source.transfers);
    return st;
}

/* ---- without a network ---- */

/* A list that a Python tool has kept of the commit that was seen last, in p->files. */
static bool find_kept_list(struct pull *p) {
    char path[HUB_FOLDER_MAX + 64];
    struct text text = {0};
    struct stat st;
    if (!hub_repo_commit(&p->repo, p->name->revision, p->commit)) return false;
    snprintf(path, sizeof path, "%s/trees/%s.json", p->repo.folder, p->commit);
    if (stat(path, &st) != 0 || st.st_size > HUB_LISTING_MAX || !input_read_bytes(path, &text)) return false;
    const bool ok = hub_tree_parse(text.data, text.len, path, &p->files, NULL) == CRIA_OK &&
                    hub_choose(&p->files, p->name->repo, p->name->tag, &p->choice, NULL) == CRIA_OK &&
                    look_at_all(p, NULL) == CRIA_OK;
    text_free(&text);
    return ok;
}

static cria_status pull_offline(struct pull *p, cria_error *err) {
    char path[HUB_FOLDER_MAX], url[2048] = "", size[16], what[HUB_PATH_MAX + 64];
    const char *tag = p->name->tag;
    if (hub_find(p->name, path, NULL) == CRIA_OK) {
        say(p->options->quiet, "[INFO] %s is here; HF_HUB_OFFLINE is set, so that nobody is asked for a newer one.\n",
            p->text);
        printf("%s\n", path);
        return CRIA_OK;
    }
    if (find_kept_list(p) && p->n_missing) {
        for (size_t i = 0; i < p->n_missing && i < SHOWN; i++)
            say(p->options->quiet, "[INFO] Would fetch %s, %s.\n", p->missing[i].name,
                bytes_text(p->missing[i].size, size));
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "HF_HUB_OFFLINE is set, so that nothing is fetched: %zu file%s of %s, %s, are missing, such "
                         "as %s.",
                         p->n_missing, plural(p->n_missing), p->text, bytes_text(p->need, size), p->missing[0].name);
    }
    cria_status st = list_url(p, url, sizeof url, err);
    if (st != CRIA_OK) return st;
    if (*tag)
        snprintf(what, sizeof what, "the .gguf that '%.500s' means", tag);
    else
        snprintf(what, sizeof what,
                 "its .safetensors with configuration and tokenizer, or its .gguf of Q4_K_M or Q4_0");
    return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                     "HF_HUB_OFFLINE is set, so that nothing is fetched: it would have asked %s for the list of "
                     "files and fetched %s into %s.",
                     url, what, p->repo.folder);
}

static bool some_is_left(const struct pull *p) {
    for (size_t i = 0; i < p->n_missing; i++)
        if (!is_missing(&p->missing[i]) || left_of(&p->missing[i]) > 0) return true;
    return false;
}

int pull_run(const struct pull_options *o, const struct hub_name *name) {
    struct pull p = {.options = o, .name = name};
    cria_error err = {.msg = ""};
    hub_name_print(name, p.text, sizeof p.text);
    term_catch_end();
    cria_status st = hub_repo_open(name, &p.repo, &err);
    if (st == CRIA_OK) st = read_endpoint(&p, &err);
    if (st == CRIA_OK) st = read_token(&p, &err);
    if (st == CRIA_OK)
        st = is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE") ? pull_offline(&p, &err)
                                                                        : pull_online(&p, &err);
    if (st == CRIA_ECANCELLED)
        complain("Interrupted; %s", !some_is_left(&p)
                                        ? "nothing was fetched."
                                        : "what has come is kept, and the same command goes on from there.");
    else if (st != CRIA_OK)
        complain("%s", err.msg);
    pull_end(&p);
    return st == CRIA_OK ? EXIT_DONE : EXIT_FAILED;
}
