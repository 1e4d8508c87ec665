/* SPDX-License-Identifier: Apache-2.0 */
/* Random models: every form makes sane weights, the same whatever the threads; they run; bad shapes are
 * refused; every allocation may fail. And the work that the engine says an evaluation is. */
#include "counting_alloc.h"
#include "cria/cria.h"
#include "kernels/forms.h"
#include "unit.h"

#include <math.h>

enum { DIM = 256, LAYERS = 2, HEADS = 4, KV_HEADS = 2, HIDDEN = 512, VOCAB = 300 };

static cria_random_opts small(const char *quantization) {
    cria_random_opts o = cria_random_opts_default();
    o.dim = DIM;
    o.n_layers = LAYERS;
    o.n_heads = HEADS;
    o.n_kv_heads = KV_HEADS;
    o.hidden_dim = HIDDEN;
    o.vocab_size = VOCAB;
    o.quantization = quantization;
    return o;
}

/* ---- forms ---- */

static void check_form(const char *name, uint32_t cols) {
    enum { ROWS = 40 }; /* two blocks and a half */
    cria_matrix_spec spec;
    cria_matrix m;
    assert_true(cria_form_spec(name, ROWS, cols, &spec));
    assert_true(cria_matrix_init(&spec, &m));
    cria_allocator a = cria_allocator_libc();
    uint8_t *data = a.alloc(NULL, cria_matrix_bytes(&m)),
            *scratch = a.alloc(NULL, cria_form_scratch_bytes(cols));
    float *row = a.alloc(NULL, cols * sizeof *row);
    m.data = data;
    for (uint32_t b = 0; b < m.n_blocks; b++) cria_form_random(name, &m, 7, data, b, scratch);
    double sum = 0, squares = 0;
    for (uint32_t r = 0; r < ROWS; r++) {
        cria_matrix_row(&m, r, row);
        for (uint32_t k = 0; k < cols; k++) {
            if (!isfinite(row[k])) fail_msg("%s: row %u, column %u is not finite", name, r, k);
            sum += (double)row[k];
            squares += (double)row[k] * (double)row[k];
        }
    }
    const double n = (double)ROWS * cols, deviation = sqrt(squares / n * cols); /* of 1/√cols */
    if (!(deviation > 0.5 && deviation < 2)) fail_msg("%s, %u columns: deviation %g", name, cols, deviation);
    if (!(fabs(sum / n) * sqrt(cols) < 0.2))
        fail_msg("%s, %u columns: mean %g", name, cols, sum / n * sqrt(cols));
    /* Another seed, other weights. */
    float *other = a.alloc(NULL, cols * sizeof *other);
    cria_matrix_row(&m, 0, row);
    cria_form_random(name, &m, 8, data, 0, scratch);
    cria_matrix_row(&m, 0, other);
    assert_memory_not_equal(row, other, cols * sizeof *row);
    a.free(NULL, other);
    a.free(NULL, row);
    a.free(NULL, scratch);
    a.free(NULL, data);
}

static void every_form_is_sane(void **unused) {
    (void)unused;
    size_t n = 0;
    for (const char *name; (name = cria_quantization_name(n)) != NULL; n++) {
        check_form(name, 256);
        check_form(name, 11008 / 128 * 256); /* a matrix as wide as large models have them */
    }
    assert_true(n >= 34);
}

/* ---- models ---- */

static cria_ctx *context(uint32_t threads, struct counting_alloc *alloc) {
    cria_ctx_opts o = cria_ctx_opts_default();
    o.threads = threads;
    if (alloc != NULL) o.allocator = counting_alloc_hook(alloc);
    cria_ctx *ctx;
    assert_int_equal(cria_ctx_new(&o, &ctx, NULL), CRIA_OK);
    return ctx;
}

/* Logits of a few tokens. */
static void logits_of(const cria_random_opts *o, uint32_t threads, float out[VOCAB]) {
    cria_ctx *ctx = context(threads, NULL);
    cria_model *model;
    cria_engine *engine;
    cria_sequence *s;
    cria_error err;
    assert_int_equal(cria_model_random(ctx, o, &model, &err), CRIA_OK);
    assert_int_equal(cria_engine_new(model, NULL, &engine, &err), CRIA_OK);
    assert_int_equal(cria_sequence_new(engine, &s, &err), CRIA_OK);
    const cria_row rows[] = {{s, 3, false}, {s, 299, false}, {s, 0, true}};
    assert_int_equal(cria_engine_eval(engine, rows, 3, out, &err), CRIA_OK);
    cria_sequence_free(s);
    cria_engine_free(engine);
    cria_model_free(model);
    cria_ctx_free(ctx);
}

static void models_run_and_threads_do_not_matter(void **unused) {
    (void)unused;
    static float a[VOCAB], b[VOCAB];
    const char *name;
    for (size_t i = 0; (name = cria_quantization_name(i)) != NULL; i++) {
        cria_random_opts o = small(name);
        logits_of(&o, 1, a);
        logits_of(&o, 3, b);
        assert_memory_equal(a, b, sizeof a);
        double squares = 0;
        for (size_t j = 0; j < VOCAB; j++) squares += (double)a[j] * (double)a[j];
        const double deviation = sqrt(squares / VOCAB);
        if (!(deviation > 0.3 && deviation < 5)) fail_msg("%s: logits of deviation %g", name, deviation);
        o.seed = 1;
        logits_of(&o, 1, b);
        assert_memory_not_equal(a, b, sizeof a);
    }
}

static void a_model_says_what_it_is(void **unused) {
    (void)unused;
    cria_ctx *ctx = context(2, NULL);
    cria_model *model;
    cria_random_opts o = small("q8_0");
    o.context = 77;
    assert_int_equal(cria_model_random(ctx, &o, &model, NULL), CRIA_OK);
    assert_null(cria_model_tokenizer(model));
    cria_model_info i;
    cria_model_get_info(model, &i);
    assert_string_equal(i.format, "random");
    assert_int_equal(i.context, 77);
    assert_int_equal(i.head_dim, DIM / HEADS);
    const uint64_t layer = 2 * DIM * DIM + 2 * (DIM / 2) * DIM + 3 * DIM * HIDDEN;
    assert_int_equal(i.n_params, LAYERS * (layer + 2 * DIM) + DIM + 2 * VOCAB * DIM);
    const uint64_t padded = 2 * (304 - VOCAB) * DIM; /* rows that fill up blocks of 16 */
    assert_int_equal(i.weight_bytes, (LAYERS * layer + 2 * VOCAB * DIM + padded) / 32 * 34 + 4 * DIM);
    cria_model_free(model);
    cria_ctx_free(ctx);
}

static void refused(cria_ctx *ctx, const cria_random_opts *o, const char *word) {
    cria_error err;
    cria_model *model = NULL;
    assert_int_equal(cria_model_random(ctx, o, &model, &err), CRIA_EINVAL);
    assert_null(model);
    if (strstr(err.msg, word) == NULL) fail_msg("no '%s' in: %s", word, err.msg);
}

static void bad_shapes_are_refused(void **unused) {
    (void)unused;
    cria_ctx *ctx = context(1, NULL);
    cria_random_opts o = small("q9_9");
    refused(ctx, &o, "q9_9");
    o = small(NULL);
    refused(ctx, &o, "NULL");
    o = small("affine4-g128");
    o.dim = 192;
    refused(ctx, &o, "192");
    o = small("q4_0");
    o.n_heads = 0;
    refused(ctx, &o, "heads");
    o = small("q4_0");
    o.n_kv_heads = 3;
    refused(ctx, &o, "multiple");
    o = small("q4_0");
    o.size = 4;
    refused(ctx, &o, "bytes");
    o = small("q4_0");
    o.rope_theta = NAN;
    refused(ctx, &o, "rope");
    o = small("q4_0");
    o.activations = (cria_activations)9;
    refused(ctx, &o, "activations");
    cria_ctx_free(ctx);
}

static void every_failing_allocation_is_survived(void **unused) {
    (void)unused;
    const cria_random_opts o = small("q4_0");
    struct counting_alloc alloc;
    counting_alloc_init(&alloc, -1);
    cria_ctx *ctx = context(2, &alloc);
    const long live = atomic_load(&alloc.live);
    cria_status st = CRIA_ENOMEM;
    for (long i = 0; st != CRIA_OK; i++) {
        cria_model *model = NULL;
        cria_error err;
        alloc.fail_at = atomic_load(&alloc.calls) + i;
        st = cria_model_random(ctx, &o, &model, &err);
        if (st != CRIA_OK) assert_int_equal(st, CRIA_ENOMEM);
        cria_model_free(model);
        assert_int_equal(alloc.live, live);
        assert_true(i < 20);
    }
    alloc.fail_at = -1;
    cria_ctx_free(ctx);
    assert_int_equal(alloc.live, 0);
}

/* ---- work ---- */

static cria_work work_with(cria_kv_type kv, const char *quantization, cria_activations activations, uint64_t sequences,
                           uint64_t depth, uint64_t tokens) {
    cria_ctx *ctx = context(1, NULL);
    cria_model *model;
    cria_engine *engine;
    cria_random_opts o = small(quantization);
    o.vocab_size = 320;
    o.activations = activations;
    cria_engine_opts eo = cria_engine_opts_default();
    eo.batch_rows = 8;
    eo.kv = kv;
    assert_int_equal(cria_model_random(ctx, &o, &model, NULL), CRIA_OK);
    assert_int_equal(cria_engine_new(model, &eo, &engine, NULL), CRIA_OK);
    cria_work w;
    cria_engine_get_work(engine, sequences, depth, tokens, &w);
    cria_engine_free(engine);
    cria_model_free(model);
    cria_ctx_free(ctx);
    return w;
}

static cria_work work_of(const char *quantization, cria_activations activations, uint64_t sequences, uint64_t depth,
                         uint64_t tokens) {
    return work_with(CRIA_KV_F16, quantization, activations, sequences, depth, tokens);
}

static void work_is_counted(void **unused) {
    (void)unused;
    const uint64_t qkv = 2 * DIM * DIM, rest = DIM * DIM + 3 * DIM * HIDDEN, output = 320 * DIM;
    const uint64_t layers = LAYERS * (qkv + rest), norms = LAYERS * 2 * DIM * 4;
    const uint64_t attention = 2 * DIM * LAYERS;    /* multiply-adds for each position seen */
    const uint64_t kv = 2 * (DIM / 2) * LAYERS * 2; /* bytes of a position, f16 */
    cria_work w = work_of("q8_0", CRIA_ACTIVATIONS_INT8, 1, 100, 1);
    assert_int_equal(w.int8_multiply_adds, layers + output);
    assert_int_equal(w.f32_multiply_adds, 101 * attention);
    assert_int_equal(w.read_bytes, (layers + output + DIM) / 32 * 34 + norms + 100 * kv);

    w = work_with(CRIA_KV_INT16, "q8_0", CRIA_ACTIVATIONS_INT8, 1, 100, 1); /* 16-bit queries and weights: two planes */
    assert_int_equal(w.int8_multiply_adds, layers + output + 2 * 101 * attention);
    assert_int_equal(w.f32_multiply_adds, 0);

    w = work_of("q8_0", CRIA_ACTIVATIONS_DEFAULT, 1, 0, 1); /* two planes where it matters */
    const uint64_t v = DIM * DIM / 2, ffn = 3 * DIM * HIDDEN; /* of the last layer */
    assert_int_equal(w.int8_multiply_adds, layers + LAYERS * v + ffn + 2 * output);
    w = work_of("f16", CRIA_ACTIVATIONS_DEFAULT, 1, 0, 1); /* as two planes */
    assert_int_equal(w.int8_multiply_adds, 2 * (layers + output));
    w = work_of("f16", CRIA_ACTIVATIONS_F32, 1, 0, 1);
    assert_int_equal(w.int8_multiply_adds, 0);
    assert_int_equal(w.f32_multiply_adds, layers + output + attention);

    /* Eight sequences make one batch of eight rows. */
    w = work_of("q8_0", CRIA_ACTIVATIONS_INT8, 8, 64, 1);
    assert_int_equal(w.int8_multiply_adds, 8 * (layers + output));
    assert_int_equal(w.f32_multiply_adds, 8 * 65 * attention);
    assert_int_equal(w.read_bytes, (layers + output + 8 * DIM) / 32 * 34 + norms + 8 * 64 * kv);

    /* A prompt of 20 makes batches of 8, 8 and 4; only its last row has logits, and more than keys and values in the
     * last layer. */
    const uint64_t skipped = DIM * DIM + rest;
    w = work_of("q8_0", CRIA_ACTIVATIONS_INT8, 1, 10, 20);
    assert_int_equal(w.int8_multiply_adds, 20 * layers - 19 * skipped + output);
    assert_int_equal(w.f32_multiply_adds, attention / LAYERS * ((LAYERS - 1) * (20 * 10 + 20 * 21 / 2) + 30));
    assert_int_equal(w.read_bytes, (3 * layers - 2 * skipped + output + 20 * DIM) / 32 * 34 + 3 * norms - 2 * DIM * 4 +
                                       kv / LAYERS * ((LAYERS - 1) * (10 + 18 + 26) + 26));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_sane),
        cmocka_unit_test(models_run_and_threads_do_not_matter),
        cmocka_unit_test(a_model_says_what_it_is),
        cmocka_unit_test(bad_shapes_are_refused),
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(work_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
