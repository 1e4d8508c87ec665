/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of arrays: zip.c, npy.c, npz.c, libdeflate behind them. */
#include "walk_container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 2 || memcmp(data, "PK", 2) != 0) return 0;   /* other formats have targets of their own */
    return guard_run(walk_container, data, len, 6 + 1032); /* views, and what deflate can reach */
}
