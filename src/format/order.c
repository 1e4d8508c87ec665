/* SPDX-License-Identifier: Apache-2.0 */
/* Heapsort of a permutation (Williams 1964; Floyd's construction from the bottom). */
#include "format/order.h"
#include <stdbool.h>

static void sift_down(uint32_t *heap, size_t root, size_t n, cria_order_fn *compare, const void *items) {
    const uint32_t moving = heap[root];
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n) break;
        if (child + 1 < n && compare(items, heap[child], heap[child + 1]) < 0) child++;
        if (compare(items, moving, heap[child]) >= 0) break;
        heap[root] = heap[child];
        root = child;
    }
    heap[root] = moving;
}

void cria_order_sort(uint32_t *order, size_t n, cria_order_fn *compare, const void *items) {
    bool ascending = true; /* as most files are written */
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
        ascending = ascending && (i == 0 || compare(items, (uint32_t)i - 1, (uint32_t)i) <= 0);
    }
    if (ascending) return;
    for (size_t i = n / 2; i-- > 0;) sift_down(order, i, n, compare, items);
    for (size_t last = n; last-- > 1;) {
        const uint32_t largest = order[0];
        order[0] = order[last];
        order[last] = largest;
        sift_down(order, 0, last, compare, items);
    }
}
