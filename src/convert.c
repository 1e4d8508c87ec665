/* SPDX-License-Identifier: Apache-2.0 */
/* cria_convert of cria.h: its arguments are looked at here and nowhere deeper. */
#include "convert/convert.h"

#include "base/status.h"
#include "kernels/matrix.h"

#include <string.h>

cria_convert_opts cria_convert_opts_default(void) {
    return (cria_convert_opts){.size = sizeof(cria_convert_opts)};
}

static bool is_one_of(const char *name, const char *const *names) {
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

static cria_status check(const cria_convert_opts *o, cria_error *err) {
    static const char *const dtypes[] = {"float32", "float16", "bfloat16", NULL};
    const cria_status st = cria_check_size(err, "cria_convert", o->size, sizeof *o);
    if (st) return st;
    if (o->mode != NULL && cria_mlx_mode_named(o->mode) == NULL)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_convert: there is no mode '%s'.", o->mode);
    if (o->dtype != NULL && !is_one_of(o->dtype, dtypes))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_convert: there is no type '%s'.", o->dtype);
    if (o->n_rules != 0 && o->rules == NULL)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE, "cria_convert: rules is NULL.");
    for (size_t i = 0; i < o->n_rules; i++)
        if (o->rules[i].pattern == NULL || (o->rules[i].mode != NULL && cria_mlx_mode_named(o->rules[i].mode) == NULL))
            return cria_fail(err, CRIA_EINVAL, i,
                             "cria_convert: rule %zu has no pattern, or a mode that there is not.", i);
    if (!o->quantize && (o->n_rules != 0 || o->recipe != NULL))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_convert: there are rules for quantizing, but nothing is to be.");
    if (o->recipe != NULL && o->mode != NULL && strcmp(o->mode, "affine") != 0)
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_convert: a recipe is for affine quantization only.");
    if (o->calibration != NULL && (!o->quantize || (o->mode != NULL && strcmp(o->mode, "affine") != 0)))
        return cria_fail(err, CRIA_EINVAL, CRIA_NOWHERE,
                         "cria_convert: calibration is for affine quantization only.");
    return CRIA_OK;
}

cria_status cria_convert(cria_ctx *ctx, const char *src, const char *dst, const cria_convert_opts *opts,
                         cria_convert_info *out, cria_error *err) {
    const cria_convert_opts defaults = cria_convert_opts_default();
    if (ctx == NULL || src == NULL || dst == NULL) return cria_fail_null(err, "cria_convert");
    if (opts == NULL) opts = &defaults;
    const cria_status st = check(opts, err);
    return st ? st : cria_convert_run(ctx, src, dst, opts, out, err);
}
