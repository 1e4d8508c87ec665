/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that appear whole or not at all. */
#include "unit.h"
#include "base/ctx.h"
#include "base/outfile.h"
#include "base/outfolder.h"
#include "counting_alloc.h"
#include "scratch.h"

static struct scratch scratch;
static struct cria_ctx ctx;
static struct counting_alloc alloc;
static char path[512];

static int set_up(void **state) {
    (void)state;
    scratch_new(&scratch);
    counting_alloc_init(&alloc, -1);
    ctx.allocator = counting_alloc_hook(&alloc);
    snprintf(path, sizeof path, "%s/a/out", scratch.root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_free(&scratch);
    assert_int_equal(atomic_load(&alloc.live), 0);
    return 0;
}

static enum cria_path_kind kind(const char *name) {
    char full[512];
    return cria_path_kind(scratch_path(&scratch, name, full));
}

static void put_file(const cria_outfolder *o, const char *name) {
    cria_outfile f;
    cria_mapfile map;
    cria_error err;
    assert_int_equal(cria_outfile_create(&ctx, o->part, name, 5, CRIA_FILE_COMMON, &f, &err), CRIA_OK);
    memcpy(f.data, "hello", 5);
    assert_int_equal(cria_outfile_commit(&f, &map, &err), CRIA_OK);
    cria_mapfile_close(&map);
}

static void a_folder_appears_when_it_is_whole(void **state) {
    (void)state;
    cria_outfolder o;
    cria_error err;
    struct stat st;
    char file[512];
    const mode_t mask = umask(027);
    assert_int_equal(cria_outfolder_create(&ctx, path, 5, &o, &err), CRIA_OK);
    put_file(&o, "x");
    umask(mask);
    assert_int_equal(kind("a/out"), CRIA_PATH_MISSING);
    assert_int_equal(kind("a/out.part"), CRIA_PATH_FOLDER);
    assert_int_equal(cria_outfolder_commit(&o, &err), CRIA_OK);
    assert_int_equal(kind("a/out.part"), CRIA_PATH_MISSING);
    assert_int_equal(stat(scratch_path(&scratch, "a/out/x", file), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640); /* as the user's umask has it */
    assert_int_equal(cria_outfolder_create(&ctx, path, 5, &o, &err), CRIA_EINVAL); /* it is not empty */
    assert_int_equal(kind("a/out.part"), CRIA_PATH_MISSING);
}

static void an_empty_folder_is_replaced(void **state) {
    (void)state;
    cria_outfolder o;
    cria_error err;
    char full[512];
    mkdir(scratch_path(&scratch, "a/empty", full), 0777);
    strcat(full, "//");
    assert_int_equal(cria_outfolder_create(&ctx, full, 0, &o, &err), CRIA_OK);
    put_file(&o, "x");
    assert_int_equal(cria_outfolder_commit(&o, &err), CRIA_OK);
    assert_int_equal(kind("a/empty/x"), CRIA_PATH_FILE);
}

static void discarded_folders_leave_nothing(void **state) {
    (void)state;
    cria_outfolder o, second;
    cria_error err;
    snprintf(path, sizeof path, "%s/a/other", scratch.root);
    assert_int_equal(cria_outfolder_create(&ctx, path, 5, &o, &err), CRIA_OK);
    put_file(&o, "x");
    assert_int_equal(cria_outfolder_create(&ctx, path, 5, &second, &err), CRIA_EIO);
    assert_non_null(strstr(err.msg, "Another process"));
    cria_outfolder_discard(&o);
    assert_int_equal(kind("a/other.part"), CRIA_PATH_MISSING);
    assert_int_equal(kind("a/other"), CRIA_PATH_MISSING);
}

static void what_is_left_behind_is_taken_over(void **state) {
    (void)state;
    cria_outfolder o;
    cria_error err;
    scratch_text(&scratch, "a/left.part/old", "x");
    snprintf(path, sizeof path, "%s/a/left", scratch.root);
    assert_int_equal(cria_outfolder_create(&ctx, path, 5, &o, &err), CRIA_OK);
    assert_int_equal(kind("a/left.part/old"), CRIA_PATH_MISSING);
    cria_outfolder_discard(&o);
    /* What no run of ours can have left is not removed. */
    scratch_text(&scratch, "a/left.part/deep/mine", "x");
    assert_int_equal(cria_outfolder_create(&ctx, path, 5, &o, &err), CRIA_EIO);
    assert_int_equal(kind("a/left.part/deep/mine"), CRIA_PATH_FILE);
}

static void room_is_looked_for_first(void **state) {
    (void)state;
    cria_outfolder o;
    cria_error err;
    snprintf(path, sizeof path, "%s/a/huge", scratch.root);
    assert_int_equal(cria_outfolder_create(&ctx, path, UINT64_MAX / 2, &o, &err), CRIA_EIO);
    assert_non_null(strstr(err.msg, "free"));
    assert_int_equal(kind("a/huge.part"), CRIA_PATH_MISSING);
    assert_int_equal(cria_outfolder_create(&ctx, "/", 5, &o, &err), CRIA_EINVAL);
    assert_int_equal(cria_outfolder_create(&ctx, "", 5, &o, &err), CRIA_EINVAL);
    char file[512];
    scratch_text(&scratch, "a/file", "x");
    assert_int_equal(cria_outfolder_create(&ctx, scratch_path(&scratch, "a/file", file), 5, &o, &err), CRIA_EINVAL);
    snprintf(path, sizeof path, "%s/a/file/below", scratch.root);
    assert_int_equal(cria_outfolder_create(&ctx, path, 5, &o, &err), CRIA_EIO);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    snprintf(path, sizeof path, "%s/a/oom", scratch.root);
    for (long fail_at = 0;; fail_at++) {
        counting_alloc_init(&alloc, fail_at);
        cria_outfolder o;
        const cria_status st = cria_outfolder_create(&ctx, path, 5, &o, NULL);
        if (st == CRIA_OK) cria_outfolder_discard(&o);
        assert_int_equal(atomic_load(&alloc.live), 0);
        assert_int_equal(kind("a/oom.part"), CRIA_PATH_MISSING);
        if (st == CRIA_OK) break;
        assert_int_equal(st, CRIA_ENOMEM);
    }
    counting_alloc_init(&alloc, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_appears_when_it_is_whole), cmocka_unit_test(an_empty_folder_is_replaced),
        cmocka_unit_test(discarded_folders_leave_nothing),   cmocka_unit_test(what_is_left_behind_is_taken_over),
        cmocka_unit_test(room_is_looked_for_first),          cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
