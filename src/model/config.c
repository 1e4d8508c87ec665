/* SPDX-License-Identifier: Apache-2.0 */
/* What all readers of configurations share: the ranges, which reader a config.json needs, MLX's quantization. */
#include "model/config.h"

#include "base/status.h"
#include "kernels/matrix.h"
#include "model/config_parts.h"
#include "model/families.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

cria_config cria_config_plain(void) {
    return (cria_config){.family = "llama",
                         .pre_norm = true,
                         .embedding_scale = 1.0f,
                         .residual_scale = 1.0f,
                         .logit_scale = 1.0f,
                         .rope = {{.amplitude = 1.0, .factor = 1.0}, {.amplitude = 1.0, .factor = 1.0}},
                         .prefix = ""};
}

/* ---- what all formats must satisfy ---- */

cria_status cria_config_check_range(const char *name, const char *field, uint64_t value, uint64_t low, uint64_t high,
                                    cria_error *err) {
    if (value >= low && value <= high) return CRIA_OK;
    return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                     "%s: %s is %" PRIu64 ", but must be between %" PRIu64 " and %" PRIu64 ".", name, field,
                     value, low, high);
}

static cria_status check_numbers(const char *name, const cria_config *c, cria_error *err) {
    const struct {
        const char *field;
        float value, low, high;
    } numbers[] = {{"norm_eps", c->norm_eps, 0.0f, 1.0f},
                   {"the factor of the embeddings", c->embedding_scale, 1e-6f, 1e6f},
                   {"the factor of the residuals", c->residual_scale, 1e-6f, 1e6f},
                   {"the factor of the logits", c->logit_scale, 1e-6f, 1e6f},
                   {"the factor of attention's scores", c->attention_scale, 1e-6f, 1e6f},
                   {"the cap of attention's scores", c->score_cap, 0.0f, 1e6f},
                   {"the cap of the logits", c->logit_cap, 0.0f, 1e6f}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!(numbers[i].value >= numbers[i].low && numbers[i].value <= numbers[i].high))
            return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: %s is %g, but must be between %g and %g.", name,
                             numbers[i].field, (double)numbers[i].value, (double)numbers[i].low,
                             (double)numbers[i].high);
    return CRIA_OK;
}

static cria_status check_rope(const char *name, const cria_config *c, const struct cria_rope *r, cria_error *err) {
    if (!(r->theta >= 1.0f && r->theta <= 1e18f))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the rope base (rope_theta) is %g, but must be between 1 and 1e18.", name,
                         (double)r->theta);
    if (r->scaling == CRIA_ROPE_YARN && !(r->theta > 1.0f))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: yarn needs a rope base above 1.", name);
    if (r->scaling == CRIA_ROPE_PLAIN) return CRIA_OK;
    const struct {
        const char *field;
        double value, low, high;
    } numbers[] = {{"the factor of the scaled rope", r->factor, CRIA_ROPE_FACTOR_MIN, 1e6},
                   {"the amplitude of the scaled rope", r->amplitude, 1e-3, 1e3},
                   {"low_freq_factor (or beta_slow)", r->low, 0.0, 1e6},
                   {"high_freq_factor (or beta_fast)", r->high, 0.0, 1e6}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!(numbers[i].value >= numbers[i].low && numbers[i].value <= numbers[i].high))
            return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: %s is %g, but must be between %g and %g.", name,
                             numbers[i].field, numbers[i].value, numbers[i].low, numbers[i].high);
    const bool between = r->scaling == CRIA_ROPE_LLAMA3 || r->scaling == CRIA_ROPE_YARN;
    if (between && !(r->low > 0 && r->low < r->high))
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the scaled rope goes from %g to %g turns, but the first must be the smaller one and "
                         "above 0.",
                         name, r->low, r->high);
    if ((between || r->scaling == CRIA_ROPE_DYNAMIC) && r->original == 0)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the scaled rope needs the original length (original_max_position_embeddings).", name);
    for (uint32_t i = 0; r->scaling == CRIA_ROPE_FACTORS && i < c->rotary / 2; i++) {
        const float factors[] = {r->short_factors[i], r->long_factors[i]};
        for (size_t k = 0; k < 2; k++)
            if (!((double)factors[k] >= CRIA_ROPE_FACTOR_MIN && factors[k] <= 1e9f))
                return cria_fail(err, CRIA_EFORMAT, i, "%s: rope factor %u is %g, but must be between %g and 1e9.",
                                 name, i, (double)factors[k], CRIA_ROPE_FACTOR_MIN);
    }
    return CRIA_OK;
}

static cria_status check_experts(const char *name, const cria_config *c, cria_error *err) {
    bool any = false;
    for (uint32_t i = 0; i < c->n_layers; i++) any |= (c->layer[i] & CRIA_LAYER_EXPERTS) != 0;
    if (!any) return CRIA_OK;
    const uint32_t most = c->n_experts < CRIA_EXPERTS_USED_MAX ? c->n_experts : CRIA_EXPERTS_USED_MAX;
    cria_status st = cria_config_check_range(name, "the number of experts", c->n_experts, 1, CRIA_EXPERTS_MAX, err);
    if (!st) st = cria_config_check_range(name, "the number of experts per token", c->n_experts_used, 1, most, err);
    if (!st) st = cria_config_check_range(name, "the experts' dimension", c->f_expert, 1, CRIA_DIM_MAX, err);
    return st;
}

cria_status cria_config_check(const char *name, const cria_config *c, cria_error *err) {
    const struct {
        const char *field;
        uint64_t value, high;
    } sizes[] = {{"the model dimension", c->d, CRIA_DIM_MAX},
                 {"the number of layers", c->n_layers, CRIA_LAYERS_MAX},
                 {"the number of heads", c->h, CRIA_HEADS_MAX},
                 {"the number of key-value heads", c->hk, CRIA_HEADS_MAX},
                 {"the head dimension", c->e, CRIA_HEAD_DIM_MAX},
                 {"the feed-forward dimension", c->f, CRIA_DIM_MAX},
                 {"the vocabulary size", c->V, CRIA_DIM_MAX}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cria_status s = cria_config_check_range(name, sizes[i].field, sizes[i].value, 1, sizes[i].high, err);
        if (s) return s;
    }
    if (c->h % c->hk != 0)
        return cria_fail(
            err, CRIA_EFORMAT, CRIA_NOWHERE,
            "%s: %u heads cannot share %u key-value heads evenly; the first must be a multiple of the "
            "second.",
            name, c->h, c->hk);
    if (c->e % 2 != 0 || c->rotary % 2 != 0 || c->rotary == 0 || c->rotary > c->e)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: the head dimension is %u and %u of it are rotated, but rotary embeddings need even "
                         "numbers, the second not above the first.",
                         name, c->e, c->rotary);
    if (c->rope_traditional && c->rotary != c->e)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: heads of %u of which %u are rotated as neighbouring pairs are not supported.", name,
                         c->e, c->rotary);
    cria_status st = check_numbers(name, c, err);
    for (uint32_t i = 0; i < 2 && !st; i++) {
        bool used = i == 0;
        for (uint32_t l = 0; l < c->n_layers; l++) used |= (c->layer[l] & CRIA_LAYER_LOCAL_ROPE) != 0;
        if (used) st = check_rope(name, c, &c->rope[i], err);
    }
    if (!st) st = check_experts(name, c, err);
    return st;
}

/* ---- config.json ---- */

cria_status cria_config_rows_of(const cria_container *tensors, const char *tensor, const char *name, const char *field,
                                uint32_t *out, cria_error *err) {
    const cria_tensor *t = cria_container_find(tensors, tensor);
    if (t == NULL || t->ndim != 2)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: \"%s\" is not given, and there is no matrix %s in %s to take it from.", name,
                         field, tensor, cria_container_path(tensors));
    cria_status st = cria_config_check_range(name, field, t->shape[0], 1, CRIA_DIM_MAX, err);
    if (st) return st;
    *out = (uint32_t)t->shape[0];
    return CRIA_OK;
}

/* mode, bits and group of an object, over what *q has. */
static void read_mode(struct cria_fields *s, struct cria_mlx_quantization *q) {
    const char *name = "affine";
    cria_field_string(s, "mode", &name);
    const cria_mlx_mode *mode = cria_mlx_mode_named(name);
    if (mode == NULL && !s->st)
        s->st = cria_fail(
            s->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s: the quantization mode \"%.40s\" is not known; it must be affine, mxfp4, nvfp4 or mxfp8.", s->name,
            name);
    if (mode == NULL) return;
    q->group = mode->group;
    q->bits = mode->bits;
    snprintf(q->mode, sizeof q->mode, "%s", mode->mode);
    cria_field_u32(s, "group_size", 1, CRIA_DIM_MAX, &q->group);
    cria_field_u32(s, "bits", 1, CRIA_DIM_MAX, &q->bits);
}

/* "model.layers.0.mlp.down_proj": {…} or false. A layer's tensors must be as it says. */
static void check_exception(const struct cria_fields *parent, const char *stem, const cria_json *v,
                            const cria_container *tensors, struct cria_fields *s) {
    char name[2][256];
    snprintf(name[0], sizeof name[0], "%s.weight", stem);
    snprintf(name[1], sizeof name[1], "%s.scales", stem);
    const cria_tensor *t = cria_container_find(tensors, name[0]), *scales = cria_container_find(tensors, name[1]);
    bool wanted;
    if (t == NULL) {
        s->st = cria_fail(s->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                          "%s: \"quantization\" has a field \"%.80s\" that is neither known nor the name of a tensor.",
                          s->name, stem);
        return;
    }
    struct cria_fields of = {v, parent->name, parent->err, CRIA_OK};
    struct cria_mlx_quantization q = {.group = 0};
    bool as_others = false;
    if (cria_json_bool(v, &wanted)) {
        as_others = wanted;
    } else if (cria_json_type(v) == CRIA_JSON_OBJECT) {
        read_mode(&of, &q);
        wanted = true;
    } else {
        cria_field_wrong_type(s, stem, v, "an object, true or false");
        return;
    }
    s->st = of.st;
    if (s->st) return;
    const uint64_t cols = scales && scales->ndim > 0 ? scales->shape[scales->ndim - 1] * q.group : 0;
    const bool alike = !wanted ? scales == NULL
                     : as_others ? scales != NULL
                               : scales != NULL && t->ndim > 0 && cols <= CRIA_DIM_MAX && q.bits <= 8 &&
                                     t->shape[t->ndim - 1] * 32 == cols * q.bits;
    if (alike) return;
    s->st = cria_fail(s->err, CRIA_EFORMAT, CRIA_NOWHERE,
                      "%s: \"quantization\" says something else of %.80s than the shapes of its tensors in %s do.",
                      s->name, stem, cria_container_path(tensors));
}

void cria_config_read_quantization(struct cria_fields *f, const char *key, const cria_container *tensors,
                                   bool exceptions, struct cria_mlx_quantization *q) {
    const cria_json *v = cria_field(f, key), *member;
    if (v == NULL) return;
    if (cria_json_type(v) != CRIA_JSON_OBJECT) {
        cria_field_wrong_type(f, key, v, "an object");
        return;
    }
    struct cria_fields s = {v, f->name, f->err, CRIA_OK};
    const char *method;
    if (exceptions && cria_field_string(&s, "quant_method", &method))
        s.st = cria_fail(s.err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: the weights are quantized by \"%.40s\", which this version cannot read; take the "
                         "unquantized model, one that mlx-lm quantized, or a .gguf file.",
                         s.name, method);
    q->present = true;
    read_mode(&s, q);
    cria_json_iter it = cria_json_begin(v);
    while (!s.st && cria_json_next(&it, &key, &member)) {
        if (strcmp(key, "group_size") == 0 || strcmp(key, "bits") == 0 || strcmp(key, "mode") == 0) continue;
        if (!exceptions)
            s.st = cria_fail(s.err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                             "%s: \"quantization\" has a field \"%.60s\" that this version does not know.", s.name,
                             key);
        else
            check_exception(f, key, member, tensors, &s);
        q->exceptions = true;
    }
    f->st = s.st;
}

cria_status cria_config_from_json(const char *text, size_t len, const char *name, const cria_container *tensors,
                                  cria_config *out, cria_error *err) {
    cria_json *root;
    cria_status st = cria_json_parse(text, len, name, &root, err);
    if (st) return st;
    cria_config c = cria_config_plain();
    if (cria_json_type(root) != CRIA_JSON_OBJECT) {
        st = cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: the file holds %s, but must hold an object.",
                       name, cria_json_type_name(root));
    } else {
        struct cria_fields f = {root, name, err, CRIA_OK};
        const bool hf = cria_json_get(root, "hidden_size") || cria_json_get(root, "text_config") ||
                        cria_json_get(root, "architectures");
        (hf ? cria_config_read_hf : cria_config_read_mlx)(&f, tensors, &c);
        st = f.st ? f.st : cria_config_check(name, &c, err);
    }
    cria_json_free(root);
    if (!st) *out = c;
    return st;
}
