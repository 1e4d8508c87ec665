/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders on disk: sniffing, shards, what a folder may hold. */
#include "format_unit.h"
#include "format/gguf.h"
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

/* A file of the tensors named by one letter each, F32 of one item. */
static void write_safetensors(const struct disk *d, const char *name, const char *letters) {
    char header[1024] = "{";
    const size_t n = strlen(letters);
    for (size_t i = 0; i < n; i++)
        snprintf(header + strlen(header), sizeof header - strlen(header),
                 "\"%c\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%zu,%zu]},", letters[i], 4 * i, 4 * i + 4);
    snprintf(header + strlen(header), sizeof header - strlen(header), "\"__metadata__\":{\"file\":\"%s\"}}", name);
    struct out o = {NULL, 0, 0};
    put_uint(&o, strlen(header), 8);
    put(&o, header, strlen(header));
    put_zeros(&o, 4 * n);
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
    write_safetensors(d, "model", "ab");
    assert_int_equal(open_on(d, "model", -1), CRIA_OK);
    assert_int_equal(cria_container_kind(d->c), CRIA_CONTAINER_SAFETENSORS);
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
        {"\x10\0\0\0\0\0\0\0{}", 10, CRIA_EFORMAT, "header should have 16 bytes, but only 2 follow"},
        {"\x02\0\0\0\0\0\0\0", 8, CRIA_EFORMAT, "neither"},
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
    write_safetensors(d, "consolidated.safetensors", "a"); /* neither mlx-lm nor transformers reads it */
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

/* The whole folder must open and have these tensors in this order; the first file is known by its metadata. */
#define must_hold(d, letters, first) must_hold_at(d, letters, first, __LINE__)
static void must_hold_at(struct disk *d, const char *letters, const char *first, int line) {
    if (open_on(d, NULL, -1) != CRIA_OK) fail_msg("line %d: %s", line, d->err.msg);
    char got[64] = "";
    cria_str file;
    for (size_t i = 0; i < cria_container_count(d->c); i++) strcat(got, cria_container_at(d->c, i)->name);
    if (strcmp(got, letters) != 0) fail_msg("line %d: %s, not %s", line, got, letters);
    assert_true(first == NULL || (cria_meta_str(d->c, "file", &file) && file.len == strlen(first) &&
                                  memcmp(file.data, first, file.len) == 0));
    touch(d->c);
    shut_on(d);
}
#define must_not_open(d, status, text) must_not_open_at(d, status, text, __LINE__)
static void must_not_open_at(struct disk *d, cria_status want, const char *text, int line) {
    const cria_status got = open_on(d, NULL, -1);
    if (got != want || strstr(d->err.msg, text) == NULL)
        fail_msg("line %d: %d, %s; wanted %d, %s", line, (int)got, got ? d->err.msg : "", (int)want, text);
}

/* From the last to the first of container.h's list, each new file hides those before. */
static void precedence(void **state) {
    struct disk *d = *state;
    write_gguf(d, "x.gguf");
    must_hold(d, "t", NULL);
    write_safetensors(d, "weights.1.safetensors", "b");
    write_safetensors(d, "weights.0.safetensors", "a");
    must_hold(d, "ab", "weights.0.safetensors");
    write_safetensors(d, "model2.safetensors", "d");
    write_safetensors(d, "model-1.safetensors", "c");
    must_hold(d, "cd", "model-1.safetensors");
    write_safetensors(d, "model-2-of-2.safetensors", "f");
    write_safetensors(d, "model-1-of-2.safetensors", "e");
    must_hold(d, "ef", "model-1-of-2.safetensors");
    write_safetensors(d, "model.safetensors", "g");
    must_hold(d, "g", "model.safetensors");
    write_safetensors(d, "z.safetensors", "h");
    scratch_text(&d->files, "model.safetensors.index.json", "{\"weight_map\":{\"h\":\"z.safetensors\"}}");
    must_hold(d, "h", "z.safetensors");
    write_npz(d, "weights.1.npz", "j.npy", NULL);
    write_npz(d, "weights.0.npz", "i.npy", NULL);
    must_hold(d, "ij", NULL);
    write_npz(d, "weights.npz", "k.npy", NULL);
    must_hold(d, "k", NULL);
}

static void numbered_shards(void **state) {
    struct disk *d = *state;
    write_safetensors(d, "model-00002-of-00003.safetensors", "bc");
    write_safetensors(d, "model-00003-of-00003.safetensors", "d");
    must_not_open(d, CRIA_EIO, "shard model-00001-of-00003.safetensors is missing");
    write_safetensors(d, "model-00001-of-00003.safetensors", "a");
    must_hold(d, "abcd", "model-00001-of-00003.safetensors");
    write_safetensors(d, "model-00004-of-00003.safetensors", "e");
    must_not_open(d, CRIA_EFORMAT, "not numbered as parts of one model");
    scratch_delete(&d->files, "model-00004-of-00003.safetensors");
    const char *others[] = {"model-00001-of-00002.safetensors", "model-1-of-3.safetensors",
                            "model-00000-of-00003.safetensors", "model.fp8-00001-of-00003.safetensors",
                            "modem-00001-of-00003.safetensors" /* no "model" */};
    for (size_t i = 0; i < N_ITEMS(others); i++) {
        write_safetensors(d, others[i], "e");
        if (i + 1 < N_ITEMS(others))
            must_not_open(d, CRIA_EFORMAT, "not numbered as parts of one model");
        else
            must_hold(d, "abcd", NULL);
        scratch_delete(&d->files, others[i]);
    }
    scratch_delete(&d->files, "model-00003-of-00003.safetensors");
    must_not_open(d, CRIA_EIO, "shard model-00003-of-00003.safetensors is missing");
    /* More digits than the numbers need, and numbers whose order is not that of their bytes. */
    scratch_delete(&d->files, "model-00001-of-00003.safetensors");
    scratch_delete(&d->files, "model-00002-of-00003.safetensors");
    char name[64], letters[11] = "";
    for (int i = 10; i >= 1; i--) {
        snprintf(name, sizeof name, "model-%d-of-10.safetensors", i);
        const char letter[2] = {(char)('a' + i - 1), 0};
        write_safetensors(d, name, letter);
    }
    for (int i = 0; i < 10; i++) letters[i] = (char)('a' + i);
    must_hold(d, letters, "model-1-of-10.safetensors");
    write_safetensors(d, "model-9999999999-of-10.safetensors", "z"); /* no number */
    must_hold(d, letters, "model-1-of-10.safetensors");
    write_npz(d, "model-2-of-10.safetensors", "b.npy", NULL);
    must_not_open(d, CRIA_EFORMAT, "model-2-of-10.safetensors: is a .npz file among the .safetensors shards");
}

static void an_index(void **state) {
    struct disk *d = *state;
    const char *index = "model.safetensors.index.json";
    write_safetensors(d, "one.safetensors", "ab");
    write_safetensors(d, "two.safetensors", "cd");
    scratch_text(&d->files, index,
               "{\"metadata\":{\"total_size\":16},\"weight_map\":{\"d\":\"two.safetensors\",\"a\":\"one.safetensors\","
               "\"b\":\"one.safetensors\",\"c\":\"two.safetensors\"}}");
    must_hold(d, "abcd", "one.safetensors");
    /* Every allocation may fail. */
    cria_status status = CRIA_ENOMEM;
    for (long fail_at = 0; status != CRIA_OK; fail_at++) {
        status = open_on(d, NULL, fail_at);
        if (status != CRIA_OK) assert_int_equal(status, CRIA_ENOMEM);
        assert_true(fail_at < 1000);
    }
    shut_on(d);
    scratch_text(&d->files, index, "{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"one.safetensors\"}}");
    must_not_open(d, CRIA_EFORMAT, "tensor \"c\" is not in one.safetensors");
    scratch_text(&d->files, index, "{\"weight_map\":{\"a\":\"two.safetensors\",\"c\":\"one.safetensors\"}}");
    must_not_open(d, CRIA_EFORMAT, "tensor \"a\" is not in two.safetensors");
    scratch_text(&d->files, index, "{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"three.safetensors\"}}");
    must_not_open(d, CRIA_EIO, "index.json: names three.safetensors, which is not in the folder");
    const char *bad[] = {"", "{", "[]", "{}", "null", "{\"weight_map\":1}", "{\"weight_map\":{}}",
                         "{\"weight_map\":[\"a\"]}"};
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        scratch_text(&d->files, index, bad[i]);
        must_not_open(d, CRIA_EFORMAT, index);
    }
    /* Names that lead out of the folder (as CVE-2024-37032, CVE-2026-103663), or nowhere. */
    write_safetensors(d, "..safetensors", "a");
    const char *hostile[] = {"\"../m.safetensors\"", "\"/etc/m.safetensors\"", "\"x/one.safetensors\"",
                             "\"./one.safetensors\"", "\"..\"", "\".\"", "\"\"", "\"one\"", "\"one.gguf\"",
                             "\"x\\\\one.safetensors\"", "\"one\\n.safetensors\"", "\"one.safetensors/\"",
                             "\"..safetensors\"", "\".one.safetensors\"", "1", "null", "[\"one.safetensors\"]",
                             "\"one\\u007f.safetensors\""};
    for (size_t i = 0; i < N_ITEMS(hostile); i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"weight_map\":{\"b\":\"one.safetensors\",\"a\":%s}}", hostile[i]);
        scratch_text(&d->files, index, text);
        must_not_open(d, CRIA_EFORMAT, "says that tensor \"a\" is in");
    }
}

static void ggufs_in_a_folder(void **state) {
    struct disk *d = *state;
    write_gguf(d, "b.gguf");
    must_hold(d, "t", NULL);
    write_gguf(d, "a.gguf");
    must_not_open(d, CRIA_EFORMAT, "holds 2 .gguf files (a.gguf and b.gguf among them)");
    write_gguf(d, "c-00001-of-00001.gguf");
    must_not_open(d, CRIA_EFORMAT, "holds 3 .gguf files");
}

/* A part of a split model: no counts from 0; letters as write_safetensors. part 0 has metadata of its own. */
static void write_part(const struct disk *d, const char *name, unsigned no, unsigned count, unsigned all,
                       const char *letters) {
    const size_t n = strlen(letters);
    struct out o = {NULL, 0, 0};
    gguf_begin(&o, 3, n, no == 0 ? 5 : 4);
    gguf_key(&o, "split.no", CRIA_GGUF_U16);
    put_uint(&o, no, 2);
    gguf_key(&o, "split.count", CRIA_GGUF_U16);
    put_uint(&o, count, 2);
    gguf_key(&o, "split.tensors.count", CRIA_GGUF_I32);
    put_uint(&o, all, 4);
    gguf_key(&o, "general.alignment", CRIA_GGUF_U32); /* of each file its own */
    put_uint(&o, no == 0 ? 64 : 8, 4);
    if (no == 0) {
        gguf_key(&o, "file", CRIA_GGUF_STRING);
        gguf_string(&o, "first");
    }
    for (size_t i = 0; i < n; i++)
        gguf_tensor(&o, (const char[]){letters[i], 0}, 1, 1, 0, i * (no == 0 ? 64 : 8));
    gguf_pad(&o, no == 0 ? 64 : 8);
    put_zeros(&o, n * 64);
    scratch_write(&d->files, name, o.p, o.len);
    out_free(&o);
}

static void parts_of_a_gguf(void **state) {
    struct disk *d = *state;
    const char *names[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"};
    const char *letters[] = {"ab", "", "c"};
    for (unsigned i = 0; i < 3; i++) write_part(d, names[i], i, 3, 3, letters[i]);
    must_hold(d, "abc", "first");
    for (size_t i = 0; i < 3; i++) { /* any of them stands for all */
        assert_int_equal(open_on(d, names[i], -1), CRIA_OK);
        assert_string_equal(cria_container_path(d->c), d->path);
        assert_int_equal(cria_container_count(d->c), 3);
        cria_str file;
        assert_true(cria_meta_str(d->c, "file", &file) && file.len == 5);
        touch(d->c);
        shut_on(d);
    }
    cria_status status = CRIA_ENOMEM; /* every allocation may fail */
    for (long fail_at = 0; status != CRIA_OK; fail_at++) {
        status = open_on(d, names[1], fail_at);
        if (status != CRIA_OK) assert_int_equal(status, CRIA_ENOMEM);
        assert_true(fail_at < 1000);
    }
    shut_on(d);

    const struct {
        unsigned no, count, all;
        const char *letters, *text;
    } lies[] = {{0, 3, 3, "", "says that it is part 1 of 3 with 3 tensors in all, but is named as part 2 of 3"},
                {2, 3, 3, "", "says that it is part 3 of 3"},
                {1, 2, 3, "", "says that it is part 2 of 2"},
                {1, 1, 3, "", "is read as part 2 of 3 of a split model, but is none"},
                {1, 3, 4, "", "says that it is part 2 of 3 with 4 tensors"},
                {1, 3, 3, "d", "its 3 parts have 4 tensors, but say that they have 3"},
                {1, 3, 4, "b", "says that it is part 2 of 3 with 4 tensors"}};
    for (size_t i = 0; i < N_ITEMS(lies); i++) {
        write_part(d, names[1], lies[i].no, lies[i].count, lies[i].all, lies[i].letters);
        must_not_open(d, CRIA_EFORMAT, lies[i].text);
        assert_int_equal(open_on(d, names[0], -1), CRIA_EFORMAT);
        assert_non_null(strstr(d->err.msg, lies[i].text));
    }
    for (unsigned i = 0; i < 3; i++) write_part(d, names[i], i, 3, 4, i == 1 ? "b" : letters[i]);
    must_not_open(d, CRIA_EFORMAT, "tensor \"b\" is there twice");

    scratch_delete(&d->files, names[1]);
    must_not_open(d, CRIA_EIO, "shard m-00002-of-00003.gguf is missing");
    for (size_t i = 0; i < 3; i += 2) {
        assert_int_equal(open_on(d, names[i], -1), CRIA_EIO);
        assert_non_null(strstr(d->err.msg, "m-00002-of-00003.gguf is missing"));
    }
    write_npz(d, names[1], "b.npy", NULL);
    assert_int_equal(open_on(d, names[0], -1), CRIA_EFORMAT);
    assert_non_null(strstr(d->err.msg, "m-00002-of-00003.gguf: is a .npz file among the .gguf shards"));
    /* Names without the numbers, or with others. */
    const char *others[] = {"m.gguf", "m-00001-of-00002.gguf", "m-00001-of-3.ggu", "-00001-of-00003"};
    for (size_t i = 0; i < N_ITEMS(others); i++) {
        write_part(d, others[i], 0, 3, 3, "abc");
        assert_int_equal(open_on(d, others[i], -1), CRIA_EFORMAT);
        assert_non_null(strstr(d->err.msg, "is one of 3 parts of a split GGUF model, but its name"));
    }
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
        on_disk(precedence),                  on_disk(numbered_shards),
        on_disk(an_index),                    on_disk(ggufs_in_a_folder),
        on_disk(parts_of_a_gguf),
        cmocka_unit_test(nothing_to_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
