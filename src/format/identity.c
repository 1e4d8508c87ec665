/* SPDX-License-Identifier: Apache-2.0 */
/* Telling whether a container is the one seen before; see container.h. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/order.h"
#include "format/parse.h"

#define SAMPLE 4096u /* bytes at the start of every tensor: a page, the least that can be read */

static int compare_places(const void *items, uint32_t a, uint32_t b) {
    const cria_tensor *t = items;
    const uintptr_t x = (uintptr_t)t[a].data, y = (uintptr_t)t[b].data;
    return (x > y) - (x < y);
}

static uint64_t hash_number(uint64_t n, uint64_t seed) {
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) bytes[i] = (uint8_t)(n >> 8 * i);
    return cria_hash64(bytes, sizeof bytes, seed);
}

/* What lies between the tensors of one file, and the start of each. A tensor that was inflated is not in the file
 * itself; its compressed bytes count as lying between. order: room for the file's n tensors from `first` on. */
static uint64_t hash_file(const cria_container *c, const struct cria_source *src, size_t first, size_t n,
                          uint32_t *order, uint64_t h) {
    const cria_tensor *tensors = c->tensors + first;
    const uintptr_t base = (uintptr_t)src->data;
    size_t done = 0;
    cria_order_sort(order, n, compare_places, tensors);
    for (size_t i = 0; i < n; i++) {
        const cria_tensor *t = &tensors[order[i]];
        const uintptr_t place = (uintptr_t)t->data;
        if (place < base || place - base >= src->len) continue;
        const size_t begin = (size_t)(place - base), size = (size_t)t->nbytes;
        if (begin > done) h = cria_hash64(src->data + done, begin - done, h);
        h = cria_hash64(t->data, size < SAMPLE ? size : SAMPLE, h);
        if (begin + size > done) done = begin + size;
    }
    return cria_hash64(src->len != 0 ? src->data + done : NULL, src->len - done, h);
}

cria_status cria_container_identify(const cria_container *c, cria_identity *out, cria_error *err) {
    uint32_t *order = cria_malloc_array(c->ctx, c->n_tensors, sizeof *order);
    if (order == NULL) return cria_fail_nomem(err, "the order of the tensors", c->n_tensors * sizeof *order);
    /* All at once, since one after the other would wait for the disk once a tensor. */
    for (size_t i = 0; i < c->n_tensors; i++) {
        const size_t size = (size_t)c->tensors[i].nbytes;
        cria_mapfile_willneed(c->tensors[i].data, size < SAMPLE ? size : SAMPLE);
    }
    cria_identity id = {.n_bytes = 0};
    for (size_t i = 0; i < c->n_sources; i++) {
        const struct cria_source *src = &c->sources[i];
        const size_t end = i + 1 < c->n_sources ? src[1].first_tensor : c->n_tensors;
        id.content = hash_file(c, src, src->first_tensor, end - src->first_tensor, order, id.content);
        id.stamp = hash_number((uint64_t)src->map.mtime_ns, hash_number(src->len, id.stamp));
        id.n_bytes += src->len;
    }
    cria_free(c->ctx, order);
    *out = id;
    return CRIA_OK;
}
