/* SPDX-License-Identifier: Apache-2.0 */
/* See plan.h. Which layers are quantized, and the mixed recipes, are as in mlx-lm (convert.py, utils.py) and
 * mlx.nn.quantize: every matrix of a linear layer or an embedding whose columns the group divides. */
#include "convert/plan.h"

#include "base/mem.h"
#include "base/status.h"
#include "kernels/quantize.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct planner {
    struct cria_convert_source *s;
    const cria_convert_opts *opts;
    struct cria_convert_plan *plan;
    const struct recipe *recipe;
    uint32_t n_layers;
    bool *rule_used; /* [n_rules] */
    cria_error *err;
};

/* ---- types ---- */

static bool kind_named(const char *name, enum cria_source_kind *out) {
    if (strcmp(name, "float32") == 0)
        *out = CRIA_SOURCE_F32;
    else if (strcmp(name, "float16") == 0)
        *out = CRIA_SOURCE_F16;
    else if (strcmp(name, "bfloat16") == 0)
        *out = CRIA_SOURCE_BF16;
    else
        return false;
    return true;
}

static enum cria_source_kind stored_type(const struct cria_convert_tensor *t) {
    const cria_tensor *stored = t->biases ? t->biases : t->parts[0];
    if (stored->dtype == CRIA_DTYPE_F32) return CRIA_SOURCE_F32;
    return stored->dtype == CRIA_DTYPE_F16 ? CRIA_SOURCE_F16 : CRIA_SOURCE_BF16;
}

static const cria_dtype dtype_of[] = {[CRIA_SOURCE_F32] = CRIA_DTYPE_F32,
                                      [CRIA_SOURCE_F16] = CRIA_DTYPE_F16,
                                      [CRIA_SOURCE_BF16] = CRIA_DTYPE_BF16};
static const enum cria_scale_type scale_of[] = {[CRIA_SOURCE_F32] = CRIA_SCALE_F32,
                                                [CRIA_SOURCE_F16] = CRIA_SCALE_F16,
                                                [CRIA_SOURCE_BF16] = CRIA_SCALE_BF16};

/* ---- rules ---- */

/* mlx-lm's: most layers in few bits, what matters most in more. */
static const struct recipe {
    const char *name;
    uint32_t low, high;
} recipes[] = {{"mixed_2_6", 2, 6}, {"mixed_3_4", 3, 4}, {"mixed_3_6", 3, 6}, {"mixed_4_6", 4, 6}};

static const struct recipe *find_recipe(const char *name) {
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (strcmp(name, recipes[i].name) == 0) return &recipes[i];
    return NULL;
}

/* The number of the layer in a name; 0 where it has none. */
static uint32_t layer_of(const char *name) {
    const char *at = strstr(name, "layers.");
    uint32_t n = 0;
    if (at == NULL) return 0;
    for (at += strlen("layers."); *at >= '0' && *at <= '9' && n < 100000; at++)
        n = n * 10 + (uint32_t)(*at - '0');
    return n;
}

static uint32_t recipe_bits(const struct planner *p, const char *name) {
    const uint32_t layer = layer_of(name), n = p->n_layers;
    const int64_t middle = (int64_t)layer - n / 8;
    /* Python's remainder, as the recipe was written: −1 % 3 is 2. */
    const bool more = layer < n / 8 || layer >= 7 * n / 8 || (middle % 3 + 3) % 3 == 2;
    const bool wide =
        ((strstr(name, "v_proj") || strstr(name, "down_proj")) && more) || strstr(name, "lm_head");
    return wide ? p->recipe->high : p->recipe->low;
}

/* '*' stands for any characters, '?' for one; without either, the pattern is a part of the name. */
static bool matches(const char *pattern, const char *name) {
    if (strpbrk(pattern, "*?") == NULL) return strstr(name, pattern) != NULL;
    const char *star = NULL, *back = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            back = name;
        } else if (*pattern == *name || *pattern == '?') {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}

/* The first rule that speaks of the layer; NULL: none. */
static const cria_convert_rule *rule_for(const struct planner *p, const char *stem) {
    for (size_t i = 0; i < p->opts->n_rules; i++) {
        if (!matches(p->opts->rules[i].pattern, stem)) continue;
        p->rule_used[i] = true;
        return &p->opts->rules[i];
    }
    return NULL;
}

static bool same_mode(const cria_mlx_mode *a, const cria_mlx_mode *b) {
    return a->bits == b->bits && a->group == b->group && strcmp(a->mode, b->mode) == 0;
}

static void fill_mode(const char *mode, uint32_t bits, uint32_t group, cria_mlx_mode *out) {
    cria_mlx_mode m = *cria_mlx_mode_named(mode); /* there is one: api.c has looked */
    m.bits = bits ? bits : m.bits;
    m.group = group ? group : m.group;
    *out = m;
}

/* ---- items ---- */

static cria_status write_tensor(struct planner *p, struct cria_convert_item *item, const char *suffix,
                                cria_dtype dtype, uint64_t last) {
    const struct cria_convert_tensor *t = item->tensor;
    cria_write_tensor *w = &item->out[item->n_out];
    *w = (cria_write_tensor){.name = t->name, .dtype = dtype, .ndim = t->ndim};
    memcpy(w->shape, t->shape, sizeof w->shape);
    w->shape[t->ndim - 1] = last;
    if (suffix != NULL) {
        char name[CRIA_NAME_MAX + 512];
        const size_t stem = strlen(t->name) - strlen(".weight");
        if (stem + 16 > sizeof name) return cria_fail_nomem(p->err, "a tensor's name", stem);
        memcpy(name, t->name, stem);
        memcpy(name + stem, suffix, strlen(suffix) + 1);
        w->name = cria_convert_string(p->s, name, strlen(name));
        if (w->name == NULL) return cria_fail_nomem(p->err, "a tensor's name", stem + 16);
    }
    uint64_t n_bytes;
    if (!cria_tensor_nbytes(dtype, w->ndim, w->shape, &n_bytes) || n_bytes > SIZE_MAX)
        return cria_fail(p->err, CRIA_EFULL, CRIA_NOWHERE, "%s: the tensor %s is too large for this machine.",
                         p->s->path, t->name);
    w->n_bytes = (size_t)n_bytes;
    item->n_bytes += w->n_bytes;
    item->n_out++;
    return CRIA_OK;
}

/* Codes, scales, biases. */
static cria_status write_quantized(struct planner *p, struct cria_convert_item *item) {
    const uint64_t cols = cria_convert_cols(item->tensor);
    const cria_dtype scales = item->spec.affine ? dtype_of[item->type] : CRIA_DTYPE_U8;
    cria_status st = write_tensor(p, item, NULL, CRIA_DTYPE_U32, cols * item->spec.bits / 32);
    if (!st) st = write_tensor(p, item, ".scales", scales, cols / item->spec.group);
    if (!st && item->spec.affine) st = write_tensor(p, item, ".biases", scales, cols / item->spec.group);
    p->plan->quantized = true;
    item->own_mode =
        p->recipe != NULL || !same_mode(&item->mode, &p->plan->mode); /* a recipe names all, as mlx-lm's */
    return st;
}

static bool is_weight(const struct cria_convert_tensor *t) {
    const size_t n = strlen(t->name), m = strlen(".weight");
    return t->matrix && n > m && strcmp(t->name + n - m, ".weight") == 0;
}

/* How a matrix is to be quantized; *quantize false: not. */
static cria_status choose_mode(struct planner *p, struct cria_convert_item *item, bool *quantize) {
    const struct cria_convert_tensor *t = item->tensor;
    char stem[CRIA_NAME_MAX + 512];
    const size_t n = strlen(t->name) - strlen(".weight");
    *quantize = false;
    if (!p->opts->quantize || !is_weight(t) || n >= sizeof stem) return CRIA_OK;
    memcpy(stem, t->name, n);
    stem[n] = '\0';
    item->mode = p->plan->mode;
    const cria_convert_rule *rule = rule_for(p, stem);
    const size_t gate = strlen(".mlp.gate"); /* a router: mlx-lm gives it 8 bits */
    if (rule != NULL && rule->bits == 0 && rule->mode == NULL) return CRIA_OK;
    if (rule != NULL)
        fill_mode(rule->mode ? rule->mode : item->mode.mode, rule->bits,
                  rule->group  ? rule->group
                  : rule->mode ? 0
                               : item->mode.group,
                  &item->mode);
    else if (p->recipe != NULL)
        item->mode.bits = recipe_bits(p, stem);
    else if (n > gate && strcmp(stem + n - gate, ".mlp.gate") == 0)
        fill_mode("affine", 8, 64, &item->mode);
    const uint64_t rows = cria_convert_rows(t), cols = cria_convert_cols(t);
    if (cria_convert_mode_spec(&item->mode, rows, cols, scale_of[item->type], &item->spec)) {
        *quantize = true;
    } else if (rule != NULL && cols % item->mode.group != 0) {
        return cria_fail(p->err, CRIA_EINVAL, CRIA_NOWHERE,
                         "%s has %" PRIu64 " columns, which groups of %" PRIu32
                         " do not divide, but the rule '%s' asks for "
                         "them.",
                         stem, cols, item->mode.group, rule->pattern);
    } else if (cols % item->mode.group == 0) {
        return cria_fail(
            p->err, CRIA_EINVAL, CRIA_NOWHERE,
            "There is no quantization of mode %s with %" PRIu32 " bits in groups of %" PRIu32
            "; affine has 2, 3, 4, 5, 6 and 8 bits in groups of 32, 64 and 128, mxfp4 4 in 32, nvfp4 4 in 16 "
            "and mxfp8 8 in 32.",
            item->mode.mode, item->mode.bits, item->mode.group);
    }
    return CRIA_OK;
}

static cria_status plan_item(struct planner *p, const struct cria_convert_tensor *t,
                             struct cria_convert_item *item) {
    const char *wanted = p->opts->dtype ? p->opts->dtype : p->s->dtype;
    *item = (struct cria_convert_item){.tensor = t, .how = CRIA_CONVERT_FLOATS, .type = stored_type(t)};
    if (wanted != NULL) (void)kind_named(wanted, &item->type);
    p->plan->n_params += cria_convert_rows(t) * cria_convert_cols(t);
    bool quantize;
    cria_status st = choose_mode(p, item, &quantize);
    if (st) return st;
    if (quantize) {
        item->how = CRIA_CONVERT_QUANTIZE;
        return write_quantized(p, item);
    }
    if (t->scales != NULL && !p->opts->quantize) {
        item->how = CRIA_CONVERT_COPY;
        item->spec = t->mlx;
        item->mode = (cria_mlx_mode){cria_mlx_mode_of(t->mlx.affine, t->mlx.bits, t->mlx.group), t->mlx.bits,
                                     t->mlx.group};
        return write_quantized(p, item);
    }
    return write_tensor(p, item, NULL, dtype_of[item->type], cria_convert_cols(t));
}

/* ---- all ---- */

static cria_status check_rules(const struct planner *p) {
    for (size_t i = 0; i < p->opts->n_rules; i++)
        if (!p->rule_used[i])
            return cria_fail(
                p->err, CRIA_EINVAL, i,
                "The rule '%s' is for no layer: no name of a matrix of this model fits it, or those that do "
                "are taken by rules before it.",
                p->opts->rules[i].pattern);
    return CRIA_OK;
}

/* The example's loader knows one way for all matrices. */
static cria_status check_npz(const struct planner *p) {
    if (p->s->names != CRIA_NAMING_META) return CRIA_OK;
    for (size_t i = 0; i < p->plan->n; i++)
        if (p->plan->items[i].own_mode)
            return cria_fail(
                p->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                "The example's npz has one quantization for all layers, but %s would have its own; leave out "
                "--npz or the recipe.",
                p->plan->items[i].tensor->name);
    return CRIA_OK;
}

static cria_status plan_all(struct planner *p) {
    const struct cria_convert_source *s = p->s;
    for (size_t i = 0; i < s->n; i++) {
        const uint32_t layers = layer_of(s->tensors[i].name) + 1;
        if (layers > p->n_layers) p->n_layers = layers;
    }
    if (!p->opts->quantize && s->mode.mode != NULL)
        p->plan->mode = s->mode;
    else
        fill_mode(p->opts->mode ? p->opts->mode : "affine", p->opts->bits, p->opts->group, &p->plan->mode);
    for (size_t i = 0; i < s->n; i++) {
        struct cria_convert_item *item = &p->plan->items[p->plan->n];
        const cria_status st = plan_item(p, &s->tensors[i], item);
        if (st) return st;
        p->plan->n_bytes += item->n_bytes; /* each lies in a file of its size: no overflow */
        p->plan->n++;
    }
    cria_status st = check_rules(p);
    if (!st && p->opts->quantize && !p->plan->quantized)
        st = cria_fail(p->err, CRIA_EINVAL, CRIA_NOWHERE,
                       "Nothing would be quantized: groups of %" PRIu32
                       " divide the columns of no matrix of %s.",
                       p->plan->mode.group, s->path);
    return st ? st : check_npz(p);
}

cria_status cria_convert_make_plan(struct cria_convert_source *s, const cria_convert_opts *opts,
                                   struct cria_convert_plan *out, cria_error *err) {
    struct cria_convert_plan plan = {.n = 0};
    struct planner p = {.s = s, .opts = opts, .plan = &plan, .err = err};
    if (s->n == 0)
        return cria_fail(err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: there are no tensors to convert.", s->path);
    size_t bytes;
    if (!cria_mul_ok(s->n, sizeof *plan.items, &bytes)) return cria_fail_nomem(err, "the plan", SIZE_MAX);
    plan.items = cria_convert_alloc(s, bytes);
    p.rule_used = cria_convert_alloc(s, opts->n_rules + 1);
    if (plan.items == NULL || p.rule_used == NULL) return cria_fail_nomem(err, "the plan", bytes);
    memset(p.rule_used, 0, opts->n_rules + 1);
    p.recipe = opts->recipe ? find_recipe(opts->recipe) : NULL;
    if (opts->recipe != NULL && p.recipe == NULL)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "There is no recipe '%s'; there are mixed_2_6, mixed_3_4, mixed_3_6 "
                         "and mixed_4_6.",
                         opts->recipe);
    const cria_status st = plan_all(&p);
    if (!st) *out = plan;
    return st;
}
