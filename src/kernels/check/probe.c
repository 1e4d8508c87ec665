/* SPDX-License-Identifier: Apache-2.0 */
/* The probes: that they read everything they are given, and that what they say they did grows with the rounds
 * (and is not zero, which would make any machine infinitely slow). How fast they are is for --bench. */
#include "kernels/check/check.h"

static void run_probe_read(struct check *c) {
    for (int i = 0; i < 20; i++) {
        const size_t bytes = 4096 * (size_t)check_below(c, 9);
        check_case(c, "%zu bytes", bytes);
        const void *p = check_buf(c, bytes, 64);
        const uint64_t want = c->ref->probe_read(p, bytes);
        uint64_t got = 0;
        CHECK_CALL(c, got = c->k->probe_read(p, bytes));
        if (got != want)
            check_fail(c, "read %llx, not %llx", (unsigned long long)got, (unsigned long long)want);
    }
}

static void self_probe_read(struct check *c) {
    unsigned char *p = check_buf(c, 4096, 64);
    uint64_t want = 0;
    for (int i = 0; i < 512; i++)
        for (int b = 0; b < 8; b++)
            want ^= (uint64_t)p[8 * i + b] << 8 * b; /* all tables are little-endian */
    if (c->k->probe_read(p, 4096) != want) check_fail(c, "not the exclusive or of all words");
}

static void check_counts(struct check *c, uint64_t probe(uint32_t n)) {
    uint64_t one = 0;
    CHECK_CALL(c, one = probe(1));
    if (one == 0) check_fail(c, "says it did nothing");
    static const uint32_t rounds[] = {0, 2, 1000, 100000};
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        check_case(c, "%u rounds", rounds[i]);
        uint64_t got = 0;
        CHECK_CALL(c, got = probe(rounds[i]));
        if (got != one * rounds[i]) check_fail(c, "is not %u times one round", rounds[i]);
    }
}

static void run_probe_f32(struct check *c) { check_counts(c, c->k->probe_f32); }
static void run_probe_int8(struct check *c) { check_counts(c, c->k->probe_int8); }

enum { ROUNDS = 1000, BENCH_BYTES = 16384 };

/* Tables differ in what a round is: the work is that of the table, the reference's time for the same is not.
 */
static void bench_probe_f32(struct check *c) {
    const double work = (double)c->k->probe_f32(ROUNDS);
    CHECK_BENCH(c, "probe_f32, multiply-adds", work, "op", K->probe_f32(ROUNDS));
}
static void bench_probe_int8(struct check *c) {
    const double work = (double)c->k->probe_int8(ROUNDS);
    CHECK_BENCH(c, "probe_int8, multiply-adds", work, "op", K->probe_int8(ROUNDS));
}
static void bench_probe_read(struct check *c) {
    const void *p = check_buf(c, BENCH_BYTES, 64);
    CHECK_BENCH(c, "probe_read, from the L1 cache", BENCH_BYTES, "B", K->probe_read(p, BENCH_BYTES));
}

#define SLOT(name) offsetof(struct cria_kernels, name)
const struct check_test check_probe[] = {
    {"probe_f32", SLOT(probe_f32), run_probe_f32, bench_probe_f32, run_probe_f32},
    {"probe_int8", SLOT(probe_int8), run_probe_int8, bench_probe_int8, run_probe_int8},
    {"probe_read", SLOT(probe_read), run_probe_read, bench_probe_read, self_probe_read},
    {0},
};
