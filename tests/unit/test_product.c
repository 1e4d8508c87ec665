/* SPDX-License-Identifier: Apache-2.0 */
/* Products of one input with several matrices that want it, or some of its rows, in different forms: near what double
 * precision gives, and the same bits as each by itself, whatever the tokens, the threads, and whether the memory holds
 * all forms at once. */
#include "unit.h"

#include "cria/cria.h"
#include "kernels/forms.h"
#include "model/scratch.h"

#include <math.h>
#include <stdlib.h>

enum { COLS = 256, ROWS = 200 /* twelve row blocks and a half */, MAX_ROWS = 400, ITEMS = 7 };

/* How far off a product may be, of the largest: 16-bit activations, 8-bit ones, whole integers and float32. */
static const struct {
    const char *form;
    enum cria_role role;
    double near;
} kinds[ITEMS] = {{"q4_0", CRIA_ROLE_QUERIES, 2e-2},    {"q4_0", CRIA_ROLE_VALUES, 1e-4},
                  {"affine4-g64", CRIA_ROLE_KEYS, 2e-2}, {"f16", CRIA_ROLE_FFN, 4e-4},
                  {"q6_k", CRIA_ROLE_LAST_FFN, 1e-4},    {"q8_0", CRIA_ROLE_ATTENTION_OUT, 2e-2},
                  {"f32", CRIA_ROLE_FFN, 1e-6}};

static cria_matrix matrices[ITEMS];
static float x[MAX_ROWS][COLS], want[ITEMS][MAX_ROWS][ROWS];

struct machine {
    cria_ctx *ctx;
    cria_config c;
    cria_scratch *s;
};

/* widest: of the inputs that its memory is for. */
static struct machine machine(uint32_t threads, uint32_t max_rows, uint32_t widest) {
    struct machine m = {.c = {.d = COLS, .h = 1, .hk = 1, .e = 64, .rotary = 64, .f = widest, .n_layers = 1}};
    cria_ctx_opts o = cria_ctx_opts_default();
    o.threads = threads;
    assert_int_equal(cria_ctx_new(&o, &m.ctx, NULL), CRIA_OK);
    assert_int_equal(cria_scratch_new(m.ctx, &m.c, CRIA_ACTIVATIONS_DEFAULT, max_rows, &m.s, NULL), CRIA_OK);
    return m;
}

static void stop(struct machine *m) {
    cria_scratch_free(m->s);
    cria_ctx_free(m->ctx);
}

static const struct cria_input input = {&x[0][0], COLS, NULL, NULL};

/* Each by itself, one token after the other. */
static void alone(struct machine *m) {
    for (uint32_t i = 0; i < ITEMS; i++)
        for (uint32_t t = 0; t < MAX_ROWS; t++)
            cria_products(m->s, (struct cria_input){x[t], COLS, NULL, NULL},
                          &(struct cria_product){&matrices[i], want[i][t], kinds[i].role, 0, 1}, 1);
}

static int set_up(void **unused) {
    (void)unused;
    uint8_t *scratch = malloc(cria_form_scratch_bytes(COLS));
    for (uint32_t t = 0; t < MAX_ROWS; t++)
        for (uint32_t k = 0; k < COLS; k++) x[t][k] = sinf((float)(t * 17 + k * k));
    for (uint32_t i = 0; i < ITEMS; i++) {
        cria_matrix *m = &matrices[i];
        cria_matrix_spec spec;
        if (!cria_form_spec(kinds[i].form, ROWS, COLS, &spec) || !cria_matrix_init(&spec, m)) return -1;
        uint8_t *data = aligned_alloc(64, cria_matrix_bytes(m));
        for (uint32_t b = 0; b < m->n_blocks; b++) cria_form_random(kinds[i].form, m, i, data, b, scratch);
        m->data = data;
    }
    free(scratch);
    struct machine m = machine(1, 1, COLS);
    alone(&m);
    stop(&m);
    return 0;
}

static int tear_down(void **unused) {
    (void)unused;
    for (uint32_t i = 0; i < ITEMS; i++) free((void *)(uintptr_t)matrices[i].data);
    return 0;
}

static void near_double(void **unused) {
    (void)unused;
    for (uint32_t i = 0; i < ITEMS; i++) {
        double largest = 0, off = 0;
        for (uint32_t r = 0; r < ROWS; r++) {
            float w[COLS];
            cria_matrix_row(&matrices[i], r, w);
            for (uint32_t t = 0; t < MAX_ROWS; t += 7) {
                double sum = 0;
                for (uint32_t k = 0; k < COLS; k++) sum += (double)w[k] * (double)x[t][k];
                largest = fmax(largest, fabs(sum));
                off = fmax(off, fabs((double)want[i][t][r] - sum));
            }
        }
        if (!(off < kinds[i].near * largest)) fail_msg("%s: off by %g of %g", kinds[i].form, off, largest);
        /* 8-bit activations must not pass for 16-bit ones. */
        if (kinds[i].near > 1e-3 && !(off > 1e-4 * largest)) fail_msg("%s: off by %g only", kinds[i].form, off);
    }
}

static void together(void **unused) {
    (void)unused;
    static const uint32_t counts[] = {1, 2, 7, 64, MAX_ROWS};
    for (uint32_t i = 0; i < 6; i++) { /* memory for one form at least, for two, for all */
        struct machine m = machine(1 + i % 2, MAX_ROWS, (1 + i / 2 * 2) * COLS);
        for (size_t j = 0; j < N_ITEMS(counts); j++) {
            static float y[ITEMS][MAX_ROWS][ROWS];
            struct cria_product items[ITEMS];
            for (uint32_t k = 0; k < ITEMS; k++)
                items[k] = (struct cria_product){&matrices[k], &y[k][0][0], kinds[k].role, 0, counts[j]};
            memset(y, 0, sizeof y);
            cria_products(m.s, input, items, ITEMS);
            for (uint32_t k = 0; k < ITEMS; k++)
                for (uint32_t t = 0; t < counts[j]; t++) assert_memory_equal(y[k][t], want[k][t], sizeof y[k][t]);
            for (uint32_t k = 0; k < ITEMS && counts[j] < MAX_ROWS; k++) /* and nothing behind */
                for (uint32_t r = 0; r < ROWS; r++) assert_true(y[k][counts[j]][r] == 0);
        }
        stop(&m);
    }
}

/* ---- rows that are made on the way ---- */

static float made[MAX_ROWS][COLS];
static uint8_t times[MAX_ROWS]; /* a row is made by one thread at a time, or the count is wrong */

static void make(void *arg, size_t begin, size_t end, uint32_t worker) {
    (void)arg;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        memcpy(made[t], x[t], sizeof made[t]);
        times[t]++;
    }
}

static void rows_are_made_once(void **unused) {
    (void)unused;
    struct machine m = machine(2, MAX_ROWS, COLS);
    for (uint32_t first = 0; first < ITEMS; first++) { /* whatever form comes first */
        for (uint32_t n = 1; n <= MAX_ROWS; n *= 20) {
            static float y[ITEMS][MAX_ROWS][ROWS];
            struct cria_product items[ITEMS];
            for (uint32_t k = 0; k < ITEMS; k++) {
                const uint32_t i = (first + k) % ITEMS;
                items[k] = (struct cria_product){&matrices[i], &y[i][0][0], kinds[i].role, 0, n};
            }
            memset(made, 0xff, sizeof made);
            memset(times, 0, sizeof times);
            cria_products(m.s, (struct cria_input){&made[0][0], COLS, make, NULL}, items, ITEMS);
            for (uint32_t t = 0; t < MAX_ROWS; t++) assert_int_equal(times[t], t < n);
            for (uint32_t k = 0; k < ITEMS; k++)
                for (uint32_t t = 0; t < n; t++) assert_memory_equal(y[k][t], want[k][t], sizeof y[k][t]);
        }
    }
    stop(&m);
}

/* Items that take some rows each, more of them than one loop has room for. */
static void parts_of_the_rows(void **unused) {
    (void)unused;
    static const uint32_t parts[] = {1, 7, 64, 193, 1, 2, 49, 83}; /* together MAX_ROWS; 193 are two groups */
    for (uint32_t i = 0; i < 6; i++) {
        struct machine m = machine(1 + i % 2, MAX_ROWS, (1 + i / 2 * 2) * COLS);
        static float y[ITEMS][MAX_ROWS][ROWS];
        struct cria_product items[N_ITEMS(parts) * ITEMS];
        uint32_t n = 0, row0 = 0;
        for (size_t j = 0; j < N_ITEMS(parts); row0 += parts[j++])
            for (uint32_t k = 0; k < ITEMS; k++) /* any form first */
                items[n++] = (struct cria_product){&matrices[(j + k) % ITEMS], &y[(j + k) % ITEMS][row0][0],
                                                   kinds[(j + k) % ITEMS].role, row0, parts[j]};
        assert_int_equal(row0, MAX_ROWS);
        memset(y, 0xff, sizeof y);
        memset(made, 0xff, sizeof made);
        memset(times, 0, sizeof times);
        cria_products(m.s, (struct cria_input){&made[0][0], COLS, make, NULL}, items, n);
        for (uint32_t t = 0; t < MAX_ROWS; t++) assert_int_equal(times[t], 1);
        for (uint32_t k = 0; k < ITEMS; k++) assert_memory_equal(y[k], want[k], sizeof y[k]);
        stop(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_double),
        cmocka_unit_test(together),
        cmocka_unit_test(rows_are_made_once),
        cmocka_unit_test(parts_of_the_rows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
