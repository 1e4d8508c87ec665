/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over a KV block. */
#include "base/half.h"
#include "kernels/check/check.h"
#include "kernels/poly.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Inputs shared by both sides, and the running softmax of each. */
struct block {
    cria_attend want, got;
    struct check_pair m, l, o;
};

const char *const cria_check_kv_names[] = {
    [CRIA_KV_ELEM_F16] = "f16", [CRIA_KV_ELEM_F32] = "f32", [CRIA_KV_ELEM_I8] = "int8",
    [CRIA_KV_ELEM_I16] = "int16"};

/* Where dimension i of position p lies in keys and in values. */
static size_t key_at(enum cria_kv_elem kv, uint32_t e, uint32_t p, uint32_t i) {
    const size_t sixteen = (size_t)(p / 16) * e * 16;
    return cria_kv_is_whole(kv) ? sixteen + i / 2 * 32 + p % 16 * 2 + i % 2 : sixteen + (size_t)i * 16 + p % 16;
}
static size_t value_at(enum cria_kv_elem kv, uint32_t e, uint32_t p, uint32_t i) {
    return cria_kv_is_whole(kv) ? (size_t)(p / 2) * 2 * e + i * 2 + p % 2 : (size_t)p * e + i;
}
static float *scales(const void *array, uint32_t e, enum cria_kv_elem kv) {
    return (float *)(uintptr_t)cria_kv_scales(array, kv, e);
}

/* Fills one array of a block: data, through the half format where that is the type; any integers up to `most`. */
static void fill(struct check *c, void *p, uint32_t e, enum cria_kv_elem kv, float most, bool wild) {
    const size_t n = (size_t)CRIA_KV_BLOCK * e;
    if (cria_kv_is_whole(kv)) {
        float *d = scales(p, e, kv);
        for (size_t i = 0; i < n; i++) {
            const int32_t a = (int32_t)check_below(c, 2 * (uint32_t)most + 1) - (int32_t)most;
            if (kv == CRIA_KV_ELEM_I8)
                ((int8_t *)p)[i] = (int8_t)a;
            else
                ((int16_t *)p)[i] = (int16_t)a;
        }
        if (wild)
            check_data(c, d, CRIA_KV_BLOCK);
        else
            check_normal(c, d, CRIA_KV_BLOCK, 1.0f / most);
        for (uint32_t i = 0; i < CRIA_KV_BLOCK; i++) d[i] = check_below(c, 50) ? fabsf(d[i]) : 0.0f;
        return;
    }
    float *f = check_buf(c, n * sizeof *f, 4);
    if (wild)
        check_data(c, f, n);
    else
        check_normal(c, f, n, 1);
    if (kv == CRIA_KV_ELEM_F32) {
        memcpy(p, f, n * sizeof *f);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const uint16_t h = cria_f32_to_f16(fmaxf(-60000.0f, fminf(60000.0f, f[i])));
        memcpy((uint16_t *)p + i, &h, sizeof h);
    }
}

/* What no query sees may hold anything: NaN. */
static void poison(void *p, size_t i, enum cria_kv_elem kv) {
    if (kv == CRIA_KV_ELEM_I8)
        ((int8_t *)p)[i] = -128;
    else if (kv == CRIA_KV_ELEM_F32)
        ((float *)p)[i] = NAN;
    else
        ((uint16_t *)p)[i] = 0x7e01; /* f16: NaN */
}

static struct block make(struct check *c, uint32_t n_q, uint32_t e, enum cria_kv_elem kv, bool wild) {
    const size_t bytes = cria_kv_array_bytes(kv, e), ldo = e + check_below(c, 3),
                 ldq = cria_kv_is_whole(kv) ? e + 2 * check_below(c, 2) : e + check_below(c, 3);
    const struct cria_kv_limits most = cria_kv_limits(kv, e);
    struct block b = {0};
    void *k = check_buf(c, bytes, 64), *v = check_buf(c, bytes, 64);
    fill(c, k, e, kv, most.key, wild);
    fill(c, v, e, kv, most.value, wild);
    float *q = check_buf(c, n_q * ldq * 4, 4);
    if (wild && check_rand(c) & 1)
        check_data(c, q, n_q * ldq);
    else
        check_normal(c, q, n_q * ldq, check_float(c, 0, 1));
    int16_t *qi = cria_kv_is_whole(kv) ? check_buf(c, n_q * ldq * 2, 4) : NULL;
    float *qd = cria_kv_is_whole(kv) ? check_buf(c, n_q * 4, 4) : NULL;
    for (uint32_t r = 0; r < n_q && qi; r++) c->ref->quantize_query(qi + r * ldq, qd + r, q + r * ldq, e, most.query);
    uint8_t *visible = check_buf(c, n_q, 1), *hidden = check_below(c, 3) ? NULL : check_buf(c, n_q, 1);
    const float cap = check_below(c, 4) ? 0.0f : check_float(c, 1, 60);
    b.m = check_pair(c, n_q * 4, 4);
    b.l = check_pair(c, n_q * 4, 4);
    b.o = check_pair(c, n_q * ldo * 4, 4);
    check_normal(c, b.m.want, n_q, 3);
    check_normal(c, b.l.want, n_q, 1);
    check_normal(c, b.o.want, n_q * ldo, 1);
    for (uint32_t r = 0; r < n_q; r++) {
        if (check_below(c, 3)) continue;
        ((float *)b.m.want)[r] = -INFINITY; /* the first block of this query */
        ((float *)b.l.want)[r] = 0;
        memset((float *)b.o.want + r * ldo, 0, e * sizeof(float));
    }
    memcpy(b.m.got, b.m.want, n_q * 4);
    memcpy(b.l.got, b.l.want, n_q * 4);
    memcpy(b.o.got, b.o.want, n_q * ldo * 4);
    b.want = (cria_attend){.n_q = n_q, .e = e, .kv = kv, .k = k, .v = v, .q = q, .qi = qi, .qd = qd, .ldq = ldq,
                           .visible = visible, .hidden = hidden, .cap = cap, .ldo = ldo};
    b.got = b.want;
    b.want.m = b.m.want, b.want.l = b.l.want, b.want.o = b.o.want;
    b.got.m = b.m.got, b.got.l = b.l.got, b.got.o = b.o.got;
    return b;
}

static void set_hidden(struct check *c, const struct block *b) {
    for (uint32_t r = 0; b->want.hidden && r < b->want.n_q; r++) {
        const uint32_t n = b->want.visible[r];
        ((uint8_t *)(uintptr_t)b->want.hidden)[r] = (uint8_t)(n > 1 && check_rand(c) & 1 ? check_below(c, n) : 0);
    }
}

/* Counts of visible positions: all alike, a causal staircase of `heads` rows each, or any. */
static void set_visible(struct check *c, const struct block *b) {
    uint8_t *visible = (uint8_t *)(uintptr_t)b->want.visible;
    const uint32_t kind = check_below(c, 3), some = check_below(c, CRIA_KV_BLOCK + 1),
                   heads = 1 + check_below(c, 4);
    uint32_t most = 0;
    for (uint32_t r = 0; r < b->want.n_q; r++) {
        const uint32_t step = some + r / heads < CRIA_KV_BLOCK ? some + r / heads : CRIA_KV_BLOCK;
        const uint32_t n = kind == 0 ? some : kind == 1 ? step : check_below(c, CRIA_KV_BLOCK + 1);
        visible[r] = (uint8_t)n;
        if (n > most) most = n;
    }
    set_hidden(c, b);
    const uint32_t e = b->want.e;
    const enum cria_kv_elem kv = b->want.kv;
    for (uint32_t p = most; p < CRIA_KV_BLOCK; p++) {
        for (uint32_t i = 0; i < e; i++) {
            poison((void *)(uintptr_t)b->want.k, key_at(kv, e, p, i), kv);
            poison((void *)(uintptr_t)b->want.v, value_at(kv, e, p, i), kv);
        }
        if (cria_kv_is_whole(kv)) scales(b->want.k, e, kv)[p] = scales(b->want.v, e, kv)[p] = NAN;
    }
}

/* Several positions with the same key, so that maxima are equal; and a key of zeros. */
static void repeat_keys(struct check *c, const struct block *b) {
    const uint32_t e = b->want.e, from = check_below(c, CRIA_KV_BLOCK);
    const size_t size = cria_kv_elem_bytes(b->want.kv);
    unsigned char *k = (unsigned char *)(uintptr_t)b->want.k;
    for (uint32_t j = 0; j < 8; j++) {
        const uint32_t to = check_below(c, CRIA_KV_BLOCK);
        for (uint32_t i = 0; i < e; i++) {
            unsigned char *a = k + key_at(b->want.kv, e, to, i) * size;
            if (j == 0)
                memset(a, 0, size);
            else
                memcpy(a, k + key_at(b->want.kv, e, from, i) * size, size);
        }
        if (cria_kv_is_whole(b->want.kv) && j > 0) scales(k, e, b->want.kv)[to] = scales(k, e, b->want.kv)[from];
    }
}

/* Scores that underflow to zeros of both signs. */
static void shrink_scores(const struct block *b) {
    float *q = (float *)(uintptr_t)b->want.q, *k = (float *)(uintptr_t)b->want.k;
    for (size_t i = 0; i < b->want.n_q * b->want.ldq; i++) q[i] *= 0x1p-100f;
    if (cria_kv_is_whole(b->want.kv))
        for (uint32_t p = 0; p < CRIA_KV_BLOCK; p++) scales(b->want.k, b->want.e, b->want.kv)[p] *= 0x1p-100f;
    if (b->want.kv != CRIA_KV_ELEM_F32) return;
    for (size_t i = 0; i < (size_t)CRIA_KV_BLOCK * b->want.e; i++) k[i] *= 0x1p-100f;
}

static void compare(struct check *c, const struct block *b) {
    const uint32_t n_q = b->want.n_q;
    c->ref->attend(&b->want);
    CHECK_CALL(c, c->k->attend(&b->got));
    for (uint32_t r = 0; r < n_q; r++) /* m of a row that overflowed is not specified */
        if (isnan(b->want.l[r])) b->got.m[r] = b->want.m[r];
    check_same_f32(c, "m", b->m, n_q);
    check_same_f32(c, "l", b->l, n_q);
    check_same_f32(c, "o", b->o, n_q * b->want.ldo);
}

static void run_attend(struct check *c) {
    static const uint32_t usual[] = {64, 80, 96, 128};
    for (int i = 0; i < check_cases(c, 500); i++) {
        const enum cria_kv_elem kv = (enum cria_kv_elem)check_below(c, CHECK_KV_KINDS);
        const uint32_t any = 1 + check_below(c, 150);
        const uint32_t e = check_rand(c) & 1 ? usual[check_below(c, 4)] : any + (cria_kv_is_whole(kv) && any % 2);
        const uint32_t n_q = check_below(c, 30) ? 1 + check_below(c, 14) : 100;
        const bool wild = check_below(c, 4) == 0;
        check_case(c, "e %u, queries %u, %s, wild %d", e, n_q, cria_check_kv_names[kv], wild);
        const struct block b = make(c, n_q, e, kv, wild);
        if (check_rand(c) & 1) repeat_keys(c, &b);
        if (check_below(c, 16) == 0) shrink_scores(&b);
        set_visible(c, &b);
        compare(c, &b);
    }
}

/* All visible counts, one query; and the widest head. */
static void run_attend_counts(struct check *c) {
    for (uint32_t i = 0; i < CHECK_KV_KINDS * (CRIA_KV_BLOCK + 1); i++) {
        const enum cria_kv_elem kv = (enum cria_kv_elem)(i % CHECK_KV_KINDS);
        const uint32_t n = i / CHECK_KV_KINDS, e = n == CRIA_KV_BLOCK ? 1024 : 64;
        check_case(c, "e %u, one query, %s, visible %u", e, cria_check_kv_names[kv], n);
        const struct block b = make(c, 1, e, kv, false);
        *(uint8_t *)(uintptr_t)b.want.visible = (uint8_t)n;
        set_hidden(c, &b);
        compare(c, &b);
    }
}

/* Every weight by itself: score p is x_p, value p is 2^60 in dimension p only; x_0 = 0 is the maximum. Scores
 * around the low end of exp, and any. */
static void run_attend_weights(struct check *c) {
    for (uint32_t round = 0; round < 100; round++) {
        const bool end = round < 70;
        check_case(c, "weights, %s", end ? "near the low end of exp" : "anywhere");
        const struct block b = make(c, 1, CRIA_KV_BLOCK, CRIA_KV_ELEM_F32, false);
        float *q = (float *)(uintptr_t)b.want.q, *k = (float *)(uintptr_t)b.want.k,
              *v = (float *)(uintptr_t)b.want.v;
        for (uint32_t i = 0; i < CRIA_KV_BLOCK; i++) q[i] = i == 0 ? 1.0f : 0.0f;
        for (uint32_t p = 0; p < CRIA_KV_BLOCK; p++) {
            const float low = cria_f32_from_bits(cria_f32_to_bits(CRIA_EXP_LO) - 2048 + round * 64 + p);
            k[(size_t)(p / 16) * CRIA_KV_BLOCK * 16 + p % 16] = p == 0 ? 0.0f
                                                                : end  ? low
                                                                       : check_float(c, -104, 0);
            for (uint32_t i = 0; i < CRIA_KV_BLOCK; i++)
                v[p * CRIA_KV_BLOCK + i] = p > 0 && i == p ? 0x1p60f : 0.0f;
        }
        *(uint8_t *)(uintptr_t)b.want.visible = CRIA_KV_BLOCK;
        set_hidden(c, &b);
        *(float *)b.m.want = *(float *)b.m.got = -INFINITY;
        compare(c, &b);
    }
}

static void put_everywhere(void *array, enum cria_kv_elem kv, uint32_t e, float most, bool negative) {
    const int16_t a = (int16_t)(negative ? -most : most);
    for (size_t i = 0; i < (size_t)CRIA_KV_BLOCK * e; i++) {
        if (kv == CRIA_KV_ELEM_I8)
            ((int8_t *)array)[i] = (int8_t)a;
        else
            ((int16_t *)array)[i] = a;
    }
    for (uint32_t p = 0; p < CRIA_KV_BLOCK; p++) scales(array, e, kv)[p] = 1;
}

/* The largest integers that there are, with the widest heads that they are for: sums must fit. */
static void run_attend_largest(struct check *c) {
    static const uint32_t widths[] = {64, 128, 256, 512, 1024};
    for (uint32_t i = 0; i < 2 * 4 * 5; i++) {
        const enum cria_kv_elem kv = i & 1 ? CRIA_KV_ELEM_I16 : CRIA_KV_ELEM_I8;
        const uint32_t e = widths[i / 8];
        check_case(c, "largest integers, e %u, %s, %u", e, cria_check_kv_names[kv], i / 2 % 4);
        const struct block b = make(c, 2, e, kv, false);
        const struct cria_kv_limits most = cria_kv_limits(kv, e);
        put_everywhere((void *)(uintptr_t)b.want.k, kv, e, most.key, i & 2);
        put_everywhere((void *)(uintptr_t)b.want.v, kv, e, most.value, i & 4);
        int16_t *qi = (int16_t *)(uintptr_t)b.want.qi;
        for (size_t j = 0; j < 2 * b.want.ldq; j++) qi[j] = (int16_t)most.query;
        memset((uint8_t *)(uintptr_t)b.want.visible, CRIA_KV_BLOCK, 2);
        set_hidden(c, &b);
        compare(c, &b);
    }
}

static void run_quantize_query(struct check *c) {
    for (int i = 0; i < check_cases(c, 1000); i++) {
        const uint32_t n = 1 + check_below(c, 200);
        const float max = cria_kv_limits(check_rand(c) & 1 ? CRIA_KV_ELEM_I8 : CRIA_KV_ELEM_I16, n).query;
        check_case(c, "n %u, max %g", n, (double)max);
        float *x = check_buf(c, n * 4, 4);
        check_data(c, x, n);
        switch (check_below(c, 10)) {
        case 0:
            x[check_below(c, n)] = check_rand(c) & 1 ? NAN : -INFINITY;
            break;
        case 1:
            for (uint32_t j = 0; j < n; j++) x[j] = check_float(c, -1, 1) * CRIA_QUANTIZE_MIN;
            if (check_rand(c) & 1) x[check_below(c, n)] = CRIA_QUANTIZE_MIN;
            break;
        case 2: /* ties */
            for (uint32_t j = 0; j < n; j++)
                x[j] = (float)((int)check_below(c, 4 * (uint32_t)max) - 2 * (int)max) * 0.5f;
            x[check_below(c, n)] = max;
            break;
        default:
            break;
        }
        const struct check_pair a = check_pair(c, n * 2, 2), d = check_pair(c, 4, 4);
        c->ref->quantize_query(a.want, d.want, x, n, max);
        CHECK_CALL(c, c->k->quantize_query(a.got, d.got, x, n, max));
        check_same(c, "a", a, n * 2);
        check_same_f32(c, "d", d, 1);
    }
}

/* ---- the reference itself ------------------------------------------------------------------ */

/* Three blocks of kv_store and attend against softmax(q·K)·V in double, to within the type's error. */
static void self_kind(struct check *c, enum cria_kv_elem kv, double error) {
    enum { BLOCKS = 3, E = 24, N = BLOCKS * 64 - 23 };
    check_case(c, "%d positions, %s", N, cria_check_kv_names[kv]);
    float *k = check_buf(c, N * E * 4, 4), *v = check_buf(c, N * E * 4, 4), *q = check_buf(c, E * 4, 4);
    float *kb = check_buf(c, 64 * E * 4, 64), *vb = check_buf(c, 64 * E * 4, 64);
    check_normal(c, k, N * E, 1);
    check_normal(c, v, N * E, 1);
    check_normal(c, q, E, 0.3f); /* so that no position alone decides: errors stay small */
    float m = -INFINITY, l = 0, o[E] = {0};
    for (uint32_t block = 0; block < BLOCKS; block++) {
        uint8_t visible = 0;
        for (uint32_t p = block * 64; p < N && visible < 64; p++)
            c->ref->kv_store(kb, vb, kv, E, visible++, k + p * E, v + p * E);
        _Alignas(4) int16_t qi[E];
        float qd;
        c->ref->quantize_query(qi, &qd, q, E, cria_kv_limits(kv, E).query);
        c->ref->attend(&(cria_attend){.n_q = 1, .e = E, .kv = kv, .k = kb, .v = vb, .q = q, .qi = qi, .qd = &qd,
                                      .ldq = E, .visible = &visible, .m = &m, .l = &l, .o = o, .ldo = E});
    }
    double total = 0, exact[E] = {0};
    for (int p = 0; p < N; p++) {
        double s = 0;
        for (int i = 0; i < E; i++) s += (double)q[i] * (double)k[p * E + i];
        total += exp(s);
        for (int i = 0; i < E; i++) exact[i] += exp(s) * (double)v[p * E + i];
    }
    for (int i = 0; i < E; i++)
        if (fabs((double)(o[i] / l) - exact[i] / total) > error)
            check_fail(c, "o[%d] %g, not %g", i, (double)(o[i] / l), exact[i] / total);
}

static void self_attend(struct check *c) {
    self_kind(c, CRIA_KV_ELEM_F32, 1e-5);
    self_kind(c, CRIA_KV_ELEM_F16, 5e-3);
    self_kind(c, CRIA_KV_ELEM_I8, 1e-1);
    self_kind(c, CRIA_KV_ELEM_I16, 5e-3);
}

static void bench_attend(struct check *c) {
    static const uint32_t queries[] = {1, 3, 4, 6, 8, 64};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        for (int kind = 0; kind < CHECK_KV_KINDS; kind++) {
            char label[64];
            const uint32_t n_q = queries[i];
            const enum cria_kv_elem kv = (enum cria_kv_elem)kind;
            check_case(c, "bench");
            struct block b = make(c, n_q, 64, kv, false);
            memset((uint8_t *)(uintptr_t)b.want.visible, 64, n_q);
            b.want.hidden = NULL;
            b.want.cap = 0;
            snprintf(label, sizeof label, "attend e 64, queries %u, %s", n_q, cria_check_kv_names[kv]);
            CHECK_BENCH(c, label, 4.0 * 64 * 64 * n_q, "flop", K->attend(&b.want));
        }
    }
}

const struct check_test check_attn[] = {
    {"attend", offsetof(struct cria_kernels, attend), run_attend, bench_attend, self_attend},
    {"attend_weights", offsetof(struct cria_kernels, attend), run_attend_weights, NULL, NULL},
    {"attend_largest", offsetof(struct cria_kernels, attend), run_attend_largest, NULL, NULL},
    {"quantize_query", offsetof(struct cria_kernels, quantize_query), run_quantize_query, NULL, NULL},
    {"attend_counts", offsetof(struct cria_kernels, attend), run_attend_counts, NULL, NULL},
    {0},
};
