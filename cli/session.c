/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/status.h"
#include "commands.h"
#include "hubcache.h"
#include "progress.h"
#include "term.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_MODEL "mlx_model"

static const char *const isa_names[] = {"auto",       "scalar", "avx2",    "avxvnni", "avx512",
                                       "avx512vnni", "neon",   "dotprod", "i8mm",    NULL};
static const char *const activation_names[] = {"auto", "int8", "int16", "f32", NULL}; /* as cria_activations */
static const char *const kv_names[] = {"int16", "f16", "f32", "int8", NULL}; /* as cria_kv_type */

#define FIELD(name) offsetof(struct session_options, name)

const struct arg_option session_model_rows[] = {
    {.name = "model-path", .kind = ARG_TEXT, .metavar = "PATH", .def = DEFAULT_MODEL, .offset = FIELD(model_path),
     .help = "a folder with weights, config.json and tokenizer, as Hugging Face, mlx-lm or the MLX example "
             "have it, a .gguf file, or the name of a model that cria pull has fetched (org/model:Q4_K_M)"},
};
const size_t n_session_model_rows = sizeof session_model_rows / sizeof *session_model_rows;

const struct arg_option session_speed_rows[] = {
    {.name = "threads", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(threads), .max = 1024,
     .help = "how many threads compute; 0 takes what the processor and its quota allow. The text does not depend "
             "on it"},
    {.name = "isa", .kind = ARG_CHOICE, .metavar = "NAME", .def = "auto", .offset = FIELD(isa), .choices = isa_names,
     .help = "instruction set: auto, scalar; avx2, avxvnni, avx512, avx512vnni; neon, dotprod, i8mm. The text does "
             "not depend on it"},
    {.name = "activations", .kind = ARG_CHOICE, .metavar = "TYPE", .def = "auto", .offset = FIELD(activations),
     .choices = activation_names,
     .help = "precision that meets quantized weights: int8 (fastest), int16, f32 (as MLX), or auto, int16 where it "
             "matters and int8 elsewhere"},
    {.name = "kv", .kind = ARG_CHOICE, .metavar = "TYPE", .def = "int16", .offset = FIELD(kv), .choices = kv_names,
     .help = "precision of remembered keys and values: int16, f16, f32 (as MLX), or int8 (half the memory)"},
    {.name = "cache-folder", .kind = ARG_TEXT, .metavar = "DIR", .offset = FIELD(cache_folder),
     .help = "where packed weights of large models are kept, to load fast the next time (default: "
             "$XDG_CACHE_HOME/cria or ~/.cache/cria)"},
    {.name = "no-cache", .kind = ARG_FLAG, .offset = FIELD(no_cache),
     .help = "neither look for packed weights nor keep them"},
    {.name = "quiet", .kind = ARG_FLAG, .offset = FIELD(quiet),
     .help = "nothing on stderr but errors"},
};
const size_t n_session_speed_rows = sizeof session_speed_rows / sizeof *session_speed_rows;

void say(bool quiet, const char *format, ...) {
    if (quiet) return;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
}

int complain(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("cria: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 1;
}

static const char *reading_advice(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR: return "look whether the path is right";
    case EISDIR: return "name a file in it";
    case EACCES:
    case EPERM: return "give this user the right to read it";
    default: return "try again, or copy it to another disk";
    }
}

static const char *writing_advice(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR: return "make the folder first, or name another one";
    case EISDIR: return "name a file in it";
    case ENOSPC:
    case EDQUOT: return "make room on the disk, or write elsewhere";
    default: return "write elsewhere";
    }
}

int complain_unread(const char *path) {
    const int error = errno;
    if (path) return complain("Cannot read '%s': %s; %s.", path, strerror(error), reading_advice(error));
    return complain("Cannot read stdin: %s; give it a file or a pipe, as in < FILE.", strerror(error));
}

int complain_unwritten(const char *path) {
    const int error = errno;
    if (path) return complain("Cannot write '%s': %s; %s.", path, strerror(error), writing_advice(error));
    if (error == EPIPE) return EXIT_FAILED;
    return complain("Cannot write to stdout: %s; %s.", strerror(error), writing_advice(error));
}

/* The sentences are better than the library's, which knows no default, no script and no hub. */
cria_status session_find_model(const char *name, const char **path, cria_error *err) {
    static char found[HUB_FOLDER_MAX];
    struct stat st;
    struct hub_name hub;
    cria_error why;
    *path = name;
    if (stat(name, &st) == 0 || (errno != ENOENT && errno != ENOTDIR)) return CRIA_OK;
    if (strcmp(name, DEFAULT_MODEL) == 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "There is no model at '%s', the default. Name a folder or a .gguf file with --model-path, or "
                         "run ./quickstart, which gets one.", name);
    const bool is_name = hub_name_parse(name, &hub, NULL) == CRIA_OK;
    if (!is_name || (!strchr(hub.repo, '/') && hub_find(&hub, found, NULL) != CRIA_OK))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "There is no model at '%.500s'; name the folder of a model, a .gguf file, or a model of the "
                         "hub, as in org/model.", name);
    *path = found;
    if (hub_find(&hub, found, &why) == CRIA_OK) return CRIA_OK;
    /* What can be a path only in the strangest folder is not called one. */
    if (strpbrk(name, ":@")) return cria_fail(err, why.code, CRIA_NOWHERE, "%s", why.msg);
    return cria_fail(err, why.code, CRIA_NOWHERE, "There is no model at '%.200s', and as a name: %s", name, why.msg);
}

bool session_model_is_there(const char *name) {
    const char *path;
    cria_error err;
    if (session_find_model(name, &path, &err) == CRIA_OK) return true;
    complain("%s", err.msg);
    return false;
}

static bool show_loading(void *user, uint64_t done, uint64_t total) {
    progress_update(user, done, total);
    return !term_interrupted();
}

static int name_index(const char *const *names, const char *name) {
    int i = 0;
    while (strcmp(names[i], name) != 0) i++;
    return i;
}

/* What the library has to say, above the bar that is erased and drawn again. */
static void hear(void *user, cria_log_level level, const char *text) {
    const struct session *s = user;
    if (s->quiet || level == CRIA_LOG_DEBUG) return;
    if (s->bar) progress_end(s->bar);
    fprintf(stderr, "[%s] %s\n", level == CRIA_LOG_WARN ? "WARN" : "INFO", text);
}

/* As the XDG Base Directory Specification has it: a path that is not absolute counts as none. NULL: no folder. */
static const char *user_cache_folder(char *out, size_t size) {
    const char *base = getenv("XDG_CACHE_HOME"), *rest = "cria";
    if (!base || *base != '/') {
        base = getenv("HOME");
        rest = ".cache/cria";
    }
    if (!base || *base != '/') return NULL;
    const int n = snprintf(out, size, "%s/%s", base, rest);
    return n > 0 && (size_t)n < size ? out : NULL;
}

const char *session_cache_folder(const struct session_options *o, char *room, size_t size) {
    if (o->no_cache) return NULL;
    return o->cache_folder ? o->cache_folder : user_cache_folder(room, size);
}

cria_activations session_activations(const struct session_options *o) {
    return (cria_activations)name_index(activation_names, o->activations);
}

cria_status session_open_ctx(struct session *s, const struct session_options *o, cria_error *err) {
    cria_ctx_opts opts = cria_ctx_opts_default();
    opts.log = hear;
    opts.log_user = s;
    opts.threads = (uint32_t)o->threads;
    opts.isa = strcmp(o->isa, "auto") == 0 ? NULL : o->isa; /* then CRIA_ISA is looked at */
    return cria_ctx_new(&opts, &s->ctx, err);
}

static cria_status open_model(struct session *s, const struct session_options *o, bool must_cache, cria_error *err) {
    struct progress bar;
    char folder[4096];
    const char *path;
    cria_status st = session_find_model(o->model_path, &path, err);
    if (st != CRIA_OK) return st;
    progress_start(&bar, "Loading", o->quiet);
    s->bar = &bar;
    cria_model_opts opts = cria_model_opts_default();
    opts.activations = session_activations(o);
    opts.progress = show_loading;
    opts.progress_user = &bar;
    opts.cache_folder = session_cache_folder(o, folder, sizeof folder);
    opts.cache_least_bytes = must_cache;
    opts.cache_required = must_cache;
    opts.context = (uint32_t)o->context;
    st = cria_model_open(s->ctx, path, &opts, &s->model, err);
    progress_end(&bar);
    s->bar = NULL;
    return st;
}

cria_status session_open_model(struct session *s, const struct session_options *o, cria_error *err) {
    return open_model(s, o, false, err);
}

cria_status session_open_engine(struct session *s, const struct session_options *o, uint64_t kv_bytes,
                                cria_error *err) {
    cria_engine_opts opts = cria_engine_opts_default();
    opts.kv = (cria_kv_type)name_index(kv_names, o->kv);
    opts.kv_bytes = kv_bytes;
    return cria_engine_new(s->model, &opts, &s->engine, err);
}

static cria_status open_all(struct session *s, const struct session_options *o, bool must_cache, cria_error *err) {
    cria_status st = session_open_ctx(s, o, err);
    if (st == CRIA_OK) st = open_model(s, o, must_cache, err);
    if (st == CRIA_OK) st = session_open_engine(s, o, 0, err);
    return st;
}

static void say_model(const struct session *s) {
    const cria_model_info *m = &s->info;
    const uint32_t threads = cria_ctx_threads(s->ctx);
    say(s->quiet, "[INFO] %s, %.1f M parameters, %" PRIu32 " layers", m->architecture, (double)m->n_params * 1e-6,
        m->n_layers);
    const uint32_t context = cria_engine_context(s->engine);
    if (m->context) say(s->quiet, ", context %" PRIu32, context);
    if (context < m->context) say(s->quiet, " (as memory allows; the model's is %" PRIu32 ")", m->context);
    say(s->quiet, ".\n[INFO] Loaded in %.3f s; %" PRIu32 " thread%s, %s.\n", s->load_seconds, threads,
        threads == 1 ? "" : "s", cria_ctx_isa(s->ctx));
}

static bool open_or_complain(struct session *s, const struct session_options *o, bool must_cache) {
    *s = (struct session){.quiet = o->quiet};
    struct session_options found = *o; /* a name in the hub's cache is looked up once */
    cria_error err;
    const double start = clock_now();
    cria_status st = session_find_model(o->model_path, &found.model_path, &err);
    if (st == CRIA_OK) {
        say(o->quiet, "[INFO] Loading model from %s.\n", found.model_path);
        st = open_all(s, &found, must_cache, &err);
    }
    if (st != CRIA_OK) {
        if (st == CRIA_ECANCELLED)
            complain("Interrupted while loading '%s'.", o->model_path);
        else
            complain("%s", err.msg);
        session_close(s);
        return false;
    }
    s->load_seconds = clock_now() - start;
    cria_model_get_info(s->model, &s->info);
    say_model(s);
    return true;
}

bool session_open(struct session *s, const struct session_options *o) { return open_or_complain(s, o, false); }

bool session_open_cached(struct session *s, const struct session_options *o) { return open_or_complain(s, o, true); }

bool session_open_draft(struct session *draft, const struct session *s, const struct session_options *o,
                        const char *path) {
    struct session_options own = *o;
    own.model_path = path;
    *draft = (struct session){.quiet = o->quiet};
    if (!session_model_is_there(path)) return false;
    cria_error err;
    draft->ctx = s->ctx;
    cria_status st = open_model(draft, &own, false, &err);
    if (st == CRIA_OK) st = session_open_engine(draft, &own, 0, &err);
    draft->ctx = NULL;
    if (st == CRIA_OK) return true;
    complain("%s", st == CRIA_ECANCELLED ? "Interrupted while loading the draft model." : err.msg);
    session_close(draft);
    return false;
}

void session_close(struct session *s) {
    cria_engine_free(s->engine);
    cria_model_free(s->model);
    cria_ctx_free(s->ctx);
    *s = (struct session){.quiet = s->quiet};
}
