/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders on disk: sniffing, shards, what a folder may hold. */
#include "format_unit.h"
#include "scratch.h"

struct disk {
    struct scratch files;
    char path[512]; /* of the last one opened */
    struct counting_alloc alloc;
    cria_ctx ctx;
    cria_container *c;
    cria_error err;
};

static int make_disk(void **state) {
    struct disk *d = calloc(1, sizeof *d);
    if (d == NULL) return -1;
    scratch_new(&d->files);
    *state = d;
    return 0;
}

static int remove_disk(void **state) {
    struct disk *d = *state;
    scratch_free(&d->files);
    free(d);
    return 0;
}

static void write_npz(const struct disk *d, const char *name, const char *member, const char *member2) {
    struct out a = {NULL, 0, 0};
    put_npy(&a, 1, DICT("<f4", "False", "(3,)"), 12);
    struct zip_out z = {.n = 0};
    zip_add(&z, member, a.p, a.len, 0);
    if (member2 != NULL) zip_add(&z, member2, a.p, a.len, 8);
    zip_finish(&z, "");
    scratch_write(&d->files, name, z.o.p, z.o.len);
    out_free(&z.o);
    out_free(&a);
}

static void write_gguf(const struct disk *d, const char *name) {
    struct out o = {NULL, 0, 0};
    gguf_begin(&o, 3, 1, 0);
    gguf_tensor(&o, "t", 2, 2, 0, 0);
    gguf_pad(&o, 32);
    put_zeros(&o, 16);
    scratch_write(&d->files, name, o.p, o.len);
    out_free(&o);
}

/* name NULL: the folder itself. */
static cria_status open_on(struct disk *d, const char *name, long fail_at) {
    counting_alloc_init(&d->alloc, fail_at);
    d->ctx.allocator = counting_alloc_hook(&d->alloc);
    d->c = NULL;
    if (name != NULL)
        scratch_path(&d->files, name, d->path);
    else
        snprintf(d->path, sizeof d->path, "%s", d->files.root);
    const cria_status status = cria_container_open(&d->ctx, d->path, &d->c, &d->err);
    if (status != CRIA_OK) assert_int_equal(atomic_load(&d->alloc.live), 0);
    return status;
}
static void shut_on(struct disk *d) {
    cria_container_close(d->c);
    d->c = NULL;
    assert_int_equal(atomic_load(&d->alloc.live), 0);
}

static void a_file_by_its_first_bytes(void **state) {
    struct disk *d = *state;
    write_npz(d, "model", "a.npy", "b.npy");
    assert_int_equal(open_on(d, "model", -1), CRIA_OK);
    assert_int_equal(cria_container_kind(d->c), CRIA_CONTAINER_NPZ);
    assert_string_equal(cria_container_path(d->c), d->path);
    shut_on(d);
    write_gguf(d, "model");
    assert_int_equal(open_on(d, "model", -1), CRIA_OK);
    assert_int_equal(cria_container_kind(d->c), CRIA_CONTAINER_GGUF);
    assert_int_equal(touch(d->c), 0);
    shut_on(d);
}

static void other_files(void **state) {
    struct disk *d = *state;
    const struct {
        const char *bytes;
        size_t len;
        cria_status want;
        const char *text;
    } cases[] = {
        {"", 0, CRIA_EFORMAT, "length 0"},
        {"GGU", 3, CRIA_EFORMAT, "neither"},
        {"GGUF", 4, CRIA_EFORMAT, "within the header"},
        {"ggml", 4, CRIA_EFORMAT, "neither"},
        {"PK\3\4", 4, CRIA_EFORMAT, "no end record"},
        {"\x93NUMPY\1\0", 8, CRIA_EUNSUPPORTED, "single .npy"},
        {"\x10\0\0\0\0\0\0\0{}", 10, CRIA_EUNSUPPORTED, "safetensors"},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        scratch_write(&d->files, "model", cases[i].bytes, cases[i].len);
        assert_int_equal(open_on(d, "model", -1), cases[i].want);
        assert_non_null(strstr(d->err.msg, cases[i].text));
        assert_non_null(strstr(d->err.msg, "model"));
    }
    assert_int_equal(open_on(d, "missing", -1), CRIA_EIO);
    assert_non_null(strstr(d->err.msg, "missing"));
}

static void a_folder_without_weights(void **state) {
    struct disk *d = *state;
    scratch_write(&d->files, "config.json", "{}", 2);
    write_gguf(d, "weights.x.gguf");
    assert_int_equal(open_on(d, NULL, -1), CRIA_EIO);
    assert_non_null(strstr(d->err.msg, "neither weights.npz nor weights.*.npz"));
}

static void shards_in_order(void **state) {
    struct disk *d = *state;
    write_npz(d, "weights.01.npz", "c.npy", "d.npy");
    write_npz(d, "weights.00.npz", "b.npy", "a.npy");
    write_npz(d, "weights.02.npz", "e.npy", NULL);
    assert_int_equal(open_on(d, NULL, -1), CRIA_OK);
    const char *names[] = {"b", "a", "c", "d", "e"};
    assert_int_equal(cria_container_count(d->c), N_ITEMS(names));
    for (size_t i = 0; i < N_ITEMS(names); i++) {
        assert_string_equal(cria_container_at(d->c, i)->name, names[i]);
        assert_ptr_equal(cria_container_find(d->c, names[i]), cria_container_at(d->c, i));
    }
    touch(d->c);
    shut_on(d);
    /* Every allocation may fail. */
    cria_status status = CRIA_ENOMEM;
    for (long fail_at = 0; status != CRIA_OK; fail_at++) {
        status = open_on(d, NULL, fail_at);
        if (status != CRIA_OK) assert_int_equal(status, CRIA_ENOMEM);
        assert_true(fail_at < 1000);
    }
    shut_on(d);
    /* weights.npz hides the shards, as in the MLX example. */
    write_npz(d, "weights.npz", "z.npy", NULL);
    assert_int_equal(open_on(d, NULL, -1), CRIA_OK);
    assert_int_equal(cria_container_count(d->c), 1);
    shut_on(d);
}

static void the_same_name_in_two_shards(void **state) {
    struct disk *d = *state;
    write_npz(d, "weights.00.npz", "a.npy", "b.npy");
    write_npz(d, "weights.01.npz", "c.npy", NULL);
    write_npz(d, "weights.02.npz", "d.npy", "b.npy");
    assert_int_equal(open_on(d, NULL, -1), CRIA_EFORMAT);
    assert_non_null(strstr(d->err.msg, "weights.02.npz: tensor \"b\" is there twice"));
    assert_non_null(strstr(d->err.msg, "weights.00.npz"));
}

static void a_gguf_among_shards(void **state) {
    struct disk *d = *state;
    write_npz(d, "weights.00.npz", "a.npy", NULL);
    write_gguf(d, "weights.01.npz");
    assert_int_equal(open_on(d, NULL, -1), CRIA_EFORMAT);
    assert_non_null(strstr(d->err.msg, "weights.01.npz: is a .gguf file among"));
    scratch_write(&d->files, "weights.01.npz", "PK\3\4", 4);
    assert_int_equal(open_on(d, NULL, -1), CRIA_EFORMAT);
    assert_non_null(strstr(d->err.msg, "weights.01.npz"));
}

static void nothing_to_close(void **state) {
    (void)state;
    cria_container_close(NULL);
}

#define on_disk(test) cmocka_unit_test_setup_teardown(test, make_disk, remove_disk)

int main(void) {
    const struct CMUnitTest tests[] = {
        on_disk(a_file_by_its_first_bytes),   on_disk(other_files),
        on_disk(a_folder_without_weights),    on_disk(shards_in_order),
        on_disk(the_same_name_in_two_shards), on_disk(a_gguf_among_shards),
        cmocka_unit_test(nothing_to_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
