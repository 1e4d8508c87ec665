/* SPDX-License-Identifier: Apache-2.0 */
/* The part of cria.h that is about the machine: what was found and chosen, and the self-test of the kernels. */
#include "base/ctx.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include "kernels/check/check.h"
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TABLES = 16 };

void cria_ctx_machine(const cria_ctx *ctx, cria_machine *out) {
    const struct cria_kernels *tables[MAX_TABLES];
    cria_machine_read("", &ctx->cpu, out);
    const size_t n = cria_kernels_list(ctx->cpu.detected, tables, MAX_TABLES);
    for (size_t i = 0, used = 0; i < n && used < sizeof out->tables; i++)
        used += (size_t)snprintf(out->tables + used, sizeof out->tables - used, "%s%s", i ? " " : "", tables[i]->name);
    out->threads = cria_pool_threads(ctx->pool);
}

/* ---- self-test ---- */

struct run {
    cria_ctx *ctx;
    cria_selftest_fn *fn;
    void *user;
    jmp_buf out_of_memory;
    size_t wanted_bytes;
};

/* Cases cannot fail, so a lack of memory leaves them by a jump: they own nothing but these buffers. */
static void grow(struct check *c, struct check_buffer *b, size_t bytes) {
    struct run *run = c->user;
    cria_free(run->ctx, b->map);
    b->map_bytes = 0;
    run->wanted_bytes = bytes = (bytes + 63) / 64 * 64;
    b->map = cria_malloc(run->ctx, bytes);
    if (!b->map) longjmp(run->out_of_memory, 1);
    b->map_bytes = bytes;
}

static void arm(struct check *c, bool armed) {
    (void)c;
    (void)armed;
}

static void tell(struct check *c, bool done, const char *failure) {
    const struct run *run = c->user;
    const cria_selftest_event e = {c->k->name, c->test->name, done, failure};
    run->fn(run->user, &e);
}

static void tell_failure(struct check *c, const char *text) { tell(c, true, text); }

static void print(struct check *c, const char *line) {
    (void)c;
    (void)line;
}

/* Half of checkkern's cases: about a second a table. What lies behind buffers is watched, as before them. */
static const struct check_host host = {grow, arm, tell_failure, print, 256, 2};

static bool run_tests(struct check *c, uint64_t seed) {
    struct run *run = c->user;
    if (setjmp(run->out_of_memory) != 0) return false;
    for (const struct check_test *const *file = check_files; *file; file++) {
        for (const struct check_test *t = *file; t->name; t++) {
            void (*what)(struct check *) = c->k == c->ref ? t->self : t->run;
            if (!what || (c->k != c->ref && !check_applies(t, c->ref, c->k))) continue;
            check_begin(c, t, seed);
            tell(c, false, NULL);
            what(c);
            if (!c->failed) tell(c, true, NULL);
        }
    }
    return true;
}

cria_status cria_selftest(cria_ctx *ctx, const char *table, uint64_t seed, cria_selftest_fn *fn, void *user,
                          cria_error *err) {
    if (ctx == NULL || table == NULL || fn == NULL) return cria_fail_null(err, "cria_selftest");
    const struct cria_kernels *tables[MAX_TABLES];
    size_t n = cria_kernels_list(ctx->cpu.detected, tables, MAX_TABLES);
    while (n > 0 && strcmp(tables[n - 1]->name, table) != 0) n--;
    if (n == 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "There is no kernel table \"%s\" for this processor.", table);

    struct run run = {.ctx = ctx, .fn = fn, .user = user};
    struct check c = {.ref = cria_kernels_for(0), .k = tables[n - 1], .host = &host, .user = &run};
    const bool ok = run_tests(&c, seed);
    for (size_t i = 0; i < CHECK_BUFFERS; i++) cria_free(ctx, c.buffers[i].map);
    return ok ? CRIA_OK : cria_fail_nomem(err, "the self-test", run.wanted_bytes);
}
