/* SPDX-License-Identifier: Apache-2.0 */
/* Hyperparameters from GGUF metadata: every architecture with the least that it needs, what single keys and tensors
 * change, and what is said of those that are broken or not understood. Files here are metadata and a few small tensors;
 * tests/oracle/test_families.py has whole ones. */
#include "model_unit.h"
#include "model/config.h"
#include <math.h>

/* "key=value" after the architecture's name, separated by spaces: u 32-bit, f float, s string, i signed. */
struct given {
    const char *arch, *keys, *tensors; /* tensors: "name:count" vectors of float32, besides token_embd */
};

static const char least[] = "embedding_length=u64 block_count=u8 feed_forward_length=u96 context_length=u512 "
                            "attention.head_count=u4 attention.head_count_kv=u2 "
                            "attention.layer_norm_rms_epsilon=f1e-5 ";

static bool has_key(const char *keys, const char *key) {
    const size_t len = strlen(key);
    for (const char *at = keys; (at = strstr(at, key)) != NULL; at++)
        if ((at == keys || at[-1] == ' ') && at[len] == '=') return true;
    return false;
}

static size_t put_keys(struct out *o, const char *arch, const char *keys, const char *without) {
    size_t n = 0;
    char word[160], name[200], key[100], value[60];
    for (int used; sscanf(keys, "%159s%n", word, &used) == 1; keys += used) {
        if (sscanf(word, "%99[^=]=%59s", key, value) != 2) fail_msg("no key: %s", word);
        if (without && has_key(without, key)) continue;
        n++;
        if (o == NULL) continue;
        snprintf(name, sizeof name, "%s.%s", arch, key);
        const float f = strtof(value + 1, NULL);
        uint32_t bits;
        memcpy(&bits, &f, 4);
        switch (value[0]) {
        case 'u':
            gguf_key(o, name, 4);
            put_uint(o, strtoull(value + 1, NULL, 10), 4);
            break;
        case 'i':
            gguf_key(o, name, 5);
            put_uint(o, (uint64_t)strtoll(value + 1, NULL, 10), 4);
            break;
        case 'f':
            gguf_key(o, name, 6);
            put_uint(o, bits, 4);
            break;
        default:
            gguf_key(o, name, 8);
            gguf_string(o, value + 1);
        }
    }
    return n;
}

static struct out file_of(const struct given *g) {
    struct out o = {NULL, 0, 0};
    size_t n_tensors = 0;
    char word[100], name[80];
    unsigned count;
    int used;
    for (const char *t = g->tensors; sscanf(t, "%99s%n", word, &used) == 1; t += used) n_tensors++;
    const bool embedded = strstr(g->tensors, "token_embd") == NULL;
    gguf_begin(&o, 3, n_tensors + embedded,
               1 + put_keys(NULL, g->arch, least, g->keys) + put_keys(NULL, g->arch, g->keys, NULL));
    gguf_key(&o, "general.architecture", 8);
    gguf_string(&o, g->arch);
    put_keys(&o, g->arch, least, g->keys);
    put_keys(&o, g->arch, g->keys, NULL);
    uint64_t offset = 0;
    if (embedded) {
        gguf_tensor(&o, "token_embd.weight", 2, 40, 0, 0);
        offset = 320;
    }
    for (const char *t = g->tensors; sscanf(t, "%99s%n", word, &used) == 1; t += used) {
        assert_int_equal(sscanf(word, "%79[^:]:%u", name, &count), 2);
        gguf_string(&o, name);
        put_uint(&o, 1, 4);
        put_uint(&o, count, 8);
        put_uint(&o, 0, 4);
        put_uint(&o, offset, 8);
        offset += (4 * (uint64_t)count + 31) / 32 * 32;
    }
    gguf_pad(&o, 32);
    for (uint64_t i = 0; i < offset / 4; i++) put_uint(&o, 0x3f800000 + ((uint32_t)i % 8 << 20), 4); /* 1, 1.125 … */
    return o;
}

static cria_status read_given(const struct given *g, cria_config *c, cria_error *err) {
    struct out o = file_of(g);
    struct opened x;
    open_bytes(&x, o.p, o.len, -1);
    if (x.status) fail_msg("%s: %s", g->keys, x.err.msg);
    const cria_config before = *c;
    const cria_status st = cria_config_from_gguf(x.c, c, err);
    if (st) assert_memory_equal(&before, c, sizeof before);
    shut(&x);
    out_free(&o);
    return st;
}

static cria_config config_of(const char *arch, const char *keys, const char *tensors) {
    cria_config c = {0};
    cria_error err;
    if (read_given(&(struct given){arch, keys, tensors}, &c, &err)) fail_msg("%s %s: %s", arch, keys, err.msg);
    return c;
}

#define refused(arch, keys, tensors, want, text) refused_at(&(struct given){arch, keys, tensors}, want, text, __LINE__)
static void refused_at(const struct given *g, cria_status want, const char *text, int line) {
    cria_config c = {0};
    cria_error err = {.msg = ""};
    const cria_status st = read_given(g, &c, &err);
    if (st != want || strstr(err.msg, text) == NULL)
        fail_msg("line %d, %s: status %d, \"%s\"; wanted \"%s\"", line, g->keys, st, err.msg, text);
}

static void every_architecture_with_the_least(void **unused) {
    (void)unused;
    static const struct {
        const char *arch, *family;
        bool pairs, gelu, post_norm;
        enum cria_qk_norm qk_norm;
    } table[] = {{"llama", "llama", true, false, false, 0},
                 {"smollm3", "smollm3", true, false, false, 0},
                 {"qwen2", "qwen2", false, false, false, 0},
                 {"qwen3", "qwen3", false, false, false, CRIA_QK_NORM_HEAD},
                 {"qwen3moe", "qwen3_moe", false, false, false, CRIA_QK_NORM_HEAD},
                 {"phi3", "phi3", false, false, false, 0},
                 {"granite", "granite", true, false, false, 0},
                 {"olmo2", "olmo2", false, false, true, CRIA_QK_NORM_ALL},
                 {"gemma2", "gemma2", false, true, true, 0},
                 {"gemma3", "gemma3", false, true, true, CRIA_QK_NORM_HEAD}};
    for (size_t i = 0; i < N_ITEMS(table); i++) {
        const cria_config c = config_of(table[i].arch, "", "");
        assert_string_equal(c.family, table[i].family);
        assert_true(c.rope_traditional == table[i].pairs && c.gelu == table[i].gelu);
        assert_true(c.post_norm == table[i].post_norm && c.qk_norm == table[i].qk_norm);
        assert_true(c.norm_offset == 0); /* added by the converter, in files of all families */
        assert_true(c.d == 64 && c.n_layers == 8 && c.f == 96 && c.h == 4 && c.hk == 2 && c.e == 16 && c.V == 40);
        assert_true(c.rotary == 16 && c.context == 512 && c.tied && c.naming == CRIA_NAMING_GGUF);
        assert_true(c.n_experts == 0 && c.attention_scale == 0.25f && c.rope[0].scaling == CRIA_ROPE_PLAIN);
        for (uint32_t l = 0; l < 8; l++) /* no length of a window, no window */
            assert_int_equal(c.layer[l], l % 4 == 3 && strcmp(c.family, "smollm3") == 0 ? CRIA_LAYER_NO_ROPE : 0);
    }
}

static void what_tensors_say(void **unused) {
    (void)unused;
    assert_false(config_of("llama", "", "output.weight:4").tied);
    assert_true(config_of("qwen2", "", "blk.0.attn_q.bias:4").qkv_bias);
    assert_true(config_of("phi3", "", "blk.0.attn_qkv.bias:4").qkv_bias);
    assert_true(config_of("llama", "", "blk.0.attn_output.bias:4").o_bias);
    assert_true(config_of("llama", "", "blk.0.ffn_up.bias:4").ffn_bias);
    cria_config c = config_of("llama", "", "rope_freqs.weight:8");
    assert_true(c.rope[0].scaling == CRIA_ROPE_FACTORS && c.rope[0].long_factors[0] == 1);
    assert_true(c.rope[0].short_factors[7] == 1.875f && c.rope[0].long_factors[7] == 1.875f);
    c = config_of("phi3", "rope.scaling.attn_factor=f1.19 rope.scaling.original_context_length=u64",
                  "rope_factors_long.weight:8 rope_factors_short.weight:8");
    assert_true(c.rope[0].scaling == CRIA_ROPE_FACTORS && c.rope[0].original == 64);
    assert_true(c.rope[0].amplitude == (double)1.19f);

    refused("llama", "", "rope_freqs.weight:7", CRIA_EFORMAT, "rope_freqs.weight must be a float32 vector of 8");
    refused("llama", "", "rope_freqs.weight:4096", CRIA_EFORMAT, "vector of 8");
    refused("llama", "rope.dimension_count=u4096", "rope_freqs.weight:2048", CRIA_EFORMAT, "vector of 2048");
    refused("phi3", "", "rope_factors_long.weight:8", CRIA_EFORMAT, "no rope_factors_short.weight");
    refused("phi3", "", "rope_factors_long.weight:8 rope_factors_short.weight:9", CRIA_EFORMAT, "vector of 8");
    refused("phi3", "rope.scaling.type=slongrope", "", CRIA_EFORMAT, "rope_factors_long.weight"); /* once left out */
    refused("llama", "", "token_embd.weight:80", CRIA_EFORMAT, "no matrix token_embd.weight");
    refused("llama", "", "token_embd.other:80", CRIA_EFORMAT, "no matrix token_embd.weight");
}

static void ropes(void **unused) {
    (void)unused;
    cria_config c = config_of("qwen2", "rope.freq_base=f500000 rope.scaling.type=slinear rope.scaling.factor=f4", "");
    assert_true(c.rope[0].theta == 500000 && c.rope[0].scaling == CRIA_ROPE_LINEAR && c.rope[0].factor == 4);
    c = config_of("llama", "rope.scaling.type=syarn rope.scaling.factor=f4 rope.scaling.original_context_length=u128",
                  "");
    assert_true(c.rope[0].scaling == CRIA_ROPE_YARN && c.rope[0].original == 128 && c.rope[0].low == 1);
    assert_true(c.rope[0].high == 32 && fabs(c.rope[0].amplitude - (0.1 * log(4) + 1)) < 1e-12);
    c = config_of("llama", "rope.scaling.type=snone rope.scaling.factor=f4", "");
    assert_true(c.rope[0].scaling == CRIA_ROPE_PLAIN);
    c = config_of("phi3", "rope.dimension_count=u12", "");
    assert_true(c.rotary == 12 && c.e == 16);

    refused("llama", "rope.freq_base=f0", "", CRIA_EFORMAT, "rope_theta");
    refused("llama", "rope.freq_base=fnan", "", CRIA_EFORMAT, "rope_theta");
    refused("llama", "rope.freq_base=sx", "", CRIA_EFORMAT, "is not a number");
    refused("llama", "rope.scaling.type=slinear rope.scaling.factor=f0", "", CRIA_EFORMAT, "factor");
    refused("llama", "rope.scaling.type=slinear rope.scaling.factor=fnan", "", CRIA_EFORMAT, "factor");
    refused("llama", "rope.scaling.type=syarn rope.scaling.factor=finf", "", CRIA_EFORMAT, "factor");
    refused("llama", "rope.scaling.type=scubic", "", CRIA_EUNSUPPORTED, "\"cubic\"; none, linear");
    refused("llama", "rope.scaling.type=u4", "", CRIA_EFORMAT, "is not a string");
    refused("llama", "rope.scaling.original_context_length=u0", "", CRIA_EFORMAT, "original_context_length is 0");
    refused("llama", "rope.dimension_count=u12", "", CRIA_EUNSUPPORTED, "neighbouring pairs");
    refused("phi3", "rope.dimension_count=u7", "", CRIA_EFORMAT, "even");
    refused("phi3", "rope.dimension_count=u18", "", CRIA_EFORMAT, "rotated");
    refused("phi3", "rope.dimension_count=u4294967295", "", CRIA_EFORMAT, "rotated");
}

static void windows(void **unused) {
    (void)unused;
    cria_config c = config_of("gemma2", "attention.sliding_window=u100", "");
    for (uint32_t l = 0; l < 8; l++) assert_int_equal(c.layer[l], l % 2 ? 0 : CRIA_LAYER_WINDOW);
    c = config_of("gemma3", "attention.sliding_window=u100 rope.freq_base_swa=f7000", "");
    for (uint32_t l = 0; l < 8; l++)
        assert_int_equal(c.layer[l], l % 6 == 5 ? 0 : CRIA_LAYER_WINDOW | CRIA_LAYER_LOCAL_ROPE);
    assert_true(c.window == 100 && c.rope[1].theta == 7000);
    refused("gemma3", "attention.sliding_window=u0", "", CRIA_EFORMAT, "sliding_window is 0");
    refused("gemma3", "attention.sliding_window=u4294967295", "", CRIA_EFORMAT, "sliding_window");
    refused("gemma3", "attention.sliding_window=u9 rope.freq_base_swa=f-1", "", CRIA_EFORMAT, "rope base");
}

static void experts(void **unused) {
    (void)unused;
    cria_config c = config_of("llama", "expert_count=u8 expert_used_count=u2",
                              "blk.0.ffn_gate_inp.weight:4 blk.7.ffn_gate_inp.weight:4");
    assert_true(c.n_experts == 8 && c.n_experts_used == 2 && c.f_expert == 96 && c.experts_normalized);
    for (uint32_t l = 0; l < 8; l++) assert_int_equal(c.layer[l], l == 0 || l == 7 ? CRIA_LAYER_EXPERTS : 0);
    c = config_of("qwen3moe", "expert_count=u8 expert_used_count=u2 expert_feed_forward_length=u32", "");
    assert_int_equal(c.f_expert, 32);
    assert_int_equal(config_of("qwen2", "expert_count=u0", "").n_experts, 0);
#define ROUTED "blk.0.ffn_gate_inp.weight:4"
    refused("llama", "expert_count=u1025 expert_used_count=u2", ROUTED, CRIA_EFORMAT, "expert_count is 1025");
    refused("llama", "expert_count=u4294967295 expert_used_count=u2", ROUTED, CRIA_EFORMAT, "expert_count");
    refused("llama", "expert_count=i-1 expert_used_count=u2", ROUTED, CRIA_EFORMAT,
            "expert_count is not a whole number");
    refused("llama", "expert_count=u8", ROUTED, CRIA_EFORMAT, "expert_used_count is missing");
    refused("llama", "expert_count=u8 expert_used_count=u0", ROUTED, CRIA_EFORMAT, "expert_used_count is 0");
    refused("llama", "expert_count=u8 expert_used_count=u9", ROUTED, CRIA_EFORMAT, "experts per token is 9");
    refused("llama", "expert_count=u100 expert_used_count=u65", ROUTED, CRIA_EFORMAT, "expert_used_count is 65");
    refused("qwen2", "expert_count=u8 expert_used_count=u2", ROUTED, CRIA_EUNSUPPORTED, "qwen2.expert_count");
    refused("qwen3moe", "expert_count=u8 expert_used_count=u2 expert_shared_count=u1", ROUTED, CRIA_EUNSUPPORTED,
            "expert_shared_count");
    refused("qwen3moe", "expert_count=u8 expert_used_count=u2 expert_feed_forward_length=u0", ROUTED, CRIA_EFORMAT,
            "expert_feed_forward_length");
}

static void scales(void **unused) {
    (void)unused;
    cria_config c = config_of("gemma2", "attn_logit_softcapping=f20 final_logit_softcapping=f10", "");
    assert_true(c.score_cap == 20 && c.logit_cap == 10);
    c = config_of("gemma2", "", "");
    assert_true(c.score_cap == 50 && c.logit_cap == 30 && c.embedding_scale == 8);
    c = config_of("gemma2", "block_count=u46 attention.key_length=u128", ""); /* 27B: √(d/h), not √e */
    assert_true(c.attention_scale == 0.25f);
    c = config_of("gemma3", "block_count=u62 attention.key_length=u128", "");
    assert_true(c.attention_scale == 0.25f);
    c = config_of("granite", "embedding_scale=f12 residual_scale=f0.5 attention.scale=f0.125 logit_scale=f4", "");
    assert_true(c.embedding_scale == 12 && c.residual_scale == 0.5f && c.attention_scale == 0.125f);
    assert_true(c.logit_scale == 0.25f);
    refused("llama", "logit_scale=f4", "", CRIA_EUNSUPPORTED, "llama.logit_scale");
    refused("granite", "logit_scale=f0", "", CRIA_EFORMAT, "the factor of the logits");
    refused("granite", "attention.scale=fnan", "", CRIA_EFORMAT, "the factor of attention's scores");
    refused("gemma2", "attn_logit_softcapping=f-50", "", CRIA_EFORMAT, "the cap of attention's scores");
}

static void sizes(void **unused) {
    (void)unused;
    assert_int_equal(config_of("llama", "attention.key_length=u32 attention.value_length=u32", "").e, 32);
    refused("llama", "attention.key_length=u32 attention.value_length=u16", "", CRIA_EUNSUPPORTED,
            "value_length is 16");
    refused("llama", "embedding_length=u66", "", CRIA_EFORMAT, "no multiple of the head count");
    refused("llama", "attention.head_count_kv=u3", "", CRIA_EFORMAT, "multiple");
    refused("llama", "block_count=u1025", "", CRIA_EFORMAT, "block_count is 1025");
    refused("llama", "block_count=u4294967295", "", CRIA_EFORMAT, "block_count");
    refused("llama", "attention.head_count=u0", "", CRIA_EFORMAT, "head_count is 0");
    refused("llama", "attention.clamp_kqv=f8", "", CRIA_EUNSUPPORTED, "attention.clamp_kqv changes what");
    refused("mamba", "", "", CRIA_EUNSUPPORTED,
            "the architecture is \"mamba\"; this version runs llama, smollm3, qwen2");
    refused("mistral3", "", "", CRIA_EUNSUPPORTED, "\"mistral3\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_architecture_with_the_least),
                                       cmocka_unit_test(what_tensors_say),
                                       cmocka_unit_test(ropes),
                                       cmocka_unit_test(windows),
                                       cmocka_unit_test(experts),
                                       cmocka_unit_test(scales),
                                       cmocka_unit_test(sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
