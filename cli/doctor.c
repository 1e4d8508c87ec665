/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cria doctor: what the machine has, what was chosen and why, what it can do at most, whether every kernel computes
 * what it should, and what could be better. No model is needed.
 *
 * The kernels are tested in processes of their own, one a table: an instruction that the processor claims to have and
 * has not stops such a process only.
 */
#include "args.h"
#include "commands.h"
#include "cria/cria.h"
#include "jsontext.h"
#include "progress.h"
#include "session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct doctor_options {
    uint64_t threads, seed;
    const char *isa;
    bool json, quiet;
};

#define FIELD(name) offsetof(struct doctor_options, name)

static const struct arg_option rows[] = {
    {.name = "threads", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(threads), .max = 1024,
     .help = "judge this number of threads; 0 is what the processor and its quota allow"},
    /* Any text: whether it is possible here is what doctor is to say. */
    {.name = "isa", .kind = ARG_TEXT, .metavar = "NAME", .offset = FIELD(isa),
     .help = "judge this instruction set, as other commands take it (default: what $CRIA_ISA says, or the best)"},
    {.name = "seed", .kind = ARG_WHOLE, .metavar = "N", .def = "1", .offset = FIELD(seed), .max = UINT64_MAX,
     .help = "seed of the random cases that kernels are tested with"},
    {.name = "json", .kind = ARG_FLAG, .offset = FIELD(json), .help = "print one JSON object"},
    {.name = "quiet", .kind = ARG_FLAG, .offset = FIELD(quiet), .help = "nothing on stderr but errors"},
};

static const struct arg_command command = {
    .name = "doctor",
    .usage = "Usage: cria doctor [OPTIONS]",
    .about = "Shows what this machine has for cria, what is chosen and why, and how fast the machine is at most;\n"
             "tests every kernel that it can run; and says what could be better. Takes some seconds. The exit\n"
             "status is 1 when a kernel fails or a setting is impossible here.",
    .examples = "Examples\n"
                "  cria doctor\n"
                "  cria doctor --threads 8 --isa avx2\n"
                "  cria doctor --json\n",
};

/* ---- self-test ---- */

enum { MAX_TABLES = 16, FAILURE_BYTES = 700 };

struct table {
    char name[32];
    unsigned kernels, failed;
    double seconds;
    char failure[FAILURE_BYTES]; /* the first: "kernel: what"; "" for none */
};

struct doctor {
    const struct doctor_options *options;
    cria_machine machine;
    cria_limits limits;
    cria_error no_limits; /* why they could not be measured; code CRIA_OK otherwise */
    char isa[32]; /* chosen */
    struct table tables[MAX_TABLES];
    size_t n_tables;
};

/* What a testing process says to the one that waits for it: records of one size, so that none is cut. */
struct record {
    char kernel[48];
    bool done, failed;
    char failure[FAILURE_BYTES - 100];
};

static void send_event(void *user, const cria_selftest_event *e) {
    struct record r = {.done = e->done, .failed = e->failure != NULL};
    snprintf(r.kernel, sizeof r.kernel, "%s", e->kernel);
    if (e->failure) snprintf(r.failure, sizeof r.failure, "%s", e->failure);
    const char *p = (const char *)&r;
    for (size_t n = 0; n < sizeof r;) {
        const ssize_t wrote = write(*(const int *)user, p + n, sizeof r - n);
        if (wrote <= 0) _exit(2); /* nobody listens */
        n += (size_t)wrote;
    }
}

/* The testing process. Its exit status is 2 when the test could not be made. */
static int test_table(const char *table, uint64_t seed, int out) {
    cria_ctx_opts o = cria_ctx_opts_default();
    cria_ctx *ctx;
    o.threads = 1;
    o.isa = "scalar";
    if (cria_ctx_new(&o, &ctx, NULL) != CRIA_OK) return 2;
    const cria_status st = cria_selftest(ctx, table, seed, send_event, &out, NULL);
    cria_ctx_free(ctx);
    return st == CRIA_OK ? 0 : 2;
}

static bool read_record(int in, struct record *r) {
    char *p = (char *)r;
    for (size_t n = 0; n < sizeof *r;) {
        const ssize_t got = read(in, p + n, sizeof *r - n);
        if (got <= 0) return false;
        n += (size_t)got;
    }
    return true;
}

static void note_failure(struct table *t, const char *kernel, const char *what) {
    if (t->failed++ == 0) snprintf(t->failure, sizeof t->failure, "%s: %s", kernel, what);
}

/* What the process says, and how it ended. */
static void hear_out(struct table *t, pid_t child, int in) {
    struct record r = {.done = true};
    char kernel[sizeof r.kernel] = "start";
    bool running = false;
    while (read_record(in, &r)) {
        memcpy(kernel, r.kernel, sizeof kernel);
        running = !r.done;
        t->kernels += r.done;
        if (r.failed) note_failure(t, r.kernel, r.failure);
    }
    int status = -1;
    char what[100] = "the test could not be made: not enough memory?";
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    t->kernels += running;
    if (WIFSIGNALED(status))
        snprintf(what, sizeof what, "stopped by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    note_failure(t, kernel, what);
}

static void run_table(struct table *t, uint64_t seed) {
    int ends[2];
    const double start = clock_now();
    if (pipe(ends) != 0) {
        note_failure(t, "start", "the system refused a pipe");
        return;
    }
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(test_table(t->name, seed, ends[1]));
    }
    close(ends[1]);
    if (child > 0)
        hear_out(t, child, ends[0]);
    else
        note_failure(t, "start", "the system refused a process");
    close(ends[0]);
    t->seconds = clock_now() - start;
}

static void self_test(struct doctor *d) {
    struct progress bar;
    char names[sizeof d->machine.tables];
    memcpy(names, d->machine.tables, sizeof names);
    for (char *save, *name = strtok_r(names, " ", &save); name && d->n_tables < MAX_TABLES;
         name = strtok_r(NULL, " ", &save))
        snprintf(d->tables[d->n_tables++].name, sizeof d->tables[0].name, "%s", name);
    progress_start(&bar, "Testing kernels", d->options->quiet);
    for (size_t i = 0; i < d->n_tables; i++) {
        progress_update(&bar, i, d->n_tables);
        run_table(&d->tables[i], d->options->seed);
    }
    progress_end(&bar);
}

static unsigned n_failed(const struct doctor *d) {
    unsigned n = 0;
    for (size_t i = 0; i < d->n_tables; i++) n += d->tables[i].failed;
    return n;
}

/* ---- advice ---- */

enum { MAX_ADVICE = 12, ADVICE_BYTES = 400 };

struct advice {
    char lines[MAX_ADVICE][ADVICE_BYTES];
    size_t n;
};

static void advise(struct advice *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void advise(struct advice *a, const char *format, ...) {
    if (a->n == MAX_ADVICE) return;
    va_list args;
    va_start(args, format);
    vsnprintf(a->lines[a->n++], ADVICE_BYTES, format, args);
    va_end(args);
}

static const char *best_table(const struct doctor *d) { return d->tables[d->n_tables - 1].name; }

static void advise_on_threads(const struct cria_machine *m, struct advice *a) {
    if (m->cpus < m->cpus_online)
        advise(a, "An affinity mask or cpuset lets cria use %" PRIu32 " of %" PRIu32 " processors.", m->cpus,
               m->cpus_online);
    if (m->quota != 0 && m->quota < m->cores)
        advise(a, "The cgroup's quota grants the time of %" PRIu32 " of %" PRIu32 " cores, and more threads would only "
               "be stopped more often. Raise cpu.max (or the container's CPU limit) for more speed.", m->quota,
               m->cores);
    if (m->threads > m->cpus)
        advise(a, "%" PRIu32 " threads were asked for, but there are only %" PRIu32 " processors for them; the others "
               "are not started. --threads %" PRIu32 " is likely best.", m->threads, m->cpus, m->default_threads);
    else if (m->threads > m->default_threads)
        advise(a, "%" PRIu32 " threads are more than there are cores or quota for, which rarely helps. "
               "--threads %" PRIu32 " is likely best.", m->threads, m->default_threads);
    if (m->threads < m->default_threads)
        advise(a, "With %" PRIu32 " thread%s, %" PRIu32 " core%s idle; --threads 0 takes all that make sense.",
               m->threads, m->threads == 1 ? "" : "s", m->default_threads - m->threads,
               m->default_threads - m->threads == 1 ? " is" : "s are");
}

static void collect_advice(const struct doctor *d, struct advice *a) {
    const cria_machine *m = &d->machine;
    for (size_t i = 0; i < d->n_tables; i++)
        if (d->tables[i].failed)
            advise(a, "The kernels of table %s are wrong on this machine; do not trust what it computes%s. Please "
                   "report it with this output.", d->tables[i].name,
                   i > 0 ? ", and choose another with --isa" : "");
    if (d->n_tables == 1)
        advise(a, "This processor has no instruction set that cria has kernels for (AVX2 with FMA and F16C, or NEON), "
               "or a virtual machine hides it: plain C is slower by ten times and more.");
    else if (strcmp(d->isa, best_table(d)) != 0)
        advise(a, "%s is not the best that this processor runs; without %s it would be %s.", d->isa,
               d->options->isa ? "--isa" : "CRIA_ISA", best_table(d));
    advise_on_threads(m, a);
    if (m->huge_pages == CRIA_HUGE_PAGES_NEVER)
        advise(a, "Huge pages are switched off, which costs about a tenth of the speed of generation where weights are "
               "not mapped from the cache. Allow them: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

/* ---- the page ---- */

static void row(const char *name) { printf("  %-18s", name); }

static const char *plural(uint32_t n) { return n == 1 ? "" : "s"; }

static void print_machine(const cria_machine *m) {
    static const char *const huge[] = {"unknown", "never", "on request", "always"};
    printf("Machine\n");
    row("processor");
    printf("%s\n", *m->processor ? m->processor : "unknown");
    row("features");
    printf("%s\n", *m->features ? m->features : "none that cria has kernels for");
    row("processors");
    printf("%" PRIu32 " online, %" PRIu32 " for this process\n", m->cpus_online, m->cpus);
    row("cores");
    printf("%" PRIu32, m->cores);
    if (m->slow_cores) printf(", %" PRIu32 " of them efficiency cores", m->slow_cores);
    printf("\n");
    row("memory nodes");
    printf("%" PRIu32 "\n", m->nodes);
    row("CPU quota");
    if (m->quota)
        printf("%" PRIu32 " processor%s\n", m->quota, plural(m->quota));
    else
        printf("none\n");
    row("memory");
    if (m->memory_bytes)
        printf("%.1f GiB, %.1f GiB available\n", (double)m->memory_bytes / 0x1p30,
               (double)m->memory_available_bytes / 0x1p30);
    else
        printf("unknown\n");
    row("huge pages");
    printf("%s\n", huge[m->huge_pages]);
}

/* Why this instruction set. */
static void explain_isa(const struct doctor *d, char *out, size_t size) {
    const char *env = getenv("CRIA_ISA");
    if (d->options->isa && strcmp(d->options->isa, "auto") != 0)
        snprintf(out, size, "--isa %s", d->options->isa);
    else if (!d->options->isa && env && *env && strcmp(env, "auto") != 0)
        snprintf(out, size, "CRIA_ISA=%s", env);
    else if (d->n_tables == 1)
        snprintf(out, size, "the only one this processor can run");
    else
        snprintf(out, size, "the best this processor can run");
}

static void explain_threads(const struct doctor *d, char *out, size_t size) {
    const cria_machine *m = &d->machine;
    if (d->options->threads)
        snprintf(out, size, "--threads %" PRIu64 "; %" PRIu32 " by default", d->options->threads, m->default_threads);
    else if (m->quota && m->quota < m->cores)
        snprintf(out, size, "the cgroup's quota");
    else
        snprintf(out, size, "one a core");
}

static void explain_placement(const struct doctor *d, char *out, size_t size) {
    if (d->machine.nodes == 1)
        snprintf(out, size, "left to the system: one memory node");
    else
        snprintf(out, size, "spread over %" PRIu32 " memory nodes and pinned to them", d->machine.nodes);
}

static void print_choice(const struct doctor *d) {
    char why[200];
    printf("\nChoice\n");
    explain_isa(d, why, sizeof why);
    row("instruction set");
    printf("%s: %s\n", d->isa, why);
    explain_threads(d, why, sizeof why);
    row("threads");
    printf("%" PRIu32 ": %s\n", d->machine.threads, why);
    explain_placement(d, why, sizeof why);
    row("placement");
    printf("%s\n", why);
}

static void print_limits(const struct doctor *d) {
    printf("\nLimits, measured with %" PRIu32 " thread%s, %s\n", d->machine.threads, plural(d->machine.threads),
           d->isa);
    if (d->no_limits.code != CRIA_OK) {
        row("not measured");
        print_wrapped(d->no_limits.msg, 20);
        return;
    }
    row("memory, read");
    printf("%.1f GB/s\n", d->limits.read_bytes * 1e-9);
    row("float32");
    printf("%.1f Gop/s (a multiply-add is two operations)\n", d->limits.f32_ops * 1e-9);
    row("int8");
    printf("%.1f Gop/s\n", d->limits.int8_ops * 1e-9);
}

static void print_tables(const struct doctor *d) {
    printf("\nSelf-test of the kernels\n");
    for (size_t i = 0; i < d->n_tables; i++) {
        const struct table *t = &d->tables[i];
        row(t->name);
        if (t->failed)
            printf("FAILED: %u of %u kernels; %s (--seed %" PRIu64 ")\n", t->failed, t->kernels, t->failure,
                   d->options->seed);
        else
            printf("%u kernels right, %.1f s\n", t->kernels, t->seconds);
    }
}

static void print_page(const struct doctor *d, const struct advice *a) {
    print_machine(&d->machine);
    print_choice(d);
    print_limits(d);
    print_tables(d);
    printf("\nAdvice\n");
    for (size_t i = 0; i < a->n; i++) {
        printf("  * ");
        print_wrapped(a->lines[i], 4);
    }
    if (a->n == 0) printf("  none: everything is as it should be\n");
}

/* ---- JSON ---- */

static void print_text(const char *name, const char *text) {
    printf("\"%s\": ", name);
    print_json_text(text);
}

static void print_json(const struct doctor *d, const struct advice *a) {
    static const char *const huge[] = {"unknown", "never", "on request", "always"};
    const cria_machine *m = &d->machine;
    char why[200];
    printf("{");
    print_text("version", cria_version());
    printf(", \"machine\": {");
    print_text("processor", m->processor);
    printf(", ");
    print_text("features", m->features);
    printf(", \"cpus_online\": %" PRIu32 ", \"cpus\": %" PRIu32 ", \"cores\": %" PRIu32 ", \"slow_cores\": %" PRIu32
           ", \"memory_nodes\": %" PRIu32 ", \"quota\": ", m->cpus_online, m->cpus, m->cores, m->slow_cores, m->nodes);
    if (m->quota)
        printf("%" PRIu32, m->quota);
    else
        printf("null");
    printf(", \"memory_bytes\": %" PRIu64 ", \"memory_available_bytes\": %" PRIu64 ", ", m->memory_bytes,
           m->memory_available_bytes);
    print_text("huge_pages", huge[m->huge_pages]);
    printf("}, \"choice\": {");
    print_text("isa", d->isa);
    explain_isa(d, why, sizeof why);
    printf(", ");
    print_text("isa_why", why);
    printf(", \"threads\": %" PRIu32 ", \"default_threads\": %" PRIu32 ", ", m->threads, m->default_threads);
    explain_threads(d, why, sizeof why);
    print_text("threads_why", why);
    printf(", \"pinned\": %s}", m->nodes > 1 ? "true" : "false");
    if (d->no_limits.code == CRIA_OK)
        printf(", \"limits\": {\"read_bytes_per_second\": %.4g, \"f32_ops_per_second\": %.4g, "
               "\"int8_ops_per_second\": %.4g}", d->limits.read_bytes, d->limits.f32_ops, d->limits.int8_ops);
    else
        printf(", \"limits\": null");
    printf(", \"self_test\": {\"seed\": %" PRIu64 ", \"tables\": [", d->options->seed);
    for (size_t i = 0; i < d->n_tables; i++) {
        const struct table *t = &d->tables[i];
        printf("%s{", i ? ", " : "");
        print_text("table", t->name);
        printf(", \"kernels\": %u, \"failed\": %u, \"seconds\": %.3f", t->kernels, t->failed, t->seconds);
        if (t->failed) printf(", ");
        if (t->failed) print_text("failure", t->failure);
        printf("}");
    }
    printf("]}, \"advice\": [");
    for (size_t i = 0; i < a->n; i++) {
        printf("%s", i ? ", " : "");
        print_json_text(a->lines[i]);
    }
    printf("], \"ok\": %s}\n", n_failed(d) ? "false" : "true");
}

/* ---- */

/* A first context, without workers, only tells what there is: processes are best started before threads. */
static cria_status examine(struct doctor *d, cria_error *err) {
    const struct doctor_options *o = d->options;
    cria_ctx_opts opts = cria_ctx_opts_default();
    cria_ctx *ctx;
    opts.threads = 1;
    opts.isa = o->isa;
    cria_status st = cria_ctx_new(&opts, &ctx, err);
    if (st != CRIA_OK) return st;
    cria_ctx_machine(ctx, &d->machine);
    cria_ctx_free(ctx);
    self_test(d);

    opts.threads = (uint32_t)o->threads;
    st = cria_ctx_new(&opts, &ctx, err);
    if (st != CRIA_OK) return st;
    cria_ctx_machine(ctx, &d->machine);
    snprintf(d->isa, sizeof d->isa, "%s", cria_ctx_isa(ctx));
    if (cria_ctx_measure(ctx, &d->limits, &d->no_limits) == CRIA_OK) d->no_limits.code = CRIA_OK;
    cria_ctx_free(ctx);
    return CRIA_OK;
}

int doctor_main(int argc, char **argv) {
    struct doctor_options o = {0};
    const struct arg_group groups[] = {{"Options", rows, sizeof rows / sizeof *rows, &o}};
    int code;
    if (!command_begins(&command, groups, 1, argc, argv, &code)) return code;
    struct doctor d = {.options = &o};
    struct advice advice = {.n = 0};
    cria_error err;
    if (examine(&d, &err) != CRIA_OK) return complain("%s", err.msg);
    collect_advice(&d, &advice);
    if (o.json)
        print_json(&d, &advice);
    else
        print_page(&d, &advice);
    return n_failed(&d) ? EXIT_FAILED : EXIT_DONE;
}
