/* SPDX-License-Identifier: Apache-2.0 */
/* Where the processors are that this program may use: cores, hardware threads, NUMA nodes. Only reading; what is made
 * of it is policy of cpu.c (how many threads) and pool.c (where they run). A plain value that owns nothing. */
#ifndef CRIA_BASE_TOPOLOGY_H
#define CRIA_BASE_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CRIA_MAX_CPUS = 8192, /* the kernel's own maximum on any architecture */
    CRIA_MAX_NODES = 64   /* what lies beyond counts as the last */
};
#define CRIA_CPU_ABSENT 0xffu

struct cria_topology {
    uint32_t n_cpus;  /* processors allowed and online; at least 1 */
    uint32_t n_cores; /* their physical cores: hardware threads of a core count once; at least 1 */
    uint32_t n_slow;  /* those of n_cores that the system calls slower than others (efficiency cores) */
    uint32_t n_nodes; /* memory nodes with at least one of the processors; at least 1 */
    uint32_t node_cores[CRIA_MAX_NODES]; /* by node, in the system's order: sums up to n_cores */
    uint8_t node_of[CRIA_MAX_CPUS];      /* index into node_cores, CRIA_CPU_ABSENT for processors not in n_cpus */
};

/* By the files under root ("" in earnest; tests make their own /sys). Bit i of mask[0..n_words) is processor i: the
 * affinity mask. What is missing or makes no sense there is taken as it is on simple machines: every processor
 * online and a core of its own, all cores alike, one node. */
void cria_topology_read(const char *root, const uint64_t *mask, size_t n_words, struct cria_topology *out);
/* How many processors are online, whoever may use them; 0 where the system does not say. */
uint32_t cria_topology_online(const char *root);
/* Bytes of the first processor's largest cache; 0 where the system does not say. */
uint64_t cria_topology_cache(const char *root);
/* Of this process. */
void cria_topology_detect(struct cria_topology *out);

/* Reads a small text file whole, NUL-terminated; false when there is none or it is empty. */
bool cria_read_text(const char *path, char *text, size_t size);

#endif
