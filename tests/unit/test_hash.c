/* SPDX-License-Identifier: Apache-2.0 */
/* XXH64 against values of the xxHash library (0.8), of bytes i·7 + 1, with two seeds. */
#include "unit.h"
#include "base/hash.h"

static void as_the_library(void **unused) {
    (void)unused;
    static const struct {
        size_t len;
        uint64_t plain, seeded;
    } want[] = {
        {0, 0xef46db3751d8e999u, 0xac75fda2929b17efu},
        {1, 0x8a4127811b21e730u, 0x211ae13247ce135fu},
        {14, 0xff34ee32a5c9ecfeu, 0x7ee148d12f67edadu},
        {31, 0x6ab1c40e29f50073u, 0xbb6d29b38190a8ffu},
        {32, 0x5a0756fbe9ecd3d1u, 0x0518cc93bc88a896u},
        {101, 0x6bf452176f29bc13u, 0xe91fd6336b39b946u},
        {256, 0xb451505592b94d00u, 0x600adfffbf830fb6u},
    };
    uint8_t data[256 + 1];
    for (size_t i = 0; i < 256; i++) data[i + 1] = (uint8_t)(i * 7 + 1);
    for (size_t i = 0; i < N_ITEMS(want); i++) {
        assert_int_equal(cria_hash64(data + 1, want[i].len, 0), want[i].plain);
        assert_int_equal(cria_hash64(data + 1, want[i].len, 2654435761u), want[i].seeded);
    }
    assert_int_equal(cria_hash64(NULL, 0, 0), want[0].plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_the_library)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
