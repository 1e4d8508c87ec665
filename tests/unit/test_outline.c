/* SPDX-License-Identifier: Apache-2.0 */
/* A model opened for its outline: what the whole model says, without its weights. */
#include "tiny_model.h"

static cria_model *open_model(cria_ctx *ctx, bool outline) {
    cria_model_opts opts = cria_model_opts_default();
    cria_model *m = NULL;
    cria_error err;
    opts.outline = outline;
    if (cria_model_open(ctx, tiny_model_path, &opts, &m, &err) != CRIA_OK) fail_msg("%s", err.msg);
    return m;
}

static void says_what_the_whole_model_says(void **state) {
    (void)state;
    cria_ctx *ctx = NULL;
    assert_int_equal(cria_ctx_new(NULL, &ctx, NULL), CRIA_OK);
    cria_model *whole = open_model(ctx, false), *m = open_model(ctx, true);
    cria_model_info a, b;
    cria_model_get_info(whole, &a);
    cria_model_get_info(m, &b);
    assert_string_equal(b.format, "gguf");
    assert_true(a.dim == b.dim && a.n_layers == b.n_layers && a.context == b.context && a.vocab_size == b.vocab_size);
    assert_true(a.n_params == b.n_params && a.weight_bytes == b.weight_bytes);
    assert_int_equal(cria_tokenizer_vocab_size(cria_model_tokenizer(m)), TINY_V);
    assert_string_equal(cria_tokenizer_kind(cria_model_tokenizer(m)), "BPE");
    for (int kv = CRIA_KV_INT16; kv <= CRIA_KV_INT8; kv++)
        assert_true(cria_model_kv_bytes(m, (cria_kv_type)kv, 100) == cria_model_kv_bytes(whole, (cria_kv_type)kv, 100));
    assert_int_equal(cria_model_kv_bytes(m, CRIA_KV_F32, 0), 0);
    assert_int_equal(cria_model_kv_bytes(m, CRIA_KV_F32, 65), 2 * TINY_L * TINY_HK * TINY_E * 128 * 4);

    cria_outline o;
    cria_tensor_info t;
    assert_false(cria_model_get_outline(whole, &o));
    assert_false(cria_model_get_tensor(whole, 0, &t));
    assert_true(cria_model_get_outline(m, &o));
    assert_int_equal(o.n_files, 1);
    assert_true(o.n_experts == 0 && o.n_window_layers == 0 && !o.chat_template);
    uint64_t weights = 0, bytes = 0;
    for (size_t i = 0; i < o.n_tensors; i++) {
        assert_true(cria_model_get_tensor(m, i, &t));
        weights += t.rows * t.cols;
        bytes += t.n_bytes;
    }
    assert_false(cria_model_get_tensor(m, o.n_tensors, &t));
    assert_true(weights == b.n_params && bytes < o.file_bytes);

    cria_engine *e = NULL;
    cria_error err;
    assert_int_equal(cria_engine_new(m, NULL, &e, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "outline"));
    assert_int_equal(cria_engine_new(whole, NULL, &e, NULL), CRIA_OK);
    cria_work work;
    cria_engine_get_work(e, 1, 0, 1, &work);
    assert_int_equal(o.token_bytes, work.read_bytes);
    cria_engine_free(e);
    cria_model_free(whole);
    cria_model_free(m);
    cria_ctx_free(ctx);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    cria_status status = CRIA_ENOMEM;
    for (long fail_at = 0; status != CRIA_OK; fail_at++) {
        struct counting_alloc alloc;
        cria_ctx_opts opts = cria_ctx_opts_default();
        cria_ctx *ctx = NULL;
        cria_model *m = NULL;
        cria_model_opts how = cria_model_opts_default();
        how.outline = true;
        counting_alloc_init(&alloc, fail_at);
        opts.threads = 1;
        opts.allocator = counting_alloc_hook(&alloc);
        status = cria_ctx_new(&opts, &ctx, NULL);
        if (status == CRIA_OK) {
            status = cria_model_open(ctx, tiny_model_path, &how, &m, NULL);
            cria_model_free(m);
            cria_ctx_free(ctx);
        }
        if (status != CRIA_OK) assert_int_equal(status, CRIA_ENOMEM);
        assert_int_equal(atomic_load(&alloc.live), 0);
        assert_true(fail_at < 5000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_the_whole_model_says),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, tiny_model_write, tiny_model_remove);
}
