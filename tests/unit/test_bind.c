/* SPDX-License-Identifier: Apache-2.0 */
/* From the tensors of a file to the weights of a model: the same weights however the file has them (apart, fused,
 * stacked, quantized), rows and numbers where they belong, and every tensor that is missing, misshapen or not asked for
 * is refused by its name. */
#include "model_unit.h"
#include "model/weights.h"
#include <math.h>

static cria_config config_of(const struct hf_variant *v) {
    cria_config c = cria_config_plain();
    c.d = HF_D;
    c.n_layers = v->layers ? v->layers : 1;
    c.h = HF_H;
    c.hk = HF_HK;
    c.e = c.rotary = HF_E;
    c.f = HF_F;
    c.V = HF_V;
    c.context = 64;
    c.norm_eps = 1e-5f;
    c.attention_scale = 0.25f;
    c.rope[0].theta = 10000;
    c.naming = CRIA_NAMING_HF;
    c.family = v->experts ? "qwen3_moe" : "llama";
    c.qkv_bias = v->biases;
    c.n_experts = v->experts;
    c.n_experts_used = v->experts ? 1 : 0;
    c.f_expert = HF_F;
    for (uint32_t i = 0; i < c.n_layers && v->experts; i++) c.layer[i] = CRIA_LAYER_EXPERTS;
    if (v->bits) c.quantization = (struct cria_mlx_quantization){true, v->down_bits != 0, v->group, v->bits, "affine"};
    return c;
}

struct loaded {
    struct opened x;
    cria_ctx *ctx;
    cria_weights w;
    cria_status status;
    cria_error err;
};

/* config: NULL for that of the variant. */
static void load(struct loaded *m, const struct hf_variant *v, const cria_config *config) {
    const cria_config own = config_of(v);
    cria_ctx_opts o = cria_ctx_opts_default();
    o.threads = 2;
    memset(m, 0, sizeof *m);
    assert_int_equal(cria_ctx_new(&o, &m->ctx, NULL), CRIA_OK);
    struct out bytes = hf_model(v);
    open_bytes(&m->x, bytes.p, bytes.len, -1);
    out_free(&bytes);
    if (m->x.status) fail_msg("%s", m->x.err.msg);
    const cria_model_opts mo = cria_model_opts_default();
    m->status = cria_weights_load(m->ctx, m->x.c, config ? config : &own, &mo, &m->w, &m->err);
    if (m->status) assert_null(m->w.layers); /* untouched */
}

static void drop(struct loaded *m) {
    cria_weights_free(&m->w);
    cria_ctx_free(m->ctx);
    shut(&m->x);
}

static void load_ok(struct loaded *m, const struct hf_variant *v, const cria_config *config) {
    load(m, v, config);
    if (m->status) fail_msg("%s", m->err.msg);
}

#define refused(v, c, want, text) refused_at(v, c, want, text, __LINE__)
static void refused_at(const struct hf_variant *v, const cria_config *c, cria_status want, const char *text, int line) {
    struct loaded m;
    load(&m, v, c);
    if (m.status != want || strstr(m.err.msg, text) == NULL)
        fail_msg("line %d: status %d, \"%s\"; wanted \"%s\"", line, m.status, m.status ? m.err.msg : "", text);
    drop(&m);
}

/* ---- float32: each number is known ---- */

static void matrix_is(const cria_matrix *m, uint32_t seed, uint32_t rows, uint32_t cols) {
    float row[HF_F];
    assert_true(m->spec.rows == rows && m->spec.cols == cols && cols <= HF_F);
    for (uint32_t r = 0; r < rows; r++) {
        cria_matrix_row(m, r, row);
        for (uint32_t c = 0; c < cols; c++) assert_true(row[c] == st_value(seed, r, c));
    }
}

static void vector_is(const float *v, uint32_t seed, uint32_t n, float more) {
    for (uint32_t i = 0; i < n; i++) assert_true(v[i] == st_value(seed, i, 0) + more);
}

static void everything_is_where_it_belongs(const struct hf_variant *v, float norm_offset) {
    struct loaded m;
    cria_config c = config_of(v);
    c.norm_offset = norm_offset;
    load_ok(&m, v, &c);
    matrix_is(&m.w.tok_embeddings, HF_EMBED, HF_V, HF_D);
    matrix_is(&m.w.output, HF_HEAD, HF_V, HF_D);
    vector_is(m.w.norm, HF_NORM, HF_D, norm_offset);
    for (uint32_t i = 0; i < c.n_layers; i++) {
        const struct cria_layer *l = &m.w.layers[i];
        const uint32_t s = 100 * i;
        matrix_is(&l->wq, s + HF_QM, HF_Q, HF_D);
        matrix_is(&l->wk, s + HF_KM, HF_KV, HF_D);
        matrix_is(&l->wv, s + HF_VM, HF_KV, HF_D);
        matrix_is(&l->wo, s + HF_O, HF_D, HF_Q);
        vector_is(l->attention_norm, s + HF_NORM1, HF_D, norm_offset);
        vector_is(l->ffn_norm, s + HF_NORM2, HF_D, norm_offset);
        assert_true(!l->post_attention_norm && !l->post_ffn_norm && !l->q_norm && !l->k_norm && !l->bo && !l->b1);
        assert_true((l->bq != NULL) == v->biases);
        if (v->biases) {
            vector_is(l->bq, s + HF_QB, HF_Q, 0); /* biases are no norms */
            vector_is(l->bk, s + HF_KB, HF_KV, 0);
            vector_is(l->bv, s + HF_VB, HF_KV, 0);
        }
        for (uint32_t e = 0; e < v->experts; e++) {
            matrix_is(&l->experts[e].w1, hf_expert_seed(i, 0, e), HF_F, HF_D);
            matrix_is(&l->experts[e].w2, hf_expert_seed(i, 1, e), HF_D, HF_F);
            matrix_is(&l->experts[e].w3, hf_expert_seed(i, 2, e), HF_F, HF_D);
        }
        if (v->experts) continue;
        assert_null(l->experts);
        matrix_is(&l->ffn.w1, s + HF_W1, HF_F, HF_D);
        matrix_is(&l->ffn.w2, s + HF_W2, HF_D, HF_F);
        matrix_is(&l->ffn.w3, s + HF_W3, HF_F, HF_D);
    }
    const uint64_t ffn = 3 * HF_D * HF_F,
                   layer = 2 * HF_D * HF_Q + 2 * HF_D * HF_KV + 2 * HF_D + (v->biases ? HF_Q + 2 * HF_KV : 0);
    assert_int_equal(m.w.n_params,
                     2 * HF_V * HF_D + HF_D + c.n_layers * (layer + (v->experts ? v->experts * (ffn + HF_D) : ffn)));
    drop(&m);
}

static void weights_of_every_layout(void **unused) {
    (void)unused;
    everything_is_where_it_belongs(&(struct hf_variant){.layers = 2}, 0);
    everything_is_where_it_belongs(&(struct hf_variant){.layers = 2, .biases = true}, 1);
    everything_is_where_it_belongs(&(struct hf_variant){.fused = true}, 0);
    everything_is_where_it_belongs(&(struct hf_variant){.layers = 2, .fused = true, .biases = true}, 0);
    everything_is_where_it_belongs(&(struct hf_variant){.layers = 2, .experts = 3}, 0);
    everything_is_where_it_belongs(&(struct hf_variant){.layers = 2, .experts = 5, .stacked = true}, 1);
    everything_is_where_it_belongs(&(struct hf_variant){.experts = 2, .fused = true, .biases = true}, 0);
}

/* Rotary pairs that the file has side by side: rows and biases of q and k come in halves of a head, of all heads. */
static void pairs_become_halves(const struct hf_variant *v, uint8_t layer) {
    struct loaded m;
    cria_config c = config_of(v);
    c.rope_traditional = true;
    c.layer[0] = layer;
    load_ok(&m, v, &c);
    const struct cria_layer *l = &m.w.layers[0];
    for (uint32_t r = 0; r < HF_Q; r++) {
        const uint32_t i = r % HF_E, from = r - i + (i < HF_E / 2 ? 2 * i : 2 * i - HF_E + 1);
        float row[HF_D];
        cria_matrix_row(&l->wq, r, row);
        assert_true(row[3] == st_value(HF_QM, from, 3) && l->bq[r] == st_value(HF_QB, from, 0));
        if (r >= HF_KV) continue;
        cria_matrix_row(&l->wk, r, row);
        assert_true(row[5] == st_value(HF_KM, from, 5) && l->bk[r] == st_value(HF_KB, from, 0));
        cria_matrix_row(&l->wv, r, row);
        assert_true(row[5] == st_value(HF_VM, r, 5) && l->bv[r] == st_value(HF_VB, r, 0));
    }
    drop(&m);
}

/* Of layers without rope, too: converters do not make a difference, and so sums have one order. */
static void rotary_pairs(void **unused) {
    (void)unused;
    pairs_become_halves(&(struct hf_variant){.biases = true}, 0);
    pairs_become_halves(&(struct hf_variant){.biases = true, .fused = true}, 0);
    pairs_become_halves(&(struct hf_variant){.biases = true}, CRIA_LAYER_NO_ROPE);
}

/* ---- quantized: the same from every layout ---- */

static void same_rows(const cria_matrix *a, const cria_matrix *b) {
    float x[HF_F], y[HF_F];
    assert_true(a->spec.rows == b->spec.rows && a->spec.cols == b->spec.cols && a->spec.bits == b->spec.bits);
    for (uint32_t r = 0; r < a->spec.rows; r++) {
        cria_matrix_row(a, r, x);
        cria_matrix_row(b, r, y);
        assert_memory_equal(x, y, a->spec.cols * sizeof *x);
    }
}

static void quantized_layouts(void **unused) {
    (void)unused;
    for (uint32_t bits = 2; bits <= 8; bits += 2) {
        struct loaded apart, together;
        load_ok(&apart, &(struct hf_variant){.bits = bits, .group = 32}, NULL);
        load_ok(&together, &(struct hf_variant){.bits = bits, .group = 32, .fused = true}, NULL);
        const struct cria_layer *a = apart.w.layers, *b = together.w.layers;
        assert_int_equal(a->wk.spec.bits, bits);
        same_rows(&a->wq, &b->wq);
        same_rows(&a->wk, &b->wk);
        same_rows(&a->wv, &b->wv);
        same_rows(&a->ffn.w1, &b->ffn.w1);
        same_rows(&a->ffn.w3, &b->ffn.w3);
        drop(&apart);
        drop(&together);
        load_ok(&apart, &(struct hf_variant){.bits = bits, .group = 32, .experts = 3}, NULL);
        load_ok(&together, &(struct hf_variant){.bits = bits, .group = 32, .experts = 3, .stacked = true}, NULL);
        for (uint32_t e = 0; e < 3; e++) {
            same_rows(&apart.w.layers->experts[e].w1, &together.w.layers->experts[e].w1);
            same_rows(&apart.w.layers->experts[e].w2, &together.w.layers->experts[e].w2);
            same_rows(&apart.w.layers->experts[e].w3, &together.w.layers->experts[e].w3);
        }
        drop(&apart);
        drop(&together);
    }
}

static void layers_with_numbers_of_their_own(void **unused) {
    (void)unused;
    const struct hf_variant v = {.bits = 4, .group = 32, .down_bits = 8};
    struct loaded m;
    load_ok(&m, &v, NULL);
    assert_int_equal(m.w.layers[0].ffn.w2.spec.bits, 8);
    assert_int_equal(m.w.layers[0].ffn.w1.spec.bits, 4);
    drop(&m);
    cria_config c = config_of(&v); /* only where the configuration says that there are exceptions */
    c.quantization.exceptions = false;
    refused(&v, &c, CRIA_EFORMAT,
            "the tensor model.layers.0.mlp.down_proj.weight has the shape (64 x 24), but the configuration asks for "
            "(64 x 12)");
    c.quantization.present = false;
    refused(&v, &c, CRIA_EFORMAT, "model.embed_tokens.weight is quantized, but config.json has no \"quantization\"");
    c = config_of(&v);
    c.quantization.exceptions = false;
    c.quantization.group = 64;
    refused(&v, &c, CRIA_EFORMAT, "model.embed_tokens.scales has the shape (48 x 2)");
    c.quantization.bits = 7;
    refused(&v, &c, CRIA_EUNSUPPORTED, "model.embed_tokens.weight with 64 columns cannot be quantized");
}

/* ---- what is refused ---- */

static void a_missing_tensor(void **unused) {
    (void)unused;
    static const char *const plain[] = {"model.embed_tokens.weight",
                                        "model.norm.weight",
                                        "lm_head.weight",
                                        "model.layers.1.input_layernorm.weight",
                                        "model.layers.0.post_attention_layernorm.weight",
                                        "model.layers.0.self_attn.q_proj.weight",
                                        "model.layers.1.self_attn.v_proj.bias",
                                        "model.layers.1.self_attn.o_proj.weight",
                                        "model.layers.0.mlp.gate_proj.weight",
                                        "model.layers.0.mlp.up_proj.weight",
                                        "model.layers.1.mlp.down_proj.weight"},
                             *const of_experts[] = {"model.layers.0.mlp.gate.weight",
                                                    "model.layers.1.mlp.experts.2.up_proj.weight"},
                             *const of_stacks[] = {"model.layers.1.mlp.switch_mlp.up_proj.weight",
                                                   "model.layers.1.mlp.switch_mlp.down_proj.weight"},
                             *const fused[] = {"model.layers.0.self_attn.qkv_proj.bias"},
                             *const quantized[] = {"model.layers.0.self_attn.k_proj.biases", "lm_head.weight"};
    struct hf_variant v = {.layers = 2, .biases = true};
    char text[200];
#define EACH(list)                                                                                                     \
    for (size_t i = 0; i < N_ITEMS(list); i++) {                                                                       \
        v.without = list[i];                                                                                           \
        snprintf(text, sizeof text, "the tensor %s is missing", list[i]);                                              \
        refused(&v, NULL, CRIA_EFORMAT, text);                                                                         \
    }
    EACH(plain)
    v.fused = true;
    EACH(fused)
    v = (struct hf_variant){.layers = 2, .experts = 3};
    EACH(of_experts)
    v.stacked = true;
    EACH(of_stacks)
    v = (struct hf_variant){.bits = 4, .group = 32};
    EACH(quantized)
#undef EACH
    v.without = "model.layers.0.self_attn.k_proj.scales"; /* codes without scales are not weights */
    refused(&v, NULL, CRIA_EFORMAT, "model.layers.0.self_attn.k_proj.weight has the shape (32 x 8)");
}

static void a_wrong_shape(void **unused) {
    (void)unused;
    static const struct {
        struct hf_variant v;
        const char *text;
    } table[] = {
        {{.shorter = "model.norm.weight"}, "model.norm.weight has the shape (63), but the configuration asks for (64)"},
        {{.shorter = "lm_head.weight"},
         "lm_head.weight has the shape (47 x 64), but the configuration asks for (48 x 64)"},
        {{.shorter = "model.layers.0.self_attn.k_proj.weight"}, "(31 x 64), but the configuration asks for (32 x 64)"},
        {{.shorter = "model.layers.0.self_attn.k_proj.bias", .biases = true},
         "(31), but the configuration asks for (32)"},
        {{.shorter = "model.layers.0.self_attn.qkv_proj.weight", .fused = true},
         "qkv_proj.weight has the shape (127 x 64), but the configuration asks for (128 x 64)"},
        {{.shorter = "model.layers.0.self_attn.qkv_proj.bias", .fused = true, .biases = true},
         "(127), but the configuration asks for (128)"},
        {{.shorter = "model.layers.0.mlp.gate_up_proj.weight", .fused = true},
         "(191 x 64), but the configuration asks for (192 x 64)"},
        {{.shorter = "model.layers.0.mlp.gate.weight", .experts = 1 + 2}, "mlp.gate.weight has the shape (3 x 64)"},
        {{.shorter = "model.layers.0.mlp.experts.1.down_proj.weight", .experts = 3},
         "experts.1.down_proj.weight has the shape (63 x 96)"},
        {{.shorter = "model.layers.0.mlp.switch_mlp.down_proj.weight", .experts = 3, .stacked = true},
         "switch_mlp.down_proj.weight has the shape (2 x 64 x 96)"},
        {{.shorter = "model.layers.0.mlp.switch_mlp.up_proj.scales",
          .experts = 3,
          .stacked = true,
          .bits = 4,
          .group = 32},
         "switch_mlp.up_proj.scales has the shape (2 x 96 x 2)"},
        {{.shorter = "model.layers.0.self_attn.q_proj.scales", .bits = 4, .group = 32},
         "q_proj.scales has the shape (63 x 2)"},
        {{.shorter = "model.layers.0.self_attn.qkv_proj.biases", .bits = 4, .group = 32, .fused = true},
         "qkv_proj.biases has the shape (127 x 2)"},
    };
    for (size_t i = 0; i < N_ITEMS(table); i++) {
        struct hf_variant v = table[i].v;
        if (strstr(table[i].text, "mlp.gate.weight")) v.shorter = NULL, v.experts = 3; /* the configuration has more */
        cria_config c = config_of(&v);
        if (v.shorter == NULL) c.n_experts = 4;
        refused_at(&v, &c, CRIA_EFORMAT, table[i].text, (int)i);
    }
}

static void a_tensor_that_nothing_asks_for(void **unused) {
    (void)unused;
    struct hf_variant v = {.besides = "model.layers.0.self_attn.o_proj.bias"};
    refused(&v, NULL, CRIA_EUNSUPPORTED,
            "the tensor model.layers.0.self_attn.o_proj.bias is not part of a llama model of 1 layers");
    v.besides = "model.layers.1.input_layernorm.weight";
    refused(&v, NULL, CRIA_EUNSUPPORTED, v.besides);
    v.besides = "model.layers.0.self_attn.q_proj.lora_a";
    refused(&v, NULL, CRIA_EUNSUPPORTED, v.besides);
    v.besides = "model.layers.0.self_attn.q_norm.weight"; /* a qwen3 that calls itself llama */
    refused(&v, NULL, CRIA_EUNSUPPORTED, v.besides);
    v.besides = "model.layers.0.self_attn.qkv_proj.bias";
    refused(&v, NULL, CRIA_EUNSUPPORTED, v.besides);
    v.besides = "model.layers.0.self_attn.rotary_emb.inv_freq"; /* what the model computes itself */
    struct loaded m;
    load_ok(&m, &v, NULL);
    drop(&m);

    v = (struct hf_variant){.biases = true};
    cria_config c = config_of(&v);
    c.qkv_bias = false;
    refused(&v, &c, CRIA_EUNSUPPORTED, "the tensor model.layers.0.self_attn.q_proj.bias is not part of");
    v = (struct hf_variant){.experts = 3};
    c = config_of(&v);
    c.n_experts = 2; /* the router tells first */
    refused(&v, &c, CRIA_EFORMAT, "mlp.gate.weight has the shape (3 x 64), but the configuration asks for (2 x 64)");
    v = (struct hf_variant){.layers = 2};
    c = config_of(&v);
    c.tied = true; /* then the output matrix is the embedding once more, whatever it says */
    load_ok(&m, &v, &c);
    assert_ptr_equal(m.w.output.data, m.w.tok_embeddings.data);
    drop(&m);
    c.n_layers = 1;
    refused(&v, &c, CRIA_EUNSUPPORTED, "is not part of a llama model of 1 layers with tied embeddings");
}

/* Before anything is allocated for them. */
static void more_than_the_file_has_room_for(void **unused) {
    (void)unused;
    struct hf_variant v = {.layers = 1};
    cria_config c = config_of(&v);
    c.n_layers = CRIA_LAYERS_MAX;
    refused(&v, &c, CRIA_EFORMAT, "the model has 1024 layers, but the file only 12 tensors");
    v.layers = 20;
    v.experts = 2;
    c = config_of(&v);
    c.n_experts = CRIA_EXPERTS_MAX;
    c.n_layers = 12; /* 12288 experts of some 36 KB a layer */
    for (uint32_t i = 0; i < c.n_layers; i++) c.layer[i] = CRIA_LAYER_EXPERTS;
    refused(&v, &c, CRIA_EFORMAT, "has the shape (2 x 64)");
    v.layers = 12;
    v.experts = 0;
    refused(&v, &c, CRIA_EFORMAT, "mlp.gate.weight is missing");
    struct st_file f = {{NULL, 0, 0}, {NULL, 0, 0}};
    for (uint32_t i = 0; i < 12; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%u", i);
        st_add(&f, name, "F32", HF_ONE(1, 64), 0, 0);
    }
    struct out bytes = st_bytes(&f);
    struct opened x;
    open_bytes(&x, bytes.p, bytes.len, -1);
    assert_int_equal(x.status, CRIA_OK);
    cria_weights w = {0};
    const size_t before = x.alloc.bytes;
    const cria_model_opts mo = cria_model_opts_default();
    assert_int_equal(cria_weights_load(&x.ctx, x.c, &c, &mo, &w, &x.err), CRIA_EFORMAT);
    assert_non_null(strstr(x.err.msg, "the configuration asks for 12288 experts, more than the file has room for"));
    assert_int_equal(x.alloc.bytes, before);
    shut(&x);
    out_free(&bytes);
}

static void every_allocation_may_fail(void **unused) {
    (void)unused;
    static const struct hf_variant variants[] = {{.layers = 2, .biases = true, .fused = true},
                                                 {.layers = 2, .experts = 9, .stacked = true, .bits = 4, .group = 32}};
    for (size_t i = 0; i < N_ITEMS(variants); i++) {
        struct out bytes = hf_model(&variants[i]);
        for (long fail_at = 0;; fail_at++) {
            struct counting_alloc alloc;
            struct opened x;
            cria_ctx *ctx = NULL;
            cria_weights w = {0};
            cria_error err;
            counting_alloc_init(&alloc, -1);
            cria_ctx_opts o = cria_ctx_opts_default();
            o.allocator = counting_alloc_hook(&alloc);
            o.threads = 1;
            assert_int_equal(cria_ctx_new(&o, &ctx, &err), CRIA_OK);
            const long live = atomic_load(&alloc.live);
            open_bytes(&x, bytes.p, bytes.len, -1);
            alloc.fail_at = atomic_load(&alloc.calls) + fail_at;
            const cria_config c = config_of(&variants[i]);
            const cria_model_opts mo = cria_model_opts_default();
            const cria_status st = cria_weights_load(ctx, x.c, &c, &mo, &w, &err);
            if (st) {
                assert_true(st == CRIA_ENOMEM && err.code == CRIA_ENOMEM && w.layers == NULL);
                assert_int_equal(atomic_load(&alloc.live), live);
            }
            cria_weights_free(&w);
            cria_ctx_free(ctx);
            shut(&x);
            assert_int_equal(atomic_load(&alloc.live), 0);
            if (st == CRIA_OK) break;
            assert_true(fail_at < 100);
        }
        out_free(&bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(weights_of_every_layout),
                                       cmocka_unit_test(rotary_pairs),
                                       cmocka_unit_test(quantized_layouts),
                                       cmocka_unit_test(layers_with_numbers_of_their_own),
                                       cmocka_unit_test(a_missing_tensor),
                                       cmocka_unit_test(a_wrong_shape),
                                       cmocka_unit_test(a_tensor_that_nothing_asks_for),
                                       cmocka_unit_test(more_than_the_file_has_room_for),
                                       cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
