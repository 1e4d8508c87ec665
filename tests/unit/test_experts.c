/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtures of experts: against a plain implementation in double, ties, rows that do not depend on the rest of the
 * batch, scores that are no numbers; and a folder with such a model, opened and run with every allocation failing. */
#include "model_unit.h"
#include "model/scratch.h"
#include "scratch.h"
#include "spm_unit.h"
#include <math.h>

enum { N = 40, EXPERTS = 32 /* more than are at work at once */ };

struct mixture {
    struct opened x;
    cria_ctx *ctx;
    cria_config c;
    cria_weights w;
    cria_scratch *s;
    cria_error err;
};

static void start(struct mixture *m, const struct hf_variant *v, uint32_t used, bool normalized, bool gelu,
                  cria_activations activations, uint32_t threads) {
    memset(m, 0, sizeof *m);
    cria_ctx_opts o = cria_ctx_opts_default();
    o.threads = threads;
    assert_int_equal(cria_ctx_new(&o, &m->ctx, NULL), CRIA_OK);
    m->c = cria_config_plain();
    cria_config *c = &m->c;
    c->d = HF_D, c->n_layers = 1, c->h = HF_H, c->hk = HF_HK, c->e = c->rotary = HF_E, c->f = HF_F, c->V = HF_V;
    c->context = 64;
    c->rope[0].theta = 10000;
    c->naming = CRIA_NAMING_HF;
    c->family = "qwen3_moe";
    c->n_experts = EXPERTS;
    c->n_experts_used = used;
    c->experts_normalized = normalized;
    c->gelu = gelu;
    c->f_expert = HF_F;
    c->layer[0] = CRIA_LAYER_EXPERTS;
    if (v->bits) c->quantization = (struct cria_mlx_quantization){true, false, v->group, v->bits, "affine"};
    struct out bytes = hf_model(v);
    open_bytes(&m->x, bytes.p, bytes.len, -1);
    out_free(&bytes);
    const cria_model_opts mo = cria_model_opts_default();
    if (m->x.status || cria_weights_load(m->ctx, m->x.c, c, &mo, &m->w, &m->err)) fail_msg("%s", m->err.msg);
    assert_int_equal(cria_scratch_new(m->ctx, c, activations, N, &m->s, &m->err), CRIA_OK);
}

static void stop(struct mixture *m) {
    cria_scratch_free(m->s);
    cria_weights_free(&m->w);
    cria_ctx_free(m->ctx);
    shut(&m->x);
}

static void run(struct mixture *m, const float *x, uint32_t n, float *y) {
    cria_experts(m->s, &m->c, &m->w.layers[0], (struct cria_input){x, HF_D, NULL, NULL}, n, CRIA_ROLE_FFN, y);
}

static const float *inputs(void) {
    static float x[N * HF_D];
    for (uint32_t t = 0; t < N; t++)
        for (uint32_t k = 0; k < HF_D; k++) x[t * HF_D + k] = 6 * st_value(7, t, k);
    return x;
}

/* ---- the same in double ---- */

static double dot(uint32_t seed, uint32_t row, const double *x, uint32_t n) {
    double sum = 0;
    for (uint32_t k = 0; k < n; k++) sum += (double)st_value(seed, row, k) * x[k];
    return sum;
}

static void expert(uint32_t e, const double *x, bool gelu, double *y) {
    double inner[HF_F];
    for (uint32_t i = 0; i < HF_F; i++) {
        const double g = dot(hf_expert_seed(0, 0, e), i, x, HF_D), u = dot(hf_expert_seed(0, 2, e), i, x, HF_D);
        const double act = gelu ? g / 2 * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g))) : g / (1 + exp(-g));
        inner[i] = act * u;
    }
    for (uint32_t i = 0; i < HF_D; i++) y[i] = dot(hf_expert_seed(0, 1, e), i, inner, HF_F);
}

static void plainly(const float *row, uint32_t used, bool normalized, bool gelu, double *y) {
    double x[HF_D], p[EXPERTS], all = 0, chosen = 0, out[HF_D];
    bool taken[EXPERTS] = {false};
    for (uint32_t k = 0; k < HF_D; k++) x[k] = (double)row[k], y[k] = 0;
    for (uint32_t e = 0; e < EXPERTS; e++) all += p[e] = exp(dot(HF_ROUTER + 3 * e, 0, x, HF_D));
    for (uint32_t k = 0; k < used; k++) {
        uint32_t best = EXPERTS;
        for (uint32_t e = 0; e < EXPERTS; e++)
            if (!taken[e] && (best == EXPERTS || p[e] > p[best])) best = e;
        taken[best] = true;
        chosen += p[best];
    }
    for (uint32_t e = 0; e < EXPERTS; e++) {
        if (!taken[e]) continue;
        expert(e, x, gelu, out);
        for (uint32_t k = 0; k < HF_D; k++) y[k] += p[e] / (normalized ? chosen : all) * out[k];
    }
}

static void as_a_plain_implementation(void **unused) {
    (void)unused;
    const float *x = inputs();
    for (uint32_t i = 0; i < 16; i++) {
        static const uint32_t counts[] = {1, 2, 5, EXPERTS};
        const uint32_t used = counts[i % 4];
        const bool normalized = i & 4, gelu = i & 8;
        struct mixture m;
        float got[N * HF_D];
        start(&m, &(struct hf_variant){.experts = EXPERTS, .stacked = true}, used, normalized, gelu,
              CRIA_ACTIVATIONS_F32, 2);
        run(&m, x, N, got);
        for (uint32_t t = i; t < N; t += 5) {
            double want[HF_D], largest = 0, off = 0;
            plainly(x + t * HF_D, used, normalized, gelu, want);
            for (uint32_t k = 0; k < HF_D; k++) {
                largest = fmax(largest, fabs(want[k]));
                off = fmax(off, fabs((double)got[t * HF_D + k] - want[k]));
            }
            if (!(off < 1e-5 * largest)) fail_msg("%u of them, row %u: off by %g of %g", used, t, off, largest);
        }
        stop(&m);
    }
}

/* Of equal scores the lower numbers; chosen ones are in ascending order and weigh alike. */
static void ties(void **unused) {
    (void)unused;
    struct mixture m;
    float y[N * HF_D];
    for (int normalized = 0; normalized < 2; normalized++) {
        start(&m, &(struct hf_variant){.experts = EXPERTS, .same_router = true}, 3, normalized, false,
              CRIA_ACTIVATIONS_F32, 2);
        run(&m, inputs(), N, y);
        for (uint32_t i = 0; i < 3 * N; i++) {
            assert_int_equal(m.s->chosen[i], i % 3);
            assert_true(m.s->chosen_weight[i] == (normalized ? 1 / 3.0f : 1.0f / EXPERTS));
        }
        stop(&m);
    }
    start(&m, &(struct hf_variant){.experts = EXPERTS}, 2, true, false, CRIA_ACTIVATIONS_F32, 1);
    const float zeros[HF_D] = {0};
    run(&m, zeros, 1, y);
    assert_true(m.s->chosen[0] == 0 && m.s->chosen[1] == 1);
    for (uint32_t k = 0; k < HF_D; k++) assert_true(y[k] == 0 && !signbit(y[k]));
    stop(&m);
}

static void a_row_does_not_depend_on_the_batch(void **unused) {
    (void)unused;
    static const cria_activations activations[] = {CRIA_ACTIVATIONS_F32, CRIA_ACTIVATIONS_DEFAULT,
                                                   CRIA_ACTIVATIONS_INT8};
    static const struct hf_variant variants[] = {{.experts = EXPERTS},
                                                 {.experts = EXPERTS, .stacked = true, .bits = 4, .group = 32}};
    const float *x = inputs();
    for (uint32_t i = 0; i < 2 * 3 * 3; i++) {
        static float want[N * HF_D];
        float got[N * HF_D];
        struct mixture m;
        start(&m, &variants[i % 2], 2, true, false, activations[i / 2 % 3], 1 + i / 6);
        run(&m, x, N, got);
        for (uint32_t t = 0; t < N; t++) { /* each by itself, then the last ones in another order */
            float alone[HF_D];
            run(&m, x + t * HF_D, 1, alone);
            assert_memory_equal(alone, got + t * HF_D, sizeof alone);
        }
        float back[N * HF_D], y[N * HF_D];
        for (uint32_t t = 0; t < N; t++) memcpy(back + t * HF_D, x + (N - 1 - t) * HF_D, HF_D * sizeof *x);
        run(&m, back, N - 1, y);
        for (uint32_t t = 0; t < N - 1; t++)
            assert_memory_equal(y + t * HF_D, got + (N - 1 - t) * HF_D, HF_D * sizeof *y);
        stop(&m);
        static float of_one_thread[6][N * HF_D];
        memcpy(i < 6 ? of_one_thread[i] : want, got, sizeof got);
        if (i >= 6) assert_memory_equal(want, of_one_thread[i % 6], sizeof want);
    }
}

/* Scores that are no numbers choose some experts all the same; the caller sees that the logits are none. */
static void scores_that_are_no_numbers(void **unused) {
    (void)unused;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        struct mixture m;
        float x[2 * HF_D], y[2 * HF_D], alone[HF_D];
        start(&m, &(struct hf_variant){.experts = EXPERTS}, 4, true, false, CRIA_ACTIVATIONS_F32, 2);
        memcpy(x, inputs(), sizeof x);
        x[5] = x[6] = bad[i];
        run(&m, x + HF_D, 1, alone);
        run(&m, x, 2, y);
        for (uint32_t k = 0; k < 4; k++)
            assert_true(m.s->chosen[k] < EXPERTS && (k == 0 || m.s->chosen[k] > m.s->chosen[k - 1]));
        assert_memory_equal(alone, y + HF_D, sizeof alone); /* the neighbour is none the worse */
        stop(&m);
    }
}

/* ---- a folder ---- */

static void write_folder(const struct scratch *folder) {
    struct wire tokenizer;
    char text[16];
    spm_begin(&tokenizer, SPM_BPE);
    for (uint32_t i = 3; i < HF_V; i++) {
        snprintf(text, sizeof text, "%c", (char)('a' + i % 26));
        if (i >= 29) snprintf(text, sizeof text, "p%u", i);
        spm_piece(&tokenizer, text, -(float)i, CRIA_PIECE_NORMAL);
    }
    struct out weights = hf_model(
        &(struct hf_variant){.layers = 2, .experts = EXPERTS, .qk_norm = true, .bits = 4, .group = 32, .down_bits = 8});
    char config[12000];
    int at = snprintf(
        config, sizeof config,
        "{\"model_type\": \"qwen3_moe\", \"architectures\": [\"Qwen3MoeForCausalLM\"], \"hidden_size\": %d, "
        "\"num_hidden_layers\": 2, \"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"head_dim\": %d, "
        "\"intermediate_size\": %d, \"moe_intermediate_size\": %d, \"vocab_size\": %d, "
        "\"max_position_embeddings\": 200, \"rms_norm_eps\": 1e-5, \"num_experts\": %d, "
        "\"num_experts_per_tok\": 2, \"norm_topk_prob\": true, \"tie_word_embeddings\": false, "
        "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2.0, "
        "\"original_max_position_embeddings\": 100}, \"quantization\": {\"group_size\": 32, \"bits\": 4",
        HF_D, HF_H, HF_HK, HF_E, HF_F, HF_F, HF_V, EXPERTS);
    for (int l = 0; l < 2; l++)
        for (int e = 0; e < EXPERTS; e++)
            at += snprintf(config + at, sizeof config - (size_t)at,
                           ", \"model.layers.%d.mlp.experts.%d.down_proj\": {\"group_size\": 32, \"bits\": 8}", l, e);
    snprintf(config + at, sizeof config - (size_t)at, "}}");
    scratch_write(folder, "model.safetensors", weights.p, weights.len);
    scratch_write(folder, "tokenizer.model", tokenizer.data, tokenizer.n);
    scratch_text(folder, "config.json", config);
    out_free(&weights);
}

static void every_allocation_may_fail(void **unused) {
    (void)unused;
    struct scratch folder;
    scratch_new(&folder);
    write_folder(&folder);
    for (long fail_at = 0;; fail_at++) {
        struct counting_alloc alloc;
        counting_alloc_init(&alloc, fail_at);
        cria_ctx_opts o = cria_ctx_opts_default();
        o.allocator = counting_alloc_hook(&alloc);
        o.threads = 1;
        cria_ctx *ctx = NULL;
        cria_model *model = NULL;
        cria_engine *engine = NULL;
        cria_sequence *s = NULL;
        cria_error err;
        float logits[HF_V];
        cria_status st = cria_ctx_new(&o, &ctx, &err);
        if (!st) st = cria_model_open(ctx, folder.root, NULL, &model, &err);
        if (!st) st = cria_engine_new(model, NULL, &engine, &err);
        if (!st) st = cria_sequence_new(engine, &s, &err);
        for (int i = 0; i < 65 && !st; i++) {
            const uint64_t before = cria_mem_count(ctx);
            const cria_row row = {s, i % HF_V, true};
            st = cria_engine_eval(engine, &row, 1, logits, &err);
            if (!st && i % 64 > 0) assert_int_equal(cria_mem_count(ctx), before); /* nothing but KV blocks */
        }
        cria_sequence_free(s);
        cria_engine_free(engine);
        cria_model_free(model);
        cria_ctx_free(ctx);
        assert_int_equal(atomic_load(&alloc.live), 0);
        if (st == CRIA_OK) break;
        if (st != CRIA_ENOMEM || err.code != CRIA_ENOMEM) fail_msg("allocation %ld: %s", fail_at, err.msg);
        assert_true(fail_at < 2000);
    }
    scratch_free(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_a_plain_implementation), cmocka_unit_test(ties),
                                       cmocka_unit_test(a_row_does_not_depend_on_the_batch),
                                       cmocka_unit_test(scores_that_are_no_numbers),
                                       cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
