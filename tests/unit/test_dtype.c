/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/dtype.h"

static void table_is_whole(void **state) {
    (void)state;
    for (int i = 0; i < CRIA_DTYPE_COUNT; i++) {
        const struct cria_dtype_info *t = cria_dtype_info((cria_dtype)i);
        assert_non_null(t->text);
        assert_true(t->items >= 1 && t->bytes >= 1);
        for (int j = 0; j < i; j++) {
            const struct cria_dtype_info *o = cria_dtype_info((cria_dtype)j);
            assert_string_not_equal(t->text, o->text);
            assert_true(t->gguf == -1 || t->gguf != o->gguf);
        }
    }
    assert_string_equal(cria_dtype_info(CRIA_DTYPE_BF16)->text, "bfloat16");
    assert_int_equal(cria_dtype_info(CRIA_DTYPE_Q4_1)->gguf, 3);
}

static void row_sizes(void **state) {
    (void)state;
    size_t bytes = 5;
    assert_true(cria_dtype_row_bytes(CRIA_DTYPE_Q4_0, 64, &bytes));
    assert_int_equal(bytes, 36);
    assert_false(cria_dtype_row_bytes(CRIA_DTYPE_Q4_0, 65, &bytes));
    assert_false(cria_dtype_row_bytes(CRIA_DTYPE_F32, SIZE_MAX / 4 + 1, &bytes));
    assert_int_equal(bytes, 36);
    assert_true(cria_dtype_row_bytes(CRIA_DTYPE_F64, 0, &bytes));
    assert_int_equal(bytes, 0);
    assert_true(cria_dtype_row_bytes(CRIA_DTYPE_F32, SIZE_MAX / 4, &bytes));
    /* A block is larger than its items, so a count that fits can have a size that does not. */
    assert_false(cria_dtype_row_bytes(CRIA_DTYPE_Q8_0, SIZE_MAX - 31, &bytes));
    static const size_t k_bytes[] = {84, 110, 144, 176, 210};
    for (int i = 0; i < 5; i++) {
        const cria_dtype type = (cria_dtype)(CRIA_DTYPE_Q2_K + i);
        assert_int_equal(cria_dtype_info(type)->gguf, 10 + i);
        assert_true(cria_dtype_row_bytes(type, 768, &bytes));
        assert_int_equal(bytes, 3 * k_bytes[i]);
        assert_false(cria_dtype_row_bytes(type, 384, &bytes));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_whole),
        cmocka_unit_test(row_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
