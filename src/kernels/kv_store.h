/* SPDX-License-Identifier: Apache-2.0 */
/* Where kv_store puts the integers of a position (kernels.h), for every table. */
#ifndef CRIA_KERNELS_KV_STORE_H
#define CRIA_KERNELS_KV_STORE_H

#include "kernels/inline.h"
#include "kernels/kernels.h"

/* The integers of x[0..n), a unit with M = max, become numbers of a block, of 1 or 2 bytes: i at out + i/2·pair +
 * i%2·one, in numbers. Returns their scale. */
typedef float cria_store_fn(void *out, size_t bytes, size_t pair, size_t one, const float *x, uint32_t n, float max);

/* k is rotated. */
CRIA_INLINE void cria_kv_store_whole(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                                     const float *k, const float *v, cria_store_fn *store) {
    const size_t bytes = cria_kv_elem_bytes(kv), key = (size_t)(p / 16) * e * 16 + p % 16 * 2,
                 value = (size_t)(p / 2) * e * 2 + p % 2;
    const struct cria_kv_limits most = cria_kv_limits(kv, e);
    float *kd = (float *)(uintptr_t)cria_kv_scales(k_block, kv, e),
          *vd = (float *)(uintptr_t)cria_kv_scales(v_block, kv, e);
    kd[p] = store((uint8_t *)k_block + key * bytes, bytes, 32, 1, k, e, most.key);
    vd[p] = store((uint8_t *)v_block + value * bytes, bytes, 4, 2, v, e, most.value);
}

#endif
