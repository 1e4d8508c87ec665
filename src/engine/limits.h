/* SPDX-License-Identifier: Apache-2.0 */
/* cria_ctx_measure with a choice of how much is done for it: it takes a second, with plain C many. */
#ifndef CRIA_ENGINE_LIMITS_H
#define CRIA_ENGINE_LIMITS_H

#include "cria/cria.h"

struct cria_measure_effort {
    uint32_t compute_tries, read_tries; /* the best one counts; at least 1 */
    size_t least_bytes, thread_bytes;   /* read at a time: thread_bytes for every thread, at least least_bytes */
};

/* As cria_ctx_measure. */
cria_status cria_measure(cria_ctx *ctx, const struct cria_measure_effort *effort, cria_limits *out, cria_error *err);

#endif
