/* SPDX-License-Identifier: Apache-2.0 */
#include "format_unit.h"
#include "format/gguf.h"
#include <math.h>

/* Offsets of what a test lies about. */
struct sample {
    struct out o;
    size_t n_tensors, n_metas;                     /* counts */
    size_t alignment, array, strings, bools, text; /* keys */
    size_t a, b;                                   /* the tensors' dimensions */
    size_t data;
};

/* Two tensors and one metadata pair of every shape. */
static struct sample sample(uint32_t version) {
    struct sample s = {.n_tensors = 8, .n_metas = 16};
    struct out *o = &s.o;
    gguf_begin(o, version, 2, 7);
    s.text = gguf_key(o, "general.architecture", CRIA_GGUF_STRING);
    gguf_string(o, "llama");
    s.alignment = gguf_key(o, "general.alignment", CRIA_GGUF_U32);
    put_uint(o, 64, 4);
    s.array = gguf_key(o, "ids", CRIA_GGUF_ARRAY);
    put_uint(o, CRIA_GGUF_I32, 4);
    put_uint(o, 3, 8);
    for (int i = 0; i < 3; i++) put_uint(o, (uint64_t)(i - 1), 4);
    s.strings = gguf_key(o, "tokens", CRIA_GGUF_ARRAY);
    put_uint(o, CRIA_GGUF_STRING, 4);
    put_uint(o, 3, 8);
    gguf_string(o, "<s>");
    gguf_string(o, "");
    gguf_string(o, "\xff");
    s.bools = gguf_key(o, "flags", CRIA_GGUF_ARRAY);
    put_uint(o, CRIA_GGUF_BOOL, 4);
    put_uint(o, 2, 8);
    put_uint(o, 0x0100, 2);
    gguf_key(o, "eps", CRIA_GGUF_F32);
    put(o, "\x00\x00\x80\x3e", 4); /* 0.25 */
    gguf_key(o, "bos", CRIA_GGUF_BOOL);
    put_uint(o, 1, 1);
    s.a = gguf_tensor(o, "a", 3, 2, 0, 64); /* F32: 24 bytes, second in the data */
    s.b = gguf_tensor(o, "b", 32, 2, 2, 0); /* Q4_0: 36 bytes, first */
    gguf_pad(o, 64);
    s.data = put_zeros(o, 64 + 24);
    o->p[s.data] = 11;
    o->p[s.data + 64] = 22;
    return s;
}

static void reads_everything(void **state) {
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct sample s = sample(version);
        struct opened x;
        open_bytes(&x, s.o.p, s.o.len, -1);
        if (x.status != CRIA_OK) fail_msg("%s", x.err.msg);
        assert_modest(&x, s.o.len);
        assert_int_equal(cria_container_kind(x.c), CRIA_CONTAINER_GGUF);
        assert_int_equal(cria_container_count(x.c), 2);
        const cria_tensor *a = cria_container_find(x.c, "a"), *b = cria_container_find(x.c, "b");
        assert_ptr_equal(a, cria_container_at(x.c, 0));
        assert_true(a->dtype == CRIA_DTYPE_F32 && a->ndim == 2 && a->shape[0] == 2 && a->shape[1] == 3);
        assert_true(a->nbytes == 24 && a->data == x.block + s.data + 64 && a->data[0] == 22);
        assert_true(b->dtype == CRIA_DTYPE_Q4_0 && b->shape[0] == 2 && b->shape[1] == 32);
        assert_true(b->nbytes == 36 && b->data == x.block + s.data && b->data[0] == 11);

        assert_int_equal(cria_meta_count(x.c), 7);
        assert_int_equal(cria_meta_at(x.c, 0)->type, CRIA_META_STRING);
        cria_str text;
        assert_true(cria_meta_str(x.c, "general.architecture", &text));
        assert_true(text.len == 5 && memcmp(text.data, "llama", 5) == 0);
        double f;
        assert_true(cria_meta_f64(x.c, "eps", &f) && f == 0.25);
        bool bos = false;
        assert_true(cria_meta_bool(x.c, "bos", &bos) && bos);
        assert_null(cria_meta_find(x.c, "general"));
        assert_null(cria_meta_find(x.c, "general.architecture2"));
        assert_null(cria_meta_find(x.c, ""));
        shut(&x);
        out_free(&s.o);
    }
}

static void walks_arrays(void **state) {
    (void)state;
    struct sample s = sample(3);
    struct opened x;
    open_bytes(&x, s.o.p, s.o.len, -1);
    assert_int_equal(x.status, CRIA_OK);

    cria_str str;
    int64_t i;
    double f;
    cria_meta_iter it = cria_meta_begin(cria_meta_find(x.c, "ids"));
    assert_false(cria_meta_next_str(&it, &str));
    assert_true(cria_meta_next_i64(&it, &i) && i == -1);
    assert_true(cria_meta_next_f64(&it, &f) && f == 0);
    assert_true(cria_meta_next_i64(&it, &i) && i == 1);
    assert_false(cria_meta_next_i64(&it, &i));
    assert_false(cria_meta_next_f64(&it, &f));

    it = cria_meta_begin(cria_meta_find(x.c, "tokens"));
    assert_false(cria_meta_next_i64(&it, &i));
    assert_true(cria_meta_next_str(&it, &str) && str.len == 3 && memcmp(str.data, "<s>", 3) == 0);
    assert_true(cria_meta_next_str(&it, &str) && str.len == 0);
    assert_true(cria_meta_next_str(&it, &str) && str.len == 1);
    assert_false(cria_meta_next_str(&it, &str));

    it = cria_meta_begin(cria_meta_find(x.c, "flags")); /* bools are no numbers */
    assert_false(cria_meta_next_i64(&it, &i));
    assert_false(cria_meta_next_f64(&it, &f));
    assert_int_equal(it.left, 2);

    it = cria_meta_begin(cria_meta_find(x.c, "eps")); /* no array at all */
    assert_false(cria_meta_next_f64(&it, &f));
    shut(&x);
    out_free(&s.o);
}

/* Each scalar type with its extreme values, through every getter. */
static void converts_scalars(void **state) {
    (void)state;
    const struct {
        uint32_t type;
        int bytes;
        uint64_t stored;
        bool is_u64, is_f64;
        uint64_t u;
        double f;
    } cases[] = {
        {CRIA_GGUF_U8, 1, 0xff, true, true, 255, 255},
        {CRIA_GGUF_I8, 1, 0xff, false, true, 0, -1},
        {CRIA_GGUF_I8, 1, 0x80, false, true, 0, -128},
        {CRIA_GGUF_I8, 1, 0x7f, true, true, 127, 127},
        {CRIA_GGUF_U16, 2, 0xffff, true, true, 65535, 65535},
        {CRIA_GGUF_I16, 2, 0x8000, false, true, 0, -32768},
        {CRIA_GGUF_U32, 4, 0xffffffff, true, true, 4294967295u, 4294967295.0},
        {CRIA_GGUF_I32, 4, 0x80000000, false, true, 0, -2147483648.0},
        {CRIA_GGUF_U64, 8, UINT64_MAX, true, true, UINT64_MAX, 0x1p64},
        {CRIA_GGUF_I64, 8, (uint64_t)1 << 63, false, true, 0, -0x1p63},
        {CRIA_GGUF_I64, 8, INT64_MAX, true, true, INT64_MAX, 0x1p63},
        {CRIA_GGUF_F32, 4, 0xc0200000, false, true, 0, -2.5},
        {CRIA_GGUF_F64, 8, 0x7ff0000000000000, false, true, 0, INFINITY},
        {CRIA_GGUF_BOOL, 1, 1, false, false, 0, 0},
    };
    for (size_t k = 0; k < N_ITEMS(cases); k++) {
        struct out o = {NULL, 0, 0};
        gguf_begin(&o, 3, 0, 2);
        gguf_key(&o, "x", cases[k].type);
        put_uint(&o, cases[k].stored, cases[k].bytes);
        gguf_key(&o, "y", CRIA_GGUF_ARRAY);
        put_uint(&o, cases[k].type, 4);
        put_uint(&o, 1, 8);
        put_uint(&o, cases[k].stored, cases[k].bytes);
        struct opened x;
        open_bytes(&x, o.p, o.len, -1);
        assert_int_equal(x.status, CRIA_OK);
        uint64_t u = 7;
        double f = 7;
        cria_str s;
        assert_int_equal(cria_meta_u64(x.c, "x", &u), cases[k].is_u64);
        assert_true(u == (cases[k].is_u64 ? cases[k].u : 7));
        assert_int_equal(cria_meta_f64(x.c, "x", &f), cases[k].is_f64);
        assert_true(f == (cases[k].is_f64 ? cases[k].f : 7));
        assert_false(cria_meta_str(x.c, "x", &s));
        assert_false(cria_meta_u64(x.c, "y", &u));
        assert_false(cria_meta_u64(x.c, "z", &u));

        cria_meta_iter it = cria_meta_begin(cria_meta_find(x.c, "y"));
        int64_t i = 7;
        const bool fits = cases[k].type != CRIA_GGUF_F32 && cases[k].type != CRIA_GGUF_F64 &&
                          cases[k].type != CRIA_GGUF_BOOL && !(cases[k].is_u64 && cases[k].u > INT64_MAX);
        assert_int_equal(cria_meta_next_i64(&it, &i), fits);
        if (fits) assert_true(cases[k].is_u64 ? (uint64_t)i == cases[k].u : (double)i == cases[k].f);
        assert_int_equal(it.left, fits ? 0 : 1);
        shut(&x);
        assert_robust(&o, true);
        out_free(&o);
    }
}

static void any_damage_is_safe(void **state) {
    (void)state;
    struct sample s = sample(3);
    assert_robust(&s.o, true);
    out_free(&s.o);
}

static void versions(void **state) {
    (void)state;
    struct sample s = sample(3);
    assert_lie_refused(&s.o, 4, 1, 4, CRIA_EUNSUPPORTED, "version 1");
    assert_lie_refused(&s.o, 4, 0x03000000, 4, CRIA_EUNSUPPORTED, "big-endian");
    assert_lie_refused(&s.o, 4, 0x02000000, 4, CRIA_EUNSUPPORTED, "big-endian");
    assert_lie_refused(&s.o, 4, 4, 4, CRIA_EUNSUPPORTED, "version 4");
    assert_lie_refused(&s.o, 4, 0xffffffff, 4, CRIA_EUNSUPPORTED, "version 4294967295");
    out_free(&s.o);
}

/* Counts and lengths whose product with an item's size overflows (CVE-2024-21802, -21825, -21836, -23496,
 * -23605), or that only ask for much memory. */
static void lies_about_counts(void **state) {
    (void)state;
    struct sample s = sample(3);
    const uint64_t lies[] = {100, 0xffffffff, (uint64_t)1 << 58, (uint64_t)1 << 62, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < N_ITEMS(lies); i++) {
        assert_lie_refused(&s.o, s.n_tensors, lies[i], 8, CRIA_EFORMAT, "tensors, but the");
        assert_lie_refused(&s.o, s.n_metas, lies[i], 8, CRIA_EFORMAT, "metadata pairs, but the");
        assert_lie_refused(&s.o, s.text, lies[i] | 4096, 8, CRIA_EFORMAT, ""); /* key length */
        assert_lie_refused(&s.o, s.text + 32, lies[i] | 4096, 8, CRIA_EFORMAT,
                           "longer than"); /* string length */
        assert_lie_refused(&s.o, s.array + 19, lies[i], 8, CRIA_EFORMAT, "longer than the file");
        assert_lie_refused(&s.o, s.strings + 22, lies[i], 8, CRIA_EFORMAT, "longer than the file");
        assert_lie_refused(&s.o, s.strings + 30, lies[i] | 4096, 8, CRIA_EFORMAT, "longer than the file");
        assert_lie_refused(&s.o, s.bools + 21, lies[i] | 4096, 8, CRIA_EFORMAT, "");
    }
    assert_lie_refused(&s.o, s.n_tensors, 3, 8, CRIA_EFORMAT, "");
    assert_lie_refused(&s.o, s.n_metas, 8, 8, CRIA_EFORMAT, "");
    assert_lie_refused(&s.o, s.n_metas, 0, 8, CRIA_EFORMAT, ""); /* pairs read as tensors */
    out_free(&s.o);
}

static void lies_about_types(void **state) {
    (void)state;
    struct sample s = sample(3);
    for (uint32_t type = 13; type < 40; type++) {
        assert_lie_refused(&s.o, s.text + 28, type, 4, CRIA_EFORMAT, "unknown type");
        assert_lie_refused(&s.o, s.array + 15, type, 4, CRIA_EFORMAT, "array of an unknown type");
    }
    assert_lie_refused(&s.o, s.text + 28, 0xffffffff, 4, CRIA_EFORMAT, "unknown type");
    assert_lie_refused(&s.o, s.array + 15, 0xffffffff, 4, CRIA_EFORMAT, "array of an unknown type");
    assert_lie_refused(&s.o, s.array + 15, CRIA_GGUF_ARRAY, 4, CRIA_EUNSUPPORTED, "array of arrays");
    assert_lie_refused(&s.o, s.bools + 30, 2, 1, CRIA_EFORMAT, "not 0 or 1");
    out_free(&s.o);
}

static void lies_about_keys(void **state) {
    (void)state;
    struct sample s = sample(3);
    assert_lie_refused(&s.o, s.text, 0, 8, CRIA_EFORMAT, "is empty");
    assert_lie_refused(&s.o, s.text + 8, 0, 1, CRIA_EFORMAT, "no UTF-8");
    assert_lie_refused(&s.o, s.text + 8, 0xff, 1, CRIA_EFORMAT, "no UTF-8");
    out_free(&s.o);

    const char *keys[] = {"b", "a", "c", "a"};
    struct out o = {NULL, 0, 0};
    gguf_begin(&o, 3, 0, 4);
    for (size_t i = 0; i < N_ITEMS(keys); i++) {
        gguf_key(&o, keys[i], CRIA_GGUF_U8);
        put_uint(&o, 0, 1);
    }
    assert_refused(&o, CRIA_EFORMAT, "key \"a\" is there twice");
    out_free(&o);

    char *key = malloc(65537);
    assert_non_null(key);
    memset(key, 'k', 65536);
    for (size_t len = 65535; len <= 65536; len++) {
        key[len] = 0;
        gguf_begin(&o, 3, 0, 1);
        gguf_key(&o, key, CRIA_GGUF_U8);
        put_uint(&o, 0, 1);
        struct opened x;
        open_bytes(&x, o.p, o.len, -1);
        assert_int_equal(x.status, len == 65535 ? CRIA_OK : CRIA_EFORMAT);
        shut(&x);
        out_free(&o);
        key[len] = 'k';
    }
    free(key);
}

static void alignments(void **state) {
    (void)state;
    for (uint64_t alignment = 0; alignment <= 131072; alignment = alignment * 2 + (alignment == 0)) {
        struct out o = {NULL, 0, 0};
        gguf_begin(&o, 3, 1, 1);
        gguf_key(&o, "general.alignment", CRIA_GGUF_U32);
        const size_t at = put_uint(&o, alignment, 4);
        gguf_tensor(&o, "a", 2, 2, 0, 0);
        gguf_pad(&o, alignment != 0 ? alignment : 1);
        put_zeros(&o, 16);
        if (alignment < 8 || alignment > 65536) {
            assert_refused(&o, CRIA_EFORMAT, "general.alignment is");
        } else {
            struct opened x;
            open_bytes(&x, o.p, o.len, -1);
            assert_int_equal(x.status, CRIA_OK);
            assert_int_equal((cria_container_at(x.c, 0)->data - x.block) % (ptrdiff_t)alignment, 0);
            shut(&x);
            assert_lie_refused(&o, at, alignment + 1, 4, CRIA_EFORMAT, "general.alignment is");
            assert_lie_refused(&o, at, 0x80000000, 4, CRIA_EFORMAT, "general.alignment is");
            assert_lie_refused(&o, at - 4, CRIA_GGUF_F32, 4, CRIA_EFORMAT, "general.alignment is 0");
        }
        out_free(&o);
    }
}

static void lies_about_tensors(void **state) {
    (void)state;
    struct sample s = sample(3);
    const size_t dims = s.a + 4, type = s.a + 20, offset = s.a + 24;
    assert_lie_refused(&s.o, s.a - 9, 0, 8, CRIA_EFORMAT, ""); /* name length */
    assert_lie_refused(&s.o, s.a - 9, UINT64_MAX, 8, CRIA_EFORMAT, "within a tensor name");
    assert_lie_refused(&s.o, s.a - 1, 0, 1, CRIA_EFORMAT, "no UTF-8"); /* name */
    assert_lie_refused(&s.o, s.a - 1, 'b', 1, CRIA_EFORMAT, "tensor \"b\" is there twice");
    assert_lie_refused(&s.o, s.a, 0, 4, CRIA_EFORMAT, "0 dimensions");
    assert_lie_refused(&s.o, s.a, 5, 4, CRIA_EFORMAT, "5 dimensions");
    assert_lie_refused(&s.o, s.a, 0xffffffff, 4, CRIA_EFORMAT, "4294967295 dimensions");
    /* More bytes than the file has: read beyond the end, CVE-2026-7482. */
    assert_lie_refused(&s.o, dims, 4, 8, CRIA_EFORMAT, "32 bytes at offset 64, but there are only 88");
    /* Sizes that overflow alone, as a product, or with the padding (CVE-2025-53630, -2026-27940,
     * -2026-33298). */
    const uint64_t huge[] = {UINT64_MAX,        UINT64_MAX / 4,    UINT64_MAX / 4 - 7, (uint64_t)1 << 63,
                             (uint64_t)1 << 62, (uint64_t)1 << 61, (uint64_t)1 << 60};
    for (size_t i = 0; i < N_ITEMS(huge); i++) {
        assert_lie_refused(&s.o, dims, huge[i], 8, CRIA_EFORMAT, "tensor \"a\"");
        assert_lie_refused(&s.o, dims + 8, huge[i], 8, CRIA_EFORMAT, "tensor \"a\"");
        assert_lie_refused(&s.o, offset, huge[i] & ~(uint64_t)63, 8, CRIA_EFORMAT,
                           "only 88 bytes of tensors");
    }
    set(&s.o, dims + 8, (uint64_t)1 << 32, 8);
    assert_lie_refused(&s.o, dims, (uint64_t)1 << 32, 8, CRIA_EFORMAT, "tensor \"a\"");
    assert_lie_refused(&s.o, dims, (uint64_t)1 << 30, 8, CRIA_EFORMAT, "tensor \"a\"");
    set(&s.o, dims + 8, 2, 8);
    /* A row that is no whole block; types; places. */
    assert_lie_refused(&s.o, s.b + 4, 33, 8, CRIA_EFORMAT, "no multiple of the 32 of a block of Q4_0");
    for (uint64_t k = 10; k <= 14; k++) /* Q2_K to Q6_K */
        assert_lie_refused(&s.o, type, k, 4, CRIA_EFORMAT, "no multiple of the 256 of a block of Q");
    assert_lie_refused(&s.o, type, 15, 4, CRIA_EUNSUPPORTED, "tensor \"a\" has type 15 (Q8_K)");
    assert_lie_refused(&s.o, type, 22, 4, CRIA_EUNSUPPORTED, "type 22 (IQ2_S)");
    assert_lie_refused(&s.o, type, 29, 4, CRIA_EUNSUPPORTED, "type 29 (IQ1_M)");
    assert_lie_refused(&s.o, type, 34, 4, CRIA_EUNSUPPORTED, "type 34 (TQ1_0)");
    assert_lie_refused(&s.o, type, 40, 4, CRIA_EUNSUPPORTED, "type 40 (NVFP4)");
    assert_lie_refused(&s.o, type, 41, 4, CRIA_EUNSUPPORTED, "type 41 (Q1_0)");
    assert_lie_refused(&s.o, type, 42, 4, CRIA_EUNSUPPORTED, "type 42 (unknown)");
    assert_lie_refused(&s.o, type, 0xffffffff, 4, CRIA_EUNSUPPORTED,
                       "type 4294967295 (unknown)"); /* -1 in dtype.h */
    assert_lie_refused(&s.o, offset, 32, 8, CRIA_EFORMAT, "no multiple of the alignment of 64");
    assert_lie_refused(&s.o, offset, 128, 8, CRIA_EFORMAT, "only 88 bytes of tensors");
    assert_lie_refused(&s.o, offset, 0, 8, CRIA_EFORMAT, "overlaps");
    assert_lie_refused(&s.o, s.b + 12, 4, 8, CRIA_EFORMAT, "tensor \"b\" of 72 bytes overlaps tensor \"a\"");
    out_free(&s.o);
}

/* Type numbers 0..63: those of base/dtype.h open, all others are named. */
static void every_type(void **state) {
    (void)state;
    for (uint32_t type = 0; type < 64; type++) {
        struct out o = {NULL, 0, 0};
        gguf_begin(&o, 3, 1, 0);
        gguf_tensor(&o, "a", 256, 1, type, 0);
        gguf_pad(&o, 32);
        put_zeros(&o, 2048);
        struct opened x;
        open_bytes(&x, o.p, o.len, -1);
        if (x.status == CRIA_OK)
            assert_int_equal(cria_dtype_info(cria_container_at(x.c, 0)->dtype)->gguf, type);
        else
            assert_int_equal(x.status, CRIA_EUNSUPPORTED);
        for (int i = 0; i < CRIA_DTYPE_COUNT; i++)
            if (cria_dtype_info((cria_dtype)i)->gguf == (int)type) assert_int_equal(x.status, CRIA_OK);
        shut(&x);
        out_free(&o);
    }
}

/* Tensors without items, before, inside and behind others. */
static void empty_tensors(void **state) {
    (void)state;
    struct out o = {NULL, 0, 0};
    gguf_begin(&o, 3, 3, 0);
    gguf_tensor(&o, "none", 0, 5, 0, 0);
    gguf_tensor(&o, "some", 16, 1, 0, 0);
    const size_t last = gguf_tensor(&o, "last", 5, 0, 0, 64);
    gguf_pad(&o, 32);
    put_zeros(&o, 64);
    struct opened x;
    open_bytes(&x, o.p, o.len, -1);
    if (x.status != CRIA_OK) fail_msg("%s", x.err.msg);
    assert_int_equal(cria_container_find(x.c, "none")->nbytes, 0);
    shut(&x);
    assert_lie_refused(&o, last + 24, 96, 8, CRIA_EFORMAT, "only 64 bytes of tensors");
    assert_lie_refused(&o, last + 24, 32, 8, CRIA_EFORMAT, "overlaps");
    assert_lie_refused(&o, last + 4, UINT64_MAX, 8, CRIA_EFORMAT, "\"last\"");
    out_free(&o);
}

static void metadata_alone(void **state) {
    (void)state;
    struct out o = {NULL, 0, 0};
    gguf_begin(&o, 3, 0, 1);
    gguf_key(&o, "a", CRIA_GGUF_U8);
    put_uint(&o, 5, 1); /* a vocabulary file ends here, without padding */
    struct opened x;
    open_bytes(&x, o.p, o.len, -1);
    assert_int_equal(x.status, CRIA_OK);
    shut(&x);
    out_free(&o);

    gguf_begin(&o, 3, 0, 1);
    gguf_key(&o, "split.count", CRIA_GGUF_U16);
    const size_t at = put_uint(&o, 3, 2);
    assert_refused(&o, CRIA_EFORMAT, "split.tensors.count is missing");
    set(&o, at, 1, 2);
    open_bytes(&x, o.p, o.len, -1);
    assert_int_equal(x.status, CRIA_OK);
    shut(&x);
    out_free(&o);
}

/* Alone and from memory. Files of parts are in test_container.c. */
static void a_part(void **state) {
    (void)state;
    struct out o = {NULL, 0, 0};
    gguf_begin(&o, 3, 0, 3);
    gguf_key(&o, "split.count", CRIA_GGUF_U16);
    const size_t count = put_uint(&o, 3, 2);
    gguf_key(&o, "split.no", CRIA_GGUF_U16);
    const size_t no = put_uint(&o, 0, 2);
    gguf_key(&o, "split.tensors.count", CRIA_GGUF_I32);
    const size_t all = put_uint(&o, 5, 4);
    assert_refused(&o, CRIA_EUNSUPPORTED, "one of 3 parts");
    assert_lie_refused(&o, no, 3, 2, CRIA_EFORMAT, "out of range");
    assert_lie_refused(&o, no, 65535, 2, CRIA_EFORMAT, "out of range");
    assert_lie_refused(&o, count, 65535, 2, CRIA_EUNSUPPORTED, "one of 65535 parts");
    assert_lie_refused(&o, all, UINT32_MAX, 4, CRIA_EFORMAT, "out of range"); /* −1 */
    assert_lie_refused(&o, no - 4, CRIA_GGUF_I16, 4, CRIA_EUNSUPPORTED, "one of 3 parts"); /* any integer will do */
    set(&o, count, 1, 2);
    assert_robust(&o, true);
    out_free(&o);

    gguf_begin(&o, 3, 0, 3);
    gguf_key(&o, "split.count", CRIA_GGUF_U64);
    put_uint(&o, UINT64_MAX, 8);
    gguf_key(&o, "split.no", CRIA_GGUF_U16);
    put_uint(&o, 0, 2);
    gguf_key(&o, "split.tensors.count", CRIA_GGUF_I32);
    put_uint(&o, 5, 4);
    assert_refused(&o, CRIA_EFORMAT, "split.count (18446744073709551615)");
    out_free(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_everything), cmocka_unit_test(walks_arrays),
        cmocka_unit_test(converts_scalars), cmocka_unit_test(any_damage_is_safe),
        cmocka_unit_test(versions),         cmocka_unit_test(lies_about_counts),
        cmocka_unit_test(lies_about_types), cmocka_unit_test(lies_about_keys),
        cmocka_unit_test(alignments),       cmocka_unit_test(lies_about_tensors),
        cmocka_unit_test(every_type),       cmocka_unit_test(empty_tensors),
        cmocka_unit_test(metadata_alone),   cmocka_unit_test(a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
