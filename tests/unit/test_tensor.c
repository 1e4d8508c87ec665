/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "format/tensor.h"

static bool bytes_of(cria_dtype dtype, uint32_t ndim, uint64_t a, uint64_t b, uint64_t c, uint64_t *out) {
    const uint64_t shape[CRIA_MAX_DIMS] = {a, b, c, 0};
    return cria_tensor_nbytes(dtype, ndim, shape, out);
}

static void products(void **state) {
    (void)state;
    uint64_t n;
    assert_true(bytes_of(CRIA_DTYPE_F32, 0, 7, 7, 7, &n) && n == 4);
    assert_true(bytes_of(CRIA_DTYPE_F16, 1, 5, 7, 7, &n) && n == 10);
    assert_true(bytes_of(CRIA_DTYPE_U8, 3, 2, 3, 4, &n) && n == 24);
    assert_true(bytes_of(CRIA_DTYPE_Q4_0, 2, 3, 64, 7, &n) && n == 3 * 2 * 18);
    assert_true(bytes_of(CRIA_DTYPE_F32, 2, 0, 3, 7, &n) && n == 0);
    assert_true(bytes_of(CRIA_DTYPE_F32, 2, 3, 0, 7, &n) && n == 0);
}

static void refusals(void **state) {
    (void)state;
    uint64_t n = 77;
    assert_false(bytes_of(CRIA_DTYPE_Q4_0, 2, 3, 63, 7, &n)); /* no whole blocks */
    assert_false(bytes_of(CRIA_DTYPE_F32, 1, UINT64_MAX, 0, 0, &n));
    assert_false(bytes_of(CRIA_DTYPE_F32, 2, UINT64_MAX / 4 + 1, 4, 0, &n));
    assert_false(bytes_of(CRIA_DTYPE_U8, 3, (uint64_t)1 << 32, (uint64_t)1 << 31, 2, &n));
    /* A dimension of 0 must not hide that the others overflow, in whichever order they are multiplied. */
    assert_false(bytes_of(CRIA_DTYPE_U8, 3, 0, UINT64_MAX, 2, &n));
    assert_false(bytes_of(CRIA_DTYPE_U8, 3, UINT64_MAX, 2, 0, &n));
    assert_false(bytes_of(CRIA_DTYPE_U8, 3, UINT64_MAX, 0, 2, &n));
    assert_int_equal(n, 77);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
