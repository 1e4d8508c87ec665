/* SPDX-License-Identifier: Apache-2.0 */
/* Shape arithmetic that every parser needs, checked in one place. */
#include "format/tensor.h"
#include "base/mem.h"

bool cria_tensor_nbytes(cria_dtype dtype, uint32_t ndim, const uint64_t *shape, uint64_t *nbytes) {
    bool empty = false;
    size_t total;
    const uint64_t inner = ndim == 0 ? 1 : shape[ndim - 1];
    if (inner > SIZE_MAX || !cria_dtype_row_bytes(dtype, (size_t)inner, &total)) return false;
    if (inner == 0) {
        empty = true;
        total = cria_dtype_info(dtype)->bytes;
    }
    for (uint32_t i = 0; i + 1 < ndim; i++) {
        if (shape[i] == 0)
            empty = true;
        else if (shape[i] > SIZE_MAX || !cria_mul_ok(total, (size_t)shape[i], &total))
            return false;
    }
    *nbytes = empty ? 0 : total;
    return true;
}
