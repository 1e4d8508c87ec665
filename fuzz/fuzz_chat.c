/* SPDX-License-Identifier: Apache-2.0 */
/* The variables of a chat template as they are made ready for it: the input is their JSON. Messages that were made
 * ready once stay as they are. */
#include "guard.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "engine/model.h"

static void variables(cria_ctx *ctx, const uint8_t *data, size_t len) {
    static const char source[] = "{{ messages|tojson }}", head[] = "{\"messages\": ";
    const cria_model model = {.ctx = cria_ctx_ref(ctx)}; /* never given back: guard.h's is no object of its own */
    cria_chat_template *t;
    char *first, *second;
    size_t n_first, n_second;
    cria_error err;
    if (cria_chat_template_new(&model, source, sizeof source - 1, &t, &err) != CRIA_OK) return;
    if (cria_chat_template_render(t, len ? (const char *)data : "", len, NULL, &first, &n_first, &err) == CRIA_OK) {
        cria_buf again;
        cria_buf_init(&again, ctx, SIZE_MAX / 2);
        GUARD_CHECK(cria_utf8_valid((const uint8_t *)first, n_first));
        if (cria_buf_append(&again, head, sizeof head - 1, NULL) == CRIA_OK &&
            cria_buf_append(&again, first, n_first, NULL) == CRIA_OK && cria_buf_push(&again, '}', NULL) == CRIA_OK &&
            cria_chat_template_render(t, (const char *)again.data, again.len, NULL, &second, &n_second, NULL) ==
                CRIA_OK) {
            GUARD_CHECK(n_first == n_second && memcmp(first, second, n_first) == 0);
            cria_chat_text_free(t, second);
        }
        cria_buf_fini(&again);
        cria_chat_text_free(t, first);
    } else
        GUARD_CHECK(cria_utf8_valid((const uint8_t *)err.msg, strlen(err.msg)));
    cria_chat_template_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    return guard_run_from(variables, data, len, (size_t)1 << 30, 4096);
}
