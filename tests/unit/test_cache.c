/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of packed weights, through the public interface: the same logits with and without; entries that are
 * damaged, old or of other files are made anew; where the folder cannot be used the model loads all the same. */
#include "tiny_model.h"
#include "scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>

enum { ROWS = 20 };

static struct scratch scratch;
static char model_path[512], folder[512], entry[1024];

static int set_up(void **state) {
    (void)state;
    scratch_new(&scratch);
    struct out o = tiny_model_bytes();
    scratch_write(&scratch, "model.gguf", o.p, o.len);
    out_free(&o);
    scratch_path(&scratch, "model.gguf", model_path);
    snprintf(folder, sizeof folder, "%s/cache", scratch.root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_free(&scratch);
    return 0;
}

/* Collects what the library says. */
struct said {
    char text[4000];
    int lines[3]; /* by level */
};
static void hear(void *user, cria_log_level level, const char *text) {
    struct said *s = user;
    s->lines[level]++;
    strncat(s->text, text, sizeof s->text - strlen(s->text) - 1);
}

struct loaded {
    struct said said;
    cria_model_info info;
    float logits[ROWS * TINY_V];
};

static cria_model_opts cached(void) {
    cria_model_opts mo = cria_model_opts_default();
    mo.cache_folder = folder;
    mo.cache_least_bytes = 1;
    return mo;
}

/* Opens the model, computes, closes. */
static cria_status load_model(const cria_ctx_opts *co, const cria_model_opts *mo, struct loaded *x, cria_error *err) {
    cria_ctx *ctx = NULL;
    cria_model *model = NULL;
    cria_engine *engine = NULL;
    cria_sequence *s = NULL;
    cria_status st = cria_ctx_new(co, &ctx, err);
    if (!st) st = cria_model_open(ctx, model_path, mo, &model, err);
    if (!st) st = cria_engine_new(model, NULL, &engine, err);
    if (!st) st = cria_sequence_new(engine, &s, err);
    if (!st) {
        cria_row rows[ROWS];
        for (int i = 0; i < ROWS; i++) rows[i] = (cria_row){s, i * 37 % TINY_V, true};
        st = cria_engine_eval(engine, rows, ROWS, x->logits, err);
    }
    if (model) cria_model_get_info(model, &x->info);
    cria_sequence_free(s);
    cria_engine_free(engine);
    cria_model_free(model);
    cria_ctx_free(ctx);
    return st;
}

static struct loaded loaded(const cria_model_opts *mo) {
    struct loaded x = {.said = {.text = ""}};
    cria_ctx_opts co = cria_ctx_opts_default();
    cria_error err;
    co.threads = 2;
    co.log = hear;
    co.log_user = &x.said;
    assert_int_equal(load_model(&co, mo, &x, &err), CRIA_OK);
    return x;
}

static const float *plain_logits(void) {
    static struct loaded plain;
    plain = loaded(NULL);
    assert_false(plain.info.weights_mapped);
    return plain.logits;
}

#define assert_same_logits(x, want) assert_memory_equal((x).logits, want, sizeof(x).logits)

/* The only file of the folder, into `entry`; the number of files. */
static int count_entries(void) {
    DIR *d = opendir(folder);
    int n = 0;
    if (d == NULL) return 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        snprintf(entry, sizeof entry, "%s/%s", folder, e->d_name);
        n++;
    }
    closedir(d);
    return n;
}

static void empty_folder(void) {
    while (count_entries() != 0) assert_int_equal(unlink(entry), 0);
}

static void the_second_time_is_mapped(void **unused) {
    (void)unused;
    const float *want = plain_logits();
    assert_int_equal(count_entries(), 0);
    const cria_model_opts mo = cached();
    struct loaded x = loaded(&mo);
    assert_true(x.info.weights_mapped);
    assert_non_null(strstr(x.said.text, "are kept in"));
    assert_same_logits(x, want);
    assert_int_equal(count_entries(), 1);
    struct stat first, second;
    assert_int_equal(stat(entry, &first), 0);
    assert_int_equal(first.st_mode & 07777, 0600);
    x = loaded(&mo);
    assert_true(x.info.weights_mapped);
    assert_non_null(strstr(x.said.text, "are mapped from"));
    assert_same_logits(x, want);
    assert_int_equal(count_entries(), 1);
    assert_int_equal(stat(entry, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    assert_int_equal(x.said.lines[CRIA_LOG_WARN], 0);
}

static void small_models_are_not_kept(void **unused) {
    (void)unused;
    empty_folder();
    cria_model_opts mo = cached();
    mo.cache_least_bytes = 0;
    struct loaded x = loaded(&mo);
    assert_false(x.info.weights_mapped);
    mo.cache_least_bytes = x.info.weight_bytes + 1;
    assert_false(loaded(&mo).info.weights_mapped);
    assert_int_equal(count_entries(), 0);
    mo.cache_least_bytes = x.info.weight_bytes;
    assert_true(loaded(&mo).info.weights_mapped);
    mo.cache_least_bytes = 0; /* but found, where they were kept on purpose */
    assert_non_null(strstr(loaded(&mo).said.text, "are mapped from"));
}

static void set_time(time_t seconds) {
    const struct timespec times[2] = {{seconds, 0}, {seconds, 0}};
    assert_int_equal(utimensat(AT_FDCWD, model_path, times, 0), 0);
}

/* An entry that does not fit is noticed, made anew and then right. */
static void assert_remade(const float *want, const char *why) {
    const cria_model_opts mo = cached();
    struct loaded x = loaded(&mo);
    assert_non_null(strstr(x.said.text, why));
    assert_non_null(strstr(x.said.text, "are kept in"));
    assert_int_equal(x.said.lines[CRIA_LOG_WARN], 0);
    assert_same_logits(x, want);
    x = loaded(&mo);
    assert_non_null(strstr(x.said.text, "are mapped from"));
    assert_same_logits(x, want);
    assert_int_equal(count_entries(), 1);
}

static void entries_of_changed_files_are_made_anew(void **unused) {
    (void)unused;
    empty_folder();
    const cria_model_opts mo = cached();
    set_time(1000);
    (void)loaded(&mo);
    set_time(2000);
    assert_remade(plain_logits(), "other files");
    /* The same size and time, another weight. */
    struct out o = tiny_model_bytes();
    o.p[o.len - 32 - TINY_D * 4 - 200] ^= 0x11; /* in the last layer's ffn_down */
    scratch_write(&scratch, "model.gguf", o.p, o.len);
    set_time(2000);
    const float *want = plain_logits();
    const struct loaded x = loaded(&mo);
    assert_same_logits(x, want);
    out_free(&o);
    o = tiny_model_bytes();
    scratch_write(&scratch, "model.gguf", o.p, o.len);
    out_free(&o);
    set_time(1000);
    empty_folder();
}

static void change_byte(off_t at) {
    uint8_t byte;
    const int fd = open(entry, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void damaged_entries_are_made_anew(void **unused) {
    (void)unused;
    empty_folder();
    const float *want = plain_logits();
    const cria_model_opts mo = cached();
    (void)loaded(&mo);
    assert_int_equal(count_entries(), 1);
    struct stat st;
    assert_int_equal(stat(entry, &st), 0);
    const off_t lengths[] = {0, 1, 7, 8, 100, 4096, st.st_size - 1, st.st_size + 1, st.st_size + 4096};
    for (size_t i = 0; i < N_ITEMS(lengths); i++) {
        assert_int_equal(truncate(entry, lengths[i]), 0);
        assert_remade(want, lengths[i] < 8 ? "version" : "length");
    }
    /* Magic, lengths, number of pieces, content, stamp, names, offsets, specs … */
    for (off_t at = 0; at < 600; at += at < 64 ? 4 : 13) {
        change_byte(at);
        assert_remade(want, at < 8 ? "version" : "other files");
    }
    change_byte(4096); /* data offset: the first weight of the embeddings */
    assert_remade(want, "other weights");
    /* Blocks that never reached the disk. */
    assert_int_equal(truncate(entry, 4096), 0);
    assert_int_equal(truncate(entry, st.st_size), 0);
    assert_remade(want, "other weights");
}

/* Bytes that no check sees are only wrong numbers, and the engine says when they are none. */
static void damaged_weights_are_no_worse_than_wrong(void **unused) {
    (void)unused;
    const cria_model_opts mo = cached();
    empty_folder();
    (void)loaded(&mo);
    assert_int_equal(count_entries(), 1);
    const int fd = open(entry, O_RDWR);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 4096 + 16 * TINY_D * 4; at < 4096 + TINY_V * TINY_D * 4; at += 2)
        assert_int_equal(pwrite(fd, "\xff\x7f", 2, at), 2); /* NaN in float32 and float16 */
    close(fd);
    struct loaded x = {.said = {.text = ""}};
    cria_error err;
    assert_int_equal(load_model(NULL, &mo, &x, &err), CRIA_ENUMERIC);
    assert_true(x.info.weights_mapped);
    empty_folder();
}

/* Any bytes at all, written behind the back of an open model (which no check at load could see): logits, or
 * CRIA_ENUMERIC; and something for the sanitizers to watch. */
static void any_bytes_are_no_worse_than_wrong(void **unused) {
    (void)unused;
    static const uint32_t masks[] = {0xffffffff, 0x7f800000, 0xff800001, 0x7bff7bff, 0x7c007c00, 0x00010001};
    static const char *const isas[] = {NULL, "scalar"};
    static uint32_t words[65536];
    static float logits[TINY_V];
    uint32_t state = 1;
    for (size_t round = 0; round < 2 * N_ITEMS(masks) * N_ITEMS(isas); round++) {
        const cria_model_opts mo = cached();
        cria_ctx_opts co = cria_ctx_opts_default();
        cria_ctx *ctx;
        cria_model *model;
        cria_engine *engine;
        cria_sequence *s;
        cria_error err;
        struct stat st;
        co.isa = isas[round / (2 * N_ITEMS(masks))];
        empty_folder();
        assert_int_equal(cria_ctx_new(&co, &ctx, &err), CRIA_OK);
        assert_int_equal(cria_model_open(ctx, model_path, &mo, &model, &err), CRIA_OK);
        assert_int_equal(cria_engine_new(model, NULL, &engine, &err), CRIA_OK);
        assert_int_equal(cria_sequence_new(engine, &s, &err), CRIA_OK);
        assert_int_equal(count_entries(), 1);
        const int fd = open(entry, O_RDWR);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true((size_t)st.st_size < sizeof words);
        for (size_t i = 0; i < N_ITEMS(words); i++) {
            state = state * 1664525u + 1013904223u;
            const uint32_t word = round % 2 ? state ^ state >> 16 : state >> 27 ? 0 : 0xffffffff;
            words[i] = word & masks[round / 2 % N_ITEMS(masks)];
        }
        assert_int_equal(pwrite(fd, words, (size_t)st.st_size - 4096, 4096), st.st_size - 4096);
        close(fd);
        for (int i = 0; i < ROWS; i++) {
            const cria_row row = {s, i * 37 % TINY_V, true};
            const cria_status status = cria_engine_eval(engine, &row, 1, logits, &err);
            assert_true(status == CRIA_OK || status == CRIA_ENUMERIC);
        }
        cria_sequence_free(s);
        cria_engine_free(engine);
        cria_model_free(model);
        cria_ctx_free(ctx);
    }
    empty_folder();
}

/* One warning, no file, the same logits; an error where the cache is required. */
static void assert_without(const cria_model_opts *mo, const char *why) {
    const float *want = plain_logits();
    struct loaded x = loaded(mo);
    assert_false(x.info.weights_mapped);
    assert_int_equal(x.said.lines[CRIA_LOG_WARN], 1);
    assert_non_null(strstr(x.said.text, why));
    assert_same_logits(x, want);
    cria_model_opts must = *mo;
    must.cache_required = true;
    cria_error err;
    assert_int_not_equal(load_model(NULL, &must, &x, &err), CRIA_OK);
    assert_non_null(strstr(err.msg, why));
}

static void folders_that_cannot_be_used(void **unused) {
    (void)unused;
    char path[512];
    cria_model_opts mo = cached();
    mo.cache_folder = model_path; /* a file */
    assert_without(&mo, "model.gguf");
    mo.cache_folder = "/proc/none"; /* where no one may make a folder */
    assert_without(&mo, "/proc/none");
    mo = cached();
    (void)loaded(&mo);
    assert_int_equal(count_entries(), 1);
    assert_int_equal(chmod(entry, 0666), 0);
    assert_without(&mo, "others may write");
    snprintf(path, sizeof path, "%s/elsewhere", scratch.root);
    assert_int_equal(rename(entry, path), 0);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(symlink("../elsewhere", entry), 0);
    assert_without(&mo, entry);
    assert_int_equal(unlink(entry), 0);
    assert_int_equal(mkdir(entry, 0700), 0);
    assert_without(&mo, "folder");
    assert_int_equal(rmdir(entry), 0);
    assert_int_equal(count_entries(), 0);
}

static bool stop_halfway(void *user, uint64_t done, uint64_t total) {
    (void)user;
    return done < total / 2;
}

static void nothing_is_left_of_what_was_not_finished(void **unused) {
    (void)unused;
    cria_model_opts mo = cached();
    mo.progress = stop_halfway;
    struct loaded x;
    cria_error err;
    assert_int_equal(load_model(NULL, &mo, &x, &err), CRIA_ECANCELLED);
    assert_int_equal(count_entries(), 0);
    /* A weight that is not finite: refused, and not kept. */
    struct out o = tiny_model_bytes();
    memset(o.p + o.len - 8, 0xff, 4); /* in the last norm */
    scratch_write(&scratch, "model.gguf", o.p, o.len);
    mo = cached();
    assert_int_equal(load_model(NULL, &mo, &x, &err), CRIA_EFORMAT);
    assert_int_equal(count_entries(), 0);
    out_free(&o);
    o = tiny_model_bytes();
    scratch_write(&scratch, "model.gguf", o.p, o.len);
    out_free(&o);
}

/* Several processes at once: each has the right logits, and one entry is there in the end. */
static void many_at_once(void **unused) {
    (void)unused;
    const float *want = plain_logits();
    pid_t pids[6];
    empty_folder();
    for (size_t i = 0; i < N_ITEMS(pids); i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] != 0) continue;
        const cria_model_opts mo = cached();
        struct loaded x = {.said = {.text = ""}};
        const bool ok = load_model(NULL, &mo, &x, NULL) == CRIA_OK && memcmp(x.logits, want, sizeof x.logits) == 0;
        _exit(!ok);
    }
    for (size_t i = 0; i < N_ITEMS(pids); i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(count_entries(), 1);
    const cria_model_opts mo = cached();
    assert_non_null(strstr(loaded(&mo).said.text, "are mapped from"));
}

/* With and without an entry: fails cleanly, leaks nothing, leaves no half entry. */
static void every_allocation_may_fail(void **unused) {
    (void)unused;
    const float *want = plain_logits();
    const cria_model_opts mo = cached();
    for (int there = 0; there < 2; there++) {
        for (long fail_at = 0;; fail_at++) {
            if (!there) empty_folder();
            struct counting_alloc alloc;
            counting_alloc_init(&alloc, fail_at);
            cria_ctx_opts co = cria_ctx_opts_default();
            co.allocator = (cria_allocator){counting_alloc_alloc, counting_alloc_free, &alloc};
            co.threads = 2;
            struct loaded x = {.said = {.text = ""}};
            cria_error err;
            const cria_status st = load_model(&co, &mo, &x, &err);
            assert_int_equal(atomic_load(&alloc.live), 0);
            if (st == CRIA_OK) {
                assert_same_logits(x, want);
                assert_true(x.info.weights_mapped);
                break;
            }
            assert_int_equal(st, CRIA_ENOMEM);
            assert_true(fail_at < 1000);
        }
        assert_int_equal(count_entries(), 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_time_is_mapped), cmocka_unit_test(small_models_are_not_kept),
        cmocka_unit_test(entries_of_changed_files_are_made_anew), cmocka_unit_test(damaged_entries_are_made_anew),
        cmocka_unit_test(damaged_weights_are_no_worse_than_wrong),
        cmocka_unit_test(any_bytes_are_no_worse_than_wrong), cmocka_unit_test(folders_that_cannot_be_used),
        cmocka_unit_test(nothing_is_left_of_what_was_not_finished), cmocka_unit_test(many_at_once),
        cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
