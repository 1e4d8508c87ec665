/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: the kernel's documents on cputopology (thread_siblings_list), sysfs-devices-node (online, cpulist),
 * sysfs-devices-system-cpu (cache), cpu_capacity (Arm) and sysfs-bus-event_source (cpu_core, cpu_atom: hybrid x86).
 * All lists look like "0-3,8".
 */
#include "base/topology.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = CRIA_MAX_CPUS / 64 };

struct set {
    uint64_t word[WORDS];
};

static bool has(const struct set *s, uint32_t i) { return s->word[i / 64] >> i % 64 & 1; }

static void put(struct set *s, uint32_t i) { s->word[i / 64] |= UINT64_C(1) << i % 64; }

bool cria_read_text(const char *path, char *text, size_t size) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    size_t n = 0;
    for (ssize_t got; n + 1 < size && (got = read(fd, text + n, size - 1 - n)) > 0;) n += (size_t)got;
    close(fd);
    text[n] = '\0';
    return n > 0;
}

/* A list of numbers below CRIA_MAX_CPUS, up to a line's end. False for anything else. */
static bool parse_list(const char *p, struct set *out) {
    memset(out, 0, sizeof *out);
    while (*p >= '0' && *p <= '9') {
        char *end;
        const unsigned long from = strtoul(p, &end, 10);
        unsigned long to = from;
        if (*end == '-' && end[1] >= '0' && end[1] <= '9') to = strtoul(end + 1, &end, 10);
        if (from > to || to >= CRIA_MAX_CPUS) return false;
        for (unsigned long i = from; i <= to; i++) put(out, (uint32_t)i);
        if (*end != ',') return *end == '\n' || *end == '\0';
        p = end + 1;
    }
    return false;
}

static bool read_list(const char *root, const char *name, struct set *out) {
    char path[400], text[8192];
    snprintf(path, sizeof path, "%s/sys/devices/%s", root, name);
    return cria_read_text(path, text, sizeof text) && parse_list(text, out);
}

/* The processors of the mask that are online. */
static void find_usable(const char *root, const uint64_t *mask, size_t n_words, struct set *usable) {
    memset(usable, 0, sizeof *usable);
    if (n_words > WORDS) n_words = WORDS;
    if (n_words > 0) memcpy(usable->word, mask, n_words * sizeof *mask);
    struct set online, both = {{0}};
    if (!read_list(root, "system/cpu/online", &online)) return;
    uint64_t any = 0;
    for (size_t i = 0; i < WORDS; i++) any |= both.word[i] = usable->word[i] & online.word[i];
    if (any) *usable = both;
}

/* The lowest usable processor of the core that cpu belongs to. */
static uint32_t first_sibling(const char *root, uint32_t cpu, const struct set *usable) {
    char name[100];
    struct set siblings;
    snprintf(name, sizeof name, "system/cpu/cpu%u/topology/thread_siblings_list", (unsigned)cpu);
    if (!read_list(root, name, &siblings) || !has(&siblings, cpu)) return cpu;
    for (uint32_t i = 0; i < cpu; i++)
        if (has(&siblings, i) && has(usable, i)) return i;
    return cpu;
}

/* 0 where the system does not say. */
static unsigned long capacity(const char *root, uint32_t cpu) {
    char path[400], text[64];
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%u/cpu_capacity", root, (unsigned)cpu);
    return cria_read_text(path, text, sizeof text) ? strtoul(text, NULL, 10) : 0;
}

/* n_cores, node_cores, n_slow; node_of is there. */
static void count_cores(const char *root, const struct set *usable, struct cria_topology *t) {
    struct set atoms = {{0}};
    const bool hybrid = read_list(root, "cpu_atom/cpus", &atoms);
    unsigned long most = 0;
    uint32_t at_most = 0, with_capacity = 0;
    for (uint32_t i = 0; i < CRIA_MAX_CPUS; i++) {
        if (!has(usable, i) || first_sibling(root, i, usable) != i) continue;
        t->n_cores++;
        t->node_cores[t->node_of[i]]++;
        if (hybrid && has(&atoms, i)) t->n_slow++;
        const unsigned long c = capacity(root, i);
        if (c == 0) continue;
        with_capacity++;
        if (c > most) at_most = 0;
        if (c < most) continue;
        most = c;
        at_most++;
    }
    if (with_capacity == t->n_cores) t->n_slow = t->n_cores - at_most;
    if (t->n_slow == t->n_cores) t->n_slow = 0; /* slower than none that we may use */
}

/* node_of and n_nodes. Nodes without a usable processor do not count: memory only, or outside the cpuset. A processor
 * that no node lists stays with the first. */
static void find_nodes(const char *root, const struct set *usable, struct cria_topology *t) {
    struct set online, cpus, left = *usable; /* left: of no node so far; a processor has one only */
    memset(t->node_of, CRIA_CPU_ABSENT, sizeof t->node_of);
    for (uint32_t i = 0; i < CRIA_MAX_CPUS; i++)
        if (has(usable, i)) t->node_of[i] = 0;
    t->n_nodes = 1;
    if (!read_list(root, "system/node/online", &online)) return;
    uint32_t n = 0;
    for (uint32_t node = 0; node < CRIA_MAX_CPUS; node++) {
        char name[64];
        snprintf(name, sizeof name, "system/node/node%u/cpulist", (unsigned)node);
        if (!has(&online, node) || !read_list(root, name, &cpus)) continue;
        bool any = false;
        for (uint32_t i = 0; i < CRIA_MAX_CPUS; i++) {
            if (!has(&left, i) || !has(&cpus, i)) continue;
            left.word[i / 64] &= ~(UINT64_C(1) << i % 64);
            t->node_of[i] = (uint8_t)(n < CRIA_MAX_NODES ? n : CRIA_MAX_NODES - 1);
            any = true;
        }
        n += any;
    }
    if (n > 1) t->n_nodes = n < CRIA_MAX_NODES ? n : CRIA_MAX_NODES;
}

void cria_topology_read(const char *root, const uint64_t *mask, size_t n_words, struct cria_topology *out) {
    struct set usable;
    memset(out, 0, sizeof *out);
    find_usable(root, mask, n_words, &usable);
    for (uint32_t i = 0; i < CRIA_MAX_CPUS; i++) out->n_cpus += has(&usable, i);
    find_nodes(root, &usable, out);
    count_cores(root, &usable, out);
    if (out->n_cpus > 0) return;
    out->n_cpus = out->n_cores = out->node_cores[0] = 1; /* no mask to be had */
    out->node_of[0] = 0;
}

uint32_t cria_topology_online(const char *root) {
    struct set online;
    uint32_t n = 0;
    if (!read_list(root, "system/cpu/online", &online)) return 0;
    for (uint32_t i = 0; i < CRIA_MAX_CPUS; i++) n += has(&online, i);
    return n;
}

uint64_t cria_topology_cache(const char *root) {
    uint64_t most = 0;
    for (int i = 0; i < 8; i++) {
        char path[400], text[64], *unit;
        snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu0/cache/index%d/size", root, i);
        if (!cria_read_text(path, text, sizeof text)) break;
        uint64_t bytes = strtoul(text, &unit, 10); /* "32768K" */
        if (bytes > 1u << 30) continue;
        bytes <<= *unit == 'K' ? 10 : *unit == 'M' ? 20 : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

void cria_topology_detect(struct cria_topology *out) {
    struct set mask = {{0}};
    cpu_set_t sets[CRIA_MAX_CPUS / CPU_SETSIZE];
    CPU_ZERO_S(sizeof sets, sets);
    if (sched_getaffinity(0, sizeof sets, sets) == 0)
        for (uint32_t i = 0; i < CRIA_MAX_CPUS; i++)
            if (CPU_ISSET_S(i, sizeof sets, sets)) put(&mask, i);
    cria_topology_read("", mask.word, WORDS, out);
}
