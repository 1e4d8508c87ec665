/* SPDX-License-Identifier: Apache-2.0 */
/* What a container's identity notices: headers, names, the start of every tensor, sizes and times; and that it does not
 * notice paths, nor reads more of a tensor than it says. */
#include "format_unit.h"
#include "scratch.h"

#include <fcntl.h>

enum { BIG = 3000 }; /* floats of the second tensor: more than is sampled */

static cria_identity identify(const struct out *o) {
    struct opened x;
    cria_identity id = {0};
    open_bytes(&x, o->p, o->len, -1);
    assert_int_equal(x.status, CRIA_OK);
    assert_int_equal(cria_container_identify(x.c, &id, &x.err), CRIA_OK);
    shut(&x);
    assert_int_equal(id.n_bytes, o->len);
    return id;
}

static struct out npz(int method) {
    struct out a = {0}, b = {0};
    put_npy(&a, 1, DICT("<f4", "False", "(3,)"), 12);
    put_npy(&b, 1, DICT("<f4", "False", "(3000,)"), 4 * BIG);
    struct zip_out z = {.n = 0};
    zip_add(&z, "a.npy", a.p, a.len, method);
    zip_add(&z, "b.npy", b.p, b.len, method);
    zip_finish(&z, "");
    out_free(&a);
    out_free(&b);
    return z.o;
}

static struct out gguf(void) {
    struct out o = {0};
    gguf_begin(&o, 3, 2, 0);
    gguf_tensor(&o, "b", BIG, 1, 0, 32); /* the later one first: order in the file is what counts */
    gguf_tensor(&o, "a", 3, 1, 0, 0);
    gguf_pad(&o, 32);
    put_zeros(&o, 32 + 4 * BIG);
    return o;
}

/* Changes every byte in turn that leaves a file that opens; `unseen` counts those that do not change the identity. */
static size_t unseen_changes(struct out *o) {
    const cria_identity id = identify(o);
    size_t unseen = 0;
    for (size_t i = 0; i < o->len; i++) {
        o->p[i] ^= 0x20;
        struct opened x;
        open_bytes(&x, o->p, o->len, -1);
        if (x.status == CRIA_OK) {
            cria_identity other;
            assert_int_equal(cria_container_identify(x.c, &other, &x.err), CRIA_OK);
            unseen += other.content == id.content;
            assert_int_equal(other.stamp, id.stamp);
        }
        shut(&x);
        o->p[i] ^= 0x20;
    }
    return unseen;
}

static void all_but_the_rest_of_tensors_is_seen(void **unused) {
    (void)unused;
    struct out o = gguf();
    assert_int_equal(unseen_changes(&o), 4 * BIG - 4096);
    out_free(&o);
    o = npz(0);
    assert_int_equal(unseen_changes(&o), 4 * BIG - 4096);
    out_free(&o);
    o = npz(8); /* a damaged deflated member does not open */
    assert_int_equal(unseen_changes(&o), 0);
    out_free(&o);
}

static void sizes_and_times_but_not_paths(void **unused) {
    (void)unused;
    struct scratch s;
    scratch_new(&s);
    struct out o = gguf();
    cria_identity id[4];
    const char *const names[] = {"a", "b", "b", "b"};
    const struct timespec early[2] = {{1000, 1}, {1000, 1}}, later[2] = {{1000, 1}, {1000, 2}};
    for (int i = 0; i < 4; i++) {
        char path[512];
        cria_ctx ctx = {.allocator = cria_allocator_libc()};
        cria_container *c = NULL;
        if (i == 3) put_zeros(&o, 1);
        scratch_write(&s, names[i], o.p, o.len);
        assert_int_equal(utimensat(AT_FDCWD, scratch_path(&s, names[i], path), i == 2 ? later : early, 0), 0);
        assert_int_equal(cria_container_open(&ctx, path, &c, NULL), CRIA_OK);
        assert_int_equal(cria_container_identify(c, &id[i], NULL), CRIA_OK);
        cria_container_close(c);
    }
    assert_memory_equal(&id[0], &id[1], sizeof *id);
    assert_int_equal(id[0].content, id[2].content);
    assert_int_not_equal(id[0].stamp, id[2].stamp);
    assert_int_not_equal(id[0].stamp, id[3].stamp);
    out_free(&o);
    scratch_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_but_the_rest_of_tensors_is_seen),
                                       cmocka_unit_test(sizes_and_times_but_not_paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
