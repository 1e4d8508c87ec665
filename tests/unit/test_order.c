/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "format/order.h"

static int compare(const void *items, uint32_t a, uint32_t b) {
    const uint8_t *v = items;
    return v[a] - v[b];
}

/* All inputs of up to seven items with values 0..2, so that all patterns of equal neighbours occur. */
static void sorts_every_small_input(void **state) {
    (void)state;
    for (size_t n = 0, inputs = 1; n <= 7; n++, inputs *= 3) {
        for (size_t input = 0; input < inputs; input++) {
            uint8_t v[7] = {0};
            uint32_t order[7];
            for (size_t i = 0, rest = input; i < n; i++, rest /= 3) v[i] = (uint8_t)(rest % 3);
            cria_order_sort(order, n, compare, v);
            unsigned seen = 0;
            for (size_t i = 0; i < n; i++) {
                assert_true(order[i] < n);
                seen |= 1u << order[i];
                if (i > 0) assert_true(v[order[i - 1]] <= v[order[i]]);
            }
            assert_int_equal(seen, (1u << n) - 1);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sorts_every_small_input)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
