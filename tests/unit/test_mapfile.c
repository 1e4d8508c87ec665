/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/ctx.h"
#include "base/mapfile.h"
#include "counting_alloc.h"
#include "scratch.h"

static struct scratch scratch;

static int set_up(void **state) {
    (void)state;
    scratch_new(&scratch);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_free(&scratch);
    return 0;
}

static void maps_whole_files(void **state) {
    (void)state;
    char path[512], data[10000];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
    const size_t sizes[] = {0, 1, 4095, 4096, 4097, sizeof data};
    for (size_t i = 0; i < N_ITEMS(sizes); i++) {
        scratch_write(&scratch, "file", data, sizes[i]);
        cria_mapfile map;
        assert_int_equal(cria_mapfile_open(scratch_path(&scratch, "file", path), &map, NULL), CRIA_OK);
        assert_int_equal(map.len, sizes[i]);
        assert_int_equal(map.data == NULL, sizes[i] == 0);
        cria_mapfile_willneed(map.data, map.len);
        if (map.len > 2) cria_mapfile_willneed(map.data + 1, map.len - 2);
        cria_mapfile_dontneed(map.data, map.len);
        if (map.len) assert_memory_equal(map.data, data, map.len);
        cria_mapfile_close(&map);
        assert_null(map.data);
        cria_mapfile_close(&map);
    }
}

static void refuses_what_is_no_regular_file(void **state) {
    (void)state;
    char path[512];
    cria_mapfile map = {.len = 99};
    cria_error err;
    assert_int_equal(cria_mapfile_open(scratch_path(&scratch, "missing", path), &map, &err), CRIA_EIO);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "No such file"));
    assert_int_equal(cria_mapfile_open(scratch.root, &map, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "folder"));
    assert_int_equal(mkfifo(scratch_path(&scratch, "pipe", path), 0600), 0);
    assert_int_equal(cria_mapfile_open(path, &map, &err), CRIA_EINVAL); /* and does not wait for a writer */
    assert_int_equal(cria_mapfile_open("", &map, &err), CRIA_EIO);
    assert_true(map.data == NULL && map.len == 99);
}

static void kinds_of_paths(void **state) {
    (void)state;
    char path[512], link_path[512];
    scratch_text(&scratch, "folder/file", "x");
    assert_int_equal(cria_path_kind(scratch_path(&scratch, "folder", path)), CRIA_PATH_FOLDER);
    assert_int_equal(cria_path_kind(scratch_path(&scratch, "folder/file", path)), CRIA_PATH_FILE);
    assert_int_equal(cria_path_kind(scratch_path(&scratch, "folder/none", path)), CRIA_PATH_MISSING);
    /* A pipe, not /dev/null: in some containers that is a regular file. */
    assert_int_equal(mkfifo(scratch_path(&scratch, "folder/pipe", path), 0600), 0);
    assert_int_equal(cria_path_kind(path), CRIA_PATH_OTHER);
    assert_int_equal(symlink("file", scratch_path(&scratch, "folder/link", link_path)), 0);
    assert_int_equal(cria_path_kind(link_path), CRIA_PATH_FILE);
}

static void context(cria_ctx *ctx, struct counting_alloc *c, long fail_at) {
    memset(ctx, 0, sizeof *ctx);
    counting_alloc_init(c, fail_at);
    ctx->allocator = counting_alloc_hook(c);
}

static void lists_folders_in_byte_order(void **state) {
    (void)state;
    static const char *const names[] = {
        "list/weights.10.npz",  "list/weights.2.npz", "list/weights.\xc3\xa4.npz", "list/weights.npz",
        "list/weights.npz.bak", "list/config.json",   "list/weights.dir.npz/x",    "list/weights"};
    char path[512];
    for (size_t i = 0; i < N_ITEMS(names); i++) scratch_text(&scratch, names[i], "x");
    assert_int_equal(symlink("weights.2.npz", scratch_path(&scratch, "list/weights.a.npz", path)), 0);
    assert_int_equal(symlink("nowhere", scratch_path(&scratch, "list/weights.b.npz", path)), 0);
    cria_ctx ctx;
    struct counting_alloc c;
    long fail_at = 0;
    for (cria_status status = CRIA_ENOMEM; status != CRIA_OK; fail_at++) {
        context(&ctx, &c, fail_at);
        char **list = NULL;
        size_t n = 0;
        status =
            cria_folder_list(&ctx, scratch_path(&scratch, "list", path), "weights.", ".npz", &list, &n, NULL);
        if (status == CRIA_OK) {
            assert_int_equal(n, 4); /* not weights.npz: prefix and suffix do not overlap */
            assert_string_equal(list[0], "weights.10.npz");
            assert_string_equal(list[1], "weights.2.npz");
            assert_string_equal(list[2], "weights.a.npz");
            assert_string_equal(list[3], "weights.\xc3\xa4.npz");
            cria_free(&ctx, list);
        } else {
            assert_int_equal(status, CRIA_ENOMEM);
            assert_null(list);
        }
        assert_int_equal(c.live, 0);
    }
    assert_true(fail_at >= 3);
    context(&ctx, &c, -1);
    char **list;
    size_t n = 9;
    assert_int_equal(cria_folder_list(&ctx, path, "nothing", "", &list, &n, NULL), CRIA_OK);
    assert_int_equal(n, 0);
    cria_free(&ctx, list);
    cria_error err;
    assert_int_equal(cria_folder_list(&ctx, scratch_path(&scratch, "none", path), "", "", &list, &n, &err),
                     CRIA_EIO);
    assert_int_equal(c.live, 0);
}

static void joins_paths(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    cria_ctx ctx;
    struct counting_alloc c;
    context(&ctx, &c, -1);
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        char *path = cria_path_join(&ctx, cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        cria_free(&ctx, path);
    }
    c.fail_at = 0;
    assert_null(cria_path_join(&ctx, "a", "b"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_whole_files), cmocka_unit_test(refuses_what_is_no_regular_file),
        cmocka_unit_test(kinds_of_paths),   cmocka_unit_test(lists_folders_in_byte_order),
        cmocka_unit_test(joins_paths),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
