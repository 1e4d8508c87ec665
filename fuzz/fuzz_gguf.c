/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF files: gguf.c and the walk over metadata in meta.c. */
#include "walk_container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 4 || memcmp(data, "GGUF", 4) != 0) return 0; /* other formats have targets of their own */
    return guard_run(walk_container, data, len, 6);
}
