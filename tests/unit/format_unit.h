/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of format/: writers of small .npy, .zip and .gguf files, byte by byte, that remember where
 * each record begins so that a test can put a lie into it; and an opening under guard.
 */
#ifndef CRIA_TESTS_FORMAT_UNIT_H
#define CRIA_TESTS_FORMAT_UNIT_H

#include "unit.h"
#include "base/ctx.h"
#include "counting_alloc.h"
#include "format/container.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- growing bytes ----------------------------------------------------------------------- */

struct out {
    uint8_t *p;
    size_t len, cap;
};

static inline size_t put(struct out *o, const void *data, size_t len) {
    const size_t at = o->len;
    if (o->len + len > o->cap) {
        o->cap = 2 * (o->len + len);
        o->p = realloc(o->p, o->cap);
        assert_non_null(o->p);
    }
    if (len != 0) memcpy(o->p + at, data, len);
    o->len += len;
    return at;
}
static inline void set(struct out *o, size_t at, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) o->p[at + (size_t)i] = (uint8_t)(v >> 8 * i);
}
static inline size_t put_uint(struct out *o, uint64_t v, int bytes) {
    const uint8_t zeros[8] = {0};
    const size_t at = put(o, zeros, (size_t)bytes);
    set(o, at, v, bytes);
    return at;
}
static inline size_t put_zeros(struct out *o, size_t n) {
    const size_t at = o->len;
    while (n-- > 0) put(o, "", 1);
    return at;
}
static inline void out_free(struct out *o) {
    free(o->p);
    *o = (struct out){NULL, 0, 0};
}

/* ---- .npy -------------------------------------------------------------------------------- */

/* A whole array with any dict and n_data bytes 1, 2, 3, … */
static inline void put_npy(struct out *o, int version, const char *dict, size_t n_data) {
    put(o, "\x93NUMPY", 6);
    put_uint(o, (uint64_t)version, 2);
    put_uint(o, strlen(dict), version == 1 ? 2 : 4);
    put(o, dict, strlen(dict));
    for (size_t i = 1; i <= n_data; i++) put_uint(o, i, 1);
}
#define DICT(descr, order, shape)                                                                            \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }   \n"

/* ---- .zip -------------------------------------------------------------------------------- */

enum { ZIP_MAX = 8 };

struct zip_out {
    struct out o;
    int n;
    struct zip_out_member {
        const char *name;
        size_t local, data, csize, usize, central;
        uint32_t crc;
        int method;
    } m[ZIP_MAX];
    size_t directory, end; /* offsets of the first central entry and of the end record */
};

static inline uint32_t crc32_of(const uint8_t *p, size_t len) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* method 0, or 8 with one deflate block that is stored. */
static inline void zip_add(struct zip_out *z, const char *name, const void *data, size_t len, int method) {
    assert_true(z->n < ZIP_MAX && len < 65536);
    struct zip_out_member *m = &z->m[z->n++];
    *m = (struct zip_out_member){.name = name, .local = z->o.len, .usize = len, .method = method};
    m->crc = crc32_of(data, len);
    m->csize = method == 8 ? len + 5 : len;
    put(&z->o, "PK\3\4\x14\0\0\0", 8);
    put_uint(&z->o, (uint64_t)method, 2);
    put_uint(&z->o, 0, 4);
    put_uint(&z->o, m->crc, 4);
    put_uint(&z->o, m->csize, 4);
    put_uint(&z->o, m->usize, 4);
    put_uint(&z->o, strlen(name), 2);
    put_uint(&z->o, 3, 2); /* an extra field of three bytes: data at odd places */
    put(&z->o, name, strlen(name));
    put_zeros(&z->o, 3);
    m->data = z->o.len;
    if (method == 8) {
        put_uint(&z->o, 1, 1);
        put_uint(&z->o, len, 2);
        put_uint(&z->o, ~len & 0xffff, 2);
    }
    put(&z->o, data, len);
}

static inline void zip_finish(struct zip_out *z, const char *comment) {
    z->directory = z->o.len;
    for (int i = 0; i < z->n; i++) {
        struct zip_out_member *m = &z->m[i];
        m->central = put(&z->o, "PK\1\2\x14\0\x14\0\0\0", 10);
        put_uint(&z->o, (uint64_t)m->method, 2);
        put_uint(&z->o, 0, 4);
        put_uint(&z->o, m->crc, 4);
        put_uint(&z->o, m->csize, 4);
        put_uint(&z->o, m->usize, 4);
        put_uint(&z->o, strlen(m->name), 2);
        put_zeros(&z->o, 12); /* extra, comment, disk, attributes */
        put_uint(&z->o, m->local, 4);
        put(&z->o, m->name, strlen(m->name));
    }
    z->end = put(&z->o, "PK\5\6\0\0\0\0", 8);
    put_uint(&z->o, (uint64_t)z->n, 2);
    put_uint(&z->o, (uint64_t)z->n, 2);
    put_uint(&z->o, z->end - z->directory, 4);
    put_uint(&z->o, z->directory, 4);
    put_uint(&z->o, strlen(comment), 2);
    put(&z->o, comment, strlen(comment));
}

/* ---- .gguf ------------------------------------------------------------------------------- */

static inline void gguf_begin(struct out *o, uint32_t version, uint64_t n_tensors, uint64_t n_metas) {
    put(o, "GGUF", 4);
    put_uint(o, version, 4);
    put_uint(o, n_tensors, 8);
    put_uint(o, n_metas, 8);
}
static inline size_t gguf_string(struct out *o, const char *s) {
    const size_t at = put_uint(o, strlen(s), 8);
    put(o, s, strlen(s));
    return at;
}
/* Key and type; the value follows. Returns where the key begins. */
static inline size_t gguf_key(struct out *o, const char *key, uint32_t type) {
    const size_t at = gguf_string(o, key);
    put_uint(o, type, 4);
    return at;
}
/* A tensor of two dimensions, innermost n0. Returns where its number of dimensions is: + 4 the dimensions, +
 * 20 the type, + 24 the offset. */
static inline size_t gguf_tensor(struct out *o, const char *name, uint64_t n0, uint64_t n1, uint32_t type,
                                 uint64_t offset) {
    gguf_string(o, name);
    const size_t at = put_uint(o, 2, 4);
    put_uint(o, n0, 8);
    put_uint(o, n1, 8);
    put_uint(o, type, 4);
    put_uint(o, offset, 8);
    return at;
}
static inline void gguf_pad(struct out *o, size_t alignment) {
    while (o->len % alignment != 0) put(o, "", 1);
}

/* ---- opening ----------------------------------------------------------------------------- */

/* Counts blocks (counting_alloc) and, on top, bytes. */
struct byte_alloc {
    struct counting_alloc blocks;
    size_t bytes; /* the sum of all that was asked for */
};
static inline void *byte_alloc_alloc(void *user, size_t bytes) {
    struct byte_alloc *a = user;
    a->bytes += bytes;
    return counting_alloc_alloc(&a->blocks, bytes);
}

struct opened {
    struct byte_alloc alloc;
    cria_ctx ctx;
    uint8_t *block; /* exact copy of the file, so that AddressSanitizer sees each byte too far */
    cria_container *c;
    cria_status status;
    cria_error err;
};

/* fail_at as in counting_alloc. Close with shut(), also after a failure. */
static inline void open_bytes(struct opened *x, const uint8_t *data, size_t len, long fail_at) {
    memset(x, 0, sizeof *x);
    counting_alloc_init(&x->alloc.blocks, fail_at);
    x->ctx.allocator = (cria_allocator){byte_alloc_alloc, counting_alloc_free, &x->alloc};
    x->block = malloc(len != 0 ? len : 1);
    assert_non_null(x->block);
    if (len != 0) memcpy(x->block, data, len);
    x->status = cria_container_open_memory(&x->ctx, len != 0 ? x->block : NULL, len, "file", &x->c, &x->err);
    if (x->status == CRIA_OK) return;
    assert_null(x->c); /* untouched on failure */
    assert_int_equal(x->err.code, x->status);
    const size_t n = strlen(x->err.msg);
    assert_true(n > 20 && x->err.msg[n - 1] == '.');
    assert_int_equal(atomic_load(&x->alloc.blocks.live), 0);
}
static inline void shut(struct opened *x) {
    cria_container_close(x->c);
    assert_int_equal(atomic_load(&x->alloc.blocks.live), 0);
    free(x->block);
}

/* Reads the first and the last byte of every tensor and walks all metadata. */
static inline unsigned touch(const cria_container *c) {
    unsigned sum = 0;
    for (size_t i = 0; i < cria_container_count(c); i++) {
        const cria_tensor *t = cria_container_at(c, i);
        assert_ptr_equal(cria_container_find(c, t->name), t);
        if (t->nbytes != 0) sum += t->data[0] + t->data[t->nbytes - 1];
    }
    for (size_t i = 0; i < cria_meta_count(c); i++) {
        cria_meta_iter it = cria_meta_begin(cria_meta_at(c, i));
        cria_str s;
        double f;
        while (cria_meta_next_str(&it, &s)) sum += s.len != 0 ? (unsigned char)s.data[s.len - 1] : 0;
        while (cria_meta_next_f64(&it, &f)) sum += f > 0;
    }
    return sum;
}

/* No file may ask for more than this, all allocations together: 72 + 4 bytes a ZIP entry of at least 46, 56 +
 * 4 a metadata pair of at least 14, 64 + 8 + 4 + 4 a tensor of at least 33, and names; and a few blocks of 4
 * KB. */
static inline void assert_modest(const struct opened *x, size_t len) {
    assert_true(x->alloc.bytes <= 16384 + 6 * len);
}

/* The file must be refused with this status and a message that has this text in it. */
#define assert_refused(o, want, text) assert_refused_at(o, want, text, __FILE__, __LINE__)
static inline void assert_refused_at(const struct out *o, cria_status want, const char *text,
                                     const char *file, int line) {
    struct opened x;
    open_bytes(&x, o->p, o->len, -1);
    if (x.status != want || strstr(x.err.msg, text) == NULL) {
        print_error("status %d, \"%s\"; wanted %d, \"%s\"\n", (int)x.status, x.status ? x.err.msg : "",
                    (int)want, text);
        _fail(file, line);
    }
    assert_modest(&x, o->len);
    shut(&x);
}

/* The same with one field of the file changed, for the time of the test. */
#define assert_lie_refused(o, at, v, bytes, want, text)                                                      \
    assert_lie_refused_at(o, at, v, bytes, want, text, __FILE__, __LINE__)
static inline void assert_lie_refused_at(struct out *o, size_t at, uint64_t v, int bytes, cria_status want,
                                         const char *text, const char *file, int line) {
    uint8_t kept[8];
    memcpy(kept, o->p + at, (size_t)bytes);
    set(o, at, v, bytes);
    assert_refused_at(o, want, text, file, line);
    memcpy(o->p + at, kept, (size_t)bytes);
}

/* Every shorter file must be refused, or (false) at least be safe to use; every allocation may fail; and each
 * byte changed to each of some values must be refused or give a container that is safe to touch. */
static inline void assert_robust(const struct out *o, bool prefixes_refused) {
    struct opened x;
    for (size_t len = 0; len < o->len; len++) {
        open_bytes(&x, o->p, len, -1);
        if (prefixes_refused) assert_int_not_equal(x.status, CRIA_OK);
        if (x.status == CRIA_OK) touch(x.c);
        shut(&x);
    }
    for (long fail_at = 0;; fail_at++) {
        open_bytes(&x, o->p, o->len, fail_at);
        const cria_status status = x.status;
        shut(&x);
        if (status == CRIA_OK) break;
        assert_int_equal(status, CRIA_ENOMEM);
        assert_true(fail_at < 1000);
    }
    const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    uint8_t *changed = malloc(o->len);
    assert_non_null(changed);
    memcpy(changed, o->p, o->len);
    for (size_t i = 0; i < o->len; i++) {
        for (size_t v = 0; v < N_ITEMS(values); v++) {
            changed[i] = values[v];
            open_bytes(&x, changed, o->len, -1);
            if (x.status == CRIA_OK) touch(x.c);
            assert_modest(&x, o->len);
            shut(&x);
        }
        changed[i] = o->p[i];
    }
    free(changed);
}

#endif
