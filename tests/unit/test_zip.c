/* SPDX-License-Identifier: Apache-2.0 */
/* The ZIP layer. Lies are told to cria_container_open_memory, which reads the directory before anything else.
 */
#include "format_unit.h"
#include "format/zip.h"
#include "scratch.h"

#include <fcntl.h>

/* Offsets of fields in their records. */
enum {
    L_SIG = 0,
    L_FLAGS = 6,
    L_METHOD = 8,
    L_CSIZE = 18,
    L_USIZE = 22,
    L_NAME_LEN = 26,
    L_EXTRA_LEN = 28,
    L_NAME = 30,
    C_SIG = 0,
    C_FLAGS = 8,
    C_METHOD = 10,
    C_CRC = 16,
    C_CSIZE = 20,
    C_USIZE = 24,
    C_NAME_LEN = 28,
    C_EXTRA_LEN = 30,
    C_COMMENT_LEN = 32,
    C_DISK = 34,
    C_LOCAL = 42,
    C_NAME = 46,
    E_DISK = 4,
    E_DISK_CD = 6,
    E_N_HERE = 8,
    E_N = 10,
    E_SIZE = 12,
    E_OFFSET = 16,
    E_COMMENT_LEN = 20
};

static struct zip_out two_members(const char *comment) {
    struct zip_out z = {.n = 0};
    struct out npy = {NULL, 0, 0};
    put_npy(&npy, 1, DICT("<f4", "False", "(3,)"), 12);
    zip_add(&z, "a.npy", npy.p, npy.len, 0);
    zip_add(&z, "b.npy", npy.p, npy.len, 8);
    zip_finish(&z, comment);
    out_free(&npy);
    return z;
}

struct listed {
    struct counting_alloc alloc;
    cria_ctx ctx;
    cria_zip zip;
    cria_error err;
};

static cria_status list(struct listed *l, const struct out *o) {
    memset(l, 0, sizeof *l);
    counting_alloc_init(&l->alloc, -1);
    l->ctx.allocator = counting_alloc_hook(&l->alloc);
    return cria_zip_init(&l->zip, &l->ctx, "file", o->p, o->len, &l->err);
}

static void unlist(struct listed *l) {
    cria_zip_fini(&l->zip);
    assert_int_equal(atomic_load(&l->alloc.live), 0);
}

static void lists_members(void **state) {
    (void)state;
    const char *comments[] = {"", "PK\5\6 in the comment, and more of it than an end record has"};
    for (size_t i = 0; i < N_ITEMS(comments); i++) {
        struct zip_out z = two_members(comments[i]);
        struct listed l;
        assert_int_equal(list(&l, &z.o), CRIA_OK);
        assert_int_equal(l.zip.n, 2);
        for (int k = 0; k < 2; k++) {
            const cria_zip_member *m = &l.zip.members[k];
            assert_int_equal(m->name_len, 5);
            assert_memory_equal(m->name, z.m[k].name, 5);
            assert_ptr_equal(m->data, z.o.p + z.m[k].data);
            assert_int_equal(m->csize, z.m[k].csize);
            assert_int_equal(m->usize, z.m[k].usize);
            assert_int_equal(m->deflated, k == 1);
        }
        uint8_t inflated[256];
        assert_int_equal(cria_zip_inflate(&l.zip, &l.zip.members[1], inflated, &l.err), CRIA_OK);
        assert_memory_equal(inflated, z.o.p + z.m[0].data, z.m[0].usize);
        unlist(&l);
        out_free(&z.o);
    }
}

static void empty_archive(void **state) {
    (void)state;
    struct zip_out z = {.n = 0};
    zip_finish(&z, "");
    struct opened x;
    open_bytes(&x, z.o.p, z.o.len, -1);
    assert_int_equal(x.status, CRIA_OK);
    assert_int_equal(cria_container_count(x.c), 0);
    assert_null(cria_container_find(x.c, "a"));
    shut(&x);
    out_free(&z.o);
}

static void any_damage_is_safe(void **state) {
    (void)state;
    struct zip_out z = two_members("c");
    assert_robust(&z.o, true);
    out_free(&z.o);
}

static void lies_in_the_end_record(void **state) {
    (void)state;
    struct zip_out z = two_members("");
    const size_t e = z.end;
    assert_lie_refused(&z.o, e, 0, 1, CRIA_EFORMAT, "no end record");
    assert_lie_refused(&z.o, e + E_COMMENT_LEN, 1, 2, CRIA_EFORMAT, "no end record");
    assert_lie_refused(&z.o, e + E_DISK, 1, 2, CRIA_EUNSUPPORTED, "several disks");
    assert_lie_refused(&z.o, e + E_DISK_CD, 1, 2, CRIA_EUNSUPPORTED, "several disks");
    assert_lie_refused(&z.o, e + E_N_HERE, 1, 2, CRIA_EUNSUPPORTED, "several disks");
    assert_lie_refused(&z.o, e + E_N_HERE, 0x00010001, 4, CRIA_EFORMAT, "goes on after its last member");
    assert_lie_refused(&z.o, e + E_N_HERE, 0x00030003, 4, CRIA_EFORMAT, "room for at most 2");
    assert_lie_refused(&z.o, e + E_N_HERE, 0xffffffff, 4, CRIA_EFORMAT, "claims 65535 members");
    assert_lie_refused(&z.o, e + E_SIZE, 0, 4, CRIA_EFORMAT, "does not end at");
    assert_lie_refused(&z.o, e + E_SIZE, 0xffffffff, 4, CRIA_EFORMAT, "does not end at");
    assert_lie_refused(&z.o, e + E_OFFSET, z.directory - 1, 4, CRIA_EFORMAT, "does not end at");
    assert_lie_refused(&z.o, e + E_OFFSET, 0xffffffff, 4, CRIA_EFORMAT, "does not end at");
    out_free(&z.o);
}

static void lies_in_the_directory(void **state) {
    (void)state;
    struct zip_out z = two_members("");
    const size_t c = z.m[0].central, d = z.m[1].central;
    assert_lie_refused(&z.o, c + C_SIG, 0, 1, CRIA_EFORMAT, "no entry of the ZIP directory");
    assert_lie_refused(&z.o, d + C_FLAGS, 1, 2, CRIA_EUNSUPPORTED, "\"b.npy\" is encrypted");
    assert_lie_refused(&z.o, d + C_FLAGS, 1 << 6, 2, CRIA_EUNSUPPORTED, "is encrypted");
    assert_lie_refused(&z.o, d + C_FLAGS, 1 << 13, 2, CRIA_EUNSUPPORTED, "is encrypted");
    assert_lie_refused(&z.o, d + C_FLAGS, 1 << 5, 2, CRIA_EUNSUPPORTED, "patched data");
    const char *methods[] = {"1 (unknown)", "9 (deflate64)", "12 (bzip2)", "14 (LZMA)",
                             "20 (zstd)",   "93 (zstd)",     "95 (xz)",    "99 (AES encryption)"};
    for (size_t i = 0; i < N_ITEMS(methods); i++)
        assert_lie_refused(&z.o, d + C_METHOD, strtoul(methods[i], NULL, 10), 2, CRIA_EUNSUPPORTED,
                           methods[i]);
    assert_lie_refused(&z.o, c + C_METHOD, 8, 2, CRIA_EFORMAT, "contradicts");
    assert_lie_refused(&z.o, c + C_CSIZE, 0xfffffffe, 4, CRIA_EFORMAT, "claims 4294967294 bytes in a file");
    assert_lie_refused(&z.o, c + C_CSIZE, 0, 4, CRIA_EFORMAT, "stored without compression");
    assert_lie_refused(&z.o, c + C_USIZE, 0, 4, CRIA_EFORMAT, "stored without compression");
    assert_lie_refused(&z.o, c + C_USIZE, 0xffffffff, 4, CRIA_EFORMAT, "lacks its ZIP64 sizes");
    assert_lie_refused(&z.o, c + C_LOCAL, 0xffffffff, 4, CRIA_EFORMAT, "lacks its ZIP64 sizes");
    assert_lie_refused(&z.o, c + C_NAME_LEN, 0, 2, CRIA_EFORMAT, "name of a member");
    assert_lie_refused(&z.o, c + C_NAME_LEN, 4, 2, CRIA_EFORMAT, "contradicts");
    assert_lie_refused(&z.o, c + C_NAME_LEN, 0xffff, 2, CRIA_EFORMAT, "beyond its end");
    assert_lie_refused(&z.o, c + C_EXTRA_LEN, 0xffff, 2, CRIA_EFORMAT, "beyond its end");
    assert_lie_refused(&z.o, c + C_COMMENT_LEN, 0xffff, 2, CRIA_EFORMAT, "beyond its end");
    assert_lie_refused(&z.o, c + C_DISK, 1, 2, CRIA_EUNSUPPORTED, "several disks");
    assert_lie_refused(&z.o, c + C_LOCAL, z.directory, 4, CRIA_EFORMAT,
                       "behind the start of the ZIP directory");
    assert_lie_refused(&z.o, c + C_LOCAL, z.directory - 29, 4, CRIA_EFORMAT, "no local header");
    assert_lie_refused(&z.o, c + C_LOCAL, 1, 4, CRIA_EFORMAT, "no local header");
    assert_lie_refused(&z.o, c + C_LOCAL, z.m[1].local, 4, CRIA_EFORMAT, "contradicts");
    assert_lie_refused(&z.o, c + C_NAME, 'x', 1, CRIA_EFORMAT, "contradicts");
    assert_lie_refused(&z.o, c + C_NAME, 0, 1, CRIA_EFORMAT, "name of a member"); /* "\0.npy" would be "" */
    assert_lie_refused(&z.o, c + C_NAME, 0xff, 1, CRIA_EFORMAT, "name of a member");
    out_free(&z.o);
}

static void lies_in_local_headers(void **state) {
    (void)state;
    struct zip_out z = two_members("");
    const size_t l = z.m[0].local;
    assert_lie_refused(&z.o, z.m[1].local + L_SIG, 0, 1, CRIA_EFORMAT, "no local header");
    assert_lie_refused(&z.o, l + L_FLAGS, 1, 2, CRIA_EFORMAT, "contradicts");
    assert_lie_refused(&z.o, l + L_METHOD, 8, 2, CRIA_EFORMAT, "contradicts");
    assert_lie_refused(&z.o, l + L_NAME_LEN, 4, 2, CRIA_EFORMAT, "contradicts");
    assert_lie_refused(&z.o, l + L_NAME_LEN, 0xffff, 2, CRIA_EFORMAT, "reaches into the ZIP directory");
    assert_lie_refused(&z.o, l + L_EXTRA_LEN, 0xffff, 2, CRIA_EFORMAT, "reaches into the ZIP directory");
    assert_lie_refused(&z.o, l + L_NAME, 'x', 1, CRIA_EFORMAT, "contradicts");
    assert_lie_refused(&z.o, l + L_CSIZE, 1, 4, CRIA_EFORMAT, "the sizes in a local header");
    assert_lie_refused(&z.o, l + L_USIZE, 1, 4, CRIA_EFORMAT, "the sizes in a local header");
    /* All three sizes lie alike: the directory lies within what the member claims. */
    set(&z.o, z.m[0].central + C_CSIZE, z.directory, 4);
    set(&z.o, z.m[0].central + C_USIZE, z.directory, 4);
    set(&z.o, l + L_CSIZE, z.directory, 4);
    assert_lie_refused(&z.o, l + L_USIZE, z.directory, 4, CRIA_EFORMAT, "before the ZIP directory");
    for (size_t field = 0; field < 2; field++) {
        set(&z.o, z.m[0].central + C_CSIZE + 4 * field, z.m[0].csize, 4);
        set(&z.o, l + L_CSIZE + 4 * field, z.m[0].csize, 4);
    }
    /* A longer extra field moves the data into the next member. */
    assert_lie_refused(&z.o, l + L_EXTRA_LEN, 4, 2, CRIA_EFORMAT, "overlap");
    out_free(&z.o);
}

/* One entry that covers another, as in quoted-overlap bombs: both list the same bytes. */
static void overlapping_members(void **state) {
    (void)state;
    struct zip_out inner = two_members("");
    struct zip_out z = {.n = 0};
    zip_add(&z, "a.npy", inner.o.p, inner.directory, 0); /* the data of the first holds both others whole */
    zip_add(&z, "b.npy", inner.o.p, inner.directory, 0);
    zip_finish(&z, "");
    set(&z.o, z.m[1].central + C_LOCAL, z.m[0].data + inner.m[1].local, 4);
    set(&z.o, z.m[1].central + C_METHOD, 8, 2);
    set(&z.o, z.m[1].central + C_CSIZE, inner.m[1].csize, 4);
    set(&z.o, z.m[1].central + C_USIZE, inner.m[1].usize, 4);
    assert_refused(&z.o, CRIA_EFORMAT, "\"a.npy\" ends at byte");
    out_free(&z.o);
    /* The same member listed twice. */
    set(&inner.o, inner.m[1].central + C_LOCAL, 0, 4);
    set(&inner.o, inner.m[1].central + C_METHOD, 0, 2);
    set(&inner.o, inner.m[1].central + C_NAME, 'a', 1);
    set(&inner.o, inner.m[1].central + C_CSIZE, inner.m[0].csize, 4);
    assert_refused(&inner.o, CRIA_EFORMAT, "overlap");
    out_free(&inner.o);
}

static void what_does_not_inflate(void **state) {
    (void)state;
    struct zip_out z = two_members("");
    const struct zip_out_member *m = &z.m[1];
    assert_lie_refused(&z.o, m->central + C_CRC, m->crc ^ 1, 4, CRIA_EFORMAT, "CRC-32");
    assert_lie_refused(&z.o, m->data + 20, 0xaa, 1, CRIA_EFORMAT, "CRC-32");
    assert_lie_refused(&z.o, m->data, 7, 1, CRIA_EFORMAT, "does not inflate"); /* the reserved block type */
    const size_t sizes[] = {m->usize - 1, m->usize + 1, 0};
    for (size_t i = 0; i < N_ITEMS(sizes); i++) {
        set(&z.o, m->local + L_USIZE, sizes[i], 4);
        assert_lie_refused(&z.o, m->central + C_USIZE, sizes[i], 4, CRIA_EFORMAT, "does not inflate");
    }
    out_free(&z.o);
}

/* Memory is taken only for what deflate could make of the bytes at its best. */
static void zip_bombs(void **state) {
    (void)state;
    struct zip_out z = two_members("");
    const struct zip_out_member *m = &z.m[1];
    const size_t most = m->csize * 1032;
    const size_t sizes[] = {most + 1, most + 1031, most + 1032, 0xfffffffe};
    for (size_t i = 0; i < N_ITEMS(sizes); i++)
        assert_lie_refused(&z.o, m->central + C_USIZE, sizes[i], 4, CRIA_EFORMAT, "1032-fold");
    set(&z.o, m->central + C_USIZE, most, 4);
    set(&z.o, m->local + L_USIZE, most, 4);
    struct opened x;
    open_bytes(&x, z.o.p, z.o.len, -1);
    assert_int_equal(x.status, CRIA_EFORMAT);
    assert_non_null(strstr(x.err.msg, "does not inflate"));
    assert_true(x.alloc.bytes < 16384 + 1032 * z.o.len);
    shut(&x);
    out_free(&z.o);
}

/* Sizes after the data, as archives written to a pipe have: the local header says 0. */
static void data_descriptor(void **state) {
    (void)state;
    struct zip_out z = two_members("");
    for (int k = 0; k < 2; k++) {
        set(&z.o, z.m[k].local + L_FLAGS, 8, 2);
        set(&z.o, z.m[k].central + C_FLAGS, 8, 2);
        set(&z.o, z.m[k].local + 14, 0, 4);
        set(&z.o, z.m[k].local + L_CSIZE, 0, 4);
        set(&z.o, z.m[k].local + L_USIZE, 0, 4);
    }
    struct opened x;
    open_bytes(&x, z.o.p, z.o.len, -1);
    assert_int_equal(x.status, CRIA_OK);
    touch(x.c);
    shut(&x);
    out_free(&z.o);
}

/* ---- ZIP64 ------------------------------------------------------------------------------- */

struct zip64 {
    struct out o;
    size_t central, extra, end64, locator, end;
};

/* The records at the end, of a directory of n entries that begins at a->central; a->o begins at the archive's byte
 * base. */
static void put_ends64(struct zip64 *a, uint64_t n, uint64_t base) {
    struct out *o = &a->o;
    a->end64 = put(o, "PK\6\6", 4);
    put_uint(o, 44, 8);
    put_zeros(o, 12);
    put_uint(o, n, 8);
    put_uint(o, n, 8);
    put_uint(o, a->end64 - a->central, 8);
    put_uint(o, base + a->central, 8);
    a->locator = put(o, "PK\6\7\0\0\0\0", 8);
    put_uint(o, base + a->end64, 8);
    put_uint(o, 1, 4);
    a->end = put(o, "PK\5\6\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0", 22);
}

/* One stored member, all of whose sizes and offsets are only in ZIP64 records. */
static struct zip64 zip64_archive(void) {
    struct zip_out z = {.n = 0};
    struct out npy = {NULL, 0, 0};
    put_npy(&npy, 1, DICT("<f4", "False", "(3,)"), 12);
    zip_add(&z, "a.npy", npy.p, npy.len, 0);
    struct zip64 a = {.o = z.o};
    struct out *o = &a.o;
    set(o, L_CSIZE, 0xffffffffffffffff, 8);
    a.central = put(o, "PK\1\2\x2d\0\x2d\0\0\0\0\0\0\0\0\0", 16);
    put_uint(o, z.m[0].crc, 4);
    put_uint(o, 0xffffffffffffffff, 8);
    put_uint(o, 5, 2);
    put_uint(o, 5 + 28, 2); /* a foreign extra field before ours */
    put_zeros(o, 10);
    put_uint(o, 0xffffffff, 4);
    put(o, "a.npy\x99\x99\1\0x", 10);
    a.extra = put_uint(o, 1, 2);
    put_uint(o, 24, 2);
    put_uint(o, npy.len, 8);
    put_uint(o, npy.len, 8);
    put_uint(o, 0, 8);
    put_ends64(&a, 1, 0);
    out_free(&npy);
    return a;
}

static void zip64_fields(void **state) {
    (void)state;
    struct zip64 a = zip64_archive();
    struct opened x;
    open_bytes(&x, a.o.p, a.o.len, -1);
    if (x.status != CRIA_OK) fail_msg("%s", x.err.msg);
    assert_int_equal(cria_container_find(x.c, "a")->nbytes, 12);
    shut(&x);
    assert_robust(&a.o, true);
    out_free(&a.o);
}

static void put_entry64(struct out *o, const char *name, uint32_t crc, uint64_t size, uint64_t local) {
    put(o, "PK\1\2\x2d\0\x2d\0\0\0\0\0\0\0\0\0", 16);
    put_uint(o, crc, 4);
    put_uint(o, 0xffffffffffffffff, 8);
    put_uint(o, strlen(name), 2);
    put_uint(o, 28, 2);
    put_zeros(o, 10);
    put_uint(o, 0xffffffff, 4);
    put(o, name, strlen(name));
    put_uint(o, 1 | 24 << 16, 4);
    put_uint(o, size, 8);
    put_uint(o, size, 8);
    put_uint(o, local, 8);
}

/* A file with a hole of 4 GiB of zeros as its first member, so that the second and the directory lie behind it. */
static void zip64_beyond_4_gib(void **state) {
    (void)state;
    const uint64_t zeros = ((uint64_t)4 << 30) + 256;
    struct out npy = {NULL, 0, 0}, head = {NULL, 0, 0};
    put_npy(&npy, 1, DICT("|u1", "False", "(16777217, 256)"), 0);
    const uint64_t size = npy.len + zeros;
    put(&head, "PK\3\4\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\5\0\x14\0z.npy", 35);
    put_uint(&head, 1 | 16 << 16, 4);
    put_uint(&head, size, 8);
    put_uint(&head, size, 8);
    put(&head, npy.p, npy.len);
    out_free(&npy);

    const uint64_t base = head.len + zeros;
    put_npy(&npy, 1, DICT("<f4", "False", "(3,)"), 12);
    struct zip_out z = {.n = 0};
    zip_add(&z, "a.npy", npy.p, npy.len, 0);
    struct zip64 a = {.o = z.o, .central = z.o.len};
    put_entry64(&a.o, "z.npy", 0, size, 0);
    put_entry64(&a.o, "a.npy", z.m[0].crc, npy.len, base);
    put_ends64(&a, 2, base);

    struct scratch scratch;
    char path[512];
    scratch_new(&scratch);
    const int fd = open(scratch_path(&scratch, "w.npz", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(pwrite(fd, head.p, head.len, 0), head.len);
    assert_int_equal(pwrite(fd, a.o.p, a.o.len, (off_t)base), a.o.len);
    close(fd);
    struct opened x = {.c = NULL};
    counting_alloc_init(&x.alloc.blocks, -1);
    x.ctx.allocator = (cria_allocator){byte_alloc_alloc, counting_alloc_free, &x.alloc};
    if (cria_container_open(&x.ctx, path, &x.c, &x.err) != CRIA_OK) fail_msg("%s", x.err.msg);
    assert_true(cria_container_find(x.c, "z")->nbytes == zeros);
    assert_int_equal(cria_container_find(x.c, "z")->data[zeros - 1], 0);
    const cria_tensor *t = cria_container_find(x.c, "a");
    assert_true(t->nbytes == 12 && memcmp(t->data, "\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c", 12) == 0);
    shut(&x);
    scratch_free(&scratch);
    out_free(&npy);
    out_free(&head);
    out_free(&a.o);
}

static void zip64_lies(void **state) {
    (void)state;
    struct zip64 a = zip64_archive();
    const uint64_t huge = 0xfffffffffffffff0;
    assert_lie_refused(&a.o, a.locator + 8, huge, 8, CRIA_EFORMAT, "points to no ZIP64");
    assert_lie_refused(&a.o, a.locator + 8, a.end64 - 1, 8, CRIA_EFORMAT, "points to no ZIP64");
    assert_lie_refused(&a.o, a.locator, 0, 1, CRIA_EFORMAT, "does not end at");
    assert_lie_refused(&a.o, a.end64 + 4, huge, 8, CRIA_EFORMAT, "does not reach its locator");
    assert_lie_refused(&a.o, a.end64 + 4, 43, 8, CRIA_EFORMAT, "does not reach its locator");
    assert_lie_refused(&a.o, a.end64 + 16, 1, 4, CRIA_EUNSUPPORTED, "several disks");
    assert_lie_refused(&a.o, a.end64 + 24, 2, 8, CRIA_EUNSUPPORTED, "several disks");
    assert_lie_refused(&a.o, a.end64 + 40, huge, 8, CRIA_EFORMAT, "does not end at");
    assert_lie_refused(&a.o, a.end64 + 48, huge, 8, CRIA_EFORMAT, "does not end at");
    assert_lie_refused(&a.o, a.end + E_N, 2, 2, CRIA_EUNSUPPORTED, "several disks");
    assert_lie_refused(&a.o, a.end + E_OFFSET, 0, 4, CRIA_EFORMAT, "contradicts the end record");
    assert_lie_refused(&a.o, a.end + E_SIZE, 1, 4, CRIA_EFORMAT, "contradicts the end record");
    assert_lie_refused(&a.o, a.extra, 2, 2, CRIA_EFORMAT, "lacks its ZIP64 sizes");
    assert_lie_refused(&a.o, a.extra + 2, 23, 2, CRIA_EFORMAT, "lacks its ZIP64 sizes");
    assert_lie_refused(&a.o, a.extra + 2, 25, 2, CRIA_EFORMAT, "lacks its ZIP64 sizes");
    assert_lie_refused(&a.o, a.extra + 4, huge, 8, CRIA_EFORMAT, "stored without compression");
    assert_lie_refused(&a.o, a.extra + 12, huge, 8, CRIA_EFORMAT, "in a file of");
    assert_lie_refused(&a.o, a.extra + 20, huge, 8, CRIA_EFORMAT, "behind the start");
    /* As many members as only ZIP64 can say. */
    set(&a.o, a.end64 + 24, huge, 8);
    assert_lie_refused(&a.o, a.end64 + 32, huge, 8, CRIA_EFORMAT, "claims 18446744073709551600 members");
    out_free(&a.o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_members),
        cmocka_unit_test(empty_archive),
        cmocka_unit_test(any_damage_is_safe),
        cmocka_unit_test(lies_in_the_end_record),
        cmocka_unit_test(lies_in_the_directory),
        cmocka_unit_test(lies_in_local_headers),
        cmocka_unit_test(overlapping_members),
        cmocka_unit_test(what_does_not_inflate),
        cmocka_unit_test(zip_bombs),
        cmocka_unit_test(data_descriptor),
        cmocka_unit_test(zip64_fields),
        cmocka_unit_test(zip64_lies),
        cmocka_unit_test(zip64_beyond_4_gib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
