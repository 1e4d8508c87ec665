/* SPDX-License-Identifier: Apache-2.0 */
#include "hubname.h"

#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILES = 100000, MAX_PART = 96, MAX_COMPONENT = 255, MAX_CHOSEN = 2001 };

/* ---- characters and words ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), k = strlen(end);
    return n >= k && strcasecmp(text + n - k, end) == 0;
}

bool hub_is_commit(const char *text) { return strlen(text) == 40 && strspn(text, "0123456789abcdef") == 40; }

/* ---- names ---- */

/* One of the two parts of a repository's name, by the hub's own rules: letters, digits, '-', '_', '.', neither "--" nor
 * ".." in it, a letter or digit at both ends. "--" is what the cache puts between the parts. */
static bool is_part(const char *s, size_t n) {
    if (n == 0 || n > MAX_PART || !is_word(s[0]) || !is_word(s[n - 1])) return false;
    for (size_t i = 0; i < n; i++) {
        if (!is_word(s[i]) && s[i] != '-' && s[i] != '.') return false;
        if (i > 0 && s[i] == s[i - 1] && (s[i] == '-' || s[i] == '.')) return false;
    }
    return n < 4 || memcmp(s + n - 4, ".git", 4) != 0;
}

static bool is_repo(const char *s, size_t n) {
    const char *slash = memchr(s, '/', n);
    if (!slash) return is_part(s, n);
    const size_t owner = (size_t)(slash - s);
    return is_part(s, owner) && is_part(slash + 1, n - owner - 1);
}

/* What git allows for a branch or tag, less what nobody uses: it becomes a path in the cache and a part of a URL. */
static bool is_revision(const char *s, size_t n) {
    if (n == 0 || n >= HUB_NAME_MAX) return false;
    for (size_t i = 0; i < n; i++) {
        const bool begins = i == 0 || s[i - 1] == '/';
        if (!is_word(s[i]) && !strchr("-.+/", s[i])) return false;
        if (begins && (s[i] == '.' || s[i] == '/' || s[i] == '-')) return false;
        if (i > 0 && s[i] == '.' && s[i - 1] == '.') return false;
    }
    return s[n - 1] != '/' && s[n - 1] != '.';
}

static const char *skip_host(const char *text) {
    static const char *const hosts[] = {"huggingface.co/", "hf.co/", NULL};
    const char *rest = strncmp(text, "https://", 8) == 0 ? text + 8 : text;
    for (size_t i = 0; hosts[i]; i++)
        if (strncasecmp(rest, hosts[i], strlen(hosts[i])) == 0) return rest + strlen(hosts[i]);
    return text;
}

static void copy(char *out, const char *s, size_t n) {
    memcpy(out, s, n);
    out[n] = '\0';
}

/* A relative path with no way up and no way around: neither empty nor "." nor ".." between slashes, nothing that a
 * terminal obeys or another system takes for a separator. */
static bool is_safe_path(const char *path) {
    size_t part = 0;
    for (const char *p = path;; p++) {
        const unsigned char c = (unsigned char)*p;
        if (c != '\0' && c != '/') {
            if (c < 0x20 || c == 0x7f || c == '\\') return false;
            part++;
            continue;
        }
        const char *start = p - part;
        if (part == 0 || part > MAX_COMPONENT || (part == 1 && *start == '.')) return false;
        if (part == 2 && start[0] == '.' && start[1] == '.') return false;
        if (c == '\0') return p - path < HUB_PATH_MAX;
        part = 0;
    }
}

cria_status hub_name_parse(const char *text, struct hub_name *out, cria_error *err) {
    const char *s = skip_host(text);
    const size_t repo = strcspn(s, "@:");
    struct hub_name name = {.revision = "main"};
    if (!is_repo(s, repo) || strncmp(s + repo, "://", 3) == 0 || skip_host(s) != s)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "'%.200s' is not the name of a model on the hub; such a name is org/model, org/model:Q4_K_M "
                         "or org/model@revision.",
                         text);
    copy(name.repo, s, repo);
    s += repo;
    if (*s == '@') {
        const size_t n = strcspn(++s, ":");
        if (!is_revision(s, n))
            return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                             "'%.200s' is no revision in '%.200s'; name a branch, a tag or a commit.", s, text);
        copy(name.revision, s, n);
        name.has_revision = true;
        s += n;
    }
    if (*s == ':') {
        const size_t n = strlen(++s);
        if (!is_safe_path(s))
            return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                             "'%.200s' names nothing behind the colon; a quantization (Q4_K_M) or a .gguf file goes "
                             "there.",
                             text);
        copy(name.tag, s, n);
    }
    *out = name;
    return CRIA_OK;
}

void hub_name_print(const struct hub_name *name, char *out, size_t size) {
    const bool is_main = strcmp(name->revision, "main") == 0;
    snprintf(out, size, "%s%s%s%s%s", name->repo, is_main ? "" : "@", is_main ? "" : name->revision,
             *name->tag ? ":" : "", name->tag);
}

/* ---- files ---- */

cria_status hub_files_add(struct hub_files *files, const char *path, uint64_t size, const char *hash,
                          cria_error *err) {
    if (!is_safe_path(path))
        return cria_fail(err, CRIA_EFORMAT, files->n,
                         "There is a file '%.300s' in the list, a name that leads out of its folder or that cannot "
                         "be written; nothing of it is used.",
                         path);
    if (files->n == MAX_FILES)
        return cria_fail(err, CRIA_EFULL, files->n, "There are more than %d files; that is not a model.", MAX_FILES);
    if (files->n == files->room) {
        const size_t room = files->room ? 2 * files->room : 64;
        struct hub_file *v = realloc(files->v, room * sizeof *v);
        if (!v) return cria_fail_nomem(err, "a list of files", room * sizeof *v);
        files->v = v;
        files->room = room;
    }
    struct hub_file *f = &files->v[files->n];
    *f = (struct hub_file){.path = strdup(path), .size = size};
    if (!f->path) return cria_fail_nomem(err, "the name of a file", strlen(path));
    if (hash) snprintf(f->hash, sizeof f->hash, "%s", hash);
    files->n++;
    return CRIA_OK;
}

void hub_files_free(struct hub_files *files) {
    for (size_t i = 0; i < files->n; i++) free(files->v[i].path);
    free(files->v);
    *files = (struct hub_files){0};
}

/* ---- what a .gguf is called ---- */

static bool read_five(const char *s, unsigned *out) {
    unsigned n = 0;
    for (int i = 0; i < 5; i++) {
        if (!is_digit(s[i])) return false;
        n = 10 * n + (unsigned)(s[i] - '0');
    }
    *out = n;
    return true;
}

bool hub_split(const char *path, unsigned *i, unsigned *n, size_t *stem) {
    static const char form[] = "-00001-of-00002";
    const char *dot = strrchr(path, '.');
    const size_t len = sizeof form - 1;
    if (!dot || (size_t)(dot - path) < len) return false;
    const char *s = dot - len;
    unsigned part, parts;
    if (s[0] != '-' || memcmp(s + 6, "-of-", 4) != 0 || !read_five(s + 1, &part) || !read_five(s + 10, &parts) ||
        part < 1 || part > parts)
        return false;
    *i = part;
    *n = parts;
    *stem = (size_t)(s - path);
    return true;
}

/* The length of a name up to its number of parts, or up to its ending. */
static size_t stem_of(const char *path) {
    unsigned i, n;
    size_t stem;
    if (hub_split(path, &i, &n, &stem)) return stem;
    const char *dot = strrchr(path, '.');
    return dot ? (size_t)(dot - path) : strlen(path);
}

/* The length of a quantization that begins at s and ends at a '-', '.', '/' or the end; 0 when there is none. */
static size_t label_at(const char *s, const char *end) {
    static const char *const plain[] = {"F16", "F32", "BF16", "FP16", "FP32", "MXFP4", "MXFP4_MOE", "NVFP4", NULL};
    const char *p = s;
    while (p < end && is_word(*p)) p++;
    const size_t n = (size_t)(p - s);
    if (p < end && !strchr("-./", *p)) return 0;
    for (size_t i = 0; plain[i]; i++)
        if (n == strlen(plain[i]) && strncasecmp(s, plain[i], n) == 0) return n;
    const size_t q = n > 0 && strchr("iItT", s[0]) ? 1 : 0; /* IQ4_XS, TQ1_0 */
    if (n < q + 2 || (s[q] != 'Q' && s[q] != 'q') || s[q + 1] < '1' || s[q + 1] > '8') return 0;
    return n == q + 2 || s[q + 2] == '_' ? n : 0;
}

void hub_quantization(const char *path, char out[32]) {
    const char *end = path + stem_of(path);
    out[0] = '\0';
    for (const char *s = path; s < end; s++) { /* the last one counts: Llama-Q4/llama-Q8_0.gguf */
        if (s > path && !strchr("-._/ ", s[-1])) continue;
        size_t n = label_at(s, end);
        if (n == 0) continue;
        const char *start = s - path >= 3 && strncasecmp(s - 3, "UD-", 3) == 0 ? s - 3 : s;
        n += (size_t)(s - start);
        if (n > 31) continue;
        copy(out, start, n);
        s += n - (size_t)(s - start) - 1;
    }
    for (char *c = out; *c; c++)
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
}

/* ---- choosing ---- */

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_gguf(const char *path) { return ends_with(path, ".gguf"); }

/* A .gguf that is no language model: the eyes of one, or what was measured to quantize it. */
static bool is_beside(const char *path) {
    char label[32];
    const char *name = base_name(path);
    if (strncasecmp(name, "mmproj", 6) == 0 || strcasestr(name, "-mmproj")) return true;
    hub_quantization(path, label);
    return *label == '\0' && strcasestr(name, "imatrix");
}

/* All parts of one file; of a split one the first stands for it. */
static bool same_gguf(const char *a, const char *b) {
    unsigned i, n, j, m;
    size_t stem_a, stem_b;
    if (!hub_split(a, &i, &n, &stem_a) || !hub_split(b, &j, &m, &stem_b)) return strcmp(a, b) == 0;
    return n == m && stem_a == stem_b && memcmp(a, b, stem_a) == 0;
}

static unsigned part_of(const char *path) {
    unsigned i, n;
    size_t stem;
    return hub_split(path, &i, &n, &stem) ? i : 1;
}

bool hub_is_model(const char *path) { return is_gguf(path) && part_of(path) == 1 && !is_beside(path); }

static bool add(struct hub_choice *c, size_t i) {
    if (c->n == MAX_CHOSEN) return true; /* too_many() is going to say so */
    size_t *v = realloc(c->v, (c->n + 1) * sizeof *v);
    if (!v) return false;
    c->v = v;
    v[c->n++] = i;
    return true;
}

void hub_choice_free(struct hub_choice *choice) {
    free(choice->v);
    *choice = (struct hub_choice){0};
}

/* "Q8_0, F16, tiny.gguf": the quantizations, or names where they have none. */
static void list_ggufs(const struct hub_files *files, bool names, char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < files->n && at < size; i++) {
        char label[32];
        if (!hub_is_model(files->v[i].path)) continue;
        hub_quantization(files->v[i].path, label);
        const char *what = names || *label == '\0' ? files->v[i].path : label;
        if (at + strlen(what) + 8 > size) {
            snprintf(out + at, size - at, ", ...");
            break;
        }
        at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "", what);
    }
}

static cria_status refuse_gguf(const struct hub_files *files, const char *repo, const char *tag, bool several,
                               cria_error *err) {
    char list[600];
    list_ggufs(files, several, list, sizeof list);
    if (*list == '\0')
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%s has no .gguf files, so that ':%.100s' means nothing; leave it out.", repo, tag);
    if (several)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "Several files of %s are %.100s; name one, as in %s:FILE. There are %s.", repo, tag, repo,
                         list);
    if (*tag == '\0')
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%s has several models; name one, as in %s:NAME. There are %s.", repo, repo, list);
    return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "%s has no '%.100s'; there are %s.", repo, tag, list);
}

/* The file and, where it is split, its other parts, of which none may be missing. */
static cria_status choose_parts(const struct hub_files *files, size_t head, struct hub_choice *out, cria_error *err) {
    const char *path = files->v[head].path;
    unsigned i, n = 1, there = 0;
    size_t stem;
    (void)hub_split(path, &i, &n, &stem);
    out->v = malloc(n * sizeof *out->v);
    if (!out->v) return cria_fail_nomem(err, "a choice of files", n * sizeof *out->v);
    for (unsigned k = 0; k < n; k++) out->v[k] = SIZE_MAX;
    for (size_t j = 0; j < files->n; j++) {
        size_t *const place = &out->v[part_of(files->v[j].path) - 1 < n ? part_of(files->v[j].path) - 1 : 0];
        if (!same_gguf(path, files->v[j].path)) continue;
        there += *place == SIZE_MAX;
        *place = j;
    }
    out->n = n;
    out->is_gguf = true;
    if (there == n) return CRIA_OK;
    return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "'%s' has %u parts, of which %u are there.", path, n, there);
}

/* Heads whose quantization is the tag; *found is the last of them. */
static size_t count_quantization(const struct hub_files *files, const char *tag, bool skip_ud, size_t *found) {
    size_t n = 0;
    for (size_t i = 0; i < files->n; i++) {
        char label[32];
        if (!hub_is_model(files->v[i].path)) continue;
        hub_quantization(files->v[i].path, label);
        const char *text = skip_ud && strncmp(label, "UD-", 3) == 0 ? label + 3 : label;
        if (*text == '\0' || strcasecmp(text, tag) != 0) continue;
        *found = i;
        n++;
    }
    return n;
}

static cria_status choose_named(const struct hub_files *files, const char *repo, const char *tag,
                                struct hub_choice *out, cria_error *err) {
    size_t n = 0, found = 0;
    for (size_t i = 0; i < files->n; i++)
        if (is_gguf(files->v[i].path) && strcmp(files->v[i].path, tag) == 0) return choose_parts(files, i, out, err);
    for (size_t i = 0; i < files->n; i++) {
        if (!is_gguf(files->v[i].path) || strcasecmp(base_name(files->v[i].path), base_name(tag)) != 0) continue;
        found = i;
        n++;
    }
    if (n == 1) return choose_parts(files, found, out, err);
    return refuse_gguf(files, repo, tag, n > 1, err);
}

static cria_status choose_quantization(const struct hub_files *files, const char *repo, const char *tag,
                                       struct hub_choice *out, cria_error *err) {
    size_t found = 0, n = count_quantization(files, tag, false, &found);
    if (n == 0) n = count_quantization(files, tag, true, &found);
    if (n == 1) return choose_parts(files, found, out, err);
    return refuse_gguf(files, repo, tag, n > 1, err);
}

static cria_status choose_default_gguf(const struct hub_files *files, const char *repo, struct hub_choice *out,
                                       cria_error *err) {
    static const char *const wanted[] = {"Q4_K_M", "Q4_0", NULL};
    size_t n = 0, found = 0;
    for (size_t i = 0; wanted[i]; i++) {
        n = count_quantization(files, wanted[i], false, &found);
        if (n == 1) return choose_parts(files, found, out, err);
        if (n > 1) return refuse_gguf(files, repo, wanted[i], true, err);
    }
    for (size_t i = 0; i < files->n; i++) {
        if (!hub_is_model(files->v[i].path)) continue;
        found = i;
        n++;
    }
    if (n == 1) return choose_parts(files, found, out, err);
    return refuse_gguf(files, repo, "", false, err);
}

/* "model.fp16.safetensors", "model.fp16-00001-of-00002.safetensors": the same weights another time. */
static bool is_variant(const char *name) {
    const char *dot = strchr(name, '.');
    return dot && strchr(dot + 1, '.') && strncmp(name, "model.", 6) == 0 &&
           strncmp(dot, ".safetensors", sizeof ".safetensors" - 1) != 0;
}

static bool is_top(const char *path) { return strchr(path, '/') == NULL; }

/* What stands beside the weights: configuration, tokenizer, chat templates. Lists of PyTorch's weights and logs of the
 * training are .json, too. */
static bool is_small_part(const char *path) {
    static const char *const names[] = {"merges.txt", "vocab.txt", "tokenizer.model", "tokenizer.model.v3", NULL};
    if (ends_with(path, ".jinja"))
        return is_top(path) || (strncmp(path, "additional_chat_templates/", 26) == 0 && is_top(path + 26));
    if (!is_top(path)) return false;
    if (ends_with(path, ".bin.index.json") || ends_with(path, ".msgpack.index.json")) return false;
    if (strcmp(path, "trainer_state.json") == 0) return false;
    if (ends_with(path, ".json") || ends_with(path, ".tiktoken")) return true;
    for (size_t i = 0; names[i]; i++)
        if (strcmp(path, names[i]) == 0) return true;
    return false;
}

/* Whether the top folder has weights with this ending; model: those that are called model…. */
static bool has_weights(const struct hub_files *files, const char *ending, bool model) {
    for (size_t i = 0; i < files->n; i++) {
        const char *path = files->v[i].path;
        if (!is_top(path) || !ends_with(path, ending) || strncmp(path, "adapter", 7) == 0) continue;
        if (!model || (strncmp(path, "model", 5) == 0 && !is_variant(path))) return true;
    }
    return false;
}

static cria_status choose_folder(const struct hub_files *files, const char *ending, struct hub_choice *out,
                                 cria_error *err) {
    /* Where there are model*.safetensors, others (consolidated.safetensors, variants) are the same a second time. */
    const bool model = has_weights(files, ending, true);
    for (size_t i = 0; i < files->n; i++) {
        const char *path = files->v[i].path;
        bool wanted = is_small_part(path);
        if (is_top(path) && ends_with(path, ending) && strncmp(path, "adapter", 7) != 0)
            wanted = !model || (strncmp(path, "model", 5) == 0 && !is_variant(path));
        if (wanted && !add(out, i)) return cria_fail_nomem(err, "a choice of files", files->n * sizeof *out->v);
    }
    return CRIA_OK;
}

static cria_status refuse_other(const struct hub_files *files, const char *repo, cria_error *err) {
    char list[500];
    size_t at = 0;
    list[0] = '\0';
    for (size_t i = 0; i < files->n && at + strlen(files->v[i].path) + 8 < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", files->v[i].path);
    return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                     "%s has no weights that cria reads (.safetensors, .npz or .gguf)%s%s.", repo,
                     at ? "; it has " : "", list);
}

/* A choice is of some hundred files at most, each there once: a list with more is none of a model. */
static cria_status check_choice(const struct hub_files *files, const struct hub_choice *c, cria_error *err) {
    if (c->n >= MAX_CHOSEN)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "The model is in more than %d files, which is no model.",
                         MAX_CHOSEN - 1);
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(files->v[c->v[i]].path, files->v[c->v[j]].path) == 0)
                return cria_fail(err, CRIA_EFORMAT, c->v[i], "'%s' is in the list twice.", files->v[c->v[i]].path);
    return CRIA_OK;
}

cria_status hub_choose(const struct hub_files *files, const char *repo, const char *tag, struct hub_choice *out,
                       cria_error *err) {
    struct hub_choice c = {0};
    cria_status st;
    bool any_gguf = false, config = false;
    for (size_t i = 0; i < files->n; i++) {
        any_gguf |= is_gguf(files->v[i].path) && !is_beside(files->v[i].path);
        config |= strcmp(files->v[i].path, "config.json") == 0;
    }
    if (ends_with(tag, ".gguf"))
        st = choose_named(files, repo, tag, &c, err);
    else if (*tag)
        st = choose_quantization(files, repo, tag, &c, err);
    else if (has_weights(files, ".safetensors", false) && (config || !any_gguf))
        st = choose_folder(files, ".safetensors", &c, err);
    else if (any_gguf)
        st = choose_default_gguf(files, repo, &c, err);
    else if (has_weights(files, ".npz", false))
        st = choose_folder(files, ".npz", &c, err);
    else
        st = refuse_other(files, repo, err);
    if (st == CRIA_OK) st = check_choice(files, &c, err);
    if (st == CRIA_OK)
        *out = c;
    else
        hub_choice_free(&c);
    return st;
}
