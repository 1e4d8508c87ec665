/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a prompt so that the user sees it go on and can stop it. */
#ifndef CRIA_CLI_PREFILL_H
#define CRIA_CLI_PREFILL_H

#include "cria/cria.h"

/* Evaluates the prompt that a stream was given, a part at a time, with a bar unless quiet. *left: tokens that are still
 * to do, with CRIA_OK because of Ctrl-C. */
cria_status prefill(cria_stream *stream, bool quiet, size_t *left, cria_error *err);

#endif
