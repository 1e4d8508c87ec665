/* SPDX-License-Identifier: Apache-2.0 */
/* One safetensors file: what becomes a tensor, and every lie of the header. Folders are test_container.c's.
 */
#include "format_unit.h"

#define T(dtype, shape, begin, end)                                                                          \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

/* A file of this header and n_data bytes 1, 2, 3, … */
static struct out file(const char *header, size_t n_data) {
    struct out o = {NULL, 0, 0};
    put_uint(&o, strlen(header), 8);
    put(&o, header, strlen(header));
    for (size_t i = 1; i <= n_data; i++) put_uint(&o, i & 0xff, 1);
    return o;
}

static void must_refuse(const char *header, size_t n_data, cria_status want, const char *text, int line) {
    struct out o = file(header, n_data);
    assert_refused_at(&o, want, text, header, line);
    out_free(&o);
}
#define damaged(header, n_data, text) must_refuse(header, n_data, CRIA_EFORMAT, text, __LINE__)
#define unknown(header, n_data, text) must_refuse(header, n_data, CRIA_EUNSUPPORTED, text, __LINE__)

static const char sample[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"n\":\"\"},\"b\":" T("BF16", "[5]", 24, 34) ",\"a\":" T(
        "F32", "[2,3]", 0, 24) ",\"none\":" T("I64", "[0,7]", 24, 24) ",\"s\":" T("F8_E4M3", "[]", 34,
                                                                                  35) "}   ";

static void reads_everything(void **state) {
    (void)state;
    struct out o = file(sample, 35);
    struct opened x;
    open_bytes(&x, o.p, o.len, -1);
    if (x.status != CRIA_OK) fail_msg("%s", x.err.msg);
    assert_modest(&x, o.len);
    assert_int_equal(cria_container_kind(x.c), CRIA_CONTAINER_SAFETENSORS);
    assert_int_equal(cria_container_count(x.c), 4);
    const cria_tensor *a = cria_container_find(x.c, "a"), *b = cria_container_at(x.c, 0);
    assert_string_equal(b->name, "b"); /* in the header's order */
    assert_true(a->dtype == CRIA_DTYPE_F32 && a->ndim == 2 && a->shape[0] == 2 && a->shape[1] == 3);
    assert_true(a->nbytes == 24 && a->data == x.block + o.len - 35);
    assert_true(b->dtype == CRIA_DTYPE_BF16 && b->ndim == 1 && b->nbytes == 10 && b->data[0] == 25);
    const cria_tensor *none = cria_container_find(x.c, "none"), *s = cria_container_find(x.c, "s");
    assert_true(none->dtype == CRIA_DTYPE_I64 && none->ndim == 2 && none->shape[1] == 7 && none->nbytes == 0);
    assert_true(s->dtype == CRIA_DTYPE_F8_E4M3 && s->ndim == 0 && s->nbytes == 1 && s->data[0] == 35);
    assert_null(cria_container_find(x.c, "__metadata__"));

    cria_str text;
    assert_int_equal(cria_meta_count(x.c), 2);
    assert_true(cria_meta_str(x.c, "format", &text) && text.len == 2 && memcmp(text.data, "pt", 2) == 0);
    assert_true(cria_meta_str(x.c, "n", &text) && text.len == 0);
    assert_null(cria_meta_find(x.c, "forma"));
    shut(&x);
    assert_robust(&o, true);
    out_free(&o);
}

static void every_type(void **state) {
    (void)state;
    const struct {
        const char *name;
        cria_dtype dtype;
    } types[] = {
        {"F64", CRIA_DTYPE_F64},         {"F32", CRIA_DTYPE_F32},         {"F16", CRIA_DTYPE_F16},
        {"BF16", CRIA_DTYPE_BF16},       {"F8_E4M3", CRIA_DTYPE_F8_E4M3}, {"F8_E5M2", CRIA_DTYPE_F8_E5M2},
        {"F8_E8M0", CRIA_DTYPE_F8_E8M0}, {"I64", CRIA_DTYPE_I64},         {"I32", CRIA_DTYPE_I32},
        {"I16", CRIA_DTYPE_I16},         {"I8", CRIA_DTYPE_I8},           {"U64", CRIA_DTYPE_U64},
        {"U32", CRIA_DTYPE_U32},         {"U16", CRIA_DTYPE_U16},         {"U8", CRIA_DTYPE_U8},
        {"BOOL", CRIA_DTYPE_BOOL}};
    for (size_t i = 0; i < N_ITEMS(types); i++) {
        char header[128];
        const uint32_t bytes = 3 * cria_dtype_info(types[i].dtype)->bytes;
        snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%u]}}",
                 types[i].name, bytes);
        struct out o = file(header, bytes);
        struct opened x;
        open_bytes(&x, o.p, o.len, -1);
        assert_int_equal(x.status, CRIA_OK);
        assert_int_equal(cria_container_at(x.c, 0)->dtype, types[i].dtype);
        shut(&x);
        out_free(&o);
    }
    const char *others[] = {"F4", "F6_E2M3", "C64", "Q4_0", "Q8_0", "float32", "f32", "", "F32 "};
    for (size_t i = 0; i < N_ITEMS(others); i++) {
        char header[128];
        snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"%s\",\"shape\":[32],\"data_offsets\":[0,34]}}",
                 others[i]);
        unknown(header, 34, "tensor \"x\" has type");
    }
}

static void an_empty_file(void **state) {
    (void)state;
    const char *headers[] = {"{}", "{} \n", "{\"__metadata__\":{}}", "{\"__metadata__\":null}"};
    for (size_t i = 0; i < N_ITEMS(headers); i++) {
        struct out o = file(headers[i], 0);
        struct opened x;
        open_bytes(&x, o.p, o.len, -1);
        assert_int_equal(x.status, CRIA_OK);
        assert_int_equal(cria_container_count(x.c) + cria_meta_count(x.c), 0);
        shut(&x);
        out_free(&o);
        damaged(headers[i], 1, "tensors end at byte 0, but 1 bytes follow");
    }
}

static void lies_about_the_header(void **state) {
    (void)state;
    struct out o = file(sample, 35);
    const uint64_t longer[] = {o.len - 7, 1000, 100000000},
                   larger[] = {100000001, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < N_ITEMS(longer); i++)
        assert_lie_refused(&o, 0, longer[i], 8, CRIA_EFORMAT, "cut off");
    for (size_t i = 0; i < N_ITEMS(larger); i++)
        assert_lie_refused(&o, 0, larger[i], 8, CRIA_EFORMAT, "at most 100000000");
    assert_lie_refused(&o, 0, o.len - 8, 8, CRIA_EFORMAT, "the header is not valid JSON");
    assert_lie_refused(&o, 0, 20, 8, CRIA_EFORMAT, "the header is not valid JSON");
    assert_lie_refused(&o, 0, 0, 8, CRIA_EFORMAT, "does not begin with {");
    out_free(&o);
    damaged("{", 0, "not valid JSON");
    damaged("{}x", 0, "not valid JSON");
    damaged("{\"\xff\":1}", 0, "not valid JSON");
    damaged("{\"x\\u0000\":1}", 0, "not valid JSON");
    damaged("{\"x\":" T("U8", "[1]", 0, 1) ",\"x\":" T("U8", "[1]", 1, 2) "}", 2, "duplicate");
    damaged("{\"x\":" T("U8", "[1]", 0, 1) ",\"\\u0078\":" T("U8", "[1]", 1, 2) "}", 2, "duplicate");
    damaged("{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0,
            "nested more than");
}

static void lies_about_metadata(void **state) {
    (void)state;
    damaged("{\"__metadata__\":1}", 0, "__metadata__ is an integer");
    damaged("{\"__metadata__\":[\"a\"]}", 0, "__metadata__ is an array");
    damaged("{\"__metadata__\":{\"a\":\"b\",\"c\":1}}", 0, "\"c\" of __metadata__ is an integer");
    damaged("{\"__metadata__\":{\"a\":{}}}", 0, "\"a\" of __metadata__ is an object");
    damaged("{\"__metadata__\":{\"a\":\"b\",\"a\":\"b\"}}", 0, "duplicate");
    damaged("{\"__metadata__\":" T("U8", "[1]", 0, 1) "}", 1, "of __metadata__ is an array");
}

static void lies_about_tensors(void **state) {
    (void)state;
    const char *shapes[] = {"3", "\"3\"", "{\"a\":3}", "null"};
    char header[256];
    for (size_t i = 0; i < N_ITEMS(shapes); i++) {
        snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"U8\",\"shape\":%s,\"data_offsets\":[0,3]}}",
                 shapes[i]);
        damaged(header, 3, "tensor \"x\" has no \"shape\"");
    }
    const char *dimensions[] = {"-3", "3.0", "3e0", "\"3\"", "null", "true", "[3]"};
    for (size_t i = 0; i < N_ITEMS(dimensions); i++) {
        snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[0,3]}}",
                 dimensions[i]);
        damaged(header, 3, "tensor \"x\" has a dimension that is no whole number");
    }
    const char *places[] = {
        "3", "[]", "[0]", "[0,3,3]", "[-1,2]", "[0,3.0]", "[0,\"3\"]", "{\"a\":0,\"b\":3}", "null"};
    for (size_t i = 0; i < N_ITEMS(places); i++) {
        snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":%s}}",
                 places[i]);
        damaged(header, 3, "tensor \"x\" has no \"data_offsets\"");
    }
    const char *described[] = {"1",
                               "[]",
                               "{}",
                               "null",
                               "{\"dtype\":\"U8\",\"shape\":[3]}",
                               "{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3],\"x\":1}"};
    for (size_t i = 0; i < N_ITEMS(described); i++) {
        snprintf(header, sizeof header, "{\"x\":%s}", described[i]);
        damaged(header, 3, "tensor \"x\" is not described by exactly");
    }
    damaged("{\"x\":{\"dtype\":1,\"shape\":[3],\"data_offsets\":[0,3]}}", 3, "tensor \"x\" has no \"dtype\"");
    damaged("{\"x\":{\"Dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3,
            "tensor \"x\" has no \"dtype\"");
    damaged("{\"\":" T("U8", "[3]", 0, 3) "}", 3, "empty name");
    unknown("{\"x\":" T("U8", "[1,1,1,1,3]", 0, 3) "}", 3, "tensor \"x\" has 5 dimensions");
    damaged("{\"x\":{\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,3]}}", 3,
            "not valid JSON");
}

/* Shapes whose product, or whose bytes, overflow (as CVE-2025-53630 and its like, of GGUF). */
static void shapes_too_large(void **state) {
    (void)state;
    damaged("{\"x\":" T("F32", "[4611686018427387904]", 0, 0) "}", 0, "more bytes than memory can hold");
    damaged("{\"x\":" T("U8", "[4294967296,4294967296]", 0, 0) "}", 0, "more bytes than memory can hold");
    damaged("{\"x\":" T("U8", "[4294967296,4294967296,0]", 0, 0) "}", 0, "more bytes than memory can hold");
    damaged("{\"x\":" T("U8", "[65536,65536,65536,65536]", 0, 0) "}", 0, "more bytes than memory can hold");
    damaged("{\"x\":" T("F64", "[2305843009213693951]", 0, 24) "}", 24,
            "should have 18446744073709551608 bytes");
    damaged("{\"x\":" T("U8", "[9223372036854775807]", 0, 9223372036854775807) "}", 24,
            "only 24 bytes of tensors");
}

static void lies_about_places(void **state) {
    (void)state;
    damaged("{\"x\":" T("U8", "[3]", 0, 3) "}", 2, "tensor \"x\" lies at bytes 0 to 3, but there are only 2");
    damaged("{\"x\":" T("U8", "[3]", 3, 0) "}", 3, "tensor \"x\" lies at bytes 3 to 0");
    damaged("{\"x\":" T("U8", "[0]", 4, 4) "}", 3, "tensor \"x\" lies at bytes 4 to 4");
    damaged("{\"x\":" T("U8", "[3]", 0, 2) "}", 3,
            "tensor \"x\" should have 3 bytes by its shape, but has 2");
    damaged("{\"x\":" T("F32", "[1]", 0, 3) "}", 3,
            "tensor \"x\" should have 4 bytes by its shape, but has 3");
    damaged("{\"x\":" T("U8", "[2]", 0, 2) "}", 3, "tensors end at byte 2, but 3 bytes follow");
    damaged("{\"x\":" T("U8", "[2]", 1, 3) "}", 3,
            "tensor \"x\" begins at byte 1, but the tensors before it end at 0");
    damaged("{\"y\":" T("U8", "[2]", 2, 4) ",\"x\":" T("U8", "[1]", 0, 1) "}", 4, "\"y\" begins at byte 2");
    damaged("{\"y\":" T("U8", "[2]", 1, 3) ",\"x\":" T("U8", "[2]", 0, 2) "}", 3, "\"y\" begins at byte 1");
    damaged("{\"y\":" T("U8", "[3]", 0, 3) ",\"x\":" T("U8", "[3]", 0, 3) "}", 3, "begins at byte 0");
    /* An empty tensor inside another one. */
    damaged("{\"y\":" T("U8", "[0]", 1, 1) ",\"x\":" T("U8", "[3]", 0, 3) "}", 3, "\"y\" begins at byte 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_everything),    cmocka_unit_test(every_type),
        cmocka_unit_test(an_empty_file),       cmocka_unit_test(lies_about_the_header),
        cmocka_unit_test(lies_about_metadata), cmocka_unit_test(lies_about_tensors),
        cmocka_unit_test(shapes_too_large),    cmocka_unit_test(lies_about_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
