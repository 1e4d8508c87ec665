/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting numbers of things by a comparison: how format/ finds names, duplicates and overlaps. Heapsort,
 * because it needs no memory, no recursion and at most 2·n·log2(n) comparisons on any input: names and
 * offsets come from hostile files, which a hash table or a quicksort would have to be defended against. */
#ifndef CRIA_FORMAT_ORDER_H
#define CRIA_FORMAT_ORDER_H

#include <stddef.h>
#include <stdint.h>

/* <0, 0, >0 as item a comes before, equals, comes after item b. */
typedef int cria_order_fn(const void *items, uint32_t a, uint32_t b);

/* order[0..n) becomes the permutation of 0..n-1 that is ascending by compare; n <= UINT32_MAX. */
void cria_order_sort(uint32_t *order, size_t n, cria_order_fn *compare, const void *items);

#endif
