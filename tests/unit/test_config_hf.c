/* SPDX-License-Identifier: Apache-2.0 */
/* config.json as Hugging Face and mlx-lm write it: every family with the least that it needs, each optional field, and
 * what is said of fields that are broken, unknown or not of the family. tests/oracle/test_families.py proves what the
 * switches do; here is which are set. */
#include "model_unit.h"
#include "model/config.h"
#include <math.h>

enum { L = 8 };

static const struct json_member base[] = {{"model_type", "\"llama\""},  {"hidden_size", "64"},
                                          {"num_hidden_layers", "8"},   {"num_attention_heads", "4"},
                                          {"num_key_value_heads", "2"}, {"intermediate_size", "96"},
                                          {"vocab_size", "40"},         {"max_position_embeddings", "512"},
                                          {"rms_norm_eps", "1e-5"}};

/* The tensors beside it: an embedding, and an output matrix when asked for. */
static cria_status read_with(const char *text, size_t len, const char *prefix, bool output, cria_config *c,
                             cria_error *err) {
    struct st_file f = {{NULL, 0, 0}, {NULL, 0, 0}};
    const struct st_rows rows = {1, 40};
    char name[64];
    snprintf(name, sizeof name, "%smodel.embed_tokens.weight", prefix);
    st_add(&f, name, "F32", &rows, 1, 2, 0);
    snprintf(name, sizeof name, "%slm_head.weight", prefix);
    if (output) st_add(&f, name, "F32", &rows, 1, 2, 0);
    st_add(&f, "a.weight", "U32", &rows, 1, 8, 0); /* 4 bits, 64 columns, groups of 32 */
    st_add(&f, "a.scales", "F16", &rows, 1, 2, 0);
    st_add(&f, "plain.weight", "F32", &rows, 1, 2, 0);
    struct out o = st_bytes(&f);
    struct opened x;
    open_bytes(&x, o.p, o.len, -1);
    if (x.status) fail_msg("%s", x.err.msg);
    char *exact = malloc(len ? len : 1); /* for AddressSanitizer */
    memcpy(exact, text, len);
    cria_config before = *c;
    const cria_status st = cria_config_from_json(exact, len, "config.json", x.c, c, err);
    if (st) assert_memory_equal(&before, c, sizeof before);
    free(exact);
    shut(&x);
    out_free(&o);
    return st;
}

static cria_status read_changed(const char *changes, bool output, cria_config *c, cria_error *err) {
    char text[16384];
    json_with(text, sizeof text, base, N_ITEMS(base), changes);
    return read_with(text, strlen(text), "", output, c, err);
}

static cria_config config_with(const char *changes) {
    cria_config c = {0};
    cria_error err;
    if (read_changed(changes, true, &c, &err) != CRIA_OK) fail_msg("%s: %s", changes, err.msg);
    return c;
}

#define refused(changes, want, text) refused_at(changes, want, text, __LINE__)
static void refused_at(const char *changes, cria_status want, const char *text, int line) {
    cria_config c = {0};
    cria_error err = {.msg = ""};
    const cria_status st = read_changed(changes, true, &c, &err);
    if (st != want || strstr(err.msg, text) == NULL)
        fail_msg("line %d, %s: status %d, \"%s\"; wanted \"%s\"", line, changes, st, err.msg, text);
    assert_non_null(strstr(err.msg, "config.json"));
}

/* 'w' window, 'r' local rope, 'n' no rope, 'x' experts; one word a layer. */
static void layers_are(const cria_config *c, const char *want) {
    char got[CRIA_LAYERS_MAX * 5] = "", *p = got;
    for (uint32_t i = 0; i < c->n_layers; i++) {
        if (i) *p++ = ' ';
        if (c->layer[i] == 0) *p++ = '.';
        if (c->layer[i] & CRIA_LAYER_WINDOW) *p++ = 'w';
        if (c->layer[i] & CRIA_LAYER_LOCAL_ROPE) *p++ = 'r';
        if (c->layer[i] & CRIA_LAYER_NO_ROPE) *p++ = 'n';
        if (c->layer[i] & CRIA_LAYER_EXPERTS) *p++ = 'x';
    }
    *p = '\0';
    assert_string_equal(got, want);
}

#define EXPERTS "\"num_local_experts\": 8, \"num_experts_per_tok\": 2"

static void every_family_with_the_least(void **unused) {
    (void)unused;
    static const struct {
        const char *changes, *family, *layers;
        float theta;
        enum cria_qk_norm qk_norm;
        bool qkv_bias, gelu, pre_norm, post_norm;
        float norm_offset;
    } table[] = {
        {"\"model_type\": \"llama\"", "llama", ". . . . . . . .", 10000, 0, 0, 0, 1, 0, 0},
        {"\"model_type\": \"mistral\"", "mistral", ". . . . . . . .", 10000, 0, 0, 0, 1, 0, 0},
        {"\"model_type\": \"mixtral\", " EXPERTS, "mixtral", "x x x x x x x x", 1e6f, 0, 0, 0, 1, 0, 0},
        {"\"model_type\": \"smollm3\"", "smollm3", ". . . n . . . n", 2e6f, 0, 0, 0, 1, 0, 0},
        {"\"model_type\": \"qwen2\"", "qwen2", ". . . . . . . .", 1e6f, 0, 1, 0, 1, 0, 0},
        {"\"model_type\": \"qwen3\"", "qwen3", ". . . . . . . .", 1e6f, CRIA_QK_NORM_HEAD, 0, 0, 1, 0, 0},
        {"\"model_type\": \"qwen3_moe\", \"num_experts\": 8, \"num_experts_per_tok\": 2", "qwen3_moe",
         "x x x x x x x x", 1e6f, CRIA_QK_NORM_HEAD, 0, 0, 1, 0, 0},
        {"\"model_type\": \"phi3\"", "phi3", ". . . . . . . .", 10000, 0, 0, 0, 1, 0, 0},
        {"\"model_type\": \"granite\"", "granite", ". . . . . . . .", 10000, 0, 0, 0, 1, 0, 0},
        {"\"model_type\": \"olmo2\"", "olmo2", ". . . . . . . .", 10000, CRIA_QK_NORM_ALL, 0, 0, 0, 1, 0},
        {"\"model_type\": \"gemma2\"", "gemma2", "w . w . w . w .", 10000, 0, 0, 1, 1, 1, 1},
        {"\"model_type\": \"gemma3_text\"", "gemma3", "wr wr wr wr wr . wr wr", 1e6f, CRIA_QK_NORM_HEAD, 0, 1, 1, 1, 1},
    };
    for (size_t i = 0; i < N_ITEMS(table); i++) {
        const cria_config c = config_with(table[i].changes);
        assert_string_equal(c.family, table[i].family);
        layers_are(&c, table[i].layers);
        assert_true(c.rope[0].theta == table[i].theta && c.rope[0].scaling == CRIA_ROPE_PLAIN);
        assert_true(c.qk_norm == table[i].qk_norm && c.qkv_bias == table[i].qkv_bias && c.gelu == table[i].gelu);
        assert_true(c.pre_norm == table[i].pre_norm && c.post_norm == table[i].post_norm);
        assert_true(c.norm_offset == table[i].norm_offset && !c.o_bias && !c.ffn_bias);
        assert_true(c.d == 64 && c.n_layers == L && c.h == 4 && c.hk == 2 && c.e == 16 && c.rotary == 16 && c.f == 96);
        assert_true(c.V == 40 && c.context == 512 && c.norm_eps == 1e-5f && !c.rope_traditional && !c.tied);
        assert_true(c.naming == CRIA_NAMING_HF && c.residual_scale == 1 && c.logit_scale == 1);
        assert_string_equal(c.prefix, "");
        const bool gemma = c.gelu; /* the only ones here with scalars of their own */
        assert_true(c.attention_scale == (gemma ? 1 / 16.0f : 0.25f));
        assert_true(c.embedding_scale == (gemma ? 8.0f : 1.0f)); /* √64 */
        const bool caps = strcmp(c.family, "gemma2") == 0;
        assert_true(c.score_cap == (caps ? 50 : 0) && c.logit_cap == (caps ? 30 : 0));
    }
}

static void sizes(void **unused) {
    (void)unused;
    cria_config c = config_with("\"head_dim\": 48");
    assert_true(c.e == 48 && c.rotary == 48 && c.attention_scale == 1 / sqrtf(48));
    c = config_with("\"num_key_value_heads\": null");
    assert_int_equal(c.hk, 4);
    c = config_with("\"vocab_size\": null"); /* from the embedding */
    assert_int_equal(c.V, 40);
    c = config_with("\"max_position_embeddings\": 2000000000");
    assert_int_equal(c.context, CRIA_POSITIONS_MAX);
    c = config_with("\"max_position_embeddings\": null");
    assert_int_equal(c.context, 0);
    c = config_with("\"hidden_act\": \"swish\", \"attention_bias\": true, \"mlp_bias\": true");
    assert_true(c.qkv_bias && c.o_bias && c.ffn_bias);
    c = config_with("\"model_type\": \"qwen2\", \"attention_bias\": false");
    assert_true(c.qkv_bias && !c.o_bias);
    c = config_with("\"rope_traditional\": true");
    assert_true(c.rope_traditional);

    static const char *const needed[] = {"hidden_size",       "num_hidden_layers", "num_attention_heads",
                                         "intermediate_size", "rms_norm_eps",      "model_type"};
    for (size_t i = 0; i < N_ITEMS(needed); i++) {
        char changes[64], quoted[64];
        snprintf(changes, sizeof changes, "\"%s\": null, \"architectures\": []", needed[i]);
        snprintf(quoted, sizeof quoted, "the field \"%s\" is missing", needed[i]);
        refused(changes, CRIA_EFORMAT, quoted);
    }
    refused("\"hidden_size\": 66", CRIA_EFORMAT, "no multiple");
    refused("\"head_dim\": 15", CRIA_EFORMAT, "even");
    refused("\"head_dim\": 2000", CRIA_EFORMAT, "head dimension");
    refused("\"num_key_value_heads\": 3", CRIA_EFORMAT, "multiple");
    refused("\"num_hidden_layers\": 1025", CRIA_EFORMAT, "num_hidden_layers");
    refused("\"num_hidden_layers\": 4294967304", CRIA_EFORMAT, "num_hidden_layers");
    refused("\"rms_norm_eps\": -1", CRIA_EFORMAT, "norm_eps");
    refused("\"hidden_act\": \"gelu\"", CRIA_EUNSUPPORTED, "gelu");
    refused("\"model_type\": \"gemma2\", \"hidden_activation\": \"silu\"", CRIA_EUNSUPPORTED, "silu");
    refused("\"hidden_act\": \"gelu\\u001b[31m\"", CRIA_EUNSUPPORTED, "gelu?[31m");
}

static void unknown_fields_and_types(void **unused) {
    (void)unused;
    refused("\"model_type\": \"mamba\"", CRIA_EUNSUPPORTED,
            "the model type is \"mamba\"; this version runs llama, mistral");
    refused("\"model_type\": \"mamba\"", CRIA_EUNSUPPORTED, "gemma3_text.");
    refused("\"model_type\": 7", CRIA_EFORMAT, "\"model_type\" is an integer");
    refused("\"n_shared_experts\": 1", CRIA_EUNSUPPORTED, "\"n_shared_experts\" is not one that this version knows");
    config_with("\"n_shared_experts\": null, \"_name_or_path\": {\"x\": 1}, \"torch_dtype\": \"bfloat16\"");
    refused("\"is_encoder_decoder\": true", CRIA_EUNSUPPORTED, "is_encoder_decoder");
    refused("\"use_bidirectional_attention\": true", CRIA_EUNSUPPORTED, "use_bidirectional_attention");
    refused("\"rope_interleaved\": true", CRIA_EUNSUPPORTED, "rope_interleaved");
    /* What another family would act upon. */
    static const char *const foreign[] = {"embedding_multiplier",    "residual_multiplier",   "attention_multiplier",
                                          "logits_scaling",          "query_pre_attn_scalar", "attn_logit_softcapping",
                                          "final_logit_softcapping", "no_rope_layer_interval"};
    for (size_t i = 0; i < N_ITEMS(foreign); i++) {
        char changes[64];
        snprintf(changes, sizeof changes, "\"%s\": 2", foreign[i]);
        refused(changes, CRIA_EUNSUPPORTED, foreign[i]);
    }
    refused("\"no_rope_layers\": [1, 1, 1, 1, 1, 1, 1, 0]", CRIA_EUNSUPPORTED, "no_rope_layers");
    refused(EXPERTS, CRIA_EUNSUPPORTED, "the family llama with experts");
}

#define SCALING(rest) "\"rope_scaling\": {" rest "}"

static void scaled_ropes(void **unused) {
    (void)unused;
    cria_config c = config_with(SCALING("\"type\": \"linear\", \"factor\": 4"));
    assert_true(c.rope[0].scaling == CRIA_ROPE_LINEAR && c.rope[0].factor == 4 && c.rope[0].theta == 10000);
    c = config_with("\"rope_theta\": 500000.0, " SCALING(
        "\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
        "\"original_max_position_embeddings\": 256"));
    assert_true(c.rope[0].scaling == CRIA_ROPE_LLAMA3 && c.rope[0].factor == 8 && c.rope[0].original == 256);
    assert_true(c.rope[0].low == 1 && c.rope[0].high == 4 && c.rope[0].theta == 500000);
    c = config_with(SCALING("\"type\": \"dynamic\", \"factor\": 2"));
    assert_true(c.rope[0].scaling == CRIA_ROPE_DYNAMIC && c.rope[0].original == 512);
    c = config_with(SCALING("\"rope_type\": \"default\", \"type\": \"linear\"")); /* the new name counts */
    assert_true(c.rope[0].scaling == CRIA_ROPE_PLAIN);
    config_with("\"rope_scaling\": null");

    c = config_with(SCALING("\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 128"));
    assert_true(c.rope[0].scaling == CRIA_ROPE_YARN && c.rope[0].low == 1 && c.rope[0].high == 32);
    assert_true(fabs(c.rope[0].amplitude - (0.1 * log(4) + 1)) < 1e-15);
    c = config_with(SCALING("\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 16, \"beta_slow\": 2, "
                            "\"attention_factor\": 1.5"));
    assert_true(c.rope[0].low == 2 && c.rope[0].high == 16 && c.rope[0].amplitude == 1.5);
    c = config_with(SCALING("\"type\": \"yarn\", \"factor\": 4, \"mscale\": 1, \"mscale_all_dim\": 1"));
    assert_true(c.rope[0].amplitude == 1);
    c = config_with(SCALING("\"type\": \"yarn\", \"original_max_position_embeddings\": 128")); /* from the lengths */
    assert_true(c.rope[0].factor == 4);

    c = config_with("\"head_dim\": 8, \"original_max_position_embeddings\": 128, " SCALING(
        "\"type\": \"longrope\", \"short_factor\": [1, 1.5, 2, 2.5], \"long_factor\": [1, 2, 3, 4]"));
    assert_true(c.rope[0].scaling == CRIA_ROPE_FACTORS && c.rope[0].original == 128);
    assert_true(c.rope[0].short_factors[1] == 1.5f && c.rope[0].long_factors[3] == 4);
    assert_true(fabs(c.rope[0].amplitude - sqrt(1 + log(4) / log(128))) < 1e-15);

    c = config_with("\"partial_rotary_factor\": 0.75");
    assert_true(c.e == 16 && c.rotary == 12);
}

static void broken_ropes(void **unused) {
    (void)unused;
    refused("\"rope_theta\": 0", CRIA_EFORMAT, "rope_theta");
    refused("\"rope_theta\": 1e300", CRIA_EFORMAT, "rope_theta");
    refused("\"rope_scaling\": []", CRIA_EFORMAT, "\"rope_scaling\" is an array");
    refused(SCALING("\"type\": \"linear\""), CRIA_EFORMAT, "\"factor\" is missing");
    refused(SCALING("\"type\": \"linear\", \"factor\": 0.5"), CRIA_EFORMAT, "factor");
    refused(SCALING("\"type\": \"linear\", \"factor\": -4"), CRIA_EFORMAT, "factor");
    refused(SCALING("\"type\": \"linear\", \"factor\": \"4\""), CRIA_EFORMAT, "\"factor\" is a string");
    refused(SCALING("\"type\": \"linear\", \"factor\": 1e300"), CRIA_EFORMAT, "factor");
    refused(SCALING("\"type\": \"cubic\", \"factor\": 4"), CRIA_EUNSUPPORTED,
            "\"cubic\" is not known; it must be linear");
    refused(SCALING("\"type\": 4"), CRIA_EFORMAT, "\"type\" is an integer");
    refused(SCALING("\"type\": \"linear\", \"factor\": 4, \"alpha\": 2"), CRIA_EUNSUPPORTED, "\"alpha\"");
    refused(SCALING("\"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 1"),
            CRIA_EFORMAT, "from 4 to 1 turns");
    refused(SCALING("\"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 0"), CRIA_EFORMAT, "from 0 to 4 turns");
    refused(SCALING("\"type\": \"llama3\", \"factor\": 8, \"original_max_position_embeddings\": 0"), CRIA_EFORMAT,
            "original_max_position_embeddings");
    refused(SCALING("\"type\": \"yarn\", \"factor\": 8, \"beta_fast\": 1, \"beta_slow\": 32"), CRIA_EFORMAT, "turns");
    refused(SCALING("\"type\": \"yarn\", \"factor\": 8, \"truncate\": false"), CRIA_EUNSUPPORTED, "truncate");
    refused("\"rope_theta\": 1, " SCALING("\"type\": \"yarn\", \"factor\": 8"), CRIA_EFORMAT, "yarn needs");
    refused(SCALING("\"type\": \"yarn\", \"factor\": 8, \"attention_factor\": 0"), CRIA_EFORMAT, "amplitude");
    refused(SCALING("\"type\": \"yarn\", \"factor\": 8, \"mscale\": 1, \"mscale_all_dim\": -4.80898346962988"),
            CRIA_EFORMAT, "amplitude");
    refused("\"max_position_embeddings\": null, " SCALING("\"type\": \"yarn\", \"factor\": 8"), CRIA_EFORMAT,
            "original length");
    refused("\"max_position_embeddings\": null, " SCALING("\"type\": \"dynamic\", \"factor\": 8"), CRIA_EFORMAT,
            "original length");
    refused(SCALING("\"type\": \"longrope\""), CRIA_EFORMAT, "\"original_max_position_embeddings\" is missing");
    refused(SCALING("\"type\": \"longrope\", \"original_max_position_embeddings\": 64"), CRIA_EFORMAT,
            "\"short_factor\" is missing");
#define LONG(s, l)                                                                                                     \
    "\"head_dim\": 4, \"original_max_position_embeddings\": 64, " SCALING(                                             \
        "\"type\": \"longrope\", \"short_factor\": " s ", \"long_factor\": " l)
    config_with(LONG("[1, 1]", "[1, 1]"));
    refused(LONG("[1]", "[1, 1]"), CRIA_EFORMAT, "\"short_factor\" must be an array of 2 numbers");
    refused(LONG("[1, 1]", "[1, 1, 1]"), CRIA_EFORMAT, "\"long_factor\" must be an array of 2 numbers");
    refused(LONG("[1, 1]", "{\"a\": 1, \"b\": 1}"), CRIA_EFORMAT, "array of 2");
    refused(LONG("[1, \"1\"]", "[1, 1]"), CRIA_EFORMAT, "array of numbers");
    refused(LONG("[1, 0]", "[1, 1]"), CRIA_EFORMAT, "rope factor 1 is 0");
    refused(LONG("[1, 1]", "[1e-30, 1]"), CRIA_EFORMAT, "rope factor 0 is");
    refused(LONG("[1, 1]", "[-1, 1]"), CRIA_EFORMAT, "rope factor 0 is -1");
    refused(LONG("[1, 1]", "[1e300, 1]"), CRIA_EFORMAT, "rope factor 0 is inf");
    for (int i = 0; i < 4; i++) {
        static const char *const parts[] = {"0", "-1", "1.5", "0.01"};
        char changes[64];
        snprintf(changes, sizeof changes, "\"partial_rotary_factor\": %s", parts[i]);
        refused(changes, CRIA_EFORMAT, i < 3 ? "partial_rotary_factor" : "rotated");
    }
}

/* transformers 5: everything of the rope in one object, or in one for each kind of layer. */
static void rope_parameters(void **unused) {
    (void)unused;
#define P(rest) "\"rope_parameters\": {" rest "}"
    cria_config c = config_with(P("\"rope_type\": \"linear\", \"factor\": 4, \"rope_theta\": 7000"));
    assert_true(c.rope[0].scaling == CRIA_ROPE_LINEAR && c.rope[0].theta == 7000);
    c = config_with(P("\"rope_type\": \"default\", \"rope_theta\": 7000, \"partial_rotary_factor\": 0.5"));
    assert_true(c.rope[0].scaling == CRIA_ROPE_PLAIN && c.rotary == 8);
    c = config_with("\"model_type\": \"gemma3_text\", " P(
        "\"full_attention\": {\"rope_type\": \"linear\", \"factor\": 8, \"rope_theta\": 2e6}, "
        "\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 5000}"));
    assert_true(c.rope[0].scaling == CRIA_ROPE_LINEAR && c.rope[0].theta == 2e6f);
    assert_true(c.rope[1].scaling == CRIA_ROPE_PLAIN && c.rope[1].theta == 5000);
    /* Layers with the window have a rope of their own when the file says so, whatever the family. */
#define WINDOW "\"model_type\": \"mistral\", \"sliding_window\": 8, "
    c = config_with(WINDOW P("\"sliding_attention\": {\"rope_theta\": 5000}, "
                             "\"full_attention\": {\"rope_theta\": 6000}"));
    assert_true(c.rope[0].theta == 6000 && c.rope[1].theta == 5000);
    layers_are(&c, "wr wr wr wr wr wr wr wr");
    refused(WINDOW P("\"sliding_attention\": {\"rope_type\": \"default\"}"), CRIA_EFORMAT,
            "\"rope_theta\" is missing");
    refused(P("\"full_attention\": {}, \"chunked_attention\": {}"), CRIA_EUNSUPPORTED, "chunked_attention");
    refused(P("\"full_attention\": null"), CRIA_EFORMAT, "\"full_attention\" is null");
    refused(P("\"full_attention\": {\"partial_rotary_factor\": 0.5}"), CRIA_EUNSUPPORTED, "partial_rotary_factor");
    refused(P("\"partial_rotary_factor\": \"0.5\""), CRIA_EFORMAT, "\"partial_rotary_factor\" is a string");
    refused(WINDOW "\"rope_local_base_freq\": 0", CRIA_EFORMAT, "rope_theta");
    refused("\"rope_parameters\": 7", CRIA_EFORMAT, "\"rope_parameters\" is an integer");
}

static void windows(void **unused) {
    (void)unused;
#define TYPES                                                                                                          \
    "\"layer_types\": [\"full_attention\", \"sliding_attention\", \"full_attention\", \"full_attention\", "            \
    "\"sliding_attention\", \"sliding_attention\", \"full_attention\", \"full_attention\"]"
    cria_config c = config_with("\"model_type\": \"mistral\", \"sliding_window\": 100");
    layers_are(&c, "w w w w w w w w");
    assert_int_equal(c.window, 100);
    c = config_with("\"model_type\": \"mistral\", \"sliding_window\": null");
    layers_are(&c, ". . . . . . . .");
    c = config_with("\"sliding_window\": 100, " TYPES);
    layers_are(&c, ". w . . w w . .");
    /* The published Llama has no window, whatever the file carries. */
    c = config_with("\"sliding_window\": 100");
    layers_are(&c, ". . . . . . . .");
    c = config_with(TYPES); /* without a length there is no window */
    layers_are(&c, ". . . . . . . .");
    c = config_with("\"model_type\": \"gemma3_text\", \"sliding_window\": 100, " TYPES);
    layers_are(&c, ". wr . . wr wr . .");
    c = config_with("\"model_type\": \"gemma3_text\", \"sliding_window\": null");
    layers_are(&c, ". . . . . . . .");
    c = config_with("\"model_type\": \"gemma3_text\", \"sliding_window_pattern\": 3");
    layers_are(&c, "wr wr . wr wr . wr wr");
    assert_int_equal(c.window, 4096);
    c = config_with("\"model_type\": \"gemma3_text\", \"_sliding_window_pattern\": 2");
    layers_are(&c, "wr . wr . wr . wr .");
    /* Qwen: off unless it is said to be on, and then from a layer on. */
    c = config_with("\"model_type\": \"qwen2\", \"sliding_window\": 100, \"max_window_layers\": 6");
    layers_are(&c, ". . . . . . . .");
    c = config_with("\"model_type\": \"qwen2\", \"sliding_window\": 100, \"max_window_layers\": 6, "
                    "\"use_sliding_window\": true");
    layers_are(&c, ". . . . . . w w");
    c = config_with("\"model_type\": \"qwen2\", \"sliding_window\": 100, \"max_window_layers\": 28, "
                    "\"use_sliding_window\": true");
    layers_are(&c, ". . . . . . . .");
    c = config_with("\"model_type\": \"mistral\", \"sliding_window\": 100, \"use_sliding_window\": false");
    layers_are(&c, ". . . . . . . .");

    refused("\"sliding_window\": 0", CRIA_EFORMAT, "sliding_window");
    refused("\"sliding_window\": -1", CRIA_EFORMAT, "sliding_window");
    refused("\"layer_types\": [\"full_attention\"]", CRIA_EFORMAT, "\"layer_types\" must be an array of 8 names");
    refused("\"layer_types\": {}", CRIA_EFORMAT, "array of 8 names");
    refused("\"layer_types\": [1, 2, 3, 4, 5, 6, 7, 8]", CRIA_EUNSUPPORTED, "something that is no string");
    refused("\"num_hidden_layers\": 1, \"layer_types\": [\"linear_attention\"]", CRIA_EUNSUPPORTED,
            "\"linear_attention\"");
    refused("\"sliding_window_pattern\": 0", CRIA_EFORMAT, "sliding_window_pattern");
    refused("\"max_window_layers\": -1", CRIA_EFORMAT, "max_window_layers");
    refused("\"use_sliding_window\": 1", CRIA_EFORMAT, "use_sliding_window");
}

static void layers_without_rope(void **unused) {
    (void)unused;
#define SMOL "\"model_type\": \"smollm3\", "
    cria_config c = config_with(SMOL "\"no_rope_layer_interval\": 3");
    layers_are(&c, ". . n . . n . .");
    c = config_with(SMOL "\"no_rope_layers\": [0, 1, 1, 1, 1, 1, 1, 0]"); /* 1 is with rope, the name notwithstanding */
    layers_are(&c, "n . . . . . . n");
    refused(SMOL "\"no_rope_layers\": [0, 1]", CRIA_EFORMAT, "\"no_rope_layers\" must be an array of 8 numbers");
    refused(SMOL "\"no_rope_layers\": {\"a\": 1}", CRIA_EFORMAT, "array of 8 numbers");
    refused(SMOL "\"no_rope_layers\": [0, 1, 1, 1, 1, 1, 1, null]", CRIA_EFORMAT, "array of numbers");
    refused(SMOL "\"no_rope_layer_interval\": 0", CRIA_EFORMAT, "no_rope_layer_interval");
}

static void experts(void **unused) {
    (void)unused;
#define QWEN "\"model_type\": \"qwen3_moe\", \"num_experts\": 8, \"num_experts_per_tok\": 3"
    cria_config c = config_with("\"model_type\": \"mixtral\", " EXPERTS);
    assert_true(c.n_experts == 8 && c.n_experts_used == 2 && c.f_expert == 96 && c.experts_normalized);
    c = config_with(QWEN ", \"moe_intermediate_size\": 32");
    assert_true(c.n_experts == 8 && c.n_experts_used == 3 && c.f_expert == 32 && c.f == 96 && !c.experts_normalized);
    c = config_with(QWEN ", \"norm_topk_prob\": true, \"decoder_sparse_step\": 2, \"mlp_only_layers\": [0, 3, 99, -1]");
    assert_true(c.experts_normalized);
    layers_are(&c, ". x . . . x . x");

    refused("\"model_type\": \"mixtral\"", CRIA_EFORMAT, "\"num_experts\" is missing");
    refused("\"model_type\": \"mixtral\", \"num_local_experts\": 0", CRIA_EFORMAT, "\"num_experts\" is missing");
    refused("\"model_type\": \"mixtral\", \"num_local_experts\": 8", CRIA_EFORMAT,
            "\"num_experts_per_tok\" is missing");
    refused("\"model_type\": \"mixtral\", \"num_local_experts\": 8, \"num_experts_per_tok\": 9", CRIA_EFORMAT,
            "experts per token is 9, but must be between 1 and 8");
    refused("\"model_type\": \"mixtral\", \"num_local_experts\": 1025, \"num_experts_per_tok\": 2", CRIA_EFORMAT,
            "num_local_experts");
    refused("\"model_type\": \"mixtral\", \"num_local_experts\": 100, \"num_experts_per_tok\": 65", CRIA_EFORMAT,
            "num_experts_per_tok");
    refused(QWEN ", \"decoder_sparse_step\": 0", CRIA_EFORMAT, "decoder_sparse_step");
    refused(QWEN ", \"moe_intermediate_size\": 0", CRIA_EFORMAT, "moe_intermediate_size");
    refused(QWEN ", \"mlp_only_layers\": [\"0\"]", CRIA_EFORMAT, "mlp_only_layers");
    refused(QWEN ", \"mlp_only_layers\": {\"a\": 1}", CRIA_EFORMAT,
            "\"mlp_only_layers\" is an object");                                                   /* once a crash */
    refused(QWEN ", \"mlp_only_layers\": \"0\"", CRIA_EFORMAT, "\"mlp_only_layers\" is a string"); /* once ignored */
}

static void scales(void **unused) {
    (void)unused;
#define GEMMA "\"model_type\": \"gemma2\", "
    cria_config c = config_with(GEMMA "\"query_pre_attn_scalar\": 64");
    assert_true(c.attention_scale == 0.125f);
    c = config_with(GEMMA "\"attn_logit_softcapping\": null, \"final_logit_softcapping\": 20");
    assert_true(c.score_cap == 0 && c.logit_cap == 20);
    c = config_with("\"model_type\": \"granite\", \"embedding_multiplier\": 12, \"residual_multiplier\": 0.22, "
                    "\"attention_multiplier\": 0.015625, \"logits_scaling\": 8");
    assert_true(c.embedding_scale == 12 && c.residual_scale == 0.22f && c.attention_scale == 0.015625f);
    assert_true(c.logit_scale == 0.125f);
    refused(GEMMA "\"query_pre_attn_scalar\": 0", CRIA_EFORMAT, "attention's scores");
    refused(GEMMA "\"query_pre_attn_scalar\": -1", CRIA_EFORMAT, "attention's scores");
    refused(GEMMA "\"attn_logit_softcapping\": -1", CRIA_EFORMAT, "the cap of attention's scores");
    refused(GEMMA "\"final_logit_softcapping\": 1e300", CRIA_EFORMAT, "the cap of the logits");
    refused("\"model_type\": \"granite\", \"logits_scaling\": 0", CRIA_EFORMAT, "the factor of the logits");
    refused("\"model_type\": \"granite\", \"embedding_multiplier\": 0", CRIA_EFORMAT, "the factor of the embeddings");
    refused("\"model_type\": \"granite\", \"residual_multiplier\": -1", CRIA_EFORMAT, "the factor of the residuals");
}

static bool tied(const char *changes, bool output) {
    cria_config c = {0};
    cria_error err;
    if (read_changed(changes, output, &c, &err) != CRIA_OK) fail_msg("%s: %s", changes, err.msg);
    return c.tied;
}

static void tied_embeddings(void **unused) {
    (void)unused;
    assert_true(tied("", false)); /* what the file has, when it does not say */
    assert_false(tied("", true));
    assert_true(tied("\"tie_word_embeddings\": true", true));
    assert_false(tied("\"tie_word_embeddings\": false", false)); /* binding then misses the tensor */
    /* Gemma's files say nothing of it or the contrary; what is there counts. */
    assert_false(tied("\"model_type\": \"gemma2\", \"tie_word_embeddings\": true", true));
    assert_true(tied("\"model_type\": \"gemma2\", \"tie_word_embeddings\": true", false));
    refused("\"tie_word_embeddings\": 1", CRIA_EFORMAT, "tie_word_embeddings");
}

#define Q(rest) "\"quantization\": {\"group_size\": 64, \"bits\": 4" rest "}"

static void quantization(void **unused) {
    (void)unused;
    cria_config c = config_with("");
    assert_false(c.quantization.present);
    c = config_with(Q(""));
    assert_true(c.quantization.present && c.quantization.group == 64 && c.quantization.bits == 4);
    assert_true(!c.quantization.exceptions && strcmp(c.quantization.mode, "affine") == 0);
    c = config_with("\"quantization\": {\"mode\": \"mxfp8\"}, \"quantization_config\": {\"mode\": \"mxfp8\"}");
    assert_true(c.quantization.group == 32 && c.quantization.bits == 8);
    c = config_with("\"quantization_config\": {\"group_size\": 32, \"bits\": 8}");
    assert_true(c.quantization.present && c.quantization.bits == 8);
    c = config_with(Q(", \"a\": {\"group_size\": 32, \"bits\": 4}, \"plain\": false"));
    assert_true(c.quantization.exceptions);
    config_with(Q(", \"a\": true"));

    refused("\"quantization\": 4", CRIA_EFORMAT, "\"quantization\" is an integer");
    refused("\"quantization\": {\"bits\": 0}", CRIA_EFORMAT, "bits");
    refused("\"quantization\": {\"mode\": \"int4\"}", CRIA_EUNSUPPORTED, "\"int4\" is not known");
    refused("\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}", CRIA_EUNSUPPORTED, "\"gptq\"");
    refused(Q(", \"b\": {\"group_size\": 32, \"bits\": 4}"), CRIA_EUNSUPPORTED,
            "\"b\" that is neither known nor the name");
    refused(Q(", \"a\": {\"group_size\": 64, \"bits\": 4}"), CRIA_EFORMAT, "something else of a than");
    refused(Q(", \"a\": {\"group_size\": 32, \"bits\": 8}"), CRIA_EFORMAT, "something else of a than");
    refused(Q(", \"a\": {\"group_size\": 16777216, \"bits\": 16777216}"), CRIA_EFORMAT, "something else of a than");
    refused(Q(", \"a\": false"), CRIA_EFORMAT, "something else of a than");
    refused(Q(", \"plain\": true"), CRIA_EFORMAT, "something else of plain than"); /* once believed */
    refused(Q(", \"plain\": {\"bits\": 4}"), CRIA_EFORMAT, "something else of plain than");
    refused(Q(", \"a\": 4"), CRIA_EFORMAT, "must be an object, true or false");
    refused(Q(", \"a\": null"), CRIA_EFORMAT, "must be an object, true or false");
}

static cria_status read_text_config(const char *inner, const char *outer, cria_config *c, cria_error *err) {
    char text[8192], whole[9000];
    json_with(text, sizeof text, base, N_ITEMS(base), inner);
    snprintf(whole, sizeof whole, "{\"model_type\": \"gemma3\", \"text_config\": %s%s}", text, outer);
    return read_with(whole, strlen(whole), "language_model.", false, c, err);
}

static void a_model_that_also_sees(void **unused) {
    (void)unused;
    cria_config c = {0};
    cria_error err;
    if (read_text_config("\"model_type\": \"gemma3_text\", \"vocab_size\": null", ", " Q(""), &c, &err))
        fail_msg("%s", err.msg);
    assert_string_equal(c.prefix, "language_model.");
    assert_true(c.V == 40 && c.tied && c.quantization.present && strcmp(c.family, "gemma3") == 0);
    assert_int_equal(read_text_config("\"text_config\": {}", "", &c, &err), CRIA_EUNSUPPORTED); /* only one deep */
    assert_non_null(strstr(err.msg, "text_config"));
    refused("\"text_config\": 7", CRIA_EFORMAT, "\"text_config\" is an integer");
    refused("\"text_config\": {}", CRIA_EFORMAT, "\"model_type\" is missing");
}

/* Fields that change nothing are walked once, not once for each of them (which took minutes). */
static void many_fields(void **unused) {
    (void)unused;
    enum { N = 100000 };
    char *text = malloc(N * 16 + 1000);
    char small[2048];
    json_with(small, sizeof small, base, N_ITEMS(base), "");
    size_t at = (size_t)sprintf(text, "%s", small) - 1;
    for (int i = 0; i < N; i++) at += (size_t)sprintf(text + at, ",\"_%d\":0", i);
    at += (size_t)sprintf(text + at, "}");
    cria_config c = {0};
    cria_error err;
    if (read_with(text, at, "", true, &c, &err)) fail_msg("%s", err.msg);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_family_with_the_least),
                                       cmocka_unit_test(sizes),
                                       cmocka_unit_test(unknown_fields_and_types),
                                       cmocka_unit_test(scaled_ropes),
                                       cmocka_unit_test(broken_ropes),
                                       cmocka_unit_test(rope_parameters),
                                       cmocka_unit_test(windows),
                                       cmocka_unit_test(layers_without_rope),
                                       cmocka_unit_test(experts),
                                       cmocka_unit_test(scales),
                                       cmocka_unit_test(tied_embeddings),
                                       cmocka_unit_test(quantization),
                                       cmocka_unit_test(a_model_that_also_sees),
                                       cmocka_unit_test(many_fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
