/* SPDX-License-Identifier: Apache-2.0 */
/* State dicts of torch.save: the pickle reader of pth.c behind zip.c. */
#include "format/pth.h"
#include "guard.h"

static void read_pth(cria_ctx *ctx, const uint8_t *data, size_t len) {
    cria_pth p;
    cria_error err;
    volatile uint8_t seen;
    if (cria_pth_open_memory(ctx, data, len, "input", &p, &err) != CRIA_OK) {
        GUARD_CHECK(err.code != CRIA_OK && strlen(err.msg) != 0);
        return;
    }
    for (size_t i = 0; i < p.n; i++) {
        const cria_tensor *t = &p.tensors[i];
        uint64_t nbytes;
        GUARD_CHECK(cria_pth_find(&p, t->name) == t);
        GUARD_CHECK(cria_tensor_nbytes(t->dtype, t->ndim, t->shape, &nbytes) && nbytes == t->nbytes);
        if (nbytes == 0) continue;
        seen = t->data[0];
        seen = t->data[nbytes - 1];
    }
    (void)seen;
    cria_pth_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    return guard_run(read_pth, data, len, 1024); /* an instruction of a byte makes a value, an entry or a tensor */
}
