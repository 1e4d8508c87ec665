/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkkern: every kernel of every table against the reference, bit for bit, in the manner of dav1d's
 * checkasm. A test belongs to one slot of struct cria_kernels. Its run() walks shapes and data; for each case
 * it takes buffers, calls the reference's slot and the tested one, and compares:
 *
 *     check_case(c, "n %zu", n);                      what is printed should it fail; frees the last buffers
 *     float *x = check_buf(c, n * 4, 4);              input: access outside is a fault or is noticed
 *     check_data(c, x, n);
 *     struct check_pair y = check_pair(c, n * 4, 4);  output: two buffers, same random content before
 *     c->ref->add(y.want, x, n);
 *     CHECK_CALL(c, c->k->add(y.got, x, n));
 *     check_same_f32(c, "y", y, n);
 *
 * To add a file of tests: a table of struct check_test ended by {0}, named in check_files (checkkern.c) and
 * below.
 */
#ifndef CHECKKERN_H
#define CHECKKERN_H

#include "kernels/kernels.h"

struct check {
    const struct cria_kernels *ref, *k;
    const struct check_test *test;
    uint64_t rng;
    bool failed;              /* this test, this table; only the first failure is printed */
};

struct check_test {
    const char *name;
    size_t slot; /* offsetof(struct cria_kernels, …); skipped where k has the reference's pointer */
    void (*run)(struct check *c);
    void (*bench)(struct check *c); /* NULL: none */
    void (*self)(struct check *c);  /* the reference alone, against maths in double precision; NULL: none */
};
extern const struct check_test check_matmul[], check_elem[], check_quant[], check_attn[], check_probe[];

/* ---- random data --------------------------------------------------------------------------- */

uint32_t check_rand(struct check *c);
uint32_t check_below(struct check *c, uint32_t n);      /* 0..n−1 */
float check_float(struct check *c, float lo, float hi); /* uniform */
/* Fills p with one of several kinds of finite floats, chosen at random: normal-like, tiny, subnormal, huge,
 * zeros of both signs, small integers (many ties), any finite bit pattern, or a mixture. */
void check_data(struct check *c, float *p, size_t n);
/* Normal-like with the given deviation. */
void check_normal(struct check *c, float *p, size_t n, float deviation);
void check_bytes(struct check *c, void *p, size_t n);

/* ---- cases and buffers --------------------------------------------------------------------- */

void check_case(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* bytes of memory, exactly aligned to `align` (a power of two up to 64) and no better where that can be; an
 * inaccessible page follows after less than `align` bytes, which are watched, as are those before. Lives
 * until the next check_case. */
void *check_buf(struct check *c, size_t bytes, size_t align);
struct check_pair {
    void *want, *got;
};
struct check_pair check_pair(struct check *c, size_t bytes, size_t align);

/* Runs statement; a SIGILL, SIGSEGV, SIGBUS or SIGFPE in it fails the test and ends it. */
#define CHECK_CALL(c, statement) \
    do {                         \
        check_arm(c, true);      \
        statement;               \
        check_arm(c, false);     \
    } while (0)
void check_arm(struct check *c, bool armed);

/* Both also look at the watched bytes around all buffers of the case. _f32: any NaN equals any NaN. */
void check_same(struct check *c, const char *what, struct check_pair pair, size_t bytes);
void check_same_f32(struct check *c, const char *what, struct check_pair pair, size_t n);
void check_fail(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- timing -------------------------------------------------------------------------------- */

/* Times statement for both tables and prints nanoseconds per call, and work per nanosecond (unit "flop", "B";
 * 0: not); K stands for the table in the statement. */
#define CHECK_BENCH(c, label, work, unit, statement)                                      \
    do {                                                                                  \
        double ns_[2];                                                                    \
        for (int side_ = 0; side_ < 2; side_++) {                                         \
            const struct cria_kernels *const K = side_ == 0 ? (c)->ref : (c)->k;          \
            struct check_timer timer_ = {0};                                              \
            while (check_timer_next(&timer_))                                             \
                for (uint64_t i_ = 0; i_ < timer_.calls; i_++) statement;                 \
            ns_[side_] = timer_.best;                                                     \
        }                                                                                 \
        check_report(c, label, ns_, work, unit);                                          \
    } while (0)
struct check_timer {
    uint64_t calls, start;
    int round;
    double best; /* ns per call */
};
bool check_timer_next(struct check_timer *t);
void check_report(struct check *c, const char *label, const double ns[2], double work, const char *unit);

#endif
