/* SPDX-License-Identifier: Apache-2.0 */
/* Names of tensors in each naming, of single families, of experts and behind a prefix; and which tensors of a file are
 * no weights. The expected ones are as mlx-lm's, transformers' and llama.cpp's files have them. */
#include "unit.h"
#include "model/families.h"
#include "model/names.h"

static cria_config named(enum cria_naming naming, const char *family) {
    cria_config c = cria_config_plain();
    c.naming = naming;
    c.family = family;
    return c;
}

static void is(const cria_config *c, enum cria_slot slot, uint32_t layer, uint32_t expert, const char *want) {
    char got[CRIA_NAME_MAX] = "untouched";
    const bool there = cria_slot_name(c, slot, layer, expert, got);
    if (there != (want != NULL) || strcmp(got, want ? want : "untouched") != 0)
        fail_msg("slot %d: \"%s\", not \"%s\"", (int)slot, got, want ? want : "none");
}

static void the_example(void **unused) {
    (void)unused;
    const cria_config c = named(CRIA_NAMING_META, "llama");
    is(&c, CRIA_SLOT_TOK_EMBEDDINGS, 0, 0, "tok_embeddings");
    is(&c, CRIA_SLOT_NORM, 0, 0, "norm");
    is(&c, CRIA_SLOT_OUTPUT, 0, 0, "output");
    is(&c, CRIA_SLOT_ATTENTION_NORM, 3, 0, "layers.3.attention_norm");
    is(&c, CRIA_SLOT_WQ, 31, 0, "layers.31.attention.wq");
    is(&c, CRIA_SLOT_WO, 0, 0, "layers.0.attention.wo");
    is(&c, CRIA_SLOT_FFN_NORM, 3, 0, "layers.3.ffn_norm");
    is(&c, CRIA_SLOT_W2, 3, 0, "layers.3.feed_forward.w2");
    is(&c, CRIA_SLOT_WQKV, 3, 0, NULL);
    is(&c, CRIA_SLOT_ROUTER, 3, 0, NULL);
    is(&c, CRIA_SLOT_EXPERT_W1, 3, 4, NULL);
}

static void hugging_face(void **unused) {
    (void)unused;
    cria_config c = named(CRIA_NAMING_HF, "llama");
    is(&c, CRIA_SLOT_TOK_EMBEDDINGS, 0, 0, "model.embed_tokens");
    is(&c, CRIA_SLOT_NORM, 0, 0, "model.norm");
    is(&c, CRIA_SLOT_OUTPUT, 0, 0, "lm_head");
    is(&c, CRIA_SLOT_ATTENTION_NORM, 12, 0, "model.layers.12.input_layernorm");
    is(&c, CRIA_SLOT_WQ, 12, 0, "model.layers.12.self_attn.q_proj");
    is(&c, CRIA_SLOT_WQKV, 12, 0, "model.layers.12.self_attn.qkv_proj");
    is(&c, CRIA_SLOT_Q_NORM, 12, 0, "model.layers.12.self_attn.q_norm");
    is(&c, CRIA_SLOT_FFN_NORM, 12, 0, "model.layers.12.post_attention_layernorm");
    is(&c, CRIA_SLOT_W13, 12, 0, "model.layers.12.mlp.gate_up_proj");
    c = named(CRIA_NAMING_HF, "gemma2");
    is(&c, CRIA_SLOT_FFN_NORM, 1, 0, "model.layers.1.pre_feedforward_layernorm");
    is(&c, CRIA_SLOT_POST_ATTENTION_NORM, 1, 0, "model.layers.1.post_attention_layernorm");
    is(&c, CRIA_SLOT_POST_FFN_NORM, 1, 0, "model.layers.1.post_feedforward_layernorm");
    c = named(CRIA_NAMING_HF, "olmo2");
    is(&c, CRIA_SLOT_POST_ATTENTION_NORM, 1, 0, "model.layers.1.post_attention_layernorm");
    is(&c, CRIA_SLOT_POST_FFN_NORM, 1, 0, "model.layers.1.post_feedforward_layernorm");
    c = named(CRIA_NAMING_HF, "mixtral");
    is(&c, CRIA_SLOT_ROUTER, 2, 9, "model.layers.2.block_sparse_moe.gate");
    is(&c, CRIA_SLOT_EXPERT_W1, 2, 7, "model.layers.2.block_sparse_moe.experts.7.w1");
    is(&c, CRIA_SLOT_EXPERT_W3, 2, 7, "model.layers.2.block_sparse_moe.experts.7.w3");
    is(&c, CRIA_SLOT_EXPERTS_W2, 2, 7, "model.layers.2.block_sparse_moe.switch_mlp.down_proj");
    c = named(CRIA_NAMING_HF, "qwen3_moe");
    is(&c, CRIA_SLOT_ROUTER, 2, 0, "model.layers.2.mlp.gate");
    is(&c, CRIA_SLOT_EXPERT_W2, 2, 127, "model.layers.2.mlp.experts.127.down_proj");
    is(&c, CRIA_SLOT_EXPERTS_W3, 2, 0, "model.layers.2.mlp.switch_mlp.up_proj");
    c.prefix = "language_model.";
    is(&c, CRIA_SLOT_OUTPUT, 0, 0, "language_model.lm_head");
    is(&c, CRIA_SLOT_EXPERT_W2, 1023, 1023, "language_model.model.layers.1023.mlp.experts.1023.down_proj");
}

static void gguf(void **unused) {
    (void)unused;
    const cria_config c = named(CRIA_NAMING_GGUF, "mixtral"); /* families have no names of their own here */
    is(&c, CRIA_SLOT_TOK_EMBEDDINGS, 0, 0, "token_embd");
    is(&c, CRIA_SLOT_NORM, 0, 0, "output_norm");
    is(&c, CRIA_SLOT_WQKV, 5, 0, "blk.5.attn_qkv");
    is(&c, CRIA_SLOT_K_NORM, 5, 0, "blk.5.attn_k_norm");
    is(&c, CRIA_SLOT_POST_ATTENTION_NORM, 5, 0, "blk.5.post_attention_norm");
    is(&c, CRIA_SLOT_POST_FFN_NORM, 5, 0, "blk.5.post_ffw_norm");
    is(&c, CRIA_SLOT_FFN_NORM, 5, 0, "blk.5.ffn_norm");
    is(&c, CRIA_SLOT_ROUTER, 5, 0, "blk.5.ffn_gate_inp");
    is(&c, CRIA_SLOT_EXPERTS_W1, 5, 0, "blk.5.ffn_gate_exps");
    is(&c, CRIA_SLOT_EXPERT_W2, 5, 6, "blk.5.ffn_down.6");
}

/* The longest names with the largest numbers fit. */
static void every_name_has_room(void **unused) {
    (void)unused;
    static const char *const families[] = {"llama", "gemma3", "mixtral", "qwen3_moe"};
    for (int naming = 0; naming < 3; naming++)
        for (size_t i = 0; i < N_ITEMS(families); i++)
            for (int slot = 0; slot < CRIA_SLOT_COUNT; slot++) {
                cria_config c = named((enum cria_naming)naming, families[i]);
                char name[CRIA_NAME_MAX];
                c.prefix = "language_model.";
                if (cria_slot_name(&c, (enum cria_slot)slot, UINT32_MAX, UINT32_MAX, name))
                    assert_true(strlen(name) + strlen(".weight") < CRIA_NAME_MAX);
            }
}

static void tensors_that_are_no_weights(void **unused) {
    (void)unused;
    cria_config c = named(CRIA_NAMING_HF, "llama");
    assert_true(cria_name_is_derived(&c, "model.layers.0.self_attn.rotary_emb.inv_freq"));
    assert_true(cria_name_is_derived(&c, "rope.freqs"));
    assert_false(cria_name_is_derived(&c, "lm_head.weight"));
    assert_false(cria_name_is_derived(&c, "model.layers.0.self_attn.q_proj.bias"));
    assert_false(cria_name_is_derived(&c, "inv_freq"));
    assert_false(cria_name_is_derived(&c, "rope_freqs.weight"));
    c.tied = true;
    assert_true(cria_name_is_derived(&c, "lm_head.weight"));
    c.prefix = "language_model.";
    assert_true(cria_name_is_derived(&c, "vision_tower.patch_embedding.weight"));
    assert_true(cria_name_is_derived(&c, "language_model.lm_head.weight"));
    assert_false(cria_name_is_derived(&c, "language_model.model.layers.0.extra.weight"));
    c = named(CRIA_NAMING_GGUF, "llama");
    assert_true(cria_name_is_derived(&c, "rope_freqs.weight") && cria_name_is_derived(&c, "rope_factors_long.weight"));
    assert_false(cria_name_is_derived(&c, "blk.0.attn_rot_embd.weight") || cria_name_is_derived(&c, "output.weight"));
    c = named(CRIA_NAMING_META, "llama");
    c.tied = true;
    assert_true(cria_name_is_derived(&c, "rope.freqs"));
    assert_false(cria_name_is_derived(&c, "lm_head.weight"));
}

/* ---- families ---- */

static void families_are_found_by_their_whole_name(void **unused) {
    (void)unused;
    assert_string_equal(cria_family_of_hf("gemma3_text", 11)->name, "gemma3");
    assert_string_equal(cria_family_of_gguf("qwen3moe", 8)->name, "qwen3_moe");
    assert_null(cria_family_of_hf("llama4", 6));
    assert_null(cria_family_of_hf("llam", 4));
    assert_null(cria_family_of_hf("", 0));
    assert_null(cria_family_of_hf("Llama", 5));
    assert_null(cria_family_of_gguf("mistral", 7)); /* there it is "llama" */
    assert_null(cria_family_of_gguf("qwen3_moe", 9));
    assert_string_equal(cria_family_of_hf("llama and more", 5)->name, "llama"); /* not NUL-terminated */
}

static void the_list_is_cut_to_its_room(void **unused) {
    (void)unused;
    char list[256], cut[9];
    cria_family_list(false, list, sizeof list);
    assert_non_null(strstr(list, "llama, mistral, mixtral"));
    assert_non_null(strstr(list, "gemma3_text"));
    cria_family_list(true, list, sizeof list);
    assert_non_null(strstr(list, "qwen3moe"));
    assert_null(strstr(list, "mistral"));
    cria_family_list(true, cut, sizeof cut);
    assert_string_equal(cut, "llama, s");
}

static void windows_by_pattern(void **unused) {
    (void)unused;
    static const struct {
        const char *family, *windows; /* of ten layers */
    } table[] = {{"mistral", "wwwwwwwwww"}, {"gemma2", "w.w.w.w.w."}, {"gemma3_text", "wwwww.wwww"}};
    for (size_t t = 0; t < N_ITEMS(table); t++) {
        cria_config c = cria_config_plain();
        c.n_layers = 10;
        cria_family_windows(cria_family_of_hf(table[t].family, strlen(table[t].family)), &c);
        for (uint32_t i = 0; i < 10; i++) assert_int_equal(c.layer[i], 0); /* no window, no layer with it */
        c.window = 5;
        cria_family_windows(cria_family_of_hf(table[t].family, strlen(table[t].family)), &c);
        for (uint32_t i = 0; i < 10; i++)
            assert_int_equal(c.layer[i], table[t].windows[i] == 'w' ? CRIA_LAYER_WINDOW : 0);
        assert_int_equal(c.layer[10], 0);
    }
}

static void gemma_scales_its_embeddings(void **unused) {
    (void)unused;
    cria_config c = cria_config_plain();
    c.d = 2304;
    cria_family_apply(cria_family_of_hf("gemma2", 6), &c);
    assert_true(c.embedding_scale == 48.0f);
    c.d = 640; /* 25.298… in bfloat16 */
    cria_family_apply(cria_family_of_hf("gemma3_text", 11), &c);
    assert_true(c.embedding_scale == 25.25f);
    c.d = 1152; /* 33.94: 33.875 or 34 */
    cria_family_apply(cria_family_of_hf("gemma3_text", 11), &c);
    assert_true(c.embedding_scale == 34.0f);
    c = cria_config_plain();
    c.d = 640;
    cria_family_apply(cria_family_of_hf("llama", 5), &c);
    assert_true(c.embedding_scale == 1.0f);
}

/* Every name leads back to its weight, in every naming and family. */
static void there_and_back(void **unused) {
    (void)unused;
    static const char *const families[] = {"llama", "mixtral", "gemma3", "phi3"};
    for (size_t f = 0; f < N_ITEMS(families); f++)
        for (enum cria_naming naming = CRIA_NAMING_META; naming <= CRIA_NAMING_GGUF; naming++) {
            cria_config c = cria_config_plain();
            c.family = families[f];
            c.naming = naming;
            c.prefix = f == 2 && naming == CRIA_NAMING_HF ? "language_model." : "";
            for (enum cria_slot slot = 0; slot < CRIA_SLOT_COUNT; slot++) {
                char name[CRIA_NAME_MAX + 16], same[CRIA_NAME_MAX];
                uint32_t layer, expert;
                enum cria_slot found;
                if (!cria_slot_name(&c, slot, 17, 120, name)) continue;
                strcat(name, ".weight");
                assert_true(cria_slot_of(&c, name, &found, &layer, &expert));
                assert_int_equal(layer, slot >= CRIA_SLOT_FIRST_OF_LAYER ? 17 : 0);
                assert_int_equal(expert, slot >= CRIA_SLOT_EXPERT_W1 ? 120 : 0);
                assert_true(cria_slot_name(&c, found, layer, expert, same)); /* two slots may have one name */
                assert_memory_equal(same, name, strlen(same));
            }
        }
    static const char *const none[] = {
        "model.layers.017.self_attn.q_proj.weight", "model.layers.x.self_attn.q_proj.weight", "norm.weight", "",
        "model.layers.99999.self_attn.q_proj.weight", "model.norm.weight.x", "model.norm"};
    cria_config c = cria_config_plain();
    c.naming = CRIA_NAMING_HF;
    for (size_t i = 0; i < N_ITEMS(none); i++) {
        enum cria_slot found;
        uint32_t layer, expert;
        assert_false(cria_slot_of(&c, none[i], &found, &layer, &expert));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_example),
                                       cmocka_unit_test(hugging_face),
                                       cmocka_unit_test(gguf),
                                       cmocka_unit_test(there_and_back),
                                       cmocka_unit_test(every_name_has_room),
                                       cmocka_unit_test(tensors_that_are_no_weights),
                                       cmocka_unit_test(families_are_found_by_their_whole_name),
                                       cmocka_unit_test(the_list_is_cut_to_its_room),
                                       cmocka_unit_test(windows_by_pattern),
                                       cmocka_unit_test(gemma_scales_its_embeddings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
