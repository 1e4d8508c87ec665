/* SPDX-License-Identifier: Apache-2.0 */
/* What the cases build on: random data, watched buffers, comparison, timing. Keeps all state in struct check. */
#include "kernels/check/check.h"
#include "base/clock.h"
#include "base/half.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct check_test *const check_files[] = {check_matmul, check_elem, check_quant, check_attn, check_probe, NULL};

bool check_applies(const struct check_test *t, const struct cria_kernels *ref, const struct cria_kernels *k) {
    return memcmp((const char *)ref + t->slot, (const char *)k + t->slot, sizeof ref->add) != 0;
}

void check_begin(struct check *c, const struct check_test *t, uint64_t seed) {
    c->test = t;
    c->rng = seed;
    c->failed = false;
    check_case(c, "start");
}

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
    for (size_t i = 0; i < n; i += 8) {
        const uint64_t r = next64(c);
        memcpy(b + i, &r, n - i < 8 ? n - i : 8);
    }
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

/* ---- cases and buffers --------------------------------------------------------------------- */

enum { MARGIN = 256, PATTERN = 0xa5 };

int check_cases(const struct check *c, int n) {
    const int some = n / (int)c->host->one_case_of;
    return some > 0 ? some : 1;
}

void check_case(struct check *c, const char *format, ...) {
    c->n_buffers = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(c->case_text, sizeof c->case_text, format, args);
    va_end(args);
}

/* [MARGIN watched ‖ data ‖ less than align watched ‖ slack watched], up to the end of the host's memory. */
void *check_buf(struct check *c, size_t bytes, size_t align) {
    if (c->n_buffers == CHECK_BUFFERS) { /* our mistake, told as a failure */
        check_fail(c, "too many buffers in one case");
        c->n_buffers--;
    }
    struct check_buffer *b = &c->buffers[c->n_buffers++];
    const size_t need = bytes + MARGIN + align + c->host->slack;
    if (need > b->map_bytes) c->host->grow(c, b, need);
    unsigned char *end = b->map + b->map_bytes;
    b->data = end - c->host->slack - (bytes + align - 1) / align * align;
    b->bytes = bytes;
    memset(b->data - MARGIN, PATTERN, (size_t)(end - b->data) + MARGIN);
    check_bytes(c, b->data, bytes);
    return b->data;
}

struct check_pair check_pair(struct check *c, size_t bytes, size_t align) {
    struct check_pair p;
    p.want = check_buf(c, bytes, align);
    p.got = check_buf(c, bytes, align);
    memcpy(p.got, p.want, bytes);
    return p;
}

void check_arm(struct check *c, bool armed) { c->host->arm(c, armed); }

static bool intact(const unsigned char *from, const unsigned char *to) {
    for (; from < to; from++)
        if (*from != PATTERN) return false;
    return true;
}

static void check_margins(struct check *c) {
    for (size_t i = 0; i < c->n_buffers; i++) {
        const struct check_buffer *b = &c->buffers[i];
        if (!intact(b->data - MARGIN, b->data)) check_fail(c, "wrote before the start of buffer %zu", i);
        if (!intact(b->data + b->bytes, b->map + b->map_bytes))
            check_fail(c, "wrote past the end of buffer %zu", i);
    }
}

/* ---- results ------------------------------------------------------------------------------- */

void check_fail(struct check *c, const char *format, ...) {
    if (c->failed) return;
    c->failed = true;
    char text[sizeof c->case_text + 200];
    const size_t n = (size_t)snprintf(text, sizeof text, "%s: ", c->case_text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, sizeof text - n, format, args);
    va_end(args);
    c->host->failed(c, text);
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

/* ---- timing -------------------------------------------------------------------------------- */

/* Doubles the calls until a round takes a millisecond, then keeps the best of ten rounds. */
bool check_timer_next(struct check_timer *t) {
    const uint64_t now = cria_clock_ns();
    if (t->calls == 0) {
        t->calls = 1;
    } else if (t->round == 0 && now - t->start < 1000000) {
        t->calls *= 2;
    } else {
        const double ns = (double)(now - t->start) / (double)t->calls;
        if (t->round == 0 || ns < t->best) t->best = ns;
        if (++t->round == 10) return false;
    }
    t->start = cria_clock_ns();
    return true;
}

void check_print(struct check *c, const char *format, ...) {
    char line[200];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->host->print(c, line);
}

void check_report(struct check *c, const char *label, const double ns[2], double work, const char *unit) {
    char rate[40] = "";
    if (work > 0) snprintf(rate, sizeof rate, "  %8.2f %s/ns", work / ns[1], unit);
    check_print(c, "%-16s %-34s %12.1f ns  (reference %12.1f ns, %6.2f times)%s", c->k->name, label, ns[1], ns[0],
                ns[0] / ns[1], rate);
}
