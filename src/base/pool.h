/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed set of worker threads that run one parallel loop at a time. Workers spin for a short while after a
 * loop, then sleep on a futex, so that loops in quick succession (a forward pass) cost well under a microsecond
 * and an idle engine costs nothing. A loop's range is cut into one part a thread, always at the same places for the
 * same n. A thread goes through its part from one end to the other, piece by piece, and then helps with the parts of
 * others, because the cores of a shared machine are never equally fast: so each reads memory in one long run, as
 * processors expect it. A piece is a quarter of what is left of a part: large while there is much to do, so that
 * beginning one costs little, small in the end, so that nobody waits long for who took the last. (Pieces of one
 * size, one or two a thread, let 16 threads wait for a fourth of a prompt.) No result may depend on who does what.
 *
 * On a machine with several memory nodes the workers are spread over them and pinned, each to all processors of its
 * node, and help within their node first. So what the rows of a matrix are first written by (and so the memory they
 * are in) is where they are mostly read. On one node nobody is pinned: the system moves a thread
 * away from a busy processor better than we could. */
#ifndef CRIA_BASE_POOL_H
#define CRIA_BASE_POOL_H

#include "base/topology.h"
#include "cria/cria.h"

typedef struct cria_pool cria_pool;

/* Computes items [begin, end). worker < cria_pool_threads(), distinct among those running at the same time. */
typedef void cria_pool_fn(void *arg, size_t begin, size_t end, uint32_t worker);

/* The node (index into t->node_cores) of each thread: as many a node, in node order, as its share of the cores. */
void cria_pool_spread(const struct cria_topology *t, uint32_t n_threads, uint8_t *node_of_thread);

/* n_threads counts the calling thread: 1 starts none. More than there are processors are not started. Nodes and
 * processors are those of ctx->cpu.topology. */
cria_status cria_pool_new(cria_ctx *ctx, uint32_t n_threads, cria_pool **out, cria_error *err);
void cria_pool_free(cria_ctx *ctx, cria_pool *pool);
uint32_t cria_pool_threads(const cria_pool *pool);
/* Memory nodes that the threads are spread over, and where in a loop over n items the part of a node begins (n
 * for node = cria_pool_nodes): for loops that put several arrays side by side and want each row to
 * be met by the node that wrote it. */
uint32_t cria_pool_nodes(const cria_pool *pool);
size_t cria_pool_part(const cria_pool *pool, size_t n, uint32_t node);

/* Calls fn over [0, n) in pieces of at most `most` items (most >= 1), on the calling thread as well, and returns
 * when all is done. Loops of several calling threads take turns. Not to be called from within fn. */
void cria_pool_for(cria_pool *pool, size_t n, size_t most, cria_pool_fn *fn, void *arg);

#endif
