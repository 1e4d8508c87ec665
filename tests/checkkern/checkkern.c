/* SPDX-License-Identifier: Apache-2.0 */
/* checkkern: every kernel of every table against the reference. Here is the runner: which tables this machine can
 * run, options, memory between inaccessible pages, signals. The tests are in src/kernels/check. */
#include "kernels/check/check.h"
#include "base/cpu.h"
#include "base/half.h"
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SLACK = 256, SKIPPED = 77 };

/* Tables besides those of cria_kernels_for: kernels of processors that this one is not, emulated. */
#if defined(CHECKKERN_SIMDE)
extern const struct cria_kernels *const check_simde_tables[]; /* ended by NULL */
#endif

/* ---- what the cases ask of us -------------------------------------------------------------- */

static uint64_t seed;

static void die(const char *text) {
    fprintf(stderr, "checkkern: %s\n", text);
    exit(2);
}

/* A mapping that ends at an inaccessible page. */
static void grow(struct check *c, struct check_buffer *b, size_t bytes) {
    (void)c;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), need = (bytes + page - 1) / page * page;
    if (b->map) munmap(b->map, b->map_bytes + page);
    void *map = mmap(NULL, need + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) die("out of memory");
    b->map = map;
    b->map_bytes = need;
    mprotect(b->map + need, page, PROT_NONE);
}

static void print_failure(struct check *c, const char *text) {
    printf("FAIL %s of table %s, case: %s (--seed %llu --test %s --isa %s)\n", c->test->name, c->k->name, text,
           (unsigned long long)seed, c->test->name, c->k->name);
    fflush(stdout);
}

static void print_line(struct check *c, const char *line) {
    (void)c;
    puts(line);
}

/* ---- signals ------------------------------------------------------------------------------- */

static sigjmp_buf after_crash;
static volatile sig_atomic_t armed;

static void on_signal(int number) {
    if (armed) {
        armed = 0;
        siglongjmp(after_crash, number);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static void trap_signals(void) {
    const int numbers[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) signal(numbers[i], on_signal);
}

static void arm(struct check *c, bool on) {
    (void)c;
    armed = on;
}

static void run_trapped(struct check *c, void (*what)(struct check *)) {
    const int number = sigsetjmp(after_crash, 1);
    if (number == 0)
        what(c);
    else
        check_fail(c, "stopped by signal %d, %s", number, strsignal(number));
}

/* ---- exp, exhaustively --------------------------------------------------------------------- */

static int measure_exp(void) {
    double worst = 0;
    float at = 0;
    uint64_t wrong = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits++) {
        const float x = cria_f32_from_bits((uint32_t)bits), y = cria_expf(x);
        if (isnan(x)) {
            wrong += !isnan(y);
            continue;
        }
        const double exact = exp((double)x);
        if (exact < 0x1p-126 || (float)exact > 0x1.fffffep127f) {
            wrong += y != (exact < 1 ? 0.0f : INFINITY);
            continue;
        }
        int exponent;
        frexp(exact, &exponent);
        const double error = fabs((double)y - exact) / ldexp(1, exponent - 24);
        if (!(error <= worst)) {
            worst = error;
            at = x;
        }
    }
    printf("exp: largest error %.4f ulp at %a; wrong at the ends: %llu\n", worst, (double)at,
           (unsigned long long)wrong);
    return worst < 1 && wrong == 0 ? 0 : 1;
}

/* ---- running ------------------------------------------------------------------------------- */

struct options {
    const char *test, *isa;
    bool bench;
    size_t slack;
};

/* All tests of table k; returns the number of failed ones. */
static int run_table(const struct cria_kernels *k, const struct options *o) {
    const struct check_host host = {grow, arm, print_failure, print_line, o->slack, 1};
    struct check c = {.ref = cria_kernels_for(0), .k = k, .host = &host};
    int run = 0, failed = 0;
    for (const struct check_test *const *file = check_files; *file; file++) {
        for (const struct check_test *t = *file; t->name; t++) {
            if (o->test && strcmp(o->test, t->name) != 0) continue;
            void (*what)(struct check *) = k == c.ref ? t->self : o->bench ? t->bench : t->run;
            if (!what || (k != c.ref && !check_applies(t, c.ref, k))) continue;
            check_begin(&c, t, seed);
            run_trapped(&c, what);
            run++;
            failed += c.failed;
        }
    }
    for (size_t i = 0; i < CHECK_BUFFERS; i++)
        if (c.buffers[i].map) munmap(c.buffers[i].map, c.buffers[i].map_bytes + (size_t)sysconf(_SC_PAGESIZE));
    if (!o->bench) printf("%s: %d tests, %d failed\n", k->name, run, failed);
    return failed;
}

/* Every table that this processor can run, and the emulated one. */
static size_t find_tables(const struct cria_kernels **tables, size_t max) {
    struct cria_cpu cpu;
    cria_cpu_detect(&cpu);
    size_t n = cria_kernels_list(cpu.flags, tables, max);
#if defined(CHECKKERN_SIMDE) /* with AVX2 */
    for (size_t i = 0; cpu.flags & CRIA_CPU_AVX2 && check_simde_tables[i] && n < max; i++)
        tables[n++] = check_simde_tables[i];
#endif
    return n;
}

static int usage(void) {
    puts("usage: checkkern [--seed N] [--test NAME] [--isa NAME] [--bench] [--slack] [--list] [--exp]\n"
         "Compares every kernel table that this machine can run with the reference, bit for bit.\n"
         "  --isa NAME   only this table; exit status 77 when this machine cannot run it\n"
         "  --bench      times instead\n"
         "  --slack      lets kernels read a little past buffers: some emulators do so by themselves\n"
         "  --list       names of tables and tests\n"
         "  --exp        measures the error of exp over all floats (some minutes)");
    return 2;
}

int main(int argc, char **argv) {
    const struct cria_kernels *tables[16];
    const size_t n_tables = find_tables(tables, sizeof tables / sizeof tables[0]);
    struct options o = {0};
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    seed = (uint64_t)now.tv_nsec;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--bench") == 0) {
            o.bench = true;
        } else if (strcmp(argv[i], "--slack") == 0) {
            o.slack = SLACK;
        } else if (strcmp(argv[i], "--exp") == 0) {
            return measure_exp();
        } else if (strcmp(argv[i], "--list") == 0) {
            for (size_t t = 0; t < n_tables; t++) printf("table %s\n", tables[t]->name);
            for (const struct check_test *const *file = check_files; *file; file++)
                for (const struct check_test *t = *file; t->name; t++) printf("test %s\n", t->name);
            return 0;
        } else if (value && strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(value, NULL, 10);
            i++;
        } else if (value && strcmp(argv[i], "--test") == 0) {
            o.test = value;
            i++;
        } else if (value && strcmp(argv[i], "--isa") == 0) {
            o.isa = value;
            i++;
        } else {
            return usage();
        }
    }
    trap_signals();
    printf("checkkern: --seed %llu\n", (unsigned long long)seed);
    int failed = 0, walked = 0;
    for (size_t i = 0; i < n_tables; i++) {
        if (o.isa && strcmp(o.isa, tables[i]->name) != 0) continue;
        failed += run_table(tables[i], &o);
        walked++;
    }
    if (!walked) {
        printf("This machine cannot run table %s: skipped.\n", o.isa);
        return SKIPPED;
    }
    return failed ? 1 : 0;
}
