/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of the MLX example, as its ModelArgs and sanitize_config read it. */
#include "base/status.h"
#include "model/config_parts.h"

#include <math.h>
#include <string.h>

/* Every key that ModelArgs and sanitize_config know; the example refuses others too (ModelArgs(**config)). */
static void check_keys(struct cria_fields *f) {
    static const char *const known[] = {
        "dim",         "n_layers",           "head_dim",     "hidden_dim",      "n_heads",
        "n_kv_heads",  "norm_eps",           "vocab_size",   "rope_theta",      "model_type",
        "multiple_of", "ffn_dim_multiplier", "quantization", "rope_traditional"};
    const char *key;
    const cria_json *value;
    cria_json_iter it = cria_json_begin(f->root);
    while (!f->st && cria_json_next(&it, &key, &value)) {
        bool ok = false;
        for (size_t j = 0; j < sizeof known / sizeof *known; j++) ok |= strcmp(key, known[j]) == 0;
        if (!ok) cria_field_unknown(f, key);
    }
}

static void read_head_dim(struct cria_fields *f, cria_config *c) {
    if (cria_field_u32(f, "head_dim", 1, CRIA_DIM_MAX, &c->e) || f->st) return;
    if (c->d % c->h != 0)
        f->st = cria_fail(f->err, CRIA_EFORMAT, CRIA_NOWHERE,
                          "%s: dim %u is no multiple of n_heads %u, and \"head_dim\" is not given.", f->name, c->d,
                          c->h);
    else
        c->e = c->d / c->h;
}

void cria_config_read_mlx(struct cria_fields *f, const cria_container *tensors, cria_config *c) {
    int64_t vocab = -1;
    const char *type;
    c->naming = CRIA_NAMING_META;
    check_keys(f);
    cria_need_u32(f, "dim", 1, CRIA_DIM_MAX, &c->d);
    cria_need_u32(f, "n_layers", 1, CRIA_DIM_MAX, &c->n_layers);
    cria_need_u32(f, "n_heads", 1, CRIA_DIM_MAX, &c->h);
    c->hk = c->h;
    cria_field_u32(f, "n_kv_heads", 1, CRIA_DIM_MAX, &c->hk);
    read_head_dim(f, c);
    if (!cria_field_u32(f, "hidden_dim", 1, CRIA_DIM_MAX, &c->f) && !f->st)
        f->st = cria_config_rows_of(tensors, "layers.0.feed_forward.w1.weight", f->name, "hidden_dim", &c->f, f->err);
    /* The example takes it from the wrong axis of a quantized matrix. */
    if ((!cria_field_int(f, "vocab_size", &vocab) || vocab < 0) && !f->st)
        f->st = cria_config_rows_of(tensors, "output.weight", f->name, "vocab_size", &c->V, f->err);
    else
        cria_field_u32(f, "vocab_size", 1, CRIA_DIM_MAX, &c->V);
    cria_need_f32(f, "norm_eps", &c->norm_eps);
    c->rope[0].theta = 10000.0f;
    cria_field_f32(f, "rope_theta", &c->rope[0].theta);
    c->rope_traditional = true;
    cria_field_bool(f, "rope_traditional", &c->rope_traditional);
    cria_field_string(f, "model_type", &type);
    cria_config_read_quantization(f, "quantization", tensors, false, &c->quantization);
    c->rotary = c->e;
    c->attention_scale = c->e ? 1.0f / sqrtf((float)c->e) : 1.0f;
}
