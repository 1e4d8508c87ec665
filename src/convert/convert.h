/* SPDX-License-Identifier: Apache-2.0 */
/* cria_convert of cria.h: a model from any source into an MLX folder. */
#ifndef CRIA_CONVERT_CONVERT_H
#define CRIA_CONVERT_CONVERT_H

#include "cria/cria.h"

/* opts is complete and its names are known. */
cria_status cria_convert_run(cria_ctx *ctx, const char *src, const char *dst, const cria_convert_opts *opts,
                             cria_convert_info *out, cria_error *err);

#endif
