/* SPDX-License-Identifier: Apache-2.0 */
/* Files that appear whole or not at all, whoever else writes them, and what is never written through. */
#include "unit.h"
#include "base/ctx.h"
#include "base/outfile.h"
#include "counting_alloc.h"
#include "scratch.h"

#include <sys/resource.h>
#include <signal.h>

enum { LEN = 10000 };

static struct scratch scratch;
static struct cria_ctx ctx;
static struct counting_alloc alloc;
static char folder[512];

static int set_up(void **state) {
    (void)state;
    scratch_new(&scratch);
    counting_alloc_init(&alloc, -1);
    ctx.allocator = counting_alloc_hook(&alloc);
    snprintf(folder, sizeof folder, "%s/a/b", scratch.root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_free(&scratch);
    assert_int_equal(atomic_load(&alloc.live), 0);
    return 0;
}

static void fill(cria_outfile *o, uint8_t first) {
    for (size_t i = 0; i < o->len; i++) o->data[i] = (uint8_t)(first + i * 7);
}

static bool is_there(const char *name) {
    char path[512];
    return cria_path_kind(scratch_path(&scratch, name, path)) == CRIA_PATH_FILE;
}

static void write_file(uint8_t first) {
    cria_outfile o;
    cria_mapfile map;
    cria_error err;
    assert_int_equal(cria_outfile_create(&ctx, folder, "x", LEN, CRIA_FILE_MINE, &o, &err), CRIA_OK);
    fill(&o, first);
    cria_outfile_flush(&o, o.data + 5000, 100);
    assert_int_equal(cria_outfile_commit(&o, &map, &err), CRIA_OK);
    assert_int_equal(map.len, LEN);
    assert_int_equal(map.data[10], (uint8_t)(first + 70));
    cria_mapfile_close(&map);
}

static void a_file_appears_when_it_is_whole(void **state) {
    (void)state;
    cria_outfile o;
    cria_mapfile map, old;
    cria_error err;
    char path[512];
    struct stat st;
    assert_int_equal(cria_outfile_create(&ctx, folder, "x", LEN, CRIA_FILE_MINE, &o, &err), CRIA_OK);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    for (size_t i = 0; i < LEN; i++) assert_int_equal(o.data[i], 0);
    fill(&o, 1);
    assert_false(is_there("a/b/x"));
    assert_int_equal(cria_outfile_commit(&o, &map, &err), CRIA_OK);
    assert_false(is_there("a/b/x.part"));
    cria_mapfile_close(&map);
    assert_int_equal(cria_mapfile_open_own(scratch_path(&scratch, "a/b/x", path), &old, &err), CRIA_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    write_file(9); /* who has mapped the old one keeps it */
    assert_int_equal(old.data[10], (uint8_t)(1 + 70));
    cria_mapfile_close(&old);
    assert_int_equal(cria_mapfile_open_own(path, &map, &err), CRIA_OK);
    assert_int_equal(map.data[10], (uint8_t)(9 + 70));
    cria_mapfile_close(&map);
}

static void discarded_files_leave_nothing(void **state) {
    (void)state;
    cria_outfile o;
    cria_error err;
    assert_int_equal(cria_outfile_create(&ctx, folder, "y", LEN, CRIA_FILE_MINE, &o, &err), CRIA_OK);
    assert_true(is_there("a/b/y.part"));
    cria_outfile_discard(&o);
    assert_false(is_there("a/b/y.part"));
    assert_false(is_there("a/b/y"));
}

static void one_writer_at_a_time(void **state) {
    (void)state;
    cria_outfile o, second;
    cria_mapfile map;
    cria_error err;
    assert_int_equal(cria_outfile_create(&ctx, folder, "z", LEN, CRIA_FILE_MINE, &o, &err), CRIA_OK);
    fill(&o, 3);
    assert_int_equal(cria_outfile_create(&ctx, folder, "z", LEN, CRIA_FILE_MINE, &second, &err), CRIA_EIO);
    assert_non_null(strstr(err.msg, "Another process"));
    assert_int_equal(cria_outfile_commit(&o, &map, &err), CRIA_OK);
    assert_int_equal(map.data[1], 3 + 7);
    cria_mapfile_close(&map);
    /* What a killed writer left is taken over, and none of its bytes. */
    scratch_text(&scratch, "a/b/z.part", "left behind");
    assert_int_equal(cria_outfile_create(&ctx, folder, "z", LEN, CRIA_FILE_MINE, &o, &err), CRIA_OK);
    assert_int_equal(o.data[0], 0);
    cria_outfile_discard(&o);
}

static void nothing_is_written_through_links(void **state) {
    (void)state;
    char path[512], victim[512];
    cria_outfile o;
    cria_mapfile map;
    cria_error err;
    scratch_text(&scratch, "a/b/victim", "mine");
    scratch_path(&scratch, "a/b/victim", victim);
    assert_int_equal(symlink("victim", scratch_path(&scratch, "a/b/l.part", path)), 0);
    assert_int_equal(cria_outfile_create(&ctx, folder, "l", LEN, CRIA_FILE_MINE, &o, &err), CRIA_EIO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(link(victim, path), 0);
    assert_int_equal(cria_outfile_create(&ctx, folder, "l", LEN, CRIA_FILE_MINE, &o, &err), CRIA_EIO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(cria_outfile_create(&ctx, folder, "l", LEN, CRIA_FILE_MINE, &o, &err), CRIA_EIO);
    assert_int_equal(cria_mapfile_open_own(victim, &map, &err), CRIA_OK);
    assert_int_equal(map.len, 4);
    cria_mapfile_close(&map);
}

static void files_that_others_may_change_are_not_opened(void **state) {
    (void)state;
    char path[512], target[512];
    cria_mapfile map;
    cria_error err;
    scratch_text(&scratch, "a/b/open", "x");
    scratch_path(&scratch, "a/b/open", target);
    assert_int_equal(chmod(target, 0644), 0);
    assert_int_equal(cria_mapfile_open_own(target, &map, &err), CRIA_OK);
    cria_mapfile_close(&map);
    assert_int_equal(symlink("open", scratch_path(&scratch, "a/b/link", path)), 0);
    assert_int_equal(cria_mapfile_open_own(path, &map, &err), CRIA_EIO);
    assert_int_equal(chmod(target, 0662), 0);
    assert_int_equal(cria_mapfile_open_own(target, &map, &err), CRIA_EINVAL);
    assert_int_equal(chmod(target, 0600), 0);
    if (geteuid() == 0) { /* only root can give a file away */
        assert_int_equal(chown(target, 12345, (gid_t)-1), 0);
        assert_int_equal(cria_mapfile_open_own(target, &map, &err), CRIA_EINVAL);
        assert_non_null(strstr(err.msg, "12345"));
    }
}

/* A limit on the size of files stands for a full disk: both fail where the blocks are allotted. */
static void a_full_disk_is_an_error(void **state) {
    (void)state;
    cria_outfile o;
    cria_error err;
    struct rlimit old, limit;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = LEN / 2;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const cria_status st = cria_outfile_create(&ctx, folder, "full", LEN, CRIA_FILE_MINE, &o, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(st, CRIA_EIO);
    assert_non_null(strstr(err.msg, "10000"));
    assert_false(is_there("a/b/full.part"));
    /* A file where a folder should be. */
    char path[512];
    scratch_text(&scratch, "a/file", "x");
    scratch_path(&scratch, "a/file", path);
    assert_int_equal(cria_outfile_create(&ctx, path, "x", LEN, CRIA_FILE_MINE, &o, &err), CRIA_EIO);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    for (long fail_at = 0;; fail_at++) {
        counting_alloc_init(&alloc, fail_at);
        cria_outfile o;
        const cria_status st = cria_outfile_create(&ctx, folder, "oom", LEN, CRIA_FILE_MINE, &o, NULL);
        if (st == CRIA_OK) cria_outfile_discard(&o);
        assert_int_equal(atomic_load(&alloc.live), 0);
        assert_false(is_there("a/b/oom.part"));
        if (st == CRIA_OK) break;
        assert_int_equal(st, CRIA_ENOMEM);
    }
    counting_alloc_init(&alloc, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_appears_when_it_is_whole),  cmocka_unit_test(discarded_files_leave_nothing),
        cmocka_unit_test(one_writer_at_a_time),             cmocka_unit_test(nothing_is_written_through_links),
        cmocka_unit_test(files_that_others_may_change_are_not_opened), cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
