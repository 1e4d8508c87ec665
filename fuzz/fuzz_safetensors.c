/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors behind a JSON header: safetensors.c, the JSON library behind it. */
#include "walk_container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 9 || data[8] != '{') return 0; /* other formats have targets of their own */
    return guard_run(walk_container, data, len, 6);
}
