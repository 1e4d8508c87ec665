/* SPDX-License-Identifier: Apache-2.0 */
/* Whole models give the same logits, bit for bit, with every kernel table that this machine can run, and with those
 * that it can only emulate (checkkern/simde): in every form of weights, with every precision of activations and
 * of keys and values, for a prompt and the tokens behind it. checkkern proves it kernel by kernel; this is about
 * their being put together. */
#include "base/ctx.h"
#include "kernels/kernels.h"
#include "unit.h"

enum { DIM = 256, HEADS = 4, KV_HEADS = 2, HIDDEN = 256, VOCAB = 40, PROMPT = 9, NEW = 2, MAX_TABLES = 12 };

#if defined(CHECKKERN_SIMDE)
extern const struct cria_kernels *const check_simde_tables[];
#else
static const struct cria_kernels *const check_simde_tables[] = {NULL};
#endif

static size_t all_tables(const cria_ctx *ctx, const struct cria_kernels **out) {
    size_t n = cria_kernels_list(ctx->cpu.flags, out, MAX_TABLES);
    for (size_t i = 0; check_simde_tables[i] != NULL && n < MAX_TABLES; i++) out[n++] = check_simde_tables[i];
    return n;
}

static cria_model *random_model(cria_ctx *ctx, const char *quantization, cria_activations activations) {
    cria_random_opts o = cria_random_opts_default();
    o.dim = DIM;
    o.n_layers = 1;
    o.n_heads = HEADS;
    o.n_kv_heads = KV_HEADS;
    o.hidden_dim = HIDDEN;
    o.vocab_size = VOCAB;
    o.quantization = quantization;
    o.activations = activations;
    cria_model *model = NULL;
    cria_error err;
    if (cria_model_random(ctx, &o, &model, &err) != CRIA_OK) fail_msg("%s: %s", quantization, err.msg);
    return model;
}

/* Logits of all tokens of a prompt, then of tokens one by one. */
static void evaluate(cria_model *model, cria_kv_type kv, float *logits) {
    cria_engine_opts o = cria_engine_opts_default();
    o.kv = kv;
    cria_engine *engine;
    cria_sequence *sequence;
    cria_error err;
    assert_int_equal(cria_engine_new(model, &o, &engine, &err), CRIA_OK);
    assert_int_equal(cria_sequence_new(engine, &sequence, &err), CRIA_OK);
    cria_row rows[PROMPT + NEW];
    for (int32_t i = 0; i < PROMPT + NEW; i++) rows[i] = (cria_row){sequence, (i * 7 + 3) % VOCAB, true};
    assert_int_equal(cria_engine_eval(engine, rows, PROMPT, logits, &err), CRIA_OK);
    for (size_t i = PROMPT; i < PROMPT + NEW; i++)
        assert_int_equal(cria_engine_eval(engine, rows + i, 1, logits + i * VOCAB, &err), CRIA_OK);
    cria_sequence_free(sequence);
    cria_engine_free(engine);
}

static void same_logits(const char *quantization, cria_activations activations, cria_kv_type kv) {
    static float want[(PROMPT + NEW) * VOCAB], got[(PROMPT + NEW) * VOCAB];
    const struct cria_kernels *tables[MAX_TABLES];
    cria_ctx_opts o = cria_ctx_opts_default();
    o.threads = 1;
    cria_ctx *ctx;
    assert_int_equal(cria_ctx_new(&o, &ctx, NULL), CRIA_OK);
    cria_model *model = random_model(ctx, quantization, activations);
    const size_t n = all_tables(ctx, tables);
    assert_true(n > 0 && tables[0] == cria_kernels_for(0)); /* the definition */
    for (size_t i = 0; i < n; i++) {
        ctx->kernels = tables[i];
        evaluate(model, kv, i == 0 ? want : got);
        for (size_t j = 0; j < sizeof want / sizeof *want && i > 0; j++)
            if (memcmp(&want[j], &got[j], sizeof *want) != 0)
                fail_msg("%s, activations %d, kv %d, table %s: logit %zu of token %zu is %a, not %a", quantization,
                         (int)activations, (int)kv, tables[i]->name, j % VOCAB, j / VOCAB, (double)got[j],
                         (double)want[j]);
    }
    cria_model_free(model);
    cria_ctx_free(ctx);
}

static void test_every_form(void **unused) {
    (void)unused;
    for (size_t i = 0; cria_quantization_name(i) != NULL; i++)
        same_logits(cria_quantization_name(i), CRIA_ACTIVATIONS_DEFAULT, CRIA_KV_INT16);
}

static void test_every_precision(void **unused) {
    (void)unused;
    static const char *const forms[] = {"q4_0", "affine4-g64", "q6_k", "q8_0"};
    for (size_t i = 0; i < N_ITEMS(forms); i++) {
        same_logits(forms[i], CRIA_ACTIVATIONS_INT8, CRIA_KV_INT8);
        same_logits(forms[i], CRIA_ACTIVATIONS_INT16, CRIA_KV_F32);
        same_logits(forms[i], CRIA_ACTIVATIONS_F32, CRIA_KV_F16);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_every_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
