/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kernel of a table against the reference, bit for bit, in the manner of dav1d's checkasm: the cases, for
 * whoever runs them. Two do: tests/checkkern (pages out of bounds, signals, timing, emulated tables) and
 * cria_selftest (src/doctor.c, for `cria doctor`), so a kernel that comes with its case here is in both. What
 * they do differently is behind struct check_host; nothing here prints or allocates.
 *
 * A test belongs to one slot of struct cria_kernels. Its run() walks shapes and data; for each case
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
 * To add a file of tests: a table of struct check_test ended by {0}, named below and in cria_check_files
 * (check.c).
 */
#ifndef CRIA_KERNELS_CHECK_CHECK_H
#define CRIA_KERNELS_CHECK_CHECK_H

#include "kernels/kernels.h"

/* Short names for the cases; to the linker all are cria_…, as in the rest of the library. */
#define check_matmul cria_check_matmul
#define check_elem cria_check_elem
#define check_quant cria_check_quant
#define check_attn cria_check_attn
#define check_probe cria_check_probe
#define check_files cria_check_files
#define check_applies cria_check_applies
#define check_begin cria_check_begin
#define check_rand cria_check_rand
#define check_below cria_check_below
#define check_float cria_check_float
#define check_data cria_check_data
#define check_normal cria_check_normal
#define check_bytes cria_check_bytes
#define check_cases cria_check_cases
#define check_case cria_check_case
#define check_buf cria_check_buf
#define check_pair cria_check_pair
#define check_arm cria_check_arm
#define check_same cria_check_same
#define check_same_f32 cria_check_same_f32
#define check_fail cria_check_fail
#define check_timer_next cria_check_timer_next
#define check_report cria_check_report
#define check_print cria_check_print

struct check;

struct check_buffer {
    unsigned char *map;
    size_t map_bytes;
    unsigned char *data; /* at the end of map, but for `slack` bytes and less than its alignment */
    size_t bytes;
};

/* What the runner does. Any may be called from any case; grow does not return when there is no memory. */
struct check_host {
    /* Memory of at least `bytes` for b->map, page-aligned or to 64 bytes, in place of what is there (NULL at first;
     * its contents are of no interest); sets map_bytes, a multiple of 64. */
    void (*grow)(struct check *c, struct check_buffer *b, size_t bytes);
    /* The tested kernel runs from now on (true), or has come back. */
    void (*arm)(struct check *c, bool armed);
    /* The first failure of a test: "case: what". */
    void (*failed)(struct check *c, const char *text);
    /* A line of a timing. */
    void (*print)(struct check *c, const char *line);
    size_t slack;      /* readable bytes behind buffers, watched like those before them */
    uint32_t one_case_of; /* 1: all cases; n: an nth of them */
};

enum { CHECK_BUFFERS = 64 };

struct check {
    const struct cria_kernels *ref, *k;
    const struct check_host *host;
    void *user; /* the host's */
    const struct check_test *test;
    uint64_t rng;
    bool failed; /* this test, this table; only the first failure is told */
    char case_text[300];
    struct check_buffer buffers[CHECK_BUFFERS];
    size_t n_buffers; /* in use by the case; those behind keep their memory for later ones */
};

struct check_test {
    const char *name;
    size_t slot; /* offsetof(struct cria_kernels, …); skipped where k has the reference's pointer */
    void (*run)(struct check *c);
    void (*bench)(struct check *c); /* NULL: none */
    void (*self)(struct check *c);  /* the reference alone, against maths in double precision; NULL: none */
};
/* Of enum cria_kv_elem. */
extern const char *const cria_check_kv_names[];
enum { CHECK_KV_KINDS = CRIA_KV_ELEM_I16 + 1 };

extern const struct check_test check_matmul[], check_elem[], check_quant[], check_attn[], check_probe[];
/* All of them; ends with NULL. */
extern const struct check_test *const check_files[];

/* False where k has the reference's own kernel in the test's slot. */
bool check_applies(const struct check_test *t, const struct cria_kernels *ref, const struct cria_kernels *k);
/* Before a test: t is what the next cases and failures are about. */
void check_begin(struct check *c, const struct check_test *t, uint64_t seed);

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

/* How many of n cases to walk; at least 1. */
int check_cases(const struct check *c, int n);
void check_case(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* bytes of memory with random contents, exactly aligned to `align` (a power of two up to 64) and no better where
 * that can be; less than `align` bytes behind it the host's memory ends (checkkern: an inaccessible page). Those
 * are watched, as are the bytes before. Lives until the next check_case. */
void *check_buf(struct check *c, size_t bytes, size_t align);
struct check_pair {
    void *want, *got;
};
struct check_pair check_pair(struct check *c, size_t bytes, size_t align);

/* Runs statement, the tested kernel. In checkkern a SIGILL, SIGSEGV, SIGBUS or SIGFPE in it fails the test. */
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
void check_print(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_report(struct check *c, const char *label, const double ns[2], double work, const char *unit);

#endif
