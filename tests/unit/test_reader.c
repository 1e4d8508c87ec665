/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/reader.h"

static void reads_little_endian_at_any_alignment(void **state) {
    (void)state;
    const uint8_t bytes[] = {0xaa, 1,    2,    3, 4, 5, 6, 7, 8, 0x34, 0x12, 0,
                             0,    0x80, 0xbf, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f};
    cria_reader r = cria_reader_init(bytes, sizeof bytes);
    uint8_t u8;
    uint16_t u16;
    uint64_t u64;
    float f32;
    double f64;
    assert_true(cria_read_u8(&r, &u8) && u8 == 0xaa);
    assert_true(cria_read_u64(&r, &u64) && u64 == UINT64_C(0x0807060504030201));
    assert_true(cria_read_u16(&r, &u16) && u16 == 0x1234);
    assert_true(cria_read_f32(&r, &f32) && f32 == -1.0f);
    assert_true(cria_read_f64(&r, &f64) && f64 == 1.0);
    assert_int_equal(cria_reader_left(&r), 0);
}

static void nothing_past_the_end(void **state) {
    (void)state;
    const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (size_t len = 0; len <= 8; len++) {
        cria_reader r = cria_reader_init(bytes, len);
        uint64_t u64 = 99;
        uint32_t u32 = 99;
        uint16_t u16 = 99;
        uint8_t u8 = 99;
        const uint8_t *p = NULL;
        assert_int_equal(cria_read_u64(&r, &u64), len == 8);
        assert_true(len == 8 ? r.pos == 8 : r.pos == 0 && u64 == 99);
        assert_true(cria_reader_seek(&r, len));
        assert_false(cria_read_u8(&r, &u8) || cria_read_u16(&r, &u16) || cria_read_u32(&r, &u32));
        assert_false(cria_read_bytes(&r, 1, &p) || cria_read_bytes(&r, UINT64_MAX, &p));
        assert_false(cria_reader_seek(&r, len + 1) || cria_reader_seek(&r, UINT64_MAX));
        assert_true(u8 == 99 && u16 == 99 && u32 == 99 && !p && r.pos == len);
        assert_true(cria_read_bytes(&r, 0, &p) && p == bytes + len);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_little_endian_at_any_alignment),
        cmocka_unit_test(nothing_past_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
