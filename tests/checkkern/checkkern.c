/* SPDX-License-Identifier: Apache-2.0 */
/* The runner: which tables this machine can run, options, guarded buffers, signals, timing. The tests are
 * elsewhere. */
#include "checkkern.h"
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

static const struct check_test *const check_files[] = {check_matmul, check_elem, check_quant, check_attn,
                                                     check_probe};
enum { N_FILES = sizeof check_files / sizeof check_files[0], SKIPPED = 77 };

/* Tables besides those of cria_kernels_for: kernels of processors that this one is not, emulated. */
#if defined(CHECKKERN_SIMDE)
extern const struct cria_kernels check_avx512_simde;
#endif

/* ---- random data --------------------------------------------------------------------------- */

static uint64_t next64(struct check *c) { /* splitmix64 */
    uint64_t z = c->rng += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t check_rand(struct check *c) { return (uint32_t)(next64(c) >> 32); }
uint32_t check_below(struct check *c, uint32_t n) { return (uint32_t)((uint64_t)check_rand(c) * n >> 32); }
float check_float(struct check *c, float lo, float hi) {
    return lo + (hi - lo) * ((float)(check_rand(c) >> 8) * 0x1p-24f);
}

void check_bytes(struct check *c, void *p, size_t n) {
    unsigned char *b = p;
    for (size_t i = 0; i < n; i++) b[i] = (unsigned char)next64(c);
}

void check_normal(struct check *c, float *p, size_t n, float deviation) {
    for (size_t i = 0; i < n; i++) { /* the sum of four uniforms is normal enough */
        float s = 0;
        for (int j = 0; j < 4; j++) s += check_float(c, -1, 1);
        p[i] = s * 0.866f * deviation;
    }
}

static float any_finite(struct check *c) {
    for (;;) {
        const float f = cria_f32_from_bits(check_rand(c));
        if (isfinite(f)) return f;
    }
}

static float one_value(struct check *c, uint32_t kind) {
    const float sign = check_rand(c) & 1 ? -1.0f : 1.0f;
    switch (kind) {
    case 0:
        return check_float(c, -3, 3);
    case 1:
        return check_float(c, -1, 1) * 0x1p-120f;
    case 2:
        return sign * cria_f32_from_bits(check_below(c, 0x00800000));
    case 3:
        return sign * cria_f32_from_bits(0x7f7fffffu - check_below(c, 0x01000000));
    case 4:
        return sign * 0.0f;
    case 5:
        return sign * 0.5f * (float)check_below(c, 20);
    default:
        return any_finite(c);
    }
}

void check_data(struct check *c, float *p, size_t n) {
    enum { KINDS = 7 };
    const uint32_t kind = check_below(c, KINDS + 2);
    if (kind >= KINDS + 1) { /* twice as likely: what models have */
        check_normal(c, p, n, 1.0f);
        return;
    }
    for (size_t i = 0; i < n; i++) p[i] = one_value(c, kind == KINDS ? check_below(c, KINDS) : kind);
}

/* ---- buffers ------------------------------------------------------------------------------- */

enum { MAX_BUFFERS = 64, MARGIN = 256, PATTERN = 0xa5 };

/* A mapping [MARGIN watched ‖ data ‖ less than align watched] that ends at an inaccessible page; with --slack
 * there are MARGIN readable bytes, watched too, before that page. */
static struct buffer {
    unsigned char *map;
    size_t map_bytes; /* without the inaccessible page */
    unsigned char *data;
    size_t bytes;
} buffers[MAX_BUFFERS];
static size_t n_buffers, slack;
static char case_text[300];
static uint64_t seed;

static void die(const char *text) {
    fprintf(stderr, "checkkern: %s\n", text);
    exit(2);
}

void check_case(struct check *c, const char *format, ...) {
    (void)c;
    n_buffers = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(case_text, sizeof case_text, format, args);
    va_end(args);
}

void *check_buf(struct check *c, size_t bytes, size_t align) {
    if (n_buffers == MAX_BUFFERS) die("too many buffers in one case");
    struct buffer *b = &buffers[n_buffers++];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE),
                 need = (bytes + MARGIN + align + slack + page - 1) / page * page;
    if (need > b->map_bytes) {
        if (b->map) munmap(b->map, b->map_bytes + page);
        void *map = mmap(NULL, need + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED) die("out of memory");
        b->map = map;
        b->map_bytes = need;
        mprotect(b->map + need, page, PROT_NONE);
    }
    unsigned char *end = b->map + b->map_bytes;
    b->data = end - slack - (bytes + align - 1) / align * align;
    b->bytes = bytes;
    memset(b->data - MARGIN, PATTERN, (size_t)(end - b->data) + MARGIN);
    check_bytes(c, b->data, bytes);
    return b->data;
}

struct check_pair check_pair(struct check *c, size_t bytes, size_t align) {
    struct check_pair p = {check_buf(c, bytes, align), check_buf(c, bytes, align)};
    memcpy(p.got, p.want, bytes);
    return p;
}

static bool intact(const unsigned char *from, const unsigned char *to) {
    for (; from < to; from++)
        if (*from != PATTERN) return false;
    return true;
}

static void check_margins(struct check *c) {
    for (size_t i = 0; i < n_buffers; i++) {
        const struct buffer *b = &buffers[i];
        if (!intact(b->data - MARGIN, b->data)) check_fail(c, "wrote before the start of buffer %zu", i);
        if (!intact(b->data + b->bytes, b->map + b->map_bytes))
            check_fail(c, "wrote past the end of buffer %zu", i);
    }
}

/* ---- results ------------------------------------------------------------------------------- */

void check_fail(struct check *c, const char *format, ...) {
    if (!c->failed) {
        printf("FAIL %s of table %s, case: %s: ", c->test->name, c->k->name, case_text);
        va_list args;
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        printf(" (--seed %llu --test %s --isa %s)\n", (unsigned long long)seed, c->test->name, c->k->name);
        fflush(stdout);
    }
    c->failed = true;
}

void check_same(struct check *c, const char *what, struct check_pair pair, size_t bytes) {
    const unsigned char *want = pair.want, *got = pair.got;
    check_margins(c);
    if (memcmp(want, got, bytes) == 0) return;
    size_t i = 0;
    while (want[i] == got[i]) i++;
    check_fail(c, "%s: byte %zu is %u, not %u", what, i, got[i], want[i]);
}

void check_same_f32(struct check *c, const char *what, struct check_pair pair, size_t n) {
    const float *want = pair.want, *got = pair.got;
    check_margins(c);
    for (size_t i = 0; i < n; i++)
        if (memcmp(&want[i], &got[i], 4) != 0 && !(isnan(want[i]) && isnan(got[i])))
            check_fail(c, "%s[%zu] is %a, not %a", what, i, (double)got[i], (double)want[i]);
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

void check_arm(struct check *c, bool on) {
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

/* ---- timing -------------------------------------------------------------------------------- */

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Doubles the calls until a round takes a millisecond, then keeps the best of ten rounds. */
bool check_timer_next(struct check_timer *t) {
    const uint64_t now = now_ns();
    if (t->calls == 0) {
        t->calls = 1;
    } else if (t->round == 0 && now - t->start < 1000000) {
        t->calls *= 2;
    } else {
        const double ns = (double)(now - t->start) / (double)t->calls;
        if (t->round == 0 || ns < t->best) t->best = ns;
        if (++t->round == 10) return false;
    }
    t->start = now_ns();
    return true;
}

void check_report(struct check *c, const char *label, const double ns[2], double work, const char *unit) {
    printf("%-16s %-34s %12.1f ns  (reference %12.1f ns, %6.2f times)", c->k->name, label, ns[1], ns[0],
           ns[0] / ns[1]);
    if (work > 0) printf("  %8.2f %s/ns", work / ns[1], unit);
    printf("\n");
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
};

static bool same_slot(const struct cria_kernels *a, const struct cria_kernels *b, size_t slot) {
    return memcmp((const char *)a + slot, (const char *)b + slot, sizeof a->add) == 0;
}

/* All tests of table k; returns the number of failed ones. */
static int run_table(const struct cria_kernels *k, const struct options *o) {
    const struct cria_kernels *ref = cria_kernels_for(0);
    int run = 0, failed = 0;
    for (size_t f = 0; f < N_FILES; f++) {
        for (const struct check_test *t = check_files[f]; t->name; t++) {
            if (o->test && strcmp(o->test, t->name) != 0) continue;
            void (*what)(struct check *) = k == ref ? t->self : o->bench ? t->bench : t->run;
            if (!what || (k != ref && same_slot(k, ref, t->slot))) continue;
            struct check c = {.ref = ref, .k = k, .test = t, .rng = seed};
            check_case(&c, "start");
            run_trapped(&c, what);
            run++;
            failed += c.failed;
        }
    }
    if (!o->bench) printf("%s: %d tests, %d failed\n", k->name, run, failed);
    return failed;
}

/* Every table that is reached by leaving out processor flags, each once. */
static size_t find_tables(const struct cria_kernels **tables, size_t max) {
    struct cria_cpu cpu;
    cria_cpu_detect(&cpu);
    size_t n = 0;
    for (int bits = 0; bits <= 32; bits++) {
        const uint32_t mask = bits == 32 ? UINT32_MAX : (UINT32_C(1) << bits) - 1;
        const struct cria_kernels *k = cria_kernels_for(cpu.flags & mask);
        bool seen = false;
        for (size_t i = 0; i < n; i++) seen |= tables[i] == k;
        if (!seen && n < max) tables[n++] = k;
    }
#if defined(CHECKKERN_SIMDE) /* emulated with AVX2 */
    if (n < max && cpu.flags & CRIA_CPU_AVX2) tables[n++] = &check_avx512_simde;
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
    seed = now_ns() % 1000000000u;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--bench") == 0) {
            o.bench = true;
        } else if (strcmp(argv[i], "--slack") == 0) {
            slack = MARGIN;
        } else if (strcmp(argv[i], "--exp") == 0) {
            return measure_exp();
        } else if (strcmp(argv[i], "--list") == 0) {
            for (size_t t = 0; t < n_tables; t++) printf("table %s\n", tables[t]->name);
            for (size_t f = 0; f < N_FILES; f++)
                for (const struct check_test *t = check_files[f]; t->name; t++) printf("test %s\n", t->name);
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
