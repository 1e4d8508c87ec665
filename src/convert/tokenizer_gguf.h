/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRIA_CONVERT_TOKENIZER_GGUF_H
#define CRIA_CONVERT_TOKENIZER_GGUF_H

#include "convert/source.h"

/* tokenizer.model or tokenizer.json, tokenizer_config.json with the chat template, and
 * generation_config.json, from the metadata of s->container. CRIA_EUNSUPPORTED for a pre-tokenizer whose
 * rules are not known here. */
cria_status cria_convert_tokenizer_from_gguf(const struct cria_convert_source *s, const char *folder,
                                             cria_error *err);

#endif
