/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated machines: trees of files as the kernel shows them. */
#include "unit.h"
#include "base/topology.h"
#include "scratch.h"

static struct cria_topology topo; /* large for a stack */

static void cpu_file(const struct scratch *s, unsigned cpu, const char *name, const char *text) {
    char path[120];
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%u/%s", cpu, name);
    scratch_text(s, path, text);
}

static void siblings(const struct scratch *s, unsigned cpu, const char *list) {
    cpu_file(s, cpu, "topology/thread_siblings_list", list);
}

static void online(const struct scratch *s, const char *list) {
    scratch_text(s, "sys/devices/system/cpu/online", list);
}

static void node(const struct scratch *s, unsigned n, const char *list) {
    char path[100];
    snprintf(path, sizeof path, "sys/devices/system/node/node%u/cpulist", n);
    scratch_text(s, path, list);
}

static void nodes(const struct scratch *s, const char *list) {
    scratch_text(s, "sys/devices/system/node/online", list);
}

static void read_with(const struct scratch *s, uint64_t mask) {
    cria_topology_read(s->root, &mask, 1, &topo);
    /* What holds of every machine, however odd its files. */
    uint32_t cores = 0, cpus = 0;
    for (uint32_t i = 0; i < CRIA_MAX_NODES; i++) {
        cores += topo.node_cores[i];
        assert_int_equal(topo.node_cores[i] > 0, i < topo.n_nodes);
    }
    assert_int_equal(cores, topo.n_cores);
    for (uint32_t i = 0; i < CRIA_MAX_CPUS; i++) {
        if (topo.node_of[i] == CRIA_CPU_ABSENT) continue;
        assert_true(topo.node_of[i] < topo.n_nodes);
        cpus++;
    }
    assert_int_equal(cpus, topo.n_cpus);
    assert_in_range(topo.n_nodes, 1, CRIA_MAX_NODES);
    assert_true(topo.n_slow < topo.n_cores && topo.n_cores <= topo.n_cpus);
}

static void expect(uint32_t cpus, uint32_t cores, uint32_t n_nodes) {
    assert_int_equal(topo.n_cpus, cpus);
    assert_int_equal(topo.n_cores, cores);
    assert_int_equal(topo.n_nodes, n_nodes);
}

/* Two nodes of four cores of two threads each, numbered as on most servers: 0–3 and 8–11, 4–7 and 12–15. */
static void two_nodes(struct scratch *s) {
    scratch_new(s);
    online(s, "0-15\n");
    nodes(s, "0-1\n");
    node(s, 0, "0-3,8-11\n");
    node(s, 1, "4-7,12-15\n");
    for (unsigned i = 0; i < 16; i++) {
        char list[16];
        snprintf(list, sizeof list, "%u,%u\n", i % 8, i % 8 + 8);
        siblings(s, i, list);
    }
}

static void without_files_every_processor_is_a_core(void **state) {
    (void)state;
    struct scratch s;
    scratch_new(&s);
    read_with(&s, 0xff);
    expect(8, 8, 1);
    read_with(&s, 0);
    expect(1, 1, 1);
    cria_topology_read(s.root, NULL, 0, &topo);
    expect(1, 1, 1);
    scratch_free(&s);
}

static void hardware_threads_of_a_core_count_once(void **state) {
    (void)state;
    struct scratch s;
    scratch_new(&s);
    uint64_t mask[2] = {0xff, 0};
    static const char *const lists[8] = {"0,4\n", "1,5\n", "2-3\n", "2-3\n", "0,4\n", "1,5\n", "6-7\n", "6-7\n"};
    for (unsigned i = 0; i < 8; i++) siblings(&s, i, lists[i]);
    read_with(&s, 0xff);
    expect(8, 4, 1);
    read_with(&s, 0x30); /* only the second threads of cores 0 and 1 */
    expect(2, 2, 1);
    mask[0] = 0;
    mask[1] = 1; /* processor 64, with odd files */
    static const char *const odd[] = {"", "\n", "x", "64", "64-", "99999999999999999999", "9-1,64", "0-8", "-1", ",",
                                      "0-18446744073709551615", "64,0-8191", "0-8192", "64 65", "63\n"};
    for (size_t i = 0; i < N_ITEMS(odd); i++) {
        siblings(&s, 64, odd[i]);
        cria_topology_read(s.root, mask, 2, &topo);
        expect(1, 1, 1);
        assert_int_equal(topo.node_of[64], 0);
    }
    scratch_free(&s);
}

static void offline_processors_do_not_count(void **state) {
    (void)state;
    struct scratch s;
    scratch_new(&s);
    online(&s, "0-2,5\n");
    read_with(&s, 0xff);
    expect(4, 4, 1);
    assert_int_equal(topo.node_of[3], CRIA_CPU_ABSENT);
    read_with(&s, 0x18); /* none of them online: the file cannot be right */
    expect(2, 2, 1);
    scratch_free(&s);
}

static void largest_cache(void **state) {
    (void)state;
    static const struct {
        const char *size;
        uint64_t bytes;
    } cases[] = {{"266240K\n", UINT64_C(266240) << 10}, {"32M\n", UINT64_C(32) << 20}, {"48K\n", UINT64_C(2048) << 10},
                 {"", UINT64_C(2048) << 10},           {"many\n", UINT64_C(2048) << 10},
                 {"99999999999999999999K\n", UINT64_C(2048) << 10}};
    struct scratch s;
    scratch_new(&s);
    assert_int_equal(cria_topology_cache(s.root), 0);
    scratch_text(&s, "sys/devices/system/cpu/cpu0/cache/index0/size", "48K\n");
    scratch_text(&s, "sys/devices/system/cpu/cpu0/cache/index1/size", "2048K\n");
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        scratch_text(&s, "sys/devices/system/cpu/cpu0/cache/index2/size", cases[i].size);
        assert_int_equal(cria_topology_cache(s.root), cases[i].bytes);
    }
    scratch_free(&s);
}

static void two_nodes_are_told_apart(void **state) {
    (void)state;
    struct scratch s;
    two_nodes(&s);
    read_with(&s, 0xffff);
    expect(16, 8, 2);
    assert_int_equal(topo.node_cores[0], 4);
    assert_int_equal(topo.node_cores[1], 4);
    assert_int_equal(topo.node_of[11], 0);
    assert_int_equal(topo.node_of[12], 1);
    read_with(&s, 0x0f01); /* 0, 8–11 */
    expect(5, 4, 1);
    read_with(&s, 0xf0f0); /* a cpuset of the second node only */
    expect(8, 4, 1);
    assert_int_equal(topo.node_of[4], 0);
    read_with(&s, 0x0071); /* one core here, three there */
    expect(4, 4, 2);
    assert_int_equal(topo.node_cores[0], 1);
    assert_int_equal(topo.node_cores[1], 3);
    scratch_free(&s);
}

static void nodes_may_be_empty_sparse_or_many(void **state) {
    (void)state;
    struct scratch s;
    two_nodes(&s);
    nodes(&s, "0,2,8\n"); /* 1 is gone, 2 is memory only, 8 has the second half */
    node(&s, 2, "\n");
    node(&s, 8, "4-7,12-15\n");
    read_with(&s, 0xffff);
    expect(16, 8, 2);
    assert_int_equal(topo.node_of[15], 1);
    scratch_free(&s);

    scratch_new(&s);
    nodes(&s, "0-79\n");
    for (unsigned i = 0; i < 80; i++) {
        char list[16];
        snprintf(list, sizeof list, "%u", i);
        node(&s, i, list);
    }
    const uint64_t mask[2] = {UINT64_MAX, 0xffff};
    cria_topology_read(s.root, mask, 2, &topo);
    expect(80, 80, CRIA_MAX_NODES);
    assert_int_equal(topo.node_cores[CRIA_MAX_NODES - 1], 17);
    scratch_free(&s);
}

static void nonsense_about_nodes_is_one_node(void **state) {
    (void)state;
    static const char *const odd[] = {"", "\n", "x\n", "0-\n", "1-0\n", "0-99999\n", "0 1\n", "18446744073709551616\n"};
    struct scratch s;
    two_nodes(&s);
    for (size_t i = 0; i < N_ITEMS(odd); i++) {
        nodes(&s, odd[i]);
        read_with(&s, 0xffff);
        expect(16, 8, 1);
    }
    nodes(&s, "0-1\n");
    for (size_t i = 0; i < N_ITEMS(odd); i++) {
        node(&s, 1, odd[i]);
        read_with(&s, 0xffff);
        expect(16, 8, 1);
    }
    node(&s, 1, "0-15\n"); /* both claim 0–3 */
    read_with(&s, 0xffff);
    expect(16, 8, 2);
    assert_int_equal(topo.node_of[3], 0);
    node(&s, 1, "0-3\n"); /* nothing left for the second; nobody lists 4–7 */
    read_with(&s, 0xffff);
    expect(16, 8, 1);
    scratch_free(&s);
}

static void slower_cores_are_counted(void **state) {
    (void)state;
    struct scratch s;
    scratch_new(&s); /* x86: two cores of two threads, four without */
    siblings(&s, 0, "0-1\n");
    siblings(&s, 1, "0-1\n");
    siblings(&s, 2, "2-3\n");
    siblings(&s, 3, "2-3\n");
    scratch_text(&s, "sys/devices/cpu_atom/cpus", "4-7\n");
    read_with(&s, 0xff);
    expect(8, 6, 1);
    assert_int_equal(topo.n_slow, 4);
    read_with(&s, 0xf0);
    expect(4, 4, 1);
    assert_int_equal(topo.n_slow, 0);
    scratch_free(&s);

    scratch_new(&s); /* Arm: three speeds */
    static const char *const capacities[4] = {"250\n", "1024\n", "760\n", "1024\n"};
    for (unsigned i = 0; i < 4; i++) cpu_file(&s, i, "cpu_capacity", capacities[i]);
    read_with(&s, 0xf);
    assert_int_equal(topo.n_slow, 2);
    cpu_file(&s, 1, "cpu_capacity", "fast\n"); /* one that does not say: no judgement */
    read_with(&s, 0xf);
    assert_int_equal(topo.n_slow, 0);
    scratch_free(&s);
}

static void this_machine_is_plausible(void **state) {
    (void)state;
    cria_topology_detect(&topo);
    const long system = sysconf(_SC_NPROCESSORS_ONLN);
    assert_in_range(topo.n_cpus, 1, system);
    assert_in_range(topo.n_cores, 1, topo.n_cpus);
    assert_in_range(topo.n_nodes, 1, topo.n_cores);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_files_every_processor_is_a_core),
        cmocka_unit_test(hardware_threads_of_a_core_count_once),
        cmocka_unit_test(offline_processors_do_not_count),
        cmocka_unit_test(largest_cache),
        cmocka_unit_test(two_nodes_are_told_apart),
        cmocka_unit_test(nodes_may_be_empty_sparse_or_many),
        cmocka_unit_test(nonsense_about_nodes_is_one_node),
        cmocka_unit_test(slower_cores_are_counted),
        cmocka_unit_test(this_machine_is_plausible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
