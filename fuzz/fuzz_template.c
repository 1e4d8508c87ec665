/* SPDX-License-Identifier: Apache-2.0 */
/* A chat template and its variables: the input is a template, and what follows a line that holds a lone "@" the JSON.
 * Twice rendered it gives one text, in UTF-8. */
#include "guard.h"
#include "base/utf8.h"
#include "template/template.h"

static void template_and_variables(cria_ctx *ctx, const uint8_t *data, size_t len) {
    static const char some[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"tools\": null, \"n\": 1.5}";
    static const cria_template_time now = {1753718400, 3600};
    const char *json = some;
    size_t n_json = sizeof some - 1, n = len;
    for (size_t i = 1; i + 1 < len && n == len; i++)
        if (data[i - 1] == '\n' && data[i] == '@' && data[i + 1] == '\n') {
            n = i;
            json = (const char *)data + i + 2;
            n_json = len - i - 2;
        }
    cria_template *t;
    cria_error err;
    if (cria_template_compile(ctx, (const char *)data, n, &t, &err) != CRIA_OK) return;
    cria_buf out, again;
    cria_buf_init(&out, ctx, CRIA_TEMPLATE_MAX_OUTPUT);
    cria_buf_init(&again, ctx, CRIA_TEMPLATE_MAX_OUTPUT);
    if (cria_template_render(t, json, n_json, &now, &out, &err) == CRIA_OK) {
        GUARD_CHECK(cria_utf8_valid(out.data, out.len));
        if (cria_template_render(t, json, n_json, &now, &again, NULL) == CRIA_OK)
            GUARD_CHECK(again.len == out.len && (out.len == 0 || memcmp(again.data, out.data, out.len) == 0));
    } else
        GUARD_CHECK(out.len == 0 && cria_utf8_valid((const uint8_t *)err.msg, strlen(err.msg)));
    cria_buf_fini(&again);
    cria_buf_fini(&out);
    cria_template_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    /* The arenas are bounded; texts on the way to them are not counted there, but each takes a step. */
    return guard_run_from(template_and_variables, data, len, (size_t)1 << 30, 4096);
}
