/* SPDX-License-Identifier: Apache-2.0 */
/* model.safetensors.index.json: whatever it says, the names are of files in the folder itself, each once, in order. */
#include "format/folder.h"
#include "guard.h"

static void read_index(cria_ctx *ctx, const uint8_t *data, size_t len) {
    struct cria_file_set set = {0};
    if (cria_file_set_read_index(ctx, (const char *)data, len, "input", &set, NULL) == CRIA_OK) {
        GUARD_CHECK(set.n != 0);
        for (size_t i = 0; i < set.n; i++) {
            GUARD_CHECK(set.names[i][0] != '.' && strchr(set.names[i], '/') == NULL);
            GUARD_CHECK(i == 0 || strcmp(set.names[i - 1], set.names[i]) < 0);
        }
    }
    cria_file_set_fini(ctx, &set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    return guard_run(read_index, data, len, 64); /* a name of a few bytes costs pointers and a list */
}
