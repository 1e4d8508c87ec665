/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a model takes to open: cold, with none of its files in memory, and warm, right afterwards. Files
 * are put out of memory with posix_fadvise, which the system may ignore; mincore tells. And what the system
 * says of the process and the processor.
 */
#include "bench.h"
#include "progress.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- the model ---- */

/* dim, layers, heads, key-value heads, hidden dim, vocabulary, rope base */
static const struct shape {
    const char *name;
    uint32_t d, n_layers, h, hk, f, vocab;
    float theta;
} shapes[] = {
    {"1b", 2048, 22, 32, 4, 5632, 32000, 10000.0f},
    {"7b", 4096, 32, 32, 32, 11008, 32000, 10000.0f},
    {"8b", 4096, 32, 32, 8, 14336, 128256, 500000.0f},
};

static cria_status make_random(struct session *s, const struct bench_options *o, cria_error *err) {
    size_t i = 0;
    while (strcmp(shapes[i].name, o->shape) != 0) i++;
    cria_random_opts r = cria_random_opts_default();
    r.dim = shapes[i].d;
    r.n_layers = shapes[i].n_layers;
    r.n_heads = shapes[i].h;
    r.n_kv_heads = shapes[i].hk;
    r.hidden_dim = shapes[i].f;
    r.vocab_size = shapes[i].vocab;
    r.rope_theta = shapes[i].theta;
    r.quantization = o->quantization;
    r.activations = session_activations(&o->session);
    return cria_model_random(s->ctx, &r, &s->model, err);
}

bool bench_open_model(struct session *s, const struct bench_options *o, struct bench_load *load) {
    cria_error err;
    const double start = clock_now();
    const cria_status st = o->shape ? make_random(s, o, &err) : session_open_model(s, &o->session, &err);
    if (st != CRIA_OK) return complain("%s", err.msg), false;
    if (o->shape) load->made = clock_now() - start;
    cria_model_get_info(s->model, &s->info);
    return true;
}

static void close_model(struct session *s) {
    cria_engine_free(s->engine);
    cria_model_free(s->model);
    s->engine = NULL;
    s->model = NULL;
}

/* Opens the model and evaluates one token, which reads all weights. Without an engine afterwards. */
static bool time_open(struct session *s, const struct bench_options *o, double *open, double *first) {
    cria_error err;
    const double start = clock_now();
    if (session_open_model(s, &o->session, &err) != CRIA_OK) return complain("%s", err.msg), false;
    *open = clock_now() - start;
    cria_model_get_info(s->model, &s->info);
    float *logits = malloc(s->info.vocab_size * sizeof *logits);
    cria_sequence *sequence = NULL;
    cria_status st = session_open_engine(s, &o->session, 0, &err);
    if (st == CRIA_OK) st = cria_sequence_new(s->engine, &sequence, &err);
    const cria_row row = {sequence, 0, true};
    if (st == CRIA_OK && logits) st = cria_engine_eval(s->engine, &row, 1, logits, &err);
    *first = clock_now() - start;
    cria_sequence_free(sequence);
    cria_engine_free(s->engine);
    s->engine = NULL;
    free(logits);
    if (st != CRIA_OK) complain("%s", err.msg);
    return st == CRIA_OK;
}

/* ---- out of memory ---- */

/* The share of a file's pages that are in memory; 1 where that cannot be told. */
static double resident(int fd, size_t len) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (len + page - 1) / page;
    void *map = len ? mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    unsigned char *in = malloc(n + 1);
    size_t count = n;
    if (map != MAP_FAILED && in && mincore(map, len, in) == 0) {
        count = 0;
        for (size_t i = 0; i < n; i++) count += in[i] & 1;
    }
    free(in);
    if (map != MAP_FAILED) munmap(map, len);
    return n ? (double)count / (double)n : 0;
}

/* False when more than a hundredth of the file stays in memory. */
static bool drop_file(const char *path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0) return true; /* who cannot read it has not put it there */
    bool dropped = true;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        (void)fdatasync(fd); /* what is not written yet cannot be dropped */
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        dropped = resident(fd, (size_t)st.st_size) <= 0.01;
    }
    close(fd);
    return dropped;
}

/* Every file of a folder whose name ends with suffix. */
static bool drop_folder(const char *folder, const char *suffix) {
    DIR *d = opendir(folder);
    if (!d) return true;
    bool dropped = true;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[4096];
        const size_t len = strlen(e->d_name), end = strlen(suffix);
        if (len < end || strcmp(e->d_name + len - end, suffix) != 0) continue;
        const int n = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n > 0 && (size_t)n < sizeof path) dropped &= drop_file(path);
    }
    closedir(d);
    return dropped;
}

/* The model's files, and the cache's entries, since only the library knows which one is the model's. */
static bool drop_model(const struct session_options *o, bool mapped) {
    struct stat st;
    char room[4096];
    bool dropped = true;
    const char *path;
    if (session_find_model(o->model_path, &path, NULL) == CRIA_OK && stat(path, &st) == 0)
        dropped = S_ISDIR(st.st_mode) ? drop_folder(path, "") : drop_file(path);
    const char *folder = mapped ? session_cache_folder(o, room, sizeof room) : NULL;
    if (folder) dropped &= drop_folder(folder, ".cria");
    return dropped;
}

bool bench_measure_load(struct session *s, const struct bench_options *o, struct bench_load *load) {
    double open, first;
    /* Once without a clock: then packed weights are in the cache if they belong there. */
    if (!time_open(s, o, &open, &first)) return false;
    const bool mapped = s->info.weights_mapped;
    close_model(s);
    load->cold_is_cold = drop_model(&o->session, mapped);
    if (!time_open(s, o, &load->cold, &load->cold_first)) return false;
    close_model(s);
    return time_open(s, o, &load->warm, &load->warm_first);
}

/* ---- the process and the processor ---- */

void bench_reset_peak(void) {
    const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!write(fd, "5", 1); /* proc(5): resets the peak resident set size */
    close(fd);
}

/* The value of a line "name : value" of a file of /proc. */
static bool proc_line(const char *path, const char *name, char *out, size_t size) {
    FILE *f = fopen(path, "re");
    char line[512];
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        if (strncmp(line, name, strlen(name)) != 0) continue;
        const char *p = line + strcspn(line, ":");
        p += strspn(p, ": \t");
        snprintf(out, size, "%.*s", (int)strcspn(p, "\n"), p);
        found = true;
    }
    if (f) fclose(f);
    return found;
}

double bench_peak_bytes(void) {
    char text[64];
    if (proc_line("/proc/self/status", "VmHWM", text, sizeof text)) return strtod(text, NULL) * 1024;
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss * 1024 : 0;
}

void bench_find_processor(char *out, size_t size) {
    struct utsname u;
    if (proc_line("/proc/cpuinfo", "model name", out, size)) return;
    snprintf(out, size, "%s", uname(&u) == 0 ? u.machine : "unknown");
}
