/* SPDX-License-Identifier: Apache-2.0 */
/* What a model brings along for conversations: read out of a folder, and rendered; with every allocation failing once.
 * That the right files count is tests/oracle/test_chat_template.py's business. */
#include "tiny_model.h"

#include "base/ctx.h"
#include "counting_alloc.h"
#include "engine/chat.h"

#include <math.h>
#include <sys/stat.h>

static char folder[32] = "/tmp/cria-chat-XXXXXX", more[96];

static void put_file(const char *in, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", in, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
}

static const char *const files[] = {"chat_template.jinja", "tokenizer_config.json", "special_tokens_map.json",
                                    "generation_config.json"};

static int write_files(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(more, sizeof more, "%s/additional_chat_templates", folder);
    assert_int_equal(mkdir(more, 0700), 0);
    put_file(folder, files[0], "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}");
    put_file(more, "tool_use.jinja", "{{ tools|length }} tools");
    put_file(folder, files[1], "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\", \"pad_token\": null}");
    put_file(folder, files[2], "{\"bos_token\": \"<b>\", \"image_token\": \"<i>\"}");
    put_file(folder, files[3], "{\"temperature\": 0.5, \"top_k\": 7}");
    return tiny_model_write(state);
}

static int remove_files(void **state) {
    (void)state;
    char path[256];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/tool_use.jinja", more);
    unlink(path);
    unlink(tiny_model_path);
    return rmdir(more) | rmdir(folder);
}

static void check(const cria_chat *c) {
    assert_int_equal(c->template_failure.status, CRIA_OK);
    assert_int_equal(c->generation_failure.status, CRIA_OK);
    assert_int_equal(c->n, 2);
    assert_string_equal(c->templates[0].name.data, "default");
    assert_string_equal(c->templates[1].text.data, "{{ tools|length }} tools");
    assert_int_equal(c->n_variables, 4);
    assert_string_equal(c->variables[0].text.data, "<b>");
    assert_null(c->variables[2].text.data); /* pad_token: null */
    assert_string_equal(c->variables[3].name.data, "image_token");
    assert_true(c->generation.temp == 0.5 && c->generation.top_k == 7 && isnan(c->generation.min_p));
}

static void folder_with_failing_allocations(void **state) {
    (void)state;
    cria_status status = CRIA_ENOMEM;
    for (long fail_at = 0; status != CRIA_OK; fail_at++) {
        struct counting_alloc alloc;
        cria_ctx_opts opts = cria_ctx_opts_default();
        cria_ctx *ctx = NULL;
        cria_chat chat;
        counting_alloc_init(&alloc, fail_at);
        opts.threads = 1;
        opts.allocator = counting_alloc_hook(&alloc);
        status = cria_ctx_new(&opts, &ctx, NULL);
        if (status == CRIA_OK) {
            status = cria_chat_load(ctx, folder, folder, NULL, NULL, &chat, NULL);
            if (status == CRIA_OK) check(&chat);
            cria_chat_fini(&chat);
            cria_ctx_free(ctx);
        }
        if (status != CRIA_OK) assert_int_equal(status, CRIA_ENOMEM);
        assert_int_equal(atomic_load(&alloc.live), 0);
        assert_true(fail_at < 5000);
    }
}

static cria_status render(const cria_model *m, char *out, size_t room) {
    static const char source[] = "{{ eos_token }}{{ messages[0].content }}{{ messages[0].thinking }}"
                                 "{{ tools is none }}";
    static const char json[] = "{\"messages\": [{\"content\": \"x\", \"reasoning\": \"why\", \"tool_calls\": null}]}";
    cria_chat_template *t = NULL;
    char *text;
    size_t len = 0;
    cria_status st = cria_chat_template_new(m, source, sizeof source - 1, &t, NULL);
    if (st == CRIA_OK) st = cria_chat_template_render(t, json, sizeof json - 1, NULL, &text, &len, NULL);
    if (st == CRIA_OK) {
        snprintf(out, room, "%s", text);
        assert_int_equal(len, strlen(text));
        cria_chat_text_free(t, text);
    }
    cria_chat_template_free(t);
    return st;
}

static void rendering_with_failing_allocations(void **state) {
    (void)state;
    struct counting_alloc alloc;
    cria_ctx_opts opts = cria_ctx_opts_default();
    cria_model_opts how = cria_model_opts_default();
    cria_ctx *ctx = NULL;
    cria_model *m = NULL;
    how.outline = true;
    counting_alloc_init(&alloc, -1);
    opts.threads = 1;
    opts.allocator = counting_alloc_hook(&alloc);
    assert_int_equal(cria_ctx_new(&opts, &ctx, NULL), CRIA_OK);
    assert_int_equal(cria_model_open(ctx, tiny_model_path, &how, &m, NULL), CRIA_OK);
    const long live = atomic_load(&alloc.live);
    cria_status status = CRIA_ENOMEM;
    for (long n = 0; status != CRIA_OK; n++) {
        char text[100];
        alloc.fail_at = atomic_load(&alloc.calls) + n;
        status = render(m, text, sizeof text);
        if (status == CRIA_OK)
            assert_string_equal(text, "<end>xwhyTrue");
        else
            assert_int_equal(status, CRIA_ENOMEM);
        assert_int_equal(atomic_load(&alloc.live), live);
        assert_true(n < 1000);
    }
    cria_model_free(m);
    cria_ctx_free(ctx);
    assert_int_equal(atomic_load(&alloc.live), 0);
}

static void none_is_said(void **state) {
    (void)state;
    cria_ctx *ctx = NULL;
    cria_model *m = NULL;
    cria_model_opts how = cria_model_opts_default();
    cria_chat_template *t = NULL;
    cria_error err;
    how.outline = true;
    assert_int_equal(cria_ctx_new(NULL, &ctx, NULL), CRIA_OK);
    assert_int_equal(cria_model_open(ctx, tiny_model_path, &how, &m, NULL), CRIA_OK);
    assert_null(cria_model_chat_template(m, 0));
    assert_int_equal(cria_chat_template_open(m, NULL, &t, &err), CRIA_EINVAL);
    assert_non_null(strstr(err.msg, "has no chat template"));
    cria_model_free(m);
    cria_random_opts random = cria_random_opts_default();
    random.dim = random.hidden_dim = 64;
    random.n_layers = random.n_heads = random.n_kv_heads = 1;
    random.vocab_size = 64;
    assert_int_equal(cria_model_random(ctx, &random, &m, NULL), CRIA_OK);
    assert_int_equal(cria_chat_template_open(m, NULL, &t, &err), CRIA_EINVAL);
    assert_int_equal(cria_chat_template_new(m, "{{ bos_token }}", 15, &t, &err), CRIA_OK);
    cria_generation g;
    assert_int_equal(cria_model_get_generation(m, &g, &err), CRIA_OK);
    assert_true(isnan(g.temp) && g.top_k == UINT32_MAX);
    cria_model_free(m);
    cria_ctx_free(ctx);
    char *text; /* the template needs neither */
    size_t len;
    assert_int_equal(cria_chat_template_render(t, "{}", 2, NULL, &text, &len, &err), CRIA_OK);
    assert_int_equal(len, 0);
    cria_chat_text_free(t, text);
    cria_chat_template_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder_with_failing_allocations),
        cmocka_unit_test(rendering_with_failing_allocations),
        cmocka_unit_test(none_is_said),
    };
    return cmocka_run_group_tests(tests, write_files, remove_files);
}
