/* SPDX-License-Identifier: Apache-2.0 */
/* Files of tensors as they are written, read back by this library's own readers; in
 * tests/oracle/test_convert.py others' read them. */
#include "unit.h"
#include "base/ctx.h"
#include "counting_alloc.h"
#include "format/container.h"
#include "format/write.h"
#include "scratch.h"

static struct scratch scratch;
static struct cria_ctx ctx;
static struct counting_alloc alloc;

static int set_up(void **state) {
    (void)state;
    scratch_new(&scratch);
    counting_alloc_init(&alloc, -1);
    ctx.allocator = counting_alloc_hook(&alloc);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_free(&scratch);
    assert_int_equal(atomic_load(&alloc.live), 0);
    return 0;
}

static const cria_write_tensor wanted[] = {
    {.name = "a.weight", .dtype = CRIA_DTYPE_F32, .ndim = 2, .shape = {3, 5}, .n_bytes = 60},
    {.name = "b", .dtype = CRIA_DTYPE_BF16, .ndim = 1, .shape = {7}, .n_bytes = 14},
    {.name = "none", .dtype = CRIA_DTYPE_F16, .ndim = 2, .shape = {0, 9}, .n_bytes = 0},
    {.name = "c.\"quoted\\\t.scales", .dtype = CRIA_DTYPE_U8, .ndim = 3, .shape = {2, 1, 3}, .n_bytes = 6},
    {.name = "d", .dtype = CRIA_DTYPE_U32, .ndim = 1, .shape = {1}, .n_bytes = 4}};
enum { N = sizeof wanted / sizeof *wanted };

typedef cria_status create_fn(cria_ctx *ctx, const char *folder, const char *file, cria_write_tensor *t, size_t n,
                              cria_outfile *out, cria_error *err);

static cria_status write_one(create_fn *create, const char *name, cria_error *err) {
    cria_write_tensor t[N];
    cria_outfile file;
    cria_mapfile map;
    memcpy(t, wanted, sizeof t);
    cria_status st = create(&ctx, scratch.root, name, t, N, &file, err);
    if (st) return st;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < t[i].n_bytes; j++) t[i].data[j] = (uint8_t)(i * 50 + j);
    if (create == cria_npz_create) cria_npz_seal(&file, t, N);
    st = cria_outfile_commit(&file, &map, err);
    if (!st) cria_mapfile_close(&map);
    return st;
}

static void check_one(create_fn *create, const char *name, const char *quoted) {
    char path[512];
    cria_container *c;
    cria_error err;
    assert_int_equal(write_one(create, name, &err), CRIA_OK);
    assert_int_equal(cria_container_open(&ctx, scratch_path(&scratch, name, path), &c, &err), CRIA_OK);
    assert_int_equal(cria_container_count(c), N);
    for (size_t i = 0; i < N; i++) {
        const cria_tensor *t = cria_container_find(c, i == 3 ? quoted : wanted[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, wanted[i].dtype);
        assert_int_equal(t->ndim, wanted[i].ndim);
        assert_memory_equal(t->shape, wanted[i].shape, t->ndim * sizeof *t->shape);
        assert_int_equal(t->nbytes, wanted[i].n_bytes);
        for (size_t j = 0; j < t->nbytes; j++) assert_int_equal(t->data[j], (uint8_t)(i * 50 + j));
    }
    cria_container_close(c);
}

static void safetensors_come_back(void **state) {
    (void)state;
    check_one(cria_safetensors_create, "m.safetensors", wanted[3].name);
}

static void npz_comes_back(void **state) {
    (void)state;
    check_one(cria_npz_create, "m.npz", wanted[3].name);
}

/* More members than 16 bits count: the archive needs its ZIP64 records. */
static void npz_of_many_members(void **state) {
    (void)state;
    enum { MANY = 65536 };
    cria_write_tensor *t = calloc(MANY, sizeof *t);
    char(*names)[8] = calloc(MANY, sizeof *names), path[512];
    cria_outfile file;
    cria_mapfile map;
    cria_container *c;
    cria_error err;
    assert_true(t != NULL && names != NULL);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "t%zu", i);
        t[i] = (cria_write_tensor){.name = names[i], .dtype = CRIA_DTYPE_U8, .ndim = 1, .shape = {1}, .n_bytes = 1};
    }
    assert_int_equal(cria_npz_create(&ctx, scratch.root, "many.npz", t, MANY, &file, &err), CRIA_OK);
    for (size_t i = 0; i < MANY; i++) t[i].data[0] = (uint8_t)i;
    cria_npz_seal(&file, t, MANY);
    assert_int_equal(cria_outfile_commit(&file, &map, &err), CRIA_OK);
    cria_mapfile_close(&map);
    assert_int_equal(cria_container_open(&ctx, scratch_path(&scratch, "many.npz", path), &c, &err), CRIA_OK);
    assert_int_equal(cria_container_count(c), MANY);
    assert_int_equal(cria_container_find(c, "t65535")->data[0], 255);
    cria_container_close(c);
    free(t);
    free(names);
}

static void sizes_are_checked(void **state) {
    (void)state;
    cria_write_tensor t[2] = {{.name = "a", .ndim = 1, .shape = {1}, .n_bytes = SIZE_MAX / 2},
                              {.name = "b", .ndim = 1, .shape = {1}, .n_bytes = SIZE_MAX / 2 + 2}};
    cria_outfile file;
    cria_error err;
    assert_int_equal(cria_safetensors_create(&ctx, scratch.root, "x", t, 2, &file, &err), CRIA_EFULL);
    assert_int_equal(cria_npz_create(&ctx, scratch.root, "x", t, 2, &file, &err), CRIA_EFULL);
    t[0] = (cria_write_tensor){.name = "\xff", .ndim = 1, .shape = {1}, .n_bytes = 4};
    assert_int_equal(cria_safetensors_create(&ctx, scratch.root, "x", t, 1, &file, &err), CRIA_EFORMAT);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    create_fn *const creates[] = {cria_safetensors_create, cria_npz_create};
    for (size_t i = 0; i < 2; i++)
        for (long fail_at = 0;; fail_at++) {
            counting_alloc_init(&alloc, fail_at);
            const cria_status st = write_one(creates[i], "oom", NULL);
            assert_int_equal(atomic_load(&alloc.live), 0);
            if (st == CRIA_OK) break;
            assert_int_equal(st, CRIA_ENOMEM);
        }
    counting_alloc_init(&alloc, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(safetensors_come_back), cmocka_unit_test(npz_comes_back),
                                       cmocka_unit_test(npz_of_many_members), cmocka_unit_test(sizes_are_checked),
                                       cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
